"""What makes a message hard to read for some: seen in the preview, for the case worker to mend.

By WCAG 2.1, as far as it can be told from HTML alone. Nothing here stops a message.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from lxml.html import HtmlElement
from tinycss2 import parse_blocks_contents
from tinycss2.ast import Node
from tinycss2.color3 import RGBA, parse_color

from shared.domain.html import one_line, tree

#: Against its background, of normal text (WCAG 2.1, 1.4.3).
LEAST_CONTRAST = 4.5
BLACK, WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
#: What browsers give a link that has no colour of its own, whatever the text around it has.
_LINK_BLUE = (0.0, 0.0, 238 / 255)

_SAYS_NOTHING = {
    "en": "here|click here|click|press here|read more|more|learn more|link|this link|this|details",
    "nb": "her|klikk her|klikk|trykk her|trykk|les mer|les mer her|mer|se her|lenke|lenken|link"
    "|linken|denne|denne lenken|denne linken|dette",
    "nn": "her|klikk her|klikk|trykk her|trykk|les meir|les meir her|meir|sjå her|lenkje|lenkja"
    "|lenke|lenka|link|linken|denne|denne lenkja|denne lenka|dette",
}
_LONG_URL = 50
_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_REMOTE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
_SHORT = 60
#: What people's editors write is shorter; what is longer is not worth a parser's time.
_LONGEST_STYLE = 2_000
_LONGEST_COLOUR = 100

Colour = tuple[float, float, float]


class Hard(StrEnum):
    PICTURE_WITHOUT_TEXT = "picture_without_text"  #: who does not see it, gets nothing instead
    REMOTE_PICTURE = "remote_picture"  #: many mail programs fetch none until they are asked to
    SKIPPED_HEADING = "skipped_heading"  #: the outline has a hole
    LOW_CONTRAST = "low_contrast"  #: the text is too like what is behind it
    EMPTY_LINK = "empty_link"  #: heard by itself, its text does not say where it leads
    LONG_LINK = "long_link"  #: its text is a long address, spelt out aloud
    TABLE_WITHOUT_HEADERS = "table_without_headers"  #: its cells are heard without what they are


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to mend, and where: words of the message, cut short."""

    key: Hard
    detail: str = ""


def findings(html: str, *, lang: str = "nb") -> list[Finding]:
    """What to mend in this HTML, each once, in the order of `Hard`. It is written in `lang`.

    >>> findings('<p>Frist og skjema ligger <a href="https://fjordvik.no">her</a>.</p>', lang="nb")
    [Finding(key=<Hard.EMPTY_LINK: 'empty_link'>, detail='her')]
    """
    root = tree(html)
    if root is None:
        return []
    nothing = _SAYS_NOTHING["en"] + "|" + _SAYS_NOTHING.get(lang.partition("-")[0].lower(), "")
    found = [
        *_in_pictures(root),
        *_in_headings(root),
        *_in_colours(root),
        *_in_links(root, frozenset(nothing.split("|"))),
        *_in_tables(root),
    ]
    return sorted(dict.fromkeys(found), key=lambda finding: list(Hard).index(finding.key))


def contrast(one: Colour, other: Colour) -> float:
    """From 1.0 for equal colours to 21.0 for black and white, by WCAG's formula.

    >>> contrast(BLACK, WHITE)
    21.0
    """
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def colour_of(css: str | Node) -> RGBA | None:
    """The colour that this CSS means; None when it is none, or depends on the text around it."""
    colour = parse_color(css)
    return colour if isinstance(colour, RGBA) else None


def _luminance(colour: Colour) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _in_pictures(root: HtmlElement) -> Iterator[Finding]:
    for picture in root.iter("img"):
        source = picture.get("src", "")
        alt = one_line(picture.get("alt", ""))
        name = "" if source.lower().startswith(("data:", "cid:")) else source.rpartition("/")[2]
        if not alt:
            yield Finding(Hard.PICTURE_WITHOUT_TEXT, _cut(name))
        if _REMOTE.match(source):
            yield Finding(Hard.REMOTE_PICTURE, _cut(alt or name))


def _in_headings(root: HtmlElement) -> Iterator[Finding]:
    before = None
    for heading in root.iter("h1", "h2", "h3", "h4", "h5", "h6"):
        level = int(heading.tag[1])
        if before and level > before + 1:
            yield Finding(Hard.SKIPPED_HEADING, _text(heading))
        before = level


def _in_links(root: HtmlElement, nothing: frozenset[str]) -> Iterator[Finding]:
    for link in root.iter("a"):
        if not link.get("href"):
            continue
        alts = " ".join(picture.get("alt", "") for picture in link.iter("img"))
        text = one_line(f"{link.text_content()} {alts}")
        if not text.strip(" .…:!>»→") or text.casefold().strip(" .…:!>»→«") in nothing:
            yield Finding(Hard.EMPTY_LINK, _cut(text or link.get("href")))
        elif len(text) > _LONG_URL and _URL.fullmatch(text):
            yield Finding(Hard.LONG_LINK, _cut(text))


def _in_tables(root: HtmlElement) -> Iterator[Finding]:
    for table in root.iter("table"):
        if (
            table.get("role") in ("presentation", "none")
            or next(table.iter("th"), None) is not None
        ):
            continue
        rows = [len(row.findall("td")) for row in table.iter("tr")]
        holds_tables = next(table.iterdescendants("table"), None) is not None
        if not holds_tables and sum(cells > 1 for cells in rows) > 1:  # else it is for layout
            yield Finding(Hard.TABLE_WITHOUT_HEADERS, _text(table))


def _in_colours(root: HtmlElement) -> Iterator[Finding]:
    """Text whose colour or background is given here, against the other or black on white."""
    seen: dict[tuple[Colour, Colour], None] = {}
    todo: list[tuple[HtmlElement, Colour | None, Colour | None]] = [(root, None, None)]
    while todo:
        element, front, back = todo.pop()
        own_front, own_back = _colours(element)
        back = _over(own_back, back or WHITE) if own_back else back
        if own_front:
            front = _over(own_front, back or WHITE)
        elif element.tag == "a" and element.get("href") and back:
            front = _LINK_BLUE
        words = [element.text, *(child.tail for child in element)]
        if (front or back) and any(word and word.strip() for word in words):
            pair = front or BLACK, back or WHITE
            if pair not in seen and contrast(*pair) < LEAST_CONTRAST:
                seen[pair] = None
                yield Finding(Hard.LOW_CONTRAST, _text(element))
        todo += [(child, front, back) for child in reversed(element) if isinstance(child.tag, str)]


def _colours(element: HtmlElement) -> tuple[RGBA | None, RGBA | None]:
    """The element's own colours: of its text, and behind it."""
    given = {
        "color": colour_of(element.get("color", "")[:_LONGEST_COLOUR]),
        "background-color": colour_of(element.get("bgcolor", "")[:_LONGEST_COLOUR]),
    }
    style = element.get("style", "")
    for rule in parse_blocks_contents(style if len(style) <= _LONGEST_STYLE else ""):
        if rule.type == "declaration" and rule.lower_name in given:
            values = [token for token in rule.value if token.type not in ("whitespace", "comment")]
            given[rule.lower_name] = colour_of(values[0]) if len(values) == 1 else None
    return given["color"], given["background-color"]


def _over(colour: RGBA, behind: Colour) -> Colour:
    """What is seen of a colour that something shines through."""
    red, green, blue = (
        colour.alpha * part + (1 - colour.alpha) * under
        for part, under in zip(colour[:3], behind, strict=True)
    )
    return red, green, blue


def _text(element: HtmlElement) -> str:
    return _cut(one_line(element.text_content()))


def _cut(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1].rstrip()}…"
