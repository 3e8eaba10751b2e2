"""E-mail: each delivery by the first transport that takes it, in the order of EMAIL_TRANSPORTS.

The next one is tried only when the one before is known not to have sent. Which one a delivery goes
by is noted with its claim, so that a send without an end is looked up with whoever had it:

    ""                  a server that cannot be asked; nothing is known
    graph:              nothing has been sent so far
    graph:<reference>   as far as this; nobody else may have it until this is cleared up
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol, TypeVar
from uuid import uuid4

from shared.adapters import mime
from shared.adapters.frozen_files import content_of
from shared.adapters.transport import Mail, Transport, operation_id
from shared.domain.bounce import posted
from shared.domain.delivery import Delivery, OpenDelivery, Outcome
from shared.domain.message import File, Message
from shared.domain.recipient import Recipient
from shared.errors import (
    StoppedError,
    StorageError,
    ThrottledError,
    TransientError,
    UncertainError,
)
from shared.ports import Archived, Clock, Files, Note, Promise, Receipt, Repeat
from shared.settings import Settings

log = logging.getLogger(__name__)

#: How many campaigns' contents are kept in memory, attachments included.
KEPT = 3
#: The longest that fetching files and making the mail may take.
_PREPARING = timedelta(seconds=10)

Content = tuple[tuple[File, bytes], ...]
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class _Way:
    """What is noted of a delivery: by which transport, and how far it came there."""

    transport: str = ""
    reference: str = ""

    @classmethod
    def of(cls, note: str) -> "_Way":
        transport, _, reference = note.partition(":")
        return cls(transport, reference)

    def __str__(self) -> str:
        return f"{self.transport}:{self.reference}" if self.transport else ""


@dataclass(slots=True)
class _Noting:
    """A transport's notes, in its name."""

    transport: str
    note: Note
    begun: bool = False

    async def __call__(self, reference: str) -> None:
        self.begun = True
        await self.note(str(_Way(self.transport, reference)))


class Gates(Protocol):
    """Who is to be left alone, known to all hosts within seconds."""

    async def closed_until(self, gate: str, now: datetime) -> datetime:
        """When it may be tried again; long ago when it is open."""
        ...

    async def rest(self, gate: str, error: ThrottledError | StoppedError, now: datetime) -> None:
        """Nobody tries it for as long as the error says; people are told when one must act."""
        ...

    async def went_through(self, gates: Sequence[str], now: datetime) -> None:
        """Something got out on these."""
        ...


class References(Protocol):
    """What providers call our deliveries, for what they tell us of them later."""

    async def remember(self, reference: str, delivery: OpenDelivery) -> None: ...


class EmailChannel:
    """Hands each delivery to one transport after the other, until one has it."""

    name = "email"
    gates: tuple[str, ...] = ("email",)

    def __init__(
        self,
        settings: Settings,
        transports: Sequence[Transport],
        files: Files,
        gates: Gates,
        references: References,
        clock: Clock,
    ) -> None:
        self._transports = {transport.name: transport for transport in transports}
        self._files = files
        self._gates = gates
        self._references = references
        self._clock = clock
        self._most = settings.MAIL_MAX_MEGABYTES * 1024 * 1024
        known = any(transport.promise is not Promise.NEITHER for transport in transports)
        self.promise = Promise.CAN_BE_ASKED if known else Promise.NEITHER
        sending = sum((transport.time_limit for transport in transports), start=timedelta())
        # the lease is long enough for twice as long as sending takes: see the settings
        self._preparing = min(_PREPARING, sending / 2)
        self.time_limit = self._preparing + sending
        self.first_check = timedelta(seconds=settings.ACS_CHECK_SECONDS)
        self.longest_wait = timedelta(minutes=settings.ACS_WAIT_MINUTES)
        self._contents: dict[Hashable, asyncio.Future[Content]] = {}
        self._bodies: dict[Hashable, asyncio.Future[bytes]] = {}

    async def largest(self) -> int:
        """How many bytes a whole mail may have, so that every transport takes it."""
        return min([self._most, *[await one.largest() for one in self._transports.values()]])

    async def begins(self, delivery: OpenDelivery) -> str:
        """By which transport it will go: the one that has begun, or the first that is open."""
        if _Way.of(delivery.note).reference:
            return delivery.note
        for transport in self._transports.values():
            if not await self._rests(transport):
                return str(_Way(_noted(transport)))
        return ""

    async def send(self, delivery: OpenDelivery, message: Message, note: Note) -> Receipt:
        """Hand the mail to one transport after the other, until one has it or may have it."""
        mail = await self._mail(delivery, message)
        way = _Way.of(delivery.note)
        refused: list[TransientError] = []
        candidates = self._in_turn(way)
        for transport in candidates:
            if await self._rests(transport):
                continue
            if _noted(transport) != way.transport:
                way = _Way(_noted(transport))
                await note(str(way))
            noting = _Noting(transport.name, note)
            try:
                receipt = await transport.send(mail, way.reference, noting)
            except TransientError as error:  # so this one has not sent it
                log.warning("email.refused by=%s because=%s", transport.name, error)
                refused.append(error)
                await self._rest(transport, error)
                if noting.begun:  # a draft of it is there: nobody else gets it any more
                    raise await self._nobody([transport], refused) from None
            else:
                return await self._receipt(transport, receipt, delivery)
        raise await self._nobody(candidates, refused)

    async def try_out(self, message: Message, address: str) -> None:
        id_ = str(uuid4())
        content = await self._content(message)
        message_id = f"<test.{id_}@{message.sender.envelope_from.rpartition('@')[2]}>"
        mail = Mail("a test", id_, message_id, "", address, message, self._clock(), content)
        await self.post(mail)

    async def post(self, mail: Mail) -> None:
        """Hand over a mail that is no delivery, to the first transport that takes it.

        Raises as `send` does.
        """
        *others, last = self._transports.values()
        for transport in others:
            try:
                await transport.send(mail, "", _unnoted)
            except TransientError as error:
                log.warning("email.refused by=%s because=%s", transport.name, error)
            else:
                return
        await last.send(mail, "", _unnoted)

    async def archive(self, campaign_id: str, message: Message) -> Archived:
        """The mail as an `.eml` without a recipient."""
        body = await self._body(message, await self._content(message))
        copy = mime.archive_copy(message, body, self._clock())
        return Archived(".eml", "message/rfc822", copy)

    # --- what became of it ---

    async def find(self, delivery: OpenDelivery) -> Receipt | str:
        way = _Way.of(delivery.note)
        transport = self._transports.get(way.transport)
        if transport is None or transport.promise is Promise.NEITHER:
            raise UncertainError(f"email: nobody can be asked about delivery {delivery.id}")
        key = operation_id(delivery)
        found = await transport.find(key, way.reference)
        if isinstance(found, Receipt):
            return await self._receipt(transport, found, delivery)
        if transport.promise is Promise.DEDUPLICATES:  # it may deny what it has
            return Repeat(_Way(transport.name, found or key))
        return str(_Way(transport.name, found))

    async def check(self, submitted: Sequence[OpenDelivery]) -> Mapping[str, Outcome]:
        ways = {one.id: _Way.of(one.note) for one in submitted}
        told: dict[_Way, Outcome] = {}
        for name, transport in self._transports.items():
            if its := [way.reference for way in ways.values() if way.transport == name]:
                found = await transport.check(its)
                told |= {_Way(name, reference): one for reference, one in found.items()}
        return {id_: told[way] for id_, way in ways.items() if way in told}

    async def resume(
        self, again: Sequence[tuple[Delivery, Recipient]]
    ) -> Mapping[str, Receipt | str]:
        """From the beginning: a new round has a key of its own."""
        return {}

    async def close(self) -> None:
        for transport in self._transports.values():
            await transport.close()

    # --- by whom ---

    def _in_turn(self, way: _Way) -> list[Transport]:
        """Whom to try, the noted one first; nobody else while that one may have it."""
        of_all = list(self._transports.values())
        first = [one for one in of_all if _noted(one) == way.transport]
        if not way.reference:
            return [*first, *(one for one in of_all if one not in first)]
        if not first:
            raise UncertainError(f"email: {way.transport} had begun, and is not configured now")
        return first

    async def _rests(self, transport: Transport) -> bool:
        """Whether it is to be left alone just now. Where there is but one, the channel rests."""
        return len(self._transports) > 1 and await self._open_in(transport) > timedelta()

    async def _open_in(self, transport: Transport) -> timedelta:
        now = self._clock()
        try:
            return await self._gates.closed_until(_gate(transport), now) - now
        except StorageError:  # it will say so itself
            return timedelta()

    async def _rest(self, transport: Transport, error: TransientError) -> None:
        """Everybody leaves it alone for as long as it says. Where there is but one: the channel."""
        if len(self._transports) > 1 and isinstance(error, ThrottledError | StoppedError):
            error.gate = _gate(transport)
            with suppress(StorageError):  # that nothing was sent is what counts
                await self._gates.rest(error.gate, error, self._clock())

    async def _nobody(
        self, candidates: Sequence[Transport], refused: Sequence[TransientError]
    ) -> TransientError:
        """What to do when none has it: wait for the first of them that can be tried again.

        A delivery that can go by one alone waits for that one; the others need not.
        """
        for error in refused:
            if len(self._transports) == 1 or not isinstance(error, ThrottledError | StoppedError):
                return error
        waits = [await self._open_in(transport) for transport in candidates]
        wait = max(timedelta(seconds=1), min(waits))
        error = ThrottledError("email: no transport takes mail just now", wait)
        error.gate = _gate(candidates[0]) if len(candidates) < len(self._transports) else ""
        return error

    async def _receipt(
        self, transport: Transport, receipt: Receipt, delivery: OpenDelivery
    ) -> Receipt:
        """The evidence; indexed where a bounce will only tell the provider's own name for it.

        It has gone out, whatever becomes of that.
        """
        try:
            await self._gates.went_through([_gate(transport)], self._clock())
            if posted(receipt.reference) is None:
                await self._references.remember(receipt.reference, delivery)
        except StorageError as error:
            log.warning("email.not_indexed delivery_id=%s because=%s", delivery.id, error)
        return _named(transport, receipt)

    # --- what is sent ---

    async def _mail(self, delivery: OpenDelivery, message: Message) -> Mail:
        """The delivery's mail. Raises TransientError when its files cannot be had in time."""
        try:
            async with asyncio.timeout(self._preparing.total_seconds()):
                content = await self._content(message)
                body = await self._body(message, content)
        except TimeoutError as error:
            raise TransientError(f"email: no mail in time for delivery {delivery.id}") from error
        return Mail(
            what=f"delivery {delivery.id}",
            key=operation_id(delivery),
            message_id=mime.message_id(delivery, message.sender),
            name=delivery.recipient.name,
            address=delivery.recipient.address,
            message=message,
            date=self._clock(),
            files=content,
            body=body,
        )

    async def _content(self, message: Message) -> Content:
        return await _kept(self._contents, message.files, lambda: self._fetch(message.files))

    async def _fetch(self, files: Sequence[File]) -> Content:
        return tuple([(file, await content_of(file, self._files, self.name)) for file in files])

    async def _body(self, message: Message, content: Content) -> bytes:
        what = (message.subject, message.html, message.text, message.lang, message.files)
        return await _kept(
            self._bodies, what, lambda: asyncio.to_thread(mime.body, message, content)
        )


async def _kept(
    kept: dict[Hashable, asyncio.Future[Made]], what: Hashable, make: Callable[[], Awaitable[Made]]
) -> Made:
    """What was made of it; or is made now, once however many workers ask at the same time."""
    task = kept.pop(what, None)
    if task is None or (task.done() and (task.cancelled() or task.exception())):
        task = asyncio.ensure_future(make())
    kept[what] = task  # the last one used is the last to go
    while len(kept) > KEPT:
        del kept[next(iter(kept))]
    return await asyncio.shield(task)


def _noted(transport: Transport) -> str:
    """What stands for it in a note; nothing for who cannot be asked anyway."""
    return "" if transport.promise is Promise.NEITHER else transport.name


def _gate(transport: Transport) -> str:
    return f"email-{transport.name}"


def _named(transport: Transport, receipt: Receipt) -> Receipt:
    """What answers later is asked for by the transport's name and its reference."""
    if receipt.final:
        return receipt
    return replace(receipt, reference=str(_Way(transport.name, receipt.reference)))


async def _unnoted(reference: str) -> None:
    """It is no delivery: there is nowhere to note it."""
