"""What it costs when two hosts work on one campaign by e-mail, with everything on the queue."""

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from dev.bench.app import NEVER, QUOTA, app_in_process
from dev.bench.storage import Request, Watched, watched
from dev.pureservice.seed import comparable
from dev.seed import seed
from dev.setup import ROOT
from shared.bootstrap import bootstrap
from shared.domain.delivery import Status

HOSTS = 2
_LOOK_EVERY = 0.1  # seconds
_PATIENCE = 600  # seconds; a campaign that takes longer here will never end


@dataclass(frozen=True, slots=True)
class Batch:
    """How many one host takes from the queue, and when it fetches more."""

    size: int
    threshold: int

    @property
    def at_a_time(self) -> int:
        return self.size + self.threshold


#: What `host.json` says; and as much as a host can have.
USUAL, LARGEST = Batch(16, 8), Batch(32, 16)


@dataclass(frozen=True, slots=True)
class Together:
    """What came of one campaign, and what it cost over all hosts."""

    recipients: int
    items: int  #: that were put on the queue, copies included
    once: int  #: recipients with exactly one mail, and a row that says so
    requests: int  #: from the ticket to the report; those that count
    conflicts: int  #: writes to deliveries that somebody else was quicker with
    elsewhere: int  #: the same of the campaign, its channel and the queue
    in_hand: int  #: the most deliveries that were claimed at a time

    @property
    def each(self) -> float:
        return self.requests / self.recipients


def together(recipients: int, batch: Batch, copies: int) -> Together:
    """Two hosts, and each item so many times more on the queue than the app has put it there."""
    settings = {"DISCOVER_SCHEDULE": NEVER, "ACCOUNT_SCHEDULE": NEVER, "EMAIL_DAILY_QUOTA": QUOTA}
    with watched(copies, **settings) as playground:
        app = _app(playground.folder / "app", batch)
        for _ in range(HOSTS):
            playground.start_host("--app", str(app), "--log-level", "warning")
        expected = seed(playground.url, {"recipients": recipients, "tricky": False})
        before = len(playground.door.requests)
        sent = asyncio.run(_carry_through(playground, expected["requestNumber"]))
        seen = playground.door.requests[before:]
        mails = Counter(comparable(mail["X-Envelope-To"]) for mail in playground.sink.messages())
    if strangers := mails.keys() - expected["mails"].keys():
        raise RuntimeError(f"{len(strangers)} got a mail and are on no list")
    counted = [one for one in seen if one.counts]
    conflicts = Counter(one.place for one in counted if one.conflict)
    put = sum(one.service == "Queue" and one.method == "POST" for one in counted)
    return Together(
        recipients=recipients,
        items=put * (1 + copies),
        once=sum(mails[address] == sent[address] == 1 for address in expected["mails"]),
        requests=len(counted),
        conflicts=conflicts.pop("deliveries", 0),
        elsewhere=conflicts.total(),
        in_hand=_in_hand(counted),
    )


def _app(folder: Path, batch: Batch) -> Path:
    """The app, with a `host.json` that lets so many of them run at a time."""
    folder.mkdir()
    shutil.copy(ROOT / "function_app.py", folder)
    host_json = json.loads((ROOT / "host.json").read_text("utf-8"))
    queues = {"batchSize": batch.size, "newBatchThreshold": batch.threshold}
    host_json["extensions"]["queues"].update(queues)
    (folder / "host.json").write_text(json.dumps(host_json), "utf-8")
    return folder


async def _carry_through(playground: Watched, number: int) -> Counter[str]:
    """How many times each address was sent to, by the ledger's account."""
    unseen = bootstrap(playground.unseen())
    ledger, lane = unseen.ledger, unseen.lanes["email"]
    async with app_in_process(playground) as app, asyncio.timeout(_PATIENCE):
        await app.discover()
        while await ledger.campaigns.active():
            while await lane.waiting():  # noqa: ASYNC110  # of another process
                await asyncio.sleep(_LOOK_EVERY)
            await app.discover()
            await app.account()
    sent: Counter[str] = Counter()
    async for one in ledger.deliveries.all(f"{number}-1"):
        if one.status is Status.SENT:
            sent[comparable(one.recipient.address)] += one.attempts
    await unseen.close()
    return sent


def _in_hand(requests: Iterable[Request]) -> int:
    steps = (
        1 if one.one_row else -1
        for one in requests
        if one.place == "deliveries" and one.status < 300 and (_claims(one) or _settles(one))
    )
    return max(accumulate(steps, initial=0))


def _claims(request: Request) -> bool:
    return request.one_row and request.method == "PATCH"


def _settles(request: Request) -> bool:
    return request.operations > 0 and "DELETE" in request.method
