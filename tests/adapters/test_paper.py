"""The file for the sender's own printer: who gets what, on which sheet, and how large it is."""

from __future__ import annotations

import random
from dataclasses import replace
from io import BytesIO

import pypdfium2
import pytest
from pypdf import PdfReader, PdfWriter

from shared.adapters import paper
from shared.adapters.paper import MOST_RECIPIENTS, Cover, merged
from shared.adapters.typesetter import Typesetter, UnprintableError
from shared.domain.addressee import PostalAddress
from shared.domain.message import Message, Sender
from shared.domain.printable import Fault, faults_for_print, inspect

TYPESETTER = Typesetter()
KARI = Cover("Kari Ærøy", PostalAddress(("c/o Ås", "Storgata 1 B"), "0155", "Oslo"))
OLE = Cover("Ole Áŋŋel", PostalAddress(("Postboks 2",), "9730", "Kárášjohka"))
ELSA = Cover("Elsa Å", PostalAddress(("Gatan 1", "111 22 Stockholm"), country="SE"), "Sverige")


def letter(text: str, pages: int = 1) -> bytes:
    message = Message(text, f"<p>{text}</p>", "", Sender("post@fjordvik.no", "Fjordvik"))
    one = PdfReader(BytesIO(TYPESETTER.letter(message, {})))
    writer = PdfWriter()
    for _ in range(pages):
        writer.add_page(one.pages[0])
    file = BytesIO()
    writer.write(file)
    return file.getvalue()


def sheets(pdf: bytes) -> list[str]:
    """What stands on each page; nothing on an empty one."""
    return [page.extract_text().partition("\n")[0] for page in PdfReader(BytesIO(pdf)).pages]


def test_everybody_has_an_address_page_and_a_letter_each_on_a_new_sheet() -> None:
    pdf = merged([(KARI, letter("En")), (OLE, letter("To", 2)), (ELSA, letter("Tre", 3))])
    assert sheets(pdf) == [
        *("Kari Ærøy", "", "En", ""),
        *("Ole Áŋŋel", "", "To", "To"),
        *("Elsa Å", "", "Tre", "Tre", "Tre", ""),
    ]
    assert faults_for_print(inspect(pdf), max_pages=14) == []


@pytest.mark.parametrize(
    ("cover", "lines"),
    [
        (KARI, ("Kari Ærøy", "c/o Ås", "Storgata 1 B", "0155 Oslo")),
        (OLE, ("Ole Áŋŋel", "Postboks 2", "9730 Kárášjohka")),
        (ELSA, ("Elsa Å", "Gatan 1", "111 22 Stockholm", "SVERIGE")),
        (replace(ELSA, country=""), ("Elsa Å", "Gatan 1", "111 22 Stockholm", "SE")),
        (replace(OLE, name="Å" * 80), ("Å" * 45, "Postboks 2", "9730 Kárášjohka")),
    ],
)
def test_the_address_is_as_the_post_reads_it(cover: Cover, lines: tuple[str, ...]) -> None:
    assert cover.lines == lines


def test_the_longest_address_shows_in_the_window_of_every_common_envelope() -> None:
    wide = Cover("Å" * 80, PostalAddress(("M" * 80,) * 4, country="SE"), "Sverige")
    page = pypdfium2.PdfDocument(merged([(wide, letter("En"))]))[0]
    text = page.get_textpage()
    boxes = [text.get_charbox(number) for number in range(text.count_chars())]
    millimetre, height = 72 / 25.4, page.get_height()
    assert min(box[0] for box in boxes) >= 20 * millimetre
    assert min(height - box[3] for box in boxes) >= 45 * millimetre
    assert max(height - box[1] for box in boxes) <= 71 * millimetre
    assert "SVERIGE" in text.get_text_range()


def test_a_letter_to_five_hundred_is_in_the_file_once() -> None:
    writer = PdfWriter(clone_from=BytesIO(letter("Felles")))
    noise = random.Random(1).randbytes(200_000)
    writer.pages[0].get_contents().set_data(  # type: ignore[union-attr]
        writer.pages[0].get_contents().get_data() + b"\n%" + noise.hex().encode()  # type: ignore[union-attr]
    )
    file = BytesIO()
    writer.write(file)
    shared = file.getvalue()
    pdf = merged([(KARI, shared)] * 500)
    assert len(PdfReader(BytesIO(pdf)).pages) == 2_000
    assert len(pdf) < len(shared) + 500 * 1_200


def test_the_same_recipients_and_letters_are_the_same_file() -> None:
    letters = [(KARI, letter("En")), (OLE, letter("To"))]
    assert merged(letters) == merged(iter(letters), Typesetter())


@pytest.mark.parametrize("number", [0, MOST_RECIPIENTS + 1])
def test_a_file_for_nobody_or_for_too_many_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=f"{number} recipients"):
        merged([(KARI, b"")] * number)


@pytest.mark.parametrize("pdf", [b"", b"%PDF-1.7\n", b"ikke en PDF"])
def test_what_is_no_pdf_is_refused(pdf: bytes) -> None:
    with pytest.raises(UnprintableError, match="paper: "):
        merged([(KARI, pdf)])


def test_a_locked_letter_that_opens_without_a_password_is_printed() -> None:
    writer = PdfWriter(clone_from=BytesIO(letter("Låst")))
    writer.encrypt("", "eier", algorithm="AES-256")
    file = BytesIO()
    writer.write(file)
    assert Fault.ENCRYPTED in faults_for_print(inspect(file.getvalue()))
    assert sheets(paper.merged([(KARI, file.getvalue())])) == ["Kari Ærøy", "", "Låst", ""]
