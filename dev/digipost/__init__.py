"""A make-believe Digipost: the batch interface over SFTP, for tests, demos and development.

    simulator = DigipostSimulator(folder)
    with RunningDigipost(simulator) as running:
        settings = running.settings        # where the app finds it, and with which keys
    simulator.got("kunde-id")              # what somebody has got

In a test that has an event loop, `async with simulator.area.serving() as port` serves the area, and
`simulator.work(now)` does what is due by then: nothing waits. See `sim` and `population` for what
happens to whom, and `switches` for what nobody knows.
"""

from .area import Keys, keys
from .command import main
from .population import Outcome, Person, Population
from .running import RunningDigipost
from .sim import Delivered, DigipostSimulator
from .switches import Switches

__all__ = [
    "Delivered",
    "DigipostSimulator",
    "Keys",
    "Outcome",
    "Person",
    "Population",
    "RunningDigipost",
    "Switches",
    "keys",
    "main",
]
