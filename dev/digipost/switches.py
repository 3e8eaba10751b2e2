"""The points where nobody outside Digipost knows what it does, and its bad days, as switches."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

JobError = Literal["off", "VALIDERING_FEILET", "ENGINE_FEIL", "GENERELL_FEIL"]


class Switches(BaseModel):
    """One assumption per field; the default is the likeliest, the rest are there to be tried."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    received_seconds: float = Field(0, ge=0, description="From the upload to the first receipt.")
    result_seconds: float = Field(0, ge=0, description="From there to the result.")
    received: bool = Field(True, description="There is a first receipt, `mottatt`.")
    provisional: Literal["waiting", "always", "never"] = Field(
        "waiting",
        description="FORELØPIG_SUKSESS comes while a job waits for approval or its day; before "
        "every result; or never.",
    )
    approve: Literal["by_hand", "auto"] = Field(
        "by_hand", description="Jobs that ask for approval wait for POST /_sim/approve, or do not."
    )
    rejected: JobError = Field(
        "GENERELL_FEIL", description="What a job that was rejected by hand fails with; off: nothing"
    )
    hold_from_percent: float = Field(
        101, ge=0, description="Invalid recipients, from which on every job waits for approval."
    )

    fail_jobs: JobError = Field("off", description="Every job fails with this.")
    repeated_job: Literal["refused", "again"] = Field(
        "refused", description="A jobb-id that was there before fails, or is worked through again."
    )
    repeated_uuid: Literal["refused", "again"] = Field(
        "refused", description="The same for the uuid of a document in another job."
    )
    unreadable: Literal["text", "failed", "silent"] = Field(
        "text",
        description="A zip that cannot be read, or has no XML that can: a receipt with a .txt in "
        "it, one with VALIDERING_FEILET and the name of the file as its job, or nothing.",
    )
    unreferenced_files: Literal["refused", "allowed"] = "refused"
    print_invalid: bool = Field(
        False, description="A recipient who is UGYLDIG gets a printed letter where it can be."
    )
    print_agreement: bool = Field(True, description="Letters can be printed at all.")
    file_types: str = Field("pdf", description="With commas between them.")
    max_megabytes: float = Field(10, gt=0, description="Of a document.")
    max_zip_megabytes: float = Field(2000, gt=0)
    print_pages: int = Field(20, ge=1)

    shuffled: bool = Field(True, description="The rows of a result are in no order.")
    rows_left_out: int = Field(0, ge=0, description="Letters that the result does not mention.")
    summary: bool = Field(True, description="The result has its own figures.")
    reasons: bool = Field(True, description="UIDENTIFISERT tells why, where there is a reason.")
    empty_errors: bool = Field(
        False, description="Letters that were not sent have an empty feilinformasjon."
    )
    signature: bool = Field(False, description="Receipts have a Signature element.")
    two_steps: bool = Field(
        False, description="A receipt is there half at first, and whole the next time round."
    )
    text_in_receipt: bool = Field(False, description="A .txt beside the XML in every receipt.")
    foreign_receipts: bool = Field(
        False, description="There is a receipt of somebody else's job beside each of ours."
    )
    uploaded: Literal["kept", "moved", "deleted"] = Field(
        "kept", description="What becomes of the zip when it has been taken in."
    )
    ignore_part: bool = Field(True, description="Names that do not end in .zip are left alone.")

    break_upload: Literal["off", "partial", "complete", "hang"] = Field(
        "off",
        description="The connection breaks after break_after_bytes, when the file is whole but "
        "not yet closed, or nothing more is answered.",
    )
    break_after_bytes: int = Field(0, ge=0)
    break_times: int = Field(1, ge=0, description="So many uploads; 0 is all of them.")
