"""Going again where everybody gets a ticket: one ticket each, and the message from it once."""

import re
from collections import Counter
from contextlib import suppress

import pytest

from dev.pureservice.behaviour import FAILED, SENT
from dev.pureservice.seed import FROM_CAMPAIGN, add_company, add_member, add_message, add_user
from shared.domain.campaign import Campaign, Phase
from shared.domain.delivery import Reason, Status
from shared.domain.recipient_ticket import RecipientTicket, ticket_key
from shared.errors import PermanentError, TransientError, UncertainError, UtsendelseError
from shared.ledger import Ledger
from shared.ports import Receipt
from tests.flow.conftest import House
from tests.flow.edges import Moments, Stop, another, stop

READY, CANCEL, SOLVED = "Utsending – klar", "Utsending – avbryt", "Løst"
KARI, OLA, FIRM = "kari@example.no", "ola@example.no", "post@firma.example.no"


class Scene:
    """A campaign of tickets on one list: Kari, whose mail arrives, and those a test adds."""

    def __init__(self, via: str = "pureservice", **changes) -> None:
        wanted = {"TICKET_MESSAGE_VIA": via, "TICKET_REPLY_TO": "servicedesk@example.org"}
        self.house = House(**{**wanted, **changes})
        self.world = self.house.world
        self.members = self.house.make_list("en")
        self.users: dict[str, dict] = {}
        self.join(KARI)
        self.number = self.house.open_ticket(self.members, channel="ticket", message="<p>Hei</p>")
        self.refused: set[str] = set()
        self.house.channel.answer = self._mailed

    def _mailed(self, delivery) -> Receipt:
        if delivery.recipient.address in self.refused:
            raise PermanentError("smtp: 550 5.1.1 no such user")
        return Receipt("<1@example.org>", "250 OK")

    def join(self, address: str) -> None:
        who = address.partition("@")[0]
        user = add_user(self.world, {"firstName": who.title(), "lastName": "Ås"}, [address])
        self.users[address] = user
        add_member(self.world, self.members, "user", user)

    def join_company(self, address: str) -> dict:
        company = add_company(self.world, {"name": "Ærlig Firma"}, [address])
        add_member(self.world, self.members, "company", company)
        return company

    def move(self, address: str, to: str) -> None:
        user = self.users[address]
        id_ = self.world.add("emailaddress", {"email": to, "userId": user["id"]})["id"]
        self.world.change("user", user["id"], {"emailAddressId": id_})

    def fail(self, address: str) -> None:
        """Whatever Pureservice has sent to them did not arrive."""
        for mail in list(self.world.all("email")):
            if mail["to"] == address:
                failed = {"status": FAILED, "statusMessage": "550", "queuedReads": 0}
                self.world.change("email", mail["id"], failed)

    def go(self) -> None:
        self.house.set_status(self.number, READY)

    async def round(self, failing: str = "", minutes: int = 90) -> Campaign:
        """All of a round, in which the mails to this address fail if they are Pureservice's."""
        self.go()
        for _ in range(minutes):
            await self.house.minute()
            if failing:
                self.fail(failing)
            campaign = await self.campaign()
            if not campaign.active and self.house.status(self.number) != READY:
                return campaign
        raise AssertionError((campaign.phase, await self.became()))

    async def campaign(self) -> Campaign:
        return (await self.house.campaigns(self.number))[-1]

    async def became(self) -> dict[str, Status]:
        rows = await self.house.deliveries(await self.campaign())
        return {one.recipient.address: one.status for one in rows}

    async def ticket(self, address: str) -> dict:
        """The one that the ledger knows of."""
        rows = await self.house.deliveries(await self.campaign())
        [reference] = [d.reference for d in rows if d.recipient.address == address]
        return self.world.get("ticket", RecipientTicket.of(reference).id)

    def tickets(self) -> int:
        return len(self.house.copies(self.number))

    def mails(self, ticket: dict) -> list[int]:
        """How it went with the mails out of it, oldest first."""
        mails = sorted(self.house.on(ticket, "email"), key=lambda mail: mail["id"])
        return [mail["status"] for mail in mails]


@pytest.fixture
async def scenes():
    made: list[Scene] = []

    def make(*args, **changes) -> Scene:
        made.append(Scene(*args, **changes))
        return made[-1]

    yield make
    for one in made:
        await one.house.helpdesk.close()


# --- the same ticket ---


async def test_a_mail_that_failed_is_sent_anew_from_the_same_ticket(scenes):
    one = scenes()
    one.join(OLA)
    await one.round(failing=OLA)
    assert await one.became() == {KARI: Status.SENT, OLA: Status.FAILED}
    first = await one.ticket(OLA)
    campaign = await one.round()
    assert (campaign.phase, campaign.round) == (Phase.DONE, 2)
    assert await one.became() == {KARI: Status.SENT, OLA: Status.SENT}
    assert one.tickets() == 2
    assert (await one.ticket(OLA))["id"] == first["id"]
    assert len(one.house.messages_on(first)) == 2
    assert one.mails(first) == [FAILED, SENT]
    assert one.mails(await one.ticket(KARI)) == [SENT]


async def test_the_failure_of_the_round_before_is_not_taken_for_this_ones(scenes):
    """The new mail is still in the outbox when it is asked about for the first time."""
    one = scenes()
    one.join(OLA)
    await one.round(failing=OLA)
    one.world.switches = one.world.switches.model_copy(update={"mail_queued_seconds": 400})
    one.go()
    for _ in range(6):
        await one.house.minute()
    assert (await one.became())[OLA] is Status.SUBMITTED
    await one.round()
    assert (await one.became())[OLA] is Status.SENT


async def test_a_mail_that_fails_again_is_failed_again_and_a_third_round_may_reach_them(scenes):
    one = scenes()
    one.join(OLA)
    for _ in range(2):
        await one.round(failing=OLA)
        rows = {d.recipient.address: d for d in await one.house.deliveries(await one.campaign())}
        assert rows[OLA].reason is Reason.MAIL_FAILED
    await one.round()
    assert one.tickets() == 2
    assert one.mails(await one.ticket(OLA)) == [FAILED, FAILED, SENT]


async def test_where_we_mail_it_ourselves_the_same_ticket_is_used_too(scenes):
    one = scenes("email")
    one.join(OLA)
    one.refused.add(OLA)
    await one.round()
    first = await one.ticket(OLA)
    one.refused.clear()
    await one.round()
    assert one.tickets() == 2
    assert (await one.ticket(OLA))["id"] == first["id"]
    assert dict(one.house.channel.addresses) == {KARI: 1, OLA: 1}
    logged = [row for row in one.house.on(first, "communication") if row["type"] == 1]
    assert len(logged) == 1


@pytest.mark.parametrize("via", ["pureservice", "email"])
async def test_what_was_called_off_after_its_ticket_was_made_goes_on_from_there(scenes, via):
    """Its message had not left: the helpdesk, or the mail server, could not take it just then."""
    one = scenes(via)
    one.join(OLA)
    one.go()
    one.house.channel.answer = _busy
    await one.house.discover()
    path = "/communication"
    one.house.trouble("status", method="POST", path=path, status=403, times=2)
    await one.house.deliver_all()
    one.house.simulator.traffic.faults.clear()
    assert one.tickets() == 2
    one.house.set_status(one.number, CANCEL)
    for _ in range(4):
        await one.house.minute()
    campaign = await one.campaign()
    assert (campaign.phase, set((await one.became()).values())) == (
        Phase.CANCELLED,
        {Status.CANCELLED},
    )
    one.house.channel.answer = one._mailed
    await one.round()
    assert set((await one.became()).values()) == {Status.SENT}
    assert one.tickets() == 2


def _busy(delivery) -> Receipt:
    raise TransientError("smtp: 451 try again")


# --- another ticket ---


@pytest.mark.parametrize("via", ["pureservice", "email"])
async def test_who_has_another_address_by_now_gets_another_ticket_with_a_key_of_its_own(
    scenes, via
):
    one = scenes(via)
    one.join("feil@example.no")
    one.refused.add("feil@example.no")
    await one.round(failing="feil@example.no")
    first = await one.ticket("feil@example.no")
    one.move("feil@example.no", OLA)
    campaign = await one.round()
    second = await one.ticket(OLA)
    assert second["id"] != first["id"]
    assert second["emailAddress"] == OLA
    [delivery] = [d for d in await one.house.deliveries(campaign) if d.recipient.address == OLA]
    keys = {t["customerReference"] for t in (first, second)}
    assert keys == {ticket_key(campaign.id, delivery.id), ticket_key(campaign.id, delivery.id, 2)}
    assert await one.became() == {KARI: Status.SENT, OLA: Status.SENT}
    assert one.tickets() == 3
    reached = dict(one.house.channel.addresses) if via == "email" else one.mails(second)
    assert reached == ({KARI: 1, OLA: 1} if via == "email" else [SENT])


async def test_a_company_with_another_address_gets_the_ticket_of_another_user(scenes):
    one = scenes()
    company = one.join_company("gammel@firma.example.no")
    await one.round(failing="gammel@firma.example.no")
    address = one.world.find("companyemailaddress", companyId=company["id"])
    one.world.change("companyemailaddress", address["id"], {"email": FIRM})
    await one.round()
    assert await one.became() == {KARI: Status.SENT, FIRM: Status.SENT}
    second = await one.ticket(FIRM)
    [held] = [row for row in one.world.all("emailaddress") if row["email"] == FIRM]
    assert second["userId"] == held["userId"]
    assert one.mails(second) == [SENT]


async def test_who_was_left_out_and_has_an_address_by_now_gets_a_ticket(scenes):
    one = scenes()
    user = add_user(one.world, {"firstName": "Mia", "lastName": "Ås"}, [])
    add_member(one.world, one.members, "user", user)
    one.users["mia"] = user
    await one.round()
    one.move("mia", "mia@example.no")
    await one.round()
    assert await one.became() == {KARI: Status.SENT, "mia@example.no": Status.SENT}
    assert one.tickets() == 2


async def test_a_ticket_that_somebody_has_deleted_is_made_anew(scenes):
    one = scenes()
    one.join(OLA)
    await one.round(failing=OLA)
    first = await one.ticket(OLA)
    one.world.change("ticket", first["id"], {"isMarkedForDeletion": True})
    await one.round()
    second = await one.ticket(OLA)
    assert second["id"] != first["id"]
    assert one.mails(second) == [SENT]


# --- what has gone out is never doubled ---


@pytest.mark.parametrize("named", [True, False])
async def test_a_mail_that_arrived_after_all_is_not_sent_again(scenes, named):
    one = scenes()
    switches = {"message_names_mail": named}
    one.world.switches = one.world.switches.model_copy(update=switches)
    one.join(OLA)
    await one.round(failing=OLA)
    ticket = await one.ticket(OLA)
    [mail] = one.house.on(ticket, "email")
    one.world.change("email", mail["id"], {"status": SENT})
    await one.round()
    assert (await one.became())[OLA] is Status.SENT
    assert len(one.house.messages_on(ticket)) == 1
    note = next(note for note in one.house.notes(one.number) if "/runde-2]" in note)
    assert "Det er ingen å sende meldingen til nå" in note


@pytest.mark.parametrize("named", [True, False])
async def test_what_an_agent_has_written_to_them_since_is_not_our_message(scenes, named):
    """Whether or not messages say which mail they became."""
    one = scenes()
    switches = {"message_names_mail": named}
    one.world.switches = one.world.switches.model_copy(update=switches)
    one.join(OLA)
    await one.round(failing=OLA)
    ticket = await one.ticket(OLA)
    add_message(one.world, ticket, "<p>Har du byttet adresse?</p>")
    for mail in one.house.on(ticket, "email"):
        if mail["status"] != FAILED:
            one.world.change("email", mail["id"], {"status": SENT, "queuedReads": 0})
    await one.round()
    assert one.mails(ticket) == [FAILED, SENT, SENT]
    assert len(one.house.messages_on(ticket)) == 3
    assert (await one.became())[OLA] is Status.SENT


async def test_the_second_report_relates_and_names_the_tickets_of_both_rounds(scenes):
    one = scenes(TICKET_RELATION=FROM_CAMPAIGN)
    one.join("feil@example.no")
    await one.round(failing="feil@example.no")
    one.move("feil@example.no", OLA)
    await one.round()
    kari, ola = await one.ticket(KARI), await one.ticket(OLA)
    note = next(note for note in one.house.notes(one.number) if "/rapport-2]" in note)
    assert str(kari["requestNumber"]) in note and str(ola["requestNumber"]) in note
    assert "1 mottaker til har fått meldingen fra sin egen sak" in re.sub(r"\s+", " ", note)
    related = Counter(
        end
        for row in one.world.all("relationship")
        for end in (row.get("fromTicketId"), row.get("toTicketId"))
        if end in {kari["id"], ola["id"]}
    )
    assert related == {kari["id"]: 1, ola["id"]: 1}


# --- when it stops ---

WRITES = {"write", "create", "put", "send", "add_note", "change_ticket"}


#: From when we have noted that we begin to mail until the log is written, only the log could tell.
IN_DOUBT = {"before channel.send", "before wire.write"}


class Writes(Moments):
    """Only the moments before a write: between one and the next, nothing is changed."""

    async def __call__(self, moment: str) -> None:
        if moment.startswith("before") and moment.rpartition(".")[2] in WRITES:
            await super().__call__(moment)


async def prepared(via: str) -> Scene:
    """Ola's ticket is to be used again, Per's to be left for another."""
    one = Scene(via)
    one.world.switches = one.world.switches.model_copy(update={"mail_queued_reads": 0})
    for address in (OLA, "feil@example.no"):
        one.join(address)
        one.refused.add(address)
    one.go()
    await one.house.discover()
    await one.house.deliver_all()
    for address in (OLA, "feil@example.no"):
        one.fail(address)
    await one.round()
    assert sorted((await one.became()).values()) == ["failed", "failed", "sent"]
    one.refused.clear()
    one.move("feil@example.no", "per@example.no")
    one.house.clock.tick(minutes=1)
    one.go()
    return one


async def carry_on(host: House, number: int, rounds: int = 12) -> None:
    """Rounds of everything until it is done, far enough apart for every wait to be over."""
    for _ in range(rounds):
        for trigger in (host.discover, host.deliver_all, host.account):
            with suppress(UtsendelseError):  # the host logs it and calls again
                await trigger()
        if host.status(number) == SOLVED and not await Ledger.on(**host.tables).campaigns.active():
            return
        host.clock.tick(minutes=11)


async def check(one: Scene, moment: str) -> set[Status]:
    """What holds whatever happened; returns what became of those two."""
    campaign = await one.campaign()
    assert (campaign.phase, campaign.round) == (Phase.DONE, 2), moment
    became = await one.became()
    assert set(became) == {KARI, OLA, "per@example.no"}, moment
    assert one.tickets() == 4, moment  # and one that is of no use
    ola, per = await one.ticket(OLA), await one.ticket("per@example.no")
    if one.house.settings.TICKET_MESSAGE_VIA == "pureservice":
        assert set(became.values()) == {Status.SENT}, moment
        assert one.mails(ola) == [FAILED, SENT], moment
        assert one.mails(per) == [SENT], moment
    else:
        got = one.house.channel.addresses
        assert max(got.values()) == 1, moment
        for address, status in became.items():
            assert got[address] or status is Status.UNCERTAIN, moment
        for ticket in (ola, per):
            assert sum(r["type"] == 1 for r in one.house.on(ticket, "communication")) <= 1, moment
    assert sum("/runde-2]" in note for note in one.house.notes(one.number)) == 1, moment
    return set(became.values())


@pytest.mark.parametrize("via", ["pureservice", "email"])
async def test_a_crash_at_any_write_of_the_second_round_makes_one_ticket_and_one_message(via):
    one = await prepared(via)
    await carry_on(another(one.house, whole := Writes()), one.number)
    assert await check(one, "nothing happened") == {Status.SENT}
    for at in range(0, len(whole.passed), 7):  # the injected runs meet every kind of them
        one = await prepared(via)
        with pytest.raises(Stop):
            await carry_on(another(one.house, crash := Writes(at, stop)), one.number)
        await carry_on(another(one.house, Moments()), one.number)
        moment = crash.passed[-1]  # who comes first is by chance
        statuses = await check(one, f"{at} {moment}")
        doubtful = via == "email" and moment in IN_DOUBT
        assert (Status.UNCERTAIN in statuses) == doubtful, f"{at} {moment}"


@pytest.mark.parametrize("what", ["/communication/", "/ticket/"])
async def test_one_of_each_though_the_answer_to_a_post_of_the_second_round_is_lost(what):
    one = await prepared("pureservice")
    await one.house.discover()  # reopening
    await one.house.discover()  # told of, and sending
    one.house.trouble("drop_after_write", method="POST", path=what)
    await carry_on(one.house, one.number)
    assert await check(one, what) == {Status.SENT}


async def test_an_uncertain_one_that_a_person_finds_not_sent_is_sent_from_the_same_ticket():
    one = Scene("email")
    one.join(OLA)

    def hangs_up(delivery):
        if delivery.recipient.address == OLA:
            raise UncertainError("smtp: DATA: timed out")
        return Receipt("<1@example.org>", "250 OK")

    one.house.channel.answer = hangs_up
    await one.round()
    assert (await one.became())[OLA] is Status.UNCERTAIN
    await one.round()
    assert dict(one.house.channel.addresses) == {KARI: 1}
    one.house.channel.answer = one._mailed
    one.house.clock.tick(minutes=1)
    row = add_message(one.world, one.house.ticket(one.number), "<p>usikre: ikke sendt</p>")
    one.world.change("communication", row["id"], {"type": 1, "direction": 3})
    await one.round()
    assert dict(one.house.channel.addresses) == {KARI: 1, OLA: 1}
    assert one.tickets() == 2
