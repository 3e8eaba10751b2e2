"""What an operator may ask for over HTTP, and what comes back when the request is not right."""

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.addressee import Identity
from shared.domain.campaign import Campaign, Phase
from shared.domain.delivery import Delivery, Outcome, Reason, Status, delivery_id
from shared.domain.job_receipt import RecipientReason
from shared.domain.recipient import LeftOut, LeftOutReason, Member, MemberKind, Recipient
from shared.domain.register import Entry, Standing
from shared.domain.suppression import address_print
from shared.errors import DoubtfulError
from shared.flow.register_csv import ASKED_BY, REASON, STANDING, register_csv
from shared.ledger import TABLES, Ledger
from shared.ledger.progress import Progress
from shared.web.requests import (
    Answer,
    Table,
    campaign_progress,
    erase_person,
    find_in_register,
    find_person,
    find_suppression,
    lift_suppression,
    register_file,
    settle_uncertain,
    suppress,
)
from tests.fakes import Clock, MemoryFiles, MemoryTable

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
LEASE = timedelta(minutes=5)
KARI = "kari@example.no"
NOT_IN_THE_REGISTER = {"register": [], "asking_digipost": False}
UNCERTAIN = Outcome(Status.UNCERTAIN, Reason.NO_ANSWER)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
async def ledger() -> Ledger:
    """One campaign: Kari, Ola and Åse got tickets, if anybody knew; Kari was on a list twice."""
    ledger = Ledger.on(**{name: MemoryTable() for name in TABLES})
    campaign = Campaign(
        "20417-1", 5012, 20417, "ticket", NOW, "ab12", phase=Phase.SENDING, planned=3, left_out=1
    )
    await ledger.campaigns.create(campaign)
    twice = Member(MemberKind.COMPANY, 9, "Fjordvik", KARI.upper())
    for n, name in enumerate(("kari", "ola", "åse")):
        recipient = Recipient(f"user:{n}", name, f"{name}@example.no", n)
        delivery = Delivery(id_of(name), campaign.id, recipient, "ticket")
        await ledger.deliveries.plan(
            campaign.id, [delivery], [LeftOut(610, twice, LeftOutReason.DUPLICATE)]
        )
        claimed = await ledger.deliveries.claim(
            await ledger.deliveries.get_open(campaign.id, delivery.id), NOW, LEASE
        )
        await ledger.deliveries.settle(claimed, replace(UNCERTAIN, reference=f"{n}/2050{n}"), NOW)
    return ledger


def id_of(name: str) -> str:
    return delivery_id("20417-1/ab12", f"{name}@example.no")


def body(**content: Any) -> bytes:
    return json.dumps(content).encode()


def refused(answer: Answer, status: int) -> str:
    assert answer.kind == "application/problem+json"
    assert (answer.status, answer.body["status"]) == (status, status)
    assert set(answer.body) == {"type", "title", "status", "detail"}
    return f"{answer.body['title']}. {answer.body['detail']}"


# --- a person's data ---


async def test_where_a_person_is_known(ledger):
    answer = await find_person(body(address=f" {KARI.upper()}"), ledger=ledger)
    assert (answer.status, answer.kind) == (200, "application/json")
    assert answer.body == {
        "campaigns": [
            {
                "campaign": "20417-1",
                "ticket": 20417,
                "own_tickets": [20500],
                "deliveries": 1,
                "left_out": 1,
            }
        ],
        "rows": 2,
        "register": [],
    }
    assert json.dumps(answer.body)


async def test_a_person_is_erased_and_then_not_known(ledger, clock):
    answer = await erase_person(body(address=KARI), ledger=ledger, files=MemoryFiles(), clock=clock)
    [campaign] = answer.body.pop("campaigns")
    assert answer.body == {"erased": 2, "in_flight": 0, **NOT_IN_THE_REGISTER}
    assert (campaign["ticket"], campaign["own_tickets"], campaign["in_flight"]) == (
        20417,
        [20500],
        0,
    )
    nothing = {"campaigns": [], "rows": 0, "register": []}
    assert (await find_person(body(address=KARI), ledger=ledger)).body == nothing
    again = await erase_person(body(address=KARI), ledger=ledger, files=MemoryFiles(), clock=clock)
    assert again.body == {"campaigns": [], "erased": 0, "in_flight": 0, **NOT_IN_THE_REGISTER}


async def test_one_on_their_way_is_to_be_asked_for_again(ledger, clock):
    delivery = Delivery(id_of("siv"), "20417-1", Recipient("user:7", "Siv", "siv@x.no"), "ticket")
    await ledger.deliveries.plan("20417-1", [delivery], [])
    opened = await ledger.deliveries.get_open("20417-1", delivery.id)
    await ledger.deliveries.claim(opened, NOW, LEASE)
    answer = await erase_person(
        body(address="siv@x.no"), ledger=ledger, files=MemoryFiles(), clock=clock
    )
    assert (answer.status, answer.body["erased"], answer.body["in_flight"]) == (200, 0, 1)


@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [
        (b"", 400, "not JSON"),
        (b"\xff", 400, "not JSON"),
        (b"address=kari", 400, 'Send {"address": "kari@example.no"}'),
        (b"[]", 422, 'Send {"address": "kari@example.no"}'),
        (b"{}", 422, "Wrong or missing: address."),
        (body(address=" "), 422, "Wrong or missing: address."),
        (body(address=7), 422, "Wrong or missing: address."),
        (body(address="hemmelig" * 60), 422, "Wrong or missing: address."),
        (body(address=KARI, adress="hemmelig"), 422, "Wrong or missing: adress."),
    ],
)
async def test_a_request_that_is_not_right_is_told_what_to_send(
    ledger, clock, caplog, sent, status, told
):
    with caplog.at_level(logging.DEBUG):
        for answer in (
            await find_person(sent, ledger=ledger),
            await erase_person(sent, ledger=ledger, files=MemoryFiles(), clock=clock),
        ):
            said = refused(answer, status)
            assert told in said
            assert "hemmelig" not in said
    assert caplog.text == ""
    assert (await find_person(body(address=KARI), ledger=ledger)).body["rows"] == 2


async def test_a_member_is_found_and_erased_by_who_they_are_and_from_the_register_too(
    ledger, clock
):
    """Kari is user 0, whom nobody can name; Ola is user 1."""
    await ledger.register.keep([Entry("user:1", Standing.USER, "ola#1AB2", asked_at=NOW)])
    for who in (body(address="ola@example.no"), body(member="user:1")):
        answer = await find_person(who, ledger=ledger)
        assert (answer.body["rows"], answer.body["register"]) == (1, ["user:1"])
    answer = await erase_person(
        body(member="user:1"), ledger=ledger, files=MemoryFiles(), clock=clock
    )
    assert (answer.body["erased"], answer.body["register"]) == (1, ["user:1"])
    answer = await find_person(body(member="user:1"), ledger=ledger)
    assert answer.body == {"campaigns": [], "rows": 0, "register": []}


@pytest.mark.parametrize(
    "sent",
    [
        body(member="user:0"),
        body(member="user:1\n"),
        body(member="ticket:1"),
        body(member="user:1", address=KARI),
        body(member=""),
    ],
)
async def test_a_member_is_named_by_kind_and_number_alone(ledger, clock, sent):
    for answer in (
        await find_person(sent, ledger=ledger),
        await erase_person(sent, ledger=ledger, files=MemoryFiles(), clock=clock),
    ):
        assert '{"member": "user:31"}' in refused(answer, 422)


# --- the register ---

KNOWN = Entry(
    "user:31",
    Standing.USER,
    "=kari#1AB2",
    "abc#9ZY8",
    (RecipientReason.SEVERAL_MATCHES, RecipientReason.POSTAL_CODE),
    True,
    Identity.NATIONAL_ID,
    NOW,
    "kommune.register.3fa9c2d1.split-2",
    "0123456789abcdef",
)


async def test_the_register_is_looked_up_by_member(ledger):
    await ledger.register.keep([KNOWN])
    answer = await find_in_register(body(members=["user:32", "user:31"]), ledger=ledger)
    assert answer.body == {
        "members": [
            {
                "member": "user:31",
                "standing": "user",
                "digipost_address": "=kari#1AB2",
                "alias": "abc#9ZY8",
                "reasons": ["several_matches", "postal_code"],
                "washed": True,
                "asked_by": "national_id",
                "asked_at": "2026-11-22T08:00:00+00:00",
                "job": "kommune.register.3fa9c2d1.split-2",
            }
        ],
        "unknown": ["user:32"],
    }
    assert json.dumps(answer.body)


@pytest.mark.parametrize(
    "sent",
    [body(), body(members=[]), body(members=["user"]), body(members=["user:1"] * 1_001)],
)
async def test_a_look_up_names_one_to_a_thousand_members(ledger, sent):
    assert "Wrong or missing: members." in refused(await find_in_register(sent, ledger=ledger), 422)


async def test_the_register_opens_in_excel_and_runs_nothing(ledger):
    await ledger.register.keep([KNOWN, Entry("company:9", Standing.UNKNOWN)])
    found = await register_file("", ledger=ledger)
    assert isinstance(found, Table)
    assert found.behind == ""
    assert found.data.startswith(b"\xef\xbb\xbf")
    assert found.data.decode("utf-8-sig").splitlines() == [
        "Medlem;Digipost-adresse;Alias;Status;Årsak;Vasket;Spurt med;Spurt;Jobb",
        "company:9;;;ikke funnet;;nei;;;",
        "user:31;'=kari#1AB2;abc#9ZY8;har Digipost;flere treff, ugyldig postnummer;ja;"
        "fødselsnummer;22.11.2026 09:00:00;kommune.register.3fa9c2d1.split-2",
    ]


async def test_a_long_register_goes_on_in_the_next_file(ledger):
    await ledger.register.keep([Entry(f"user:{n}", Standing.USER) for n in range(1, 8)])
    members, behind = [], ""
    for _ in range(3):
        data, behind = await register_csv(ledger.register, behind, most=3)
        members += [line.partition(";")[0] for line in data.decode().splitlines()[1:]]
    assert (members, behind) == ([f"user:{n}" for n in range(1, 8)], "")


async def test_a_file_goes_on_behind_a_member_alone(ledger):
    answer = await register_file("kari@example.no", ledger=ledger)
    assert isinstance(answer, Answer)
    assert "Link" in refused(answer, 422)


def test_every_standing_reason_and_identity_has_its_word():
    assert set(STANDING) == set(Standing)
    assert set(REASON) == set(RecipientReason)
    assert set(ASKED_BY) == set(Identity)


# --- a campaign ---


async def settle(ledger, clock, campaign: str = "20417-1", **content: Any) -> Answer:
    return await settle_uncertain(campaign, body(**content), ledger=ledger, clock=clock)


async def statuses(ledger) -> dict[str, Status]:
    return {d.recipient.name: d.status async for d in ledger.deliveries.all("20417-1")}


async def test_what_was_found_out_about_some_and_then_about_the_rest(ledger, clock):
    ids = [id_of("kari"), id_of("ola").upper()]
    answer = await settle(ledger, clock, sent=False, deliveries=ids)
    assert answer.status == 200
    assert answer.body == {"sent": 0, "not_sent": 2, "still_uncertain": 1}
    answer = await settle(ledger, clock, sent=True, deliveries=ids[:1])
    assert answer.body == {"sent": 1, "not_sent": 0, "still_uncertain": 1}
    answer = await settle(ledger, clock, sent=False, deliveries="all")
    assert answer.body == {"sent": 0, "not_sent": 1, "still_uncertain": 0}
    assert await statuses(ledger) == {"kari": "sent", "ola": "failed", "åse": "failed"}
    *_, verdict = await ledger.deliveries.attempts("20417-1", id_of("kari"))
    assert verdict.values["by"] == "http"


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"deliveries": "all"}, "sent"),
        ({"sent": "ja", "deliveries": "all"}, "sent"),
        ({"sent": 1, "deliveries": "all"}, "sent"),
        ({"sent": True}, "deliveries"),
        ({"sent": True, "deliveries": "alle"}, "deliveries"),
        ({"sent": True, "deliveries": []}, "deliveries"),
        ({"sent": True, "deliveries": [KARI]}, "deliveries"),
        ({"sent": True, "deliveries": "all", "by": KARI}, "by"),
    ],
)
async def test_a_word_that_is_not_clear_settles_nothing(ledger, clock, content, field):
    before = await statuses(ledger)
    said = refused(await settle(ledger, clock, **content), 422)
    assert f"Wrong or missing: {field}." in said
    assert '{"sent": false, "deliveries": ' in said
    assert KARI not in said
    assert await statuses(ledger) == before


@pytest.mark.parametrize("campaign", ["20417-2", "20417", "c:20417-1", "a/b", "", "20417-1\n"])
async def test_a_campaign_that_there_is_not(ledger, clock, campaign):
    answer = await settle(ledger, clock, campaign, sent=True, deliveries="all")
    assert "No such campaign. A campaign is named by its ticket's number" in refused(answer, 404)
    refused(await campaign_progress(campaign, ledger=ledger), 404)


async def test_how_far_a_campaign_has_come(ledger):
    assert "has not begun" in refused(await campaign_progress("20417-1", ledger=ledger), 404)
    progress = Progress("20417-1", Phase.SENDING, 3, 1, 2, 1, 0, NOW)
    await ledger.progress.keep(progress)
    answer = await campaign_progress("20417-1", ledger=ledger)
    assert answer.body == {
        "campaign": "20417-1",
        "phase": "sending",
        "planned": 3,
        "left_out": 1,
        "open": 2,
        "failed": 1,
        "uncertain": 0,
        "counted_at": "2026-11-22T08:00:00+00:00",
        "moved_at": None,
    }
    assert json.dumps(answer.body)


# --- the storage ---


async def test_a_storage_that_does_not_answer_is_asked_again(clock):
    class Silent(MemoryTable):
        async def get(self, partition: str, key: str) -> None:
            raise DoubtfulError("read c:20417-1: 503")

        async def query(self, *where: Any, **what: Any) -> Any:
            raise DoubtfulError("query c: 503")
            yield

    ledger = Ledger.on(**{name: Silent() for name in TABLES})
    for answer in (
        await find_person(body(address=KARI), ledger=ledger),
        await erase_person(body(address=KARI), ledger=ledger, files=MemoryFiles(), clock=clock),
        await settle(ledger, clock, sent=True, deliveries="all"),
        await campaign_progress("20417-1", ledger=ledger),
    ):
        assert "Ask again" in refused(answer, 503)


# --- addresses that are not written to ---


async def audited(ledger: Ledger) -> list[tuple[str, str, str, str]]:
    """What the audit log says, the oldest first."""
    entries = [e async for e in ledger.audit.entries("2026-11")]
    return [(e.who, e.what, e.subject, e.detail) for e in reversed(entries)]


async def test_an_address_is_suppressed_found_and_lifted(ledger, clock):
    asked = {"ledger": ledger, "clock": clock}
    assert (await find_suppression(body(address=KARI), **asked)).body == {"suppressed": False}
    answer = await suppress(body(address=KARI.upper(), reason="unsubscribed", days=30), **asked)
    assert (answer.status, answer.body) == (
        200,
        {
            "suppressed": True,
            "reason": "unsubscribed",
            "source": "http",
            "since": NOW.isoformat(),
            "expires": (NOW + timedelta(days=30)).isoformat(),
            "fingerprint": address_print(KARI),
        },
    )
    assert (await find_suppression(body(address=KARI), **asked)).body == answer.body
    assert await ledger.suppressions.covers(KARI, NOW)
    assert (await lift_suppression(body(address=KARI), **asked)).body == {"lifted": True}
    assert (await lift_suppression(body(address=KARI), **asked)).body == {"lifted": False}
    assert (await find_suppression(body(address=KARI), **asked)).body == {"suppressed": False}


async def test_without_days_it_is_for_good_and_a_shorter_one_changes_nothing(ledger, clock):
    answer = await suppress(body(address=KARI, reason="by_hand"), ledger=ledger, clock=clock)
    assert (answer.body["suppressed"], answer.body["expires"]) == (True, None)
    shorter = body(address=KARI, reason="complaint", days=1)
    assert (await suppress(shorter, ledger=ledger, clock=clock)).body == answer.body
    clock.tick(days=4_000)
    found = await find_suppression(body(address=KARI), ledger=ledger, clock=clock)
    assert found.body == answer.body


async def test_one_that_has_expired_is_told_of_but_does_not_count(ledger, clock):
    await suppress(body(address=KARI, reason="by_hand", days=1), ledger=ledger, clock=clock)
    clock.tick(days=2)
    found = await find_suppression(body(address=KARI), ledger=ledger, clock=clock)
    assert (found.body["suppressed"], found.body["reason"]) == (False, "by_hand")


async def test_every_change_and_nothing_else_is_in_the_audit_log_without_the_address(ledger, clock):
    asked = {"ledger": ledger, "clock": clock}
    for days in (30, 30, 10):
        await suppress(body(address=KARI, reason="by_hand", days=days), **asked)
    clock.tick(minutes=1)
    await find_suppression(body(address=KARI), **asked)
    for _ in range(2):
        await lift_suppression(body(address=KARI), **asked)
    assert await audited(ledger) == [
        ("http", "suppression.added", address_print(KARI), f"by_hand until={UNTIL}"),
        ("http", "suppression.lifted", address_print(KARI), "by_hand"),
    ]


UNTIL = (NOW + timedelta(days=30)).isoformat()


@pytest.mark.parametrize("fails", ["audit", "suppressions"])
async def test_what_cannot_be_written_down_is_not_changed(clock, fails):
    class Mute(MemoryTable):
        async def write(self, *_: Any) -> list[str]:
            raise DoubtfulError("503")

    tables = {name: MemoryTable() for name in TABLES}
    ledger = Ledger.on(**{**tables, fails: Mute()})
    answer = await suppress(body(address=KARI, reason="by_hand"), ledger=ledger, clock=clock)
    assert "Ask again" in refused(answer, 503)
    assert await ledger.suppressions.get(KARI) is None


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"address": KARI}, "reason"),
        ({"address": KARI, "reason": "because"}, "reason"),
        ({"address": "kari", "reason": "by_hand"}, "address"),
        ({"address": KARI, "reason": "by_hand", "days": 0}, "days"),
        ({"address": KARI, "reason": "by_hand", "days": "30"}, "days"),
        ({"address": KARI, "reason": "by_hand", "days": 10**9}, "days"),
        ({"address": KARI, "reason": "by_hand", "until": "2027"}, "until"),
    ],
)
async def test_what_is_wrong_with_a_suppression_is_named_and_not_repeated(
    ledger, clock, content, field
):
    said = refused(await suppress(body(**content), ledger=ledger, clock=clock), 422)
    assert f"Wrong or missing: {field}." in said
    assert "because" not in said
    assert await audited(ledger) == []
