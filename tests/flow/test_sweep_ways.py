"""Interrupted e-mail where it goes by several ways: each is cleared up by whoever had it."""

from datetime import timedelta

import pytest

from shared.domain.campaign import Phase
from shared.domain.delivery import Reason, Status
from shared.errors import TransientError, UncertainError
from shared.ports import Promise, Receipt, Repeat
from tests.flow.edges import under_way

BY_REPEATING = "acs:5e9f6a3c"


class Ways:
    """What `find` says of each delivery, by what is noted of it."""

    def __init__(self, house, **says):
        self.says = says
        self.asked = []
        house.channel.promise = Promise.CAN_BE_ASKED
        house.channel.find = self.find
        house.channel.check = self.check

    async def find(self, delivery):
        self.asked.append(delivery.id)
        said = self.says[delivery.note.partition(":")[0] or "smtp"]
        if isinstance(said, Exception):
            raise said
        return said

    async def check(self, submitted):
        return {}


async def interrupted(house, *notes, **options):
    """A campaign with a claim that has ended without an outcome for each note."""
    campaign = await under_way(house, len(notes), **options)
    for delivery, note in zip(await house.deliveries(campaign), notes, strict=True):
        opened = await house.ledger.deliveries.get_open(campaign.id, delivery.id)
        await house.ledger.deliveries.claim(opened, house.clock(), house.settings.lease, note)
    house.clock.tick(minutes=7)
    return campaign


async def outcomes(house, campaign):
    return {one.id: one.status for one in await house.deliveries(campaign)}


async def test_who_does_not_answer_holds_up_nobody_else(house):
    ways = Ways(house, graph=TransientError("403"), smtp=UncertainError("nobody knows"))
    campaign = await interrupted(house, "graph:a", "", "", "", "")
    await house.account()
    statuses = await house.statuses(campaign)
    assert statuses == {Status.UNCERTAIN: 4, Status.PLANNED: 1}
    ways.says["graph"] = Receipt("<x@exchange>")
    await house.account()
    assert (await house.statuses(campaign))[Status.SENT] == 1


async def test_what_is_known_to_repetitions_goes_again_from_there(house):
    Ways(house, acs=Repeat(BY_REPEATING))
    campaign = await interrupted(house, "acs:")
    await house.account()
    [delivery] = await house.deliveries(campaign)
    opened = await house.ledger.deliveries.get_open(campaign.id, delivery.id)
    assert (opened.note, opened.claim) == (BY_REPEATING, None)


@pytest.mark.parametrize("why", ["called off", "too often"])
async def test_it_is_never_said_not_to_have_been_sent_when_it_cannot_be_repeated(make_house, why):
    """A new round would send it anew, under another key."""
    house = make_house(MAX_ATTEMPTS="8" if why == "called off" else "1")
    Ways(house, acs=Repeat(BY_REPEATING))
    phase = Phase.CANCELLING if why == "called off" else Phase.SENDING
    campaign = await interrupted(house, "acs:", phase=phase)
    await house.account()
    [delivery] = await house.deliveries(campaign)
    assert (delivery.status, delivery.reason) == (Status.UNCERTAIN, Reason.INTERRUPTED)


async def test_what_is_known_not_to_have_gone_is_called_off(house):
    Ways(house, graph="graph:")
    campaign = await interrupted(house, "graph:", phase=Phase.CANCELLING)
    for _ in range(3):
        await house.account()
        house.clock.tick(minutes=1)
    assert set((await outcomes(house, campaign)).values()) == {Status.CANCELLED}


async def test_rather_twice_than_never_sends_again_by_whom_it_may(make_house):
    house = make_house(EMAIL_WHEN_UNCERTAIN="resend")
    Ways(house, graph=UncertainError("neither sent nor a draft"))
    campaign = await interrupted(house, "graph:draft")
    await house.account()
    [delivery] = await house.deliveries(campaign)
    opened = await house.ledger.deliveries.get_open(campaign.id, delivery.id)
    assert (opened.note, opened.claim) == ("", None)
    assert house.clock() - opened.not_before < timedelta(minutes=1)
