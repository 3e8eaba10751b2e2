"""What Pureservice does by itself when somebody writes: numbers, log entries, mails."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Any

from .schema import API_USER, SYSTEM_USER
from .world import CUSTOM_TYPE, Row, World, full_name

IN_PROGRESS, WAITING = 30, 45  #: coreStatus of a ticket somebody works on, or waits for the user
SOLVED = 50  #: coreStatus from here on is solved or closed
VISIBLE, SILENT, HIDDEN = 0, 1, 2
INBOUND, OUTBOUND, INTERNAL = 1, 2, 3
MESSAGE, HISTORY, INITIAL_MESSAGE = 2, 6, 7
RECEIVED, QUEUED, SENT, FAILED = 0, 1, 4, 5
MAILBOX = "servicedesk@example.no"
_FATE = re.compile(r"\+(bounce|stuck|lost)", re.IGNORECASE)


def create(world: World, kind: str, values: Mapping[str, Any], *, by: int) -> Row:
    """Add a row and let Pureservice do what it does about that."""
    match kind:
        case "ticket":
            values = {
                **values,
                "requestNumber": world.next_request_number(),
                "emailAddress": default_address(world, values.get("userId")),
            }
        case "communication" if values.get("customTypeId"):
            values = {**values, "type": CUSTOM_TYPE}
    row = world.add(kind, values, by=by)
    if kind == "user" and (address := world.get("emailaddress", row.get("emailAddressId"))):
        world.change("emailaddress", address["id"], {"userId": row["id"]}, by=None)
    if kind == "company" and (
        address := world.get("companyemailaddress", row.get("emailAddressId"))
    ):
        world.change("companyemailaddress", address["id"], {"companyId": row["id"]}, by=None)
    return row


def after_create(world: World, kind: str, row: Row, *, by: int) -> None:
    """The consequences of a row that is complete, files and all."""
    if kind == "ticket":
        world.add(
            "communication",
            {
                "ticketId": row["id"],
                "type": INITIAL_MESSAGE,
                "direction": INBOUND,
                "visibility": 0,
                "subject": row.get("subject"),
                "text": row.get("description"),
            },
            by=by,
        )
        if row.get("visibility", VISIBLE) == VISIBLE:
            _notify(world, row, "<p>Vi har mottatt saken din.</p>", is_receipt=True)
        return
    touch(world, row.get("ticketId"), by=by)
    if kind != "communication" or not (ticket := world.get("ticket", row.get("ticketId"))):
        return
    if row.get("type") == MESSAGE and row.get("direction") == OUTBOUND:
        # Whether a message sends mail is only doubtful when a program posts it.
        if by != API_USER or world.switches.message_sends_mail:
            _send_message(world, ticket, row, by=by)
    elif row.get("type") == MESSAGE and row.get("direction") == INBOUND:
        _hear(world, ticket, by=by)


def change_ticket(world: World, ticket: Row, changes: Mapping[str, Any], *, by: int) -> None:
    """Set fields of a ticket; a new status is logged, and solving it may write to the end user."""
    before = world.get("status", ticket.get("statusId"))
    if "userId" in changes and changes["userId"] != ticket.get("userId"):
        changes = {**changes, "emailAddress": default_address(world, changes["userId"])}
    world.change("ticket", ticket["id"], changes, by=by)
    after = world.get("status", ticket.get("statusId"))
    if before is None or after is None or before is after:
        return
    world.add(
        "communication",
        {
            "ticketId": ticket["id"],
            "type": HISTORY,
            "direction": INTERNAL,
            "subject": "Status endret",
            "text": f"Status endret fra {before['name']} til {after['name']}",
        },
        by=by,
    )
    if is_solved(before) == is_solved(after):
        return
    world.change("ticket", ticket["id"], {"resolvedById": by if is_solved(after) else None}, by=by)
    if is_solved(after) and ticket.get("visibility", VISIBLE) == VISIBLE:
        _notify(world, ticket, "<p>Saken din er løst.</p>" + (ticket.get("solution") or ""))


def touch(world: World, ticket_id: int | None, *, by: int) -> None:
    """Somebody did something on this ticket."""
    if ticket := world.get("ticket", ticket_id):
        world.change("ticket", ticket["id"], {}, by=by)


def is_solved(status: Row) -> bool:
    return int(status["coreStatus"]) >= SOLVED


def default_address(world: World, user_id: int | None) -> str | None:
    """Where Pureservice writes to this user; None when it cannot."""
    user = world.get("user", user_id)
    address = world.get("emailaddress", user.get("emailAddressId")) if user else None
    return address["email"] if address else None


def case_tag(ticket: Row) -> str:
    return f"[Sak ID# {ticket['requestNumber']}]"


def send_mail(
    world: World,
    ticket: Row,
    to: Sequence[tuple[str, str]],
    *,
    subject: str | None,
    body: str | None,
    by: int,
    attachment_ids: Iterable[int] = (),
    flags: Mapping[str, bool] | None = None,
) -> Row:
    """A mail out of Pureservice; ``settle_mails`` decides later whether it arrived."""
    mail = world.add(
        "email",
        {
            "ticketId": ticket["id"],
            "from": MAILBOX,
            "fromName": "Servicedesk",
            "to": _joined(world, to),
            "recipients": [address for _, address in to],
            "subject": f"{case_tag(ticket)} {subject or ''}",
            "html": _html(world, ticket, body or ""),
            "text": None,
            "direction": OUTBOUND,
            "channelId": 1,
            "status": QUEUED,
            "statusDate": world.stamp(),
            "queuedReads": world.switches.mail_queued_reads,
            "attachmentIds": list(attachment_ids),
            **(flags or {}),
        },
        by=by,
    )
    message_id = f"<{mail['id']}.{ticket['requestNumber']}@sim.pureservice.local>"
    world.change("email", mail["id"], {"messageId": message_id}, by=None)
    if not world.switches.mail_queued_reads and not world.switches.mail_queued_seconds:
        _settle(world, mail)
    return mail


def settle_mails(world: World) -> None:
    """Somebody reads mails: those that have waited long enough are sent, or have failed."""
    now = world.now()
    waited = timedelta(seconds=world.switches.mail_queued_seconds)
    for mail in list(world.where("email", "status", QUEUED)):
        reads = mail.get("queuedReads", 0)
        if reads > 0:
            world.change("email", mail["id"], {"queuedReads": reads - 1}, by=None)
        elif reads == 0 and datetime.fromisoformat(mail["statusDate"]) + waited <= now:
            _settle(world, mail)


def settle_now(world: World, ticket: Row) -> None:
    """All mails of this ticket have long been sent, or have failed."""
    for mail in list(world.where("email", "ticketId", ticket["id"])):
        if mail["status"] == QUEUED:
            _settle(world, mail)


def _settle(world: World, mail: Row) -> None:
    refusals = [words for address in mail["recipients"] if (words := refusal(address))]
    if any(fate(address) == "stuck" for address in mail["recipients"]):
        return
    outcome: dict[str, Any] = {"status": FAILED if refusals else SENT, "statusDate": world.stamp()}
    if refusals:
        outcome["statusMessage"] = refusals[0]
    world.change("email", mail["id"], outcome)


def fate(address: str) -> str | None:
    """What an address asks to become of the mails to it; None for what happens to most."""
    found = _FATE.search(address)
    return found[1].lower() if found else None


def refusal(address: str) -> str | None:
    """Why no mail reaches this address; None when mail does."""
    if fate(address) == "bounce":
        return f"550 5.1.1 {address}: ukjent mottaker"
    if address.lower().endswith(".local") or "@" not in address:
        return f"550 5.1.2 {address}: ukjent domene"
    return None


def _html(world: World, ticket: Row, body: str) -> str:
    if world.switches.mail_template == "greeting":
        name = escape(full_name(world.get("user", ticket.get("userId")) or {}))
        tag = f"Svarer du på denne e-posten, la {case_tag(ticket)} stå i emnefeltet."
        body = f"<p>Hei {name},</p>{body}<hr><p>{tag}</p>"
    return f"<html><body>{body}</body></html>"


def _joined(world: World, to: Sequence[tuple[str, str]]) -> str:
    match world.switches.to_format:
        case "comma":
            return ", ".join(address for _, address in to)
        case "names":
            return "; ".join(f'"{name}" <{address}>' for name, address in to)
    return "; ".join(address for _, address in to)


def _notify(world: World, ticket: Row, body: str, *, is_receipt: bool = False) -> None:
    if to := _reachable(world, [ticket.get("userId")]):
        flags = {"isSystem": True, "isInitial": is_receipt}
        send_mail(
            world, ticket, to, subject=ticket.get("subject"), body=body, by=SYSTEM_USER, flags=flags
        )


def _send_message(world: World, ticket: Row, message: Row, *, by: int) -> None:
    named = [
        world.get("communicationrecipient", id_) or {} for id_ in message.get("recipientIds") or []
    ]
    users = [recipient.get("userId") for recipient in named] or [ticket.get("userId")]
    if to := [one for one in _reachable(world, users) if fate(one[1]) != "lost"]:
        mail = send_mail(
            world,
            ticket,
            to,
            subject=message.get("subject") or ticket.get("subject"),
            body=message.get("text"),
            by=by,
            attachment_ids=message.get("attachmentIds") or (),
        )
        if world.switches.message_names_mail:
            world.change("communication", message["id"], {"messageId": mail["id"]}, by=None)


def _reachable(world: World, user_ids: Iterable[int | None]) -> list[tuple[str, str]]:
    return [
        (full_name(world.get("user", id_) or {}), address)
        for id_ in user_ids
        if (address := default_address(world, id_))
    ]


def _hear(world: World, ticket: Row, *, by: int) -> None:
    """A reply came: a ticket that was solved, or waited for it, is open again."""
    status = world.get("status", ticket.get("statusId"))
    if status is None:
        return
    open_ones = [
        other
        for other in world.where("status", "requestTypeId", status.get("requestTypeId"))
        if not is_solved(other) and not other.get("disabled")
    ]
    to: Row | None = None
    if is_solved(status) and world.switches.reopen_on_reply:
        to = max(open_ones, key=lambda other: bool(other.get("default")), default=None)
    elif status["coreStatus"] == WAITING and world.switches.reply_ends_waiting:
        to = next((other for other in open_ones if other["coreStatus"] == IN_PROGRESS), None)
    if to:
        change_ticket(world, ticket, {"statusId": to["id"]}, by=by)
