"""What came back: the delivery says so, and a campaign that has been reported is owed a note.

r:<day>:<campaign>  something of it came back on that day, and its ticket is to be told
m:<mailbox>         from when that mailbox has to be read
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime

from shared.domain.bounce import Bounce
from shared.domain.delivery import NEVER, Delivery, Reason, Status
from shared.errors import ClashError, StorageError
from shared.ledger.delivery_rows import history_key, read_delivery
from shared.ledger.rows import after, moment, stamp
from shared.ports import Delete, Insert, Merge, Put, Table, Value, Where, Write

_PARTITION = "bounce"


@dataclass(frozen=True, slots=True)
class Owed:
    """A note that the ticket of a campaign is to get: what came back on that day in Norway."""

    day: date
    campaign: str


class Bounces:
    def __init__(self, campaigns: Table, deliveries: Table) -> None:
        self._campaigns = campaigns
        self._deliveries = deliveries

    # --- a delivery ---

    async def delivery(self, campaign: str, delivery: str) -> Delivery | None:
        row = await self._deliveries.get(campaign, f"d:{delivery}")
        return read_delivery(campaign, row) if row else None

    async def record(self, delivery: Delivery, bounce: Bounce, at: datetime) -> bool:
        """The delivery as *failed*, since its message came back; what was tried stays as it was.

        False when it has changed since it was read: look again. Once for each round: the same
        again changes nothing, whatever has become of it since.
        """
        said: dict[str, Value] = {"status": Status.FAILED, "reason": Reason.BOUNCED}
        since: dict[str, Value] = {"settled_at": stamp(at)}
        words: dict[str, Value] = {"detail": bounce.detail}
        history = f"{history_key(delivery.id, delivery.round, delivery.attempts)}:bounced"
        writes: list[Write] = [
            Merge(f"d:{delivery.id}", said | since | words, delivery.version),
            Put(f"p:{delivery.id}", said | since),
            Insert(
                history,
                {
                    **said,
                    **words,
                    "round": delivery.round,
                    "reference": "",
                    "at": stamp(bounce.at),
                    "by": bounce.source,
                    "token": "",
                },
            ),
        ]
        if delivery.status is Status.SUBMITTED:
            opened = await self._deliveries.get(delivery.campaign, f"o:{delivery.id}")
            if opened is None:
                return False
            writes.append(Delete(opened.key, opened.version))
        try:
            await self._deliveries.write(delivery.campaign, *writes)
        except StorageError:
            if await self._deliveries.get(delivery.campaign, history):
                return True
            stored = await self.delivery(delivery.campaign, delivery.id)
            if stored and stored.version == delivery.version:
                raise
            return False
        return True

    async def came_back(self, campaign: str, since: datetime, until: datetime) -> list[str]:
        """The ids of those that came back then, and have not been opened again."""
        where = [
            Where("reason", "eq", Reason.BOUNCED),
            Where("settled_at", "ge", stamp(since)),
            Where("settled_at", "lt", stamp(until)),
        ]
        rows = self._deliveries.query(campaign, "p:", after("p:"), where, ["reason"])
        return [row.key.removeprefix("p:") async for row in rows]

    # --- notes that are owed ---

    async def owe(self, owed: Owed) -> None:
        """To be told when the day is over. Owing it again changes nothing."""
        await self._campaigns.write(_PARTITION, Put(_key(owed), {}))

    async def owed(self, before: date) -> list[Owed]:
        """What is owed of days before that one, the oldest first. One request when nothing is."""
        rows = self._campaigns.query(_PARTITION, "r:", f"r:{before:%Y-%m-%d}")
        return [_owed(row.key) async for row in rows]

    async def paid(self, owed: Owed) -> None:
        """It is told, or never will be."""
        with suppress(ClashError):  # another host was quicker
            await self._campaigns.write(_PARTITION, Delete(_key(owed), None))

    # --- how far a mailbox has been read ---

    async def read_until(self, mailbox: str) -> datetime:
        """From when on it has to be read; NEVER when nobody ever did."""
        row = await self._campaigns.get(_PARTITION, f"m:{mailbox}")
        return moment(row.values["since"]) if row else NEVER

    async def read_on(self, mailbox: str, since: datetime) -> None:
        """Next time from here."""
        await self._campaigns.write(_PARTITION, Put(f"m:{mailbox}", {"since": stamp(since)}))


def _key(owed: Owed) -> str:
    return f"r:{owed.day:%Y-%m-%d}:{owed.campaign}"


def _owed(key: str) -> Owed:
    _, day, campaign = key.split(":", 2)
    return Owed(date.fromisoformat(day), campaign)
