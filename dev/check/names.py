"""Is there something with the name that a setting gives, and if not, what may have been meant?"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from dev.check.findings import Finding, missing, ok, warning
from shared.adapters.pureservice_wire import Named
from shared.domain.lists import same_name
from shared.settings import Settings

#: What becomes of it without those that may be left empty.
_WITHOUT = {
    "STATUS_READY": "En utsendelse starter av seg selv når melding og lister er på plass og saken"
    " har ligget urørt (QUIET_PERIOD_MINUTES).",
    "STATUS_RUNNING": "Saken bytter ikke status mens utsendelsen pågår.",
    "STATUS_ATTENTION": "Saken bytter ikke status når noe må rettes; et internt notat sier fra.",
    "STATUS_PAUSE": "Ingen kan sette en utsendelse på pause fra saken.",
    "STATUS_CANCEL": "Ingen kan avbryte en utsendelse fra saken, annet enn ved å løse den.",
    "STATUS_REVIEW": "Ingen kan be om å få vite hvem som har svart.",
    "LIST_USER_RELATION": "Brukere på listene får ikke noe, bare firmaer.",
    "LIST_COMPANY_RELATION": "Firmaer på listene får ikke noe, bare brukere.",
}
_MAY_BE_EMPTY = {*_WITHOUT, "TICKET_RELATION"}


def named(
    settings: Settings, setting: str, what: str, rows: Sequence[Named], *, several: bool = False
) -> Finding:
    """Whether one of the rows, or with `several` any number, has the name in the setting."""
    name = getattr(settings, setting).strip()
    if not name and setting in _WITHOUT:
        return warning(f"{setting} er tom. {_WITHOUT[setting]}")
    found = called(name, rows)
    if not found:
        make = "lag den under Administrasjon i Pureservice"
        return missing(
            f"{setting}: det finnes ingen {what} som heter «{name}»."
            f"{instead(name, (row.name for row in rows))}",
            f"Rett {setting}, {make}, eller la {setting} være tom."
            if setting in _MAY_BE_EMPTY
            else f"Rett {setting}, eller {make}.",
        )
    if len(found) > 1 and not several:
        return missing(
            f"{setting}: navnet «{name}» er brukt {len(found)} ganger ({what}).",
            "Gi dem ulike navn i Pureservice, så det ikke er tvil om hvilken.",
        )
    return ok(f"{setting}: «{name}» finnes.")


def called(name: str, rows: Iterable[Named]) -> list[Named]:
    """As the adapter compares: case and spaces around do not count."""
    return [row for row in rows if same_name(row.name, name)]


def instead(name: str, others: Iterable[str]) -> str:
    """What may have been meant, or all there is."""
    folded = {other.casefold(): other for other in others}
    if near := get_close_matches(name.casefold(), folded, 1, 0.75):
        return f" Mente du «{folded[near[0]]}»?"
    return f" Disse finnes: {listing(folded.values())}." if folded else ""


def listing(names: Iterable[str]) -> str:
    return ", ".join(sorted(f"«{name}»" for name in names))
