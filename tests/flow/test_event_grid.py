"""What Event Grid posts of mails that Azure Communication Services took on."""

import json

import pytest

from shared.domain.delivery import Outcome, Reason, Status
from shared.errors import DoubtfulError
from shared.web.event_grid import acs_reports
from tests.flow.test_bounce import by, scene

OPERATION = "5e9f6a3c-0000-5000-8000-000000000001"
SENT = Outcome(Status.SENT, reference=f"acs:{OPERATION}")


def report(status, address="0@example.no", operation=OPERATION):
    return {
        "id": "1",
        "topic": "/subscriptions/x",
        "subject": "sender/post@example.org/message/1",
        "eventType": "Microsoft.Communication.EmailDeliveryReportReceived",
        "eventTime": "2026-11-23T08:00:00Z",
        "data": {
            "sender": "post@example.org",
            "recipient": address,
            "messageId": operation,
            "status": status,
            "deliveryStatusDetails": {"statusMessage": "550 no such user"},
            "deliveryAttemptTimeStamp": "2026-11-23T08:00:00Z",
        },
    }


async def post(house, *events):
    return await acs_reports(
        json.dumps(events).encode(), ledger=house.ledger, settings=house.settings, clock=house.clock
    )


async def mailed(house):
    campaign = await scene(house, SENT)
    await house.ledger.references.remember(OPERATION, await by(house, campaign, 0))
    return campaign


async def test_whoever_asks_to_be_let_in_is_answered_with_the_code(house):
    asks = {
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "data": {"validationCode": "512d38b6"},
    }
    answer = await post(house, asks)
    assert (answer.status, answer.body) == (200, {"validationResponse": "512d38b6"})


@pytest.mark.parametrize(
    ("status", "suppressed"), [("Bounced", True), ("Suppressed", True), ("FilteredSpam", False)]
)
async def test_what_came_back_has_failed_and_an_address_that_is_none_is_suppressed(
    house, status, suppressed
):
    campaign = await mailed(house)
    assert (await post(house, report(status))).status == 200
    delivery = await by(house, campaign, 0)
    assert (delivery.status, delivery.reason) == (Status.FAILED, Reason.BOUNCED)
    known = await house.ledger.suppressions.get("0@example.no")
    assert (known is not None) is suppressed


@pytest.mark.parametrize("event", [report("Delivered"), report("Bounced", operation="another")])
async def test_what_has_arrived_or_is_none_of_ours_changes_nothing(house, event):
    campaign = await mailed(house)
    assert (await post(house, event)).status == 200
    assert (await by(house, campaign, 0)).status is Status.SENT


async def test_what_is_no_event_is_refused_without_repeating_it(house):
    answer = await acs_reports(
        b"kari@example.no", ledger=house.ledger, settings=house.settings, clock=house.clock
    )
    assert answer.status == 400
    assert "kari" not in str(answer.body)


async def test_while_the_ledger_is_away_event_grid_is_asked_to_come_again(house):
    campaign = await mailed(house)

    async def away(*_):
        raise DoubtfulError("503")

    there, house.tables["references"].get = house.tables["references"].get, away
    assert (await post(house, report("Bounced"))).status == 503
    house.tables["references"].get = there
    assert (await post(house, report("Bounced"))).status == 200
    assert (await by(house, campaign, 0)).reason is Reason.BOUNCED
