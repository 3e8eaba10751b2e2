"""One ticket per recipient, against the simulator: what is made, what leaves, what is found."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import repeat
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.mail import MailSink
from dev.pureservice.schema import API_USER
from dev.pureservice.seed import (
    OTHER_AGENT,
    PICTURE_ID,
    PLACEHOLDERS,
    TEXT,
    add_company,
    add_message,
    add_user,
    expected,
    seed_campaign,
)
from shared.adapters.pureservice_users import PureserviceUsers
from shared.adapters.pureservice_wire import LARGEST_ANSWER
from shared.adapters.ticket import CALLS, CALLS_FOR_UNKNOWN, TicketChannel
from shared.domain.delivery import OpenDelivery, Reason, Status, delivery_id
from shared.domain.message import Classification, File, Message, Sender, TicketTemplate
from shared.domain.recipient import Recipient
from shared.errors import (
    PermanentError,
    StoppedError,
    StorageError,
    ThrottledError,
    TransientError,
    UncertainError,
    UtsendelseError,
)
from shared.flow.verify import AT_ONCE
from shared.flow.wording import log_entry
from shared.ledger.claims import Claims
from shared.ports import Archived, Promise, Receipt
from tests.adapters.conftest import KEY, Connect, Tenant, Time, settings
from tests.fakes import MemoryFiles, MemoryTable
from tests.mailing import email_channel

CAMPAIGN = "20417-1"
BY_MAIL = {"TICKET_MESSAGE_VIA": "email", "TICKET_REPLY_TO": "servicedesk@fjordvik.example.no"}
HAS_FILES = ("veileder.pdf", "sjekkliste.txt")
PICTURE = "logo.png"
QUEUED, SENT, FAILED = 1, 4, 5

Row = dict[str, Any]


@dataclass
class RecordingMail:
    """A mail channel that keeps what it is given; `answers` are raised in turn, None is yes."""

    answers: list[Exception | None] = field(default_factory=list)
    sent: list[tuple[OpenDelivery, Message]] = field(default_factory=list)
    name = "email"
    gates = ("email",)
    promise = Promise.NEITHER
    time_limit = timedelta(seconds=60)

    async def begins(self, delivery: OpenDelivery) -> str:
        assert delivery.note == ""  # which is the ticket's, and nobody else's
        return "graph:"

    async def send(self, delivery: OpenDelivery, message: Message, note: Any) -> Receipt:
        assert delivery.note == "graph:"
        if answer := self.answers.pop(0) if self.answers else None:
            raise answer
        self.sent.append((delivery, message))
        return Receipt("<1@fjordvik.example.no>", "250 2.0.0 tatt imot")

    async def archive(self, campaign_id: str, message: Message) -> Archived:
        return Archived(".eml", "message/rfc822", f"{campaign_id} {message.subject}".encode())


class Office:
    """A tenant with a campaign's ticket, and channels that make copies of it."""

    def __init__(self, tenant: Tenant, time: Time, connect: Connect) -> None:
        self.tenant, self.time, self._connect = tenant, time, connect
        self.world = tenant.world
        number = seed_campaign(self.world, recipients=0, tricky=False, scenario="ticket")
        self.parent: Row = self.world.get("ticket", expected(self.world, number)["ticketId"])  # type: ignore[assignment]
        self.mail = RecordingMail()
        self.files = MemoryFiles()
        self.claims = Claims(MemoryTable())
        self.notes: dict[str, list[str]] = {}
        self.message = self._message()
        self.channel = self.open()
        tenant.asked.clear()

    def open(self, transport: Any = None, mail: Any = None, **values: Any) -> TicketChannel:
        """A channel with these settings; all of them share files, claims and mail."""
        own = {"TICKET_TAG": "[Sak ID# {{RequestNumber}}]", **values}
        wire = self._connect(transport or self.tenant, **own).wire
        made = settings(**own)
        return TicketChannel(
            made,
            wire,
            PureserviceUsers(made, wire, self.claims, self.time),
            self.files,
            mail=mail or self.mail,
            log_entry=log_entry,
        )

    def _message(self) -> Message:
        parent = self.parent
        kept = {row["fileName"]: self._kept(row) for row in self.on(parent, "attachment")}
        return Message(
            "Høring om ny veileder: si din mening",
            TEXT,
            "Hei!",
            Sender(
                "post@fjordvik.example.no", "Fjordvik", "svar@fjordvik.example.no", "retur@x.no"
            ),
            tuple(kept[name] for name in HAS_FILES),
            TicketTemplate(
                subject=parent["subject"],
                description=parent["description"],
                status=self.tenant.id("status", name="Venter - sluttbruker"),
                classification=Classification(
                    request_type=parent["requestTypeId"],
                    ticket_type=parent["ticketTypeId"],
                    priority=parent["priorityId"],
                    source=parent["sourceId"],
                    zone=parent["assignedDepartmentId"],
                    team=parent["assignedTeamId"],
                    category1=parent["category1Id"],
                    category2=parent["category2Id"],
                    category3=parent["category3Id"],
                ),
                fields=(("cf_2", parent["cf_2"]), ("cf_7", parent["cf_7"])),
                pictures=(kept[PICTURE],),
            ),
        )

    def _kept(self, row: Row) -> File:
        blob = f"{CAMPAIGN}/file-{row['id']}"
        content = self.world.content(row["digest"])
        self.files.blobs[blob] = content
        shown = row["contentId"] if row.get("embedded") else ""
        return File(row["fileName"], row["contentType"], len(content), blob, row["id"], shown)

    @property
    def plain(self) -> Message:
        """The message without any file or picture."""
        assert self.message.ticket
        return replace(self.message, files=(), ticket=replace(self.message.ticket, pictures=()))

    # -- recipients

    def to(self, address: str = "kari@example.no", name: str = "Kari Ås") -> OpenDelivery:
        first, _, last = name.partition(" ")
        user = add_user(self.world, {"firstName": first, "lastName": last}, [address])
        return self._delivery(Recipient(f"user:{user['id']}", name, address, user["id"]))

    def to_company(self, address: str, name: str = "Bedriften") -> OpenDelivery:
        company = add_company(self.world, {"name": name}, [address])
        return self._delivery(Recipient(f"company:{company['id']}", name, address))

    @staticmethod
    def _delivery(recipient: Recipient) -> OpenDelivery:
        return OpenDelivery(delivery_id(CAMPAIGN, recipient.member), CAMPAIGN, recipient)

    # -- what the flow does

    async def send(
        self, one: OpenDelivery, message: Message | None = None, channel: Any = None
    ) -> Receipt:
        """One attempt; what it notes is kept, and an earlier attempt's note goes along."""
        noted = self.notes.setdefault(one.id, [])

        async def note(reference: str) -> None:
            noted.append(reference)

        return await (channel or self.channel).send(self.noted(one), message or self.message, note)

    def noted(self, one: OpenDelivery) -> OpenDelivery:
        return replace(one, note=(self.notes.get(one.id) or [one.note])[-1])

    async def find(self, one: OpenDelivery, channel: Any = None) -> Receipt | str:
        return await (channel or self.channel).find(self.noted(one))

    async def check(self, *some: OpenDelivery, channel: Any = None) -> dict[str, Any]:
        outcomes = await (channel or self.channel).check([self.noted(one) for one in some])
        return {one.recipient.address: outcomes[one.id] for one in some}

    async def settled(self, *some: OpenDelivery, channel: Any = None) -> dict[str, Any]:
        """Checked twice: a mail is queued the first time anybody looks."""
        await self.check(*some, channel=channel)
        return await self.check(*some, channel=channel)

    # -- what a person sees

    def on(self, ticket: Row, kind: str, **values: Any) -> list[Row]:
        rows = self.world.where(kind, "ticketId", ticket["id"])
        return [row for row in rows if all(row.get(k) == v for k, v in values.items())]

    def copies(self, one: OpenDelivery | None = None) -> list[Row]:
        ours = [row for row in self.world.all("ticket") if row["createdById"] == API_USER]
        return [row for row in ours if one is None or row["userId"] == one.recipient.user]

    def copy(self, one: OpenDelivery) -> Row:
        [ticket] = self.copies(one)
        return ticket

    def messages(self, ticket: Row) -> list[Row]:
        return self.on(ticket, "communication", type=2, direction=2)

    def log(self, ticket: Row) -> list[str]:
        return [row["text"] for row in self.on(ticket, "communication", type=1, direction=3)]

    def content(self, ids: Sequence[int]) -> dict[str, bytes]:
        rows = [self.world.get("attachment", id_) or {} for id_ in ids]
        return {row["fileName"]: self.world.content(row["digest"]) for row in rows}

    def wanted(self, *names: str) -> dict[str, bytes]:
        """The campaign's own files of these names."""
        rows = {row["fileName"]: row for row in self.on(self.parent, "attachment")}
        return {name: self.world.content(rows[name]["digest"]) for name in names}


@pytest.fixture
def office(tenant: Tenant, time: Time, connect: Connect) -> Office:
    return Office(tenant, time, connect)


async def raised(attempt: Awaitable[Any]) -> UtsendelseError:
    with pytest.raises(UtsendelseError) as caught:
        await attempt
    return caught.value


# -- the copy


async def test_the_copy_is_the_recipients_own_and_keeps_all_that_the_ticket_had(
    office: Office,
) -> None:
    kari = office.to()
    await office.send(kari)
    ticket, parent = office.copy(kari), office.parent
    for name in (
        *("subject", "description", "cf_2", "cf_7", "requestTypeId", "ticketTypeId", "priorityId"),
        *("sourceId", "assignedDepartmentId", "assignedTeamId"),
        *("category1Id", "category2Id", "category3Id"),
    ):
        assert ticket[name] == parent[name] is not None, name
    assert (ticket["userId"], ticket["emailAddress"]) == (kari.recipient.user, "kari@example.no")
    assert ticket["customerReference"] == f"20417-1 {kari.id}"
    assert ticket["statusId"] == office.tenant.id("status", name="Venter - sluttbruker")
    assert ticket.get("assignedAgentId") is None
    assert parent["customerReference"] == "Deres ref. 2026/77 Ålfjord"
    assert office.notes[kari.id] == [f"{ticket['id']}/{ticket['requestNumber']}"]


async def test_foreign_keys_are_links_and_nothing_else(office: Office) -> None:
    await office.send(office.to())
    body = json.loads(office.tenant.asked[0].content)
    [row] = body["tickets"]
    assert not [name for name in row if name.endswith("Id")]
    assert len(row["links"].pop("attachments")) == 3
    assert len(row["links"]) == 2 + 9  # user and status, classification
    assert all(isinstance(link["id"], int) for link in row["links"].values())


@pytest.mark.parametrize(("setting", "visibility"), [("silent", 1), ("hidden", 2)])
async def test_no_receipt_goes_out_about_the_copy(
    office: Office, setting: str, visibility: int
) -> None:
    kari = office.to()
    await office.send(kari, channel=office.open(TICKET_VISIBILITY=setting))
    ticket = office.copy(kari)
    assert ticket["visibility"] == visibility
    [mail] = office.on(ticket, "email")  # the message, that is
    assert not (mail.get("isInitial") or mail.get("isSystem"))


async def test_the_agent_comes_along_when_the_campaign_keeps_it(office: Office) -> None:
    kari, template = office.to(), office.message.ticket
    assert template
    classification = replace(template.classification, agent=OTHER_AGENT, team=None, category3=None)
    ticket = replace(template, classification=classification)
    await office.send(kari, replace(office.message, ticket=ticket))
    made = office.copy(kari)
    assert made["assignedAgentId"] == OTHER_AGENT
    assert (made.get("assignedTeamId"), made.get("category3Id")) == (None, None)


async def test_two_companies_that_share_a_mailbox_get_two_tickets(office: Office) -> None:
    for name in ("Søster Én", "Søster To"):
        await office.send(office.to_company("konsern@example.no", name))
    one, two = office.copies()
    assert one["userId"] == two["userId"]
    assert one["customerReference"] != two["customerReference"]


async def test_a_campaign_without_a_template_makes_nothing(office: Office) -> None:
    error = await raised(office.send(office.to(), replace(office.message, ticket=None)))
    assert type(error) is PermanentError
    assert office.tenant.asked == []


# -- files


@pytest.mark.parametrize("answer", ["included", "missing"])
async def test_files_are_copied_where_they_are_and_go_with_the_mail(
    office: Office, answer: str
) -> None:
    office.tenant.switch(posted_answer=answer)
    kari = office.to()
    await office.send(kari)
    ticket = office.copy(kari)
    rows = {row["fileName"]: row for row in office.on(ticket, "attachment")}
    assert rows.keys() == {*HAS_FILES, PICTURE}  # not the hidden one
    assert all(row["isVisible"] for row in rows.values())
    ids = [row["id"] for row in rows.values()]
    assert office.content(ids) == office.wanted(*HAS_FILES, PICTURE)
    picture = rows[PICTURE]
    assert (picture["embedded"], picture["contentId"]) == (True, PICTURE_ID)
    assert not rows["veileder.pdf"].get("embedded")
    [mail] = office.on(ticket, "email")
    assert office.content(mail["attachmentIds"]) == office.wanted(*HAS_FILES)
    assert b'"bytes"' not in office.tenant.asked[0].content
    asked = [f"{one.method} {one.url.path}" for one in office.tenant.asked]
    looked_up = ["GET /agent/api/attachment/"] if answer == "missing" else []
    assert asked == [
        "POST /agent/api/ticket/",
        *looked_up,
        "POST /agent/api/communication/",
    ]


async def test_files_are_uploaded_with_the_ticket_when_settings_say_so(office: Office) -> None:
    kari, channel = office.to(), office.open(TICKET_FILES="upload")
    await office.send(kari, channel=channel)
    rows = {row["fileName"]: row for row in office.on(office.copy(kari), "attachment")}
    assert office.content([row["id"] for row in rows.values()]) == office.wanted(*rows)
    assert rows.keys() == {*HAS_FILES, PICTURE}
    assert (rows[PICTURE]["embedded"], rows[PICTURE]["contentId"]) == (True, PICTURE_ID)
    assert b"attachmentCopyId" not in office.tenant.asked[0].content
    assert len(office.tenant.asked) == CALLS


@pytest.mark.parametrize("answer", ["included", "missing"])
@pytest.mark.parametrize("copying", ["ignored", "claimed", "refused"])
async def test_files_that_cannot_be_copied_are_uploaded_and_nobody_goes_without(
    office: Office, caplog: pytest.LogCaptureFixture, copying: str, answer: str
) -> None:
    office.tenant.switch(attachment_copy=copying, posted_answer=answer)
    first, second = office.to(), office.to("ola@example.no")
    await office.send(first)
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warnings) == 3
    assert all(one.startswith("ticket.file_uploaded ticket_id=") for one in warnings)
    office.tenant.asked.clear()
    await office.send(second)
    assert len(office.tenant.asked) == CALLS + (answer == "missing")  # and no more copying
    for one in (first, second):
        [mail] = office.on(office.copy(one), "email")
        assert office.content(mail["attachmentIds"]) == office.wanted(*HAS_FILES)
        shown = office.on(office.copy(one), "attachment", fileName=PICTURE)
        assert office.wanted(PICTURE)[PICTURE] in [
            office.world.content(row["digest"]) for row in shown
        ]


async def test_a_copy_that_does_not_tell_its_length_is_not_believed(office: Office) -> None:
    class Untold(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await office.tenant.handle_async_request(request)
            body = json.loads(await answer.aread())
            for row in body.get("linked", {}).get("attachments", []):
                del row["contentLength"]
            return httpx.Response(answer.status_code, json=body)

    office.tenant.switch(attachment_copy="ignored")
    kari, ola = office.to(), office.to("ola@example.no")
    await office.send(kari, channel=office.open(Untold()))
    [mail] = office.on(office.copy(kari), "email")
    assert office.content(mail["attachmentIds"]) == office.wanted(*HAS_FILES)
    office.tenant.asked.clear()
    await office.send(ola, channel=office.open(Untold(), TICKET_FILES="upload"))
    assert len(office.tenant.asked) == CALLS  # what we have sent ourselves need not be told


async def test_a_ticket_that_is_refused_on_other_grounds_is_refused(office: Office) -> None:
    kari, template = office.to(), office.message.ticket
    assert template
    wrong = replace(office.message, ticket=replace(template, status=9999))
    assert type(await raised(office.send(kari, wrong))) is PermanentError
    assert office.copies() == []
    await office.send(office.to("ola@example.no"))
    assert b'"bytes"' not in office.tenant.asked[-2].content  # copying is not to blame


async def test_a_file_that_is_out_of_reach_makes_no_ticket(office: Office) -> None:
    channel = office.open(TICKET_FILES="upload")
    lost = office.message.files[0].blob
    del office.files.blobs[lost]
    assert lost in str(await raised(office.send(office.to(), channel=channel)))

    async def unreachable(name: str) -> bytes:
        raise StorageError("nede")

    office.files.get = unreachable  # type: ignore[method-assign]
    error = await raised(office.send(office.to("ola@example.no"), channel=channel))
    assert type(error) is TransientError
    assert office.tenant.asked == []


# -- what it costs


@pytest.mark.parametrize("values", [{}, BY_MAIL], ids=["by pureservice", "by mail"])
async def test_a_known_user_costs_two_calls_with_files_and_without(
    office: Office, values: Row
) -> None:
    channel = office.open(**values)
    for message in (office.plain, office.message):
        office.tenant.asked.clear()
        address = f"kari{len(message.files)}@example.no"
        await office.send(office.to(address), message, channel)
        assert len(office.tenant.asked) == CALLS == 2


async def test_a_company_costs_more_when_its_user_is_not_known(office: Office) -> None:
    await office.send(office.to_company("ny@example.no", "Ny"))
    assert len(office.tenant.asked) == CALLS_FOR_UNKNOWN
    office.tenant.asked.clear()
    await office.send(office.to_company("ny@example.no", "Også ny"))
    assert len(office.tenant.asked) == 3


# -- sent by Pureservice


async def test_the_message_is_posted_and_leaves_with_the_new_tickets_tag(office: Office) -> None:
    kari = office.to()
    receipt = await office.send(kari)
    ticket = office.copy(kari)
    assert receipt == Receipt(f"{ticket['id']}/{ticket['requestNumber']}", final=False)
    [message] = office.messages(ticket)
    assert (message["subject"], message["text"]) == (office.message.subject, TEXT)
    [mail] = office.on(ticket, "email")
    assert mail["to"] == "kari@example.no"
    assert mail["subject"] == f"[Sak ID# {ticket['requestNumber']}] {office.message.subject}"
    assert str(office.parent["requestNumber"]) not in mail["subject"] + mail["html"]
    assert office.mail.sent == []


async def test_what_became_of_the_mails_is_asked_about_all_at_once(office: Office) -> None:
    fates = {
        "kari@example.no": (Status.SENT, Reason.NONE),
        "kari+bounce@example.no": (Status.FAILED, Reason.MAIL_FAILED),
        "kari@skolen.local": (Status.FAILED, Reason.MAIL_FAILED),
        "kari+stuck@example.no": (Status.SUBMITTED, Reason.STILL_QUEUED),
        "kari+lost@example.no": (Status.SUBMITTED, Reason.NOT_MAILED),
    }
    some = [office.to(address) for address in fates]
    for one in some:
        await office.send(one)
    queued = await office.check(*some)
    assert {o.status for o in queued.values()} == {Status.SUBMITTED}
    office.tenant.asked.clear()
    outcomes = await office.check(*some)
    assert len(office.tenant.asked) == 1
    assert {to: (o.status, o.reason) for to, o in outcomes.items()} == fates
    bounced = outcomes["kari+bounce@example.no"].detail
    assert bounced == "550 5.1.1 …@… ukjent mottaker"
    assert not any("@example" in o.detail or "local" in o.detail for o in outcomes.values())


async def test_a_message_that_nobody_mails_is_not_taken_for_sent(office: Office) -> None:
    office.tenant.switch(message_sends_mail=False)
    kari = office.to()
    await office.send(kari)
    [outcome] = (await office.settled(kari)).values()
    assert (outcome.status, outcome.reason) == (Status.SUBMITTED, Reason.NOT_MAILED)


@pytest.mark.parametrize(
    ("mails", "status"),
    [
        ([{"isSystem": True, "status": SENT}], Status.SUBMITTED),
        ([{"isInitial": True, "status": SENT}], Status.SUBMITTED),
        ([{"direction": 1, "status": SENT}], Status.SUBMITTED),
        ([{"status": 2}, {"status": None}], Status.SUBMITTED),
        ([{"status": FAILED}, {"status": SENT}], Status.SENT),
        ([{"status": SENT}, {"status": FAILED}], Status.SENT),
        ([{"status": QUEUED}, {"status": FAILED}], Status.FAILED),
        ([{"status": FAILED, "isSystem": True}, {"status": SENT}], Status.SENT),
    ],
)
async def test_only_a_message_out_of_the_ticket_counts(
    office: Office, mails: list[Row], status: Status
) -> None:
    office.tenant.switch(message_sends_mail=False)
    kari = office.to()
    await office.send(kari)
    for mail in mails:
        usual = {"ticketId": office.copy(kari)["id"], "direction": 2, "queuedReads": -1}
        office.world.add("email", {**usual, **mail})
    [outcome] = (await office.check(kari)).values()
    assert outcome.status is status


KARI, IDN = "kari@example.no", "kari@xn--blbr-roah.example.no"


@pytest.mark.parametrize(
    ("address", "to", "theirs"),
    [
        (KARI, "ekspert@example.com", False),
        (KARI, "anne-kari@example.no", False),
        (KARI, "kari@example.no.example.com", False),
        (KARI, "Kari Ås <ekspert@example.com>", False),
        (KARI, "KARI@Example.no", True),
        (KARI, "Kari Ås <kari@example.no>", True),
        (KARI, '"Ås, Kari" <kari@example.no>; ekspert@example.com', True),
        (KARI, "ekspert@example.com,kari@example.no", True),
        ("o'hara@example.no", "O'Hara <o'hara@example.no>", True),
        ("kari+liste@example.no", "'kari+liste@example.no'", True),
        ("kari.aas@example.no", "karixaas@example.no", False),
        (KARI, "", True),
        (KARI, None, True),
        (IDN, "Kari <kari@blåbær.example.no>", True),
        (IDN, "kari@BLÅBÆR.example.no", True),
        (IDN, "kari@xn--blbr-roah.example.no", True),
        (IDN, "kari@blabar.example.no", False),
    ],
)
@pytest.mark.parametrize("status", [SENT, FAILED])
async def test_a_mail_counts_only_when_it_went_to_the_recipient(
    office: Office, address: str, to: str | None, theirs: bool, status: int
) -> None:
    """An agent may have passed the ticket on to somebody else."""
    office.tenant.switch(message_sends_mail=False)
    kari = office.to(address)
    await office.send(kari, office.plain, office.open(ONLY_SEND_TO="*"))
    mail = {"ticketId": office.copy(kari)["id"], "direction": 2, "queuedReads": -1}
    office.world.add("email", {**mail, "to": to, "status": status})
    [outcome] = (await office.check(kari)).values()
    known = {SENT: (Status.SENT, Reason.NONE), FAILED: (Status.FAILED, Reason.MAIL_FAILED)}
    nothing = (Status.SUBMITTED, Reason.NOT_MAILED)
    assert (outcome.status, outcome.reason) == (known[status] if theirs else nothing)


@pytest.mark.parametrize("to_format", ["semicolon", "comma", "names"])
async def test_a_mail_is_the_recipients_however_pureservice_writes_whom_it_went_to(
    office: Office, to_format: str
) -> None:
    office.tenant.switch(to_format=to_format)
    some = [office.to("kari@example.no"), office.to("anne-kari@example.no")]
    for one in some:
        await office.send(one, office.plain)
    outcomes = await office.settled(*some)
    assert [outcome.status for outcome in outcomes.values()] == [Status.SENT] * 2


async def test_the_servers_words_about_a_failure_are_on_one_line_and_short(office: Office) -> None:
    office.tenant.switch(message_sends_mail=False)
    kari = office.to()
    await office.send(kari)
    words = "550 <kari@example.no>:\r\n\u202e 'ola@example.no' ikke" + " her" * 99
    mail = {"direction": 2, "status": FAILED, "statusMessage": words}
    office.world.add("email", {**mail, "ticketId": office.copy(kari)["id"]})
    [outcome] = (await office.check(kari)).values()
    assert outcome.detail.startswith("550 <…@…>: '…@…' ikke her her")
    assert len(outcome.detail) == 200


async def portion(office: Office) -> list[OpenDelivery]:
    """As many as the flow asks about in one call, with their messages posted."""
    some = [office.to(f"kari{n}@example.no") for n in range(AT_ONCE)]
    for one in some:
        await office.send(one, office.plain)
    await office.check(*some)
    office.tenant.asked.clear()
    return some


async def test_a_portion_is_asked_about_in_one_call_of_ordinary_length(office: Office) -> None:
    some = await portion(office)
    outcomes = await office.check(*some)
    assert [o.status for o in outcomes.values()] == [Status.SENT] * AT_ONCE
    [asked] = office.tenant.asked
    three_digits_more = 3 * AT_ONCE  # as the ids of an older tenant have
    assert len(asked.url.query) + three_digits_more < 2048


async def test_a_filter_that_is_too_long_is_halved_until_it_is_not(office: Office) -> None:
    some = await portion(office)
    office.tenant.switch(longest_filter=200)
    outcomes = await office.check(*some)
    assert [o.status for o in outcomes.values()] == [Status.SENT] * AT_ONCE
    accepted = [len(one.url.params["filter"]) for one in office.tenant.asked]
    assert max(length for length in accepted if length <= 200) > 100
    office.tenant.switch(longest_filter=10)
    office.tenant.asked.clear()
    assert type(await raised(office.check(*some))) is PermanentError
    assert len(office.tenant.asked) < 10  # what is not about length is soon given up


async def test_asking_may_fail_and_then_nothing_is_known(office: Office) -> None:
    kari = office.to()
    await office.send(kari)
    office.tenant.fault("status", method="GET", path="/email", times=3)
    assert type(await raised(office.check(kari))) is TransientError
    assert (await office.channel.check([])) == {}


# -- sent by ourselves


@pytest.fixture
def by_mail(office: Office) -> TicketChannel:
    return office.open(**BY_MAIL)


async def test_our_mail_has_the_new_tickets_tag_and_its_answers_come_to_the_ticket(
    office: Office, by_mail: TicketChannel
) -> None:
    kari = office.to()
    receipt = await office.send(kari, channel=by_mail)
    ticket = office.copy(kari)
    reference = f"{ticket['id']}/{ticket['requestNumber']}"
    assert receipt == Receipt(f"{reference}/mailing", "250 2.0.0 tatt imot")
    assert office.notes[kari.id] == [reference, f"{reference}/mailing"]
    [(delivery, mail)] = office.mail.sent
    assert delivery.recipient == kari.recipient
    assert mail.subject == f"[Sak ID# {ticket['requestNumber']}] {office.message.subject}"
    was = office.message.sender
    assert mail.sender == replace(was, reply_to="servicedesk@fjordvik.example.no")
    assert (mail.html, mail.files) == (TEXT, office.message.files)

    assert office.messages(ticket) == []
    assert office.on(ticket, "email") == []  # Pureservice sends nothing, now or later
    [entry] = office.log(ticket)
    assert TEXT in entry
    assert "kari@example.no" in entry
    assert "veileder.pdf" in entry
    assert kari.id in entry


async def test_over_a_real_mail_server(office: Office, tmp_path: Path) -> None:
    with MailSink(tmp_path) as sink:
        values = {**BY_MAIL, "SMTP_PORT": sink.port, "SMTP_TLS": "none"}
        smtp = email_channel(settings(**values), office.files, office.time)
        channel = office.open(mail=smtp, **values)
        for n in range(2):
            await office.send(office.to(f"kari{n}@example.no"), channel=channel)
        mails = sink.messages()
        await smtp.close()
    numbers = [ticket["requestNumber"] for ticket in office.copies()]
    for n, (mail, number) in enumerate(zip(mails, numbers, strict=True)):
        assert mail["Subject"] == f"[Sak ID# {number}] {office.message.subject}"
        assert mail["Reply-To"] == "servicedesk@fjordvik.example.no"
        assert mail["X-Envelope-From"] == "retur@x.no"
        assert mail["X-Envelope-To"] == f"kari{n}@example.no"
        files = {part.get_filename(): part for part in mail.iter_attachments()}
        assert files.keys() == {*HAS_FILES}
        assert files["veileder.pdf"].get_content() == office.wanted("veileder.pdf")["veileder.pdf"]


async def test_the_archive_copy_is_the_mail_channels(office: Office) -> None:
    archived = await office.channel.archive(CAMPAIGN, office.message)
    assert archived.data.decode() == f"{CAMPAIGN} {office.message.subject}"


NOT_REACHED = httpx.ConnectError("refused")


@pytest.mark.parametrize(
    ("trouble", "final", "entries"),
    [
        ({"kind": "status", "status": 429, "retry_after": 9}, False, 0),
        ({"kind": "status", "status": 401}, False, 0),
        (NOT_REACHED, False, 0),
        ({"kind": "drop_before"}, True, 0),
        ({"kind": "drop_after_write"}, True, 1),
        ({"kind": "status", "status": 500}, True, 0),
        ({"kind": "html", "status": 502, "after_write": True}, True, 1),
        ({"kind": "status", "status": 400}, True, 0),
    ],
    ids=str,
)
async def test_a_mail_that_has_gone_never_goes_again_whatever_becomes_of_the_log(
    office: Office, trouble: Any, final: bool, entries: int
) -> None:
    kari, channel = office.to(), office.open(Unreachable(office.tenant, trouble), **BY_MAIL)
    if isinstance(trouble, dict):
        office.tenant.fault(method="POST", path="/communication", **trouble)
    receipt = await office.send(kari, channel=channel)
    ticket = office.copy(kari)
    assert receipt.final is final
    assert receipt.detail == "250 2.0.0 tatt imot"
    assert len(office.log(ticket)) == entries
    if not final:
        office.notes[kari.id] = [receipt.reference]
        [outcome] = (await office.check(kari, channel=channel)).values()
        assert outcome.status is Status.SENT
        [entry] = office.log(ticket)
        assert kari.id in entry
        assert TEXT not in entry  # the message is no longer at hand
    assert len(office.mail.sent) == 1
    assert office.on(ticket, "email") == []


class Unreachable(httpx.AsyncBaseTransport):
    """The tenant, but the first entry in a log meets this error, if it is one."""

    def __init__(self, tenant: Tenant, error: Any) -> None:
        self._tenant = tenant
        self._errors = [error] if isinstance(error, Exception) else []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._errors and "/communication" in request.url.path:
            raise self._errors.pop()
        return await self._tenant.handle_async_request(request)


async def test_logs_that_wait_are_tried_one_at_a_time_until_one_gets_through(
    office: Office, by_mail: TicketChannel
) -> None:
    some = [office.to(f"kari{n}@example.no") for n in range(3)]
    office.tenant.fault("status", method="POST", path="/communication", status=429, times=5)
    for one in some:
        office.notes[one.id] = [(await office.send(one, channel=by_mail)).reference]
    office.tenant.asked.clear()
    outcomes = await office.check(*some, channel=by_mail)
    assert [(o.status, o.reason) for o in outcomes.values()] == [(Status.SUBMITTED, "")] * 3
    assert len(office.tenant.asked) == 1
    await office.check(*some, channel=by_mail)
    outcomes = await office.check(*some, channel=by_mail)
    assert {outcome.status for outcome in outcomes.values()} == {Status.SENT}
    assert [len(office.log(ticket)) for ticket in office.copies()] == [1, 1, 1]


async def test_posted_and_mailed_deliveries_can_be_asked_about_together(
    office: Office, by_mail: TicketChannel
) -> None:
    posted, mailed = office.to(), office.to("ola@example.no")
    await office.send(posted)
    office.tenant.fault("status", method="POST", path="/communication", status=429)
    office.notes[mailed.id] = [(await office.send(mailed, channel=by_mail)).reference]
    office.tenant.fault("status", method="GET", path="/email", times=3)
    assert type(await raised(office.check(posted, mailed))) is TransientError
    assert office.log(office.copy(mailed)) == []  # its turn comes when the answer can be kept
    outcomes = await office.settled(posted, mailed)
    assert {outcome.status for outcome in outcomes.values()} == {Status.SENT}


@pytest.mark.parametrize(
    "refusal",
    [
        PermanentError("smtp: 550"),
        TransientError("smtp: 450"),
        ThrottledError("smtp: 421"),
        StoppedError("smtp: 535"),
        UncertainError("smtp: DATA"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_mail_server_that_says_no_does_not_cost_a_second_ticket(
    office: Office, by_mail: TicketChannel, refusal: UtsendelseError
) -> None:
    office.mail.answers = [refusal]
    kari = office.to()
    assert await raised(office.send(kari, channel=by_mail)) is refusal
    ticket = office.copy(kari)
    assert office.noted(kari).note == f"{ticket['id']}/{ticket['requestNumber']}/mailing"
    assert office.log(ticket) == []
    if isinstance(refusal, UncertainError):
        assert type(await raised(office.find(kari, by_mail))) is UncertainError
    else:
        assert (await office.send(kari, channel=by_mail)).final
        assert len(office.log(office.copy(kari))) == len(office.mail.sent) == 1


async def test_what_pureservice_has_after_all_is_never_taken_for_a_mail_of_ours(
    office: Office, by_mail: TicketChannel
) -> None:
    """The setting was changed between two attempts."""
    office.mail.answers = [TransientError("smtp: 450")]
    kari = office.to()
    await raised(office.send(kari, channel=by_mail))
    receipt = await office.send(kari)
    ticket = office.copy(kari)
    assert receipt == Receipt(f"{ticket['id']}/{ticket['requestNumber']}", final=False)
    assert await office.find(kari) == receipt


def test_a_send_and_its_log_fit_in_the_time_limit(office: Office) -> None:
    assert office.channel.gates == ("ticket",)
    assert office.channel.time_limit == timedelta(seconds=90)
    by_mail = office.open(**BY_MAIL)
    assert by_mail.gates == ("ticket", "email")
    assert by_mail.time_limit == timedelta(seconds=90) + office.mail.time_limit
    assert by_mail.time_limit < settings(**BY_MAIL).lease


async def test_there_is_an_end_to_waiting_for_pureservice(office: Office) -> None:
    """A ticket that hangs may have been made; a log that hangs does not make a mail doubtful."""

    class Hanging(httpx.AsyncBaseTransport):
        def __init__(self, path: str) -> None:
            self._path = path

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if self._path in request.url.path:
                await asyncio.Event().wait()
            return await office.tenant.handle_async_request(request)

    async def send(path: str, address: str, **values: Any) -> Any:
        channel = office.open(Hanging(path), PURESERVICE_TIMEOUT_SECONDS=1, **values)
        return await office.send(office.to(address), channel=channel)

    async with asyncio.timeout(20):
        ticket, log = await asyncio.gather(  # at once: they take some seconds
            send("/ticket", "kari@example.no"),
            send("/communication", "ola@example.no", **BY_MAIL),
            return_exceptions=True,
        )
    assert type(ticket) is UncertainError
    assert isinstance(log, Receipt)
    assert log.final
    assert len(office.mail.sent) == 1


# -- how far an interrupted send came


async def test_nothing_is_found_of_what_was_never_begun(office: Office) -> None:
    assert await office.find(office.to()) == ""


async def test_a_ticket_without_its_message_is_found_by_its_key(office: Office) -> None:
    kari, ola = office.to(), office.to("ola@example.no")
    for one in (kari, ola):
        office.tenant.fault("status", method="POST", path="/communication", status=500)
        await raised(office.send(one))
    office.notes.clear()
    for one in (kari, ola):
        ticket = office.copy(one)
        assert await office.find(one) == f"{ticket['id']}/{ticket['requestNumber']}"


async def test_a_message_that_is_on_the_ticket_is_found_but_not_taken_for_sent(
    office: Office,
) -> None:
    kari = office.to()
    receipt = await office.send(kari)
    assert await office.find(kari) == receipt
    office.notes.clear()
    assert await office.find(kari) == receipt


async def test_what_others_wrote_on_the_ticket_is_not_our_message(office: Office) -> None:
    office.tenant.fault("status", method="POST", path="/communication", status=500)
    kari = office.to()
    await raised(office.send(kari))
    ticket = office.copy(kari)
    add_message(office.world, ticket, "<p>Takk for sist</p>", by=OTHER_AGENT)
    add_message(office.world, ticket, "<p>Svar</p>", direction=1, by=API_USER)
    assert await office.find(kari) == f"{ticket['id']}/{ticket['requestNumber']}"


async def test_a_ticket_whose_key_somebody_has_changed_is_found_by_the_note(
    office: Office,
) -> None:
    kari, ola = office.to(), office.to("ola@example.no")
    receipt = await office.send(kari)
    office.tenant.fault("status", method="POST", path="/communication", status=500)
    await raised(office.send(ola))
    for one in (kari, ola):
        office.world.change("ticket", office.copy(one)["id"], {"customerReference": "Vår ref."})
    assert await office.find(kari) == receipt
    assert await office.find(ola) == office.noted(ola).note


@pytest.mark.parametrize("key", ["20417-1 {}x", "X20417-1 {}", "20417-11 {}"])
async def test_a_key_that_only_resembles_ours_is_not_ours(office: Office, key: str) -> None:
    kari = office.to()
    office.world.change("ticket", office.parent["id"], {"customerReference": key.format(kari.id)})
    office.tenant.edit = without_filter
    assert await office.find(kari) == ""


def without_filter(request: httpx.Request) -> httpx.Request:
    url = request.url.copy_remove_param("filter")
    return httpx.Request(request.method, url, headers=request.headers)


async def test_of_several_tickets_the_noted_one_counts_else_the_first(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    """A ticket that came late, after it had been looked for and another had been made."""
    kari = office.to()
    office.tenant.fault("drop_after_write", method="POST", path="/ticket")
    await raised(office.send(kari))
    receipt = await office.send(kari)  # as if nothing had been found
    first, second = office.copies(kari)
    assert receipt.reference == f"{second['id']}/{second['requestNumber']}"
    assert await office.find(kari) == receipt
    office.notes.clear()
    assert await office.find(kari) == f"{first['id']}/{first['requestNumber']}"
    [error, _] = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    ids = [first["id"], second["id"]]
    assert error == f"ticket.several delivery_id={kari.id} tickets={ids}"


async def test_a_mail_that_had_begun_is_certain_only_when_the_log_has_it(
    office: Office, by_mail: TicketChannel
) -> None:
    logged, unlogged = office.to(), office.to("ola@example.no")
    receipt = await office.send(logged, channel=by_mail)
    assert await office.find(logged, by_mail) == Receipt(receipt.reference)
    office.tenant.fault("status", method="POST", path="/communication", status=500)
    await office.send(unlogged, channel=by_mail)
    error = await raised(office.find(unlogged, by_mail))
    assert type(error) is UncertainError
    assert unlogged.id in str(error)


async def test_looking_takes_two_calls(office: Office) -> None:
    kari = office.to()
    await office.send(kari)
    office.tenant.asked.clear()
    await office.find(kari)
    assert [one.method for one in office.tenant.asked] == ["GET", "GET"]


async def test_when_nobody_answers_it_is_looked_for_later(office: Office) -> None:
    office.tenant.fault("status", method="GET", path="/ticket", times=3)
    assert type(await raised(office.find(office.to()))) is TransientError


# -- every trouble there is, between us and Pureservice

TROUBLE: list[tuple[Row, type[UtsendelseError], bool]] = [
    ({"kind": "drop_before"}, UncertainError, False),
    ({"kind": "drop_after_write"}, UncertainError, True),
    ({"kind": "status", "status": 500}, UncertainError, False),
    ({"kind": "status", "status": 503, "after_write": True}, UncertainError, True),
    ({"kind": "html", "status": 502}, UncertainError, False),
    ({"kind": "html", "status": 502, "after_write": True}, UncertainError, True),
    ({"kind": "status", "status": 429, "retry_after": 7}, ThrottledError, False),
    ({"kind": "status", "status": 429}, ThrottledError, False),
    ({"kind": "status", "status": 401}, StoppedError, False),
    ({"kind": "status", "status": 400}, PermanentError, False),
]
LOST_TICKET = ({"kind": "half_json"}, UncertainError, True)


async def recovered(office: Office, one: OpenDelivery, message: Message) -> Row:
    """Looked for, and carried on from there, as the flow does; the ticket."""
    found = await office.find(one)
    if isinstance(found, str):
        office.notes[one.id] = [found]
        found = await office.send(one, message)
    assert not found.final
    ticket = office.copy(one)
    assert found.reference == f"{ticket['id']}/{ticket['requestNumber']}"
    [_] = office.messages(ticket)
    [_] = office.on(ticket, "email")
    return ticket


@pytest.mark.parametrize(("trouble", "kind", "done"), [*TROUBLE, LOST_TICKET], ids=str)
async def test_trouble_with_a_new_ticket_never_makes_two(
    office: Office, trouble: Row, kind: type, done: bool
) -> None:
    kari = office.to()
    office.tenant.fault(method="POST", path="/ticket", **trouble)
    error = await raised(office.send(kari, office.plain))
    assert type(error) is kind
    assert office.tenant.calls("POST") == 1
    assert len(office.copies(kari)) == done
    assert office.notes[kari.id] == []
    if isinstance(error, ThrottledError):
        assert error.retry_after.total_seconds() == trouble.get("retry_after", 60)
    await recovered(office, kari, office.plain)


@pytest.mark.parametrize(("trouble", "kind", "done"), TROUBLE, ids=str)
async def test_trouble_with_a_message_never_posts_two(
    office: Office, trouble: Row, kind: type, done: bool
) -> None:
    kari = office.to()
    office.tenant.fault(method="POST", path="/communication", **trouble)
    error = await raised(office.send(kari))
    assert type(error) is kind
    assert office.tenant.calls("POST", "/communication") == 1
    ticket = office.copy(kari)
    assert office.noted(kari).note == f"{ticket['id']}/{ticket['requestNumber']}"
    assert len(office.messages(ticket)) == done
    ticket = await recovered(office, kari, office.message)
    [mail] = office.on(ticket, "email")
    assert office.content(mail["attachmentIds"]) == office.wanted(*HAS_FILES)
    assert len(office.on(ticket, "attachment")) == 3


async def test_a_message_is_posted_when_the_status_says_so(office: Office) -> None:
    office.tenant.fault("half_json", method="POST", path="/communication")
    assert not (await office.send(office.to())).final


@pytest.mark.parametrize("kind", ["drop_before", "drop_after_write", "half_json"])
async def test_trouble_with_an_upload_never_makes_two_tickets_or_loses_the_file(
    office: Office, kind: str
) -> None:
    office.tenant.switch(attachment_copy="ignored")
    kari = office.to()
    office.tenant.fault(kind, method="POST", path="/attachment")
    assert type(await raised(office.send(kari))) is UncertainError
    ticket = await recovered(office, kari, office.message)
    [mail] = office.on(ticket, "email")
    assert office.content(mail["attachmentIds"]) == office.wanted(*HAS_FILES)


async def test_a_ticket_that_came_without_its_number_is_looked_up(office: Office) -> None:
    class Numberless(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await office.tenant.handle_async_request(request)
            body = json.loads(await answer.aread())
            del body["tickets"][0]["requestNumber"]
            return httpx.Response(200, json=body)

    kari = office.to()
    error = await raised(office.send(kari, office.plain, office.open(Numberless())))
    assert type(error) is UncertainError
    await recovered(office, kari, office.plain)


async def test_a_ticket_whose_answer_is_too_large_to_read_was_made_all_the_same(
    office: Office,
) -> None:
    class Endless(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await office.tenant.handle_async_request(request)
            padding = b" " * 2**20
            chunks = repeat(padding, LARGEST_ANSWER // len(padding))
            return httpx.Response(200, stream=Chunks([*chunks, await answer.aread()]))

    kari = office.to()
    error = await raised(office.send(kari, office.message, office.open(Endless())))
    assert type(error) is UncertainError
    assert len(office.copies(kari)) == 1  # and not made anew without its files
    await recovered(office, kari, office.message)


class Chunks(httpx.AsyncByteStream):
    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


# -- what Pureservice made of it


async def test_a_key_that_pureservice_cuts_is_told_of(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    """After a lost answer, its ticket would not be found again."""

    def cut(request: httpx.Request) -> httpx.Request:
        if request.method != "POST" or "/ticket/" not in request.url.path:
            return request
        body = json.loads(request.content)
        row = body["tickets"][0]
        row["customerReference"] = row["customerReference"][:40]
        content = json.dumps(body).encode()
        headers = {k: v for k, v in request.headers.items() if k != "content-length"}
        return httpx.Request(request.method, request.url, headers=headers, content=content)

    whole, cut_off = office.to(), office.to("ola@example.no")
    await office.send(whole)
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []
    office.tenant.edit = cut
    receipt = await office.send(cut_off)
    ticket = office.copy(cut_off)
    assert receipt.reference == f"{ticket['id']}/{ticket['requestNumber']}"
    [error] = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert error == f"ticket.key_changed ticket_id={ticket['id']} delivery_id={cut_off.id}"


@pytest.mark.parametrize("noted", [False, True], ids=["just made", "made before"])
async def test_nobody_off_the_test_list_is_written_to_though_their_ticket_is_made(
    office: Office, noted: bool
) -> None:
    channel = office.open(ONLY_SEND_TO="kari@example.no")
    kari = office.to()
    if noted:
        office.tenant.fault("drop_before", method="POST", path="/communication")
        await raised(office.send(kari, channel=channel))
    changed = office.world.find("emailaddress", email="kari@example.no")
    assert changed
    office.world.change("emailaddress", changed["id"], {"email": "sjefen@example.com"})
    if noted:  # as Pureservice shows it on the ticket from now on
        office.world.change("ticket", office.copy(kari)["id"], {"emailAddress": changed["email"]})
    error = await raised(office.send(kari, channel=channel))
    assert isinstance(error, PermanentError)
    assert error.reason is Reason.NOT_ON_TEST_LIST
    assert "@" not in str(error)
    ticket = office.copy(kari)
    assert office.noted(kari).note == f"{ticket['id']}/{ticket['requestNumber']}"
    assert office.messages(ticket) == office.on(ticket, "email") == []


async def test_looking_whether_somebody_may_be_written_to_costs_nothing_without_a_test_list(
    office: Office,
) -> None:
    channel = office.open(ONLY_SEND_TO="*")
    kari = office.to()
    office.tenant.fault("status", method="POST", path="/communication", status=429)
    await raised(office.send(kari, office.plain, channel))
    office.tenant.asked.clear()
    await office.send(kari, office.plain, channel)
    assert office.tenant.calls() == 1


# -- what is told


async def test_errors_and_logs_name_ids_and_nobody(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = ("kari", "ås", "@example", KEY, "høring", PLACEHOLDERS["ticket"])
    attempts: list[tuple[Row, Callable[[OpenDelivery], Awaitable[Any]]]] = []
    for trouble, _, _ in (*TROUBLE, LOST_TICKET):
        attempts += [
            ({**trouble, "path": path}, lambda one: office.send(one))
            for path in ("/ticket", "/communication")
        ]
    kept = [{"kind": "status", "status": 500, "times": 3, "path": p} for p in ("/email", "/ticket")]
    attempts += [(kept[0], lambda one: office.check(one)), (kept[1], lambda one: office.find(one))]
    for n, (trouble, attempt) in enumerate(attempts):
        one = office.to(f"kari{n}@example.no")
        office.notes[one.id] = ["5001/20417"] if "times" in trouble else []
        office.tenant.fault(**trouble)
        try:
            await attempt(one)
        except UtsendelseError as error:
            told = "".join(traceback.format_exception(error))
            assert "pureservice: " in told
            assert not [secret for secret in secrets if secret in told.casefold()]
        office.tenant.app.traffic.faults.clear()
    assert not [secret for secret in secrets if secret in caplog.text.casefold()]


@pytest.fixture(autouse=True)
def no_faults_left(tenant: Tenant) -> Iterator[None]:
    """A fault that nobody met is a test that shows nothing."""
    yield
    assert tenant.app.traffic.faults == []
