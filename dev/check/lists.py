"""The recipient lists: what they are made of, and whether they can be kept in step. Only reads."""

from collections.abc import Sequence

from dev.check.findings import AGAIN, Finding, Findings, Mark, missing, ok, unknown, warning
from dev.check.names import called, instead, named
from dev.check.reader import Reader
from shared.adapters.pureservice_lists import PureserviceLists
from shared.adapters.pureservice_wire import AssetRow, CompanyRow, Named, quoted
from shared.domain.helpdesk import Names
from shared.domain.lists import LeftAlone, ListRule, NamedList, Why, same_name, the_list
from shared.errors import PermanentError, SetupError, UtsendelseError
from shared.flow.lists import rules
from shared.settings import Settings

_MANY = 10  #: more different values than this are hardly categories


async def lists(settings: Settings, wire: Reader) -> Findings:
    """The type and the relations first: without them nothing is known of the lists."""
    types = (await wire.all("/assettype/", "assettypes")).assettypes
    finding = named(settings, "LIST_ASSET_TYPE", "ressurstype", types)
    yield finding
    if finding.mark is not Mark.OK:
        yield unknown(f"Relasjonstypene til listene, og listene selv. {AGAIN}")
        return
    name = called(settings.LIST_ASSET_TYPE, types)[0].name
    of_lists = f"fromAssetType.name == {quoted(name)}"
    relations = (
        await wire.all("/relationshiptype/", "relationshiptypes", filter=of_lists)
    ).relationshiptypes
    what = f"relasjonstype på ressurstypen «{name}»"
    for setting in ("LIST_TICKET_RELATION", "LIST_USER_RELATION", "LIST_COMPANY_RELATION"):
        yield named(settings, setting, what, relations, several=True)
    assets = (await wire.all("/asset/", "assets", filter=f"type.name == {quoted(name)}")).assets
    yield _counted(name, assets)
    async for finding in _in_step(settings, wire, relations, assets):
        yield finding


def _counted(type_name: str, assets: Sequence[AssetRow]) -> Finding:
    usable = sum(not asset.is_marked_for_deletion for asset in assets)
    doomed = len(assets) - usable
    also = f" {doomed} til er merket for sletting." if doomed else ""
    if usable:
        return ok(f"Det finnes {usable} mottakerliste{'r' if usable > 1 else ''}.{also}")
    return warning(
        f"Det finnes ingen mottakerlister å sende til.{also}",
        f"Lag en ressurs av typen «{type_name}», gi den et navn, og knytt brukere og firmaer til"
        " den.",
    )


# -- kept in step


async def _in_step(
    settings: Settings, wire: Reader, relations: Sequence[Named], assets: Sequence[AssetRow]
) -> Findings:
    """What `LISTS` does, and for each rule its list and how many companies it finds."""
    yield _what_is_done(settings)
    if settings.LISTS == "off":
        return
    relation = settings.LIST_COMPANY_RELATION.strip()
    if not relation:
        yield missing(
            f"LIST_COMPANY_RELATION er tom, men LISTS er {settings.LISTS}.",
            "Listene blir fylt med firmaer. Skriv navnet på relasjonstypen, eller sett LISTS til"
            " off.",
        )
    elif len(called(relation, relations)) > 1:
        yield missing(
            f"LIST_COMPANY_RELATION: flere relasjonstyper heter «{relation}», så vi vet ikke"
            " hvilken firmaene skal legges til med.",
            "Gi dem ulike navn i Pureservice.",
        )
    try:
        todo = rules(settings)
    except SetupError:
        yield missing(
            "LIST_RULES har to regler for den samme listen.",
            "Store og små bokstaver i det unike navnet regnes som like. Ta bort den ene regelen.",
        )
        return
    if not todo:
        yield warning(
            "LIST_RULES er tom, så ingen lister blir holdt oppdatert.",
            "Skriv en regel for hver liste, eller sett LISTS til off.",
        )
    nobody = []
    for rule in todo:
        yield _list(rule, assets)
        companies = await _companies(settings, wire, rule)
        if isinstance(companies, Finding):
            yield companies
        elif companies:
            yield ok(f"{_of(rule)} finner {companies} firma{'er' if companies > 1 else ''}.")
        elif rule.category:
            nobody.append(rule)
        else:
            yield warning(
                f"{_of(rule)} finner ingen firmaer, så listen blir stående som den er.",
                "Stemmer filteret med det som står på firmaene i Pureservice?",
            )
    if nobody:
        none_at_all = nobody == [rule for rule in todo if rule.category]
        async for finding in _why_nobody(settings, wire, nobody, none_at_all=none_at_all):
            yield finding


def _what_is_done(settings: Settings) -> Finding:
    match settings.LISTS:
        case "off":
            return ok("LISTS er off: ingen mottakerlister blir holdt oppdatert av seg selv.")
        case "preview":
            return ok(
                "LISTS er preview: loggen sier hva som ville blitt endret på listene.",
                "python -m dev lists viser det samme med navn. Sett LISTS til update når det er"
                " riktig.",
            )
    most = settings.LISTS_REMOVE_AT_MOST
    if most == 0:
        return warning(
            "LISTS_REMOVE_AT_MOST er 0: en liste som noen skal ut av, blir ikke endret i det hele"
            " tatt.",
            "Sett den til hvor mange prosent av en liste som kan falle ut på én gang, som regel"
            " 20.",
        )
    return ok(
        "LISTS er update: listene i LIST_RULES blir holdt oppdatert.",
        f"Faller mer enn {most} prosent av en liste ut på én gang, blir den stående som den er"
        " (LISTS_REMOVE_AT_MOST).",
    )


def _list(rule: ListRule, assets: Sequence[AssetRow]) -> Finding:
    """Whether the rule's list is there, and just once."""
    usable = [
        NamedList(asset.id, asset.unique_id.strip(), asset.name.strip())
        for asset in assets
        if not asset.is_marked_for_deletion
    ]
    name = rule.unique_name.strip()
    match the_list(name, usable):
        case NamedList() as on:
            return ok(f"LIST_RULES «{name}»: listen finnes, og heter «{on.name}».")
        case LeftAlone(why=Why.SEVERAL_LISTS):
            return missing(
                f"LIST_RULES «{name}»: flere mottakerlister har dette unike navnet; store og små"
                " bokstaver regnes som like.",
                "Gi dem ulike unike navn i Pureservice.",
            )
    make = f"Lag en mottakerliste med det unike navnet «{name}», eller rett LIST_RULES."
    if any(same_name(asset.unique_id, name) for asset in assets):
        return missing(f"LIST_RULES «{name}»: listen er merket for sletting.", make)
    if alike := [one.unique_name for one in usable if same_name(one.name, name)]:
        return missing(
            f"LIST_RULES «{name}»: en liste heter det, men det unike navnet er «{alike[0]}».",
            "Skriv det unike navnet i LIST_RULES.",
        )
    return missing(
        f"LIST_RULES «{name}»: ingen mottakerliste har dette unike navnet."
        f"{instead(name, (one.unique_name for one in usable))}",
        make,
    )


async def _companies(settings: Settings, wire: Reader, rule: ListRule) -> int | Finding:
    """How many companies the rule finds, asked as the app asks it; or why that is not known."""
    field = settings.COMPANY_CATEGORY_FIELD
    try:
        return len(await PureserviceLists(settings, wire, _no_names).companies(rule))
    except UtsendelseError as error:
        if wire.status == 400:
            return missing(
                f"{_of(rule)} blir ikke forstått av Pureservice ({error}).",
                f"Finnes feltet {field} på firmaene? Ellers må COMPANY_CATEGORY_FIELD rettes."
                if rule.category
                else "Rett filteret i LIST_RULES. Det er skrevet i Pureservices eget filterspråk.",
            )
        if isinstance(error, PermanentError) and wire.status == 200:
            return missing(
                f"{_of(rule)}: Pureservice svarer noe annet enn det vi spør om ({error}).",
                "Da blir listen stående som den er. Meld fra til den som forvalter koden.",
            )
        raise


async def _no_names() -> Names:
    """The directory asks for names only when it goes to a list, and we never let it."""
    raise NotImplementedError


def _of(rule: ListRule) -> str:
    what = f"kategorien «{rule.category}»" if rule.category else f"filteret {rule.filter}"
    return f"LIST_RULES «{rule.unique_name.strip()}»: {what}"


async def _why_nobody(
    settings: Settings, wire: Reader, nobody: Sequence[ListRule], *, none_at_all: bool
) -> Findings:
    """Categories that no company has: what the companies have instead, from a page of them."""
    field = settings.COMPANY_CATEGORY_FIELD
    answer, _ = await wire.page("/company/", "companies", 0, filter="!disabled")
    told = [(name, value) for row in answer.companies for name, value in _fields(row)]
    values = {value for name, value in told if name == field}
    if none_at_all and not values:
        categories = {rule.category.casefold() for rule in nobody}
        others = sorted({name for name, value in told if value.casefold() in categories})
        meant = f" Mente du {' eller '.join(others)}?" if others else ""
        yield missing(
            f"COMPANY_CATEGORY_FIELD: feltet {field} er tomt på alle firmaene vi så på"
            f" ({len(answer.companies)}).{meant}",
            "Skriv feltet der kategorien står, cf_1 til cf_9, eller fyll det ut på firmaene i"
            " Pureservice.",
        )
        return
    for rule in nobody:
        yield warning(
            f"{_of(rule)} finner ingen firmaer, så listen blir stående som den er."
            f"{instead(rule.category, values if len(values) <= _MANY else ())}",
            "Rett kategorien i LIST_RULES, med de samme store og små bokstavene som på firmaene i"
            " Pureservice.",
        )


def _fields(row: CompanyRow) -> list[tuple[str, str]]:
    """The self-made fields that have something in them."""
    own = {name: str(value).strip() for name, value in (row.model_extra or {}).items()}
    return [(name, value) for name, value in own.items() if name.startswith("cf_") and value]
