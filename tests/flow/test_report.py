"""Report: an honest account on the ticket, once, and nothing to anybody else."""

import base64
import csv
import html
import io
import json
import re
from collections import Counter

import httpx
import pytest

from dev.pureservice import Fault
from dev.pureservice.seed import FROM_CAMPAIGN
from shared.adapters.pureservice import Pureservice
from shared.domain.campaign import Campaign, Phase
from shared.domain.delivery import OpenDelivery, Outcome, Status
from shared.domain.recipient_ticket import RecipientTicket
from shared.errors import PermanentError, ThrottledError, UncertainError
from shared.flow.report import _RELATED_AT_ONCE, _RELATING_CALLS
from shared.ports import Receipt
from tests.flow.edges import Moments, Stop, another, our_files, stop, under_way

AGENTS_WORDS = "<p>Jeg ringte dem.</p>"


def fine(delivery: OpenDelivery) -> Receipt:
    return Receipt(f"<{delivery.id}@example.org>", "250 OK")


def in_turn(*answers):
    """Each recipient's answer by turns; an exception is raised."""
    turn = iter(answers)

    def answer(delivery: OpenDelivery) -> Receipt:
        said = next(turn, None)
        if isinstance(said, Exception):
            raise said
        return fine(delivery)

    return answer


REFUSED = PermanentError("smtp: RCPT TO: 550 5.1.1 no such user")
DOUBT = UncertainError("smtp: DATA: timed out")


async def delivered(house, recipients: int = 3, *, answer=fine, **options) -> int:
    """A campaign whose deliveries are all settled and whose report is still to be made."""
    options = {"tricky": False, **options}
    number = house.seed(recipients=recipients, **options)
    await house.discover()
    house.channel.answer = answer
    await house.deliver_all()
    return number


def words(solution: str) -> str:
    """What a person reads: no tags, one space."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", solution))).strip()


def solution(house, number: int) -> str:
    return house.ticket(number)["solution"]


def content(house, number: int, name: str) -> bytes:
    return house.world.content(house.files_on(number)[name]["digest"])


def rows(house, number: int) -> list[list[str]]:
    text = content(house, number, f"mottakere-{number}-1.csv").decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=";"))[1:]


# --- what it says ---


async def test_all_sent(house):
    number = await delivered(house, 12)
    house.clock.tick(minutes=7)
    await house.account()
    campaign = await house.campaign(number)
    assert words(solution(house, number)) == (
        "Masseutsendelsen er ferdig"
        " 12 av 12 e-poster er sendt. Utsendelsen tok 7 minutter,"
        " fra 23.11.2026 kl. 09:00 til 23.11.2026 kl. 09:07."
        " «Sendt» betyr at e-postserveren har tatt imot meldingen. Om den kommer helt fram, eller"
        " blir lest, vet vi ikke."
        " På saken ligger et regneark som viser hvordan det gikk for hver mottaker, og meldingen"
        " slik den ble sendt. Vedleggene er ikke synlige for sluttbrukere."
        f" [utsendelse {campaign.run}/rapport-1]"
    )


@pytest.mark.parametrize(
    ("answers", "says", "never"),
    [
        ([None], ["E-posten er sendt."], ["Ikke sendt", "Antall", "<h3>", "1 av 1"]),
        ([REFUSED], ["E-posten er ikke sendt.", "Ikke sendt"], ["Sendt»", "Antall", "0 av"]),
        (
            [REFUSED] * 3,
            ["Ingen av de 3 e-postene er sendt."],
            ["«Sendt»", "Antall", "slik den ble"],
        ),
        (
            [DOUBT],
            ["Ingen e-poster er bekreftet sendt.", "Usikkert betyr"],
            ["Ikke sendt", "er ikke sendt"],
        ),
        (
            [None, REFUSED, None],
            ["2 av 3 e-poster er sendt", "Sendt 2 mottakere Ikke sendt 1 mottaker"],
            ["Usikkert", "usikkert"],
        ),
        (
            [None, REFUSED, DOUBT],
            [
                "1 av 3 e-poster er sendt",
                "Sendt 1 mottaker Ikke sendt 1 mottaker Usikkert 1 mottaker",
                "Ikke sendt eller usikkert Mottaker",
                "Usikkert betyr at",
                "E-postserveren avviste mottakeren",
                "Forbindelsen ble brutt før svaret kom",
            ],
            ["smtp:"],
        ),
    ],
    ids=["one", "none of one", "none", "doubt", "some", "every kind"],
)
async def test_the_words_fit_the_numbers(house, answers, says, never):
    number = await delivered(house, len(answers), answer=in_turn(*answers))
    await house.account()
    text = words(solution(house, number))
    for phrase in says:
        assert phrase in text, text
    for phrase in never:
        assert phrase not in text + solution(house, number)


async def test_those_not_reached_are_named_with_address_and_reason_and_the_others_are_not(house):
    number = await delivered(house, 5, answer=in_turn(None, REFUSED, None, DOUBT, None))
    await house.account()
    campaign = await house.campaign(number)
    for delivery in await house.deliveries(campaign):
        named = f"<td>{delivery.recipient.name}</td><td>{delivery.recipient.address}</td>"
        assert (named in solution(house, number)) == (delivery.status is not Status.SENT)


async def test_a_hundred_are_named_and_the_rest_are_counted(house):
    number = await delivered(house, 131, answer=in_turn(*[REFUSED] * 130))
    await house.account()
    assert solution(house, number).count("E-postserveren avviste mottakeren") == 100
    assert "… og 30 mottakere til." in words(solution(house, number))
    assert "Ikke sendt 130 mottakere" in words(solution(house, number))
    assert len(rows(house, number)) == 131


async def test_one_more_than_a_hundred_is_one_recipient(house):
    number = await delivered(house, 101, answer=in_turn(*[REFUSED] * 101))
    await house.account()
    assert "… og 1 mottaker til." in words(solution(house, number))


async def test_those_left_out_are_counted_by_reason(house):
    number = await delivered(house, 1, tricky=True)
    await house.account()
    text = words(solution(house, number))
    counts = house.expected(number)["leftOut"]
    assert f"Mangler e-postadresse: {counts['no_address']} oppføring" in text
    assert f"Er deaktivert i Pureservice: {counts['disabled']} oppføring" in text
    assert f"med samme adresse: {counts['duplicate']} oppføring" in text
    assert f"Mottakerlisten «Utgått liste {number}» er merket for sletting" in text


async def test_a_test_list_is_never_forgotten(make_house):
    house = make_house(ONLY_SEND_TO="example.no")
    number = await delivered(house, 6)
    await house.account()
    text = words(solution(house, number))
    assert "2 av 2 e-poster er sendt" in text
    assert "Står ikke på testlisten: 4 oppføringer" in text
    assert "Merk: Løsningen er satt opp med en testliste" in text


async def test_names_from_strangers_are_text_and_nothing_else(house):
    number = await delivered(house, 1, tricky=True, answer=in_turn(*[REFUSED] * 100))
    await house.account()
    text = solution(house, number)
    tags = {tag.lower() for tag in re.findall(r"<\s*/?\s*([a-zA-Z0-9]+)", text)}
    known = {"h2", "h3", "p", "strong", "small", "ul", "li"}
    assert tags <= known | {"table", "thead", "tbody", "tr", "th", "td"}
    assert "Ole &#34;Olla&#34; O&#39;Hara; &lt;b&gt;" in text
    assert not re.search("[\u202a-\u202e\u200f]", text)


# --- the files ---


async def test_every_recipient_and_every_membership_left_out_is_in_the_file_once(house):
    number = await delivered(house, 12, tricky=True, answer=in_turn(None, REFUSED, DOUBT))
    await house.account()
    campaign = await house.campaign(number)
    listed = rows(house, number)
    assert Counter(row[9] for row in listed if row[9]) == Counter(
        delivery.id for delivery in await house.deliveries(campaign)
    )
    assert len(listed) == house.expected(number)["memberships"]
    assert Counter(row[2] for row in listed) == {
        "sendt": campaign.planned - 2,
        "ikke sendt": 1,
        "usikkert": 1,
        "utelatt": campaign.left_out,
    }


async def test_the_files_are_on_the_ticket_and_not_for_end_users(house):
    number = await delivered(house)
    await house.account()
    assert our_files(house, number) == {
        f"mottakere-{number}-1.csv": 1,
        f"melding-{number}-1.eml": 1,
    }
    for name in our_files(house, number):
        assert house.files_on(number)[name]["isVisible"] is False
    archived = await house.channel.archive("", (await house.messages.of(f"{number}-1")).message)
    assert content(house, number, f"melding-{number}-1.eml") == archived.data


async def test_a_copy_that_pureservice_refuses_does_not_keep_the_report_back(house):
    """E.g. because it is too large; the report then says so."""
    number = await delivered(house)
    house.simulator.traffic.faults.append(
        Fault(kind="status", status=413, method="POST", path="/attachment", skip=1)
    )
    await house.account()
    assert house.status(number) == "Løst"
    assert our_files(house, number) == {f"mottakere-{number}-1.csv": 1}
    text = words(solution(house, number))
    assert "En kopi av meldingen lot seg ikke legge ved" in text
    assert "slik den ble sendt" not in text


# --- the solution ---


class Recording(httpx.ASGITransport):
    def __init__(self, app) -> None:
        super().__init__(app)
        self.writes: list[tuple[str, str, dict]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            path = request.url.path.removeprefix("/agent/api")
            self.writes.append((request.method, path, json.loads(request.content)))
        return await super().handle_async_request(request)


async def test_the_ticket_is_solved_by_a_patch_of_three_fields_and_nothing_is_put(house):
    number = await delivered(house)
    await house.helpdesk.close()
    wire = Recording(house.simulator)
    house.helpdesk = Pureservice(house.settings, clock=house.clock, transport=wire)
    await house.account()
    id_ = house.ticket(number)["id"]
    solved = house.world.find("status", name="Løst", requestTypeId=1)
    assert [(method, path) for method, path, _ in wire.writes] == [
        ("POST", "/attachment"),
        ("POST", "/attachment"),
        ("PATCH", f"/ticket/{id_}"),
    ]
    assert wire.writes[-1][2] == {
        "visibility": 1,
        "statusId": solved["id"],
        "solution": solution(house, number),
    }
    for _, _, body in wire.writes[:2]:
        assert body["isVisible"] is False
        assert base64.b64decode(body["bytes"]) == content(house, number, body["fileName"])
    assert house.status(number) == "Løst"
    assert not [r for r in house.simulator.traffic.requests if r["method"] == "PUT"]


async def test_an_agents_solution_stays_and_ours_is_a_note(house):
    number = await delivered(house)
    house.world.change("ticket", house.ticket(number)["id"], {"solution": AGENTS_WORDS})
    await house.account()
    assert solution(house, number) == AGENTS_WORDS
    assert house.status(number) == "Løst"
    [_, note] = house.notes(number)
    assert "Masseutsendelsen er ferdig" in note
    assert (await house.campaign(number)).phase is Phase.DONE


async def test_an_agents_solution_written_at_any_moment_stays(make_house):
    """Up to the moment when the ticket has been read for the last time."""
    house = make_house()
    number = await delivered(house)
    await another(house, moments := Moments()).account()
    last = moments.passed.index("before helpdesk.ticket")
    for at in range(0, last + 1, 6):
        house = make_house()
        number = await delivered(house)

        async def write(house=house, number=number):
            house.world.change("ticket", house.ticket(number)["id"], {"solution": AGENTS_WORDS})

        await another(house, Moments(at, write)).account()
        assert solution(house, number) == AGENTS_WORDS
        assert sum("/rapport-1]" in note for note in house.notes(number)) == 1


async def test_what_an_agent_adds_to_our_report_before_the_second_try_stays(house):
    number = await delivered(house)
    house.simulator.traffic.faults.append(
        Fault(kind="drop_after_write", method="PATCH", path="/ticket")
    )
    await house.account()
    ours = solution(house, number)
    assert "Masseutsendelsen er ferdig" in ours
    house.world.change("ticket", house.ticket(number)["id"], {"solution": ours + AGENTS_WORDS})
    await house.account()
    assert solution(house, number) == ours + AGENTS_WORDS
    assert (await house.campaign(number)).phase is Phase.DONE
    assert len(house.notes(number)) == 1


async def test_pureservice_mails_nobody_because_of_us(house):
    number = house.seed(recipients=3)
    mails = house.world.count("email")
    await house.run(3)
    assert house.status(number) == "Løst"
    assert house.world.count("email") == mails


async def test_the_message_that_could_not_be_delivered_is_marked_as_sent(make_house):
    house = make_house(MESSAGE_TRIGGER="failed_email")
    number = await delivered(house, trigger="failed_email")
    await house.account()
    campaign = await house.campaign(number)
    assert campaign.phase is Phase.DONE
    mails = house.world.where("email", "ticketId", house.ticket(number)["id"])
    ours = int(campaign.message.removeprefix("email:"))
    assert {mail["id"] for mail in mails if mail["status"] == 4} == {ours}


async def test_a_message_that_is_gone_does_not_keep_the_campaign_open(make_house):
    house = make_house(MESSAGE_TRIGGER="failed_email")
    number = await delivered(house, trigger="failed_email")
    campaign = await house.campaign(number)
    house.world.remove("email", int(campaign.message.removeprefix("email:")))
    await house.account()
    assert (await house.campaign(number)).phase is Phase.DONE


# --- every step again ---

TROUBLE = {
    "drop before": Fault(kind="drop_before"),
    "drop after": Fault(kind="drop_after_write"),
    "500 before": Fault(kind="status", status=500),
    "500 after": Fault(kind="status", status=500, after_write=True),
    "html before": Fault(kind="html", status=502),
    "html after": Fault(kind="html", status=502, after_write=True),
    "half an answer": Fault(kind="half_json"),
    "429": Fault(kind="status", status=429, retry_after=30),
    "401": Fault(kind="status", status=401),
}
WRITES = {
    "the list": ("POST", "/attachment", 0),
    "the message": ("POST", "/attachment", 1),
    "the note": ("POST", "/communication", 0),
    "the solution": ("PATCH", "/ticket", 0),
    "the e-mail": ("PATCH", "/email", 0),
    "a read of files": ("GET", "/attachment", 0),
    "a read of the ticket": ("GET", "/ticket", 0),
}


#: A read changes nothing, so that before and after are the same.
STEPS = [
    (what, trouble)
    for what in WRITES
    for trouble in TROUBLE
    if not (what.startswith("a read") and "after" in trouble)
]
#: Where an agent has solved it, there is a note in the place of a solution; the rest is the same.
BESIDE = [step for step in STEPS if step[0] in {"the note", "the solution"}]


@pytest.mark.parametrize(
    ("what", "trouble", "has_solution"),
    [
        *(pytest.param(*step, False, id="-".join(step)) for step in STEPS),
        *(pytest.param(*step, True, id="-".join([*step, "solved"])) for step in BESIDE),
    ],
)
async def test_each_step_that_is_taken_again_leaves_one_of_everything(
    make_house, what, trouble, has_solution
):
    house = make_house(MESSAGE_TRIGGER="failed_email")
    number = await delivered(house, trigger="failed_email")
    if has_solution:
        house.world.change("ticket", house.ticket(number)["id"], {"solution": AGENTS_WORDS})
    method, path, skip = WRITES[what]
    matching = {"method": method, "path": path, "skip": skip, "times": 2}
    house.simulator.traffic.faults.append(TROUBLE[trouble].model_copy(update=matching))
    for _ in range(4):
        house.clock.tick(minutes=1)
        await house.account()
    campaign = await house.campaign(number)
    assert campaign.phase is Phase.DONE
    assert our_files(house, number) == {
        f"mottakere-{number}-1.csv": 1,
        f"melding-{number}-1.eml": 1,
    }
    reports = sum("/rapport-1]" in note for note in house.notes(number))
    assert reports == (1 if has_solution else 0)
    if has_solution:
        assert solution(house, number) == AGENTS_WORDS
    else:
        assert solution(house, number).count("<h2>") == 1
    assert house.status(number) == "Løst"
    mail = house.world.get("email", int(campaign.message.removeprefix("email:")))
    assert mail["status"] == 4


# --- a helpdesk that says no ---


async def test_a_ticket_that_cannot_be_solved_has_its_report_in_a_note_once(house):
    number = house.seed(recipients=2, tricky=False)
    await house.discover()
    await house.deliver_all()
    house.trouble("status", method="PATCH", path="/ticket", times=100, status=400)
    await house.run(3)
    assert (await house.campaign(number)).phase is Phase.DONE
    assert sum("Masseutsendelsen er ferdig" in note for note in house.notes(number)) == 1


async def test_a_list_that_is_refused_is_mentioned_and_keeps_no_report_back(house):
    number = house.seed(recipients=2, tricky=False)
    await house.discover()
    await house.deliver_all()
    house.trouble("status", method="POST", path="/attachment", times=100, status=413)
    await house.run(3)
    assert (await house.campaign(number)).phase is Phase.DONE
    assert (
        "Regnearket over alle mottakere lot seg ikke legge ved" in house.ticket(number)["solution"]
    )


async def test_a_name_that_is_changed_while_mails_are_sent_stops_no_report(house):
    number = house.seed(recipients=2, tricky=False)
    await house.discover()
    await house.deliver_all()
    [kind] = [row for row in house.world.all("assettype") if row["name"] == "Mottakerliste"]
    house.world.change("assettype", kind["id"], {"name": "Adresseliste"})
    house.clock.tick(minutes=30)
    await house.account()
    assert house.status(number) == "Løst"


async def test_nobody_is_said_to_stand_in_a_list_that_was_refused(house):
    number = await delivered(house, 103, answer=in_turn(*[REFUSED] * 103))
    house.trouble("status", method="POST", path="/attachment", status=413)
    await house.account()
    text = words(solution(house, number))
    assert "… og 3 mottakere til." in text
    assert "regnearket" not in text.replace("Regnearket", "")
    assert "Alle står" not in text


# --- one ticket per recipient ---


@pytest.fixture
def make_tickets(make_house):
    """A house that mails from each recipient's ticket, so that we decide what becomes of it."""

    def make(**changes):
        by_mail = {"TICKET_MESSAGE_VIA": "email", "TICKET_REPLY_TO": "servicedesk@example.org"}
        return make_house(**{**by_mail, **changes})

    return make


async def with_tickets(house, recipients: int, *, answer=fine, refused: int = 0) -> int:
    """A campaign whose deliveries are all settled; so many tickets Pureservice would not make."""
    number = house.seed(recipients=recipients, scenario="ticket", tricky=False)
    await house.discover()
    house.channel.answer = answer
    if refused:  # once with its files copied, and once with them sent
        for _ in range(2 * refused):
            house.trouble("status", method="POST", path="/ticket", status=400)
    await house.deliver_all()
    house.clock.tick(minutes=7)  # what is in doubt has been looked up
    return number


@pytest.mark.parametrize(
    ("answers", "refused", "says"),
    [
        ([None], 0, "1 mottaker har fått sin egen sak, og meldingen er sendt fra den."),
        ([None] * 3, 0, "3 mottakere har fått hver sin sak, og meldingen er sendt fra alle."),
        ([REFUSED], 0, "Mottakeren har fått sin egen sak, men meldingen er ikke sendt fra den."),
        (
            [DOUBT],
            0,
            "Mottakeren har fått sin egen sak, men meldingen er ikke bekreftet sendt fra den.",
        ),
        (
            [REFUSED] * 3,
            0,
            "3 av 3 mottakere har fått hver sin sak, men meldingen er ikke sendt fra noen av dem.",
        ),
        (
            [DOUBT, REFUSED],
            0,
            "2 av 2 mottakere har fått hver sin sak, men meldingen er ikke bekreftet sendt fra noen"
            " av dem.",
        ),
        (
            [None, REFUSED, DOUBT],
            0,
            "3 av 3 mottakere har fått hver sin sak, og meldingen er sendt fra 1 av dem.",
        ),
        (
            [None] * 3,
            1,
            "2 av 3 mottakere har fått hver sin sak, og meldingen er sendt fra alle disse sakene.",
        ),
        ([None] * 3, 2, "1 av 3 mottakere har fått sin egen sak, og meldingen er sendt fra den."),
        ([None] * 3, 3, "Ingen saker er opprettet."),
    ],
)
async def test_the_words_fit_the_tickets(make_tickets, answers, refused, says):
    house = make_tickets()
    number = await with_tickets(house, len(answers), answer=in_turn(*answers), refused=refused)
    await house.account()
    text = words(solution(house, number))
    assert says in text, text
    assert len(house.copies(number)) == len(answers) - refused
    sent = answers.count(None) - refused
    assert ("«Sendt» betyr at meldingen har gått ut fra mottakerens sak" in text) == (sent > 0)
    assert ("Åpne mottakerens sak for å se" in text) == (DOUBT in answers)
    assert "e-poster" not in text


async def test_a_hundred_tickets_are_linked_to_and_the_rest_are_in_the_list(make_tickets):
    house = make_tickets()
    number = await with_tickets(house, 103)
    await house.account()
    links = re.findall(r'<a href="([^"]+)">(\d+)</a>', solution(house, number))
    made = {copy["requestNumber"] for copy in house.copies(number)}
    assert len(links) == len(set(links)) == 100
    assert {int(shown) for _, shown in links} <= made
    assert all(link == house.settings.ticket_link(int(shown)) for link, shown in links)
    assert "… og 3 saker til. Alle står i regnearket, med lenke." in words(solution(house, number))
    assert {int(row[8]) for row in rows(house, number)} == made


async def test_no_ticket_is_said_to_stand_in_a_list_that_was_refused(make_tickets):
    house = make_tickets()
    number = await with_tickets(house, 103)
    house.trouble("status", method="POST", path="/attachment", status=413)
    await house.account()
    text = words(solution(house, number))
    assert "… og 3 saker til." in text
    assert "Alle står" not in text


@pytest.mark.parametrize("mirrored", [False, True])
async def test_every_ticket_is_related_to_the_campaigns_once(make_tickets, mirrored):
    house = make_tickets(TICKET_RELATION=FROM_CAMPAIGN)
    switches = {"mirrored_relationships": mirrored}
    house.world.switches = house.world.switches.model_copy(update=switches)
    number = await with_tickets(house, 52)
    await house.account()
    assert related(house, number) == Counter(copy["id"] for copy in house.copies(number))
    assert house.simulator.traffic.calls["POST /relationship"] == 2  # fifty at a time
    assert (await house.campaign(number)).phase is Phase.DONE


def related(house, number: int) -> Counter[int]:
    """How often each ticket is related to the campaign's as one that was made from it."""
    kind = house.world.find("relationshiptype", name=FROM_CAMPAIGN)
    made = house.world.where("relationship", "typeId", kind["id"])
    assert {row["fromTicketId"] for row in made} <= {house.ticket(number)["id"]}
    return Counter(row["toTicketId"] for row in made)


@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize("what", ["POST", "GET"])
async def test_a_relation_is_made_once_though_its_answer_is_lost(make_tickets, what, trouble):
    house = make_tickets(TICKET_RELATION=FROM_CAMPAIGN)
    number = await with_tickets(house, 3)
    fault = {"method": what, "path": "/relationship", "times": 2}
    house.simulator.traffic.faults.append(TROUBLE[trouble].model_copy(update=fault))
    for _ in range(4):
        house.clock.tick(minutes=1)
        await house.account()
    assert (await house.campaign(number)).phase is Phase.DONE
    assert related(house, number) == Counter(copy["id"] for copy in house.copies(number))


async def test_a_report_that_stops_anywhere_relates_each_ticket_once(make_tickets):
    async def scene():
        house = make_tickets(TICKET_RELATION=FROM_CAMPAIGN)
        return house, await with_tickets(house, 2)

    house, number = await scene()
    await another(house, moments := Moments()).account()
    last = moments.passed.index("before helpdesk.attach")
    for at, moment in enumerate(moments.passed[: last + 1]):
        if moment.startswith("after"):
            continue
        house, number = await scene()
        with pytest.raises(Stop):
            await another(house, Moments(at, stop)).account()
        await house.run(7)  # nobody else writes the report for five minutes
        made = Counter(copy["id"] for copy in house.copies(number))
        assert related(house, number) == made, moment
        assert (await house.campaign(number)).phase is Phase.DONE, moment


async def test_relations_that_are_refused_keep_no_report_back(make_tickets):
    house = make_tickets(TICKET_RELATION=FROM_CAMPAIGN)
    number = await with_tickets(house, 3)
    house.trouble("status", method="POST", path="/relationship", times=100, status=400)
    await house.account()
    assert (await house.campaign(number)).phase is Phase.DONE
    assert house.status(number) == "Løst"
    assert related(house, number) == {}


async def test_nothing_is_related_where_no_relation_is_set(make_tickets):
    house = make_tickets()
    number = await with_tickets(house, 3)
    house.simulator.traffic.calls.clear()
    await house.account()
    assert (await house.campaign(number)).phase is Phase.DONE
    assert not [call for call in house.simulator.traffic.calls if "/relationship" in call]


@pytest.mark.parametrize("relation", ["", FROM_CAMPAIGN])
async def test_a_status_that_is_renamed_meanwhile_keeps_no_report_of_tickets_back(
    make_tickets, relation
):
    house = make_tickets(TICKET_RELATION=relation)
    number = await with_tickets(house, 3)
    status = house.world.find("status", name=house.settings.STATUS_ATTENTION)
    house.world.change("status", status["id"], {"name": "Utsending - sjekk"})
    house.clock.tick(minutes=30)  # the names are looked up anew
    house.simulator.traffic.calls.clear()
    await house.account()
    assert (await house.campaign(number)).phase is Phase.DONE
    assert house.status(number) == "Løst"
    asked_for_names = "GET /status" in house.simulator.traffic.calls
    assert asked_for_names == bool(relation)


async def many_to_relate(house, tickets: int) -> Campaign:
    """A campaign whose recipients all have their tickets, and whose report is to be made."""
    campaign = await under_way(house, tickets, channel="ticket")
    deliveries, now = house.ledger.deliveries, house.clock()
    for n, one in enumerate(await house.deliveries(campaign)):
        opened = await deliveries.get_open(campaign.id, one.id)
        claimed = await deliveries.claim(opened, now, house.settings.lease)
        made = Outcome(Status.SENT, reference=str(RecipientTicket(5_000 + n, 20_000 + n)))
        await deliveries.settle(claimed, made, now)
    return campaign


async def test_very_many_are_related_some_calls_a_round_though_none_are_seen(make_tickets):
    """Nor does it begin again where Pureservice wants us to wait in the middle of it."""
    house = make_tickets(TICKET_RELATION=FROM_CAMPAIGN)
    campaign = await many_to_relate(house, 21 * _RELATED_AT_ONCE)
    answers = [None] * 3 + [ThrottledError("429")] + [None] * 100
    related: Counter[int] = Counter()
    calls = []

    async def none_of_them(ticket_id):
        return set()

    async def relate(ticket_id, others):
        calls[-1] += 1
        if error := answers.pop(0):
            raise error
        related.update(others)

    house.helpdesk.related_tickets = none_of_them
    house.helpdesk.relate_tickets = relate
    while (campaign := await house.ledger.campaigns.get(campaign.id)).phase is not Phase.DONE:
        calls.append(0)
        await house.account()
        house.clock.tick(minutes=1)
    assert calls == [4, _RELATING_CALLS, 8]
    assert related == Counter(range(5_000, 5_000 + 21 * _RELATED_AT_ONCE))
