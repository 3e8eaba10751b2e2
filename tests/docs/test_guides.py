"""The Norwegian guides use the names, words and settings that the code has."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from pydantic import TypeAdapter

from shared.domain.delivery import NEVER, Status
from shared.domain.letter import known_placeholders
from shared.domain.orders import orders_in
from shared.domain.placeholders import Template
from shared.flow.trial import MARK
from shared.flow.wording import STATUS, left_out_words, reasons
from shared.settings import Settings
from tests.docs.test_docs import DOCUMENTS, ROOT, codes, rows, section, text_of
from tests.examples import settings

USER_GUIDE, SETUP_GUIDE = "docs/brukerveiledning.md", "docs/oppsett.md"
DRAWINGS = sorted(ROOT.glob("docs/bilder/*"))
#: A report is written when nothing is open, and nothing cancels a single delivery.
NOT_IN_A_REPORT = {Status.PLANNED, Status.CLAIMED, Status.SUBMITTED}


def default(setting: str) -> str:
    return str(Settings.model_fields[setting].default)


def both_guides() -> str:
    return text_of(USER_GUIDE) + text_of(SETUP_GUIDE)


def first_cells(text: str) -> list[str]:
    """The first cell of each row of the tables in the text, but for their headings."""
    tables = re.findall(r"^\|.+\|\n\|(?:---\|)+\n((?:\|.+\|\n?)+)", text, re.MULTILINE)
    return re.findall(r"^\| (.+?) \|", "".join(tables), re.MULTILINE)


# --- names and settings ---


def test_the_guides_and_drawings_name_the_statuses_as_they_are() -> None:
    written = both_guides() + "".join(drawing.read_text("utf-8") for drawing in DRAWINGS)
    ours = {default(name) for name in Settings.model_fields if name.startswith("STATUS_")}
    named = set(re.findall(r"[«>](Utsending \W [^»<]+)[»<]", written))
    assert named == {name for name in ours if name.startswith("Utsending –")}


@pytest.mark.parametrize(
    "heading", ["1. De oppdiktede brukerne", "2. Mottakerlistene", "3. Statusene"]
)
def test_what_must_be_made_in_pureservice_has_the_name_that_is_looked_for(heading: str) -> None:
    named = rows(section(SETUP_GUIDE, heading))
    assert named
    for setting, cells in named.items():
        assert any(cell in (f"«{default(setting)}»", f"`{default(setting)}`") for cell in cells)


@pytest.mark.parametrize(
    "said",
    [
        f"`{default('EMAIL_CAMPAIGN_USER')}`",
        f"`{default('TICKET_CAMPAIGN_USER')}`",
        f"«{default('MESSAGE_TYPE_NAME')}»",
        f"«{default('LIST_ASSET_TYPE')}»",
        f"«{default('TICKET_STATUS')}»",
        f"{int(default('UNDO_SECONDS')) // 60} minutter etter startnotatet",
        f"på {default('QUIET_PERIOD_MINUTES')} minutter",
        f"{default('EMAIL_RATE')} i minuttet",
        f"{default('MAIL_MAX_MEGABYTES')} MB",
        f"vært over i {default('RETENTION_DAYS')} dager",
        f"sperret i {default('SUPPRESS_BOUNCED_DAYS')} dager",
        f"«{MARK}» foran emnet",
    ],
)
def test_case_workers_are_told_the_defaults(said: str) -> None:
    assert said in re.sub(r"\s+", " ", text_of(USER_GUIDE))


def test_every_setting_that_the_guides_name_exists_and_can_have_the_value() -> None:
    named = re.findall(r"`([A-Z]+_[A-Z_]+)(?:=(\w+))?`", both_guides())
    assert named
    for name, value in named:
        kind = Settings.model_fields[name].annotation
        assert kind
        if value:
            TypeAdapter(kind).validate_python(value)


def test_the_ten_settings_that_matter_are_ten_and_none_that_is_required_is_forgotten() -> None:
    told = section(SETUP_GUIDE, "De ti innstillingene som betyr mest")
    ten = [name for cell in first_cells(told) for name in codes(cell)]
    assert len(ten) == len(set(ten)) == 10
    assert set(ten) <= Settings.model_fields.keys()
    required = {name for name, field in Settings.model_fields.items() if field.is_required()}
    assert required - codes(told) == set()


@pytest.mark.parametrize(
    ("heading", "setting"),
    [
        ("Brevhodet", "LETTERHEADS"),
        ("Egne felt", "RECIPIENT_FIELDS"),
        ("9. Brev i Digipost", "DIGIPOST_ADDRESS_FIELDS"),
    ],
)
def test_what_the_set_up_guide_has_them_copy_is_taken(heading: str, setting: str) -> None:
    [copied] = re.findall(r"```json\n(.+?)```", section(SETUP_GUIDE, heading), re.DOTALL)
    assert getattr(settings(**{setting: copied}), setting)


# --- what case workers write ---

PLACEHOLDERS = "Flettefelt: navn og annet som er ulikt"


@pytest.mark.parametrize(
    ("channel", "not_there"), [("email", ""), ("ticket", "ikke med én sak per mottaker")]
)
def test_every_placeholder_is_explained_and_no_other_is(channel: str, not_there: str) -> None:
    told = rows(section(USER_GUIDE, PLACEHOLDERS))
    here = {name for name, cells in told.items() if not not_there or not_there not in cells[0]}
    assert here == known_placeholders(channel, own_fields={})


def test_every_placeholder_that_the_guides_show_can_be_written_so() -> None:
    text = section(USER_GUIDE, PLACEHOLDERS) + section(USER_GUIDE, "Når noe mangler")
    own = {"kundenummer": "user.cf_3"}
    known = known_placeholders("email", own)
    whole = [line for line in text.splitlines() if line.startswith("    ") and "{" in line]
    whole += [code for code in codes(text) if code.startswith("{{")]
    assert len(whole) > 3
    for shown in whole:
        assert Template.of(shown, html=False, known=known).names


def test_every_line_that_the_guide_has_them_write_in_a_note_is_understood() -> None:
    kinds = r"(?:start|mottakere|usikre|usikker|prøve)\b[^:\n`]*:[^\n`]+"
    lines = re.findall(rf"^ {{4}}({kinds})$|`({kinds})`", text_of(USER_GUIDE), re.MULTILINE)
    written = {one or other for one, other in lines}
    assert {line.partition(":")[0].split()[0] for line in written} >= {"start", "prøve", "usikker"}
    for line in written:
        assert orders_in([(f"<p>{line}</p>", NEVER)]).unclear == ""


# --- what stands in notes, reports and spreadsheets ---


def test_every_word_in_the_report_is_explained_and_no_other_is() -> None:
    channels = ("email", "ticket", "digipost")
    assert first_cells(section(USER_GUIDE, "Hvordan det gikk med hver mottaker")) == [
        STATUS[status] for status in Status if status not in NOT_IN_A_REPORT
    ]
    why_not_sent = {words for channel in channels for words in reasons(channel).values()} - {""}
    assert set(first_cells(section(USER_GUIDE, "Hvorfor noe ikke ble sendt"))) == why_not_sent
    why_left_out = {words for channel in channels for words in left_out_words(channel).values()}
    assert set(first_cells(section(USER_GUIDE, "Utelatt fra listene"))) == why_left_out


def test_every_note_that_stops_a_campaign_is_explained_by_its_own_words() -> None:
    """The row of a problem names it in a comment, and quotes what the note says."""
    branches = re.split(
        r'{% (?:el)?if name == "(\w+)" %}', text_of("shared/templates/problems.html")
    )
    notes = dict(zip(branches[1::2], branches[2::2], strict=True))
    explained = {}
    for cell in first_cells(section(USER_GUIDE, "Når noe må rettes")):
        [problem] = re.findall(r"<!-- (\w+) -->", cell)
        explained[problem] = re.findall(r"«([^»]+)»", cell)
    assert explained.keys() == notes.keys()
    for problem, quotes in explained.items():
        said = re.sub(r"\s+", " ", notes[problem])
        assert quotes
        assert [quote for quote in quotes if quote not in said] == []


# --- drawings ---


@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda drawing: drawing.name)
def test_every_drawing_is_used_and_can_be_read_aloud(drawing: Path) -> None:
    picture = ElementTree.parse(drawing).getroot()
    namespace = {"": "http://www.w3.org/2000/svg"}
    for described in ("title", "desc"):
        assert picture.findtext(described, "", namespace).strip()
    used = re.compile(rf"!\[[^\]]+\]\([^)]*\b{re.escape(drawing.name)}\)")
    assert any(used.search(document.read_text("utf-8")) for document in DOCUMENTS)
