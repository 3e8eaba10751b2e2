"""A message's HTML as the few things that a printed letter is made of, as JSON for the typesetter.

    block   {"t": "p" | "h" | "list" | "table" | "grid" | "quote" | "pre" | "hr", …}
    inline  "text" | {"s": text, "m": marks} | {"u": link, "c": [inline]} | {"br": 1} | {"img": …}

Whatever the HTML is, what comes out can be set: headings follow one upon another, tables are
whole, words fit on a line, and every character is in the typesetter's fonts.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from lxml.html import HtmlElement

from shared.domain.html import one_line, tree
from shared.domain.pictures import cid

Node = dict[str, Any]
Inline = str | Node

#: Of the characters that we know of, those that Typst's own fonts have (Libertinus Serif, New
#: Computer Modern, DejaVu Sans Mono): Latin with Sámi, Greek, Cyrillic, Armenian, Hebrew, plain
#: Arabic, Georgian, punctuation, currencies, arrows, mathematics, boxes. A test sets them all.
_SHOWN = (
    (0x20, 0x7E),
    (0xA0, 0x4FF),
    (0x531, 0x58F),
    (0x5D0, 0x5F4),
    (0x621, 0x63A),
    (0x640, 0x655),
    (0x660, 0x66D),
    (0x10D0, 0x10FF),
    (0x1D00, 0x2027),
    (0x202F, 0x2040),
    (0x2044, 0x205F),
    (0x2070, 0x211E),
    (0x2126, 0x2151),
    (0x2153, 0x2184),
    (0x2190, 0x23FF),
    (0x2460, 0x2606),
    (0x2609, 0x262F),
    (0x27B1, 0x2BFF),
)
_SHOWN_TOO = frozenset("☺☹✓✔✗✘✉ﬁﬂ")
#: In the place of a letter that no font has.
MISSING = "□"

_SPACE = re.compile(r"[ \t\n\r\f]+")
_BLANK = " \t\n\r\f\xa0\u200b"
#: A word that is longer gets places to break: beyond a line it would leave the paper.
_LONGEST_WORD = 30
_LONG_WORD = re.compile(rf"[^\s\u200b\u00ad-]{{{_LONGEST_WORD}}}(?=[^\s\u200b\u00ad-])")
#: Words held together by spaces that must not break, as editors paste them.
_CHAIN = re.compile(r"[^ ]{40,}")
#: In a table, what is not at the left may stick out on both sides, so only short words may be.
_SHORT_WORD = 10
#: Lists, quotes and tables inside each other; what is deeper is set as text.
_DEEPEST = 8
_MOST_COLUMNS = 12
#: In characters: a letterhead's address and opening hours.
_LONGEST_BAND = 600
#: Text width and height that a picture may take, in points: A4 without its margins.
TEXT_WIDTH, _PICTURE_HEIGHT = 465.0, 600.0
_POINTS_PER_PIXEL = 0.75

_BLOCKS = frozenset({"p", "div", "section", "article", "header", "footer", "main", "nav", "aside"})
_BLOCKS |= {"address", "figure", "figcaption", "center", "dl", "dt", "dd", "details", "summary"}
_BLOCKS |= {"hgroup", "caption", "body", "html"}
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_MARKS = {
    **dict.fromkeys(("b", "strong", "dt", "summary"), "b"),
    **dict.fromkeys(("i", "em", "cite", "var", "dfn"), "i"),
    **dict.fromkeys(("u", "ins"), "u"),
    **dict.fromkeys(("s", "strike", "del"), "s"),
    **dict.fromkeys(("code", "kbd", "samp", "tt"), "c"),
    "sup": "^",
    "sub": "_",
}
#: What a style attribute may say of text, as (property, value, mark).
_STYLES = (
    (re.compile(r"(?:^|;)\s*+font-weight\s*+:\s*+(?:bold|[6-9]00)", re.I), "b"),
    (re.compile(r"(?:^|;)\s*+font-style\s*+:\s*+(?:italic|oblique)", re.I), "i"),
    (re.compile(r"(?:^|;)\s*+text-decoration\s*+:[^;]*?underline", re.I), "u"),
    (re.compile(r"(?:^|;)\s*+text-decoration\s*+:[^;]*?line-through", re.I), "s"),
)
_ALIGN = re.compile(r"(?:^|;)\s*+text-align\s*+:\s*+(left|start|center|right|end)", re.I)
_SIDES = {"center": "c", "right": "r", "end": "r"}
_NUMBERING = {"a": "a.", "A": "A.", "i": "i.", "I": "I."}
_LINK = re.compile(r"(?:https?://|mailto:|tel:)\S+", re.I)
_PREFIX = re.compile(r"(?:https?://|mailto:|tel:)?(?:www\.)?", re.I)
_PIXELS = re.compile(r"\s*+(\d{1,5})(?:\.\d*+)?\s*+(?:px)?\s*+")


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture that can be set: the file that the typesetter finds it by, its size in pixels."""

    file: str
    width: int
    height: int


def letter_tree(
    subject: str, html: str, picture: Callable[[str], Shown | None], fallback: str = "Bilde"
) -> Node:
    """The letter: `title`, `head` above it, `body`, and `foot`.

    `picture` gives what is to be shown for a content id; None leaves the alt text. `fallback` is
    said of a picture that nobody has described. Head and foot are what a letterhead puts there.
    """
    root = tree(html)
    builder = _Builder(picture, fallback)
    blocks = builder.blocks_of(root) if root is not None else []
    head: list[Node] = []
    foot: list[Node] = []
    if len(blocks) > 1 and _is_band(blocks[0]):
        head.append(blocks.pop(0))
    if len(blocks) > 1 and _is_band(blocks[-1]):
        foot.append(blocks.pop())
    blocks = list(_unframed(blocks))
    title = shown_text(one_line(subject)).strip()
    first = blocks[0] if blocks else {}
    said = first.get("t") == "h" and _bare(_text(first["c"])) == _bare(title)
    if said:
        first["l"] = 0  # above all others, whatever they are
    _level(blocks, 0 if said else 1)
    return {"title": title, "said": said, "head": head, "body": blocks, "foot": foot}


def shown_text(text: str) -> str:
    """The text in characters that the fonts have.

    Letters that they lack become □. Emoji and other signs go, and leave the words around them.

    >>> shown_text("Áŋŋel 🙂 ﾃ 𝐅𝐞𝐭")
    'Áŋŋel  □ Fet'
    """
    if text.isascii():
        return text if text.isprintable() else "".join(filter(_kept_control, text))
    return "".join(char if _is_shown(char) else _instead(char) for char in text)


def not_shown(text: str) -> str:
    """The letters in the text that a printed letter cannot show, each once, sorted."""
    lacking = {char for char in text if not _is_shown(char) and MISSING in _instead(char)}
    return "".join(sorted(lacking))


def _kept_control(char: str) -> bool:
    return char in "\t\n\r\f" or char.isprintable()


def _is_shown(char: str) -> bool:
    code = ord(char)
    return (
        (
            any(first <= code <= last for first, last in _SHOWN)
            and unicodedata.category(char) not in ("Cn", "Cc")
        )
        or char in _SHOWN_TOO
        or char in "\t\n\r\f"
    )


def _instead(char: str) -> str:
    plain = unicodedata.normalize("NFKC", char)
    if plain != char and all(map(_is_shown, plain)):
        return plain
    return MISSING if unicodedata.category(char)[0] in "LN" else ""


@dataclass(frozen=True, slots=True)
class _Style:
    """What holds for text at some place in the HTML."""

    marks: frozenset[str] = frozenset()
    url: str = ""
    side: str = ""
    deep: int = 0  #: how many lists, quotes and tables it is in
    width: float = TEXT_WIDTH
    headings: bool = True  #: whether a heading may be one here


@dataclass(slots=True)
class _Flow:
    """Blocks as they come, and the line that is being filled."""

    blocks: list[Node] = field(default_factory=list)
    line: list[tuple[str, _Style] | Node] = field(default_factory=list)
    side: str = ""

    def text(self, text: str | None, style: _Style) -> None:
        if text:
            self.line.append((text, style))

    def end(self, **kind: Any) -> None:
        """End the line: it becomes a paragraph, unless it says nothing."""
        content = _inline(self.line)
        if content:
            block = {"t": "p", **kind, "c": content}
            # what does not fit on a line would stick out at the left as well
            sided = self.side and _longest_word([block]) <= _LONGEST_WORD
            self.blocks.append({**block, "a": self.side} if sided else block)
        self.line = []

    def add(self, block: Node) -> None:
        self.end()
        self.blocks.append(block)


@dataclass(frozen=True, slots=True)
class _Builder:
    picture: Callable[[str], Shown | None]
    fallback: str

    def blocks_of(self, element: HtmlElement, style: _Style | None = None) -> list[Node]:
        flow = _Flow()
        self._inside(element, flow, style or _Style())
        flow.end()
        return flow.blocks

    def _inside(self, element: HtmlElement, flow: _Flow, style: _Style) -> None:
        flow.text(element.text, style)
        for child in element:
            if isinstance(child.tag, str):
                self._element(child, flow, style)
            flow.text(child.tail, style)

    def _element(self, element: HtmlElement, flow: _Flow, around: _Style) -> None:
        tag = element.tag
        style = _styled(element, around)
        nested = style.deep < _DEEPEST
        deeper = replace(style, deep=style.deep + 1, headings=False)
        if tag == "br":
            flow.line.append({"br": 1})
        elif tag == "hr":
            flow.add({"t": "hr"})
        elif tag == "img":
            self._picture(element, flow, style)
        elif tag == "a":
            self._link(element, flow, style)
        elif tag in _HEADINGS:
            self._block(element, flow, style, around, heading=_HEADINGS[tag])
        elif tag == "pre":
            text = shown_text(element.text_content()).strip("\n").expandtabs(4)
            if text.strip():
                flow.add({"t": "pre", "s": _breakable(text)})
        elif tag in ("ul", "ol", "menu", "dir") and nested:
            self._list(element, flow, deeper)
        elif tag == "blockquote" and nested:
            if blocks := self.blocks_of(element, replace(deeper, width=style.width - 30)):
                flow.add({"t": "quote", "b": blocks})
        elif tag == "table" and nested:
            self._table(element, flow, style)
        elif tag in _BLOCKS or tag in ("tr", "li", "td", "th"):
            self._block(element, flow, style, around)
        else:
            self._inside(element, flow, style)

    def _block(
        self, element: HtmlElement, flow: _Flow, style: _Style, around: _Style, heading: int = 0
    ) -> None:
        flow.end()
        flow.side = style.side
        if heading and style.headings and not any(True for _ in element.iter("table", "ul", "ol")):
            self._inside(element, flow, replace(style, headings=False))
            # it is bold by itself
            flow.end(t="h", l=heading)
        else:
            marks = style.marks | {"b"} if heading else style.marks
            self._inside(element, flow, replace(style, marks=marks))
            flow.end()
        flow.side = around.side

    def _link(self, element: HtmlElement, flow: _Flow, style: _Style) -> None:
        url = one_line(element.get("href", ""))
        if not _LINK.fullmatch(url):
            self._inside(element, flow, style)
            return
        self._inside(element, flow, replace(style, url=url))
        if url[:7].lower() == "mailto:":
            url = url.partition("?")[0]
        if not _says(element.text_content(), url):
            # on paper nobody can click
            flow.text(f" ({_PREFIX.sub('', url, count=1).rstrip('/')})", style)

    def _picture(self, element: HtmlElement, flow: _Flow, style: _Style) -> None:
        source = cid(element.get("src", ""))
        shown = self.picture(source) if source else None
        alt = shown_text(one_line(element.get("alt", "")))
        if shown is None:
            flow.text(f"[{alt}]" if alt else None, style)
            return
        if element.get("alt") is None:
            alt = self.fallback
        width, height = shown.width * _POINTS_PER_PIXEL, shown.height * _POINTS_PER_PIXEL
        asked_width, asked_height = (
            _POINTS_PER_PIXEL * int(found[1])
            if (found := _PIXELS.fullmatch(element.get(name, "")))
            else 0.0
            for name in ("width", "height")
        )
        if asked_width:
            width, height = asked_width, height * asked_width / width
        elif asked_height:
            width, height = width * asked_height / height, asked_height
        scale = min(1.0, style.width / width, _PICTURE_HEIGHT / height)
        flow.line.append({"img": shown.file, "alt": alt, "w": max(1.0, width * scale)})

    def _list(self, element: HtmlElement, flow: _Flow, style: _Style) -> None:
        flow.end()
        inner = replace(style, width=max(60.0, style.width - 20))
        items: list[Node] = []
        for child in element:
            if not isinstance(child.tag, str):
                continue
            if child.tag == "li":
                item: Node = {"b": self.blocks_of(child, _styled(child, inner))}
                if element.tag == "ol" and (value := _number(child.get("value"))) is not None:
                    item["v"] = value
                if item["b"]:
                    items.append(item)
            else:
                # what stands between items belongs to the one before, as browsers show it
                loose = _Flow()
                self._element(child, loose, inner)
                loose.end()
                if loose.blocks and items:
                    items[-1]["b"] += loose.blocks
                elif loose.blocks:
                    items.append({"b": loose.blocks})
        if not items:
            return
        block: Node = {"t": "list", "i": items}
        if element.tag == "ol":
            block["n"] = _NUMBERING.get(element.get("type", ""), "1.")
            block["s"] = _number(element.get("start")) or 1
        flow.blocks.append(block)

    def _table(self, table: HtmlElement, flow: _Flow, style: _Style) -> None:
        flow.end()
        for caption in table.iterchildren("caption"):
            self._element(caption, flow, style)
        rows = list(_rows(table))
        if not rows:
            return
        # an item of a laid out page may be a heading; a table's cell may not
        layout = _is_layout(table, rows)
        places, columns = _placed(rows)
        if (columns == 1 and layout) or columns > _MOST_COLUMNS or columns == 0:
            before = len(flow.blocks)
            for cell in (cell for _, row in rows for cell in row):
                self._block(cell, flow, _styled(cell, style), style)
            if layout and len(rows) == 1 and len(flow.blocks) > before:
                inside = flow.blocks[before:]
                flow.blocks[before:] = [{"t": "grid", "n": 1, "r": [{"x": 0, "y": 0, "b": inside}]}]
            return
        inner = replace(
            style,
            deep=style.deep + 1,
            width=max(30.0, style.width / columns - 10),
            headings=layout and style.headings,
        )
        cells: list[Node] = []
        for cell, x, y, across, down in places:
            blocks = self.blocks_of(cell, _styled(cell, inner))
            if _longest_word(blocks) > _SHORT_WORD:
                _to_the_left(blocks)
            if layout:
                blocks = list(_unframed(blocks))
            node: Node = {"x": x, "y": y, "b": blocks}
            if across > 1:
                node["cs"] = across
            if down > 1:
                node["rs"] = down
            if cell.tag == "th":
                node["th"] = 1
            cells.append(node)
        if not cells or not any(cell["b"] for cell in cells):
            return
        kind: Node = {"t": "grid"} if layout else {"t": "table", "hd": _header(rows, places)}
        flow.blocks.append({**kind, "n": columns, "r": cells})


_Row = tuple[bool, list[HtmlElement]]
_Place = tuple[HtmlElement, int, int, int, int]


def _rows(table: HtmlElement) -> Iterator[_Row]:
    """The table's own rows, and whether each is its head; rows without cells are none."""
    for part in table:
        inside = [part] if part.tag == "tr" else part.iterchildren("tr")
        for row in inside if part.tag in ("tr", "thead", "tbody", "tfoot") else ():
            cells = list(row.iterchildren("td", "th"))
            if cells:
                yield part.tag == "thead" or all(cell.tag == "th" for cell in cells), cells


def _is_layout(table: HtmlElement, rows: list[_Row]) -> bool:
    """Whether it is there for the looks: said so, holds another table, or has a single row."""
    if table.get("role") in ("presentation", "none"):
        return True
    if any(cell.tag == "th" for _, row in rows for cell in row):
        return False
    return (
        len(rows) == 1
        or all(len(row) == 1 for _, row in rows)
        or any(inner is not table for inner in table.iter("table"))
    )


def _placed(rows: list[_Row]) -> tuple[list[_Place], int]:
    """Each cell with column, row and how many it covers, none over another; how many columns."""
    taken: set[tuple[int, int]] = set()
    placed: list[_Place] = []
    columns = 0
    for y, (_, cells) in enumerate(rows):
        x = 0
        for cell in cells:
            while (x, y) in taken:
                x += 1
            across = min(_span(cell.get("colspan")), _MOST_COLUMNS + 1)
            down = min(_span(cell.get("rowspan")), len(rows) - y)
            free = 1
            while free < across and (x + free, y) not in taken:
                free += 1
            taken |= {(x + dx, y + dy) for dx in range(free) for dy in range(down)}
            placed.append((cell, x, y, free, down))
            x += free
            columns = max(columns, x)
            if columns > _MOST_COLUMNS:
                return [], columns
    return placed, columns


def _header(rows: list[_Row], places: list[_Place]) -> int:
    """How many rows at the top are the head; none when it would be all, or is not one whole."""
    head = 0
    while head < len(rows) and rows[head][0]:
        head += 1
    whole = all(y + down <= head for _, _, y, _, down in places if y < head)
    return head if head < len(rows) and whole else 0


def _span(value: str | None) -> int:
    return int(value) if value and re.fullmatch(r"[1-9]\d{0,3}", value) else 1


def _number(value: str | None) -> int | None:
    return int(value) if value and re.fullmatch(r"\d{1,6}", value) else None


def _styled(element: HtmlElement, style: _Style) -> _Style:
    css = element.get("style", "")
    marks = set(style.marks)
    if mark := _MARKS.get(element.tag):
        marks.add(mark)
    marks.update(mark for pattern, mark in _STYLES if css and pattern.search(css))
    side = style.side
    said = found[1] if (found := _ALIGN.search(css)) else element.get("align", "")
    if said and element.tag not in ("img", "table"):
        side = _SIDES.get(said.lower(), "")
    if element.tag == "center":
        side = "c"
    return replace(style, marks=frozenset(marks), side=side)


def _breakable(text: str) -> str:
    return _LONG_WORD.sub(lambda word: word[0] + "\u200b", text)


def _inline(line: list[tuple[str, _Style] | Node]) -> list[Inline]:
    """What a line says, its white space as a browser shows it; nothing when it says nothing."""
    parts: list[tuple[str, Node]] = []  # (link, what)
    gap = True  # whether a space would be at the start, or behind another
    for item in line:
        if isinstance(item, dict):
            if "br" in item:
                if parts and isinstance(parts[-1][1].get("s"), str):
                    parts[-1][1]["s"] = parts[-1][1]["s"].rstrip(" ")
                gap = True
            else:
                gap = False
            parts.append(("", item))
            continue
        text, style = item
        text = _SPACE.sub(" ", shown_text(text))
        text = _breakable(_CHAIN.sub(lambda chain: chain[0].replace("\xa0", " "), text))
        if gap:
            text = text.lstrip(" ")
        if not text:
            continue
        gap = text.endswith(" ")
        # PDF/UA knows of one line only, under or through; a link is shown by its own
        under = style.marks | {"u"} if style.url else style.marks
        marks = "".join(sorted(under - {"u"} if "s" in under else under))
        last = parts[-1] if parts else None
        if last and "s" in last[1] and last[0] == style.url and last[1]["m"] == marks:
            last[1]["s"] += text
        else:
            parts.append((style.url, {"s": text, "m": marks}))
    while parts and ("br" in parts[0][1] or not parts[0][1].get("s", "x").strip(_BLANK)):
        parts.pop(0)
    while parts and ("br" in parts[-1][1] or not parts[-1][1].get("s", "x").strip(_BLANK)):
        parts.pop()
    if parts and "s" in parts[-1][1]:
        parts[-1][1]["s"] = parts[-1][1]["s"].rstrip(" ")
    content: list[Inline] = []
    for url, node in parts:
        what: Inline = node["s"] if "s" in node and not node["m"] else node
        last_one = content[-1] if content else None
        if not url:
            content.append(what)
        elif isinstance(last_one, dict) and last_one.get("u") == url:
            last_one["c"].append(what)
        else:
            content.append({"u": url, "c": [what]})
    return content


def _is_band(block: Node) -> bool:
    """Whether it is what a letterhead puts above or below a message: laid out, and short."""
    return (
        block["t"] == "grid"
        and all(inner["t"] == "p" for cell in block["r"] for inner in cell["b"])
        and sum(map(len, _texts([block]))) <= _LONGEST_BAND
    )


def _unframed(blocks: Iterable[Node]) -> Iterator[Node]:
    """The blocks, without the tables that only frame what is in them."""
    for block in blocks:
        if block["t"] == "grid" and block["n"] == 1:
            yield from _unframed(inner for cell in block["r"] for inner in cell["b"])
        else:
            yield block


def _level(blocks: Iterable[Node], above: int) -> None:
    """Make the headings follow each other without a gap, that many levels below the top."""
    around: list[int] = []  # the headings that this one is below, as the HTML has them
    for heading in _headings(blocks):
        while around and around[-1] >= heading["l"]:
            around.pop()
        around.append(heading["l"])
        heading["l"] = min(above + len(around), 6)


def _headings(blocks: Iterable[Node]) -> Iterator[Node]:
    for block in blocks:
        if block["t"] == "h":
            yield block
        elif block["t"] == "grid":
            for cell in block["r"]:
                yield from _headings(cell["b"])


def _texts(blocks: Iterable[Node]) -> Iterator[str]:
    for block in blocks:
        yield _text(block.get("c", ()))
        for inner in (*block.get("i", ()), *block.get("r", ()), *([block] if "b" in block else ())):
            yield from _texts(inner["b"])


def _text(content: Iterable[Inline]) -> str:
    return "".join(
        item if isinstance(item, str) else item.get("s", "") or _text(item.get("c", ()))
        for item in content
    )


def _longest_word(blocks: Iterable[Node]) -> int:
    words = (re.split(r"[ \u200b]", text) for text in _texts(blocks))
    return max((len(word) for some in words for word in some), default=0)


def _to_the_left(blocks: Iterable[Node]) -> None:
    for block in blocks:
        block.pop("a", None)
        for inner in (*block.get("i", ()), *block.get("r", ())):
            _to_the_left(inner["b"])


def _says(text: str, url: str) -> bool:
    """Whether the text tells the address itself; what says nothing, e.g. a picture, need not."""
    if not text.strip(_BLANK) or _bare(text) == _bare(url):
        return True
    digits = re.sub(r"\D", "", text)
    return url[:4].lower() == "tel:" and len(digits) >= 5 and url.endswith(digits)


def _bare(text: str) -> str:
    return _PREFIX.sub("", "".join(text.split()), count=1).rstrip("/").casefold()
