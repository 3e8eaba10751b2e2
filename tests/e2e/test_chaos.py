"""The chaos run, short; and that it would tell if anything were wrong."""

import contextlib
import queue
import re
import socket
import socketserver
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dev import chaos
from dev.chaos.letters import Letters
from dev.chaos.plan import Act, Window, plan, plan_letters
from dev.chaos.proxy import SlowProxy
from dev.chaos.verdict import by_member, judge
from dev.digipost import DigipostSimulator
from dev.digipost.sim import Delivered
from shared.domain.delivery import Delivery, Reason, Status
from shared.domain.recipient import Recipient

#: Those who are not in Digipost get mails, as those of a campaign by e-mail do; tickets are for
#: the longer runs by hand.
_SHORT = "--scenario digipost --recipients 12 --kills 1 --seed 298 --rate 200 --jobs 1 --answer 1"
_PATIENCE = 30  # seconds; only ever spent by a test that fails
_QUICK = "--lease 13 --grace 1 --release-again 3 --visibility 2"


def test_killed_hosts_restarted_storage_and_copied_items_cost_nobody_anything(capsys):
    status = chaos.main([*_SHORT.split(), *_QUICK.split()])
    said = capsys.readouterr().out
    assert status == 0, said
    assert "seed 298" in said
    figures = {
        what: int(count) for what, count in re.findall(r"^  (\w[\w ]+?)  +(\d+)\b", said, re.M)
    }
    assert (figures["Recipients"], figures["Kills"]) == (12, 1), said
    assert (figures["Reached twice"], figures["Never reached"]) == (0, 0)
    assert min(figures["Storage restarts"], figures["Pureservice paused"]) >= 1
    assert min(figures["Items copied"], figures["By Digipost"]) > 0
    assert figures["Uploads broken off"] == 1


# --- what it would tell ---


def row(status: Status, reason: Reason = Reason.NONE, of: str = "kari") -> Delivery:
    recipient = Recipient("user:1", "Kari", f"{of}@example.no")
    return Delivery(f"delivery-of-{of}", "1-1", recipient, "email", status, reason=reason)


@pytest.mark.parametrize(
    ("times", "ledger", "says"),
    [
        (1, [row(Status.SENT)], []),
        (0, [row(Status.FAILED, Reason.REFUSED)], []),
        (2, [row(Status.SENT)], ["reached twice"]),
        (2, [row(Status.UNCERTAIN)], ["reached twice", "uncertain, but"]),
        (0, [row(Status.SENT)], ["never reached"]),
        (0, [row(Status.PLANNED)], ["left planned", "never reached"]),
        (1, [row(Status.PLANNED)], ["left planned"]),
        (1, [row(Status.SUBMITTED)], ["left submitted"]),
        (0, [row(Status.SKIPPED)], ["left skipped", "never reached"]),
        (0, [], ["not one row", "never reached"]),
        (1, [row(Status.SENT), row(Status.SENT)], ["not one row"]),
        (1, [row(Status.FAILED, Reason.REFUSED)], ["failed, says the ledger, but reached"]),
        (0, [row(Status.FAILED)], ["failed, and nobody knows why"]),
        (0, [row(Status.UNCERTAIN)], ["uncertain, but not in flight"]),
    ],
)
def test_whatever_must_not_be_is_told(times, ledger, says):
    verdict = judge({"kari@example.no"}, Counter({"kari@example.no": times}), ledger, set())
    assert len(verdict.faults) == len(says), verdict.faults
    for fault, begins in zip(sorted(verdict.faults), sorted(says), strict=True):
        assert fault.startswith(begins)


@pytest.mark.parametrize("times", [0, 1])
def test_what_was_in_flight_when_something_went_down_may_be_uncertain(times):
    reached = Counter({"kari@example.no": times})
    uncertain = row(Status.UNCERTAIN)
    verdict = judge({"kari@example.no"}, reached, [uncertain], {uncertain.id})
    assert verdict.faults == []
    assert (verdict.uncertain, verdict.uncertain_reached, verdict.never) == (1, times, 0)


def test_somebody_on_no_list_must_get_nothing():
    reached = {"kari@example.no": 1, "ola@example.no": 1}
    verdict = judge({"kari@example.no"}, reached, [row(Status.SENT)], set())
    assert any(fault.startswith("on no list") for fault in verdict.faults)


def letter_to(delivery: Delivery) -> Delivered:
    at = datetime(2026, 6, 1, tzinfo=UTC)
    return Delivered("job", delivery.id, delivery.id, (), (), (), "WEB", at, "navn")


@pytest.mark.parametrize(
    ("channel", "letters", "mails", "says"),
    [
        ("digipost", 1, 0, []),
        ("email", 0, 1, []),
        ("digipost", 2, 0, ["got twice, says Digipost", "reached twice"]),
        ("digipost", 1, 1, ["by mail, says the ledger, or not", "reached twice"]),
        ("email", 1, 0, ["by Digipost, says the", "by mail, says the ledger, or not"]),
        ("digipost", 0, 0, ["by Digipost, says the ledger, or not", "never reached"]),
    ],
)
def test_a_letter_and_a_mail_are_two_and_the_ledger_says_which(
    channel, letters, mails, says, tmp_path
):
    simulator = DigipostSimulator(tmp_path)
    sent = replace(row(Status.SENT), channel=channel)
    simulator.delivered = [letter_to(sent)] * letters
    looks, by_mail = Letters(simulator, patience=0), Counter({"kari@example.no": mails})
    verdict = judge({"user:1"}, looks.reached([sent], by_mail), [sent], set(), by_member)
    told = sorted(verdict.faults + looks.faults([sent], by_mail))
    assert len(told) == len(says), told
    for fault, begins in zip(told, says, strict=True):
        assert fault.startswith(begins)


# --- what it does ---


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_has_as_many_kills_as_asked_for_and_all_that_comes_with_them(seed):
    moments = plan(seed, 10)
    assert moments == plan(seed, 10)
    assert moments != plan(seed + 1, 10)
    acts = Counter(moment.act for moment in moments)
    assert acts[Act.KILL] == 10
    assert min(acts[act] for act in Act if act is not Act.BREAK) >= 1
    assert [moment.at for moment in moments] == sorted(moment.at for moment in moments)
    kills = [moment.at for moment in moments if moment.act is Act.KILL]
    assert (kills[0], kills[-1]) == (0, 1), "none while it is planned, or none at the end"


@pytest.mark.parametrize("seed", range(20))
def test_each_window_of_a_letter_job_has_a_kill_before_one_has_two(seed):
    moments = plan_letters(seed, len(Window) + 1, asked=6)
    assert moments == plan_letters(seed, len(Window) + 1, asked=6)
    kills = Counter(moment.window for moment in moments if moment.act is Act.KILL)
    assert sorted(kills.values()) == [1] * (len(Window) - 1) + [2]
    assert {moment.act for moment in moments} == set(Act)
    broken = [moment.at for moment in moments if moment.act is Act.BREAK]
    assert max(broken) > 6, "no letters are broken off, only questions"


class Storage(socketserver.ThreadingTCPServer):
    """Something that notes what it is asked, and answers when it may."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.asked: queue.Queue[bytes] = queue.Queue()
        self.may_answer = threading.Event()
        self.may_answer.set()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Answering(socketserver.BaseRequestHandler):
    server: Storage

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            while question := self.request.recv(1024):
                self.server.asked.put(question)
                self.server.may_answer.wait(_PATIENCE)
                self.request.sendall(b"done")


@pytest.fixture
def storage() -> Iterator[Storage]:
    with Storage() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(proxy: SlowProxy, question: bytes) -> bytes:
    """The answer; empty when the connection ends without one."""
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", proxy.ports[0]), _PATIENCE) as client,
    ):
        client.sendall(question)
        return client.recv(1024)
    return b""


def test_the_proxy_passes_on_what_it_is_given(storage):
    with SlowProxy([storage.port], seed=1) as proxy:
        assert ask(proxy, b"write") == b"done"
    assert storage.asked.get(timeout=_PATIENCE) == b"write"


def test_a_lie_is_done_and_never_answered(storage):
    with SlowProxy([storage.port], seed=1, lies=1) as proxy:
        assert ask(proxy, b"write") == b""
        assert proxy.lies == 1
    assert storage.asked.get(timeout=_PATIENCE) == b"write"


def test_what_somebody_asked_for_and_died_is_done(storage):
    with SlowProxy([storage.port], seed=1) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.ports[0])) as dying:
            dying.sendall(b"write")
        assert storage.asked.get(timeout=_PATIENCE) == b"write"


@pytest.mark.parametrize("dies", [False, True])
def test_when_the_proxy_is_held_nobody_gets_through_and_nothing_is_under_way(dies, storage):
    storage.may_answer.clear()
    with (
        SlowProxy([storage.port], seed=1) as proxy,
        socket.create_connection(("127.0.0.1", proxy.ports[0])) as client,
    ):
        client.sendall(b"first")
        assert storage.asked.get(timeout=_PATIENCE) == b"first"
        if dies:  # and so that it is noticed at once
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        holding = threading.Thread(target=proxy.hold)
        holding.start()
        while not proxy.held:
            assert holding.is_alive()
        assert ask(proxy, b"second") == b""
        assert holding.is_alive(), "it did not wait for the answer"
        storage.may_answer.set()
        holding.join(_PATIENCE)
        assert not holding.is_alive()
        assert storage.asked.empty()
        proxy.let_through()
        assert ask(proxy, b"third") == b"done"
