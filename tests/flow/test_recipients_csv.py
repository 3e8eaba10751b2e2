"""The list of everybody: each of them exactly once, and safe to open in Excel."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.addressee import without_national_ids
from shared.domain.campaign import Campaign, RecipientList
from shared.domain.delivery import Delivery, Outcome, Reason, Status
from shared.domain.helpdesk import TicketState
from shared.domain.job_receipt import RecipientReason
from shared.domain.letter_job import JobState
from shared.domain.recipient import LeftOut, LeftOutReason, Member, MemberKind, Recipient
from shared.flow.recipients_csv import recipients_csv, review_csv
from shared.flow.wording import (
    JOB_STATE,
    LEFT_OUT,
    REASON,
    STATUS,
    left_out_words,
    reasons,
    said_of,
)
from tests.flow.edges import under_way

HEADINGS = [
    "Mottaker",
    "E-postadresse",
    "Status",
    "Årsak",
    "Tidspunkt",
    "Forsøk",
    "Type",
    "Utelatt fra liste",
    "Svar fra e-postserveren",
    "Forsendelse",
]


TICKET_HEADINGS = [*HEADINGS[:8], "Sak", "Lenke", "Svar fra Pureservice", "Forsendelse"]
REVIEW_HEADINGS = [
    *("Mottaker", "E-postadresse", "Sak", "Status på saken", "Sist endret", "Lenke"),
]


def left_out(
    number: int,
    reason: LeftOutReason = LeftOutReason.NO_ADDRESS,
    name: str = "Bjørn",
    address: str | None = None,
) -> LeftOut:
    member = Member(MemberKind.COMPANY, number, name, address, relation=number)
    return LeftOut(610, member, reason)


async def settled(house, campaign: Campaign, one: Delivery, outcome: Outcome) -> None:
    deliveries = house.ledger.deliveries
    await deliveries.plan(campaign.id, [one], [])
    found = await deliveries.get_open(campaign.id, one.id)
    claimed = await deliveries.claim(found, house.clock(), timedelta(minutes=5))
    await deliveries.settle(claimed, outcome, house.clock())


def delivery(campaign: Campaign, name: str, id_: str = "d1", address: str = "a@example.no"):
    return Delivery(id_, campaign.id, Recipient("user:31", name, address), "email")


async def files(house, campaign: Campaign, rows: int = 1_000) -> list[bytes]:
    return [
        data
        async for data in recipients_csv(
            campaign, house.ledger.deliveries, rows, house.settings.ticket_link
        )
    ]


def read(data: bytes, expected: list[str] = HEADINGS) -> list[list[str]]:
    assert data.startswith(b"\xef\xbb\xbf")
    headings, *rows = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=";")
    assert headings == expected
    return rows


async def test_a_row_says_what_became_of_a_recipient_in_norwegian_time(house):
    campaign = await under_way(house, 0)
    one = delivery(campaign, "Åse Ødegård")
    await settled(house, campaign, one, Outcome(Status.FAILED, Reason.REFUSED, detail="550 nei"))
    [data] = await files(house, campaign)
    assert read(data) == [
        [
            "Åse Ødegård",
            "a@example.no",
            "ikke sendt",
            "E-postserveren avviste mottakeren",
            "23.11.2026 09:00:00",
            "1",
            "Bruker",
            "",
            "550 nei",
            "d1",
        ]
    ]


async def test_a_row_says_why_a_membership_was_left_out_and_of_which_list(house):
    who = left_out(9, LeftOutReason.INVALID_ADDRESS, "Fjordvik", "ikke en@@adresse")
    campaign = await under_way(
        house, 0, left_out=(who,), lists=(RecipientList(610, "Skoler; barnehager"),)
    )
    [data] = await files(house, campaign)
    assert read(data) == [
        [
            "Fjordvik",
            "ikke en@@adresse",
            "utelatt",
            "Har en ugyldig e-postadresse",
            "",
            "",
            "Firma",
            "Skoler; barnehager",
            "",
            "",
        ]
    ]


def test_every_state_of_a_job_is_told_in_words():
    assert set(JOB_STATE) == set(JobState)
    assert not set(JOB_STATE.values()) & set(map(str, JobState))


@pytest.mark.parametrize("reason", RecipientReason)
def test_what_digipost_says_in_codes_is_told_in_words(reason):
    bad = Delivery("d1", "20417-1", Recipient("user:31", "Åse", ""), "digipost", detail=reason)
    assert said_of(bad) not in {"", *map(str, RecipientReason)}
    twice = said_of(replace(bad, detail=f"{reason}, national_id"))
    assert twice == f"{said_of(bad)}, ugyldig fødselsnummer"
    assert said_of(replace(bad, detail="550 nei, ikke her")) == "550 nei, ikke her"
    assert said_of(replace(bad, detail="")) == ""


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Kari 17857410084", "Kari [skjult nummer]"),
        ("178574 10084 Kari", "[skjult nummer] Kari"),
        ("178574-10084", "[skjult nummer]"),
        ("fnr17857410084, id_17857410084x", "fnr[skjult nummer], id_[skjult nummer]x"),
        ("tlf. 4799999999, sak 20417", "tlf. 4799999999, sak 20417"),
        ("3f2a9c01-0000-4000-8000-a12345678901", "3f2a9c01-0000-4000-8000-a12345678901"),
    ],
)
def test_a_number_that_may_be_somebodys_is_hidden(text, hidden):
    assert without_national_ids(text) == hidden


def test_every_status_and_every_reason_has_words_of_its_own():
    for words, kind in ((STATUS, Status), (REASON, Reason), (LEFT_OUT, LeftOutReason)):
        assert set(words) == set(kind)
        assert len(set(words.values())) == len(kind)
        assert not set(words.values()) & set(map(str, kind)) - {""}


@pytest.mark.parametrize(
    ("recipients", "leavings", "rows", "sizes"),
    [
        (0, 0, 4, [0]),
        (3, 0, 4, [3]),
        (4, 0, 4, [4]),
        (3, 2, 4, [4, 1]),
        (5, 3, 4, [4, 4]),
        (0, 9, 4, [4, 4, 1]),
    ],
)
async def test_everybody_is_listed_once_over_as_many_files_as_it_takes(
    house, recipients, leavings, rows, sizes
):
    leave = tuple(left_out(n, name=f"Bedrift {n}") for n in range(leavings))
    campaign = await under_way(house, recipients, left_out=leave)
    parts = [read(data) for data in await files(house, campaign, rows)]
    assert [len(part) for part in parts] == sizes
    names = [row[0] for part in parts for row in part]
    assert sorted(names) == sorted(
        [f"Åse Nr. {n}" for n in range(recipients)] + [f"Bedrift {n}" for n in range(leavings)]
    )


HARMLESS = [
    "Kari Nordmann",
    'Ole "Olla" O\'Hara; <b>',
    "to\r\nlinjer",
    "bare\nny linje",
    "bare\rvogn",
    ";;;",
    '"',
    '""";"',
    "a=1",
    "Bjørn-Åge",
    "1-2",
    "\u202eexe.gnp",
    "null\x00tegn",
    "🙂",
    "",
]


@pytest.mark.parametrize("name", HARMLESS)
async def test_whatever_a_name_holds_it_is_read_back_as_it_was(house, name):
    leave = left_out(1, name=name, address=name or None)
    campaign = await under_way(house, 0, left_out=(leave,))
    await settled(house, campaign, delivery(campaign, name), Outcome(Status.SENT, detail=name))
    [data] = await files(house, campaign)
    first, second = read(data)
    assert (first[0], first[8]) == (name, name)
    assert (second[0], second[1]) == (name, name)


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "+47 12345678",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\ttabulator",
        "\rvogn",
        "\r\n=1",
        " =1",
        "\xa0=1",
        "＝1",
        "＋1",
        "－1",
        "＠SUM",
        '=HYPERLINK("https://ond.no";"Klikk")',
        "=cmd|'/c calc'!A1",
    ],
)
async def test_what_excel_would_run_is_text_in_every_column(house, cell):
    leave = left_out(1, name=cell, address=cell)
    campaign = await under_way(house, 0, left_out=(leave,), lists=(RecipientList(610, cell),))
    one = delivery(campaign, cell, address=cell)
    await settled(house, campaign, one, Outcome(Status.FAILED, Reason.REFUSED, detail=cell))
    [data] = await files(house, campaign)
    first, second = read(data)
    assert [first[n] for n in (0, 1, 8)] == [f"'{cell}"] * 3
    assert [second[n] for n in (0, 1, 7)] == [f"'{cell}"] * 3


# --- where everybody gets a ticket ---

LINK = "http://127.0.0.1:7080/agent/#/ticket/20418/"


async def test_a_ticket_is_named_and_linked_to_and_one_that_was_never_made_is_not(house):
    campaign = await under_way(house, 0, channel="ticket", left_out=(left_out(9),))
    for id_, outcome in (
        ("d1", Outcome(Status.SENT, reference="5002/20418", detail="250 OK")),
        ("d2", Outcome(Status.UNCERTAIN, Reason.INTERRUPTED, "5002/20418/mailing")),
        ("d3", Outcome(Status.FAILED, Reason.NO_USER, detail="nei")),
    ):
        one = replace(delivery(campaign, "Åse", id_), channel="ticket")
        await settled(house, campaign, one, outcome)
    [data] = await files(house, campaign)
    sent, doubtful, failed, nobody = read(data, TICKET_HEADINGS)
    assert sent[2:4] == ["sendt", ""]
    assert sent[8:] == ["20418", LINK, "250 OK", "d1"]
    interrupted = "Sendingen ble avbrutt, og vi kan ikke se hvor langt den kom"
    assert doubtful[2:4] == ["usikkert", interrupted]
    assert doubtful[8:] == ["20418", LINK, "", "d2"]
    assert failed[3] == "Adressen hører til en annen eller en deaktivert bruker i Pureservice"
    assert failed[8:] == ["", "", "nei", "d3"]
    assert nobody[2] == "utelatt"
    assert nobody[8:] == ["", "", "", ""]


async def test_who_stands_on_the_lists_twice_gets_one_ticket_and_is_told_so(house):
    leave = left_out(1, LeftOutReason.DUPLICATE)
    campaign = await under_way(house, 0, channel="ticket", left_out=(leave,))
    [data] = await files(house, campaign)
    [row] = read(data, TICKET_HEADINGS)
    assert row[3] == "Står på listene flere ganger, og får én sak"


@pytest.mark.parametrize("channel", ["email", "ticket", "digipost", "print"])
def test_every_reason_has_words_of_its_own_on_each_channel(channel):
    for words, kind in ((reasons(channel), Reason), (left_out_words(channel), LeftOutReason)):
        assert set(words) == set(kind)
        assert len(set(words.values())) == len(kind)


def state(status_id: int = 4) -> TicketState:
    changed = datetime(2026, 7, 1, 8, 30, tzinfo=UTC)
    return TicketState(5002, 20418, "20417-1 d1", status_id, changed)


async def test_how_it_stands_with_a_ticket_is_told_with_its_number_status_and_time(house):
    campaign = await under_way(house, 0, channel="ticket")
    one = delivery(campaign, "Åse Ødegård")
    statuses = {4: "Venter - sluttbruker"}
    rows = [(one, state()), (one, state(7)), (one, None)]
    data = review_csv(rows, statuses, house.settings.ticket_link)
    time = "01.07.2026 10:30:00"  # summer in Oslo
    assert read(data, REVIEW_HEADINGS) == [
        ["Åse Ødegård", "a@example.no", "20418", "Venter - sluttbruker", time, LINK],
        ["Åse Ødegård", "a@example.no", "20418", "", time, LINK],
        ["Åse Ødegård", "a@example.no", "", "", "", ""],
    ]


async def test_what_excel_would_run_is_text_in_the_answers_too(house):
    campaign = await under_way(house, 0, channel="ticket")
    one = delivery(campaign, "=1+1", address="@SUM(A1)")
    data = review_csv([(one, state())], {4: "+47"}, house.settings.ticket_link)
    [row] = read(data, REVIEW_HEADINGS)
    assert [row[n] for n in (0, 1, 3)] == ["'=1+1", "'@SUM(A1)", "'+47"]
