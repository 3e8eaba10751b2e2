"""What a message says about the ticket it was written on: nothing, when it leaves."""

import pytest

from shared.domain.html import clean_html
from shared.domain.message import clean_subject, greets, without_traces

TAG = "[Sak ID# {{RequestNumber}}]"
NAME = "Masseutsendelse med-svar"


@pytest.mark.parametrize(
    ("html", "left"),
    [
        (f"<p>Hei {NAME},</p><p>Velkommen</p>", "<p></p><p>Velkommen</p>"),
        ("<p>Hei Masseutsendelse,</p><p>Velkommen</p>", "<p></p><p>Velkommen</p>"),
        (f"<div>\n  Hei {NAME}!\n</div>", "<div></div>"),
        (f"<p>Kjære {NAME.upper()}</p>", "<p></p>"),
        (f"<p>God dag {NAME}.</p>", "<p></p>"),
        (f"<p>Dear {NAME}:</p>", "<p></p>"),
        (f"<td>Hi  {NAME} ,<br>Velkommen</td>", "<td><br>Velkommen</td>"),
        (f"<p>Velkommen</p><p>Hallo {NAME}</p>", "<p>Velkommen</p><p></p>"),
        ("Hei Masseutsendelse,<br>Velkommen", "<br>Velkommen"),
        ("<p>Hei&nbsp;Masseutsendelse,</p>", "<p></p>"),
        ("<p>Hei, Masseutsendelse!</p>", "<p></p>"),
        ("<p>Hei Masseutsendelse\nmed-svar&nbsp;</p>", "<p></p>"),
        (f"<p>Hei {NAME}, vi skriver til deg.</p>", "<p>vi skriver til deg.</p>"),
    ],
)
def test_a_greeting_to_the_made_up_user_goes_with_the_name(html: str, left: str) -> None:
    assert without_traces(html, TAG, NAME) == left


@pytest.mark.parametrize(
    "html",
    [
        "<p>Hei alle sammen</p>",
        "<p>Hei alle sammen!</p><p>Masseutsendelser er nyttige.</p>",
        "<p>Hei!</p><p>Hei, hei</p>",
        "<p>Kjære innbyggere,</p>",
        "<p>Heisann Masseutsendelsen</p>",
        "<p>Oi Masseutsendelse,</p>",
        "<p>[Sak 20417] og [Sak ID# ] er noe annet</p>",
        "<p>Hei &lt;b&gt;Masseutsendelse&lt;/b&gt; i en kodesnutt</p>",
    ],
)
def test_other_text_stays_as_it_was(html: str) -> None:
    assert without_traces(html, TAG, NAME) == html


def test_a_made_up_user_with_an_ordinary_word_for_a_name_takes_no_sentence_along() -> None:
    html = "<p>Hei alle sammen!</p><p>Hei alle som bor her.</p><p>Til alle,</p>"
    assert without_traces(html, TAG, "Alle mottakere") == html


@pytest.mark.parametrize("name", ["Fisk & Vilt <AS>", "Ola O'Hara", 'Ole "Olla" Li', "C++ (alle)"])
def test_a_name_with_marks_is_found_as_a_mail_writes_it(name: str) -> None:
    marked = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    html = clean_html(f"<p>Hei {marked},</p><p>Velkommen</p>")
    assert without_traces(html, TAG, name) == "<p></p><p>Velkommen</p>"


@pytest.mark.parametrize(
    ("text", "is_greeted"),
    [
        ("Hei Masseutsendelse, her er svaret.", True),
        ("Og så: kjære Masseutsendelse!", True),
        ("Hei alle. Masseutsendelse er nyttig.", False),
        ("Hei masseutsendelse som ord", False),
        ("Heisann", False),
    ],
)
def test_a_first_name_behind_a_greeting_gives_the_made_up_user_away(text, is_greeted) -> None:
    assert greets(text, NAME) is is_greeted


@pytest.mark.parametrize("name", ["Ola O'Hara", 'Ole "Olla" Li'])
def test_a_name_is_found_however_its_marks_are_written(name: str) -> None:
    written = name.replace("'", "&#x27;").replace('"', "&quot;")
    assert without_traces(f"<p>Hei {written},</p>", TAG, name) == "<p></p>"


def test_a_hundred_thousand_spaces_hold_nobody_up() -> None:
    for text in ("", "Hei", "Hei Masseutsendelse", "[Sak ID#"):
        html = f"<p>{text}{' ' * 100_000}x</p>"
        assert without_traces(html, TAG, NAME) == html


@pytest.mark.parametrize("nobody", ["", " "])
def test_nobody_to_greet_leaves_every_greeting(nobody: str) -> None:
    html = "<p>Hei ,</p><p>Hei</p>"
    assert without_traces(html, TAG, nobody) == html


@pytest.mark.parametrize(
    ("html", "left"),
    [
        ("<p>La [Sak ID# 20417] stå i emnet</p>", "<p>La stå i emnet</p>"),
        ("<p>[SAK id#  20417 ]\n[Sak ID# 1]</p>", "<p>\n</p>"),
        ("<b>[Sak ID# 20417]</b>", "<b></b>"),
        ("<p>[Sak&nbsp;ID#20417]</p>", "<p></p>"),
        ("<p>[Sak\nID# 20417]</p>", "<p></p>"),
        ('<a href="/x/[Sak ID# 7]">her</a>', '<a href="/x/[Sak ID# 7]">her</a>'),
    ],
)
def test_the_tag_goes_wherever_it_stands(html: str, left: str) -> None:
    assert without_traces(html, TAG, "") == left


def test_another_helpdesks_tag_is_found_by_its_template() -> None:
    template = "(ref: {{RequestNumber}}*)"
    assert without_traces("<p>Sak (ref: 20417*)</p>", template, "") == "<p>Sak</p>"
    assert clean_subject("SV: (REF: 20417*)  Høring", template) == "SV: Høring"
