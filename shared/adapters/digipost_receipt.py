"""Receipts from Digipost: a zip with one XML file, from a place that others can write to as well.

So neither is trusted. What the zip says of its sizes is not believed, a DOCTYPE is refused before
anything of it is used, and the XML is read as a stream of which no tree is built: memory follows
the rows that are kept, and there is a limit to those. What is read is read tolerantly: words that
Digipost may have added since are kept, and parts that it leaves out are not missed. A signature is
noticed and not verified: which certificate it would be is not known. National identity numbers in
what Digipost writes of its own accord stay here.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from io import BytesIO
from typing import Any, TypeVar, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from lxml import etree

from shared.domain.addressee import without_national_ids
from shared.domain.job_receipt import (
    DocumentFault,
    JobAnswer,
    JobError,
    JobReceipt,
    LetterFault,
    LetterResult,
    RecipientAnswer,
    RecipientReason,
    RecipientResult,
    SentBy,
)
from shared.domain.letter_job import JobKind
from shared.errors import PermanentError

#: 100,000 letters come to some 60 MB of XML.
_MOST_BYTES = 256 * 1024 * 1024
#: Beyond the first megabyte. Rows of letters are packed to a tenth, zeros to a thousandth.
_MOST_PACKED, _LET_BE = 200, 1024 * 1024
#: In one list. A job has 100,000 letters at the most.
_MOST_ROWS = 300_000
#: Within one row: 99 attachments and what is wrong with them.
_MOST_PARTS, _MOST_TEXT = 2_000, 200_000
_MOST_DEEP = 100
_MOST_UNKNOWN = 50
_CHUNK = 64 * 1024

_NAMESPACE = re.compile(r"http://www\.digipost\.no/xsd/avsender[0-9]+_[0-9]+")
_KNOWN_NAMESPACES = {f"http://www.digipost.no/xsd/avsender{version}" for version in ("2_0", "2_1")}
_SIGNATURE = "{http://www.w3.org/2000/09/xmldsig#}Signature"
_ROOTS = {
    "mottakersplitt-resultat": JobKind.SPLIT,
    "masseutsendelse-resultat": JobKind.SEND,
}
_ENTRY = re.compile(r"\w[\w. +()-]{0,199}")
_NAME = re.compile(
    r"(?P<base>.+)\.(?P<kind>[^\W\d]+)[.-](?P<stamp>[0-9]{8}-[0-9]{9})\.zip", re.IGNORECASE
)

_JOB_ANSWERS = {
    "MOTTATT": JobAnswer.RECEIVED,
    "FORELØPIG_SUKSESS": JobAnswer.PROVISIONAL,
    "SUKSESS": JobAnswer.SUCCESS,
    "FEILET": JobAnswer.FAILED,
}
_JOB_ERRORS = {
    "VALIDERING_FEILET": JobError.VALIDATION,
    "ENGINE_FEIL": JobError.ENGINE,
    "GENERELL_FEIL": JobError.GENERAL,
}
_RECIPIENT_ANSWERS = {
    "DIGIPOST": RecipientAnswer.USER,
    "IDENTIFISERT": RecipientAnswer.IDENTIFIED,
    "UIDENTIFISERT": RecipientAnswer.UNIDENTIFIED,
    "UGYLDIG": RecipientAnswer.INVALID,
}
_RECIPIENT_REASONS = {
    "FLERE_TREFF": RecipientReason.SEVERAL_MATCHES,
    "MANGELFULL_ADRESSE": RecipientReason.INCOMPLETE_ADDRESS,
    "UGYLDIG_KUNDEID": RecipientReason.CUSTOMER_ID,
    "UGYLDIG_FOEDSELSNUMMER": RecipientReason.NATIONAL_ID,
    "UGYLDIG_FOEDSELSDATO": RecipientReason.BIRTH_DATE,
    "UGYLDIG_DIGIPOSTADRESSE": RecipientReason.DIGIPOST_ADDRESS,
    "UGYLDIG_NAVN_ADRESSE": RecipientReason.NAME_AND_ADDRESS,
    "UGYLDIG_POSTNUMMER": RecipientReason.POSTAL_CODE,
    "UGYLDIG_ORGANISASJONSNUMMER": RecipientReason.ORGANIZATION_NUMBER,
    "USPESIFISERT": RecipientReason.UNSPECIFIED,
}
_SENT = {"SENDT": True, "IKKE_SENDT": False}
_SENT_BY = {"WEB": SentBy.DIGIPOST, "PRINT": SentBy.PRINT}
_LETTER_FAULTS = {
    "UGYLDIG_DOKUMENT": LetterFault.DOCUMENT,
    "UGYLDIG_MOTTAKER": LetterFault.RECIPIENT,
    "UGYLDIG_FOR_PRINT": LetterFault.NOT_FOR_PRINT,
    "USPESIFISERT_FEIL": LetterFault.UNSPECIFIED,
}
_DOCUMENT_FAULTS = {
    "UGYLDIG_FOR_WEB": DocumentFault.NOT_FOR_WEB,
    "UGYLDIG_FOR_PRINT": DocumentFault.NOT_FOR_PRINT,
    "USPESIFISERT_FEIL": DocumentFault.UNSPECIFIED,
}


class Unreadable(StrEnum):
    """Why a receipt was not read."""

    NOT_A_ZIP = "not_a_zip"  #: or half of one: it may be on its way still
    ENTRIES = "entries"  #: not exactly one file in it
    ODD_NAME = "odd_name"  #: a folder, or a name that no receipt has
    ENCRYPTED = "encrypted"
    NOT_XML = "not_xml"  #: a file of another kind: Digipost could not parse the job
    TOO_LARGE = "too_large"
    TOO_PACKED = "too_packed"  #: as only a bomb is
    BROKEN_XML = "broken_xml"
    DOCTYPE = "doctype"
    NOT_A_RECEIPT = "not_a_receipt"  #: some other XML
    NO_JOB = "no_job"  #: it does not say which job it is of


class UnreadableReceiptError(PermanentError, ValueError):
    """The receipt was not read, and nothing of it may be used. `fault` says why."""

    def __init__(self, name: str, fault: Unreadable) -> None:
        super().__init__(f"digipost: receipt {name}: {fault}")
        self.fault = fault


def receipt_name(name: str) -> tuple[str, str, str] | None:
    """The uploaded name without .zip, the kind of receipt and when it was made; None: another file.

    The kind is Digipost's word, also one that is not known yet.

    >>> receipt_name("kommune-20417-1.resultat.20111201-145344585.zip")
    ('kommune-20417-1', 'resultat', '20111201-145344585')
    """
    found = _NAME.fullmatch(name)
    return (found["base"], found["kind"].lower(), found["stamp"]) if found else None


def read_receipt(
    name: str, data: bytes, *, most_bytes: int = _MOST_BYTES, most_rows: int = _MOST_ROWS
) -> JobReceipt:
    """What the receipt says. Raises UnreadableReceiptError, and never anything else."""
    reader = _Reader(most_rows)
    parser = etree.XMLParser(
        target=cast(Any, reader),
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
    )
    try:
        for chunk in _content(data, most_bytes):
            parser.feed(chunk)
        parser.close()
        return reader.receipt()
    except _Refused as error:
        raise UnreadableReceiptError(name, error.fault) from error
    except (etree.LxmlError, UnicodeError) as error:
        raise UnreadableReceiptError(name, Unreadable.BROKEN_XML) from error


class _Refused(Exception):
    def __init__(self, fault: Unreadable) -> None:
        super().__init__(fault)
        self.fault = fault


# --- the zip ---


@contextmanager
def _unzipping() -> Iterator[None]:
    """A broken zip is told by many names."""
    try:
        yield
    except (BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError) as error:
        raise _Refused(Unreadable.NOT_A_ZIP) from error
    except (ValueError, OverflowError, LookupError, struct.error, zlib.error) as error:
        raise _Refused(Unreadable.NOT_A_ZIP) from error


def _content(data: bytes, most: int) -> Iterator[bytes]:
    """The one file in the zip, unpacked no further than is sensible."""
    with _unzipping():
        archive = ZipFile(BytesIO(data))
    with archive:
        entry = _only_entry(archive)
        with _unzipping():
            file = archive.open(entry)
        read = 0
        with file:
            while True:
                with _unzipping():
                    chunk = file.read(_CHUNK)
                if not chunk:
                    return
                read += len(chunk)
                if read > most:
                    raise _Refused(Unreadable.TOO_LARGE)
                if read > _LET_BE + _MOST_PACKED * len(data):
                    raise _Refused(Unreadable.TOO_PACKED)
                yield chunk


def _only_entry(archive: ZipFile) -> ZipInfo:
    entries = archive.infolist()
    if len(entries) != 1:
        raise _Refused(Unreadable.ENTRIES)
    entry = entries[0]
    if not _ENTRY.fullmatch(entry.orig_filename) or ".." in entry.filename:
        raise _Refused(Unreadable.ODD_NAME)
    if entry.flag_bits & 0x1:
        raise _Refused(Unreadable.ENCRYPTED)
    if not entry.filename.lower().endswith(".xml"):
        raise _Refused(Unreadable.NOT_XML)
    if entry.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
        raise _Refused(Unreadable.NOT_A_ZIP)
    return entry


# --- the XML ---

Word = TypeVar("Word")


class _Node:
    """An element of a row, by its local name."""

    __slots__ = ("attributes", "children", "pieces", "tag", "text")

    def __init__(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.tag = tag
        self.attributes = dict(attributes)
        self.children: list[_Node] = []
        self.pieces: list[str] = []
        self.text = ""  #: when it has ended

    def all(self, tag: str) -> "list[_Node]":
        return [child for child in self.children if child.tag == tag]

    def child(self, tag: str) -> "_Node | None":
        return next((child for child in self.children if child.tag == tag), None)

    def said(self, tag: str) -> str:
        """The text of the child; "" when there is none."""
        child = self.child(tag)
        return child.text.strip() if child else ""


class _Reader:
    """Takes the elements as the parser tells of them, and lets go of each row that is read."""

    def __init__(self, most_rows: int) -> None:
        self._most_rows = most_rows
        self._kind: JobKind | None = None
        self._namespace = ""
        self._path: list[str] = []  # above the row; the root is the first
        self._row: list[_Node] = []  # the row, and what is open in it
        self._parts = self._length = 0
        self._signed = False
        self._answer: JobAnswer | None = None
        self._info = _Node("jobb-info", {})
        self._error: JobError | None = None
        self._error_words = ""
        self._recipients: list[RecipientResult] = []
        self._letters: list[LetterResult] = []
        self._documents: list[tuple[str, tuple[DocumentFault, ...], tuple[str, ...]]] = []
        self._summary: list[tuple[str, int]] = []
        self._unknown: dict[str, None] = {}  # a set that keeps its order
        self._lists: dict[str, tuple[str, Callable[[_Node], None]]] = {
            "mottaker-resultater": ("resultat", self._recipient),
            "brev-resultater": ("resultat", self._letter),
            "dokumenter-med-feil": ("dokument-med-feil", self._document),
        }
        self._parts_of_root: dict[str, Callable[[_Node], None]] = {
            "status": self._status,
            "jobb-info": self._job_info,
            "feilinformasjon": self._failed,
            "mottaker-sammendrag": self._figures,
            "print-sammendrag": self._figures,
        }

    # --- what the parser calls ---

    def doctype(self, *_: object) -> None:
        raise _Refused(Unreadable.DOCTYPE)

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if not self._path:
            self._root(tag)
            return
        if self._row or self._is_row(tag):
            self._parts += 1
            if self._parts > _MOST_PARTS:
                raise _Refused(Unreadable.TOO_LARGE)
            node = _Node(self._local(tag), attributes)
            if self._row:
                self._row[-1].children.append(node)
            self._row.append(node)
            return
        self._signed |= len(self._path) == 1 and tag == _SIGNATURE
        if len(self._path) >= _MOST_DEEP:  # the parser looks after that only when it makes a tree
            raise _Refused(Unreadable.TOO_LARGE)
        self._path.append(self._local(tag))

    def data(self, text: str) -> None:
        if self._row:
            self._length += len(text)
            if self._length > _MOST_TEXT:
                raise _Refused(Unreadable.TOO_LARGE)
            self._row[-1].pieces.append(text)

    def end(self, tag: str) -> None:
        if not self._row:
            self._path.pop()
            return
        node = self._row.pop()
        node.text = "".join(node.pieces)
        if not self._row:
            self._parts = self._length = 0
            self._read(node)

    def close(self) -> None:
        """The parser is at the end."""

    # --- where we are ---

    def _root(self, tag: str) -> None:
        namespace, _, local = tag[1:].partition("}")
        if not _NAMESPACE.fullmatch(namespace) or local not in _ROOTS:
            raise _Refused(Unreadable.NOT_A_RECEIPT)
        self._kind, self._namespace = _ROOTS[local], namespace
        self._path.append(local)
        if namespace not in _KNOWN_NAMESPACES:
            self._note("namespace", namespace)

    def _local(self, tag: str) -> str:
        """The name in Digipost's own namespace; others keep theirs, and are nobody's."""
        return tag.removeprefix(f"{{{self._namespace}}}")

    def _is_row(self, tag: str) -> bool:
        local = self._local(tag)
        if len(self._path) == 1:
            return local in self._parts_of_root
        return len(self._path) == 2 and self._lists.get(self._path[1], ("",))[0] == local

    def _read(self, node: _Node) -> None:
        if len(self._path) == 1:
            self._parts_of_root[node.tag](node)
        else:
            self._lists[self._path[1]][1](node)

    # --- what it says ---

    def _status(self, node: _Node) -> None:
        self._answer = self._word(node.text, _JOB_ANSWERS, JobAnswer.UNKNOWN, "status")

    def _job_info(self, node: _Node) -> None:
        self._info = node

    def _failed(self, node: _Node) -> None:
        self._error = self._word(node.said("feilkode"), _JOB_ERRORS, JobError.UNKNOWN, "feilkode")
        self._error_words = without_national_ids(node.said("melding"))

    def _figures(self, node: _Node) -> None:
        """Of recipients as they are called; of print with that in front, since one is in both."""
        within = "" if node.tag == "mottaker-sammendrag" else f"{node.tag}/"
        for child in node.children:
            if re.fullmatch(r"\s*[0-9]{1,12}\s*", child.text):
                self._keep(self._summary, (f"{within}{child.tag}", int(child.text)))
            else:
                self._note(f"{within}{child.tag}", child.text)

    def _recipient(self, node: _Node) -> None:
        answer = self._word(
            node.said("status"), _RECIPIENT_ANSWERS, RecipientAnswer.UNKNOWN, "mottaker/status"
        )
        reasons = [
            self._word(child.text, _RECIPIENT_REASONS, RecipientReason.UNKNOWN, child.tag)
            for child in node.children
            if child.tag in {"uidentifisert-grunn", "ugyldig-grunn"}
        ]
        result = RecipientResult(
            id=node.said("kunde-id"),
            answer=answer,
            digipost_address=node.said("digipostadresse"),
            alias=node.said("person-alias"),
            reasons=tuple(reasons),
            washed=node.said("vasket") in {"true", "1"},
        )
        self._keep(self._recipients, result)

    def _letter(self, node: _Node) -> None:
        faults, words = self._faults(
            node.child("feilinformasjon"), _LETTER_FAULTS, LetterFault.UNKNOWN, "brev/feil"
        )
        by = node.said("kanal")
        result = LetterResult(
            # it was an element in 2_0
            id=node.attributes.get("brev-id", "").strip() or node.said("brev-id"),
            main=node.said("hoveddokument-uuid").lower(),
            sent=self._word(node.said("resultat"), _SENT, None, "brev/resultat"),
            by=self._word(by, _SENT_BY, SentBy.UNKNOWN, "kanal") if by else SentBy.UNKNOWN,
            faults=faults,
            words=words,
        )
        self._keep(self._letters, result)

    def _document(self, node: _Node) -> None:
        faults, words = self._faults(node, _DOCUMENT_FAULTS, DocumentFault.UNKNOWN, "dokument/feil")
        self._keep(self._documents, (node.said("dokument-id"), faults, words))

    def _faults(
        self, node: _Node | None, known: Mapping[str, Word], otherwise: Word, where: str
    ) -> tuple[tuple[Word, ...], tuple[str, ...]]:
        """The kinds of fault, and what Digipost says of them. Often there are none."""
        found = node.all("feil") if node else []
        kinds = tuple(self._word(one.said("type"), known, otherwise, where) for one in found)
        words = (message.text.strip() for one in found for message in one.all("melding"))
        return kinds, tuple(without_national_ids(text) for text in words if text)

    def _keep(self, rows: list[Word], row: Word) -> None:
        if len(rows) >= self._most_rows:
            raise _Refused(Unreadable.TOO_LARGE)
        rows.append(row)

    def _word(self, text: str, known: Mapping[str, Word], otherwise: Word, where: str) -> Word:
        word = text.strip()
        if word in known:
            return known[word]
        self._note(where, word)
        return otherwise

    def _note(self, where: str, said: str) -> None:
        """What we do not know, each once."""
        if len(self._unknown) < _MOST_UNKNOWN:
            self._unknown.setdefault(f"{where}: {without_national_ids(said.strip())[:100]}")

    def _time(self, tag: str) -> datetime | None:
        """None when it is not told, or not with a time zone."""
        text = self._info.said(tag)
        if not text:
            return None
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            at = None
        if at is None or at.tzinfo is None:
            self._note(tag, text)
            return None
        return at

    def receipt(self) -> JobReceipt:
        job = self._info.said("ref-jobb-id")
        if self._kind is None or not job:
            raise _Refused(Unreadable.NO_JOB)
        if self._answer is None:
            self._note("status", "")
        started, ended = self._time("start-tid"), self._time("slutt-tid")
        return JobReceipt(
            kind=self._kind,
            job=job,
            answer=self._answer or JobAnswer.UNKNOWN,
            sender=self._info.said("ref-avsender-id"),
            started_at=started,
            ended_at=ended,
            error=self._error,
            error_words=self._error_words,
            recipients=tuple(self._recipients),
            letters=tuple(self._letters),
            documents=tuple(self._documents),
            summary=tuple(self._summary),
            signed=self._signed,
            unknown=tuple(self._unknown),
        )
