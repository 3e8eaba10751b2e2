"""Job files as Digipost reads them: a zip with one XML file at its root, and documents."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError
from zoneinfo import ZoneInfo

from lxml import etree

from . import shape
from .shape import NAMESPACE, UUID, Schemas, name_of
from .switches import Switches

_NS = {"d": NAMESPACE}
_OSLO = ZoneInfo("Europe/Oslo")


class UnreadableError(Exception):
    """Nothing can be made of it, not even whose it is."""


class InvalidError(Exception):
    """VALIDERING_FEILET: which job it is can be told, and what is wrong with it."""

    def __init__(self, job: "Job", said: str) -> None:
        super().__init__(said)
        self.job = job


@dataclass(frozen=True)
class Recipient:
    """Whom Digipost is asked for. `by` is the element that tells it; `navn` is name and address."""

    id: str
    by: str
    value: str = ""
    name: str = ""
    lines: tuple[str, ...] = ()
    postal_code: str = ""
    city: str = ""
    birth_date: str = ""
    phone: str = ""
    email: str = ""
    country: str = ""


@dataclass(frozen=True)
class Document:
    id: str
    file: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Letter:
    id: str
    recipient: Recipient
    uuids: tuple[str, ...]  #: the main document's first
    documents: tuple[str, ...]  #: their ids, in the same order
    subjects: tuple[str, ...]
    printable: bool  #: it is a `brev-med-print`
    print_name: str = ""
    print_lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    id: str
    root: str
    sender: str = ""
    broker: str = ""
    name: str = ""
    auto: bool = False
    deliver_at: datetime | None = None
    recipients: tuple[Recipient, ...] = ()
    letters: tuple[Letter, ...] = ()
    documents: Mapping[str, Document] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)  #: what holds for all documents


def read_job(path: Path, root: str, switches: Switches, schemas: Schemas | None = None) -> Job:
    """The job, whole. Raises UnreadableError or InvalidError."""
    try:
        with ZipFile(path) as file:
            return _read(file, path, root, switches, schemas)
    except (BadZipFile, ZlibError, EOFError, NotImplementedError, RuntimeError) as error:
        raise UnreadableError(f"zip-filen kan ikke leses: {error}") from error


def _read(file: ZipFile, path: Path, root: str, switches: Switches, schemas: Schemas | None) -> Job:
    names = [one.filename for one in file.infolist() if not one.is_dir()]
    at_root = [name for name in names if "/" not in name and name.lower().endswith(".xml")]
    if at_root != [f"{root}.xml"]:
        raise UnreadableError(f"skal ha nøyaktig én xml-fil i roten, {root}.xml")
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise UnreadableError(f"samme fil flere ganger: {repeated[0]}")
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
        tree = etree.fromstring(file.read(f"{root}.xml"), parser)
    except etree.XMLSyntaxError as error:
        raise UnreadableError(f"xml-filen kan ikke leses: {error}") from error
    job = _head(tree, root)
    if path.stat().st_size > switches.max_zip_megabytes * 1024 * 1024:
        raise InvalidError(job, "zip-filen er for stor")
    said = next(iter(shape.faults(tree)), "") or (
        next(iter(schemas.faults(tree)), "") if schemas else ""
    )
    if said:
        raise InvalidError(job, said)
    if etree.QName(tree).localname != root:
        raise InvalidError(job, f"rotelementet skal være {root}")
    if root == "mottakersplitt":
        job = _with_recipients(job, tree)
        _all_used(job, names, {f"{root}.xml"}, switches)
    else:
        job = _with_letters(job, tree, file, set(names))
        used = {one.file for one in job.documents.values()} | {f"{root}.xml"}
        _all_used(job, names, used, switches)
    return job


def _head(tree: etree._Element, root: str) -> Job:
    def text(name: str) -> str:
        # also of an older version, to be able to say whose it is
        return tree.findtext(f"{{*}}jobb-innstillinger/{{*}}{name}", "")

    if not re.fullmatch(r"[a-zA-Z0-9_.-]{1,100}", text("jobb-id")):
        raise UnreadableError("jobb-id mangler eller er ugyldig")
    try:
        deliver_at = datetime.fromisoformat(text("virkningsdato"))
    except ValueError:
        deliver_at = None
    if deliver_at and deliver_at.tzinfo is None:
        deliver_at = deliver_at.replace(tzinfo=_OSLO)
    return Job(
        id=text("jobb-id"),
        root=root,
        sender=text("avsender-id"),
        broker=text("behandler-id"),
        name=text("jobb-navn"),
        auto=text("auto-godkjenn-jobb") in {"true", "1"},
        deliver_at=deliver_at.astimezone(UTC) if deliver_at else None,
    )


def _with_recipients(job: Job, tree: etree._Element) -> Job:
    found = tuple(_recipient(one) for one in tree.iterfind("d:mottakere/d:mottaker", _NS))
    _once(job, "kunde-id", (one.id for one in found))
    return _replaced(job, recipients=found)


def _with_letters(job: Job, tree: etree._Element, file: ZipFile, names: set[str]) -> Job:
    common = "d:standard-distribusjon/d:felles-innstillinger"
    overall = _settings(tree.find(f"{common}/d:globale-dokument-innstillinger", _NS))
    named: dict[str, Mapping[str, str]] = {}
    for one in tree.iterfind(f"{common}/d:dokument-innstillinger", _NS):
        if not one.get("id"):
            raise InvalidError(job, "dokument-innstillinger uten id")
        named[str(one.get("id"))] = _settings(one)
    elements = list(tree.iterfind("d:standard-distribusjon/d:post/d:dokument", _NS))
    ids = [one.findtext("d:id", "", _NS) for one in elements]
    sets = tree.findall(f"{common}/d:dokument-innstillinger", _NS)
    _once(job, "id", [*ids, *(str(one.get("id")) for one in sets)])
    documents: dict[str, Document] = {}
    levels: dict[str, Mapping[str, str]] = {}
    for id_, element in zip(ids, elements, strict=True):
        documents[id_] = _document(job, id_, element.findtext("d:fil", "", _NS), file, names)
        own = element.find("d:innstillinger", _NS)
        extended = str(own.get("extends", "")) if own is not None else ""
        if extended and extended not in named:
            raise InvalidError(job, f"extends viser til {extended}, som ikke finnes")
        levels[id_] = {**overall, **named.get(extended, {}), **_settings(own)}
    letters = tuple(
        _letter(job, one, levels)
        for one in tree.iterfind("d:standard-distribusjon/d:forsendelser/d:brev", _NS)
    )
    _once(job, "kunde-id", (one.recipient.id for one in letters))
    _once(job, "brev-id", (one.id for one in letters if one.id))
    _once(job, "uuid", (uuid for one in letters for uuid in one.uuids))
    return _replaced(
        job,
        recipients=tuple(one.recipient for one in letters),
        letters=letters,
        documents=documents,
    )


def _document(job: Job, id_: str, path: str, file: ZipFile, names: set[str]) -> Document:
    if path not in names:
        raise InvalidError(job, f"dokument {id_}: filen {path} er ikke i zip-filen")
    data = file.read(path)
    return Document(id_, path, len(data), sha256(data).hexdigest())


def _letter(job: Job, element: etree._Element, levels: Mapping[str, Mapping[str, str]]) -> Letter:
    id_ = str(element.get("id", ""))
    parts = [*element.iterfind("d:hoveddokument", _NS), *element.iterfind("d:vedlegg", _NS)]
    uuids, documents, subjects = [], [], []
    for part in parts:
        uuid, refid = str(part.get("uuid", "")), str(part.get("refid", ""))
        if not UUID.fullmatch(uuid):
            raise InvalidError(job, f"brev {id_}: uuid mangler eller er ugyldig")
        if refid not in levels:
            raise InvalidError(job, f"brev {id_}: refid viser til {refid!r}, som ikke finnes")
        own = part.find("d:innstillinger", _NS)
        if own is not None and own.get("extends"):
            raise InvalidError(job, f"brev {id_}: innstillinger for ett brev har ikke extends")
        subject = {**levels[refid], **_settings(own)}.get("emne", "")
        if not subject.strip():
            raise InvalidError(job, f"brev {id_}: dokument uten emne")
        uuids.append(uuid)
        documents.append(refid)
        subjects.append(subject)
    mottaker = element.find("d:mottaker", _NS)
    assert mottaker is not None  # its shape has been seen to
    paper = element.find("d:fysisk-print", _NS)
    to = paper.find("d:norsk-mottakeradresse", _NS) if paper is not None else None
    if paper is not None and to is None:
        to = paper.find("d:utenlandsk-mottakeradresse", _NS)
    return Letter(
        id_,
        _recipient(mottaker),
        tuple(uuids),
        tuple(documents),
        tuple(subjects),
        printable=name_of(element) == "brev-med-print",
        print_name=paper.findtext("d:postmottaker", "", _NS) if paper is not None else "",
        print_lines=tuple(one.text or "" for one in to) if to is not None else (),
    )


def _recipient(element: etree._Element) -> Recipient:
    id_ = element.findtext("d:kunde-id", "", _NS)
    by = next(name_of(one) for one in list(element.iterchildren("*"))[1:])
    if by != "navn":
        return Recipient(id_, by, element.findtext(f"d:{by}", "", _NS))
    name = next(iter(element.find("d:navn", _NS)))  # type: ignore[arg-type]
    words = [one.text or "" for one in name]
    if name.find("d:fullt-navn-etternavn-foerst", _NS) is not None:
        last, _, first = words[0].partition(" ")
        words = [first, last]
    place = next(iter(element.find("d:adresse", _NS)))  # type: ignore[arg-type]
    lines = [
        one.text or "" for one in place if name_of(one) not in {"postnummer", "poststed", "land"}
    ]
    if name_of(place) == "adresse-format2":
        lines = [" ".join(lines[:2]) + "".join(lines[2:])]
    return Recipient(
        id_,
        by,
        name=" ".join(words).strip(),
        lines=tuple(lines),
        postal_code=place.findtext("d:postnummer", "", _NS),
        country=place.findtext("d:land", "", _NS),
        city=place.findtext("d:poststed", "", _NS),
        birth_date=element.findtext("d:foedselsdato", "", _NS),
        phone=element.findtext("d:telefonnummer", "", _NS),
        email=element.findtext("d:epostadresse", "", _NS),
    )


def _settings(element: etree._Element | None) -> Mapping[str, str]:
    """Each by itself; an empty one takes back what was inherited."""
    if element is None:
        return {}
    return {name_of(one): (one.text or "").strip() for one in element.iterchildren("*")}


def _once(job: Job, what: str, values: Iterable[str]) -> None:
    for value, count in Counter(values).items():
        if count > 1:
            raise InvalidError(job, f"{what} {value} er brukt {count} ganger")


def _all_used(job: Job, names: Iterable[str], used: set[str], switches: Switches) -> None:
    extra = [name for name in names if name not in used]
    if extra and switches.unreferenced_files == "refused":
        raise InvalidError(job, f"filen {extra[0]} er ikke nevnt i xml-filen")


def _replaced(job: Job, **changes: object) -> Job:
    return Job(**{**job.__dict__, **changes})


def contents(path: Path, job: Job) -> Iterator[tuple[Document, bytes]]:
    """The documents one by one, so that only one is in memory."""
    with ZipFile(path) as file:
        for document in job.documents.values():
            yield document, file.read(document.file)
