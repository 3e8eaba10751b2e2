"""The register as a file that opens in Norwegian Excel with a double click."""

from collections.abc import Mapping, Sequence

from shared.domain.addressee import Identity
from shared.domain.delivery import NEVER
from shared.domain.job_receipt import RecipientReason
from shared.domain.register import Entry, Standing
from shared.flow.recipients_csv import Part
from shared.flow.wording import OSLO
from shared.ledger.register import Register

#: So many are in one file: more than most municipalities have inhabitants, and some 15 MB.
MOST = 100_000

_HEADINGS = (
    "Medlem",
    "Digipost-adresse",
    "Alias",
    "Status",
    "Årsak",
    "Vasket",
    "Spurt med",
    "Spurt",
    "Jobb",
)
STANDING: Mapping[Standing, str] = {
    Standing.USER: "har Digipost",
    Standing.KNOWN: "kjent, har ikke Digipost",
    Standing.UNKNOWN: "ikke funnet",
    Standing.BAD_DATA: "feil i opplysningene",
}
REASON: Mapping[RecipientReason, str] = {
    RecipientReason.SEVERAL_MATCHES: "flere treff",
    RecipientReason.INCOMPLETE_ADDRESS: "mangelfull adresse",
    RecipientReason.CUSTOMER_ID: "ugyldig kunde-id",
    RecipientReason.NATIONAL_ID: "ugyldig fødselsnummer",
    RecipientReason.BIRTH_DATE: "ugyldig fødselsdato",
    RecipientReason.DIGIPOST_ADDRESS: "ugyldig Digipost-adresse",
    RecipientReason.NAME_AND_ADDRESS: "ugyldig navn eller adresse",
    RecipientReason.POSTAL_CODE: "ugyldig postnummer",
    RecipientReason.ORGANIZATION_NUMBER: "ugyldig organisasjonsnummer",
    RecipientReason.UNSPECIFIED: "uspesifisert",
    RecipientReason.UNKNOWN: "ukjent årsak",
}
ASKED_BY: Mapping[Identity, str] = {
    Identity.DIGIPOST_ADDRESS: "Digipost-adresse",
    Identity.ALIAS: "alias",
    Identity.NATIONAL_ID: "fødselsnummer",
    Identity.ORGANIZATION_NUMBER: "organisasjonsnummer",
    Identity.NAME_AND_ADDRESS: "navn og adresse",
}


async def register_csv(register: Register, behind: str = "", most: int = MOST) -> tuple[bytes, str]:
    """Those behind this member, and behind whom the next file begins; "" when none is left."""
    part, last = Part(_HEADINGS), ""
    async for entry in register.all(behind):
        if part.rows == most:
            return part.encoded(), last
        part.add(_cells(entry))
        last = entry.member
    return part.encoded(), ""


def _cells(entry: Entry) -> Sequence[str]:
    asked = entry.asked_at
    return (
        entry.member,
        entry.digipost_address,
        entry.alias,
        STANDING[entry.standing],
        ", ".join(REASON[reason] for reason in entry.reasons),
        "ja" if entry.washed else "nei",
        ASKED_BY[entry.by] if entry.by else "",
        "" if asked == NEVER else f"{asked.astimezone(OSLO):%d.%m.%Y %H:%M:%S}",
        entry.job,
    )
