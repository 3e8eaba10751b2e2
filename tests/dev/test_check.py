"""The set-up check finds what is missing, says what to do, changes nothing and tells no secrets."""

import ast
import json
import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.storage.blob.aio import BlobServiceClient

from dev.acs import AcsSimulator, RunningAcs
from dev.check import check, main
from dev.check.command import load, unreadable
from dev.check.graph import GraphEdge
from dev.check.mail import mail
from dev.check.storage import CONTAINERS, queues, storage
from dev.graph import GraphSimulator
from dev.mail import MailSink
from dev.pureservice import Fault, Switches, World, create_app, seed_base, seed_campaign
from dev.pureservice.seed import add_list
from dev.setup import ROOT
from shared.adapters.pureservice import Pureservice
from shared.bootstrap import bootstrap
from shared.domain.delivery import delivery_id
from shared.domain.recipient_ticket import ticket_key
from shared.errors import SetupError
from shared.ledger import TABLES
from shared.settings import Settings, read_settings
from tests.examples import EXAMPLE, settings
from tests.infra.azure import Azure

NOW = datetime(2026, 2, 3, 8, 15, tzinfo=UTC)
TLS = ssl.create_default_context()
PASSWORD = "Blåbær-9-hemmelig"
TROUBLE = ("MANGLER", "advarsel", "ikke undersøkt")


class Tenant(httpx.AsyncBaseTransport):
    """A complete Pureservice in this process, and what it was asked."""

    def __init__(self) -> None:
        self.world = World(now=lambda: NOW, switches=Switches(calls_per_minute=0))
        seed_base(self.world)
        seed_campaign(self.world, recipients=1)
        self.app = create_app(self.world)
        self.asked: list[httpx.Request] = []
        self.clock = NOW
        self.answer: Callable[[httpx.Request], httpx.Response | None] = lambda request: None
        self._inner = httpx.ASGITransport(self.app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        response = self.answer(request) or await self._inner.handle_async_request(request)
        response.headers["Date"] = format_datetime(self.clock, usegmt=True)
        return response

    def change(self, kind: str, name: str, /, **values: Any) -> None:
        found = [row for row in self.world.all(kind) if row.get("name", row.get("email")) == name]
        assert found, f"no {kind} named {name}"
        for row in found:
            self.world.change(kind, row["id"], values)

    def remove(self, kind: str) -> None:
        for row in self.world.all(kind):
            self.world.remove(kind, row["id"])

    def refuse(self, path: str, status: int) -> None:
        self.app.traffic.faults.append(Fault(kind="status", path=path, status=status, times=99))


class Sink(MailSink):
    """Remembers the recipients it is told of, and refuses one sender."""

    recipients = 0
    offers_login = True

    async def handle_EHLO(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        session.host_name = hostname
        return [line for line in responses if self.offers_login or "AUTH" not in line]

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("fremmed@"):
            return "550 5.7.60 Client does not have permissions to send as this sender"
        if self._login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        return "250 2.1.0 Ok"

    async def handle_RCPT(self, *arguments: Any) -> str:
        self.recipients += 1
        return await super().handle_RCPT(*arguments)


class Microsoft:
    """Graph in this process, with one mailbox, and whoever gives tokens for it."""

    def __init__(self, *mailboxes: str) -> None:
        self.simulator = GraphSimulator(mailboxes or (EXAMPLE["MAIL_FROM"],))
        self.answer: Callable[[httpx.Request], httpx.Response | None] = lambda request: None
        self.refusal: Exception | None = None
        self.edge = GraphEdge(_Between(self), self)

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        if self.refusal:
            raise self.refusal
        return AccessToken(self.simulator.token(), 4_000_000_000)

    async def close(self) -> None: ...
    async def __aenter__(self) -> "Microsoft":
        return self

    async def __aexit__(self, *_: object) -> None: ...


class _Between(httpx.AsyncBaseTransport):
    def __init__(self, microsoft: Microsoft) -> None:
        self._microsoft = microsoft
        self._inner = httpx.ASGITransport(microsoft.simulator.app())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._microsoft.answer(request)
        return answer or await self._inner.handle_async_request(request)


@dataclass
class Report:
    """What was said, each finding on one line."""

    complete: bool
    lines: list[str]

    def about(self, *words: str) -> str:
        """The line with all these words."""
        [found] = [line for line in self.lines if all(word in line for word in words)]
        return found

    def trouble(self) -> list[str]:
        return [line for line in self.lines if line.startswith(TROUBLE)]


@dataclass
class Setup:
    """A set-up in which nothing is missing, until a test takes something away."""

    storage: str
    sink: Sink
    tenant: Tenant = field(default_factory=Tenant)
    tls: ssl.SSLContext = TLS
    graph: "Microsoft | None" = None

    def settings(self, **changes: Any) -> Settings:
        given = {
            "ONLY_SEND_TO": "example.no",
            "AzureWebJobsStorage": self.storage,
            "SMTP_PORT": self.sink.port,
            "TICKET_MESSAGE_VIA": "email",  # the other way is never known to work
            "ALERT_EMAIL": "drift@example.no",
        }
        return settings(**given | changes)

    async def check(self, **changes: Any) -> Report:
        said: list[str] = []
        if changes.get("EMAIL_TRANSPORTS", "smtp") != "smtp":
            # which tickets that we mail do not go with: here there are none
            changes = {"TICKET_MESSAGE_VIA": "pureservice", "TICKET_CAMPAIGN_USER": "", **changes}
        complete = await check(
            self.settings(**changes),
            say=said.append,
            transport=self.tenant,
            tls=self.tls,
            graph=self.graph.edge if self.graph else None,
            clock=lambda: NOW,
        )
        return Report(complete, [" ".join(text.split()) for text in said])


@pytest.fixture
def setup(azurite: str, tmp_path: Path) -> Iterator[Setup]:
    with Sink(tmp_path) as sink:
        yield Setup(azurite, sink)


async def test_a_complete_setup_is_all_ok(setup: Setup) -> None:
    report = await setup.check()
    assert report.trouble() == []
    assert report.complete
    assert report.lines[-1].startswith("Oppsettet er komplett")


async def test_the_words_are_those_on_the_screens_of_pureservice(setup: Setup) -> None:
    setup.tenant.remove("asset")
    reports = [await setup.check(), await setup.check(LIST_ASSET_TYPE="Adressebok")]
    lines = [line.casefold() for report in reports for line in report.lines]
    assert any("ressurstype" in line for line in lines)
    assert [line for line in lines if "asset" in line.replace("list_asset_type", "")] == []


async def test_nothing_is_changed_and_nobody_gets_mail(setup: Setup) -> None:
    before = setup.tenant.world.version
    await setup.check(LISTS="update", TICKET_RELATION="Er utsending fra")
    assert {request.method for request in setup.tenant.asked} == {"GET"}
    assert setup.tenant.world.version == before
    assert setup.sink.connections == 1
    assert setup.sink.recipients == 0
    assert setup.sink.messages() == []


def test_every_line_can_be_shown_on_an_old_windows_console() -> None:
    for file in (ROOT / "dev" / "check").glob("*.py"):
        file.read_text("utf-8").encode("cp1252")


Change = Callable[[Tenant], object]


@dataclass
class Case:
    """One thing taken away: the setting that the line must name, and what it must say."""

    setting: str
    says: str
    change: Change = lambda tenant: None
    values: dict[str, Any] = field(default_factory=dict)


def _closed_status(tenant: Tenant) -> None:
    tenant.change("status", "Utsending – klar", coreStatus=50)


def _only_for_changes(tenant: Tenant) -> None:
    tenant.change("status", "Utsending – pågår", requestTypeId=2)


def _two_of_a_name(tenant: Tenant) -> None:
    tenant.change("status", "Under arbeid", name="utsending – klar ")


def _other_default_address(tenant: Tenant) -> None:
    user = tenant.world.find("emailaddress", email=EXAMPLE["EMAIL_CAMPAIGN_USER"])
    assert user
    other = tenant.world.add("emailaddress", {"email": "a@example.no", "userId": user["userId"]})
    tenant.world.change("user", user["userId"], {"emailAddressId": other["id"]})


def _disabled_user(tenant: Tenant) -> None:
    for user in tenant.world.all("user"):
        tenant.world.change("user", user["id"], {"disabled": True})


def _no_ticket_user(tenant: Tenant) -> None:
    tenant.change("emailaddress", EXAMPLE["TICKET_CAMPAIGN_USER"], email="en@annen.example.no")


def _disabled_ticket_user(tenant: Tenant) -> None:
    tenant.world.change("user", _ticket_user(tenant), {"disabled": True})


def _other_default_of_ticket_user(tenant: Tenant) -> None:
    user = _ticket_user(tenant)
    other = tenant.world.add("emailaddress", {"email": "b@example.no", "userId": user})
    tenant.world.change("user", user, {"emailAddressId": other["id"]})


def _ticket_user(tenant: Tenant) -> int:
    address = tenant.world.find("emailaddress", email=EXAMPLE["TICKET_CAMPAIGN_USER"])
    assert address
    return int(address["userId"])


def _list(tenant: Tenant, unique_name: str, **values: Any) -> None:
    found = tenant.world.find("asset", uniqueId=unique_name)
    assert found
    tenant.world.change("asset", found["id"], values)


def _categories_in(tenant: Tenant, field_: str) -> None:
    for company in tenant.world.all("company"):
        tenant.world.change("company", company["id"], {field_: company.get("cf_9"), "cf_9": None})


def _two_company_relations(tenant: Tenant) -> None:
    tenant.change("relationshiptype", "Forvaltes av", name="inneholder firma")


def _ignores_filters_on_companies(tenant: Tenant) -> None:
    company = {"id": 1, "name": "Et firma", "cf_9": "Noe annet"}
    tenant.answer = lambda request: (
        httpx.Response(200, json={"companies": [company]})
        if "/company/" in str(request.url)
        else None
    )


#: What the app cannot do without either: it raises SetupError on the same settings.
NAMES = [
    Case("STATUS_READY", "Mente du «Utsending – klar»?", values={"STATUS_READY": "Utsending-klar"}),
    Case("STATUS_READY", "er brukt 2 ganger", _two_of_a_name),
    Case("STATUS_RUNNING", "bare som status for endringer", _only_for_changes),
    Case("STATUS_ATTENTION", "er deaktivert", values={"STATUS_ATTENTION": "Ute av bruk"}),
    Case("STATUS_SOLVED", "Disse finnes: «Lukket»", values={"STATUS_SOLVED": "Ferdig behandlet"}),
    Case(
        "STATUS_REVIEW",
        "la STATUS_REVIEW være tom",
        lambda tenant: tenant.change("status", "Utsending – til kontroll", name="Kontroll"),
    ),
    Case("TICKET_STATUS", "finnes ingen status", values={"TICKET_STATUS": "Venter på svaret"}),
    Case(
        "TICKET_STATUS",
        "«Venter - sluttbruker» regnes som løst eller lukket",
        lambda tenant: tenant.change("status", "Venter - sluttbruker", coreStatus=60),
    ),
    Case(
        "TICKET_RELATION",
        "Mente du «Er utsending fra»? -> Rett TICKET_RELATION, lag den under Administrasjon i"
        " Pureservice, eller la TICKET_RELATION være tom.",
        values={"TICKET_RELATION": "Er en utsending fra"},
    ),
    Case("TICKET_RELATION", "er brukt 2 ganger", values={"TICKET_RELATION": "Inneholder bruker"}),
    Case("LIST_ASSET_TYPE", "«Datamaskin»", values={"LIST_ASSET_TYPE": "Adressebok"}),
    Case(
        "LIST_TICKET_RELATION",
        "Mente du «Gir mottakere til»?",
        values={"LIST_TICKET_RELATION": "Gir mottaker til"},
    ),
    Case("LIST_USER_RELATION", "finnes ingen", values={"LIST_USER_RELATION": "Er på"}),
    Case("LIST_COMPANY_RELATION", "finnes ingen", values={"LIST_COMPANY_RELATION": "Er på"}),
    Case(
        "SENDERS",
        "sonen «Kommunikasion» finnes ikke. Mente du «Kommunikasjon»?",
        values={"SENDERS": {"zone:Kommunikasion": {"from": "info@example.org"}}},
    ),
    Case(
        "SENDERS",
        "teamet «postmottak» finnes ikke. Mente du «Postmottak»?",
        values={"SENDERS": {"team:postmottak": {"from": "info@example.org"}}},
    ),
]
MISSING = [
    *NAMES,
    Case("STATUS_READY", "løst eller lukket", _closed_status),
    Case("STATUS_SOLVED", "regnes ikke som løst", values={"STATUS_SOLVED": "Under arbeid"}),
    Case("EMAIL_CAMPAIGN_USER", "Lag en sluttbruker", lambda t: t.remove("emailaddress")),
    Case("EMAIL_CAMPAIGN_USER", "er deaktivert", _disabled_user),
    Case("EMAIL_CAMPAIGN_USER", "standardadresse", _other_default_address),
    Case("TICKET_CAMPAIGN_USER", "la TICKET_CAMPAIGN_USER være tom", _no_ticket_user),
    Case("TICKET_CAMPAIGN_USER", "er deaktivert", _disabled_ticket_user),
    Case("TICKET_CAMPAIGN_USER", "standardadresse", _other_default_of_ticket_user),
    Case(
        "STATUS_REVIEW",
        "løst eller lukket",
        lambda tenant: tenant.change("status", "Utsending – til kontroll", coreStatus=50),
    ),
    Case(
        "LIST_RULES «KURS»",
        "Lag en mottakerliste med det unike navnet «KURS»",
        values={"LISTS": "update", "LIST_RULES": {"KURS": "Kommune"}},
    ),
    Case(
        "LIST_RULES «KOMM2»",
        "Mente du «KOMM»?",
        values={"LISTS": "preview", "LIST_RULES": {"KOMM2": "Kommune"}},
    ),
    Case(
        "LIST_RULES «KOMM»",
        "er merket for sletting",
        lambda tenant: _list(tenant, "KOMM", isMarkedForDeletion=True),
        {"LISTS": "update"},
    ),
    Case(
        "LIST_RULES «KOMM»",
        "flere mottakerlister",
        lambda tenant: add_list(tenant.world, "Enda en", "komm "),
        {"LISTS": "update"},
    ),
    Case(
        "LIST_RULES «Kommune»",
        "det unike navnet er «KOMM»",
        values={"LISTS": "update", "LIST_RULES": {"Kommune": "Kommune"}},
    ),
    Case(
        "LIST_RULES har to regler",
        "regnes som like",
        values={"LISTS": "update", "LIST_RULES": {"KOMM": "Kommune", "komm ": "Fylkeskommune"}},
    ),
    Case(
        "LIST_RULES «STAT»",
        "blir ikke forstått av Pureservice",
        values={"LISTS": "update", "LIST_RULES": {"STAT": {"filter": "cf_99 == 1"}}},
    ),
    Case(
        "COMPANY_CATEGORY_FIELD",
        "feltet cf_9 er tomt på alle firmaene vi så på",
        lambda tenant: _categories_in(tenant, "cf_8"),
        {"LISTS": "update"},
    ),
    Case(
        "COMPANY_CATEGORY_FIELD",
        "Mente du cf_4?",
        lambda tenant: _categories_in(tenant, "cf_4"),
        {"LISTS": "update"},
    ),
    Case(
        "må COMPANY_CATEGORY_FIELD rettes",
        "blir ikke forstått",
        lambda tenant: tenant.refuse("/company/", 400),
        {"LISTS": "update", "LIST_RULES": {"KOMM": "Kommune"}},
    ),
    Case(
        "LIST_RULES «KOMM»",
        "noe annet enn det vi spør om",
        _ignores_filters_on_companies,
        {"LISTS": "update", "LIST_RULES": {"KOMM": "Kommune"}},
    ),
    Case(
        "LIST_COMPANY_RELATION",
        "er tom, men LISTS er preview",
        values={"LISTS": "preview", "LIST_COMPANY_RELATION": ""},
    ),
    Case(
        "LIST_COMPANY_RELATION",
        "flere relasjonstyper",
        _two_company_relations,
        {"LISTS": "update"},
    ),
    Case(
        "MESSAGE_TYPE_FIELD",
        "Sett MESSAGE_TYPE_FIELD til typeName",
        lambda t: setattr(t.world, "switches", Switches(custom_type="typename")),
    ),
    Case("MESSAGE_TYPE_FIELD", "failed_email", lambda t: t.refuse("/communication", 400)),
    Case("PURESERVICE_KEY", "(403)", lambda t: t.refuse("/asset/", 403)),
    Case("SMTP_HOST, SMTP_PORT", "brannmuren", values={"SMTP_PORT": 1}),
    Case("SMTP_TLS", "vil ikke bruke STARTTLS", values={"SMTP_TLS": "starttls"}),
    Case("SMTP_TLS", "svarer ikke med TLS", values={"SMTP_TLS": "tls"}),
    Case(
        "MAIL_ENVELOPE_FROM",
        "fremmed@example.org (svaret var 550",
        values={"MAIL_ENVELOPE_FROM": "fremmed@example.org"},
    ),
    Case("AzureWebJobsStorage", "gyldig", values={"AzureWebJobsStorage": "AccountName=tøys"}),
]


@pytest.mark.parametrize("case", MISSING, ids=lambda case: f"{case.setting}: {case.says}")
async def test_what_is_missing_is_named_with_what_to_do(setup: Setup, case: Case) -> None:
    case.change(setup.tenant)
    report = await setup.check(**case.values)
    assert report.about("MANGLER", case.setting, case.says, " -> ")
    assert not report.complete
    assert report.lines[-1].startswith("Oppsettet er ikke komplett")


@pytest.mark.parametrize("case", NAMES, ids=lambda case: f"{case.setting}: {case.says}")
async def test_the_app_refuses_what_the_check_calls_missing(setup: Setup, case: Case) -> None:
    case.change(setup.tenant)
    app = Pureservice(setup.settings(**case.values), clock=lambda: NOW, transport=setup.tenant)
    with pytest.raises(SetupError, match=case.setting):
        await app.names()
    await app.close()


WARNINGS = [
    Case("ONLY_SEND_TO", "alle på mottakerlistene", values={"ONLY_SEND_TO": "*"}),
    Case("Nøkkelen ser ingen soner", "Limited", lambda t: t.remove("department")),
    Case("STATUS_READY", "starter av seg selv", values={"STATUS_READY": ""}),
    Case("STATUS_RUNNING", "bytter ikke status", values={"STATUS_RUNNING": ""}),
    Case("STATUS_ATTENTION", "internt notat", values={"STATUS_ATTENTION": ""}),
    Case("STATUS_REVIEW", "hvem som har svart", values={"STATUS_REVIEW": ""}),
    Case("PURESERVICE_RATE", "er 91, og det er for mye", values={"PURESERVICE_RATE": 91}),
    Case("PURESERVICE_RATE", "så fort det går", values={"PURESERVICE_RATE": 0}),
    Case("ALERT_EMAIL", "ingen utenfor Pureservice får varsel", values={"ALERT_EMAIL": ""}),
    Case(
        "TICKET_REPLY_TO",
        "får også svar eller returpost",
        values={"TICKET_REPLY_TO": "Post@example.org"},
    ),
    Case(
        "TICKET_REPLY_TO",
        "(SENDERS «team:Postmottak»)",
        values={
            "SENDERS": {
                "team:Postmottak": {
                    "from": "info@example.org",
                    "envelope_from": EXAMPLE["TICKET_REPLY_TO"],
                }
            }
        },
    ),
    Case(
        "LISTS_REMOVE_AT_MOST",
        "ikke endret i det hele tatt",
        values={"LISTS": "update", "LISTS_REMOVE_AT_MOST": 0},
    ),
    Case("LIST_RULES", "er tom", values={"LISTS": "update", "LIST_RULES": {}}),
    Case(
        "LIST_RULES «KOMM»",
        "«Kommuner» finner ingen firmaer, så listen blir stående som den er. Mente du «Kommune»?",
        values={"LISTS": "update", "LIST_RULES": {"KOMM": "Kommuner"}},
    ),
    Case(
        "LIST_RULES «STAT»",
        "Stemmer filteret",
        values={"LISTS": "update", "LIST_RULES": {"STAT": {"filter": 'name == "Ingen"'}}},
    ),
    Case("LIST_USER_RELATION", "bare firmaer", values={"LIST_USER_RELATION": ""}),
    Case("ingen mottakerlister", "Lag en ressurs", lambda t: t.remove("asset")),
    Case("MESSAGE_TYPE_NAME", "på en prøvesak", values={"MESSAGE_TYPE_NAME": "Til alle"}),
    Case(
        "CAMPAIGN_MARK_FIELD",
        "på 1 av de 1 nyeste åpne sakene",
        lambda t: t.world.change("ticket", t.world.all("ticket")[0]["id"], {"cf_3": "Arkivert"}),
        {"CAMPAIGN_MARK_FIELD": "cf_3"},
    ),
    Case(
        "Klokken",
        "7 minutter etter klokken hos",
        lambda t: setattr(t, "clock", NOW + timedelta(minutes=7)),
    ),
    Case(
        "Klokken",
        "7 minutter foran klokken hos",
        lambda t: setattr(t, "clock", NOW - timedelta(minutes=7)),
    ),
]


@pytest.mark.parametrize("case", WARNINGS, ids=lambda case: f"{case.setting}: {case.says}")
async def test_what_is_good_to_know_is_a_warning_and_the_setup_complete(
    setup: Setup, case: Case
) -> None:
    case.change(setup.tenant)
    report = await setup.check(**case.values)
    assert report.trouble() == [report.about("advarsel", case.setting, case.says)]
    assert report.complete


async def test_it_is_told_who_hears_of_it_when_something_stops(setup: Setup) -> None:
    hook = {"ALERT_WEBHOOK": "https://hooks.example/x"}
    mail = (await setup.check()).about("varsel til")
    assert mail.endswith("går det varsel til drift@example.no på e-post (ALERT_EMAIL).")
    both = (await setup.check(**hook)).about("varsel til")
    assert both.endswith("drift@example.no på e-post (ALERT_EMAIL) og en webhook (ALERT_WEBHOOK).")
    webhook = (await setup.check(**hook, ALERT_EMAIL="")).about("varsel til")
    assert webhook.endswith("går det varsel til en webhook (ALERT_WEBHOOK).")


async def test_our_own_marks_are_not_somebody_elses_use_of_the_field(setup: Setup) -> None:
    [ticket] = setup.tenant.world.all("ticket")
    mark = "utsendelse:prod:20417-1:ab12cd34"
    setup.tenant.world.change("ticket", ticket["id"], {"customerReference": mark})
    assert (await setup.check()).trouble() == []


async def test_the_keys_of_recipients_tickets_are_not_somebody_elses_use_of_the_field(
    setup: Setup,
) -> None:
    [ticket] = setup.tenant.world.all("ticket")
    key = ticket_key("20417-1", delivery_id("20417-1", "user:31"))
    setup.tenant.world.change("ticket", ticket["id"], {"customerReference": key})
    assert (await setup.check()).trouble() == []


async def test_lists_are_counted_and_those_marked_for_deletion_apart(setup: Setup) -> None:
    _, _, *others = setup.tenant.world.all("asset")
    for asset in others:
        setup.tenant.world.change("asset", asset["id"], {"isMarkedForDeletion": True})
    report = await setup.check()
    assert report.about(f"Det finnes 2 mottakerlister. {len(others)} til er merket for sletting.")


async def test_without_a_message_type_none_is_looked_for(setup: Setup) -> None:
    report = await setup.check(MESSAGE_TRIGGER="failed_email")
    assert report.trouble() == []
    assert not any("communication" in str(request.url) for request in setup.tenant.asked)


async def test_every_sender_is_checked_by_itself(setup: Setup) -> None:
    senders = {
        "zone:Kommunikasjon": {"from": "info@example.org", "name": "Info"},
        "team:Postmottak": {"from": "post@example.org", "envelope_from": "fremmed@example.org"},
    }
    report = await setup.check(SENDERS=senders)
    [refused] = report.trouble()
    assert "fremmed@example.org" in refused
    assert report.about("OK", "godtar avsenderen info@example.org")
    assert report.about("OK", "sonen «Kommunikasjon» finnes")


# -- one ticket per recipient


async def test_whether_pureservice_sends_what_is_posted_is_left_to_be_tried(setup: Setup) -> None:
    report = await setup.check(TICKET_MESSAGE_VIA="pureservice")
    [remark] = report.trouble()
    assert remark.startswith("ikke undersøkt TICKET_MESSAGE_VIA")
    assert "to kolleger" in remark
    assert "TICKET_MESSAGE_VIA til email" in remark
    guide = (ROOT / "docs" / "oppsett.md").read_text("utf-8")
    assert remark.partition("Steg for steg: «")[2].partition("»")[0] in guide
    assert report.complete


async def test_with_mail_of_our_own_it_is_said_where_answers_go(setup: Setup) -> None:
    report = await setup.check()
    assert report.about("OK TICKET_MESSAGE_VIA", EXAMPLE["TICKET_REPLY_TO"], "TICKET_TAG")


async def test_the_clock_of_the_service_level_is_something_to_look_at_oneself(
    setup: Setup,
) -> None:
    assert (await setup.check()).about("OK TICKET_STATUS", "tjenestemålene (SLA)")


async def test_the_relation_between_the_tickets_may_be_there_or_not_wanted(setup: Setup) -> None:
    assert (await setup.check()).about("OK TICKET_RELATION er tom", "bare med saksnummer")
    report = await setup.check(TICKET_RELATION="Er utsending fra")
    assert report.trouble() == []
    assert report.about("OK TICKET_RELATION", "finnes")


async def test_switched_off_it_is_said_so_and_nothing_is_wanted_for_it(setup: Setup) -> None:
    setup.tenant.change("status", "Venter - sluttbruker", coreStatus=60)
    report = await setup.check(
        TICKET_CAMPAIGN_USER="",
        STATUS_REVIEW="",
        TICKET_RELATION="Finnes ikke",
        TICKET_MESSAGE_VIA="pureservice",
    )
    assert report.trouble() == []
    assert report.about("OK TICKET_CAMPAIGN_USER er tom", "slått av")
    assert not any(setting in line for line in report.lines for setting in ("VIA", "_RELATION er"))


# -- lists in step


async def test_lists_that_are_not_kept_in_step_cost_no_questions(setup: Setup) -> None:
    report = await setup.check(LISTS="off", LIST_RULES={"KURS": "Ingen"})
    assert report.trouble() == []
    assert report.about("OK LISTS er off")
    assert not any("/company/" in str(request.url) for request in setup.tenant.asked)


@pytest.mark.parametrize(("mode", "says"), [("preview", "python -m dev lists"), ("update", "20")])
async def test_each_rule_is_told_with_its_list_and_how_many_companies_it_finds(
    setup: Setup, mode: str, says: str
) -> None:
    rules = {"KOMM": "Kommune", "STAT": {"filter": 'name == "Fjordvik kommune"'}}
    report = await setup.check(LISTS=mode, LIST_RULES=rules)
    assert report.trouble() == []
    assert report.about(f"OK LISTS er {mode}", says)
    assert report.about("OK LIST_RULES «KOMM»", "listen finnes, og heter «Kommune»")
    assert report.about("OK LIST_RULES «KOMM»", "kategorien «Kommune» finner 3 firmaer.")
    assert report.about("OK LIST_RULES «STAT»", "filteret", "finner 1 firma.")


async def test_a_category_that_few_use_is_no_reason_to_doubt_the_field(setup: Setup) -> None:
    rules = {"KOMM": "Kommune", "FYLK": "Finnes ikke"}
    report = await setup.check(LISTS="update", LIST_RULES=rules)
    [warned] = report.trouble()
    assert "LIST_RULES «FYLK»" in warned
    assert "Disse finnes: «Fylkeskommune», «Kommune», «Statlig virksomhet»." in warned


# -- Pureservice does not let us in


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_explained_and_the_rest_is_unknown(
    setup: Setup, status: int
) -> None:
    setup.tenant.world.switches = Switches(refused_status=status)
    report = await setup.check(PURESERVICE_KEY="utløpt-nøkkel".encode().hex())
    assert report.about("MANGLER PURESERVICE_KEY", f"({status})", "utløpt", "Limited")
    assert report.about("ikke undersøkt", "statuser, lister")
    assert report.about("OK AzureWebJobsStorage", "køer")  # what can be asked is
    assert not report.complete


@pytest.mark.parametrize(("given", "other"), [("key", "bearer"), ("bearer", "key")])
async def test_a_key_in_the_wrong_header_is_recognised(
    setup: Setup, given: str, other: str
) -> None:
    header = {"bearer": "Authorization", "key": "X-Authorization-Key"}[other]
    setup.tenant.answer = lambda request: None if header in request.headers else httpx.Response(401)
    report = await setup.check(PURESERVICE_AUTH=given)
    assert report.about("MANGLER PURESERVICE_AUTH", f"Sett PURESERVICE_AUTH til {other}")
    assert (await setup.check(PURESERVICE_AUTH=other)).complete


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.Response(404, html="<h1>Not found</h1>"), "PURESERVICE_PREFIX"),
        (httpx.Response(302, headers={"Location": "/login"}), "PURESERVICE_PREFIX"),
        (httpx.Response(429), "et par minutter"),
    ],
)
async def test_another_answer_than_expected_is_explained(
    setup: Setup, answer: httpx.Response, says: str
) -> None:
    setup.tenant.answer = lambda request: httpx.Response(
        answer.status_code, headers=answer.headers, content=answer.content
    )
    report = await setup.check()
    assert report.about("MANGLER", f"({answer.status_code})", says)
    assert report.about("ikke undersøkt", "statuser, lister")


async def test_a_server_that_is_not_there_is_explained(setup: Setup) -> None:
    def unreachable(request: httpx.Request) -> None:
        raise httpx.ConnectError("no route to host")

    setup.tenant.answer = unreachable
    assert (await setup.check()).about("MANGLER PURESERVICE_URL", "får ikke svar", "brannmuren")


async def test_after_too_many_questions_no_more_are_asked(setup: Setup) -> None:
    setup.tenant.refuse("/assettype", 429)
    report = await setup.check()
    assert len(report.trouble()) == 2
    assert report.about("MANGLER", "(429)", "et par minutter")
    assert report.about("ikke undersøkt", "Resten")
    assert "/assettype/" in str(setup.tenant.asked[-1].url)


# -- the mail server does not let us in


async def test_login_and_encryption_go_well_with_the_right_ones(
    azurite: str, tmp_path: Path
) -> None:
    with Sink(tmp_path, tls="starttls", login=("utsendelse", PASSWORD)) as sink:
        setup = Setup(azurite, sink, tls=ssl.create_default_context(cafile=sink.certificate))
        login = {"SMTP_TLS": "starttls", "SMTP_USER": "utsendelse", "SMTP_PASSWORD": PASSWORD}
        report = await setup.check(**login)
        assert report.trouble() == []
        assert report.about("svarer, med STARTTLS og med innlogging")

        report = await setup.check(**login | {"SMTP_PASSWORD": "feil"})
        assert report.about("MANGLER SMTP_USER, SMTP_PASSWORD", "(535)")
        assert report.about("ikke undersøkt", "avsenderne")

        report = await setup.check(SMTP_TLS="starttls")
        assert report.about("MANGLER SMTP_USER", "krever innlogging", "SMTP_PASSWORD")


@pytest.mark.parametrize(("ours", "theirs"), [("starttls", "starttls"), ("tls", "implicit")])
async def test_a_certificate_that_nobody_vouches_for_is_explained(
    azurite: str, tmp_path: Path, ours: str, theirs: Any
) -> None:
    with Sink(tmp_path, tls=theirs) as sink:
        report = await Setup(azurite, sink).check(SMTP_TLS=ours)
    assert report.about("MANGLER SMTP_HOST", "sertifikatet", "self-signed")


async def test_a_server_without_login_is_explained(setup: Setup) -> None:
    setup.sink.offers_login = False
    report = await setup.check(SMTP_USER="utsendelse", SMTP_PASSWORD=PASSWORD)
    assert report.about("MANGLER SMTP_USER", "tilbyr ikke innlogging")


async def test_mail_without_encryption_to_another_machine_is_a_warning(setup: Setup) -> None:
    findings = mail(setup.settings(SMTP_HOST="mail.example.org"), lambda: NOW, None)
    ways, sender, remark = [await anext(findings) for _ in range(3)]
    assert [ways.mark, sender.mark, remark.mark] == ["OK", "OK", "advarsel"]
    assert "ukryptert" in remark.text


# -- Microsoft Graph

BY_GRAPH = {"EMAIL_TRANSPORTS": "graph", "SMTP_PORT": 1, "MAIL_ENVELOPE_FROM": ""}


async def test_graph_lets_us_in_and_nothing_is_made_there_and_no_server_is_asked(
    setup: Setup,
) -> None:
    setup.graph = Microsoft()
    report = await setup.check(**BY_GRAPH)
    assert report.trouble() == []
    assert report.complete
    assert report.about("OK EMAIL_TRANSPORTS", "Microsoft Graph")
    assert report.about("OK MAIL_FROM", "inn i postkassen", "prøvesending")
    assert setup.sink.connections == 0
    [asked] = setup.graph.simulator.asked
    assert asked.startswith("GET ")
    assert setup.graph.simulator.messages == {}


async def test_with_several_transports_each_is_tried_and_their_order_told(setup: Setup) -> None:
    setup.graph = Microsoft()
    report = await setup.check(EMAIL_TRANSPORTS="graph,smtp", MAIL_ENVELOPE_FROM="")
    assert report.trouble() == []
    assert report.about("OK EMAIL_TRANSPORTS", "med Microsoft Graph, ellers med SMTP", "Den neste")
    assert report.about("OK", "godtar avsenderen")
    assert setup.sink.connections == 1


async def test_each_senders_mailbox_is_looked_into_by_itself(setup: Setup) -> None:
    setup.graph = Microsoft(EXAMPLE["MAIL_FROM"], "info@example.org")
    senders = {
        "zone:Kommunikasjon": {"from": "info@example.org"},
        "team:Postmottak": {"from": "borte@example.org"},
    }
    report = await setup.check(**BY_GRAPH, SENDERS=senders)
    [lost] = report.trouble()
    assert "MANGLER SENDERS «team:Postmottak»: det finnes ingen postkasse borte@example.org" in lost
    assert report.about("OK SENDERS «zone:Kommunikasjon»", "postkassen info@example.org")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, ("GRAPH_CLIENT_ID", "godtar ikke adgangstegnet", "GRAPH_URL")),
        (403, ("MAIL_FROM", "slipper oss ikke inn", "Application Mail.Send", "docs/deploy.md")),
        (500, ("MAIL_FROM", "ikke noe brukbart svar", "Prøv igjen")),
    ],
)
async def test_what_graph_refuses_is_explained(
    setup: Setup, status: int, words: tuple[str, ...]
) -> None:
    setup.graph = Microsoft()
    told = {
        "error": {"code": "ErrorAccessDenied", "message": "Access to kari@example.no is denied"}
    }
    setup.graph.answer = lambda request: httpx.Response(status, json=told)
    report = await setup.check(**BY_GRAPH)
    assert report.about("MANGLER", f"({status} ErrorAccessDenied)", *words)
    assert "kari@" not in "".join(report.lines)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("AADSTS7000222: The provided client secret keys are expired.", ("SECRET", "har gått ut")),
        ("AADSTS700016: Application was not found", ("GRAPH_CLIENT_ID", "ingen slik app")),
        ("AADSTS90002: Tenant not found", ("GRAPH_TENANT_ID", "finnes ikke")),
        ("AADSTS1: Something else", ("GRAPH_TENANT_ID", "ikke noe adgangstegn", "(AADSTS1)")),
    ],
)
async def test_without_a_token_it_is_said_why(
    setup: Setup, said: str, words: tuple[str, ...]
) -> None:
    setup.graph = Microsoft()
    setup.graph.refusal = ClientAuthenticationError(f"{said} {PASSWORD}")
    registration = {"GRAPH_TENANT_ID": "t", "GRAPH_CLIENT_ID": "c", "GRAPH_CLIENT_SECRET": PASSWORD}
    report = await setup.check(**BY_GRAPH, **registration)
    assert report.about("MANGLER", "GRAPH_", *words)
    assert report.about("ikke undersøkt", "de andre postkassene")
    assert PASSWORD not in "".join(report.lines)


async def test_a_graph_that_is_not_there_is_explained(setup: Setup) -> None:
    def unreachable(request: httpx.Request) -> None:
        raise httpx.ConnectError("no route to host")

    setup.graph = Microsoft()
    setup.graph.answer = unreachable
    report = await setup.check(**BY_GRAPH, GRAPH_URL="https://graph.microsoft.com/v1.0")
    assert report.about("MANGLER GRAPH_URL", "graph.microsoft.com", "brannmuren")


async def test_what_only_the_app_in_azure_may_do_is_left_to_it(setup: Setup) -> None:
    place = {
        "ACS_ENDPOINT": "https://fjordvik.communication.azure.com",
        "ACS_CONNECTION_STRING": "",
    }
    report = await setup.check(**BY_GRAPH | place | {"EMAIL_TRANSPORTS": "graph,acs"})
    by_graph, by_acs = report.trouble()
    assert by_graph.startswith("ikke undersøkt Graph slipper bare inn appen selv")
    assert EXAMPLE["MAIL_FROM"] in by_graph
    assert by_acs.startswith("ikke undersøkt ACS_ENDPOINT: ACS slipper bare inn appen selv")
    assert report.complete


async def test_the_mailbox_of_bounces_is_looked_into(setup: Setup) -> None:
    box = "retur@example.org"
    setup.graph = Microsoft(box)
    report = await setup.check(MAIL_ENVELOPE_FROM=box, BOUNCE_MAILBOX=box)
    assert report.trouble() == []
    assert report.about("OK BOUNCE_MAILBOX", f"innboksen til {box}")
    setup.graph = Microsoft("annen@example.org")
    lost = await setup.check(MAIL_ENVELOPE_FROM=box, BOUNCE_MAILBOX=box)
    assert lost.about("MANGLER BOUNCE_MAILBOX", f"ingen postkasse {box}")


# -- Azure Communication Services


@pytest.fixture
def running_acs() -> Iterator[RunningAcs]:
    with RunningAcs(AcsSimulator()) as running:
        yield running


def by_acs(running: RunningAcs, **changes: Any) -> dict[str, Any]:
    given = {
        "EMAIL_TRANSPORTS": "acs",
        "ACS_CONNECTION_STRING": running.connection_string,
        "EMAIL_RATE": 1,
    }
    return {**given, **changes}


async def test_acs_takes_our_key_and_sends_nothing(setup: Setup, running_acs: RunningAcs) -> None:
    report = await setup.check(**by_acs(running_acs))
    assert report.trouble() == []
    assert report.about("OK ACS_CONNECTION_STRING", "godtar oss", EXAMPLE["MAIL_FROM"])
    assert {asked.partition(" ")[0] for asked in running_acs.simulator.asked} == {"GET"}
    assert running_acs.simulator.operations == {}
    assert running_acs.simulator.key not in "".join(report.lines)


@pytest.mark.parametrize(
    ("connection", "words"),
    [
        ("endpoint={url}/;accesskey=ZmVpbA==", ("godtar oss ikke (401)", "Er nøkkelen byttet")),
        ("endpoint=http://127.0.0.1:1/;accesskey=ZmVpbA==", ("får ikke kontakt", "brannmuren")),
        ("endpoint={url}/", ("ikke en gyldig tilkoblingsstreng", "under Keys")),
    ],
)
async def test_why_acs_is_not_to_be_had_is_explained(
    setup: Setup, running_acs: RunningAcs, connection: str, words: tuple[str, ...]
) -> None:
    given = connection.format(url=running_acs.url)
    report = await setup.check(**by_acs(running_acs, ACS_CONNECTION_STRING=given))
    assert report.about("MANGLER ACS_CONNECTION_STRING", *words)
    assert "ZmVpbA==" not in "".join(report.lines)


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({}, False),
        ({"EMAIL_RATE": 30}, True),
        ({"EMAIL_RATE": 30, "EMAIL_DAILY_QUOTA": 100}, False),
        ({"EMAIL_RATE": 31, "EMAIL_DAILY_QUOTA": 100}, True),
        ({"EMAIL_RATE": 0, "EMAIL_DAILY_QUOTA": 0}, True),
        ({"EMAIL_RATE": 30, "EMAIL_TRANSPORTS": "smtp,acs"}, False),
    ],
)
async def test_more_than_acs_takes_by_itself_is_a_warning_where_it_comes_first(
    setup: Setup, running_acs: RunningAcs, changes: dict[str, Any], warned: bool
) -> None:
    report = await setup.check(**by_acs(running_acs, **changes))
    told = [line for line in report.trouble() if "EMAIL_RATE" in line]
    assert len(told) == warned
    assert all("100 i timen" in line for line in told)
    assert report.complete


# -- what stands in mail


async def test_graph_cannot_send_bounces_anywhere_else(setup: Setup) -> None:
    setup.graph = Microsoft(EXAMPLE["MAIL_FROM"], "retur@example.org")
    bounces = {"MAIL_ENVELOPE_FROM": "retur@example.org"}
    report = await setup.check(**BY_GRAPH | bounces)
    assert report.trouble() == [
        report.about("advarsel MAIL_ENVELOPE_FROM", "til avsenderen selv", EXAMPLE["MAIL_FROM"])
    ]
    unread = await setup.check(**BY_GRAPH | bounces, BOUNCE_MAILBOX="retur@example.org")
    assert unread.about("advarsel BOUNCE_MAILBOX", "blir ikke lest i retur@example.org")


async def test_a_mailbox_of_bounces_without_a_way_into_it_is_a_warning(setup: Setup) -> None:
    report = await setup.check(BOUNCE_MAILBOX=EXAMPLE["MAIL_ENVELOPE_FROM"])
    assert report.trouble() == [
        report.about("advarsel BOUNCE_MAILBOX", "ingen som slipper oss inn", "GRAPH_CLIENT_SECRET")
    ]


async def test_own_fields_and_those_who_get_tests_are_told(setup: Setup) -> None:
    given = {"RECIPIENT_FIELDS": {"avtale": "company.cf_1"}, "TEST_RECIPIENTS": "eva@example.no"}
    report = await setup.check(**given)
    assert report.trouble() == []
    assert report.about("OK RECIPIENT_FIELDS", "{{ recipient.avtale }} er company.cf_1")
    assert report.about("OK TEST_RECIPIENTS", "eva@example.no")
    barred = await setup.check(TEST_RECIPIENTS="eva@example.no, ola@fremmed.example")
    [line] = barred.trouble()
    assert line.startswith("advarsel TEST_RECIPIENTS")
    assert "til ola@fremmed.example." in line


async def test_a_logo_is_there_or_missing(setup: Setup) -> None:
    services = bootstrap(setup.settings())
    await services.storage.prepare()
    await services.files.put("letterheads/vaapen.png", b"png")
    await services.close()
    heads = {
        "default": {"logo": "vaapen.png", "logo_alt": "Fjordvik"},
        "zone:Kommunikasjon": {"logo": "borte.png", "logo_alt": "Fjordvik"},
    }
    report = await setup.check(LETTERHEADS=heads)
    assert report.about("OK LETTERHEADS", "vaapen.png")
    assert report.trouble() == [
        report.about("MANGLER LETTERHEADS", "borte.png", "Last den opp som letterheads/borte.png")
    ]
    async with BlobServiceClient.from_connection_string(setup.storage) as blobs:
        await blobs.get_blob_client("campaigns", "letterheads/vaapen.png").delete_blob()


# -- storage


async def test_a_storage_that_does_not_answer_or_refuses_the_key_is_explained(
    setup: Setup, azurite: str
) -> None:
    port = azurite.partition("QueueEndpoint=http://127.0.0.1:")[2].partition("/")[0]
    report = await setup.check(AzureWebJobsStorage=azurite.replace(f":{port}/", ":1/"))
    assert report.about("MANGLER AzureWebJobsStorage", "svarer ikke for køer")
    assert report.about("OK AzureWebJobsStorage", "tabeller")

    report = await setup.check(
        AzureWebJobsStorage=azurite.replace("AccountKey=", "AccountKey=ab12")
    )
    assert report.about("MANGLER AzureWebJobsStorage", "sier nei (403)", "tabeller")


async def test_in_azure_the_storage_is_left_to_the_app(setup: Setup) -> None:
    report = await setup.check(
        AzureWebJobsStorage="", AzureWebJobsStorage__accountName="stfjordvik"
    )
    [left] = report.trouble()
    assert left.startswith("ikke undersøkt AzureWebJobsStorage__accountName")
    assert "stfjordvik" in left
    assert "/api/health" in left
    assert report.complete


async def test_what_is_not_in_the_storage_yet_is_named_and_no_trouble(setup: Setup) -> None:
    new = {"DELIVER_TICKET_QUEUE": "ikke-laget"}
    report = await setup.check(**new)
    assert report.trouble() == []
    assert report.about("OK AzureWebJobsStorage", "køer", "ikke-laget, ikke-laget-poison")

    services = bootstrap(setup.settings(**new))
    await services.storage.prepare()
    await services.close()
    [tables, _, files] = [finding async for finding in storage(setup.settings(**new))]
    assert tables.text.endswith(f"tabeller: {', '.join(TABLES)}.")
    assert files.text.endswith(f"filer: {', '.join(CONTAINERS)}.")


async def test_what_is_looked_for_is_what_the_app_makes() -> None:
    azure = Azure()
    services = bootstrap(settings(), storage_transport=azure)
    await services.storage.prepare()
    await services.close()
    puts = [url for method, url in azure.asked if method == "PUT"]
    made = {url.rpartition("/")[2] for url in puts}
    assert set(azure.tables) == set(TABLES)
    assert made == {name for name in queues(settings()) if "poison" not in name} | {*CONTAINERS}


# -- secrets


async def test_no_secret_is_told_even_when_a_server_repeats_it(setup: Setup) -> None:
    key = "eyJ.hemmelig.nokkel"
    by_graph, by_acs = "Graf-hemmelig", "endpoint=http://127.0.0.1:1/;accesskey=ZmVpbA=="
    told = httpx.Response(400, json={"message": f"Bad key {key} {by_graph} {by_acs}"})
    setup.tenant.answer = lambda request: httpx.Response(400, content=told.content)
    secrets = {"PURESERVICE_KEY": key, "SMTP_USER": "utsendelse", "SMTP_PASSWORD": PASSWORD}
    secrets |= {"GRAPH_TENANT_ID": "t", "GRAPH_CLIENT_ID": "c", "GRAPH_CLIENT_SECRET": by_graph}
    secrets["ACS_CONNECTION_STRING"] = by_acs
    secrets["ALERT_WEBHOOK"] = webhook = "https://hooks.example/hemmelig"
    report = await setup.check(**secrets)
    text = "\n".join(report.lines)
    assert "Bad key ***" in text
    account_key = setup.storage.partition("AccountKey=")[2].partition(";")[0]
    for secret in (
        key,
        PASSWORD,
        by_graph,
        by_acs,
        webhook,
        "hooks.example",
        setup.storage,
        account_key,
    ):
        assert secret not in text


# -- the command


@pytest.fixture
def environment() -> Iterator[None]:
    """The environment without any of our settings, and put back afterwards."""
    with mock.patch.dict(os.environ):
        for name in Settings.model_fields:
            os.environ.pop(name, None)
        yield


def settings_file(folder: Path, **changes: str | None) -> Path:
    values = {name: value for name, value in (EXAMPLE | changes).items() if value is not None}
    file = folder / "min.settings.json"
    file.write_text(json.dumps({"Values": values}), "utf-8")
    return file


@pytest.mark.usefixtures("environment")
def test_every_problem_with_the_settings_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = settings_file(
        tmp_path, PURESERVICE_KEY=None, MAIL_FROM="Kommunen", SMTP_PORT="mange", ONLY_SEND_TO=""
    )
    assert main(["--settings", str(file)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "MANGLER PURESERVICE_KEY er ikke satt." in said
    assert "MANGLER MAIL_FROM: er ikke en e-postadresse." in said
    assert "MANGLER SMTP_PORT: må være et heltall." in said
    assert "MANGLER ONLY_SEND_TO: nevner ingen." in said
    assert "ikke undersøkt Pureservice, e-post, Digipost og lager." in said


def _own_messages() -> list[str]:
    """What the validators in `shared/settings.py` say, but for what they put in."""
    raised = [
        node.exc.args[0]
        for node in ast.walk(ast.parse((ROOT / "shared" / "settings.py").read_text("utf-8")))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
        and node.exc.func.id == "ValueError"
    ]
    parts = [said.values if isinstance(said, ast.JoinedStr) else [said] for said in raised]
    return [
        "".join(str(part.value) for part in said if isinstance(part, ast.Constant))
        for said in parts
    ]


@pytest.mark.parametrize("message", _own_messages())
def test_what_our_own_rules_for_settings_say_is_told_in_norwegian(message: str) -> None:
    error = SetupError(f"These settings must be put right:\n  ONLY_SEND_TO: {message}")
    [told, _] = unreadable(error)
    assert message.strip() not in told.text
    assert not {"is", "must", "and", "the", "has"} & set(told.text.replace(":", "").split())


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("LISTS", "på", "må være 'off', 'preview' eller 'update'"),
        ("TICKET_VISIBILITY", "synlig", "må være 'silent' eller 'hidden'"),
        ("TICKET_KEEP_AGENT", "kanskje", "må være true eller false."),
        ("PURESERVICE_RATE", "-1", "må være minst 0"),
        ("LISTS_REMOVE_AT_MOST", "101", "må være høyst 100"),
        ("TICKET_WAIT_MINUTES", "0", "må være større enn 0"),
        ("COMPANY_CATEGORY_FIELD", "cf_10", "må følge mønsteret"),
        ("TICKET_STATUS", "", "kan ikke være tom."),
        ("PURESERVICE_KEY", "", "kan ikke være tom."),
        ("PURESERVICE_URL", "fjordvik", "må være en nettadresse"),
        ("LIST_RULES", '{"KOMM": {"filtre": "1 == 1"}}', "finnes ikke."),
        ("ALERT_EMAIL", "drift", "er ikke en e-postadresse"),
        ("ALERT_WEBHOOK", "http://hooks.example/x", "må begynne med https."),
        ("ALERT_WEBHOOK", "hooks", "er ikke en nettadresse."),
        ("LIST_RULES", '{"KOMM": 7}', 'må være en kategori eller {"filter": "…"}.'),
        ("LEASE_SECONDS", "209", "to ganger SMTP_TIMEOUT_SECONDS pluss tre ganger"),
        ("LETTERHEADS", '{"default": {"logo": "v.png"}}', "hvem den tilhører."),
        ("LETTERHEADS", '{"default": {"color": "#eee"}}', "er for blek: kontrasten mot hvitt er"),
        ("LETTERHEADS", '{"default": {"color": "blaa"}}', "er ingen farge"),
        ("EMAIL_TRANSPORTS", "brevdue", "må nevne smtp, graph eller acs"),
        ("TICKET_CAMPAIGN_USER", EXAMPLE["EMAIL_CAMPAIGN_USER"], "en annen adresse enn EMAIL"),
        ("AzureWebJobsStorage", "", "når AzureWebJobsStorage__accountName ikke er det."),
    ],
)
def test_a_wrong_value_is_told_in_norwegian(
    tmp_path: Path, setting: str, value: str, told: str
) -> None:
    file = settings_file(tmp_path, **{setting: value})
    load(file, file)
    with pytest.raises(SetupError) as caught:
        read_settings()
    *problems, _ = unreadable(caught.value)
    assert any(told in problem.text and setting in problem.text for problem in problems)


@pytest.mark.usefixtures("environment")
def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    os.environ["SMTP_HOST"] = "mail.example.org"
    load(settings_file(tmp_path), tmp_path / "local.settings.json")
    assert os.environ["SMTP_HOST"] == "mail.example.org"
    assert os.environ["STATUS_READY"] == "Utsending – klar"


@pytest.mark.usefixtures("environment")
def test_without_a_file_the_example_is_pointed_to(tmp_path: Path) -> None:
    assert "local.settings.example.json" in load(None, tmp_path / "local.settings.json")
    assert "INSTALLATION" not in os.environ


def test_a_file_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--settings", str(tmp_path / "borte.json")]) == 1
    assert "Finner ikke" in capsys.readouterr().out


@pytest.mark.usefixtures("environment")
def test_the_exit_status_is_one_when_something_is_missing(
    tmp_path: Path, setup: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    port = str(setup.sink.port)  # which does not speak HTTP
    file = settings_file(
        tmp_path,
        SMTP_PORT=port,
        PURESERVICE_URL=f"http://127.0.0.1:{port}",
        AzureWebJobsStorage=setup.storage,
    )
    assert main(["--settings", str(file)]) == 1
    assert "PURESERVICE_URL: får ikke svar fra 127.0.0.1" in capsys.readouterr().out


def test_a_misspelt_name_in_the_file_is_pointed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "local.settings.json"
    values = {**EXAMPLE, "TICKET_STATU": "Ny", "AzureWebJobsFeatureFlags": "x"}
    file.write_text(json.dumps({"Values": values}), "utf-8")
    for name in values:
        monkeypatch.setenv(name, "")  # so that what is read is forgotten after the test
    told = load(file, file)
    assert "TICKET_STATU er ingen innstilling" in told
    assert "Mente du TICKET_STATUS?" in told
    assert "AzureWebJobsFeatureFlags" not in told
