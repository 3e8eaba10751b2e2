"""The process ends at any call to the outside, or the call fails, while letters are under way.

Between the build, the upload, its verification, the reading of a receipt and the settling: nobody
gets two letters, or a letter and a mail, and nobody is lost.
"""

from collections import Counter
from contextlib import suppress

import pytest

from shared.domain.delivery import Status
from shared.domain.letter_job import JobKind, JobState
from shared.errors import DoubtfulError, TransientError, UncertainError, UtsendelseError
from shared.flow.decide import Decision, decide
from tests.flow.edges import Edge, Moments, Stop, another, stop
from tests.flow.letter_house import LetterHouse
from tests.flow.test_letters import by_name, campaign

NAMES = ("Kari", "Ola", "Liv")
EVERY = 31


class Mix:
    """A campaign of three, by each setting that makes its way another one."""

    def __init__(self, **changes: str) -> None:
        self.changes = changes

    def __str__(self) -> str:
        return "-".join(self.changes.values())

    async def house(self) -> tuple[LetterHouse, int]:
        house = LetterHouse(**self.changes)
        number = campaign(house, *NAMES)
        while not await house.campaigns(number) or not (await house.campaign(number)).has_begun:
            house.clock.tick(minutes=1)
            await house.discover()
        found = await by_name(house, number)
        house.desk.people = {found["Ola"].id: "known", found["Liv"].id: "unknown"}
        return house, number


MIXES = (
    Mix(DIGIPOST_SPLIT="true", DIGIPOST_NOT_REACHED="email"),
    Mix(DIGIPOST_SPLIT="false", DIGIPOST_NOT_REACHED="print,list"),
    Mix(DIGIPOST_SPLIT="true", DIGIPOST_NOT_REACHED="email", DIGIPOST_REGISTER="on"),
)


def host_on(house: LetterHouse, meet) -> LetterHouse:
    host = another(house, meet)
    host.area = Edge("area", house.area, meet)
    host.open_letters()
    return host


async def carry_on(host: LetterHouse, number: int, rounds: int = 12) -> None:
    """Rounds of everything, far enough apart for every wait; somebody decides what is in doubt."""
    for _ in range(rounds):
        steps = (host.discover, host.deliver_all, host.letters, host.receipts, host.account)
        for step in steps:
            with suppress(UtsendelseError):
                await step()
            host.desk.work()
        with suppress(UtsendelseError):
            if host.status(number) == "Løst" and not await host.ledger.campaigns.active():
                return
        with suppress(UtsendelseError):
            await somebody_decides(host, number)
        host.clock.tick(minutes=11)


async def somebody_decides(host: LetterHouse, number: int) -> None:
    """A look at Digipost tells whether the job is there; what is half there, it cannot read."""
    [one] = await host.campaigns(number)
    for job in await host.ledger.jobs.of(one.id):
        if job.state is JobState.UNKNOWN and job.kind is JobKind.SEND and "unknown" in job.steps:
            whole = await host.area.size_of(job.kind, job.zip_name) == job.size
            found = Decision.RECEIVED if whole else Decision.NOT_RECEIVED
            await decide(one.id, job.number, found, ledger=host.ledger, clock=host.clock)


async def check(house: LetterHouse, number: int, moment: str) -> None:
    assert house.status(number) == "Løst", moment
    found = await by_name(house, number)
    assert set(found) == set(NAMES), moment
    got = Counter(house.desk.delivered)
    for name, one in found.items():
        got[one.id] += house.channel.addresses[one.recipient.address]
        certain = one.status is not Status.UNCERTAIN
        reached = one.status is Status.SENT
        assert got[one.id] <= 1, f"{moment}: {name} got {got[one.id]}"
        assert not certain or reached == bool(got[one.id]), f"{moment}: {name} {one.status}"
    assert found["Kari"].status is Status.SENT, moment


async def moments_of(mix: Mix) -> list[str]:
    house, number = await mix.house()
    await carry_on(host_on(house, moments := Moments()), number)
    await check(house, number, "plain")
    await house.helpdesk.close()
    return moments.passed


@pytest.mark.parametrize("mix", MIXES, ids=str)
async def test_a_crash_at_any_call_doubles_nobody_and_loses_nobody(mix):
    moments = await moments_of(mix)
    uploads = [at for at, moment in enumerate(moments) if moment.endswith("area.upload")]
    for at, moment in enumerate(moments):
        if moment.startswith("after") or (at % EVERY and at not in uploads):
            continue
        house, number = await mix.house()
        with suppress(Stop):
            await carry_on(host_on(house, Moments(at, stop)), number)
        await carry_on(host_on(house, Moments()), number)
        await check(house, number, f"{at} {moment}")
        await house.helpdesk.close()


_WRITES = {"write", "put", "send", "upload", "remove", "add_note", "attach", "change_ticket"}


def failure(moment: str) -> UtsendelseError:
    when, _, call = moment.partition(" ")
    port, _, verb = call.partition(".")
    if port in {"helpdesk", "channel", "area"}:
        late = when == "after" and verb in _WRITES
        return UncertainError("lost") if late else TransientError("503")
    return DoubtfulError("503")


@pytest.mark.parametrize("mix", MIXES, ids=str)
async def test_a_failure_of_any_call_doubles_nobody_and_loses_nobody(mix):
    moments = await moments_of(mix)
    for at, moment in enumerate(moments):
        verb = moment.rpartition(".")[2]
        if (at + 1) % EVERY and verb != "upload":
            continue
        if moment.startswith("after") and verb not in _WRITES:
            continue
        house, number = await mix.house()

        async def fail(moment=moment):
            raise failure(moment)

        await carry_on(host_on(house, Moments(at, fail)), number)
        await check(house, number, f"{at} {moment}")
        await house.helpdesk.close()
