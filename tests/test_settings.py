"""Wrong or missing settings stop the app when it is imported, with every problem at once."""

import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from shared.errors import SetupError
from shared.settings import Settings, read_settings
from tests.examples import EXAMPLE, ROOT, settings


@pytest.fixture
def environment(monkeypatch):
    """Nothing but the settings of the example; what a test changes is forgotten after it."""
    for name in list(os.environ):
        if name in Settings.model_fields:
            monkeypatch.delenv(name)
    for name, value in EXAMPLE.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def problems() -> list[str]:
    with pytest.raises(SetupError) as caught:
        read_settings()
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_the_example_is_complete_and_right(environment):
    assert EXAMPLE["INSTALLATION"] == read_settings().INSTALLATION


def test_whom_we_may_write_to_has_no_default(environment):
    environment.delenv("ONLY_SEND_TO")
    assert problems() == ["ONLY_SEND_TO: is not set"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ONLY_SEND_TO": " , "}, "ONLY_SEND_TO"),
        ({"ONLY_SEND_TO": "kari@example.org;ola@example.org"}, "ONLY_SEND_TO"),
        ({"ONLY_SEND_TO": "*.example.org"}, "ONLY_SEND_TO"),
        ({"STATUS_ATTENTION": "Utsending – klar"}, "STATUS_REVIEW"),
        ({"STATUS_PAUSE": "Utsending – avbryt"}, "STATUS_REVIEW"),
        ({"EMAIL_WINDOW": "08-20"}, "EMAIL_WINDOW"),
        ({"TICKET_WINDOW": "08:00-20:00 alltid"}, "TICKET_WINDOW"),
        ({"ALERT_EMAIL": "vakt"}, "ALERT_EMAIL"),
        ({"ALERT_WEBHOOK": "http://example.org/hook"}, "ALERT_WEBHOOK"),
        ({"ALERT_WEBHOOK": "hook"}, "ALERT_WEBHOOK"),
        ({"EMAIL_WHEN_UNCERTAIN": "perhaps"}, "EMAIL_WHEN_UNCERTAIN"),
        ({"TICKET_CAMPAIGN_USER": EXAMPLE["EMAIL_CAMPAIGN_USER"].upper()}, "TICKET_CAMPAIGN_USER"),
        ({"TICKET_MESSAGE_VIA": "email", "TICKET_REPLY_TO": ""}, "TICKET_REPLY_TO"),
        ({"LISTS": "preview", "COMPANY_CATEGORY_FIELD": ""}, "LIST_RULES"),
        ({"LIST_RULES": '{"KOMM": ""}'}, "LIST_RULES"),
        ({"LIST_RULES": "{"}, "LIST_RULES"),
        ({"PURESERVICE_TIMEOUT_SECONDS": "80"}, "LEASE_SECONDS"),
        ({"PURESERVICE_URL": "http://fjordvik.example.org"}, "PURESERVICE_URL"),
        ({"DELIVER_EMAIL_QUEUE": "a" * 57}, "DELIVER_EMAIL_QUEUE"),
        ({"INSTALLATION": "Har mellomrom"}, "INSTALLATION"),
        ({"AzureWebJobsStorage": "tull"}, "AzureWebJobsStorage"),
        ({"AzureWebJobsStorage": ""}, "AzureWebJobsStorage"),
        ({"AzureWebJobsStorage__accountName": "stutsendelse"}, "AzureWebJobsStorage"),
        (
            {"AzureWebJobsStorage__accountName": "St-Utsendelse", "AzureWebJobsStorage": ""},
            "AzureWebJobsStorage__accountName",
        ),
        ({"DISCOVER_SCHEDULE": "* * * * *"}, "DISCOVER_SCHEDULE"),
        ({"DELIVER_EMAIL_QUEUE": "Deliver_Email"}, "DELIVER_EMAIL_QUEUE"),
        ({"PURESERVICE_URL": "fjordvik"}, "PURESERVICE_URL"),
        ({"PURESERVICE_KEY": ""}, "PURESERVICE_KEY"),
        ({"PURESERVICE_KEY": "@Microsoft.KeyVault(VaultName=v;SecretName=k)"}, "PURESERVICE_KEY"),
        ({"SMTP_PASSWORD": "@Microsoft.KeyVault(VaultName=v;SecretName=s)"}, "SMTP_PASSWORD"),
        ({"MAIL_FROM": "ikke en adresse"}, "MAIL_FROM"),
        ({"STATUS_SOLVED": ""}, "STATUS_SOLVED"),
        ({"CAMPAIGN_MARK_FIELD": "subject"}, "CAMPAIGN_MARK_FIELD"),
        ({"TICKET_TAG": "[Sak]"}, "TICKET_TAG"),
        ({"EMAIL_RATE": "-1"}, "EMAIL_RATE"),
        ({"SMTP_PORT": "70000"}, "SMTP_PORT"),
        ({"SENDERS": "{"}, "SENDERS"),
        ({"SENDERS": '{"Plan": {"from": "plan@example.org"}}'}, "SENDERS"),
        ({"SENDERS": '{"zone:Plan": {"from": "ikke en adresse"}}'}, "SENDERS.zone:Plan.from"),
        ({"LEASE_SECONDS": "100"}, "LEASE_SECONDS"),
        ({"LIST_USER_RELATION": "", "LIST_COMPANY_RELATION": ""}, "LIST_COMPANY_RELATION"),
        ({"SMTP_HOST": "smtp.example.org", "SMTP_USER": "x"}, "SMTP_USER"),
    ],
    ids=str,
)
def test_a_wrong_value_is_named(environment, changes, named):
    for name, value in changes.items():
        environment.setenv(name, value)
    [problem] = problems()
    assert problem.startswith(f"{named}: ")


def test_all_problems_are_listed_at_once(environment):
    environment.delenv("MAIL_FROM")
    for name in ("SENDERS", "LEASE_SECONDS", "AzureWebJobsStorage", "ONLY_SEND_TO"):
        environment.setenv(name, "")
    assert {problem.partition(":")[0] for problem in problems()} == {
        "MAIL_FROM",
        "SENDERS",
        "LEASE_SECONDS",
        "AzureWebJobsStorage",
        "ONLY_SEND_TO",
    }


def test_the_storage_account_can_be_reached_without_a_connection_string(environment):
    environment.delenv("AzureWebJobsStorage")
    environment.setenv("AzureWebJobsStorage__accountName", "stutsendelse")
    assert read_settings().AzureWebJobsStorage.get_secret_value() == ""


def test_no_secret_is_in_an_error_or_in_print(environment):
    environment.setenv("PURESERVICE_KEY", "hemmelig-nokkel")
    environment.setenv("SMTP_PASSWORD", "hemmelig-passord")
    assert "hemmelig" not in repr(read_settings())
    environment.setenv("AzureWebJobsStorage", "hemmelig-lager")
    environment.setenv("SENDERS", '{"hemmelig": 1')
    assert "hemmelig" not in " ".join(problems())


def test_the_app_does_not_start_with_wrong_settings():
    clean = {name: value for name, value in os.environ.items() if name not in Settings.model_fields}
    started = subprocess.run(
        [sys.executable, "-c", "import function_app"],
        cwd=ROOT,
        env={**clean, "MAIL_FROM": "tull"},
        capture_output=True,
        text=True,
    )
    assert started.returncode != 0
    assert "ONLY_SEND_TO: is not set" in started.stderr
    assert "MAIL_FROM: is not an e-mail address" in started.stderr


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"EMAIL_TRANSPORTS": "smtp,smtp"}, "EMAIL_TRANSPORTS"),
        ({"EMAIL_TRANSPORTS": "sendmail"}, "EMAIL_TRANSPORTS"),
        ({"EMAIL_TRANSPORTS": ""}, "EMAIL_TRANSPORTS"),
        ({"SMTP_HOST": ""}, "SMTP_HOST"),
        ({"EMAIL_TRANSPORTS": "graph", "EMAIL_RATE": "0"}, "EMAIL_RATE"),
        ({"EMAIL_TRANSPORTS": "graph", "EMAIL_RATE": "31"}, "EMAIL_RATE"),
        ({"EMAIL_TRANSPORTS": "acs", "ACS_CONNECTION_STRING": ""}, "ACS_CONNECTION_STRING"),
        ({"EMAIL_TRANSPORTS": "acs", "ACS_ENDPOINT": "https://x.example"}, "ACS_CONNECTION_STRING"),
        ({"GRAPH_TENANT_ID": "x"}, "GRAPH_CLIENT_SECRET"),
        ({"GRAPH_URL": "http://graph.example/v1.0"}, "GRAPH_URL"),
        ({"EMAIL_TRANSPORTS": "acs,graph,smtp", "LEASE_SECONDS": "300"}, "LEASE_SECONDS"),
        ({"EMAIL_TRANSPORTS": "graph,smtp", "TICKET_MESSAGE_VIA": "email"}, "TICKET_MESSAGE_VIA"),
        ({"LETTERHEADS": {"default": {"color": "#eeeeee"}}}, "LETTERHEADS.default"),
        ({"LETTERHEADS": {"Kommunikasjon": {}}}, "LETTERHEADS"),
        ({"RECIPIENT_FIELDS": {"name": "user.cf_1"}}, "RECIPIENT_FIELDS"),
        ({"RECIPIENT_FIELDS": {"avtale": "user.title"}}, "RECIPIENT_FIELDS"),
        ({"TEST_RECIPIENTS": "kari@example.no, ola"}, "TEST_RECIPIENTS"),
    ],
)
def test_what_does_not_go_together_is_named(values, named):
    with pytest.raises(ValidationError) as caught:
        settings(**values)
    places = [".".join(str(part) for part in one["loc"]) for one in caught.value.errors()]
    assert places == [named]


@pytest.mark.parametrize("values", [{"EMAIL_TRANSPORTS": "graph", "SMTP_HOST": ""}])
def test_what_is_not_used_need_not_be_set(values):
    assert settings(**values).transports == ["graph"]
