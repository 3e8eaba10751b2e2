"""What is sent is what stood there when it started: message, files, sender."""

import pytest

from dev.pureservice.seed import AGENT, MESSAGE_TYPE, PDF, PNG, add_file
from tests.flow.edges import another

READY, ATTENTION = "Utsending – klar", "Utsending – må sjekkes"


def asked_for(house, text="<p>Hei</p>", *, subject=None, files=(), **options):
    """A ticket with one recipient and one message, ready to go."""
    members = house.make_list("en", "kari@example.no")
    number = house.open_ticket(members, **options)
    own = [
        add_file(house.world, house.ticket(number), name, data, **v)["id"]
        for name, data, v in files
    ]
    house.write(number, text, custom_type=MESSAGE_TYPE, subject=subject, attachment_ids=own)
    house.set_status(number, READY)
    return number


async def sent(house):
    """The one message that went out."""
    await house.run(3)
    assert house.channel.addresses == {"kari@example.no": 1}
    return house.channel.messages[0]


async def blocked(house, number):
    """The one note that says why nothing went out."""
    await house.run(2)
    assert (house.channel.sent, house.status(number)) == ([], ATTENTION)
    [note] = house.notes(number)
    return note


async def kept(house, message):
    return {file.name: await house.files.get(file.blob) for file in message.files}


# --- what is fixed stays fixed ---


async def test_changes_after_the_start_do_not_matter(make_house):
    house = make_house(UNDO_SECONDS="180")
    number = asked_for(house, files=[("brev.pdf", PDF, {})], subject="Som avtalt")
    await house.minute()
    assert house.status(number) == "Utsending – pågår"
    [entry] = [e for e in house.world.all("communication") if e.get("customTypeId")]
    changes = {"text": "<p>Noe helt annet</p>", "subject": "Noe annet"}
    house.world.change("communication", entry["id"], changes, by=AGENT)
    house.world.change("ticket", house.ticket(number)["id"], {"subject": "Enda noe"}, by=AGENT)
    add_file(house.world, house.ticket(number), "for-sent.txt", b"For sent")
    [pdf] = [a for a in house.world.all("attachment") if a["fileName"] == "brev.pdf"]
    house.world.change("attachment", pdf["id"], {"digest": house.world.store(b"byttet")})
    house.link(number, house.make_list("to", "sen@example.no"))
    address = house.world.find("emailaddress", email="kari@example.no")
    house.world.change("emailaddress", address["id"], {"email": "ny@example.no"})
    await house.run(5)
    assert house.channel.addresses == {"kari@example.no": 1}
    [message] = house.channel.messages
    assert (message.subject, message.text) == ("Som avtalt", "Hei")
    assert await kept(house, message) == {"brev.pdf": PDF}


async def test_the_message_is_not_fixed_again_when_the_lists_take_another_tick(house):
    members = house.make_list("en", "kari@example.no")
    number = house.open_ticket(members, message="<p>Hei</p>", status=READY)
    house.trouble("status", method="GET", path=f"/relationship/{members['id']}", times=3)
    await house.minute()
    house.write(number, "<p>Et svar i mellomtiden</p>", custom_type=MESSAGE_TYPE)
    assert (await sent(house)).text == "Hei"


# --- files ---


async def test_the_messages_own_files_and_the_tickets_visible_ones_go_along(house):
    number = asked_for(
        house,
        files=[("eget.pdf", PDF, {}), ("eget-skjult.txt", b"Eget", {"isVisible": False})],
    )
    ticket = house.ticket(number)
    add_file(house.world, ticket, "synlig æøå.txt", b"Synlig")
    add_file(house.world, ticket, "skjult.txt", b"Skjult", isVisible=False)
    add_file(house.world, ticket, "logo.png", PNG, embedded=True, contentId="logo")
    message = await sent(house)
    assert await kept(house, message) == {
        "eget.pdf": PDF,
        "eget-skjult.txt": b"Eget",
        "synlig æøå.txt": b"Synlig",
    }
    assert {f.name: f.content_type for f in message.files}["eget.pdf"] == "application/pdf"


async def test_two_files_of_the_same_name_both_arrive(house):
    number = asked_for(house)
    for data in (b"en", b"to", b"tre"):
        add_file(house.world, house.ticket(number), "vedlegg.txt", data)
    message = await sent(house)
    assert await kept(house, message) == {
        "vedlegg.txt": b"en",
        "vedlegg (2).txt": b"to",
        "vedlegg (3).txt": b"tre",
    }


@pytest.mark.parametrize("what", ["a web page", "too short", "too long", "gone"])
async def test_a_file_that_does_not_come_whole_blocks_and_is_named(house, what):
    number = asked_for(house)
    file = add_file(house.world, house.ticket(number), "Årsplan <1>.pdf", PDF)
    page = house.world.store(b"<html>Logg inn</html>")
    changes = {
        "a web page": {"digest": page, "contentType": "text/html", "contentLength": 21},
        "too short": {"digest": house.world.store(PDF[:20])},
        "too long": {"digest": house.world.store(PDF * 2)},
        "gone": {},
    }[what]

    async def meanwhile(moment):
        if moment == "before helpdesk.download":
            house.world.change("attachment", file["id"], changes, by=None)
            if what == "gone":
                house.trouble("status", status=404, path="/attachment/download")

    await another(house, meanwhile).discover()
    note = await blocked(house, number)
    assert "«Årsplan &lt;1&gt;.pdf» kunne ikke hentes" in note
    # mended, and asked for again
    whole = {"digest": house.world.store(PDF), "contentType": "application/pdf"}
    changes = {**whole, "contentLength": len(PDF)}
    house.world.change("attachment", file["id"], changes, by=AGENT)
    house.set_status(number, READY)
    assert list((await kept(house, await sent(house))).values()) == [PDF]


async def test_a_download_that_fails_for_now_is_tried_at_the_next_tick(house):
    number = asked_for(house, files=[("brev.pdf", PDF, {})])
    house.trouble("status", status=503, path="/attachment/download", times=3)
    await house.minute()
    assert (house.channel.sent, house.notes(number)) == ([], [])
    assert await kept(house, await sent(house)) == {"brev.pdf": PDF}


@pytest.mark.parametrize("size", ["told", "untold", "huge"])
async def test_files_that_are_together_too_large_block(make_house, size):
    house = make_house(MAIL_MAX_MEGABYTES="1")
    number = asked_for(house)
    for name in ("en.bin", "to.bin"):
        file = add_file(house.world, house.ticket(number), name, name.encode() * 100_000)
        told = {"told": file["contentLength"], "untold": None, "huge": 60 * 1024 * 1024}[size]
        house.world.change("attachment", file["id"], {"contentLength": told}, by=None)
    assert "større enn 1 MB" in await blocked(house, number)
    downloads = house.simulator.traffic.calls["GET /attachment/download/{id}"]
    assert downloads == (2 if size == "untold" else 0)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\Windows\\system.ini", "C-Windows-system.ini"),
        ("brev.pdf\r\nBcc: alle@example.no", "brev.pdf Bcc- alle@example.no"),
        ("\u202egnp.exe", "gnp.exe"),
        ('a"b;c.pdf', "a-b;c.pdf"),
        ("æ" * 300 + ".pdf", None),
        ("CON.txt", None),
        (" . ", "vedlegg"),
    ],
)
async def test_a_hostile_file_name_is_made_safe_and_the_file_arrives(house, name, safe):
    number = asked_for(house)
    file = add_file(house.world, house.ticket(number), "x.pdf", PDF)
    house.world.change("attachment", file["id"], {"fileName": name}, by=None)
    message = await sent(house)
    [(kept_as, data)] = (await kept(house, message)).items()
    assert data == PDF
    assert safe is None or kept_as == safe
    assert not set(kept_as) & set('/\\:*?"<>|\r\n\u202e')
    assert len(kept_as.encode()) <= 150
    assert ".." not in message.files[0].blob


# --- words ---


async def test_scripts_go_and_the_rest_of_the_message_stays(house):
    asked_for(
        house,
        '<p onclick="x()">Hei <b>alle</b></p><script>alert(1)</script><style>p{}</style>'
        '<a href="javascript:x()">klikk</a> <a href="https://example.no/a?b=1&amp;c=2">les</a>'
        '<iframe src="https://vond.example"></iframe><img src="https://example.no/a.png"'
        ' onerror="x()"><form action="/x"><input value="hemmelig"></form>',
    )
    message = await sent(house)
    html = message.html.lower()
    for bad in ("script", "onclick", "onerror", "<style", "iframe", "<form", "<input", "vond"):
        assert bad not in html
    assert "Hei <b>alle</b>" in message.html
    assert 'href="https://example.no/a?b=1&amp;c=2"' in message.html
    assert "https://example.no/a?b=1&c=2" in message.text
    assert "alert" not in message.text


@pytest.mark.parametrize(
    ("subject", "becomes"),
    [
        ("[Sak ID# 20417] Høring", "Høring"),
        ("Sv: [sak id# 20417]  Høring [Sak ID# 1]", "Sv: Høring"),
        ("[Sak\r\n ID# 20417] Høring", "Høring"),
        ("Høring\r\nBcc: alle@example.no\t!", "Høring Bcc: alle@example.no !"),
        ("Høring [Sak nr. 5] punkt 2", "Høring [Sak nr. 5] punkt 2"),
        ("æ" * 10_000, "æ" * 10_000),
        ("a" + " " * 100_000 + "b", "a b"),
        ("[Sak ID# 20417]", "Høring om ny veileder"),  # no subject of its own: the ticket's
        ("", "Høring om ny veileder"),
    ],
    ids=range(9),
)
async def test_the_subject_is_one_line_without_the_ticket_tag(house, subject, becomes):
    number = asked_for(house)
    [entry] = [e for e in house.world.all("communication") if e.get("customTypeId")]
    house.world.change("communication", entry["id"], {"subject": subject}, by=None)
    assert house.ticket(number)["subject"] == "Høring om ny veileder"
    assert (await sent(house)).subject == becomes


async def test_a_tag_of_ones_own_making_is_known_by_the_setting(make_house):
    house = make_house(TICKET_TAG="(ref {{RequestNumber}})")
    asked_for(house, subject="Høring (ref 20417)")
    assert (await sent(house)).subject == "Høring"


@pytest.mark.parametrize(
    "text",
    ["", "<p>&nbsp;</p>", "<script>alert(1)</script>", "<div><br></div>\u200b", "<!-- x -->"],
)
async def test_a_message_that_says_nothing_blocks(house, text):
    number = asked_for(house, text)
    assert "mangler emne eller tekst" in await blocked(house, number)


async def test_a_message_without_any_subject_blocks(house):
    number = asked_for(house, subject=" ")
    house.world.change("ticket", house.ticket(number)["id"], {"subject": " "}, by=None)
    assert "mangler emne eller tekst" in await blocked(house, number)


async def test_a_picture_alone_is_a_message(house):
    asked_for(house, '<img src="https://example.no/plakat.png" alt="">')
    assert "plakat.png" in (await sent(house)).html


# --- which message ---


async def test_no_message_and_more_than_one_block(house):
    none = house.open_ticket(house.make_list("en", "kari@example.no"), status=READY)
    two = asked_for(house)
    house.write(two, "<p>Eller denne?</p>", custom_type=MESSAGE_TYPE)
    await house.run(2)
    assert house.channel.sent == []
    assert "ingen melding" in house.notes(none)[0]
    assert "«Til utsending»" in house.notes(none)[0]
    assert "2 meldinger" in house.notes(two)[0]


# --- sender ---

SENDERS = {
    "team:Utsendinger": {
        "from": "team@example.org",
        "name": "Team Æ",
        "reply_to": "svar@example.org",
    },
    "zone:Kommunikasjon": {"from": "sone@example.org", "envelope_from": "retur@example.org"},
}


@pytest.mark.parametrize(
    ("senders", "address"),
    [
        (SENDERS, "team@example.org"),
        ({"zone:Kommunikasjon": SENDERS["zone:Kommunikasjon"]}, "sone@example.org"),
        ({"zone:Fordeling": SENDERS["zone:Kommunikasjon"]}, "ikke-svar@example.org"),
        ({}, "ikke-svar@example.org"),
    ],
    ids=["team before zone", "zone", "another zone", "default"],
)
async def test_the_sender_follows_the_team_then_the_zone(make_house, senders, address):
    house = make_house(SENDERS=senders)
    asked_for(house)
    sender = (await sent(house)).sender
    assert sender.address == address
    if address == "team@example.org":
        assert (sender.name, sender.reply_to) == ("Team Æ", "svar@example.org")
        assert sender.envelope_from == "team@example.org"
    if address == "ikke-svar@example.org":
        assert (sender.reply_to, sender.envelope_from) == ("post@example.org", "retur@example.org")


async def test_a_ticket_of_no_team_and_no_zone_has_the_default_sender(make_house):
    house = make_house(SENDERS=SENDERS)
    number = asked_for(house)
    nobody = {"assignedTeamId": None, "assignedDepartmentId": None}
    house.world.change("ticket", house.ticket(number)["id"], nobody, by=None)
    assert (await sent(house)).sender.address == "ikke-svar@example.org"


async def test_a_message_of_nothing_but_a_picture_that_cannot_come_along_blocks(house):
    number = asked_for(house, '<img src="cid:plakat@fjordvik.example.no" alt="">')
    await house.run(2)
    assert (await house.campaign(number)).problem == "empty_message"
