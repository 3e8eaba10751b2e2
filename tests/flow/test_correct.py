"""A correction goes to exactly those who got the one before, wherever they are today."""

from contextlib import suppress

import pytest

from dev.pureservice.seed import MESSAGE_TYPE
from shared.domain.campaign import Phase
from shared.domain.delivery import Status
from shared.domain.recipient import LeftOutReason
from shared.errors import UtsendelseError
from shared.flow.correct import plan_correction
from tests.flow.conftest import House
from tests.flow.edges import Moments, Stop, another, everybody_of, stop
from tests.flow.test_reopen import ATTENTION, READY, Scene, carry_on, scene, words

PEOPLE = ("kari", "ola", "per", "eva", "tor")


def correct(one: Scene, text: str = "<p>Rettelse</p>") -> None:
    """The case worker writes it, and says whom it is for."""
    one.house.write(one.number, text, custom_type=MESSAGE_TYPE)
    one.note("mottakere: de samme")
    one.house.clock.tick(minutes=1)
    one.go()


async def first_sent(house: House) -> Scene:
    """Kari, Eva and Tor have got it; Ola was refused, and nobody knows of Per."""
    one = scene(house, **{who: f"{who}@example.no" for who in PEOPLE}, mia=None)
    one.provider.refuses.add("ola@example.no")
    one.provider.hangs_up_on.add("per@example.no")
    await one.rest()
    one.provider.refuses.clear()
    one.provider.hangs_up_on.clear()
    house.channel.sent.clear()
    house.channel.messages.clear()
    return one


async def test_exactly_those_who_got_it_get_the_correction_where_they_are_today(house):
    one = await first_sent(house)
    one.address("eva", "eva.ny@example.no")
    one.address("mia", "mia@example.no")
    one.join("liv", "liv@example.no")
    correct(one)
    campaign = await one.rest()
    assert (campaign.id, campaign.phase) == (f"{one.number}-2", Phase.DONE)
    assert campaign.correction_of == f"{one.number}-1"
    wanted = ("kari@example.no", "eva.ny@example.no", "tor@example.no")
    assert one.got == dict.fromkeys(wanted, 1)
    assert {message.text for message in house.channel.messages} == {"Rettelse"}
    assert (campaign.planned, campaign.left_out) == (3, 0)


async def test_the_notes_say_whom_it_goes_to(house):
    one = await first_sent(house)
    correct(one)
    await one.rest()
    [note] = [note for note in house.notes(one.number) if "/start-1]" in note and "-2/" in note]
    assert f"de som fikk utsendelse {one.number}-1" in words(note)
    assert "3 mottakere får meldingen" in words(note)


async def test_who_cannot_be_reached_any_more_is_left_out_with_the_reason(house):
    one = await first_sent(house)
    one.disable("kari")
    house.world.remove("user", one.people["eva"]["id"])
    correct(one)
    campaign = await one.rest()
    assert one.got == {"tor@example.no": 1}
    left_out = [row async for row in house.ledger.deliveries.left_out(campaign.id)]
    assert {row.member.name: row.reason for row in left_out} == {
        "Kari Ås": LeftOutReason.DISABLED,
        "Eva Ås": LeftOutReason.GONE,
    }
    file = house.files_on(one.number)[f"mottakere-{campaign.id}.csv"]
    text = house.world.content(file["digest"]).decode("utf-8-sig")
    assert "Finnes ikke lenger i Pureservice" in text
    assert f"de som fikk utsendelse {one.number}-1" in text


async def test_two_who_share_an_address_by_now_get_one(house):
    one = await first_sent(house)
    one.address("eva", "kari@example.no")
    correct(one)
    campaign = await one.rest()
    assert one.got == {"kari@example.no": 1, "tor@example.no": 1}
    assert (campaign.planned, campaign.left_out) == (2, 1)


async def test_those_who_got_it_in_a_later_round_are_among_them(house):
    one = await first_sent(house)
    one.address("ola", "ola.ny@example.no")
    await one.again()
    house.channel.sent.clear()
    correct(one)
    await one.rest()
    wanted = ("kari@example.no", "eva@example.no", "tor@example.no", "ola.ny@example.no")
    assert one.got == dict.fromkeys(wanted, 1)


async def test_without_the_word_a_new_message_goes_to_everybody_on_the_lists(house):
    one = await first_sent(house)
    house.write(one.number, "<p>Ny</p>", custom_type=MESSAGE_TYPE)
    house.clock.tick(minutes=1)
    one.go()
    await one.rest()
    assert one.got == {f"{who}@example.no": 1 for who in PEOPLE}


async def test_a_correction_that_failed_for_some_has_another_round_and_new_members_are_not_in_it(
    house,
):
    one = await first_sent(house)
    correct(one)
    one.provider.refuses.add("eva@example.no")
    await one.rest()
    one.provider.refuses.clear()
    one.join("liv", "liv@example.no")
    one.note("mottakere: nye")
    campaign = await one.again()
    assert (campaign.id, campaign.round) == (f"{one.number}-2", 2)
    assert one.got == {f"{who}@example.no": 1 for who in ("kari", "eva", "tor")}


async def test_with_nobody_to_correct_it_for_it_is_blocked_and_says_so(house):
    one = await first_sent(house)
    for who in ("kari", "eva", "tor"):
        one.disable(who)
    correct(one)
    await house.run(3)
    assert house.status(one.number) == ATTENTION
    assert f"til dem som fikk utsendelse {one.number}-1" in one.last_note()
    one.disable("tor", False)
    one.go()
    await one.rest()
    assert one.got == {"tor@example.no": 1}


async def test_who_has_asked_to_be_forgotten_gets_no_correction(house):
    one = await first_sent(house)
    [kari] = [
        d for d in await house.deliveries(await one.campaign()) if "kari" in d.recipient.address
    ]
    assert await house.ledger.erasure.erase(kari.campaign, kari.id)
    correct(one)
    campaign = await one.rest()
    assert one.got == {"eva@example.no": 1, "tor@example.no": 1}
    assert campaign.left_out == 0


async def test_very_many_are_planned_over_several_looks_and_all_of_them_get_it(
    house,
):
    people = {f"p{n:03}": f"p{n:03}@example.no" for n in range(600)}
    one = scene(house, **people)
    await one.rest()
    house.channel.sent.clear()
    correct(one)
    looks = 0

    def enough() -> bool:
        nonlocal looks
        looks += 1
        return looks > 1  # one page of it, then a pause

    while True:
        campaign = await one.campaign()
        if campaign.phase is Phase.EXPANDING and campaign.text_print:
            break
        with suppress(UtsendelseError, Stop):
            await another(house, before_the_first_page()).discover()
    for page in (256, 512):
        looks = 0
        campaign = await plan_correction(
            campaign,
            helpdesk=house.helpdesk,
            ledger=house.ledger,
            audience=everybody_of(house),
            enough=enough,
        )
        assert (campaign.phase, campaign.cursor.memberships) == (Phase.EXPANDING, page)
    await one.rest()
    assert one.got == dict.fromkeys(people.values(), 1)


def before_the_first_page():
    async def meet(moment: str) -> None:
        if moment == "before helpdesk.people":
            raise Stop

    return meet


async def test_who_moves_between_two_readings_of_a_half_written_page_gets_one(house):
    """The process stops when the page is written and the cursor not; then Eva moves."""
    one = await first_sent(house)
    correct(one)
    seen = []

    async def meet(moment: str) -> None:
        seen.append(moment)
        if "after helpdesk.people" in seen and moment == "before campaigns.write":
            raise Stop

    with suppress(Stop):
        for _ in range(3):
            await another(house, meet).discover()
    assert seen[-1] == "before campaigns.write"
    one.address("eva", "eva.ny@example.no")
    await one.rest()
    assert one.got == dict.fromkeys(("kari@example.no", "eva.ny@example.no", "tor@example.no"), 1)


async def test_a_crash_at_any_write_doubles_nobody_and_loses_nobody(make_house):
    async def prepared() -> Scene:
        one = await first_sent(make_house())
        one.address("eva", "eva.ny@example.no")
        correct(one)
        return one

    def planning(passed: list[str]) -> range:
        """From when they are read until the campaign is told of."""
        first = passed.index("before helpdesk.people")
        return range(first - 2, passed.index("before helpdesk.add_note"))

    one = await prepared()
    await carry_on(another(one.house, whole := Moments()), one.number)
    for at in planning(whole.passed):
        if whole.passed[at].startswith("after"):
            continue
        one = await prepared()
        with pytest.raises(Stop):
            await carry_on(another(one.house, Moments(at, stop)), one.number)
        await carry_on(another(one.house, Moments()), one.number)
        moment = f"{at} {whole.passed[at]}"
        wanted = ("kari@example.no", "eva.ny@example.no", "tor@example.no")
        assert one.got == dict.fromkeys(wanted, 1), moment
        campaign = await one.campaign()
        assert (campaign.phase, campaign.planned) == (Phase.DONE, 3), moment


async def test_where_everybody_has_a_ticket_those_who_got_it_get_another_ticket(make_house):
    house = make_house()
    lists = house.make_list("en", "kari@example.no", "ola+bounce@example.no")
    number = house.open_ticket(lists, channel="ticket", message="<p>Hei</p>", status=READY)
    await house.until_done(number)
    house.write(number, "<p>Rettelse</p>", custom_type=MESSAGE_TYPE)
    one = Scene(house, lists, {}, number, None)
    one.note("mottakere: de samme")
    house.clock.tick(minutes=1)
    one.go()
    campaign = await one.rest(30)
    [delivery] = await house.deliveries(campaign)
    assert (delivery.recipient.address, delivery.status) == ("kari@example.no", Status.SENT)
    assert len(house.copies(number)) == 3
