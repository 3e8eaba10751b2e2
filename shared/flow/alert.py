"""Alert: people outside the helpdesk are told what needs a person, once per cause.

A note on an absent colleague's ticket is read by nobody, and with an expired key none is written.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from shared.domain.alert import Notice
from shared.domain.pace import ChannelState, another_first_each_minute
from shared.errors import (
    StoppedError,
    StorageError,
    ThrottledError,
    UncertainError,
    UtsendelseError,
)
from shared.flow.wording import render
from shared.ledger import Ledger
from shared.ledger.alerts import Untold
from shared.ports import Clock, Herald
from shared.settings import Settings

log = logging.getLogger(__name__)

MOST = 20
#: A herald that is slow gets nothing more in this round after that.
LONGEST_TURN = timedelta(seconds=20)


async def tell_alerts(
    *, ledger: Ledger, heralds: Sequence[Herald], settings: Settings, clock: Clock
) -> None:
    """Tell each herald what it has not been told, some twenty a minute. With none, log it.

    What fails is tried again next minute, or when the herald can be tried again, and stops no other
    herald. At least once: a crash between telling and noting it tells again. But an answer that
    was lost twice counts, or one who hears us and is slow to say so would be told each minute.
    """
    waiting = another_first_each_minute(await ledger.alerts.untold(), clock())[:MOST]
    told = {one.alert.key: set(one.told) for one in waiting}
    for herald in heralds:
        new = [one for one in waiting if herald.name not in one.told]
        for key in await _turn(herald, new, ledger, settings, clock) if new else ():
            told[key].add(herald.name)
    for one in waiting:
        alert, by = one.alert, told[one.alert.key]
        if all(herald.name in by for herald in heralds):
            log.warning(
                "alert.raised cause=%s campaign_id=%s key=%s told=%s",
                alert.cause,
                alert.campaign,
                alert.key,
                ",".join(sorted(by)),
            )
            with suppress(StorageError):  # next minute nobody is told again, and it is over then
                await ledger.alerts.over(alert, clock())


async def _turn(
    herald: Herald, new: Sequence[Untold], ledger: Ledger, settings: Settings, clock: Clock
) -> list[str]:
    """The keys of what it has been told now: all, or what came before the first failure."""
    gate = await ledger.channels.get(f"alert-{herald.name}")
    until = clock() + LONGEST_TURN
    told: list[str] = []
    for one in new:
        if gate.gate_closed(clock()) or clock() >= until:
            break
        try:
            await herald.tell(_in_words(one, settings))
        except UtsendelseError as error:
            log.warning(
                "alert.not_told herald=%s key=%s because=%s", herald.name, one.alert.key, error
            )
            if not (isinstance(error, UncertainError) and herald.name in one.doubted):
                await _failed(herald, one, error, gate, ledger, clock())
                break
        await ledger.alerts.told(one.alert, herald.name, clock())
        told.append(one.alert.key)
    return told


async def _failed(
    herald: Herald,
    one: Untold,
    error: UtsendelseError,
    gate: ChannelState,
    ledger: Ledger,
    now: datetime,
) -> None:
    """Whom a person must let in is left alone for a while: log-ins would lock the account."""
    if isinstance(error, UncertainError):
        await ledger.alerts.doubted(one.alert, herald.name, now)
    elif isinstance(error, ThrottledError | StoppedError):
        with suppress(StorageError):  # another host has noted it; or next minute does
            await ledger.channels.save(gate.close_gate(now + error.retry_after, str(error), now))


def _in_words(untold: Untold, settings: Settings) -> Notice:
    alert = untold.alert
    link = settings.ticket_link(alert.ticket) if alert.ticket else ""
    text = render(
        "alert.txt",
        alert=alert,
        at=untold.at,
        link=link,
        installation=settings.INSTALLATION,
        transport=_transport(alert.channel, settings),
    )
    subject, _, rest = text.strip().partition("\n")
    return Notice(alert, subject, rest.strip() + "\n", link, settings.INSTALLATION)


def _transport(channel: str, settings: Settings) -> str:
    """Whose gate of e-mail it is; where there is but one transport, it is the channel's."""
    if channel == "email":
        return settings.transports[0]
    return channel.removeprefix("email-") if channel.startswith("email-") else ""
