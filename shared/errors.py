"""What can go wrong at an edge, named after what the caller should do.

    UtsendelseError
    ├── TransientError       nothing was sent; later may work
    │   ├── ThrottledError   the same, and everybody on the channel should wait
    │   └── StoppedError     the same, and nobody should try until a person has acted
    ├── PermanentError       nothing was sent and never will be
    ├── DuplicateError       the provider already has it, which is success
    ├── UncertainError       we asked and heard nothing; asking a person beats writing twice
    ├── SetupError           a setting names something that is not there
    ├── BlockedError         this campaign needs a person before it can go on
    └── StorageError
        ├── ClashError       the row is not as the writer thought: exists, changed or gone
        └── DoubtfulError    no answer, or a failing one: the write may have happened

Adapters raise these `from` the original. A message says who, what and which id, never an address,
a key or a body: it ends up in logs.
"""

from datetime import timedelta

from shared.domain.delivery import Reason


class UtsendelseError(Exception):
    """Base of everything we raise on purpose."""


class TransientError(UtsendelseError):
    """Nothing was sent; later may work."""

    gate = ""  #: the channel that has to wait, when it is another than the one that was used


class ThrottledError(TransientError):
    """Nothing was sent; everybody on this channel should wait `retry_after`."""

    def __init__(self, message: str, retry_after: timedelta = timedelta(minutes=1)) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoppedError(TransientError):
    """Nothing was sent; the channel is of no use until a person acts (key, password, sender).

    After `retry_after` one delivery tries again, so that it goes on by itself when it has been
    mended, and no recipient pays for it.
    """

    retry_after = timedelta(minutes=15)


class PermanentError(UtsendelseError):
    """Nothing was sent and never will be. `reason` is what the recipient's row says of it."""

    def __init__(self, message: str, reason: Reason = Reason.REFUSED) -> None:
        super().__init__(message)
        self.reason = reason


class DuplicateError(UtsendelseError):
    """The provider already has it: treat as sent."""


class UncertainError(UtsendelseError):
    """We asked and heard nothing. It may have been done; never repeat blindly."""


class SetupError(UtsendelseError):
    """A setting names something that does not exist. The message names the setting."""


class BlockedError(UtsendelseError):
    """The campaign cannot go on before a person has put something right.

    `problem` is the name of a text in `templates/problems.html`, `detail` its facts.
    """

    def __init__(self, problem: str, **detail: object) -> None:
        super().__init__(problem)
        self.problem = problem
        self.detail = detail


class StorageError(UtsendelseError):
    """The ledger's storage did not do what was asked."""


class ClashError(StorageError):
    """The row exists, has changed or is gone (409, 412, 404)."""


class DoubtfulError(StorageError):
    """No answer, or a failing one: the write may have happened. Read before going on."""
