"""Recipient lists become deliveries: each address once, and everybody else with a reason."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dev.pureservice.seed import add_company, add_list, add_member, add_user
from shared.domain.campaign import Campaign, Phase, RecipientList
from shared.domain.helpdesk import MemberPage
from shared.domain.recipient import LeftOutReason, Member, MemberKind
from shared.errors import BlockedError, DoubtfulError, StorageError
from shared.flow.audience import Audience
from shared.flow.expand import expand
from shared.ledger import TABLES, Ledger
from tests.examples import settings as example_settings
from tests.fakes import MemoryTable
from tests.flow.edges import Edge, Moments, Stop, another, stop

EVERYBODY = Audience(example_settings().allowed, example_settings().campaign_users, (), None)

READY, ATTENTION = "Utsending – klar", "Utsending – må sjekkes"


def asked_for(house, *lists):
    return house.open_ticket(*lists, message="<p>Hei</p>", status=READY)


def crowd(n, start=0):
    return [f"mottaker{i}@example.no" for i in range(start, start + n)]


def once(addresses):
    return dict.fromkeys(addresses, 1)


def memberships(house, members):
    return list(house.world.where("relationship", "toAssetId", members["id"]))


def remove(house, members, nth):
    """The nth user of the list is taken off it; the address that must not get anything."""
    relation = [r for r in memberships(house, members) if r.get("fromUserId")][nth]
    user = house.world.get("user", relation["fromUserId"])
    house.world.remove("relationship", relation["id"])
    return house.world.get("emailaddress", user["emailAddressId"])["email"]


async def left_out(house, number):
    campaign = await house.campaign(number)
    return Counter([one.reason async for one in house.ledger.deliveries.left_out(campaign.id)])


# --- who is on the lists ---


async def test_every_kind_of_trouble_on_the_lists(house):
    number = house.seed(recipients=20)
    await house.run(3)
    account = house.expected(number)
    assert house.channel.addresses == account["mails"]
    assert await left_out(house, number) == account["leftOut"]
    campaign = await house.campaign(number)
    assert campaign.planned + campaign.left_out == account["memberships"]
    assert not house.channel.addresses.keys() & set(account["mustNotGet"])
    assert [one.deleted for one in campaign.lists] == [False, False, False, True]


async def test_only_the_configured_relations_make_a_member(make_house):
    house = make_house(LIST_COMPANY_RELATION="")
    members = house.make_list("en", "kari@example.no")
    firm = add_company(house.world, {"name": "Bedrift"}, ["post@example.no"])
    add_member(house.world, members, "company", firm)
    keeper = add_user(house.world, {"firstName": "Ola"}, ["ola@example.no"])
    add_member(house.world, members, "user", keeper, relation="Forvaltes av")
    asked_for(house, members)
    await house.run(3)
    assert house.channel.addresses == {"kari@example.no": 1}


async def test_a_list_related_in_another_way_is_not_read(house):
    given_to = house.make_list("en", "kari@example.no")
    mentioned = house.make_list("to", "ola@example.no")
    number = asked_for(house, given_to)
    ticket = house.ticket(number)
    add_member(house.world, mentioned, "ticket", ticket, relation="Forvaltes av")
    await house.run(3)
    assert house.channel.addresses == {"kari@example.no": 1}


async def test_an_asset_that_is_no_list_is_not_read(make_house):
    """Somebody has made a relation of the same name between tickets and computers."""
    house = make_house()
    computer = house.world.find("assettype", name="Datamaskin")
    name = {"name": "Gir mottakere til", "fromAssetTypeId": computer["id"]}
    house.world.add("relationshiptype", name)
    machine = add_list(house.world, "PC-17", "PC17")
    house.world.change("asset", machine["id"], {"typeId": computer["id"]})
    user = add_user(house.world, {"firstName": "Ola"}, ["ola@example.no"])
    add_member(house.world, machine, "user", user)
    number = asked_for(house, machine, house.make_list("en", "kari@example.no"))
    await house.run(3)
    assert house.channel.addresses == {"kari@example.no": 1}
    assert [one.name for one in (await house.campaign(number)).lists] == ["en"]


@pytest.mark.parametrize(
    "same",
    [
        ("Kari.Nordmann@Example.NO", " kari.nordmann@example.no "),
        ("kari@blåbær.example", "KARI@xn--blbr-roah.example"),
        ("kari@example.no\u200b", "kari@example.no"),
    ],
)
async def test_an_address_written_in_two_ways_gets_one_mail(make_house, same):
    house = make_house()
    number = asked_for(house, house.make_list("en", same[0]), house.make_list("to", *same))
    await house.run(3)
    assert list(house.channel.addresses.values()) == [1]
    assert await left_out(house, number) == {LeftOutReason.DUPLICATE: 2}


async def test_those_left_out_are_left_out_with_the_reason(make_house):
    house = make_house(ONLY_SEND_TO="example.no, blåbær.example, Ola@Annet.NO")
    members = house.make_list(
        "en",
        None,
        "ikke en adresse",
        "kari@example.no",
        "kari@xn--blbr-roah.example",
        "ola@annet.no",
        "kari@annet.no",
    )
    gone = add_user(house.world, {"firstName": "Borte", "disabled": True}, ["borte@example.no"])
    add_member(house.world, members, "user", gone)
    number = asked_for(house, members)
    await house.run(3)
    reached = ["kari@example.no", "kari@xn--blbr-roah.example", "ola@annet.no"]
    assert house.channel.addresses == once(reached)
    assert await left_out(house, number) == {
        LeftOutReason.NO_ADDRESS: 1,
        LeftOutReason.INVALID_ADDRESS: 1,
        LeftOutReason.NOT_ON_TEST_LIST: 1,
        LeftOutReason.DISABLED: 1,
    }


async def test_a_list_marked_for_deletion_is_named_and_not_read(house):
    number = asked_for(
        house,
        house.make_list("en", "kari@example.no"),
        house.make_list("Gammel & grå", "ola@example.no", deleted=True),
    )
    await house.run(3)
    assert house.channel.addresses == {"kari@example.no": 1}
    assert "Gammel &amp; grå – er merket for sletting og er ikke brukt" in house.notes(number)[0]


# --- large lists ---


async def test_a_list_of_many_pages_is_read_whole_at_one_call_a_page(house):
    members = house.make_list("en", *crowd(1204))
    asked_for(house, members)
    await house.discover()
    calls = house.simulator.traffic.calls
    assert calls["GET /relationship/{id}/fromAsset"] == 3 + 2  # and the first and the last again
    assert calls.total() < 30
    await house.deliver_all()
    await house.account()
    await house.deliver_all()
    assert house.channel.addresses == once(crowd(1204))


@pytest.mark.parametrize(("nth", "after"), [(0, 1), (499, 1), (998, 2)])
async def test_a_member_removed_while_a_large_list_is_read_costs_nobody_their_mail(
    house, nth, after
):
    """Everybody behind a member who is removed moves up one place, past the end of a page read."""
    members = house.make_list("en", *crowd(1203))
    asked_for(house, members)
    pages, gone = [], []

    async def edit(moment):
        if moment == "after helpdesk.members":
            pages.append(moment)
            if len(pages) == after:
                gone.append(remove(house, members, nth))

    await another(house, edit).discover()
    assert house.queue.items == []  # seen: to be read again
    await house.discover()
    await house.deliver_all()
    await house.account()
    await house.deliver_all()
    assert house.channel.addresses == once(set(crowd(1203)) - set(gone))


async def test_a_member_added_while_a_list_is_read_gets_the_mail_too(house):
    members = house.make_list("en", *crowd(3))
    number = asked_for(house, members)
    late = add_user(house.world, {"firstName": "Sen"}, ["sen@example.no"])

    async def edit(moment):
        if moment == "after helpdesk.members" and len(memberships(house, members)) == 4:
            add_member(house.world, members, "user", late)

    await another(house, edit).discover()
    await house.run(3)
    assert house.channel.addresses == once([*crowd(3), "sen@example.no"])
    assert (await house.campaign(number)).planned == 4


@pytest.mark.parametrize("edit", ["unlink", "link", "delete"])
async def test_a_list_taken_off_or_put_on_the_ticket_while_they_are_read_counts(house, edit):
    one, two = house.make_list("en", "kari@example.no"), house.make_list("to", "ola@example.no")
    number = asked_for(house, one, two)
    three = house.make_list("tre", "eva@example.no")
    done = []

    async def change(moment):
        if moment == "after helpdesk.members" and not done:
            done.append(edit)
            [tie] = [r for r in memberships(house, two) if r.get("fromTicketId")]
            if edit == "unlink":
                house.world.remove("relationship", tie["id"])
            elif edit == "delete":
                house.world.change("asset", two["id"], {"isMarkedForDeletion": True})
            else:
                house.link(number, three)

    await another(house, change).discover()
    await house.run(3)
    wanted = {"unlink": ["kari"], "delete": ["kari"], "link": ["kari", "ola", "eva"]}[edit]
    assert house.channel.addresses == once(f"{name}@example.no" for name in wanted)


# --- lists that cannot be used ---


async def test_no_list_an_empty_one_and_nobody_to_reach_block(house):
    none = asked_for(house)
    empty = asked_for(house, house.make_list("tom"))
    nobody = asked_for(house, house.make_list("en", None, "ikke en adresse"))
    deleted = asked_for(house, house.make_list("to", "kari@example.no", deleted=True))
    await house.run(3)
    assert house.channel.sent == []
    for number, why in (
        (none, "ikke koblet til noen mottakerliste"),
        (empty, "Mottakerlistene på saken er tomme"),
        (nobody, "2 oppføringer er utelatt"),
        (deleted, "merket for sletting"),
    ):
        [note] = house.notes(number)
        assert why in note
        assert house.status(number) == ATTENTION


async def test_a_list_that_cannot_be_read_blocks_and_is_named(house):
    one, two = house.make_list("Lett", "kari@example.no"), house.make_list("Vrien", "ola@a.no")
    number = asked_for(house, one, two)
    path = f"/relationship/{two['id']}/fromAsset"
    house.trouble("status", status=404, method="GET", path=path)
    await house.run(2)
    assert (house.channel.sent, house.status(number)) == ([], ATTENTION)
    assert "«Vrien»" in house.notes(number)[0]
    house.set_status(number, READY)
    await house.run(3)
    assert house.channel.addresses == once(["kari@example.no", "ola@a.no"])


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 403, "times": 1},  # the key: for whoever runs this
        {"kind": "status", "status": 503, "times": 3},
        {"kind": "drop_before", "times": 3},
        {"kind": "html", "status": 502, "times": 3},
        {"kind": "half_json", "times": 3},
        {"kind": "status", "status": 429, "retry_after": 45, "times": 1},
    ],
    ids=lambda fault: f"{fault['kind']}-{fault.get('status', '')}",
)
async def test_what_may_be_better_in_a_minute_waits_for_the_next_tick(house, fault):
    members = house.make_list("en", "kari@example.no")
    number = asked_for(house, members)
    house.trouble(method="GET", path=f"/relationship/{members['id']}", **fault)
    await house.minute()
    assert (await house.campaign(number)).phase is Phase.EXPANDING
    assert (house.notes(number), house.status(number)) == ([], READY)
    await house.run(2)
    assert house.channel.addresses == {"kari@example.no": 1}


# --- the reading alone, on lists of plain members in pages of three ---


class Lists:
    """A helpdesk of lists alone. `edits` happen before the call to `members` of that number."""

    def __init__(self, *lists, edits=(), size=3):
        self.on = dict(enumerate(map(list, lists), start=1))
        self.edits = dict(edits)
        self.size = size
        self.calls = 0
        self.checked = {}  #: what was on each list when somebody last looked at it

    async def lists(self, ticket_id):
        return [RecipientList(id_, f"liste {id_}") for id_ in self.on]

    async def members(self, list_id, start):
        self.calls += 1
        if edit := self.edits.pop(self.calls, None):
            edit(self.on)
        self.checked[list_id] = list(self.on[list_id])
        page = tuple(self.on[list_id][start : start + self.size])
        return MemberPage(page, repr(page), len(page) < self.size)


def person(relation, address, **changes):
    return Member(MemberKind.USER, relation, "Åse", address, relation=relation, **changes)


def people(n, start=1):
    return [person(i, f"mottaker{i}@example.no") for i in range(start, start + n)]


class Reading:
    """A campaign that reads its lists, tick after tick, and the ledger it leaves."""

    def __init__(self, helpdesk, *, pages=20):
        self.helpdesk, self.pages, self.ticks = helpdesk, pages, 0
        self.tables = {name: MemoryTable() for name in TABLES}
        self.ledger = Ledger.on(**self.tables)

    async def tick(self, helpdesk=None, ledger=None):
        ledger = ledger or self.ledger
        campaign = await ledger.campaigns.get("20417-1") or await ledger.campaigns.create(
            Campaign(
                id="20417-1",
                ticket_id=1,
                request_number=20417,
                channel="email",
                found_at=datetime(2026, 11, 23, 8, 0, tzinfo=UTC),
                nonce="ab12cd34",
                phase=Phase.EXPANDING,
            )
        )
        if campaign and campaign.phase is Phase.EXPANDING:
            self.ticks += 1
            await expand(
                campaign,
                helpdesk=helpdesk or self.helpdesk,
                ledger=ledger,
                audience=EVERYBODY,
                pages=self.pages,
            )

    async def to_the_end(self):
        for _ in range(200):
            await self.tick()
            campaign = await self.ledger.campaigns.get("20417-1")
            if campaign.phase is Phase.APPROVED:
                return await self.account()
        raise AssertionError("the reading never ends")

    async def account(self):
        """Who gets one, as which member; who does not, and why; each just once."""
        deliveries = [d async for d in self.ledger.deliveries.all("20417-1")]
        left_out = [one async for one in self.ledger.deliveries.left_out("20417-1")]
        due = await self.ledger.deliveries.due("20417-1", datetime(2027, 1, 1, tzinfo=UTC), 1000)
        assert {d.id for d in deliveries} == {d.id for d in due}
        campaign = await self.ledger.campaigns.get("20417-1")
        assert (campaign.planned, campaign.left_out) == (len(deliveries), len(left_out))
        assert campaign.cursor.memberships == len(deliveries) + len(left_out)
        return (
            sorted((d.recipient.address.lower(), d.recipient.member) for d in deliveries),
            sorted((str(one.member), one.member.relation, one.reason) for one in left_out),
        )


@pytest.mark.parametrize("people_on_it", range(12))
@pytest.mark.parametrize("pages", [1, 20])
async def test_a_list_of_any_length_is_read_to_its_end(people_on_it, pages):
    reading = Reading(Lists(people(people_on_it), people(1, start=90)), pages=pages)
    reached, left_out = await reading.to_the_end()
    assert {member for _, member in reached} == {
        f"user:{n}" for n in [*range(1, people_on_it + 1), 90]
    }
    assert left_out == []


async def test_a_campaign_too_large_for_one_tick_goes_on_at_the_next():
    reading = Reading(Lists(people(20)), pages=2)
    await reading.to_the_end()
    assert reading.ticks > 3
    assert reading.helpdesk.calls == 10 + 2  # no page but the first and the last is read twice


async def test_a_server_that_has_no_pages_blocks():
    """It gives the same page whatever it is asked for: nobody would ever come to the end."""
    lists = Lists(people(9))
    members = lists.members

    async def the_first(list_id, start):
        return await members(list_id, 0)

    lists.members = the_first
    with pytest.raises(BlockedError, match="unreadable_list") as blocked:
        await Reading(lists).tick()
    assert blocked.value.detail == {"name": "liste 1"}


async def crashing(point):
    """A reading stopped or disturbed at every moment in turn, each time with a fresh ledger."""
    wanted = None
    for at in count():
        shared = person(30, "MOTTAKER2@example.no")
        mixed = [*people(7), person(20, None), person(21, "mottaker1@example.no")]
        reading = Reading(Lists(mixed, [shared, *people(2, start=40)]))
        moments = Moments(at, point)
        helpdesk = Edge("helpdesk", reading.helpdesk, moments)
        tables = {name: Edge(name, table, moments) for name, table in reading.tables.items()}
        with suppress(Stop, StorageError):
            await reading.tick(helpdesk, Ledger.on(**tables))
        if wanted is None:
            undisturbed = Reading(reading.helpdesk)
            wanted = await undisturbed.to_the_end()
        assert await reading.to_the_end() == wanted, moments.passed[-1]
        if len(moments.passed) <= at:
            assert at > 40
            return


async def test_a_reading_that_was_stopped_anywhere_ends_as_if_it_had_not_been():
    await crashing(stop)


async def test_a_storage_that_fails_anywhere_done_or_not_changes_nothing():
    async def doubt():
        raise DoubtfulError("no answer")

    await crashing(doubt)


async def test_a_list_edited_between_a_crash_and_the_next_tick_is_read_as_it_is_now():
    """What was planned from the page that was not finished must not be sent."""
    for at in count():
        reading = Reading(Lists(people(7), people(2, start=40)))
        moments = Moments(at, stop)
        tables = {name: Edge(name, table, moments) for name, table in reading.tables.items()}
        with suppress(Stop):
            await reading.tick(None, Ledger.on(**tables))
        stopped = await reading.ledger.campaigns.get("20417-1")
        if stopped and stopped.phase is Phase.APPROVED:
            break
        del reading.helpdesk.on[1][1::3]
        reading.helpdesk.on[1].append(person(50, "ny@example.no"))
        reached, _ = await reading.to_the_end()
        campaign = await reading.ledger.campaigns.get("20417-1")
        still = {member.address for members in reading.helpdesk.on.values() for member in members}
        assert {address for address, _ in reached} == still, moments.passed[-1]
        assert campaign.planned == len(still)
    assert at > 15


#: One person's address as it may be written; and what is none.
_SPELLINGS = [
    [f"kari{n}@example.no", f" Kari{n}@Example.NO", f"KARI{n}@EXAMPLE.NO\t"] for n in range(5)
] + [["åse@blåbær.example", "åse@xn--blbr-roah.example", " Åse@BLÅBÆR.example"]]
_MEMBER = st.one_of(
    st.sampled_from([(who, text) for who, texts in enumerate(_SPELLINGS) for text in texts]),
    st.sampled_from([(None, text) for text in (None, "", "  ", "ikke@@en", "a b@c.no")]),
)


@st.composite
def edited_lists(draw):
    """Lists of random members, and removals and additions at random moments of the reading."""
    relations = count(1)

    def member(drawn):
        who, address = drawn
        return person(next(relations), address, disabled=draw(st.integers(0, 5)) == 0), who

    whose = {}
    lists = []
    for drawn in draw(st.lists(st.lists(_MEMBER, max_size=11), min_size=1, max_size=3)):
        made = [member(one) for one in drawn]
        whose |= {m.relation: who for m, who in made}
        lists.append([m for m, _ in made])

    def removal(which, nth):
        def edit(on):
            members = on[which % len(on) + 1]
            if members:
                del members[nth % len(members)]

        return edit

    def addition(which, drawn):
        new, who = member(drawn)
        whose[new.relation] = who

        def edit(on):
            members = on[which % len(on) + 1]
            # numbered as it is made, so that a list is always in the order of its relations
            members.append(replace(new, relation=new.relation + 1000, id=new.id + 1000))

        whose[new.relation + 1000] = who
        return edit

    small = st.integers(0, 12)
    edit = st.one_of(st.builds(removal, small, small), st.builds(addition, small, _MEMBER))
    edits = draw(st.lists(st.tuples(st.integers(1, 12), edit), max_size=3))
    return lists, sorted(edits, key=lambda e: e[0]), whose, draw(st.sampled_from([1, 2, 20]))


@settings(max_examples=100, deadline=None)
@given(edited_lists())
def test_whatever_is_on_the_lists_each_address_gets_one_and_the_sums_add_up(drawn):
    lists, edits, whose, pages = drawn
    reading = Reading(Lists(*lists, edits=edits), pages=pages)
    try:
        reached, left_out = asyncio.run(reading.to_the_end())
    except BlockedError as blocked:
        assert blocked.problem == "nobody"
        reached, left_out = [], None
    on_lists = [member for members in reading.helpdesk.checked.values() for member in members]
    reachable = {whose[m.relation] for m in on_lists if not m.disabled} - {None}
    assert len(reached) == len(reachable)
    by_member = {f"user:{m.id}": whose[m.relation] for m in on_lists}
    assert {by_member[member] for _, member in reached} == reachable
    if left_out is not None:
        assert len(reached) + len(left_out) == len(on_lists)
        assert len({relation for _, relation, _ in left_out}) == len(left_out)
