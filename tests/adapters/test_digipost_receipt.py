"""Receipts: what Digipost may say, what nobody should, and what it has not thought of yet."""

import struct
import zipfile
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.digipost_receipt import (
    Unreadable,
    UnreadableReceiptError,
    read_receipt,
    receipt_name,
)
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
from tests.adapters.digipost_xsd import assert_valid, needs_schemas, sample

NS = "http://www.digipost.no/xsd/avsender2_1"
NAME = "send-1.resultat.20260901-110205456.zip"
INFO = """<jobb-info><ref-avsender-id>100123</ref-avsender-id><ref-jobb-id>send-1</ref-jobb-id>
<start-tid>2026-09-01T10:15:30.123+02:00</start-tid>
<slutt-tid>2026-09-01T11:02:05Z</slutt-tid></jobb-info>"""


def send(inside: str = "", status: str = "SUKSESS", info: str = INFO, namespace: str = NS) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<masseutsendelse-resultat xmlns="{namespace}">'
        f"<status>{status}</status>{info}{inside}</masseutsendelse-resultat>"
    )


def split(inside: str = "", status: str = "SUKSESS") -> str:
    return send(inside, status).replace("masseutsendelse", "mottakersplitt")


def zipped(
    xml: str | bytes, entry: str = "resultat.xml", method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(entry, xml)
    return file.getvalue()


def read(xml: str | bytes) -> JobReceipt:
    return read_receipt(NAME, zipped(xml))


def fault_of(data: bytes) -> Unreadable:
    with pytest.raises(UnreadableReceiptError) as error:
        read_receipt(NAME, data)
    assert NAME in str(error.value)
    return error.value.fault


# --- Digipost's samples ---


@needs_schemas
def test_the_sample_of_a_result_is_read_whole() -> None:
    receipt = read(sample("masseutsendelse-resultat"))
    uuid, oslo = "2f9b6d10-1d55-4d0b-8f6e-5a3c0000000", timezone(timedelta(hours=2))
    assert receipt == JobReceipt(
        kind=JobKind.SEND,
        job="send-2026-09-01-0008",
        answer=JobAnswer.SUCCESS,
        sender="100123",
        started_at=datetime(2026, 9, 1, 10, 15, 30, 123000, oslo),
        ended_at=datetime(2026, 9, 1, 11, 2, 5, 456000, oslo),
        recipients=(
            RecipientResult(
                "K-1005",
                RecipientAnswer.IDENTIFIED,
                alias="abcdefghijklmnopqrst#7QW6",
                washed=True,
            ),
            RecipientResult(
                "K-1007", RecipientAnswer.INVALID, reasons=(RecipientReason.NATIONAL_ID,)
            ),
            RecipientResult("K-1002", RecipientAnswer.USER, "ola.nordmann#1AB2"),
        ),
        letters=(
            LetterResult("b-3", f"{uuid}3", True, SentBy.DIGIPOST),
            LetterResult("b-1", f"{uuid}1", True, SentBy.PRINT),
            LetterResult(
                "b-2",
                f"{uuid}2",
                False,
                faults=(LetterFault.RECIPIENT,),
                words=("Ugyldig fødselsnummer",),
            ),
        ),
        summary=(
            ("total", 3),
            ("digipost", 1),
            ("digipost-vask", 0),
            ("identifisert", 0),
            ("identifisert-vask", 1),
            ("uidentifisert", 0),
            ("uidentifisert-flere-treff", 0),
            ("ugyldig", 1),
            ("print-sammendrag/sendt-til-print", 1),
            ("print-sammendrag/ugyldig", 0),
        ),
    )


@needs_schemas
def test_the_sample_of_a_split_is_read() -> None:
    receipt = read(sample("mottakersplitt-resultat"))
    assert (receipt.kind, receipt.job) == (JobKind.SPLIT, "split-2026-09-01-0001")
    assert receipt.letters == ()
    assert receipt.unknown == ()
    assert [(one.id, one.answer, one.washed) for one in receipt.recipients] == [
        ("K-1001", RecipientAnswer.USER, False),
        ("K-1002", RecipientAnswer.USER, False),
        ("K-1003", RecipientAnswer.IDENTIFIED, False),
        ("K-1004", RecipientAnswer.INVALID, False),
        ("K-1005", RecipientAnswer.USER, True),
        ("K-1006", RecipientAnswer.UNIDENTIFIED, False),
    ]
    assert receipt.recipients[5].reasons == (RecipientReason.SEVERAL_MATCHES,)


@needs_schemas
def test_the_sample_of_a_first_receipt_has_nothing_but_the_job() -> None:
    receipt = read(sample("masseutsendelse-mottatt"))
    assert (receipt.answer, receipt.ended_at) == (JobAnswer.RECEIVED, None)
    assert not receipt.answer.final
    assert receipt.recipients == receipt.letters == receipt.summary == ()


@needs_schemas
def test_the_sample_of_a_failed_job_says_why() -> None:
    receipt = read(sample("masseutsendelse-resultat-feilet"))
    assert (receipt.answer, receipt.error) == (JobAnswer.FAILED, JobError.VALIDATION)
    assert receipt.error_words == "Eksempel på feilmelding"
    assert receipt.sender == ""


@needs_schemas
def test_the_sample_of_the_version_before_is_read_too() -> None:
    receipt = read(sample("masseutsendelse-resultat", "avsender2_0"))
    assert receipt.unknown == ()
    assert [(one.id, one.sent, one.faults) for one in receipt.letters] == [
        ("id1", False, ()),
        ("id2", False, ()),
        ("id3", True, ()),
        ("id4", False, ()),
        ("id5", True, ()),
    ]
    assert receipt.recipients[0] == RecipientResult(
        "12345", RecipientAnswer.UNIDENTIFIED, washed=True
    )


@needs_schemas
@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("mottakersplitt-resultat", "mottakersplitt-resultat"),
        ("masseutsendelse-resultat", "masseutsendelse-resultat"),
        ("masseutsendelse-resultat-feilet", "masseutsendelse-resultat"),
        ("masseutsendelse-mottatt", "masseutsendelse-resultat"),
    ],
)
def test_the_samples_are_valid_so_the_schemas_are_the_right_ones(name: str, by: str) -> None:
    assert_valid(sample(name), by)


# --- every word there is ---

JOB_WORDS = {
    "MOTTATT": JobAnswer.RECEIVED,
    "FORELØPIG_SUKSESS": JobAnswer.PROVISIONAL,
    "SUKSESS": JobAnswer.SUCCESS,
    "FEILET": JobAnswer.FAILED,
}
ERROR_WORDS = {
    "VALIDERING_FEILET": JobError.VALIDATION,
    "ENGINE_FEIL": JobError.ENGINE,
    "GENERELL_FEIL": JobError.GENERAL,
}
RECIPIENT_WORDS = {
    "DIGIPOST": RecipientAnswer.USER,
    "IDENTIFISERT": RecipientAnswer.IDENTIFIED,
    "UIDENTIFISERT": RecipientAnswer.UNIDENTIFIED,
    "UGYLDIG": RecipientAnswer.INVALID,
}
UNIDENTIFIED_WORDS = {
    "FLERE_TREFF": RecipientReason.SEVERAL_MATCHES,
    "MANGELFULL_ADRESSE": RecipientReason.INCOMPLETE_ADDRESS,
}
INVALID_WORDS = {
    "UGYLDIG_KUNDEID": RecipientReason.CUSTOMER_ID,
    "UGYLDIG_FOEDSELSNUMMER": RecipientReason.NATIONAL_ID,
    "UGYLDIG_FOEDSELSDATO": RecipientReason.BIRTH_DATE,
    "UGYLDIG_DIGIPOSTADRESSE": RecipientReason.DIGIPOST_ADDRESS,
    "UGYLDIG_NAVN_ADRESSE": RecipientReason.NAME_AND_ADDRESS,
    "UGYLDIG_POSTNUMMER": RecipientReason.POSTAL_CODE,
    "UGYLDIG_ORGANISASJONSNUMMER": RecipientReason.ORGANIZATION_NUMBER,
    "USPESIFISERT": RecipientReason.UNSPECIFIED,
}
LETTER_WORDS = {
    "UGYLDIG_DOKUMENT": LetterFault.DOCUMENT,
    "UGYLDIG_MOTTAKER": LetterFault.RECIPIENT,
    "UGYLDIG_FOR_PRINT": LetterFault.NOT_FOR_PRINT,
    "USPESIFISERT_FEIL": LetterFault.UNSPECIFIED,
}
DOCUMENT_WORDS = {
    "UGYLDIG_FOR_WEB": DocumentFault.NOT_FOR_WEB,
    "UGYLDIG_FOR_PRINT": DocumentFault.NOT_FOR_PRINT,
    "USPESIFISERT_FEIL": DocumentFault.UNSPECIFIED,
}


def test_the_words_here_are_all_those_we_have_values_for() -> None:
    for words, values in (
        (JOB_WORDS, JobAnswer),
        (ERROR_WORDS, JobError),
        (RECIPIENT_WORDS, RecipientAnswer),
        (UNIDENTIFIED_WORDS | INVALID_WORDS, RecipientReason),
        (LETTER_WORDS, LetterFault),
        (DOCUMENT_WORDS, DocumentFault),
    ):
        assert {*words.values(), values("unknown")} == {*values}


def checked(xml: str) -> JobReceipt:
    """Read, and valid where the schemas are at hand: the tests' own receipts are real ones."""
    root = "mottakersplitt" if "<mottakersplitt" in xml else "masseutsendelse"
    if not needs_schemas.args[0]:
        assert_valid(xml.encode(), f"{root}-resultat")
    receipt = read(xml)
    assert receipt.unknown == ()
    return receipt


@pytest.mark.parametrize("word", JOB_WORDS)
@pytest.mark.parametrize("of", [send, split])
def test_every_word_for_a_job_is_known(of: type[str], word: str) -> None:
    assert checked(of("", word)).answer is JOB_WORDS[word]


@pytest.mark.parametrize("word", ERROR_WORDS)
def test_every_word_for_a_failed_job_is_known(word: str) -> None:
    said = f"<feilinformasjon><feilkode>{word}</feilkode><melding>Nei</melding></feilinformasjon>"
    receipt = checked(split(said, "FEILET"))
    assert (receipt.error, receipt.error_words) == (ERROR_WORDS[word], "Nei")


def row(inside: str) -> str:
    return (
        "<mottaker-resultater><resultat><kunde-id>d-1</kunde-id>"
        f"{inside}</resultat></mottaker-resultater>"
    )


@pytest.mark.parametrize("word", RECIPIENT_WORDS)
def test_every_word_for_a_recipient_is_known_also_without_more(word: str) -> None:
    (result,) = checked(split(row(f"<status>{word}</status>"))).recipients
    assert result == RecipientResult("d-1", RECIPIENT_WORDS[word])


@pytest.mark.parametrize(
    ("status", "tag", "words"),
    [
        ("UIDENTIFISERT", "uidentifisert-grunn", UNIDENTIFIED_WORDS),
        ("UGYLDIG", "ugyldig-grunn", INVALID_WORDS),
    ],
)
def test_every_reason_is_known_and_there_may_be_several(
    status: str, tag: str, words: dict[str, RecipientReason]
) -> None:
    reasons = "".join(f"<{tag}>{word}</{tag}>" for word in words)
    (result,) = checked(split(row(f"<status>{status}</status>{reasons}"))).recipients
    assert result.reasons == tuple(words.values())


def faults(words: Sequence[str], *said: str) -> str:
    messages = "".join(f"<melding>{one}</melding>" for one in said)
    return "".join(f"<feil><type>{word}</type>{messages}</feil>" for word in words)


def test_every_fault_of_a_letter_and_what_is_said_of_it_is_kept() -> None:
    inside = (
        "<hoveddokument-uuid>u-1</hoveddokument-uuid><vedlegg><dokument-uuid>u-2</dokument-uuid>"
        "</vedlegg><resultat>IKKE_SENDT</resultat><kanal>WEB</kanal><feilinformasjon>"
        f"{faults([*LETTER_WORDS], 'a', 'b')}</feilinformasjon>"
    )
    letters = f'<brev-resultater><resultat brev-id="d-1">{inside}</resultat></brev-resultater>'
    assert checked(send(letters)).letters == (
        LetterResult(
            "d-1", "u-1", False, SentBy.DIGIPOST, (*LETTER_WORDS.values(),), ("a", "b") * 4
        ),
    )


def test_every_fault_of_a_document_is_kept() -> None:
    document = (
        "<dokumenter-med-feil><dokument-med-feil><dokument-id>brev</dokument-id>"
        f"{faults([*DOCUMENT_WORDS], 'Fonten mangler')}</dokument-med-feil></dokumenter-med-feil>"
    )
    assert checked(send(document)).documents == (
        ("brev", (*DOCUMENT_WORDS.values(),), ("Fonten mangler",) * 3),
    )


@pytest.mark.parametrize(
    ("words", "sent", "by"),
    [
        ("<resultat>SENDT</resultat><kanal>WEB</kanal>", True, SentBy.DIGIPOST),
        ("<resultat>SENDT</resultat><kanal>PRINT</kanal>", True, SentBy.PRINT),
        ("<resultat>SENDT</resultat>", True, SentBy.UNKNOWN),
        ("<resultat>IKKE_SENDT</resultat>", False, SentBy.UNKNOWN),
        (
            "<resultat>IKKE_SENDT</resultat><kanal>WEB</kanal><feilinformasjon/>",
            False,
            SentBy.DIGIPOST,
        ),
    ],
)
def test_a_letter_was_sent_only_where_it_says_so(words: str, sent: bool, by: SentBy) -> None:
    inside = f"<hoveddokument-uuid>u-1</hoveddokument-uuid>{words}"
    (letter,) = checked(
        send(f"<brev-resultater><resultat>{inside}</resultat></brev-resultater>")
    ).letters
    assert letter == LetterResult("", "u-1", sent, by)


# --- what we have not seen ---


def test_words_that_we_do_not_know_are_unknown_and_kept() -> None:
    receipt = read(
        send(
            row("<status>FLYTTET</status><ugyldig-grunn>UGYLDIG_EPOST</ugyldig-grunn>")
            + "<dokumenter-med-feil><dokument-med-feil><dokument-id>brev</dokument-id>"
            + faults(["FOR_TUNG"])
            + "</dokument-med-feil></dokumenter-med-feil><brev-resultater><resultat>"
            + "<hoveddokument-uuid>u-1</hoveddokument-uuid><resultat>UTSATT</resultat>"
            + f"<kanal>DUE</kanal><feilinformasjon>{faults(['REGN'])}</feilinformasjon>"
            + "</resultat></brev-resultater>",
            status="DELVIS",
        )
    )
    assert receipt.answer is JobAnswer.UNKNOWN
    assert not receipt.answer.final
    assert receipt.recipients == (
        RecipientResult("d-1", RecipientAnswer.UNKNOWN, reasons=(RecipientReason.UNKNOWN,)),
    )
    assert receipt.documents == (("brev", (DocumentFault.UNKNOWN,), ()),)
    assert receipt.letters == (
        LetterResult("", "u-1", None, SentBy.UNKNOWN, (LetterFault.UNKNOWN,)),
    )
    assert receipt.unknown == (
        "status: DELVIS",
        "mottaker/status: FLYTTET",
        "ugyldig-grunn: UGYLDIG_EPOST",
        "dokument/feil: FOR_TUNG",
        "brev/feil: REGN",
        "brev/resultat: UTSATT",
        "kanal: DUE",
    )


def test_a_failed_job_with_a_code_that_we_do_not_know_has_failed() -> None:
    receipt = read(send("<feilinformasjon><feilkode>BRANN</feilkode></feilinformasjon>", "FEILET"))
    assert (receipt.answer, receipt.error) == (JobAnswer.FAILED, JobError.UNKNOWN)
    assert receipt.unknown == ("feilkode: BRANN",)


def test_many_unknown_words_are_no_longer_kept_one_by_one() -> None:
    rows = "".join(f"<resultat><status>{'x' * 500}{n}</status></resultat>" for n in range(90))
    rows += "".join(f"<resultat><status>{n}</status></resultat>" for n in range(90))
    receipt = read(send(f"<mottaker-resultater>{rows}</mottaker-resultater>"))
    assert len(receipt.recipients) == 180
    assert len(receipt.unknown) == 50
    assert max(map(len, receipt.unknown)) < 150


@pytest.mark.parametrize(
    ("time", "read_as"),
    [
        ("2026-09-01T10:15:30Z", datetime.fromisoformat("2026-09-01T10:15:30+00:00")),
        ("2026-09-01T10:15:30", None),
        ("i går", None),
        ("9999999-09-01T10:15:30Z", None),
    ],
)
def test_a_time_without_its_zone_is_not_guessed(time: str, read_as: datetime | None) -> None:
    info = f"<jobb-info><ref-jobb-id>send-1</ref-jobb-id><start-tid>{time}</start-tid></jobb-info>"
    receipt = read(send(info=info))
    assert receipt.started_at == read_as
    assert receipt.unknown == (() if read_as else (f"start-tid: {time}",))


def test_elements_that_we_do_not_know_are_passed_over_wherever_they_are() -> None:
    odd = "<nytt><mottaker-resultater><resultat/></mottaker-resultater></nytt>"
    foreign = '<x:status xmlns:x="urn:x">FEILET</x:status>'
    known = row(f"{foreign}{odd}<status>DIGIPOST</status><ny-grunn>A</ny-grunn>")
    receipt = read(send(odd + foreign + known.replace("<resultat>", f"{odd}<resultat>", 1)))
    assert receipt.answer is JobAnswer.SUCCESS
    assert receipt.recipients == (RecipientResult("d-1", RecipientAnswer.USER),)


def test_a_newer_version_is_read_and_said_to_be_new() -> None:
    namespace = NS.replace("2_1", "2_2")
    receipt = read(send(namespace=namespace))
    assert receipt.answer is JobAnswer.SUCCESS
    assert receipt.unknown == (f"namespace: {namespace}",)


def test_without_a_status_it_says_nothing_final() -> None:
    receipt = read(send().replace("<status>SUKSESS</status>", ""))
    assert (receipt.answer, receipt.unknown) == (JobAnswer.UNKNOWN, ("status: ",))


def test_figures_that_are_not_numbers_are_kept_as_words() -> None:
    figures = "<total>mange</total><digipost> 7 </digipost>"
    receipt = read(send(f"<mottaker-sammendrag>{figures}</mottaker-sammendrag>"))
    assert receipt.summary == (("digipost", 7),)
    assert receipt.unknown == ("total: mange",)


def test_a_signature_is_noticed_only_where_it_belongs() -> None:
    signature = '<s:Signature xmlns:s="http://www.w3.org/2000/09/xmldsig#"><s:x/></s:Signature>'
    assert read(send(signature)).signed
    assert not read(send(row(f"<status>DIGIPOST</status>{signature}"))).signed
    assert not read(send("<Signature/>")).signed
    assert not read(send(f"<nytt>{signature}</nytt>")).signed


def test_text_in_pieces_is_put_together() -> None:
    pieces = "<kunde-id>d<!-- x -->&#45;<![CDATA[1<]]>&amp;<?p i?>å</kunde-id>"
    (result,) = read(
        send(f"<mottaker-resultater><resultat>{pieces}</resultat></mottaker-resultater>")
    ).recipients
    assert result.id == "d-1<&å"


def test_other_encodings_are_read() -> None:
    xml = send(status="FORELØPIG_SUKSESS")
    for encoding in ("utf-16", "iso-8859-1"):
        encoded = xml.replace("UTF-8", encoding).encode(encoding)
        assert read(encoded).answer is JobAnswer.PROVISIONAL


def test_a_large_receipt_is_read_in_one_go() -> None:
    row = "<resultat><kunde-id>{}</kunde-id><status>DIGIPOST</status></resultat>"
    rows = "".join(row.format(number) for number in range(5_000))
    receipt = read(split(f"<mottaker-resultater>{rows}</mottaker-resultater>"))
    assert [one.id for one in receipt.recipients] == [str(number) for number in range(5_000)]


# --- what nobody should send ---


@pytest.mark.parametrize(
    ("xml", "fault"),
    [
        ("", Unreadable.BROKEN_XML),
        ("<", Unreadable.BROKEN_XML),
        (send()[:-5], Unreadable.BROKEN_XML),
        (send() + "<b/>", Unreadable.BROKEN_XML),
        (send("&ukjent;"), Unreadable.BROKEN_XML),
        (send("\x00"), Unreadable.BROKEN_XML),
        (send().encode() + b"<!-- \xff\xfe -->", Unreadable.BROKEN_XML),
        ("<html/>", Unreadable.NOT_A_RECEIPT),
        ("<masseutsendelse-resultat/>", Unreadable.NOT_A_RECEIPT),
        (send(namespace="urn:x"), Unreadable.NOT_A_RECEIPT),
        (send(namespace=f"{NS}/"), Unreadable.NOT_A_RECEIPT),
        (send().replace("-resultat", ""), Unreadable.NOT_A_RECEIPT),
        (send(info=""), Unreadable.NO_JOB),
        (send(info="<jobb-info><ref-jobb-id> </ref-jobb-id></jobb-info>"), Unreadable.NO_JOB),
        (send(row(f"<status>{'x' * 300_000}</status>")), Unreadable.TOO_LARGE),
        (send(row("<a/>" * 3_000)), Unreadable.TOO_LARGE),
        (send("<a>" * 100 + "</a>" * 100), Unreadable.TOO_LARGE),
    ],
)
def test_xml_that_is_not_a_receipt_is_refused(xml: str | bytes, fault: Unreadable) -> None:
    assert fault_of(zipped(xml)) is fault


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE a>",
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">',
        '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE a [<!ENTITY % a SYSTEM "http://127.0.0.1:9/"> %a;]>',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_doctype_is_refused_whatever_is_in_it(doctype: str, encoding: str) -> None:
    xml = send("&a;&b;").replace("?>", f"?>{doctype}", 1).replace("UTF-8", encoding)
    assert fault_of(zipped(xml.encode(encoding))) is Unreadable.DOCTYPE


def test_more_rows_or_bytes_than_a_job_can_come_to_are_refused() -> None:
    xml = send("<mottaker-resultater>" + "<resultat/>" * 100 + "</mottaker-resultater>")
    data, size = zipped(xml), len(xml.encode())
    assert len(read_receipt(NAME, data, most_rows=100, most_bytes=size).recipients) == 100
    for limit in ({"most_rows": 99}, {"most_bytes": size - 1}):
        with pytest.raises(UnreadableReceiptError, match="too_large"):
            read_receipt(NAME, data, **limit)


@pytest.mark.parametrize(
    "entry",
    [
        "../resultat.xml",
        "kvittering/resultat.xml",
        "/resultat.xml",
        "a\\b.xml",
        "mappe/",
        "C:resultat.xml",
        "a\nb.xml",
        ".xml",
        "a..xml",
        "x" * 300 + ".xml",
        "resultat.xml\x00.txt",
    ],
)
def test_odd_names_in_the_zip_are_refused(entry: str) -> None:
    plain = "R" * len(entry.encode())  # the library would tidy some of them
    data = zipped(send(), plain).replace(plain.encode(), entry.encode())
    assert fault_of(data) is Unreadable.ODD_NAME


def test_names_that_receipts_may_have_are_fine() -> None:
    for entry in ("masseutsendelse-resultat.xml", "Kvittering (1).XML", "mottatt æøå.xml"):
        assert read_receipt(NAME, zipped(send(), entry)).job == "send-1"


def test_a_file_of_another_kind_says_that_the_job_could_not_be_parsed() -> None:
    assert fault_of(zipped("Ugyldig XML", "feil.txt")) is Unreadable.NOT_XML


def test_none_or_several_files_are_refused() -> None:
    file = BytesIO()
    with zipfile.ZipFile(file, "w"):
        pass
    assert fault_of(file.getvalue()) is Unreadable.ENTRIES
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.xml", send())
        archive.writestr("b.xml", send())
    assert fault_of(file.getvalue()) is Unreadable.ENTRIES


def test_a_locked_zip_is_refused() -> None:
    data = bytearray(zipped(send()))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert fault_of(bytes(data)) is Unreadable.ENCRYPTED


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packed_in_another_way_is_refused(method: int) -> None:
    assert fault_of(zipped(send(), method=method)) is Unreadable.NOT_A_ZIP


def test_a_bomb_is_refused_long_before_it_is_unpacked_whatever_it_says_of_its_size() -> None:
    data = zipped(send(" " * 30_000_000))
    assert fault_of(data) is Unreadable.TOO_PACKED
    start = data.index(b"PK\x01\x02")
    liar = bytearray(data)
    struct.pack_into("<I", liar, start + 24, 100)  # says that it is of a hundred bytes
    assert fault_of(bytes(liar)) in {Unreadable.BROKEN_XML, Unreadable.NOT_A_ZIP}


# --- whatever it is ---

GOOD = send(
    row("<status>DIGIPOST</status><digipostadresse>ola#1AB2</digipostadresse>")
    + '<brev-resultater><resultat brev-id="d-1"><hoveddokument-uuid>u-1</hoveddokument-uuid>'
    + "<resultat>SENDT</resultat><kanal>WEB</kanal></resultat></brev-resultater>"
).encode()
GOOD_ZIP = zipped(GOOD)
BITS = [b"<", b">", b"&", b"&#0;", b"]]>", b"<!DOCTYPE a [", b"<!ENTITY a 'b'>", b"</", b"\x00"]
BITS += [b"<resultat>", b"</resultat>", b"xmlns='urn:x'", b"<?xml?>", b"\xff", "Ø".encode(), b'"']


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A few pieces of it cut out, doubled, or replaced by what parsers stumble over."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(whole)))
        end = draw(st.integers(start, min(len(whole), start + 40)))
        piece = draw(
            st.one_of(st.sampled_from(BITS), st.binary(max_size=4), st.just(whole[start:end] * 2))
        )
        whole = whole[:start] + piece + whole[end:]
    return whole


def read_or_refused(data: bytes) -> None:
    try:
        assert isinstance(read_receipt(NAME, data), JobReceipt)
    except UnreadableReceiptError as error:
        assert isinstance(error.fault, Unreadable)


@settings(max_examples=100, deadline=None)
@given(damaged(GOOD))
def test_damaged_xml_is_read_or_refused_and_nothing_else(xml: bytes) -> None:
    read_or_refused(zipped(xml, method=zipfile.ZIP_STORED))


@settings(max_examples=100, deadline=None)
@given(damaged(GOOD_ZIP))
def test_a_damaged_zip_is_read_or_refused_and_nothing_else(data: bytes) -> None:
    read_or_refused(data)


def test_a_zip_that_is_only_half_there_is_refused_wherever_it_is_cut() -> None:
    for end in range(len(GOOD_ZIP)):
        with pytest.raises(UnreadableReceiptError):
            read_receipt(NAME, GOOD_ZIP[:end])


def test_the_error_says_which_receipt_and_why() -> None:
    with pytest.raises(UnreadableReceiptError, match=f"receipt {NAME}: not_a_zip") as error:
        read_receipt(NAME, b"")
    assert isinstance(error.value, PermanentError)


# --- names ---


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "min-mottakersplitt.resultat.20111201-145344585.zip",
            ("min-mottakersplitt", "resultat", "20111201-145344585"),
        ),
        ("a.b-1.mottatt.20111201-145344585.zip", ("a.b-1", "mottatt", "20111201-145344585")),
        ("a.resultat-20111201-145344585.ZIP", ("a", "resultat", "20111201-145344585")),
        ("a.foreløpig.20111201-145344585.zip", ("a", "foreløpig", "20111201-145344585")),
        (
            "a.resultat.20111201-145344585.mottatt.20111201-145344586.zip",
            ("a.resultat.20111201-145344585", "mottatt", "20111201-145344586"),
        ),
        ("a.zip", None),
        ("a.resultat.20111201.zip", None),
        ("a.resultat.20111201-145344585.zip.part", None),
        (".resultat.20111201-145344585.zip", None),
        ("", None),
    ],
)
def test_the_name_of_a_receipt_tells_which_upload_it_answers(
    name: str, parts: tuple[str, str, str] | None
) -> None:
    assert receipt_name(name) == parts
