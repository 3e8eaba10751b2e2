"""The campaigns: one row each, and an index row while it is active.

So that finding what is under way never costs more because much is over. All in one partition:
a campaign and its index row change together or not at all.
"""

import json
from dataclasses import asdict, replace
from uuid import uuid4

from shared.domain.campaign import (
    Campaign,
    Cursor,
    Edge,
    Pause,
    Phase,
    RecipientList,
    campaign_id,
)
from shared.errors import ClashError, StorageError
from shared.ledger.rows import after, moment, stamp
from shared.ports import Delete, Insert, Merge, Put, Row, Table, Value, Write

_PARTITION = "campaign"


class Campaigns:
    def __init__(self, table: Table) -> None:
        self._table = table

    async def create(self, campaign: Campaign) -> Campaign | None:
        """The campaign as stored; None when one with its id is already there."""
        token = uuid4().hex
        try:
            versions = await self._table.write(
                _PARTITION,
                Insert(f"c:{campaign.id}", {**_columns(campaign), "token": token}),
                Insert(f"o:{campaign.id}", {}),
            )
        except StorageError:
            return await self._written(campaign, token)
        return replace(campaign, version=versions[0], listed=True)

    async def get(self, campaign: str) -> Campaign | None:
        row = await self._table.get(_PARTITION, f"c:{campaign}")
        return _campaign(row) if row else None

    async def active(self) -> list[Campaign]:
        """Every campaign whose work is not over."""
        index = self._table.query(_PARTITION, "o:", after("o:"))
        found = [await self.get(row.key.removeprefix("o:")) async for row in index]
        return [campaign for campaign in found if campaign]

    async def on_ticket(self, request_number: int) -> list[Campaign]:
        """Every campaign that ticket ever had."""
        first = f"c:{campaign_id(request_number, 0)[:-1]}"
        return [_campaign(row) async for row in self._table.query(_PARTITION, first, after(first))]

    async def save(self, campaign: Campaign) -> Campaign:
        """Store it, if nobody has changed it since it was read. Raises ClashError if somebody has.

        A DoubtfulError means that nobody knows; read it again.
        """
        token = uuid4().hex
        key = f"c:{campaign.id}"
        writes: list[Write] = [
            Merge(key, {**_columns(campaign), "token": token}, campaign.version),
        ]
        if campaign.active and not campaign.listed:
            writes.append(Put(f"o:{campaign.id}", {}))
        if campaign.listed and not campaign.active:
            writes.append(Delete(f"o:{campaign.id}", None))
        try:
            versions = await self._table.write(_PARTITION, *writes)
        except StorageError as error:
            stored = await self._written(campaign, token)
            if stored is None:
                raise ClashError(f"campaign {campaign.id} was changed meanwhile") from error
            return stored
        return replace(campaign, version=versions[0], listed=campaign.active)

    async def _written(self, campaign: Campaign, token: str) -> Campaign | None:
        """The campaign, if it was our write that got through after all."""
        row = await self._table.get(_PARTITION, f"c:{campaign.id}")
        return _campaign(row) if row and row.values.get("token") == token else None


def _columns(campaign: Campaign) -> dict[str, Value]:
    c = campaign
    return {
        "ticket_id": str(c.ticket_id),
        "request_number": str(c.request_number),
        "channel": c.channel,
        "found_at": stamp(c.found_at),
        "nonce": c.nonce,
        "phase": c.phase,
        "blocked_from": c.blocked_from or "",
        "problem": c.problem,
        "detail": json.dumps(c.detail, ensure_ascii=False),
        "times_blocked": c.times_blocked,
        "round": c.round,
        "message": c.message,
        "api_user": str(c.api_user),
        "lists": json.dumps(
            [{"id": one.id, "name": one.name, "deleted": one.deleted} for one in c.lists],
            ensure_ascii=False,
        ),
        "cursor": json.dumps(asdict(c.cursor)),
        "planned": c.planned,
        "unknown": c.unknown,
        "left_out": c.left_out,
        "related_to": str(c.related_to),
        "reviews": c.reviews,
        "starts_at": stamp(c.starts_at),
        "solved_status": str(c.solved_status),
        "finished_at": stamp(c.finished_at),
        "steps": json.dumps(sorted(c.steps)),
        "ticket_seen": c.ticket_seen,
        "paused_for": c.paused_for,
        "stops": c.stops,
        "stopped_at": stamp(c.stopped_at),
        "called_off": c.called_off,
        "judged_from": stamp(c.judged_from),
        "open_then": c.open_then,
        "correction_of": c.correction_of,
        "text_print": c.text_print,
        "who_print": c.who_print,
        "active": c.active,
    }


def _campaign(row: Row) -> Campaign:
    v = {name: value for name, value in row.values.items() if isinstance(value, str)}
    cursor = json.loads(v["cursor"])
    return Campaign(
        id=row.key.removeprefix("c:"),
        ticket_id=int(v["ticket_id"]),
        request_number=int(v["request_number"]),
        channel=v["channel"],
        found_at=moment(v["found_at"]),
        nonce=v["nonce"],
        phase=Phase(v["phase"]),
        blocked_from=Phase(v["blocked_from"]) if v["blocked_from"] else None,
        problem=v["problem"],
        detail=json.loads(v["detail"]),
        times_blocked=int(row.values["times_blocked"]),
        round=int(row.values["round"]),
        message=v["message"],
        api_user=int(v["api_user"]),
        lists=tuple(RecipientList(**one) for one in json.loads(v["lists"])),
        cursor=Cursor(**{**cursor, "edges": tuple(Edge(**edge) for edge in cursor["edges"])}),
        planned=int(row.values["planned"]),
        unknown=int(row.values["unknown"]),
        left_out=int(row.values["left_out"]),
        related_to=int(v["related_to"]),
        reviews=int(row.values["reviews"]),
        starts_at=moment(v["starts_at"]),
        solved_status=int(v["solved_status"]),
        finished_at=moment(v["finished_at"]),
        steps=frozenset(json.loads(v["steps"])) | _rested_before(row),
        ticket_seen=v["ticket_seen"],
        # rows from before these were kept have none of them
        paused_for=Pause(v.get("paused_for", "")),
        stops=int(row.values.get("stops", 0)),
        stopped_at=moment(v.get("stopped_at")),
        called_off=bool(row.values.get("called_off", False)),
        judged_from=moment(v.get("judged_from")),
        open_then=int(row.values.get("open_then", row.values["planned"])),
        correction_of=v.get("correction_of", ""),
        text_print=v.get("text_print", ""),
        who_print=v.get("who_print", ""),
        listed=bool(row.values["active"]),
        version=row.version,
    )


def _rested_before(row: Row) -> frozenset[str]:
    """What is done in a row from before there were rounds: its ticket was solved in the end."""
    older = "paused_for" not in row.values
    return frozenset({"rested"} if older and row.values["phase"] == Phase.DONE else ())
