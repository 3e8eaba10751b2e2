"""People on a list who get letters, and campaigns of letters already answered."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dev.pureservice.seed import (
    LETTER_SETTINGS,
    add_list,
    add_member,
    add_user,
    national_id,
)
from shared.domain.addressee import Addressee, PostalAddress
from shared.domain.campaign import LETTERS, Campaign, Phase
from shared.domain.delivery import NEVER, Delivery, Outcome, delivery_id
from shared.domain.letter_job import Job, JobKind, JobState
from shared.domain.message import LetterPlan, Message
from shared.domain.recipient import Recipient
from shared.flow.frozen import store_message
from shared.ledger.jobs import Ends
from tests.flow.edges import MESSAGE

if TYPE_CHECKING:
    from tests.flow.conftest import House

LETTER_HOUSE = {
    **LETTER_SETTINGS,
    "DIGIPOST_SENDER_ID": "100123",
    "DIGIPOST_KEY": "a key",
    "DIGIPOST_HOST_KEY": f"SHA256:{'a' * 43}",
}
NUMBER = national_id(7)
HOME = {"streetAddress": "Storgata 1", "postalCode": "0155", "city": "Oslo", "country": "Norge"}
OSLO = PostalAddress(("Storgata 1",), "0155", "Oslo")


def resident(house: "House", name: str, *, address: str = "", home: bool = True, id_: str = ""):
    """Somebody with an e-mail address, a home, a national identity number, or none of these."""
    values: dict[str, Any] = {"firstName": name, "lastName": "Nordmann"}
    if home:
        values["addressId"] = house.world.add("physicaladdress", dict(HOME))["id"]
    if id_:
        values["cf_5"] = id_
    return add_user(house.world, values, [address] if address else [])


def residents(house: "House", *people: Any, name: str = "Byen") -> dict[str, Any]:
    members = add_list(house.world, name, name.upper())
    for person in people:
        add_member(house.world, members, "user", person)
    return members


async def letters_out(
    house: "House",
    *outcomes: tuple[Outcome, str],
    jobs: tuple[Job, ...] = (),
    postal: PostalAddress | None = OSLO,
    plan: LetterPlan | None = None,
    message: Message = MESSAGE,
    number: int = 0,
    **changes: Any,
) -> Campaign:
    """A campaign of letters, on a ticket, with these outcomes and the ways by which they came."""
    number = number or house.open_ticket(channel="digipost")
    campaign = Campaign(
        id=f"{number}-1",
        ticket_id=house.ticket(number)["id"],
        request_number=number,
        channel=LETTERS,
        found_at=house.clock(),
        nonce="ab12cd34",
        phase=Phase.SENDING,
        starts_at=house.clock(),
        planned=len(outcomes),
        solved_status=(await house.helpdesk.names()).solved,
        message="communication:1",
    )
    await store_message(campaign.id, replace(message, letter=plan or LetterPlan(None)), house.files)
    campaign = await house.ledger.campaigns.create(replace(campaign, **changes))
    assert campaign
    deliveries = [
        Delivery(
            delivery_id(campaign.run, f"user:{n}"),
            campaign.id,
            Recipient(
                f"user:{n}",
                f"Åse Nr. {n}",
                f"{n}@example.no",
                addressee=Addressee(f"Åse Nr. {n}", postal=postal),
            ),
            LETTERS,
        )
        for n in range(len(outcomes))
    ]
    await house.ledger.deliveries.plan(campaign.id, deliveries, [])
    opened = {
        one.id: one
        async for one in house.ledger.jobs.waiting(campaign.id, ("digipost",), house.clock())
    }
    ends = [
        Ends(opened[delivery.id], outcome, way)
        for delivery, (outcome, way) in zip(deliveries, outcomes, strict=True)
    ]
    await house.ledger.jobs.finish(campaign.id, ends, house.clock())
    for job in jobs:
        await house.ledger.jobs.add(replace(job, partition=campaign.id))
    return campaign


def job(number: int, state: JobState, letters: int = 2, kind: JobKind = JobKind.SEND) -> Job:
    uploads = 0 if state in {JobState.DRAFT, JobState.READY} else 1
    return Job(
        id=f"fjordvik.20417-1.ab12cd34.{kind}-{number}",
        partition="",
        kind=kind,
        number=number,
        state=state,
        letters=letters,
        uploads=uploads,
        created_at=NEVER,
    )
