"""What people do where letters are sent: those of `people.py`, and those who see Digipost."""

from dataclasses import replace

from azure.functions import HttpRequest

from dev.pureservice.seed import PDF, PNG, add_file, national_id
from shared.domain.letter_job import CONTRADICTED, GIVEN_UP, Job, JobKind, JobState
from shared.errors import UtsendelseError
from shared.flow.decide import Decision
from tests.injection.moments import Stop
from tests.injection.people import (
    ATTENTION,
    KARI,
    OPERATOR,
    READY,
    ÅSE,
    Does,
    Scene,
    _in_memory,
    ask,
    forgotten,
    set_status,
    status_is,
)
from tests.injection.town import OUTAGE, Town

HOME = {"streetAddress": "Ærøygata 1", "postalCode": "0155", "city": "Oslo", "country": "Norge"}
PICTURE = "kart@fjordvik"


# --- how it begins ---


def by_letter(*addresses: str, message: str = "<p>Årsavgiften endres.</p>") -> Scene:
    """A campaign by letter to these people, each with a home."""

    def scene(town: Town) -> int:
        house = town.house
        members = house.make_list("en", *addresses)
        for address in addresses:
            home = house.world.add("physicaladdress", dict(HOME))
            house.world.change("user", _user(town, address), {"addressId": home["id"]})
        return house.open_ticket(members, message=message, status=READY, channel="digipost")

    return scene


def where(**of: str) -> Does:
    """How people stand with Digipost, whose users all others are."""

    def do(town: Town, number: int) -> None:
        names = {"kari": KARI, "aase": ÅSE}
        town.office.stands = {names[name]: stands for name, stands in of.items()}

    return do


def with_a_number_instead_of_a_home(address: str) -> Does:
    def do(town: Town, number: int) -> None:
        known = {"addressId": None, "cf_5": national_id(7)}
        town.house.world.change("user", _user(town, address), known)

    return do


def the_number_is_gone(address: str) -> Does:
    def do(town: Town, number: int) -> None:
        town.house.world.change("user", _user(town, address), {"cf_5": ""})

    return do


def moves_house(address: str) -> Does:
    def do(town: Town, number: int) -> None:
        home = town.house.world.add("physicaladdress", {**HOME, "streetAddress": "Ny vei 2"})
        town.house.world.change("user", _user(town, address), {"addressId": home["id"]})

    return do


def show_a_picture(town: Town, number: int) -> None:
    """In the text, as people paste one."""
    hidden = {"embedded": True, "isVisible": False, "contentId": PICTURE}
    add_file(town.house.world, town.house.ticket(number), "kart.png", PNG, **hidden)


def delete_every_list(town: Town, number: int) -> None:
    for row in town.house.world.all("asset"):
        town.house.world.change("asset", row["id"], {"isMarkedForDeletion": True})


def attach(*names: str) -> Does:
    def do(town: Town, number: int) -> None:
        for name in names:
            add_file(town.house.world, town.house.ticket(number), name, PDF)

    return do


# --- what they see ---


def stopped_and_nothing_is_unread(town: Town, number: int) -> bool:
    return status_is(ATTENTION)(town, number) and not town.area.answers_there


def letter_left(town: Town, number: int) -> bool:
    return any(kind is JobKind.SEND for kind, _ in town.area.uploads)


def question_left(town: Town, number: int) -> bool:
    return any(kind is JobKind.SPLIT for kind, _ in town.area.uploads)


def alerted_twice(town: Town, number: int) -> bool:
    return sum(OPERATOR in mail.rcpt_tos for mail in town.mailbox.mails) > 1


def refused_once(town: Town, number: int) -> bool:
    return bool(town.office.refused)


# --- what Digipost does ---


def digipost(**changes: object) -> Does:
    """`closed`, `refuses`, `first` and so on, from now on."""

    def do(town: Town, number: int) -> None:
        for name, value in changes.items():
            assert hasattr(town.office, name)
            setattr(town.office, name, value)

    return do


def lose_the_receipt(town: Town, number: int) -> None:
    """Before it has been acted on."""
    blobs = _in_memory(town).blobs["campaigns"]
    for name in [one for one in blobs if "/digipost/" in one]:
        del blobs[name]


def touch_every_job(town: Town, number: int) -> None:
    """Somebody else has just changed each of them."""
    rows = _in_memory(town).tables["deliveries"].rows
    for at, row in rows.items():
        if row.key.startswith("j:"):
            rows[at] = replace(row, version=f"{row.version}-")


def files_are_taken_away(town: Town, number: int) -> None:
    town.area.cleared = True


def upload_breaks_off(town: Town, number: int) -> None:
    """The next one, in the middle."""
    town.area.breaks_after = 10


def put_strays(town: Town, number: int) -> None:
    """What nobody can read, what is none of our business, and what tells of an unknown job."""
    town.area.put_receipt(JobKind.SEND, "rot.zip", b"no zip file")
    town.area.put_receipt(JobKind.SEND, "stor.zip", b"far too much")
    town.area.huge = "stor.zip"
    town.office.says_by_itself("others.1-1.ab.send-1")
    town.office.says_by_itself(f"{town.house.settings.INSTALLATION}.1-1.ab.send-1")


def deliver_after_all(town: Town, number: int) -> None:
    """What was refused."""
    if not town.office.delivered:
        town.office.answers_again()


def say_that_it_was_delivered(town: Town, number: int) -> None:
    """Of the first job, though it was not."""
    job, _ = town.office.jobs[0]
    town.office.says_by_itself(job, "SUKSESS")


def spoil_the_address(town: Town, number: int) -> None:
    """With what no XML can hold, and Pureservice does not bring."""
    for row in _in_memory(town).tables["deliveries"].rows.values():
        if isinstance(known := row.values.get("addressee"), str):
            row.values["addressee"] = known.replace("Oslo", "Oslo\ufffe")


def say_the_opposite(town: Town, number: int) -> None:
    """Of every job with letters."""
    for job, _ in town.office.jobs:
        if ".send-" in job:
            town.office.says_by_itself(job)


def area_says(error: UtsendelseError, to: str = "") -> Does:
    """To whatever it is asked, or to this."""

    def before(operation: str) -> None:
        if to in {"", operation}:
            raise error

    def do(town: Town, number: int) -> None:
        town.area.before = before

    return do


def let_us_in(town: Town, number: int) -> None:
    town.area.before = lambda operation: None


def mend_the_area(town: Town, number: int) -> None:
    let_us_in(town, number)
    town.area.cleared = town.office.closed = town.office.only_receives = False
    town.office.refuses = ""


# --- what the operator does ---


async def look_into_jobs(town: Town, number: int) -> bool:
    """An upload was broken off: has Digipost got it?"""
    for campaign in await town.eyes.ledger.campaigns.on_ticket(number):
        for job in await town.eyes.ledger.jobs.of(campaign.id):
            if _asks_for_somebody(job):
                has = town.office.has(job.kind, job.zip_name)
                found = Decision.RECEIVED if has else Decision.NOT_RECEIVED
                await _decide(town, job, found)
    return True


def look_into_what_was_refused(found: Decision) -> Does:
    """It is mended; and where Digipost has said since that it was delivered, this is found."""

    async def do(town: Town, number: int) -> bool:
        mend_the_area(town, number)
        for campaign in await town.eyes.ledger.campaigns.on_ticket(number):
            for job in await town.eyes.ledger.jobs.of(campaign.id):
                if CONTRADICTED in job.steps and not await _decide(town, job, found):
                    return False
        set_status(READY)(town, number)
        return True

    return do


async def give_jobs_up(town: Town, number: int) -> bool:
    """Nobody can tell, or nobody wants to wait."""
    gone = False
    [campaign] = await town.eyes.ledger.campaigns.on_ticket(number)
    for job in await town.eyes.ledger.jobs.of(campaign.id):
        if GIVEN_UP in job.steps:
            gone = True  # though we had no answer when we said so
        elif _asks_for_somebody(job) or "no_result" in job.steps:
            gone |= await _decide(town, job, Decision.UNCERTAIN)
    return gone or not await town.eyes.ledger.deliveries.any_open(campaign.id)


def _asks_for_somebody(job: Job) -> bool:
    return job.kind is JobKind.SEND and job.state is JobState.UNKNOWN and "unknown" in job.steps


async def _decide(town: Town, job: Job, decision: Decision) -> bool:
    body = {"decision": decision}
    route = {"campaign": job.partition, "number": str(job.number)}
    return await ask(town, "decide_job", body, **route)


async def ask_about_everybody(town: Town, number: int) -> bool:
    """As each week, until a round of it has begun."""
    before = await town.eyes.ledger.register.survey()
    try:
        await town.call("register")
    except (Stop, *OUTAGE):
        pass
    after = await town.eyes.ledger.register.survey()
    return after is not None and (before is None or before.number < after.number)


async def read_the_register(town: Town, number: int) -> bool:
    request = HttpRequest("GET", "http://127.0.0.1/", params={}, body=b"")
    try:
        answer = await town.call("register_file", request)
    except (Stop, *OUTAGE):
        return False
    return bool(answer.status_code == 200)


# --- how else it is seen that all is done ---


async def all_asked_about(town: Town, number: int) -> bool:
    survey = await town.eyes.ledger.register.survey()
    return survey is not None and survey.over


async def forgotten_and_asked_about(town: Town, number: int) -> bool:
    return await forgotten(town, number) and await all_asked_about(town, number)


async def all_receipts_read(town: Town, number: int) -> bool:
    there = (await town.area.receipts(JobKind.SEND)).items()
    read = [await town.eyes.ledger.register.receipt(f"{name} {size}") for name, size in there]
    return all(read)


def _user(town: Town, address: str) -> int:
    row = town.house.world.find("emailaddress", email=address)
    assert row
    return int(row["userId"])
