"""The real app as Azure runs it, and everything it talks to beside it."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import uvicorn
from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from dev.azurite import Azurite
from dev.mail import MailSink
from dev.pureservice import Switches, World, create_app, seed_base
from dev.setup import ROOT, WORK, SetupError, fingerprint, once, python_of, run
from tests.examples import EXAMPLE

from .worker import Worker, find_python

#: We call its native seam, which is no public interface: another minor version may move it.
LIBRARY = "azure-functions-runtime==1.3.*"
VENV = WORK / "runtime"
EMAIL_QUEUE, TICKET_QUEUE = "runtime-deliver-email", "runtime-deliver-ticket"


@pytest.fixture(scope="session")
def python() -> str:
    """A Python with the worker library and what the app is deployed with, at our lock's versions.

    Skips where that cannot be had.
    """
    found = find_python()
    if found is None:
        pytest.skip(
            "Azure's worker library needs Python 3.13 or newer beside this one: pyenv install"
            " 3.13, apt install python3.13-venv, or winget install Python.Python.3.13"
        )
    version, base = found
    needed, lock = ROOT / "requirements.txt", ROOT / "requirements-dev.txt"
    python = str(python_of(VENV))

    def install() -> None:
        run(f"Making {VENV.name} with Python {version}", [base, "-m", "venv", "--clear", str(VENV)])
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        wanted = ["--requirement", str(needed), "--constraint", str(lock), LIBRARY]
        run(f"Installing {LIBRARY} (a minute, the first time)", [*pip, *wanted])

    stamp = "|".join([fingerprint(needed, lock), LIBRARY, version, base])
    try:
        once(VENV / "installed.stamp", stamp, install)
    except SetupError as error:
        if "ResolutionImpossible" in str(error):  # what we deploy does not fit what Azure runs
            raise
        because = str(error).rpartition("\n")[2]
        pytest.skip(f"Azure's worker library cannot be installed here: {because}")
    return python


@pytest.fixture(scope="module")
def azurite() -> Iterator[str]:
    """An Azurite of our own: the app's tables have fixed names, and other tests may use them."""
    with Azurite() as running:
        yield running.connection_string


@pytest.fixture
def queues(azurite: str) -> Iterator[dict[str, QueueClient]]:
    """The queue of each channel."""
    with ExitStack() as stack:
        yield {
            channel: stack.enter_context(
                QueueClient.from_connection_string(
                    azurite, name, message_decode_policy=TextBase64DecodePolicy()
                )
            )
            for channel, name in (("email", EMAIL_QUEUE), ("ticket", TICKET_QUEUE))
        }


@dataclass(frozen=True)
class Tenant:
    """A make-believe Pureservice: its inside, and where the app finds it."""

    world: World
    url: str
    key: str


@pytest.fixture(scope="module")
def tenant() -> Iterator[Tenant]:
    world = World(switches=Switches(calls_per_minute=0, mail_queued_reads=0))
    seed_base(world)
    key = secrets.token_urlsafe()
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(world, key=key), log_config=None, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=[[listening]], daemon=True)
    thread.start()
    yield Tenant(world, f"http://127.0.0.1:{listening.getsockname()[1]}", key)
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailSink]:
    with MailSink(tmp_path_factory.mktemp("mail")) as sink:
        yield sink


@pytest.fixture(scope="module")
def app(python: str, azurite: str, tenant: Tenant, sink: MailSink) -> Iterator[Worker]:
    """The app, with its settings from the environment as in Azure."""
    changes = {
        "AzureWebJobsStorage": azurite,
        "PURESERVICE_URL": tenant.url,
        "PURESERVICE_KEY": tenant.key,
        "SMTP_PORT": str(sink.port),
        "DELIVER_EMAIL_QUEUE": EMAIL_QUEUE,
        "DELIVER_TICKET_QUEUE": TICKET_QUEUE,
        "ONLY_SEND_TO": "*",
        "UNDO_SECONDS": "0",
        "EMAIL_RATE": "0",
        "PURESERVICE_RATE": "0",
        "TICKET_CHECK_SECONDS": "1",
        "LISTS": "update",
    }
    with Worker(python, ROOT, EXAMPLE | changes) as worker:
        yield worker
