"""One ticket per recipient: the real app in the local host, Azurite and the simulator over HTTP."""

from collections import Counter

from dev import bench, playground
from dev.pureservice import behaviour
from dev.seed import seed
from shared.domain.delivery import Status

from .watching import copies_of, outcomes, wait_until_solved


def test_two_hosts_mail_each_message_ourselves_with_the_tag_of_the_recipients_ticket():
    with playground.temporary(TICKET_MESSAGE_VIA="email") as here:
        here.start_host()
        here.start_host()
        expected = seed(here.url, {"scenario": "ticket", "recipients": 16, "tricky": False})
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


def test_pureservice_calls_per_recipient_where_it_sends_itself():
    """What each further recipient costs: ticket, message, check, relation and their minutes.

    A little more than the benchmark's 2.1, which is that of a large campaign.
    """
    fewer, more = bench.ticket_calls([20, 80])
    assert more.further(fewer) <= 2.2
