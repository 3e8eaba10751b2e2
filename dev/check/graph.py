"""Does Microsoft Graph let us in, and to the mailboxes that we need?"""

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError

from dev.check.findings import Finding, Findings, missing, ok, unknown
from shared.adapters.graph_wire import Graph, Progress, Refusal, Step, with_query
from shared.settings import Settings

_SECONDS = 30.0
_REGISTRATION = "GRAPH_TENANT_ID, GRAPH_CLIENT_ID, GRAPH_CLIENT_SECRET"
#: What Entra ID's most likely refusals mean. (https://login.microsoftonline.com/error knows all)
_REFUSED = {
    "AADSTS90002": ("GRAPH_TENANT_ID", "leietakeren finnes ikke"),
    "AADSTS900021": ("GRAPH_TENANT_ID", "leietakeren finnes ikke"),
    "AADSTS700016": ("GRAPH_CLIENT_ID", "det er ingen slik app hos leietakeren"),
    "AADSTS7000215": ("GRAPH_CLIENT_SECRET", "hemmeligheten er feil"),
    "AADSTS7000222": ("GRAPH_CLIENT_SECRET", "hemmeligheten har gått ut"),
}


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """Another way to Graph than the network, and somebody who lets us in."""

    transport: httpx.AsyncBaseTransport
    credential: AsyncTokenCredential


def nobody_here(settings: Settings) -> bool:
    """Whether only the app's identity in Azure may ask, and this is not where it is."""
    by_secret = settings.GRAPH_CLIENT_SECRET.get_secret_value()
    return not by_secret and "IDENTITY_ENDPOINT" not in os.environ


async def graph(
    settings: Settings, folders: Mapping[tuple[str, str], str], edge: GraphEdge | None
) -> Findings:
    """Whether there is a token, then each of these folders of a mailbox, with who names it.

    A look into a folder is all that can be asked without making a draft: whether we may also write
    and send shows with the first mail.
    """
    if edge is None and nobody_here(settings):
        mailboxes = ", ".join(dict.fromkeys(mailbox for mailbox, _ in folders))
        yield unknown(
            f"Graph slipper bare inn appen selv, med identiteten den har i Azure ({mailboxes})."
            " Det kan ikke prøves herfra.",
            "Prøv det med Test-ServicePrincipalAuthorization, se docs/deploy.md, og med en"
            " prøvesending.",
        )
        return
    wire = Graph(settings, edge.transport if edge else None, edge.credential if edge else None)
    try:
        for (mailbox, folder), setting in folders.items():
            finding, go_on = await _look(wire, settings, mailbox, folder, setting)
            yield finding
            if not go_on:
                yield unknown("Om vi slipper inn i de andre postkassene.")
                return
    finally:
        await wire.close()


async def _look(
    wire: Graph, settings: Settings, mailbox: str, folder: str, setting: str
) -> tuple[Finding, bool]:
    """What a look into the folder says, and whether there is any use in looking further."""
    url = wire.mailbox(mailbox, "mailFolders", folder, "messages")
    query = {"$top": "1", "$select": "id"}
    progress = Progress()
    try:
        async with asyncio.timeout(_SECONDS):
            await wire.ask(progress, Step.FIND, "GET", with_query(url, query), 200)
    except Refusal as refusal:
        return _refused(refusal, mailbox, setting), refusal.status not in (401, 429)
    except ClientAuthenticationError as error:
        return _no_token(settings, str(error)), False
    except (AzureError, httpx.HTTPError, httpx.InvalidURL, OSError):
        return _unreached(settings, progress), False
    if folder == "inbox":
        return ok(f"{setting}: Graph slipper oss inn i innboksen til {mailbox}."), True
    told = ok(
        f"{setting}: Graph slipper oss inn i postkassen {mailbox}.",
        "Om vi også får lage utkast og sende derfra, viser først en prøvesending.",
    )
    return told, True


def _refused(refusal: Refusal, mailbox: str, setting: str) -> Finding:
    said = f"({refusal})"
    if refusal.status == 401:
        return missing(
            f"{_REGISTRATION}: Graph godtar ikke adgangstegnet vårt {said}.",
            "Er appen registrert hos den samme leietakeren som postkassene? Stemmer GRAPH_URL?",
        )
    if refusal.status == 403:
        return missing(
            f"{setting}: Graph slipper oss ikke inn i postkassen {mailbox} {said}.",
            "Gi appen rollene Application Mail.ReadWrite og Application Mail.Send for postkassen:"
            " docs/deploy.md viser hvordan. Det kan gå to timer før de virker.",
        )
    if refusal.status == 404:
        return missing(
            f"{setting}: det finnes ingen postkasse {mailbox} {said}.",
            "Lag en postkasse i Exchange Online (en delt postkasse holder), eller bruk en annen"
            " adresse. En distribusjonsliste eller et alias er ingen postkasse.",
        )
    return missing(
        f"{setting}: Graph gir ikke noe brukbart svar om postkassen {mailbox} {said}.",
        "Prøv igjen om noen minutter. Stemmer GRAPH_URL?",
    )


def _no_token(settings: Settings, text: str) -> Finding:
    """By the code alone: the words may repeat what was given."""
    code = (re.findall(r"AADSTS\d+", text) or [""])[0]
    setting, what = _REFUSED.get(code, (_REGISTRATION, "vi får ikke noe adgangstegn"))
    if not settings.GRAPH_CLIENT_SECRET.get_secret_value():
        setting, what = "AzureWebJobsStorage__clientId", "appens identitet får ikke noe adgangstegn"
    return missing(
        f"{setting}: {what}{f' ({code})' if code else ''}.",
        "Se etter appregistreringen i Entra ID: leietaker-id, klient-id og en hemmelighet som"
        " ikke har gått ut. docs/transports.md viser hvordan.",
    )


def _unreached(settings: Settings, progress: Progress) -> Finding:
    if progress.step is Step.TOKEN:
        return missing(
            "GRAPH_TENANT_ID: får ikke kontakt med den som gir adgangstegn.",
            "Åpner brannmuren for login.microsoftonline.com herfra?",
        )
    return missing(
        f"GRAPH_URL: får ikke kontakt med {settings.GRAPH_URL.host}.",
        "Er adressen riktig, og åpner brannmuren for den herfra?",
    )
