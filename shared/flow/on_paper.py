"""On paper: those whom nothing has reached, as a list and as letters to print, on the ticket.

Nothing is sent. Whoever prints the letters reaches people behind our back, and is told so.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from itertools import count

from shared.domain.campaign import LETTERS, Campaign
from shared.domain.delivery import Delivery, Reason, Status
from shared.domain.letter import Letter
from shared.domain.recipient import Recipient
from shared.errors import PermanentError
from shared.flow.frozen import Messages
from shared.flow.not_reached import LIST
from shared.flow.recipients_csv import paper_csv
from shared.flow.so_far import ROWS
from shared.ledger import Ledger
from shared.ports import Helpdesk, LetterMedium, PaperLetter
from shared.settings import Settings

log = logging.getLogger(__name__)

#: So many letters are in one file, and so many files are made.
LETTERS_IN_A_FILE, FILES = 250, 20
#: What a file of letters that differ may come to, and what the text of one is taken to weigh.
_BYTES, _TEXT = 15_000_000, 50_000
#: Who must not be written to is on no list either.
_LET_BE = {Reason.NOT_ON_TEST_LIST, Reason.ERASED, Reason.REPLACED}


def wanted(campaign: Campaign, settings: Settings) -> bool:
    """Whether those not reached are listed. Where it was called off, nobody is to be reached."""
    return campaign.channel == LETTERS and LIST in settings.ways_on and not campaign.called_off


def belongs_on_paper(delivery: Delivery, campaign: Campaign) -> bool:
    """Whether it is known that nothing came, and a letter by hand is what is left.

    What came back after the campaign was over is told of elsewhere: the list stays as it was.
    """
    not_sent = delivery.status in {Status.FAILED, Status.SKIPPED}
    let_be = delivery.reason in _LET_BE or delivery.recipient.erased
    return not_sent and not let_be and delivery.settled_at <= campaign.finished_at


def can_be_posted(recipient: Recipient) -> bool:
    return recipient.addressee is not None and recipient.addressee.postal is not None


async def put_on_paper(
    campaign: Campaign,
    name: str,
    *,
    medium: LetterMedium,
    ledger: Ledger,
    helpdesk: Helpdesk,
    messages: Messages,
) -> bool:
    """The list and the letters as files on the ticket, which end users do not see.

    One file of letters is made in a round, since that takes seconds: False while another is
    missing. What is there already is not made again. Raises PermanentError when one cannot be
    made, or the helpdesk does not take it.
    """
    try:
        letter = await messages.of(campaign.id)
    except LookupError as error:
        raise PermanentError(str(error)) from error
    size = _letters_in_a_file(letter)
    present = {file.name for file in await helpdesk.attachments(campaign.ticket_id)}
    numbers = count(1)
    async for data in paper_csv(_rows(campaign, name, size, ledger), ROWS):
        file = _part(name, next(numbers), "csv")
        if file not in present:
            await helpdesk.attach(campaign.ticket_id, file, "text/csv", data)
    made = False
    async with aclosing(_portions(campaign, size, ledger)) as portions:
        async for number, recipients in portions:
            file = _part(name, number, "pdf")
            if file in present:
                continue
            if made:
                return False
            pdf = await medium.on_paper([_on_paper(one, letter) for one in recipients])
            await helpdesk.attach(campaign.ticket_id, file, "application/pdf", pdf)
            made = True
            log.info("report.printed campaign_id=%s letters=%s", campaign.id, len(recipients))
    return True


def _on_paper(recipient: Recipient, letter: Letter) -> PaperLetter:
    assert recipient.addressee and recipient.addressee.postal
    return PaperLetter(recipient.name, recipient.addressee.postal, letter.to(recipient))


def _letters_in_a_file(letter: Letter) -> int:
    """As many as memory has room for: what is the same for all is in a file once."""
    plan = letter.message.letter
    if plan is None or plan.main:
        return LETTERS_IN_A_FILE
    shown = [file for file in letter.message.files if file.content_id]
    own = _TEXT + sum(file.size for file in (*shown, *plan.attachments))
    return max(1, min(LETTERS_IN_A_FILE, _BYTES // own))


async def _listed(campaign: Campaign, ledger: Ledger) -> AsyncGenerator[Delivery]:
    async for delivery in ledger.deliveries.all(campaign.id):
        if belongs_on_paper(delivery, campaign):
            yield delivery


async def _rows(
    campaign: Campaign, name: str, size: int, ledger: Ledger
) -> AsyncIterator[tuple[Delivery, str, str]]:
    """Each with a remark where there is no letter of theirs, and otherwise the file it is in."""
    printed = 0
    async for delivery in _listed(campaign, ledger):
        if not can_be_posted(delivery.recipient):
            yield delivery, "Har ingen postadresse som kan brukes", ""
        elif printed == size * FILES:
            yield delivery, "Det var ikke plass til brevet i utskriftsfilene", ""
        else:
            yield delivery, "", _part(name, printed // size + 1, "pdf")
            printed += 1


async def _portions(
    campaign: Campaign, size: int, ledger: Ledger
) -> AsyncGenerator[tuple[int, list[Recipient]]]:
    """Whose letters are in each file, in the order of the list."""
    number, portion = 1, list[Recipient]()
    async for delivery in _listed(campaign, ledger):
        if not can_be_posted(delivery.recipient):
            continue
        portion.append(delivery.recipient)
        if len(portion) == size:
            yield number, portion
            number, portion = number + 1, []
            if number > FILES:
                return
    if portion:
        yield number, portion


def _part(name: str, number: int, kind: str) -> str:
    return f"{name}{f'-del{number}' if number > 1 else ''}.{kind}"
