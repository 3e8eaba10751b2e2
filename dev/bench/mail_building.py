"""What it takes to make a mail, from the letter and its recipient to the bytes on the wire."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from time import perf_counter, process_time, thread_time
from typing import ParamSpec, TypeVar

from dev.playground import example_settings
from shared.adapters.email import EmailChannel
from shared.adapters.transport import Mail
from shared.domain.delivery import NEVER, OpenDelivery, Outcome
from shared.domain.html import clean_html, plain_text
from shared.domain.letter import Letter, known_placeholders
from shared.domain.letterhead import Letterhead
from shared.domain.message import File, Message, Sender
from shared.domain.recipient import Recipient
from shared.errors import StoppedError, ThrottledError, UncertainError
from shared.flow.letterhead import with_letterhead
from shared.ports import Note, Promise, Receipt
from shared.settings import Settings

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

_CAMPAIGN = "20417-1"
_SENDER = Sender("post@fjordvik.no", "Fjordvik kommune", "svar@fjordvik.no", "retur@fjordvik.no")
_GREETING = "<p>Hei {{ recipient.first_name }},</p>"
_TEXT = """<h1>Vi stenger vannet</h1>
<p>Vi stenger vannet i Storgata, Sjøgata og Øvre Ærøyvei
<strong>tirsdag 3. februar kl. 8–12</strong>, fordi en ledning skal skiftes.
Vannet kan være brunt en stund etterpå.</p>
<ul><li>Tapp det vannet du trenger kvelden før.</li><li>Steng kranen til vaskemaskinen.</li>
<li>La kaldtvannet renne i ti minutter når det er tilbake.</li></ul>
<table><tr><th scope="col">Gate</th><th scope="col">Når</th></tr><tr><td>Storgata</td><td>8–12</td>
</tr><tr><td>Sjøgata og Øvre Ærøyvei</td><td>9–11</td></tr></table>
<p>Les <a href="https://fjordvik.no/vann">mer om stengingen</a>, eller ring 55 55 01 00.</p>"""
_PICTURE = '<p><img src="cid:kart@fjordvik.no" alt="Kart over gatene" width="400"></p>'
_LETTERHEAD = Letterhead(
    header="Fjordvik kommune",
    footer="Rådhuset, Storgata 1\nwww.fjordvik.no",
    signature="Hilsen\nBjørg Ærøy",
)
#: Of the mails with an attachment only so many are made: each takes as long as dozens of others.
ONE_IN = 10


@dataclass(frozen=True, slots=True)
class Built:
    """So many mails, made one after the other. `cpu` and its parts are in seconds."""

    what: str
    mails: int
    bodies: int  #: how often everything but the headers was made
    seconds: float
    cpu: float
    fill: float  #: the placeholders
    mime: float  #: the bodies
    headers: float  #: what is put in front of a body, and making one text of both

    @property
    def each(self) -> float:
        """Seconds of CPU for a mail."""
        return self.cpu / self.mails


def building(mails: int) -> Iterator[Built]:
    """Mails that are the same for everybody, those filled in, and those with files as well."""
    same, filled, heavy = _letter(_TEXT), _letter(_GREETING + _TEXT), _heavy()
    asyncio.run(_build("so that nothing is done for the first time", filled, {}, 5))
    yield asyncio.run(_build("alike", same, {}, mails))
    yield asyncio.run(_build("filled in", filled, {}, mails))
    some = max(1, mails // ONE_IN)
    yield asyncio.run(_build("with 1 MB", *heavy, some))


def same_for_everybody() -> Message:
    return _letter(_TEXT).message


def example(**changes: object) -> Settings:
    """The settings of the example with these changes."""
    values = example_settings()
    return Settings.model_validate({name: values[name] for name in Settings.model_fields} | changes)


def deliveries(number: int) -> Iterator[OpenDelivery]:
    for n in range(number):
        first, last = f"Kåre {n}", "Ærøy-Østby"
        values = (("first_name", first), ("last_name", last))
        recipient = Recipient(f"user:{n}", f"{first} {last}", f"kare.{n}@example.no", values=values)
        yield OpenDelivery(f"5e9f6a3c-0000-5000-8000-{n:012}", _CAMPAIGN, recipient)


async def unnoted(reference: str) -> None:
    """There is no ledger to note it in."""


def _letter(html: str, files: Sequence[File] = (), around: Letterhead | None = None) -> Letter:
    """As a draft becomes one."""
    html = clean_html(html)
    if around:
        html = with_letterhead(html, around, may_reply=True)
    subject = "Vannet stenges på tirsdag"
    message = Message(subject, html, plain_text(html), _SENDER, tuple(files))
    return Letter.of(message, known_placeholders("email", {}))


def _heavy() -> tuple[Letter, Mapping[str, bytes]]:
    chance = Random(5)
    contents = {"kart.png": chance.randbytes(20_000), "vedtak.pdf": chance.randbytes(1024 * 1024)}
    picture, attachment = (
        File(name, kind, len(contents[name]), name)
        for name, kind in (("kart.png", "image/png"), ("vedtak.pdf", "application/pdf"))
    )
    files = (replace(picture, content_id="kart@fjordvik.no"), attachment)
    return _letter(_GREETING + _TEXT + _PICTURE, files, _LETTERHEAD), contents


async def _build(what: str, letter: Letter, contents: Mapping[str, bytes], mails: int) -> Built:
    """Through the real channel, which keeps what is the same, to nobody at all."""
    bodies, nowhere = _Timed(), _Nowhere()
    asyncio.get_running_loop().set_default_executor(bodies)
    channel = EmailChannel(
        example(), [nowhere], _Kept(contents), _Open(), _Forgetful(), lambda: datetime.now(UTC)
    )
    fill, began, cpu = 0.0, perf_counter(), process_time()
    for delivery in deliveries(mails):
        filling = thread_time()
        message = letter.to(delivery.recipient)
        fill += thread_time() - filling
        await channel.send(delivery, message, unnoted)
    return Built(
        what=what,
        mails=nowhere.calls,
        bodies=bodies.calls,
        seconds=perf_counter() - began,
        cpu=process_time() - cpu,
        fill=fill,
        mime=bodies.cpu,
        headers=nowhere.cpu,
    )


class _Timed(ThreadPoolExecutor):
    """Knows how long its threads have worked: in them the channel makes bodies."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)
        self.calls, self.cpu = 0, 0.0

    def submit(
        self,
        fn: Callable[Arguments, Answer],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Future[Answer]:
        def timed() -> Answer:
            began = thread_time()
            try:
                return fn(*args, **kwargs)
            finally:
                self.calls += 1
                self.cpu += thread_time() - began

        return super().submit(timed)


@dataclass(slots=True)
class _Nowhere:
    """A transport that makes the mail as it would go over the wire, and that is all."""

    name: str = "nowhere"
    promise: Promise = Promise.NEITHER
    time_limit: timedelta = timedelta(seconds=30)
    calls: int = 0
    cpu: float = 0.0

    async def largest(self) -> int:
        return 1 << 62

    async def send(self, mail: Mail, reference: str, note: Note) -> Receipt:
        began = thread_time()
        await mail.mime()  # its body is there: nothing is waited for
        self.cpu += thread_time() - began
        self.calls += 1
        return Receipt(mail.message_id)

    async def find(self, key: str, reference: str) -> Receipt | str:
        raise UncertainError("nowhere: nobody has it")

    async def check(self, references: Sequence[str]) -> Mapping[str, Outcome]:
        return {}

    async def answers(self) -> bool:
        return True

    async def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _Kept:
    """The files, in memory."""

    contents: Mapping[str, bytes]

    async def get(self, name: str) -> bytes | None:
        return self.contents.get(name)

    async def put(self, name: str, data: bytes) -> None:
        raise NotImplementedError

    async def remove_all(self, campaign: str) -> None:
        raise NotImplementedError


class _Open:
    """Gates that are never closed."""

    async def closed_until(self, gate: str, now: datetime) -> datetime:
        return NEVER

    async def rest(self, gate: str, error: ThrottledError | StoppedError, now: datetime) -> None:
        raise NotImplementedError

    async def went_through(self, gates: Sequence[str], now: datetime) -> None:
        pass


class _Forgetful:
    async def remember(self, reference: str, delivery: OpenDelivery) -> None:
        raise NotImplementedError
