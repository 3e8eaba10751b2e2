"""Job files: valid by Digipost's schemas, read back by another reader, and by the book."""

import hashlib
import itertools
import tracemalloc
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, timezone
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from lxml import etree

from shared.adapters.digipost_job import JobFile, JobFileError, Rule
from shared.domain.addressee import Addressee, Identity, PostalAddress
from shared.domain.letter_job import (
    Authentication,
    JobDocument,
    JobLetter,
    JobRecipient,
    JobSettings,
    Print,
    Sensitivity,
    Settings,
    document_uuid,
)
from tests.adapters.digipost_xsd import assert_valid, needs_schemas, sample

NS = "{http://www.digipost.no/xsd/avsender2_1}"
XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
PDF = b"%PDF-1.7 ..."
NOON = datetime(2026, 9, 2, 12, tzinfo=timezone(timedelta(hours=2)))

# --- a job that is in order ---

KARI = Addressee(
    name="Kari Prøve Nordmann",
    first_name="Kari",
    middle_name="Prøve",
    last_name="Nordmann",
    birth_date=date(1988, 11, 2),
    phone="+4799999999",
    postal=PostalAddress(("Storgata 1B",), "0155", "Oslo"),
)
SVEN = Addressee(
    name="Sven Prov",
    postal=PostalAddress(("Gatan 2", "111 22 Stockholm"), "111 22", "Stockholm", "SE"),
)
OSLO = PostalAddress(("Storgata 1B",), "0155", "Oslo")
STOCKHOLM = PostalAddress(("Gatan 2", "111 22 Stockholm"), country="SE")
RETURN = PostalAddress(("Postboks 1",), "0101", "Oslo")
ALIAS = "abcdefghijklmnopqrst#9ZY8"


def by_address(id_: str, addressee: Addressee = KARI) -> JobRecipient:
    return JobRecipient(id_, Identity.NAME_AND_ADDRESS, addressee=addressee)


def by_alias(id_: str) -> JobRecipient:
    return JobRecipient(id_, Identity.ALIAS, ALIAS)


def a_letter(id_: str, *documents: str, **values: Any) -> JobLetter:
    uuids = (document_uuid("jobb", id_, number) for number in itertools.count())
    values = {"recipient": by_alias(id_)} | values
    return JobLetter(
        id_, documents=tuple(zip(uuids, documents or ("brev",), strict=False)), **values
    )


JOB = JobSettings(sender=100123, job="fjordvik.20417-1.3fa9c2d1.send-1", name="Høring")
SPLIT = replace(JOB, job="fjordvik.20417-1.3fa9c2d1.split-1")
SUBJECT = Settings(subject="Høring om ny veileder")


@dataclass(frozen=True)
class Send:
    """What a send job is made of; a test changes a part of it."""

    settings: JobSettings = JOB
    shared: Settings = SUBJECT
    files: Sequence[str] = ("brev.pdf",)
    documents: Sequence[JobDocument] = (JobDocument("brev", "brev.pdf"),)
    letters: Sequence[JobLetter] = (a_letter("d-1"), a_letter("d-2"))


@dataclass(frozen=True)
class Split:
    settings: JobSettings = SPLIT
    files: Sequence[str] = ()
    recipients: Sequence[JobRecipient] = (by_alias("d-1"), by_address("d-2"))


def built(job: Send | Split) -> bytes:
    with JobFile() as file:
        for path in job.files:
            file.add_file(path, PDF)
        if isinstance(job, Split):
            file.begin_split(job.settings)
            file.add_recipients(job.recipients)
        else:
            file.begin_send(job.settings, job.shared, job.documents)
            file.add_letters(job.letters)
        parcel = file.finish()
    data = parcel.file.read()
    assert parcel.size == len(data)
    assert parcel.sha256 == hashlib.sha256(data).hexdigest()
    parcel.close()
    return data


def xml_of(data: bytes) -> bytes:
    with ZipFile(BytesIO(data)) as archive:
        return archive.read(archive.namelist()[-1])


# --- another reader of job files, which shares nothing with what wrote them ---


@dataclass
class Shown:
    """A document as one recipient gets it, its settings inherited as Digipost says."""

    uuid: str
    file: str
    subject: str | None = None
    sms: tuple[tuple[datetime, ...], tuple[int, ...]] | None = None
    authentication: str | None = None
    sensitivity: str | None = None


@dataclass
class Seen:
    id: str
    recipient: dict[str, str]
    shown: list[Shown] = field(default_factory=list)
    print: dict[str, str] | None = None


def leaves(element: ET.Element, within: str = "") -> dict[str, str]:
    """Every text in the element, by its path."""
    found: dict[str, str] = {}
    for child in element:
        path = f"{within}{child.tag.removeprefix(NS)}"
        found |= leaves(child, f"{path}/") if len(child) else {path: child.text or ""}
    return found


def own_settings(element: ET.Element | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for child in element if element is not None else ():
        match child.tag.removeprefix(NS):
            case "emne":
                found["subject"] = child.text
            case "sms-varsling":
                at = [datetime.fromisoformat(str(e.text)) for e in child.findall(f"{NS}tidspunkt")]
                hours = [int(str(e.text)) for e in child.findall(f"{NS}etter-timer")]
                found["sms"] = (tuple(at), tuple(hours))
            case "autentiseringsnivaa":
                found["authentication"] = child.text
            case "sensitivitetsnivaa":
                found["sensitivity"] = child.text
            case other:
                raise AssertionError(other)
    return found


def read_back(xml: bytes) -> tuple[dict[str, str], list[Seen]]:
    """The job's settings, and its recipients or letters."""
    root = ET.fromstring(xml)
    job = leaves(element(root, "jobb-innstillinger"))
    if root.tag == f"{NS}mottakersplitt":
        people = element(root, "mottakere")
        return job, [Seen(leaves(one)["kunde-id"], leaves(one)) for one in people]
    rest = element(root, "standard-distribusjon")
    shared = own_settings(rest.find(f"{NS}felles-innstillinger/{NS}globale-dokument-innstillinger"))
    files, settings = {}, {}
    for document in element(rest, "post"):
        id_ = leaves(document)["id"]
        files[id_] = leaves(document)["fil"]
        settings[id_] = shared | own_settings(document.find(f"{NS}innstillinger"))
    letters = []
    for letter in element(rest, "forsendelser"):
        paper = letter.find(f"{NS}fysisk-print")
        assert (paper is not None) == (letter.get(f"{XSI}type") == "brev-med-print")
        seen = Seen(letter.attrib["id"], leaves(element(letter, "mottaker")))
        seen.print = leaves(paper) if paper is not None else None
        for shown in (e for e in letter if e.tag in {f"{NS}hoveddokument", f"{NS}vedlegg"}):
            own = own_settings(shown.find(f"{NS}innstillinger"))
            refid = shown.attrib["refid"]
            seen.shown.append(Shown(shown.attrib["uuid"], files[refid], **(settings[refid] | own)))
        letters.append(seen)
    return job, letters


def element(parent: ET.Element, tag: str) -> ET.Element:
    found = parent.find(f"{NS}{tag}")
    assert found is not None, tag
    return found


def told(recipient: JobRecipient) -> dict[str, str]:
    """What is to be in the file of a recipient."""
    who = recipient.addressee
    if who is None:
        tag = {
            Identity.DIGIPOST_ADDRESS: "digipostadresse",
            Identity.ALIAS: "person-alias",
            Identity.NATIONAL_ID: "foedselsnummer",
            Identity.ORGANIZATION_NUMBER: "organisasjonsnummer",
        }[recipient.by]
        return {"kunde-id": recipient.id, tag: recipient.value}
    assert who.postal
    if not (who.first_name and who.last_name):
        name = {"navn/navn-format1/fullt-navn-fornavn-foerst": who.name}
    else:
        form = "navn/navn-format3" if who.middle_name else "navn/navn-format2"
        name = {f"{form}/fornavn": who.first_name}
        if who.middle_name:
            name[f"{form}/mellomnavn"] = who.middle_name
        name[f"{form}/etternavn"] = who.last_name
    lines = list(who.postal.lines)
    if who.postal.country != "NO" and who.postal.city:
        lines.pop()
    within = "adresse/adresse-format1"
    address = {f"{within}/adresselinje1": lines[0]}
    if lines[1:]:
        address[f"{within}/adresselinje2"] = ", ".join(lines[1:])
    address[f"{within}/postnummer"] = who.postal.postal_code
    address[f"{within}/poststed"] = who.postal.city
    if who.postal.country != "NO":
        address[f"{within}/land"] = who.postal.country
    rest = {
        "foedselsdato": who.birth_date.strftime("%d%m%y") if who.birth_date else "",
        "telefonnummer": who.phone,
        "epostadresse": who.email,
    }
    given = {tag: value for tag, value in rest.items() if value}
    return {"kunde-id": recipient.id, **name, **address, **given}


def printed(paper: Print) -> dict[str, str]:
    found = {}
    for who, where, name, of in (
        ("postmottaker", "mottakeradresse", paper.name, paper.address),
        ("retur-postmottaker", "returadresse", paper.return_name, paper.return_address),
    ):
        found[who] = name
        where = f"norsk-{where}" if of.country == "NO" else f"utenlandsk-{where}"
        for number, line in enumerate(of.lines, 1):
            found[f"{where}/adresselinje{number}"] = line
        if of.country == "NO":
            found |= {f"{where}/postnummer": of.postal_code, f"{where}/poststed": of.city}
        else:
            found[f"{where}/land-kode"] = of.country
    return found


def effective(levels: Iterable[Settings]) -> dict[str, Any]:
    """What holds, of the levels from the widest to the narrowest."""
    found: dict[str, Any] = dict.fromkeys(("subject", "sms", "authentication", "sensitivity"))
    for level in levels:
        if level.subject is not None:
            found["subject"] = level.subject
        if level.sms_at is not None or level.sms_after_hours is not None:
            found["sms"] = (level.sms_at or (), level.sms_after_hours or ())
        if level.authentication:
            names = {"password": "PASSORD", "two_factor": "TO_FAKTOR"}
            found["authentication"] = names[level.authentication]
        if level.sensitivity:
            found["sensitivity"] = {"normal": "NORMALT", "sensitive": "SENSITIVT"}[
                level.sensitivity
            ]
    return found


def expected(job: Send) -> Iterator[Seen]:
    documents = {document.id: document for document in job.documents}
    for letter in job.letters:
        seen = Seen(letter.id, told(letter.recipient))
        for number, (uuid, refid) in enumerate(letter.documents):
            own = letter.settings if number == 0 else Settings()
            document = documents[refid]
            levels = effective((job.shared, document.settings, own))
            seen.shown.append(Shown(uuid, document.file, **levels))
        seen.print = printed(letter.print) if letter.print else None
        yield seen


# --- any job ---

ODD = "æøåÆØÅéß&<>'\"]\u00a0\u2028😀\t\n\r "
words = st.text(
    st.one_of(
        st.sampled_from(ODD),
        st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufffe\uffff"),
    ),
    min_size=1,
    max_size=100,
).filter(str.strip)
ids = st.from_regex(r"[a-z0-9#<&å][a-z0-9 æ<]{0,20}[a-z0-9]", fullmatch=True)
dates = st.dates(date(1900, 1, 1), date(2026, 1, 1))
times = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)).map(  # noqa: DTZ001
    lambda at: at.replace(tzinfo=timezone(timedelta(hours=2)))
)
norwegian = st.builds(
    PostalAddress,
    st.lists(words, min_size=1, max_size=2).map(tuple),
    st.from_regex("[0-9]{4}", fullmatch=True),
    words.map(lambda text: text[:80]).filter(str.strip),
)
foreign = st.builds(
    PostalAddress,
    st.lists(words, min_size=1, max_size=4).map(tuple),
    country=st.sampled_from(["SE", "GB", "US"]),
)
known_abroad = st.builds(
    lambda lines, city: PostalAddress((*lines, f"123 {city}"), "123", city, "DE"),
    st.lists(words, min_size=1, max_size=3),
    words.map(lambda text: text[:80]),
)
addressees = st.builds(
    Addressee,
    name=words,
    first_name=st.one_of(st.just(""), words),
    middle_name=st.one_of(st.just(""), words),
    last_name=st.one_of(st.just(""), words),
    birth_date=st.one_of(st.none(), dates),
    phone=st.sampled_from(["", "+4799999999"]),
    email=st.sampled_from(["", "kåre@example.no"]),
    postal=st.one_of(norwegian, foreign, known_abroad),
)
recipients = st.one_of(
    st.builds(JobRecipient, ids, st.sampled_from([Identity.DIGIPOST_ADDRESS, Identity.ALIAS]), ids),
    st.builds(
        JobRecipient,
        ids,
        st.just(Identity.NATIONAL_ID),
        st.sampled_from(["17857410084", "02918813740"]),
    ),
    st.builds(JobRecipient, ids, st.just(Identity.ORGANIZATION_NUMBER), st.just("313012344")),
    st.builds(by_address, ids, addressees),
)
hours = st.lists(st.integers(0, 2**31 - 1), max_size=2).map(tuple)
levels = st.builds(
    Settings,
    subject=st.one_of(st.none(), words),
    sms_at=st.one_of(st.none(), st.lists(times, max_size=2).map(tuple)),
    sms_after_hours=st.one_of(st.none(), hours),
    authentication=st.one_of(st.none(), st.sampled_from(Authentication)),
    sensitivity=st.one_of(st.none(), st.sampled_from(Sensitivity)),
)
papers = st.builds(
    Print, words, st.one_of(norwegian, foreign), words, st.one_of(norwegian, foreign)
)


@st.composite
def jobs(draw: st.DrawFn) -> Send:
    count = draw(st.integers(1, 3))
    documents = [
        JobDocument(f"_{number}", f"mappe/fil-{number}.pdf", draw(levels))
        for number in range(count)
    ]
    names = [document.id for document in documents]
    people = draw(st.lists(recipients, min_size=1, max_size=3, unique_by=lambda one: one.id))
    letters = []
    for recipient in people:
        shown = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3))
        if recipient is people[-1]:
            shown += names  # every document is somebody's
        letters.append(
            a_letter(
                f"brev {recipient.id}",
                *shown,
                recipient=recipient,
                settings=draw(levels),
                print=draw(st.one_of(st.none(), papers)),
            )
        )
    return Send(
        settings=draw(job_settings),
        shared=replace(draw(levels), subject=draw(words)),
        files=[document.file for document in documents],
        documents=documents,
        letters=letters,
    )


job_settings = st.builds(
    JobSettings,
    sender=st.integers(1, 2**63 - 1),
    job=st.from_regex("[a-zA-Z0-9_.-]{1,100}", fullmatch=True),
    broker=st.one_of(st.none(), st.integers(1, 10**9)),
    name=st.one_of(st.just(""), words.map(lambda text: text[:80])),
    auto_approve=st.booleans(),
    deliver_at=st.one_of(st.none(), times),
    client=st.sampled_from(["", "Utsendelse 1.0 & venner"]),
)


def settings_told(of: JobSettings) -> dict[str, str]:
    told = {
        "avsender-id": str(of.sender),
        "behandler-id": str(of.broker) if of.broker else "",
        "jobb-id": of.job,
        "jobb-navn": of.name,
        "auto-godkjenn-jobb": "true" if of.auto_approve else "false",
        "virkningsdato": of.deliver_at.astimezone(UTC).isoformat() if of.deliver_at else "",
        "klientinformasjon": of.client,
    }
    return {tag: value for tag, value in told.items() if value}


@needs_schemas
@hypothesis_settings(max_examples=40, deadline=None)
@given(jobs())
def test_any_send_job_is_valid_and_reads_back_as_what_was_asked_for(job: Send) -> None:
    xml = xml_of(built(job))
    assert_valid(xml, "print")
    settings, letters = read_back(xml)
    assert settings == settings_told(job.settings)
    assert letters == [*expected(job)]


@needs_schemas
@hypothesis_settings(max_examples=40, deadline=None)
@given(
    job_settings.map(lambda of: replace(of, deliver_at=None)),
    st.lists(recipients, min_size=1, max_size=5, unique_by=lambda one: one.id),
)
def test_any_split_is_valid_and_reads_back_as_what_was_asked_for(
    of: JobSettings, people: list[JobRecipient]
) -> None:
    xml = xml_of(built(Split(of, (), people)))
    assert_valid(xml, "mottakersplitt")
    settings, seen = read_back(xml)
    assert settings == settings_told(of)
    assert [one.recipient for one in seen] == [told(one) for one in people]


# --- Digipost's samples ---

SAMPLES = {
    "mottakersplitt": "mottakersplitt",
    "masseutsendelse": "print",
    "masseutsendelse-print": "print",
}


@needs_schemas
@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_are_valid_so_the_schemas_are_the_right_ones(name: str) -> None:
    assert_valid(sample(name), SAMPLES[name])


def bare(xml: bytes, *without: str) -> bytes:
    """In canonical form, without blanks between the elements, and without some of them."""
    root = etree.fromstring(xml, etree.XMLParser(remove_blank_text=True))
    for gone in [found for tag in without for found in root.iter(f"{NS}{tag}")]:
        gone.getparent().remove(gone)
    etree.cleanup_namespaces(root)
    return etree.tostring(root, method="c14n")


@needs_schemas
def test_a_split_is_written_as_in_the_sample() -> None:
    def numbered(id_: str, by: Identity, value: str) -> JobRecipient:
        return JobRecipient(id_, by, value)

    split = Split(
        JobSettings(
            sender=100123,
            job="split-2026-09-01-0001",
            name="Ukentlig mottakersplitt",
            auto_approve=True,
            client="eksempelklient/0.1",
        ),
        recipients=(
            numbered("K-1001", Identity.NATIONAL_ID, "17857410084"),
            numbered("K-1002", Identity.DIGIPOST_ADDRESS, "ola.nordmann#1AB2"),
            numbered("K-1003", Identity.ALIAS, ALIAS),
            numbered("K-1004", Identity.ORGANIZATION_NUMBER, "313012344"),
            by_address("K-1005"),
        ),
    )
    theirs = etree.fromstring(sample("mottakersplitt"))
    people = theirs.find(f"{NS}mottakere")
    people.remove(people[-1])  # a form of name and address that we do not write
    assert bare(xml_of(built(split))) == bare(etree.tostring(theirs))


@needs_schemas
def test_a_send_job_with_print_is_written_as_in_the_sample() -> None:
    uuid = "2f9b6d10-1d55-4d0b-8f6e-5a3c0000000"
    kari = replace(KARI, middle_name="", birth_date=None, phone="")

    def letter(number: int, recipient: JobRecipient, paper: Print | None = None) -> JobLetter:
        return JobLetter(f"b-{number}", recipient, ((f"{uuid}{number}", "info"),), print=paper)

    back = ("Eksempel AS", RETURN)
    send = Send(
        JobSettings(sender=100123, job="send-2026-09-01-0008"),
        Settings(subject="Informasjon om endret pris"),
        ("info.pdf",),
        (JobDocument("info", "info.pdf"),),
        (
            letter(1, by_address("K-1005", kari), Print("Kari Nordmann", OSLO, *back)),
            letter(
                2,
                JobRecipient("K-1007", Identity.NATIONAL_ID, "02918813740"),
                Print("Sven Prov", STOCKHOLM, *back),
            ),
            letter(3, JobRecipient("K-1002", Identity.DIGIPOST_ADDRESS, "ola.nordmann#1AB2")),
        ),
    )
    # colour is not in every revision, and the kind of post has no effect any more
    assert bare(xml_of(built(send))) == bare(
        sample("masseutsendelse-print"), "print-farge", "posttype"
    )


# --- the file ---


def test_a_split_has_nothing_but_its_xml_in_the_zip() -> None:
    with ZipFile(BytesIO(built(Split()))) as archive:
        assert archive.namelist() == ["mottakersplitt.xml"]


def test_a_send_job_has_each_document_once_and_its_xml_at_the_root() -> None:
    files = ("brev.pdf", "vedlegg/vilkaar.pdf")
    documents = (JobDocument("brev", files[0]), JobDocument("vilkaar", files[1]))
    letters = [a_letter(f"d-{number}", "brev", "vilkaar") for number in range(20)]
    data = built(Send(files=files, documents=documents, letters=letters))
    with ZipFile(BytesIO(data)) as archive:
        assert archive.namelist() == [*files, "masseutsendelse.xml"]
        assert archive.read("vedlegg/vilkaar.pdf") == PDF
        assert archive.testzip() is None
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_xml_says_that_it_is_utf_8_and_repeats_no_namespace() -> None:
    xml = xml_of(built(Send()))
    assert xml.startswith(b"<?xml version='1.0' encoding='UTF-8'?>\n<masseutsendelse xmlns=")
    assert xml.count(b"xmlns") == 2  # Digipost's, and the one that has `xsi:type`
    assert "Høring".encode() in xml


def test_what_is_inherited_is_not_said_again() -> None:
    shared = Settings("Høring", (), (24,), Authentication.PASSWORD, Sensitivity.NORMAL)
    own = replace(shared, authentication=Authentication.TWO_FACTOR)
    letters = [
        a_letter("lik", settings=own),
        a_letter("uten-sms", settings=replace(own, sms_after_hours=())),
    ]
    documents = (JobDocument("brev", "brev.pdf", own),)
    root = etree.fromstring(
        xml_of(built(Send(shared=shared, documents=documents, letters=letters)))
    )
    said = [
        [child.tag.removeprefix(NS) for child in settings]
        for settings in root.iter(f"{NS}innstillinger")
    ]
    assert said == [["autentiseringsnivaa"], ["sms-varsling"]]


def test_the_same_job_is_the_same_bytes_however_it_is_portioned_out() -> None:
    letters = [a_letter(f"d-{number}") for number in range(50)]
    at_once = built(Send(letters=letters))

    def in_portions(in_memory: int) -> bytes:
        """Each call in a thread of its own, as the flow does it."""

        def call(step: Callable[..., Any], *values: Any) -> Any:
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(step, *values).result()

        file = JobFile(in_memory)
        call(file.add_file, "brev.pdf", PDF)
        call(file.begin_send, JOB, SUBJECT, Send().documents)
        for some in portions(letters, 7):
            call(file.add_letters, some)
        parcel = call(file.finish)
        file.close()
        try:
            return bytes(parcel.file.read())
        finally:
            parcel.close()

    assert in_portions(10_000_000) == at_once
    assert in_portions(1) == at_once  # on disk from the first byte


def portions(letters: Sequence[JobLetter], size: int) -> Iterator[Sequence[JobLetter]]:
    for start in range(0, len(letters), size):
        yield letters[start : start + size]


def test_what_is_kept_in_memory_does_not_grow_with_the_letters() -> None:
    def peak(letters: int) -> int:
        with JobFile(in_memory=1) as file:
            file.add_file("brev.pdf", PDF)
            file.begin_send(JOB, SUBJECT, Send().documents)
            tracemalloc.start()
            try:
                file.add_letters(a_letter(f"d-{number}") for number in range(letters))
                file.finish().close()
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    few, many = peak(200), peak(2_000)
    assert many < few + 100_000, (few, many)  # their ids alone would be more than that


def test_the_parcel_stays_when_what_made_it_is_closed_and_goes_when_it_is_closed() -> None:
    with JobFile() as file:
        file.begin_split(JOB)
        file.add_recipients([by_alias("d-1")])
        parcel = file.finish()
    file.close()
    assert parcel.letters == 1
    assert len(parcel.file.read()) == parcel.size
    parcel.close()
    assert parcel.file.closed


def test_after_an_error_nothing_can_be_finished_and_closing_is_quiet() -> None:
    def half() -> Iterator[JobLetter]:
        yield a_letter("d-1")
        raise OSError("lageret svarer ikke")

    file = JobFile()
    file.add_file("brev.pdf", PDF)
    file.begin_send(JOB, SUBJECT, Send().documents)
    with pytest.raises(OSError, match="lageret"):
        file.add_letters(half())
    for step in (file.finish, lambda: file.add_letters([a_letter("d-2")])):
        with pytest.raises(RuntimeError, match="broken"):
            step()
    file.close()
    file.close()
    with pytest.raises(RuntimeError, match="closed"):
        file.add_file("brev.pdf", PDF)


# --- the rules ---


def letters(*changed: JobLetter) -> Send:
    return Send(letters=changed)


def asked(*changed: JobRecipient) -> Split:
    return Split(recipients=changed)


def numbered(by: Identity, value: str) -> Split:
    return asked(JobRecipient("d-1", by, value))


def addressed(**values: Any) -> Split:
    return asked(by_address("d-1", replace(KARI, **values)))


def paper(**values: Any) -> Send:
    good = {"name": "Kari", "address": OSLO, "return_name": "Vi", "return_address": RETURN}
    return letters(a_letter("d-1", print=Print(**{**good, **values})))


def job(**values: Any) -> Send:
    return Send(settings=replace(JOB, **values))


def document(**values: Any) -> Send:
    good = {"id": "brev", "file": "brev.pdf"}
    return Send(documents=(JobDocument(**{**good, **values}),))


def with_settings(**values: Any) -> Send:
    return letters(a_letter("d-1", settings=Settings(**values)))


ONE = a_letter("d-1")
UUID = ONE.documents[0][0]
LONG = PostalAddress(("x" * 101,), "0155", "Oslo")

BROKEN: list[tuple[Rule, Send | Split, str]] = [
    (Rule.ACCOUNT, job(sender=0), JOB.job),
    (Rule.ACCOUNT, job(broker=-1), JOB.job),
    (Rule.JOB_ID, job(job=""), ""),
    (Rule.JOB_ID, job(job="høring"), "høring"),
    (Rule.JOB_ID, job(job="x" * 101), "x" * 100),
    (Rule.JOB_ID, job(job="send-1\n"), "send-1\n"),
    (Rule.JOB_NAME, job(name="x" * 81), JOB.job),
    (Rule.DELIVER_AT, job(deliver_at=NOON.replace(tzinfo=None)), JOB.job),
    (Rule.DELIVER_AT, Split(replace(JOB, deliver_at=NOON)), JOB.job),
    (Rule.EMPTY, letters(), JOB.job),
    (Rule.EMPTY, asked(), SPLIT.job),
    (Rule.EMPTY, Send(files=(), documents=()), JOB.job),
    (Rule.CUSTOMER_ID, asked(by_alias("")), ""),
    (Rule.CUSTOMER_ID, asked(by_alias(" d-1")), " d-1"),
    (Rule.CUSTOMER_ID, letters(replace(ONE, recipient=by_alias("d-1\u00a0"))), "d-1\u00a0"),
    (Rule.REPEATED_CUSTOMER_ID, asked(by_alias("d-1"), by_address("d-1")), "d-1"),
    (
        Rule.REPEATED_CUSTOMER_ID,
        letters(ONE, a_letter("d-2", recipient=by_alias("d-1"))),
        "d-1",
    ),
    (Rule.IDENTIFICATION, numbered(Identity.ALIAS, ""), "d-1"),
    (Rule.IDENTIFICATION, numbered(Identity.DIGIPOST_ADDRESS, "ola#1AB2 "), "d-1"),
    (Rule.IDENTIFICATION, numbered(Identity.NAME_AND_ADDRESS, ""), "d-1"),
    (Rule.IDENTIFICATION, asked(replace(by_address("d-1"), value=ALIAS)), "d-1"),
    (Rule.IDENTIFICATION, asked(replace(by_alias("d-1"), addressee=KARI)), "d-1"),
    (Rule.IDENTIFICATION, addressed(postal=None), "d-1"),
    (Rule.NATIONAL_ID, numbered(Identity.NATIONAL_ID, "17857410085"), "d-1"),
    (Rule.NATIONAL_ID, numbered(Identity.NATIONAL_ID, "178574 10084"), "d-1"),
    (Rule.NATIONAL_ID, numbered(Identity.NATIONAL_ID, "1785741008"), "d-1"),
    (Rule.ORGANIZATION_NUMBER, numbered(Identity.ORGANIZATION_NUMBER, "313012345"), "d-1"),
    (Rule.ORGANIZATION_NUMBER, numbered(Identity.ORGANIZATION_NUMBER, "313 012 344"), "d-1"),
    (Rule.NAME, addressed(name=" ", first_name=""), "d-1"),
    (Rule.NAME, paper(name=""), "d-1"),
    (Rule.NAME, paper(name="x" * 131), "d-1"),
    (Rule.NAME, paper(return_name="x" * 131), "d-1"),
    (Rule.ADDRESS_LINES, addressed(postal=replace(OSLO, lines=())), "d-1"),
    (Rule.ADDRESS_LINES, addressed(postal=replace(OSLO, lines=("a", "b", "c"))), "d-1"),
    (Rule.ADDRESS_LINES, addressed(postal=replace(OSLO, lines=("a", " "))), "d-1"),
    (Rule.ADDRESS_LINES, paper(address=replace(OSLO, lines=("a", "b", "c"))), "d-1"),
    (Rule.ADDRESS_LINES, paper(address=LONG), "d-1"),
    (Rule.ADDRESS_LINES, paper(address=replace(STOCKHOLM, lines=())), "d-1"),
    (Rule.ADDRESS_LINES, paper(return_address=replace(STOCKHOLM, lines=("a",) * 5)), "d-1"),
    (Rule.POSTAL_CODE, addressed(postal=replace(OSLO, postal_code="155")), "d-1"),
    (Rule.POSTAL_CODE, paper(address=replace(OSLO, postal_code="")), "d-1"),
    (Rule.POSTAL_CODE, paper(return_address=replace(OSLO, postal_code="N-0155")), "d-1"),
    (Rule.CITY, addressed(postal=replace(OSLO, city="")), "d-1"),
    (Rule.CITY, paper(address=replace(OSLO, city="x" * 81)), "d-1"),
    (Rule.COUNTRY, paper(address=replace(STOCKHOLM, country="Sverige")), "d-1"),
    (Rule.COUNTRY, paper(return_address=replace(STOCKHOLM, country="se")), "d-1"),
    (Rule.LETTER_ID, letters(replace(ONE, id="")), ""),
    (Rule.LETTER_ID, letters(replace(ONE, id="d-1 ")), "d-1 "),
    (
        Rule.REPEATED_LETTER_ID,
        letters(ONE, replace(a_letter("d-2"), id="d-1")),
        "d-1",
    ),
    (Rule.MAIN_DOCUMENT, letters(replace(ONE, documents=())), "d-1"),
    (Rule.ATTACHMENTS, letters(a_letter("d-1", *["brev"] * 101)), "d-1"),
    (Rule.UUID, letters(replace(ONE, documents=(("", "brev"),))), "d-1"),
    (Rule.UUID, letters(replace(ONE, documents=((UUID.upper(), "brev"),))), "d-1"),
    (Rule.REPEATED_UUID, letters(ONE, replace(a_letter("d-2"), documents=ONE.documents)), "d-2"),
    (Rule.DOCUMENT_ID, document(id="1"), "1"),
    (Rule.DOCUMENT_ID, document(id="a:b"), "a:b"),
    (Rule.DOCUMENT_ID, document(id=""), ""),
    (Rule.REPEATED_DOCUMENT_ID, Send(documents=[JobDocument("brev", "brev.pdf")] * 2), "brev"),
    (Rule.UNKNOWN_DOCUMENT, letters(a_letter("d-1", "vedtak")), "d-1"),
    (Rule.UNKNOWN_DOCUMENT, letters(a_letter("d-1", "")), "d-1"),
    (Rule.UNKNOWN_DOCUMENT, letters(a_letter("d-1", "brev", "\ud800")), "d-1"),
    (
        Rule.UNUSED_DOCUMENT,
        Send(documents=[JobDocument("brev", "brev.pdf"), JobDocument("annet", "brev.pdf")]),
        "annet",
    ),
    (
        Rule.PRINTED_PDF,
        replace(
            paper(),
            files=("brev.html",),
            documents=(JobDocument("brev", "brev.html"),),
        ),
        "d-1",
    ),
    (Rule.SUBJECT, with_settings(subject=" "), "d-1"),
    (Rule.SUBJECT, with_settings(subject="x" * 101), "d-1"),
    (Rule.SUBJECT, document(settings=Settings(subject="")), "brev"),
    (Rule.SUBJECT, Send(shared=Settings()), "d-1"),
    (Rule.SMS, with_settings(sms_after_hours=(-1,)), "d-1"),
    (Rule.SMS, with_settings(sms_after_hours=(2**31,)), "d-1"),
    (Rule.SMS, with_settings(sms_at=(NOON.replace(tzinfo=None),)), "d-1"),
    (Rule.FILE, document(file="mappe/"), "brev"),
    *(
        (Rule.FILE, Send(files=(path,)), path)
        for path in ("mappe/", "/brev.pdf", "brev", "to.punkt.pdf", "brev a.pdf", "høring.pdf")
    ),
    (Rule.FILE, Send(files=("../brev.pdf",)), "../brev.pdf"),
    (Rule.FILE, Send(files=("masseutsendelse.xml",)), "masseutsendelse.xml"),
    (Rule.REPEATED_FILE, Send(files=("brev.pdf", "brev.pdf")), "brev.pdf"),
    (Rule.MISSING_FILE, document(file="vedtak.pdf"), "brev"),
    (Rule.UNUSED_FILE, Send(files=("brev.pdf", "vedtak.pdf")), "vedtak.pdf"),
    (Rule.UNUSED_FILE, Split(files=("brev.pdf",)), "brev.pdf"),
    (Rule.CHARACTERS, with_settings(subject="a\x0bb"), "d-1"),
    (Rule.CHARACTERS, addressed(name="\ud800", first_name=""), "d-1"),
    (Rule.CHARACTERS, addressed(email="\ufffe"), "d-1"),
    (Rule.CHARACTERS, asked(by_alias("d\x00")), "d\x00"),
    (Rule.CHARACTERS, letters(replace(ONE, id="d\ud800")), "d\ud800"),
    (Rule.CHARACTERS, job(name="\x1b"), JOB.job),
]


@pytest.mark.parametrize(("rule", "wrong", "about"), BROKEN)
def test_a_broken_rule_is_told_with_the_id_of_what_breaks_it(
    rule: Rule, wrong: Send | Split, about: str
) -> None:
    with pytest.raises(JobFileError) as error:
        built(wrong)
    assert (error.value.rule, error.value.about) == (rule, about)


def test_the_jobs_that_the_broken_ones_are_made_from_are_in_order() -> None:
    for good in (Send(), Split(), paper(), paper(address=STOCKHOLM), with_settings()):
        assert built(good)


def test_a_zip_that_would_need_zip64_is_refused() -> None:
    with JobFile() as file:
        for number in range(65_535):
            file.add_file(f"{number}.pdf", b"")
        with pytest.raises(JobFileError, match="too_large"):
            file.add_file("en-til.pdf", b"")


def test_every_rule_is_broken_by_a_test() -> None:
    assert {rule for rule, *_ in BROKEN} | {Rule.TOO_LARGE} == set(Rule)


def test_an_error_tells_nothing_of_a_person() -> None:
    secrets = ("Kari", "Storgata", "17857410085", "+47", ALIAS)
    for _, wrong, _ in BROKEN:
        with pytest.raises(JobFileError) as error:
            built(wrong)
        told = f"{error.value!s} {error.value!r} {error.value.detail}"
        assert not [secret for secret in secrets if secret in told]


@pytest.mark.parametrize(
    ("number", "what"),
    [
        ("15108695088", "a fødselsnummer"),
        ("17857410084", "a synthetic one: the month and 80"),
        ("02918813740", "another"),
        ("01419030054", "a synthetic one: the month and 40"),
        ("41019030065", "a D-number"),
        ("41819030020", "a synthetic D-number"),
        ("41419030048", "another"),
    ],
)
def test_national_ids_that_are_written(number: str, what: str) -> None:
    assert number.encode() in xml_of(built(numbered(Identity.NATIONAL_ID, number))), what
