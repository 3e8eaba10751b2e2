"""Which sending a provider's own name for it belongs to, where the name itself does not tell.

One row each, spread over 256 partitions by the first two digits of its fingerprint. Ids alone: who
was written to is not in it, so that the rows may stay.
"""

from hashlib import sha256

from shared.domain.bounce import Posted
from shared.domain.delivery import OpenDelivery
from shared.ports import Put, Table, Value


class References:
    def __init__(self, table: Table) -> None:
        self._table = table

    async def remember(self, reference: str, delivery: OpenDelivery) -> None:
        """By this name it will be reported. One request; saying it again changes nothing."""
        partition, key = _place(reference)
        columns: dict[str, Value] = {
            "campaign": delivery.campaign,
            "delivery": delivery.id,
            "round": delivery.round,
        }
        await self._table.write(partition, Put(key, columns))

    async def of(self, reference: str) -> Posted | None:
        """The sending of that name. One request."""
        row = await self._table.get(*_place(reference))
        if row is None:
            return None
        v = row.values
        return Posted(str(v["campaign"]), str(v["delivery"]), int(v["round"]))


def _place(reference: str) -> tuple[str, str]:
    print_ = sha256(reference.strip().encode()).hexdigest()
    return print_[:2], f"n:{print_}"
