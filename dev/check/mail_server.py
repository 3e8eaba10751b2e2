"""Can the mail server be reached, and would it take our senders?"""

import asyncio
import ssl
from collections.abc import Sequence

from aiosmtplib import SMTPException, SMTPResponseException

from dev.check.findings import Finding, Findings, missing, ok, unknown, warning
from shared.adapters.smtp import SmtpTransport, Stage, _Progress
from shared.domain.html import one_line
from shared.errors import StoppedError
from shared.settings import Settings

_SECONDS = 30.0
_SECURED = {"none": "uten kryptering", "starttls": "med STARTTLS", "tls": "med TLS"}


async def mail_server(
    settings: Settings, envelopes: Sequence[str], tls: ssl.SSLContext | None
) -> Findings:
    """Whether mail goes encrypted, gets there, and from these envelope senders."""
    if settings.SMTP_TLS == "none" and settings.SMTP_HOST not in ("localhost", "127.0.0.1", "::1"):
        yield warning(
            "SMTP_TLS er none: e-posten går ukryptert til serveren.",
            "Sett SMTP_TLS til starttls eller tls om serveren kan det.",
        )
    async for finding in _MailServer(settings, tls=tls).try_senders(envelopes):
        yield finding


class _MailServer(SmtpTransport):
    """Begins as a delivery does, and stops before there is a recipient."""

    async def try_senders(self, envelopes: Sequence[str]) -> Findings:
        settings, progress = self._settings, _Progress()
        try:
            async with asyncio.timeout(_SECONDS):
                smtp = (await self._connect(progress)).smtp
        except (SMTPException, OSError, StoppedError) as error:
            yield _unreached(settings, progress.stage, error)
            yield unknown("Om e-postserveren godtar avsenderne.")
            return
        yield ok(
            f"E-postserveren {settings.SMTP_HOST}:{settings.SMTP_PORT} svarer,"
            f" {_SECURED[settings.SMTP_TLS]} og {'med' if settings.SMTP_USER else 'uten'}"
            " innlogging."
        )
        for envelope in envelopes:
            options = [] if envelope.isascii() else ["SMTPUTF8"]
            try:
                async with asyncio.timeout(_SECONDS):
                    await smtp.mail(envelope, options=options, encoding="utf-8")
                    await smtp.rset()
                finding = ok(f"E-postserveren godtar avsenderen {envelope}.")
            except (SMTPException, OSError) as error:
                finding = _refused(envelope, error)
            yield finding
        self._part(smtp)
        await self.close()


def _unreached(settings: Settings, stage: Stage, error: Exception) -> Finding:
    """Why there was no conversation, by how far it had come."""
    where = f"{settings.SMTP_HOST}:{settings.SMTP_PORT}"
    cause = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return missing(
            f"SMTP_HOST: sertifikatet til {where} kan ikke godtas ({cause.verify_message}).",
            "Skriv navnet som sertifikatet gjelder for i SMTP_HOST, eller be den som drifter"
            " serveren om å fornye sertifikatet.",
        )
    if isinstance(cause, ssl.SSLError):
        return missing(
            f"SMTP_TLS: {where} svarer ikke med TLS.",
            "Sett SMTP_TLS til starttls (som regel port 587), eller bruk port 465 med tls.",
        )
    if stage is Stage.STARTTLS and not isinstance(error, OSError):
        return missing(
            f"SMTP_TLS: {where} vil ikke bruke STARTTLS.",
            "Er SMTP_PORT riktig? Port 587 har som regel STARTTLS. Port 465 har tls fra starten:"
            " sett da SMTP_TLS til tls.",
        )
    if stage is Stage.AUTH and isinstance(error, StoppedError):
        return missing(
            f"SMTP_USER: {where} tilbyr ikke innlogging med brukernavn og passord.",
            "Tøm SMTP_USER om serveren ikke krever innlogging. Ellers må SMTP-innlogging slås på"
            " av den som drifter serveren.",
        )
    if stage is Stage.AUTH and not isinstance(error, TimeoutError):
        # without the server's words, which might repeat what it was given
        code = f" ({error.code})" if isinstance(error, SMTPResponseException) else ""
        return missing(
            f"SMTP_USER, SMTP_PASSWORD: {where} godtar ikke innloggingen{code}.",
            "Se etter at brukernavn og passord er riktige, og at kontoen får lov til å sende med"
            " SMTP.",
        )
    return missing(
        f"SMTP_HOST, SMTP_PORT: får ikke kontakt med e-postserveren {where}{_said(error)}.",
        "Er navn og port riktige, og åpner brannmuren for porten herfra? SMTP_TLS skal som regel"
        " være starttls for port 587 og tls for port 465.",
    )


def _refused(envelope: str, error: Exception) -> Finding:
    if isinstance(error, SMTPResponseException) and error.code == 530:
        return missing(
            f"SMTP_USER: serveren krever innlogging for å sende fra {envelope}.",
            "Fyll ut SMTP_USER og SMTP_PASSWORD.",
        )
    return missing(
        "MAIL_FROM, MAIL_ENVELOPE_FROM, SENDERS: serveren godtar ikke avsenderen"
        f" {envelope}{_said(error)}.",
        "Be den som drifter e-posten om at kontoen får sende fra adressen, eller bruk en annen.",
    )


def _said(error: Exception) -> str:
    if isinstance(error, SMTPResponseException):
        return f" (svaret var {error.code} {one_line(error.message)[:200]})"
    return " (ikke noe svar i tide)" if isinstance(error, TimeoutError) else ""
