"""Delivery reports from Event Grid: what is read of them, and what is never repeated."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dev.acs import AcsSimulator, RunningAcs
from shared.adapters.acs import AcsTransport
from shared.adapters.acs_reports import (
    REPORTED,
    VALIDATION,
    DeliveryReport,
    ReportStatus,
    delivery_reports,
    validation_code,
)
from tests.adapters.test_acs import mail, send
from tests.examples import settings as app_settings

ID = "fb9e3380-428f-4e59-95a1-fc82e99a5219"


def data(**changes: Any) -> dict[str, Any]:
    return {
        "sender": "post@fjordvik.no",
        "recipient": "kari@example.no",
        "messageId": ID,
        "internetMessageId": "<20417-1.5e9f.1@fjordvik.no>",
        "status": "Bounced",
        "deliveryStatusDetails": {
            "statusMessage": "550 5.1.1 <kari@example.no>: unknown user",
            "recipientMailServerHostName": "mx.example.no",
        },
        "deliveryAttemptTimestamp": "2026-02-03T08:15:30.99+00:00",
    } | changes


def grid_event(type_: str = REPORTED, **changes: Any) -> dict[str, Any]:
    return {
        "id": "0e0df3cb",
        "topic": "/subscriptions/x",
        "subject": f"sender/post@fjordvik.no/message/{ID}",
        "data": data(**changes),
        "eventType": type_,
        "dataVersion": "1.0",
        "metadataVersion": "1",
        "eventTime": "2026-02-03T08:16:00.2532364Z",
    }


def cloud_event(**changes: Any) -> dict[str, Any]:
    return {
        "id": "0e0df3cb",
        "source": "/subscriptions/x",
        "subject": f"sender/post@fjordvik.no/message/{ID}",
        "data": data(**changes),
        "type": REPORTED,
        "time": "2026-02-03T08:16:00.2532364Z",
        "specversion": "1.0",
    }


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


BOUNCE = DeliveryReport(
    operation=ID,
    status=ReportStatus.BOUNCED,
    recipient="kari@example.no",
    at=datetime(2026, 2, 3, 8, 15, 30, 990_000, UTC),
    detail="550 5.1.1 … unknown user",
    internet_message_id="<20417-1.5e9f.1@fjordvik.no>",
)


@pytest.mark.parametrize(
    "events", [[grid_event()], [cloud_event()], cloud_event()], ids=["grid", "clouds", "cloud"]
)
def test_a_report_reads_the_same_in_every_schema(events: Any) -> None:
    assert delivery_reports(body(events)) == [BOUNCE]
    assert validation_code(body(events)) is None


@pytest.mark.parametrize(
    ("said", "status", "arrived"),
    [
        ("Delivered", ReportStatus.DELIVERED, True),
        ("Expanded", ReportStatus.EXPANDED, True),
        ("Bounced", ReportStatus.BOUNCED, False),
        ("Suppressed", ReportStatus.SUPPRESSED, False),
        ("Failed", ReportStatus.FAILED, False),
        ("FilteredSpam", ReportStatus.FILTERED_SPAM, False),
        ("quarantined", ReportStatus.QUARANTINED, False),
    ],
)
def test_every_documented_status_is_known(said: str, status: ReportStatus, arrived: bool) -> None:
    (report,) = delivery_reports(body([grid_event(status=said)]))
    assert (report.status, report.arrived) == (status, arrived)


def test_older_spellings_are_read_too() -> None:
    old = grid_event(deliveryStatusDetails="No error.")
    del old["data"]["deliveryAttemptTimestamp"], old["data"]["internetMessageId"]
    old["data"]["deliveryAttemptTimeStamp"] = "2020-09-18T00:22:20.2855749Z"
    (report,) = delivery_reports(body([old]))
    assert report.at == datetime(2020, 9, 18, 0, 22, 20, 285_574, UTC)
    assert (report.detail, report.internet_message_id) == ("No error.", "")


def test_a_report_without_a_time_of_its_own_has_the_events() -> None:
    event = grid_event(deliveryAttemptTimestamp=None, deliveryStatusDetails=None)
    (report,) = delivery_reports(body([event]))
    assert report.at == datetime(2026, 2, 3, 8, 16, 0, 253_236, UTC)
    assert report.detail == ""


def test_a_time_without_a_zone_is_utc() -> None:
    (report,) = delivery_reports(body([grid_event(deliveryAttemptTimestamp="2026-02-03T08:15")]))
    assert report.at == datetime(2026, 2, 3, 8, 15, tzinfo=UTC)


def test_other_events_and_new_statuses_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    opened = grid_event("Microsoft.Communication.EmailEngagementTrackingReportReceived")
    opened["data"] = None
    new = grid_event(status="Teleported kari@example.no")
    assert delivery_reports(body([opened, new, grid_event()])) == [BOUNCE]
    assert "status=Teleported …" in caplog.text
    assert "kari@" not in caplog.text


def test_event_grids_question_is_answered() -> None:
    question = grid_event(VALIDATION) | {
        "data": {"validationCode": "512d38b6", "validationUrl": "https://rp.example/validate"}
    }
    assert validation_code(body([question])) == "512d38b6"
    assert delivery_reports(body([question])) == []


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"kari@example.no",
        b"[" * 100_000,
        body("kari@example.no"),
        body([{"data": data()}]),
    ],
)
def test_what_cannot_be_read_is_a_value_error_that_repeats_nothing(wrong: bytes) -> None:
    with pytest.raises(ValueError, match=r"^acs: ") as caught:
        delivery_reports(wrong)
    assert "kari" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    "wrong",
    [
        grid_event(recipient=None),
        grid_event(status=7),
        grid_event(messageId=None, internetMessageId=None),
        grid_event(deliveryAttemptTimestamp="kari@example.no"),
        grid_event() | {"data": "kari@example.no"},
        grid_event() | {"data": {"kari@example.no": data()}},
    ],
)
def test_one_that_cannot_be_read_is_logged_without_what_it_says_and_the_others_count(
    wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(delivery_reports(body([wrong, grid_event()]))) == 1
    assert "acs.unreadable_report" in caplog.text
    assert "kari" not in caplog.text


def test_a_question_without_a_code_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^acs: "):
        validation_code(body([grid_event(VALIDATION)]))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, database=None)
@given(field=st.sampled_from([*data(), "deliveryAttemptTimeStamp"]), value=JSON)
def test_whatever_stands_in_a_field_it_is_read_or_a_value_error(field: str, value: Any) -> None:
    try:
        reports = delivery_reports(body([grid_event(**{field: value})]))
    except ValueError as error:
        assert str(error).startswith("acs: ")
        assert "\n" not in str(error)
    else:
        assert all("@" not in report.detail for report in reports)
        assert all(report.at.tzinfo for report in reports)


async def test_the_simulators_reports_can_be_read() -> None:
    with RunningAcs(AcsSimulator()) as acs:
        transport = AcsTransport(
            app_settings(ACS_CONNECTION_STRING=acs.connection_string), lambda: datetime.now(UTC)
        )
        mails = [mail("kari@bounce.example"), mail("kari@example.no")]
        for one in mails:
            await send(transport, one)
        await transport.close()
        reports = delivery_reports(body(acs.simulator.reports()))
    assert [
        (report.operation, report.status, report.internet_message_id) for report in reports
    ] == [
        (mails[0].key, ReportStatus.BOUNCED, mails[0].message_id),
        (mails[1].key, ReportStatus.DELIVERED, mails[1].message_id),
    ]
