"""The tables of docs/digipost.md say what the code makes of every word of Digipost's."""

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from dev.digipost.switches import Switches
from shared.adapters import digipost_receipt as words
from shared.adapters.digipost_receipt import read_receipt
from shared.domain.addressee import Identity
from shared.domain.delivery import Delivery, OpenDelivery
from shared.domain.job_receipt import JobReceipt, RecipientReason
from shared.domain.letter_job import MAY_BE_THERE, MOVES, Job, JobKind, JobState
from shared.domain.recipient import Recipient
from shared.domain.register import Entry, Standing, learnt, standing_of
from shared.flow import answered
from shared.flow.decide import Decision
from shared.flow.not_reached import Ways
from shared.flow.receipts import note_on
from shared.flow.wording import said_of
from shared.ledger import TABLES, Ledger
from shared.ledger.jobs import Ends
from shared.settings import WAYS, Settings
from tests.docs.test_docs import codes, rows, section
from tests.examples import settings
from tests.fakes import MemoryTable

DOCUMENT = "docs/digipost.md"
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
LETTER, UUID = "3fa9c2d1", "6f0c2b5e-4a07-4c55-9a0d-0c1f7b9e0001"
JOB = "kommune.20417-1.3fa9c2d1.send-2"
NEW = "NOE_HELT_NYTT"


def table(heading: str, first: str) -> list[list[str]]:
    """The rows of the table whose first column is called so."""
    text = section(DOCUMENT, heading).partition(f"| {first} |")[2].split("\n\n")[0]
    lines = re.findall(r"^\| (.+) \|$", text, re.MULTILINE)
    found = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    assert found
    return found


def tried(cell: str) -> list[str]:
    """Each word in the cell; where it says so also a word that nobody knows, and none at all."""
    some = re.findall("`([^`]+)`", cell)
    return [*some, *([NEW] if "anything new" in cell else []), *([""] if "none" in cell else [])]


def element(name: str, text: str) -> str:
    return f"<{name}>{text}</{name}>" if text else ""


def receipt(status: str, body: str = "", kind: str = "masseutsendelse") -> JobReceipt:
    """As Digipost would pack it, read by the reader that the app has."""
    info = element("jobb-info", element("ref-jobb-id", JOB))
    inside = element("status", status) + info + body
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as whole:
        xml = f'<{kind}-resultat xmlns="http://www.digipost.no/xsd/avsender2_1">{inside}'
        whole.writestr(f"{kind}-resultat.xml", f"{xml}</{kind}-resultat>")
    return read_receipt("a.resultat.20261123-080000000.zip", packed.getvalue())


def named(cell: str) -> str:
    """What a delivery becomes, as the cell says it first."""
    first = cell.partition(";")[0].partition(",")[0]
    return ": ".join(re.findall("`([^`]+)`", first))


# --- jobs ---


async def played(given: JobReceipt, *steps: str) -> tuple[Job, Ledger]:
    """A job with letters as the receipt leaves it."""
    ledger = Ledger.on(**{name: MemoryTable() for name in TABLES})
    job = Job(JOB, "20417-1", JobKind.SEND, 2, state=JobState.UPLOADED, uploads=1)
    job = await ledger.jobs.add(replace(job, steps=frozenset(steps)))
    return await note_on(job, given, "a blob", ledger=ledger, now=NOW), ledger


@pytest.mark.parametrize(("said", "becomes"), table("The job", "`status`"))
async def test_what_a_receipt_says_of_a_job_is_what_it_becomes(said: str, becomes: str) -> None:
    [status] = tried(said)
    again = [MAY_BE_THERE] if "uploaded again" in said else []
    job, _ = await played(receipt(status), *again)
    assert job.state == (named(becomes) or JobState.UPLOADED)


def test_every_status_and_code_of_a_job_is_explained() -> None:
    assert told("The job", "`status`") == words._JOB_ANSWERS.keys()
    assert told("The job", "`feilkode`") == words._JOB_ERRORS.keys()


def told(heading: str, first: str) -> set[str]:
    return {code for cells in table(heading, first) for code in codes(cells[0])}


@pytest.mark.parametrize(
    ("said", "ours"),
    [(one, cells[1]) for cells in table("The job", "`feilkode`") for one in tried(cells[0])],
)
async def test_the_code_of_a_job_that_failed_is_on_it(said: str, ours: str) -> None:
    inside = element("feilkode", said) + element("melding", "Noe er galt")
    job, _ = await played(receipt("FEILET", element("feilinformasjon", inside)))
    assert job.error.partition(":")[0] == ours.strip("`")


def test_the_states_of_a_job_are_those_of_the_code() -> None:
    documented = {
        state: codes(cells[1])
        for state, cells in rows(section(DOCUMENT, "States of a job")).items()
    }
    assert documented == {str(state): {str(one) for one in MOVES[state]} for state in JobState}


def test_every_decision_is_explained() -> None:
    assert rows(section(DOCUMENT, "Broken uploads")).keys() == {str(one) for one in Decision}


# --- recipients ---

PEOPLE = "Recipients, when asked about"
BEFORE = Entry("user:31", Standing.USER, "ola#1AB2", "abc#9ZY8", fingerprint="f", asked_at=NOW)


def answer(status: str, grounds: str = "", **also: str) -> Any:
    inside = element("kunde-id", LETTER) + element("status", status) + grounds
    inside += "".join(element(name.replace("_", "-"), text) for name, text in also.items())
    people = element("mottaker-resultater", element("resultat", inside))
    return receipt("SUKSESS", people, "mottakersplitt").recipients[0]


def asked(by: Identity) -> Entry:
    return Entry("user:31", Standing.UNKNOWN, by=by, fingerprint="f", asked_at=NOW)


@pytest.mark.parametrize(
    ("status", "standing", "delivery", "register"),
    [(one, *cells[1:]) for cells in table(PEOPLE, "`status`") for one in tried(cells[0])],
)
def test_what_is_said_of_somebody_decides_what_they_get(
    status: str, standing: str, delivery: str, register: str
) -> None:
    given = {"DIGIPOST": {"digipostadresse": "ny#1"}, "IDENTIFISERT": {"person_alias": "nytt#2"}}
    result = answer(status, **given.get(status, {}))
    stands = standing_of(result)
    assert (stands or "–") == standing.strip("`")
    entry = learnt(BEFORE, asked(Identity.NATIONAL_ID), result)
    assert entry
    kept = (entry.digipost_address, entry.alias)
    assert kept == {
        "address as told": ("ny#1", "abc#9ZY8"),
        "alias as told, address cleared": ("", "nytt#2"),
    }.get(register, ("ola#1AB2", "abc#9ZY8"))
    by_alias = learnt(BEFORE, asked(Identity.ALIAS), result)
    assert by_alias
    cleared = not (by_alias.digipost_address or by_alias.alias)
    assert cleared == register.startswith("both cleared where either was asked by")
    if delivery.startswith("gets a letter"):
        assert stands in (Standing.USER, None)
    else:
        outcome = answered.not_in_digipost(entry)
        assert f"{outcome.status}: {outcome.reason}" == named(delivery)


def test_every_status_and_reason_of_a_recipient_is_explained() -> None:
    assert told(PEOPLE, "`status`") == words._RECIPIENT_ANSWERS.keys()
    grounds = "`uidentifisert-grunn`, `ugyldig-grunn`"
    assert told(PEOPLE, grounds) == words._RECIPIENT_REASONS.keys()


@pytest.mark.parametrize(
    ("said", "norwegian"),
    [
        (one, cells[1])
        for cells in table(PEOPLE, "`uidentifisert-grunn`, `ugyldig-grunn`")
        for one in tried(cells[0])
    ],
)
def test_every_reason_stands_on_the_ticket_in_norwegian(said: str, norwegian: str) -> None:
    result = answer("UGYLDIG", element("ugyldig-grunn", said))
    entry = learnt(None, asked(Identity.NAME_AND_ADDRESS), result)
    assert entry
    detail = answered.not_in_digipost(entry).detail
    who = Recipient("user:31", "Kari Nordmann", "kari@example.no")
    assert said_of(Delivery(LETTER, "20417-1", who, "digipost", detail=detail)) == norwegian
    cleared = not learnt(BEFORE, asked(Identity.NATIONAL_ID), result).digipost_address  # type: ignore[union-attr]
    assert cleared == (RecipientReason.DIGIPOST_ADDRESS in result.reasons)


# --- letters ---

PERSONS = ("DIGIPOST", "IDENTIFISERT", "UIDENTIFISERT", "UGYLDIG", "")


@dataclass(frozen=True)
class Case:
    """A letter's row, and what stands in the receipt of its recipient."""

    result: tuple[str, ...]  #: with `kanal`, if it is told
    fault: str | None  #: None: there is no `feilinformasjon`
    person: str  #: "": no row of them
    becomes: str


def cases() -> Iterator[Case]:
    for result, fault, person, becomes in table("Letters", "`resultat`"):
        if result.startswith("no row"):
            continue
        faults: list[str | None] = [None] if fault in ("–", "any") else [*tried(fault)]
        faults += ["UGYLDIG_DOKUMENT"] if fault == "any" else []
        faults += [None] if "none" in fault else []
        persons = tried(person) if person.startswith("`") else PERSONS
        if person.startswith("any other"):
            persons = [one for one in PERSONS if one != "UGYLDIG"]
        for one in faults:
            yield from (Case(tuple(tried(result)), one, who, becomes) for who in persons)


def settled(found: JobReceipt) -> Ends:
    """The delivery at the end, where no other way is open to it."""
    who = Recipient("user:31", "Kari Nordmann", "kari@example.no")
    opened = OpenDelivery(LETTER, "20417-1", who, channel="digipost")
    letter = next((one for one in found.letters if one.main == UUID), None)
    person = next(iter(found.recipients), None)
    ways = Ways.of(settings(DIGIPOST_NOT_REACHED="list"))
    end = answered.finished(opened, letter, person, UUID, ways)
    assert isinstance(end, Ends)
    return end


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_what_is_said_of_a_letter_is_what_its_delivery_becomes(case: Case) -> None:
    kind = element("type", case.fault or "")
    said = element("feil", kind) if kind else ""
    error = "" if case.fault is None else f"<feilinformasjon>{said}</feilinformasjon>"
    result, *by = case.result
    row = element("hoveddokument-uuid", UUID) + element("resultat", result)
    row += "".join(element("kanal", one) for one in by) + error
    ids = element("kunde-id", LETTER) + element("status", case.person)
    people = element("mottaker-resultater", element("resultat", ids) if case.person else "")
    letter = f'<resultat brev-id="{LETTER}">{row}</resultat>'
    end = settled(receipt("SUKSESS", people + element("brev-resultater", letter)))
    became = f"{end.outcome.status}: {end.outcome.reason}".removesuffix(": ")
    assert became == named(case.becomes)
    assert ("by `print`" in case.becomes) == (end.channel == "print")


def test_a_letter_that_is_not_mentioned_is_what_the_last_row_says() -> None:
    last = table("Letters", "`resultat`")[-1]
    assert last[0].startswith("no row")
    outcome = settled(receipt("SUKSESS")).outcome
    assert f"{outcome.status}: {outcome.reason}" == named(last[3])


def test_every_word_of_a_letter_is_explained() -> None:
    assert told("Letters", "`resultat`") == words._SENT.keys() | words._SENT_BY.keys()
    faults = {code for cells in table("Letters", "`resultat`") for code in codes(cells[1])}
    assert faults == words._LETTER_FAULTS.keys()
    assert codes(section(DOCUMENT, "Letters")) >= words._DOCUMENT_FAULTS.keys()


# --- the rest of the page ---


def test_each_pattern_and_mixture_can_be_set() -> None:
    found = table("Which pattern to choose", "Pattern")
    assert [cells[0] for cells in found] == [
        *("split first", "regular split and register", "send only", "send with print")
    ]
    back = {"name": "Fjordvik kommune", "postal_code": "0101", "city": "Oslo"}
    for _, split, register, ways, _ in found:
        given = [one.strip("`") for one in (split, register, ways)]
        names = ("DIGIPOST_SPLIT", "DIGIPOST_REGISTER", "DIGIPOST_NOT_REACHED")
        assert settings(**dict(zip(names, given, strict=True)), DIGIPOST_RETURN_ADDRESS=back)
    mixed = [code for cells in table("Which pattern to choose", "Also") for code in codes(cells[1])]
    for ways in mixed:
        if set(ways.split(",")) <= WAYS:
            assert settings(DIGIPOST_NOT_REACHED=ways, DIGIPOST_RETURN_ADDRESS=back).ways_on


def test_what_is_not_known_is_covered_by_settings_and_switches_that_exist() -> None:
    found = table("What we do not know of the real service", "Not known")
    covered = [codes(cells[2]) for cells in found]
    named_there = {code for some in covered for code in some}
    assert len(found) > 12
    assert named_there <= Settings.model_fields.keys() | Switches.model_fields.keys()


@pytest.mark.parametrize(
    ("said", "setting"),
    [
        ("`DIGIPOST_LETTERS_PER_JOB` ({})", "DIGIPOST_LETTERS_PER_JOB"),
        ("`DIGIPOST_MAX_MEGABYTES` ({})", "DIGIPOST_MAX_MEGABYTES"),
    ],
)
def test_the_limits_are_those_of_the_code(said: str, setting: str) -> None:
    default = Settings.model_fields[setting].default
    assert said.format(f"{default:,}") in section(DOCUMENT, "Limits")


@pytest.mark.parametrize("setting", ["DIGIPOST_RETURN_ADDRESS", "DIGIPOST_ADDRESS_FIELDS"])
def test_the_example_of_a_setting_is_taken(setting: str) -> None:
    [_, meaning, *_] = rows(section("docs/settings.md", "Letters by Digipost"))[setting]
    example = next(code for code in codes(meaning) if code.startswith('{"'))
    assert getattr(settings(**{setting: example}), setting)
