"""Pureservice as the `RecipientLists` port: a list is an asset, a membership a relation to it."""

from collections.abc import Awaitable, Callable, Sequence

from shared.adapters.pureservice_wire import CompanyRow, RelationRow, Wire, quoted
from shared.domain.helpdesk import Names
from shared.domain.lists import ListRule, NamedList, same_name
from shared.domain.recipient import Member, MemberKind
from shared.errors import PermanentError, SetupError
from shared.settings import Settings


class PureserviceLists:
    def __init__(
        self, settings: Settings, wire: Wire, names: Callable[[], Awaitable[Names]]
    ) -> None:
        self._category_field = settings.COMPANY_CATEGORY_FIELD
        self._wire = wire
        self._names = names

    async def lists(self) -> list[NamedList]:
        list_type = (await self._names()).list_type
        answer = await self._wire.all(
            "/asset/", "assets", filter=f"typeId == {list_type} AND !isMarkedForDeletion"
        )
        return [
            NamedList(row.id, row.unique_id.strip(), row.name.strip())
            for row in answer.assets
            if row.type_id == list_type and not row.is_marked_for_deletion
        ]

    async def companies(self, rule: ListRule) -> list[Member]:
        field = self._category_field
        if rule.category and not field:
            raise SetupError("COMPANY_CATEGORY_FIELD: must be set, since LIST_RULES has categories")
        which = f"{field} == {quoted(rule.category)}" if rule.category else f"({rule.filter})"
        answer = await self._wire.all("/company/", "companies", filter=f"{which} AND !disabled")
        for row in answer.companies:
            told = (row.model_extra or {}).get(field)
            if rule.category and told is not None and not same_name(str(told), rule.category):
                raise PermanentError(
                    f"pureservice: GET /company/: company {row.id} is of another category than"
                    " asked for"
                )
        return [_member(row) for row in answer.companies if not row.disabled]

    async def members(self, list_id: int, kind: MemberKind) -> list[Member]:
        type_id = await self._relation_type(kind)
        end = kind.title()
        answer = await self._wire.all(
            f"/relationship/{list_id}/fromAsset",
            "relationships",
            filter=f"to{end}Id != null AND typeId == {type_id}",
            include=f"to{end}",
        )
        linked = answer.linked
        owners = linked.users if kind is MemberKind.USER else linked.companies
        known = {row.id: row.name for row in owners}
        return [
            Member(kind, id_, known.get(id_, ""), relation=row.id)
            for row in answer.relationships
            if row.type_id == type_id and (id_ := _end(row, kind)) is not None
        ]

    async def add(self, list_id: int, members: Sequence[Member]) -> None:
        type_id = await self._relation_type(members[0].kind)
        # The list is the *to* side of what is written, and the *from* side of what is read.
        rows = [
            {
                "main": "toAssetId",
                "inverseMain": "fromAssetId",
                "links": {
                    "type": {"id": type_id},
                    "toAsset": {"id": list_id},
                    f"from{member.kind.title()}": {"id": member.id},
                },
            }
            for member in members
        ]
        await self._wire.write("POST", "/relationship/", {"relationships": rows})

    async def remove(self, member: Member) -> None:
        await self._wire.write("DELETE", f"/relationship/{member.relation}")

    async def _relation_type(self, kind: MemberKind) -> int:
        names = await self._names()
        found = names.user_relations if kind is MemberKind.USER else names.company_relations
        setting = f"LIST_{kind.upper()}_RELATION"
        if not found:
            raise SetupError(f"{setting}: must be set, since a list is to have such members")
        if len(found) > 1:
            raise SetupError(
                f"{setting}: there are {len(found)} relation types with this name;"
                " give them different names in Pureservice"
            )
        return min(found)


def _member(row: CompanyRow) -> Member:
    return Member(MemberKind.COMPANY, row.id, row.name.strip(), disabled=row.disabled)


def _end(row: RelationRow, kind: MemberKind) -> int | None:
    return row.to_user_id if kind is MemberKind.USER else row.to_company_id
