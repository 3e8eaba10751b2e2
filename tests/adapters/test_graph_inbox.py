"""The mailbox that bounces come to: what is read of it, and what is left alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage

import httpx
import pytest

from dev.graph import GraphSimulator, Message, bounce, out_of_office
from shared.adapters.graph_inbox import LARGEST_REPORT, GraphInbox, InboxMail
from shared.errors import StoppedError, ThrottledError, TransientError
from tests.adapters.between import TOKEN, Between, Credential
from tests.examples import settings

NOW = datetime(2026, 2, 3, 8, 15, tzinfo=UTC)
MAILBOX = "retur@fjordvik.no"


@pytest.fixture
def simulator() -> GraphSimulator:
    simulator = GraphSimulator((MAILBOX,), clock=lambda: NOW)
    simulator.tokens[TOKEN] = datetime.now(UTC) + timedelta(hours=1)
    return simulator


@pytest.fixture
def between(simulator: GraphSimulator) -> Between:
    return Between(simulator)


@pytest.fixture
async def inbox(between: Between) -> AsyncIterator[GraphInbox]:
    given = settings(GRAPH_URL="https://graph.microsoft.com/v1.0", BOUNCE_MAILBOX=MAILBOX)
    inbox = GraphInbox(given, lambda: NOW, transport=between, credential=Credential())
    yield inbox
    await inbox.close()


async def read(inbox: GraphInbox, since: datetime = NOW - timedelta(days=1)) -> list[InboxMail]:
    return [mail async for mail in inbox.mails(since)]


def original() -> Message:
    mail = EmailMessage()
    mail["Subject"] = "Vannet stenges på tirsdag"
    mail["Message-ID"] = "<20417-1.5e9f6a3c.0@fjordvik.no>"
    return Message(mail, "sentitems", NOW, "<20417-1.5e9f6a3c.0@fjordvik.no>")


def report() -> bytes:
    return bounce(MAILBOX, "kari@bounce.example", original(), NOW)


def from_a_person(**headers: str) -> bytes:
    mail = EmailMessage()
    mail["From"] = "kari@example.no"
    mail["Subject"] = "Når kommer vannet tilbake?"
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content("Vi er uten vann.")
    return mail.as_bytes()


async def test_a_bounce_is_read_whole(inbox: GraphInbox, simulator: GraphSimulator) -> None:
    simulator.receive(MAILBOX, report())

    (mail,) = await read(inbox)

    assert mail.received == NOW
    assert message_from_bytes(mail.mime).get_content_type() == "multipart/report"
    assert b"Final-Recipient: rfc822; kari@bounce.example" in mail.mime
    assert b"<20417-1.5e9f6a3c.0@fjordvik.no>" in mail.mime


async def test_what_people_write_is_never_downloaded(
    inbox: GraphInbox, simulator: GraphSimulator, between: Between
) -> None:
    simulator.receive(MAILBOX, from_a_person())
    simulator.receive(MAILBOX, from_a_person(Return_Path="<>"))
    simulator.receive(MAILBOX, from_a_person(Auto_Submitted="no", Return_Path="<>"))
    simulator.receive(
        MAILBOX, from_a_person(Auto_Submitted="auto-generated", Return_Path="<a@b.no>")
    )

    assert await read(inbox) == []
    assert not [one for one in between.asked if one.url.path.endswith("$value")]
    (listed,) = between.asked
    assert listed.url.params["$select"] == "id,receivedDateTime,internetMessageHeaders"


async def test_what_a_machine_answers_to_nobody_is_read_too(
    inbox: GraphInbox, simulator: GraphSimulator
) -> None:
    simulator.receive(MAILBOX, out_of_office(MAILBOX, "kari@example.no", original(), NOW))
    simulator.receive(
        MAILBOX, from_a_person(auto_submitted="Auto-Replied; why=x", return_path="<>")
    )

    assert len(await read(inbox)) == 2


async def test_only_what_came_since_then_is_listed_the_oldest_first(
    inbox: GraphInbox, simulator: GraphSimulator
) -> None:
    for hours in (1, 30, 3, 2):
        simulator.receive(MAILBOX, report(), NOW - timedelta(hours=hours))

    times = [mail.received for mail in await read(inbox)]

    assert times == [NOW - timedelta(hours=hours) for hours in (3, 2, 1)]


async def test_a_full_mailbox_is_read_page_by_page(
    inbox: GraphInbox, simulator: GraphSimulator, between: Between
) -> None:
    for minutes in range(101):
        simulator.receive(MAILBOX, from_a_person(), NOW - timedelta(minutes=minutes + 1))
    simulator.receive(MAILBOX, report())

    assert len(await read(inbox)) == 1
    assert len(between.asked) == 4  # three pages and a report


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://graph.example/v1.0/users",
        "http://graph.microsoft.com/v1.0/users",
        "https://graph.microsoft.com:8443/v1.0",
        "https://graph.microsoft.com@graph.example/",
        "//graph.example/",
        "https://[",
    ],
)
async def test_a_next_page_elsewhere_does_not_get_our_token(
    inbox: GraphInbox, between: Between, elsewhere: str
) -> None:
    between.before = lambda request: (
        httpx.ConnectError("went there")
        if len(between.asked) > 1
        else httpx.Response(200, json={"value": [], "@odata.nextLink": elsewhere})
    )

    with pytest.raises(TransientError):
        await read(inbox)
    assert len(between.asked) == 1


async def test_pages_that_go_in_a_circle_come_to_an_end(
    inbox: GraphInbox, between: Between
) -> None:
    here = "https://graph.microsoft.com/v1.0/users/x/messages?$skip=50"
    between.before = lambda request: (
        httpx.ConnectError("round again")
        if len(between.asked) > 2
        else httpx.Response(200, json={"value": [], "@odata.nextLink": here})
    )

    with pytest.raises(TransientError):
        await read(inbox)
    assert len(between.asked) == 2


async def test_of_a_huge_report_only_the_beginning_is_read(
    inbox: GraphInbox, simulator: GraphSimulator
) -> None:
    simulator.receive(MAILBOX, report() + b"x" * LARGEST_REPORT)

    (mail,) = await read(inbox)

    assert len(mail.mime) == LARGEST_REPORT


async def test_a_report_that_is_removed_meanwhile_is_passed_over(
    inbox: GraphInbox, simulator: GraphSimulator, between: Between
) -> None:
    gone = simulator.receive(MAILBOX, report(), NOW - timedelta(hours=1))
    simulator.receive(MAILBOX, report())
    between.before = lambda request: (
        httpx.Response(404) if request.url.path.endswith(f"{gone.id}/$value") else None
    )

    assert len(await read(inbox)) == 1


FAILURES: list[tuple[httpx.Response | Exception, type[TransientError]]] = [
    (httpx.Response(429, headers={"Retry-After": "7"}), ThrottledError),
    (httpx.Response(503), ThrottledError),
    (httpx.Response(401), StoppedError),
    (httpx.Response(403), StoppedError),
    (httpx.Response(500), TransientError),
    (httpx.Response(302, headers={"Location": "https://graph.example"}), TransientError),
    (httpx.ReadTimeout("no"), TransientError),
    (httpx.ConnectError("no"), ThrottledError),
]
#: What a list alone can fail with: a report may be gone, and may be anything.
NO_LIST: list[tuple[httpx.Response | Exception, type[TransientError]]] = [
    (httpx.Response(404), StoppedError),
    (httpx.Response(200, text="<html>"), TransientError),
    (httpx.Response(200, json={"value": [{"id": "a"}]}), TransientError),
]


@pytest.mark.parametrize(
    ("what", "answer", "meaning"),
    [("messages", *one) for one in FAILURES + NO_LIST] + [("$value", *one) for one in FAILURES],
)
async def test_a_read_that_fails_is_one_of_our_errors(
    inbox: GraphInbox,
    simulator: GraphSimulator,
    between: Between,
    what: str,
    answer: httpx.Response | Exception,
    meaning: type[TransientError],
) -> None:
    simulator.receive(MAILBOX, report())
    between.before = lambda request: answer if request.url.path.endswith(what) else None

    with pytest.raises(TransientError) as caught:
        await read(inbox)

    assert type(caught.value) is meaning
    assert "@" not in str(caught.value)
    assert "hemmelig" not in str(caught.value)


@pytest.mark.parametrize(("status", "age"), [(400, 0), (413, 0), (500, 2), (504, 2)])
async def test_one_mail_that_cannot_be_given_out_does_not_stop_those_behind_it(
    inbox: GraphInbox, simulator: GraphSimulator, between: Between, status: int, age: int
) -> None:
    """Of one that has just come, a failing server is asked again."""
    bad = simulator.receive(MAILBOX, report())
    bad.received = NOW - timedelta(hours=age)
    simulator.receive(MAILBOX, report())
    between.before = lambda request: (
        httpx.Response(status) if request.url.path.endswith(f"{bad.id}/$value") else None
    )
    assert len(await read(inbox)) == 1
