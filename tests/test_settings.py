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


LETTERS = {
    "DIGIPOST_CAMPAIGN_USER": "masseutsendelse-digipost@utsendelse.local",
    "DIGIPOST_SENDER_ID": "100123",
    "DIGIPOST_USER": "prod_100123",
    "DIGIPOST_KEY": "en nøkkel",
    "DIGIPOST_HOST_KEY": f"SHA256:{'x' * 43}",
}
BACK = {"name": "Fjordvik kommune", "postal_code": "0101", "city": "Oslo"}
ABROAD = {"name": "Fjordvik kommun", "country": "SE"}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"DIGIPOST_CAMPAIGN_USER": EXAMPLE["EMAIL_CAMPAIGN_USER"]}, "DIGIPOST_CAMPAIGN_USER"),
        (
            {"DIGIPOST_CAMPAIGN_USER": EXAMPLE["TICKET_CAMPAIGN_USER"].upper()},
            "DIGIPOST_CAMPAIGN_USER",
        ),
        ({"DIGIPOST_SENDER_ID": "0"}, "DIGIPOST_SENDER_ID"),
        ({"DIGIPOST_USER": ""}, "DIGIPOST_USER"),
        ({"DIGIPOST_KEY": ""}, "DIGIPOST_KEY"),
        ({"DIGIPOST_KEY": "@Microsoft.KeyVault(VaultName=v;SecretName=k)"}, "DIGIPOST_KEY"),
        (
            {"DIGIPOST_KEY_PASSPHRASE": "@Microsoft.KeyVault(VaultName=v;SecretName=k)"},
            "DIGIPOST_KEY_PASSPHRASE",
        ),
        ({"DIGIPOST_HOST_KEY": ""}, "DIGIPOST_HOST_KEY"),
        ({"DIGIPOST_HOST_KEY": "MD5:aa:bb"}, "DIGIPOST_HOST_KEY"),
        ({"DIGIPOST_HOST_KEY": f"SHA256:{'x' * 42}"}, "DIGIPOST_HOST_KEY"),
        ({"DIGIPOST_PORT": "70000"}, "DIGIPOST_PORT"),
        ({"DIGIPOST_LEASE_SECONDS": "239"}, "DIGIPOST_LEASE_SECONDS"),
        ({"DIGIPOST_UPLOAD": "copy"}, "DIGIPOST_UPLOAD"),
        ({"DIGIPOST_REUPLOAD": "always"}, "DIGIPOST_REUPLOAD"),
        ({"DIGIPOST_APPROVE": "yes"}, "DIGIPOST_APPROVE"),
        ({"DIGIPOST_SPLIT": "perhaps"}, "DIGIPOST_SPLIT"),
        ({"DIGIPOST_REGISTER": "weekly"}, "DIGIPOST_REGISTER"),
        ({"DIGIPOST_REGISTER_MAX_AGE_DAYS": "0"}, "DIGIPOST_REGISTER_MAX_AGE_DAYS"),
        ({"DIGIPOST_NOT_REACHED": "fax"}, "DIGIPOST_NOT_REACHED"),
        ({"DIGIPOST_NOT_REACHED": "email,email"}, "DIGIPOST_NOT_REACHED"),
        ({"DIGIPOST_NOT_REACHED": "list,email"}, "DIGIPOST_NOT_REACHED"),
        ({"DIGIPOST_LETTERS_PER_JOB": "65001"}, "DIGIPOST_LETTERS_PER_JOB"),
        ({"DIGIPOST_FILE_TYPES": "html"}, "DIGIPOST_FILE_TYPES"),
        ({"DIGIPOST_FILE_TYPES": "pdf;html"}, "DIGIPOST_FILE_TYPES"),
        ({"DIGIPOST_MAIN_DOCUMENT": ""}, "DIGIPOST_MAIN_DOCUMENT"),
        ({"DIGIPOST_AUTHENTICATION": "bankid"}, "DIGIPOST_AUTHENTICATION"),
        ({"DIGIPOST_SENSITIVITY": "secret"}, "DIGIPOST_SENSITIVITY"),
        ({"DIGIPOST_SMS_AFTER_HOURS": "24t"}, "DIGIPOST_SMS_AFTER_HOURS"),
        ({"DIGIPOST_NOT_REACHED": "print"}, "DIGIPOST_RETURN_ADDRESS"),
        ({"DIGIPOST_RETURN_ADDRESS": "{"}, "DIGIPOST_RETURN_ADDRESS"),
        ({"DIGIPOST_RETURN_ADDRESS": BACK | {"postal_code": "101"}}, "DIGIPOST_RETURN_ADDRESS"),
        ({"DIGIPOST_RETURN_ADDRESS": BACK | {"city": ""}}, "DIGIPOST_RETURN_ADDRESS"),
        ({"DIGIPOST_RETURN_ADDRESS": BACK | {"lines": ["1", "2", "3"]}}, "DIGIPOST_RETURN_ADDRESS"),
        ({"DIGIPOST_RETURN_ADDRESS": ABROAD}, "DIGIPOST_RETURN_ADDRESS"),
        (
            {"DIGIPOST_RETURN_ADDRESS": ABROAD | {"lines": ["Gatan 2"], "city": "Lund"}},
            "DIGIPOST_RETURN_ADDRESS",
        ),
        ({"DIGIPOST_NATIONAL_ID_FIELD": "company.cf_1"}, "DIGIPOST_NATIONAL_ID_FIELD"),
        (
            {
                "RECIPIENT_FIELDS": {"nummer": "user.cf_5"},
                "DIGIPOST_NATIONAL_ID_FIELD": "user.cf_5",
            },
            "DIGIPOST_NATIONAL_ID_FIELD",
        ),
        ({"DIGIPOST_BIRTH_DATE_FIELD": "user.birthday"}, "DIGIPOST_BIRTH_DATE_FIELD"),
        ({"DIGIPOST_ADDRESS_FIELDS": {"street": "user.cf_1"}}, "DIGIPOST_ADDRESS_FIELDS"),
        ({"DIGIPOST_ADDRESS_FIELDS": {"line1": "user.address"}}, "DIGIPOST_ADDRESS_FIELDS"),
        ({"DIGIPOST_WINDOW": "08-20"}, "DIGIPOST_WINDOW"),
    ],
    ids=str,
)
def test_what_letters_cannot_be_sent_with_is_named(values, named):
    with pytest.raises(ValidationError) as caught:
        settings(**LETTERS | values)
    assert [one["loc"][0] for one in caught.value.errors()] == [named]


def test_without_the_made_up_user_nothing_of_digipost_need_be_set():
    assert "digipost" not in settings(DIGIPOST_CAMPAIGN_USER="").campaign_users.values()


def test_letters_may_go_by_every_way_in_any_order():
    found = settings(
        **LETTERS,
        DIGIPOST_NOT_REACHED=" print , email,list",
        DIGIPOST_RETURN_ADDRESS=ABROAD | {"lines": ["Gatan 2", "111 22 Stockholm"]},
        DIGIPOST_SMS_AFTER_HOURS="24, 72",
        DIGIPOST_FILE_TYPES="PDF, .html",
    )
    assert found.campaign_users[LETTERS["DIGIPOST_CAMPAIGN_USER"]] == "digipost"
    assert found.ways_on == ["print", "email", "list"]
    assert found.sms_after_hours == (24, 72)
    assert found.DIGIPOST_FILE_TYPES == "pdf,html"
    assert settings(**LETTERS, DIGIPOST_NOT_REACHED="").ways_on == []


def test_a_new_key_of_digipost_can_be_let_in_before_the_old_one_goes():
    both = ", ".join(f"SHA256:{one * 43}" for one in "xy")
    assert both == settings(**LETTERS | {"DIGIPOST_HOST_KEY": both}).DIGIPOST_HOST_KEY


def test_neither_key_nor_passphrase_of_digipost_is_in_print():
    given = {"DIGIPOST_KEY": "hemmelig", "DIGIPOST_KEY_PASSPHRASE": "hemmelig"}
    assert "hemmelig" not in repr(settings(**LETTERS | given))
