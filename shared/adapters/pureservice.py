"""Pureservice as the `Helpdesk` port: what we ask it, and what its answers mean to us."""

import asyncio
import hashlib
import html
import json
import logging
import re
from base64 import b64encode
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any, TypeVar

import httpx

from shared.adapters.pureservice_users import reachable, registered
from shared.adapters.pureservice_wire import (
    ANYTHING,
    JSON_API,
    Answer,
    AttachmentRow,
    CompanyRow,
    MessageRow,
    Named,
    PhoneRow,
    RelationRow,
    Rows,
    Sleep,
    TicketRow,
    UserRow,
    Wire,
    quoted,
)
from shared.domain.addressee import Addressee, Place, addressee_of, phone_number
from shared.domain.campaign import RecipientList
from shared.domain.delivery import NEVER
from shared.domain.helpdesk import (
    Attachment,
    Candidate,
    InternalNote,
    MemberPage,
    Names,
    Original,
    Ticket,
    TicketState,
)
from shared.domain.message import Classification
from shared.domain.portions import in_portions
from shared.domain.recipient import (
    Member,
    MemberKind,
    address_key,
    normalise_address,
    tidy_name,
    tidy_values,
)
from shared.domain.recipient_ticket import ticket_key
from shared.errors import (
    PermanentError,
    SetupError,
    StoppedError,
    TransientError,
    UtsendelseError,
)
from shared.ports import Clock
from shared.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")

NAMES_LAST = timedelta(minutes=15)

SOLVED_FROM = 50  #: a status with this core status or a higher one is solved or closed
NOTE, MESSAGE = 1, 2  #: a communication's type
OUTBOUND, INTERNAL = 2, 3  #: a communication's or an e-mail's direction
SENT, FAILED = 4, 5  #: an e-mail's status
REFERENCE = "customerReference"  #: the field by which a recipient's ticket is found again
MOBILE = 1  #: a telephone number's type
SILENT = 1  #: a ticket's visibility: the end user sees it and gets no mail about it

#: In one filter; longer ones may be refused.
_ADDRESSES_AT_ONCE, _IDS_AT_ONCE = 20, 64

_CUSTOM = re.compile(r"cf_\d+").fullmatch
_ADDRESS = re.compile(r"[^\s<>()\[\];,\"']+@[^\s<>()\[\];,\"']+")


class Pureservice:
    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self.wire = Wire(settings, clock, transport, sleep)
        self._names: tuple[Names, datetime] | None = None
        self._has_homes: bool | None = None  #: whether users' addresses can be asked for, if tried

    async def close(self) -> None:
        await self.wire.close()

    async def answers(self) -> bool:
        """True when it answers, and takes our key, just now."""
        try:
            await self.wire.page("/department/", "departments", 0)
        except UtsendelseError:
            return False
        return True

    # -- names

    async def names(self) -> Names:
        """Looked up again after a quarter of an hour, or after an error."""
        now = self._clock()
        if self._names is None or now >= self._names[1] + NAMES_LAST:
            self._names = (await self._look_up_names(), now)
        return self._names[0]

    async def _look_up_names(self) -> Names:
        # a change may have a status of the same name as a ticket's
        for_tickets = '!disabled AND requesttype.key == "Ticket"'
        statuses = (await self.wire.all("/status/", "statuses", filter=for_tickets)).statuses
        types = (await self.wire.all("/assettype/", "assettypes")).assettypes
        zones = (await self.wire.all("/department/", "departments")).departments
        teams = (await self.wire.all("/team/", "teams")).teams

        lookup = _Lookup(self._settings)
        ready, running, attention, pause, cancel, review = (
            lookup.one(f"STATUS_{name}", "status for tickets", statuses, optional=True)
            for name in ("READY", "RUNNING", "ATTENTION", "PAUSE", "CANCEL", "REVIEW")
        )
        solved = lookup.one("STATUS_SOLVED", "status for tickets", statuses)
        recipient_status = recipient_relation = 0
        if self._settings.makes_tickets:
            recipient_status = lookup.unsolved("TICKET_STATUS", statuses)
            if self._settings.TICKET_RELATION:
                any_type = await self.wire.all("/relationshiptype/", "relationshiptypes")
                recipient_relation = lookup.one(
                    "TICKET_RELATION", "relation type", any_type.relationshiptypes
                )
        list_type = lookup.one("LIST_ASSET_TYPE", "asset type", types)
        ticket_relations = user_relations = company_relations = frozenset[int]()
        if list_type:
            [list_type_name] = (row.name for row in types if row.id == list_type)
            of_lists = f"fromAssetType.name == {quoted(list_type_name)}"
            answer = await self.wire.all("/relationshiptype/", "relationshiptypes", filter=of_lists)
            what, relations = f"relation type on {list_type_name!r}", answer.relationshiptypes
            ticket_relations = lookup.ids("LIST_TICKET_RELATION", what, relations)
            user_relations, company_relations = (
                lookup.ids(setting, what, relations, optional=True)
                for setting in ("LIST_USER_RELATION", "LIST_COMPANY_RELATION")
            )
        lookup.senders(zones, teams)
        if lookup.problems:
            raise SetupError(
                "\n  ".join(["Pureservice and the settings do not agree:", *lookup.problems])
            )
        return Names(
            ready=ready or None,
            running=running or None,
            attention=attention or None,
            solved=solved,
            review=review or None,
            pause=pause or None,
            cancel=cancel or None,
            list_type=list_type,
            ticket_relations=ticket_relations,
            member_relations=user_relations | company_relations,
            user_relations=user_relations,
            company_relations=company_relations,
            zones={row.id: row.name.strip() for row in zones},
            teams={row.id: row.name.strip() for row in teams},
            statuses={row.id: row.name.strip() for row in statuses},
            recipient_status=recipient_status or None,
            recipient_relation=recipient_relation or None,
        )

    # -- tickets

    async def campaign_tickets(self) -> list[Ticket]:
        of = self._settings
        made_up = (of.EMAIL_CAMPAIGN_USER, of.TICKET_CAMPAIGN_USER, of.DIGIPOST_CAMPAIGN_USER)
        users = " OR ".join(f"emailAddress == {quoted(user)}" for user in made_up if user)
        open_ones = f"({users}) AND status.coreStatus < {SOLVED_FROM} AND !isMarkedForDeletion"
        answer = await self.wire.all("/ticket/", "tickets", filter=open_ones)
        return [
            self._ticket(row) for row in answer.tickets if self._is_campaign_user(row.email_address)
        ]

    async def ticket(self, ticket_id: int) -> Ticket:
        answer = await self.wire.one(f"/ticket/{ticket_id}", "tickets")
        if not answer.tickets:
            raise PermanentError(f"pureservice: there is no ticket {ticket_id}")
        return self._ticket(answer.tickets[0])

    async def change_ticket(
        self,
        ticket_id: int,
        *,
        mark: str | None = None,
        status_id: int | None = None,
        silent: bool = False,
        solution: str | None = None,
    ) -> None:
        changes = {
            self._settings.CAMPAIGN_MARK_FIELD: mark,
            "statusId": status_id,
            "visibility": SILENT if silent else None,
            "solution": solution,
        }
        await self._patch(
            f"/ticket/{ticket_id}",
            {name: value for name, value in changes.items() if value is not None},
        )

    def _ticket(self, row: TicketRow) -> Ticket:
        return Ticket(
            id=row.id,
            request_number=row.request_number,
            end_user=row.email_address,
            subject=row.subject,
            status_id=row.status_id,
            deleted=row.is_marked_for_deletion,
            modified=row.changed,
            modified_by=row.modified_by_id,
            mark=row.text(self._settings.CAMPAIGN_MARK_FIELD),
            solution=row.solution,
            zone_id=row.assigned_department_id,
            team_id=row.assigned_team_id,
        )

    def _is_campaign_user(self, text: str) -> bool:
        """Whether any of the addresses in the text is a made-up one, however they are written."""
        ours = self._settings.campaign_users.keys()
        return not ours.isdisjoint(address_key(found) for found in _ADDRESS.findall(text))

    async def original(self, ticket_id: int) -> Original:
        answer = await self.wire.one(f"/ticket/{ticket_id}", "tickets", include="user")
        if not answer.tickets:
            raise PermanentError(f"pureservice: there is no ticket {ticket_id}")
        row = answer.tickets[0]
        own = {name: value for name, value in (row.model_extra or {}).items() if _CUSTOM(name)}
        own.pop(self._settings.CAMPAIGN_MARK_FIELD, None)
        users = [user.name for user in answer.linked.users if user.id == row.user_id]
        return Original(
            description=row.description,
            classification=_classification(row),
            fields=tuple(sorted(own.items())),
            end_user_name=users[0] if users else "",
        )

    async def recipient_tickets(self, campaign: str) -> list[TicketState]:
        beginning = ticket_key(campaign, "")
        answer = await self.wire.all(
            "/ticket/", "tickets", filter=f"{REFERENCE}.contains({quoted(beginning)})"
        )
        return [
            TicketState(row.id, row.request_number, key, row.status_id, row.changed)
            for row in answer.tickets
            if (key := row.text(REFERENCE)).startswith(beginning) and not row.is_marked_for_deletion
        ]

    async def related_tickets(self, ticket_id: int) -> set[int]:
        relation = (await self.names()).recipient_relation
        answer = await self.wire.all(
            f"/relationship/{ticket_id}/fromTicket",
            "relationships",
            filter=f"toTicketId != null AND typeId == {relation}",
        )
        return {
            row.to_ticket_id
            for row in answer.relationships
            if row.to_ticket_id and row.type_id == relation
        }

    async def relate_tickets(self, ticket_id: int, others: Sequence[int]) -> None:
        relation = (await self.names()).recipient_relation
        rows = [
            {
                "main": "toTicketId",
                "inverseMain": "fromTicketId",
                "links": {
                    "type": {"id": relation},
                    "fromTicket": {"id": ticket_id},
                    "toTicket": {"id": other},
                },
            }
            for other in others
        ]
        await self._post("/relationship/", {"relationships": rows})

    # -- messages

    async def communications_to_send(self, ticket_id: int) -> list[Candidate]:
        kind = f"{self._settings.MESSAGE_TYPE_FIELD} == {quoted(self._settings.MESSAGE_TYPE_NAME)}"
        answer = await self.wire.all(
            "/communication/",
            "communications",
            filter=f"ticketId == {ticket_id} AND {kind}",
            include="attachments",
        )
        return [
            await self._candidate("communication", row, row.text, answer)
            for row in answer.communications
        ]

    async def failed_emails(self, ticket_id: int) -> list[Candidate]:
        answer = await self.wire.all(
            "/email/",
            "emails",
            filter=f"ticketId == {ticket_id} AND direction == {OUTBOUND}",
            include="attachments",
        )
        return [
            await self._candidate("email", row, row.html or _paragraphs(row.text), answer)
            for row in answer.emails
            if row.status == FAILED
            and not (row.is_initial or row.is_system)
            and self._is_campaign_user(row.to)
        ]

    async def written_text(self, ticket_id: int, email_id: int) -> str | None:
        answer = await self.wire.all(
            "/communication/",
            "communications",
            filter=f"ticketId == {ticket_id} AND type == {MESSAGE} AND direction == {OUTBOUND}",
        )
        return next(
            (row.text for row in answer.communications if row.message_id == str(email_id)), None
        )

    async def _candidate(self, kind: str, row: MessageRow, html: str, answer: Answer) -> Candidate:
        return Candidate(
            key=f"{kind}:{row.id}",
            id=row.id,
            subject=row.subject,
            html=html,
            author=row.created_by_id,
            changed=row.changed,
            files=await self._files(kind, row, answer),
        )

    async def _files(self, kind: str, row: MessageRow, answer: Answer) -> tuple[Attachment, ...]:
        """The files of a message. Raises TransientError when one cannot be found."""
        known = {file.id: file for file in answer.linked.attachments}
        ids = row.attachments_ids
        if ids is None:
            if not known:
                return ()
            # the files of all the messages came, and nothing says whose: ask for this one alone
            alone = await self.wire.all(
                f"/{kind}/", f"{kind}s", filter=f"id == {row.id}", include="attachments"
            )
            return tuple(_attachment(file) for file in alone.linked.attachments)
        if missing := [id_ for id_ in ids if id_ not in known]:
            these = " OR ".join(f"id == {id_}" for id_ in missing)
            more = await self.wire.all("/attachment/", "attachments", filter=these)
            known |= {file.id: file for file in more.attachments}
        if lost := [id_ for id_ in ids if id_ not in known]:
            raise TransientError(f"pureservice: {kind} {row.id}: attachments {lost} are not there")
        return tuple(_attachment(known[id_]) for id_ in ids)

    async def mark_email_sent(self, email_id: int) -> None:
        # the one endpoint known to refuse our usual Accept
        await self._patch(f"/email/{email_id}", {"status": SENT}, accept=ANYTHING)

    async def notes(self, ticket_id: int) -> list[InternalNote]:
        answer = await self.wire.all(
            "/communication/",
            "communications",
            filter=f"ticketId == {ticket_id} AND type == {NOTE}",
        )
        return [InternalNote(row.text, row.created) for row in answer.communications]

    async def add_note(self, ticket_id: int, html: str) -> None:
        await self._post("/communication/", note_on(ticket_id, html))

    # -- files

    async def attachments(self, ticket_id: int) -> list[Attachment]:
        answer = await self.wire.all(
            "/attachment/", "attachments", filter=f"ticketId == {ticket_id}"
        )
        return [_attachment(row) for row in answer.attachments]

    async def download(self, attachment: Attachment) -> bytes:
        what = f"attachment {attachment.id}"
        media_type, data = await self.wire.file(f"/attachment/download/{attachment.id}")
        expected = f"{attachment.content_type} {PurePath(attachment.name).suffix}".casefold()
        if any(page in media_type and page not in expected for page in ("htm", "json")):
            raise PermanentError(f"pureservice: {what}: {media_type} came instead of the file")
        if attachment.size and attachment.size != len(data):
            raise PermanentError(
                f"pureservice: {what}: {len(data)} bytes, but it should have {attachment.size}"
            )
        return data

    async def attach(self, ticket_id: int, name: str, content_type: str, data: bytes) -> None:
        await self._post(
            "/attachment",
            {
                **file_row(name, content_type, visible=False),
                **bytes_of(data),
                "ticketId": ticket_id,
            },
        )

    # -- recipient lists

    async def lists(self, ticket_id: int) -> list[RecipientList]:
        names = await self.names()
        answer = await self.wire.all(
            f"/relationship/{ticket_id}/fromTicket",
            "relationships",
            filter=f"toAsset.typeId == {names.list_type}",
            include="toAsset",
        )
        assets = {asset.id: asset for asset in answer.linked.assets}
        found = {}
        for row in answer.relationships:
            if row.type_id not in names.ticket_relations:
                continue
            asset = assets.get(row.to_asset_id or 0)
            if asset is None:
                raise TransientError(
                    f"pureservice: ticket {ticket_id}: relation {row.id} came without its list"
                )
            if asset.type_id == names.list_type:
                found[asset.id] = RecipientList(
                    asset.id, asset.name, asset.is_marked_for_deletion, row.created or NEVER
                )
        return [found[id_] for id_ in sorted(found)]

    async def members(self, list_id: int, start: int) -> MemberPage:
        names = await self.names()
        types = " OR ".join(f"typeId == {id_}" for id_ in sorted(names.member_relations))
        # each of these paths has been seen elsewhere, the last of them not from a relation
        include = "toUser,toCompany,toUser.emailaddresses,toCompany.emailaddresses,toUser.company"

        async def page(for_letters: str) -> tuple[Answer, bool]:
            return await self.wire.page(
                f"/relationship/{list_id}/fromAsset",
                "relationships",
                start,
                filter=f"toTicketId == null AND ({types})",
                include=include + for_letters,
            )

        answer, last = await self._with_homes(page, ",toUser.address,toUser.phonenumbers")
        book = await self._book(answer.linked)
        try:
            members = tuple(book.member(row) for row in answer.relationships)
        except LookupError as error:
            raise TransientError(
                f"pureservice: list {list_id} from {start}: {error.args[0]}"
            ) from error
        return MemberPage(members, _fingerprint(members), last)

    async def users_at(self, addresses: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for some in in_portions(addresses, _ADDRESSES_AT_ONCE):
            users = reachable(await registered(self.wire, some))
            # where several have it, the first: as `PureserviceUsers` does
            theirs = {
                normalise_address(held): user for user, held in sorted(users.items(), reverse=True)
            }
            by_key = {address_key(held): user for held, user in theirs.items() if held}
            found |= {one: by_key[key] for one in some if (key := address_key(one)) in by_key}
        return found

    async def people(self, members: Sequence[str]) -> dict[str, Member]:
        found: dict[str, Member] = {}
        for kind, path, plural in (
            (MemberKind.USER, "/user/", "users"),
            (MemberKind.COMPANY, "/company/", "companies"),
        ):
            ids = sorted(
                {int(id_) for one in members for of, id_ in [one.split(":")] if of == kind}
            )
            for some in in_portions(ids, _IDS_AT_ONCE):
                terms = [f"id == {id_}" for id_ in some]
                answer = await self._people(kind, path, plural, terms)
                book = await self._book(answer.and_linked())
                try:
                    there = [book.owner(kind, id_) for id_ in some if book.has(kind, id_)]
                except LookupError as error:
                    raise TransientError(f"pureservice: GET {path}: {error.args[0]}") from error
                found |= {str(one): one for one in there}
        return found

    async def _people(
        self, kind: MemberKind, path: str, plural: str, terms: Sequence[str]
    ) -> Answer:
        async def ask(for_letters: str) -> Answer:
            include = ("emailaddresses,company" if users else "emailaddresses") + for_letters
            return await self.wire.any_of(path, plural, terms, include=include)

        users = kind is MemberKind.USER
        if not users:
            return await ask("")
        return await self._with_homes(ask, ",address,phonenumbers")

    async def _with_homes(self, ask: Callable[[str], Awaitable[T]], for_letters: str) -> T:
        """What is asked for, with users' postal addresses and telephones where letters are sent.

        These paths are taken from how the others are called, and have not been tried on a real
        tenant. Where they are refused, and nothing else is the matter, it is done without: lists
        must not be unreadable for e-mail because of it. What does not come is not known.
        """
        if not self._settings.DIGIPOST_CAMPAIGN_USER or self._has_homes is False:
            return await ask("")
        try:
            answer = await ask(for_letters)
        except PermanentError as error:
            if self._has_homes:
                raise
            answer = await ask("")
            self._has_homes = False
            log.warning("pureservice.postal_addresses_refused because=%s", error)
            return answer
        self._has_homes = True
        return answer

    async def _book(self, linked: Rows) -> "_Book":
        """What came, and the companies of users that did not, where they can be had.

        A user can be written to without: a message that names the company finds it missing.
        """
        book = _Book(linked, self._settings)
        missing = book.missing_companies()
        for some in in_portions(missing, _IDS_AT_ONCE):
            terms = [f"id == {id_}" for id_ in some]
            try:
                answer = await self.wire.any_of("/company/", "companies", terms)
            except (PermanentError, StoppedError) as error:
                log.warning("pureservice.companies_unknown because=%s", error)
                break
            book.add_companies(answer.companies)
        if missing:
            left = len(book.missing_companies())
            log.warning("pureservice.companies_apart asked=%s missing=%s", len(missing), left)
        return book

    # -- writes

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        await self.wire.write("POST", path, body)

    async def _patch(self, path: str, body: dict[str, Any], accept: str = JSON_API) -> None:
        await self.wire.write("PATCH", path, body, content_type="application/json", accept=accept)


def note_on(ticket_id: int, html: str) -> dict[str, Any]:
    """The body for an internal note: of all that can be posted, what is sure not to be mailed."""
    note = {
        "text": html,
        "type": NOTE,
        "direction": INTERNAL,
        "links": {"ticket": {"id": ticket_id}},
    }
    return {"communications": [note]}


def file_row(name: str, content_type: str, *, visible: bool) -> dict[str, Any]:
    """What every attachment says of itself, however its bytes come."""
    return {
        "name": PurePath(name).stem,
        "fileName": name,
        "contentType": content_type,
        "isVisible": visible,
    }


def bytes_of(data: bytes) -> dict[str, Any]:
    return {"bytes": b64encode(data).decode(), "size": f"{len(data) / 1024:.2f}K"}


class _Lookup:
    """Finds ids by the names in our settings, and gathers what could not be found."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.problems: list[str] = []

    def ids(
        self, setting: str, what: str, rows: Iterable[Named], *, optional: bool = False
    ) -> frozenset[int]:
        """All that have the name; none, and a problem, unless the setting may be left empty."""
        name = getattr(self._settings, setting).strip()
        found = frozenset(row.id for row in rows if _same(row.name, name))
        if not found and (name or not optional):
            self.problems.append(
                f"{setting}: there is no {what} named {name!r}, only {_listing(rows)}."
                " Correct the setting or make it in Pureservice"
            )
        return found

    def one(self, setting: str, what: str, rows: Iterable[Named], *, optional: bool = False) -> int:
        """The one that has the name, or 0; two of them are a problem as well."""
        found = self.ids(setting, what, rows, optional=optional)
        if len(found) > 1:
            self.problems.append(
                f"{setting}: there are {len(found)} of the kind {what} with this name;"
                " give them different names in Pureservice"
            )
        return min(found, default=0)

    def unsolved(self, setting: str, statuses: Iterable[Named]) -> int:
        """The status that has the name, for a ticket that somebody is yet to answer."""
        id_ = self.one(setting, "status for tickets", statuses)
        core = next((row.core_status for row in statuses if row.id == id_), None)
        if core is not None and core >= SOLVED_FROM:
            self.problems.append(
                f"{setting}: {getattr(self._settings, setting)!r} is a status for tickets that are"
                " solved. Choose one for tickets that wait for an answer"
            )
        return id_

    def senders(self, zones: Iterable[Named], teams: Iterable[Named]) -> None:
        places = [("SENDERS", key) for key in self._settings.SENDERS]
        places += [("LETTERHEADS", key) for key in self._settings.LETTERHEADS if key != "default"]
        for setting, key in places:
            kind, _, name = key.partition(":")
            rows = zones if kind == "zone" else teams
            if name not in {row.name.strip() for row in rows}:
                self.problems.append(
                    f"{setting}: there is no {kind} named {name!r}, only {_listing(rows)}."
                    f" Correct or remove {key!r}"
                )


class _Book:
    """The users and companies that came with a page of relations, and what is known of them.

    Settings name fields beyond what every user and company has.
    """

    def __init__(self, linked: Rows, settings: Settings) -> None:
        self._settings = settings
        self._fields = [
            (name, *field.split("."))
            for name, field in settings.RECIPIENT_FIELDS.items()
            if field != settings.DIGIPOST_NATIONAL_ID_FIELD  # what a message says is kept
        ]
        self._places = {row.id: row for row in linked.physicaladdresses}
        self._phones: dict[int, list[PhoneRow]] = defaultdict(list)
        for row in linked.phonenumbers:
            self._phones[row.user_id or 0].append(row)
        self._owners: dict[tuple[MemberKind, int], UserRow | CompanyRow] = {
            **{(MemberKind.USER, user.id): user for user in linked.users},
            **{(MemberKind.COMPANY, company.id): company for company in linked.companies},
        }
        self._companies = {company.id: company for company in linked.companies}
        self._addresses = {
            MemberKind.USER: {row.id: row for row in linked.emailaddresses},
            MemberKind.COMPANY: {row.id: row for row in linked.companyemailaddresses},
        }

    def member(self, row: RelationRow) -> Member:
        """Raises LookupError for what should have come and did not: left out, it would be lost."""
        if row.to_user_id is not None:
            kind, id_ = MemberKind.USER, row.to_user_id
        elif row.to_company_id is not None:
            kind, id_ = MemberKind.COMPANY, row.to_company_id
        else:
            raise LookupError(f"relation {row.id} leads to neither a user nor a company")
        if not self.has(kind, id_):
            raise LookupError(f"relation {row.id} came without {kind} {id_}")
        return replace(self.owner(kind, id_), relation=row.id)

    def has(self, kind: MemberKind, id_: int) -> bool:
        return (kind, id_) in self._owners

    def owner(self, kind: MemberKind, id_: int) -> Member:
        """Raises LookupError when their default address did not come with them."""
        owner = self._owners[kind, id_]
        address, values = self._address(kind, owner), self._values(owner)
        letters = bool(self._settings.DIGIPOST_CAMPAIGN_USER)
        addressee = self._addressee(owner, address or "") if letters else None
        return Member(
            kind, id_, owner.name, address, owner.disabled, fields=values, addressee=addressee
        )

    def missing_companies(self) -> list[int]:
        """Those that users belong to and that did not come along."""
        theirs = {row.company_id for row in self._owners.values() if isinstance(row, UserRow)}
        return sorted(id_ for id_ in theirs if id_ and id_ not in self._companies)

    def add_companies(self, companies: Iterable[CompanyRow]) -> None:
        """For what their users say of them; as members they are not known by this."""
        self._companies |= {company.id: company for company in companies}

    def _values(self, owner: UserRow | CompanyRow) -> tuple[tuple[str, str], ...]:
        """A user's own and those of their company; a company has no first name or title."""
        user = owner if isinstance(owner, UserRow) else None
        company = self._companies.get(user.company_id or 0) if user else owner
        known: dict[str, str] = {}
        if user:
            known |= {"first_name": user.first_name, "last_name": user.last_name}
            known["title"] = user.title
        if isinstance(company, CompanyRow):
            known["company"] = company.name
            known["organization_number"] = company.organization_number
        for name, whose, field in self._fields:
            row = user if whose == "user" else company
            known[name] = row.own(field) if row else ""
        return tidy_values(known.items())

    def _addressee(self, owner: UserRow | CompanyRow, address: str) -> Addressee:
        """As a letter is addressed to them: a user where they live, a company where a field says.

        Never a user at their company's address: it may be about them alone.
        """
        email = normalise_address(address) or ""
        kind = MemberKind.USER if isinstance(owner, UserRow) else MemberKind.COMPANY
        mapped = self._mapped_place(owner, kind)
        if isinstance(owner, CompanyRow):
            return addressee_of(
                name=tidy_name(owner.name),
                organization_number=owner.organization_number,
                email=email,
                place=mapped,
            )
        place = self._places.get(owner.address_id or 0)
        own = (
            Place((place.street_address,), place.postal_code, place.city, place.country)
            if place
            else Place()
        )
        return addressee_of(
            name=tidy_name(owner.name),
            first_name=tidy_name(owner.first_name),
            middle_name=tidy_name(owner.middle_name),
            last_name=tidy_name(owner.last_name),
            national_id=owner.own(_field(self._settings.DIGIPOST_NATIONAL_ID_FIELD)),
            birth_date=owner.own(_field(self._settings.DIGIPOST_BIRTH_DATE_FIELD)),
            phone=self._phone(owner),
            email=email,
            place=mapped if mapped.is_given else own,
        )

    def _mapped_place(self, owner: UserRow | CompanyRow, kind: MemberKind) -> Place:
        """The parts of an address that settings say which of this kind's fields have."""
        parts = {
            part: owner.own(_field(field))
            for part, field in self._settings.DIGIPOST_ADDRESS_FIELDS.items()
            if field.startswith(f"{kind}.")
        }
        lines = (parts.pop("line1", ""), parts.pop("line2", ""))
        return Place(lines, **parts)

    def _phone(self, user: UserRow) -> str:
        """A mobile number if there is one: it is what people give Digipost."""
        own = sorted(
            self._phones[user.id],
            key=lambda row: (row.type != MOBILE, row.id != user.phonenumber_id, row.id),
        )
        numbers = (phone_number(row.normalized_number or row.number) for row in own)
        return next(filter(None, numbers), "")

    def _address(self, kind: MemberKind, owner: UserRow | CompanyRow) -> str | None:
        """The default one; without a default the only one, or None."""
        addresses = self._addresses[kind]
        if owner.email_address_id is not None:
            if owner.email_address_id not in addresses:
                raise LookupError(f"{kind} {owner.id} came without its default address")
            return addresses[owner.email_address_id].email
        own = [row.email for row in addresses.values() if row.owner_id == owner.id]
        return own[0] if len(own) == 1 else None


def _field(setting: str) -> str:
    """`cf_1` of `user.cf_1`."""
    return setting.partition(".")[2]


def _fingerprint(members: Iterable[Member]) -> str:
    """Of who is on the page, and whether and where each is to be written to.

    Not of names and other values: each is read once, together with the rest of its member, so that
    none is lost or mixed up when somebody edits a contact meanwhile, and the list need not be read
    anew.
    """
    seen = [(who.relation, str(who), who.address, who.disabled) for who in members]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:16]


def _paragraphs(text: str) -> str:
    """Plain text as HTML that reads the same."""
    paragraphs = re.split(r"\n\s*\n", html.escape(text.replace("\r\n", "\n")).strip())
    return "".join(f"<p>{part.replace(chr(10), '<br>')}</p>" for part in paragraphs if part)


def _attachment(row: AttachmentRow) -> Attachment:
    return Attachment(
        id=row.id,
        name=row.file_name or row.name,
        content_type=row.content_type,
        size=row.content_length,
        visible=row.is_visible,
        embedded=row.embedded,
        content_id=row.content_id,
    )


def _classification(row: TicketRow) -> Classification | None:
    """None when the ticket lacks what Pureservice demands of a new one."""
    if not (
        row.request_type_id
        and row.ticket_type_id
        and row.priority_id
        and row.source_id
        and row.assigned_department_id
    ):
        return None
    return Classification(
        request_type=row.request_type_id,
        ticket_type=row.ticket_type_id,
        priority=row.priority_id,
        source=row.source_id,
        zone=row.assigned_department_id,
        team=row.assigned_team_id,
        agent=row.assigned_agent_id,
        category1=row.category1_id,
        category2=row.category2_id,
        category3=row.category3_id,
    )


def _same(first: str, second: str) -> bool:
    return first.strip().casefold() == second.strip().casefold()


def _listing(rows: Iterable[Named]) -> str:
    return ", ".join(sorted(repr(row.name) for row in rows)) or "none"
