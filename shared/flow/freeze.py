"""Freeze: which message is sent, and what it says, is fixed when the campaign starts."""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from html import escape
from pathlib import PurePosixPath

from shared.domain.campaign import Campaign
from shared.domain.helpdesk import Attachment, Candidate, Names, Original, Ticket
from shared.domain.html import clean_html, one_line, plain_text, safe_file_name
from shared.domain.message import (
    File,
    Message,
    Sender,
    TicketTemplate,
    clean_subject,
    greets,
    without_traces,
)
from shared.domain.preview import text_print
from shared.errors import BlockedError, PermanentError, TransientError
from shared.flow.frozen import store_message
from shared.flow.wording import REFERENCE
from shared.ledger.campaigns import Campaigns
from shared.ports import Files, Helpdesk
from shared.settings import Settings

log = logging.getLogger(__name__)

#: A picture that recipients can see. Those kept in the helpdesk do not come along.
_PICTURE = re.compile(r'<img[^>]+src="https?:', re.IGNORECASE)

#: A message waits in the helpdesk's outbox before it fails; one just written may yet turn up.
_OUTBOX = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a campaign is to say, while the files are still in the helpdesk.

    `originals` are the message's files and then the ticket's pictures, as the helpdesk has them.
    What stops it comes along, so that all of it can be told at once.
    """

    key: str  #: which message of the ticket it is
    message: Message
    originals: tuple[Attachment, ...]
    problems: tuple[BlockedError, ...]

    @property
    def print(self) -> str:
        """Changes when anything does that recipients see, names and sizes of files included."""
        return text_print(self.message)


async def freeze(
    campaign: Campaign,
    ticket: Ticket,
    *,
    names: Names,
    helpdesk: Helpdesk,
    campaigns: Campaigns,
    files: Files,
    settings: Settings,
    now: datetime,
) -> Campaign:
    """The campaign with its message and files in store. Does nothing when they already are.

    Raises BlockedError when there is not exactly one message, it says nothing, a file cannot be
    fetched whole, or all of it is too large to be sent.
    """
    if campaign.message:
        return campaign
    on_ticket = await campaigns.on_ticket(campaign.request_number)
    known = [campaign, *(other for other in on_ticket if other.id != campaign.id)]
    chosen = await choose(ticket, known, helpdesk=helpdesk, settings=settings, now=now)
    drafted = await draft(
        chosen, ticket, campaign.channel, names=names, helpdesk=helpdesk, settings=settings
    )
    if drafted.problems:
        raise drafted.problems[0]
    message = await _with_files(drafted, campaign, helpdesk, files, settings)
    await store_message(campaign.id, message, files)
    log.info("freeze.done campaign_id=%s files=%s", campaign.id, len(message.files))
    return await campaigns.save(replace(campaign, message=drafted.key, text_print=drafted.print))


async def choose(
    ticket: Ticket,
    known: Sequence[Campaign],
    *,
    helpdesk: Helpdesk,
    settings: Settings,
    now: datetime,
) -> Candidate:
    """The one message on the ticket that none of the known campaigns has carried.

    Raises BlockedError when there is none or more than one, TransientError while one may turn up.
    """
    candidates = await unsent_messages(ticket.id, known, helpdesk, settings)
    if not candidates:
        if settings.MESSAGE_TRIGGER == "failed_email" and now < ticket.modified + _OUTBOX:
            raise TransientError(f"ticket {ticket.id}: no message has failed so far")
        raise BlockedError(
            "no_message", trigger=settings.MESSAGE_TRIGGER, type=settings.MESSAGE_TYPE_NAME
        )
    if len(candidates) > 1:
        raise BlockedError("several_messages", count=len(candidates))
    return candidates[0]


async def draft(
    chosen: Candidate,
    ticket: Ticket,
    channel: str,
    *,
    names: Names,
    helpdesk: Helpdesk,
    settings: Settings,
) -> Draft:
    """What this message comes to on this channel: cleaned, with its sender, files and template."""
    problems: list[BlockedError] = []
    original = await helpdesk.original(ticket.id)
    tag = settings.TICKET_TAG
    body = await _body(chosen, ticket, channel, helpdesk, settings)
    html = without_traces(clean_html(body), tag, original.end_user_name)
    subject = clean_subject(chosen.subject, tag) or clean_subject(ticket.subject, tag)
    if not subject or not (one_line(plain_text(html)) or _PICTURE.search(html)):
        problems.append(BlockedError("empty_message"))
    there = await helpdesk.attachments(ticket.id)
    attached = {a.id: a for a in [*chosen.files, *(a for a in there if a.visible)]}
    wanted = [a for a in attached.values() if not a.embedded]
    pictures = _pictures(original, there) if channel == "ticket" else []
    originals = (*wanted, *pictures)
    if sum(a.size or 0 for a in originals) > _limit(settings):
        problems.append(_too_large(settings))
    files = _named(originals)
    message = Message(
        subject=subject,
        html=html,
        text=plain_text(html),
        sender=_sender(ticket, names, settings),
        files=files[: len(wanted)],
    )
    if channel == "ticket":
        template = _template(ticket, original, files[len(wanted) :], names, settings)
        if template is None:
            problems.append(BlockedError("not_classified"))
        message = replace(message, ticket=template)
    said = [escape(message.subject), message.html]
    if message.ticket:
        said += [escape(message.ticket.subject), message.ticket.description]
    named = (_named_in(text, original.end_user_name, ticket.end_user) for text in said)
    if name := next(filter(None, named), ""):
        problems.append(BlockedError("names_campaign_user", name=name))
    return Draft(chosen.key, message, originals, tuple(problems))


async def unsent_messages(
    ticket_id: int, earlier: Sequence[Campaign], helpdesk: Helpdesk, settings: Settings
) -> list[Candidate]:
    """The messages on the ticket that no campaign has carried yet.

    On a ticket that ever had an entry of the self-made type, ordinary mail is never one: it is
    correspondence with the made-up user. Neither is a mail that we caused ourselves.
    """
    carried = {campaign.message for campaign in earlier}
    candidates = await helpdesk.communications_to_send(ticket_id)
    if settings.MESSAGE_TRIGGER == "failed_email":
        ever = candidates or any(key.startswith("communication:") for key in carried)
        ourselves = {settings.PURESERVICE_API_USER_ID, *(c.api_user for c in earlier)} - {0}
        candidates = [
            mail
            for mail in ([] if ever else await helpdesk.failed_emails(ticket_id))
            if mail.author not in ourselves and not REFERENCE.search(mail.html)
        ]
    return [candidate for candidate in candidates if candidate.key not in carried]


async def _body(
    chosen: Candidate, ticket: Ticket, channel: str, helpdesk: Helpdesk, settings: Settings
) -> str:
    """The message as it was sent; as it was written, when the helpdesk will dress it up anew."""
    kind, _, id_ = chosen.key.partition(":")
    dressed_anew = channel == "ticket" and settings.TICKET_MESSAGE_VIA == "pureservice"
    if kind == "email" and dressed_anew:
        return await helpdesk.written_text(ticket.id, int(id_)) or chosen.html
    return chosen.html


def _pictures(original: Original, on_ticket: Iterable[Attachment]) -> list[Attachment]:
    """The files that the ticket's description shows in its text."""
    shown = original.description
    return [a for a in on_ticket if a.embedded and a.content_id and a.content_id in shown]


def _template(
    ticket: Ticket,
    original: Original,
    pictures: tuple[File, ...],
    names: Names,
    settings: Settings,
) -> TicketTemplate | None:
    """What each recipient's ticket takes over; None when the ticket is not classified."""
    classification = original.classification
    if classification is None or names.recipient_status is None:
        return None
    if not settings.TICKET_KEEP_AGENT:
        classification = replace(classification, agent=None)
    tag, user = settings.TICKET_TAG, original.end_user_name
    return TicketTemplate(
        subject=clean_subject(ticket.subject, tag),
        description=without_traces(original.description, tag, user),
        status=names.recipient_status,
        classification=classification,
        fields=original.fields,
        pictures=pictures,
    )


def _named_in(html: str, name: str, address: str) -> str:
    """What the text says of the made-up user, who is nobody's business; "" when it says nothing.

    A name of one word, say «Alle», may well stand there on other grounds.
    """
    text = one_line(plain_text(html))
    for trace in (name if " " in name.strip() else "", address):
        if trace and one_line(trace).casefold() in text.casefold():
            return trace
    return name if greets(text, name) else ""


def _named(originals: Iterable[Attachment]) -> tuple[File, ...]:
    """These files under the names that recipients see. Their bytes are nowhere yet."""
    named: list[File] = []
    for attachment in originals:
        name = _unused(safe_file_name(attachment.name), {file.name for file in named})
        named.append(
            File(
                name,
                attachment.content_type,
                attachment.size or 0,
                blob="",
                original=attachment.id,
                # many an ordinary file has one too, and must not be hidden as a picture
                content_id=attachment.content_id if attachment.embedded else "",
            )
        )
    return tuple(named)


async def _with_files(
    drafted: Draft, campaign: Campaign, helpdesk: Helpdesk, files: Files, settings: Settings
) -> Message:
    """The message, its files copied to our own store."""
    message, template = drafted.message, drafted.message.ticket
    kept: list[File] = []
    named = (*message.files, *(template.pictures if template else ()))
    for file, original in zip(named, drafted.originals, strict=True):
        try:
            data = await helpdesk.download(original)
        except PermanentError as error:
            raise BlockedError("unreadable_file", name=original.name) from error
        blob = f"{campaign.id}/file-{original.id}"
        await files.put(blob, data)
        kept.append(replace(file, size=len(data), blob=blob))
        if sum(one.size for one in kept) > _limit(settings):  # not every size was known
            raise _too_large(settings)
    attached = len(message.files)
    if template:
        template = replace(template, pictures=tuple(kept[attached:]))
    return replace(message, files=tuple(kept[:attached]), ticket=template)


def _limit(settings: Settings) -> int:
    return settings.MAIL_MAX_MEGABYTES * 1024 * 1024


def _too_large(settings: Settings) -> BlockedError:
    return BlockedError("too_large", megabytes=settings.MAIL_MAX_MEGABYTES)


def _unused(name: str, taken: set[str]) -> str:
    """The name, or `name (2)` and so on when another file has it."""
    path = PurePosixPath(name)
    number = 1
    while name in taken:
        number += 1
        name = f"{path.stem} ({number}){path.suffix}"
    return name


def _sender(ticket: Ticket, names: Names, settings: Settings) -> Sender:
    """By the ticket's team, else by its zone, else the default."""
    default = settings.default_sender
    for kind, id_, known in (
        ("team", ticket.team_id, names.teams),
        ("zone", ticket.zone_id, names.zones),
    ):
        own = settings.SENDERS.get(f"{kind}:{known.get(id_ or 0)}")
        if own:
            return Sender(own.address, own.name, own.reply_to, own.envelope_from)
    return default
