from datetime import UTC, datetime

from shared.web.health import Health
from tests.fakes import Clock


class Answering:
    def __init__(self, answer: bool) -> None:
        self.answer, self.asked = answer, 0

    async def answers(self) -> bool:
        self.asked += 1
        return self.answer


async def test_each_dependency_is_asked_at_most_once_in_half_a_minute():
    clock = Clock(datetime(2026, 11, 22, 8, 0, tzinfo=UTC))
    storage, smtp = Answering(True), Answering(False)
    health = Health({"storage": storage, "smtp": smtp}, clock)
    for _ in range(3):
        assert await health.examine() == {"storage": True, "smtp": False}
    assert (storage.asked, smtp.asked) == (1, 1)
    smtp.answer = True
    clock.tick(seconds=30)
    assert await health.examine() == {"storage": True, "smtp": True}


async def test_one_that_does_not_answer_in_time_is_a_no():
    class Silent:
        async def answers(self) -> bool:
            raise TimeoutError

    health = Health({"pureservice": Silent()}, lambda: datetime(2026, 11, 22, tzinfo=UTC))
    assert await health.examine() == {"pureservice": False}
