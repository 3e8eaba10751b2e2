"""The account of letters: which way each went, the jobs, and those who are left for paper."""

import csv
import io
from contextlib import suppress
from dataclasses import replace

import pytest
from pypdf import PdfReader

from dev.pureservice.seed import PDF
from shared.domain.addressee import PostalAddress
from shared.domain.campaign import Phase
from shared.domain.delivery import Outcome, Reason, Status
from shared.domain.letter_job import JobKind, JobState
from shared.domain.message import File, LetterPlan
from shared.flow.on_paper import FILES, LETTERS_IN_A_FILE
from shared.flow.tally import tally
from shared.flow.wording import render
from tests.flow.edges import MESSAGE, Moments, Stop, another, stop
from tests.flow.letter_town import LETTER_HOUSE, job, letters_out, resident, residents
from tests.flow.test_report import content, solution, words

SENT = Outcome(Status.SENT, reference="6f0c")
NOT_THERE = Outcome(Status.SKIPPED, Reason.NOT_IN_DIGIPOST)
BAD = Outcome(Status.FAILED, Reason.BAD_IDENTITY, detail="national_id, postal_code")
UNKNOWN = Outcome(Status.UNCERTAIN, Reason.NO_RESULT)
TEST_LIST = Outcome(Status.SKIPPED, Reason.NOT_ON_TEST_LIST)
LETTER = "digipost"


@pytest.fixture
def town(make_house):
    return lambda **changes: make_house(**{**LETTER_HOUSE, **changes})


def read(house, campaign, name: str) -> list[dict[str, str]]:
    text = content(house, campaign.request_number, name).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=";"))


def pages(house, campaign, name: str) -> list[str]:
    data = content(house, campaign.request_number, name)
    return [page.extract_text() for page in PdfReader(io.BytesIO(data)).pages]


def on_paper(house, campaign) -> set[str]:
    files = house.files_on(campaign.request_number)
    return {name for name in files if name.startswith("paa-papir-")}


async def reported(house, *outcomes, **options):
    campaign = await letters_out(house, *outcomes, **options)
    for _ in range(2 + FILES):
        await house.account()
        done = await house.campaign(campaign.request_number)
        if done.phase is Phase.DONE:
            return done
    raise AssertionError(done.phase)


async def test_the_report_counts_every_way_and_every_reason(town):
    house = town(DIGIPOST_NOT_REACHED="list")
    campaign = await reported(
        house,
        *((SENT, LETTER), (SENT, LETTER), (SENT, "print"), (SENT, "email")),
        *((NOT_THERE, LETTER), (BAD, LETTER), (UNKNOWN, LETTER)),
        jobs=(job(1, JobState.DONE, kind=JobKind.SPLIT), job(2, JobState.DONE, 7)),
    )
    said = words(solution(house, campaign.request_number))
    for row in (
        "4 av 7 mottakere har fått brevet.",
        "I Digipost 2 mottakere",
        "Skrevet ut av Digipost og sendt i posten 1 mottaker",
        "På e-post 1 mottaker",
        "Ikke nådd: Finnes ikke i Digipost 1 mottaker",
        "Ikke nådd: Digipost sier at noe av det som er registrert, er feil 1 mottaker",
        "Usikkert 1 mottaker",
        "send-2 7 Ferdig behandlet av digipost".lower(),
        "Avvik: 1 brev mangler et svar fra Digipost",
    ):
        assert row.lower() in said.lower(), said
    assert "split-1" not in said
    assert "e-poster er sendt" not in said


async def test_a_letter_that_all_got_is_told_shortly(town):
    house = town()
    campaign = await reported(house, (SENT, LETTER), (SENT, LETTER))
    said = words(solution(house, campaign.request_number))
    assert "2 av 2 mottakere har fått brevet." in said
    for never in ("Ikke nådd", "Usikkert", "Brev dere må sende selv", "Avvik", "e-post er"):
        assert never not in said
    assert on_paper(house, campaign) == set()


async def test_the_list_of_everybody_says_the_way_and_digiposts_words(town):
    house = town(DIGIPOST_NOT_REACHED="")
    campaign = await reported(house, (SENT, LETTER), (SENT, "print"), (BAD, LETTER))
    rows = {row["Mottaker"]: row for row in read(house, campaign, f"mottakere-{campaign.id}.csv")}
    assert [rows[f"Åse Nr. {n}"]["Kanal"] for n in range(3)] == ["Digipost", "Utskrift", "Digipost"]
    bad = rows["Åse Nr. 2"]
    assert bad["Årsak"] == "Digipost sier at noe av det som er registrert, er feil"
    assert bad["Svar"] == "ugyldig fødselsnummer, ugyldig postnummer"


# --- on paper ---


async def test_whoever_was_not_reached_is_listed_with_a_letter_to_print(town):
    house = town(DIGIPOST_NOT_REACHED="list")
    campaign = await reported(
        house,
        *((SENT, LETTER), (NOT_THERE, LETTER), (BAD, LETTER), (UNKNOWN, LETTER)),
        (TEST_LIST, LETTER),
    )
    name = f"paa-papir-{campaign.id}"
    assert on_paper(house, campaign) == {f"{name}.csv", f"{name}.pdf"}
    rows = {row["Mottaker"]: row for row in read(house, campaign, f"{name}.csv")}
    assert rows.keys() == {"Åse Nr. 1", "Åse Nr. 2"}
    one = rows["Åse Nr. 1"]
    assert (one["Adresselinje 1"], one["Postnummer"], one["Poststed"], one["Land"]) == (
        *("Storgata 1", "0155", "Oslo", "Norge"),
    )
    assert (one["Årsak"], one["Utskriftsfil"]) == ("Finnes ikke i Digipost", f"{name}.pdf")
    printed = pages(house, campaign, f"{name}.pdf")
    covers = [page for page in printed if "Storgata 1" in page]
    assert len(covers) == 2
    assert sum("Høring" in page for page in printed) == 2
    files = house.files_on(campaign.request_number)
    assert not any(files[file]["isVisible"] for file in on_paper(house, campaign))
    said = words(solution(house, campaign.request_number))
    assert f"2 mottakere er ikke nådd, og står i regnearket «{name}.csv»" in said
    assert "Ikke gjør det hvis dere har sendt brevene på listen selv" in said


async def test_a_letter_of_ones_own_is_printed_with_ones_own_name_and_attachments(town):
    house = town()
    await house.files.put("plan.pdf", PDF)
    message = replace(MESSAGE, html="<p>Hei {{ recipient.name }}</p>", mentions=("recipient.name",))
    plan = LetterPlan(None, (File("plan.pdf", "application/pdf", len(PDF), "plan.pdf"),))
    campaign = await reported(house, *[(NOT_THERE, LETTER)] * 2, message=message, plan=plan)
    printed = pages(house, campaign, f"paa-papir-{campaign.id}.pdf")
    assert [sum(f"Hei Åse Nr. {n}" in page for page in printed) for n in range(2)] == [1, 1]
    assert sum("veileder" in page for page in printed) == 2


async def test_who_has_no_postal_address_is_on_the_list_and_not_in_the_print(town):
    house = town()
    campaign = await reported(house, (NOT_THERE, LETTER), postal=None)
    name = f"paa-papir-{campaign.id}"
    assert on_paper(house, campaign) == {f"{name}.csv"}
    [row] = read(house, campaign, f"{name}.csv")
    assert (row["Merknad"], row["Utskriftsfil"]) == ("Har ingen postadresse som kan brukes", "")
    said = words(solution(house, campaign.request_number))
    assert "1 av dem har ingen postadresse som kan brukes" in said
    assert "klare til utskrift" not in said


async def test_many_letters_are_cut_into_files_one_in_a_round(town):
    house = town()
    await house.files.put("brev.pdf", PDF)
    plan = LetterPlan(File("brev.pdf", "application/pdf", len(PDF), "brev.pdf"))
    many = [(NOT_THERE, LETTER)] * (LETTERS_IN_A_FILE + 1)
    campaign = await letters_out(house, *many, plan=plan)
    name = f"paa-papir-{campaign.id}"
    await house.account()
    assert (await house.campaign(campaign.request_number)).phase is Phase.REPORTING
    assert on_paper(house, campaign) == {f"{name}.csv", f"{name}.pdf"}
    await house.account()
    assert (await house.campaign(campaign.request_number)).phase is Phase.DONE
    assert on_paper(house, campaign) == {f"{name}.csv", f"{name}.pdf", f"{name}-del2.pdf"}
    rows = read(house, campaign, f"{name}.csv")
    assert [row["Utskriftsfil"] for row in rows][-2:] == [f"{name}.pdf", f"{name}-del2.pdf"]
    assert len(pages(house, campaign, f"{name}-del2.pdf")) == 4  # address, letter, two backs


async def test_who_does_not_fit_in_the_files_is_said_not_to(town):
    """Large pictures leave room for one letter in each file."""
    house = town()
    picture = File("foto.png", "image/png", 20_000_000, "gone.png", content_id="foto@x")
    message = replace(MESSAGE, files=(picture,))
    campaign = await reported(house, *[(NOT_THERE, LETTER)] * (FILES + 1), message=message)
    name = f"paa-papir-{campaign.id}"
    assert len(on_paper(house, campaign)) == 1 + FILES
    rows = read(house, campaign, f"{name}.csv")
    assert len({row["Utskriftsfil"] for row in rows[:FILES]} - {""}) == FILES
    last = (rows[-1]["Utskriftsfil"], rows[-1]["Merknad"])
    assert last == ("", "Det var ikke plass til brevet i utskriftsfilene")


@pytest.mark.parametrize(
    ("ways", "changes"), [("email", {}), ("", {}), ("list", {"called_off": True})]
)
async def test_where_nobody_wants_a_list_there_is_none(town, ways, changes):
    house = town(DIGIPOST_NOT_REACHED=ways)
    phase = {"phase": Phase.CANCELLING} if changes else {}
    campaign = await letters_out(house, (NOT_THERE, LETTER), postal=None, **changes, **phase)
    await house.account()
    assert on_paper(house, campaign) == set()


async def test_a_document_that_cannot_be_printed_stops_no_report(town):
    house = town()
    plan = LetterPlan(File("brev.pdf", "application/pdf", 9, "gone.pdf"))
    campaign = await reported(house, (NOT_THERE, LETTER), plan=plan)
    said = words(solution(house, campaign.request_number))
    assert "lot seg ikke legge ved i sin helhet" in said
    assert on_paper(house, campaign) == {f"paa-papir-{campaign.id}.csv"}


async def test_wherever_the_process_ends_each_file_is_there_once(town):
    async def ready():
        house = town()
        return house, await letters_out(house, (NOT_THERE, LETTER), (BAD, LETTER))

    house, campaign = await ready()
    counting = Moments()
    await another(house, counting).account()
    attached = [n for n, what in enumerate(counting.passed) if what.startswith("after helpdesk.a")]
    assert len(attached) > 3
    for at in attached:
        house, campaign = await ready()
        with suppress(Stop):
            await another(house, Moments(at, stop)).account()
        for _ in range(20):
            house.clock.tick(minutes=1)
            await house.account()
        rows = house.world.where("attachment", "ticketId", campaign.ticket_id)
        names = [row["fileName"] for row in rows if row["fileName"].startswith("paa-papir")]
        assert sorted(names) == sorted(on_paper(house, campaign))
        assert len(names) == 2
        assert (await house.campaign(campaign.request_number)).phase is Phase.DONE


# --- before and midway ---


async def test_the_start_note_says_what_comes_next_and_no_pace(town):
    house = town(DIGIPOST_NOT_REACHED="email,list")
    members = residents(house, resident(house, "Kari"), resident(house, "Ola"))
    number = house.open_ticket(
        members, message="<p>Hei</p>", status="Utsending – klar", channel="digipost"
    )
    await house.minute()
    [note] = [words(one) for one in house.notes(number) if "/start-" in one]
    assert "2 mottakere får brevet i Digipost, eller på en annen måte. Vi begynner" in note
    assert "Vi spør Digipost hvem av mottakerne som er der" in note
    assert "Noen må godkjenne jobben i Digipost-portalen" in note
    assert "Vi sender brevet på e-post" in note
    assert "omkring" not in note and "Den første sendes" not in note


@pytest.mark.parametrize("template", ["so_far.html", "report.html", "blocked.html"])
async def test_jobs_that_nobody_can_stop_any_more_are_named_wherever_it_stops(town, template):
    house = town()
    campaign = await letters_out(
        house,
        (SENT, LETTER),
        jobs=(
            *(job(1, JobState.DONE), job(2, JobState.UPLOADED, 3), job(3, JobState.READY)),
            *(job(4, JobState.UNKNOWN, 4), job(5, JobState.UPLOADED, 9, JobKind.SPLIT)),
        ),
    )
    counted = await tally(campaign, house.ledger)
    facts = {
        "campaign": replace(campaign, problem="letter_area", detail={"job": "x", "said": "nei"}),
        "tally": counted,
        "so_far": counted,
        **dict.fromkeys(("ready", "cancel", "review"), "«status»"),
        **dict.fromkeys(("has_list", "has_copy", "by_status"), True),
        **dict.fromkeys(("has_paper", "listed", "test_list"), False),
        "paper": "",
        "link": str,
    }
    said = words(render(template, **facts))
    assert "kan ikke lenger stanses herfra" in said
    assert "7 brev i disse jobbene" in said
    told = said.partition("i disse jobbene:")[2].partition("Hvordan det gikk")[0]
    assert ("send-2: 3 brev" in told, "send-4: 4 brev" in told) == (True, True)
    assert not any(f"-{n}:" in told for n in (1, 3, 5))


async def test_nobodys_number_stands_in_a_report_or_a_list(town):
    house = town()
    abroad = PostalAddress(("Gatan 1", "111 22 Stockholm"), country="SE")
    campaign = await letters_out(
        house,
        (Outcome(Status.FAILED, Reason.REFUSED, detail="Mottaker 17857410084 er feil"), LETTER),
        postal=abroad,
    )
    partition = house.tables["deliveries"]
    for (where, key), row in list(partition.rows.items()):
        if key.startswith("d:"):
            values = {**row.values, "name": "Kari 17857410084"}
            partition.rows[where, key] = replace(row, values=values)
    for _ in range(3):
        await house.account()
    told = solution(house, campaign.request_number)
    for name in house.files_on(campaign.request_number):
        if name.endswith(".csv"):
            told += content(house, campaign.request_number, name).decode()
    assert "[skjult nummer]" in told
    assert "17857410084" not in told
    assert "Sverige" in told
