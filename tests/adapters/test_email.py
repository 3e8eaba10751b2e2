"""The e-mail channel over several transports: who is tried next, and who may never be.

The transports are played here; each real one has a suite of its own and the contract suite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.adapters.email import EmailChannel
from shared.adapters.transport import Mail, operation_id
from shared.domain.delivery import OpenDelivery, Outcome, Status
from shared.domain.message import File, Message, Sender
from shared.domain.recipient import Recipient
from shared.errors import (
    DoubtfulError,
    PermanentError,
    StoppedError,
    ThrottledError,
    TransientError,
    UncertainError,
)
from shared.ledger.references import References
from shared.ports import Note, Promise, Receipt
from tests.examples import settings
from tests.fakes import MemoryFiles, MemoryTable
from tests.mailing import MemoryGates, email_channel

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
MESSAGE = Message("Vannet", "<p>Hei</p>", "Hei", Sender("post@fjordvik.no"))
DELIVERY = OpenDelivery(
    "5e9f6a3c-0000-5000-8000-000000000001",
    "20417-1",
    Recipient("user:31", "Kari Nordmann", "kari@example.no"),
)
KEY = operation_id(DELIVERY)


@dataclass
class Played:
    """A transport that answers as told, in turn, and then says yes."""

    name: str
    promise: Promise = Promise.NEITHER
    answers: list[Exception | Receipt] = field(default_factory=list)
    found: Receipt | str = ""
    told: dict[str, Outcome] = field(default_factory=dict)
    biggest: int = 10_000_000
    mails: list[Mail] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    time_limit = timedelta(seconds=30)

    async def largest(self) -> int:
        return self.biggest

    async def send(self, mail: Mail, reference: str, note: Note) -> Receipt:
        self.mails.append(mail)
        self.references.append(reference)
        answer = self.answers.pop(0) if self.answers else Receipt(mail.message_id, "ja")
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def find(self, key: str, reference: str) -> Receipt | str:
        self.asked.append((key, reference))
        return self.found

    async def check(self, references: Sequence[str]) -> Mapping[str, Outcome]:
        return {one: self.told[one] for one in references if one in self.told}

    async def answers_here(self) -> bool:
        return True

    async def close(self) -> None:
        pass


class Drafting(Played):
    """One that makes a draft before it sends."""

    async def send(self, mail: Mail, reference: str, note: Note) -> Receipt:
        await note("draft-1")
        return await super().send(mail, reference, note)


GATE = "email-graph"


class Post:
    """A channel over these transports, and what is noted on the way."""

    def __init__(self, *transports: Played) -> None:
        self.gates, self.table = MemoryGates(), MemoryTable()
        self.noted: list[str] = []
        self.references = References(self.table)
        self.files = MemoryFiles()
        self.channel: EmailChannel = email_channel(
            settings(),
            self.files,
            lambda: NOW,
            *transports,  # type: ignore[arg-type]
            gates=self.gates,
            references=self.references,
        )

    async def send(self, note: str | None = None, message: Message = MESSAGE) -> Receipt:
        """As `deliver` does: what it begins with is noted with the claim."""
        begun = await self.channel.begins(DELIVERY) if note is None else note

        async def noting(reference: str) -> None:
            self.noted.append(reference)

        return await self.channel.send(replace(DELIVERY, note=begun), message, noting)


def graph(*answers: Exception | Receipt) -> Played:
    return Played("graph", Promise.CAN_BE_ASKED, list(answers))


def acs(*answers: Exception | Receipt) -> Played:
    return Played("acs", Promise.DEDUPLICATES, list(answers))


def smtp(*answers: Exception | Receipt) -> Played:
    return Played("smtp", Promise.NEITHER, list(answers))


async def test_the_first_transport_has_it_and_nobody_else_is_asked() -> None:
    first, second = graph(), smtp()
    post = Post(first, second)
    receipt = await post.send()
    assert receipt.final
    assert (len(first.mails), len(second.mails)) == (1, 0)
    [mail] = first.mails
    assert (mail.address, mail.key) == ("kari@example.no", KEY)
    assert post.noted == []  # the claim has said it already
    assert not post.table.rows  # and our own Message-ID needs no index


@pytest.mark.parametrize(
    "refusal",
    [
        TransientError("graph: 500"),
        ThrottledError("graph: 429", timedelta(minutes=7)),
        StoppedError("graph: 401"),
    ],
)
async def test_the_next_is_tried_when_the_first_has_not_sent_and_that_is_noted_first(
    refusal: TransientError,
) -> None:
    first, second = graph(refusal), smtp()
    post = Post(first, second)
    await post.send()
    assert len(second.mails) == 1
    assert post.noted == [""]  # from here on nobody can be asked
    rests = not isinstance(refusal, TransientError) or hasattr(refusal, "retry_after")
    assert (GATE in post.gates.closed) is rests


@pytest.mark.parametrize("end", [UncertainError("graph: 504"), PermanentError("graph: no such")])
async def test_whoever_may_have_sent_it_and_a_final_no_are_never_passed_on(end: Exception) -> None:
    first, second = graph(end), smtp()
    with pytest.raises(type(end)):
        await Post(first, second).send()
    assert not second.mails


async def test_who_rests_is_passed_over_until_then() -> None:
    first, second = graph(), smtp()
    post = Post(first, second)
    post.gates.closed[GATE] = NOW + timedelta(minutes=1)
    assert await post.channel.begins(DELIVERY) == ""
    await post.send()
    assert (len(first.mails), len(second.mails)) == (0, 1)
    post.gates.closed[GATE] = NOW
    assert await post.channel.begins(DELIVERY) == "graph:"
    await post.send()
    assert len(first.mails) == 1


async def test_when_all_rest_everybody_waits_for_the_first_that_is_back() -> None:
    first = graph(ThrottledError("graph: 429", timedelta(minutes=7)))
    post = Post(first, smtp(ThrottledError("smtp: 421", timedelta(minutes=3))))
    with pytest.raises(ThrottledError) as caught:
        await post.send()
    assert caught.value.retry_after == timedelta(minutes=3)
    assert caught.value.gate == ""  # so the channel's own gate closes
    with pytest.raises(ThrottledError) as again:
        await post.send()
    assert again.value.retry_after == timedelta(minutes=3)
    assert len(first.mails) == 1  # nobody was asked a second time


async def test_one_that_fails_for_this_mail_alone_closes_nothing() -> None:
    post = Post(graph(TransientError("graph: 500")), smtp(TransientError("smtp: 451")))
    with pytest.raises(TransientError) as caught:
        await post.send()
    assert type(caught.value) is TransientError
    assert not post.gates.closed


async def test_a_single_transport_s_word_is_the_channel_s() -> None:
    post = Post(smtp(ThrottledError("smtp: 421", timedelta(minutes=3))))
    with pytest.raises(ThrottledError, match="421") as caught:
        await post.send()
    assert caught.value.gate == ""
    assert not post.gates.closed


async def test_what_has_begun_goes_on_with_whom_it_began_and_nobody_else() -> None:
    first, second = smtp(), graph(ThrottledError("graph: 429"))
    post = Post(first, second)
    begun = replace(DELIVERY, note="graph:draft-1")
    assert await post.channel.begins(begun) == "graph:draft-1"
    with pytest.raises(ThrottledError) as caught:
        await post.send("graph:draft-1")
    assert caught.value.gate == GATE  # the others may go on by SMTP
    assert second.references == ["draft-1"]
    assert not first.mails


async def test_once_a_draft_is_noted_nobody_else_is_tried() -> None:
    first, second = Drafting("graph", Promise.CAN_BE_ASKED), smtp()
    first.answers = [ThrottledError("graph: 429", timedelta(minutes=2))]
    post = Post(first, second)
    with pytest.raises(ThrottledError) as caught:
        await post.send()
    assert post.noted == ["graph:draft-1"]
    assert caught.value.gate == GATE
    assert not second.mails


async def test_what_had_begun_with_one_that_is_not_configured_now_is_uncertain() -> None:
    with pytest.raises(UncertainError):
        await Post(smtp()).send("graph:draft-1")


async def test_a_send_without_an_end_is_looked_up_with_whom_it_began() -> None:
    first, second = smtp(), graph()
    channel = Post(first, second).channel
    second.found = Receipt("<x@exchange>", "sendt")
    assert await channel.find(replace(DELIVERY, note="graph:draft-1")) == second.found
    assert second.asked == [(KEY, "draft-1")]
    second.found = ""
    assert await channel.find(replace(DELIVERY, note="graph:")) == "graph:"
    for lost in ("", "acs:7"):
        with pytest.raises(UncertainError):
            await channel.find(replace(DELIVERY, note=lost))


async def test_who_knows_repetitions_gets_it_again_with_the_same_key_and_alone() -> None:
    second = acs()
    post = Post(smtp(), second)
    found = await post.channel.find(replace(DELIVERY, note="acs:"))
    assert found == f"acs:{KEY}"
    await post.send(str(found))
    assert [mail.key for mail in second.mails] == [KEY]


async def test_another_round_has_another_key() -> None:
    second = acs()
    post = Post(second)
    await post.send()
    again = replace(DELIVERY, round=2, note="acs:")
    await post.channel.send(again, MESSAGE, post.channel.begins)  # type: ignore[arg-type]
    assert len({mail.key for mail in second.mails}) == 2


async def test_what_answers_herelater_is_asked_of_the_one_that_has_it() -> None:
    second = acs(Receipt(KEY, final=False))
    post = Post(graph(TransientError("graph: 500")), second)
    receipt = await post.send()
    assert (receipt.reference, receipt.final) == (f"acs:{KEY}", False)
    second.told = {KEY: Outcome(Status.SENT)}
    submitted = [replace(DELIVERY, note=receipt.reference), replace(DELIVERY, id="b", note="")]
    assert await post.channel.check(submitted) == {DELIVERY.id: Outcome(Status.SENT)}


async def test_a_provider_s_own_name_for_it_is_indexed_for_its_bounce() -> None:
    post = Post(graph(Receipt("<x@exchange>", "sendt")))
    receipt = await post.send()
    assert receipt.reference == "<x@exchange>"
    posted = await post.references.of("<x@exchange>")
    assert posted
    assert (posted.campaign, posted.delivery, posted.round) == ("20417-1", DELIVERY.id, 1)


async def test_the_largest_mail_is_one_that_every_transport_takes() -> None:
    first, second = graph(), smtp()
    first.biggest, second.biggest = 5_000, 3_000
    assert await Post(first, second).channel.largest() == 3_000


async def test_files_are_fetched_once_and_one_out_of_reach_sends_nothing() -> None:
    first = smtp()
    post = Post(first)
    file = File("veileder.pdf", "application/pdf", 4, "20417-1/file-1")
    message = replace(MESSAGE, files=(file,))
    with pytest.raises(TransientError, match="gone from storage"):
        await post.send(message=message)
    assert not first.mails
    post.files.blobs[file.blob] = b"%PDF"
    await post.send(message=message)
    del post.files.blobs[file.blob]
    await post.send(message=replace(message, html="<p>Et annet ord</p>"))
    assert [mail.files for mail in first.mails] == [((file, b"%PDF"),)] * 2


@pytest.mark.parametrize("names", ["smtp", "graph,smtp", "acs,graph,smtp"])
@pytest.mark.parametrize("seconds", ["1", "30"])
def test_the_shortest_lease_that_settings_take_outlives_a_send(names: str, seconds: str) -> None:
    """Or every delivery would be claimed, found to be too late, and put back for ever."""
    limits = {
        f"{name}_TIMEOUT_SECONDS": seconds for name in ("SMTP", "GRAPH", "ACS", "PURESERVICE")
    }
    shortest = (2 * len(names.split(",")) + 3) * int(seconds)
    values = {**limits, "EMAIL_TRANSPORTS": names, "LEASE_SECONDS": str(shortest)}
    given = settings(**values)
    transports = [Played(name) for name in given.transports]
    for transport in transports:
        transport.time_limit = timedelta(seconds=int(seconds))
    channel = email_channel(given, MemoryFiles(), lambda: NOW, *transports)  # type: ignore[arg-type]
    ticket = timedelta(seconds=given.PURESERVICE_TIMEOUT_SECONDS)
    assert channel.time_limit + 3 * ticket <= given.lease


async def test_a_ledger_that_is_away_makes_no_doubt_of_what_a_transport_has_said() -> None:
    class Away(MemoryGates):
        async def closed_until(self, gate: str, now: datetime) -> datetime:
            raise DoubtfulError("503")

        async def rest(self, gate: str, error: object, now: datetime) -> None:
            raise DoubtfulError("503")

        async def went_through(self, gates: list[str], now: datetime) -> None:
            raise DoubtfulError("503")

    def channel(*transports: Played) -> EmailChannel:
        return email_channel(
            settings(),
            MemoryFiles(),
            lambda: NOW,
            *transports,  # type: ignore[arg-type]
            gates=Away(),
        )

    async def note(reference: str) -> None: ...

    second = smtp()
    went = channel(graph(ThrottledError("graph: 429")), second)
    assert (await went.send(replace(DELIVERY, note="graph:"), MESSAGE, note)).final
    refused = channel(smtp(ThrottledError("smtp: 421")), graph(ThrottledError("graph: 429")))
    with pytest.raises(ThrottledError):
        await refused.send(DELIVERY, MESSAGE, note)
