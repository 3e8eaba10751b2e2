"""Does Azure Communication Services answer, and does it take our key?"""

import asyncio
import os
from collections.abc import Sequence
from uuid import uuid4

from azure.core.exceptions import AzureError, ClientAuthenticationError

from dev.check.findings import Findings, missing, ok, unknown, warning
from shared.adapters.acs import API_VERSION, AcsTransport, _Progress
from shared.errors import SetupError
from shared.ports import Clock
from shared.settings import Settings

#: What a subscription may send unless it was raised.
_A_MINUTE, _AN_HOUR = 30, 100


async def acs(settings: Settings, senders: Sequence[str], clock: Clock) -> Findings:
    """Whether it knows us: a look for an operation that nobody has made tells."""
    if settings.transports[0] == "acs" and (told := _too_fast(settings)):
        yield warning(
            told,
            "Be Microsoft om høyere grenser før en stor utsendelse. Er det gjort, kan dere se bort"
            " fra dette. Ellers ber ACS oss vente, og alle venter.",
        )
    by_key = settings.ACS_CONNECTION_STRING.get_secret_value()
    if not by_key and "IDENTITY_ENDPOINT" not in os.environ:
        yield unknown(
            "ACS_ENDPOINT: ACS slipper bare inn appen selv, med identiteten den har i Azure. Det"
            " kan ikke prøves herfra.",
            "Se docs/deploy.md for rollen den trenger, og prøv med en prøvesending.",
        )
        return
    setting = "ACS_CONNECTION_STRING" if by_key else "ACS_ENDPOINT"
    try:
        service = _Service(settings, clock)
    except SetupError:
        yield missing(
            "ACS_CONNECTION_STRING er ikke en gyldig tilkoblingsstreng.",
            "Kopier hele tilkoblingsstrengen (endpoint=https://…;accesskey=…) fra ressursen i"
            " Azure, under Keys.",
        )
        return
    try:
        status = await service.ask()
    except ClientAuthenticationError:
        yield missing(
            "ACS_ENDPOINT: appens identitet får ikke noe adgangstegn.",
            "Har appen en identitet, og nevner AzureWebJobsStorage__clientId den riktige?",
        )
        return
    except (AzureError, TimeoutError):
        yield missing(
            f"{setting}: får ikke kontakt med ACS.",
            "Er adressen riktig (https://….communication.azure.com), og åpner brannmuren for den"
            " herfra?",
        )
        return
    finally:
        await service.close()
    if status in (200, 404):
        yield ok(
            f"{setting}: ACS svarer, og godtar oss.",
            f"Om ACS får sende fra {', '.join(dict.fromkeys(senders))}, viser først en"
            " prøvesending: domenet må være bekreftet og koblet til ressursen, og adressen lagt inn"
            " som avsender der.",
        )
    elif status in (401, 403):
        yield missing(
            f"{setting}: ACS godtar oss ikke ({status}).",
            "Er nøkkelen byttet? Med ACS_ENDPOINT må appens identitet ha en rolle på ressursen: se"
            " docs/deploy.md. Går klokken på denne maskinen riktig?",
        )
    else:
        yield missing(
            f"{setting}: ACS gir ikke noe brukbart svar ({status}).",
            "Er det adressen til en Communication Services-ressurs? Prøv igjen om noen minutter.",
        )


class _Service(AcsTransport):
    """Asks as a delivery does."""

    async def ask(self) -> int:
        path = f"/emails/operations/{uuid4()}"
        async with asyncio.timeout(self.time_limit.total_seconds()):
            response = await self._get(path, _Progress(), {"api-version": API_VERSION})
        return response.status_code


def _too_fast(settings: Settings) -> str:
    """What more is let go than ACS takes by itself; nothing when it is not."""
    rate, quota = settings.EMAIL_RATE, settings.EMAIL_DAILY_QUOTA
    most = [one for one in (rate * 60, quota) if one]
    if 0 < rate <= _A_MINUTE and min(most) <= _AN_HOUR:
        return ""
    return (
        f"EMAIL_RATE er {rate or 'uten grense'}, og EMAIL_DAILY_QUOTA {quota or 'uten grense'}."
        f" ACS tar i utgangspunktet {_A_MINUTE} e-poster i minuttet og {_AN_HOUR} i timen."
    )
