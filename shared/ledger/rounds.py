"""Rounds: those who were not reached are opened again, and nobody else ever is.

Only while the campaign is *reopening*: nothing of it is released then, and nothing is claimed.
Whatever may be opened stands on rows that are changed under their versions, so that of two hosts
one does it, and doing it again changes nothing.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from shared.domain.campaign import Campaign
from shared.domain.delivery import (
    NEVER,
    PROBLEMS,
    Delivery,
    Outcome,
    Reason,
    Status,
    delivery_id,
)
from shared.domain.recipient import (
    LeftOut,
    LeftOutReason,
    Member,
    MemberKind,
    Recipient,
    recipient_key,
)
from shared.domain.round import Place, may_be_opened, place_of
from shared.errors import StorageError
from shared.ledger.delivery_rows import (
    delivery_columns,
    history_key,
    in_transactions,
    left_out_key,
    left_out_row,
    open_columns,
    read_delivery,
    read_left_out,
)
from shared.ledger.rows import after, stamp
from shared.ports import Delete, Insert, Merge, Row, Table, Value, Where, Write

#: As many deliveries as one transaction takes, with three rows each.
_TOGETHER = 33
#: So often a place is looked at anew when somebody else was quicker.
_TRIES = 3

#: What became of a delivery that is open, or was sent, or may have been.
_NOT_TO_BE_OPENED = (Status.PLANNED, Status.SUBMITTED, Status.SENT, Status.UNCERTAIN)


@dataclass(frozen=True, slots=True)
class Again:
    """A delivery that is to be opened again where it stands, with what is known today.

    `note` is where the channel goes on from; `mended`, whether the contact data is new.
    """

    before: Delivery
    recipient: Recipient
    note: str = ""
    mended: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """How many are open, to how many nobody known, and how many have new contact data."""

    deliveries: int = 0
    unknown: int = 0
    mended: int = 0


class Rounds:
    def __init__(self, table: Table) -> None:
        self._table = table

    # --- who may be opened again ---

    async def not_reached(self, campaign: str, behind: str, limit: int) -> list[Delivery]:
        """The next deliveries behind that row that ended without being sent."""
        where = [Where("status", "ne", status) for status in _NOT_TO_BE_OPENED]
        found: list[Delivery] = []
        async for row in self._behind(campaign, "d:", behind, where):
            delivery = read_delivery(campaign, row)
            found += [delivery] if may_be_opened(delivery) else []
            if len(found) == limit:
                break
        return found

    async def left_out(self, campaign: str, behind: str, limit: int) -> list[LeftOut]:
        """The next memberships behind that row that were left out."""
        rows = self._behind(campaign, "s:", behind, limit=limit)
        return [read_left_out(row) async for row in rows]

    async def sent(self, campaign: str, behind: str, limit: int) -> list[Delivery]:
        """The next deliveries behind that row that were sent, without those who are forgotten."""
        where = [
            Where("status", "eq", Status.SENT),
            *(Where("member", "ne", f"{kind}:0") for kind in MemberKind),
        ]
        rows = self._behind(campaign, "d:", behind, where, limit)
        return [read_delivery(campaign, row) async for row in rows]

    async def reached(self, campaign: str) -> set[bytes]:
        """The ids of all deliveries that were sent, or may have been. Reads all of them."""
        rows = self._table.query(campaign, "d:", after("d:"), columns=["status"])
        gone_out = {Status.SENT, Status.UNCERTAIN, Status.SUBMITTED}
        return {_bytes(row) async for row in rows if row.values["status"] in gone_out}

    async def everybody(self, campaign: str) -> tuple[set[bytes], set[str]]:
        """The ids of all deliveries, and all members that the ledger knows. Reads all of it."""
        ids, members = set(), set()
        async for row in self._table.query(campaign, "d:", after("d:"), columns=["member"]):
            ids.add(_bytes(row))
            members.add(str(row.values["member"]))
        async for row in self._table.query(campaign, "s:", after("s:"), columns=["reason"]):
            _, _, kind, id_, _ = row.key.split(":")
            members.add(f"{kind}:{id_}")
        return ids, members

    async def opened(self, campaign: str) -> Opened:
        """What is open, counted row by row."""
        columns = ["user", "mended"]
        deliveries = unknown = mended = 0
        async for row in self._table.query(campaign, "o:", after("o:"), columns=columns):
            deliveries += 1
            unknown += row.values["user"] == "0"
            mended += row.values.get("mended") is True
        return Opened(deliveries, unknown, mended)

    def _behind(
        self,
        campaign: str,
        prefix: str,
        behind: str,
        where: Sequence[Where] = (),
        limit: int | None = None,
    ) -> AsyncIterator[Row]:
        # no character of a key sorts before "!", so that nothing lies between
        first = f"{behind}!" if behind.startswith(prefix) else prefix
        return self._table.query(campaign, first, after(prefix), where, limit=limit)

    # --- opening ---

    async def open_again(self, campaign: Campaign, some: Sequence[Again]) -> None:
        """Each of these open again in this round, as it stands today.

        What was sent, or may have been, is left as it is, and so is what is open already.
        """
        some = [one for one in some if may_be_opened(one.before)]
        if not some:
            return
        ids = sorted(one.before.id for one in some)
        rows = self._table.query(campaign.id, f"p:{ids[0]}", f"p:{ids[-1]}!", columns=["status"])
        problems = {row.key.removeprefix("p:") async for row in rows}
        for portion in in_transactions(some, _TOGETHER):
            writes: list[Write] = []
            for one in portion:
                problem = one.before.id in problems
                writes += _opened_again(one.before, one.recipient, campaign, one.note, one.mended)
                writes += [Delete(f"p:{one.before.id}", None)] if problem else []
            try:
                await self._table.write(campaign.id, *writes)
            except StorageError:
                for one in portion:  # a clash names only the first row it met
                    await self.place(
                        campaign, one.before, one.recipient, note=one.note, mended=one.mended
                    )

    async def place(
        self,
        campaign: Campaign,
        before: Delivery | LeftOut,
        recipient: Recipient,
        *,
        note: str = "",
        mended: bool = True,
        new: bool = False,
    ) -> None:
        """Give a member who can be reached today a delivery in this round, all in one transaction.

        Where they want it somebody may stand already. One that was sent, may have been or is open
        is theirs too; one that was not sent is opened again, for them. A delivery that they had
        elsewhere is replaced, and their membership is counted once, wherever it ends. `new` is a
        membership of which the ledger has no row.
        """
        for attempt in range(_TRIES):
            writes = await self._placing(campaign, before, recipient, note, mended, new)
            if not writes:
                return
            try:
                await self._table.write(campaign.id, *writes)
            except StorageError:
                # it may be done all the same, or somebody was first: look again
                if attempt == _TRIES - 1:
                    raise
            else:
                return

    async def _placing(
        self,
        campaign: Campaign,
        before: Delivery | LeftOut,
        recipient: Recipient,
        note: str,
        mended: bool,
        new: bool,
    ) -> list[Write]:
        """What has to be written; nothing when it is done, or not needed any more."""
        id_ = delivery_id(campaign.run, recipient_key(campaign.channel, recipient))
        there = await self._delivery(campaign.id, id_)
        place = place_of(there)
        theirs = there is not None and there.recipient.member == recipient.member
        # who has a delivery of their own there was not to be reached when it was looked at
        own = theirs and there is not None and not there.replaced
        joins = place is Place.TAKEN or (own and isinstance(before, LeftOut))
        writes: list[Write] = []
        if isinstance(before, Delivery):
            if before.id != id_:
                old = await self._delivery(campaign.id, before.id)
                if old is None or not may_be_opened(old):
                    return []
                writes += await self._replaced(old, id_)
                if joins:
                    writes.append(left_out_row(_instead(old)))
            elif there is None or not may_be_opened(there):
                return []
        else:
            stored = await self._table.get(campaign.id, left_out_key(before))
            if stored is None and (not new or (joins and own)):
                return []
            if joins:
                duplicate = left_out_row(replace(before, reason=LeftOutReason.DUPLICATE))
                same = stored is not None and stored.values == duplicate.values
                writes += [] if same else [duplicate]
            elif stored:
                writes.append(Delete(stored.key, stored.version))
        if there is None:
            writes += _opened_first(id_, recipient, campaign, note, mended)
        elif not joins:
            writes += _opened_again(there, recipient, campaign, note, mended)
            writes += await self._problem_gone(there)
            if not theirs and not there.replaced:
                writes.append(left_out_row(_instead(there)))
        return writes

    async def _replaced(self, old: Delivery, by: str) -> list[Write]:
        """The old one counts no more; what was tried and said of it stays."""
        columns: dict[str, Value] = {"reason": Reason.REPLACED, "reference": by}
        merge = Merge(f"d:{old.id}", columns, old.version)
        return [merge, *await self._problem_gone(old)]

    async def _problem_gone(self, delivery: Delivery) -> list[Write]:
        key = f"p:{delivery.id}"
        if delivery.status not in PROBLEMS or await self._table.get(delivery.campaign, key) is None:
            return []
        return [Delete(key, None)]

    async def _delivery(self, campaign: str, id_: str) -> Delivery | None:
        row = await self._table.get(campaign, f"d:{id_}")
        return read_delivery(campaign, row) if row else None

    # --- what turns out otherwise ---

    async def went_out(self, delivery: Delivery, outcome: Outcome, at: datetime) -> None:
        """Its message did go out after all: *sent*, and never opened again.

        One that has changed meanwhile is left for the next look.
        """
        key = history_key(delivery.id, delivery.round, delivery.attempts)
        said: dict[str, Value] = {
            "status": outcome.status,
            "reason": outcome.reason,
            "reference": outcome.reference,
            "detail": outcome.detail,
        }
        found: dict[str, Value] = {**said, "round": delivery.round, "at": stamp(at), "token": ""}
        try:
            await self._table.write(
                delivery.campaign,
                Merge(f"d:{delivery.id}", said, delivery.version),
                Insert(f"{key}:found", found),
                *await self._problem_gone(delivery),
            )
        except StorageError:
            stored = await self._delivery(delivery.campaign, delivery.id)
            if stored is None or stored.status is not outcome.status:
                raise


def _opened_again(
    there: Delivery, recipient: Recipient, campaign: Campaign, note: str, mended: bool
) -> list[Write]:
    """Its account as of a delivery that nobody has tried in this round, and what is left to do."""
    fresh = replace(
        there,
        recipient=recipient,
        channel=campaign.channel,  # whatever way it had gone on to
        status=Status.PLANNED,
        round=campaign.round,
        attempts=0,
        earlier_attempts=there.earlier_attempts + there.attempts,
        reason=Reason.NONE,
        reference=note,
        detail="",
        settled_at=NEVER,
    )
    account = Merge(f"d:{there.id}", delivery_columns(fresh), there.version)
    return [account, _left_to_do(fresh, note, mended)]


def _opened_first(
    id_: str, recipient: Recipient, campaign: Campaign, note: str, mended: bool
) -> list[Write]:
    fresh = Delivery(
        id=id_,
        campaign=campaign.id,
        recipient=recipient,
        channel=campaign.channel,
        round=campaign.round,
        page=campaign.cursor.page,
    )
    return [Insert(f"d:{id_}", delivery_columns(fresh)), _left_to_do(fresh, note, mended)]


def _left_to_do(fresh: Delivery, note: str, mended: bool) -> Insert:
    return Insert(f"o:{fresh.id}", {**open_columns(fresh), "note": note, "mended": mended})


def _instead(delivery: Delivery) -> LeftOut:
    """The membership behind a delivery that is somebody else's from now on. Of which list it was
    is not known any more.
    """
    kind, _, id_ = delivery.recipient.member.partition(":")
    member = Member(MemberKind(kind), int(id_), delivery.recipient.name, delivery.recipient.address)
    return LeftOut(0, member, LeftOutReason.DUPLICATE, delivery.page)


def _bytes(row: Row) -> bytes:
    return UUID(row.key.removeprefix("d:")).bytes
