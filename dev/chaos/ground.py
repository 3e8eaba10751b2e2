"""A playground where things break: storage on disk behind the slow proxy, hosts to kill."""

import asyncio
import contextlib
import signal
import socket
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

from azure.core.exceptions import AzureError
from azure.storage.blob import BlobLeaseClient, BlobServiceClient
from azure.storage.queue import QueueClient
from pydantic import SecretStr

from dev import process
from dev.azurite import Azurite, connection_string
from dev.chaos.proxy import SlowProxy
from dev.digipost import Switches
from dev.host.timers import CONTAINER
from dev.mail import MailSink
from dev.playground import Child, Playground, free_port
from dev.pureservice import behaviour
from dev.pureservice.seed import comparable
from dev.setup import SetupError
from shared.settings import Settings

_START_SECONDS, _STOP_SECONDS = 60, 60
_TRIES = 5
_PEEKED = 32  #: as many as a queue shows at a time
_COPIES, _EARLIER = 8, 3
_LATER = (0, 0, 1, 3)  #: seconds; at once is beside the one that it is a copy of
_LIES = 0.005  #: of storage's answers; those of a mail server would be nobody's fault to prove


class Ground(Playground):
    """Storage, Pureservice and mail server each in a process of its own; hosts as they come.

    We look into the ledger past the proxy: what we see is late or wrong for nobody but the hosts.
    """

    lines_kept = 200_000  # all of them: what is wrong shows when it is over

    def __init__(
        self,
        folder: Path,
        seed: int,
        visibility: int,
        letters: Switches | None = None,
        **settings: str,
    ) -> None:
        super().__init__(folder, letters, **settings)
        self._seed = seed
        self._random = Random(f"{seed}/items")
        self._visibility = visibility
        self._items: list[str] = []  # of the queue, as they were seen there
        self.hosts: list[Child] = []  #: every one there ever was

    def _start_storage(self, stack: ExitStack) -> str:
        self.azurite = Azurite(folder=self.folder / "storage").__enter__()
        stack.callback(self._stop_storage)
        ports = (self.azurite.ports[service] for service in ("Blob", "Queue", "Table"))
        self.proxy = stack.enter_context(SlowProxy(tuple(ports), self._seed, _LIES))
        return connection_string(*self.proxy.ports)

    def _start_mail(self, stack: ExitStack) -> int:
        self.sink = MailSink(self.folder / "mail", free_port())  # which we only read
        options = ("--port", str(self.sink.port), "--dir", str(self.sink.dir))
        child = self._child(stack, "mail", *options)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and child.process.poll() is None:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.sink.port), timeout=1),
            ):
                break
            time.sleep(0.05)
        else:
            raise SetupError(f"The mail server did not start. It said:\n{child.said()}")
        return stack.enter_context(SlowProxy((self.sink.port,), self._seed)).ports[0]

    def read_settings(self) -> Settings:
        straight = {"AzureWebJobsStorage": SecretStr(self.azurite.connection_string)}
        return super().read_settings().model_copy(update=straight)

    # --- what goes wrong ---

    def new_host(self) -> Child:
        """Another one, however long it takes while storage or Pureservice is away."""
        for _ in range(_TRIES):
            with contextlib.suppress(SetupError):
                host = self.start_host("--visibility", str(self._visibility))
                self.hosts.append(host)
                return host
        raise SetupError(f"No host comes up any more, {_TRIES} times in a row.")

    def restart_storage(self, away: float) -> None:
        """Stopped in good order, and started again on what it has written, so much later.

        Killed it would lose what it had acknowledged, which no storage account does.
        """
        self.proxy.hold()
        self._stop_storage()
        time.sleep(away)
        for tries in range(_TRIES):
            try:
                self.azurite.__enter__()
                break
            except SetupError:  # somebody has its port for a moment
                if tries == _TRIES - 1:
                    raise
        self.proxy.let_through()

    def _stop_storage(self) -> None:
        if status := process.stop(self.azurite.process, _STOP_SECONDS):
            raise SetupError(
                f"Azurite did not stop in good order ({status}): its data are worthless"
            )

    async def pause_pureservice(self, seconds: float) -> None:
        """It takes what comes and answers nobody, and goes on where it was."""
        simulator = self.simulator.process
        if not hasattr(signal, "SIGSTOP"):  # Windows has none: each call waits by itself
            slow = {"kind": "delay", "seconds": seconds, "times": 50}
            await asyncio.to_thread(self.sim, "POST", "faults", **slow)
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self.sim, "DELETE", "faults")
            return
        simulator.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            simulator.send_signal(signal.SIGCONT)

    def free_timers(self) -> None:
        """As if the locks that a dead host has on its timers had run out.

        The other one may have had some, so that both may be at the same for a moment.
        """
        client = BlobServiceClient.from_connection_string(self.azurite.connection_string)
        with client, contextlib.suppress(AzureError):  # those of a storage that is away run out
            container = client.get_container_client(CONTAINER)
            for name in container.list_blob_names(name_starts_with="locks/"):
                with contextlib.suppress(AzureError):  # nobody had it
                    lease = BlobLeaseClient(container.get_blob_client(name))
                    lease.break_lease(lease_break_period=0)

    def copy_items(self, queue: str, stale: bool, once: Sequence[str] = ()) -> int:
        """Put what is to be had on the queue there a second time; how many.

        Some of what was there earlier come along; `once` was there, seen by us or not. `stale`:
        only those, as nothing else is left.
        """
        client = QueueClient.from_connection_string(
            self.azurite.connection_string, queue, retry_total=0
        )
        copied = 0
        with client, contextlib.suppress(AzureError):  # none, while storage is away
            now = [item.content for item in client.peek_messages(max_messages=_PEEKED)]
            known = [*self._items, *once]
            earlier = self._random.sample(known, min(_EARLIER, len(known)))
            if not (now or stale or once):
                return 0
            self._items += now
            for item in [*now[:_COPIES], *earlier]:
                client.send_message(item, visibility_timeout=self._random.choice(_LATER))
                copied += 1
        return copied

    # --- what has come of it ---

    def mails(self) -> Counter[str]:
        """How many mails each address has got from us."""
        return Counter(comparable(mail["X-Envelope-To"]) for mail in self.sink.messages())

    def tickets(self, number: int) -> Counter[str]:
        """How many times each address has got its message, by the tickets of this campaign.

        A second ticket counts even without a message, a message even where no mail has come of it.
        """
        messages: Counter[str] = Counter()
        tickets: Counter[str] = Counter()
        for copy in self.sim("GET", f"copies/{number}"):
            tickets[copy["address"]] += 1
            messages[copy["address"]] += max(
                len(self._out(copy["mails"])), len(self._out(copy["communications"]))
            )
        return Counter(
            {
                address: max(messages[address], count if count > 1 else 0)
                for address, count in tickets.items()
            }
        )

    @staticmethod
    def _out(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row for row in rows if row["direction"] == behaviour.OUTBOUND]
