"""Every setting, read once from the environment when the app is imported.

A missing or wrong value stops the app there, with all problems listed at once, before anything is
taken off a queue. `docs/settings.md` explains each; `local.settings.example.json` has them all.
"""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.domain.addressee import PostalAddress
from shared.domain.letterhead import Language, Letterhead
from shared.domain.message import Sender
from shared.domain.recipient import (
    RECIPIENT_VALUES,
    AllowList,
    address_key,
    normalise_address,
)
from shared.domain.window import Window, all_open
from shared.errors import SetupError


def _address(value: str) -> str:
    address = normalise_address(value)
    if address is None:
        raise ValueError("is not an e-mail address")
    return address


def _address_or_empty(value: str) -> str:
    return _address(value) if value else ""


def _not_empty_list(value: str) -> str:
    entries = [entry.strip() for entry in value.split(",") if entry.strip()]
    if not entries:
        raise ValueError("names nobody: give addresses, domains, or * for everybody")
    for entry in entries:
        local, _, domain = entry.rpartition("@")
        if entry != "*" and not normalise_address(f"{local or 'noen'}@{domain}"):
            raise ValueError("has an entry that is neither an address, a domain nor *")
    return value


def _addresses(value: str) -> str:
    return ", ".join(_address(entry.strip()) for entry in value.split(",") if entry.strip())


def _transports(value: str) -> str:
    names = [name.strip() for name in value.split(",")]
    if not set(names) <= TRANSPORTS or len(set(names)) < len(names):
        raise ValueError("must name smtp, graph or acs, or more of them in the order to try")
    return ",".join(names)


def _window(value: str) -> str:
    Window.of(value)  # which says what is wrong with it
    return value


def _ways(value: str) -> str:
    names = [name.strip() for name in value.split(",") if name.strip()]
    if not set(names) <= WAYS or len(set(names)) < len(names):
        raise ValueError("must name print, email, ticket or list, or more of them in order")
    if "list" in names[:-1]:
        raise ValueError("can have list only as the last: nothing comes after it")
    return ",".join(names)


def _file_types(value: str) -> str:
    types = [one.strip().lower().removeprefix(".") for one in value.split(",")]
    if "pdf" not in types or not all(re.fullmatch(r"[a-z0-9]{1,10}", one) for one in types):
        raise ValueError("must have pdf, and be like pdf,html")
    return ",".join(types)


def _hours(value: str) -> str:
    hours = [one.strip() for one in value.split(",") if one.strip()]
    if not all(re.fullmatch(r"\d{1,4}", one) for one in hours):
        raise ValueError("must be hours such as 24 or 24,72")
    return ",".join(hours)


def _return_address(value: object) -> object:
    try:
        return (json.loads(value) if value else None) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("is not valid JSON") from None


Address = Annotated[str, AfterValidator(_address)]
OptionalAddress = Annotated[str, AfterValidator(_address_or_empty)]
#: When a channel may send; see `shared/domain/window.py`.
WindowText = Annotated[str, AfterValidator(_window)]
#: Goes into table keys, marks and file names.
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
#: Six fields, seconds first. The host is the judge of the rest.
Schedule = Annotated[str, Field(pattern=r"^\s*(\S+\s+){5}\S+\s*$")]
QueueName = Annotated[str, Field(pattern=r"^[a-z0-9](-?[a-z0-9])+$", min_length=3, max_length=56)]
PositiveInt = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
TRANSPORTS = {"smtp", "graph", "acs"}
#: What may be done for those whom Digipost does not reach.
WAYS = {"print", "email", "ticket", "list"}
#: What a postal address is made of; see DIGIPOST_ADDRESS_FIELDS.
_ADDRESS_PARTS = {"line1", "line2", "postal_code", "city", "country"}
#: One or more, so that a new key can be let in before the old one goes.
_HOST_KEYS = r"^(SHA256:[A-Za-z0-9+/]{43}(\s*,\s*SHA256:[A-Za-z0-9+/]{43})*)?$"
#: Exchange Online takes 30 a minute and four requests at a time of an app and mailbox.
_GRAPH_RATE = 30


_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


#: Each takes 12 to 25 ms to make, and several times that on a small host, which has five minutes.
OWN_LETTERS_IN_A_JOB = 1_000


class SenderSettings(BaseModel):
    """One entry of SENDERS: what differs from the default sender for a zone or team."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    address: Address = Field(alias="from")
    name: str = ""
    reply_to: OptionalAddress = ""
    envelope_from: OptionalAddress = ""
    language: Language = "nb"


class LetterheadSettings(BaseModel):
    """One entry of LETTERHEADS: what stands around the messages of a zone or team."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    header: str = ""
    footer: str = ""
    signature: str = ""
    color: str = "#1d4f91"
    logo: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$|^$")] = ""
    logo_alt: str = ""

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        self.around("nb", self.logo)
        return self

    def around(self, language: Language, logo: str) -> Letterhead:
        """The letterhead in this language, its logo by content id. Raises ValueError."""
        return Letterhead(
            language, self.header, self.footer, self.signature, self.color, logo, self.logo_alt
        )


class ReturnAddress(BaseModel):
    """DIGIPOST_RETURN_ADDRESS: who gets printed letters back that could not be brought."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=130)]
    lines: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=4)] = []
    postal_code: str = ""
    city: Annotated[str, Field(max_length=80)] = ""
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "NO"

    @model_validator(mode="after")
    def _can_be_printed(self) -> Self:
        if self.country == "NO":
            if not re.fullmatch(r"\d{4}", self.postal_code) or not self.city:
                raise ValueError("needs a postal_code of four digits and a city")
            if len(self.lines) > 2:
                raise ValueError("has more than two lines")
        elif not self.lines or self.postal_code or self.city:
            raise ValueError("abroad has lines alone, the postal code and city among them")
        return self

    @property
    def address(self) -> PostalAddress:
        return PostalAddress(tuple(self.lines), self.postal_code, self.city, self.country)


class CompanyFilter(BaseModel):
    """An entry of LIST_RULES that says more than a category: a filter in Pureservice's words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filter: Annotated[str, Field(min_length=1, pattern=r"^[^\r\n]+$")]


#: The codes of the Norwegian register of companies, and what the category is usually called.
_ORGANISATION_FORMS: dict[str, str | CompanyFilter] = {
    "KOMM": "Kommune",
    "FYLK": "Fylkeskommune",
    "STAT": "Statlig virksomhet",
}


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=True, hide_input_in_errors=True
    )

    # Who we are, and whom we may write to
    INSTALLATION: Slug
    ONLY_SEND_TO: Annotated[str, AfterValidator(_not_empty_list)]

    # Azure: the storage account, by its name and the app's identity or by a connection string
    AzureWebJobsStorage__accountName: Annotated[str, Field(pattern=r"^([a-z0-9]{3,24})?$")] = ""
    AzureWebJobsStorage__clientId: str = ""
    AzureWebJobsStorage: SecretStr = SecretStr("")
    # (the host reads these ten by itself, from the bindings, and knows no default of ours)
    DISCOVER_SCHEDULE: Schedule
    ACCOUNT_SCHEDULE: Schedule
    LISTS_SCHEDULE: Schedule
    FORGET_SCHEDULE: Schedule
    BOUNCES_SCHEDULE: Schedule
    LETTERS_SCHEDULE: Schedule
    RECEIPTS_SCHEDULE: Schedule
    REGISTER_SCHEDULE: Schedule
    DELIVER_EMAIL_QUEUE: QueueName
    DELIVER_TICKET_QUEUE: QueueName

    # Pureservice
    PURESERVICE_URL: HttpUrl
    PURESERVICE_PREFIX: str = "/agent/api"
    PURESERVICE_KEY: SecretStr = Field(min_length=1)
    PURESERVICE_AUTH: Literal["key", "bearer"] = "key"
    PURESERVICE_TIMEOUT_SECONDS: PositiveInt = 30
    PURESERVICE_API_USER_ID: NotNegative = 0
    PURESERVICE_RATE: Annotated[int, Field(ge=0, le=10_000)] = 60

    # What starts a campaign
    EMAIL_CAMPAIGN_USER: Address = "masseutsendelse-ikke-svar@utsendelse.local"
    TICKET_CAMPAIGN_USER: OptionalAddress = "masseutsendelse-med-svar@utsendelse.local"
    MESSAGE_TRIGGER: Literal["communication", "failed_email"] = "communication"
    MESSAGE_TYPE_NAME: str = "Til utsending"
    MESSAGE_TYPE_FIELD: Literal["customtype.name", "typeName"] = "customtype.name"
    STATUS_READY: str = "Utsending – klar"
    STATUS_RUNNING: str = "Utsending – pågår"
    STATUS_ATTENTION: str = "Utsending – må sjekkes"
    STATUS_SOLVED: str = Field("Løst", min_length=1)
    STATUS_PAUSE: str = "Utsending – pause"
    STATUS_CANCEL: str = "Utsending – avbryt"
    STATUS_REVIEW: str = "Utsending – til kontroll"
    QUIET_PERIOD_MINUTES: NotNegative = 10
    UNDO_SECONDS: NotNegative = 180
    START_WITHIN_DAYS: PositiveInt = 60
    CAMPAIGN_MARK_FIELD: str = Field("customerReference", pattern=r"^(customerReference|cf_[1-9])$")
    TICKET_TAG: str = Field("[Sak ID# {{RequestNumber}}]", pattern=r"\{\{RequestNumber\}\}")

    # Recipient lists
    LIST_ASSET_TYPE: str = Field("Mottakerliste", min_length=1)
    LIST_TICKET_RELATION: str = Field("Gir mottakere til", min_length=1)
    LIST_USER_RELATION: str = "Inneholder bruker"
    LIST_COMPANY_RELATION: str = "Inneholder firma"

    # Lists kept in step with the companies
    LISTS: Literal["off", "preview", "update"] = "off"
    COMPANY_CATEGORY_FIELD: Annotated[str, Field(pattern=r"^(cf_[1-9])?$")] = ""
    LIST_RULES: Annotated[dict[str, str | CompanyFilter], NoDecode] = Field(
        default_factory=lambda: dict(_ORGANISATION_FORMS)
    )
    LISTS_REMOVE_AT_MOST: Annotated[int, Field(ge=0, le=100)] = 20

    # E-mail: what it is sent by, in this order
    EMAIL_TRANSPORTS: Annotated[str, AfterValidator(_transports)] = "smtp"
    SMTP_HOST: str = ""
    SMTP_PORT: Annotated[int, Field(gt=0, lt=65536)] = 587
    SMTP_TLS: Literal["starttls", "tls", "none"] = "starttls"
    SMTP_USER: str = ""
    SMTP_PASSWORD: SecretStr = SecretStr("")
    SMTP_TIMEOUT_SECONDS: PositiveInt = 60
    SMTP_MESSAGES_PER_CONNECTION: PositiveInt = 100
    GRAPH_URL: HttpUrl = HttpUrl("https://graph.microsoft.com/v1.0")
    GRAPH_TENANT_ID: str = ""
    GRAPH_CLIENT_ID: str = ""
    GRAPH_CLIENT_SECRET: SecretStr = SecretStr("")
    GRAPH_TIMEOUT_SECONDS: PositiveInt = 30
    ACS_ENDPOINT: str = ""
    ACS_CONNECTION_STRING: SecretStr = SecretStr("")
    ACS_TIMEOUT_SECONDS: PositiveInt = 30
    ACS_CHECK_SECONDS: PositiveInt = 60
    ACS_WAIT_MINUTES: PositiveInt = 60

    # What mail looks like, and how fast it goes
    MAIL_FROM: Address
    MAIL_FROM_NAME: str = ""
    MAIL_LANGUAGE: Language = "nb"
    MAIL_REPLY_TO: OptionalAddress = ""
    MAIL_ENVELOPE_FROM: OptionalAddress = ""
    SENDERS: Annotated[dict[str, SenderSettings], NoDecode] = Field(default_factory=dict)
    LETTERHEADS: Annotated[dict[str, LetterheadSettings], NoDecode] = Field(default_factory=dict)
    RECIPIENT_FIELDS: Annotated[dict[str, str], NoDecode] = Field(default_factory=dict)
    MAIL_MAX_MEGABYTES: PositiveInt = 20
    TEST_RECIPIENTS: Annotated[str, AfterValidator(_addresses)] = ""
    EMAIL_RATE: Annotated[int, Field(ge=0, le=10_000)] = 30
    EMAIL_DAILY_QUOTA: NotNegative = 10_000
    EMAIL_WINDOW: WindowText = ""
    EMAIL_WHEN_UNCERTAIN: Literal["hold", "resend"] = "hold"
    BOUNCE_MAILBOX: OptionalAddress = ""
    SUPPRESS_BOUNCED_DAYS: NotNegative = 90

    # One ticket per recipient
    TICKET_STATUS: str = Field("Venter - sluttbruker", min_length=1)
    TICKET_VISIBILITY: Literal["silent", "hidden"] = "silent"
    TICKET_KEEP_AGENT: bool = False
    TICKET_RELATION: str = ""
    TICKET_FILES: Literal["copy", "upload"] = "copy"
    TICKET_MESSAGE_VIA: Literal["pureservice", "email"] = "pureservice"
    TICKET_REPLY_TO: OptionalAddress = ""
    TICKET_CHECK_SECONDS: PositiveInt = 120
    TICKET_WAIT_MINUTES: PositiveInt = 60
    TICKET_DAILY_QUOTA: NotNegative = 0
    TICKET_WINDOW: WindowText = ""

    # The ledger
    LEASE_SECONDS: PositiveInt = 300
    GRACE_SECONDS: PositiveInt = 60
    RELEASE_AGAIN_SECONDS: PositiveInt = 600
    MAX_ATTEMPTS: PositiveInt = 8

    # Letters by Digipost
    DIGIPOST_CAMPAIGN_USER: OptionalAddress = ""
    DIGIPOST_SENDER_ID: NotNegative = 0
    DIGIPOST_BROKER_ID: NotNegative = 0
    DIGIPOST_HOST: str = "sftp.digipost.no"
    DIGIPOST_PORT: Annotated[int, Field(gt=0, lt=65536)] = 22
    DIGIPOST_USER: str = ""
    DIGIPOST_KEY: SecretStr = SecretStr("")
    DIGIPOST_KEY_PASSPHRASE: SecretStr = SecretStr("")
    DIGIPOST_HOST_KEY: Annotated[str, Field(pattern=_HOST_KEYS)] = ""
    DIGIPOST_TIMEOUT_SECONDS: PositiveInt = 120
    DIGIPOST_UPLOAD: Literal["direct", "rename"] = "direct"
    DIGIPOST_REUPLOAD: Literal["ask", "auto"] = "ask"
    DIGIPOST_KEEP_RECEIPTS: bool = False
    DIGIPOST_APPROVE: Literal["portal", "auto"] = "portal"
    DIGIPOST_SPLIT: bool = True
    DIGIPOST_REGISTER: Literal["off", "on"] = "off"
    DIGIPOST_REGISTER_MAX_AGE_DAYS: PositiveInt = 8
    DIGIPOST_NOT_REACHED: Annotated[str, AfterValidator(_ways)] = "list"
    DIGIPOST_LETTERS_PER_JOB: Annotated[int, Field(gt=0, le=65_000)] = 10_000
    DIGIPOST_MAX_MEGABYTES: PositiveInt = 10
    DIGIPOST_FILE_TYPES: Annotated[str, AfterValidator(_file_types)] = "pdf"
    DIGIPOST_MAIN_DOCUMENT: str = Field("brev", min_length=1)
    DIGIPOST_AUTHENTICATION: Literal["password", "two_factor"] = "password"
    DIGIPOST_SENSITIVITY: Literal["normal", "sensitive"] = "normal"
    DIGIPOST_SMS_AFTER_HOURS: Annotated[str, AfterValidator(_hours)] = ""
    DIGIPOST_RETURN_ADDRESS: Annotated[ReturnAddress | None, BeforeValidator(_return_address)] = (
        None
    )
    DIGIPOST_PRINT_PAGES: PositiveInt = 20
    DIGIPOST_NATIONAL_ID_FIELD: Annotated[str, Field(pattern=r"^(user\.cf_[1-9])?$")] = ""
    DIGIPOST_BIRTH_DATE_FIELD: Annotated[str, Field(pattern=r"^(user\.cf_[1-9])?$")] = ""
    DIGIPOST_ADDRESS_FIELDS: Annotated[dict[str, str], NoDecode] = Field(default_factory=dict)
    DIGIPOST_ANSWER_MINUTES: PositiveInt = 30
    DIGIPOST_RESULT_HOURS: PositiveInt = 24
    DIGIPOST_WINDOW: WindowText = ""
    DIGIPOST_LEASE_SECONDS: PositiveInt = 600

    # What is watched over, and who is told
    PAUSE_AFTER_FAILURES: NotNegative = 20
    PAUSE_AT_FAILED_PERCENT: Annotated[int, Field(ge=0, le=100)] = 25
    BLOCK_AFTER_HOURS: PositiveInt = 24
    ALERT_EMAIL: OptionalAddress = ""
    ALERT_WEBHOOK: SecretStr = SecretStr("")

    # What is kept
    RETENTION_DAYS: PositiveInt = 90

    @field_validator("AzureWebJobsStorage")
    @classmethod
    def _one_way_to_the_storage(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        account = info.data.get("AzureWebJobsStorage__accountName")  # None: that is wrong itself
        if not value.get_secret_value():
            if account == "":
                raise ValueError("must be set where AzureWebJobsStorage__accountName is not")
            return value
        if account:
            raise ValueError("must be empty where AzureWebJobsStorage__accountName is set")
        names = {part.partition("=")[0] for part in value.get_secret_value().split(";")}
        if not names & {"AccountName", "UseDevelopmentStorage", "SharedAccessSignature"}:
            raise ValueError("is not a connection string of a storage account")
        return value

    @field_validator("PURESERVICE_URL")
    @classmethod
    def _key_is_encrypted(cls, value: HttpUrl) -> HttpUrl:
        if value.scheme != "https" and value.host not in _LOOPBACK:
            raise ValueError("must be https: the key is never sent without encryption")
        return value

    @field_validator(
        "PURESERVICE_KEY",
        "SMTP_PASSWORD",
        "GRAPH_CLIENT_SECRET",
        "ACS_CONNECTION_STRING",
        "DIGIPOST_KEY",
        "DIGIPOST_KEY_PASSPHRASE",
        "ALERT_WEBHOOK",
    )
    @classmethod
    def _was_fetched(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value().startswith("@Microsoft.KeyVault("):
            raise ValueError(
                "is a reference that Azure could not follow: is the secret in the vault?"
            )
        return value

    @field_validator("TICKET_CAMPAIGN_USER")
    @classmethod
    def _users_differ(cls, value: str, info: ValidationInfo) -> str:
        if value and address_key(value) == address_key(info.data.get("EMAIL_CAMPAIGN_USER", "")):
            raise ValueError("must be another address than EMAIL_CAMPAIGN_USER")
        return value

    @field_validator("STATUS_REVIEW")
    @classmethod
    def _statuses_differ(cls, value: str, info: ValidationInfo) -> str:
        others = ("READY", "RUNNING", "ATTENTION", "SOLVED", "PAUSE", "CANCEL")
        given = [info.data.get(f"STATUS_{other}") for other in others] + [value]
        told_apart = [one.casefold() for one in given if one]
        if len(set(told_apart)) < len(told_apart):
            raise ValueError(f"must differ from STATUS_{', _'.join(others)}, and they from another")
        return value

    @field_validator("ALERT_WEBHOOK")
    @classmethod
    def _is_encrypted(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            try:
                url = HttpUrl(value.get_secret_value())
            except ValidationError:
                raise ValueError("is not a web address") from None
            if url.scheme != "https" and url.host not in _LOOPBACK:
                raise ValueError("must be https")
        return value

    @field_validator("LIST_COMPANY_RELATION")
    @classmethod
    def _some_relation(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.data.get("LIST_USER_RELATION") == "":
            raise ValueError("must be set when LIST_USER_RELATION is not")
        return value

    @field_validator("SMTP_USER")
    @classmethod
    def _no_password_in_clear(cls, value: str, info: ValidationInfo) -> str:
        outside = info.data.get("SMTP_HOST") not in _LOOPBACK
        if value and outside and info.data.get("SMTP_TLS") == "none":
            raise ValueError("a password is never sent without encryption; see SMTP_TLS")
        return value

    @field_validator(
        "SENDERS",
        "LETTERHEADS",
        "RECIPIENT_FIELDS",
        "LIST_RULES",
        "DIGIPOST_ADDRESS_FIELDS",
        mode="before",
    )
    @classmethod
    def _is_json(cls, value: object) -> object:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError:
            raise ValueError("is not valid JSON") from None

    @field_validator("SENDERS", "LETTERHEADS")
    @classmethod
    def _for_zones_and_teams(cls, value: dict[str, object], info: ValidationInfo) -> object:
        for key in value:
            default = key == "default" and info.field_name == "LETTERHEADS"
            if not (default or key.startswith(("zone:", "team:"))):
                raise ValueError(f"{key!r} must begin with zone: or team:")
        return value

    @field_validator("RECIPIENT_FIELDS")
    @classmethod
    def _of_users_and_companies(cls, value: dict[str, str]) -> dict[str, str]:
        if len(value) > 18:  # all of them, at their longest, must fit a column of the ledger
            raise ValueError("has more than 18 fields")
        for name, field in value.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or name in RECIPIENT_VALUES:
                raise ValueError(f"{name!r} must be a name of its own: a-z, 0-9 and _")
            if not re.fullmatch(r"(user|company)\.cf_[1-9]", field):
                raise ValueError(f"{name!r} must be like user.cf_1 or company.cf_1")
        return value

    @field_validator("DIGIPOST_CAMPAIGN_USER")
    @classmethod
    def _is_nobody_elses(cls, value: str, info: ValidationInfo) -> str:
        others = {
            info.data.get("EMAIL_CAMPAIGN_USER", ""),
            info.data.get("TICKET_CAMPAIGN_USER", ""),
        }
        if value and address_key(value) in {address_key(other) for other in others}:
            raise ValueError("must differ from EMAIL_CAMPAIGN_USER and TICKET_CAMPAIGN_USER")
        return value

    @field_validator("DIGIPOST_SENDER_ID", "DIGIPOST_USER", "DIGIPOST_KEY", "DIGIPOST_HOST_KEY")
    @classmethod
    def _given_where_letters_are_sent(cls, value: Any, info: ValidationInfo) -> Any:
        given = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not given and info.data.get("DIGIPOST_CAMPAIGN_USER"):
            raise ValueError("must be set where DIGIPOST_CAMPAIGN_USER is")
        return value

    @field_validator("DIGIPOST_LEASE_SECONDS")
    @classmethod
    def _outlives_an_upload(cls, value: int, info: ValidationInfo) -> int:
        if value < 2 * info.data.get("DIGIPOST_TIMEOUT_SECONDS", 0):
            raise ValueError("must be at least twice DIGIPOST_TIMEOUT_SECONDS")
        return value

    @field_validator("DIGIPOST_NATIONAL_ID_FIELD")
    @classmethod
    def _stays_out_of_messages(cls, value: str, info: ValidationInfo) -> str:
        if value and value in info.data.get("RECIPIENT_FIELDS", {}).values():
            raise ValueError("must not be among RECIPIENT_FIELDS: the number is never kept")
        return value

    @field_validator("DIGIPOST_RETURN_ADDRESS")
    @classmethod
    def _print_comes_back(
        cls, value: ReturnAddress | None, info: ValidationInfo
    ) -> ReturnAddress | None:
        if value is None and "print" in info.data.get("DIGIPOST_NOT_REACHED", ""):
            raise ValueError("must be set where DIGIPOST_NOT_REACHED has print")
        return value

    @field_validator("DIGIPOST_ADDRESS_FIELDS")
    @classmethod
    def _parts_of_an_address(cls, value: dict[str, str]) -> dict[str, str]:
        for part, field in value.items():
            if part not in _ADDRESS_PARTS or not re.fullmatch(r"(user|company)\.cf_[1-9]", field):
                raise ValueError(
                    f"{part!r} must be one of {', '.join(sorted(_ADDRESS_PARTS))},"
                    " with a field like user.cf_1 or company.cf_1"
                )
        return value

    @field_validator("SMTP_HOST")
    @classmethod
    def _some_server(cls, value: str, info: ValidationInfo) -> str:
        if not value and "smtp" in info.data.get("EMAIL_TRANSPORTS", ""):
            raise ValueError("must be set where EMAIL_TRANSPORTS has smtp")
        return value

    @field_validator("GRAPH_URL")
    @classmethod
    def _token_is_encrypted(cls, value: HttpUrl) -> HttpUrl:
        if value.scheme != "https" and value.host not in _LOOPBACK:
            raise ValueError("must be https: the token is never sent without encryption")
        return value

    @field_validator("GRAPH_CLIENT_SECRET")
    @classmethod
    def _whole_or_none(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        given = [info.data.get("GRAPH_TENANT_ID"), info.data.get("GRAPH_CLIENT_ID")]
        if len({bool(one) for one in (*given, value.get_secret_value())}) > 1:
            raise ValueError("and GRAPH_TENANT_ID and GRAPH_CLIENT_ID are all given, or none is")
        return value

    @field_validator("ACS_CONNECTION_STRING")
    @classmethod
    def _one_way_to_acs(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        endpoint = info.data.get("ACS_ENDPOINT", "")
        if "acs" in info.data.get("EMAIL_TRANSPORTS", ""):
            if bool(endpoint) == bool(value.get_secret_value()):
                raise ValueError("or ACS_ENDPOINT must be set where EMAIL_TRANSPORTS has acs")
            if endpoint and not endpoint.startswith("https://"):
                raise ValueError("is not given, so ACS_ENDPOINT must be an https address")
        return value

    @field_validator("EMAIL_RATE")
    @classmethod
    def _as_exchange_takes(cls, value: int, info: ValidationInfo) -> int:
        if "graph" in info.data.get("EMAIL_TRANSPORTS", "") and not 0 < value <= _GRAPH_RATE:
            raise ValueError(f"must be 1 to {_GRAPH_RATE} where EMAIL_TRANSPORTS has graph")
        return value

    @field_validator("LIST_RULES")
    @classmethod
    def _category_is_somewhere(
        cls, value: dict[str, str | CompanyFilter], info: ValidationInfo
    ) -> dict[str, str | CompanyFilter]:
        if "" in value.values():
            raise ValueError("has a rule that says nothing")
        by_category = any(isinstance(rule, str) for rule in value.values())
        on = info.data.get("LISTS", "off") != "off"
        if on and by_category and not info.data.get("COMPANY_CATEGORY_FIELD"):
            raise ValueError("has categories, so COMPANY_CATEGORY_FIELD must be set")
        return value

    @field_validator("TICKET_REPLY_TO")
    @classmethod
    def _answers_find_their_ticket(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.data.get("TICKET_MESSAGE_VIA") == "email":
            raise ValueError("must be the mailbox that Pureservice reads: see TICKET_MESSAGE_VIA")
        return value

    @field_validator("TICKET_MESSAGE_VIA")
    @classmethod
    def _is_asked_about(cls, value: str, info: ValidationInfo) -> str:
        if value == "email" and info.data.get("EMAIL_TRANSPORTS", "smtp") != "smtp":
            # what another has begun, or answers later, has no place in the ticket's own note
            raise ValueError("can be email only where EMAIL_TRANSPORTS is smtp alone")
        return value

    @field_validator("TICKET_WINDOW")
    @classmethod
    def _some_time_for_both(cls, value: str, info: ValidationInfo) -> str:
        mail = info.data.get("EMAIL_WINDOW", "")
        if info.data.get("TICKET_MESSAGE_VIA") == "email" and not all_open(
            [Window.of(value), Window.of(mail)], datetime(2026, 1, 1, tzinfo=UTC)
        ):
            raise ValueError("is never open at the same time as EMAIL_WINDOW")
        return value

    @field_validator("LEASE_SECONDS")
    @classmethod
    def _outlives_a_send(cls, value: int, info: ValidationInfo) -> int:
        transports = info.data.get("EMAIL_TRANSPORTS", "").split(",")
        limits = [f"{transport.upper()}_TIMEOUT_SECONDS" for transport in transports]
        mail = sum(info.data.get(limit, 0) for limit in limits)
        ticket = info.data.get("PURESERVICE_TIMEOUT_SECONDS", 0)
        if value < 2 * mail + 3 * ticket:
            raise ValueError(
                f"must be at least twice {' and '.join(limits)}, and three times"
                " PURESERVICE_TIMEOUT_SECONDS, together"
            )
        return value

    @property
    def allowed(self) -> AllowList:
        return AllowList.of(self.ONLY_SEND_TO)

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.LEASE_SECONDS)

    @property
    def grace(self) -> timedelta:
        return timedelta(seconds=self.GRACE_SECONDS)

    @property
    def first_check(self) -> timedelta:
        return timedelta(seconds=self.TICKET_CHECK_SECONDS)

    @property
    def longest_wait(self) -> timedelta:
        return timedelta(minutes=self.TICKET_WAIT_MINUTES)

    def resend_uncertain(self, channel: str) -> bool:
        """Whether what nobody can find out on this channel is rather sent twice than never."""
        return channel == "email" and self.EMAIL_WHEN_UNCERTAIN == "resend"

    @property
    def block_after(self) -> timedelta:
        return timedelta(hours=self.BLOCK_AFTER_HOURS)

    @property
    def campaign_users(self) -> dict[str, str]:
        """The channel that each made-up user stands for, by the user's address in lower case."""
        users = {
            self.EMAIL_CAMPAIGN_USER: "email",
            self.TICKET_CAMPAIGN_USER: "ticket",
            self.DIGIPOST_CAMPAIGN_USER: "digipost",
        }
        return {address_key(user): channel for user, channel in users.items() if user}

    def ticket_link(self, number: int) -> str:
        """Where a case worker opens the ticket."""
        return f"{str(self.PURESERVICE_URL).rstrip('/')}/agent/#/ticket/{number}/"

    @property
    def default_sender(self) -> Sender:
        return Sender(
            self.MAIL_FROM, self.MAIL_FROM_NAME, self.MAIL_REPLY_TO, self.MAIL_ENVELOPE_FROM
        )

    @property
    def transports(self) -> list[str]:
        """What e-mail is sent by, in the order to try."""
        return self.EMAIL_TRANSPORTS.split(",")

    @property
    def ways_on(self) -> list[str]:
        """What is done for those whom Digipost does not reach, in the order to try."""
        return self.DIGIPOST_NOT_REACHED.split(",") if self.DIGIPOST_NOT_REACHED else []

    @property
    def sends_letters(self) -> bool:
        return bool(self.DIGIPOST_CAMPAIGN_USER)

    @property
    def asks_digipost(self) -> bool:
        """Whether it is known who is in Digipost before letters are sent."""
        return self.DIGIPOST_SPLIT or self.DIGIPOST_REGISTER == "on"

    def letters_in_a_job(self, own: bool) -> int:
        """At the most. Fewer where each is the recipient's own, and made when the job is built."""
        most = self.DIGIPOST_LETTERS_PER_JOB
        return min(most, OWN_LETTERS_IN_A_JOB) if own else most

    @property
    def makes_tickets(self) -> bool:
        """Whether anybody may get a ticket of their own."""
        by_letter = self.sends_letters and "ticket" in self.ways_on
        return bool(self.TICKET_CAMPAIGN_USER) or by_letter

    @property
    def letter_lease(self) -> timedelta:
        """For how long one host alone moves letter jobs, and so counts as alive."""
        return timedelta(seconds=self.DIGIPOST_LEASE_SECONDS)

    @property
    def sms_after_hours(self) -> tuple[int, ...]:
        return tuple(int(hours) for hours in self.DIGIPOST_SMS_AFTER_HOURS.split(",") if hours)

    @property
    def test_recipients(self) -> list[str]:
        return [address.strip() for address in self.TEST_RECIPIENTS.split(",") if address]


def read_settings() -> Settings:
    """The settings in the environment. Raises SetupError that lists every problem, no values."""
    try:
        return Settings()  # every value comes from the environment
    except ValidationError as error:
        raise SetupError(_every_problem(error)) from None


def _every_problem(error: ValidationError) -> str:
    lines = [
        f"  {'.'.join(str(part) for part in problem['loc'])}: "
        + ("is not set" if problem["type"] == "missing" else _said(problem["msg"]))
        for problem in error.errors(include_input=False, include_url=False)
    ]
    return "These settings must be put right (docs/settings.md):\n" + "\n".join(lines)


def _said(message: str) -> str:
    return message.removeprefix("Value error, ")
