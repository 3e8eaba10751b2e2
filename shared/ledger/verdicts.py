"""Verdicts: what a person has found out about deliveries that nobody could tell of."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from shared.domain.delivery import Delivery, Outcome, Reason, Status
from shared.errors import StorageError
from shared.ledger.delivery_rows import history_key, read_delivery
from shared.ledger.rows import after, moment, stamp
from shared.ports import Delete, Insert, Merge, Put, Table, Value, Write


@dataclass(frozen=True, slots=True)
class Doubt:
    """A delivery that a person may have a word on, and how it stands."""

    delivery: str
    status: Status  #: *uncertain*, or *failed* because a person has said so
    since: datetime  #: when it became uncertain


class Verdicts:
    def __init__(self, table: Table) -> None:
        self._table = table

    async def doubts(self, campaign: str) -> AsyncIterator[Doubt]:
        """Those that are uncertain, or that a person has found not to be sent.

        Costs what went wrong in the campaign, not what it sent.
        """
        columns = ["status", "reason", "settled_at"]
        async for row in self._table.query(campaign, "p:", after("p:"), columns=columns):
            status = Status(str(row.values["status"]))
            by_hand = row.values["reason"] == Reason.SETTLED_BY_HAND
            if status is Status.UNCERTAIN or by_hand:
                since = moment(row.values["settled_at"])
                yield Doubt(row.key.removeprefix("p:"), status, since)

    async def get(self, campaign: str, delivery: str) -> Delivery | None:
        row = await self._table.get(campaign, f"d:{delivery}")
        return read_delivery(campaign, row) if row else None

    async def give(self, delivery: Delivery, sent: bool, at: datetime, by: str) -> bool:
        """Settle it as *sent* or *failed*. False when it stands otherwise by now: late truth wins.

        When it was tried and what the provider said stays as it was, and the verdict is kept
        beside the attempts: when it was given, and `by` which way.
        """
        status = Status.SENT if sent else Status.FAILED
        verdict: dict[str, Value] = {"status": status, "reason": Reason.SETTLED_BY_HAND}
        return await self._settle(delivery, verdict, {}, at, by)

    async def find_out(
        self, delivery: Delivery, outcome: Outcome, channel: str, at: datetime
    ) -> bool:
        """The same by a receipt that came late: *failed* for whatever was not sent."""
        status = Status.SENT if outcome.status is Status.SENT else Status.FAILED
        verdict: dict[str, Value] = {"status": status, "reason": outcome.reason}
        more: dict[str, Value] = {
            "channel": channel,
            "reference": outcome.reference,
            "detail": outcome.detail,
        }
        return await self._settle(delivery, verdict, more, at, "receipt")

    async def _settle(
        self,
        delivery: Delivery,
        verdict: dict[str, Value],
        more: dict[str, Value],
        at: datetime,
        by: str,
    ) -> bool:
        problem = f"p:{delivery.id}"
        status, sent = verdict["status"], verdict["status"] == Status.SENT
        history = f"{history_key(delivery.id, delivery.round, delivery.attempts)}:{status}"
        token = uuid4().hex
        since = stamp(delivery.settled_at)
        writes: list[Write] = [
            Merge(f"d:{delivery.id}", {**verdict, **more}, delivery.version),
            Delete(problem, None) if sent else Put(problem, {**verdict, "settled_at": since}),
            Insert(
                history,
                {
                    **verdict,
                    "round": delivery.round,
                    "reference": more.get("reference", ""),
                    "detail": more.get("detail", ""),
                    "at": stamp(at),
                    "by": by,
                    "token": token,
                },
            ),
        ]
        try:
            await self._table.write(delivery.campaign, *writes)
        except StorageError:
            stored = await self._table.get(delivery.campaign, history)
            if stored and stored.values["token"] == token:
                return True
            row = await self._table.get(delivery.campaign, f"d:{delivery.id}")
            if row and row.version == delivery.version:
                raise
            return False
        return True
