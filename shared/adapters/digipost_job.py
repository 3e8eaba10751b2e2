"""Job files for Digipost: a zip with the letters' documents and one XML file that tells of them.

The XML is written piece by piece, straight into the zip, which moves from memory to a temporary
file without a name when it grows. Which ids have been used is in a table that does the same. So
100,000 letters take the memory of a thousand. Only the zip's own list of files, some hundred bytes
for each, grows with documents that are one recipient's own, and a zip has 65,535 files at the most.

Only what both known revisions of the schema `avsender2_1` accept is written. The rules that no
schema knows, or that not every validator tells of, are checked here, each with a name.
"""

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import file_digest
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, Self, cast
from zipfile import ZIP_DEFLATED, LargeZipFile, ZipFile, ZipInfo

from lxml import etree

from shared.domain.addressee import (
    Addressee,
    Identity,
    PostalAddress,
    valid_national_id,
    valid_organization_number,
)
from shared.domain.letter_job import (
    Authentication,
    JobDocument,
    JobLetter,
    JobRecipient,
    JobSettings,
    Print,
    Sensitivity,
    Settings,
)
from shared.errors import BlockedError

_NAMESPACE = "http://www.digipost.no/xsd/avsender2_1"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_SPLIT, _SEND = "mottakersplitt", "masseutsendelse"

#: A zip that is larger than this is on disk.
_IN_MEMORY = 16 * 1024 * 1024

_JOB_ID = re.compile(r"[a-zA-Z0-9_.-]{1,100}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
#: An XML id; the schema allows more letters than these.
_DOCUMENT_ID = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.-]*")
#: Digipost allows Norwegian letters and advises against them; a `/` at the end means nothing.
_PATH = re.compile(r"[a-zA-Z0-9_-]+(/[a-zA-Z0-9_-]+)*\.[a-zA-Z0-9]+")
#: What XML 1.0 cannot hold, escaped or not.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_AUTHENTICATION = {Authentication.PASSWORD: "PASSORD", Authentication.TWO_FACTOR: "TO_FAKTOR"}
_SENSITIVITY = {Sensitivity.NORMAL: "NORMALT", Sensitivity.SENSITIVE: "SENSITIVT"}
_IDENTIFIED_BY = {
    Identity.DIGIPOST_ADDRESS: "digipostadresse",
    Identity.ALIAS: "person-alias",
    Identity.NATIONAL_ID: "foedselsnummer",
    Identity.ORGANIZATION_NUMBER: "organisasjonsnummer",
}


class Rule(StrEnum):
    """What a job must keep to. `refid` and `fil` are Digipost's names, as in the facts."""

    ACCOUNT = "account"  #: the sender's and the broker's ids are positive numbers
    JOB_ID = "job_id"  #: 1-100 of A-Z a-z 0-9 _ . -
    JOB_NAME = "job_name"  #: at most 80 characters
    DELIVER_AT = "deliver_at"  #: send jobs only, with its time zone
    EMPTY = "empty"  #: at least one recipient, letter and document
    CUSTOMER_ID = "customer_id"  #: something, and no blanks at its ends
    REPEATED_CUSTOMER_ID = "repeated_customer_id"
    IDENTIFICATION = "identification"  #: exactly one thing to find somebody by
    NATIONAL_ID = "national_id"  #: eleven digits, of which the last two fit
    ORGANIZATION_NUMBER = "organization_number"  #: nine digits, of which the last fits
    NAME = "name"  #: something; at most 130 characters in print
    ADDRESS_LINES = "address_lines"  #: in Norway at most two, abroad one to four, of 100 each
    POSTAL_CODE = "postal_code"  #: in Norway four digits
    CITY = "city"  #: in Norway something; at most 80 characters in print
    COUNTRY = "country"  #: two capital letters
    LETTER_ID = "letter_id"  #: something, and no blanks at its ends
    REPEATED_LETTER_ID = "repeated_letter_id"
    MAIN_DOCUMENT = "main_document"  #: every letter has one
    ATTACHMENTS = "attachments"  #: at most 99
    UUID = "uuid"  #: in lower case
    REPEATED_UUID = "repeated_uuid"
    DOCUMENT_ID = "document_id"  #: begins with a letter or _, no blanks and no colon
    REPEATED_DOCUMENT_ID = "repeated_document_id"
    UNKNOWN_DOCUMENT = "unknown_document"  #: a `refid` that points nowhere
    UNUSED_DOCUMENT = "unused_document"  #: a document that no letter shows
    PRINTED_PDF = "printed_pdf"  #: what may be printed is PDF
    SUBJECT = "subject"  #: every document has one, 1-100 characters
    SMS = "sms"  #: times with their time zone, hours from 0
    FILE = "file"  #: a `fil` of A-Z a-z 0-9 _ - and /, with one dot and what kind it is
    REPEATED_FILE = "repeated_file"
    MISSING_FILE = "missing_file"  #: a document whose file is not in the zip
    UNUSED_FILE = "unused_file"  #: a file in the zip that no document mentions
    TOO_LARGE = "too_large"  #: past what a zip can be without zip64, which nobody has tried
    CHARACTERS = "characters"  #: XML cannot hold them


class JobFileError(BlockedError, ValueError):
    """A rule of Digipost's is broken. `about` is the id of what breaks it, never its contents."""

    def __init__(self, rule: Rule, about: str) -> None:
        super().__init__("letter_rule", rule=rule, id=about)
        self.rule = rule
        self.about = about

    def __str__(self) -> str:
        return f"{self.rule}: {self.about}"


@dataclass(slots=True)
class Parcel:
    """A job's file, whole, to be read from its beginning. It is gone when it is closed."""

    file: BinaryIO
    size: int
    sha256: str
    letters: int  #: or recipients, in a split

    def close(self) -> None:
        self.file.close()


class _State(StrEnum):
    NEW = "new"
    SPLIT = "split"
    SEND = "send"
    FINISHED = "finished"
    BROKEN = "broken"
    CLOSED = "closed"


class JobFile:
    """A job's file in the making: files, `begin_…`, letters or recipients, `finish`, `close`.

    The same calls make the same bytes. Everything blocks, and may be called from any thread, one
    at a time. After an error it can only be closed, so nothing half is ever uploaded.
    """

    def __init__(self, in_memory: int = _IN_MEMORY) -> None:
        self._file = SpooledTemporaryFile(max_size=in_memory)  # noqa: SIM115 - closed in `close`
        self._zip = ZipFile(self._file, "w", ZIP_DEFLATED, allowZip64=False)
        self._ids = _Ids()
        self._open = ExitStack()
        self._state = _State.NEW
        self._written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_file(self, path: str, data: bytes) -> None:
        """A document's file. All of them come before `begin_send`."""
        with self._step(_State.NEW):
            if not _PATH.fullmatch(path) or path == f"{_SEND}.xml":
                raise JobFileError(Rule.FILE, path)
            self._ids.add_file(path)
            self._zip.writestr(_entry(path), data)

    def begin_split(self, settings: JobSettings) -> None:
        with self._step(_State.NEW):
            if settings.deliver_at:
                raise JobFileError(Rule.DELIVER_AT, settings.job)
            self._ids.check_files()
            self._begin(_SPLIT, settings)
            self._open.enter_context(self._xml.element("mottakere"))
            self._state = _State.SPLIT

    def add_recipients(self, recipients: Iterable[JobRecipient]) -> None:
        with self._step(_State.SPLIT):
            for recipient in recipients:
                self._xml.about = recipient.id
                self._recipient(recipient)
                self._written += 1

    def begin_send(
        self, settings: JobSettings, shared: Settings, documents: Iterable[JobDocument]
    ) -> None:
        """`shared` holds for every document that does not say otherwise."""
        with self._step(_State.NEW):
            self._begin(_SEND, settings)
            xml, enter = self._xml, self._open.enter_context
            enter(xml.element("standard-distribusjon"))
            self._shared = _wire(shared, settings.job)
            if self._shared:
                with xml.element("felles-innstillinger"):
                    xml.settings("globale-dokument-innstillinger", self._shared)
            with xml.element("post"):
                some = False
                for document in documents:
                    xml.about = document.id
                    self._document(document)
                    some = True
            _must(some, Rule.EMPTY, settings.job)
            self._ids.check_files()
            enter(xml.element("forsendelser"))
            self._state = _State.SEND

    def add_letters(self, letters: Iterable[JobLetter]) -> None:
        with self._step(_State.SEND):
            for letter in letters:
                self._xml.about = letter.id
                self._letter(letter)
                self._written += 1

    def finish(self) -> Parcel:
        """The file, which from now on is the caller's to close."""
        with self._step(_State.SPLIT, _State.SEND):
            _must(self._written, Rule.EMPTY, self._job)
            self._ids.check_documents()
            self._open.close()
            self._zip.close()
            self._file.seek(0)
            digest = file_digest(self._file, "sha256").hexdigest()
            size = self._file.tell()
            self._file.seek(0)
            self._ids.close()
            self._state = _State.FINISHED
            return Parcel(cast(BinaryIO, self._file), size, digest, self._written)

    def close(self) -> None:
        """Nothing of it is left, unless it was finished. Twice is as good as once."""
        if self._state in {_State.FINISHED, _State.CLOSED}:
            return
        self._state = _State.CLOSED
        # it is thrown away, and why it cannot be ended well has been told already
        with suppress(Exception):
            self._open.close()
        with suppress(Exception):
            self._zip.close()
        self._ids.close()
        self._file.close()

    @contextmanager
    def _step(self, *states: _State) -> Iterator[None]:
        if self._state not in states:
            raise RuntimeError(f"not with a job file that is {self._state}")
        try:
            yield
        except LargeZipFile as error:
            self._state = _State.BROKEN
            raise JobFileError(Rule.TOO_LARGE, str(self._written)) from error
        except BaseException:
            self._state = _State.BROKEN
            raise

    def _begin(self, root: str, settings: JobSettings) -> None:
        self._job = settings.job
        out = self._open.enter_context(self._zip.open(_entry(f"{root}.xml"), "w"))
        self._xml = _Xml(self._open.enter_context(etree.xmlfile(out, encoding="UTF-8")))
        self._xml.about = settings.job
        self._open.enter_context(self._xml.root(root, xsi=root == _SEND))
        self._job_settings(settings)

    def _job_settings(self, of: JobSettings) -> None:
        xml = self._xml
        _must(_JOB_ID.fullmatch(of.job), Rule.JOB_ID, of.job[:100])
        _must(of.sender > 0 and (of.broker is None or of.broker > 0), Rule.ACCOUNT, of.job)
        _must(len(of.name) <= 80, Rule.JOB_NAME, of.job)
        with xml.element("jobb-innstillinger"):
            xml.text("avsender-id", str(of.sender))
            if of.broker is not None:
                xml.text("behandler-id", str(of.broker))
            xml.text("jobb-id", of.job)
            xml.text_unless_empty("jobb-navn", of.name)
            xml.text("auto-godkjenn-jobb", "true" if of.auto_approve else "false")
            if of.deliver_at:
                xml.text("virkningsdato", _time(of.deliver_at, Rule.DELIVER_AT, of.job))
            xml.text_unless_empty("klientinformasjon", of.client)

    def _document(self, document: JobDocument) -> None:
        xml, about = self._xml, document.id
        _must(_DOCUMENT_ID.fullmatch(about), Rule.DOCUMENT_ID, about)
        _must(_PATH.fullmatch(document.file), Rule.FILE, about)
        own = _less(_wire(document.settings, about), self._shared)
        self._ids.add_document(document, own)
        with xml.element("dokument"):
            xml.text("id", about)
            xml.text("fil", document.file)
            if own:
                xml.settings("innstillinger", own)

    def _letter(self, letter: JobLetter) -> None:
        xml, about = self._xml, letter.id
        _must(_bare(xml.legal(about)), Rule.LETTER_ID, about)
        _must(letter.documents, Rule.MAIN_DOCUMENT, about)
        _must(len(letter.documents) <= 100, Rule.ATTACHMENTS, about)
        self._ids.add("letter", about, Rule.REPEATED_LETTER_ID, about)
        attributes = {"id": about}
        if letter.print:
            attributes[f"{{{_XSI}}}type"] = "brev-med-print"
        with xml.element("brev", attributes):
            self._recipient(letter.recipient)
            settings, tag = _wire(letter.settings, about), "hoveddokument"
            for uuid, refid in letter.documents:
                self._shown(letter, tag, uuid, refid, settings)
                settings, tag = {}, "vedlegg"
            if letter.print:
                self._print(letter.print)

    def _shown(self, letter: JobLetter, tag: str, uuid: str, refid: str, settings: "_Wire") -> None:
        xml, about = self._xml, letter.id
        _must(_UUID.fullmatch(uuid), Rule.UUID, about)
        self._ids.add("uuid", uuid, Rule.REPEATED_UUID, about)
        _must(_DOCUMENT_ID.fullmatch(refid), Rule.UNKNOWN_DOCUMENT, about)
        shown = self._ids.show(refid, about)
        inherited = self._shared | shown.settings
        _must("emne" in inherited | settings, Rule.SUBJECT, about)
        _must(shown.is_pdf or not letter.print, Rule.PRINTED_PDF, about)
        with xml.element(tag, {"uuid": uuid, "refid": refid}):
            if own := _less(settings, inherited):
                xml.settings("innstillinger", own)

    def _recipient(self, of: JobRecipient) -> None:
        xml, about = self._xml, of.id
        _must(_bare(xml.legal(of.id)), Rule.CUSTOMER_ID, about)
        self._ids.add("customer", of.id, Rule.REPEATED_CUSTOMER_ID, about)
        with xml.element("mottaker"):
            xml.text("kunde-id", of.id)
            if of.by is Identity.NAME_AND_ADDRESS:
                if of.addressee is None or of.value:
                    raise JobFileError(Rule.IDENTIFICATION, about)
                self._addressee(of.addressee)
                return
            _must(of.addressee is None and _bare(of.value), Rule.IDENTIFICATION, about)
            if of.by is Identity.NATIONAL_ID:
                _must(valid_national_id(of.value) == of.value, Rule.NATIONAL_ID, about)
            if of.by is Identity.ORGANIZATION_NUMBER:
                valid = valid_organization_number(of.value) == of.value
                _must(valid, Rule.ORGANIZATION_NUMBER, about)
            xml.text(_IDENTIFIED_BY[of.by], of.value)

    def _addressee(self, of: Addressee) -> None:
        """Name and address, and what may make them certain."""
        xml = self._xml
        if of.postal is None:
            raise JobFileError(Rule.IDENTIFICATION, xml.about)
        with xml.element("navn"):
            self._name(of)
        with xml.element("adresse"), xml.element("adresse-format1"):
            self._address(of.postal)
        if of.birth_date:
            xml.text("foedselsdato", of.birth_date.strftime("%d%m%y"))
        xml.text_unless_empty("telefonnummer", of.phone)
        xml.text_unless_empty("epostadresse", of.email)

    def _name(self, of: Addressee) -> None:
        xml = self._xml
        if not (of.first_name.strip() and of.last_name.strip()):
            _must(of.name.strip(), Rule.NAME, xml.about)
            with xml.element("navn-format1"):
                xml.text("fullt-navn-fornavn-foerst", of.name)
            return
        with xml.element("navn-format3" if of.middle_name else "navn-format2"):
            xml.text("fornavn", of.first_name)
            xml.text_unless_empty("mellomnavn", of.middle_name)
            xml.text("etternavn", of.last_name)

    def _address(self, of: PostalAddress) -> None:
        """Two lines, postal code and city: there is no more room in Digipost's question.

        Abroad, what is not known stands empty, since the elements must be there; whether anybody
        is found by it is for Digipost to say, recipient by recipient.
        """
        xml, lines = self._xml, of.lines
        if of.in_norway:
            _check_norwegian(of, xml.about)
        else:
            _check_foreign(of, xml.about)
            if of.city and len(lines) > 1 and of.city in lines[-1]:
                lines = lines[:-1]
        _must(lines, Rule.ADDRESS_LINES, xml.about)
        xml.text("adresselinje1", lines[0])
        xml.text_unless_empty("adresselinje2", ", ".join(lines[1:]))
        xml.text("postnummer", of.postal_code)
        xml.text("poststed", of.city)
        if not of.in_norway:
            xml.text("land", of.country)

    def _print(self, of: Print) -> None:
        with self._xml.element("fysisk-print"):
            self._addressed("postmottaker", "mottakeradresse", of.name, of.address)
            self._addressed("retur-postmottaker", "returadresse", of.return_name, of.return_address)

    def _addressed(self, who: str, where: str, name: str, of: PostalAddress) -> None:
        xml = self._xml
        _must(name.strip() and len(name) <= 130, Rule.NAME, xml.about)
        xml.text(who, name)
        with xml.element(f"norsk-{where}" if of.in_norway else f"utenlandsk-{where}"):
            check = _check_norwegian if of.in_norway else _check_foreign
            check(of, xml.about)
            _must(all(len(line) <= 100 for line in of.lines), Rule.ADDRESS_LINES, xml.about)
            for number, line in enumerate(of.lines, 1):
                xml.text(f"adresselinje{number}", line)
            if of.in_norway:
                _must(len(of.city) <= 80, Rule.CITY, xml.about)
                xml.text("postnummer", of.postal_code)
                xml.text("poststed", of.city)
            else:
                xml.text("land-kode", of.country)


def _must(true: object, rule: Rule, about: str) -> None:
    if not true:
        raise JobFileError(rule, about)


def _bare(text: str) -> bool:
    """Something, without blanks at its ends."""
    return bool(text) and text == text.strip()


def _check_norwegian(of: PostalAddress, about: str) -> None:
    lines = len(of.lines) <= 2 and all(line.strip() for line in of.lines)
    _must(lines, Rule.ADDRESS_LINES, about)
    _must(re.fullmatch("[0-9]{4}", of.postal_code), Rule.POSTAL_CODE, about)
    _must(of.city.strip(), Rule.CITY, about)


def _check_foreign(of: PostalAddress, about: str) -> None:
    lines = 1 <= len(of.lines) <= 4 and all(line.strip() for line in of.lines)
    _must(lines, Rule.ADDRESS_LINES, about)
    _must(re.fullmatch("[A-Z]{2}", of.country), Rule.COUNTRY, about)


def _time(at: datetime, rule: Rule, about: str) -> str:
    _must(at.tzinfo, rule, about)
    return at.astimezone(UTC).isoformat()


def _entry(path: str) -> ZipInfo:
    """An entry that says nothing of when and where it was made."""
    entry = ZipInfo(path, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = 0o600 << 16
    return entry


#: Settings as Digipost has them, by element, in the order that it wants.
_Wire = dict[str, str | list[list[str]]]


def _wire(of: Settings, about: str) -> _Wire:
    wire: _Wire = {}
    if of.subject is not None:
        _must(of.subject.strip() and len(of.subject) <= 100, Rule.SUBJECT, about)
        wire["emne"] = of.subject
    if of.sms_at is not None or of.sms_after_hours is not None:
        at, hours = of.sms_at or (), of.sms_after_hours or ()
        _must(all(0 <= hour < 2**31 for hour in hours), Rule.SMS, about)
        times = [["tidspunkt", _time(time, Rule.SMS, about)] for time in at]
        wire["sms-varsling"] = times + [["etter-timer", str(hour)] for hour in hours]
    if of.authentication is not None:
        wire["autentiseringsnivaa"] = _AUTHENTICATION[of.authentication]
    if of.sensitivity is not None:
        wire["sensitivitetsnivaa"] = _SENSITIVITY[of.sensitivity]
    return wire


def _less(settings: _Wire, inherited: _Wire) -> _Wire:
    """Those that are not inherited as they are."""
    return {tag: value for tag, value in settings.items() if inherited.get(tag) != value}


class _Xml:
    """Writes elements of Digipost's namespace, one after the other."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self.about = ""  #: the id of what is being written, for errors
        writer.write_declaration()

    def root(self, tag: str, *, xsi: bool) -> AbstractContextManager[None]:
        nsmap = {None: _NAMESPACE} | ({"xsi": _XSI} if xsi else {})
        return cast(
            AbstractContextManager[None],
            self._writer.element(f"{{{_NAMESPACE}}}{tag}", nsmap=nsmap),
        )

    def element(
        self, tag: str, attributes: Mapping[str, str] | None = None
    ) -> AbstractContextManager[None]:
        return cast(
            AbstractContextManager[None],
            self._writer.element(f"{{{_NAMESPACE}}}{tag}", attributes),
        )

    def text(self, tag: str, value: str) -> None:
        with self.element(tag):
            self._writer.write(self.legal(value))

    def text_unless_empty(self, tag: str, value: str) -> None:
        if value:
            self.text(tag, value)

    def legal(self, value: str) -> str:
        _must(not _ILLEGAL.search(value), Rule.CHARACTERS, self.about)
        return value

    def settings(self, tag: str, settings: _Wire) -> None:
        with self.element(tag):
            for name, value in settings.items():
                if isinstance(value, str):
                    self.text(name, value)
                else:
                    with self.element(name):
                        for part, text in value:
                            self.text(part, text)


@dataclass(frozen=True, slots=True)
class _Shown:
    settings: _Wire
    is_pdf: bool


class _Ids:
    """Which ids the file has. SQLite keeps 2 MB of them in memory, the rest in a nameless file."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.executescript(
            """
            PRAGMA journal_mode = OFF;
            PRAGMA synchronous = OFF;
            CREATE TABLE seen (kind, id, PRIMARY KEY (kind, id)) WITHOUT ROWID;
            CREATE TABLE file (path PRIMARY KEY, used) WITHOUT ROWID;
            CREATE TABLE document (id PRIMARY KEY, settings, is_pdf, used) WITHOUT ROWID;
            BEGIN;
            """
        )

    def add(self, kind: str, id_: str, rule: Rule, about: str) -> None:
        self._insert("INSERT INTO seen VALUES (?, ?)", (kind, id_), rule, about)

    def add_file(self, path: str) -> None:
        self._insert("INSERT INTO file VALUES (?, 0)", (path,), Rule.REPEATED_FILE, path)

    def add_document(self, document: JobDocument, settings: _Wire) -> None:
        self._insert(
            "INSERT INTO document VALUES (?, ?, ?, 0)",
            (document.id, json.dumps(settings), document.file.lower().endswith(".pdf")),
            Rule.REPEATED_DOCUMENT_ID,
            document.id,
        )
        found = self._db.execute("UPDATE file SET used = 1 WHERE path = ?", (document.file,))
        _must(found.rowcount, Rule.MISSING_FILE, document.id)

    def show(self, refid: str, about: str) -> _Shown:
        """The document, which a letter shows."""
        found = self._db.execute(
            "SELECT settings, is_pdf, used FROM document WHERE id = ?", (refid,)
        ).fetchone()
        if found is None:
            raise JobFileError(Rule.UNKNOWN_DOCUMENT, about)
        settings, is_pdf, used = found
        if not used:
            self._db.execute("UPDATE document SET used = 1 WHERE id = ?", (refid,))
        return _Shown(json.loads(settings), bool(is_pdf))

    def check_files(self) -> None:
        self._all_used("SELECT path FROM file WHERE used = 0 LIMIT 1", Rule.UNUSED_FILE)

    def check_documents(self) -> None:
        self._all_used("SELECT id FROM document WHERE used = 0 LIMIT 1", Rule.UNUSED_DOCUMENT)

    def close(self) -> None:
        self._db.close()

    def _insert(self, sql: str, values: tuple[object, ...], rule: Rule, about: str) -> None:
        try:
            self._db.execute(sql, values)
        except sqlite3.IntegrityError as error:
            raise JobFileError(rule, about) from error

    def _all_used(self, sql: str, rule: Rule) -> None:
        if unused := self._db.execute(sql).fetchone():
            raise JobFileError(rule, unused[0])
