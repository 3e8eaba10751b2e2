"""What every recipient's ticket takes over is what stood on the campaign's when it started."""

import pytest

from dev.pureservice.seed import AGENT, MESSAGE_TYPE, OTHER_AGENT, PDF, PLACEHOLDERS, PNG, add_file
from shared.domain.campaign import Phase

READY, ATTENTION = "Utsending – klar", "Utsending – må sjekkes"
LOGO = "logo@example.no"
NAME, ADDRESS = "Masseutsendelse med-svar", PLACEHOLDERS["ticket"]


def asked_for(house, text="<p>Hei alle</p>", *, message_subject=None, own=(), **options):
    """A ticket of the second scenario with one recipient, ready to go."""
    members = house.make_list("en", "kari@example.no")
    number = house.open_ticket(members, **{"channel": "ticket", **options})
    ids = [add_file(house.world, house.ticket(number), *file)["id"] for file in own]
    house.write(number, text, custom_type=MESSAGE_TYPE, subject=message_subject, attachment_ids=ids)
    house.set_status(number, READY)
    return number


def picture(house, number, content_id=LOGO, **values):
    values = {"embedded": True, "contentId": content_id, **values}
    return add_file(house.world, house.ticket(number), f"{content_id[:4]}.png", PNG, **values)


async def frozen(house, number):
    """The campaign's message as it is in store, before anything has been sent."""
    await house.discover()
    campaign = await house.campaign(number)
    assert campaign.phase is Phase.APPROVED
    return (await house.messages.of(campaign.id)).message


async def blocked(house, number) -> str:
    """The problem, told on the ticket, with nobody written to."""
    await house.run(2)
    assert (house.copies(number), house.channel.sent) == ([], [])
    assert house.status(number) == ATTENTION
    return (await house.campaign(number)).problem


@pytest.fixture
def house(make_house):
    return make_house(UNDO_SECONDS="180")


# --- classification, status, fields ---


@pytest.mark.parametrize("keeps", ["False", "True"])
async def test_it_is_classified_alike_and_has_an_agent_only_if_we_want(make_house, keeps):
    house = make_house(UNDO_SECONDS="180", TICKET_KEEP_AGENT=keeps)
    number = asked_for(house, assignedAgentId=OTHER_AGENT, category2Id=2, priorityId=4, sourceId=4)
    ticket, template = house.ticket(number), (await frozen(house, number)).ticket
    known = template.classification
    assert (known.request_type, known.ticket_type) == (1, ticket["ticketTypeId"])
    assert (known.priority, known.source) == (4, 4)
    assert (known.zone, known.team) == (ticket["assignedDepartmentId"], ticket["assignedTeamId"])
    assert (known.category1, known.category2) == (ticket["category1Id"], 2)
    assert known.category3 is None
    assert known.agent == (OTHER_AGENT if keeps == "True" else None)


async def test_what_may_be_missing_may_be_missing(house):
    number = asked_for(house, assignedTeamId=None, category1Id=None, assignedAgentId=None)
    known = (await frozen(house, number)).ticket.classification
    assert (known.team, known.agent, known.category1) == (None, None, None)


@pytest.mark.parametrize("name", ["Venter - sluttbruker", "Under arbeid"])
async def test_its_status_is_the_one_in_settings_and_never_the_campaigns(make_house, name):
    house = make_house(UNDO_SECONDS="180", TICKET_STATUS=name)
    number = asked_for(house)
    status = house.world.find("status", name=name, requestTypeId=1)
    assert (await frozen(house, number)).ticket.status == status["id"]


async def test_self_made_fields_come_along_but_never_our_mark(make_house):
    house = make_house(UNDO_SECONDS="180", CAMPAIGN_MARK_FIELD="cf_3")
    fields = {"cf_1": "Blåbær", "cf_3": "arkiv 7", "cf_5": 0, "cf_6": None, "cf_8": ""}
    number = asked_for(house, customerReference="Deres ref. 7", **fields)
    assert dict((await frozen(house, number)).ticket.fields) == {"cf_1": "Blåbær", "cf_5": 0}
    assert "utsendelse:" in house.ticket(number)["cf_3"]


async def test_a_campaign_by_mail_takes_nothing_over(house):
    number = asked_for(house, channel="email", description=f"<p>Til {NAME}</p>")
    assert (await frozen(house, number)).ticket is None


# --- words ---


async def test_the_subject_and_the_description_lose_the_campaigns_own_tag(house):
    number = asked_for(
        house,
        subject="[Sak ID# 20417] Høring",
        description="<p>Se [Sak ID# 20417] i saken</p>",
        message_subject="SV: [Sak ID# 20417] Svarfrist",
    )
    message = await frozen(house, number)
    assert (message.subject, message.ticket.subject) == ("SV: Svarfrist", "Høring")
    assert message.ticket.description == "<p>Se i saken</p>"


@pytest.mark.parametrize(
    "greeting",
    [
        f"<p>Hei {NAME},</p>",
        f"<p> Hei {NAME}! </p>",
        "<div>Kjære Masseutsendelse</div>",
        f"<p>HELLO {NAME.upper()}:</p>",
        f"<table><tr><td>God dag {NAME}.</td></tr></table>",
    ],
)
@pytest.mark.parametrize("channel", ["email", "ticket"])
async def test_a_greeting_to_the_made_up_user_goes_and_the_rest_stays(house, greeting, channel):
    named = greeting.replace("med-svar", "ikke-svar").replace("MED-SVAR", "IKKE-SVAR")
    greeting = named if channel == "email" else greeting
    number = asked_for(house, f"{greeting}<p>Hei alle på listen</p>", channel=channel)
    message = await frozen(house, number)
    assert "masseutsendelse" not in message.html.lower()
    assert "<p>Hei alle på listen</p>" in message.html
    assert message.text.strip() == "Hei alle på listen"


@pytest.mark.parametrize(
    "text",
    [
        f"<p>Velkommen til {NAME} og andre</p>",
        "<p>Og hei Masseutsendelse, her er svaret</p>",
        f"<p>til <b>{NAME.split()[0]}</b>\n {NAME.split()[1]}</p>",
        f"<p>{NAME.upper()}</p>",
        "<p>Masseutsendelse&nbsp;med-svar</p>",
        f"<p>Skriv til {ADDRESS.title()}</p>",
    ],
)
@pytest.mark.parametrize("where", ["message", "description"])
async def test_the_made_up_user_named_anywhere_else_blocks(house, text, where):
    texts = {"text": text} if where == "message" else {"description": text}
    assert await blocked(house, asked_for(house, **texts)) == "names_campaign_user"


@pytest.mark.parametrize("whose", ["subject", "message_subject"])
async def test_the_made_up_user_named_in_a_subject_blocks(house, whose):
    number = asked_for(house, **{whose: f"Til {NAME} og andre"})
    assert await blocked(house, number) == "names_campaign_user"


async def test_it_blocks_a_campaign_by_mail_too(house):
    number = asked_for(house, f"<p>Skriv til {PLACEHOLDERS['email']}</p>", channel="email")
    assert await blocked(house, number) == "names_campaign_user"


async def test_a_made_up_user_with_a_name_like_any_other_word_blocks_nothing(house):
    user = house.world.get("user", house.campaign_user("ticket"))
    house.world.change("user", user["id"], {"firstName": "Alle", "lastName": None})
    number = asked_for(house, "<p>Hei alle,</p><p>Dette gjelder alle.</p>")
    message = await frozen(house, number)
    assert message.text.split() == ["Dette", "gjelder", "alle."]


async def test_a_made_up_user_without_a_name_takes_no_words_away(house):
    user = house.world.get("user", house.campaign_user("ticket"))
    house.world.change("user", user["id"], {"firstName": None, "lastName": None})
    number = asked_for(house, "<p>Hei,</p><p>Møte</p>")
    assert (await frozen(house, number)).html == "<p>Hei,</p><p>Møte</p>"


# --- which text ---


@pytest.mark.parametrize("names_mail", [True, False])
@pytest.mark.parametrize("via", ["pureservice", "email"])
async def test_what_pureservice_will_dress_up_again_is_what_was_written(
    make_house, via, names_mail
):
    """We send a mail as it was. Where it cannot be told what was written, it is the mail, too."""
    house = make_house(
        UNDO_SECONDS="180",
        MESSAGE_TRIGGER="failed_email",
        TICKET_MESSAGE_VIA=via,
        TICKET_REPLY_TO="servicedesk@example.org",
    )
    switches = {"mail_template": "greeting", "message_names_mail": names_mail}
    house.world.switches = house.world.switches.model_copy(update=switches)
    members = house.make_list("en", "kari@example.no")
    number = house.open_ticket(members, channel="ticket")
    house.write(number, "<p>Møte på mandag</p>")
    await house.helpdesk.failed_emails(house.ticket(number)["id"])  # it leaves, and fails
    house.clock.tick(minutes=1)
    house.set_status(number, READY)
    message = await frozen(house, number)
    dressed = "Svarer du på denne e-posten" in message.html
    assert dressed == (via == "email" or not names_mail)
    assert "<p>Møte på mandag</p>" in message.html
    assert "Masseutsendelse" not in message.html
    assert str(number) not in message.html


# --- files ---


async def test_pictures_that_the_description_shows_come_along_with_it_and_not_with_the_message(
    house,
):
    number = asked_for(
        house,
        own=[("brev.pdf", PDF)],
        description=f'<p><img src="cid:{LOGO}"></p>',
    )
    shown = picture(house, number)
    picture(house, number, "kart@example.no")  # embedded somewhere else
    add_file(house.world, house.ticket(number), "skjult.pdf", PDF, isVisible=False)
    message = await frozen(house, number)
    assert [file.name for file in message.files] == ["brev.pdf"]
    [logo] = message.ticket.pictures
    assert (logo.original, logo.content_id) == (shown["id"], LOGO)
    assert await house.files.get(logo.blob) == PNG
    assert f'src="cid:{LOGO}"' in message.ticket.description


async def test_a_campaign_by_mail_needs_no_pictures_of_the_description(house):
    number = asked_for(house, channel="email", description=f'<img src="cid:{LOGO}">')
    picture(house, number)
    await frozen(house, number)
    downloads = house.simulator.traffic.calls["GET /attachment/download/{id}"]
    assert downloads == 0


async def test_pictures_count_when_all_is_too_large(make_house):
    house = make_house(MAIL_MAX_MEGABYTES="1")
    number = asked_for(house, description=f'<img src="cid:{LOGO}">')
    large = b"\x89PNG" * 300_000
    values = {"embedded": True, "contentId": LOGO}
    add_file(house.world, house.ticket(number), "logo.png", large, **values)
    assert await blocked(house, number) == "too_large"


async def test_a_picture_that_cannot_be_fetched_blocks_and_is_named(house):
    number = asked_for(house, description=f'<img src="cid:{LOGO}">')
    picture(house, number)
    house.trouble("status", status=404, path="/attachment/download", times=10)
    assert await blocked(house, number) == "unreadable_file"
    assert "«logo.png»" in house.notes(number)[0]


async def test_what_is_mended_after_a_stop_is_what_counts(house):
    number = asked_for(house, f"<p>Til {NAME}</p>")
    assert await blocked(house, number) == "names_campaign_user"
    ticket = house.ticket(number)
    [entry] = [row for row in house.on(ticket, "communication") if row.get("customTypeId")]
    house.world.change("communication", entry["id"], {"text": "<p>Til dere</p>"}, by=AGENT)
    changes = {"description": "<p>Ny</p>", "cf_1": "Nytt"}
    house.world.change("ticket", ticket["id"], changes, by=AGENT)
    house.set_status(number, READY)
    message = await frozen(house, number)
    assert message.html == "<p>Til dere</p>"
    assert (message.ticket.description, message.ticket.fields) == ("<p>Ny</p>", (("cf_1", "Nytt"),))
