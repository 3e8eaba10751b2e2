"""HTML from strangers: what a mail needs stays, nothing runs, and no input makes it fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.html import clean_html, one_line, plain_text, safe_file_name


@pytest.mark.parametrize(
    "html",
    [
        "<h1>Tittel</h1><p>Hei <strong>på</strong> <em>deg</em><br>Hilsen</p>",
        '<table border="1" width="100%"><tbody><tr><td colspan="2">a</td></tr></tbody></table>',
        '<ol start="3"><li>a</li></ol><ul><li>b</li></ul>',
        '<a href="https://fjordvik.no/?a=1&amp;b=2">nett</a> <a href="mailto:a@b.no">post</a>',
        '<a href="tel:+4712345678">ring</a>',
        '<img src="cid:logo@fjordvik" alt="Logo" width="120"><img src="https://fjordvik.no/b.png">',
        '<p style="color:red;margin-left:2em">rødt</p>',
        "<blockquote>sitat&nbsp;her</blockquote><pre>  kode\n    mer</pre>",
    ],
)
def test_what_a_helpdesk_mail_is_made_of_stays(html: str) -> None:
    assert clean_html(html) == html


@pytest.mark.parametrize(
    ("html", "left"),
    [
        ("<p>a<script>alert(1)</script>b</p>", "<p>ab</p>"),
        ("<style>p{}</style><title>t</title><p>a</p>", "<p>a</p>"),
        ('<p onclick="x()" id="a" class="b">a</p>', "<p>a</p>"),
        ('<a href="javascript:alert(1)">a</a>', "<a>a</a>"),
        ('<a href="jav&#x09;ascript:alert(1)">a</a>', "<a>a</a>"),
        ('<a href=" JaVaScRiPt:alert(1)">a</a>', "<a>a</a>"),
        ('<a href="data:text/html,x">a</a><a href="//ond.no">b</a>', "<a>a</a><a>b</a>"),
        ('<a href="/lokal">a</a>', "<a>a</a>"),
        ('<img src="data:image/png;base64,AA=="><img src="x" onerror="y">', "<img><img>"),
        ('<form action="https://ond.no">a<input name="b"><button>c</button></form>', "a"),
        ("<select><option>a</option></select><textarea>b</textarea>c", "c"),
        ("a<!-- b --><!--[if mso]>c<![endif]-->d", "ad"),
        ("<svg><script>a</script></svg><math>b</math><iframe src='//x'>c</iframe>d", "d"),
        ("<object data='x'>a</object><embed src='x'><meta http-equiv=refresh>b", "b"),
        ("<base href='https://ond.no'><link rel=stylesheet href='https://ond.no'>a", "a"),
        (
            '<p style="position:fixed;display:none;color:red;background:url(https://ond.no)">a</p>',
            '<p style="color:red">a</p>',
        ),
        ('<p style="width:expression(alert(1))">a</p>', "<p>a</p>"),
        ('<p style="width:\\65xpression(alert(1))">a</p>', "<p>a</p>"),
        ("<noscript><p title='</noscript><img src=x onerror=y>'>", ""),
        ("<p>a\x00b\x1bc</p>", "<p>abc</p>"),
        ("<p>\ud83d</p>", "<p>?</p>"),
    ],
)
def test_nothing_runs_hides_asks_or_fetches_by_itself(html: str, left: str) -> None:
    cleaned = clean_html(html)
    assert "onerror" not in cleaned
    assert cleaned.startswith(left)


@pytest.mark.parametrize(
    ("html", "mended"),
    [
        ("", ""),
        ("   \n", ""),
        ("<p", ""),
        ("a < b & c", "a &lt; b &amp; c"),
        ("<b>a<p>b", "<b>a<p>b</p></b>"),
        ("<ul><li>a<li>b", "<ul><li>a</li><li>b</li></ul>"),
        ("<html><head></head><body><p>a</body></html>", "<p>a</p>"),
        ("<?xml version='1.0' encoding='utf-8'?><p>a</p>", "<p>a</p>"),
    ],
)
def test_broken_html_is_mended(html: str, mended: str) -> None:
    assert clean_html(html) == mended


def test_plain_text_shows_links_lists_tables_and_at_most_one_blank_line() -> None:
    html = """
      <h1>Stenging av vann</h1><p>Hei&nbsp;alle i <span>Fjord</span><span>vik</span>,</p>
      <p>&nbsp;</p><p></p><div><br></div><div><br></div>
      <p>Les <a href="https://fjordvik.no/vann">mer</a> på
      <a href="https://fjordvik.no">https://fjordvik.no</a> eller skriv til
      <a href="mailto:post@fjordvik.no">post@fjordvik.no</a>.</p>
      <ul><li>Ta ut vann</li><li>Lukk kranen</li></ul>
      <blockquote>Gjelder:</blockquote>
      <table><tr><th>Gate</th><th>Tid</th></tr><tr><td>Storgata</td><td>8–12</td></tr></table>
      <p>Hilsen<br>Kari</p>"""
    assert plain_text(html) == "\n".join(
        [
            "Stenging av vann",
            "",
            "Hei alle i Fjordvik,",
            "",
            "Les [mer](https://fjordvik.no/vann) på https://fjordvik.no eller skriv til"
            " post@fjordvik.no.",
            "",
            "  * Ta ut vann",
            "  * Lukk kranen",
            "",
            "Gjelder:",
            "",
            "Gate      Tid",
            "Storgata  8–12",
            "",
            "Hilsen",
            "Kari",
        ]
    )


@pytest.mark.parametrize("html", ["", "  ", "<", "<br>", "<!-- x -->", "<!DOCTYPE html>", "<p>"])
def test_what_says_nothing_becomes_no_text_and_no_error(html: str) -> None:
    assert plain_text(html) in ("", html.strip() if html == "<" else "")
    assert plain_text(clean_html(html)) == plain_text(html)


@given(st.text() | st.text(alphabet="<>/abdivtr '\"=&;![]-"))
def test_no_input_makes_it_fail(html: str) -> None:
    cleaned = clean_html(html)
    assert "<script" not in cleaned
    plain_text(html)


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 200_000,
        "<b><i><u>" * 100_000,
        "<table>x" * 120_000,
        "<a<a" * 250_000,
        "<p>Hei på deg.</p>\n" * 50_000,
        "<p>" + "x" * 1_000_000,
        "[" * 1_000_000,
    ],
    ids=["deep", "unclosed", "tables", "half", "long", "endless", "brackets"],
)
def test_a_megabyte_takes_seconds_not_minutes(html: str) -> None:
    assert len(plain_text(clean_html(html))) <= len(html)


def test_text_below_the_deepest_tags_is_kept() -> None:
    html = "<div>" * 5_000 + "kjernen" + "</div>" * 5_000 + "<p>etterpå</p>"
    assert plain_text(html) == "kjernen\n\netterpå"
    assert "kjernen" in clean_html(html)
    assert clean_html(html).endswith("</div><p>etterpå</p>")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("Vedtak 12/2026 – Ærøy.pdf", "Vedtak 12-2026 – Ærøy.pdf"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\Windows\\a.txt", "C-Windows-a.txt"),
        ("a:b?*.pdf", "a-b.pdf"),
        ("faktura\u202efdp.exe", "fakturafdp.exe"),
        ("a\r\nb\0.txt", "a b.txt"),
        ("con.txt", "con_.txt"),
        ("/NUL", "NUL_"),
        (".htaccess", "htaccess"),
        ("rapport. ", "rapport"),
        ("", "vedlegg"),
        ("..", "vedlegg"),
        ("\u202e", "vedlegg"),
    ],
)
def test_a_file_name_can_be_saved_anywhere(name: str, safe: str) -> None:
    assert safe_file_name(name) == safe


@pytest.mark.parametrize("letter", ["a", "å", "🙂"])
def test_a_long_file_name_keeps_its_extension(letter: str) -> None:
    name = safe_file_name(letter * 500 + ".docx")
    assert name.startswith(letter)
    assert name.endswith(f"{letter}.docx")
    assert 140 < len(name.encode()) <= 150


@given(st.text() | st.text(alphabet="./\\ conaux:å\u202e"))
def test_a_safe_file_name_is_never_empty_and_is_already_safe(name: str) -> None:
    safe = safe_file_name(name)
    assert safe
    assert not set(safe) & set('/\\:*?"<>|\r\n\0')
    assert safe_file_name(safe) == safe


def test_one_line_is_one_line() -> None:
    assert one_line(" a\r\n\tb\u2028c\x07\u202e\ud83d ") == "a b c?"
