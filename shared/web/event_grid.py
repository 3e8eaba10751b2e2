"""What Azure tells us by itself: what became of mails that Azure Communication Services took on.

Event Grid posts it, in its own schema or as CloudEvents, and wants to be let in first.
"""

import logging

from shared.adapters.acs_reports import (
    DeliveryReport,
    ReportStatus,
    delivery_reports,
    validation_code,
)
from shared.domain.bounce import BounceKind, Returned
from shared.errors import StorageError
from shared.flow.bounce import Came, came_back
from shared.ledger import Ledger
from shared.ports import Clock
from shared.settings import Settings
from shared.web.requests import Answer, problem

log = logging.getLogger(__name__)

#: The address is no good: ACS has learnt so now, or before. All else is about the mail or us.
_NO_SUCH_ADDRESS = {ReportStatus.BOUNCED, ReportStatus.SUPPRESSED}


async def acs_reports(body: bytes, *, ledger: Ledger, settings: Settings, clock: Clock) -> Answer:
    """Take in what came back. What is too early or fails is answered so that it is sent again."""
    try:
        if code := validation_code(body):
            log.info("event_grid.validated")
            return Answer(200, {"validationResponse": code})
        reports = delivery_reports(body)
    except ValueError:
        return problem(400, "These are no events", "Send what Event Grid sends.")
    again = False
    for report in reports:
        if report.arrived:
            continue
        try:
            came = await came_back(
                _returned(report),
                source="acs",
                at=report.at,
                ledger=ledger,
                settings=settings,
                clock=clock,
            )
        except StorageError as error:
            log.warning("event_grid.postponed because=%s", error)
            again = True
        else:
            again = again or came is Came.TOO_EARLY
    if again:
        return problem(503, "Not all of it could be taken in", "Send it again in some minutes.")
    return Answer(200, {"read": len(reports)})


def _returned(report: DeliveryReport) -> Returned:
    names = (report.internet_message_id, report.operation)
    hard = report.status in _NO_SUCH_ADDRESS
    return Returned(
        tuple(name for name in names if name),
        BounceKind.HARD if hard else BounceKind.REFUSED,
        f"{report.status} {report.detail}".strip(),
        (report.recipient,),
    )
