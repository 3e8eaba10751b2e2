"""The test message of a preview: whose it is, who gets it, and that it is nothing else."""

from contextlib import suppress

from dev.pureservice.seed import AGENT, add_file
from shared.errors import TransientError
from tests.flow.edges import Moments, Stop, another, stop
from tests.flow.test_filled_in import KARI, OLA, town
from tests.flow.test_preview import ask, note, prepared, previews

MESSAGE = "<p>Hei {{ recipient.first_name }}</p>"


def agents_address(house, user: int = AGENT) -> str:
    address = house.world.get("user", user)["emailAddressId"]
    return house.world.get("emailaddress", address)["email"]


async def in_preparation(house, *people, **options) -> int:
    members = town(house, *(people or [KARI]))
    options = {"message": MESSAGE, "subject": "Høring for {{ recipient.company }}", **options}
    return await prepared(house, members, **options)


async def test_the_agent_gets_what_one_recipient_would_get_marked_as_a_test(house):
    number = await in_preparation(house)
    file = add_file(house.world, house.ticket(number), "plan.pdf", b"%PDF-1.4")
    told = await note(house, number)
    [(address, message)] = house.channel.tried_out
    assert address == agents_address(house)
    assert message.subject == "[TEST] Høring for Fjordvik skole"
    assert message.html == "<p>Hei Kari</p>"
    assert [one.name for one in message.files] == [file["fileName"]]
    assert f"er sendt til {address}" in told
    assert "Kari Nordmann (n0@example.no)" in told


async def test_nothing_of_it_is_in_the_ledger_or_the_store_but_a_line_in_the_audit_log(house):
    number = await in_preparation(house)
    add_file(house.world, house.ticket(number), "plan.pdf", b"%PDF-1.4")
    await note(house, number)
    assert not house.tables["deliveries"].rows
    assert not house.files.blobs
    assert await house.campaigns(number) == []
    month = f"{house.clock():%Y-%m}"
    [entry] = [one async for one in house.ledger.audit.entries(month)]
    ticket = house.ticket(number)["id"]
    assert (entry.what, entry.subject) == ("trial.sent", f"ticket:{ticket}")
    assert "@" not in f"{entry}"


async def test_test_recipients_get_it_too_each_once(make_house):
    house = make_house(TEST_RECIPIENTS="prove@example.no, Prove@example.no, andre@example.no")
    await note(house, await in_preparation(house))
    tried = [address for address, _ in house.channel.tried_out]
    assert tried == [agents_address(house), "prove@example.no", "andre@example.no"]


async def test_nobody_outside_the_test_list_gets_one(make_house):
    house = make_house(ONLY_SEND_TO="example.no", TEST_RECIPIENTS="prove@example.no")
    address = agents_address(house)
    told = await note(house, await in_preparation(house))
    assert [to for to, _ in house.channel.tried_out] == ["prove@example.no"]
    assert f"{address} fikk ingen prøve" in told


async def test_whose_message_it_is_can_be_chosen_in_a_note(house):
    number = await in_preparation(house, KARI, OLA, subject="Hei")
    house.note(number, "<p>prøve: n1@example.no</p>")
    await note(house, number)
    [(_, message)] = house.channel.tried_out
    assert message.text == "Hei Ola"


async def test_one_who_is_no_recipient_is_said_to_be_none(house):
    number = await in_preparation(house, subject="Hei")
    house.note(number, "<p>prøve: ukjent@example.no</p>")
    assert "ukjent@example.no er ikke blant mottakerne" in await note(house, number)
    assert house.channel.tried_out == []


async def test_each_preview_sends_another_and_one_with_problems_sends_none(house):
    number = await in_preparation(house)
    await ask(house, number)
    house.clock.tick(minutes=5)
    await ask(house, number)
    assert len(house.channel.tried_out) == 2
    broken = await in_preparation(house, message="<p>{{ recipient.ukjent }}</p>")
    await ask(house, broken)
    assert len(house.channel.tried_out) == 2


async def test_one_that_cannot_be_sent_is_told_and_stops_nothing(house):
    async def refuse(message, address):
        raise TransientError("smtp: nei")

    house.channel.try_out = refuse
    told = await note(house, await in_preparation(house))
    assert f"kom ikke av gårde til {agents_address(house)}" in told
    assert not house.files.blobs


async def test_wherever_the_process_ends_there_is_one_at_most(make_house):
    """And one preview, and it says that a test was sent if one was."""
    house = make_house()
    counting = Moments()
    number = await in_preparation(house)
    house.set_status(number, "Utsending – til kontroll")
    await another(house, counting).discover()
    crashes = [n for n, moment in enumerate(counting.passed) if "after" in moment]
    worst = 0
    for at in crashes:
        house = make_house()
        number = await in_preparation(house)
        house.set_status(number, "Utsending – til kontroll")
        with suppress(Stop):
            await another(house, Moments(at, stop)).discover()
        await house.minute()
        assert len(previews(house, number)) == 1
        assert len(house.channel.tried_out) <= 1
        worst += not house.channel.tried_out
    assert worst < len(crashes) / 4
