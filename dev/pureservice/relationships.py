"""Relations between things: stored once as posted, seen from either end."""

from .world import Row, World

ENDS = ("Asset", "User", "Company", "Ticket")
VIEWS = {"fromasset": "Asset", "fromticket": "Ticket"}


def seen_from(world: World, end: str, id_: int) -> list[Row]:
    """The relations of one asset or ticket, each turned so that it is the *from* side."""
    straight = world.where("relationship", f"from{end}Id", id_)
    turned = world.where("relationship", f"to{end}Id", id_)
    return [*straight, *(turn(world, row) for row in turned)]


def all_rows(world: World) -> list[Row]:
    """The plain list: as posted, and with the switch on their mirror images as well."""
    rows = list(world.all("relationship"))
    if not world.switches.mirrored_relationships:
        return rows
    return [side for row in rows for side in (row, turn(world, row))]


def find(world: World, id_: int) -> Row | None:
    """The stored relation with this id, or the one whose mirror image has it."""
    row = world.get("relationship", id_)
    if row is None and world.switches.mirrored_relationships:
        row = world.get("relationship", id_ - 1)
    return row


def turn(world: World, row: Row) -> Row:
    """The same relation from its other end."""
    turned = {_other(name): value for name, value in row.items()}
    for name in ("main", "inverseMain"):
        if row.get(name):
            turned[name] = _other(row[name])
    if world.switches.mirrored_relationships:
        turned["id"] = row["id"] + 1
    return turned


def _other(name: str) -> str:
    for here, there in (("from", "to"), ("to", "from")):
        rest = name[len(here) :]
        if name.lower().startswith(here) and rest.removesuffix("Id") in ENDS:
            return there + rest
    return name
