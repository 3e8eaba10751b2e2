"""Watch: may this campaign's deliveries leave on this channel just now?

Asked before every claim, and answered from memory for a few seconds, so that a pause or a closed
gate acts everywhere within that time without costing a request per delivery.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.domain.campaign import Campaign, Phase
from shared.domain.pace import ChannelState
from shared.errors import ClashError
from shared.ledger import Ledger

FRESH_FOR = timedelta(seconds=15)


@dataclass(slots=True)
class Watch:
    ledger: Ledger
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
        return max((s.gate_until for s in states if s.gate_closed(now)), default=None)

    async def close_gate(self, channel: str, until: datetime, reason: str, now: datetime) -> None:
        """Nobody on the channel claims anything before then, on any host."""
        for _ in range(3):
            state = await self.ledger.channels.get(channel)
            closed = state.close_gate(until, reason)
            try:
                if closed is not state:
                    closed = await self.ledger.channels.save(closed)
            except ClashError:
                continue  # somebody took slots or closed it too: look again
            self._channels[channel] = (now, closed)
            return

    async def _campaign(self, campaign_id: str, now: datetime) -> Campaign | None:
        known = self._campaigns.get(campaign_id)
        if known is None or known[0] + FRESH_FOR <= now:
            if len(self._campaigns) > 1_000:
                self._campaigns.clear()
            known = (now, await self.ledger.campaigns.get(campaign_id))
            self._campaigns[campaign_id] = known
        return known[1]

    async def _channel(self, channel: str, now: datetime) -> ChannelState:
        known = self._channels.get(channel)
        if known is None or known[0] + FRESH_FOR <= now:
            known = (now, await self.ledger.channels.get(channel))
            self._channels[channel] = known
        return known[1]
