"""A recipient's ticket in a later round: which is used, and what on it is of no account."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dev.pureservice.seed import OTHER_AGENT, add_message
from shared.domain.delivery import Delivery, OpenDelivery, Status
from shared.domain.recipient_ticket import RecipientTicket, ticket_key
from shared.errors import TransientError, UncertainError
from shared.ports import Receipt
from tests.adapters.test_ticket import (
    BY_MAIL,
    CAMPAIGN,
    FAILED,
    SENT,
    Office,
    office,
)

__all__ = ["office"]  # a fixture


def account(one: OpenDelivery, reference: str) -> Delivery:
    """How the ledger has it when it has failed."""
    return Delivery(
        one.id, CAMPAIGN, one.recipient, "ticket", Status.FAILED, attempts=1, reference=reference
    )


async def failed(office: Office, one: OpenDelivery) -> Delivery:
    """Its message was posted, and the mail of it did not arrive."""
    await office.send(one, office.plain)
    for mail in office.on(office.copy(one), "email"):
        office.world.change("email", mail["id"], {"status": FAILED, "queuedReads": 0})
    return account(one, office.noted(one).note)


async def resumed(office: Office, before: Delivery, **options) -> str | Receipt:
    recipient = replace(before.recipient, **options)
    found = await office.channel.resume([(before, recipient)])
    assert set(found) == {before.id}
    return found[before.id]


def second(one: OpenDelivery, note: str) -> OpenDelivery:
    return replace(one, round=2, note=note)


async def test_the_ticket_of_the_round_before_is_used_again(office: Office) -> None:
    one = office.to()
    before = await failed(office, one)
    note = await resumed(office, before)
    assert isinstance(note, str)
    ticket = RecipientTicket.of(note)
    copy = office.copy(one)
    [message], [mail] = office.messages(copy), office.on(copy, "email")
    said = max(row["id"] for row in office.on(copy, "communication"))
    assert (ticket.id, ticket.mailing) == (copy["id"], False)
    assert (ticket.said, ticket.mailed) == (said, mail["id"])
    assert said >= message["id"]

    again = second(one, note)
    assert await office.channel.find(again) == note  # the old message is not this round's
    assert (await office.channel.check([again]))[one.id].reason == "not_mailed"
    await office.channel.send(again, office.plain, _unnoted)
    assert len(office.copies(one)) == 1
    assert len(office.messages(copy)) == 2
    assert await office.channel.find(again) == Receipt(note, final=False)
    await office.channel.check([again])
    assert (await office.channel.check([again]))[one.id].status is Status.SENT


async def _unnoted(reference: str) -> None:
    raise AssertionError("there is nothing new to note")


async def test_what_had_no_ticket_gets_one_under_the_key_of_its_round(office: Office) -> None:
    one = office.to()
    note = await resumed(office, account(one, ""))
    assert note == ""
    await office.send(second(one, ""), office.plain)
    copy = office.copy(one)
    assert copy["customerReference"] == ticket_key(CAMPAIGN, one.id, 2)


@pytest.mark.parametrize(
    "change",
    [{"address": "ny@example.no"}, {"user": 1}, {"address": "ny@example.no", "user": 0}],
    ids=["address", "user", "company"],
)
async def test_the_ticket_of_who_they_were_is_not_used_and_not_found_again(
    office: Office, change: dict
) -> None:
    one = office.to()
    before = await failed(office, one)
    assert await resumed(office, before, **change) == ""
    again = second(one, "")
    assert await office.channel.find(again) == ""
    office.notes.clear()
    await office.send(again, office.plain)
    first, made = sorted(office.copies(one), key=lambda row: row["id"])
    found = await office.channel.find(again)
    assert isinstance(found, Receipt)
    assert RecipientTicket.of(found.reference).id == made["id"] != first["id"]


async def test_who_spells_their_address_otherwise_is_the_same(office: Office) -> None:
    before = await failed(office, office.to())
    assert await resumed(office, before, address="KARI@Example.no") != ""


async def test_a_deleted_ticket_is_not_used_again(office: Office) -> None:
    one = office.to()
    before = await failed(office, one)
    office.world.change("ticket", office.copy(one)["id"], {"isMarkedForDeletion": True})
    assert await resumed(office, before) == ""
    office.world.remove("ticket", office.copy(one)["id"])
    assert await resumed(office, before) == ""


@pytest.mark.parametrize("named", [True, False])
async def test_a_message_that_arrived_after_all_is_told_of(office: Office, named: bool) -> None:
    office.tenant.switch(message_names_mail=named)
    one = office.to()
    before = await failed(office, one)
    [mail] = office.on(office.copy(one), "email")
    office.world.change("email", mail["id"], {"status": SENT})
    found = await resumed(office, before)
    assert isinstance(found, Receipt) and found.final
    assert RecipientTicket.of(found.reference).id == office.copy(one)["id"]


@pytest.mark.parametrize("named", [True, False])
async def test_what_an_agent_wrote_since_is_not_our_message(office: Office, named: bool) -> None:
    office.tenant.switch(message_names_mail=named, mail_queued_reads=0)
    one = office.to()
    before = await failed(office, one)
    add_message(office.world, office.copy(one), "<p>Har du ny adresse?</p>", by=OTHER_AGENT)
    assert SENT in [mail["status"] for mail in office.on(office.copy(one), "email")]
    assert isinstance(await resumed(office, before), str)


async def test_a_ticket_without_a_message_has_nothing_that_can_have_arrived(office: Office) -> None:
    """An agent has written to them from it."""
    office.tenant.switch(mail_queued_reads=0)
    one = office.to()
    office.tenant.fault("status", method="POST", path="/communication", status=400)
    with pytest.raises(Exception, match="400"):
        await office.send(one, office.plain)
    add_message(office.world, office.copy(one), "<p>Hei</p>", by=OTHER_AGENT)
    note = await resumed(office, account(one, office.noted(one).note))
    assert isinstance(note, str) and note


async def test_a_mail_of_ours_is_begun_anew_unless_the_log_says_that_it_went(
    office: Office,
) -> None:
    channel = office.open(**BY_MAIL)
    one = office.to()
    await office.send(one, office.plain, channel)
    noted = office.noted(one).note
    assert RecipientTicket.of(noted).mailing
    [found] = (await channel.resume([(account(one, noted), one.recipient)])).values()
    assert isinstance(found, Receipt)  # it is in the log

    for row in office.on(office.copy(one), "communication", type=1):
        office.world.remove("communication", row["id"])
    [note] = (await channel.resume([(account(one, noted), one.recipient)])).values()
    assert isinstance(note, str) and not RecipientTicket.of(note).mailing
    begun = second(one, str(RecipientTicket.of(note).begun()))
    with pytest.raises(UncertainError):
        await channel.find(begun)


async def test_very_many_are_asked_about_in_three_calls_for_64(office: Office) -> None:
    many = [office.to(f"p{n}@example.no", f"P {n}") for n in range(66)]
    before = []
    for one in many:
        await office.send(one, office.plain)
        before.append(account(one, office.noted(one).note))
    office.tenant.asked.clear()
    found = await office.channel.resume([(one, one.recipient) for one in before])
    assert set(found) == {one.id for one in many}
    assert len(office.tenant.asked) == 6
    assert max(len(str(request.url.query)) for request in office.tenant.asked) < 2_048


async def test_those_without_a_ticket_cost_no_call(office: Office) -> None:
    one = office.to()
    office.tenant.asked.clear()
    assert await resumed(office, account(one, "")) == ""
    assert not office.tenant.asked


async def test_when_nobody_answers_it_is_asked_later(office: Office) -> None:
    before = await failed(office, office.to())
    office.tenant.fault("status", method="GET", path="/ticket", status=503, times=9)
    with pytest.raises(TransientError):
        await resumed(office, before)
