"""A later round: who may be opened again, and what happens where somebody stands already."""

from enum import Enum

from shared.domain.delivery import Delivery, Reason, Status
from shared.domain.recipient import ABOUT_FLAWS, LeftOutReason

#: How a delivery ends without having been sent. The uncertain may have been.
NOT_REACHED = frozenset({Status.FAILED, Status.SKIPPED, Status.CANCELLED})

#: Why a membership was left out that may have been put right since.
MENDABLE = ABOUT_FLAWS | frozenset(
    {
        LeftOutReason.NO_ADDRESS,
        LeftOutReason.INVALID_ADDRESS,
        LeftOutReason.DISABLED,
        LeftOutReason.NOT_ON_TEST_LIST,
        LeftOutReason.SUPPRESSED,
        LeftOutReason.MISSING_VALUE,
    }
)


class Place(Enum):
    """What is where somebody wants their delivery: at the address, or the member, that tells
    recipients apart."""

    FREE = "nobody has ever stood there"
    IDLE = "it was not sent, and may be opened again"
    TAKEN = "somebody has it, may have it, or gets it in this round"


def place_of(there: Delivery | None) -> Place:
    """Whoever asked to be forgotten keeps the place: nobody is to be written to where they were."""
    if there is None:
        return Place.FREE
    forgotten = there.recipient.erased or there.reason is Reason.ERASED
    return Place.TAKEN if forgotten or there.status not in NOT_REACHED else Place.IDLE


def may_be_opened(delivery: Delivery) -> bool:
    """Whether its recipient is still to be reached. One that is replaced is reached elsewhere."""
    return place_of(delivery) is Place.IDLE and not delivery.replaced
