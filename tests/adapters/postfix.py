"""A Postfix of our own on a free port: everything it is sent ends up in one Maildir."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_MAIN = """\
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
maillog_file = {home}/log
maillog_file_prefixes = {home}
myhostname = postfix.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
smtpd_recipient_restrictions = permit_mynetworks, reject
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = static:all
virtual_mailbox_base = {home}/mail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
"""
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup  unix n - n - 0 cleanup
qmgr     unix n - n 300 1 qmgr
rewrite  unix - - n - - trivial-rewrite
bounce   unix - - n - 0 bounce
defer    unix - - n - 0 bounce
trace    unix - - n - 0 bounce
error    unix - - n - - error
retry    unix - - n - - error
discard  unix - - n - - discard
proxymap unix - - n - - proxymap
anvil    unix - - n - 1 anvil
virtual  unix - n n - - virtual
postlog  unix-dgram n - n - 1 postlogd
"""


def missing() -> str:
    """Why there can be none here; "" when there can."""
    if sys.platform == "win32" or not shutil.which("postfix", path=_PATH):
        return "postfix is not installed"
    if os.geteuid():
        return "postfix can only be started by root"
    return ""


_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Postfix:
    port: int
    home: Path

    def received(self, count: int, seconds: float = 20) -> list[bytes]:
        """The first so many mails, in no order; fails with Postfix's log when they do not come."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            there = list((self.home / "mail/box/new").glob("*"))
            if len(there) >= count:
                return [mail.read_bytes() for mail in there]
            time.sleep(0.02)
        raise TimeoutError((self.home / "log").read_text())


@contextmanager
def postfix() -> Iterator[Postfix]:
    """Started, and stopped afterwards; touches nothing of the machine's own."""
    # not below pytest's directory, which other users may not enter
    home = Path(tempfile.mkdtemp(prefix="utsendelse-postfix-"))
    try:
        home.chmod(0o755)
        port = _free_port()
        nobody = pwd.getpwnam("nobody")
        for name in ("conf", "queue", "data", "mail"):
            (home / name).mkdir()
        shutil.chown(home / "data", "postfix")
        os.chown(home / "mail", nobody.pw_uid, nobody.pw_gid)
        facts = {"home": home, "port": port, "uid": nobody.pw_uid, "gid": nobody.pw_gid}
        (home / "conf/main.cf").write_text(_MAIN.format(**facts))
        (home / "conf/master.cf").write_text(_MASTER.format(**facts))
        _run(home, "start")
        try:
            yield Postfix(port, home)
        finally:
            _run(home, "stop")
    finally:
        shutil.rmtree(home)


def _run(home: Path, command: str) -> None:
    done = subprocess.run(
        ["postfix", "-c", home / "conf", command],
        env={"PATH": _PATH},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
    )
    if done.returncode:
        log = home / "log"
        raise RuntimeError(f"{done.stdout.decode()}\n{log.read_text() if log.exists() else ''}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
