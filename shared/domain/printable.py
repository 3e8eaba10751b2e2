"""What a PDF is, and whether Digipost can deliver it and have it printed.

The rules of print are those of Digipost's own validator (`digipost/printability-validator`), which
looks at the MediaBox. Millimetres are rounded as there, so that half a millimetre is forgiven.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from threading import Lock
from typing import Any

import pypdfium2  # type: ignore[import-untyped]  # published without type information
from pypdf import PageObject, PdfReader
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    IndirectObject,
    PdfObject,
    StreamObject,
)

#: In bytes. Digipost's portal takes letters of 30 MB; the limit of the interface is not known.
LARGEST = 30_000_000
MOST_PAGES = 20
#: Print versions of PDF; what is newer may have what a printer's program does not know.
_OLDEST, _NEWEST = (1, 0), (1, 7)

_WIDTH, _HEIGHT = 210.0, 297.0  # A4, in millimetres
_TOO_SMALL = 10.0  # that much each side may lack; nothing may be over
_ROUNDING = 0.5
_POINT = 25.4 / 72
#: Kept free on every page for a bar code: from the left edge, and from the top.
ZONE_WIDTH, ZONE_TOP, ZONE_BOTTOM = 15.0, 95.0, 175.0

#: Not embedded, and there all the same: the standard 14, and Arial, by the beginning of the name.
_EVERYWHERE = ("times", "courier", "helvetica", "symbol", "zapfdingbats", "arial")
_FONT_FILES = ("/FontFile", "/FontFile2", "/FontFile3")

#: A file from a stranger may name itself a thousand times: this much is looked at.
_MOST_INSPECTED = 200
_MOST_OBJECTS = 20_000
_DEEPEST = 8
#: In bytes, of what is drawn, unpacked: PDFium takes ten seconds for it. A few kB may be a bomb.
_MOST_DRAWN = 50_000_000

_ACTIONS = frozenset({"/JavaScript", "/Launch", "/Rendition", "/Movie", "/Sound", "/ImportData"})
_MEDIA = frozenset({"/RichMedia", "/Movie", "/Sound", "/Screen", "/3D"})

#: PDFium is one program with one memory: two threads at once end the process.
_pdfium = Lock()


class Fault(StrEnum):
    """Why a PDF cannot be delivered, or not printed."""

    BROKEN = "broken"  #: it cannot be read
    TOO_LARGE = "too_large"  #: the file, in bytes
    ENCRYPTED = "encrypted"
    NO_PAGES = "no_pages"
    FONTS = "fonts"  #: a font is not embedded
    TOO_MANY_PAGES = "too_many_pages"
    VERSION = "version"  #: newer than PDF 1.7
    PAGE_SIZE = "page_size"  #: a page is not A4
    BARCODE_ZONE = "barcode_zone"  #: there is text where the bar code is to be
    ACTIVE = "active"  #: scripts, sound, film or files inside; Digipost advises against it


#: What a case worker is told, and can do about it.
SENTENCES: Mapping[Fault, str] = {
    Fault.BROKEN: "PDF-filen kan ikke leses. Lag den på nytt og legg den ved igjen.",
    Fault.TOO_LARGE: "PDF-filen er for stor. Gjør bildene mindre, eller del den i flere vedlegg.",
    Fault.ENCRYPTED: "PDF-filen er beskyttet med passord. Lagre den uten passord og beskyttelse.",
    Fault.NO_PAGES: "PDF-filen har ingen sider. Lag den på nytt og legg den ved igjen.",
    Fault.FONTS: (
        "PDF-filen mangler skrifter som den bruker. Lagre den på nytt med innebygde skrifter"
        " (i Word: «Lagre som PDF» og valget PDF/A)."
    ),
    Fault.TOO_MANY_PAGES: "PDF-filen har for mange sider til å skrives ut. Kort den ned.",
    Fault.VERSION: (
        "PDF-filen er av en nyere versjon enn det som kan skrives ut. Lagre den som PDF 1.7 eller"
        " PDF/A."
    ),
    Fault.PAGE_SIZE: "PDF-filen har sider som ikke er A4. Sett papirstørrelsen til A4.",
    Fault.BARCODE_ZONE: (
        "PDF-filen har tekst der strekkoden skal stå: 95–175 mm fra toppen og nærmere venstre"
        " kant enn 15 mm. Gjør venstre marg bredere, helst 2 cm."
    ),
    Fault.ACTIVE: (
        "PDF-filen har skript, lyd, film eller filer inni seg. Lagre den som PDF/A, som er uten."
    ),
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a PDF is, as far as it could be read."""

    size: int  #: in bytes
    broken: bool = False
    pages: int = 0
    version: tuple[int, int] = (0, 0)
    encrypted: bool = False
    tagged: bool = False  #: whether it says what is a heading, a list, a table
    sizes: tuple[tuple[float, float], ...] = ()  #: of each page as shown, in millimetres
    fonts: frozenset[str] = frozenset()  #: names of those that are not embedded and should be
    zone: frozenset[int] = frozenset()  #: numbers of the pages with text in the barcode zone
    active: frozenset[str] = frozenset()  #: scripts and media, by PDF's own names


def inspect(pdf: bytes) -> Sheet:
    """What this PDF is. Never fails: of a file that cannot be read it says so.

    Of a long one the first 200 pages are looked at. Blocks, and may run in any thread, but only
    one at a time gets through.
    """
    if len(pdf) > LARGEST:
        return Sheet(len(pdf))
    try:
        return _inspected(pdf)
    except Exception:  # whatever a stranger's file makes two libraries raise
        return Sheet(len(pdf), broken=True)


def faults_for_web(sheet: Sheet) -> list[Fault]:
    """Why Digipost would not put this into a mailbox; nothing when it would.

    Encrypted is one where not even a reader could open it. A scripted one is delivered so far.
    """
    if sheet.size > LARGEST:
        return [Fault.TOO_LARGE]
    if sheet.broken:
        return [Fault.BROKEN]
    if not sheet.pages:
        return [Fault.ENCRYPTED if sheet.encrypted else Fault.NO_PAGES]
    return [Fault.FONTS] if sheet.fonts else []


def faults_for_print(sheet: Sheet, max_pages: int = MOST_PAGES) -> list[Fault]:
    """Why this cannot be printed: all that keeps it from the mailbox, and what paper asks for."""
    faults = faults_for_web(sheet)
    if faults and faults != [Fault.FONTS]:
        return faults
    more = {
        Fault.ENCRYPTED: sheet.encrypted,
        Fault.TOO_MANY_PAGES: sheet.pages > max_pages,
        Fault.VERSION: not _OLDEST <= sheet.version <= _NEWEST,
        Fault.PAGE_SIZE: not all(map(_is_a4, sheet.sizes)),
        Fault.BARCODE_ZONE: bool(sheet.zone),
    }
    return faults + [fault for fault, so in more.items() if so]


def advice(sheet: Sheet) -> list[Fault]:
    """What Digipost asks for and does not demand so far."""
    return [Fault.ACTIVE] if sheet.active else []


def _is_a4(size: tuple[float, float]) -> bool:
    short, long = sorted(size)
    return _fits(short, _WIDTH) and _fits(long, _HEIGHT)


def _fits(side: float, wanted: float) -> bool:
    return wanted - _TOO_SMALL - _ROUNDING <= side <= wanted + _ROUNDING


def _inspected(pdf: bytes) -> Sheet:
    reader = PdfReader(BytesIO(pdf))
    if reader.is_encrypted and not reader.decrypt(""):
        return Sheet(len(pdf), encrypted=True)
    root = reader.root_object
    if not _dict(root.get("/Pages")).get("/Kids"):
        return Sheet(len(pdf))
    with _pdfium:
        document = pypdfium2.PdfDocument(pdf)
        try:
            count, version = len(document), divmod(document.get_version() or 0, 10)
        finally:
            document.close()
    pages = [reader.pages[number] for number in range(min(count, _MOST_INSPECTED))]
    areas = [_Area.of(page) for page in pages]
    seen = _Seen()
    return Sheet(
        len(pdf),
        pages=count,
        version=max(version, _version(reader.pdf_header)),
        encrypted=reader.is_encrypted,
        tagged=bool(_dict(_dict(root).get("/MarkInfo")).get("/Marked")),
        sizes=tuple((round(area.width, 2), round(area.height, 2)) for area in areas),
        fonts=frozenset(name for page in pages for name in _not_embedded(page, seen)),
        zone=_with_text(pdf, [area.zone for area in areas]),
        active=frozenset(_active(root, pages)),
    )


_Box = tuple[float, float, float, float]  # left, bottom, right, top, in points of the page's own


@dataclass(frozen=True, slots=True)
class _Area:
    """A page as it is shown: its size in millimetres, and where its barcode zone is."""

    width: float
    height: float
    zone: _Box

    @classmethod
    def of(cls, page: PageObject) -> "_Area":
        box, turned = page.mediabox, (page.rotation or 0) % 360
        unit = _POINT * float(page.user_unit or 1)
        across, up = float(box.width) * unit, float(box.height) * unit
        width, height = (up, across) if turned in (90, 270) else (across, up)
        if height >= width:
            left, right = 0.0, ZONE_WIDTH
            bottom, top = height - ZONE_BOTTOM, height - ZONE_TOP
        else:
            # turned counter-clockwise: the sheet's left edge is at the bottom, its top at the left
            left, right, bottom, top = ZONE_TOP, ZONE_BOTTOM, 0.0, ZONE_WIDTH
        match turned:
            case 90:
                left, bottom, right, top = across - top, left, across - bottom, right
            case 180:
                left, bottom, right, top = across - right, up - top, across - left, up - bottom
            case 270:
                left, bottom, right, top = bottom, up - right, top, up - left
        x, y = float(box.left), float(box.bottom)
        zone = (x + left / unit, y + bottom / unit, x + right / unit, y + top / unit)
        return cls(width, height, zone)


def _with_text(pdf: bytes, zones: list[_Box]) -> frozenset[int]:
    """The numbers of the pages that have text in their zone."""
    found = set()
    with _pdfium:
        document = pypdfium2.PdfDocument(pdf)
        try:
            for number, zone in enumerate(zones):
                page = document[number]
                text = page.get_textpage()
                if text.get_text_bounded(*zone).strip():
                    found.add(number + 1)
                text.close()
                page.close()
        finally:
            document.close()
    return frozenset(found)


def _version(header: str) -> tuple[int, int]:
    """The version in the file's first line. PDFium puts the catalogue's above it, newer or not."""
    found = re.match(r"%PDF-(\d)\.(\d)", header)
    return (int(found[1]), int(found[2])) if found else (0, 0)


class _Seen:
    """Objects that were looked into, so that none is twice, and not too many are."""

    def __init__(self) -> None:
        self._ids: set[int] = set()
        self._left = _MOST_OBJECTS
        self._drawn = 0

    def first_time(self, value: Any) -> bool:
        self._left -= 1
        if self._left < 0:
            raise ValueError("too many objects")
        if not isinstance(value, IndirectObject):
            return True
        known = value.idnum in self._ids
        self._ids.add(value.idnum)
        return not known

    def drawn(self, stream: Any) -> None:
        """Count what this draws. Raises ValueError when it is more than anybody would read."""
        if isinstance(stream, StreamObject):
            self._drawn += len(stream.get_data())
        if self._drawn > _MOST_DRAWN:
            raise ValueError("too much to draw")


def _not_embedded(page: PageObject, seen: _Seen) -> Iterator[str]:
    """Names of fonts that the page, or what is drawn on it, uses without having them."""
    content = page.get("/Contents")
    for part in content if isinstance(content, ArrayObject) else [content]:
        if seen.first_time(part) and part is not None:
            seen.drawn(part.get_object())
    waiting: list[tuple[Any, int]] = [(page.get("/Resources"), 0)]
    while waiting:
        resources, deep = waiting.pop()
        if not seen.first_time(resources):
            continue
        for _, font in _raw_items(_dict(resources).get("/Font")):
            if seen.first_time(font) and (name := _lacking(_dict(font))):
                yield name
        for kind in ("/XObject", "/Pattern"):
            for _, drawn in _raw_items(_dict(resources).get(kind)):
                if deep < _DEEPEST and seen.first_time(drawn):
                    inner = _dict(drawn)
                    if inner.get("/Subtype") == "/Form":
                        seen.drawn(inner)
                    if "/Resources" in inner:
                        waiting.append((inner.raw_get("/Resources"), deep + 1))


def _lacking(font: DictionaryObject) -> str:
    """The font's name when it is not embedded and not everywhere; "" otherwise."""
    kind = font.get("/Subtype")
    if kind == "/Type3":  # drawn in the file itself
        return ""
    if kind == "/Type0":
        children = font.get("/DescendantFonts")
        font = _dict(children[0]) if isinstance(children, ArrayObject) and children else font
    if any(name in _dict(font.get("/FontDescriptor")) for name in _FONT_FILES):
        return ""
    name = str(font.get("/BaseFont", "")).lstrip("/")
    plain = name.rpartition("+")[2].replace("-", "").replace(" ", "").lower()
    return "" if plain.startswith(_EVERYWHERE) else name or "?"


def _active(root: DictionaryObject, pages: list[PageObject]) -> Iterator[str]:
    """Scripts, sound, film and files that the document has, and what it does when opened."""
    names = _dict(root.get("/Names"))
    yield from (kind for kind in ("/JavaScript", "/EmbeddedFiles") if _dict(names.get(kind)))
    if "/XFA" in _dict(root.get("/AcroForm")):
        yield "/XFA"
    yield from _acts(root)
    seen = _Seen()
    for page in pages:
        yield from _acts(page)
        notes = page.get("/Annots")
        for note in map(_dict, notes if isinstance(notes, ArrayObject) else ()):
            seen.first_time(note)
            if note.get("/Subtype") in _MEDIA:
                yield str(note["/Subtype"])
            yield from _acts(note)


def _acts(owner: DictionaryObject) -> Iterator[str]:
    actions = [owner.get("/OpenAction"), owner.get("/A"), *_dict(owner.get("/AA")).values()]
    for action in map(_dict, actions):
        if (kind := action.get("/S")) in _ACTIONS:
            yield str(kind)


def _dict(value: Any) -> DictionaryObject:
    """The dictionary that it is or points to; an empty one for anything else."""
    if isinstance(value, PdfObject):
        value = value.get_object()
    return value if isinstance(value, DictionaryObject) else DictionaryObject()


def _raw_items(value: Any) -> Iterator[tuple[Any, Any]]:
    found = _dict(value)
    return ((key, found.raw_get(key)) for key in found)
