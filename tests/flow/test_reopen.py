"""Going again: exactly those who were not reached, as they are today; nobody twice, nobody lost."""

import csv
import html
import io
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from dev.pureservice.seed import (
    MESSAGE_TYPE,
    PDF,
    add_company,
    add_file,
    add_member,
    add_message,
    add_user,
)
from shared.adapters.mime import message_id
from shared.domain.campaign import Campaign, Phase
from shared.domain.delivery import OpenDelivery, Outcome, Reason, Status
from shared.domain.recipient import LeftOutReason
from shared.errors import PermanentError, TransientError, UncertainError, UtsendelseError
from shared.flow import reopen as flow
from shared.ledger import Ledger
from shared.ports import Receipt
from tests.flow.conftest import House
from tests.flow.edges import MESSAGE, Moments, Stop, another, our_files, stop

READY, RUNNING, SOLVED = "Utsending – klar", "Utsending – pågår", "Løst"
ATTENTION, CANCEL, PAUSE = "Utsending – må sjekkes", "Utsending – avbryt", "Utsending – pause"


@dataclass
class Provider:
    """What the mail server says to each address, and what it was given."""

    refuses: set[str] = field(default_factory=set)
    hangs_up_on: set[str] = field(default_factory=set)
    busy_for: set[str] = field(default_factory=set)

    def __call__(self, delivery: OpenDelivery) -> Receipt:
        address = delivery.recipient.address
        if address in self.refuses:
            raise PermanentError("smtp: 550 5.1.1 no such user")
        if address in self.hangs_up_on:
            raise UncertainError("smtp: DATA: timed out")
        if address in self.busy_for:
            raise TransientError("smtp: 451 try again")
        return Receipt(message_id(delivery, MESSAGE.sender), "250 OK")


@dataclass
class Scene:
    """A campaign on a ticket with one list, and the people on it by a short name."""

    house: House
    members: dict
    people: dict[str, dict]
    number: int
    provider: Provider

    def address(self, who: str, address: str | None) -> None:
        """Give them this default address, or none."""
        world, user = self.house.world, self.people[who]
        id_ = world.add("emailaddress", {"email": address, "userId": user["id"]})["id"]
        world.change("user", user["id"], {"emailAddressId": id_ if address else None})

    def disable(self, who: str, disabled: bool = True) -> None:
        self.house.world.change("user", self.people[who]["id"], {"disabled": disabled})

    def join(self, who: str, address: str | None) -> None:
        """Somebody new on the list."""
        self.people[who] = _person(self.house, who, address)
        add_member(self.house.world, self.members, "user", self.people[who])

    def note(self, line: str) -> None:
        """An internal note of the case worker's."""
        self.house.clock.tick(seconds=1)
        row = add_message(self.house.world, self.house.ticket(self.number), f"<p>{line}</p>")
        self.house.world.change("communication", row["id"], {"type": 1, "direction": 3})

    def go(self) -> None:
        self.house.set_status(self.number, READY)

    async def campaign(self) -> Campaign:
        return (await self.house.campaigns(self.number))[-1]

    async def rest(self, minutes: int = 12) -> Campaign:
        """The campaign when it is over and nothing moves any more."""
        for _ in range(minutes):
            await self.house.minute()
            campaign = await self.campaign()
            if not campaign.active and self.house.status(self.number) != READY:
                return campaign
        raise AssertionError((campaign.phase, self.house.status(self.number)))

    async def again(self) -> Campaign:
        """Another round, all of it."""
        self.go()
        return await self.rest()

    @property
    def got(self) -> dict[str, int]:
        """How many mails each address has had."""
        return dict(self.house.channel.addresses)

    async def became(self) -> dict[str, str]:
        """What stands of each address."""
        rows = await self.house.deliveries(await self.campaign())
        return {
            one.recipient.address: "replaced" if one.replaced else str(one.status) for one in rows
        }

    async def accounts(self) -> Counter[str]:
        """How often each member is counted."""
        campaign = await self.campaign()
        rows = await self.house.deliveries(campaign)
        left_out = [one async for one in self.house.ledger.deliveries.left_out(campaign.id)]
        planned = [one.recipient.member for one in rows if not one.replaced]
        assert (campaign.planned, campaign.left_out) == (len(planned), len(left_out))
        return Counter([*planned, *(str(one.member) for one in left_out)])

    def last_note(self) -> str:
        return words(self.house.notes(self.number)[-1])


def words(text: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text))).strip()


def _person(house: House, who: str, address: str | None) -> dict:
    name = {"firstName": who.title(), "lastName": "Ås"}
    return add_user(house.world, name, [address] if address else [])


def scene(house: House, /, **addresses: str | None) -> Scene:
    members = house.make_list("Høringsinstanser")
    provider = Provider()
    house.channel.answer = provider
    number = house.open_ticket(members, message="<p>Hei</p>")
    made = Scene(house, members, {}, number, provider)
    for who, address in addresses.items():
        made.join(who, address)
    made.go()
    return made


@pytest.fixture
def kari_ola_per(house) -> Scene:
    """Kari gets it, Ola is refused, and nobody knows of Per."""
    made = scene(house, kari="kari@example.no", ola="ola@example.no", per="per@example.no")
    made.provider.refuses.add("ola@example.no")
    made.provider.hangs_up_on.add("per@example.no")
    return made


# --- who is sent to ---


async def test_those_not_reached_get_it_as_they_are_today_and_nobody_else_does(house):
    people = {
        "kari": "kari@example.no",
        "ola": "feil@example.no",
        "per": "per@example.no",
        "mia": None,
        "liv": "ikke en adresse",
        "tor": "tor@example.no",
        "eva": "eva@example.no",
    }
    one = scene(house, **people)
    one.disable("tor")
    one.provider.refuses |= {"feil@example.no", "eva@example.no"}
    one.provider.hangs_up_on.add("per@example.no")
    await one.rest()
    assert one.got == {"kari@example.no": 1}

    one.address("ola", "ola@example.no")
    one.address("mia", "mia@example.no")
    one.address("liv", "liv@example.no")
    one.address("kari", "kari.ny@example.no")
    one.disable("tor", False)
    one.provider.refuses.clear()
    one.provider.hangs_up_on.clear()
    campaign = await one.again()
    reached = ("kari", "ola", "mia", "liv", "tor", "eva")
    assert one.got == {f"{who}@example.no": 1 for who in reached}
    assert (campaign.phase, campaign.round) == (Phase.DONE, 2)
    assert await one.became() == {
        **{f"{who}@example.no": "sent" for who in reached},
        "feil@example.no": "replaced",
        "per@example.no": "uncertain",
    }
    assert set((await one.accounts()).values()) == {1}


async def test_who_still_cannot_be_reached_stays_as_they_are(house):
    one = scene(house, kari="kari@example.no", ola="ola@example.no", mia=None, per="per@example.no")
    one.provider.refuses |= {"ola@example.no", "per@example.no"}
    await one.rest()
    one.disable("ola")
    house.world.remove("user", one.people["per"]["id"])
    before = await one.became()
    campaign = await one.again()
    assert campaign.phase is Phase.DONE
    assert await one.became() == before
    rows = {d.recipient.address: d for d in await house.deliveries(campaign)}
    assert rows["ola@example.no"].reason is Reason.REFUSED
    assert one.got == {"kari@example.no": 1}
    assert "Det er ingen å sende meldingen til nå" in one.last_note()
    assert "2 mottakere kan fortsatt ikke nås" in one.last_note()


async def test_a_third_round_reaches_those_whom_the_second_did_not(kari_ola_per):
    one = kari_ola_per
    await one.rest()
    one.address("ola", "ola.to@example.no")
    one.provider.refuses.add("ola.to@example.no")
    await one.again()
    assert one.got == {"kari@example.no": 1}
    one.address("ola", "ola.tre@example.no")
    campaign = await one.again()
    assert one.got == {"kari@example.no": 1, "ola.tre@example.no": 1}
    assert campaign.round == 3
    assert await one.became() == {
        "kari@example.no": "sent",
        "ola@example.no": "replaced",
        "ola.to@example.no": "replaced",
        "ola.tre@example.no": "sent",
        "per@example.no": "uncertain",
    }
    assert "Ingen flere har fått meldingen" in words(house_note(one, "rapport-2"))
    assert "1 mottaker til har fått meldingen" in words(house_note(one, "rapport-3"))


def house_note(one: Scene, name: str) -> str:
    [note] = [note for note in one.house.notes(one.number) if f"/{name}]" in note]
    return note


async def test_a_company_is_sent_to_at_the_address_it_has_today(house):
    one = scene(house, kari="kari@example.no")
    company = add_company(house.world, {"name": "Ærlig Firma"}, ["post@gammel.example.no"])
    add_member(house.world, one.members, "company", company)
    one.provider.refuses.add("post@gammel.example.no")
    await one.rest()
    address = house.world.find("companyemailaddress", email="post@gammel.example.no")
    house.world.change("companyemailaddress", address["id"], {"email": "post@ny.example.no"})
    await one.again()
    assert one.got == {"kari@example.no": 1, "post@ny.example.no": 1}
    assert house.channel.sent[-1].recipient.name == "Ærlig Firma"


async def test_two_who_shared_a_wrong_address_each_get_their_own(house):
    """One of them had the delivery, the other was left out as a duplicate."""
    one = scene(house, kari="felles@example.no", ola="felles@example.no")
    one.provider.refuses.add("felles@example.no")
    await one.rest()
    one.address("kari", "kari@example.no")
    one.address("ola", "ola@example.no")
    await one.again()
    assert one.got == {"kari@example.no": 1, "ola@example.no": 1}
    assert set((await one.accounts()).values()) == {1}


async def test_where_only_one_of_two_has_moved_both_are_reached(house):
    one = scene(house, kari="felles@example.no", ola="felles@example.no")
    one.provider.refuses.add("felles@example.no")
    await one.rest()
    one.provider.refuses.clear()
    one.address("kari", "kari@example.no")
    await one.again()
    assert one.got == {"kari@example.no": 1, "felles@example.no": 1}
    assert set((await one.accounts()).values()) == {1}


async def test_who_shared_an_address_that_was_reached_is_never_sent_to_again(house):
    one = scene(house, kari="felles@example.no", ola="felles@example.no", per="per@example.no")
    one.provider.refuses.add("per@example.no")
    await one.rest()
    one.address("ola", "ola@example.no")
    one.provider.refuses.clear()
    await one.again()
    assert one.got == {"felles@example.no": 1, "per@example.no": 1}


async def test_who_has_moved_to_somebody_who_was_reached_is_not_sent_to_again(kari_ola_per):
    one = kari_ola_per
    await one.rest()
    one.address("ola", "kari@example.no")
    campaign = await one.again()
    assert one.got == {"kari@example.no": 1}
    assert campaign.phase is Phase.DONE
    assert (await one.became())["ola@example.no"] == "replaced"
    assert set((await one.accounts()).values()) == {1}


async def test_who_was_off_the_test_list_gets_it_when_they_are_on_it(make_house):
    house = make_house(ONLY_SEND_TO="kari@example.no")
    one = scene(house, kari="kari@example.no", ola="ola@example.no")
    await one.rest()
    house.settings = house.settings.model_copy(update={"ONLY_SEND_TO": "*"})
    await one.again()
    assert one.got == {"kari@example.no": 1, "ola@example.no": 1}


async def test_the_attempts_of_an_earlier_round_are_not_held_against_anybody(make_house):
    house = make_house(MAX_ATTEMPTS="2")
    one = scene(house, ola="ola@example.no")
    one.provider.busy_for.add("ola@example.no")
    await one.rest()
    assert await one.became() == {"ola@example.no": "failed"}
    one.go()
    for _ in range(3):  # reopened, and one attempt that passes
        await house.minute()
    one.provider.busy_for.clear()
    campaign = await one.rest()
    [delivery] = await house.deliveries(campaign)
    assert (delivery.status, delivery.earlier_attempts) == (Status.SENT, 2)
    assert one.got == {"ola@example.no": 1}


async def test_the_mail_of_another_round_is_another_mail(house):
    one = scene(house, ola="ola@example.no")
    one.provider.refuses.add("ola@example.no")
    await one.rest()
    tried = []
    one.provider.refuses.clear()
    house.channel.answer = lambda d: (tried.append(d), one.provider(d))[1]
    await one.again()
    [second] = tried
    first = OpenDelivery(second.id, second.campaign, second.recipient)
    assert message_id(first, MESSAGE.sender) != message_id(second, MESSAGE.sender)


# --- when it is asked for ---


async def test_a_state_that_merely_persists_never_goes_again(kari_ola_per):
    one = kari_ola_per
    campaign = await one.rest()
    await one.house.run(5)
    assert await one.campaign() == campaign


async def test_a_go_status_that_was_never_left_does_not_go_again(make_house):
    """No status says that it is under way, and the ticket could not be solved."""
    house = make_house(STATUS_RUNNING="")
    one = scene(house, ola="ola@example.no")
    one.provider.refuses.add("ola@example.no")
    await house.discover()
    await house.deliver_all()
    house.trouble("status", method="PATCH", path="/ticket", status=400)
    await house.run(3)
    one.provider.refuses.clear()
    one.note("Hva skjer her?")
    await house.run(5)
    first, *_ = await house.campaigns(one.number)
    assert (first.phase, first.round) == (Phase.DONE, 1)
    assert one.got == {}


async def test_nobody_to_reach_is_told_once_and_the_ticket_solved_again(house):
    one = scene(house, kari="kari@example.no")
    await one.rest()
    await one.again()
    assert house.status(one.number) == SOLVED
    assert "Det er ingen å sende meldingen til nå Mottakeren har fått den" in one.last_note()
    told = len(house.notes(one.number))
    await house.run(5)
    assert len(house.notes(one.number)) == told
    one.join("ola", "ola@example.no")
    one.note("mottakere: nye")
    await one.again()  # and it can still be asked for
    assert one.got == {"kari@example.no": 1, "ola@example.no": 1}


async def test_what_was_called_off_goes_on_with_the_rest(house):
    people = {f"p{n}": f"p{n}@example.no" for n in range(6)}
    one = scene(house, **people)
    await house.discover()
    first, *rest = house.queue.take()
    await house.deliver(first)
    house.set_status(one.number, CANCEL)
    await one.rest()
    campaign = await one.campaign()
    assert (campaign.phase, len(one.got)) == (Phase.CANCELLED, 1)
    assert house.status(one.number) == CANCEL
    note = words(house_note(one, "rapport-1"))
    assert note.startswith("Masseutsendelsen er avbrutt 1 av 6 mottakere har fått meldingen.")
    assert f"setter du statusen til «{READY}»" in note
    assert not house.ticket(one.number).get("solution")
    for stale in rest:
        await house.deliver(stale)
    campaign = await one.again()
    assert (campaign.phase, campaign.called_off) == (Phase.DONE, False)
    assert one.got == dict.fromkeys(people.values(), 1)
    assert "5 mottakere til har fått meldingen" in words(house.ticket(one.number)["solution"])


async def test_a_change_of_mind_while_it_is_called_off_is_heard(house):
    one = scene(house, kari="kari@example.no", ola="ola@example.no")
    await house.discover()
    await house.deliver(house.queue.take()[0])
    house.set_status(one.number, CANCEL)
    await house.discover()
    house.set_status(one.number, READY)
    await house.account()  # closes, and reports
    await house.account()
    await one.rest()
    assert one.got == {"kari@example.no": 1, "ola@example.no": 1}


async def test_a_verdict_on_the_uncertain_is_taken_before_anybody_is_opened(house):
    one = scene(house, kari="kari@example.no", ola="ola@example.no", per="per@example.no")
    one.provider.hangs_up_on |= {"ola@example.no", "per@example.no"}
    await one.rest()
    one.provider.hangs_up_on.clear()
    one.note("usikker ola@example.no: ikke sendt")
    one.note("usikker per@example.no: sendt")
    await one.again()
    assert one.got == {"kari@example.no": 1, "ola@example.no": 1}
    assert await one.became() == dict.fromkeys(
        ("kari@example.no", "ola@example.no", "per@example.no"), "sent"
    )


async def test_our_own_words_on_how_to_settle_settle_nothing(kari_ola_per):
    """They stand in notes on the same ticket."""
    one = kari_ola_per
    await one.rest()
    one.provider.refuses.clear()
    await one.again()
    assert any("usikre: ikke sendt" in note for note in one.house.notes(one.number))
    await one.again()
    assert (await one.became())["per@example.no"] == "uncertain"


# --- new members ---


async def test_new_members_get_it_only_when_asked_for(kari_ola_per):
    one = kari_ola_per
    await one.rest()
    one.join("liv", "liv@example.no")
    one.join("mia", None)
    one.provider.refuses.clear()
    await one.again()
    assert "liv@example.no" not in one.got
    one.note("mottakere: nye")
    await one.again()
    assert one.got == dict.fromkeys(("kari@example.no", "ola@example.no", "liv@example.no"), 1)
    assert "1 av dem er ny på mottakerlistene" in words(house_note(one, "runde-3"))
    accounts = await one.accounts()
    assert set(accounts.values()) == {1} and len(accounts) == 5
    reasons = [
        row.reason async for row in one.house.ledger.deliveries.left_out((await one.campaign()).id)
    ]
    assert reasons == [LeftOutReason.NO_ADDRESS]


async def test_asking_for_new_members_counts_once(kari_ola_per):
    one = kari_ola_per
    await one.rest()
    one.note("mottakere: nye")
    one.provider.refuses.clear()
    await one.again()
    one.join("liv", "liv@example.no")
    await one.again()
    assert "liv@example.no" not in one.got


async def test_who_was_reached_and_has_moved_since_is_not_new(kari_ola_per):
    one = kari_ola_per
    await one.rest()
    one.address("kari", "kari.ny@example.no")
    one.address("per", "per.ny@example.no")
    one.note("mottakere: nye")
    one.provider.refuses.clear()
    await one.again()
    assert one.got == {"kari@example.no": 1, "ola@example.no": 1}


async def test_a_new_member_at_an_address_that_was_reached_is_counted_as_a_duplicate(kari_ola_per):
    one = kari_ola_per
    await one.rest()
    one.join("liv", "KARI@example.no")
    one.note("mottakere: nye")
    await one.again()
    assert one.got == {"kari@example.no": 1}
    assert set((await one.accounts()).values()) == {1} and len(await one.accounts()) == 4


async def test_a_new_member_at_an_address_where_somebody_could_not_be_reached_gets_it(house):
    one = scene(house, kari="kari@example.no", ola="felles@example.no")
    one.provider.refuses.add("felles@example.no")
    await one.rest()
    one.provider.refuses.clear()
    one.disable("ola")
    one.join("liv", "felles@example.no")
    one.note("mottakere: nye")
    await one.again()
    assert one.got == {"kari@example.no": 1, "felles@example.no": 1}
    assert set((await one.accounts()).values()) == {1}


async def test_a_list_that_changes_while_it_is_read_is_read_anew(make_house):
    house = make_house()
    one = scene(house, **{f"p{n}": f"p{n}@example.no" for n in range(3)})
    await one.rest()
    for n in range(3, 42):  # not a round number, or the page would be read on in any case
        one.join(f"p{n}", f"p{n}@example.no")
    one.note("mottakere: nye")
    members = 0

    async def meet(moment: str) -> None:
        nonlocal members
        members += moment == "after helpdesk.members"
        if moment == "after helpdesk.members" and members == 1:
            one.join("sen", "sen@example.no")

    one.go()
    host = another(house, meet)
    for _ in range(8):
        house.clock.tick(minutes=1)
        await host.discover()
        await host.deliver_all()
        await host.account()
    assert one.got == dict.fromkeys([f"p{n}@example.no" for n in range(42)] + ["sen@example.no"], 1)


async def test_somebody_who_leaves_a_long_list_while_it_is_read_makes_nobody_be_passed_over(house):
    """Everybody behind them moves up, over the edge between two pages."""
    one = scene(house, kari="kari@example.no")
    await one.rest()
    many = [f"p{n:03}" for n in range(510)]
    for who in many:
        one.join(who, f"{who}@example.no")
    one.note("mottakere: nye")
    left = []

    async def meet(moment: str) -> None:
        if moment == "after helpdesk.members" and not left:
            relation = house.world.find("relationship", fromUserId=one.people["kari"]["id"])
            house.world.remove("relationship", relation["id"])
            left.append("kari")

    one.go()
    host = another(house, meet)
    for _ in range(6):
        house.clock.tick(minutes=1)
        await host.discover()
    await one.rest()
    assert left and one.got == {f"{who}@example.no": 1 for who in ("kari", *many)}


async def test_lists_that_cannot_be_read_keep_nobody_else_waiting(kari_ola_per):
    one = kari_ola_per
    await one.rest()
    one.provider.refuses.clear()
    one.note("mottakere: nye")
    one.house.world.change("asset", one.members["id"], {"isMarkedForDeletion": True})
    await one.again()
    assert one.got == {"kari@example.no": 1, "ola@example.no": 1}
    assert "lot seg ikke lese nå" in words(house_note(one, "runde-2"))


# --- what it says ---


async def test_the_note_tells_who_gets_it_who_does_not_and_how_to_regret(make_house):
    house = make_house(UNDO_SECONDS="180")
    one = scene(
        house, kari="kari@example.no", ola="o@example.no", per="per@example.no", mia="m@x.no"
    )
    one.provider.refuses |= {"o@example.no", "m@x.no"}
    one.provider.hangs_up_on.add("per@example.no")
    await one.rest(20)
    one.address("ola", "ola@example.no")
    one.disable("mia")
    one.go()
    await house.minute()
    await house.minute()
    assert house.status(one.number) == RUNNING
    note = words(house_note(one, "runde-2"))
    for phrase in (
        "1 mottaker får meldingen på e-post. 1 av dem har fått ny kontaktinformasjon siden sist.",
        "Den første sendes tidligst",
        "1 mottaker har fått meldingen, og får den ikke igjen.",
        f"Hvis du angrer, gir du saken statusen «{CANCEL}» eller «{PAUSE}» før",
        "1 mottaker kan fortsatt ikke nås",
        "1 mottaker er usikker, og er ikke tatt med",
        "«usikre: ikke sendt»",
    ):
        assert phrase in note, (phrase, note)
    assert one.got == {"kari@example.no": 1}
    for _ in range(4):
        await house.minute()
    assert one.got == {"kari@example.no": 1, "ola@example.no": 1}


async def test_the_second_report_adds_to_the_first(kari_ola_per):
    one = kari_ola_per
    await one.rest()
    first = one.house.ticket(one.number)["solution"]
    one.address("ola", "ola.ny@example.no")
    await one.again()
    assert one.house.ticket(one.number)["solution"] == first
    note = words(house_note(one, "rapport-2"))
    assert note.startswith("Masseutsendelsen er ferdig, runde 2 1 mottaker til har fått meldingen.")
    assert "Til sammen har 2 av 3 mottakere fått den." in note
    assert our_files(one.house, one.number) == {
        f"mottakere-{one.number}-1.csv": 1,
        f"mottakere-{one.number}-1-runde2.csv": 1,
        f"melding-{one.number}-1.eml": 1,
    }
    file = one.house.files_on(one.number)[f"mottakere-{one.number}-1-runde2.csv"]
    text = one.house.world.content(file["digest"]).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=";"))
    told = {row["E-postadresse"]: (row["Status"], row["Forsøk"], row["Runde"]) for row in rows}
    assert told == {
        "kari@example.no": ("sendt", "1", "1"),
        "ola@example.no": ("erstattet", "1", "1"),
        "ola.ny@example.no": ("sendt", "1", "2"),
        "per@example.no": ("usikkert", "1", "1"),
    }


async def test_the_report_says_how_to_go_again_where_somebody_was_not_reached(kari_ola_per):
    one = kari_ola_per
    await one.rest()
    report = words(one.house.ticket(one.number)["solution"])
    assert (
        f"setter statusen til «{READY}». Meldingen går da til dem som ikke har fått den" in report
    )
    assert "Finner du det ut, skriver du «usikre: ikke sendt»" in report


# --- when it must not be ---


async def test_a_changed_message_is_a_new_campaign_and_is_not_sent_as_another_round(kari_ola_per):
    one = kari_ola_per
    await one.rest()
    one.provider.refuses.clear()
    entry = one.house.world.find(
        "communication", ticketId=one.house.ticket(one.number)["id"], text="<p>Hei</p>"
    )
    one.house.world.change("communication", entry["id"], {"text": "<p>Hei igjen</p>"})
    one.go()
    await one.house.run(3)
    assert one.house.status(one.number) == ATTENTION
    assert "en endret melding er en ny utsendelse" in one.last_note()
    assert f"«{MESSAGE_TYPE}»" in one.last_note()
    assert one.got == {"kari@example.no": 1}
    assert (await one.campaign()).round == 1
    one.house.world.change("communication", entry["id"], {"text": "<p>Hei</p>"})
    await one.again()
    assert one.got == {"kari@example.no": 1, "ola@example.no": 1}


async def test_where_no_status_asks_for_attention_a_refusal_is_not_repeated_until_somebody_acts(
    make_house, caplog
):
    house = make_house(STATUS_ATTENTION="")
    one = scene(house, kari="kari@example.no", ola="ola@example.no")
    one.provider.refuses.add("ola@example.no")
    await one.rest()
    one.provider.refuses.clear()
    entry = house.world.find("communication", text="<p>Hei</p>")
    house.world.change("communication", entry["id"], {"text": "<p>Hei igjen</p>"})
    one.go()
    await house.run(5)
    assert house.status(one.number) == READY
    assert sum("reopen.refused" in record.message for record in caplog.records) == 1
    assert "endrer du noe på saken" in one.last_note()
    house.world.change("communication", entry["id"], {"text": "<p>Hei</p>"})
    one.note("Nå er teksten som den var.")
    await one.rest()
    assert one.got == {"kari@example.no": 1, "ola@example.no": 1}


async def test_other_changes_on_the_ticket_do_not_make_it_another_message(kari_ola_per):
    one = kari_ola_per
    await one.rest()
    one.provider.refuses.clear()
    ticket = one.house.ticket(one.number)
    category = one.house.world.find("category", name="Høring")
    one.house.world.change(
        "ticket", ticket["id"], {"category2Id": category["id"], "description": "x"}
    )
    await one.again()
    assert one.got == {"kari@example.no": 1, "ola@example.no": 1}


async def test_a_file_that_was_added_to_the_message_makes_it_another(kari_ola_per):
    one = kari_ola_per
    await one.rest()
    ticket = one.house.ticket(one.number)
    entry = one.house.world.find("communication", ticketId=ticket["id"], text="<p>Hei</p>")
    file = add_file(one.house.world, ticket, "ny.pdf", PDF)
    one.house.world.change("communication", entry["id"], {"attachmentIds": [file["id"]]})
    one.go()
    await one.house.run(2)
    assert "en endret melding er en ny utsendelse" in one.last_note()


async def test_a_message_that_is_gone_from_the_store_is_not_sent_again(kari_ola_per):
    one = kari_ola_per
    campaign = await one.rest()
    await one.house.files.remove_all(campaign.id)
    one.go()
    await one.house.run(3)
    assert one.house.status(one.number) == ATTENTION
    assert "så gammel at vi har slettet meldingen" in one.last_note()
    assert (await one.campaign()).round == 1


async def test_a_mark_that_is_not_ours_stops_it_and_one_that_is_gone_is_written_anew(kari_ola_per):
    one = kari_ola_per
    await one.rest()
    ticket = one.house.ticket(one.number)
    ours = ticket["customerReference"]
    foreign = "utsendelse:en-annen:20417-1:ffffffff"
    one.house.world.change("ticket", ticket["id"], {"customerReference": foreign})
    one.go()
    await one.house.run(2)
    assert "merket av en annen installasjon" in one.last_note()
    assert (await one.campaign()).round == 1
    one.house.world.change("ticket", ticket["id"], {"customerReference": ""})
    await one.again()
    assert one.house.ticket(one.number)["customerReference"] == ours


async def test_a_correction_without_a_message_is_not_taken_for_another_round(kari_ola_per):
    one = kari_ola_per
    await one.rest()
    one.provider.refuses.clear()
    one.note("mottakere: de samme")
    one.go()
    await one.house.run(2)
    assert one.house.status(one.number) == ATTENTION
    assert "saken har ingen ny melding til dem" in one.last_note()
    assert one.got == {"kari@example.no": 1}


@pytest.mark.parametrize("status", [CANCEL, PAUSE])
async def test_a_status_set_while_it_is_made_ready_is_heard_before_anything_leaves(house, status):
    one = scene(house, kari="kari@example.no", ola="ola@example.no")
    one.provider.refuses.add("ola@example.no")
    await one.rest()
    one.provider.refuses.clear()
    one.go()
    await house.discover()
    assert (await one.campaign()).phase is Phase.REOPENING
    house.set_status(one.number, status)
    await house.run(4)
    campaign = await one.campaign()
    assert campaign.phase is (Phase.CANCELLED if status == CANCEL else Phase.PAUSED)
    assert house.status(one.number) == status
    assert one.got == {"kari@example.no": 1}
    await one.again()
    assert one.got == {"kari@example.no": 1, "ola@example.no": 1}


async def test_a_ticket_that_is_gone_holds_it_and_nothing_leaves(house):
    one = scene(house, ola="ola@example.no")
    one.provider.refuses.add("ola@example.no")
    await one.rest()
    one.provider.refuses.clear()
    one.go()
    await house.discover()
    ticket = house.ticket(one.number)
    house.world.change("ticket", ticket["id"], {"isMarkedForDeletion": True})
    await house.run(3)
    assert (await one.campaign()).phase is Phase.REOPENING
    house.world.change("ticket", ticket["id"], {"isMarkedForDeletion": False})
    await one.rest()
    assert one.got == {"ola@example.no": 1}


# --- many of them ---


async def test_very_many_are_opened_over_several_looks_and_nothing_leaves_before_all_are(house):
    people = {f"p{n:03}": f"p{n:03}@example.no" for n in range(700)}
    unknown = [f"u{n:03}" for n in range(300)]
    one = scene(house, **people, **dict.fromkeys(unknown))
    one.provider.refuses |= set(people.values())
    await one.rest()
    one.provider.refuses.clear()
    for who in unknown:
        one.address(who, f"{who}@example.no")
    one.go()
    looked_up = []

    async def meet(moment: str) -> None:
        if moment == "before helpdesk.people":  # slowly, so that a look is soon over
            looked_up[-1] += 1
            house.clock.tick(seconds=8)

    host = another(house, meet)
    while (await one.campaign()).phase is not Phase.SENDING:
        assert len(looked_up) < 10 and not house.queue.items
        house.clock.tick(minutes=1)
        looked_up.append(0)
        await host.discover()
    assert [calls for calls in looked_up if calls] == [3, 2]
    assert (await one.campaign()).planned == 1_000
    await one.rest()
    assert one.got == dict.fromkeys([*people.values(), *(f"{u}@example.no" for u in unknown)], 1)


# --- when it stops, and when two do it at once ---


def repair(make_house) -> Scene:
    """Round 2 is about to begin: one of each kind that can be reached by now, and one of each that
    must be left alone. Somebody is new, and a word on one of the uncertain is given."""
    house = make_house()
    one = scene(
        house,
        kari="kari@example.no",
        ola="ola.feil@example.no",
        per="per@example.no",
        eva="eva@example.no",
        mia=None,
        liv="felles@example.no",
        tor="felles@example.no",
        una="una@example.no",
    )
    one.provider.refuses |= {"ola.feil@example.no", "eva@example.no", "felles@example.no"}
    one.provider.hangs_up_on |= {"per@example.no", "una@example.no"}
    return one


async def prepared(make_house) -> Scene:
    one = repair(make_house)
    await one.rest()
    one.provider.refuses.clear()
    one.provider.hangs_up_on.clear()
    one.address("ola", "ola@example.no")
    one.address("mia", "mia@example.no")
    one.address("liv", "liv@example.no")
    one.join("nils", "nils@example.no")
    one.note("mottakere: nye")
    one.note("usikker per@example.no: ikke sendt")
    one.go()
    return one


WANTED = dict.fromkeys(
    (f"{who}@example.no" for who in ("kari", "ola", "per", "eva", "mia", "liv", "felles", "nils")),
    1,
)


WRITES = {"write", "put", "add_note", "attach", "change_ticket"}


async def carry_on(host: House, number: int, *, rounds: int = 8) -> None:
    """Rounds of everything until it is done, far enough apart for every wait to be over."""
    for _ in range(rounds):
        host.clock.tick(minutes=1)
        for trigger in (host.discover, host.deliver_all, host.account):
            with suppress(UtsendelseError):  # the host logs it and calls again
                await trigger()
        if host.status(number) == SOLVED and not await Ledger.on(**host.tables).campaigns.active():
            return
        host.clock.tick(minutes=10)


async def check(one: Scene, moment: str, *, told_twice: bool = False) -> None:
    """What holds whatever happened."""
    campaign = await one.campaign()
    assert (campaign.phase, campaign.round) == (Phase.DONE, 2), moment
    assert one.got == WANTED, moment
    assert await one.became() == {
        **dict.fromkeys(WANTED, "sent"),
        "una@example.no": "uncertain",
        "ola.feil@example.no": "replaced",
    }, moment
    accounts = await one.accounts()
    assert set(accounts.values()) == {1} and len(accounts) == 9, moment
    notes = Counter(re.findall(r"/([a-z]+-\d+)\]", " ".join(one.house.notes(one.number))))
    assert notes == {"start-1": 1, "runde-2": 1 + told_twice, "rapport-2": 1}, moment
    names = ("mottakere-{0}-1.csv", "mottakere-{0}-1-runde2.csv", "melding-{0}-1.eml")
    assert our_files(one.house, one.number) == {name.format(one.number): 1 for name in names}


async def test_a_crash_at_any_call_of_the_second_round_doubles_nobody_and_loses_nobody(make_house):
    """Before every write, which is after the one before it: between them nothing is changed.

    What comes between the first item on the queue and the last send is as in any other round.
    """
    one = await prepared(make_house)
    await carry_on(another(one.house, whole := Moments()), one.number)
    await check(one, "nothing happened")
    passed = whole.passed
    sends = [n for n, moment in enumerate(passed) if moment == "before channel.send"]
    assert len(sends) == len(WANTED) - 1  # Kari has hers
    reopened, settled = passed.index("before queue.put"), sends[-1] + 4
    assert passed[settled - 1] == "after deliveries.write"
    # the injected runs meet every kind of call; these, every seventh
    for at in [*range(reopened), *range(settled, len(passed))][::7]:
        changes = passed[at].startswith("before") and passed[at].rpartition(".")[2] in WRITES
        if not changes and at < len(passed) - 1:
            continue
        one = await prepared(make_house)
        with pytest.raises(Stop):
            await carry_on(another(one.house, Moments(at, stop)), one.number)
        await carry_on(another(one.house, Moments()), one.number)
        await check(one, f"{at} {passed[at]}")


async def test_another_host_at_any_moment_of_the_reopening_doubles_nobody(make_house):
    """It takes a whole look of its own just then. Only the start note may stand there twice: when
    the other looks for it just before it is written."""
    one = await prepared(make_house)
    await carry_on(another(one.house, whole := Moments()), one.number)
    released = next(n for n, moment in enumerate(whole.passed) if moment.endswith("queue.put"))
    told = whole.passed.index("before helpdesk.add_note")
    for at in [*range(0, released, 7), told - 1, told]:
        one = await prepared(make_house)
        beside = another(one.house, Moments())

        async def interfere(beside=beside):
            with suppress(UtsendelseError):
                await beside.discover()

        await carry_on(another(one.house, Moments(at, interfere)), one.number)
        moment = f"{at} {whole.passed[at]}"
        await check(one, moment, told_twice=at in {told - 1, told})


def test_a_look_takes_no_more_than_its_share_of_the_helpdesks_calls():
    """A hundred a minute are allowed, and others send meanwhile."""
    assert flow._CALLS + flow._PAGE // flow._ADDRESSES_A_CALL + 16 < 75


# --- what notes ask for, and when ---


@pytest.mark.parametrize("line", ["start: 2028-05-01 08:00", "start: mandag kl 8"])
async def test_a_start_time_that_cannot_be_kept_holds_the_round_and_says_so(house, line):
    one = scene(house, kari="kari@example.no", ola="ola@example.no")
    one.provider.refuses.add("ola@example.no")
    await one.rest()
    one.provider.refuses.clear()
    house.channel.sent.clear()
    one.note(line)
    one.go()
    await house.run(10)
    assert not one.got
    assert (await one.campaign()).phase is Phase.DONE
    assert house.status(one.number) == ATTENTION
    house.clock.tick(minutes=1)
    one.note("start: nå")
    one.go()
    await house.run(10)
    assert one.got == {"ola@example.no": 1}


async def test_a_second_campaign_that_was_regretted_does_not_stand_in_the_way(make_house):
    house = make_house(UNDO_SECONDS="180")
    one = scene(house, kari="kari@example.no", ola="ola@example.no")
    one.provider.refuses.add("ola@example.no")
    await one.rest(20)
    one.provider.refuses.clear()
    house.channel.sent.clear()
    entry = add_message(
        house.world, house.ticket(one.number), "<p>Ny</p>", custom_type=MESSAGE_TYPE
    )
    house.clock.tick(minutes=1)
    one.go()
    await house.minute()
    house.set_status(one.number, SOLVED)
    await house.run(5)
    house.world.remove("communication", entry["id"])
    house.clock.tick(minutes=1)
    one.go()
    await house.run(20)
    assert one.got == {"ola@example.no": 1}


async def test_a_correction_that_was_blocked_first_still_goes_to_the_same(house):
    one = scene(house, kari="kari@example.no", ola="ola@example.no")
    one.provider.refuses.add("ola@example.no")
    await one.rest()
    one.provider.refuses.clear()
    house.channel.sent.clear()
    ticket = house.ticket(one.number)
    add_message(house.world, ticket, "<p>Rettelse</p>", custom_type=MESSAGE_TYPE)
    twice = add_message(house.world, ticket, "<p>Rettelse 2</p>", custom_type=MESSAGE_TYPE)
    house.clock.tick(minutes=1)
    one.go()
    await house.run(3)
    assert (await one.campaign()).problem == "several_messages"
    house.world.remove("communication", twice["id"])
    one.note("mottakere: de samme")
    house.clock.tick(minutes=1)
    one.go()
    await house.run(10)
    assert one.got == {"kari@example.no": 1}


async def test_what_a_worker_hears_of_a_replaced_delivery_is_kept(house):
    one = scene(house, kari="kari@example.no", ola="ola@example.no")
    frozen, real = [], house.channel.send

    async def freezes(delivery, message, note):
        if delivery.recipient.address == "ola@example.no" and not frozen:
            frozen.append(delivery)
            raise RuntimeError("never heard of again")
        return await real(delivery, message, note)

    house.channel.send = freezes
    for _ in range(20):
        house.clock.tick(minutes=1)
        await house.discover()
        for item in house.queue.take():
            with suppress(RuntimeError):
                await house.deliver(item)
        await house.account()
    one.note("usikre: ikke sendt")
    one.address("ola", "ola2@example.no")
    one.go()
    await house.run(6)
    campaign = await one.campaign()
    [slow] = frozen
    heard = Outcome(Status.SENT, reference="<late@example.no>")
    assert await house.ledger.deliveries.settle(slow, heard, house.clock())
    [row] = [d for d in await house.deliveries(campaign) if d.id == slow.id]
    assert (row.status, row.reason) == (Status.SENT, Reason.REPLACED)
    history = await house.ledger.deliveries.attempts(campaign.id, slow.id)
    assert "sent" in {attempt.values["status"] for attempt in history}
    assert (await house.ledger.deliveries.count(campaign.id)).planned == 2
