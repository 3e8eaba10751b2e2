"""Freeze: which message is sent, and what it says, is fixed when the campaign starts."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

from shared.domain.campaign import Campaign
from shared.domain.helpdesk import Attachment, Candidate, Names, Ticket
from shared.domain.message import File, Message
from shared.errors import BlockedError, PermanentError, TransientError
from shared.flow.draft import Draft, draft, too_large, weight
from shared.flow.frozen import store_message
from shared.flow.letter_files import documents_of, stored, unfit
from shared.flow.wording import REFERENCE
from shared.ledger.campaigns import Campaigns
from shared.ports import Files, Helpdesk, LetterMedium, Medium
from shared.settings import Settings

log = logging.getLogger(__name__)

#: A message waits in the helpdesk's outbox before it fails; one just written may yet turn up.
_OUTBOX = timedelta(minutes=5)


async def freeze(
    campaign: Campaign,
    ticket: Ticket,
    *,
    names: Names,
    helpdesk: Helpdesk,
    campaigns: Campaigns,
    files: Files,
    channel: Medium,
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
        chosen,
        ticket,
        channel,
        number=campaign.id,
        names=names,
        helpdesk=helpdesk,
        files=files,
        settings=settings,
    )
    if drafted.problems:
        raise drafted.problems[0]
    message = await with_files(drafted, campaign.id, helpdesk, files, await channel.largest())
    if message.letter:
        message = await stored(message, campaign.id, files, cast(LetterMedium, channel))
        if problems := await unfit(await documents_of(message, files), settings):
            raise problems[0]
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


async def with_files(
    drafted: Draft, folder: str, helpdesk: Helpdesk, files: Files, limit: int
) -> Message:
    """The message, its files copied to that folder of our own store.

    Raises BlockedError when one cannot be fetched whole, or all of it is too large to be sent.
    """
    message, template = drafted.message, drafted.message.ticket
    kept: list[File] = []
    originals = {original.id: original for original in drafted.originals}
    for number, file in enumerate((*message.files, *(template.pictures if template else ()))):
        if file.original:
            data = await _download(originals[file.original], helpdesk)
            blob = f"{folder}/file-{file.original}"
        else:
            data, blob = drafted.contents[file.content_id], f"{folder}/picture-{number}"
        await files.put(blob, data)
        kept.append(replace(file, size=len(data), blob=blob))
        if weight(message, kept) > limit:  # not every size was known
            raise too_large(limit)
    attached = len(message.files)
    if template:
        template = replace(template, pictures=tuple(kept[attached:]))
    return replace(message, files=tuple(kept[:attached]), ticket=template)


async def _download(original: Attachment, helpdesk: Helpdesk) -> bytes:
    try:
        return await helpdesk.download(original)
    except PermanentError as error:
        raise BlockedError("unreadable_file", name=original.name) from error
