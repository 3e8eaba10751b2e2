"""The simulator's own paths: look inside, throw switches, make trouble, act as a person."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import behaviour, relationships, seed
from .gate import Fault, Simulator, Traffic
from .schema import ENTITIES, FieldSpec
from .switches import Switches
from .world import EXPECTED, Row, World, full_name

Handler = Callable[[Request], Awaitable[Any]]

_MAILS_SHOWN = 500
_TYPE_NAME = FieldSpec("typeName", "text")
_CLASSIFICATION = [
    *("requestTypeId", "ticketTypeId", "priorityId", "sourceId", "assignedDepartmentId"),
    *("assignedTeamId", "assignedAgentId", "category1Id", "category2Id", "category3Id"),
    *(one.name for one in ENTITIES["ticket"].fields if one.name.startswith("cf_")),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CampaignBody(_Body):
    recipients: int = 10
    scenario: seed.Scenario = "email"
    tricky: bool = True
    status: str | None = "Utsending – klar"
    trigger: seed.Trigger = "communication"
    text: str = seed.TEXT


class TicketBody(_Body):
    subject: str = seed.SUBJECT
    user: str = seed.PLACEHOLDERS["email"]  #: the end user's address
    description: str = ""
    visibility: int = behaviour.VISIBLE
    lists: list[int] = []
    statusName: str | None = None
    by: int = seed.AGENT


class MessageBody(_Body):
    ticketId: int
    text: str = seed.TEXT
    subject: str | None = None
    customType: str | None = None
    direction: int | None = None
    attachmentIds: list[int] = []
    statusName: str | None = None
    userId: int = seed.AGENT


class NoteBody(_Body):
    ticketId: int
    text: str
    userId: int = seed.AGENT


class AddressBody(_Body):
    old: str
    new: str


class StatusBody(_Body):
    ticketId: int
    statusName: str
    userId: int = seed.AGENT


class ReplyBody(_Body):
    ticketId: int
    text: str = "<p>Takk for det. Vi kommer tilbake med et svar.</p>"


def routes(world: World, simulator: Simulator, seed_again: Callable[[World], None]) -> list[Route]:
    """All paths below /_sim; they need no key and are not counted."""
    first_switches = world.switches

    async def get_state(request: Request) -> Any:
        traffic = simulator.traffic
        mails = world.where("email", "direction", behaviour.OUTBOUND)
        return {
            "counts": {kind: world.count(kind) for kind in world.kinds()},
            "calls": dict(traffic.calls),
            "callsTotal": traffic.calls.total(),
            "throttled": traffic.throttled,
            "mailsTotal": len(mails),
            "mails": [_mail(mail) for mail in mails[-_MAILS_SHOWN:]],
            "faults": [fault.model_dump() for fault in traffic.faults],
            "campaigns": [row["requestNumber"] for row in world.all(EXPECTED)],
        }

    async def get_requests(request: Request) -> Any:
        return list(simulator.traffic.requests)

    async def post_reset(request: Request) -> Any:
        world.clear()
        world.switches = first_switches
        seed_again(world)
        simulator.traffic = Traffic()
        return {}

    async def get_switches(request: Request) -> Any:
        return world.switches.model_dump()

    async def post_switches(request: Request) -> Any:
        changed = {**world.switches.model_dump(), **await request.json()}
        world.switches = Switches.model_validate(changed)
        return world.switches.model_dump()

    async def get_faults(request: Request) -> Any:
        return [fault.model_dump() for fault in simulator.traffic.faults]

    async def post_faults(request: Request) -> Any:
        given = await request.json()
        faults = [
            Fault.model_validate(one) for one in (given if isinstance(given, list) else [given])
        ]
        simulator.traffic.faults.extend(faults)
        return await get_faults(request)

    async def delete_faults(request: Request) -> Any:
        simulator.traffic.faults.clear()
        return []

    async def post_campaign(request: Request) -> Any:
        body = CampaignBody.model_validate(await request.json())
        return seed.expected(world, seed.seed_campaign(world, **body.model_dump()))

    async def get_campaign(request: Request) -> Any:
        return seed.expected(world, int(request.path_params["number"]))

    async def post_ticket(request: Request) -> Any:
        body = TicketBody.model_validate(await request.json())
        address = world.find("emailaddress", email=body.user)
        if address is None:
            raise LookupError(f"no user has the address {body.user}")
        ticket = seed.add_ticket(
            world,
            user_id=address["userId"],
            subject=body.subject,
            description=body.description,
            visibility=body.visibility,
            by=body.by,
        )
        behaviour.after_create(world, "ticket", ticket, by=body.by)
        for id_ in body.lists:
            seed.add_member(world, _existing(world, "asset", id_), "ticket", ticket)
        if body.statusName:
            seed.set_status(world, ticket, body.statusName, by=body.by)
        return _account(world, ticket)

    async def post_message(request: Request) -> Any:
        body = MessageBody.model_validate(await request.json())
        ticket = _existing(world, "ticket", body.ticketId)
        seed.add_message(
            world,
            ticket,
            body.text,
            subject=body.subject,
            custom_type=body.customType,
            direction=body.direction,
            attachment_ids=body.attachmentIds,
            by=body.userId,
        )
        if body.statusName:
            seed.set_status(world, ticket, body.statusName, by=body.userId)
        return _account(world, ticket)

    async def post_note(request: Request) -> Any:
        """An internal note, as a case worker writes it."""
        body = NoteBody.model_validate(await request.json())
        ticket = _existing(world, "ticket", body.ticketId)
        seed.add_note(world, ticket, body.text, by=body.userId)
        return _account(world, ticket)

    async def post_address(request: Request) -> Any:
        """Somebody's address, put right wherever it stands."""
        body = AddressBody.model_validate(await request.json())
        changed = 0
        for kind in ("emailaddress", "companyemailaddress"):
            for row in list(world.where(kind, "email", body.old)):
                world.change(kind, row["id"], {"email": body.new}, by=seed.AGENT)
                changed += 1
        return {"changed": changed}

    async def post_status(request: Request) -> Any:
        body = StatusBody.model_validate(await request.json())
        ticket = _existing(world, "ticket", body.ticketId)
        seed.set_status(world, ticket, body.statusName, by=body.userId)
        return _account(world, ticket)

    async def post_reply(request: Request) -> Any:
        body = ReplyBody.model_validate(await request.json())
        ticket = _existing(world, "ticket", body.ticketId)
        seed.add_reply(world, ticket, body.text)
        return _account(world, ticket)

    async def get_copies(request: Request) -> Any:
        """Every ticket that a campaign on the one with this number has made."""
        reference = f"{request.path_params['number']}-"
        return [
            _account(world, ticket)
            for ticket in world.all("ticket")
            if (ticket.get("customerReference") or "").startswith(reference)
        ]

    async def get_ticket(request: Request) -> Any:
        id_ = int(request.path_params["id"])
        if request.query_params.get("by") == "requestNumber":
            id_ = (world.find("ticket", requestNumber=id_) or {}).get("id", 0)
        return _account(world, _existing(world, "ticket", id_))

    table: dict[tuple[str, str], Handler] = {
        ("GET", "state"): get_state,
        ("GET", "requests"): get_requests,
        ("POST", "reset"): post_reset,
        ("GET", "switches"): get_switches,
        ("POST", "switches"): post_switches,
        ("GET", "faults"): get_faults,
        ("POST", "faults"): post_faults,
        ("DELETE", "faults"): delete_faults,
        ("POST", "campaign"): post_campaign,
        ("GET", "campaign/{number:int}"): get_campaign,
        ("POST", "ticket"): post_ticket,
        ("GET", "ticket/{id:int}"): get_ticket,
        ("GET", "copies/{number:int}"): get_copies,
        ("POST", "message"): post_message,
        ("POST", "note"): post_note,
        ("POST", "address"): post_address,
        ("POST", "status"): post_status,
        ("POST", "reply"): post_reply,
    }
    return [
        Route(f"/_sim/{path}", _answered(handler), methods=[method])
        for (method, path), handler in table.items()
    ]


def _answered(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    @wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            return JSONResponse(await handler(request))
        except LookupError as missing:
            return JSONResponse({"message": str(missing)}, 404)
        except (TypeError, ValueError) as wrong:  # JSON and validation errors are ValueErrors
            return JSONResponse({"message": str(wrong)}, 400)

    return answer


def _existing(world: World, kind: str, id_: int) -> Row:
    row = world.get(kind, id_)
    if row is None:
        raise LookupError(f"no {kind} {id_}")
    return row


def _account(world: World, ticket: Row) -> dict[str, Any]:
    """A ticket as a person would see it in the user interface.

    ``address`` is the end user's in the form of ``expected``.
    """
    id_ = ticket["id"]
    status = world.get("status", ticket["statusId"]) or {}
    user = world.get("user", ticket.get("userId")) or {}
    show_type = world.getter("communication", _TYPE_NAME)
    address = ticket.get("emailAddress")
    return {
        "id": id_,
        "requestNumber": ticket["requestNumber"],
        "subject": ticket.get("subject"),
        "status": status.get("name"),
        "visibility": ticket.get("visibility"),
        "user": {"id": user.get("id"), "name": full_name(user), "companyId": user.get("companyId")},
        "emailAddress": address,
        "address": seed.comparable(address) if address else None,
        "classification": {name: ticket.get(name) for name in _CLASSIFICATION},
        "customerReference": ticket.get("customerReference"),
        "description": ticket.get("description"),
        "solution": ticket.get("solution"),
        "createdById": ticket["createdById"],
        "relations": [
            {
                "type": (world.get("relationshiptype", row["typeId"]) or {}).get("name"),
                "ticketId": row["toTicketId"],
            }
            for row in relationships.seen_from(world, "Ticket", id_)
            if row.get("toTicketId")
        ],
        "communications": [
            {
                "id": row["id"],
                "type": show_type(row),
                "direction": row.get("direction"),
                "subject": row.get("subject"),
                "text": row.get("text"),
                "attachmentIds": row.get("attachmentIds") or [],
                "mailId": row.get("messageId"),
                "by": row["createdById"],
                "created": row["created"],
            }
            for row in world.where("communication", "ticketId", id_)
        ],
        "attachments": [
            {
                "id": row["id"],
                "fileName": row["fileName"],
                "size": row["contentLength"],
                "isVisible": row.get("isVisible", False),
                "isPartofCurrentSolution": row.get("isPartofCurrentSolution", False),
                "embedded": row.get("embedded", False),
                "contentId": row.get("contentId"),
                "copyOf": row.get("attachmentCopyId"),
            }
            for row in world.where("attachment", "ticketId", id_)
        ],
        "mails": [
            {
                **_mail(mail),
                "html": mail.get("html"),
                "attachmentIds": mail.get("attachmentIds") or [],
                "statusMessage": mail.get("statusMessage"),
            }
            for mail in world.where("email", "ticketId", id_)
        ],
    }


def _mail(mail: Row) -> dict[str, Any]:
    names = ("id", "ticketId", "to", "subject", "status", "direction", "createdById")
    return {
        **{name: mail.get(name) for name in names},
        **{name: mail.get(name, False) for name in ("isInitial", "isSystem")},
    }
