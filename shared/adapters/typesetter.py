"""Typst as the typesetter: a message becomes a letter on A4, a tagged PDF with its fonts inside.

The message is data to a template that does not change: its text is never read as Typst. No network,
no fonts of the machine. The same message gives the same bytes, wherever and whenever.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import typst

from shared.domain.letter_tree import Shown, letter_tree, shown_text
from shared.domain.message import Message
from shared.errors import PermanentError

if TYPE_CHECKING:
    from typst import PDFStandard

_TEMPLATES = Path(__file__).parent.parent / "templates"

#: PDF/A for keeping, PDF/UA for everybody to read; both are PDF 1.7, which print takes.
_ACCESSIBLE: "list[PDFStandard]" = ["a-2a", "ua-1"]
#: For what a standard forbids and we did not foresee: still tagged.
_PLAIN: "list[PDFStandard]" = ["1.7"]
_NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)

#: In characters, and in tags. A letter has some thousands and some hundreds. At these limits, which
#: are beyond the pages that can be printed, one takes two seconds and 370 MB at worst: each in a
#: table's cell of its own.
LARGEST_HTML = 200_000
MOST_TAGS = 20_000
#: A picture is unpacked to be set: four bytes for each of its pixels.
_MOST_PIXELS = 25_000_000
_LARGEST_PICTURE = 10_000_000

#: What an error says before it may quote.
_REASON = re.compile(r"(?:PDF/[^:]{1,40}: )?[^\"`':]{0,80}")

_NAMELESS = {"nb": "Brev", "nn": "Brev", "en": "Letter"}
_PICTURE = {"nb": "Bilde", "nn": "Bilete", "en": "Picture"}


class UnprintableError(PermanentError):
    """No letter can be made of this. What it says is for a log: it has nothing of the message."""


@dataclass(frozen=True, slots=True)
class CoverPage:
    """Lines that show in an envelope's window."""

    lines: tuple[str, ...]


class Typesetter:
    """Makes PDFs. Every call blocks for some milliseconds, and may run in any thread."""

    def __init__(self) -> None:
        self._fonts = typst.Fonts(include_system_fonts=False)
        self._letter = (_TEMPLATES / "letter.typ").read_bytes()
        self._cover = (_TEMPLATES / "cover.typ").read_bytes()

    def letter(
        self, message: Message, pictures: Mapping[str, bytes], written: datetime = _NO_DATE
    ) -> bytes:
        """The message as a letter, with the pictures that its HTML shows, by content id.

        PNG, JPEG and GIF are set; of what else there is, or is broken, the alt text stays.
        `written` is the date in the file's properties. Raises UnprintableError for a message that
        is out of all proportion.
        """
        tags = message.html.count("<")
        if len(message.html) > LARGEST_HTML or tags > MOST_TAGS:
            raise UnprintableError(f"letter: {len(message.html)} characters of HTML, {tags} tags")
        with TemporaryDirectory(prefix="letter-") as folder:
            shown = _put(pictures, Path(folder))
            try:
                return self._set_letter(message, shown, folder, written, _ACCESSIBLE)
            except UnprintableError:
                whole = {name: one for name, one in shown.items() if self._decodes(one, folder)}
            for standards in (_ACCESSIBLE, _PLAIN):
                try:
                    return self._set_letter(message, whole, folder, written, standards)
                except UnprintableError as error:
                    refused = error
            raise refused

    def covers(self, pages: Sequence[CoverPage]) -> bytes:
        """One A4 page for each, with its lines where the window of an envelope shows them."""
        data = [[line for line in map(shown_text, page.lines) if line.strip()] for page in pages]
        return self._compile(self._cover, {"covers": data}, None, _NO_DATE, _PLAIN, tags=False)

    def _set_letter(
        self,
        message: Message,
        shown: Mapping[str, Shown],
        folder: str,
        written: datetime,
        standards: "list[PDFStandard]",
    ) -> bytes:
        lang = message.lang.lower()[:2] if re.match(r"[a-z]{2}(-|$)", message.lang, re.I) else "nb"
        fallback = _PICTURE.get(lang, _PICTURE["nb"])
        try:
            tree = letter_tree(message.subject, message.html, shown.get, fallback)
        except RecursionError as error:
            raise UnprintableError("letter: HTML nested too deep") from error
        tree["title"] = tree["title"] or _NAMELESS.get(lang, _NAMELESS["nb"])
        letter = {**tree, "lang": lang, "sender": shown_text(message.sender.name)}
        return self._compile(self._letter, {"letter": letter}, folder, written, standards)

    def _decodes(self, picture: Shown, folder: str) -> bool:
        """Whether Typst can read it: one broken picture would stop the whole letter."""
        source = b'#set document(title: "x")\n#image(sys.inputs.file, alt: "x")'
        try:
            self._compile(source, {"file": picture.file}, folder, _NO_DATE, _ACCESSIBLE)
        except UnprintableError:
            return False
        return True

    def _compile(
        self,
        source: bytes,
        data: Mapping[str, Any],
        folder: str | None,
        written: datetime,
        standards: "list[PDFStandard]",
        *,
        tags: bool = True,
    ) -> bytes:
        inputs = {
            name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for name, value in data.items()
        }
        try:
            compiler = typst.Compiler(
                source,
                root=folder,
                font_paths=self._fonts,
                ignore_system_fonts=True,
                sys_inputs=inputs,
            )
            pdf = compiler.compile(
                format="pdf",
                pdf_standards=standards,
                timestamp=int(written.timestamp()),
                pdf_tags=tags,
            )
        except RuntimeError as error:
            # not `from`: its diagnostics may quote the letter
            raise UnprintableError(f"letter: {_REASON.match(str(error))[0]}") from None  # type: ignore[index]
        assert isinstance(pdf, bytes)  # a list for pictures of pages, nothing for a file
        return pdf


def _put(pictures: Mapping[str, bytes], folder: Path) -> dict[str, Shown]:
    """The pictures as files in the folder, those that can be set."""
    shown: dict[str, Shown] = {}
    for number, (content_id, data) in enumerate(sorted(pictures.items())):
        found = _kind_and_size(data) if len(data) <= _LARGEST_PICTURE else None
        if found is None:
            continue
        kind, width, height = found
        if not 0 < width * height <= _MOST_PIXELS:
            continue
        name = f"{number}.{kind}"
        (folder / name).write_bytes(data)
        shown[content_id] = Shown(name, width, height)
    return shown


_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _kind_and_size(data: bytes) -> tuple[str, int, int] | None:
    """What a picture's first bytes say of it, so that none is unpacked that would fill memory."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        return "png", int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if data[:6] in (b"GIF87a", b"GIF89a") and len(data) >= 10:
        return "gif", int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            height, width = (
                int.from_bytes(data[at + 5 : at + 7]),
                int.from_bytes(data[at + 7 : at + 9]),
            )
            return "jpg", width, height
        if marker == 0xFF:  # padding
            at += 1
        else:
            at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
    return None
