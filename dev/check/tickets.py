"""What one ticket per recipient needs, besides its made-up user and its status. Only reads."""

from dev.check.findings import Finding, Findings, ok, unknown, warning
from dev.check.mail import senders
from dev.check.names import named
from dev.check.reader import Reader
from shared.domain.recipient import address_key
from shared.settings import Settings

_GUIDE = "«Hvem sender e-posten fra den nye saken?» i docs/oppsett.md"


async def tickets(settings: Settings, wire: Reader) -> Findings:
    """Nothing where no ticket can ask for it."""
    if not settings.TICKET_CAMPAIGN_USER:
        return
    if settings.TICKET_RELATION:
        types = (await wire.all("/relationshiptype/", "relationshiptypes")).relationshiptypes
        yield named(settings, "TICKET_RELATION", "relasjonstype", types)
    else:
        yield ok(
            "TICKET_RELATION er tom: sakene viser til hverandre bare med saksnummer.",
            "Vil dere ha dem som relasjoner på saken, så lag en relasjonstype fra sak til sak, og"
            " skriv navnet i TICKET_RELATION.",
        )
    if settings.TICKET_MESSAGE_VIA == "pureservice":
        yield unknown(
            "TICKET_MESSAGE_VIA er pureservice. Det er ikke bekreftet at Pureservice sender e-post"
            " når et program legger en melding på en sak, og det kan ikke prøves uten å sende.",
            "Prøv med to kolleger på testlisten, og la rapporten svare. Får de ikke noe, så sett"
            f" TICKET_MESSAGE_VIA til email. Steg for steg: {_GUIDE}. Har dere prøvd, og gikk det"
            " bra, kan dere se bort fra denne linjen.",
        )
    else:
        yield _answers(settings)


def _answers(settings: Settings) -> Finding:
    """Whether the answers to what we mail ourselves can find their tickets."""
    mailbox = settings.TICKET_REPLY_TO  # the settings see to it that there is one
    elsewhere = [
        setting
        for setting, sender in senders(settings).items()
        for used in (sender.reply_to or sender.address, sender.envelope_from)
        if address_key(used) == address_key(mailbox)
    ]
    if elsewhere:
        return warning(
            f"TICKET_REPLY_TO: {mailbox} får også svar eller returpost fra masseutsendelser"
            f" ({', '.join(dict.fromkeys(elsewhere))}).",
            "TICKET_REPLY_TO skal være postkassen som Pureservice leser. MAIL_REPLY_TO og"
            " MAIL_ENVELOPE_FROM skal ikke være det: Da blir hvert fraværssvar en ny sak.",
        )
    return ok(
        f"TICKET_MESSAGE_VIA er email: vi sender fra hver sak, og svar går til {mailbox}.",
        "Det må være postkassen som Pureservice leser, og TICKET_TAG må være lik taggen i"
        f" e-postmalene deres. Ellers finner ikke svarene saken sin. Mer: {_GUIDE}.",
    )
