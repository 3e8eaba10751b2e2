"""What others wrote in the helpdesk, made harmless: HTML, the same as plain text, file names."""

import re
from pathlib import PurePosixPath

import nh3
from inscriptis import get_text
from inscriptis.css_profiles import STRICT_CSS_PROFILE
from inscriptis.html_properties import Display
from inscriptis.model.config import ParserConfig
from inscriptis.model.html_element import HtmlElement
from pathvalidate import sanitize_filename

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
    "img": {"src", "alt", "width", "height", "border"},
    "table": {"border", "cellpadding", "cellspacing", "width", "bgcolor"},
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
_SCHEMES = {"http", "https", "mailto", "tel", "cid"}

#: Old Internet Explorer ran the value of any property that had this; a backslash may spell it.
_RUNS = re.compile(r"expression|\\", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)[^<>]*>", re.IGNORECASE)
#: Need no end tag, so that many of them do not mean deep.
_FLAT = _names(
    "p li dt dd tr td th thead tbody tfoot br hr img col colgroup input meta link area base wbr"
    " option html head body"
)
_DEEPEST = 60
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

_APART = HtmlElement(display=Display.block, margin_before=1, margin_after=1)
_LAYOUT = {**STRICT_CSS_PROFILE, "blockquote": _APART}
#: A link whose text is its own address.
_BARE_LINK = re.compile(r"\[([^\[\]\s]+)\]\((?:mailto:|tel:)?\1/?\)")
_BLANK_LINES = re.compile(r"\n{3,}")

#: In bytes: file systems count them, and an accented letter takes two.
_NAME_LIMIT = 150


def clean_html(html: str) -> str:
    """What a mail from a helpdesk needs of this HTML; nothing that runs, hides or asks for input.

    Never fails: broken HTML is mended, tags nested beyond reason go and leave their text.
    """
    return nh3.clean(
        _readable(html),
        tags=_TAGS,
        clean_content_tags=_GONE,
        attributes=_ATTRIBUTES,
        attribute_filter=_harmless,
        filter_style_properties=_STYLES,
        url_schemes=_SCHEMES,
        url_relative="deny",  # leads nowhere in a mail
        link_rel=None,
    ).strip()


def plain_text(html: str) -> str:
    """The same message for those who read no HTML: links shown, tables in columns."""
    config = ParserConfig(css=_LAYOUT, display_links=True)
    text: str = get_text(_readable(html), config)
    text = _BARE_LINK.sub(r"\1", text.replace("\xa0", " "))
    lines = (line.rstrip() for line in text.splitlines())
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")


def one_line(text: str) -> str:
    """The text without line breaks, control characters and halves of characters."""
    return tidy_name(encodable(text))


def encodable(text: str) -> str:
    """JSON may hold half of a surrogate pair, e.g. where a text was cut inside an emoji."""
    return text.encode("utf-8", "replace").decode()


def safe_file_name(name: str) -> str:
    """A name that any system can save: never empty, never a path, and it keeps its extension."""
    name = re.sub(r'[/\\:*?"<>|]+', "-", one_line(name)).strip(" .-")
    suffix = PurePosixPath(name).suffix
    if len(suffix.encode()) > 20:
        suffix = ""
    stem = name.removesuffix(suffix).encode()[: _NAME_LIMIT - len(suffix.encode())]
    name = stem.decode(errors="ignore").rstrip(" .-") + suffix
    return sanitize_filename(name, "-", platform="universal") or "vedlegg"


def _harmless(tag: str, attribute: str, value: str) -> str | None:
    return None if attribute == "style" and _RUNS.search(value) else value


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
