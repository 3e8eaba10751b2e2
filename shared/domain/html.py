"""What others wrote in the helpdesk, made harmless: HTML, the same as plain text, file names."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

import nh3
from css_inline import CSSInliner, InlineError
from inscriptis import Inscriptis
from inscriptis.css_profiles import STRICT_CSS_PROFILE
from inscriptis.html_properties import Display
from inscriptis.model.config import ParserConfig
from inscriptis.model.html_element import HtmlElement as Layout
from lxml.etree import ParserError
from lxml.html import HtmlElement, HTMLParser, document_fromstring
from pathvalidate import sanitize_filename

from shared.domain.pictures import without_pictures
from shared.domain.recipient import tidy_name


def _names(text: str) -> set[str]:
    return set(text.split())


_TAGS = nh3.ALLOWED_TAGS | {"font", "tfoot"}
#: Gone with what is in them. Of other tags only the tag goes and the text stays.
_GONE = _names(
    "script style title template noscript iframe object embed applet svg math"
    " audio video canvas select textarea button"
)
_CELL = {"colspan", "rowspan", "width", "height", "bgcolor"}
_ATTRIBUTES = {
    "*": {"style", "align", "valign", "dir", "lang", "title"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height", "border", "hidden"},
    "table": {"border", "cellpadding", "cellspacing", "width", "bgcolor", "role"},
    "tr": {"bgcolor"},
    "td": _CELL,
    "th": {*_CELL, "scope"},
    "col": {"span", "width"},
    "colgroup": {"span", "width"},
    "ol": {"start", "type"},
    "ul": {"type"},
    "li": {"value"},
    "font": {"color", "face", "size"},
    "hr": {"size", "width"},
}
#: None of these can fetch anything, hide text or lay it over something else.
_STYLES = _names(
    "color background-color font-family font-size font-style font-weight line-height text-align"
    " text-decoration text-indent text-transform vertical-align white-space letter-spacing"
    " list-style-type width height max-width border border-top border-right border-bottom"
    " border-left border-collapse border-color border-style border-width border-spacing margin"
    " margin-top margin-right margin-bottom margin-left padding padding-top padding-right"
    " padding-bottom padding-left"
)
_SCHEMES = {"http", "https", "mailto", "tel", "cid", "data"}
_DATA_PICTURE = re.compile(r"data:image/(?:png|jpe?g|gif|webp)[;,]")
_UNSEEN = dict.fromkeys(range(0x21))
#: Ways for a picture not to be seen. What else hides is undone: text is for reading.
_HIDES = re.compile(
    r"(?:display\s*+:\s*+none|visibility\s*+:\s*+(?:hidden|collapse)|mso-hide\s*+:\s*+all"
    r"|(?:opacity|max-width|max-height)\s*+:\s*+(?:0++\.?+0*+|\.0++)(?![\d.]))",
    re.IGNORECASE,
)
_HIDDEN = "width:0"
_SMALL = re.compile(
    r"\s*+(?:[01]?\.\d*+|0*+(?:(?<=0)|[12])(?:\.0*+)?)\s*+(?:px|pt)?\s*+", re.IGNORECASE
)
_SMALL_STYLE = re.compile(
    rf"(?:^|;)\s*+(?:width|height)\s*+:{_SMALL.pattern}(?:!|;|$)", re.IGNORECASE
)

_inliner = CSSInliner(load_remote_stylesheets=False, keep_style_tags=False, keep_link_tags=False)
_STYLE_SHEET = re.compile(r"<style[\s/>]", re.IGNORECASE)
_BODY = re.compile(r"<body( style=\"[^\"]*+\")[^>]*+>")
#: Style sheets beyond these are left out. What fits takes seconds at most: time grows with the
#: elements, and with the square of the declarations that one of them gets.
_PIECES = re.compile(r"[;({\[]")
_MOST_DECLARATIONS = 2_000
_MOST_APPLIED = 1_000_000
_MOST_GROWTH = 40_000_000

#: Old Internet Explorer ran the value of any property that had this; a backslash may spell it.
_RUNS = re.compile(r"expression|\\", re.IGNORECASE)
#: A background that is a colour, as Outlook and Word write it: white letters would need it.
_BACKGROUND = re.compile(
    r"(^|;)\s*+background\s*+:\s*+(#?\w++|rgba?\([\d\s.,%/]++\))(?=\s*+(?:;|!|$))", re.IGNORECASE
)
_TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)[^<>]*>", re.IGNORECASE)
#: Need no end tag, so that many of them do not mean deep.
_FLAT = _names(
    "p li dt dd tr td th thead tbody tfoot br hr img col colgroup input meta link area base wbr"
    " option html head body"
)
_DEEPEST = 60
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

_APART = Layout(display=Display.block, margin_before=1, margin_after=1)
_LAYOUT = {**STRICT_CSS_PROFILE, "blockquote": _APART}
_PLAIN = ParserConfig(css=_LAYOUT)
_LINK = re.compile(r"(?:https?://|mailto:|tel:)\S", re.IGNORECASE)
_PREFIX = re.compile(r"(?:https?://|mailto:|tel:)?(?:www\.)?", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n{3,}")

_TABLE_PARTS = ("tr", "td", "th", "thead", "tbody", "tfoot", "caption")
#: In characters. One long cell and thousands of rows would fill the memory with spaces.
_LARGEST_TABLE = 2_000_000

#: In bytes: file systems count them, and an accented letter takes two.
_NAME_LIMIT = 150


def clean_html(html: str) -> str:
    """What a mail from a helpdesk needs of this HTML; nothing that runs, hides or asks for input.

    Style sheets go into the elements that they are for. Remote pictures that nobody is meant to
    see go, as they only tell who has read what. Never fails: broken HTML is mended, tags nested
    beyond reason go and leave their text.
    """
    html = nh3.clean(
        _inlined(_readable(html)),
        tags=_TAGS,
        clean_content_tags=_GONE,
        attributes=_ATTRIBUTES,
        attribute_filter=_harmless,
        filter_style_properties=_STYLES,
        url_schemes=_SCHEMES,
        url_relative="deny",  # leads nowhere in a mail
        link_rel=None,
    )
    return without_pictures(html, _tells_who_reads).strip()


def plain_text(html: str) -> str:
    """The same message for those who read no HTML: links and pictures told, tables in columns.

    >>> plain_text('Les <a href="https://fjordvik.no/vann">mer</a> om <img alt="Vannet"> vannet.')
    'Les mer <https://fjordvik.no/vann> om [Vannet] vannet.'
    """
    root = tree(html)
    if root is None:
        return ""
    for element in root.iter("*"):
        # of its own, only what the elements are decides the layout: "margin: 9999em" does not
        element.attrib.pop("style", None)
        if element.tag == "img":
            alt = one_line(element.get("alt", ""))
            element.tag, element.text = "span", f"[{alt}]" if alt else ""
    for link in root.iter("a"):
        _tell_address(link)
    for table in root.iter("table"):
        if _area(table) > _LARGEST_TABLE:
            for element in table.iter("table", *_TABLE_PARTS):
                element.tag = "div"
    text: str = Inscriptis(root, _PLAIN).get_text()
    lines = (line.rstrip() for line in text.replace("\xa0", " ").splitlines())
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")


def _area(table: HtmlElement) -> int:
    """How many characters it takes in columns, where each cell is as wide as the widest."""
    rows = list(table.iter("tr"))
    across = max((len(row) for row in rows), default=0)
    widest = max((len(cell.text_content()) for cell in table.iter("td", "th")), default=0)
    return len(rows) * across * widest


def tree(html: str) -> HtmlElement | None:
    """The HTML's elements, whatever it is; None when it says nothing."""
    html = _readable(html)
    if not html.strip():
        return None
    for wrapped in (html, f"<pre>{html}</pre>"):
        try:
            # as bytes: of a str that declares an encoding lxml wants nothing to do
            parser = HTMLParser(encoding="utf-8", huge_tree=True)
            root: HtmlElement = document_fromstring(wrapped.encode(), parser=parser)
            return root
        except ParserError:
            continue
    return None


def one_line(text: str) -> str:
    """The text without line breaks, control characters and halves of characters."""
    return tidy_name(encodable(text))


def encodable(text: str) -> str:
    """JSON may hold half of a surrogate pair, e.g. where a text was cut inside an emoji."""
    return text.encode("utf-8", "replace").decode()


def masked(text: str) -> str:
    """A server's words on one line, shortened, without anything that may hold an address."""
    words = one_line(text).split()
    kept = " ".join("…" if "@" in word or "%40" in word else word for word in words)
    return kept if len(kept) <= 200 else f"{kept[:200]}…"


def safe_file_name(name: str) -> str:
    """A name that any system can save: never empty, never a path, and it keeps its extension."""
    name = re.sub(r'[/\\:*?"<>|]+', "-", one_line(name)).strip(" .-")
    suffix = PurePosixPath(name).suffix
    if len(suffix.encode()) > 20:
        suffix = ""
    stem = name.removesuffix(suffix).encode()[: _NAME_LIMIT - len(suffix.encode())]
    name = stem.decode(errors="ignore").rstrip(" .-") + suffix
    return sanitize_filename(name, "-", platform="universal") or "vedlegg"


def _inlined(html: str) -> str:
    """The HTML with the rules of its style sheets on the elements; without them if too many."""
    sheets = [
        re.split("</style", part, maxsplit=1, flags=re.IGNORECASE)[0]
        for part in _STYLE_SHEET.split(html)[1:]
    ]
    length, elements = sum(map(len, sheets)), html.count("<")
    # brackets too: what is nested in thousands of them takes for ever
    declarations = sum(1 + len(_PIECES.findall(sheet)) for sheet in sheets)
    fits = (
        declarations <= _MOST_DECLARATIONS
        and declarations * elements <= _MOST_APPLIED
        and length * elements <= _MOST_GROWTH
    )
    if not sheets or not fits:
        return html
    try:
        inlined = _inliner.inline(html)
    except InlineError:
        return html
    # what is cleaned is what a body holds: its own style goes on without it
    if body := _BODY.search(inlined):
        inlined = f"<div{body[1]}>{inlined[body.end() :]}</div>"
    return inlined


def _harmless(tag: str, attribute: str, value: str) -> str | None:
    match attribute:
        case "style" if tag == "img" and _HIDES.search(value):
            return _HIDDEN
        case "style":
            return None if _RUNS.search(value) else _BACKGROUND.sub(r"\1background-color:\2", value)
        case "role" if value not in ("presentation", "none"):
            return None
        case "src" | "href":
            # without what browsers take out before they look
            url = value.translate(_UNSEEN).lower()
            if url.startswith("data:") and not (tag == "img" and _DATA_PICTURE.match(url)):
                return None
    return value


def _tells_who_reads(picture: Mapping[str, str]) -> bool:
    """Whether it is fetched from elsewhere and too small to see, or hidden."""
    style = picture.get("style", "")
    if "hidden" in picture or style == _HIDDEN:
        return True
    remote = picture.get("src", "").lower().startswith("http")
    sizes = (picture.get("width", ""), picture.get("height", ""))
    small = any(map(_SMALL.fullmatch, sizes)) or _SMALL_STYLE.search(style)
    return remote and bool(small)


def _tell_address(link: HtmlElement) -> None:
    """Put a link's address behind its text, unless the text says it already."""
    url = link.get("href", "").strip()
    if not _LINK.match(url):
        return
    if url[:7].lower() == "mailto:":
        url = url.partition("?")[0]
    shown = re.sub(r"^(?:mailto|tel):", "", url, flags=re.IGNORECASE)
    text = link.text_content().replace("\xa0", " ").strip()
    if _bare(text) == _bare(url):
        return
    told = f" <{shown}>" if text else f"<{shown}>"
    if len(link):
        link[-1].tail = (link[-1].tail or "") + told
    else:
        link.text = (link.text or "") + told


def _bare(url: str) -> str:
    return _PREFIX.sub("", "".join(url.split()), count=1).rstrip("/").casefold()


def _readable(html: str) -> str:
    """The HTML without what a parser stumbles over: control characters and bottomless nesting.

    Of 200,000 tags inside each other nh3 takes two minutes, and inscriptis loses the text below
    256. A mail has some twenty.
    """
    depth = 0

    def keep(tag: re.Match[str]) -> str:
        nonlocal depth
        closing, name = tag[1], tag[2].lower()
        if name in _FLAT:
            return tag[0]
        level = depth if closing else depth + 1
        depth = max(0, level - 1) if closing else level
        return tag[0] if level <= _DEEPEST else ""

    return _TAG.sub(keep, _CONTROLS.sub("", encodable(html)))
