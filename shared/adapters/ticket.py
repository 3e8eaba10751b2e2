"""One ticket per recipient: made in Pureservice, and the message sent from it.

    the ticket    one call, files and all; found again by its customerReference
    the message   posted on it for Pureservice to send, or sent by us with the ticket's tag

How far a delivery has come is noted between the two. Nothing here is ever repeated blindly: what
ended without an answer is looked up, once it can no longer be under way.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from shared.adapters.frozen_files import content_of
from shared.adapters.pureservice import (
    FAILED,
    MESSAGE,
    OUTBOUND,
    REFERENCE,
    SENT,
    SILENT,
    bytes_of,
    file_row,
    note_on,
)
from shared.adapters.pureservice_users import PureserviceUsers
from shared.adapters.pureservice_wire import (
    ADDRESS,
    AttachmentRow,
    Made,
    MessageRow,
    TicketRow,
    Wire,
    quoted,
)
from shared.domain.delivery import Delivery, OpenDelivery, Outcome, Reason, Status
from shared.domain.html import one_line
from shared.domain.message import Classification, File, Message, TicketTemplate
from shared.domain.portions import in_portions
from shared.domain.recipient import Recipient, address_key, normalise_address, spellings
from shared.domain.recipient_ticket import RecipientTicket, ticket_key, ticket_of
from shared.errors import (
    PermanentError,
    TransientError,
    UncertainError,
)
from shared.ports import Archived, Channel, Files, Note, Promise, Receipt
from shared.settings import Settings

log = logging.getLogger(__name__)

#: Calls to Pureservice that a ticket takes: itself and its message, or the note about it.
CALLS = 2
#: For somebody unknown a user is looked for, and at worst made, address and all.
CALLS_FOR_UNKNOWN = 5
#: So many tickets are asked about in one call: longer filters may be refused.
_AT_ONCE = 64
HIDDEN = 2  #: a ticket's visibility: the end user does not see it
#: What may stand before and after an address in a mail's `to`.
_AROUND = r"[\s<>()\[\]:;,\"']"

#: What stands in a ticket's log when we have mailed the message; None: it is no longer at hand.
LogEntry = Callable[[OpenDelivery, Message | None], str]


class TicketChannel:
    """Gives each recipient a ticket of their own, and sends the message from it."""

    name = "ticket"
    promise = Promise.CAN_BE_ASKED

    def __init__(
        self,
        settings: Settings,
        wire: Wire,
        users: PureserviceUsers,
        files: Files,
        *,
        mail: Channel,
        log_entry: LogEntry,
    ) -> None:
        """`mail` sends the message where settings say so; `log_entry` is what then stands in the
        ticket's log: it must name the delivery, for that is how it is found again.
        """
        self._settings = settings
        self._wire = wire
        self._users = users
        self._files = files
        self._mail = mail
        self._log_entry = log_entry
        self._by_mail = settings.TICKET_MESSAGE_VIA == "email"
        self._upload = settings.TICKET_FILES == "upload"
        self.first_check, self.longest_wait = settings.first_check, settings.longest_wait
        self.gates: tuple[str, ...] = ("ticket", "email") if self._by_mail else ("ticket",)
        patience = timedelta(seconds=settings.PURESERVICE_TIMEOUT_SECONDS)
        self._to_log = patience
        self._to_send = 2 * patience + (mail.time_limit if self._by_mail else patience)
        self.time_limit = self._to_send + (self._to_log if self._by_mail else timedelta())

    async def begins(self, delivery: OpenDelivery) -> str:
        return delivery.note

    async def largest(self) -> int:
        return await self._mail.largest()

    async def send(self, delivery: OpenDelivery, message: Message, note: Note) -> Receipt:
        """The ticket, unless an earlier attempt has made it; then the message.

        Final when we sent the message ourselves; what Pureservice sends is to be checked.
        """
        try:
            async with asyncio.timeout(self._to_send.total_seconds()):
                ticket, attached = await self._prepared(delivery, message, note)
                if not self._by_mail:
                    await self._post(ticket, message, attached)
                    return _posted(ticket)
                await note(str(ticket.begun()))
                own = self._from(ticket, message)
                # the delivery's note is about its ticket: how its mail goes is noted nowhere
                mailed = replace(delivery, note="")
                mailed = replace(mailed, note=await self._mail.begins(mailed))
                try:
                    receipt = await self._mail.send(mailed, own, _unnoted)
                except TransientError as error:
                    error.gate = self._mail.name
                    raise
        except TimeoutError as error:
            raise UncertainError(f"ticket: no end to it for delivery {delivery.id}") from error
        return await self._logged(delivery, ticket, own, receipt)

    async def _prepared(
        self, delivery: OpenDelivery, message: Message, note: Note
    ) -> tuple[RecipientTicket, list[int]]:
        """The recipient's ticket, and the message's files on it."""
        if delivery.note:
            ticket = RecipientTicket.of(delivery.note)
            known: Sequence[AttachmentRow] = ()
            await self._look_again(ticket)
        else:
            user = await self._users.for_recipient(delivery.recipient)
            made = await self._make(delivery, message, user)
            ticket, known = self._ticket(made), made.attachments
            await note(str(ticket))
            self._look_at(made, delivery)
        return ticket, await self._whole(ticket, message, known)

    def _from(self, ticket: RecipientTicket, message: Message) -> Message:
        """The message as a mail that belongs to the ticket, and whose answers do."""
        tag = self._settings.TICKET_TAG.replace("{{RequestNumber}}", str(ticket.number))
        return replace(
            message,
            subject=f"{tag} {message.subject}",
            sender=replace(message.sender, reply_to=self._settings.TICKET_REPLY_TO),
        )

    # -- the ticket

    async def _make(self, delivery: OpenDelivery, message: Message, user: int) -> Made:
        if message.ticket is None:
            raise PermanentError(f"ticket: campaign {delivery.campaign} has nothing to copy")
        copying = bool(_files(message)) and not self._upload
        try:
            made = await self._create(delivery, message, message.ticket, user, copying=copying)
        except PermanentError:
            if not copying:
                raise
            # refused, so there is no ticket: perhaps because files cannot be copied here
            made = await self._create(delivery, message, message.ticket, user, copying=False)
            for file in _files(message):
                self._no_more_copying(made.id, file)
        return made

    def _ticket(self, made: Made) -> RecipientTicket:
        if made.request_number is None:
            raise UncertainError(f"ticket: ticket {made.id} came without its number")
        return RecipientTicket(made.id, made.request_number)

    def _look_at(self, made: Made, delivery: OpenDelivery) -> None:
        key = _key(delivery)
        if made.customer_reference not in ("", key):
            log.error("ticket.key_changed ticket_id=%s delivery_id=%s", made.id, delivery.id)
        self._may_be_written_to(made.id, made.email_address)

    async def _look_again(self, ticket: RecipientTicket) -> None:
        """Where there is a test list: the answer may have been lost, or the user changed since."""
        if not self._settings.allowed.everybody:
            answer = await self._wire.one(f"/ticket/{ticket.id}", "tickets")
            for row in answer.tickets:
                self._may_be_written_to(row.id, row.email_address)

    def _may_be_written_to(self, ticket: int, end_user: str) -> None:
        """Raises PermanentError when Pureservice would write to somebody who must not be."""
        address = normalise_address(end_user)
        if address and not self._settings.allowed.allows(address):
            raise PermanentError(
                f"ticket: the user of ticket {ticket} has another address by now, which is not on"
                " the test list",
                Reason.NOT_ON_TEST_LIST,
            )

    async def _create(
        self,
        delivery: OpenDelivery,
        message: Message,
        template: TicketTemplate,
        user: int,
        *,
        copying: bool,
    ) -> Made:
        files = _files(message)
        uploads = {
            file: await content_of(file, self._files, self.name)
            for file in files
            if not (copying and file.original)  # one that stood in the text itself is nowhere else
        }
        hidden = self._settings.TICKET_VISIBILITY == "hidden"
        temporary = [{"temporaryId": f"file-{n}", "type": "attachment"} for n in range(len(files))]
        row = {
            **dict(template.fields),
            "subject": template.subject,
            "description": template.description,
            "visibility": HIDDEN if hidden else SILENT,
            REFERENCE: _key(delivery),
            "links": {
                "user": {"id": user},
                "status": {"id": template.status},
                **_links(template.classification),
                **({"attachments": temporary} if files else {}),
            },
        }
        attachments = [
            {"temporaryId": f"file-{n}", **_attachment(file, uploads.get(file))}
            for n, file in enumerate(files)
        ]
        return await self._wire.create(
            "/ticket/",
            "tickets",
            row,
            include="attachments",
            linked={"attachments": attachments} if files else None,
        )

    async def _whole(
        self, ticket: RecipientTicket, message: Message, known: Sequence[AttachmentRow]
    ) -> list[int]:
        """The ids of the message's files on the ticket, every one of them there and whole."""
        files = _files(message)
        lengths_told = not self._upload  # what we have sent ourselves need not be told
        if len(known) < len(files):  # the answer does not always name them
            known = await self._attachments(ticket)
        found = []
        for file in files:
            whole = next((row.id for row in known if _is(row, file, lengths_told)), None)
            found.append(await self._upload_to(ticket, file) if whole is None else whole)
        return found[: len(message.files)]

    async def _upload_to(self, ticket: RecipientTicket, file: File) -> int:
        """The file sent anew, since it did not come by copying."""
        self._no_more_copying(ticket.id, file)
        row = {
            **_attachment(file, await content_of(file, self._files, self.name)),
            "ticketId": ticket.id,
        }
        return (await self._wire.create("/attachment", "attachments", row, flat=True)).id

    def _no_more_copying(self, ticket: int, file: File) -> None:
        log.warning("ticket.file_uploaded ticket_id=%s attachment_id=%s", ticket, file.original)
        self._upload = True

    async def _attachments(self, ticket: RecipientTicket) -> Sequence[AttachmentRow]:
        answer = await self._wire.all(
            "/attachment/", "attachments", filter=f"ticketId == {ticket.id}"
        )
        return answer.attachments

    # -- the message

    async def _post(
        self, ticket: RecipientTicket, message: Message, attached: Sequence[int]
    ) -> None:
        files = [{"id": id_, "type": "attachment"} for id_ in attached]
        row = {
            "subject": message.subject,
            "text": message.html,
            "type": MESSAGE,
            "direction": OUTBOUND,
            "links": {
                "ticket": {"id": ticket.id},
                **({"attachments": files} if files else {}),
            },
        }
        await self._wire.write("POST", "/communication/", {"communications": [row]})

    async def _logged(
        self,
        delivery: OpenDelivery,
        ticket: RecipientTicket,
        message: Message | None,
        receipt: Receipt,
    ) -> Receipt:
        """The mail has gone: whatever becomes of the log, it must never go again.

        A log that is known not to have been written is left for `check`.
        """
        sent = Receipt(str(ticket.begun()), receipt.detail)
        try:
            async with asyncio.timeout(self._to_log.total_seconds()):
                entry = note_on(ticket.id, self._log_entry(delivery, message))
                await self._wire.write("POST", "/communication/", entry)
        except TransientError as error:
            log.warning("ticket.log_later delivery_id=%s because=%s", delivery.id, error)
            return replace(sent, final=False)
        except (PermanentError, UncertainError, TimeoutError) as error:
            log.warning("ticket.not_logged delivery_id=%s because=%s", delivery.id, error)
        return sent

    # -- what became of it

    async def find(self, delivery: OpenDelivery) -> Receipt | str:
        noted = RecipientTicket.of(delivery.note) if delivery.note else None
        rows = await self._by_key(delivery, noted)
        first = RecipientTicket(rows[0].id, rows[0].request_number) if rows else None
        ticket = noted or first  # the one that we know of, even if somebody has changed the field
        if ticket is None:
            return ""
        maker = next((row.created_by_id for row in rows if row.id == ticket.id), None)
        written = await self._wire.all(
            "/communication/", "communications", filter=f"ticketId == {ticket.id}"
        )
        in_round = [row for row in written.communications if row.id > ticket.said]
        if any(_is_message(row, maker) for row in in_round):
            return _posted(ticket)
        if not ticket.mailing:
            return str(ticket)
        if any(delivery.id in row.text for row in in_round):
            return Receipt(str(ticket))
        raise UncertainError(f"ticket: delivery {delivery.id} may have been mailed")

    async def _by_key(
        self, delivery: OpenDelivery, noted: RecipientTicket | None
    ) -> list[TicketRow]:
        """The delivery's ticket, by its key or as it was noted; a second one is a fault."""
        key, id_ = _key(delivery), noted.id if noted else 0
        terms = [f"{REFERENCE} == {quoted(key)}", *([f"id == {id_}"] if noted else [])]
        answer = await self._wire.any_of("/ticket/", "tickets", terms)
        rows = [row for row in answer.tickets if row.id == id_ or row.text(REFERENCE) == key]
        if len(rows) > 1:
            ids = [row.id for row in rows]
            log.error("ticket.several delivery_id=%s tickets=%s", delivery.id, ids)
        return rows

    async def check(self, submitted: Sequence[OpenDelivery]) -> Mapping[str, Outcome]:
        tickets = {one.id: RecipientTicket.of(one.note) for one in submitted}
        posted = {one.id: one for one in submitted if not tickets[one.id].mailing}
        mails = await self._mails(sorted(tickets[id_].id for id_ in posted))
        outcomes = {}
        for id_, one in posted.items():
            ticket = tickets[id_]
            in_round = [mail for mail in mails.get(ticket.id, []) if mail.id > ticket.mailed]
            outcomes[id_] = _outcome(_to(one.recipient, in_round))
        not_now = Outcome(Status.SUBMITTED)
        refused = False
        for one in submitted:
            if one.id not in posted:
                ticket = tickets[one.id]
                outcomes[one.id] = not_now if refused else await self._log_at_last(one, ticket)
                refused = outcomes[one.id] == not_now  # then for all the others, too
        return outcomes

    async def _log_at_last(self, delivery: OpenDelivery, ticket: RecipientTicket) -> Outcome:
        """The mail has gone, and only the log is missing."""
        receipt = await self._logged(delivery, ticket, None, Receipt(""))
        return Outcome(Status.SENT if receipt.final else Status.SUBMITTED)

    async def _mails(self, tickets: Sequence[int]) -> dict[int, list[MessageRow]]:
        """The mails out of these tickets, oldest first."""
        if not tickets:
            return {}
        answer = await self._wire.any_of(
            "/email/",
            "emails",
            [f"ticketId == {id_}" for id_ in tickets],
            of=f"direction == {OUTBOUND}",
        )
        found: dict[int, list[MessageRow]] = {}
        for row in answer.emails:
            if row.ticket_id is not None and not (row.is_initial or row.is_system):
                found.setdefault(row.ticket_id, []).append(row)
        return found

    async def resume(
        self, again: Sequence[tuple[Delivery, Recipient]]
    ) -> Mapping[str, Receipt | str]:
        found: dict[str, Receipt | str] = {one.id: "" for one, _ in again}
        known = [(one, recipient, ticket) for one, recipient in again if (ticket := ticket_of(one))]
        for some in in_portions(known, _AT_ONCE):
            ids = sorted(ticket.id for _, _, ticket in some)
            answer = await self._wire.any_of("/ticket/", "tickets", [f"id == {id_}" for id_ in ids])
            rows = {row.id: row for row in answer.tickets}
            written = await self._wire.any_of(
                "/communication/", "communications", [f"ticketId == {id_}" for id_ in ids]
            )
            mails = await self._mails(ids)
            for one, recipient, ticket in some:
                if row := rows.get(ticket.id):
                    said = [it for it in written.communications if it.ticket_id == row.id]
                    mailed = mails.get(row.id, [])
                    # one that came back did go out, and is to go out again
                    went_out = _went_out(one, ticket, row, said, mailed)
                    if went_out and one.reason is not Reason.BOUNCED:
                        found[one.id] = Receipt(str(replace(ticket, mailing=False)))
                    elif _is_theirs(row, recipient):
                        found[one.id] = str(_from_here(ticket, said, mailed))
        return found

    async def try_out(self, message: Message, address: str) -> None:
        await self._mail.try_out(message, address)

    async def archive(self, campaign_id: str, message: Message) -> Archived:
        """The message that every ticket carried, as a mail without a recipient."""
        return await self._mail.archive(campaign_id, message)


def _key(delivery: OpenDelivery) -> str:
    return ticket_key(delivery.campaign, delivery.id, delivery.round)


def _went_out(
    delivery: Delivery,
    ticket: RecipientTicket,
    row: TicketRow,
    said: Sequence[MessageRow],
    mails: Sequence[MessageRow],
) -> bool:
    """Whether the message of the round before has left after all.

    Its mail is the one that it names or, where messages name none, the first after it. What an
    agent has written since to the same recipient is not our message.
    """
    before = [it for it in said if it.id > ticket.said]
    if ticket.mailing:
        return any(delivery.id in it.text for it in before)
    ours = [it for it in before if _is_message(it, row.created_by_id)]
    named = {it.message_id for it in ours}
    since = [mail for mail in mails if mail.id > ticket.mailed]
    theirs = [mail for mail in since if str(mail.id) in named] or since[: len(ours)]
    return any(mail.status == SENT for mail in theirs)


def _is_theirs(row: TicketRow, recipient: Recipient) -> bool:
    """Whether what is written on the ticket reaches them as they are today."""
    same_user = recipient.user in (0, row.user_id)
    address = normalise_address(row.email_address)
    same_address = address is not None and address_key(address) == address_key(recipient.address)
    return same_user and same_address and not row.is_marked_for_deletion


def _from_here(
    ticket: RecipientTicket, said: Sequence[MessageRow], mails: Sequence[MessageRow]
) -> RecipientTicket:
    """The ticket in a new round: what stands on it by now is of no account."""
    return RecipientTicket(
        ticket.id,
        ticket.number,
        said=max((it.id for it in said), default=0),
        mailed=max((mail.id for mail in mails), default=0),
    )


def _posted(ticket: RecipientTicket) -> Receipt:
    """Pureservice has the message, even if we had begun to mail it ourselves."""
    return Receipt(str(replace(ticket, mailing=False)), final=False)


async def _unnoted(reference: str) -> None:
    """A mail has one effect, and nothing to note before it."""


def _files(message: Message) -> list[File]:
    """The message's files, which go with the mail, then those that the description shows."""
    return [*message.files, *(message.ticket.pictures if message.ticket else ())]


def _links(classification: Classification) -> dict[str, dict[str, int]]:
    """Where the ticket belongs, in Pureservice's words. Foreign keys count only as links."""
    links = {
        "requestType": classification.request_type,
        "ticketType": classification.ticket_type,
        "priority": classification.priority,
        "source": classification.source,
        "assignedDepartment": classification.zone,
        "assignedTeam": classification.team,
        "assignedAgent": classification.agent,
        "category1": classification.category1,
        "category2": classification.category2,
        "category3": classification.category3,
    }
    return {name: {"id": id_} for name, id_ in links.items() if id_}


def _attachment(file: File, content: bytes | None) -> dict[str, Any]:
    """The file for a new ticket: its bytes, or which one to copy."""
    return {
        **file_row(file.name, file.content_type, visible=True),
        **({"embedded": True, "contentId": file.content_id} if file.content_id else {}),
        **({"attachmentCopyId": file.original} if content is None else bytes_of(content)),
    }


def _is_message(row: MessageRow, maker: int | None) -> bool:
    """Whether we have posted it: who made the ticket writes the first message on it."""
    ours = maker is None or row.created_by_id in (None, maker)
    return row.type == MESSAGE and row.direction == OUTBOUND and ours


def _is(row: AttachmentRow, file: File, length_told: bool) -> bool:
    """Whether this is the file, whole; what Pureservice has copied must tell its length."""
    lengths = {file.size} if length_told else {file.size, None}
    return (row.file_name or row.name) == file.name and row.content_length in lengths


def _to(recipient: Recipient, mails: Sequence[MessageRow]) -> list[MessageRow]:
    """Those that went to the recipient: an agent may have passed the ticket on to somebody else."""
    spelt = "|".join(map(re.escape, spellings(recipient.address)))
    theirs = re.compile(rf"(?:\A|{_AROUND})(?:{spelt})(?:{_AROUND}|\Z)", re.IGNORECASE)
    return [mail for mail in mails if not mail.to or theirs.search(mail.to)]


def _outcome(mails: Sequence[MessageRow]) -> Outcome:
    """What the mails out of a ticket say about its message; any that was sent will do."""
    if not mails:
        return Outcome(Status.SUBMITTED, Reason.NOT_MAILED)
    statuses = [row.status for row in mails]
    if SENT in statuses:
        return Outcome(Status.SENT)
    if FAILED in statuses:
        said = ADDRESS.sub("…@…", one_line(mails[statuses.index(FAILED)].status_message))
        return Outcome(Status.FAILED, Reason.MAIL_FAILED, detail=said[:200])
    return Outcome(Status.SUBMITTED, Reason.STILL_QUEUED)
