"""The channels' shared state: one row each, changed only under its version."""

import json
from dataclasses import replace

from shared.domain.pace import ChannelState
from shared.domain.steering import Steering
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

    async def steering(self) -> Steering:
        """What we last knew of what the case workers want."""
        row = await self._table.get(_PARTITION, _STEERING)
        if row is None:
            return Steering()
        unread = json.loads(str(row.values.get("unread", "{}")))
        return Steering(
            moment(row.values.get("at")), {one: moment(since) for one, since in unread.items()}
        )

    async def steered(self, steering: Steering) -> None:
        unread = {one: stamp(since) for one, since in steering.unread.items()}
        columns = {"at": stamp(steering.at), "unread": json.dumps(unread)}
        await self._table.write(_PARTITION, Put(_STEERING, columns))
