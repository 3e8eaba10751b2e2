"""Whether Digipost takes a PDF, and prints it: every rule, and files that are no PDFs at all."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfWriter
from pypdf.generic import (
    ArrayObject,
    DecodedStreamObject,
    DictionaryObject,
    FloatObject,
    NameObject,
    NumberObject,
    RectangleObject,
    TextStringObject,
)

from shared.domain.printable import (
    LARGEST,
    SENTENCES,
    Fault,
    Sheet,
    advice,
    faults_for_print,
    faults_for_web,
    inspect,
)

MM = 72 / 25.4
NORMAL = Sheet(1_000, pages=1, version=(1, 7), sizes=((210.0, 297.0),))


def dictionary(**values: Any) -> DictionaryObject:
    return DictionaryObject({NameObject(f"/{key}"): value for key, value in values.items()})


def writer(
    at: tuple[float, float] = (50, 50),
    size: tuple[float, float] = (210, 297),
    turned: int = 0,
    origin: tuple[float, float] = (0, 0),
    font: DictionaryObject | None = None,
    in_form: bool = False,
) -> PdfWriter:
    """A page with the letter M, millimetres from its own lower left corner."""
    pdf = PdfWriter()
    width, height = (side * MM for side in size)
    page = pdf.add_blank_page(width, height)
    page.mediabox = RectangleObject((*origin, origin[0] + width, origin[1] + height))
    font = font or dictionary(
        Type=NameObject("/Font"), Subtype=NameObject("/Type1"), BaseFont=NameObject("/Helvetica")
    )
    content = DecodedStreamObject()
    x, y = origin[0] + at[0] * MM, origin[1] + at[1] * MM
    content.set_data(f"BT /F 4 Tf {x} {y} Td (M) Tj ET".encode())
    resources = dictionary(Font=dictionary(F=pdf._add_object(font)))
    if in_form:
        content.update(
            dictionary(
                Type=NameObject("/XObject"),
                Subtype=NameObject("/Form"),
                BBox=page.mediabox,
                Resources=resources,
            )
        )
        resources = dictionary(XObject=dictionary(X=pdf._add_object(content)))
        content = DecodedStreamObject()
        content.set_data(b"/X Do")
    page[NameObject("/Resources")] = resources
    page[NameObject("/Contents")] = pdf._add_object(content)
    if turned:
        page[NameObject("/Rotate")] = NumberObject(turned)
    return pdf


def data(pdf: PdfWriter) -> bytes:
    file = BytesIO()
    pdf.write(file)
    return file.getvalue()


def faults(pdf: PdfWriter) -> list[Fault]:
    return faults_for_print(inspect(data(pdf)))


@pytest.mark.parametrize(
    ("size", "faulty"),
    [
        ((210, 297), False),
        ((297, 210), False),
        ((200, 287), False),
        ((210.4, 297.4), False),
        ((199.6, 297), False),
        ((199.3, 297), True),
        ((210, 286.4), True),
        ((210.6, 297), True),
        ((210, 297.6), True),
        ((215.9, 279.4), True),
        ((148, 210), True),
        ((210, 210), True),
        ((297, 420), True),
    ],
)
def test_a_page_is_a4_or_up_to_a_centimetre_less(size: tuple[float, float], faulty: bool) -> None:
    assert (Fault.PAGE_SIZE in faults(writer(size=size))) is faulty


# what is seen where was checked once against PDFium's rendering: 1,760 places, all turns
@pytest.mark.parametrize(
    ("turned", "size", "inside", "outside"),
    [
        (0, (210, 297), (10, 160), (17, 160)),
        (0, (210, 297), (10, 124), (10, 117)),
        (0, (210, 297), (10, 199), (10, 204)),
        (180, (210, 297), (200, 160), (10, 160)),
        (90, (297, 210), (160, 5), (160, 200)),
        (270, (297, 210), (160, 200), (160, 5)),
        (0, (297, 210), (100, 5), (90, 5)),
        (0, (297, 210), (170, 12), (170, 17)),
        (180, (297, 210), (200, 205), (200, 5)),
        (90, (210, 297), (205, 160), (5, 160)),
        (270, (210, 297), (5, 160), (205, 160)),
    ],
)
@pytest.mark.parametrize("origin", [(0, 0), (40, -70)])
def test_the_barcode_zone_is_where_the_sheet_has_its_left_edge(
    turned: int,
    size: tuple[float, float],
    inside: tuple[float, float],
    outside: tuple[float, float],
    origin: tuple[float, float],
) -> None:
    assert faults(writer(inside, size, turned, origin)) == [Fault.BARCODE_ZONE]
    assert faults(writer(outside, size, turned, origin)) == []


def test_text_in_the_zone_counts_on_every_page_and_within_forms() -> None:
    pdf = writer()
    pdf.append(BytesIO(data(writer((10, 160), in_form=True))))
    pdf.append(BytesIO(data(writer())))
    assert inspect(data(pdf)).zone == {2}


def font(name: str, subtype: str = "Type1", **more: Any) -> DictionaryObject:
    return dictionary(
        Type=NameObject("/Font"),
        Subtype=NameObject(f"/{subtype}"),
        BaseFont=NameObject(f"/{name}"),
        **more,
    )


def described(**more: Any) -> DictionaryObject:
    return dictionary(Type=NameObject("/FontDescriptor"), **more)


@pytest.mark.parametrize(
    ("one", "lacking"),
    [
        (font("Helvetica-BoldOblique"), set()),
        (font("TimesNewRomanPS-BoldMT"), set()),
        (font("ABCDEF+Courier"), set()),
        (font("Arial,Bold", "TrueType"), set()),
        (font("ZapfDingbats"), set()),
        (font("Calibri", "TrueType"), {"Calibri"}),
        (font("Calibri", "TrueType", FontDescriptor=described()), {"Calibri"}),
        (
            font("Calibri", "TrueType", FontDescriptor=described(FontFile2=DecodedStreamObject())),
            set(),
        ),
        (font("Any", "Type3"), set()),
        (font("Calibri", "Type0", DescendantFonts=ArrayObject([font("Calibri")])), {"Calibri"}),
        (
            font(
                "Calibri",
                "Type0",
                DescendantFonts=ArrayObject(
                    [font("C", FontDescriptor=described(FontFile3=DecodedStreamObject()))]
                ),
            ),
            set(),
        ),
    ],
)
@pytest.mark.parametrize("in_form", [False, True])
def test_fonts_are_in_the_file_or_among_those_that_everybody_has(
    one: DictionaryObject, lacking: set[str], in_form: bool
) -> None:
    pdf = writer(font=one, in_form=in_form)
    sheet = inspect(data(pdf))
    assert sheet.fonts == lacking
    assert faults_for_web(sheet) == ([Fault.FONTS] if lacking else [])


@pytest.mark.parametrize(
    ("header", "catalogue", "faulty"),
    [
        ("%PDF-1.0", None, False),
        ("%PDF-1.7", None, False),
        ("%PDF-1.4", "/1.7", False),
        ("%PDF-2.0", None, True),
        ("%PDF-1.7", "/2.0", True),
        ("%PDF-2.0", "/1.7", True),
        ("%PDF-1.7", "/tull", False),
    ],
)
def test_what_is_newer_than_1_7_is_not_printed(
    header: str, catalogue: str | None, faulty: bool
) -> None:
    pdf = writer()
    pdf.pdf_header = header
    if catalogue:
        pdf.root_object[NameObject("/Version")] = NameObject(catalogue)
    assert faults(pdf) == ([Fault.VERSION] if faulty else [])


@pytest.mark.parametrize(
    ("pages", "most", "faulty"), [(20, 20, False), (21, 20, True), (2, 1, True)]
)
def test_a_letter_has_no_more_pages_than_the_limit(pages: int, most: int, faulty: bool) -> None:
    sheet = replace(NORMAL, pages=pages)
    assert faults_for_print(sheet, most) == ([Fault.TOO_MANY_PAGES] if faulty else [])
    assert faults_for_web(sheet) == []


def test_one_that_opens_without_a_password_is_read_and_not_printed() -> None:
    pdf = writer((10, 160))
    pdf.encrypt("", "eier", algorithm="AES-256")
    sheet = inspect(data(pdf))
    assert sheet.pages == 1
    assert faults_for_web(sheet) == []
    assert faults_for_print(sheet) == [Fault.ENCRYPTED, Fault.BARCODE_ZONE]


def test_one_with_a_password_is_for_nobody() -> None:
    pdf = writer()
    pdf.encrypt("hemmelig", algorithm="AES-128")
    sheet = inspect(data(pdf))
    assert faults_for_web(sheet) == faults_for_print(sheet) == [Fault.ENCRYPTED]


def test_scripts_media_and_files_inside_are_advised_against() -> None:
    pdf = writer()
    script = dictionary(S=NameObject("/JavaScript"), JS=TextStringObject("app.alert('hei')"))
    named = dictionary(Names=ArrayObject([TextStringObject("a"), script]))
    pdf.root_object[NameObject("/Names")] = dictionary(JavaScript=named)
    pdf.add_attachment("a.txt", b"a")
    act = dictionary(S=NameObject("/Launch"), F=TextStringObject("a.exe"))
    note = dictionary(
        Type=NameObject("/Annot"),
        Subtype=NameObject("/Screen"),
        Rect=ArrayObject([FloatObject(0)] * 4),
        A=act,
    )
    pdf.pages[0][NameObject("/Annots")] = ArrayObject([pdf._add_object(note)])
    sheet = inspect(data(pdf))
    assert sheet.active == {"/JavaScript", "/EmbeddedFiles", "/Screen", "/Launch"}
    assert advice(sheet) == [Fault.ACTIVE]
    assert faults_for_print(sheet) == []
    assert advice(inspect(data(writer()))) == []


def test_one_without_pages_and_one_that_is_too_large_are_told_from_a_broken_one() -> None:
    assert faults_for_print(inspect(data(PdfWriter()))) == [Fault.NO_PAGES]
    assert faults_for_web(Sheet(LARGEST + 1)) == [Fault.TOO_LARGE]


@pytest.mark.parametrize(
    "pdf",
    [
        b"",
        b"%PDF-1.7",
        b"<html><body>Ikke en PDF</body></html>",
        b"PK\x03\x04",
        b"%PDF-1.7\n1 0 obj\n<</Type/Catalog/Pages 1 0 R>>\nendobj\ntrailer<</Root 1 0 R>>",
        b"%PDF-1.7\n" + b"[" * 100_000 + b"\ntrailer<</Root 1 0 R>>",
        b"%PDF-1.7\ntrailer<</Root 1 0 R/Prev 9>>\nstartxref\n9\n%%EOF",
    ],
)
def test_what_is_no_pdf_is_broken(pdf: bytes) -> None:
    assert faults_for_print(inspect(pdf)) in ([Fault.BROKEN], [Fault.NO_PAGES])


def test_a_few_bytes_that_unpack_to_a_book_are_not_drawn() -> None:
    pdf = writer()
    page = pdf.pages[0]
    content = DecodedStreamObject()
    content.set_data(b"(M) Tj " * 8_000_000)
    page[NameObject("/Contents")] = pdf._add_object(content.flate_encode(9))
    assert inspect(data(pdf)).broken


WHOLE = data(writer(in_form=True))


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(
        st.tuples(st.integers(0, len(WHOLE)), st.binary(max_size=4), st.integers(0, 9)), max_size=8
    )
)
def test_a_mangled_file_never_makes_it_fail(cuts: list[tuple[int, bytes, int]]) -> None:
    pdf = WHOLE
    for at, put, gone in cuts:
        pdf = pdf[:at] + put + pdf[at + gone :]
    sheet = inspect(pdf)
    assert isinstance(faults_for_print(sheet), list)
    assert cuts or faults_for_print(sheet) == []


def test_every_fault_is_told_in_words() -> None:
    assert set(SENTENCES) == set(Fault)
