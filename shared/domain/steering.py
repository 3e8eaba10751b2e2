"""What a case worker wants of a campaign on its way: told by the status of its ticket."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from shared.domain.delivery import NEVER
from shared.domain.helpdesk import Names, Ticket


@dataclass(frozen=True, slots=True)
class Steering:
    """When it was last known what the case workers want: of all, and of those that lag behind."""

    at: datetime = NEVER
    unread: Mapping[str, datetime] = field(default_factory=dict)

    def of(self, campaign: str) -> datetime:
        return self.unread.get(campaign, self.at)

    def after(self, now: datetime, unread: Iterable[str]) -> "Steering":
        """After a look at all of them; of these campaigns the status could not be had."""
        return Steering(now, {campaign: self.of(campaign) for campaign in unread})


class Wish(StrEnum):
    GO = "go"  #: the go status has been set, perhaps anew
    RUN = "run"  #: the status that we set ourselves: all is well
    PAUSE = "pause"
    CANCEL = "cancel"
    TELL = "tell"  #: how far has it come?
    TAKEN = "taken"  #: the ticket is out of our hands: solved, deleted, somebody else's
    NOTHING = "nothing"  #: a status that says nothing to us


def wish_of(ticket: Ticket | None, names: Names, *, listed: bool) -> Wish:
    """`listed` is whether it is still among the open campaign tickets."""
    if ticket is None or ticket.deleted:
        return Wish.TAKEN
    by_status = {
        names.pause: Wish.PAUSE,
        names.cancel: Wish.CANCEL,
        names.review: Wish.TELL,
        names.ready: Wish.GO,
        names.running: Wish.RUN,
    }
    return by_status.get(ticket.status_id, Wish.NOTHING if listed else Wish.TAKEN)
