"""One ticket per recipient: the real app in the local host, Azurite and the simulator over HTTP."""

from collections import Counter
from typing import Any

from dev import bench, playground
from dev.playground import Playground
from dev.pureservice import behaviour
from dev.seed import seed
from shared.domain.delivery import Status

from .watching import outcomes, received, wait_until, wait_until_solved


def copies_of(here: Playground, number: int) -> list[dict[str, Any]]:
    copies: list[dict[str, Any]] = here.sim("GET", f"copies/{number}")
    return copies


def test_two_hosts_mail_each_message_ourselves_with_the_tag_of_the_recipients_ticket():
    with playground.temporary(TICKET_MESSAGE_VIA="email") as here:
        here.start_host()
        here.start_host()
        expected = seed(here.url, {"scenario": "ticket", "recipients": 40, "tricky": False})
        number = expected["requestNumber"]
        wait_until_solved(here, number)
        copies, mails = copies_of(here, number), here.sink.messages()
        statuses = outcomes(here, f"{number}-1")
    assert statuses == {Status.SENT: len(expected["members"])}
    assert Counter(copy["address"] for copy in copies) == expected["mails"]
    # one mail for each ticket, with its tag; an answer ends up where Pureservice reads
    assert Counter((mail["X-Envelope-To"].lower(), mail["Subject"]) for mail in mails) == Counter(
        (copy["address"], f"[Sak ID# {copy['requestNumber']}] {expected['subject']}")
        for copy in copies
    )
    assert {mail["Reply-To"] for mail in mails} == {"servicedesk@example.no"}
    assert [copy["mails"] for copy in copies] == [[]] * len(copies)
    notes = [
        one["text"]
        for copy in copies
        for one in copy["communications"]
        if one["direction"] == behaviour.INTERNAL
    ]
    deliveries = [copy["customerReference"].split()[1] for copy in copies]
    assert [sum(id_ in note for note in notes) for id_ in deliveries] == [1] * len(deliveries)


def test_killed_and_started_again_everybody_has_one_ticket_and_one_message_and_nobody_is_lost():
    """What was made or posted and never recorded is looked up, so that nothing is uncertain."""
    with playground.temporary(
        LEASE_SECONDS="8",
        GRACE_SECONDS="1",
        SMTP_TIMEOUT_SECONDS="1",
        PURESERVICE_TIMEOUT_SECONDS="2",
        RELEASE_AGAIN_SECONDS="5",
    ) as here:
        for path, skip in (("/ticket", 20), ("/communication", 10)):  # done, and never answered
            unanswered = {"kind": "delay", "after_write": True, "seconds": 600, "times": 5}
            here.sim("POST", "faults", method="POST", path=path, skip=skip, **unanswered)
        host = here.start_host("--visibility", "3")
        expected = seed(here.url, {"scenario": "ticket", "recipients": 60, "tricky": False})
        number = expected["requestNumber"]
        wait_until(lambda: len(copies_of(here, number)) >= 25, host.said)
        host.kill()
        at_the_kill = copies_of(here, number)
        here.sim("DELETE", "faults")
        here.start_host("--visibility", "3")
        wait_until_solved(here, number)
        copies = copies_of(here, number)
        statuses = outcomes(here, f"{number}-1")
    assert len(at_the_kill) < len(expected["members"]), "killed too late to show anything"
    assert any(not copy["mails"] for copy in at_the_kill), "no ticket was without its message"
    assert statuses == {Status.SENT: len(expected["members"])}
    assert Counter(copy["address"] for copy in copies) == expected["mails"]
    assert {len(copy["mails"]) for copy in copies} == {1}
    assert {mail["status"] for copy in copies for mail in copy["mails"]} == {behaviour.SENT}
    assert received(here) == {}


def test_pureservice_calls_per_recipient_where_it_sends_itself():
    """What each further recipient costs: ticket, message, check, relation and their minutes."""
    fewer, more = bench.ticket_calls([10, 60])
    assert more.further(fewer) <= 2.1
