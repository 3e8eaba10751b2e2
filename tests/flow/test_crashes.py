"""The process ends at any call to the outside, or the call fails; somebody else finishes the job.

At whichever call it is, nobody is written to twice, nobody is forgotten, and the ticket has one of
everything.
"""

from collections import Counter
from contextlib import suppress

import pytest

from dev.pureservice.seed import add_member, add_user
from shared.domain.campaign import Phase
from shared.domain.delivery import Status
from shared.errors import DoubtfulError, TransientError, UncertainError, UtsendelseError
from shared.ledger import Ledger
from tests.flow.edges import Moments, Stop, another, our_files, stop

RECIPIENTS = 2
#: One without an address, and one whose address is another recipient's.
LEFT_OUT = 2


@pytest.fixture
def scene(make_house):
    """A small campaign, not yet found, on a fresh house; its number too."""

    def make(**changes):
        house = make_house(MESSAGE_TRIGGER="failed_email", **changes)
        number = house.seed(recipients=RECIPIENTS, tricky=False, trigger="failed_email")
        account = house.expected(number)
        members = house.world.get("asset", account["lists"][0])
        taken = next(iter(account["mails"]))
        for address in ([], [taken.upper()]):
            user = add_user(house.world, {"firstName": "Åse", "lastName": "Utelatt"}, address)
            add_member(house.world, members, "user", user)
        return house, number

    return make


async def carry_on(host, number: int) -> None:
    """Rounds of everything until it is done, far enough apart for every wait to be over."""
    for _ in range(8):
        for trigger in (host.discover, host.deliver_all, host.account):
            with suppress(UtsendelseError):  # the host logs it and calls again
                await trigger()
        if host.status(number) == "Løst" and not await Ledger.on(**host.tables).campaigns.active():
            return
        host.clock.tick(minutes=11)


async def moments_of(house, number: int) -> list[str]:
    await carry_on(another(house, moments := Moments()), number)
    assert house.status(number) == "Løst"
    return moments.passed


async def check(house, number: int, moment: str) -> Counter[Status]:
    """What holds whatever happened; returns what became of the recipients."""
    campaign = await house.campaign(number)
    assert campaign.phase is Phase.DONE, moment
    assert set(house.channel.addresses.values()) <= {1}, moment
    deliveries = await house.deliveries(campaign)
    statuses = Counter(delivery.status for delivery in deliveries)
    assert (campaign.planned, campaign.left_out) == (RECIPIENTS, LEFT_OUT), moment
    assert statuses.total() == RECIPIENTS, moment
    assert set(statuses) <= {Status.SENT, Status.UNCERTAIN}, moment
    for delivery in deliveries:
        sent = house.channel.addresses[delivery.recipient.address]
        assert sent or delivery.status is Status.UNCERTAIN, moment
    left_out = [one async for one in house.ledger.deliveries.left_out(campaign.id)]
    assert len(left_out) == LEFT_OUT, moment
    assert not await house.ledger.deliveries.any_open(campaign.id)

    assert house.status(number) == "Løst", moment
    assert our_files(house, number) == {
        f"mottakere-{number}-1.csv": 1,
        f"melding-{number}-1.eml": 1,
    }, moment
    [note] = house.notes(number)
    assert "/start" in note, moment
    assert house.ticket(number)["solution"].count("/rapport-1]") == 1, moment
    return statuses


def in_doubt(moments: list[str]) -> set[int]:
    """From the claim until the outcome is stored: whoever comes after cannot know of the send."""
    sends = [n for n, moment in enumerate(moments) if moment == "before channel.send"]
    assert len(sends) == RECIPIENTS
    for n in sends:
        assert moments[n - 1] == "after deliveries.write"
        assert moments[n + 1 : n + 3] == ["after channel.send", "before deliveries.write"]
    return {n + k for n in sends for k in (-1, 0, 1, 2)}


#: The injected runs meet every kind of call; these, one call in so many of one campaign's life.
EVERY = 13


async def test_a_crash_at_any_call_doubles_nobody_and_loses_nobody(scene):
    """Before every call, which is after the one before it: between them nothing leaves us."""
    moments = await moments_of(*scene())
    doubts = in_doubt(moments)
    for at, moment in enumerate(moments):
        if at % EVERY or (moment.startswith("after") and at < len(moments) - 1):
            continue
        house, number = scene()
        with pytest.raises(Stop):
            await carry_on(another(house, Moments(at, stop)), number)
        await carry_on(another(house, Moments()), number)
        statuses = await check(house, number, f"{at} {moment}")
        assert statuses[Status.UNCERTAIN] == (at in doubts), f"{at} {moment}"


WRITES = {"write", "put", "send", "add_note", "attach", "change_ticket", "mark_email_sent"}


def failure(moment: str) -> UtsendelseError:
    """What such a call raises when it fails: before it was done, or after."""
    when, _, call = moment.partition(" ")
    port, _, verb = call.partition(".")
    if port not in {"helpdesk", "channel"}:
        return DoubtfulError("503")
    return UncertainError("lost") if when == "after" and verb in WRITES else TransientError("503")


async def test_a_failure_of_any_call_doubles_nobody_and_loses_nobody(scene):
    """A read that fails is the same before and after."""
    moments = await moments_of(*scene())
    sends = {at for at, moment in enumerate(moments) if moment == "before channel.send"}
    doubts = {at + 1 for at in sends} | {at + 2 for at in sends}  # sent, and not settled
    for at, moment in enumerate(moments):
        if at % EVERY or (moment.startswith("after") and moment.rpartition(".")[2] not in WRITES):
            continue
        house, number = scene()

        async def fail(moment=moment):
            raise failure(moment)

        await carry_on(another(house, Moments(at, fail)), number)
        statuses = await check(house, number, f"{at} {moment}")
        assert statuses[Status.UNCERTAIN] == (at in doubts), f"{at} {moment}"
