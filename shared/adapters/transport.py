"""What every way of sending e-mail takes and answers: SMTP, Microsoft Graph, Azure Communication
Services. `shared/adapters/email.py` chooses between them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import NAMESPACE_URL, uuid5

from shared.adapters import mime
from shared.domain.delivery import OpenDelivery, Outcome
from shared.domain.message import File, Message
from shared.ports import Note, Promise, Receipt

_OPERATIONS = uuid5(NAMESPACE_URL, "utsendelse/operation")


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one address, with nothing left to fill in.

    `what` is how errors call it, `key` what a provider may tell a repetition by: the same for the
    same delivery in the same round. `body` is the MIME body, where it is made already.
    """

    what: str
    key: str
    message_id: str
    name: str
    address: str
    message: Message
    date: datetime
    files: tuple[tuple[File, bytes], ...] = ()  #: attachments and pictures in the text
    body: bytes = b""

    async def mime(self, files: Sequence[tuple[File, bytes]] | None = None) -> bytes:
        """The mail as it goes over the wire; with these of its files only, when they are given."""
        body = self.body if files is None else b""
        if not body:
            of_these = self.files if files is None else files
            body = await asyncio.to_thread(mime.body, self.message, of_these)
        return mime.build(self.name, self.address, self.message_id, self.message, body, self.date)


def operation_id(delivery: OpenDelivery) -> str:
    """What names this delivery's sending in this round to a provider: a repetition has the same."""
    return str(uuid5(_OPERATIONS, f"{delivery.id}|{delivery.round}"))


class Transport(Protocol):
    """A provider of e-mail. A `reference` is what it has noted of a mail: "" before anything."""

    name: str
    promise: Promise
    time_limit: timedelta  #: a send that has not ended by then is given up

    async def largest(self) -> int:
        """How many bytes a whole mail may have, encoded for the wire."""
        ...

    async def send(self, mail: Mail, reference: str, note: Note) -> Receipt:
        """Hand it to the provider, within `time_limit`; raises as `Channel.send` does.

        What has two effects calls `note` with the first one's reference before the second; it is
        given back as `reference` when the mail is sent again. PermanentError is about this
        recipient or message; what would happen to every mail is Throttled- or StoppedError.
        """
        ...

    async def find(self, key: str, reference: str) -> Receipt | str:
        """How far an interrupted send came, as `Asked.find` tells it: evidence, or a reference to
        go on from. Asked only when it can no longer be alive. Raises UncertainError.
        """
        ...

    async def check(self, references: Sequence[str]) -> Mapping[str, Outcome]:
        """What has become of what was not final, by reference: as `Asked.check`."""
        ...

    async def answers(self) -> bool:
        """Whether it can be reached."""
        ...

    async def close(self) -> None: ...
