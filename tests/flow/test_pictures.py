"""Pictures in the text of a message, from the ticket to the recipient."""

from base64 import b64encode

import pytest

from dev.pureservice.seed import add_file

READY = "Utsending – klar"
PNG = b"\x89PNG\r\n\x1a\n" + b"kart" * 20
DATA = f'<img src="data:image/png;base64,{b64encode(PNG).decode()}" alt="Kart">'
EMBEDDED = {"embedded": True, "isVisible": False, "contentId": "kart@fjordvik"}


async def with_message(house, message, *files, **options):
    number = house.open_ticket(
        house.make_list("Byen", "kari@example.no"), message=message, **options
    )
    made = [add_file(house.world, house.ticket(number), *file[:2], **file[2]) for file in files]
    return number, made


async def sent(house, number):
    house.set_status(number, READY)
    await house.run(6)
    [message] = house.channel.messages
    return message, [house.files.blobs[file.blob] for file in message.files]


async def test_one_kept_in_the_helpdesk_comes_along_and_is_shown(house):
    number, _ = await with_message(
        house, '<p>Se <img src="cid:kart@fjordvik" alt="Kart"></p>', ("kart.png", PNG, EMBEDDED)
    )
    message, data = await sent(house, number)
    assert 'src="cid:kart@fjordvik"' in message.html
    assert [(one.name, one.content_id) for one in message.files] == [("kart.png", "kart@fjordvik")]
    assert data == [PNG]
    assert "[Kart]" in message.text


async def test_one_that_is_named_by_its_address_there_is_the_same(house):
    number, [file] = await with_message(house, "<p>Se</p>", ("kart.png", PNG, EMBEDDED))
    text = f'<p>Se <img src="/agent/api/attachment/{file["id"]}/download" alt="Kart"></p>'
    [entry] = [e for e in house.world.all("communication") if e.get("customTypeId")]
    house.world.change("communication", entry["id"], {"text": text}, by=None)
    message, data = await sent(house, number)
    assert 'src="cid:kart@fjordvik"' in message.html
    assert data == [PNG]


async def test_one_that_stands_in_the_text_itself_is_sent_beside_it_once(house):
    number, _ = await with_message(house, f"<p>{DATA} og igjen {DATA}</p>")
    message, data = await sent(house, number)
    assert "data:" not in message.html
    [picture] = message.files
    assert message.html.count(f'src="cid:{picture.content_id}"') == 2
    assert (picture.content_type, data) == ("image/png", [PNG])


@pytest.mark.parametrize("source", ["cid:borte@fjordvik", "/agent/api/attachment/999/download"])
async def test_one_that_is_nowhere_leaves_its_text(house, source):
    number, _ = await with_message(house, f'<p>Se <img src="{source}" alt="Kart"> her</p>')
    message, _ = await sent(house, number)
    assert "<img" not in message.html or "src" not in message.html
    assert "Kart" in message.text


async def test_a_hidden_file_that_no_text_shows_stays_where_it_is(house):
    number, _ = await with_message(house, "<p>Hei</p>", ("kart.png", PNG, EMBEDDED))
    message, _ = await sent(house, number)
    assert message.files == ()


async def test_each_recipient_s_ticket_has_them_too(house):
    number, _ = await with_message(
        house,
        f'<p>{DATA} og <img src="cid:kart@fjordvik" alt="Kart"></p>',
        ("kart.png", PNG + b"!", EMBEDDED),
        channel="ticket",
    )
    house.set_status(number, READY)
    await house.run(8)
    [copy] = house.copies(number)
    [message] = house.messages_on(copy)
    files = {row["contentId"]: row for row in house.on(copy, "attachment")}
    assert len(files) == 2
    for content_id, row in files.items():
        assert f'src="cid:{content_id}"' in message["text"]
        assert row["embedded"]
        assert house.world.content(row["digest"]) in (PNG, PNG + b"!")


async def test_a_letterhead_stands_around_a_bare_message_with_its_logo(make_house):
    house = make_house(
        LETTERHEADS={
            "default": {"header": "Fjordvik kommune", "logo": "vaapen.png", "footer": "Rådhuset"}
        },
        MAIL_LANGUAGE="nn",
        MAIL_REPLY_TO="",
    )
    await house.files.put("letterheads/vaapen.png", PNG)
    number, _ = await with_message(house, "<p>Hei alle</p>")
    message, data = await sent(house, number)
    assert "<p>Hei alle</p>" in message.html
    assert message.html.index("Fjordvik kommune") < message.html.index("Hei alle")
    assert message.text.index("Hei alle") < message.text.index("Rådhuset")
    assert "Du kan ikkje svare på denne e-posten." in message.text
    assert f'src="cid:{message.files[0].content_id}"' in message.html
    assert (message.lang, data) == ("nn", [PNG])


async def test_none_stands_around_what_pureservice_will_dress_up(make_house):
    house = make_house(LETTERHEADS={"default": {"header": "Fjordvik kommune"}})
    number, _ = await with_message(house, "<p>Hei</p>", channel="ticket")
    house.set_status(number, READY)
    await house.run(8)
    [copy] = house.copies(number)
    assert "Fjordvik" not in house.messages_on(copy)[0]["text"]


async def test_a_logo_that_is_not_there_blocks_with_its_name(make_house):
    house = make_house(LETTERHEADS={"default": {"header": "Fjordvik", "logo": "borte.png"}})
    number, _ = await with_message(house, "<p>Hei</p>")
    house.set_status(number, READY)
    await house.run(3)
    assert (await house.campaign(number)).problem == "no_logo"
    assert "«borte.png»" in house.notes(number)[0]


async def test_a_zone_has_a_letterhead_of_its_own_and_the_team_goes_before_it(make_house):
    letterheads = {
        "default": {"header": "Fjordvik kommune"},
        "zone:Kommunikasjon": {"header": "Kommunikasjon i Fjordvik"},
    }
    texts = []
    for team in ({}, {"team:Utsendinger": {"header": "Utsendingene"}}):
        house = make_house(LETTERHEADS=letterheads | team)
        number, _ = await with_message(house, "<p>Hei</p>")
        message, _ = await sent(house, number)
        texts.append(message.text)
    assert "Kommunikasjon i Fjordvik" in texts[0]
    assert "Utsendingene" in texts[1]
    assert "Fjordvik kommune" not in "".join(texts)
