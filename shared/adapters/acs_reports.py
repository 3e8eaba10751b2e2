"""What Azure Communication Services reports of mails that it took on, through Event Grid.

A webhook gets Event Grid's own schema, an array, or CloudEvents 1.0, one event or an array. The
spelling is not the same in every version of the documentation, so what differs is taken as it
comes: `deliveryAttemptTimeStamp` or `…Timestamp`, details as an object or as a text.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, BaseModel, Field, TypeAdapter, ValidationError

from shared.domain.html import masked

log = logging.getLogger(__name__)

REPORTED = "Microsoft.Communication.EmailDeliveryReportReceived"
VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"


class ReportStatus(StrEnum):
    DELIVERED = "delivered"  #: the recipient's mail server has it
    EXPANDED = "expanded"  #: it was a list, and its members get reports of their own
    BOUNCED = "bounced"  #: refused for good: no such address, no such domain
    SUPPRESSED = "suppressed"  #: bounced before, so that Azure did not even try
    FAILED = "failed"  #: not delivered; the detail may say why
    FILTERED_SPAM = "filteredspam"  #: taken for spam
    QUARANTINED = "quarantined"  #: kept back as spam, phishing or the like


_ARRIVED = {ReportStatus.DELIVERED, ReportStatus.EXPANDED}


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What became of one mail to one address. `operation` is what its sending was called by us."""

    operation: str
    status: ReportStatus
    recipient: str  #: to be hashed: never to be logged or kept as it is
    at: datetime
    detail: str = ""
    internet_message_id: str = ""  #: "" where the event does not tell

    @property
    def arrived(self) -> bool:
        return self.status in _ARRIVED


def validation_code(body: bytes) -> str | None:
    """What Event Grid wants to see again before it sends anything; None when it does not ask.

    Raises ValueError when these are no events. CloudEvents are asked for with OPTIONS instead.
    """
    for event in _events(body):
        if event.type == VALIDATION:
            return _read(_VALIDATIONS, event.data).code
    return None


def delivery_reports(body: bytes) -> list[DeliveryReport]:
    """The reports in it; other events, and what is new to us or cannot be read, are left out.

    Raises ValueError when these are no events, with nothing of what they say.
    """
    reports = []
    for event in _events(body):
        if event.type == REPORTED:
            try:
                reports.append(_report(event))
            except ValueError as error:  # and the others in the same body are none the worse
                log.warning("acs.unreadable_report because=%s", error)
    return [report for report in reports if report]


class _Event(BaseModel):
    type: str = Field(validation_alias=AliasChoices("eventType", "type"))
    time: datetime | None = Field(None, validation_alias=AliasChoices("eventTime", "time"))
    data: Any = None


class _Details(BaseModel):
    message: str | None = Field(None, validation_alias=AliasChoices("statusMessage"))


_Id = Annotated[str, Field(max_length=1000)]


class _Reported(BaseModel):
    recipient: str
    status: str
    operation: _Id | None = Field(None, validation_alias=AliasChoices("messageId"))
    message_id: _Id | None = Field(None, validation_alias=AliasChoices("internetMessageId"))
    details: _Details | str | None = Field(
        None, validation_alias=AliasChoices("deliveryStatusDetails", "DeliveryStatusDetails")
    )
    at: datetime | None = Field(
        None,
        validation_alias=AliasChoices("deliveryAttemptTimestamp", "deliveryAttemptTimeStamp"),
    )


class _Validation(BaseModel):
    code: str = Field(validation_alias=AliasChoices("validationCode"), min_length=1)


_EVENTS: TypeAdapter[list[_Event] | _Event] = TypeAdapter(list[_Event] | _Event)
_REPORTS = TypeAdapter(_Reported)
_VALIDATIONS = TypeAdapter(_Validation)

Read = TypeVar("Read")


def _events(body: bytes) -> list[_Event]:
    try:
        events = _EVENTS.validate_json(body)
    except ValidationError as error:
        raise _unreadable(error) from None
    return events if isinstance(events, list) else [events]


def _read(model: TypeAdapter[Read], data: Any) -> Read:
    try:
        return model.validate_python(data)
    except ValidationError as error:
        raise _unreadable(error) from None


def _report(event: _Event) -> DeliveryReport | None:
    told = _read(_REPORTS, event.data)
    at = told.at or event.time
    if at is None or not (told.operation or told.message_id):
        raise ValueError("acs: a report without a time or of an unnamed mail")
    try:
        status = ReportStatus(told.status.strip().lower())
    except ValueError:
        log.warning("acs.unknown_report status=%s", masked(told.status)[:40])
        return None
    details = told.details.message if isinstance(told.details, _Details) else told.details
    return DeliveryReport(
        operation=told.operation or "",
        status=status,
        recipient=told.recipient,
        at=at if at.tzinfo else at.replace(tzinfo=UTC),
        detail=masked(details or ""),
        internet_message_id=told.message_id or "",
    )


def _unreadable(error: ValidationError) -> ValueError:
    """Where it is wrong, and nothing of what stands there."""
    problem: Mapping[str, Any] = error.errors(include_input=False, include_url=False)[0]
    return ValueError(f"acs: not an event as documented: {problem['type']}")
