"""The deliveries of a campaign: one partition, five kinds of rows.

    d:<delivery>        the account: recipient, status, round, provider's reference, reason
    o:<delivery>        what is left to do; exists only while the delivery is open
    p:<delivery>        exists only while somebody must look at it (failed, uncertain)
    a:<delivery>:<nnn>  one attempt, never changed
    s:<list>:<member>:<relation>  a membership left out, and why

"Is it complete?", "what is stuck?" and "what went wrong?" are therefore range queries whose cost
follows the answer, not the size of the campaign, and there is no counter to fight over.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

from shared.domain.delivery import (
    MOVES,
    PROBLEMS,
    Claim,
    Delivery,
    OpenDelivery,
    Outcome,
    Reason,
    Status,
)
from shared.domain.pace import LOST_AFTER
from shared.domain.portions import in_portions
from shared.domain.preview import Who
from shared.domain.recipient import LeftOut
from shared.errors import ClashError, DoubtfulError, StorageError
from shared.ledger.delivery_rows import (
    attempt_key,
    attempt_row,
    in_transactions,
    left_out_row,
    new_rows,
    outcome_columns,
    problem_row,
    read_delivery,
    read_left_out,
    read_open,
)
from shared.ledger.rows import after, moment, stamp
from shared.ports import Delete, Merge, Row, Table, Value, Where, Write

#: As many operations as one transaction takes.
_TRANSACTION = 100


@dataclass(frozen=True, slots=True)
class Counts:
    """How many deliveries, how many of them to nobody known, and how many memberships left out.

    `who` is the fingerprint of those who get one.
    """

    planned: int
    unknown: int
    left_out: int
    who: str


class Deliveries:
    def __init__(self, table: Table) -> None:
        self._table = table

    # --- planning: only while the campaign is being expanded ---

    async def plan(
        self, campaign: str, planned: Sequence[Delivery], left_out: Sequence[LeftOut]
    ) -> None:
        """Write a page of recipients. Planning the same page again changes nothing.

        `d:` and `o:` are inserted together and never replaced: what has been settled since
        cannot come to life again.
        """
        for some in in_transactions(planned, _TRANSACTION // 2):
            try:
                await self._table.write(campaign, *(w for one in some for w in new_rows(one)))
            except StorageError:
                for one in some:  # a clash names only the first row it met
                    await self._plan_one(one)
        for leavings in in_portions(left_out, _TRANSACTION):
            await self._table.write(campaign, *(left_out_row(one) for one in leavings))

    async def _plan_one(self, delivery: Delivery) -> None:
        try:
            await self._table.write(delivery.campaign, *new_rows(delivery))
        except ClashError:
            return  # it is there already

    async def planned_ids(self, campaign: str, before_page: int) -> AsyncIterator[str]:
        """The ids planned from pages before this one."""
        rows = self._range(
            campaign, "d:", where=[Where("page", "lt", before_page)], columns=["page"]
        )
        async for row in rows:
            yield row.key.removeprefix("d:")

    async def count(self, campaign: str) -> Counts:
        """How much there is in the ledger of this campaign. Reads all of it.

        One that is replaced counts no more: another stands for its recipient.
        """
        planned = unknown = left_out = 0
        who = Who()
        columns = ["user", "member", "address", "reason"]
        async for row in self._range(campaign, "d:", columns=columns):
            if row.values["reason"] == Reason.REPLACED:
                continue
            planned += 1
            unknown += row.values["user"] == "0"
            who.add(str(row.values["member"]), str(row.values["address"]))
        async for _ in self._range(campaign, "s:", columns=["reason"]):
            left_out += 1
        return Counts(planned, unknown, left_out, who.print)

    async def discard_plan(self, campaign: str, before_page: int) -> None:
        """Forget what was planned from earlier pages. Nothing may have been released yet.

        Only rows that are still as they were found go, so that a host that has fallen behind
        deletes nothing that another has planned meanwhile.
        """
        older = [Where("page", "lt", before_page)]
        planned = self._range(campaign, "d:", where=older, columns=["page"])
        await self._discard(campaign, [row async for row in planned], also="o:")
        left_out = self._range(campaign, "s:", where=older, columns=["page"])
        await self._discard(campaign, [row async for row in left_out])

    async def _discard(self, campaign: str, rows: Sequence[Row], also: str = "") -> None:
        for some in in_portions(rows, _TRANSACTION // 2):
            try:
                await self._table.write(campaign, *(w for row in some for w in _gone(row, also)))
            except ClashError:
                for row in some:
                    with suppress(ClashError):  # it is gone already, or somebody's anew
                        await self._table.write(campaign, *_gone(row, also))

    # --- releasing ---

    async def due(
        self,
        campaign: str,
        now: datetime,
        limit: int,
        lost_after: timedelta = LOST_AFTER,
        channel: str | None = None,
    ) -> list[OpenDelivery]:
        """Open deliveries that ought to have a queue item and have none.

        Only those that have gone on to that channel, where one is given.
        """
        rows = self._range(
            campaign,
            "o:",
            where=[
                *_gone_on_to(channel),
                Where("token", "eq", ""),
                Where("submitted_at", "eq", ""),
                Where("slot", "lt", stamp(now - lost_after)),
                Where("not_before", "le", stamp(now)),
            ],
            limit=limit,
        )
        return [read_open(campaign, row) async for row in rows]

    async def release(self, released: Sequence[tuple[OpenDelivery, datetime]]) -> None:
        """Note for which slot each was released.

        A row that changes meanwhile is left as it is: an item too many is harmless, and one too
        few is made good when the slot has been over for a while.
        """
        await self._note_all((one, {"slot": stamp(slot)}) for one, slot in released)

    async def _note_all(self, notes: Iterable[tuple[OpenDelivery, dict[str, Value]]]) -> None:
        """Write these columns, a hundred rows at a time, wherever the row is as it was read."""
        merges: dict[str, list[Write]] = {}
        for one, columns in notes:
            merge = Merge(f"o:{one.id}", columns, one.version)
            merges.setdefault(one.campaign, []).append(merge)
        for campaign, writes in merges.items():
            for some in in_portions(writes, _TRANSACTION):
                try:
                    await self._table.write(campaign, *some)
                except StorageError:
                    for write in some:
                        await self._try(campaign, write)

    async def take_back(self, opened: OpenDelivery, not_before: datetime) -> None:
        """Undo a release that nobody has claimed: it becomes due again at `not_before`."""
        columns: dict[str, Value] = {"slot": "", "not_before": stamp(not_before)}
        await self._try(opened.campaign, Merge(f"o:{opened.id}", columns, opened.version))

    async def _try(self, campaign: str, write: Write) -> None:
        try:
            await self._table.write(campaign, write)
        except StorageError:
            return

    # --- delivering ---

    async def get_open(self, campaign: str, delivery: str) -> OpenDelivery | None:
        """What is left to do for this delivery; None when it is settled or never was."""
        row = await self._table.get(campaign, f"o:{delivery}")
        return read_open(campaign, row) if row else None

    async def claim(
        self, opened: OpenDelivery, now: datetime, lease: timedelta, note: str | None = None
    ) -> OpenDelivery | None:
        """The delivery, ours until now + lease; None when somebody else has it or had it.

        With it goes a note on how it is to be sent, when one is given.
        """
        if not opened.claimable(now):
            return None
        noted = opened if note is None else replace(opened, note=note)
        return await self._take(noted, now, lease)

    async def take_over(
        self, opened: OpenDelivery, now: datetime, lease: timedelta, grace: timedelta
    ) -> OpenDelivery | None:
        """A claim that ended without an outcome becomes ours; None while it may still be alive."""
        if opened.claim is None or now <= opened.claim.until + grace:
            return None
        return await self._take(opened, now, lease)

    async def _take(
        self, opened: OpenDelivery, now: datetime, lease: timedelta
    ) -> OpenDelivery | None:
        claim = Claim(uuid4().hex, now + lease)
        attempt = opened.attempt + 1
        columns: dict[str, Value] = {
            "token": claim.token,
            "until": stamp(claim.until),
            "attempt": attempt,
            "note": opened.note,
        }
        try:
            [version] = await self._table.write(
                opened.campaign, Merge(f"o:{opened.id}", columns, opened.version)
            )
        except StorageError as error:
            stored = await self.get_open(opened.campaign, opened.id)
            if stored is None or stored.claim != claim:
                untouched = stored is not None and stored.version == opened.version
                if untouched and isinstance(error, DoubtfulError):
                    raise  # nobody has it: let the queue bring it again
                return None
            version = stored.version
        return replace(opened, claim=claim, attempt=attempt, version=version)

    async def note(self, opened: OpenDelivery, reference: str) -> OpenDelivery:
        """Keep the first effect's reference before the second. ClashError: the claim is lost."""
        try:
            [version] = await self._table.write(
                opened.campaign, Merge(f"o:{opened.id}", {"note": reference}, opened.version)
            )
        except StorageError as error:
            stored = await self.get_open(opened.campaign, opened.id)
            if stored is None or (stored.claim, stored.note) != (opened.claim, reference):
                raise ClashError(f"delivery {opened.id}: the claim is lost") from error
            version = stored.version
        return replace(opened, note=reference, version=version)

    async def put_back(
        self,
        opened: OpenDelivery,
        not_before: datetime,
        outcome: Outcome | None = None,
        at: datetime | None = None,
    ) -> None:
        """Give up the claim: nothing was sent. With an outcome it counts as an attempt.

        Throttling has no outcome, and costs nobody an attempt.
        """
        columns: dict[str, Value] = {
            "token": "",
            "until": "",
            "slot": "",
            "not_before": stamp(not_before),
            "attempt": opened.attempt if outcome else opened.attempt - 1,
        }
        writes: list[Write] = [Merge(f"o:{opened.id}", columns, opened.version)]
        if outcome and at:
            writes.append(attempt_row(opened, outcome, at))
        try:
            await self._table.write(opened.campaign, *writes)
        except StorageError as error:
            stored = await self.get_open(opened.campaign, opened.id)
            if stored and stored.claim == opened.claim and isinstance(error, DoubtfulError):
                raise

    async def poisoned(self, opened: OpenDelivery) -> None:
        """The queue has given up an item for it: put it back, and count."""
        columns: dict[str, Value] = {"slot": "", "poisoned": opened.poisoned + 1}
        await self._try(opened.campaign, Merge(f"o:{opened.id}", columns, opened.version))

    async def submit(
        self, opened: OpenDelivery, outcome: Outcome, at: datetime, look_again: datetime
    ) -> None:
        """The provider has it and answers later: still open, but nobody's to send."""
        columns: dict[str, Value] = {
            "token": "",
            "until": "",
            "submitted_at": stamp(at),
            "note": outcome.reference,
            "not_before": stamp(look_again),
        }
        try:
            await self._table.write(
                opened.campaign,
                Merge(f"o:{opened.id}", columns, opened.version),
                Merge(f"d:{opened.id}", outcome_columns(opened, outcome, at), None),
                attempt_row(opened, outcome, at),
            )
        except StorageError:
            if not await self._recorded(opened):
                raise

    async def settle(
        self, opened: OpenDelivery, outcome: Outcome, at: datetime, attempts: int = 0
    ) -> bool:
        """Close the account of this delivery, for this round. True when it stands as we say.

        When somebody else was first, late truth still counts: *uncertain* becomes what the slow
        worker heard, a *sent* corrects *failed* and *cancelled* and closes what others have put
        back or taken over, and the attempt is recorded anyway. `attempts` is how many others know
        of.
        """
        writes: list[Write] = [
            Merge(f"d:{opened.id}", outcome_columns(opened, outcome, at, attempts), None),
            Delete(f"o:{opened.id}", opened.version),
        ]
        if outcome.status in PROBLEMS:
            writes.append(problem_row(opened, outcome, at))
        if opened.claim:
            writes.append(attempt_row(opened, outcome, at))
        try:
            await self._table.write(opened.campaign, *writes)
        except StorageError:
            if opened.claim and await self._recorded(opened):
                return True
            stored = await self.get_open(opened.campaign, opened.id)
            if stored and stored.version == opened.version:
                raise  # nothing was written, and nobody else can settle it for us
            if stored and stored.claim == opened.claim:
                ours = replace(opened, version=stored.version)
                return await self.settle(ours, outcome, at, attempts)
            return await self._late(opened, stored, outcome, at)
        return True

    async def _late(
        self, opened: OpenDelivery, stored: OpenDelivery | None, outcome: Outcome, at: datetime
    ) -> bool:
        if opened.claim is None:
            return False
        if stored and outcome.status is Status.SENT:
            # put back, or in the hands of the sweep or another worker: it must not go out again
            ours = replace(opened, version=stored.version)
            return await self.settle(ours, outcome, at, stored.attempt)
        row = await self._table.get(opened.campaign, f"d:{opened.id}")
        known = row and read_delivery(opened.campaign, row)
        writes: list[Write] = [attempt_row(opened, outcome, at)]
        correct = bool(
            known
            and stored is None
            and known.round == opened.round
            and known.reason is not Reason.BOUNCED  # who has it back knows more than who sent it
            and (known.status is Status.UNCERTAIN or outcome.status is Status.SENT)
            and outcome.status in MOVES[known.status]
        )
        if correct and known:
            columns = outcome_columns(opened, outcome, at, known.attempts)
            if known.replaced:  # another stands for the recipient, and is the one that counts
                columns |= {"reason": known.reason, "reference": known.reference}
            writes.append(Merge(f"d:{opened.id}", columns, known.version))
            problem = f"p:{opened.id}"
            if outcome.status in PROBLEMS:
                writes.append(problem_row(opened, outcome, at))
            elif await self._table.get(opened.campaign, problem):
                writes.append(Delete(problem, None))
        try:
            await self._table.write(opened.campaign, *writes)
        except StorageError:
            if not await self._recorded(opened):
                raise
        return correct

    async def _recorded(self, opened: OpenDelivery) -> bool:
        """True when this very attempt stands in the ledger: our write got through after all."""
        row = await self._table.get(opened.campaign, attempt_key(opened))
        return bool(row and opened.claim and row.values.get("token") == opened.claim.token)

    # --- calling off ---

    async def cancel_open(self, campaign: str, at: datetime, limit: int = 5_000) -> None:
        """Close what nobody has taken on. What is claimed or submitted is left to its end.

        A row that is claimed at this moment is left alone too: one of the two is first.
        """
        rows = self._range(
            campaign,
            "o:",
            where=[Where("token", "eq", ""), Where("submitted_at", "eq", "")],
            limit=limit,
        )
        untaken = [read_open(campaign, row) async for row in rows]
        for some in in_portions(untaken, _TRANSACTION // 2):
            closing = [_closed(one, at) for one in some]
            try:
                await self._table.write(campaign, *(write for pair in closing for write in pair))
            except StorageError:
                for pair in closing:
                    with suppress(ClashError):
                        await self._table.write(campaign, *pair)

    # --- what a provider answers later ---

    async def unanswered(
        self, campaign: str, now: datetime, channel: str | None = None, limit: int = 1_000
    ) -> list[OpenDelivery]:
        """Submitted deliveries that it is time to ask about."""
        rows = self._range(
            campaign,
            "o:",
            where=[
                *_gone_on_to(channel),
                Where("submitted_at", "gt", ""),
                Where("not_before", "le", stamp(now)),
            ],
            limit=limit,
        )
        return [read_open(campaign, row) async for row in rows]

    async def more_open_than(self, campaign: str, count: int) -> bool:
        """Whether more deliveries are open than so many."""
        rows = self._range(campaign, "o:", columns=["round"], limit=count + 1)
        return sum([1 async for _ in rows]) > count

    async def ask_later(self, asked: Sequence[tuple[OpenDelivery, datetime]]) -> None:
        """Note when to ask again. What has been settled meanwhile stays settled."""
        await self._note_all((one, {"not_before": stamp(not_before)}) for one, not_before in asked)

    # --- accounting ---

    async def overdue(
        self,
        campaign: str,
        now: datetime,
        grace: timedelta,
        limit: int = 1_000,
        channel: str | None = None,
    ) -> list[OpenDelivery]:
        """Claims that ended without an outcome, and can no longer be alive.

        A claim that a letter job holds has no end.
        """
        rows = self._range(
            campaign,
            "o:",
            where=[
                *_gone_on_to(channel),
                Where("until", "gt", ""),
                Where("until", "lt", stamp(now - grace)),
            ],
            limit=limit,
        )
        return [read_open(campaign, row) async for row in rows]

    async def count_open(self, campaign: str) -> int:
        """How many are open: a request for each thousand of them."""
        return len([None async for _ in self._range(campaign, "o:", columns=["round"])])

    async def problem_times(self, campaign: str) -> AsyncIterator[tuple[Outcome, datetime]]:
        """What somebody must look at: how it ended, in short, and when."""
        columns = ["status", "reason", "settled_at"]
        async for row in self._range(campaign, "p:", columns=columns):
            status, reason = str(row.values["status"]), str(row.values["reason"])
            yield Outcome(Status(status), Reason(reason)), moment(row.values["settled_at"])

    async def any_open(self, campaign: str) -> bool:
        """One request, however large the campaign is."""
        async for _ in self._range(campaign, "o:", columns=["round"], limit=1):
            return True
        return False

    async def all(self, campaign: str) -> AsyncIterator[Delivery]:
        async for row in self._range(campaign, "d:"):
            yield read_delivery(campaign, row)

    async def left_out(self, campaign: str) -> AsyncIterator[LeftOut]:
        async for row in self._range(campaign, "s:"):
            yield read_left_out(row)

    async def problems(self, campaign: str, limit: int = 1_000) -> list[str]:
        """Ids of the deliveries that somebody must look at."""
        rows = self._range(campaign, "p:", columns=["status"], limit=limit)
        return [row.key.removeprefix("p:") async for row in rows]

    async def attempts(self, campaign: str, delivery: str) -> list[Row]:
        """The history of one delivery, oldest first."""
        return [row async for row in self._range(campaign, f"a:{delivery}:")]

    def _range(
        self,
        campaign: str,
        prefix: str,
        *,
        where: Sequence[Where] = (),
        columns: Sequence[str] = (),
        limit: int | None = None,
    ) -> AsyncIterator[Row]:
        return self._table.query(campaign, prefix, after(prefix), where, columns, limit)


def _gone_on_to(channel: str | None) -> list[Where]:
    return [Where("channel", "eq", channel)] if channel else []


def _closed(opened: OpenDelivery, at: datetime) -> list[Write]:
    """Called off without an attempt, if it is still as it was read. What was begun is kept."""
    outcome = Outcome(Status.CANCELLED, reference=opened.note)
    return [
        Merge(f"d:{opened.id}", outcome_columns(opened, outcome, at), None),
        Delete(f"o:{opened.id}", opened.version),
    ]


def _gone(row: Row, also: str) -> list[Write]:
    """The row deleted, if it is still as it was read, and with it its companion of that prefix."""
    gone: list[Write] = [Delete(row.key, row.version)]
    if also:
        gone.append(Delete(also + row.key.partition(":")[2], None))
    return gone
