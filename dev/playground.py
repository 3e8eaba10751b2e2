"""A whole installation on free ports of this machine: for the demo, the benchmark and e2e tests."""

import contextlib
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from dev import process
from dev.azurite import Azurite
from dev.digipost import DigipostSimulator, RunningDigipost, Switches
from dev.mail import MailSink
from dev.pureservice.seed import LETTER_SETTINGS
from dev.setup import ROOT, SetupError
from shared.settings import Settings

KEY = "demo-key"
RETURN_ADDRESS = json.dumps(
    {
        "name": "Fjordvik kommune",
        "lines": ["Postboks 12"],
        "postal_code": "5003",
        "city": "Bergen",
    }
)
_START_SECONDS = 60


def example_settings() -> dict[str, str]:
    """The values of `local.settings.example.json`."""
    stored = json.loads((ROOT / "local.settings.example.json").read_text("utf-8"))
    values: dict[str, str] = stored["Values"]
    return values


class Playground:
    """Azurite, the simulator, a mail sink and as many hosts as are started; all end when left.

    `settings` change those of the example; with `letters` there is a Digipost that behaves so. The
    timers tick every second, nothing is held for an undo window, and there is no rate: what takes
    hours for good reasons takes seconds here.
    """

    lines_kept = 200  #: of what each part says
    digipost: RunningDigipost  #: only where it was asked for

    def __init__(self, folder: Path, letters: Switches | None = None, /, **settings: str) -> None:
        self.folder = folder
        self.settings = example_settings()
        self._letters = letters
        self._changes = settings
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            storage, mail_port = self._start_storage(stack), self._start_mail(stack)
            port = free_port()
            self.url = f"http://127.0.0.1:{port}"
            self._client = stack.enter_context(httpx.Client(base_url=self.url, timeout=120))
            self.simulator = self._child(
                stack, "pureservice", "--port", str(port), "--no-limit", "--key", KEY
            )
            self._wait_for(self.simulator, f"{self.url}/_sim/state")
            self.settings |= {
                "AzureWebJobsStorage": storage,
                "PURESERVICE_URL": self.url,
                "PURESERVICE_KEY": KEY,
                "SMTP_PORT": str(mail_port),
                "ONLY_SEND_TO": "*",
                "DISCOVER_SCHEDULE": "* * * * * *",
                "ACCOUNT_SCHEDULE": "* * * * * *",
                "UNDO_SECONDS": "0",
                "EMAIL_RATE": "0",
                "PURESERVICE_RATE": "0",
                "TICKET_CHECK_SECONDS": "1",
                **(self._start_digipost(stack, self._letters) if self._letters else {}),
                **self._changes,
            }
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _start_storage(self, stack: ExitStack) -> str:
        """The connection string that the hosts get."""
        self.azurite = stack.enter_context(Azurite())
        return self.azurite.connection_string

    def _start_mail(self, stack: ExitStack) -> int:
        """The port that the hosts send to."""
        self.sink = stack.enter_context(MailSink(self.folder / "mail"))
        return self.sink.port

    def _start_digipost(self, stack: ExitStack, switches: Switches) -> dict[str, str]:
        """Digipost beside the others; what the app must know to send letters."""
        simulator = DigipostSimulator(self.folder / "digipost", switches=switches)
        self.digipost = stack.enter_context(RunningDigipost(simulator))
        return {
            **self.digipost.settings,
            **LETTER_SETTINGS,
            "DIGIPOST_SENDER_ID": "100123",
            "DIGIPOST_APPROVE": "auto",
            "DIGIPOST_RETURN_ADDRESS": RETURN_ADDRESS,
            "LETTERS_SCHEDULE": "* * * * * *",
            "RECEIPTS_SCHEDULE": "* * * * * *",
        }

    def read_settings(self) -> Settings:
        """The settings as the app sees them, for looking into the ledger from outside."""
        values: dict[str, Any] = {name: self.settings[name] for name in Settings.model_fields}
        return Settings(**values)

    def start_host(self, *options: str) -> "Child":
        """The real app in a process of its own; ready when its health endpoint answers."""
        port = free_port()
        settings = self.folder / "settings.json"
        host = self._child(
            self._stack,
            "host",
            "--port",
            str(port),
            "--settings",
            str(self._write_settings(settings)),
            *options,
        )
        host.url = f"http://127.0.0.1:{port}"
        self._wait_for(host, f"{host.url}/api/health")
        return host

    def _write_settings(self, path: Path) -> Path:
        path.write_text(json.dumps({"IsEncrypted": False, "Values": self.settings}), "utf-8")
        return path

    def _child(self, stack: ExitStack, *arguments: str) -> "Child":
        # what the developer has in the environment must not win over our settings
        ours = {name: self.settings[name] for name in os.environ if name in Settings.model_fields}
        child = Child(process.start_task(*arguments, env=ours), self.lines_kept)
        stack.callback(child.stop)
        return child

    def _wait_for(self, child: "Child", url: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(url, timeout=5)
                return
            if child.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SetupError(f"A part did not start. It said:\n{child.said()}")

    # --- the simulator, as a person would look at it ---

    def sim(self, method: str, path: str, /, **body: Any) -> Any:
        answer = self._client.request(method, f"/_sim/{path}", json=body or None)
        answer.raise_for_status()
        return answer.json()

    def ticket(self, request_number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.sim("GET", f"ticket/{request_number}?by=requestNumber")
        return found

    def download(self, attachment_id: int) -> bytes:
        """A file on a ticket, through the API like anybody else."""
        answer = self._client.get(
            f"/agent/api/attachment/download/{attachment_id}",
            headers={"X-Authorization-Key": KEY, "Accept": "*/*"},
        )
        answer.raise_for_status()
        return answer.content


class Child:
    """A part in a process of its own. Its last lines are kept, for when it goes wrong."""

    def __init__(self, started: subprocess.Popen[str], lines: int) -> None:
        self.process = started
        self.url = ""
        self._lines: deque[str] = deque(maxlen=lines)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        with contextlib.suppress(ValueError):  # closed when it was stopped
            for line in self.process.stdout:
                self._lines.append(line)

    def said(self) -> str:
        return "".join(self._lines)

    def stop(self) -> None:
        process.stop(self.process)

    def kill(self) -> None:
        """No time for last words, as when a machine goes down."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def temporary(**settings: str) -> Iterator[Playground]:
    """A playground whose mails are not kept."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Playground(Path(folder), **settings) as playground,
    ):
        yield playground


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
