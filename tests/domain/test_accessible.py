"""What is hard to read is found, and what is not is left in peace."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.accessible import BLACK, WHITE, Finding, Hard, contrast, findings
from shared.domain.html import clean_html
from shared.flow.wording import render

TABLE = "<table>{}<tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>"


@pytest.mark.parametrize(
    ("html", "key", "detail"),
    [
        ('<img src="cid:a@b">', Hard.PICTURE_WITHOUT_TEXT, ""),
        ('<img src="cid:a@b" alt=" ">', Hard.PICTURE_WITHOUT_TEXT, ""),
        ('<img src="https://b.no/bilder/kart.png" alt="Kart">', Hard.REMOTE_PICTURE, "Kart"),
        ("<h1>a</h1><h3>Hvor <b>da</b></h3>", Hard.SKIPPED_HEADING, "Hvor da"),
        ("<h2>a</h2><h3>b</h3><h2>c</h2><h4>d</h4>", Hard.SKIPPED_HEADING, "d"),
        ('<p style="color:#777">grå</p>', Hard.LOW_CONTRAST, "grå"),
        ('<font color="yellow">gul</font>', Hard.LOW_CONTRAST, "gul"),
        ('<p style="background-color:#555"><b>sort</b></p>', Hard.LOW_CONTRAST, "sort"),
        ('<td bgcolor="navy"><span>mørk</span></td>', Hard.LOW_CONTRAST, "mørk"),
        ('<p style="color:rgba(0,0,0,0.3)">svak</p>', Hard.LOW_CONTRAST, "svak"),
        (
            '<p style="background-color:#003;color:#fff">a <a href="https://b.no">vår side</a></p>',
            Hard.LOW_CONTRAST,
            "vår side",
        ),
        ('<a href="https://b.no">Her</a>', Hard.EMPTY_LINK, "Her"),
        ('<a href="https://b.no">klikk&nbsp;<b>her</b> »</a>', Hard.EMPTY_LINK, "klikk her »"),
        ('<a href="https://b.no">Les mer …</a>', Hard.EMPTY_LINK, "Les mer …"),
        ('<a href="https://b.no">Click here</a>', Hard.EMPTY_LINK, "Click here"),
        ('<a href="https://b.no/"></a>', Hard.EMPTY_LINK, "https://b.no/"),
        (f'<a href="https://b.no">https://b.no/{"x" * 99}</a>', Hard.LONG_LINK, None),
        (TABLE.format(""), Hard.TABLE_WITHOUT_HEADERS, "abcd"),
    ],
)
def test_what_is_hard_is_found_and_pointed_to(html: str, key: Hard, detail: str | None) -> None:
    [finding] = findings(html, lang="nb")
    assert finding.key is key
    if detail is not None:
        assert finding.detail == detail


@pytest.mark.parametrize(
    "html",
    [
        "",
        "Hei på deg",
        '<img src="cid:a@b" alt="Kommunevåpenet">',
        "<h2>a</h2><h3>b</h3><h4>c</h4><h2>d</h2>",
        "<h3>a</h3>",
        '<p style="color:#767676">grå</p>',
        '<p style="color:#fff;background-color:#1d4f91">hvit på blå</p>',
        '<div style="background-color:#000"><p style="color:white">hvit på sort</p></div>',
        '<p style="color:inherit;background-color:transparent">a</p>',
        '<p style="color:yellow"> </p>',
        '<p style="color:tull;background-color:#zzz">a</p>',
        '<a href="https://b.no/skjema">Søk om barnehageplass her</a>',
        '<a href="https://b.no">www.b.no</a>',
        "<a>her</a>",
        '<a href="https://b.no"><img src="cid:a" alt="Til forsiden"></a>',
        TABLE.format("<tr><th>e</th><th>f</th></tr>"),
        "<table role='presentation'>" + TABLE.format("").removeprefix("<table>"),
        "<table><tr><td>bare</td></tr><tr><td>rader</td></tr></table>",
        "<table><tr><td>bare</td><td>én rad</td></tr></table>",
    ],
)
def test_what_reads_well_is_left_in_peace(html: str) -> None:
    assert findings(html, lang="nb") == []


def test_the_words_that_say_nothing_are_those_of_the_language() -> None:
    link = '<a href="https://b.no">les meir</a>'
    assert findings(link, lang="nn")
    assert not findings(link, lang="en")
    assert findings('<a href="https://b.no">sjå her</a>', lang="nn-NO")


def test_a_table_for_layout_may_hold_one_with_headers() -> None:
    inner = TABLE.format("")
    outer = f"<table><tr><td>x<td>y</tr><tr><td>z<td>{inner}</tr></table>"
    [finding] = findings(outer, lang="nb")
    assert finding == Finding(Hard.TABLE_WITHOUT_HEADERS, "abcd")


def test_what_is_said_twice_is_told_once_and_in_a_fixed_order() -> None:
    html = '<a href="https://b.no">her</a><img src="cid:a"><a href="https://c.no">her</a>' * 2
    keys = [finding.key for finding in findings(html, lang="nb")]
    assert keys == [Hard.PICTURE_WITHOUT_TEXT, Hard.EMPTY_LINK]


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        (BLACK, WHITE, 21.0),
        (WHITE, WHITE, 1.0),
        # as WebAIM's and the W3C's own checkers have it
        ((0x76 / 255,) * 3, WHITE, 4.54),
        ((0x77 / 255,) * 3, WHITE, 4.48),
        ((1.0, 0.0, 0.0), WHITE, 4.0),
        ((0.0, 0.0, 1.0), WHITE, 8.59),
    ],
)
def test_contrast_is_what_wcag_says(
    one: tuple[float, float, float], other: tuple[float, float, float], ratio: float
) -> None:
    assert contrast(one, other) == pytest.approx(ratio, abs=0.005)
    assert contrast(other, one) == contrast(one, other)


@pytest.mark.parametrize("key", Hard)
def test_there_is_a_sentence_for_each_and_it_is_escaped(key: Hard) -> None:
    told = render("findings.html", found=[Finding(key, "<b>")])
    assert "<b>" not in told
    [sentence] = re.findall(r"<li>(.*)</li>", told, re.DOTALL)
    assert "«&lt;b&gt;»" in sentence
    assert sentence.count(". ") + sentence.count(".\n") + 1 >= 2
    assert "«»" not in render("findings.html", found=[Finding(key)])


def test_nothing_found_is_nothing_said() -> None:
    assert render("findings.html", found=[]).strip() == ""


@settings(max_examples=60)
@given(
    st.text(max_size=80)
    | st.lists(
        st.sampled_from(
            [
                *(
                    "<a href=x>",
                    "</a>",
                    "<img",
                    " src=//x",
                    ">",
                    "<h1>",
                    "<h6>",
                    "her",
                    "<table>",
                    "<tr>",
                ),
                *("<td>", "<p style='color:", "red", ";background-color:#", "fff", "'>", "rgba("),
                *("\ud83d", "<!--", "<?x"),
            ]
        ),
        max_size=25,
    ).map("".join)
)
def test_no_input_makes_it_fail(html: str) -> None:
    findings(html, lang="nb")
    findings(clean_html(html), lang="")


@pytest.mark.parametrize(
    "css", ["(" * 1_900, "rgb(" * 450, "0" * 100_000, "color:" * 300, "{" * 1_900]
)
def test_styles_beyond_reason_are_not_judged(css: str) -> None:
    html = f"<p style='color:{css}'>a</p><font color='{css}' bgcolor='{css}'>b</font>" * 20
    assert findings(html, lang="nb") == []
