"""The channels' shared state: one row each, changed only under its version."""

from dataclasses import replace
from datetime import datetime

from shared.domain.delivery import NEVER
from shared.domain.pace import ChannelState
from shared.ledger.rows import moment, stamp
from shared.ports import Insert, Merge, Put, Table, Value

_PARTITION = "channel"
_STEERING = "steering"


class Channels:
    def __init__(self, table: Table) -> None:
        self._table = table

    async def get(self, name: str) -> ChannelState:
        """What all hosts know of the channel; a fresh state when nobody has used it."""
        row = await self._table.get(_PARTITION, name)
        if row is None:
            return ChannelState(name)
        return ChannelState(
            name,
            next_slot=moment(row.values.get("next_slot")),
            gate_until=moment(row.values.get("gate_until")),
            gate_reason=str(row.values.get("gate_reason", "")),
            closed_since=moment(row.values.get("closed_since")),
            stopped=bool(row.values.get("stopped", False)),
            day=str(row.values.get("day", "")),
            released=int(row.values.get("released", 0)),
            version=row.version,
        )

    async def save(self, state: ChannelState) -> ChannelState:
        """Store it. Raises ClashError when another host was first, DoubtfulError when unknown."""
        columns: dict[str, Value] = {
            "next_slot": stamp(state.next_slot),
            "gate_until": stamp(state.gate_until),
            "gate_reason": state.gate_reason,
            "closed_since": stamp(state.closed_since),
            "stopped": state.stopped,
            "day": state.day,
            "released": state.released,
        }
        write = (
            Merge(state.name, columns, state.version)
            if state.version
            else Insert(state.name, columns)
        )
        [version] = await self._table.write(_PARTITION, write)
        return replace(state, version=version)

    async def steered_at(self) -> datetime:
        """When we last knew what the case workers want of the campaigns under way."""
        row = await self._table.get(_PARTITION, _STEERING)
        return moment(row.values.get("at")) if row else NEVER

    async def steered(self, at: datetime) -> None:
        await self._table.write(_PARTITION, Put(_STEERING, {"at": stamp(at)}))
