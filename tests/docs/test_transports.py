"""The tables of docs/transports.md say of every answer what the code makes of it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import httpx
import pytest
from aiosmtplib import SMTPServerDisconnected
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
)
from azure.identity import CredentialUnavailableError

from shared import errors
from shared.adapters import acs, graph_wire, smtp
from shared.adapters.acs import AcsTransport
from shared.adapters.acs_reports import DeliveryReport, ReportStatus
from shared.domain.bounce import BounceKind
from shared.errors import TransientError, UncertainError, UtsendelseError
from shared.settings import TRANSPORTS
from shared.web import event_grid
from tests.docs.test_docs import codes, rows, section
from tests.examples import settings

DOCUMENT = "docs/transports.md"
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
#: What a class of answers is tried with.
OF_CLASS = {"3xx": (354,), "4xx": (404, 450, 452), "5xx": (500, 502, 504, 550, 551, 554)}
UNSETTLED = {"sent", "submitted", "–"}


@dataclass(frozen=True)
class Row:
    """At this step, this answer becomes that."""

    step: str
    answer: str
    becomes: str
    remark: str

    @property
    def status(self) -> str:
        return self.answer.partition(" ")[0]

    @property
    def said(self) -> str:
        return self.answer.partition(" ")[2]


@cache
def table(heading: str) -> tuple[Row, ...]:
    """Its rows, one for each step and answer. What stands for a class of answers comes last."""
    found = []
    for line in re.findall(r"^\| (.+) \|$", section(DOCUMENT, heading), re.MULTILINE):
        cells = [cell.strip() for cell in f"{line} ".split(" | ")]
        if len(cells) < 3 or cells[0] in ("Step", "---", "ACS says"):
            continue
        step, answer, becomes, *rest = cells
        answers = [one.strip().strip("`") for one in re.split(r", (?=`|none|no )", answer)]
        for place in [one.strip().strip("`") for one in step.split(",")]:
            found += [Row(place, one, becomes.strip("`"), " ".join(rest)) for one in answers]
    assert found
    return tuple(found)


def played(heading: str, steps: list[str]) -> list[tuple[str, Row, int]]:
    """Each step with the rows that hold there and are answers, and the status to try them with."""
    found = []
    for row in table(heading):
        if row.becomes in UNSETTLED or not re.match(r"\d", row.answer):
            continue
        places = [row.step] if row.step != "any" else [s for s in steps if not has(heading, s, row)]
        for place in places:
            named = {r.status for r in table(heading) if r.step in (place, "any") and not r.said}
            for status in OF_CLASS.get(row.status) or (int(row.status),):
                if row.status not in OF_CLASS or str(status) not in named:
                    found.append((place, row, status))
    return found


def has(heading: str, step: str, row: Row) -> bool:
    """Whether the step has a row of its own for this answer."""
    return any(one.step == step and one.answer == row.answer for one in table(heading))


def made(kind: Callable[[str], UtsendelseError]) -> tuple[str, timedelta | None]:
    error = kind("…")
    return type(error).__name__, getattr(error, "retry_after", None)


def becomes(row: Row, kind: Callable[[str], UtsendelseError]) -> None:
    name, wait = made(kind)
    assert name == row.becomes, row
    assert ("an hour" in row.remark and "at most" not in row.remark) == (
        name == "ThrottledError" and wait == timedelta(hours=1)
    ), row


# --- what each answer means ---


def test_every_error_in_the_tables_is_one_of_ours() -> None:
    told = {row.becomes for heading in HEADINGS for row in table(heading)} - UNSETTLED
    assert told == rows(section(DOCUMENT, "What each answer means")).keys()
    assert all(issubclass(getattr(errors, name), UtsendelseError) for name in told)


HEADINGS = ("SMTP", "Microsoft Graph", "Azure Communication Services")
SMTP_STEPS = [str(stage) for stage in smtp.Stage if stage is not smtp.Stage.CONTENT]
GRAPH_STEPS = ["draft", "attachment", "send", "look-up", "inbox"]
ACS_STEPS = ["send", "look-up"]


@pytest.mark.parametrize(("step", "row", "status"), played("SMTP", SMTP_STEPS))
def test_of_smtp(step: str, row: Row, status: int) -> None:
    becomes(row, smtp._meaning(smtp.Stage(step), status, row.said))


@pytest.mark.parametrize(
    ("step", "row", "status"),
    [one for one in played("Microsoft Graph", GRAPH_STEPS) if one[0] != "token"],
)
def test_of_graph(step: str, row: Row, status: int) -> None:
    answer = httpx.Response(status, json={"error": {"code": row.said}})
    kind = graph_wire._meaning(graph_wire.Step(step), graph_wire.Refusal(answer), NOW)
    becomes(row, kind)


@pytest.mark.parametrize(
    ("step", "row", "status"), played("Azure Communication Services", ACS_STEPS)
)
def test_of_acs(step: str, row: Row, status: int) -> None:
    doubt: type[UtsendelseError] = UncertainError if step == "send" else TransientError
    error = HttpResponseError("…")
    error.status_code = status
    kind = acs._meaning(error, acs._Problem(code=row.said), doubt, NOW)
    becomes(row, kind)


@pytest.mark.parametrize("heading", HEADINGS[:2])
def test_no_step_and_no_kind_of_answer_is_forgotten(heading: str) -> None:
    steps = SMTP_STEPS if heading == "SMTP" else [*GRAPH_STEPS, "token"]
    for step in steps:
        answers = {row.answer for row in table(heading) if row.step == step}
        assert {"5xx", "none"} <= answers, step
        assert heading != "SMTP" or "4xx" in answers, step


# --- when there is no answer ---


def silent(heading: str, steps: list[str], answer: str = "none") -> list[tuple[str, Row]]:
    found = [row for row in table(heading) if row.answer == answer]
    return [(step, row) for row in found for step in ([row.step] if row.step != "any" else steps)]


@pytest.mark.parametrize(("step", "row"), silent("SMTP", SMTP_STEPS))
@pytest.mark.parametrize("lost", [TimeoutError(), SMTPServerDisconnected("…")])
def test_of_smtp_that_says_nothing(step: str, row: Row, lost: Exception) -> None:
    with (
        pytest.raises(UtsendelseError) as caught,
        smtp._in_our_words("…", smtp._Progress(smtp.Stage(step))),
    ):
        raise lost
    assert type(caught.value).__name__ == row.becomes


@pytest.mark.parametrize(
    ("step", "row", "lost"),
    [
        *((step, row, httpx.ReadTimeout("…")) for step, row in silent("Microsoft Graph", [])),
        *(
            (step, row, httpx.ConnectError("…"))
            for step, row in silent("Microsoft Graph", GRAPH_STEPS, "no connection")
        ),
    ],
)
def test_of_graph_that_says_nothing(step: str, row: Row, lost: Exception) -> None:
    with (
        pytest.raises(UtsendelseError) as caught,
        graph_wire.in_our_words("…", graph_wire.Progress(graph_wire.Step(step)), lambda: NOW),
    ):
        raise lost
    assert type(caught.value).__name__ == row.becomes


@pytest.mark.parametrize("row", [row for row in table("Microsoft Graph") if row.step == "token"])
def test_of_who_gives_tokens_for_graph(row: Row) -> None:
    refused = ClientAuthenticationError("…")
    if row.answer != "none":
        status = OF_CLASS[row.status][0] if row.status in OF_CLASS else int(row.status)
        refused.response = httpx.Response(status)  # type: ignore[assignment]
    lost = httpx.ReadTimeout("…") if row.answer == "none" else refused
    with (
        pytest.raises(UtsendelseError) as caught,
        graph_wire.in_our_words("…", graph_wire.Progress(graph_wire.Step.TOKEN), lambda: NOW),
    ):
        raise lost
    assert type(caught.value).__name__ == row.becomes


TOKEN_TROUBLE = {
    "no identity": CredentialUnavailableError("…"),
    "refused": ClientAuthenticationError("…"),
    "none": ServiceResponseError("…"),
}


@pytest.mark.parametrize(
    ("step", "row", "lost"),
    [
        *(
            (step, row, ServiceResponseError("…"))
            for step, row in silent("Azure Communication Services", [])
            if step != "token"
        ),
        *(
            (step, row, ServiceRequestTimeoutError("…"))
            for step, row in silent("Azure Communication Services", ACS_STEPS, "no connection")
        ),
        *(
            ("token", row, TOKEN_TROUBLE[row.answer])
            for row in table("Azure Communication Services")
            if row.step == "token"
        ),
    ],
)
async def test_of_acs_that_says_nothing(step: str, row: Row, lost: Exception) -> None:
    transport = AcsTransport(settings(), lambda: NOW)
    doubt: type[UtsendelseError] = UncertainError if step == "send" else TransientError
    with pytest.raises(UtsendelseError) as caught:
        async with transport._in_our_words("…", doubt) as progress:
            progress.asked = step != "token"
            raise lost
    await transport.close()
    assert type(caught.value).__name__ == row.becomes


# --- what has become of it ---


def told_later() -> Iterator[tuple[str, set[str]]]:
    text = section(DOCUMENT, "Azure Communication Services").partition("| ACS says |")[2]
    for line in re.findall(r"^\| (.+) \|$", text, re.MULTILINE):
        first, second = line.split(" | ")
        yield from ((one, codes(second)) for one in sorted(codes(first)) or [first])


@pytest.mark.parametrize(("said", "told"), [one for one in told_later() if one[0] != "---|---"])
def test_what_acs_says_later_of_a_mail_is_what_the_delivery_becomes(
    said: str, told: set[str]
) -> None:
    operation = None if said == "404" else acs._Operation(status=said)
    outcome = acs._outcome("…", operation)
    named = {str(outcome.status), str(outcome.reason)} - {""}
    assert named == told - {"ACS_WAIT_MINUTES"}


def test_every_report_of_acs_is_explained_with_what_follows() -> None:
    told = rows(section(DOCUMENT, "What comes back"))
    reports = {name: cells for name, cells in told.items() if name not in TRANSPORTS}
    assert reports.keys() == {str(status) for status in ReportStatus}
    for status in ReportStatus:
        report = DeliveryReport("…", status, "kari@example.no", NOW)
        _, delivery, address = reports[status]
        assert (delivery == "bounced") == (not report.arrived)
        hard = event_grid._returned(report).kind is BounceKind.HARD
        assert (address == "suppressed") == (hard and not report.arrived)


# --- the rest of the page ---


@pytest.mark.parametrize(
    "heading", ["Which one", "What each promises", "Limits", "What comes back"]
)
def test_every_transport_has_its_row(heading: str) -> None:
    assert rows(section(DOCUMENT, heading)).keys() >= TRANSPORTS


def test_the_lease_that_all_of_them_need_is_what_the_settings_ask_for() -> None:
    [lease] = re.findall(r": (\d+) with all three", section(DOCUMENT, "Several"))
    every = {"EMAIL_TRANSPORTS": "graph,acs,smtp"}
    assert settings(**every, LEASE_SECONDS=int(lease))
    with pytest.raises(ValueError, match="must be at least twice"):
        settings(**every, LEASE_SECONDS=int(lease) - 1)
