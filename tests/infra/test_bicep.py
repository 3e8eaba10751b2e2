"""What the templates make is what the code asks for: names, settings, rights. None of it by key."""

import ast
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from shared.bootstrap import bootstrap
from shared.settings import Settings
from tests.examples import ROOT, settings
from tests.infra.azure import Azure
from tests.infra.bicep import (
    EXAMPLE,
    INFRA,
    TEMPLATES,
    Made,
    Resource,
    deploy,
    errors,
    given,
    parameters,
    parse,
    undescribed,
)

MAIN = INFRA / "main.bicep"
#: What the platform reads, and the app does not.
OF_THE_PLATFORM = {
    "AzureWebJobsStorage__credential",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
}
IN_VAULT = re.compile(r"@Microsoft\.KeyVault\(VaultName=kv-.+;SecretName=[a-z-]+\)")
ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
}


@pytest.fixture(scope="module")
def made() -> Made:
    """What the example makes."""
    return deploy(MAIN, **given(EXAMPLE))


def app_settings(made: Made) -> dict[str, str]:
    return made.one("Microsoft.Web/sites/config").properties


def scopes(resources: list[Resource]) -> set[str]:
    """What kind of thing each is about."""
    return {one.body["scope"]["type"] for one in resources}


def read(values: dict[str, Any]) -> Settings:
    """As the app would read them, from text; secrets have been fetched from the vault."""
    return Settings(
        **{
            name: "https://fetched.no" if str(value).startswith("@Microsoft.KeyVault(") else value
            for name, value in values.items()
            if name in Settings.model_fields
        }
    )


# --- the files ---


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_each_template_can_be_parsed(file: Any) -> None:
    assert [*errors(parse(file.read_text("utf-8")))] == []


def test_the_parser_sees_a_mistake() -> None:
    mended = MAIN.read_text("utf-8")
    assert [*errors(parse(mended.replace("params: {", "params: ", 1)))]
    assert [*errors(parse(mended.replace("'utsendelse'", "'utsendelse", 1)))]


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_each_parameter_and_output_says_what_it_is(file: Any) -> None:
    assert undescribed(file) == []


def test_the_example_gives_what_must_be_given_and_no_more_than_there_is() -> None:
    declared, values = parameters(MAIN), given(EXAMPLE)
    assert {name for name, default in declared.items() if default is None} <= values.keys()
    assert values.keys() <= declared.keys()
    assert values["settings"].keys() <= Settings.model_fields.keys()


def test_the_example_reaches_nobody() -> None:
    addresses = re.findall(r"[\w.]+@([\w.-]+)|https://([\w.-]+)", EXAMPLE.read_text("utf-8"))
    assert {host.rpartition(".")[2] for pair in addresses for host in pair if host} == {
        "no",
        "example",
    }
    assert {mail for mail, _ in addresses if mail} == {"example.no"}


# --- names ---


def names(made: Made, type_: str) -> list[str]:
    return sorted(one.name for one in made.all(f"Microsoft.Storage/storageAccounts/{type_}"))


async def test_tables_queues_and_containers_are_those_the_app_asks_for(made: Made) -> None:
    azure = Azure()
    services = bootstrap(settings(), storage_transport=azure)
    await services.storage.prepare()
    await services.close()
    asked = [urlsplit(url) for method, url in azure.asked if method == "PUT"]
    queues = [url.path.rpartition("/")[2] for url in asked if url.port == 10001]
    containers = [url.path.rpartition("/")[2] for url in asked if url.port == 10000]
    assert names(made, "tableServices/tables") == sorted(azure.tables)
    assert names(made, "queueServices/queues") == sorted(
        [*queues, *(f"{queue}-poison" for queue in queues)]
    )
    assert names(made, "blobServices/containers") == sorted([*containers, "packages"])


@pytest.mark.parametrize("name", ["fj", "utsendelse-fjordvik2"])
def test_names_fit_where_they_must_be_short(name: str) -> None:
    made = deploy(MAIN, **{**given(EXAMPLE), "name": name})
    account = made.one("Microsoft.Storage/storageAccounts").name
    assert re.fullmatch(r"[a-z0-9]{3,24}", account)
    vault = made.one("Microsoft.KeyVault/vaults").name
    assert re.fullmatch(r"[a-z](?!.*--)[a-z0-9-]{1,22}[a-z0-9]", vault)
    assert len(made.one("Microsoft.Web/sites").name) <= 60
    assert len(made.one("Microsoft.Web/serverfarms").name) <= 60
    [group] = made.all("Microsoft.Insights/actionGroups")
    assert len(group.properties["groupShortName"]) <= 12


def bound_queues(made: Made) -> Iterator[str]:
    """The queues that functions listen to, with the settings in their names filled in."""
    values = app_settings(made)
    for node in ast.walk(ast.parse((ROOT / "function_app.py").read_text("utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "queue_name":
            yield re.sub(r"%(\w+)%", lambda found: values[found[1]], ast.literal_eval(node.value))


def test_each_function_has_its_queue(made: Made) -> None:
    assert {*bound_queues(made)} <= {*names(made, "queueServices/queues")}


def test_the_queues_in_the_settings_are_those_that_are_made(made: Made) -> None:
    queues = [value for name, value in app_settings(made).items() if name.endswith("_QUEUE")]
    both = [*queues, *(f"{queue}-poison" for queue in queues)]
    assert names(made, "queueServices/queues") == sorted(both)


def test_the_package_goes_where_its_container_is(made: Made) -> None:
    storage = config(made)["deployment"]["storage"]
    assert storage["value"].endswith("blob>packages")
    assert storage["authentication"]["type"] == "UserAssignedIdentity"


# --- settings ---


def test_every_setting_is_given_and_nothing_that_nobody_reads(made: Made) -> None:
    known = Settings.model_fields.keys() - {"AzureWebJobsStorage"}  # that is the way with a key
    assert app_settings(made).keys() == known | OF_THE_PLATFORM


def test_each_value_is_text(made: Made) -> None:
    assert {type(value) for value in app_settings(made).values()} == {str}


def test_the_app_would_start_on_them_and_write_to_nobody_else(made: Made) -> None:
    found = read(app_settings(made))
    assert found.ONLY_SEND_TO == "ola.nordmann@example.no"
    assert found.UNDO_SECONDS == 600
    assert found.AzureWebJobsStorage__accountName == (
        made.one("Microsoft.Storage/storageAccounts").name
    )


def test_the_defaults_are_those_of_the_code(made: Made) -> None:
    values = read(app_settings(deploy(MAIN, **{**given(EXAMPLE), "settings": {}})))
    own = {name for name, field in Settings.model_fields.items() if not field.is_required()}
    own -= {"AzureWebJobsStorage", *Settings.model_fields.keys() & fixed(made)}
    bare = read({name: value for name, value in app_settings(made).items() if name not in own})
    assert {name: getattr(values, name) for name in own} == {
        name: getattr(bare, name) for name in own
    }


def fixed(made: Made) -> set[str]:
    """What the templates decide, whatever stands in `settings`."""
    tried = dict.fromkeys(Settings.model_fields, "prøvd")
    tried_made = deploy(MAIN, **{**given(EXAMPLE), "settings": tried})
    return {name for name, value in app_settings(tried_made).items() if value != "prøvd"}


def test_what_belongs_to_the_resources_cannot_be_set_by_hand(made: Made) -> None:
    assert fixed(made) >= {
        "PURESERVICE_KEY",
        "SMTP_PASSWORD",
        "GRAPH_CLIENT_SECRET",
        "ACS_CONNECTION_STRING",
        "EMAIL_TRANSPORTS",
        "BOUNCE_MAILBOX",
        "ALERT_EMAIL",
        "ALERT_WEBHOOK",
        "DIGIPOST_CAMPAIGN_USER",
        "DIGIPOST_KEY",
        "DIGIPOST_KEY_PASSPHRASE",
        "DELIVER_EMAIL_QUEUE",
        "DELIVER_TICKET_QUEUE",
        "AzureWebJobsStorage__accountName",
        "AzureWebJobsStorage__clientId",
        "INSTALLATION",
        "ONLY_SEND_TO",
    }


@pytest.mark.parametrize(
    "name",
    [
        "FUNCTIONS_WORKER_RUNTIME",
        "FUNCTIONS_EXTENSION_VERSION",
        "WEBSITE_RUN_FROM_PACKAGE",
        "WEBSITE_CONTENTSHARE",
        "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING",
        "WEBSITE_TIME_ZONE",
        "SCM_DO_BUILD_DURING_DEPLOYMENT",
        "ENABLE_ORYX_BUILD",
    ],
)
def test_what_flex_consumption_does_not_take_is_not_there(made: Made, name: str) -> None:
    assert name not in app_settings(made)


# --- no keys ---


def secrets() -> set[str]:
    return {name for name, field in Settings.model_fields.items() if field.annotation is SecretStr}


BY_SECRETS = {"graphTenantId": "fjordvik", "graphClientId": "en-app", "acsByKey": True}
LETTERS = {
    "digipostCampaignUser": "masseutsendelse-digipost@utsendelse.local",
    "digipostSenderId": "100123",
    "digipostUser": "prod_100123",
    "digipostHostKey": f"SHA256:{'x' * 43}",
    "digipostKeyLocked": True,
}


def test_secrets_are_looked_up_in_the_vault_and_nothing_else_is() -> None:
    made = deploy(MAIN, **{**given(EXAMPLE), **BY_SECRETS, **LETTERS})
    values = app_settings(made)
    assert {name for name, value in values.items() if IN_VAULT.fullmatch(value)} == secrets() - {
        "AzureWebJobsStorage"
    }
    assert made.one("Microsoft.Web/sites").properties["keyVaultReferenceIdentity"] == (
        "<identity.id>"
    )


def test_without_a_user_there_is_no_password_to_look_up() -> None:
    made = deploy(MAIN, **{**given(EXAMPLE), "smtpUser": ""})
    assert app_settings(made)["SMTP_PASSWORD"] == ""


def test_without_a_webhook_there_is_no_address_to_look_up() -> None:
    made = deploy(MAIN, **{**given(EXAMPLE), "alertWebhook": False})
    assert app_settings(made)["ALERT_WEBHOOK"] == ""


def test_by_its_identity_the_app_needs_no_secret_for_graph_or_acs(made: Made) -> None:
    values = app_settings(made)
    assert values["GRAPH_CLIENT_SECRET"] == values["ACS_CONNECTION_STRING"] == ""


@pytest.mark.parametrize(
    ("parameters", "transports"),
    [
        ({"smtpHost": "", "smtpUser": "", "emailTransports": "graph"}, ["graph"]),
        ({"emailTransports": "graph,smtp", **BY_SECRETS}, ["graph", "smtp"]),
        (
            {
                "emailTransports": "acs,smtp",
                "acsEndpoint": "https://fjordvik.communication.azure.example",
            },
            ["acs", "smtp"],
        ),
        ({"emailTransports": "acs", "acsByKey": True}, ["acs"]),
        (
            {
                "emailTransports": "graph,acs,smtp",
                "acsByKey": True,
                "settings": {"LEASE_SECONDS": "400"},
            },
            ["graph", "acs", "smtp"],
        ),
    ],
)
def test_the_app_would_start_with_every_way_of_sending_mail(
    parameters: dict[str, Any], transports: list[str]
) -> None:
    values = app_settings(deploy(MAIN, **{**given(EXAMPLE), **parameters}))
    assert read(values).transports == transports


def test_the_app_would_start_with_letters() -> None:
    values = read(app_settings(deploy(MAIN, **{**given(EXAMPLE), **LETTERS})))
    assert values.campaign_users["masseutsendelse-digipost@utsendelse.local"] == "digipost"
    assert values.DIGIPOST_SENDER_ID == 100123


def test_without_letters_there_is_no_key_to_look_up(made: Made) -> None:
    values = app_settings(made)
    assert values["DIGIPOST_KEY"] == values["DIGIPOST_KEY_PASSPHRASE"] == ""


def test_whoever_gets_the_alarm_gets_the_alerts(made: Made) -> None:
    assert app_settings(made)["ALERT_EMAIL"] == "drift@example.no"


def test_no_template_asks_for_a_key_or_takes_a_secret() -> None:
    text = "".join(file.read_text("utf-8") for file in [*TEMPLATES, EXAMPLE])
    assert re.findall(r"list\w*\(|AccountKey|SharedAccess|@secure|vaults/secrets", text) == []
    assert "br/public" not in text and "br:" not in text  # nor for a module of somebody else's


def test_storage_takes_no_key_and_shows_nothing_to_the_public(made: Made) -> None:
    properties = made.one("Microsoft.Storage/storageAccounts").properties
    assert properties["allowSharedKeyAccess"] is False
    assert properties["allowBlobPublicAccess"] is False
    assert properties["supportsHttpsTrafficOnly"] is True
    assert properties["minimumTlsVersion"] == "TLS1_2"
    containers = made.all("Microsoft.Storage/storageAccounts/blobServices/containers")
    assert {one.properties["publicAccess"] for one in containers} == {"None"}


def test_logs_are_written_by_identity(made: Made) -> None:
    assert made.one("Microsoft.Insights/components").properties["DisableLocalAuth"] is True
    workspace = made.one("Microsoft.OperationalInsights/workspaces").properties
    assert workspace["features"] == {"disableLocalAuth": True}


def test_the_identity_has_these_roles_and_no_other(made: Made) -> None:
    access = made.all("Microsoft.Authorization/roleAssignments")
    found = [one.properties["roleDefinitionId"].rpartition("/")[2] for one in access]
    assert sorted(found) == sorted(ROLES)
    assert {one.properties["principalId"] for one in access} == {
        "<identity.properties.principalId>"
    }
    # each at the resource itself, none at the resource group
    assert scopes(access) == {
        "Microsoft.Storage/storageAccounts",
        "Microsoft.KeyVault/vaults",
        "Microsoft.Insights/components",
    }


# --- protection ---


def test_the_ledger_cannot_be_deleted_by_mistake(made: Made) -> None:
    lock = made.one("Microsoft.Authorization/locks")
    assert scopes([lock]) == {"Microsoft.Storage/storageAccounts"}
    assert lock.properties["level"] == "CanNotDelete"
    policy = made.one("Microsoft.Storage/storageAccounts/blobServices").properties
    assert policy["deleteRetentionPolicy"]["enabled"] is True
    assert policy["containerDeleteRetentionPolicy"]["enabled"] is True


def test_secrets_cannot_be_lost_by_mistake(made: Made) -> None:
    properties = made.one("Microsoft.KeyVault/vaults").properties
    assert properties["enableRbacAuthorization"] is True
    assert properties["enableSoftDelete"] is True
    assert properties["enablePurgeProtection"] is True


def test_the_app_speaks_https_only(made: Made) -> None:
    properties = made.one("Microsoft.Web/sites").properties
    assert properties["httpsOnly"] is True
    assert properties["siteConfig"] == {"minTlsVersion": "1.2", "ftpsState": "Disabled"}


def test_storage_vault_and_app_write_logs(made: Made) -> None:
    logs = made.all("Microsoft.Insights/diagnosticSettings")
    assert scopes(logs) == {
        "Microsoft.Storage/storageAccounts/blobServices",
        "Microsoft.Storage/storageAccounts/queueServices",
        "Microsoft.Storage/storageAccounts/tableServices",
        "Microsoft.KeyVault/vaults",
        "Microsoft.Web/sites",
    }
    assert {one.properties["workspaceId"] for one in logs} == {"<workspace.id>"}


# --- the platform ---


def config(made: Made) -> dict[str, Any]:
    return made.one("Microsoft.Web/sites").properties["functionAppConfig"]


def test_it_is_python_on_flex_consumption(made: Made) -> None:
    assert made.one("Microsoft.Web/serverfarms").body["sku"] == {
        "tier": "FlexConsumption",
        "name": "FC1",
    }
    assert config(made)["runtime"] == {"name": "python", "version": "3.13"}


@pytest.mark.parametrize("file", ["ci.yml", "deploy.yml"])
def test_the_workflows_use_the_same_python(made: Made, file: str) -> None:
    text = (ROOT / ".github/workflows" / file).read_text("utf-8")
    assert config(made)["runtime"]["version"] in re.findall(r"3\.\d+", text)


def test_the_alarm_listens_to_functions_that_exist(made: Made) -> None:
    rule = made.one("Microsoft.Insights/scheduledQueryRules").properties
    named = re.findall(r'"(\w+)"', rule["criteria"]["allOf"][0]["query"])
    source = (ROOT / "function_app.py").read_text("utf-8")
    assert named
    assert [one for one in named if f"async def {one}(" not in source] == []


def test_without_an_address_there_is_no_alarm() -> None:
    made = deploy(MAIN, **{**given(EXAMPLE), "alertEmail": ""})
    assert made.all("Microsoft.Insights/scheduledQueryRules") == []
    assert made.all("Microsoft.Insights/actionGroups") == []
