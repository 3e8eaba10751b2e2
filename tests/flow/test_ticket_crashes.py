"""The process ends at any call to the outside, or a call fails, while recipients get their tickets.

At whichever call it is: one ticket and one message for each, one user for the company, and one of
everything on the campaign's ticket. Only where we mail the message ourselves can it be in doubt.
"""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dev.pureservice.seed import PDF, add_company, add_file, add_member
from shared.domain.campaign import Phase
from shared.domain.delivery import Reason, Status
from shared.domain.recipient_ticket import RecipientTicket, ticket_key
from shared.errors import UtsendelseError
from shared.flow.enqueue import DeliverItem
from shared.ledger import Ledger
from tests.flow.conftest import House
from tests.flow.edges import Moments, Stop, another, our_files, stop

READY = "Utsending – klar"
PERSON, COMPANY = "kari@example.no", "post@firma.example.no"
BOTH_WAYS = pytest.mark.parametrize("via", ["pureservice", "email"])


def scene(via, **changes):
    """A campaign for one user and one company, with a file, not yet found; its number too."""
    wanted = {"TICKET_MESSAGE_VIA": via, "TICKET_REPLY_TO": "servicedesk@example.org"}
    house = House(**{**wanted, **changes})
    house.world.switches = house.world.switches.model_copy(update={"mail_queued_reads": 0})
    members = house.make_list("en", PERSON)
    company = add_company(house.world, {"name": "Ærlig Firma"}, [COMPANY])
    add_member(house.world, members, "company", company)
    number = house.open_ticket(members, channel="ticket", message="<p>Hei</p>")
    add_file(house.world, house.ticket(number), "brev.pdf", PDF)
    house.set_status(number, READY)
    return house, number


async def carry_on(host, number: int, rounds: int = 12) -> None:
    """Rounds of everything until it is done, far enough apart for every wait to be over."""
    for _ in range(rounds):
        for trigger in (host.discover, host.deliver_all, host.account):
            with suppress(UtsendelseError):  # the host logs it and calls again
                await trigger()
        if host.status(number) == "Løst" and not await Ledger.on(**host.tables).campaigns.active():
            return
        host.clock.tick(minutes=11)


async def check(house, number: int, moment: str) -> set[Status]:
    """What holds whatever happened; returns what became of the recipients."""
    campaign = await house.campaign(number)
    assert campaign.phase is Phase.DONE, moment
    assert house.status(number) == "Løst", moment
    deliveries = await house.deliveries(campaign)
    assert (campaign.planned, len(deliveries)) == (2, 2), moment

    keys = {ticket_key(campaign.id, one.id) for one in deliveries}
    assert sorted(keys) == [copy["customerReference"] for copy in house.copies(number)], moment
    by_mail = house.settings.TICKET_MESSAGE_VIA == "email"
    for one in deliveries:
        copy = house.ticket(RecipientTicket.of(one.reference).number)
        assert copy["customerReference"] == ticket_key(campaign.id, one.id), moment
        assert copy["emailAddress"] == one.recipient.address, moment
        assert {file["fileName"] for file in house.on(copy, "attachment")} == {"brev.pdf"}, moment
        posted, mails = len(house.messages_on(copy)), len(house.on(copy, "email"))
        sent = house.channel.addresses[one.recipient.address]
        logged = sum(row["type"] == 1 for row in house.on(copy, "communication"))
        if by_mail:
            assert (posted, mails) == (0, 0), moment
            assert sent <= 1 and logged <= sent, moment
            assert sent or one.status is Status.UNCERTAIN, moment
            assert one.status in {Status.SENT, Status.UNCERTAIN}, moment
        else:
            assert (posted, mails, sent, logged) == (1, 1, 0, 0), moment
            assert one.status is Status.SENT, moment
    for address in (PERSON, COMPANY):
        [held] = [row for row in house.world.all("emailaddress") if row["email"] == address]
        assert held["userId"], moment
    postmottak = [u for u in house.world.all("user") if u["firstName"] == "Postmottak"]
    assert [user["lastName"] for user in postmottak] == ["Ærlig Firma"], moment

    names = (f"mottakere-{number}-1.csv", f"melding-{number}-1.eml")
    assert our_files(house, number) == dict.fromkeys(names, 1), moment
    assert sum("/start" in note for note in house.notes(number)) == 1, moment
    assert house.ticket(number)["solution"].count("/rapport-1]") == 1, moment
    return {one.status for one in deliveries}


async def moments_of(via: str) -> list[str]:
    house, number = scene(via)
    await carry_on(another(house, moments := Moments()), number)
    assert await check(house, number, "nothing happened") == {Status.SENT}
    return moments.passed


WRITES = {"write", "create", "put", "send", "add_note", "attach", "change_ticket"}
#: From when we have noted that we begin to mail until the log is written, only the log could tell.
IN_DOUBT = {"before channel.send", "before wire.write"}


class Writes(Moments):
    """Only the moments before a write: between one and the next, nothing is changed."""

    async def __call__(self, moment: str) -> None:
        if moment.startswith("before") and moment.rpartition(".")[2] in WRITES:
            await super().__call__(moment)


@BOTH_WAYS
async def test_a_crash_at_any_call_doubles_nobody_and_loses_nobody(via):
    """From where campaigns of tickets differ; what comes before that, `test_crashes` has."""
    house, number = scene(via)
    await carry_on(another(house, whole := Writes()), number)
    assert await check(house, number, "nothing happened") == {Status.SENT}
    assert IN_DOUBT & set(whole.passed) == (IN_DOUBT if via == "email" else {"before wire.write"})
    first = whole.passed.index("before files.put")
    for at in range(first, len(whole.passed), 7):  # the injected runs meet every kind of them
        house, number = scene(via)
        with pytest.raises(Stop):
            await carry_on(another(house, crash := Writes(at, stop)), number)
        await carry_on(another(house, Moments()), number)
        moment = f"{at} {crash.passed[-1]}"
        statuses = await check(house, number, moment)
        doubtful = via == "email" and crash.passed[-1] in IN_DOUBT
        assert (Status.UNCERTAIN in statuses) == doubtful, moment
        await house.helpdesk.close()


@BOTH_WAYS
async def test_two_hosts_at_any_moment_double_nobody(via):
    """One does all that is to do while another is in the middle of it, from the first slot taken
    until it is time for the report."""
    moments = await moments_of(via)
    first = moments.index("before channels.get")
    last = moments.index("before helpdesk.attachments", first)
    for at in range(first, last, 6):  # before each third call
        house, number = scene(via)
        beside = another(house, Moments())

        async def everything(beside=beside):
            for trigger in (beside.discover, beside.deliver_all, beside.account):
                with suppress(UtsendelseError):
                    await trigger()

        await carry_on(another(house, Moments(at, everything)), number)
        await check(house, number, f"{at} {moments[at]}")
        await house.helpdesk.close()


# --- two workers, one new user ---


def slowly():
    """Everybody else gets a turn at every call."""

    async def meet(moment: str) -> None:
        await asyncio.sleep(0)

    return meet


def two_companies_with_one_mailbox():
    house, number = scene("pureservice")
    members = house.world.find("asset", uniqueId="EN")
    company = add_company(house.world, {"name": "Søster Firma"}, [COMPANY])
    add_member(house.world, members, "company", company)
    return house, number


async def check_one_user(house, number, moment):
    campaign = await house.campaign(number)
    assert campaign.phase is Phase.DONE, moment
    assert await house.statuses(campaign) == {Status.SENT: 3}, moment
    theirs = [copy for copy in house.copies(number) if copy["emailAddress"] == COMPANY]
    assert len(theirs) == 2, moment
    assert len({copy["userId"] for copy in theirs}) == 1, moment
    held = [row for row in house.world.all("emailaddress") if row["email"] == COMPANY]
    assert len(held) == 1, moment
    users = [user for user in house.world.all("user") if user["firstName"] == "Postmottak"]
    assert len(users) == 1, moment
    for copy in house.copies(number):
        assert len(house.messages_on(copy)) == 1, moment


async def test_two_workers_on_one_new_user_make_one():
    house, number = two_companies_with_one_mailbox()
    await house.discover()
    hosts = [another(house, slowly()) for _ in range(3)]
    await asyncio.gather(
        *(
            host.deliver(item, host.tickets)
            for item, host in zip(house.ticket_queue.take(), hosts, strict=True)
        )
    )
    await carry_on(house, number)
    await check_one_user(house, number, "at once")
    await house.helpdesk.close()


async def test_another_worker_on_the_same_new_user_at_any_moment_makes_none():
    async def begun():
        house, number = two_companies_with_one_mailbox()
        await house.discover()
        items = house.ticket_queue.take()
        for item in items:
            wanted = DeliverItem.model_validate_json(item)
            opened = await house.ledger.deliveries.get_open(wanted.campaign, wanted.delivery)
            if opened.recipient.address == PERSON:
                items.remove(item)
        return house, number, items

    house, number, (first, second) = await begun()
    host = another(house, moments := Moments())
    await host.deliver(first, host.tickets)
    assert moments.passed.count("before wire.create") == 3  # address, user, ticket
    for at, moment in enumerate(moments.passed):
        if moment.startswith("after"):
            continue
        house, number, (first, second) = await begun()
        beside = another(house, Moments())

        async def meanwhile(beside=beside, item=second):
            await beside.deliver(item, beside.tickets)

        host = another(house, Moments(at, meanwhile))
        await host.deliver(first, host.tickets)
        await carry_on(house, number)
        await check_one_user(house, number, f"{at} {moment}")
        await house.helpdesk.close()


# --- answers that are lost ---

POSTS = {
    "the ticket": "/ticket",
    "the message": "/communication",
    "the address": "/emailaddress",
    "the user": "/user",
}
TROUBLE = {
    "drop before": {"kind": "drop_before"},
    "drop after": {"kind": "drop_after_write"},
    "500 before": {"kind": "status", "status": 500},
    "500 after": {"kind": "status", "status": 500, "after_write": True},
    "html before": {"kind": "html", "status": 502},
    "html after": {"kind": "html", "status": 502, "after_write": True},
    "half an answer": {"kind": "half_json"},
    "429": {"kind": "status", "status": 429, "retry_after": 30},
    "401": {"kind": "status", "status": 401},
}


@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize(
    ("via", "what"), [*(("pureservice", what) for what in POSTS), ("email", "the message")]
)
async def test_one_of_each_though_the_answer_to_any_post_is_lost(via, what, trouble):
    house, number = scene(via)
    await house.discover()
    house.trouble(method="POST", path=POSTS[what], times=2, **TROUBLE[trouble])
    await carry_on(house, number)
    if via == "email" and what == "the message":  # the log: the mails have gone
        campaign = await house.campaign(number)
        assert await house.statuses(campaign) == {Status.SENT: 2}
        assert house.channel.addresses == {PERSON: 1, COMPANY: 1}
        for copy in house.copies(number):
            notes = [row for row in house.on(copy, "communication") if row["type"] == 1]
            assert len(notes) <= 1
    else:
        assert await check(house, number, what) == {Status.SENT}
    await house.helpdesk.close()


async def test_a_ticket_whose_answer_was_lost_is_found_again_and_not_before_its_time():
    house, number = scene("pureservice")
    await house.discover()
    house.trouble("drop_after_write", method="POST", path="/ticket", times=2)
    await house.deliver_all()
    made = house.copies(number)
    assert len(made) == 2
    asked = house.simulator.traffic.calls
    over = house.clock() + house.settings.lease + house.settings.grace
    while house.clock() <= over:  # the worker may still be at it
        before = asked["GET /ticket"]
        await house.account()
        assert asked["GET /ticket"] == before
        assert not [copy for copy in made if house.messages_on(copy)]
        house.clock.tick(minutes=1)
    await house.account()  # found,
    await house.account()  # and released in the next round
    await house.deliver_all()
    assert house.copies(number) == made
    assert [len(house.messages_on(copy)) for copy in made] == [1, 1]
    await carry_on(house, number)
    assert await check(house, number, "found again") == {Status.SENT}
    await house.helpdesk.close()


async def test_a_helpdesk_that_is_down_for_hours_while_we_look_costs_nobody_the_ticket():
    house, number = scene("pureservice")
    await house.discover()
    house.trouble("drop_before", method="POST", path="/ticket", times=2)
    await house.deliver_all()
    house.trouble("status", status=503, path="/", times=1_000_000)
    for _ in range(120):
        house.clock.tick(minutes=1)
        await house.account()
    house.simulator.traffic.faults.clear()
    await carry_on(house, number)
    assert await check(house, number, "after two hours") == {Status.SENT}
    await house.helpdesk.close()


async def test_a_delivery_that_the_queue_gave_up_after_its_ticket_was_made_names_the_ticket():
    house, number = scene("pureservice")
    await house.discover()
    house.trouble("status", status=429, retry_after=60, method="POST", path="/communication")
    await house.deliver_all()
    [copy] = house.copies(number)  # made, and then the gate was closed
    for _ in range(9):  # one delivery at a time, since nothing goes through
        house.clock.tick(minutes=11)
        await house.account()
        for item in house.ticket_queue.take():
            await house.poison(item)
    campaign = await house.campaign(number)
    deliveries = await house.deliveries(campaign)
    assert {(one.status, one.reason) for one in deliveries} == {(Status.FAILED, Reason.TECHNICAL)}
    named = [RecipientTicket.of(one.reference).number for one in deliveries if one.reference]
    assert named == [copy["requestNumber"]]
    await house.helpdesk.close()


# --- whatever comes, in whatever order ---

FAULTS = st.lists(
    st.fixed_dictionaries(
        {
            "path": st.sampled_from([*POSTS.values(), "/attachment"]),
            "trouble": st.sampled_from([*TROUBLE.values(), {"kind": "status", "status": 400}]),
            "skip": st.integers(0, 2),
            "times": st.integers(1, 3),
        }
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(faults=FAULTS, via=st.sampled_from(["pureservice", "email"]), crowd=st.booleans())
def test_whatever_goes_wrong_nobody_has_two_tickets_or_messages_and_everybody_is_counted(
    faults, via, crowd
):
    async def story():
        house, number = scene(via)
        if crowd:
            members = house.world.find("asset", uniqueId="EN")
            company = add_company(house.world, {"name": "Søster Firma"}, [COMPANY])
            add_member(house.world, members, "company", company)
        await house.discover()
        for fault in faults:
            place = {"path": fault["path"], "skip": fault["skip"], "times": fault["times"]}
            house.trouble(method="POST", **place, **fault["trouble"])
        hosts = [another(house, slowly()) for _ in range(2)]
        for _ in range(60):
            items = house.ticket_queue.take()
            await asyncio.gather(
                *(host.deliver(item, host.tickets) for item in items for host in hosts)
            )
            for trigger in (house.discover, house.account):
                with suppress(UtsendelseError):
                    await trigger()
            if not await house.ledger.campaigns.active():
                break
            house.clock.tick(minutes=11)
        await house.helpdesk.close()
        campaign = await house.campaign(number)
        assert campaign.phase is Phase.DONE
        deliveries = await house.deliveries(campaign)
        assert len(deliveries) == campaign.planned == 2 + crowd
        keys = [copy["customerReference"] for copy in house.copies(number)]
        assert len(keys) == len(set(keys))
        copies = dict(zip(keys, house.copies(number), strict=True))
        for one in deliveries:
            copy = copies.pop(ticket_key(campaign.id, one.id), None)
            messages = house.messages_on(copy) if copy else []
            mails = [sent for sent in house.channel.sent if sent.id == one.id]
            assert len(messages) + len(mails) <= 1
            assert one.status in {Status.SENT, Status.FAILED, Status.UNCERTAIN}
            if one.status is Status.SENT:
                assert len(messages) + len(mails) == 1
                assert one.reference.startswith(f"{copy['id']}/{copy['requestNumber']}")
            if one.status is Status.FAILED:
                assert messages == mails == []
        assert not copies
        held = [row for row in house.world.all("emailaddress") if row["email"] == COMPANY]
        assert len(held) <= 1

    asyncio.run(story())
