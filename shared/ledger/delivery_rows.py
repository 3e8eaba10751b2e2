"""The rows of a campaign's partition, in and out of columns. `deliveries.py` names the kinds."""

import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Protocol, TypeVar

from shared.domain.addressee import Addressee, Flaw, PostalAddress
from shared.domain.delivery import (
    Claim,
    Delivery,
    OpenDelivery,
    Outcome,
    Reason,
    Status,
)
from shared.domain.recipient import LeftOut, LeftOutReason, Member, MemberKind, Recipient
from shared.ledger.rows import moment, stamp
from shared.ports import Insert, Put, Row, Value

#: The bytes that values may take of a transaction, in which each of them is twice. It takes four
#: million in all, and from one million on the client warns of it.
_VALUES_TOGETHER = 350_000
#: A provider's own words are kept, but not whole essays.
_DETAIL_LENGTH = 1_000


class _HasRecipient(Protocol):
    @property
    def recipient(self) -> Recipient: ...


T = TypeVar("T", bound=_HasRecipient)


def in_transactions(items: Sequence[T], most: int) -> Iterator[list[T]]:
    """In portions of so many, and of fewer where their recipients have very much to be said."""
    some: list[T] = []
    size = 0
    for one in items:
        who = one.recipient
        own = len(json.dumps(_values_column(who))) + len(json.dumps(_addressee_column(who)))
        if some and (len(some) == most or size + own > _VALUES_TOGETHER):
            yield some
            some, size = [], 0
        some.append(one)
        size += own
    if some:
        yield some


def new_rows(delivery: Delivery) -> tuple[Insert, Insert]:
    """A planned delivery: its account, and what is left to do."""
    return (
        Insert(f"d:{delivery.id}", delivery_columns(delivery)),
        Insert(f"o:{delivery.id}", open_columns(delivery)),
    )


def delivery_columns(delivery: Delivery) -> dict[str, Value]:
    return {
        **_recipient_columns(delivery.recipient),
        "channel": delivery.channel,
        "status": delivery.status,
        "round": delivery.round,
        "attempts": delivery.attempts,
        "reason": delivery.reason,
        "reference": delivery.reference,
        "detail": delivery.detail,
        "settled_at": stamp(delivery.settled_at),
        "page": delivery.page,
        "earlier_attempts": delivery.earlier_attempts,
    }


def open_columns(delivery: Delivery) -> dict[str, Value]:
    return {
        **_recipient_columns(delivery.recipient),
        "round": delivery.round,
        "attempt": delivery.attempts,
        "token": "",
        "until": "",
        "slot": "",
        "not_before": "",
        "note": "",
        "submitted_at": "",
        "poisoned": 0,
        "channel": delivery.channel,
        "answer": "",
    }


def outcome_columns(
    opened: OpenDelivery, outcome: Outcome, at: datetime, attempts: int = 0
) -> dict[str, Value]:
    """What an outcome changes in the account. A late one never lowers the number of attempts."""
    return {
        "status": outcome.status,
        "reason": outcome.reason,
        "reference": outcome.reference,
        "detail": outcome.detail[:_DETAIL_LENGTH],
        "attempts": max(opened.attempt, attempts),
        "settled_at": stamp(at),
    }


def problem_row(opened: OpenDelivery, outcome: Outcome, at: datetime) -> Put:
    return Put(
        f"p:{opened.id}",
        {"status": outcome.status, "reason": outcome.reason, "settled_at": stamp(at)},
    )


def attempt_key(opened: OpenDelivery) -> str:
    return history_key(opened.id, opened.round, opened.attempt)


def history_key(delivery: str, round_: int, attempt: int) -> str:
    """Attempts are counted anew in each round, and sort behind those of the rounds before.

    >>> history_key("3f2a", 1, 2), history_key("3f2a", 2, 1)
    ('a:3f2a:002', 'a:3f2a:r002:001')
    """
    in_round = "" if round_ == 1 else f"r{round_:03}:"
    return f"a:{delivery}:{in_round}{attempt:03}"


def attempt_row(opened: OpenDelivery, outcome: Outcome, at: datetime) -> Insert:
    return Insert(
        attempt_key(opened),
        {
            "round": opened.round,
            "status": outcome.status,
            "reason": outcome.reason,
            "reference": outcome.reference,
            "detail": outcome.detail[:_DETAIL_LENGTH],
            "at": stamp(at),
            "token": opened.claim.token if opened.claim else "",
        },
    )


def left_out_key(left_out: LeftOut) -> str:
    member = left_out.member
    return f"s:{left_out.list_id}:{member}:{member.relation}"


def left_out_row(left_out: LeftOut) -> Put:
    member = left_out.member
    return Put(
        left_out_key(left_out),
        {
            "name": member.name,
            "address": member.address or "",
            "reason": left_out.reason,
            "detail": left_out.detail,
            "page": left_out.page,
        },
    )


def _recipient_columns(recipient: Recipient) -> dict[str, Value]:
    return {
        "member": recipient.member,
        "name": recipient.name,
        "address": recipient.address,
        "user": str(recipient.user),
        "values": _values_column(recipient),
        "addressee": _addressee_column(recipient),
    }


def _values_column(recipient: Recipient) -> str:
    return json.dumps(dict(recipient.values), ensure_ascii=False) if recipient.values else ""


def _recipient(row: Row) -> Recipient:
    return Recipient(
        member=str(row.values["member"]),
        name=str(row.values["name"]),
        address=str(row.values["address"]),
        user=int(row.values["user"]),
        values=_values(str(row.values.get("values") or "")),  # old rows have none
        addressee=_addressee(str(row.values.get("addressee") or "")),
    )


def _addressee_column(recipient: Recipient) -> str:
    """What is kept is named here, so that nothing else ever is: no national identity number."""
    who = recipient.addressee
    if who is None:
        return ""
    postal = who.postal
    kept = {
        "name": who.name,
        "first_name": who.first_name,
        "middle_name": who.middle_name,
        "last_name": who.last_name,
        "has_national_id": who.has_national_id,
        "organization_number": who.organization_number,
        "birth_date": who.birth_date.isoformat() if who.birth_date else "",
        "phone": who.phone,
        "email": who.email,
        "flaws": list(who.flaws),
        "lines": list(postal.lines) if postal else [],
        "postal_code": postal.postal_code if postal else "",
        "city": postal.city if postal else "",
        "country": postal.country if postal else "",  # "" where there is no address
    }
    return json.dumps({name: value for name, value in kept.items() if value}, ensure_ascii=False)


def _addressee(column: str) -> Addressee | None:
    if not column:
        return None
    kept = json.loads(column)
    postal = None
    if country := kept.get("country"):
        lines = tuple(kept.get("lines", ()))
        postal = PostalAddress(lines, kept.get("postal_code", ""), kept.get("city", ""), country)
    born = kept.get("birth_date")
    return Addressee(
        name=kept.get("name", ""),
        first_name=kept.get("first_name", ""),
        middle_name=kept.get("middle_name", ""),
        last_name=kept.get("last_name", ""),
        has_national_id=kept.get("has_national_id", False),
        organization_number=kept.get("organization_number", ""),
        birth_date=date.fromisoformat(born) if born else None,
        phone=kept.get("phone", ""),
        email=kept.get("email", ""),
        postal=postal,
        flaws=tuple(Flaw(flaw) for flaw in kept.get("flaws", ())),
    )


def _values(column: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(json.loads(column).items())) if column else ()


def read_delivery(campaign: str, row: Row) -> Delivery:
    v = row.values
    return Delivery(
        id=row.key.removeprefix("d:"),
        campaign=campaign,
        recipient=_recipient(row),
        channel=str(v["channel"]),
        status=Status(str(v["status"])),
        round=int(v["round"]),
        attempts=int(v["attempts"]),
        reason=Reason(str(v["reason"])),
        reference=str(v["reference"]),
        detail=str(v["detail"]),
        settled_at=moment(v["settled_at"]),
        page=int(v["page"]),
        earlier_attempts=int(v.get("earlier_attempts", 0)),  # old rows have none
        version=row.version,
    )


def read_open(campaign: str, row: Row) -> OpenDelivery:
    v = row.values
    token = str(v["token"])
    return OpenDelivery(
        id=row.key.removeprefix("o:"),
        campaign=campaign,
        recipient=_recipient(row),
        round=int(v["round"]),
        attempt=int(v["attempt"]),
        claim=Claim(token, moment(v["until"])) if token else None,
        slot=moment(v["slot"]),
        not_before=moment(v["not_before"]),
        note=str(v["note"]),
        submitted_at=moment(v["submitted_at"]),
        poisoned=int(v["poisoned"]),
        channel=str(v.get("channel", "")),  # old rows have none
        answer=str(v.get("answer", "")),
        version=row.version,
    )


def read_left_out(row: Row) -> LeftOut:
    _, list_id, kind, member_id, relation = row.key.split(":")
    return LeftOut(
        int(list_id),
        Member(
            MemberKind(kind),
            int(member_id),
            str(row.values["name"]),
            str(row.values["address"]) or None,
            relation=int(relation),
        ),
        LeftOutReason(str(row.values["reason"])),
        int(row.values["page"]),
        str(row.values.get("detail", "")),  # old rows have none
    )
