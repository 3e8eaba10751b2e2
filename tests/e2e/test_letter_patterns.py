"""The patterns that Digipost's guide knows, and a mixture: over real SFTP, to the simulator.

Counted per recipient: who has what, by which way, and that nobody has it twice.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from dev.digipost import DigipostSimulator, Switches
from dev.pureservice.seed import add_list, add_member, add_user, national_id
from shared.adapters.digipost import Digipost
from shared.adapters.pureservice_lists import PureserviceLists
from shared.domain.delivery import Status
from shared.flow.register import move_register, register
from tests.examples import ROOT
from tests.flow.letter_house import RETURN, LetterHouse

HOME = {"streetAddress": "Ærøgata 1", "postalCode": "0155", "city": "Oslo", "country": "Norge"}
XSD = ROOT.parent / "shared" / "digipost" / "xsd"
#: What the simulator makes of a name; see `dev/digipost/population.py`.
PEOPLE = ("Kari Bruker", "Ola Ikkebruker", "Liv Ukjent", "Åse Fleretreff", "Per Vasket")
USERS = {"Kari", "Per", "Nina"}


class Town:
    """A house, and a Digipost behind a real SFTP server."""

    def __init__(self, house: LetterHouse, digipost: DigipostSimulator) -> None:
        self.house, self.digipost = house, digipost
        self.number = house.open_ticket(
            self._people(),
            message="<p>Årsavgiften endres fra nyttår.</p>",
            status="Utsending – klar",
            channel="digipost",
        )

    def _people(self):
        """Each at home and with e-mail; one of them with a number as well."""
        world = self.house.world
        members = add_list(world, "Brevliste", "BREV")
        for name in (*PEOPLE, "Nina Nummer"):
            first, last = name.split()
            known = {"firstName": first, "lastName": last}
            known["addressId"] = world.add("physicaladdress", dict(HOME))["id"]
            if last == "Nummer":
                known["cf_5"] = next(
                    number for n in range(99) if int((number := national_id(n))[-1]) < 7
                )
            user = add_user(world, known, [f"{first.lower()}@example.no"])
            add_member(world, members, "user", user)
        return members

    async def minute(self) -> None:
        await self.house.minute(desk=False)
        self.digipost.work(self.house.clock())

    async def fill_the_register(self) -> None:
        """One round over everybody on every list, as the weekly timer does it."""
        house = self.house
        edges: dict[str, Any] = {
            "service": house.area,
            "helpdesk": house.helpdesk,
            "directory": PureserviceLists(
                house.settings, house.helpdesk.wire, house.helpdesk.names
            ),
            "ledger": house.ledger,
            "files": house.files,
            "watch": house.watch,
            "settings": house.settings,
            "clock": house.clock,
        }
        await register(**edges)
        for _ in range(3):
            self.digipost.work(house.clock())
            await house.receipts()
            await move_register(**edges)
            house.clock.tick(minutes=1)

    async def until_done(self) -> dict[str, str]:
        """By first name: the way that each was reached by, or their status."""
        for _ in range(20):
            await self.minute()
            if self.house.status(self.number) == "Løst":
                break
        campaign = await self.house.campaign(self.number)
        found = await self.house.deliveries(campaign)
        letters = Counter(one.kunde_id for one in self.digipost.delivered)
        for one in found:
            mails = self.house.channel.addresses[one.recipient.address]
            got = letters[one.id] + mails
            assert got == (one.status is Status.SENT), one.recipient.name
            assert mails == (one.status is Status.SENT and one.channel == "email")
        by_web = {one.kunde_id for one in self.digipost.delivered if one.channel == "WEB"}
        assert by_web == {one.id for one in found if one.channel == "digipost" and letters[one.id]}
        return {
            one.recipient.name.split()[0]: one.channel if one.status is Status.SENT else one.status
            for one in found
        }

    @property
    def jobs(self) -> list[str]:
        """What was asked of Digipost, and for how many."""
        return [
            f"{task.root} {len(task.job.recipients) or len(task.job.letters)}"
            for task in self.digipost.tasks
            if task.job
        ]


Start = Callable[..., Town]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    houses: list[LetterHouse] = []
    simulator = DigipostSimulator(tmp_path, xsd=XSD if XSD.is_dir() else None)
    async with simulator.area.serving() as port:

        def begin(switches: Switches | None = None, **changes: str) -> Town:
            house = LetterHouse(
                **{
                    "DIGIPOST_RETURN_ADDRESS": RETURN,
                    "DIGIPOST_HOST": "127.0.0.1",
                    "DIGIPOST_PORT": str(port),
                    "DIGIPOST_USER": simulator.area.user,
                    "DIGIPOST_KEY": simulator.keys.one_line,
                    "DIGIPOST_HOST_KEY": simulator.keys.host_fingerprint,
                    **changes,
                }
            )
            simulator.switches = switches or Switches()
            simulator.clock = house.clock
            house.area = Digipost(house.settings)
            house.open_letters()
            houses.append(house)
            return Town(house, simulator)

        yield begin
        for house in houses:
            await house.helpdesk.close()


def reached(others: str, **exceptions: str) -> dict[str, str]:
    everybody = {name.split()[0] for name in (*PEOPLE, "Nina Nummer")}
    ways = {name: "digipost" if name in USERS else others for name in everybody}
    return ways | exceptions


async def test_split_before_each_send(start: Start) -> None:
    town = start(DIGIPOST_SPLIT="true", DIGIPOST_NOT_REACHED="email")
    assert await town.until_done() == reached("email")
    assert town.jobs == ["mottakersplitt 6", "masseutsendelse 3"]


async def test_regular_split_and_a_register_kept_up_to_date(start: Start) -> None:
    town = start(DIGIPOST_SPLIT="false", DIGIPOST_REGISTER="on", DIGIPOST_NOT_REACHED="email")
    await town.fill_the_register()
    [asked] = town.jobs
    assert await town.until_done() == reached("email")
    assert town.jobs == [asked, "masseutsendelse 3"]  # nobody is asked about again


async def test_whom_the_register_asked_about_too_long_ago_is_asked_about_again(
    start: Start,
) -> None:
    town = start(DIGIPOST_SPLIT="false", DIGIPOST_REGISTER="on", DIGIPOST_NOT_REACHED="email")
    await town.fill_the_register()
    town.house.clock.tick(days=9)
    assert await town.until_done() == reached("email")
    assert town.jobs[1:] == ["mottakersplitt 6", "masseutsendelse 3"]


async def test_send_only_and_another_channel_for_the_others(start: Start) -> None:
    town = start(DIGIPOST_SPLIT="false", DIGIPOST_NOT_REACHED="email")
    assert await town.until_done() == reached("email")
    assert town.jobs == ["masseutsendelse 6"]


async def test_send_with_print(start: Start) -> None:
    town = start(DIGIPOST_SPLIT="false", DIGIPOST_NOT_REACHED="print")
    assert await town.until_done() == reached("print")
    assert town.jobs == ["masseutsendelse 6"]
    papers = {one.paper for one in town.digipost.delivered if one.channel == "PRINT"}
    assert ("Liv Ukjent", "Ærøgata 1", "0155", "Oslo") in papers, papers


async def test_a_list_for_those_who_are_not_reached(start: Start) -> None:
    town = start(DIGIPOST_NOT_REACHED="list")
    assert await town.until_done() == reached(Status.SKIPPED)
    files = town.house.files_on(town.number)
    assert any(name.startswith("paa-papir-") and name.endswith(".csv") for name in files)
    assert any(name.startswith("paa-papir-") and name.endswith(".pdf") for name in files)


async def test_a_job_that_must_be_approved_waits_until_somebody_does(start: Start) -> None:
    town = start(DIGIPOST_SPLIT="false", DIGIPOST_APPROVE="portal", DIGIPOST_NOT_REACHED="list")
    for _ in range(6):
        await town.minute()
    assert not town.digipost.delivered
    assert any("Digipost-portalen" in note for note in town.house.notes(town.number))
    [task] = town.digipost.tasks
    assert task.job
    town.digipost.approve(task.job.id)
    assert await town.until_done() == reached(Status.SKIPPED)


async def test_a_job_that_is_rejected_by_hand_delivers_nothing_and_says_so(start: Start) -> None:
    town = start(DIGIPOST_SPLIT="false", DIGIPOST_APPROVE="portal", DIGIPOST_NOT_REACHED="list")
    for _ in range(4):
        await town.minute()
    [task] = town.digipost.tasks
    assert task.job
    town.digipost.reject(task.job.id)
    for _ in range(4):
        await town.minute()
    assert not town.digipost.delivered
    assert town.house.status(town.number) == "Utsending – må sjekkes"


AWKWARD = {
    "no first receipt": Switches(received=False),
    "provisional first": Switches(provisional="always"),
    "empty errors, signed": Switches(empty_errors=True, signature=True),
    "half a receipt at first": Switches(two_steps=True),
    "receipts of others": Switches(foreign_receipts=True),
    "the zip is taken away": Switches(uploaded="deleted"),
    "no figures, no reasons": Switches(summary=False, reasons=False),
}


@pytest.mark.parametrize("switches", AWKWARD.values(), ids=list(AWKWARD))
async def test_whatever_nobody_knows_of_digipost_comes_to_the_same(
    start: Start, switches: Switches
) -> None:
    town = start(switches, DIGIPOST_NOT_REACHED="print,email")
    assert await town.until_done() == reached("print")


async def test_an_upload_that_breaks_when_it_is_whole_is_found_and_sent_once(start: Start) -> None:
    switches = Switches(break_upload="complete", break_after_bytes=100, break_times=2)
    town = start(switches, DIGIPOST_SPLIT="false", DIGIPOST_NOT_REACHED="email")
    assert await town.until_done() == reached("email")
    assert not town.digipost.got_twice
