"""What people have made ready, what they see and what they do: the words of the scripts."""

import email
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date

from azure.functions import HttpRequest

from dev.pureservice.seed import MESSAGE_TYPE, PDF, add_company, add_file, add_member, add_user
from dev.pureservice.world import Row
from shared.adapters.bounce_mail import read_bounce
from shared.domain.bounce import Report
from shared.flow.wording import REFERENCE
from shared.ledger.erasure import FORGOTTEN
from tests.injection.memory_storage import MemoryStorage
from tests.injection.moments import Stop
from tests.injection.town import OUTAGE, Accident, Town

Scene = Callable[[Town], int]  #: sets it up; the number of the campaign's ticket
Sees = Callable[[Town, int], bool]
Does = Callable[[Town, int], None]
Asks = Callable[[Town, int], Awaitable[bool]]  #: False: there was no good answer

NEW, READY, REVIEW, SOLVED = "Ny", "Utsending – klar", "Utsending – til kontroll", "Løst"
PAUSE, CANCEL = "Utsending – pause", "Utsending – avbryt"
RUNNING, ATTENTION = "Utsending – pågår", "Utsending – må sjekkes"
KARI, ÅSE, OLA = "kari@example.no", "aase@example.no", "ola@example.no"
COMPANY, OPERATOR = "post@firma.example.no", "drift@example.org"


# --- how it begins ---


def two_and_a_double(town: Town) -> int:
    """An e-mail campaign to two people, one of them twice, with a file."""
    house = town.house
    members = house.make_list("en", KARI, ÅSE, ÅSE.upper())
    number = house.open_ticket(members, message="<p>Hei</p>")
    add_file(house.world, house.ticket(number), "brev.pdf", PDF)
    house.set_status(number, READY)
    return number


def a_person_and_a_company(town: Town) -> int:
    """A campaign of tickets for somebody who is known and for one who is not, with a file."""
    house = town.house
    members = house.make_list("en", KARI)
    company = add_company(house.world, {"name": "Ærlig Firma"}, [COMPANY])
    add_member(house.world, members, "company", company)
    number = house.open_ticket(members, channel="ticket", message="<p>Hei</p>")
    add_file(house.world, house.ticket(number), "brev.pdf", PDF)
    house.set_status(number, READY)
    return number


def mailed_at_once(scene: Scene) -> Scene:
    """What Pureservice mails by itself does not lie in its outbox first."""

    def and_so(town: Town) -> int:
        switches = town.house.world.switches
        town.house.world.switches = switches.model_copy(update={"mail_queued_reads": 0})
        return scene(town)

    return and_so


def by_a_failed_mail(scene: Scene) -> Scene:
    """Its message is an ordinary one, which could not be delivered to the made-up user."""

    def and_so(town: Town) -> int:
        house = town.house
        number = scene(town)
        house.world.remove("communication", _entry(town, number)["id"])
        house.write(number, "<p>Hei</p>")
        house.set_status(number, READY)
        return number

    return mailed_at_once(and_so)


def but_first(scene: Scene, *deeds: Does) -> Scene:
    def and_so(town: Town) -> int:
        number = scene(town)
        for deed in deeds:
            deed(town, number)
        return number

    return and_so


def without_lists(town: Town) -> int:
    town.house.make_list("en", KARI, ÅSE)
    return town.house.open_ticket(message="<p>Hei</p>", status=READY)


# --- what they see ---


def always(town: Town, number: int) -> bool:
    return True


def told(text: str) -> Sees:
    """A note of ours with this in its reference stands on the ticket."""
    return lambda town, number: any(
        text in name for note in town.house.notes(number) for name in REFERENCE.findall(note)
    )


def status_is(name: str) -> Sees:
    return lambda town, number: town.house.status(number) == name


def alerted(town: Town, number: int) -> bool:
    """The operator has had a mail."""
    return any(OPERATOR in mail.rcpt_tos for mail in town.mailbox.mails)


def mail_left(town: Town, number: int) -> bool:
    return bool(town.mailbox.mails)


def ticket_left(town: Town, number: int) -> bool:
    return bool(town.house.copies(number))


def we_have_seen_it(town: Town, number: int) -> bool:
    return town.rounds > 0


# --- what they do on the ticket ---


def nothing(town: Town, number: int) -> None:
    """They are content."""


def both(*deeds: Does) -> Does:
    def do(town: Town, number: int) -> None:
        for deed in deeds:
            deed(town, number)

    return do


def set_status(name: str) -> Does:
    return lambda town, number: town.house.set_status(number, name)


def note(text: str) -> Does:
    return lambda town, number: town.house.note(number, f"<p>{text}</p>")


def write_another_message(town: Town, number: int) -> None:
    town.house.write(number, "<p>Det var feil dato.</p>", custom_type=MESSAGE_TYPE)


def change_the_message(town: Town, number: int) -> None:
    entry = _entry(town, number)
    town.house.world.change("communication", entry["id"], {"text": "<p>Noe annet</p>"})


def remove_the_mark(town: Town, number: int) -> None:
    ticket = town.house.ticket(number)
    town.house.world.change("ticket", ticket["id"], {"customerReference": ""})


def link_the_list(town: Town, number: int) -> None:
    if not town.pocket.get("linked"):
        town.house.link(number, _list(town))
    town.pocket["linked"] = True


def say_who_has_got_it(town: Town, number: int) -> None:
    got = {address for mail in town.mailbox.mails for address in mail.rcpt_tos}
    for one in (KARI, ÅSE):
        note(f"usikker {one}: {'sendt' if one in got else 'ikke sendt'}")(town, number)


# --- what they do with people and lists ---


def put_on_the_list(address: str) -> Does:
    def do(town: Town, number: int) -> None:
        world = town.house.world
        user = add_user(world, {"firstName": "Ny"}, [address] if address else [])
        add_member(world, _list(town), "user", user)

    return do


def put_a_company_on_the_list(town: Town, number: int) -> None:
    world = town.house.world
    company = add_company(world, {"name": "Nytt Firma"}, ["post@nytt.example.no"])
    add_member(world, _list(town), "company", company)


def fill_the_list(town: Town, number: int) -> None:
    """With more than a page of people without an address, all of them before the others."""
    world, members = town.house.world, _list(town)
    others = list(world.where("relationship", "toAssetId", members["id"]))
    for _ in range(500):
        add_member(world, members, "user", add_user(world, {"firstName": "Uten"}))
    for row in others:
        if row.get("fromUserId"):
            world.remove("relationship", row["id"])
            add_member(world, members, "user", {"id": row["fromUserId"]})


def take_the_first_off_the_list(town: Town, number: int) -> None:
    world = town.house.world
    rows = world.where("relationship", "toAssetId", _list(town)["id"])
    first = min((row for row in rows if row.get("fromUserId")), key=lambda row: int(row["id"]))
    world.remove("relationship", first["id"])


def link_another_list(*addresses: str | None) -> Does:
    return lambda town, number: town.house.link(number, town.house.make_list("to", *addresses))


def delete_the_list(town: Town, number: int) -> None:
    town.house.world.change("asset", _list(town)["id"], {"isMarkedForDeletion": True})


def change_address(old: str, new: str) -> Does:
    def do(town: Town, number: int) -> None:
        row = town.house.world.find("emailaddress", email=old)
        if row:  # not done already
            town.house.world.change("emailaddress", row["id"], {"email": new})

    return do


def give_an_address(town: Town, number: int) -> None:
    """To whoever was put on the list without one."""
    world = town.house.world
    user = world.find("user", firstName="Ny")
    assert user
    address = world.add("emailaddress", {"email": OLA, "userId": user["id"]})
    world.change("user", user["id"], {"emailAddressId": address["id"]})


def move_companies(town: Town, number: int) -> None:
    """One municipality becomes part of a county, and there is a new one."""
    world = town.house.world
    moved = world.find("company", name="Grønnvik (kommune)")
    assert moved
    world.change("company", moved["id"], {"cf_9": "Fylkeskommune"})
    add_company(world, {"name": "Ny (kommune)", "cf_9": "Kommune"}, ["post@ny.example.no"])


# --- what goes wrong around them, and what they mend ---


def nobody_has(*addresses: str) -> Does:
    def do(town: Town, number: int) -> None:
        town.mailbox.refuses = set(addresses)

    return do


def mails_are_put_off(town: Town, number: int) -> None:
    town.mailbox.puts_off = {KARI, ÅSE}


def our_password_is_wrong(town: Town, number: int) -> None:
    town.mailbox.closed = True


def mend_the_mail_server(town: Town, number: int) -> None:
    town.mailbox.refuses, town.mailbox.puts_off, town.mailbox.closed = set(), set(), False


def the_queue_gives_up(town: Town, number: int) -> None:
    """So often that one delivery at least has been given up three times."""
    town.giving_up = 5


def helpdesk_says(status: int, times: int = 1, **fault: object) -> Does:
    """To what it is asked next, or to so much of it."""
    return lambda town, number: town.house.trouble("status", status=status, times=times, **fault)


def mend_the_helpdesk(town: Town, number: int) -> None:
    town.house.simulator.traffic.faults.clear()


def rename_status(name: str, to: str) -> Does:
    def do(town: Town, number: int) -> None:
        status = town.house.world.find("status", name=name)
        assert status
        town.house.world.change("status", status["id"], {"name": to})

    return do


def lose_the_message(town: Town, number: int) -> None:
    blobs = _in_memory(town).blobs["campaigns"]
    [name] = [name for name in blobs if name.endswith("message.json")]
    town.pocket[name] = blobs.pop(name)


def put_the_message_back(town: Town, number: int) -> None:
    _in_memory(town).blobs["campaigns"] |= town.pocket


def touch_every_delivery(town: Town, number: int) -> None:
    """Somebody else has just changed each of their rows."""
    rows = _in_memory(town).tables["deliveries"].rows
    for at, row in rows.items():
        if row.key.startswith("d:"):
            rows[at] = replace(row, version=f"{row.version}-")


def let_time_pass(**by: float) -> Does:
    def do(town: Town, number: int) -> None:
        town.house.clock.tick(**by)

    return do


def allow_only(addresses: str) -> Does:
    """The app is set up anew, and so it starts anew."""

    def do(town: Town, number: int) -> None:
        changed = {"ONLY_SEND_TO": addresses}
        town.house.settings = town.house.settings.model_copy(update=changed)
        town.start_anew = True

    return do


def soon(*accidents: Accident) -> Does:
    return lambda town, number: town.accidents.extend(accidents)


# --- what they ask over HTTP ---


async def settle_over_http(town: Town, number: int) -> bool:
    """Nobody has got what was cut off before its end."""
    got = {address for mail in town.mailbox.mails for address in mail.rcpt_tos}
    [campaign] = await town.eyes.ledger.campaigns.on_ticket(number)
    done = True
    for sent in (True, False):
        ids = [
            one.id
            async for one in town.eyes.ledger.deliveries.all(campaign.id)
            if (one.recipient.address in got) is sent
        ]
        if ids:
            body = {"sent": sent, "deliveries": ids}
            done &= await ask(town, "settle_uncertain", body, campaign=campaign.id)
    return done


def a_mail_comes_back(town: Town, number: int) -> None:
    """A report of the first that left, twice, and one of a mail that is not known by its name."""
    mail, now = town.mailbox.mails[0], town.house.clock()
    [address] = mail.rcpt_tos
    ours = email.message_from_bytes(mail.original_content or b"")["Message-ID"]
    for name in (ours, ours, "<unknown@example.net>"):
        mime = _REPORT.format(address=address, name=name).encode()
        town.came_back.append(Report(now, tuple(read_bounce(mime))))


_REPORT = """\
Content-Type: multipart/report; report-type=delivery-status; boundary="x"

--x
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; {address}
Action: failed
Status: 5.1.1

--x
Content-Type: text/rfc822-headers

Message-ID: {name}

--x--
"""


async def the_day_passes(town: Town, number: int) -> bool:
    """When it has been taken in, and not before."""
    if not await town.eyes.ledger.bounces.owed(date.max):
        return False
    town.house.clock.tick(days=1)
    return True


def erase(address: str) -> Asks:
    async def do(town: Town, number: int) -> bool:
        found = await ask(town, "find_person", {"address": address})
        return found and await ask(town, "erase_person", {"address": address})

    return do


def suppress(address: str) -> Asks:
    async def do(town: Town, number: int) -> bool:
        return await ask(town, "suppress", {"address": address, "reason": "by_hand"})

    return do


def put_the_logo(town: Town, number: int) -> None:
    _in_memory(town).blobs["campaigns"]["letterheads/vaapen.png"] = b"PNG"


async def ask(town: Town, function: str, body: object, **route: str) -> bool:
    content = json.dumps(body).encode()
    request = HttpRequest("POST", "http://127.0.0.1/", route_params=route, body=content)
    try:
        answer = await town.call(function, request)
    except (Stop, *OUTAGE):
        return False
    return bool(answer.status_code == 200)


# --- how else it is seen that all is done ---


async def forgotten(town: Town, number: int) -> bool:
    found = await town.eyes.ledger.campaigns.on_ticket(number)
    return all(FORGOTTEN in campaign.steps for campaign in found)


async def ticket_forgotten(town: Town, number: int) -> bool:
    return not await town.eyes.ledger.tickets.all()


async def lists_in_step(town: Town, number: int) -> bool:
    world = town.house.world

    def on(unique_id: str) -> set[str]:
        rows = world.where("relationship", "toAssetId", _list(town, unique_id)["id"])
        companies = [world.get("company", row.get("fromCompanyId")) for row in rows]
        return {company["name"] for company in companies if company}

    municipalities = {"Ålfjord (kommune)", "Bjørkedal (kommune)", "Ny (kommune)"}
    return on("KOMM") == municipalities and "Grønnvik (kommune)" in on("FYLK")


def _in_memory(town: Town) -> MemoryStorage:
    assert isinstance(town.storage, MemoryStorage)
    return town.storage


def _list(town: Town, unique_id: str = "EN") -> Row:
    found: Row | None = town.house.world.find("asset", uniqueId=unique_id)
    assert found
    return found


def _entry(town: Town, number: int) -> Row:
    """What the case worker has written to be sent."""
    entries = town.house.on(town.house.ticket(number), "communication")
    entry: Row
    [entry] = [row for row in entries if row.get("customTypeId")]
    return entry
