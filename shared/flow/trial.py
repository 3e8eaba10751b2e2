"""Trial: one recipient's message, as they would get it, sent to those who prepare it."""

import logging
from dataclasses import dataclass, replace
from typing import cast

from shared.domain.placeholders import MissingValueError
from shared.domain.preview import Seen
from shared.domain.recipient import Recipient, address_key, normalise_address
from shared.errors import UtsendelseError
from shared.flow.draft import Draft
from shared.flow.freeze import with_files
from shared.flow.letter_files import with_letter
from shared.ledger import Ledger
from shared.ports import Clock, Files, Helpdesk, LetterMedium, Medium
from shared.settings import Settings

log = logging.getLogger(__name__)

MARK = "[TEST]"


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of the test message: to whom it went, and whose it is."""

    of: Recipient | None = None
    to: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    barred: tuple[str, ...] = ()  #: not on the test list
    again: bool = False  #: it was sent by a look that did not come to its end


async def trial(
    drafted: Draft,
    recipient: Recipient,
    ticket_id: int,
    seen: Seen,
    *,
    channel: Medium,
    helpdesk: Helpdesk,
    files: Files,
    ledger: Ledger,
    settings: Settings,
    clock: Clock,
) -> Trial:
    """One message, to the ticket's agent and to TEST_RECIPIENTS; nothing of it is in the ledger.

    Once for each preview that is asked for: that it is sent is stored first. A failure is told in
    the preview, and stops nothing.
    """
    everybody = await _whom(drafted, helpdesk, settings)
    to = tuple(address for address in everybody if settings.allowed.allows(address))
    told = Trial(recipient, to, barred=tuple(one for one in everybody if one not in to))
    if not to or drafted.letter is None:
        return told
    if seen.tried_at == seen.asked_at:
        return replace(told, again=True)
    await ledger.audit.record(
        clock(),
        who="preview",
        what="trial.sent",
        subject=f"ticket:{ticket_id}",
        detail=f"as {recipient.member} to {len(to)}",
    )
    await ledger.tickets.remember(ticket_id, replace(seen, tried_at=seen.asked_at))
    folder = f"trial-{ticket_id}"
    failed = []
    try:
        whole = await with_files(drafted, folder, helpdesk, files, await channel.largest())
        message = replace(drafted.letter, message=whole).to(recipient)
        if message.letter:
            message = await with_letter(message, folder, files, cast(LetterMedium, channel))
        message = replace(message, subject=f"{MARK} {message.subject}")
        for address in to:
            try:
                await channel.try_out(message, address)
            except UtsendelseError as error:
                log.warning("trial.not_sent ticket_id=%s because=%s", ticket_id, error)
                failed.append(address)
    except (UtsendelseError, MissingValueError) as error:
        log.warning("trial.not_made ticket_id=%s because=%s", ticket_id, error)
        failed = list(to)
    finally:
        await files.remove_all(folder)
    log.info("trial.sent ticket_id=%s mails=%s", ticket_id, len(to) - len(failed))
    went = tuple(address for address in to if address not in failed)
    return replace(told, to=went, failed=tuple(failed))


async def _whom(drafted: Draft, helpdesk: Helpdesk, settings: Settings) -> list[str]:
    """Those who prepare it, each once: the ticket's agent first."""
    agent = f"user:{drafted.agent}"
    people = await helpdesk.people([agent]) if drafted.agent else {}
    theirs = normalise_address(people[agent].address or "") if agent in people else None
    wanted = [*([theirs] if theirs else []), *settings.test_recipients]
    return list({address_key(address): address for address in reversed(wanted)}.values())[::-1]
