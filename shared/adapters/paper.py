"""Letters for the sender's own printer: everybody's in one PDF, each behind a page with an address.

The address is meant for a window envelope. In common Norwegian ones the window begins 15 mm from
the left, and so far from the top:

    E6/5  40 mm, the window is 95 mm wide and 30 mm high
    C6/5  39 mm, 100×35
    C5    44 mm, 105×35
    EC4   42 mm, 100×40

(officeconsult.no, «Plassering av mottakerfelt i vinduskonvolutter».) All of them show what stands
44 to 70 mm from the top. The address begins 46 mm from the top and 20 mm from the left, and has at
most six lines. A sheet slides in its envelope, so try one before printing many.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO

from pypdf import PdfReader, PdfWriter
from pypdf.errors import PyPdfError

from shared.adapters.typesetter import CoverPage, Typesetter, UnprintableError
from shared.domain.addressee import PostalAddress

#: In one file. Letters of their own are some 20 kB each, and all of it is in memory.
MOST_RECIPIENTS = 1_000
_LINE_LENGTH = 45

_A4 = (595.28, 841.89)
#: What belongs to a screen, or to a structure that is not taken along.
_NOT_ON_PAPER = ("/Annots", "/StructParents", "/Tabs", "/AA", "/B")


@dataclass(frozen=True, slots=True)
class Cover:
    """Whom a letter is for, as it is to be read through the window."""

    name: str
    address: PostalAddress
    country: str = ""  #: by name, for an address abroad; its code when it is not given

    @property
    def lines(self) -> tuple[str, ...]:
        address = self.address
        lines = [self.name, *address.lines]
        if address.in_norway:
            lines.append(f"{address.postal_code} {address.city}".strip())
        else:  # code and city are among the lines, as the country has them
            lines.append((self.country or address.country).upper())
        return tuple(line[:_LINE_LENGTH] for line in lines if line.strip())


def merged(letters: Iterable[tuple[Cover, bytes]], typesetter: Typesetter | None = None) -> bytes:
    """One PDF to be printed on both sides: for each recipient an address page, then the letter.

    Each of the two begins on a sheet of its own. A letter that goes to many is in the file once.
    Raises UnprintableError for a PDF that cannot be read, ValueError for too many recipients or
    none.
    """
    whole = list(letters)
    if not 0 < len(whole) <= MOST_RECIPIENTS:
        raise ValueError(f"{len(whole)} recipients in one file: 1 to {MOST_RECIPIENTS} can be")
    covers = (typesetter or Typesetter()).covers([CoverPage(cover.lines) for cover, _ in whole])
    try:
        return _merged(PdfReader(BytesIO(covers)), [pdf for _, pdf in whole])
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnprintableError(f"paper: {type(error).__name__}") from None


def _merged(covers: PdfReader, letters: list[bytes]) -> bytes:
    writer = PdfWriter()
    # a reader for each different letter: what the writer has copied of it, it refers to again
    readers: dict[bytes, PdfReader] = {}
    for cover, pdf in zip(covers.pages, letters, strict=True):
        key = sha256(pdf).digest()
        if key not in readers:
            readers[key] = PdfReader(BytesIO(pdf))
            if readers[key].is_encrypted:
                readers[key].decrypt("")
        pages = readers[key].pages
        writer.add_page(cover, _NOT_ON_PAPER)
        writer.add_blank_page(*_A4)
        for page in pages:
            writer.add_page(page, _NOT_ON_PAPER)
        if len(pages) % 2:
            writer.add_blank_page(*_A4)
    writer.metadata = None
    file = BytesIO()
    writer.write(file)
    return file.getvalue()
