"""The whole system: from the ticket's go to its report, and round again, steered by a person.

The helpdesk is the simulator, behind the real client; what fails there is a call as a whole.
"""

from collections.abc import Sequence
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from shared.domain.campaign import ENDED, Campaign
from tests.flow.edges import our_files
from tests.model.events import Event, happenings
from tests.model.machine import SOLVED, Host, Model
from tests.model.providers import Mail, Provider, Pureservice

READY, RUNNING = "Utsending – klar", "Utsending – pågår"
STATUS = {
    "go": READY,
    "pause": "Utsending – pause",
    "cancel": "Utsending – avbryt",
    "tell": "Utsending – til kontroll",
    "solve": SOLVED,
}
#: So many rounds of nothing, and it is over.
_STILL = 3


class Whole(Model):
    timers: ClassVar[Sequence[str]] = ["discover", "account"]

    @initialize(
        recipients=st.sampled_from([1, 4]),
        rate=st.sampled_from(["0", "30"]),
        under_way=st.sampled_from([True, True, True, False]),
    )
    def begin(self, recipients: int, rate: str, under_way: bool = True) -> None:
        super().begin(recipients, rate)
        if under_way:
            self.do(self.run_free(self.hosts[0], "discover"))

    def make_provider(self) -> Provider:
        if self.channel == "email":
            return Mail(self.stage, self.elapsed)
        return Pureservice(self.stage, self.elapsed, house=self.house)

    async def make_campaign(self) -> None:
        self.house.steered = False  # but by the status itself
        members = self.house.make_list("en", *(f"{n}@example.no" for n in range(self.planned)))
        self.number = self.house.open_ticket(
            members, message="<p>Hei</p>", status=READY, channel=self.channel
        )
        self.still = 0

    @rule(event=happenings(timers, ["go", "go", "go", "pause", "cancel", "tell", "solve"]))
    def next(self, event: Event) -> None:
        """One thing happens; nothing, where that cannot be."""
        self.do(event.happen(self))

    async def round(self, host: Host, items: int | None = None) -> None:
        await self.run_free(host, "discover")
        await super().round(host, items)

    async def wish(self, wish: str) -> None:
        if self.house.status(self.number) not in {STATUS[wish], RUNNING} or wish != "go":
            self.house.set_status(self.number, STATUS[wish])

    async def is_over(self) -> bool:
        """For some rounds: a go that is set may ask for more, or may have been answered."""
        campaigns = await self.house.campaigns(self.number)
        over = campaigns and all(campaign.phase in ENDED for campaign in campaigns)
        self.still = self.still + 1 if over else 0
        return self.still == _STILL

    def check_reports(self, campaign: Campaign) -> None:
        """A person may have changed the ticket since."""
        told = self.told()
        assert told[f"[utsendelse {campaign.run}/rapport-1]"] == 1
        assert set(told.values()) == {1}, f"told twice: {told}"
        files = our_files(self.house, self.number)
        assert set(files.values()) == {1}, f"a file twice: {files}"
