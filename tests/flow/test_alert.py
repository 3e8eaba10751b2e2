"""People are told once per cause, whoever fails, and in words that help."""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.alert import Alert, Cause, Notice
from shared.domain.campaign import Campaign, Phase
from shared.domain.pace import ChannelState
from shared.errors import (
    DoubtfulError,
    PermanentError,
    StoppedError,
    ThrottledError,
    TransientError,
    UncertainError,
    UtsendelseError,
)
from shared.flow.alert import LONGEST_TURN, MOST, tell_alerts
from shared.ledger import TABLES, Ledger
from shared.ports import Write
from tests.examples import ROOT, settings
from tests.fakes import Clock, MemoryTable

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
CAMPAIGN = Campaign("20417-1", 731, 20417, "email", NOW, "n", Phase.SENDING, problem="no_lists")
ALL = [
    Alert.blocked(CAMPAIGN),
    Alert.self_paused(CAMPAIGN),
    Alert.key_refused(NOW),
    Alert.name_unknown(NOW),
    Alert.silent(NOW),
    *(
        Alert.channel_stopped(ChannelState(gate, closed_since=NOW))
        for gate in ("email", "email-smtp", "email-graph", "email-acs")
    ),
    Alert.channel_stopped(ChannelState("ticket", closed_since=NOW)),
    Alert.poison(CAMPAIGN),
    Alert.stuck(CAMPAIGN, NOW),
    Alert.uncertain(CAMPAIGN),
    Alert.channel_stopped(ChannelState("digipost", closed_since=NOW)),
    *(Alert.letter_job(CAMPAIGN, 1, what) for what in ("silent", "no_result", "unknown")),
    *(
        Alert.receipt(what, what)
        for what in ("unreadable", "unknown_job", "unknown_words", "contradicts", "late")
    ),
    *(Alert.register(1, what) for what in ("failed", "no_result")),
]
BLOCKED = ALL[0]


@dataclass
class Listener:
    """A herald that keeps what it is told. `fails` decides about each, before it is kept."""

    name: str
    fails: Callable[[str], UtsendelseError | None] = lambda key: None
    notices: list[Notice] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def tell(self, notice: Notice) -> None:
        self.asked.append(notice.alert.key)
        if error := self.fails(notice.alert.key):
            raise error
        self.notices.append(notice)

    async def close(self) -> None: ...

    @property
    def told(self) -> list[str]:
        return [notice.alert.key for notice in self.notices]


class BrokenTable(MemoryTable):
    """Loses its tongue at the `dies_at`-th write."""

    dies_at = 0

    async def write(self, partition: str, *writes: Write) -> list[str]:
        self.dies_at -= 1
        if self.dies_at == 0:
            raise DoubtfulError("no answer")
        return await super().write(partition, *writes)


class Room:
    """A ledger, a clock, and those who listen."""

    def __init__(self, **changes: Any) -> None:
        self.clock = Clock(NOW)
        self.settings = settings(INSTALLATION="fjordvik", **changes)
        self.table = BrokenTable()
        others = {name: MemoryTable() for name in TABLES if name != "campaigns"}
        self.ledger = Ledger.on(campaigns=self.table, **others)
        self.mail, self.webhook = Listener("email"), Listener("webhook")

    @property
    def heralds(self) -> tuple[Listener, ...]:
        return (self.mail, self.webhook)

    async def raised(self, *alerts: Alert) -> None:
        for alert in alerts:
            await self.ledger.alerts.raised(alert, self.clock())

    async def minute(self, heralds: Sequence[Listener] | None = None) -> None:
        self.clock.tick(minutes=1)
        await tell_alerts(
            ledger=self.ledger,
            heralds=self.heralds if heralds is None else heralds,
            settings=self.settings,
            clock=self.clock,
        )


@pytest.fixture
def room() -> Room:
    return Room()


def numbered(count: int) -> list[Alert]:
    return [Alert(f"stuck:{n:03}-1:x", Cause.STUCK, "email", f"{n:03}-1", n) for n in range(count)]


# -- once per cause


async def test_every_herald_is_told_once_however_often_it_is_raised(room: Room) -> None:
    for _ in range(3):
        await room.raised(BLOCKED)
        await room.minute()
    assert room.mail.told == room.webhook.told == [BLOCKED.key]


async def test_a_minute_without_alerts_costs_one_request(room: Room) -> None:
    await room.raised(BLOCKED)
    await room.minute()
    others: Any = {name: None for name in TABLES if name != "campaigns"}
    room.ledger = Ledger.on(campaigns=room.table, **others)
    await room.minute()
    assert room.mail.told == [BLOCKED.key]


async def test_without_heralds_it_is_logged_and_over(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    await room.raised(BLOCKED)
    with caplog.at_level(logging.INFO):
        await room.minute([])
        await room.minute([])
    [line] = caplog.messages
    assert line.startswith(f"alert.raised cause=blocked campaign_id=20417-1 key={BLOCKED.key}")
    assert caplog.records[0].levelname == "WARNING"
    await room.minute()  # one that is configured later hears no old news
    assert room.mail.told == []


# -- failures


FAILURES = [TransientError, ThrottledError, StoppedError, PermanentError, UncertainError]


@pytest.mark.parametrize("kind", FAILURES)
async def test_one_herald_that_fails_stops_no_other_and_tells_nobody_twice(
    room: Room, caplog: pytest.LogCaptureFixture, kind: type[UtsendelseError]
) -> None:
    await room.raised(BLOCKED)
    room.mail.fails = lambda key: kind("smtp: not now")
    await room.minute()
    assert room.webhook.told == [BLOCKED.key]
    assert f"alert.not_told herald=email key={BLOCKED.key} because=smtp: not now" in caplog.text
    room.mail.fails = lambda key: None
    for _ in range(20):
        await room.minute()
    assert room.mail.told == room.webhook.told == [BLOCKED.key]


async def test_what_failed_is_tried_again_the_next_minute(room: Room) -> None:
    await room.raised(BLOCKED)
    room.mail.fails = lambda key: TransientError("smtp: 450")
    for _ in range(3):
        await room.minute()
    assert len(room.mail.asked) == 3


@pytest.mark.parametrize(
    ("error", "minutes"),
    [(StoppedError("535"), 15), (ThrottledError("429", timedelta(minutes=5)), 5)],
)
async def test_a_herald_that_does_not_want_us_is_left_alone_for_a_while(
    room: Room, error: UtsendelseError, minutes: int
) -> None:
    await room.raised(BLOCKED, *numbered(3))
    room.mail.fails = lambda key: error
    for _ in range(minutes):
        await room.minute()
    assert len(room.mail.asked) == 1
    await room.minute()
    assert len(room.mail.asked) == 2


async def test_an_answer_that_is_lost_twice_counts(room: Room) -> None:
    """Else one who hears us, and is slow to say so, hears the same each minute."""
    await room.raised(BLOCKED)
    room.webhook.fails = lambda key: UncertainError("timed out")
    for _ in range(5):
        await room.minute()
    assert room.webhook.asked == [BLOCKED.key] * 2
    assert await room.ledger.alerts.untold() == []


async def test_one_that_is_always_refused_does_not_keep_the_others_back(room: Room) -> None:
    alerts = numbered(8)
    await room.raised(*alerts)
    room.mail.fails = lambda key: PermanentError("554") if key == alerts[3].key else None
    for _ in range(8):
        await room.minute()
    assert sorted(room.mail.told) == sorted({one.key for one in alerts} - {alerts[3].key})


@pytest.mark.parametrize("write", [1, 2, 3])
async def test_a_crash_in_between_repeats_one_and_loses_none(room: Room, write: int) -> None:
    alerts = numbered(2)
    await room.raised(*alerts)
    room.table.dies_at = write  # of: told, told, over (which may fail without a word)
    try:
        await room.minute([room.mail])
    except DoubtfulError:
        assert write < 3
    await room.minute([room.mail])
    assert {*room.mail.told} == {one.key for one in alerts}
    assert len(room.mail.told) == (3 if write < 3 else 2)
    assert await room.ledger.alerts.untold() == []


# -- bounds


async def test_some_twenty_are_told_a_minute_and_the_rest_the_next(room: Room) -> None:
    alerts = numbered(2 * MOST + 5)
    await room.raised(*alerts)
    counts = []
    for _ in range(3):
        await room.minute()
        counts.append(len(room.mail.told))
    assert counts == [MOST, 2 * MOST, 2 * MOST + 5]
    assert sorted(room.mail.told) == sorted(room.webhook.told) == [one.key for one in alerts]


async def test_a_slow_herald_takes_up_no_more_than_its_turn(room: Room) -> None:
    def slow(key: str) -> None:
        room.clock.tick(seconds=9)

    await room.raised(*numbered(MOST))
    room.mail.fails = slow
    began = room.clock()
    await room.minute()
    assert len(room.mail.told) == 3  # the third began within it
    assert len(room.webhook.told) == MOST
    assert room.clock() - began <= timedelta(minutes=1) + LONGEST_TURN + timedelta(seconds=10)


# -- words


async def notices(room: Room, *alerts: Alert) -> list[Notice]:
    await room.raised(*alerts)
    for _ in range(1 + len(alerts) // MOST):
        await room.minute()
    return room.mail.notices


@pytest.mark.parametrize("alert", ALL, ids=lambda alert: alert.key)
async def test_each_cause_says_what_it_means_and_where_to_read_what_to_do(
    room: Room, alert: Alert
) -> None:
    [told] = await notices(room, alert)
    assert "\n" not in told.subject and 10 < len(told.subject) < 80
    assert re.search(r"^For mottakerne: \S", told.text, re.MULTILINE)
    assert re.search(r"^Dette gjør du: \S", told.text, re.MULTILINE)
    [heading] = re.findall(r"Se «(.+)» i docs/operations\.md", told.text)
    operations = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert re.search(rf"^#+ {re.escape(heading)}$", operations, re.MULTILINE), heading
    assert "Installasjon: fjordvik\nOppdaget: 23.11.2026 kl. 09:00\n" in told.text
    assert not re.search(r"\n\n\n|&\w+;|[{}]", told.text)


@pytest.mark.parametrize("alert", ALL, ids=lambda alert: alert.key)
async def test_what_concerns_a_ticket_has_its_number_and_link(room: Room, alert: Alert) -> None:
    [told] = await notices(room, alert)
    link = room.settings.ticket_link(20417)
    if alert.ticket:
        assert "på sak 20417" in told.subject
        assert f"Sak: 20417, {link}\nMasseutsendelse: 20417-1\n" in told.text
        assert told.link == link
    else:
        assert told.link == ""
        assert "Sak:" not in told.text


async def test_uncertain_letters_are_told_as_letters(room: Room) -> None:
    [told] = await notices(room, Alert.uncertain(replace(CAMPAIGN, channel="digipost")))
    assert told.subject == "Usikkert om alle på sak 20417 har fått brevet"
    assert "For minst ett brev vet vi ikke hvordan det gikk." in told.text


async def test_no_two_causes_are_told_in_the_same_words(room: Room) -> None:
    await notices(room, *ALL)
    await room.minute()  # no more than MOST in one
    told = room.mail.notices
    assert len({one.subject for one in told}) == len({one.text for one in told}) == len(ALL)
    assert {alert.cause for alert in ALL} == set(Cause)


@pytest.mark.parametrize(
    ("transport", "subject", "settings_"),
    [
        ("smtp", "E-postserveren slipper oss ikke til", {"SMTP_USER", "SMTP_PASSWORD"}),
        ("graph", "Microsoft Graph slipper oss ikke til", {"GRAPH_CLIENT_SECRET"}),
        ("acs", "Azure Communication Services slipper oss ikke til", {"ACS_CONNECTION_STRING"}),
    ],
)
async def test_a_stopped_transport_is_told_by_its_own_name_and_settings(
    transport: str, subject: str, settings_: set[str]
) -> None:
    """Where there is but one its gate is the channel's; else others may still send."""
    every = {"SMTP_USER", "SMTP_PASSWORD", "GRAPH_CLIENT_SECRET", "ACS_CONNECTION_STRING"}
    alone = Room(EMAIL_TRANSPORTS=transport)
    [told] = await notices(alone, Alert.channel_stopped(ChannelState("email", closed_since=NOW)))
    one_of = Room(EMAIL_TRANSPORTS="graph,acs,smtp", LEASE_SECONDS=400)
    gate = ChannelState(f"email-{transport}", closed_since=NOW)
    [among] = await notices(one_of, Alert.channel_stopped(gate))
    assert told.subject == subject
    assert "får den senere" in told.text and "deliver.channel_waits" in told.text
    assert "EMAIL_TRANSPORTS" not in told.text
    assert among.subject.startswith("E-post går ikke lenger med ")
    assert "en av de andre i EMAIL_TRANSPORTS" in among.text and "email.refused" in among.text
    for one in (told, among):
        assert {name for name in every if name in one.text} == settings_


async def test_the_link_stands_as_it_is(room: Room) -> None:
    odd = Room(PURESERVICE_URL="https://fjordvik.pureservice.example/a'b&c")
    [told] = await notices(odd, BLOCKED)
    assert odd.settings.ticket_link(20417) in told.text
