"""Requests: what an operator asks for over HTTP, and what they are answered. JSON both ways.

An address comes in the body, since addresses of pages end up in logs.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import wraps
from typing import Annotated, Literal, ParamSpec, TypeVar
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
)

from shared.domain.delivery import NEVER
from shared.domain.orders import Verdict
from shared.domain.register import Entry
from shared.domain.suppression import Suppression, SuppressionReason, address_print
from shared.errors import StorageError
from shared.flow.decide import Decision, decide
from shared.flow.erase import Known, erase, find
from shared.flow.register_csv import register_csv
from shared.flow.settle import settle_by_hand
from shared.ledger import Ledger
from shared.ledger.erasure import is_member
from shared.ports import Clock, Files
from shared.settings import Address

P = ParamSpec("P")
Body = Mapping[str, object]

_CAMPAIGN = re.compile(r"[1-9]\d*-[1-9]\d*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: a status, and an object for the body."""

    status: int
    body: Body
    kind: str = "application/json"


def problem(status: int, title: str, detail: str) -> Answer:
    """Why a request cannot be met, and what to do (RFC 9457)."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Answer(status, body, "application/problem+json")


class _Refused(Exception):
    """The request cannot be met; `answer` says why, and what to do."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(title)
        self.answer = problem(status, title, detail)


def _answered(handle: Callable[P, Awaitable[Body]]) -> Callable[P, Awaitable[Answer]]:
    """With the answer around what it finds, or around why it cannot."""

    @wraps(handle)
    async def answer(*args: P.args, **options: P.kwargs) -> Answer:
        try:
            return Answer(200, await handle(*args, **options))
        except _Refused as refused:
            return refused.answer
        except StorageError:
            again = "What was done so far stands. Ask again in a minute: that is harmless."
            return _Refused(503, "The storage does not answer", again).answer

    return answer


# --- a person's data ---


ListMember = Annotated[str, StringConstraints(pattern=r"^(user|company):[1-9][0-9]{0,18}$")]


class Person(BaseModel):
    """Whom it is about."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    address: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=320)]


class PersonAsMember(BaseModel):
    """The same, as a member of the recipient lists."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    member: ListMember


_PERSON = '{"address": "kari@example.no"}'
_WHO = f'{_PERSON} or {{"member": "user:31"}}'


@_answered
async def find_person(body: bytes, *, ledger: Ledger) -> Body:
    """Where the ledger knows the address, or the member."""
    found = await find(_who(body), ledger=ledger)
    return {
        "campaigns": [_told(known) for known in found.campaigns],
        "rows": sum(known.rows for known in found.campaigns),
        "register": list(found.register),
    }


@_answered
async def erase_person(body: bytes, *, ledger: Ledger, files: Files, clock: Clock) -> Body:
    """Erase whom the address belongs to, or the member, wherever the ledger knows them."""
    found = await erase(_who(body), ledger=ledger, files=files, clock=clock)
    in_flight = sum(known.in_flight for known in found.campaigns)
    return {
        "campaigns": [{**_told(known), "in_flight": known.in_flight} for known in found.campaigns],
        "erased": sum(known.rows for known in found.campaigns) - in_flight,
        "in_flight": in_flight,
        "register": list(found.register),
        "asking_digipost": found.asking,
    }


def _who(body: bytes) -> str:
    """Whoever is not named as a member is named by an address."""
    try:
        return _read(PersonAsMember, body, _WHO).member
    except _Refused:
        return _read(Person, body, _WHO).address


def _told(known: Known) -> dict[str, object]:
    """The campaign's ticket has lists and notes that name the person; their own may as well."""
    return {
        "campaign": known.campaign.id,
        "ticket": known.campaign.request_number,
        "own_tickets": list(known.own_tickets),
        "deliveries": len(known.deliveries),
        "left_out": len(known.left_out),
    }


# --- the register ---


class Members(BaseModel):
    """Whom it is about."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    members: Annotated[list[ListMember], Field(min_length=1, max_length=1_000)]


_MEMBERS = '{"members": ["user:31", "company:9"]}, at most a thousand'


@_answered
async def find_in_register(body: bytes, *, ledger: Ledger) -> Body:
    """What Digipost has answered about these members; who has not been asked about is unknown."""
    members = list(dict.fromkeys(_read(Members, body, _MEMBERS).members))
    found = await ledger.register.entries(members)
    return {
        "members": [_entry(found[member]) for member in members if member in found],
        "unknown": [member for member in members if member not in found],
    }


def _entry(entry: Entry) -> Body:
    return {
        "member": entry.member,
        "standing": entry.standing,
        "digipost_address": entry.digipost_address,
        "alias": entry.alias,
        "reasons": list(entry.reasons),
        "washed": entry.washed,
        "asked_by": entry.by,
        "asked_at": _time(entry.asked_at),
        "job": entry.job,
    }


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows; `behind` is where the next one begins, if there is more."""

    data: bytes
    behind: str


async def register_file(behind: str, *, ledger: Ledger) -> Table | Answer:
    """The register as CSV, from behind this member on ("": from the beginning)."""
    if behind and not is_member(behind):
        detail = "`behind` is a member, user:31, as the header Link of the answer before has it."
        return problem(422, "There is no such place to go on from", detail)
    try:
        return Table(*await register_csv(ledger.register, behind))
    except StorageError:
        return problem(503, "The storage does not answer", "Ask again in a minute.")


# --- addresses that are not written to ---


class OfAddress(BaseModel):
    """Which address it is about."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    address: Address


class Suppress(OfAddress):
    """Why it is not to be written to, and for how many days; for good when nothing is said."""

    reason: SuppressionReason
    days: Annotated[int, Field(strict=True, ge=1, le=3_650)] | None = None


_SUPPRESS = '{"address": "kari@example.no", "reason": "unsubscribed", "days": 365}, or no days'
#: Who has done it, as far as a function key tells.
_HTTP = "http"


@_answered
async def suppress(body: bytes, *, ledger: Ledger, clock: Clock) -> Body:
    """Do not write to the address any more. What lasts longer already stays as it is."""
    asked, now = _read(Suppress, body, _SUPPRESS), clock()
    expires = now + timedelta(days=asked.days) if asked.days else NEVER
    new = Suppression(address_print(asked.address), asked.reason, _HTTP, now, expires)
    known = await ledger.suppressions.get(asked.address)
    if known is None or known.joined(new, now) != known:
        detail = f"{asked.reason} until={_time(expires) or 'lifted'}"
        await ledger.audit.record(now, _HTTP, "suppression.added", new.print, detail)
    stands = await ledger.suppressions.add(
        asked.address, asked.reason, source=_HTTP, now=now, expires=expires
    )
    return _suppression(stands, now)


@_answered
async def lift_suppression(body: bytes, *, ledger: Ledger, clock: Clock) -> Body:
    """Write to the address again."""
    address = _read(OfAddress, body, _PERSON).address
    known = await ledger.suppressions.get(address)
    if known:
        detail = str(known.reason)
        await ledger.audit.record(clock(), _HTTP, "suppression.lifted", known.print, detail)
    return {"lifted": await ledger.suppressions.lift(address)}


@_answered
async def find_suppression(body: bytes, *, ledger: Ledger, clock: Clock) -> Body:
    """Whether the address is written to, and if not, why."""
    address = _read(OfAddress, body, _PERSON).address
    known = await ledger.suppressions.get(address)
    return _suppression(known, clock()) if known else {"suppressed": False}


def _suppression(known: Suppression, now: datetime) -> Body:
    return {
        "suppressed": known.lasts(now),
        "reason": known.reason,
        "source": known.source,
        "since": _time(known.since),
        "expires": _time(known.expires),
        "fingerprint": known.print,
    }


# --- a campaign ---


class Found(BaseModel):
    """What a person has found out about uncertain deliveries."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    sent: StrictBool
    deliveries: Literal["all"] | Annotated[list[UUID], Field(min_length=1, max_length=1_000)]


_FOUND = '{"sent": false, "deliveries": ["<id>", …]}, or "all" in place of the ids'


@_answered
async def settle_uncertain(campaign: str, body: bytes, *, ledger: Ledger, clock: Clock) -> Body:
    """Take the caller's word for these deliveries of the campaign that are uncertain."""
    found = _read(Found, body, _FOUND)
    if not (_CAMPAIGN.fullmatch(campaign) and await ledger.campaigns.get(campaign)):
        raise _no_campaign("No such campaign")
    only = None if found.deliveries == "all" else {str(one) for one in found.deliveries}
    verdict = Verdict("", found.sent, clock())
    settled = await settle_by_hand(
        campaign, [verdict], ledger=ledger, clock=clock, by="http", only=only
    )
    if counted := await ledger.progress.get(campaign):
        known = settled.sent + settled.not_sent
        await ledger.progress.keep(
            replace(
                counted,
                uncertain=max(0, counted.uncertain - known),
                failed=counted.failed + settled.not_sent,
            )
        )
    return {
        "sent": settled.sent,
        "not_sent": settled.not_sent,
        "still_uncertain": settled.left,
    }


@_answered
async def campaign_progress(campaign: str, *, ledger: Ledger) -> Body:
    """How far it has come, as it was counted last: one request to the storage."""
    progress = await ledger.progress.get(campaign) if _CAMPAIGN.fullmatch(campaign) else None
    if progress is None:
        raise _no_campaign("No such campaign, or it has not begun to send")
    return {
        "campaign": progress.campaign,
        "phase": progress.phase,
        "planned": progress.planned,
        "left_out": progress.left_out,
        "open": progress.open,
        "failed": progress.failed,
        "uncertain": progress.uncertain,
        "counted_at": _time(progress.at),
        "moved_at": _time(progress.moved_at),
    }


def _no_campaign(title: str) -> _Refused:
    return _Refused(
        404,
        title,
        "A campaign is named by its ticket's number and which campaign on it this is: 20417-1.",
    )


def _time(moment: datetime) -> str | None:
    return None if moment == NEVER else moment.isoformat()


class Decided(BaseModel):
    """What has become of a letter job."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    decision: Decision


_DECIDED = '{"decision": "received"}, or "not_received", or "uncertain" when nobody can tell'


@_answered
async def decide_job(
    campaign: str, number: str, body: bytes, *, ledger: Ledger, clock: Clock
) -> Body:
    """What a person has found out about a job with letters that nobody knew the fate of."""
    decided = _read(Decided, body, _DECIDED)
    if not (_CAMPAIGN.fullmatch(campaign) and number.isdecimal()):
        raise _no_campaign("No such campaign, or no such job")
    job = await decide(campaign, int(number), decided.decision, ledger=ledger, clock=clock)
    if job is None:
        title = "There is no job with letters of that number that waits for this decision"
        raise _Refused(409, title, "The note on the ticket, and the alert, say which does.")
    await ledger.audit.record(
        clock(),
        who="http",
        what="job.decided",
        subject=f"job:{job.id}",
        detail=decided.decision,
    )
    return {"job": job.id, "state": job.state, "letters": job.letters}


# --- what comes in ---

Model = TypeVar("Model", bound=BaseModel)


def _read(model: type[Model], body: bytes, example: str) -> Model:
    """The body as this model. What was wrong is named by its field, and never repeated."""
    try:
        content = json.loads(body)
    except ValueError:
        raise _Refused(400, "The body is not JSON", f"Send {example}.") from None
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_context=False, include_url=False)
        fields = sorted({str(problem["loc"][0]) for problem in problems if problem["loc"]})
        about = f"Wrong or missing: {', '.join(fields)}. " if fields else ""
        raise _Refused(
            422, "The body is not what is asked for", f"{about}Send {example}."
        ) from None
