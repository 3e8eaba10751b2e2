"""A job's receipt: what Digipost says of the job, of each recipient and of each letter.

Words that Digipost may add some day become UNKNOWN, with what it said beside them; nothing is
dropped. The names in the comments are Digipost's.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from shared.domain.letter_job import JobKind


class JobAnswer(StrEnum):
    RECEIVED = "received"  #: MOTTATT
    PROVISIONAL = "provisional"  #: FORELØPIG_SUKSESS
    SUCCESS = "success"  #: SUKSESS
    FAILED = "failed"  #: FEILET
    UNKNOWN = "unknown"

    @property
    def final(self) -> bool:
        return self in {JobAnswer.SUCCESS, JobAnswer.FAILED}


class JobError(StrEnum):
    VALIDATION = "validation"  #: VALIDERING_FEILET
    ENGINE = "engine"  #: ENGINE_FEIL
    GENERAL = "general"  #: GENERELL_FEIL
    UNKNOWN = "unknown"


class RecipientAnswer(StrEnum):
    USER = "user"  #: DIGIPOST
    IDENTIFIED = "identified"  #: IDENTIFISERT: a known person who has no Digipost
    UNIDENTIFIED = "unidentified"  #: UIDENTIFISERT
    INVALID = "invalid"  #: UGYLDIG
    UNKNOWN = "unknown"


class RecipientReason(StrEnum):
    SEVERAL_MATCHES = "several_matches"  #: FLERE_TREFF
    INCOMPLETE_ADDRESS = "incomplete_address"  #: MANGELFULL_ADRESSE
    CUSTOMER_ID = "customer_id"  #: UGYLDIG_KUNDEID
    NATIONAL_ID = "national_id"  #: UGYLDIG_FOEDSELSNUMMER
    BIRTH_DATE = "birth_date"  #: UGYLDIG_FOEDSELSDATO
    DIGIPOST_ADDRESS = "digipost_address"  #: UGYLDIG_DIGIPOSTADRESSE
    NAME_AND_ADDRESS = "name_and_address"  #: UGYLDIG_NAVN_ADRESSE
    POSTAL_CODE = "postal_code"  #: UGYLDIG_POSTNUMMER
    ORGANIZATION_NUMBER = "organization_number"  #: UGYLDIG_ORGANISASJONSNUMMER
    UNSPECIFIED = "unspecified"  #: USPESIFISERT
    UNKNOWN = "unknown"


class LetterFault(StrEnum):
    DOCUMENT = "document"  #: UGYLDIG_DOKUMENT
    RECIPIENT = "recipient"  #: UGYLDIG_MOTTAKER
    NOT_FOR_PRINT = "not_for_print"  #: UGYLDIG_FOR_PRINT
    UNSPECIFIED = "unspecified"  #: USPESIFISERT_FEIL
    UNKNOWN = "unknown"


class DocumentFault(StrEnum):
    NOT_FOR_WEB = "not_for_web"  #: UGYLDIG_FOR_WEB
    NOT_FOR_PRINT = "not_for_print"  #: UGYLDIG_FOR_PRINT
    UNSPECIFIED = "unspecified"  #: USPESIFISERT_FEIL
    UNKNOWN = "unknown"


class SentBy(StrEnum):
    DIGIPOST = "digipost"  #: WEB
    PRINT = "print"  #: PRINT
    UNKNOWN = "unknown"  #: not told


@dataclass(frozen=True, slots=True)
class RecipientResult:
    id: str  #: `kunde-id`
    answer: RecipientAnswer
    digipost_address: str = ""
    alias: str = ""
    reasons: tuple[RecipientReason, ...] = ()
    washed: bool = False


@dataclass(frozen=True, slots=True)
class LetterResult:
    id: str  #: `brev-id`; "" when it was not given
    main: str  #: `hoveddokument-uuid`
    sent: bool | None  #: None: a word that we do not know
    by: SentBy = SentBy.UNKNOWN
    faults: tuple[LetterFault, ...] = ()
    words: tuple[str, ...] = ()  #: Digipost's own


@dataclass(frozen=True, slots=True)
class JobReceipt:
    """A receipt as it was read. `unknown` has the words in it that we do not know."""

    kind: JobKind
    job: str  #: `ref-jobb-id`
    answer: JobAnswer
    sender: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: JobError | None = None
    error_words: str = ""
    recipients: tuple[RecipientResult, ...] = ()
    letters: tuple[LetterResult, ...] = ()
    documents: tuple[tuple[str, tuple[DocumentFault, ...], tuple[str, ...]], ...] = ()
    summary: tuple[tuple[str, int], ...] = ()  #: Digipost's own figures, by its own names
    signed: bool = False
    unknown: tuple[str, ...] = field(default=())

    @property
    def by_recipient(self) -> dict[str, RecipientResult]:
        """Each recipient's result by their id; without those of whom it says two things."""
        results = {result.id: result for result in self.recipients}
        for result in self.recipients:
            if results.get(result.id, result) != result:
                del results[result.id]
        return results
