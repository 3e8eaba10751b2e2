"""Who gets a letter: the simulator says whom it must reach, and the flow finds the same."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dev.pureservice.seed import LETTER_SETTINGS, expected, seed_campaign
from shared.domain.addressee import Addressee, Flaw, PostalAddress
from shared.domain.campaign import LETTERS, Campaign, Cursor, RecipientList
from shared.domain.recipient import AllowList, LeftOut, LeftOutReason, Member, MemberKind, Recipient
from shared.flow.audience import Audience, Barred, audience
from shared.flow.expand import sort_out
from shared.flow.headcount import Headcount, Reach
from shared.flow.wording import FLAWS, LEFT_OUT, flaws, left_out_detail, render
from tests.examples import settings

LETTER_HOUSE = {
    **LETTER_SETTINGS,
    "ONLY_SEND_TO": "*",
    "DIGIPOST_SENDER_ID": "100123",
    "DIGIPOST_KEY": "a key",
    "DIGIPOST_HOST_KEY": f"SHA256:{'a' * 43}",
}
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
CAMPAIGN = Campaign("20417-1", 5001, 20417, LETTERS, NOW, "ab12cd34", cursor=Cursor())
NOBODY = Addressee("Kari Ås")
KARI = replace(NOBODY, postal=PostalAddress(("Storgata 1",), "0155", "Oslo"))
INVALID = replace(NOBODY, flaws=(Flaw.NATIONAL_ID, Flaw.NO_CITY))


def member(addressee: Addressee, address: str | None = "kari@example.no") -> Member:
    return Member(MemberKind.USER, 31, "Kari Ås", address, addressee=addressee)


def letters_to(*ways: str, suppressed=()) -> Audience:
    return Audience(AllowList.of("*"), {}, suppressed, None, LETTERS, ways)


async def sorted_out(house, number: int):
    """Everybody on the lists of a seeded campaign, each membership where it belongs."""
    account = expected(house.world, number)
    who = await audience(None, house.ledger, house.settings, NOW, LETTERS)
    planned, left_out, seen = [], [], set[bytes]()
    for list_id in account["lists"]:
        members = (await house.helpdesk.members(list_id, 0)).members
        some = sort_out(CAMPAIGN, RecipientList(list_id, "Liste"), members, seen, who)
        planned += some[0]
        left_out += some[1]
    return account, planned, left_out


async def test_everybody_in_a_tenant_full_of_trouble_is_reached_or_left_out_for_what_is_wrong(
    make_house,
):
    house = make_house(**LETTER_HOUSE)
    number = seed_campaign(house.world, recipients=24, scenario="digipost")
    account, planned, left_out = await sorted_out(house, number)
    assert sorted(one.recipient.member for one in planned) == account["members"]
    assert Counter(one.reason for one in left_out) == account["leftOut"]
    assert len(planned) + len(left_out) == account["memberships"]
    assert all(one.recipient.addressee.can_be_found for one in planned)
    assert not any(one.recipient.addressee.national_id for one in planned)
    ways = Counter(
        "number" if who.has_national_id else "firm" if who.organization_number else "address"
        for who in (one.recipient.addressee for one in planned)
    )
    assert min(ways[way] for way in ("number", "firm", "address")) > 2


async def test_where_pureservice_gives_no_addresses_only_those_with_a_number_are_found(make_house):
    house = make_house(**LETTER_HOUSE)
    house.world.switches = house.world.switches.model_copy(update={"user_addresses": "refused"})
    number = seed_campaign(house.world, recipients=12, scenario="digipost", tricky=False)
    _, planned, left_out = await sorted_out(house, number)
    assert {one.recipient.addressee.postal for one in planned} == {None}
    assert {one.reason for one in left_out} == {LeftOutReason.NO_IDENTITY}
    assert planned and left_out


@pytest.mark.parametrize(
    ("ways", "suppressed", "planned"),
    [
        ((), (), False),
        (("print", "list"), (), False),  # neither can do without a postal address
        (("email",), (), True),
        (("print", "ticket", "list"), (), True),
        (("email", "ticket"), ("kari@example.no",), False),
    ],
)
def test_who_cannot_be_found_is_planned_where_a_mail_can_reach_them(ways, suppressed, planned):
    found = letters_to(*ways, suppressed=suppressed).recipient(member(INVALID))
    expected = Barred(LeftOutReason.INVALID_NATIONAL_ID, "national_id,no_city")
    assert isinstance(found, Recipient) if planned else found == expected


def test_a_suppressed_address_bars_no_letter_and_still_bars_mail():
    barred = ("kari@example.no",)
    assert isinstance(letters_to(suppressed=barred).recipient(member(KARI)), Recipient)
    by_mail = replace(letters_to(suppressed=barred), channel="email").recipient(member(KARI))
    assert by_mail == Barred(LeftOutReason.SUPPRESSED)


def test_what_a_letter_is_addressed_by_is_not_kept_of_who_gets_a_mail():
    found = replace(letters_to(), channel="email").recipient(member(KARI))
    assert isinstance(found, Recipient)
    assert found.addressee is None


# --- words


def test_every_reason_and_every_flaw_has_its_words():
    assert set(LEFT_OUT) == set(LeftOutReason)
    assert set(FLAWS) == set(Flaw)


def test_what_is_wrong_is_told_in_words_and_other_details_as_they_are():
    one = LeftOut(610, member(INVALID), LeftOutReason.INVALID_NATIONAL_ID, 0, "national_id,no_city")
    assert left_out_detail(one) == "poststed mangler"
    assert left_out_detail(replace(one, reason=LeftOutReason.MISSING_VALUE, detail="title")) == (
        "title"
    )
    assert left_out_detail(replace(one, reason=LeftOutReason.NO_IDENTITY, detail="")) == ""
    assert flaws([Flaw.COUNTRY]) == "ukjent land i postadressen"


def test_a_preview_names_those_who_get_a_letter_although_something_is_wrong():
    reach = Reach([Headcount("Liste")])
    flawed = replace(KARI, flaws=(Flaw.NATIONAL_ID,))
    no_home = replace(NOBODY, has_national_id=True)
    people = [member(KARI), *(replace(member(flawed), id=n) for n in range(100, 160))]
    people.append(replace(member(no_home), id=99))
    planned, left_out = sort_out(CAMPAIGN, RecipientList(610, "Liste"), people, set(), letters_to())
    reach.add(reach.lists[0], planned, left_out)
    assert (len(reach.flawed), reach.flawed_unnamed, reach.without_address) == (50, 10, 1)
    assert {one.addressee.flaws for one in reach.flawed} == {(Flaw.NATIONAL_ID,)}
    told = " ".join(preview_of(reach).split())
    assert told.count("Kari Ås (kari@example.no): ugyldig fødselsnummer") == 50
    assert "… og 10 til." in told
    assert "1 mottaker har ingen postadresse" in told


def preview_of(reach: Reach) -> str:
    nothing = dict.fromkeys(("draft", "when", "asked_for"))
    return render(
        "preview.html",
        tickets=False,
        problems=[],
        description="",
        reach=reach,
        now=NOW,
        settings=settings(),
        by_status=True,
        goes_back=True,
        sample=True,
        **nothing,
    )


def test_a_preview_says_what_is_wrong_with_who_is_left_out_and_not_their_number():
    reach = Reach([Headcount("Liste")])
    some = sort_out(CAMPAIGN, RecipientList(610, "Liste"), [member(INVALID)], set(), letters_to())
    reach.add(reach.lists[0], *some)
    told = " ".join(preview_of(reach).split())
    assert "ugyldig fødselsnummer (poststed mangler)" in told
