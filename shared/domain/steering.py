"""What a case worker wants of a campaign on its way: told by the status of its ticket."""

from enum import StrEnum

from shared.domain.helpdesk import Names, Ticket


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
