"""HTML as what a letter is made of: whatever comes in, the typesetter can set what comes out."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.letter_tree import MISSING, Shown, letter_tree, not_shown, shown_text


def tree(html: str, subject: str = "Emne") -> dict[str, Any]:
    pictures = {"a": Shown("0.png", 4000, 100)}
    return letter_tree(subject, html, pictures.get)


def body(html: str) -> list[dict[str, Any]]:
    return tree(html)["body"]  # type: ignore[no-any-return]


def p(*content: Any, **more: Any) -> dict[str, Any]:
    return {"t": "p", "c": list(content), **more}


@pytest.mark.parametrize(
    ("html", "blocks"),
    [
        ("", []),
        ("  a \n b ", [p("a b")]),
        ("<p>a</p>\n<p>&nbsp;</p><div>b<p>c</p>d</div>", [p("a"), p("b"), p("c"), p("d")]),
        ("a<br><br>b<br>", [p("a", {"br": 1}, {"br": 1}, "b")]),
        ("<b>a <i>b</i></b>", [p({"s": "a ", "m": "b"}, {"s": "b", "m": "bi"})]),
        ('<p style="font-weight:bold">a</p>', [p({"s": "a", "m": "b"})]),
        ("<s><u>a</u></s>", [p({"s": "a", "m": "s"})]),
        ('<p align="right">a</p>', [p("a", a="r")]),
        (f'<p align="center">{"a" * 29}</p>', [p("a" * 29, a="c")]),
        (f'<p align="center">{"a" * 31}</p>', [p("a" * 30 + "\u200ba", a="c")]),
        ('<p align="center">' + "<b>a</b><i>b</i>" * 16 + "</p>", [p(*[{}] * 32)]),
        ("<pre> a\n  b\n</pre>", [{"t": "pre", "s": " a\n  b"}]),
        ("<ul><li>a<ul><li>b</li></ul></li><li> </li></ul>", [
            {"t": "list", "i": [{"b": [p("a"), {"t": "list", "i": [{"b": [p("b")]}]}]}]}
        ]),
        ("<ul><ul><li>a</li></ul></ul>", [
            {"t": "list", "i": [{"b": [{"t": "list", "i": [{"b": [p("a")]}]}]}]}
        ]),
        ('<ol start="4" type="a"><li value="7">a</li></ol>', [
            {"t": "list", "i": [{"b": [p("a")], "v": 7}], "n": "a.", "s": 4}
        ]),
        ("<blockquote>a</blockquote>", [{"t": "quote", "b": [p("a")]}]),
        ("a<hr>b", [p("a"), {"t": "hr"}, p("b")]),
        ("<font><span>a</span></font>", [p("a")]),
    ],
)  # fmt: skip
def test_what_the_html_means(html: str, blocks: list[dict[str, Any]]) -> None:
    found = body(html)
    if blocks and blocks[0].get("c", [""])[0] == {}:  # what it says is another's matter
        assert [{**block, "c": [{}] * len(block["c"])} for block in found] == blocks
    else:
        assert found == blocks


@pytest.mark.parametrize(
    ("html", "says"),
    [
        ('<a href="https://www.fjordvik.no/a">her</a>', " (fjordvik.no/a)"),
        ('<a href="https://fjordvik.no/">fjordvik.no</a>', ""),
        ('<a href="mailto:post@fjordvik.no?subject=x">skriv</a>', " (post@fjordvik.no)"),
        ('<a href="mailto:post@fjordvik.no">post@fjordvik.no</a>', ""),
        ('<a href="tel:+4712345678">12 34 56 78</a>', ""),
        ('<a href="tel:+4712345678">ring</a>', " (+4712345678)"),
        ('<a href="https://fjordvik.no"><img src="cid:a" alt="Logo"></a>', ""),
        ('<a name="x">her</a>', ""),
    ],
)
def test_paper_tells_where_a_link_leads(html: str, says: str) -> None:
    (block,) = body(html)
    assert "".join(item for item in block["c"] if isinstance(item, str)) in (says, "her")


@pytest.mark.parametrize(
    ("levels", "made"),
    [([1, 2, 3], [2, 3, 4]), ([4, 6, 1], [2, 3, 2]), ([3, 3, 5], [2, 2, 3]), ([6], [2])],
)
def test_headings_follow_each_other_below_the_title(levels: list[int], made: list[int]) -> None:
    html = "".join(f"<h{level}>a{level}</h{level}>" for level in levels)
    assert [block["l"] for block in body(html)] == made


def test_a_message_that_begins_with_its_subject_says_it_once() -> None:
    made = tree("<h2>EMNE</h2><h2>Mer</h2>")
    assert made["said"] and [block["l"] for block in made["body"]] == [1, 2]
    assert not tree("<p>Emne</p>")["said"]


def cells(html: str) -> list[tuple[int, ...]]:
    (block,) = body(html)
    assert block["t"] == "table"
    return [(c["x"], c["y"], c.get("cs", 1), c.get("rs", 1)) for c in block["r"]]


@pytest.mark.parametrize(
    ("rows", "places"),
    [
        ("<tr><td>a<td>b<tr><td>c<td>d", [(0, 0, 1, 1), (1, 0, 1, 1), (0, 1, 1, 1), (1, 1, 1, 1)]),
        (
            "<tr><td rowspan=2>a<td>b<tr><td>c",
            [(0, 0, 1, 2), (1, 0, 1, 1), (1, 1, 1, 1)],
        ),
        ("<tr><td rowspan=99>a<td>b<tr><td>c", [(0, 0, 1, 2), (1, 0, 1, 1), (1, 1, 1, 1)]),
        (
            "<tr><td>a<td rowspan=2>b<tr><td colspan=2>c<td>d",
            [(0, 0, 1, 1), (1, 0, 1, 2), (0, 1, 1, 1), (2, 1, 1, 1)],
        ),
        (
            "<tr><td colspan=0>a<td>b<tr><td colspan=-2>c",
            [(0, 0, 1, 1), (1, 0, 1, 1), (0, 1, 1, 1)],
        ),
    ],
)
def test_no_cell_lies_over_another_or_outside(rows: str, places: list[tuple[int, ...]]) -> None:
    assert cells(f"<table>{rows}</table>") == places


@pytest.mark.parametrize(
    ("html", "head"),
    [
        ("<tr><th>a<th>b<tr><td>c<td>d", 1),
        ("<thead><tr><td>a<td>b<tbody><tr><td>c<td>d", 1),
        ("<tr><th>a<th>b<tr><th>c<td>d", 1),
        ("<tr><td>a<td>b<tr><td>c<td>d", 0),
        ("<tr><th>a<th>b<tr><th>c<th>d", 0),
        ("<tr><th rowspan=2>a<th>b<tr><td>c", 0),
    ],
)
def test_a_table_has_a_head_where_the_html_says_so(html: str, head: int) -> None:
    (block,) = body(f"<table>{html}</table>")
    assert block["hd"] == head


def test_what_is_a_table_for_the_looks_alone_is_none() -> None:
    assert body("<table><tr><td>a</td></tr><tr><td>b</td></tr></table>") == [p("a"), p("b")]
    (grid,) = body('<table role="presentation"><tr><td>a<td>b<tr><td>c<td>d</table>')
    assert grid["t"] == "grid"
    assert body("<table><tr><td><h2>a</h2><p>b</p></td></tr></table>")[0]["l"] == 2


def test_a_table_too_wide_for_paper_becomes_paragraphs() -> None:
    row = "<tr>" + "<td>a</td>" * 13 + "</tr>"
    assert body(f"<table>{row * 2}</table>") == [p("a")] * 26


def test_a_letterhead_is_told_from_a_message_that_is_all_in_one_cell() -> None:
    band = '<table role="presentation"><tr><td>{}</td></tr></table>'
    made = tree(band.format("Topp") + "<p>a</p>" + band.format("Bunn"))
    assert len(made["head"]) == len(made["foot"]) == 1
    assert made["body"] == [p("a")]
    assert tree(band.format("Alt")) == {
        "title": "Emne", "said": False, "head": [], "body": [p("Alt")], "foot": []
    }  # fmt: skip
    assert tree(band.format("Lang " * 200) + "<p>a</p>")["head"] == []


def test_pictures_are_as_wide_as_asked_and_never_wider_than_the_paper() -> None:
    def width(html: str) -> float:
        ((image,),) = (block["c"] for block in body(html))
        return float(image["w"])

    assert width('<img src="cid:a">') == 465
    assert width('<img src="cid:a" width="100">') == 75
    assert width('<img src="cid:a" height="10px">') == 300
    assert width('<img src="cid:a" width="0" height="x%">') == 465
    (table,) = body('<table border=1><tr><th>a<th>b<tr><td><img src="cid:a"><td>c</table>')
    assert table["r"][2]["b"][0]["c"][0]["w"] < 465 / 2


@pytest.mark.parametrize("part", ["<ul><li>", "<blockquote>", "<table><tr><td>a<td>"])
def test_what_is_nested_out_of_all_reason_keeps_its_text(part: str) -> None:
    assert "bunn" in repr(body(part * 40 + "bunn"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Åse Ønæs – «ja» áčđŋšŧž 12½ €", "Åse Ønæs – «ja» áčđŋšŧž 12½ €"),
        ("a\x00\x1bb", "ab"),
        ("Takk 🙏🏽!", "Takk !"),
        ("日本", MISSING * 2),
        ("①ﬁ𝐅", "①ﬁF"),
        ("\ud83d", ""),
    ],
)
def test_every_character_is_one_that_the_fonts_have(text: str, shown: str) -> None:
    assert shown_text(text) == shown


def test_letters_that_will_be_missing_can_be_told_beforehand() -> None:
    assert not_shown("Hei 日本 日🙂 Ærøy") == "日本"
