"""A message on paper: read back with other libraries than the one that made it."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from shared.adapters.typesetter import LARGEST_HTML, CoverPage, Typesetter, UnprintableError
from shared.domain.html import clean_html
from shared.domain.letter_tree import _SHOWN, _SHOWN_TOO, MISSING, shown_text
from shared.domain.letterhead import Letterhead
from shared.domain.message import Message, Sender
from shared.domain.printable import advice, faults_for_print, faults_for_web, inspect
from shared.flow.letterhead import with_letterhead

NOW = datetime(2026, 9, 1, tzinfo=UTC)
TYPESETTER = Typesetter()


def png(width: int = 4, height: int = 3) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + b"\x10\x20\x90" * width for _ in range(height)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def message(html: str, subject: str = "Vannet stenges", lang: str = "nb") -> Message:
    return Message(
        subject, clean_html(html), "", Sender("post@fjordvik.no", "Fjordvik kommune"), lang=lang
    )


def letter(html: str, pictures: dict[str, bytes] | None = None, **more: str) -> bytes:
    return TYPESETTER.letter(message(html, **more), pictures or {})


def text(pdf: bytes) -> str:
    lines = (page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)
    return " ".join(" ".join(lines).replace("\u200b", "").split())


def structure(pdf: bytes) -> list[tuple[str, str]]:
    """The roles in its structure tree in reading order, each with its alt text."""

    def walk(node: Any) -> list[tuple[str, str]]:
        node = node.get_object()
        if isinstance(node, list):
            return [one for child in node for one in walk(child)]
        if not isinstance(node, dict):
            return []
        own = [(node["/S"], str(node.get("/Alt", "")))] if "/S" in node else []
        return own + (walk(node["/K"]) if "/K" in node else [])

    return walk(PdfReader(BytesIO(pdf)).root_object["/StructTreeRoot"])


def standards(pdf: bytes) -> tuple[bool, bool]:
    """Whether it says that it is PDF/A-2a, and PDF/UA-1."""
    metadata = PdfReader(BytesIO(pdf)).xmp_metadata
    assert metadata is not None
    xmp = metadata.stream.get_data().decode()
    archived = (metadata.pdfaid_part, metadata.pdfaid_conformance) == ("2", "A")
    return archived, "<pdfuaid:part>1<" in xmp


WHOLE = """
<p>Hei Áŋŋel Østbø,</p><p>Vannet <b>stenges</b> <i>onsdag</i> – «fra» 08.00 til 16.00.</p>
<h4>Priser</h4><ol start="3"><li>først<ul><li>så</li></ul></li><li value="9">sist</li></ol>
<table><tr><th>År</th><th colspan="2">Gebyr</th></tr>
<tr><td>2026</td><td>A</td><td>100</td></tr><tr><td>2027</td><td>B</td><td>200</td></tr></table>
<blockquote>Vedtatt i rådet</blockquote><pre>  kode  her</pre><hr>
<p><img src="cid:kart" alt="Kart over Ærøya"><img src="cid:pynt" alt=""></p>
<p>Les <a href="https://fjordvik.no/vann">mer</a>.</p>
"""


def test_a_letter_says_what_the_message_says() -> None:
    said = text(letter(WHOLE, {"kart": png(), "pynt": png()}))
    assert said == (
        "Vannet stenges Hei Áŋŋel Østbø, Vannet stenges onsdag – «fra» 08.00 til 16.00. Priser"
        " 3. først • så 9. sist År Gebyr 2026 A 100 2027 B 200 Vedtatt i rådet kode her"
        " Les mer (fjordvik.no/vann)."
    )


def test_it_tells_a_screen_reader_what_everything_is() -> None:
    roles = structure(letter(WHOLE, {"kart": png(), "pynt": png()}))
    names = [name for name, _ in roles]
    assert [name for name in names if name[:2] == "/H" and name[2:].isdigit()] == ["/H1", "/H2"]
    assert names.count("/L") == 2 and names.count("/LI") == 3
    assert names.count("/TH") == 2 and names.count("/TD") == 6
    assert "/BlockQuote" in names and "/Link" in names
    assert [alt for name, alt in roles if name == "/Figure"] == ["Kart over Ærøya"]


@pytest.mark.parametrize("lang", ["nb", "nn", "en"])
def test_its_title_language_and_author_are_the_messages(lang: str) -> None:
    reader = PdfReader(BytesIO(letter("<p>Hei</p>", lang=lang)))
    assert reader.root_object["/Lang"] == lang
    assert reader.metadata is not None
    assert reader.metadata.title == "Vannet stenges"
    assert reader.metadata.author == "Fjordvik kommune"
    assert reader.root_object["/ViewerPreferences"]["/DisplayDocTitle"]


def test_it_is_fit_for_print_and_claims_to_be_for_keeping_and_for_everybody() -> None:
    pdf = letter(WHOLE * 6, {"kart": png(), "pynt": png()})
    sheet = inspect(pdf)
    assert faults_for_print(sheet) == faults_for_web(sheet) == advice(sheet) == []
    assert sheet.pages > 1 and sheet.tagged and sheet.version == (1, 7)
    assert standards(pdf) == (True, True)


def test_the_same_message_is_the_same_file() -> None:
    pictures = {"kart": png(), "pynt": png()}
    assert letter(WHOLE, pictures) == Typesetter().letter(message(WHOLE), dict(pictures))
    assert letter(WHOLE, pictures) != letter(WHOLE + "x", pictures)


def test_its_date_is_given_and_never_todays() -> None:
    for pdf, date in (
        (TYPESETTER.letter(message("a"), {}, NOW), NOW),
        (letter("a"), datetime(2000, 1, 1, tzinfo=UTC)),
    ):
        metadata = PdfReader(BytesIO(pdf)).metadata
        assert metadata is not None and metadata.creation_date == date


def test_a_letterhead_stands_above_the_title_and_its_address_below_the_text() -> None:
    head = Letterhead(
        header="Fjordvik kommune",
        footer="Rådhuset, Storgata 1\nwww.fjordvik.no",
        signature="Hilsen\nBjørg",
        logo="logo",
        logo_alt="Kommunevåpenet",
    )
    html = with_letterhead("<p>Vannet går.</p>", head, may_reply=True)
    pdf = TYPESETTER.letter(replace(message(""), html=html), {"logo": png(40, 48)})
    assert text(pdf) == (
        "Fjordvik kommune Vannet stenges Vannet går. Hilsen Bjørg"
        " Rådhuset, Storgata 1 www.fjordvik.no"
    )
    roles = structure(pdf)
    assert ("/Figure", "Kommunevåpenet") in roles
    assert "/Table" not in [name for name, _ in roles]


@pytest.mark.parametrize(
    ("source", "data"),
    [
        ("cid:a", b"RIFF\x00\x00\x00\x00WEBPVP8 "),
        ("cid:a", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("cid:a", png()[:60]),
        ("cid:a", png()[:16] + struct.pack(">II", 60_000, 60_000) + png()[24:]),
        ("cid:a", b"\xff\xd8\xff\xe0\x00\x02\xff\xc0\x00\x11\x08\x00\x10\x00\x10\x03"),
        ("cid:a", b"\xff\xd8\xff"),
        ("cid:a", b"GIF89a\x01\x00\x01\x00"),
        ("cid:a", b""),
        ("cid:b", png()),
        ("https://fjordvik.no/kart.png", png()),
    ],
)
def test_a_picture_that_cannot_be_set_leaves_its_alt_text_and_the_others(
    source: str, data: bytes
) -> None:
    html = f'<p><img src="{source}" alt="Kart"> <img src="cid:god" alt="God"></p>'
    pdf = letter(html, {"a": data, "god": png()})
    assert text(pdf) == "Vannet stenges [Kart]"
    assert [alt for name, alt in structure(pdf) if name == "/Figure"] == ["God"]


def test_one_that_nobody_has_described_is_called_a_picture() -> None:
    pdf = letter('<p><img src="cid:a"></p>', {"a": png()}, lang="nn")
    assert ("/Figure", "Bilete") in structure(pdf)


def test_what_looks_like_typst_is_text() -> None:
    said = '#panic("x") $a_b$ *ikke* _slik_ = <a> @b \\ // c `d` #include "/etc/passwd"'
    html = said.replace("<", "&lt;").replace(">", "&gt;")
    assert text(letter(f"<p>{html}</p>", subject="#[x] *y*")) == f"#[x] *y* {said}"


def test_letters_that_no_font_has_show_as_a_box_and_emoji_go() -> None:
    pdf = letter("<p>Hei 🙂 日本 čđŋšŧž ÁÂ Жук Ωμέγα ☑ 𝐅𝐞𝐭</p>", subject="🎉")
    assert text(pdf) == f"Brev Hei {MISSING}{MISSING} čđŋšŧž ÁÂ Жук Ωμέγα ☑ Fet"
    assert faults_for_print(inspect(pdf)) == []


def test_an_empty_message_is_a_page_with_its_subject() -> None:
    assert text(letter("")) == "Vannet stenges"


@pytest.mark.parametrize("html", ["a" * (LARGEST_HTML + 1), "<br>" * 20_001])
def test_what_is_out_of_all_proportion_is_refused(html: str) -> None:
    with pytest.raises(UnprintableError, match="letter: "):
        TYPESETTER.letter(replace(message(""), html=html), {})


def test_no_error_quotes_the_letter() -> None:
    with pytest.raises(UnprintableError) as caught:
        TYPESETTER._compile(b'#panic(sys.inputs.a + " 01017012345")', {"a": "x"}, None, NOW, [])
    assert "01017012345" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_covers_are_a_page_each() -> None:
    pdf = TYPESETTER.covers([CoverPage(("Kari Ærøy", "0155 Oslo")), CoverPage(("Áŋŋel",))])
    pages = [page.extract_text() for page in PdfReader(BytesIO(pdf)).pages]
    assert pages == ["Kari Ærøy\n0155 Oslo", "Áŋŋel"]


_TEXT = st.text(
    st.sampled_from("abcæøåÅŋđ \n\t\xa0\u200b\u00ad\u0301\u202e–«»€🙂日ع#$<&*_\\\"'"), max_size=30
) | st.sampled_from(["internasjonaliseringsarbeidet" * 4, "ord\xa0" * 30, "x" * 200])
_TAGS = (
    "p div b i u a li ul ol table tr td th thead tbody blockquote pre code h1 h3 h6 br hr img sup"
    " caption span center font dl dt dd s"
)
_TAG = st.sampled_from(_TAGS.split(" "))
_ATTRIBUTE = st.sampled_from(
    [
        "",
        ' align="right"',
        ' style="text-align:center;font-weight:bold"',
        ' colspan="3"',
        ' rowspan="2"',
        ' role="presentation"',
        ' href="https://fjordvik.no/a"',
        ' href="https://"',
        ' src="cid:a" width="900"',
        ' src="cid:a" alt="" height="0"',
        ' src="cid:b" alt="Å"',
        ' start="7" type="i"',
        ' value="99999"',
    ]
)


def _element(inside: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    # not closed now and then
    return st.tuples(_TAG, _ATTRIBUTE, st.lists(inside, max_size=4), st.booleans()).map(
        lambda one: f"<{one[0]}{one[1]}>{''.join(one[2])}{f'</{one[0]}>' if one[3] else ''}"
    )


@settings(max_examples=30, deadline=None)
@given(html=st.recursive(_TEXT, _element, max_leaves=25), subject=_TEXT)
def test_whatever_the_html_there_is_a_letter_that_can_be_printed(html: str, subject: str) -> None:
    pdf = letter(html, {"a": png(30, 20)}, subject=subject)
    sheet = inspect(pdf)
    assert faults_for_print(sheet) == [] and advice(sheet) == []
    assert standards(pdf) == (True, True)


def test_every_character_that_a_letter_lets_through_is_in_the_fonts() -> None:
    codes = (code for first, last in _SHOWN for code in range(first, last + 1))
    shown = [char for char in (*map(chr, codes), *_SHOWN_TOO, MISSING) if shown_text(char) == char]
    assert len(shown) > 4_000
    source = b'#set document(title: "x")\n#for char in json(bytes(sys.inputs.all)) [#char \\ ]'
    # PDF/UA forbids a character that no font has
    assert TYPESETTER._compile(source, {"all": shown}, None, NOW, ["ua-1"])
