"""Preview: a note says what would go out, to whom and when; nothing else comes of asking."""

import re
from collections import Counter
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from dev.pureservice.seed import (
    AGENT,
    MESSAGE_TYPE,
    PDF,
    add_company,
    add_file,
    add_member,
    add_user,
)
from shared.domain.campaign import Phase
from shared.domain.preview import Changes, Seen, changes_since
from shared.domain.recipient import LeftOutReason
from shared.flow.headcount import Headcount, Reach
from shared.flow.preview import preview
from shared.flow.wording import render
from tests.examples import settings
from tests.flow.edges import Moments, Stop, another, stop

READY, REVIEW, BEFORE = "Utsending – klar", "Utsending – til kontroll", "Under arbeid"
BOTH = pytest.mark.parametrize("channel", ["email", "ticket"])


async def prepared(house, *lists, message="<p>Hei alle</p>", channel="email", **options) -> int:
    """A ticket that a case worker works on, and that we have seen."""
    number = house.open_ticket(
        *(lists or [house.make_list("Skoler", "kari@example.no", "ola@example.no")]),
        message=message,
        channel=channel,
        status=BEFORE,
        **options,
    )
    await house.minute()
    return number


async def ask(house, number: int) -> None:
    """Somebody gives the ticket the status, and a minute passes."""
    house.set_status(number, REVIEW)
    await house.minute()


async def note(house, number: int) -> str:
    """What the one preview says."""
    await ask(house, number)
    [told] = previews(house, number)
    assert house.status(number) == BEFORE
    return told


def previews(house, number: int) -> list[str]:
    notes = [" ".join(note.split()) for note in house.notes(number)]
    return [note for note in notes if f"[utsendelse {number}/til-kontroll-" in note]


async def remembered(house, number: int) -> Seen:
    return (await house.ledger.tickets.all())[house.ticket(number)["id"]]


def write_note(house, number: int, text: str) -> None:
    row = {"ticketId": house.ticket(number)["id"], "type": 1, "text": text}
    house.world.add("communication", row, by=AGENT)


class Tables(HTMLParser):
    """The rows of a note's first table, as lists of words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.feed(html.partition("</table>")[0])

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            assert tag == "td" or dict(attrs)["scope"] in ("col", "row")
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] = (self.rows[-1][-1] + data).strip()


def table(told: str) -> dict[str, dict[str, str]]:
    """By list, what stands in each column."""
    heads, *rows = Tables(told).rows
    return {row[0]: dict(zip(heads[1:], row[1:], strict=True)) for row in rows}


# --- who ---


@BOTH
async def test_it_counts_what_the_campaign_will_do_and_does_none_of_it(make_house, channel):
    house = make_house()
    number = house.seed(recipients=20, scenario=channel)
    house.set_status(number, BEFORE)
    await house.minute()
    users, tickets = house.world.count("user"), house.world.count("ticket")
    told = await note(house, number)
    assert await house.campaigns(number) == []
    assert (house.channel.sent, house.queue.items, house.ticket_queue.items) == ([], [], [])
    assert (house.files.blobs, house.tables["deliveries"].rows) == ({}, {})
    assert "utsendelse:" not in (house.ticket(number).get("customerReference") or "")
    assert (house.world.count("user"), house.world.count("ticket")) == (users, tickets)
    seen = await remembered(house, number)
    house.set_status(number, READY)
    campaign = await house.until_done(number)
    all_lists = table(told)["Til sammen"]
    assert int(all_lists["Oppføringer"]) == campaign.planned + campaign.left_out
    assert int(all_lists["Får meldingen"]) == campaign.planned == seen.planned
    counted = {
        "duplicate": "Står der fra før",
        "no_address": "Uten adresse",
        "invalid_address": "Ugyldig adresse",
        "disabled": "Deaktivert",
        "campaign_user": "Oppdiktet bruker",
    }
    left_out = house.expected(number)["leftOut"]
    assert {r: int(all_lists[counted[r]]) for r in left_out} == left_out
    assert len(all_lists) == 2 + len(left_out)
    assert f"<strong>{campaign.planned} mottakere</strong>" in told
    # and nothing has changed since
    assert changes_since(seen, campaign) == Changes(
        False, False, campaign.planned, campaign.planned
    )


async def test_each_list_is_counted_and_one_that_is_deleted_is_named(house):
    skoler = house.make_list("Skoler <1>", "kari@example.no", "ola@example.no", None)
    barnehager = house.make_list("Barnehager", "KARI@example.no", "ikke en@@adresse")
    gone = house.make_list("Gamle", "per@example.no", deleted=True)
    told = await note(house, await prepared(house, skoler, barnehager, gone))
    columns = "Oppføringer", "Får meldingen", "Står der fra før", "Uten adresse", "Ugyldig adresse"
    rows = {
        "Skoler <1>": "32010",
        "Barnehager": "20101",
        "Gamle (merket for sletting, blir ikke brukt)": "00000",
        "Til sammen": "52111",
    }
    assert table(told) == {
        name: dict(zip(columns, counts, strict=True)) for name, counts in rows.items()
    }
    assert "adressen står på listene flere ganger, og får én e-post" in told


async def test_whoever_can_be_put_right_is_named_once(house):
    members = house.make_list("Skoler", "kari@example.no", None, "ikke en@@adresse", "bort@x.no")
    users = house.world.all("user")[-3:]
    house.world.change("user", users[2]["id"], {"disabled": True})
    for user in users:
        add_member(house.world, members, "user", user)  # and once more
    told = await note(house, await prepared(house, members))
    names = [f"Åse {user['lastName']}" for user in users]
    listed = re.findall(r"<li>([^<]*): ([a-zø ]+)</li>", told)
    assert listed == [
        (names[0], "uten adresse"),
        (f"{names[1]} (ikke en@@adresse)", "ugyldig adresse"),
        (f"{names[2]} (bort@x.no)", "deaktivert"),
    ]
    assert "til.</p>" not in told


async def test_of_very_many_to_be_put_right_fifty_are_named(house):
    members = house.make_list("Skoler", "kari@example.no", *[None] * 53)
    told = await note(house, await prepared(house, members))
    assert told.count("uten adresse</li>") == 50
    assert "… og 3 til." in told


@BOTH
async def test_those_who_are_not_on_the_test_list_are_counted_and_it_is_said(make_house, channel):
    house = make_house(ONLY_SEND_TO="kari@example.no")
    told = await note(house, await prepared(house, channel=channel))
    assert table(told)["Skoler"]["Ikke på testlisten"] == "1"
    assert "Løsningen er satt opp med en testliste" in told
    assert "<strong>1 mottaker</strong>" in told


async def test_nobody_hears_of_a_test_list_where_there_is_none(house):
    assert "testliste" not in await note(house, await prepared(house))


async def test_two_companies_that_share_a_mailbox_get_two_tickets_and_one_mail(house):
    members = house.make_list("Firmaer")
    for name in ("Nord AS", "Sør AS"):
        company = add_company(house.world, {"name": name}, ["post@example.no"])
        add_member(house.world, members, "company", company)
    by_mail = await note(house, await prepared(house, members))
    by_ticket = await note(house, await prepared(house, members, channel="ticket"))
    assert "<strong>1 mottaker</strong> får meldingen på e-post" in by_mail
    assert "<strong>2 mottakere</strong> får hver sin sak med meldingen" in by_ticket


async def test_a_correction_is_counted_by_those_who_got_the_last_one_and_not_by_the_lists(house):
    members = house.make_list("Skoler", "kari@example.no", "ola@example.no", "per@example.no")
    number = await prepared(house, members)
    house.set_status(number, READY)
    await house.until_done(number)
    house.link(number, house.make_list("Nye", "ny@example.no"))
    ids = {row["email"]: row["userId"] for row in house.world.all("emailaddress")}
    house.world.remove("user", ids["per@example.no"])
    house.clock.tick(minutes=1)
    house.set_status(number, BEFORE)
    house.write(number, "<p>Rettelse</p>", custom_type=MESSAGE_TYPE)
    write_note(house, number, "mottakere: de samme")
    await house.minute()
    told = await note(house, number)
    seen = await remembered(house, number)
    assert table(told) == {
        f"de som fikk utsendelse {number}-1": {
            "Oppføringer": "3",
            "Får meldingen": "2",
            "Finnes ikke lenger": "1",
        }
    }
    assert "<p>Rettelse</p>" in told
    house.set_status(number, READY)
    await house.until_done(number)
    await house.run(3)
    first, second = await house.campaigns(number)
    assert (second.correction_of, second.planned) == (first.id, 2)
    assert changes_since(seen, second) == Changes(False, False, 2, 2)


def test_there_is_a_column_for_every_reason():
    """And none without a heading."""
    count = Headcount("Skoler", left_out=Counter(LeftOutReason))
    html = render(
        "preview.html",
        tickets=False,
        problems=[],
        draft=None,
        description="",
        reach=Reach([count], all=count, whole=True),
        when=None,
        asked_for=None,
        now=datetime(2026, 11, 23, tzinfo=UTC),
        settings=settings(),
        by_status=True,
        goes_back=True,
        sample=True,
    )
    [columns] = table(html).values()
    assert list(columns.values()) == ["0", "0", *["1"] * len(LeftOutReason)]
    assert "" not in columns


async def look(house, number: int, **options) -> None:
    ticket = await house.helpdesk.ticket(house.ticket(number)["id"])
    channel = options.pop("channel", "email")
    await preview(
        ticket,
        options.pop("seen", await remembered(house, number)),
        names=await house.helpdesk.names(),
        lane=house.lanes[channel],
        channel=channel,
        helpdesk=house.helpdesk,
        ledger=house.ledger,
        files=house.files,
        settings=house.settings,
        clock=house.clock,
        **options,
    )


@pytest.mark.parametrize(("pages", "counted"), [(1, 500), (2, 602), (3, 610), (20, 610)])
async def test_of_lists_that_are_too_long_the_first_are_counted_and_it_says_so(
    house, pages, counted
):
    long = house.make_list("Lang", *(f"{n}@example.no" for n in range(602)))
    short = house.make_list("Kort", *(f"nr{n}@example.no" for n in range(8)))
    number = await prepared(house, long, short)
    house.set_status(number, REVIEW)
    await look(house, number, pages=pages)
    [told] = previews(house, number)
    seen = await remembered(house, number)
    assert f"<strong>{counted} mottakere</strong>" in told
    assert ("bare har telt de første 5" in told, "bare har telt de første 6" in told) == (
        counted == 500,
        counted == 602,
    )
    assert bool(seen.who_print) == (counted == 610)
    assert seen.planned == counted


async def test_a_list_that_changes_while_it_is_read_is_read_again(house):
    members = house.make_list("Lang", *(f"{n}@example.no" for n in range(502)))
    number = await prepared(house, members)
    house.set_status(number, REVIEW)
    relations = house.world.where("relationship", "toAssetId", members["id"])
    first = min(row["id"] for row in relations if row.get("fromUserId"))
    pages = 0

    async def meanwhile(moment):
        nonlocal pages
        pages += moment == "after helpdesk.members"
        if (pages, moment) == (1, "after helpdesk.members"):
            house.world.remove("relationship", first)

    await another(house, meanwhile).discover()
    assert (previews(house, number), house.status(number)) == ([], REVIEW)
    await house.minute()
    assert "<strong>501 mottakere</strong>" in previews(house, number)[0]


# --- when ---

ENDS = r"tidligst (\S+ kl\. \S+?)(?:, og den siste \w+ (\S+ kl\. \S+))?\."


def times(told: str) -> tuple[str, str | None]:
    """When the first one leaves, and the last. The house's clock shows 09:02 when it is asked."""
    found = re.search(ENDS, told)
    assert found
    return found[1].removesuffix("."), found[2]


def mailboxes(house, count: int):
    return house.make_list("Skoler", *(f"nr{n}@example.no" for n in range(count)))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"EMAIL_RATE": "10"}, ("23.11.2026 kl. 09:02", "23.11.2026 kl. 09:04")),
        ({"EMAIL_RATE": "0"}, ("23.11.2026 kl. 09:02", None)),
        ({"UNDO_SECONDS": "600"}, ("23.11.2026 kl. 09:12", None)),
        (
            {"EMAIL_RATE": "1", "EMAIL_WINDOW": "12:00-12:15 mon-fri"},
            ("23.11.2026 kl. 12:00", "24.11.2026 kl. 12:05"),
        ),
    ],
    ids=["rate", "no rate", "undo", "window"],
)
async def test_the_first_and_the_last_follow_rate_undo_window_and_hours(
    make_house, settings, expected
):
    house = make_house(**{"EMAIL_DAILY_QUOTA": "0", **settings})
    told = await note(house, await prepared(house, mailboxes(house, 21)))
    assert times(told) == expected
    assert ("i tidsrommet som er satt opp" in told) == ("EMAIL_WINDOW" in settings)
    assert "Kvoten" not in told


@pytest.mark.parametrize(
    ("used", "words", "starts", "ends"),
    [
        (0, "Det går ut høyst 10 meldinger i dag, og resten", "23", "25.11.2026 kl. 00:00"),
        (4, "Det går ut høyst 6 meldinger i dag, og resten", "23", "25.11.2026 kl. 00:00"),
        (10, "Den er brukt opp for dagen", "24", "26.11.2026 kl. 00:00"),
    ],
)
async def test_what_the_quota_does_not_allow_today_is_said_to_come_later(
    make_house, used, words, starts, ends
):
    house = make_house(EMAIL_DAILY_QUOTA="10")
    state = await house.ledger.channels.get("email")
    await house.ledger.channels.save(state.releasing(house.clock(), used))
    told = await note(house, await prepared(house, mailboxes(house, 25)))
    assert "Kvoten er 10 mottakere om dagen" in told
    assert words in told
    first, last = times(told)
    assert (first[:2], last) == (starts, ends)


async def test_a_quota_that_is_enough_is_not_mentioned(make_house):
    house = make_house(EMAIL_DAILY_QUOTA="2")
    assert "Kvoten" not in await note(house, await prepared(house))


@pytest.mark.parametrize(
    ("line", "words", "starts"),
    [
        ("start: 2026-12-01 08:00", "er hentet fra et internt notat", "01.12.2026 kl. 08:00"),
        ("start: 2026-11-20 08:00", "er passert, og har ingen betydning", "23.11.2026 kl. 09:02"),
        ("start: i morgen tidlig", "Vi forstår ikke linjen «start: i morgen tidlig»", None),
        ("start: 2027-12-01 08:00", "mer enn 60 dager fram i tid", None),
    ],
    ids=["later", "past", "unclear", "too far"],
)
async def test_a_start_time_in_a_note_is_told_or_must_be_put_right(house, line, words, starts):
    number = await prepared(house)
    write_note(house, number, f"<p>{line}</p>")
    told = await note(house, number)
    assert words in told
    assert starts is None or times(told)[0] == starts
    assert ("Dette må rettes først" in told) == (starts is None)


@pytest.mark.parametrize(
    ("with_a_user", "minutes"), [(205, 6), (0, 17)], ids=["all are users", "none is"]
)
async def test_companies_without_a_user_take_longer_and_few_of_them_are_looked_up(
    make_house, with_a_user, minutes
):
    house = make_house(PURESERVICE_RATE="60", UNDO_SECONDS="0")
    members = house.make_list("Firmaer")
    for n in range(205):
        address = f"nr{n}@example.no"
        company = add_company(house.world, {"name": f"Nr. {n}"}, [address])
        add_member(house.world, members, "company", company)
        if n < with_a_user:
            add_user(house.world, {"firstName": "Post", "lastName": "Mottak"}, [address])
    number = await prepared(house, members, channel="ticket")
    calls = house.simulator.traffic.calls
    before = calls["GET /emailaddress"]
    first, last = times(await note(house, number))
    assert calls["GET /emailaddress"] - before == 10  # twenty at a time, and not all of them
    assert int(last[-2:]) - int(first[-2:]) == minutes


# --- what ---


async def test_the_message_is_shown_as_recipients_get_it_with_sender_and_files(make_house):
    house = make_house(
        SENDERS={"team:Utsendinger": {"from": "team@example.org", "name": "Team Æ & Ø"}}
    )
    number = await prepared(
        house,
        message='<p onclick="x()">Hei <b>alle</b></p><script>alert(1)</script><img src="cid:logo">',
        subject="[Sak ID# 20417] Høring <1>",
    )
    add_file(house.world, house.ticket(number), "årsplan.pdf", PDF * 100)
    untold = add_file(house.world, house.ticket(number), "brev.txt", b"Hei")
    house.world.change("attachment", untold["id"], {"contentLength": None}, by=None)
    add_file(house.world, house.ticket(number), "skjult.txt", b"Hei", isVisible=False)
    downloads = house.simulator.traffic.calls["GET /attachment/download/{id}"]
    told = await note(house, number)
    assert "Fra Team Æ &amp; Ø (team@example.org). Svar går til team@example.org." in told
    assert "<p><strong>Høring &lt;1&gt;</strong></p>" in told
    assert "<p>Hei <b>alle</b></p>" in told
    assert "script" not in told
    assert "onclick" not in told
    assert "<img" not in told  # there is no such picture
    size = f"{len(PDF) * 100 / 1024:.1f} kB".replace(".", ",")
    assert f"<li>årsplan.pdf – {size}</li>" in told
    assert "<li>brev.txt – ukjent størrelse</li>" in told
    assert "skjult.txt" not in told
    assert f"Til sammen {size}, og i tillegg de vi ikke vet størrelsen på." in told
    assert "Hele e-posten kan være på 20 MB" in told
    fetched = house.simulator.traffic.calls["GET /attachment/download/{id}"] - downloads
    assert fetched == 2  # for the test message, and no more


async def test_answers_go_where_the_sender_says(make_house):
    house = make_house(MAIL_REPLY_TO="svar@example.org")
    told = await note(house, await prepared(house))
    assert "Svar går til svar@example.org." in told
    assert "<h4>Vedlegg</h4> <p>Ingen.</p>" in told


@pytest.mark.parametrize("via", ["pureservice", "email"])
async def test_with_a_ticket_each_the_ticket_is_shown_too(make_house, via):
    house = make_house(TICKET_MESSAGE_VIA=via)
    description = "<p>Om <i>høringen</i></p><script>x()</script>"
    number = await prepared(house, channel="ticket", description=description)
    told = await note(house, number)
    assert "<p>Om <i>høringen</i></p></blockquote>" in told
    assert "<p>Hei alle</p>" in told
    assert "script" not in told
    if via == "pureservice":
        assert "Meldingen blir sendt av Pureservice fra saken til hver mottaker" in told
        assert "ikke-svar@example.org" not in told
    else:
        assert "(ikke-svar@example.org)" in told
        assert "Svarene kommer på saken til hver mottaker" in told


async def test_a_note_that_is_too_long_is_told_without_the_message(house):
    number = await prepared(house)
    house.trouble("status", status=413, method="POST", path="/communication")
    told = await note(house, number)
    assert "Meldingen er for lang til å vises her" in told
    assert "<p>Hei alle</p>" not in told
    assert "<strong>2 mottakere</strong>" in told


# --- what must be put right ---


async def test_problems_with_message_and_lists_are_told_together(house):
    number = await prepared(house, house.make_list("Gamle", "x@example.no", deleted=True))
    house.write(number, "<p>Og dette</p>", custom_type=MESSAGE_TYPE)
    write_note(house, number, "start: siden")
    told = await note(house, number)
    problems = told.partition("Dette må rettes først")[2].partition("<h4>")[0]
    assert problems.count("<li>") == 3
    assert "Saken har 2 meldinger som ikke er sendt ut" in problems
    assert "Alle mottakerlistene på saken er merket for sletting" in problems
    assert "Vi forstår ikke linjen" in problems
    assert "Rett det som står øverst. Når alt ser riktig ut, setter du statusen til" in told
    assert "Tidspunkt" not in told


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ({"message": ""}, "ingen melding som venter"),
        ({"message": "<p></p>"}, "mangler emne eller tekst"),
        ({"message": "<p>Skriv til masseutsendelse-ikke-svar@utsendelse.local</p>"}, "som bare er"),
        ({"customerReference": "utsendelse:nabo:20417-1:ab12cd34"}, "av installasjonen «nabo»"),
        ({"assignedDepartmentId": None, "channel": "ticket"}, "mangler sone, type"),
    ],
)
async def test_what_would_stop_the_campaign_is_told_beforehand(house, trouble, words):
    number = await prepared(house, **trouble)
    told = await note(house, number)
    assert words in told.partition("<h4>Mottakere")[0]
    assert "<strong>2 mottakere</strong>" in told  # the lists are counted all the same


async def test_several_things_may_be_wrong_with_one_message(make_house):
    house = make_house(MAIL_MAX_MEGABYTES="1")
    number = await prepared(house, message="<p></p>")
    add_file(house.world, house.ticket(number), "stor.bin", b"x" * 1024 * 1024 + b"x")
    told = await note(house, number)
    assert "mangler emne eller tekst" in told
    assert "større enn 1 MB" in told


@pytest.mark.parametrize("what", ["none", "empty", "nobody", "unreadable"])
async def test_lists_that_reach_nobody_are_told_of_and_the_message_is_shown(house, what):
    addresses = {"nobody": [None, None], "unreadable": ["kari@example.no"]}.get(what, [])
    members = house.make_list("Skoler", *addresses)
    number = house.open_ticket(
        *([] if what == "none" else [members]), message="<p>Hei alle</p>", status=BEFORE
    )
    await house.minute()
    if what == "unreadable":
        path = f"/relationship/{members['id']}/fromAsset"
        house.trouble("status", status=404, method="GET", path=path)
    told = await note(house, number)
    assert {
        "none": "ikke koblet til noen mottakerliste",
        "empty": "Mottakerlistene på saken er tomme",
        "nobody": "2 oppføringer er utelatt",
        "unreadable": "Mottakerlisten «Skoler» kunne ikke leses",
    }[what] in told
    assert "<p>Hei alle</p>" in told


async def test_a_helpdesk_that_refuses_part_of_it_is_told_of(house):
    number = await prepared(house)
    path = f"/ticket/{house.ticket(number)['id']}"
    house.trouble("status", status=403, method="GET", path=f"{path}?", times=1)
    house.trouble("status", status=400, method="GET", path="/attachment")
    told = await note(house, number)
    assert "Pureservice avviste noe vi måtte gjøre for denne saken" in told
    assert "<strong>2 mottakere</strong>" in told


async def test_a_message_that_may_yet_fail_is_waited_for(make_house):
    house = make_house(MESSAGE_TRIGGER="failed_email")
    number = await prepared(house, message="")
    await ask(house, number)
    assert (previews(house, number), house.status(number)) == ([], REVIEW)
    await house.run(5)
    assert "ingen melding som venter" in previews(house, number)[0]
    assert house.status(number) == BEFORE


async def test_a_message_that_has_failed_is_shown(make_house):
    house = make_house(MESSAGE_TRIGGER="failed_email")
    number = house.seed(recipients=3, trigger="failed_email", tricky=False)
    house.set_status(number, BEFORE)
    await house.minute()
    assert "Vi inviterer til høring" in await note(house, number)


async def test_without_a_go_status_it_says_that_it_starts_by_itself(make_house):
    house = make_house(STATUS_READY="", UNDO_SECONDS="60")
    told = await note(house, await prepared(house))
    assert "begynner av seg selv når ingen har rørt saken på 10 minutter" in told
    assert times(told)[0] == "23.11.2026 kl. 09:13"  # ten minutes of quiet, and one to regret


# --- once for each time, and back to where it was ---


async def test_who_asks_again_is_told_again_also_when_nothing_has_changed(house):
    number = await prepared(house)
    await ask(house, number)
    await house.run(3)
    assert len(previews(house, number)) == 1
    await ask(house, number)
    assert len(previews(house, number)) == 2
    house.write(number, "<p>Og dette</p>", custom_type=MESSAGE_TYPE)
    await ask(house, number)
    assert "2 meldinger" in previews(house, number)[2]
    assert house.status(number) == BEFORE


@pytest.mark.parametrize("what", ["text", "recipients", "both", "nothing"])
async def test_what_changes_between_preview_and_start_is_known_at_the_start(house, what):
    members = house.make_list("Skoler", "kari@example.no", "ola@example.no")
    number = await prepared(house, members)
    await ask(house, number)
    seen = await remembered(house, number)
    if what in ("text", "both"):
        add_file(house.world, house.ticket(number), "årsplan.pdf", PDF)
    if what in ("recipients", "both"):
        house.link(number, house.make_list("Nye", "per@example.no"))
    house.set_status(number, READY)
    campaign = await house.until_done(number)
    now = 3 if what in ("recipients", "both") else 2
    assert changes_since(seen, campaign) == Changes(
        what in ("text", "both"), what in ("recipients", "both"), 2, now
    )


async def test_a_status_that_we_do_not_know_stays_and_nobody_is_told_twice(house):
    members = house.make_list("Skoler", "kari@example.no")
    number = house.open_ticket(members, message="<p>Hei</p>", status=REVIEW)
    await house.run(3)
    [told] = previews(house, number)
    assert "Vi vet ikke hvilken status saken hadde, så den må du sette selv" in told
    assert house.status(number) == REVIEW
    house.clock.tick(minutes=1)
    house.world.change("ticket", house.ticket(number)["id"], {"subject": "Nytt"}, by=AGENT)
    await house.run(3)
    assert len(previews(house, number)) == 2


@pytest.mark.parametrize("status", [READY, "Utsending – pågår", "Utsending – avbryt"])
async def test_a_status_that_would_steer_a_campaign_is_never_put_back(house, status):
    number = await prepared(house)
    house.set_status(number, status)
    steering = Seen(status=house.ticket(number)["statusId"])
    house.set_status(number, REVIEW)
    await look(house, number, seen=steering)
    assert (len(previews(house, number)), house.status(number)) == (1, REVIEW)


async def test_who_asks_for_a_go_and_then_for_a_preview_gets_only_that(house):
    number = await prepared(house)
    house.set_status(number, READY)
    house.set_status(number, REVIEW)
    await house.run(5)
    assert (len(previews(house, number)), house.status(number)) == (1, BEFORE)
    assert house.channel.sent == []


async def test_a_go_that_is_given_while_we_tell_stands(house):
    number = await prepared(house)
    house.set_status(number, REVIEW)

    async def meanwhile(moment):
        if moment == "after helpdesk.add_note":
            house.clock.tick(seconds=1)
            house.set_status(number, READY)

    await another(house, meanwhile).discover()
    assert house.status(number) == READY
    campaign = await house.until_done(number)
    assert (campaign.phase, len(house.channel.sent)) == (Phase.DONE, 2)


async def test_a_status_that_is_refused_is_tried_again_and_nobody_is_told_twice(house):
    number = await prepared(house)
    house.trouble("status", status=400, method="PATCH", path="/ticket", times=3)
    await ask(house, number)
    await house.run(1)
    assert (len(previews(house, number)), house.status(number)) == (1, REVIEW)
    await house.run(3)
    assert (len(previews(house, number)), house.status(number)) == (1, BEFORE)


async def test_a_crash_at_any_call_leaves_one_note_and_the_next_question_gets_its_answer(
    make_house,
):
    async def scene():
        house = make_house()
        number = await prepared(house)
        house.set_status(number, REVIEW)
        house.clock.tick(minutes=1)
        return house, number

    house, number = await scene()
    await another(house, moments := Moments()).discover()
    assert {"before helpdesk.add_note", "before helpdesk.change_ticket"} <= set(moments.passed)
    for at, moment in enumerate(moments.passed):
        if moment.startswith("after"):
            continue
        house, number = await scene()
        with pytest.raises(Stop):
            await another(house, Moments(at, stop)).discover()
        await house.run(2)
        assert (len(previews(house, number)), house.status(number)) == (1, BEFORE), moment
        await ask(house, number)
        await house.run(1)
        assert (len(previews(house, number)), house.status(number)) == (2, BEFORE), moment
        await house.helpdesk.close()


TROUBLE = {
    "drop before": {"kind": "drop_before"},
    "drop after": {"kind": "drop_after_write"},
    "500 after": {"kind": "status", "status": 500, "after_write": True},
    "half an answer": {"kind": "half_json"},
    "429": {"kind": "status", "status": 429, "retry_after": 30},
}


@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize("call", ["POST /communication", "PATCH /ticket", "GET /relationship"])
async def test_a_call_that_fails_leaves_one_note(house, call, trouble):
    number = await prepared(house)
    method, path = call.split()
    house.trouble(method=method, path=path, times=2, **TROUBLE[trouble])
    await ask(house, number)
    await house.run(4)
    assert (len(previews(house, number)), house.status(number)) == (1, BEFORE)


async def test_what_changes_while_a_note_is_lost_is_told_anew(house):
    """The note was written and we stopped: what is remembered is what the last note says."""
    members = house.make_list("Skoler", "kari@example.no")
    number = await prepared(house, members)
    house.set_status(number, REVIEW)
    moments = Moments()
    await another(house, moments).discover()
    at = moments.passed.index("after helpdesk.add_note")
    number = await prepared(house, members)
    house.set_status(number, REVIEW)
    with pytest.raises(Stop):
        await another(house, Moments(at, stop)).discover()
    house.link(number, house.make_list("Nye", "ny@example.no"))
    await house.minute()
    first, second = previews(house, number)
    assert ("<strong>1 mottaker</strong>" in first, "<strong>2 mottakere" in second) == (True, True)
    assert (await remembered(house, number)).planned == 2


async def test_one_who_forgot_all_tells_again(house):
    number = await prepared(house)
    await ask(house, number)
    await house.ledger.tickets.forget(house.ticket(number)["id"])
    house.clock.tick(minutes=1)
    await ask(house, number)
    assert len(previews(house, number)) == 2


async def test_our_own_notes_ask_for_nothing(house):
    number = await prepared(house, message="<p>start: 2026-12-24 18:00</p>")
    await ask(house, number)
    await ask(house, number)
    second = previews(house, number)[1]
    assert "start: 2026-12-24 18:00" in second
    assert times(second)[0].startswith("23.11.2026")
