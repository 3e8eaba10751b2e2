"""An alert: something that people outside the helpdesk must know of, once per cause."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum

from shared.domain.campaign import LETTERS, Campaign
from shared.domain.pace import ChannelState


class Cause(StrEnum):
    BLOCKED = "blocked"  #: a campaign waits for a person
    SELF_PAUSED = "self_paused"  #: a campaign paused itself: too many failed
    KEY_REFUSED = "key_refused"  #: the helpdesk refuses our key
    NAME_UNKNOWN = "name_unknown"  #: a setting names something that the helpdesk does not have
    SILENT = "silent"  #: the helpdesk's tickets cannot be read: nobody knows what is wanted
    CHANNEL_STOPPED = "channel_stopped"  #: a channel is of no use until a person acts
    POISON = "poison"  #: the queue gave up on a delivery for good: the fault is ours
    STUCK = "stuck"  #: a campaign could move, and does not
    UNCERTAIN = "uncertain"  #: nobody knows what became of some deliveries
    LETTER_JOB = "letter_job"  #: a letter job needs somebody to look, or to wait, knowingly
    RECEIPT = "receipt"  #: a receipt from Digipost that we can do nothing with
    REGISTER = "register"  #: Digipost has not answered about everybody on the lists


@dataclass(frozen=True, slots=True)
class Alert:
    """One cause. What has the same `key` is told once, however often it is raised.

    Names no recipient: it leaves the house.
    """

    key: str  #: e.g. `blocked:20417-1:2`: goes into a table key
    cause: Cause
    channel: str = ""
    campaign: str = ""
    ticket: int = 0  #: the ticket's number
    detail: str = ""  #: a fact in our own words, e.g. the name of the problem

    @classmethod
    def blocked(cls, campaign: Campaign) -> "Alert":
        """Anew each time that it is blocked."""
        return cls._of(Cause.BLOCKED, campaign, str(campaign.times_blocked), campaign.problem)

    @classmethod
    def self_paused(cls, campaign: Campaign) -> "Alert":
        """Anew each time that it stops."""
        return cls._of(Cause.SELF_PAUSED, campaign, str(campaign.stops), campaign.paused_for)

    @classmethod
    def key_refused(cls, day: date) -> "Alert":
        """Again on each day that goes by, since no ticket can say so."""
        return cls(f"{Cause.KEY_REFUSED}:{day:%Y-%m-%d}", Cause.KEY_REFUSED)

    @classmethod
    def name_unknown(cls, day: date) -> "Alert":
        """Again on each day that goes by: nothing is found or steered meanwhile."""
        return cls(f"{Cause.NAME_UNKNOWN}:{day:%Y-%m-%d}", Cause.NAME_UNKNOWN)

    @classmethod
    def silent(cls, since: datetime) -> "Alert":
        """Anew when they could be read in between."""
        return cls(f"{Cause.SILENT}:{_since(since)}", Cause.SILENT)

    @classmethod
    def channel_stopped(cls, state: ChannelState) -> "Alert":
        """Anew each time that the channel, having worked, is closed."""
        key = f"{Cause.CHANNEL_STOPPED}:{state.name}:{_since(state.closed_since)}"
        return cls(key, Cause.CHANNEL_STOPPED, state.name)

    @classmethod
    def poison(cls, campaign: Campaign) -> "Alert":
        """Once a round, however many deliveries it concerns."""
        return cls._of(Cause.POISON, campaign, str(campaign.round))

    @classmethod
    def stuck(cls, campaign: Campaign, since: datetime) -> "Alert":
        """Anew when it has moved since, and is stuck again."""
        return cls._of(Cause.STUCK, campaign, _since(since), campaign.phase)

    @classmethod
    def uncertain(cls, campaign: Campaign) -> "Alert":
        """Once a round, however many deliveries it concerns."""
        return cls._of(Cause.UNCERTAIN, campaign, str(campaign.round))

    @classmethod
    def letter_job(cls, campaign: Campaign, number: int, what: str, uploads: int = 1) -> "Alert":
        """Once for each thing that may happen to a job; anew when it has been uploaded again."""
        return cls._of(Cause.LETTER_JOB, campaign, f"{number}-{what}-{uploads}", what)

    @classmethod
    def receipt(cls, fingerprint: str, what: str) -> "Alert":
        """Once for each receipt."""
        return cls(f"{Cause.RECEIPT}:{fingerprint}", Cause.RECEIPT, LETTERS, detail=what)

    @classmethod
    def register(cls, survey: int, what: str) -> "Alert":
        """Once for each thing that may happen in a round of asking."""
        return cls(f"{Cause.REGISTER}:{survey}-{what}", Cause.REGISTER, LETTERS, detail=what)

    @classmethod
    def _of(cls, cause: Cause, campaign: Campaign, which: str, detail: str = "") -> "Alert":
        key = f"{cause}:{campaign.id}:{which}"
        return cls(key, cause, campaign.channel, campaign.id, campaign.request_number, detail)


@dataclass(frozen=True, slots=True)
class Notice:
    """An alert in words, as people are told of it."""

    alert: Alert
    subject: str
    text: str
    link: str  #: to the ticket; empty when it concerns none
    installation: str


def _since(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"
