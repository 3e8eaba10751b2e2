"""Not reached: by which way somebody goes on whom a letter, or the way after it, does not reach.

Only after a final answer: what failed is known not to have come. Never because of a time-out.
"""

import logging
from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime

from shared.domain.campaign import LETTERS, Campaign
from shared.domain.recipient import Recipient
from shared.ledger import Ledger
from shared.settings import Settings

log = logging.getLogger(__name__)

PRINT, LIST = "print", "list"


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways of DIGIPOST_NOT_REACHED, as they are open to each recipient."""

    order: tuple[str, ...]
    settings: Settings
    suppressed: Container[str] = ()

    @classmethod
    def of(cls, settings: Settings, suppressed: Container[str] = ()) -> "Ways":
        return cls(tuple(settings.ways_on), settings, suppressed)

    @property
    def print_first(self) -> bool:
        """Whether Digipost prints in the same job what it cannot deliver."""
        return self.order[:1] == (PRINT,)

    def open_to(self, recipient: Recipient) -> list[str]:
        """The ways on which this recipient can be reached at all, in order."""
        return [way for way in self.order if self._leads_to(way, recipient)]

    def prints(self, recipient: Recipient) -> bool:
        """Whether Digipost prints the letter in the same job, if it cannot deliver it."""
        return self.print_first and self._leads_to(PRINT, recipient)

    def after(self, channel: str, recipient: Recipient, *, printed: bool = True) -> str:
        """The next way behind this channel; "" when there is none. `list` is none: nothing is sent.

        `printed`: whether Digipost was to print what it could not deliver, where it does so at all.
        """
        tried = set(self.order[: self.order.index(channel) + 1] if channel in self.order else ())
        if channel == LETTERS and self.print_first and printed:
            tried.add(PRINT)
        return next((way for way in self.open_to(recipient) if way not in tried), "")

    def lets_through(self, recipient: Recipient) -> bool:
        """Whether the test list does. Whoever has no address is on it only where everybody is."""
        allowed, address = self.settings.allowed, recipient.address
        return allowed.allows(address) if address else allowed.everybody

    def _leads_to(self, way: str, recipient: Recipient) -> bool:
        if way == LIST or not self.lets_through(recipient):
            return False
        if way == PRINT:
            return bool(recipient.addressee and recipient.addressee.postal)
        return bool(recipient.address) and recipient.address not in self.suppressed


async def go_on(campaign: Campaign, ledger: Ledger, settings: Settings, now: datetime) -> int:
    """Those who failed on the way they went are open on the next, if there is one; how many."""
    if campaign.channel != LETTERS:
        return 0
    gone_on = 0
    ways = Ways.of(settings, await ledger.suppressions.live(now))
    async for failed in ledger.jobs.failed(campaign.id):
        if failed.round == campaign.round and (way := ways.after(failed.channel, failed.recipient)):
            gone_on += await ledger.jobs.go_on(failed, way)
    if gone_on:
        log.info("letters.gone_on campaign_id=%s deliveries=%s", campaign.id, gone_on)
    return gone_on
