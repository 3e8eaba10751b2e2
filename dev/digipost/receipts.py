"""Receipts as Digipost writes them: one XML file in a zip, with the name of what was uploaded."""

import random
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from zoneinfo import ZoneInfo

from lxml import etree

from .jobs import Job, Letter, Recipient
from .population import INVALID, KNOWN, NOBODY, USER, Outcome
from .shape import NAMESPACE
from .switches import Switches

OSLO = ZoneInfo("Europe/Oslo")
RECEIVED, PROVISIONAL, SUCCESS, FAILED = "MOTTATT", "FORELØPIG_SUKSESS", "SUKSESS", "FEILET"

_DSIG = "http://www.w3.org/2000/09/xmldsig#"


@dataclass(frozen=True)
class LetterOutcome:
    letter: Letter
    sent: bool
    channel: str = ""  #: WEB or PRINT
    errors: tuple[tuple[str, str], ...] = ()  #: type and message


@dataclass(frozen=True)
class Answer:
    """All that a receipt tells."""

    status: str
    job: Job
    started: datetime
    ended: datetime | None = None
    recipients: tuple[tuple[Recipient, Outcome], ...] | None = None
    letters: tuple[LetterOutcome, ...] | None = None
    documents: Mapping[str, Sequence[tuple[str, str]]] | None = None  #: faults, by document
    error: str = ""
    said: str = ""


def file_name(base: str, kind: str, now: datetime) -> str:
    local = now.astimezone(OSLO)
    return f"{base}.{kind}.{local:%Y%m%d-%H%M%S}{local.microsecond // 1000:03}.zip"


def zipped(answer: Answer, switches: Switches, rng: random.Random) -> bytes:
    """The whole receipt."""
    name = f"{answer.job.root}-resultat.xml"
    files = [(name, xml(answer, switches, rng))]
    if switches.text_in_receipt:
        files.append(("lesmeg.txt", b"Dette er en kvittering.\n"))
    return zipped_files(files)


def zipped_files(files: Iterable[tuple[str, bytes]]) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files:
            file.writestr(name, data)
    return out.getvalue()


def xml(answer: Answer, switches: Switches, rng: random.Random) -> bytes:
    root = etree.Element(_name(f"{answer.job.root}-resultat"), nsmap={None: NAMESPACE})  # type: ignore[dict-item]  # the default one
    _add(root, "status", answer.status)
    info = _add(root, "jobb-info")
    if answer.job.sender:
        _add(info, "ref-avsender-id", answer.job.sender)
    if answer.job.broker:
        _add(info, "ref-behandler-id", answer.job.broker)
    _add(info, "ref-jobb-id", answer.job.id)
    _add(info, "start-tid", _time(answer.started))
    if answer.ended:
        _add(info, "slutt-tid", _time(answer.ended))
    if answer.error:
        error = _add(root, "feilinformasjon")
        _add(error, "feilkode", answer.error)
        _add(error, "melding", answer.said)
    if answer.recipients is not None:
        _add_recipients(root, answer, switches, rng)
    if answer.letters is not None:
        _add_letters(root, answer, switches, rng)
    if switches.signature:
        _sign(root)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True, standalone=True)


def _add_recipients(
    root: etree._Element, answer: Answer, switches: Switches, rng: random.Random
) -> None:
    rows = list(answer.recipients or ())
    if switches.summary:
        _add_summary(root, [outcome for _, outcome in rows])
        if answer.letters is not None:
            _add_print_summary(root, answer.letters)
    if switches.shuffled:
        rng.shuffle(rows)
    results = _add(root, "mottaker-resultater")
    for recipient, outcome in rows:
        row = _add(results, "resultat")
        _add(row, "kunde-id", recipient.id)
        _add(row, "status", outcome.status)
        if outcome.status == USER and outcome.address:
            _add(row, "digipostadresse", outcome.address)
        elif outcome.status == KNOWN and outcome.alias:
            _add(row, "person-alias", outcome.alias)
        elif outcome.status in {NOBODY, INVALID}:
            told = outcome.reasons if outcome.status == INVALID or switches.reasons else ()
            name = "ugyldig-grunn" if outcome.status == INVALID else "uidentifisert-grunn"
            for reason in told:
                _add(row, name, reason)
        if outcome.washed is not None:
            _add(row, "vasket", "true" if outcome.washed else "false")


def _add_summary(root: etree._Element, outcomes: Sequence[Outcome]) -> None:
    """The figures are disjoint, and add up to the total."""
    counts: Counter[str] = Counter()
    for one in outcomes:
        name = one.status.lower()
        if one.status in {USER, KNOWN} and one.washed:
            name += "-vask"
        elif "FLERE_TREFF" in one.reasons:
            name += "-flere-treff"
        counts[name] += 1
    summary = _add(root, "mottaker-sammendrag")
    _add(summary, "total", str(len(outcomes)))
    for name in (
        *("digipost", "digipost-vask", "identifisert", "identifisert-vask"),
        *("uidentifisert", "uidentifisert-flere-treff", "ugyldig"),
    ):
        _add(summary, name, str(counts[name]))


def _add_print_summary(root: etree._Element, letters: Sequence[LetterOutcome]) -> None:
    summary = _add(root, "print-sammendrag")
    printed = sum(one.sent and one.channel == "PRINT" for one in letters)
    invalid = sum(any(kind == "UGYLDIG_FOR_PRINT" for kind, _ in one.errors) for one in letters)
    _add(summary, "sendt-til-print", str(printed))
    _add(summary, "ugyldig", str(invalid))


def _add_letters(
    root: etree._Element, answer: Answer, switches: Switches, rng: random.Random
) -> None:
    if answer.documents:
        wrong = _add(root, "dokumenter-med-feil")
        for document, faults in answer.documents.items():
            row = _add(wrong, "dokument-med-feil")
            _add(row, "dokument-id", document)
            for kind, said in faults:
                _add_error(row, kind, said)
    rows = list(answer.letters or ())
    if switches.shuffled:
        rng.shuffle(rows)
    results = _add(root, "brev-resultater")
    for one in rows[switches.rows_left_out :]:
        row = _add(results, "resultat")
        if one.letter.id:
            row.set("brev-id", one.letter.id)
        _add(row, "hoveddokument-uuid", one.letter.uuids[0])
        if one.letter.uuids[1:]:
            attached = _add(row, "vedlegg")
            for uuid in one.letter.uuids[1:]:
                _add(attached, "dokument-uuid", uuid)
        _add(row, "resultat", "SENDT" if one.sent else "IKKE_SENDT")
        if one.channel:
            _add(row, "kanal", one.channel)
        if one.errors or (switches.empty_errors and not one.sent):
            errors = _add(row, "feilinformasjon")
            for kind, said in () if switches.empty_errors else one.errors:
                _add_error(errors, kind, said)


def _add_error(parent: etree._Element, kind: str, said: str) -> None:
    error = _add(parent, "feil")
    _add(error, "type", kind)
    if said:
        _add(error, "melding", said)


def _sign(root: etree._Element) -> None:
    """An element like a signature; nothing is signed by it."""

    def add(parent: etree._Element, name: str, text: str = "", **attributes: str) -> etree._Element:
        made = etree.SubElement(parent, f"{{{_DSIG}}}{name}", attributes, {"ds": _DSIG})
        made.text = text or None
        return made

    signature = add(root, "Signature")
    info = add(signature, "SignedInfo")
    add(info, "CanonicalizationMethod", Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#")
    add(info, "SignatureMethod", Algorithm=f"{_DSIG}rsa-sha1")
    reference = add(info, "Reference", URI="")
    add(reference, "DigestMethod", Algorithm=f"{_DSIG}sha1")
    add(reference, "DigestValue", "c2ltdWxlcnQ=")
    add(signature, "SignatureValue", "c2ltdWxlcnQ=")


def _add(parent: etree._Element, name: str, text: str | None = None) -> etree._Element:
    made = etree.SubElement(parent, _name(name))
    made.text = text
    return made


def _name(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _time(moment: datetime) -> str:
    return moment.astimezone(OSLO).isoformat(timespec="milliseconds")
