"""Placeholders from the ticket to the recipient: filled in for each, or told of beforehand."""

import pytest

from dev.pureservice.seed import add_company, add_list, add_member, add_user
from shared.domain.campaign import Phase
from shared.domain.delivery import Reason, Status
from shared.domain.recipient import LeftOutReason
from shared.domain.suppression import SuppressionReason
from shared.flow.frozen import Messages
from tests.flow.test_preview import note, prepared
from tests.flow.test_report import content

READY = "Utsending – klar"


def town(house, *people):
    """A recipient list of (first name, last name, title, company) at an address of their own."""
    members = add_list(house.world, "Byen", "BYEN")
    companies = {}
    for n, (first, last, title, company) in enumerate(people):
        person = {"firstName": first, "lastName": last, "title": title}
        if company and company not in companies:
            values = {"name": company, "organizationNumber": "974760673"}
            companies[company] = add_company(house.world, values)["id"]
        if company:
            person["companyId"] = companies[company]
        user = add_user(house.world, person, [f"n{n}@example.no"])
        add_member(house.world, members, "user", user)
    return members


KARI = ("Kari", "Nordmann", "rektor", "Fjordvik skole")
OLA = ("Ola", "<b>Ås & co</b>", None, None)


async def sent(house, message, *people, **options):
    number = house.open_ticket(
        town(house, *(people or [KARI, OLA])), message=message, status=READY, **options
    )
    await house.run(6)
    return number


def by_address(house):
    pairs = zip(house.channel.sent, house.channel.messages, strict=True)
    return {delivery.recipient.address: message for delivery, message in pairs}


async def test_each_gets_their_own_in_subject_html_and_text(house):
    message = "<p>Hei {{&nbsp;recipient.<span>first_name</span> }} {{recipient.last_name}}</p>"
    number = await sent(house, message, subject="Til {{ recipient.name }} om {{ ticket.number }}")
    mails = by_address(house)
    kari, ola = mails["n0@example.no"], mails["n1@example.no"]
    assert "<p>Hei Kari Nordmann</p>" in kari.html
    assert kari.text == "Hei Kari Nordmann"
    assert kari.subject == f"Til Kari Nordmann om {number}"
    assert "Hei Ola &lt;b&gt;Ås &amp; co&lt;/b&gt;" in ola.html
    assert ola.text == "Hei Ola <b>Ås & co</b>"
    assert "<b>" in ola.subject


async def test_whoever_lacks_something_is_named_in_the_preview_and_gets_nothing(house):
    message = "<p>Hei {{ recipient.first_name }} ved {{ recipient.company }}</p>"
    number = await prepared(house, town(house, KARI, OLA), message=message)
    told = await note(house, number)
    assert "<td>2</td><td>1</td>" in told
    assert "(n1@example.no): mangler opplysning (recipient.company)" in told
    house.set_status(number, READY)
    campaign = await house.until_done(number)
    assert list(by_address(house)) == ["n0@example.no"]
    [left_out] = [one async for one in house.ledger.deliveries.left_out(campaign.id)]
    assert (left_out.reason, left_out.detail) == (LeftOutReason.MISSING_VALUE, "recipient.company")
    csv = content(house, number, f"mottakere-{campaign.id}.csv").decode("utf-8-sig")
    assert "ikke er registrert på mottakeren: recipient.company" in csv


async def test_a_default_value_lets_everybody_through(house):
    await sent(house, '<p>Hei fra {{ recipient.company | default("bygda") }}</p>')
    texts = {message.text for message in house.channel.messages}
    assert texts == {"Hei fra Fjordvik skole", "Hei fra bygda"}


async def test_of_each_recipient_only_what_the_message_mentions_is_kept(house):
    number = await sent(house, "<p>Hei {{ recipient.first_name }}</p>")
    kept = {one.recipient.values for one in await house.deliveries(await house.campaign(number))}
    assert kept == {(("first_name", "Kari"),), (("first_name", "Ola"),)}


async def test_without_placeholders_nothing_of_them_is_kept(house):
    number = await sent(house, "<p>Hei alle</p>")
    kept = {one.recipient.values for one in await house.deliveries(await house.campaign(number))}
    assert kept == {()}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("<p>Hei {{ recipient.fornavn }}</p>", "ikke noe flettefelt med det navnet"),
        ("<p>Hei {{ recipient.firstname }}</p>", "Mente du «recipient.first_name»"),
        ("<p>Hei {{ recipient.first_name</p>", "skrevet feil"),
        ("<p>{% for x in recipient %}hei{% endfor %}</p>", "ikke er tillatt"),
    ],
)
async def test_a_wrong_placeholder_stops_the_campaign_and_says_which(house, message, words):
    number = await sent(house, message)
    assert house.channel.sent == []
    campaign = await house.campaign(number)
    assert (campaign.phase, campaign.problem) == (Phase.BLOCKED, "wrong_placeholder")
    assert words in " ".join(house.notes(number)[0].split())


async def test_own_fields_are_known_by_the_names_that_settings_give(make_house):
    house = make_house(RECIPIENT_FIELDS={"kundenummer": "user.cf_3"})
    members = town(house, KARI)
    [user] = [one for one in house.world.all("user") if one["firstName"] == "Kari"][-1:]
    house.world.change("user", user["id"], {"cf_3": "K-1001"}, by=None)
    house.open_ticket(members, message="<p>{{ recipient.kundenummer }}</p>", status=READY)
    await house.run(6)
    assert [message.text for message in house.channel.messages] == ["K-1001"]


async def test_a_value_that_is_corrected_counts_in_the_next_round(house):
    message = "<p>Hei {{ recipient.first_name }}, {{ recipient.title }}</p>"
    number = await sent(house, message)
    assert list(by_address(house)) == ["n0@example.no"]
    await house.until_done(number)
    [ola] = [one for one in house.world.all("user") if one["firstName"] == "Ola"][-1:]
    house.world.change("user", ola["id"], {"title": "vaktmester"}, by=None)
    house.set_status(number, READY)
    await house.run(10)
    assert by_address(house)["n1@example.no"].text == "Hei Ola, vaktmester"
    assert house.channel.addresses == {"n0@example.no": 1, "n1@example.no": 1}


async def test_every_recipient_s_ticket_is_filled_in_too(make_house):
    house = make_house()
    number = house.open_ticket(
        town(house, KARI, OLA),
        message="<p>Hei {{ recipient.first_name }}</p>",
        description="<p>Gjelder {{ recipient.name }}</p>",
        subject="Til {{ recipient.first_name }}",
        channel="ticket",
        status=READY,
    )
    await house.run(8)
    copies = house.copies(number)
    assert {copy["subject"] for copy in copies} == {"Til Kari", "Til Ola"}
    descriptions = {copy["description"] for copy in copies}
    assert "<p>Gjelder Kari Nordmann</p>" in descriptions
    texts = {row["text"] for copy in copies for row in house.messages_on(copy)}
    assert texts == {"<p>Hei Kari</p>", "<p>Hei Ola</p>"}


async def test_the_campaign_s_ticket_is_nothing_to_mention_where_each_has_their_own(house):
    number = await sent(house, "<p>Sak {{ ticket.number }}</p>", channel="ticket")
    assert (await house.campaign(number)).problem == "wrong_placeholder"


async def test_a_message_is_compiled_once_whatever_the_number_of_recipients(house):
    people = [(f"Navn{n}", "Nordmann", None, None) for n in range(30)]
    number = await sent(house, "<p>Hei {{ recipient.first_name }}</p>", *people)
    campaign = await house.campaign(number)
    messages = Messages(house.files)
    assert await messages.of(campaign.id) is await messages.of(campaign.id)
    assert len({message.text for message in house.channel.messages}) == 30


async def test_who_is_suppressed_after_the_start_is_skipped_when_their_turn_comes(make_house):
    house = make_house(UNDO_SECONDS="600")
    number = await sent(house, "<p>Hei</p>")
    await house.ledger.suppressions.add(
        "n1@example.no", SuppressionReason.BY_HAND, source="api", now=house.clock()
    )
    campaign = await house.until_done(number)
    assert house.channel.addresses == {"n0@example.no": 1}
    assert (await house.statuses(campaign))[Status.SKIPPED] == 1
    skipped = [one for one in await house.deliveries(campaign) if one.status is Status.SKIPPED]
    assert [one.reason for one in skipped] == [Reason.SUPPRESSED]


@pytest.mark.parametrize("channel", ["email", "ticket"])
async def test_who_is_suppressed_beforehand_is_left_out_and_named_in_the_preview(house, channel):
    await house.ledger.suppressions.add(
        "N1@example.no", SuppressionReason.HARD_BOUNCE, source="acs", now=house.clock()
    )
    members = town(house, KARI, OLA)
    number = await prepared(house, members, message="<p>Hei</p>", channel=channel)
    assert "(n1@example.no): sperret adresse" in await note(house, number)
    house.set_status(number, READY)
    campaign = await house.until_done(number)
    assert (campaign.planned, campaign.left_out) == (1, 1)
