"""A letterhead stands around a message, leaves it as it is, and can be read by everybody."""

from __future__ import annotations

import pytest

from shared.domain.accessible import findings
from shared.domain.html import clean_html, plain_text
from shared.domain.letterhead import Language, Letterhead
from shared.domain.pictures import shown
from shared.flow.letterhead import with_letterhead

HTML = "<h1>Hei</h1>\n  <p>{{ recipient.name }} &amp; <b>de</b> andre</p>\n\n<pre>\n a\n</pre>"
FULL = Letterhead(
    header="Fjordvik kommune",
    footer="Rådhuset, Storgata 1\nwww.fjordvik.no",
    signature="Hilsen\nBjørg Ærøy",
    logo="logo@fjordvik.no",
    logo_alt="Kommunevåpenet",
)


@pytest.mark.parametrize("letterhead", [FULL, Letterhead()])
@pytest.mark.parametrize("may_reply", [True, False])
def test_the_message_comes_out_as_it_went_in(letterhead: Letterhead, may_reply: bool) -> None:
    assert HTML in with_letterhead(HTML, letterhead, may_reply=may_reply)


def test_as_plain_text_it_reads_from_top_to_bottom() -> None:
    html = with_letterhead("<p>Vannet stenges.</p>", FULL, may_reply=False)
    lines = [line.strip() for line in plain_text(html).splitlines() if line.strip()]
    assert lines == [
        "[Kommunevåpenet]  Fjordvik kommune",
        "Vannet stenges.",
        "Hilsen",
        "Bjørg Ærøy",
        "Denne e-posten kan ikke besvares.",
        "Rådhuset, Storgata 1",
        "www.fjordvik.no",
    ]


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("nb", "Denne e-posten kan ikke besvares."),
        ("nn", "Du kan ikkje svare på denne e-posten."),
        ("en", "You cannot reply to this e-mail."),
    ],
)
def test_whether_one_may_reply_is_said_in_the_language(language: Language, sentence: str) -> None:
    letterhead = Letterhead(language, header="Fjordvik")
    closed = with_letterhead(HTML, letterhead, may_reply=False)
    assert sentence in closed
    assert f'lang="{language}"' in closed
    assert sentence not in with_letterhead(HTML, letterhead, may_reply=True)


def test_its_texts_are_texts_and_what_is_an_address_is_a_link() -> None:
    evil = Letterhead(header="<script>", footer="A & B\nhttps://fjordvik.no", signature='"><b>')
    html = with_letterhead("<p>a</p>", evil, may_reply=True)
    assert "<script>" not in html
    assert "<b>" not in html
    assert "A &amp; B<br>" in html
    assert '<a href="https://fjordvik.no"' in html


def test_the_logo_is_shown_by_its_content_id_and_an_id_cannot_get_out() -> None:
    assert shown(with_letterhead("", FULL, may_reply=True)) == {"logo@fjordvik.no"}
    evil = Letterhead(header="a", logo='"><script>')
    assert "<script>" not in with_letterhead("", evil, may_reply=True)


def test_nothing_in_it_is_hard_to_read_and_nothing_is_lost_when_it_is_cleaned() -> None:
    html = with_letterhead(HTML, FULL, may_reply=False)
    assert findings(html, lang="nb") == []
    assert findings(clean_html(html), lang="nb") == []
    assert plain_text(clean_html(html)) == plain_text(html)


@pytest.mark.parametrize("color", ["#1d4f91", "black", "rgb(0, 90, 50)", "#767676"])
def test_a_colour_that_can_be_read_on_white_may_be_used(color: str) -> None:
    assert f"color:{color}" in with_letterhead(
        "", Letterhead(header="a", color=color), may_reply=True
    )


@pytest.mark.parametrize("color", ["#777", "yellow", "white", "#ffffff"])
def test_a_colour_too_pale_on_white_is_refused_by_name(color: str) -> None:
    with pytest.raises(ValueError, match=f"color: {color} is too pale.*must be 4.5"):
        Letterhead(color=color)


@pytest.mark.parametrize("color", ["", "blå", "inherit", "rgba(0,0,0,.5)", "red;position:fixed"])
def test_what_is_no_colour_is_refused(color: str) -> None:
    with pytest.raises(ValueError, match="is no colour"):
        Letterhead(color=color)


def test_a_language_without_texts_is_refused() -> None:
    with pytest.raises(ValueError, match="'se' is none of nb, nn, en"):
        Letterhead("se")  # type: ignore[arg-type]


def test_a_logo_that_says_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="logo_alt"):
        Letterhead(logo="logo@fjordvik.no")
