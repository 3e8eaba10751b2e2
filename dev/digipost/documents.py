"""What Digipost thinks of a document: can it be shown, and can it be printed?

Words in the name of the file make the unhappy path easy to try: `ugyldig` is UGYLDIG_FOR_WEB,
`uskrivbar` is UGYLDIG_FOR_PRINT, `uspesifisert` is USPESIFISERT_FEIL.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pypdfium2  # type: ignore[import-untyped]  # published without type information
from pypdf import PdfReader
from pypdf.errors import PyPdfError

from .jobs import Document
from .switches import Switches

WEB, PRINT, UNSPECIFIED = "UGYLDIG_FOR_WEB", "UGYLDIG_FOR_PRINT", "USPESIFISERT_FEIL"

_MM = 72 / 25.4
_WIDTH, _HEIGHT = 210 * _MM, 297 * _MM
_SMALLER, _ROUNDING = 10 * _MM, 1.0
#: No text here: x, then y from the top.
_ZONE = (0.0, 15 * _MM, 95 * _MM, 175 * _MM)
#: Need not be embedded.
_STANDARD_FONTS = ("/Courier", "/Helvetica", "/Times-", "/Symbol", "/ZapfDingbats")


@dataclass(frozen=True)
class Faults:
    """What is wrong with it, as pairs of a type and a message."""

    found: tuple[tuple[str, str], ...] = ()

    @property
    def readable(self) -> bool:
        return not any(kind in (WEB, UNSPECIFIED) for kind, _ in self.found)

    @property
    def printable(self) -> bool:
        return not self.found


def faults(document: Document, data: bytes, switches: Switches) -> Faults:
    return Faults(tuple(_faults(document, data, switches)))


def _faults(document: Document, data: bytes, switches: Switches) -> Iterator[tuple[str, str]]:
    name, _, ending = document.file.rpartition(".")
    if "uspesifisert" in name:
        yield UNSPECIFIED, "Noe gikk galt"
    if "ugyldig" in name:
        yield WEB, "Dokumentet er ugyldig"
    if "uskrivbar" in name:
        yield PRINT, "Dokumentet kan ikke skrives ut"
    if ending.lower() not in switches.file_types.split(","):
        yield WEB, f"Filtypen {ending} er ikke tillatt"
        return
    if len(data) > switches.max_megabytes * 1024 * 1024:
        yield WEB, "FILE_TOO_LARGE"
    if ending.lower() != "pdf":
        yield PRINT, "Bare pdf kan skrives ut"
        return
    try:
        yield from _faults_of_pdf(data, switches)
    except (PyPdfError, pypdfium2.PdfiumError, ValueError, KeyError, TypeError) as error:
        yield WEB, f"PDF_PARSE_ERROR: {type(error).__name__}"


def _faults_of_pdf(data: bytes, switches: Switches) -> Iterator[tuple[str, str]]:
    reader = PdfReader(BytesIO(data), strict=False)
    if reader.is_encrypted:
        yield PRINT, "PDF_IS_ENCRYPTED"
        return
    if not reader.pages:
        yield WEB, "DOCUMENT_HAS_NO_PAGES"
        return
    if len(reader.pages) > switches.print_pages:
        yield PRINT, "TOO_MANY_PAGES_FOR_AUTOMATED_PRINT"
    if reader.pdf_header not in {f"%PDF-1.{minor}" for minor in range(8)}:
        yield PRINT, "UNSUPPORTED_PDF_VERSION_FOR_PRINT"
    if not all(_a4(page) for page in reader.pages):
        yield PRINT, "UNSUPPORTED_DIMENSIONS"
    if not all(_embedded(font) for page in reader.pages for font in _fonts(page)):
        yield PRINT, "REFERENCES_INVALID_FONT"
    if _text_in_zone(data):
        yield PRINT, "INSUFFICIENT_MARGIN_FOR_PRINT"


def _a4(page: Any) -> bool:
    width, height = float(page.mediabox.width), float(page.mediabox.height)
    if page.rotation % 180:
        width, height = height, width
    return (
        _WIDTH - _SMALLER <= width <= _WIDTH + _ROUNDING
        and _HEIGHT - _SMALLER <= height <= _HEIGHT + _ROUNDING
    )


def _fonts(page: Any) -> Iterator[Any]:
    resources = page.get("/Resources")
    fonts = resources.get_object().get("/Font") if resources is not None else None
    if fonts is not None:
        yield from (font.get_object() for font in fonts.get_object().values())


def _embedded(font: Any) -> bool:
    if font.get("/Subtype") == "/Type3":
        return True
    if str(font.get("/BaseFont", "")).startswith(_STANDARD_FONTS):
        return True
    inner = font["/DescendantFonts"].get_object()[0].get_object() if _composite(font) else font
    descriptor = inner.get("/FontDescriptor")
    if descriptor is None:
        return False
    return bool({"/FontFile", "/FontFile2", "/FontFile3"} & set(descriptor.get_object()))


def _composite(font: Any) -> bool:
    return bool(font.get("/Subtype") == "/Type0")


def _text_in_zone(data: bytes) -> bool:
    left, right, top, bottom = _ZONE
    pdf = pypdfium2.PdfDocument(data)
    try:
        for page in pdf:
            height = page.get_height()
            text = page.get_textpage()
            if text.get_text_bounded(left, height - bottom, right, height - top).strip():
                return True
        return False
    finally:
        pdf.close()
