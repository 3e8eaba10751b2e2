"""Pictures in the text of a mail: what HTML shows, and how it shows what travels with it."""

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from html import escape, unescape
from urllib.parse import unquote, unquote_to_bytes

#: Any tag, of which only pictures are looked into. Quotes count only behind `=`, as in a browser.
#: Nothing here is ever given back or tried twice, so that it takes linear time on any input.
_TAG = re.compile(
    r"""<(?:(?P<img>img(?=[\s/>]))|[a-z/](?:[^>=]++|=\s*+(?:"[^"]*+"|'[^']*+')?+)*+)""",
    re.IGNORECASE,
)
_ATTRIBUTE = re.compile(
    r"""[\s/]*+([^\s/>=]++)(?:\s*+=\s*+("[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+|(?=>)))?+"""
)
_END = re.compile(r"[\s/]*+>")

_DATA_URL = re.compile(r"data:image/(png|jpe?g|gif|webp)(?:;[^;,]*+)*;base64,(.*)", re.I | re.S)
#: Of one picture. The whole mail's limit is the transport's.
LARGEST = 10_000_000

#: Where the helpdesk serves an attachment. How its HTML refers to one is not known, so any address
#: that ends like this is taken for one, whatever the host and API version before it.
_ATTACHMENT = re.compile(
    r"(?:\S{0,2000}/)?attachments?/(?:download/)?(\d{1,18})(?:/(?:download|content|file|view|raw))?/?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Picture:
    """What was inside the HTML, to be sent beside it."""

    content_id: str
    name: str
    content_type: str
    data: bytes


def embed_data_pictures(html: str, largest: int = LARGEST) -> tuple[str, list[Picture]]:
    """The HTML with `cid:` for every `data:` picture, and these pictures, each once.

    What is no picture that mail programs show, is larger, or is broken leaves its alt text.
    """
    pictures: dict[str, Picture] = {}

    def embed(attributes: Mapping[str, str]) -> str | None:
        source = attributes.get("src", "").strip()
        if source[:5].lower() != "data:":
            return source
        kind, data = _decoded(source, largest)
        if not data:
            return None
        content_id = f"{sha256(data).hexdigest()[:32]}@bilde"
        if content_id not in pictures:
            ending = "jpg" if kind == "jpeg" else kind
            name = f"bilde-{len(pictures) + 1}.{ending}"
            pictures[content_id] = Picture(content_id, name, f"image/{kind}", data)
        return f"cid:{content_id}"

    return change_pictures(html, embed), list(pictures.values())


def to_cids(html: str, known: Mapping[int, str]) -> str:
    """The HTML with `cid:` where it shows an attachment of the helpdesk's by its address.

    `known`: content id by the attachment's id. Other pictures stay as they are.
    """

    def refer(attributes: Mapping[str, str]) -> str:
        source = attributes.get("src", "").strip()
        path = re.split(r"[?#]", source, maxsplit=1)[0]
        found = _ATTACHMENT.fullmatch(path)
        content_id = known.get(int(found[1])) if found else None
        return f"cid:{content_id}" if content_id else source

    return change_pictures(html, refer)


def shown(html: str) -> set[str]:
    """The content ids of the pictures that the HTML shows, as their files have them."""
    sources = (attributes.get("src", "") for _, _, attributes, _ in _each(html))
    return {content_id for source in sources if (content_id := cid(source))}


def cid(url: str) -> str:
    """The content id that a `cid:` URL means; "" for any other.

    >>> cid("CID:%3Clogo%40fjordvik%3E")
    'logo@fjordvik'
    """
    url = url.strip()
    return unquote(url[4:]).strip().strip("<>") if url[:4].lower() == "cid:" else ""


def change_pictures(html: str, source: Callable[[Mapping[str, str]], str | None]) -> str:
    """The HTML with every picture's `src` as `source` has it, given the picture's attributes.

    None leaves the alt text in the picture's place. All else stays letter for letter.
    """
    parts: list[str] = []
    copied = 0
    for start, end, attributes, (src_start, src_end) in _each(html):
        was = attributes.get("src", "").strip()
        new = source(attributes)
        if new is None:
            parts += html[copied:start], escape(attributes.get("alt", ""), quote=False)
            copied = end
        elif new != was:
            parts += html[copied:src_start], f'"{escape(new)}"'
            copied = src_end
    return "".join([*parts, html[copied:]])


def without_pictures(html: str, unwanted: Callable[[Mapping[str, str]], bool]) -> str:
    """The HTML without the pictures that `unwanted` says so of, given their attributes."""
    parts: list[str] = []
    copied = 0
    for start, end, attributes, _ in _each(html):
        if unwanted(attributes):
            parts.append(html[copied:start])
            copied = end
    return "".join([*parts, html[copied:]])


def _each(html: str) -> Iterator[tuple[int, int, dict[str, str], tuple[int, int]]]:
    """Where each picture's tag starts and ends, its attributes, and where the value of `src` is.

    A tag that does not end is none.
    """
    at = 0
    while tag := _TAG.search(html, at):
        at = tag.end()
        if not tag["img"]:
            continue
        attributes: dict[str, str] = {}
        span = (at, at)
        while found := _ATTRIBUTE.match(html, at):
            at = found.end()
            name, value = found[1].lower(), found[2] or ""
            if name not in attributes:  # as in a browser, the first one counts
                attributes[name] = unescape(value[1:-1] if value[:1] in "\"'" else value)
                if name == "src":
                    span = found.span(2) if value else (at, at)
        if end := _END.match(html, at):
            at = end.end()
            yield tag.start(), at, attributes, span


def _decoded(url: str, largest: int) -> tuple[str, bytes]:
    """The kind of picture in a `data:` URL, and its bytes; none for what is not to be embedded."""
    found = _DATA_URL.fullmatch(url)
    if not found or len(url) > 4 * largest:  # percent-encoded it may be three times as long
        return "", b""
    kind = found[1].lower().replace("jpg", "jpeg")
    try:
        data = b64decode(b"".join(unquote_to_bytes(found[2]).split()), validate=True)
    except Error:
        return "", b""
    return kind, data if len(data) <= largest else b""
