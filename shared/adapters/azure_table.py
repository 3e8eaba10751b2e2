"""Azure Table Storage as the `Table` port.

The SDK repeats a request by itself after a 5xx or a lost answer, also one that was committed; it
then comes back as 404, 409 or 412. So those mean "read the row", never "somebody else did it".
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError
from azure.data.tables import TableEntity, UpdateMode
from azure.data.tables.aio import TableClient

from shared.errors import ClashError, DoubtfulError
from shared.ports import Delete, Insert, Merge, Put, Row, Value, Where, Write

#: Few and short, so that a claim's lease outlives them all. Tables call them otherwise than queues
#: and blobs do, whose first repetition would else come after fifteen seconds.
RETRIES: dict[str, Any] = {
    "retry_total": 3,
    "retry_backoff_factor": 0.4,
    "retry_backoff_max": 4,
    "initial_backoff": 0.4,
    "increment_base": 2,
    "random_jitter_range": 0,
    "connection_timeout": 10,
    "read_timeout": 20,
}

_CLASHES = {404, 409, 412}
#: What we asked for is not possible, now or ever: a bug of ours, to be seen as one.
_IMPOSSIBLE = {400, 413}


class AzureTable:
    def __init__(self, client: TableClient) -> None:
        self._client = client

    async def get(self, partition: str, key: str) -> Row | None:
        with _storage_errors(f"read {key}"):
            try:
                return _row(await self._client.get_entity(partition, key))
            except ResourceNotFoundError:
                return None

    async def write(self, partition: str, *writes: Write) -> list[str]:
        operations = [_operation(partition, write) for write in writes]
        with _storage_errors(f"write {writes[0].key}"):
            if len(operations) == 1:
                answers = [await self._one(*operations[0])]
            else:
                # always as a transaction, whose errors carry the status code
                answers = list(await self._client.submit_transaction(operations))
        return [str(answer.get("etag") or "") for answer in answers]

    async def _one(
        self, verb: str, entity: TableEntity, options: dict[str, Any]
    ) -> Mapping[str, Any]:
        client = self._client
        if verb == "create":
            return await client.create_entity(entity)
        if verb == "update":
            return await client.update_entity(entity, **options)
        if verb == "upsert":
            return await client.upsert_entity(entity, **options)
        # delete_entity would hide a 404; a transaction of one does not
        [answer] = await client.submit_transaction([(verb, entity, options)])
        return answer

    async def query(
        self,
        partition: str,
        first: str,
        last: str,
        where: Sequence[Where] = (),
        columns: Sequence[str] = (),
        limit: int | None = None,
    ) -> AsyncIterator[Row]:
        conditions = [
            Where("PartitionKey", "eq", partition),
            Where("RowKey", "ge", first),
            Where("RowKey", "lt", last),
            *where,
        ]
        filter_ = " and ".join(f"{c.column} {c.op} @v{n}" for n, c in enumerate(conditions))
        with _storage_errors(f"query {first}"):
            pages = self._client.query_entities(
                filter_,
                parameters={f"v{n}": c.value for n, c in enumerate(conditions)},
                select=["RowKey", *columns] if columns else None,
                results_per_page=min(limit or 1_000, 1_000),
            )
            left = limit
            async for entity in pages:
                yield _row(entity)
                if left is not None:
                    left -= 1
                    if left <= 0:
                        return


def _operation(partition: str, write: Write) -> tuple[str, TableEntity, dict[str, Any]]:
    entity = TableEntity(PartitionKey=partition, RowKey=write.key)
    match write:
        case Insert(values=values):
            entity.update(values)
            return "create", entity, {}
        case Put(values=values):
            entity.update(values)
            return "upsert", entity, {"mode": UpdateMode.REPLACE}
        case Merge(values=values, version=version):
            entity.update(values)
            return "update", entity, {"mode": UpdateMode.MERGE, **_condition(version)}
        case Delete(version=version):
            return "delete", entity, _condition(version)


def _condition(version: str | None) -> dict[str, Any]:
    if version is None:
        return {}
    return {"etag": version, "match_condition": MatchConditions.IfNotModified}


def _row(entity: TableEntity) -> Row:
    values: dict[str, Value] = {
        name: value for name, value in entity.items() if name not in {"PartitionKey", "RowKey"}
    }
    return Row(entity["RowKey"], values, entity.metadata["etag"] or "")


@contextmanager
def _storage_errors(what: str) -> Iterator[None]:
    try:
        yield
    except HttpResponseError as error:
        if error.status_code in _CLASHES:
            raise ClashError(f"{what}: {error.status_code}") from error
        if error.status_code in _IMPOSSIBLE:
            raise
        raise DoubtfulError(f"{what}: {error.status_code}") from error
    except AzureError as error:
        raise DoubtfulError(f"{what}: {type(error).__name__}") from error
