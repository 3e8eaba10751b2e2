"""`python -m dev check`."""

import argparse
import asyncio
import io
import os
import ssl
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

import httpx

import dev.check
from dev.check.digipost import digipost
from dev.check.findings import Finding, Mark, missing, ok, summary, unknown, warning
from dev.check.graph import GraphEdge
from dev.check.mail import mail
from dev.check.pureservice import pureservice
from dev.check.storage import storage
from dev.host.app import AppError, read_json
from dev.host.app import read_settings as read_file
from dev.setup import ROOT
from shared.errors import SetupError
from shared.ports import Clock
from shared.settings import Settings, read_settings

Say = Callable[[str], None]

#: A minute, of the hundred that Pureservice allows; it must also be read and steered.
_MOST_CALLS = 90
EXAMPLE = "local.settings.example.json"


def main(argv: list[str]) -> int:
    """Print the findings; 0 when nothing is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m dev check",
        description=dev.check.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--settings", type=Path, metavar="FILE", help="default local.settings.json")
    options = parser.parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for names that the console cannot show

    def say(text: str) -> None:
        print(text, flush=True)

    say("Er oppsettet komplett? Ingenting blir endret, og ingen får e-post av denne sjekken.")
    try:
        say(load(options.settings, ROOT / "local.settings.json"))
        settings = read_settings()
    except AppError as error:
        say(str(error))
        return 1
    except SetupError as error:
        say("\nInnstillinger")
        for finding in unreadable(error):
            say(str(finding))
        return 1
    return 0 if asyncio.run(check(settings, say=say)) else 1


async def check(
    settings: Settings,
    *,
    say: Say,
    transport: httpx.AsyncBaseTransport | None = None,
    tls: ssl.SSLContext | None = None,
    graph: GraphEdge | None = None,
    clock: Clock = lambda: datetime.now(UTC),
) -> bool:
    """Say each finding as soon as it is known; True when nothing is missing. Tells no secrets."""
    marks: Counter[Mark] = Counter()
    secrets = (
        settings.PURESERVICE_KEY,
        settings.SMTP_PASSWORD,
        settings.GRAPH_CLIENT_SECRET,
        settings.ACS_CONNECTION_STRING,
        settings.DIGIPOST_KEY,
        settings.DIGIPOST_KEY_PASSPHRASE,
        settings.ALERT_WEBHOOK,
        settings.AzureWebJobsStorage,
    )

    def tell(finding: Finding) -> None:
        marks[finding.mark] += 1
        text = str(finding)
        for secret in secrets:  # a server may repeat what it was given
            if hidden := secret.get_secret_value():
                text = text.replace(hidden, "***")
        say(text)

    say("\nInnstillinger")
    tell(ok("Alle innstillingene er gyldige."))
    tell(recipients(settings))
    tell(rate(settings))
    tell(alerts(settings))
    for heading, findings in (
        ("Pureservice", pureservice(settings, clock, transport)),
        ("E-post", mail(settings, clock, tls, graph)),
        ("Digipost", digipost(settings, clock)),
        ("Lager", storage(settings)),
    ):
        say(f"\n{heading}")
        async for finding in findings:
            tell(finding)
    say(f"\n{summary(marks)}")
    return not marks[Mark.MISSING]


def load(file: Path | None, default: Path) -> str:
    """Put the file's settings into the environment, which wins; says where settings come from.

    AppError when a file that was asked for is not there, or one cannot be read.
    """
    path = file or default
    if path.is_file():
        values = read_file(path)
        os.environ.update(values)
        return "\n".join(
            [
                f"Innstillingene er fra {path.name}; miljøvariabler går foran.",
                *(f"  ADVARSEL {told}" for told in _misspelt(read_json(path).get("Values", {}))),
            ]
        )
    if file:
        raise AppError(f"Finner ikke {file}.")
    return (
        f"Det er ingen {path.name} her, så bare miljøvariabler blir lest.\n"
        f"Mangler det noe, så kopier {EXAMPLE} til {path.name} og fyll ut."
    )


def _misspelt(names: Iterable[str]) -> list[str]:
    """What the file sets and nobody reads: a default is used instead, without a word."""
    known = {*Settings.model_fields, "FUNCTIONS_WORKER_RUNTIME"}
    told = []
    for name in sorted({*names} - known):
        if not name.startswith(("AzureWebJobs", "APPLICATIONINSIGHTS_", "FUNCTIONS_")):
            near = get_close_matches(name, known, 1)
            guess = f" Mente du {near[0]}?" if near else ""
            told.append(f"{name} er ingen innstilling, og har ingen virkning.{guess}")
    return told


def unreadable(error: SetupError) -> list[Finding]:
    """Every problem that `read_settings` found."""
    _, *problems = str(error).splitlines()
    return [
        *(missing(_in_norwegian(problem.strip())) for problem in problems or [str(error)]),
        unknown(
            "Pureservice, e-post, Digipost og lager. Rett innstillingene først: forklaring står i"
            f" docs/settings.md, eksempler i {EXAMPLE}."
        ),
    ]


#: What pydantic and `shared/settings.py` say, each before what is part of it.
_NORWEGIAN = {
    ": is not set": " er ikke satt.",
    "is not an e-mail address": "er ikke en e-postadresse.",
    "names nobody: give addresses, domains, or * for everybody": (
        "nevner ingen. Skriv adresser eller domener med komma imellom, eller * for alle."
    ),
    "is not valid JSON": "er ikke gyldig JSON.",
    "is not a connection string of a storage account": (
        "er ikke en tilkoblingsstreng til en lagringskonto."
    ),
    "must be set where AzureWebJobsStorage__accountName is not": (
        "må være satt når AzureWebJobsStorage__accountName ikke er det."
    ),
    "must be empty where AzureWebJobsStorage__accountName is set": (
        "må være tom når AzureWebJobsStorage__accountName er satt."
    ),
    "is a reference that Azure could not follow: is the secret in the vault?": (
        "er en henvisning som Azure ikke fikk fulgt. Ligger hemmeligheten i nøkkelhvelvet?"
    ),
    "has an entry that is neither an address, a domain nor *": (
        "har en oppføring som verken er en adresse, et domene eller *."
    ),
    "must be https: the key is never sent without encryption": (
        "må begynne med https: nøkkelen sendes aldri uten kryptering."
    ),
    "must be https: the token is never sent without encryption": (
        "må begynne med https: adgangstegnet sendes aldri uten kryptering."
    ),
    "must be https": "må begynne med https.",
    "is not a web address": "er ikke en nettadresse.",
    "must differ from EMAIL_CAMPAIGN_USER and TICKET_CAMPAIGN_USER": (
        "må være en annen adresse enn EMAIL_CAMPAIGN_USER og TICKET_CAMPAIGN_USER."
    ),
    "must be set where DIGIPOST_CAMPAIGN_USER is": (
        "må være satt når DIGIPOST_CAMPAIGN_USER er det."
    ),
    "must be set where DIGIPOST_NOT_REACHED has print": (
        "må være satt når DIGIPOST_NOT_REACHED har print."
    ),
    "must name print, email, ticket or list, or more of them in order": (
        "må nevne print, email, ticket eller list, eller flere av dem i rekkefølge."
    ),
    "can have list only as the last: nothing comes after it": (
        "kan ha list bare til slutt: Etter den kommer ingenting."
    ),
    "must have pdf, and be like pdf,html": "må ha pdf, og være som pdf,html.",
    "must be hours such as 24 or 24,72": "må være timer, som 24 eller 24,72.",
    "needs a postal_code of four digits and a city": (
        "må ha et postal_code på fire siffer, og en city."
    ),
    "has more than two lines": "har flere enn to lines.",
    "abroad has lines alone, the postal code and city among them": (
        "har i utlandet bare lines, med postnummer og sted på en av dem."
    ),
    "must be one of": "må være en av",
    ", with a field like user.cf_1 or company.cf_1": (
        ", med et felt som user.cf_1 eller company.cf_1."
    ),
    "must not be among RECIPIENT_FIELDS: the number is never kept": (
        "kan ikke stå i RECIPIENT_FIELDS også: Nummeret blir aldri lagret."
    ),
    "must be another address than EMAIL_CAMPAIGN_USER": (
        "må være en annen adresse enn EMAIL_CAMPAIGN_USER."
    ),
    "must differ from": "må være en annen enn",
    ", and they from another": ", og de må være forskjellige.",
    "must be at least twice": "må være minst to ganger",
    ", and three times PURESERVICE_TIMEOUT_SECONDS, together": (
        " pluss tre ganger PURESERVICE_TIMEOUT_SECONDS."
    ),
    "_TIMEOUT_SECONDS and ": "_TIMEOUT_SECONDS og ",
    "must name smtp, graph or acs, or more of them in the order to try": (
        "må nevne smtp, graph eller acs, eller flere av dem i den rekkefølgen de skal prøves."
    ),
    "must be set where EMAIL_TRANSPORTS has smtp": "må være satt når EMAIL_TRANSPORTS har smtp.",
    "and GRAPH_TENANT_ID and GRAPH_CLIENT_ID are all given, or none is": (
        "må settes sammen med GRAPH_TENANT_ID og GRAPH_CLIENT_ID: alle tre, eller ingen av dem."
    ),
    "or ACS_ENDPOINT must be set where EMAIL_TRANSPORTS has acs": (
        "eller ACS_ENDPOINT må være satt når EMAIL_TRANSPORTS har acs, og bare én av dem."
    ),
    "is not given, so ACS_ENDPOINT must be an https address": (
        "er ikke satt, så ACS_ENDPOINT må være en adresse som begynner med https."
    ),
    "must be 1 to": "må være fra 1 til",
    "can be email only where EMAIL_TRANSPORTS is smtp alone": (
        "kan være email bare når EMAIL_TRANSPORTS er smtp alene."
    ),
    "where EMAIL_TRANSPORTS has graph": "når EMAIL_TRANSPORTS har graph.",
    "a logo without a header needs a text that says whose it is": (
        "en logo uten header må ha en tekst som sier hvem den tilhører."
    ),
    "is no colour that mail programs know": "er ingen farge som e-postprogrammer kjenner.",
    "is too pale: its contrast to white is": "er for blek: kontrasten mot hvitt er",
    "for everybody to read it": "for at alle skal kunne lese det.",
    ", and must be": ", og må være minst",
    "has more than 18 fields": "har flere enn 18 felt.",
    "must be a name of its own: a-z, 0-9 and _": (
        "må være et navn som ikke er i bruk fra før, med bare a-z, 0-9 og _."
    ),
    "must be like user.cf_1 or company.cf_1": "må være som user.cf_1 eller company.cf_1.",
    "must be set when LIST_USER_RELATION is not": (
        "må være satt når LIST_USER_RELATION ikke er det."
    ),
    "a password is never sent without encryption; see SMTP_TLS": (
        "passord sendes aldri uten kryptering; se SMTP_TLS."
    ),
    "must begin with zone: or team:": "må begynne med zone: eller team:.",
    "has a rule that says nothing": "har en regel som er tom.",
    "has categories, so COMPANY_CATEGORY_FIELD must be set": (
        "har kategorier, så COMPANY_CATEGORY_FIELD må være satt."
    ),
    "is never open at the same time as EMAIL_WINDOW": "er aldri åpent samtidig med EMAIL_WINDOW.",
    "must be the mailbox that Pureservice reads: see TICKET_MESSAGE_VIA": (
        "må være postkassen som Pureservice leser når TICKET_MESSAGE_VIA er email."
    ),
    "String should match pattern": "må følge mønsteret",
    "String should have at least 1 character": "kan ikke være tom.",
    "Value should have at least 1 item after validation, not 0": "kan ikke være tom.",
    "Extra inputs are not permitted": "finnes ikke.",
    "Input should be a valid integer, unable to parse string as an integer": "må være et heltall.",
    "Input should be a valid boolean, unable to interpret input": "må være true eller false.",
    "Input should be a valid URL": "må være en nettadresse",
    "Input should be a valid string": "må være tekst.",
    "Input should be a valid dictionary or instance of CompanyFilter": (
        'må være en kategori eller {"filter": "…"}.'
    ),
    "Input should be greater than or equal to": "må være minst",
    "Input should be less than or equal to": "må være høyst",
    "Input should be greater than": "må være større enn",
    "Input should be less than": "må være mindre enn",
    "Input should be": "må være",
    "' or '": "' eller '",
}


def _in_norwegian(problem: str) -> str:
    for english, norwegian in _NORWEGIAN.items():
        problem = problem.replace(english, norwegian)
    return problem


def recipients(settings: Settings) -> Finding:
    """Who can get mail with ONLY_SEND_TO as it is."""
    if settings.allowed.everybody:
        return warning(
            "ONLY_SEND_TO er *: alle på mottakerlistene får det som sendes, på ordentlig.",
            "Skal dere bare prøve, så sett ONLY_SEND_TO til egne adresser eller eget domene.",
        )
    return ok(
        f"ONLY_SEND_TO: bare disse kan få noe: {', '.join(sorted(settings.allowed.entries))}.",
        "Sett ONLY_SEND_TO til * den dagen alle på listene skal få det som sendes.",
    )


def rate(settings: Settings) -> Finding:
    """How much of what Pureservice allows is used."""
    advice = (
        "Pureservice tillater 100 kall i minuttet til sammen. Sett PURESERVICE_RATE til 60, og"
        f" aldri over {_MOST_CALLS}: Vi trenger noen til å lese saker, og andre integrasjoner deler"
        " den samme grensen."
    )
    calls = settings.PURESERVICE_RATE
    if not calls:
        return warning("PURESERVICE_RATE er 0: saker blir laget så fort det går.", advice)
    if calls > _MOST_CALLS:
        return warning(f"PURESERVICE_RATE er {calls}, og det er for mye.", advice)
    return ok(
        f"PURESERVICE_RATE: saker og lister får bruke {calls} av de 100 kallene i minuttet som"
        " Pureservice tillater."
    )


def alerts(settings: Settings) -> Finding:
    """Who is told outside Pureservice when something stops. Nobody is told by the check."""
    told = []
    if settings.ALERT_EMAIL:
        told.append(f"{settings.ALERT_EMAIL} på e-post (ALERT_EMAIL)")
    if settings.ALERT_WEBHOOK.get_secret_value():
        told.append("en webhook (ALERT_WEBHOOK)")
    if told:
        return ok(f"Når noe stanser, går det varsel til {' og '.join(told)}.")
    return warning(
        "ALERT_EMAIL og ALERT_WEBHOOK er tomme: ingen utenfor Pureservice får varsel når noe"
        " stanser.",
        "Sett minst én av dem. Med en utgått nøkkel kan vi ikke skrive noe i Pureservice.",
    )
