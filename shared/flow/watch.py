"""Watch: may this campaign's deliveries leave on this channel just now?

Asked before every claim, and answered from memory for a few seconds, so that a pause or a closed
gate acts everywhere within that time without costing a request per delivery.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shared.domain.alert import Alert
from shared.domain.campaign import Campaign, Phase
from shared.domain.pace import ChannelState, is_fresh
from shared.domain.window import Window
from shared.errors import ClashError, StoppedError, ThrottledError
from shared.ledger import Ledger


@dataclass(slots=True)
class Watch:
    ledger: Ledger
    windows: Mapping[str, Window] = field(default_factory=dict)  #: by channel; none: always open
    _campaigns: dict[str, tuple[datetime, Campaign | None]] = field(default_factory=dict)
    _channels: dict[str, tuple[datetime, ChannelState]] = field(default_factory=dict)

    async def held_until(
        self, campaign_id: str, gates: Sequence[str], now: datetime
    ) -> datetime | None:
        """None when it may leave; otherwise from when it is worth asking again."""
        campaign = await self._campaign(campaign_id, now)
        if campaign is None or campaign.phase is not Phase.SENDING or now < campaign.starts_at:
            return now
        states = [await self._channel(gate, now) for gate in gates]
        waits = [s.gate_until for s in states if s.gate_closed(now)]
        waits += [self.windows[gate].opens(now) for gate in gates if gate in self.windows]
        until = max(waits, default=now)
        return until if until > now else None

    async def closed_until(self, gate: str, now: datetime) -> datetime:
        return (await self._channel(gate, now)).gate_until

    async def close_gate(
        self, channel: str, until: datetime, reason: str, now: datetime
    ) -> ChannelState:
        """Nobody on the channel claims anything before then, on any host."""
        return await self._change(channel, now, lambda state: state.close_gate(until, reason, now))

    async def rest(self, gate: str, error: ThrottledError | StoppedError, now: datetime) -> None:
        """The gate is closed for as long as the error says.

        People are told when it is of no use until one of them acts.
        """
        state = await self.close_gate(gate, now + error.retry_after, str(error), now)
        if isinstance(error, StoppedError):
            await self.ledger.alerts.raised(Alert.channel_stopped(state), now)

    async def went_through(self, gates: Sequence[str], now: datetime) -> None:
        """Something got out on these: an incident that we know of is over."""
        for gate in gates:
            known = self._channels.get(gate)
            if known and known[1].doubtful and not known[1].gate_closed(now):
                await self._change(gate, now, ChannelState.went_through)

    async def _change(
        self, channel: str, now: datetime, change: Callable[[ChannelState], ChannelState]
    ) -> ChannelState:
        for _ in range(3):
            state = await self.ledger.channels.get(channel)
            changed = change(state)
            try:
                if changed != state:
                    changed = await self.ledger.channels.save(changed)
            except ClashError:
                continue  # somebody took slots or closed it too: look again
            self._channels[channel] = (now, changed)
            return changed
        return state

    async def _campaign(self, campaign_id: str, now: datetime) -> Campaign | None:
        known = self._campaigns.get(campaign_id)
        if known is None or not is_fresh(known[0], now):
            if len(self._campaigns) > 1_000:
                self._campaigns.clear()
            known = (now, await self.ledger.campaigns.get(campaign_id))
            self._campaigns[campaign_id] = known
        return known[1]

    async def _channel(self, channel: str, now: datetime) -> ChannelState:
        known = self._channels.get(channel)
        if known is None or not is_fresh(known[0], now):
            known = (now, await self.ledger.channels.get(channel))
            self._channels[channel] = known
        return known[1]
