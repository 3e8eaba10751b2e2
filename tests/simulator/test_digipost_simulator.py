"""The Digipost simulator: as strict as what is known, and every doubt and bad day to be had."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.digipost import DigipostSimulator, Keys, Outcome, Person, RunningDigipost, keys
from dev.digipost.area import SEND, SPLIT
from dev.digipost.control import control
from dev.digipost.population import Population
from dev.process import start_task, stop
from shared.adapters.digipost_area import DigipostArea
from shared.adapters.digipost_job import JobFile
from shared.adapters.digipost_receipt import read_receipt
from shared.domain.addressee import Addressee, Identity, PostalAddress
from shared.domain.job_receipt import JobAnswer, RecipientAnswer
from shared.domain.letter_job import (
    JobDocument,
    JobKind,
    JobLetter,
    JobRecipient,
    JobSettings,
    Print,
    Settings,
)
from tests.adapters.digipost_xsd import DIGIPOST, needs_schemas, sample
from tests.adapters.sftp import area_settings
from tests.examples import settings
from tests.simulator.digipost_jobs import (
    OLA,
    PDF,
    START,
    Desk,
    address,
    letter,
    mottaker,
    names_in,
    number,
    pdf,
    person,
    statuses,
    uuid,
    zipped,
)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def desk(tmp_path: Path, known: Keys) -> Desk:
    return Desk(tmp_path, known)


def people(desk: Desk) -> Population:
    return desk.simulator.population


# --- jobs and their receipts ---


def test_a_split_tells_of_everybody_and_sends_nothing(desk: Desk) -> None:
    desk.split(mottaker("1", number()), mottaker("2", person("Per Ikkebruker")))
    received, result = desk.receipts()
    assert (received.status, result.status) == ("MOTTATT", "SUKSESS")
    assert result.text("jobb-info/ref-jobb-id") == "fjordvik.1.a.split-1"
    assert result.recipients["1"][0] == "DIGIPOST"
    assert result.recipients["2"][0] == "IDENTIFISERT"
    assert desk.simulator.delivered == []


def test_a_letter_goes_to_users_by_web_to_others_on_paper_and_else_not_at_all(desk: Desk) -> None:
    desk.send(
        letter("a"),
        letter("b", person("Per Ikkebruker"), paper="Per Ikkebruker"),
        letter("c", person("Pål Ikkebruker")),
    )
    result = desk.result()
    assert result.letters == {
        "a": ("SENDT", "WEB"),
        "b": ("SENDT", "PRINT"),
        "c": ("IKKE_SENDT", "WEB"),
    }
    assert result.text("print-sammendrag/sendt-til-print") == "1"
    [web] = desk.simulator.got("a")
    [paper] = desk.simulator.got("b")
    assert (web.channel, web.subjects, web.by) == ("WEB", ("Høring",), "foedselsnummer")
    assert paper.channel == "PRINT" and paper.paper[0] == "Per Ikkebruker"
    assert web.sha256 == paper.sha256 and web.uuids != paper.uuids
    assert desk.simulator.got("c") == []


def test_receipts_are_named_after_the_file_and_hold_one_file(desk: Desk) -> None:
    desk.send(letter("a"), zip="fjordvik.send-1.2.zip")
    names = [one.name for one in desk.receipts()]
    assert names == [
        "fjordvik.send-1.2.mottatt.20261123-090000000.zip",
        "fjordvik.send-1.2.resultat.20261123-090000000.zip",
    ]
    folder = desk.simulator.area.folder / SEND / "kvittering"
    assert names_in(folder / names[0]) == ["masseutsendelse-resultat.xml"]


def test_a_job_is_taken_in_once(desk: Desk) -> None:
    desk.send(letter("a"))
    assert len(desk.receipts()) == 2
    assert desk.receipts() == []
    assert len(desk.simulator.delivered) == 1


def test_receipts_come_when_they_are_due(desk: Desk) -> None:
    desk.switch(received_seconds=60, result_seconds=3600)
    desk.send(letter("a"))
    seen = []
    for minutes in (0, 1, 59, 1):
        desk.forward(minutes=minutes)
        seen.append(statuses(desk.receipts()))
    assert seen == [[], ["MOTTATT"], [], ["SUKSESS"]]


@needs_schemas
def test_digiposts_own_samples_are_accepted_by_our_checks_and_by_the_schemas(
    tmp_path: Path, known: Keys
) -> None:
    xsd = DIGIPOST / "xsd"
    simulator = DigipostSimulator(tmp_path, known, clock=lambda: START, xsd=xsd)
    invoices = {"faktura/0001.pdf": PDF, "faktura/0002.pdf": PDF, "felles/vilkaar.pdf": PDF}
    for root, name, files in (
        (SPLIT, "mottakersplitt", {}),
        (SEND, "masseutsendelse", invoices),
        (SEND, "masseutsendelse-print", {"info.pdf": PDF}),
    ):
        data = zipped({f"{root}.xml": sample(name), **files})
        (simulator.area.folder / root / f"{name}.zip").write_bytes(data)
    simulator.work()
    assert [(task.said, task.state) for task in simulator.tasks] == [
        ("", "done"),
        ("", "done"),
        ("", "waiting"),  # auto-godkjenn-jobb is false
    ]
    subjects = {one.kunde_id: one.subjects for one in simulator.delivered}
    assert subjects["K-1001"] == ("Faktura september 2026 – avtale 2", "Vilkår")


@needs_schemas
def test_with_the_schemas_what_only_they_know_is_refused_too(tmp_path: Path, known: Keys) -> None:
    desk = Desk(tmp_path, known)
    desk.simulator = DigipostSimulator(tmp_path, known, xsd=DIGIPOST / "xsd")
    too_large = "9" * 30
    desk.send(letter("a"), instead=[("100123", too_large)])
    assert desk.result().code == "VALIDERING_FEILET"


# --- strictness ---

_WRONG: dict[str, dict[str, Any]] = {
    "an element that is not known": {"instead": [("<post>", "<porto/><post>")]},
    "elements in another order": {
        "instead": [
            ("<avsender-id>100123</avsender-id>", ""),
            ("</jobb-id>", "</jobb-id><avsender-id>100123</avsender-id>"),
        ]
    },
    "another namespace": {"instead": [("avsender2_1", "avsender2_0")]},
    "no letters": {"letters": ()},
    "an attribute that is not known": {"instead": [("<brev id=", '<brev nr="1" id=')]},
    "a type that is not known": {"instead": [("<brev id=", '<brev xsi:type="kort" id=')]},
    "a print letter without print": {
        "instead": [("<brev id=", '<brev xsi:type="brev-med-print" id=')]
    },
    "a subject that is too long": {"instead": [("Høring", "H" * 101)]},
    "no subject": {"instead": [("<emne>Høring</emne>", "<emne/>")]},
    "a title that is too long": {"title": "T" * 81},
    "a time that is none": {"day": "i morgen"},
    "a sender that is not a number": {"instead": [("100123", "Fjordvik")]},
    "a file with a blank in its name": {
        "instead": [("brev.pdf", "mitt brev.pdf")],
        "files": {"mitt brev.pdf": PDF},
    },
    "a file with two dots in its name": {
        "instead": [("brev.pdf", "brev.v2.pdf")],
        "files": {"brev.v2.pdf": PDF},
    },
    "a file that is not there": {"files": {}},
    "a file that nobody mentions": {"files": {"brev.pdf": PDF, "ekstra.pdf": PDF}},
    "a document twice": {"documents": "<dokument><id>brev</id><fil>brev.pdf</fil></dokument>" * 2},
    "a letter of a document that is not there": {"letters": [letter("a", main="annet")]},
    "settings that are not there": {
        "instead": [("</fil>", '</fil><innstillinger extends="ukjent"/>')]
    },
    "the same recipient twice": {"letters": [letter("a"), letter("a")]},
    "the same uuid twice": {
        "letters": [
            letter("a"),
            letter("b").replace(uuid("fjordvik.1.a.send-1", "b"), uuid("fjordvik.1.a.send-1", "a")),
        ]
    },
    "a uuid in capitals": {
        "letters": [
            letter("a").replace(
                uuid("fjordvik.1.a.send-1", "a"), "A" * 8 + "-0000-0000-0000-" + "0" * 12
            )
        ]
    },
    "no uuid": {"letters": [re.sub(r' uuid="[^"]+"', "", letter("a"))]},
    "no refid": {"letters": [letter("a").replace(' refid="brev"', "")]},
    "two ways of telling who it is": {"letters": [letter("a", number() + address("x#1AB2"))]},
    "a hundred attachments": {"letters": [letter("a", attached=["brev"] * 100)]},
    "a postal code with three digits on the envelope": {
        "letters": [letter("a", paper="Ola").replace("<postnummer>0155", "<postnummer>155")]
    },
}


@pytest.mark.parametrize("wrong", _WRONG)
def test_a_job_that_is_not_as_it_should_be_fails_whole(desk: Desk, wrong: str) -> None:
    more = dict(_WRONG[wrong])
    desk.send(*more.pop("letters", [letter("a")]), **more)
    [result] = desk.receipts()
    assert (result.status, result.code) == ("FEILET", "VALIDERING_FEILET")
    assert desk.simulator.delivered == []


def test_what_is_wrong_in_the_table_is_right_without_it(desk: Desk) -> None:
    """Or the tests above would pass for another reason."""
    attached = ["brev"] * 99
    desk.send(letter("a", attached=attached, paper="Ola"), letter("b"), title="T" * 80)
    assert desk.result().status == "SUKSESS"


def test_a_split_is_held_to_the_same(desk: Desk) -> None:
    desk.split(mottaker("1", number()), mottaker("1", person()))
    assert desk.result().code == "VALIDERING_FEILET"


_UNREADABLE = {
    "no zip": b"PK, nesten",
    "half a zip": zipped({"masseutsendelse.xml": b"<a/>" * 999})[:500],
    "no XML": zipped({"brev.pdf": PDF}),
    "another XML": zipped({"mottakersplitt.xml": b"<a/>"}),
    "two of them": zipped({"masseutsendelse.xml": b"<a/>", "annen.xml": b"<a/>"}),
    "XML in a folder": zipped({"jobb/masseutsendelse.xml": b"<a/>"}),
    "XML that is none": zipped({"masseutsendelse.xml": b"<a><b></a>"}),
    "XML without a job": zipped({"masseutsendelse.xml": b"<a/>"}),
}


@pytest.mark.parametrize("data", _UNREADABLE)
def test_of_what_cannot_be_read_a_text_is_all_that_comes(desk: Desk, data: str) -> None:
    desk.leave(SEND, "a.zip", _UNREADABLE[data])
    desk.simulator.work()
    [receipt] = desk.simulator.area.receipts(SEND)
    assert receipt.name.startswith("a.resultat.") and names_in(receipt) == ["feilmelding.txt"]


def test_or_a_failed_receipt_with_the_name_of_the_file_or_nothing(desk: Desk) -> None:
    desk.switch(unreadable="failed")
    desk.leave(SEND, "a.zip", b"PK, nesten")
    result = desk.result()
    assert (result.status, result.text("jobb-info/ref-jobb-id")) == ("FEILET", "a")
    desk.switch(unreadable="silent")
    desk.leave(SEND, "b.zip", b"PK, nesten")
    assert desk.receipts() == []


# --- who is found ---

ORGANIZATION = "974760673"

_FOUND: dict[str, tuple[str, tuple[str, ...]]] = {
    "a number": (number(), ("DIGIPOST", "bruker#")),
    "a number that ends in 7": (number("17857410327"), ("IDENTIFISERT", "#")),
    "a number that ends in 9": (number("17857410599"), ("UIDENTIFISERT",)),
    "a number with a wrong digit": (number("17857410085"), ("UGYLDIG", "UGYLDIG_FOEDSELSNUMMER")),
    "a number that is too short": (number("1785741008"), ("UGYLDIG", "UGYLDIG_FOEDSELSNUMMER")),
    "an organisation": (
        f"<organisasjonsnummer>{ORGANIZATION}</organisasjonsnummer>",
        ("DIGIPOST", "#"),
    ),
    "an organisation with a wrong digit": (
        "<organisasjonsnummer>974760674</organisasjonsnummer>",
        ("UGYLDIG", "UGYLDIG_ORGANISASJONSNUMMER"),
    ),
    "an address": (address("ola.nordmann#1AB2"), ("DIGIPOST", "ola.nordmann#1AB2")),
    "an address that leads nowhere": (address("ukjent#1AB2"), ("UIDENTIFISERT",)),
    "an address that is none": (
        address("ola.nordmann"),
        ("UGYLDIG", "UGYLDIG_DIGIPOSTADRESSE"),
    ),
    "an alias": (
        "<person-alias>abcd#9ZY8</person-alias>",
        ("IDENTIFISERT", "abcd#9ZY8"),
    ),
    "a name": (person(), ("DIGIPOST", "kari.nordmann#", "false")),
    "an inexact name": (person("Kari Vasket"), ("DIGIPOST", "kari.vasket#", "true")),
    "a known person": (person("Per Ikkebruker"), ("IDENTIFISERT", "#", "false")),
    "nobody": (person("Ukjent Person"), ("UIDENTIFISERT",)),
    "a reserved person": (person("Kari Reservert"), ("UIDENTIFISERT",)),
    "several": (person("Ole Fleretreff"), ("UIDENTIFISERT", "FLERE_TREFF")),
    "no street": (person(street=""), ("UIDENTIFISERT", "MANGELFULL_ADRESSE")),
    "a name that is none": (person("Ugyldig"), ("UGYLDIG", "UGYLDIG_NAVN_ADRESSE")),
    "a postal code that is none": (person(code="155"), ("UGYLDIG", "UGYLDIG_POSTNUMMER")),
    "a birth date that is none": (
        person(rest="<foedselsdato>311188</foedselsdato>"),
        ("UGYLDIG", "UGYLDIG_FOEDSELSDATO"),
    ),
    "a fault that nobody explains": (person("Kari Uspesifisert"), ("UGYLDIG", "USPESIFISERT")),
}


@pytest.mark.parametrize("who", _FOUND)
def test_who_is_found_is_told_by_who_is_asked_for(desk: Desk, who: str) -> None:
    by, expected = _FOUND[who]
    desk.split(mottaker("1", by))
    told = desk.result().recipients["1"]
    assert len(told) == len(expected)
    assert all(part in said for part, said in zip(expected, told, strict=True)), told


def test_a_kunde_id_with_blanks_around_it_is_invalid(desk: Desk) -> None:
    desk.split(mottaker(" 1", number()), mottaker("", number()))
    told = desk.result().recipients
    assert set(told.values()) == {("UGYLDIG", "UGYLDIG_KUNDEID")}


def test_people_are_found_by_everything_that_they_have(desk: Desk) -> None:
    people(desk).add(
        Person(
            name="Åse Bøe",
            national_id=OLA,
            street="Storgata 1B",
            postal_code="0155",
            birth_date="171174",
            phone="+4799999999",
            digipost_address="ase.boe#5EF6",
        )
    )
    reached = "<foedselsdato>171174</foedselsdato><telefonnummer>+4799999999</telefonnummer>"
    desk.split(
        mottaker("number", number(OLA)),
        mottaker("address", address("ase.boe#5EF6")),
        mottaker("name", person("Åse Bøe")),
        mottaker("inexact", person("åse bøe", "Storgt. 1 b")),
        mottaker("phone", person("Åse Bøe", "Et helt annet sted 5", rest=reached)),
        mottaker("elsewhere", person("Åse Bøe", "Et helt annet sted 5")),
    )
    told = desk.result().recipients
    assert told == {
        "number": ("DIGIPOST", "ase.boe#5EF6"),
        "address": ("DIGIPOST", "ase.boe#5EF6"),
        "name": ("DIGIPOST", "ase.boe#5EF6", "false"),
        "inexact": ("DIGIPOST", "ase.boe#5EF6", "true"),
        "phone": ("DIGIPOST", "ase.boe#5EF6", "false"),
        "elsewhere": ("UIDENTIFISERT",),
    }


def test_two_of_a_name_at_one_address_cannot_be_told_apart_without_a_birth_date(desk: Desk) -> None:
    for birth_date in ("010150", "010180"):
        people(desk).add(
            Person(name="Ola Dunk", street="Vei 1", postal_code="0155", birth_date=birth_date)
        )
    born = "<foedselsdato>010180</foedselsdato>"
    desk.split(
        mottaker("1", person("Ola Dunk", "Vei 1")),
        mottaker("2", person("Ola Dunk", "Vei 1", rest=born)),
    )
    told = desk.result().recipients
    assert told["1"] == ("UIDENTIFISERT", "FLERE_TREFF")
    assert told["2"][0] == "DIGIPOST"


def test_a_blocked_address_leads_nowhere_and_its_owner_gets_another(desk: Desk) -> None:
    desk.split(mottaker("1", person()))
    before = desk.result().recipients["1"][1]
    people(desk).block(before)
    desk.split(mottaker("1", address(before)), mottaker("2", person()), job="j.2")
    told = desk.result().recipients
    assert told["1"] == ("UIDENTIFISERT",)
    assert told["2"][0] == "DIGIPOST" and told["2"][1] != before


def test_a_known_person_who_joins_is_found_by_the_alias(desk: Desk) -> None:
    people(desk).add(Person(name="Per Spelmann", kind="known", alias="abc#1234"))
    by = "<person-alias>abc#1234</person-alias>"
    desk.split(mottaker("1", by))
    assert desk.result().recipients["1"] == ("IDENTIFISERT", "abc#1234")
    people(desk).joins("Per Spelmann")
    desk.split(mottaker("1", by), job="j.2")
    assert desk.result().recipients["1"][0] == "DIGIPOST"


def test_an_outcome_that_is_set_goes_before_every_rule(desk: Desk) -> None:
    people(desk).outcomes["1"] = Outcome(status="UGYLDIG", reasons=("USPESIFISERT",))
    desk.split(mottaker("1", number()))
    assert desk.result().recipients["1"] == ("UGYLDIG", "USPESIFISERT")


def test_the_summary_counts_everybody_once(desk: Desk) -> None:
    desk.split(*(mottaker(str(place), by) for place, (by, _) in enumerate(_FOUND.values())))
    summary = desk.result().xml.find("{*}mottaker-sammendrag")
    assert summary is not None
    figures = [int(one.text or "") for one in summary]
    assert figures[0] == len(_FOUND) == sum(figures[1:])


# --- letters and documents ---


def test_an_invalid_recipient_gets_nothing_unless_print_is_switched_on_for_them(desk: Desk) -> None:
    wrong = number("17857410085")
    desk.send(letter("a", wrong, paper="Ola"))
    assert desk.result().letters == {"a": ("IKKE_SENDT", "UGYLDIG_MOTTAKER")}
    desk.switch(print_invalid=True)
    desk.send(letter("a", wrong, paper="Ola", job="j.2"), job="j.2")
    assert desk.result().letters == {"a": ("SENDT", "PRINT")}


def test_a_letter_may_fail_for_no_reason_that_is_told(desk: Desk) -> None:
    desk.send(letter("a", person("Kari Brevfeil")))
    assert desk.result().letters == {"a": ("IKKE_SENDT", "USPESIFISERT_FEIL")}


def test_without_an_agreement_nothing_is_printed(desk: Desk) -> None:
    desk.switch(print_agreement=False)
    desk.send(letter("a", person("Per Ikkebruker"), paper="Per Ikkebruker"))
    assert desk.result().letters == {"a": ("IKKE_SENDT", "PRINT", "UGYLDIG_FOR_PRINT")}


def document(file: str) -> str:
    return f"<dokument><id>brev</id><fil>{file}</fil></dokument>"


_FILES: dict[str, tuple[str, bytes, str]] = {
    "one that is fine": ("brev.pdf", PDF, ""),
    "no PDF at all": ("brev.pdf", b"Hei", "UGYLDIG_FOR_WEB"),
    "a name that says so": ("ugyldig.pdf", PDF, "UGYLDIG_FOR_WEB"),
    "another kind of file": ("brev.html", b"<p>Hei", "UGYLDIG_FOR_WEB"),
    "a name that says that it cannot be told": ("uspesifisert.pdf", PDF, "USPESIFISERT_FEIL"),
    "a name that says so of print": ("uskrivbar.pdf", PDF, "UGYLDIG_FOR_PRINT"),
    "too many pages": ("brev.pdf", pdf(21), "UGYLDIG_FOR_PRINT"),
    "as many pages as there may be": ("brev.pdf", pdf(20), ""),
    "a page that is too large": ("brev.pdf", pdf(size=(612, 842)), "UGYLDIG_FOR_PRINT"),
    "a page that is lying": ("brev.pdf", pdf(size=(842, 595)), "UGYLDIG_FOR_PRINT"),
    "text where the barcode comes": ("brev.pdf", pdf(text=(10, 500)), "UGYLDIG_FOR_PRINT"),
    "text above the barcode": ("brev.pdf", pdf(text=(10, 700)), ""),
    "a version that is too new": ("brev.pdf", pdf(header="%PDF-2.0"), "UGYLDIG_FOR_PRINT"),
    "a font that is not embedded": ("brev.pdf", pdf(font="Papyrus"), "UGYLDIG_FOR_PRINT"),
}


@pytest.mark.parametrize("which", _FILES)
def test_a_document_is_fit_for_the_web_for_print_or_for_neither(desk: Desk, which: str) -> None:
    file, data, fault = _FILES[which]
    desk.send(
        letter("web"),
        letter("paper", person("Per Ikkebruker"), paper="Per Ikkebruker"),
        documents=document(file),
        files={file: data},
    )
    result = desk.result()
    assert sorted(set(result.documents.get("brev", []))) == ([fault] if fault else [])
    unreadable = ("IKKE_SENDT", "UGYLDIG_DOKUMENT")
    told = {
        "": (("SENDT", "WEB"), ("SENDT", "PRINT")),
        "UGYLDIG_FOR_PRINT": (("SENDT", "WEB"), ("IKKE_SENDT", "PRINT", "UGYLDIG_FOR_PRINT")),
    }.get(fault, (unreadable, unreadable))
    assert (result.letters["web"], result.letters["paper"]) == told


def test_a_document_that_is_too_large_is_not_taken(desk: Desk) -> None:
    desk.switch(max_megabytes=0.0001)
    desk.send(letter("a"))
    assert desk.result().documents == {"brev": ["UGYLDIG_FOR_WEB"]}


# --- approval, and the day ---


def test_a_job_waits_for_approval_with_a_provisional_result(desk: Desk) -> None:
    desk.send(letter("a"), auto="false")
    assert statuses(desk.receipts()) == ["MOTTATT", "FORELØPIG_SUKSESS"]
    assert desk.receipts() == [] and desk.simulator.delivered == []
    desk.simulator.approve("fjordvik.1.a.send-1")
    assert statuses(desk.receipts()) == ["SUKSESS"]
    assert len(desk.simulator.delivered) == 1


def test_or_without_a_word(desk: Desk) -> None:
    desk.switch(provisional="never")
    desk.send(letter("a"), auto="false")
    assert statuses(desk.receipts()) == ["MOTTATT"]


def test_or_somebody_approves_everything(desk: Desk) -> None:
    desk.switch(approve="auto")
    desk.send(letter("a"), auto="false")
    assert statuses(desk.receipts()) == ["MOTTATT", "SUKSESS"]


@pytest.mark.parametrize(("rejected", "told"), [("GENERELL_FEIL", ["FEILET"]), ("off", [])])
def test_a_job_that_is_rejected_fails_or_is_never_heard_of(
    desk: Desk, rejected: str, told: list[str]
) -> None:
    desk.switch(rejected=rejected)
    desk.send(letter("a"), auto="false")
    desk.receipts()
    desk.simulator.reject("fjordvik.1.a.send-1")
    assert statuses(desk.receipts()) == told
    assert desk.simulator.delivered == []
    with pytest.raises(LookupError):
        desk.simulator.approve("fjordvik.1.a.send-1")


def test_a_high_share_of_errors_holds_every_job(desk: Desk) -> None:
    desk.switch(hold_from_percent=50)
    wrong = number("17857410085")
    desk.send(letter("a", wrong), letter("b"), letter("c"), auto="true")
    assert statuses(desk.receipts()) == ["MOTTATT", "SUKSESS"]
    desk.send(
        letter("a", wrong, job="j.2"), letter("b", person(), job="j.2"), job="j.2", auto="true"
    )
    assert statuses(desk.receipts()) == ["MOTTATT", "FORELØPIG_SUKSESS"]


def test_a_job_is_delivered_on_its_day_and_not_before(desk: Desk) -> None:
    desk.send(letter("a"), day="2026-11-24T08:00:00+01:00")
    assert statuses(desk.receipts()) == ["MOTTATT", "FORELØPIG_SUKSESS"]
    desk.forward(hours=22, minutes=59)
    assert desk.receipts() == []
    desk.forward(minutes=1)
    assert statuses(desk.receipts()) == ["SUKSESS"]


def test_a_split_needs_no_approval(desk: Desk) -> None:
    desk.split(mottaker("1", number()), auto="false")
    assert statuses(desk.receipts()) == ["MOTTATT", "SUKSESS"]


# --- what nobody knows, and bad days ---


def test_the_first_receipt_may_be_left_out(desk: Desk) -> None:
    desk.switch(received=False)
    desk.send(letter("a"))
    assert statuses(desk.receipts()) == ["SUKSESS"]


def test_a_provisional_result_may_come_before_every_result(desk: Desk) -> None:
    desk.switch(provisional="always")
    desk.send(letter("a"))
    assert statuses(desk.receipts()) == ["MOTTATT", "FORELØPIG_SUKSESS"]
    assert statuses(desk.receipts()) == ["SUKSESS"]


@pytest.mark.parametrize("code", ["VALIDERING_FEILET", "ENGINE_FEIL", "GENERELL_FEIL"])
def test_every_job_may_fail_and_so_may_one_by_its_name(desk: Desk, code: str) -> None:
    desk.send(letter("a"), title=f"Prøve {code}")
    assert desk.result().code == code
    desk.switch(fail_jobs=code)
    desk.split(mottaker("1", number()))
    assert desk.result().code == code
    assert desk.simulator.delivered == []


def test_a_job_that_comes_again_is_refused_and_nobody_gets_it_twice(desk: Desk) -> None:
    desk.send(letter("a"), zip="1.zip")
    desk.receipts()
    desk.send(letter("a"), zip="2.zip")
    assert desk.result().code == "VALIDERING_FEILET"
    assert desk.simulator.got_twice == []


def test_or_it_is_worked_through_again_and_that_can_be_seen(desk: Desk) -> None:
    desk.switch(repeated_job="again")
    desk.send(letter("a"), letter("b", person()), zip="1.zip")
    desk.send(letter("a"), zip="2.zip")
    desk.receipts()
    assert desk.simulator.got_twice == ["a"]
    assert len(desk.simulator.got("a")) == 2


@pytest.mark.parametrize(("switch", "status"), [("refused", "FEILET"), ("again", "SUKSESS")])
def test_a_uuid_of_another_job_is_refused_or_not(desk: Desk, switch: str, status: str) -> None:
    desk.switch(repeated_uuid=switch)
    desk.send(letter("a"))
    desk.receipts()
    desk.send(letter("a"), job="j.2")
    assert desk.result().status == status


def test_rows_are_in_no_order_unless_that_is_switched_off(desk: Desk) -> None:
    ids = [f"k{place:02}" for place in range(30)]
    letters = [letter(id_, person(f"Navn {id_}")) for id_ in ids]
    desk.send(*letters)
    shuffled = desk.result()
    assert list(shuffled.letters) != ids and sorted(shuffled.letters) == ids
    assert list(shuffled.recipients) != list(shuffled.letters)
    desk.switch(shuffled=False, repeated_job="again")
    desk.send(*letters, zip="2.zip")
    assert list(desk.result().letters) == ids


def test_rows_may_be_left_out_though_the_letters_went(desk: Desk) -> None:
    desk.switch(rows_left_out=1)
    desk.send(letter("a"), letter("b", person()))
    assert len(desk.result().letters) == 1
    assert len(desk.simulator.delivered) == 2


def test_errors_and_reasons_and_figures_may_be_left_out(desk: Desk) -> None:
    desk.switch(empty_errors=True, reasons=False, summary=False)
    desk.send(letter("a", number("17857410085")), letter("b", person("Ole Fleretreff")))
    result = desk.result()
    assert result.letters == {"a": ("IKKE_SENDT",), "b": ("IKKE_SENDT", "WEB")}
    assert len(result.xml.findall(".//{*}feilinformasjon")) == 2
    assert result.recipients["b"] == ("UIDENTIFISERT",)
    assert result.xml.find("{*}mottaker-sammendrag") is None


def test_a_receipt_may_be_signed(desk: Desk) -> None:
    desk.switch(signature=True)
    desk.split(mottaker("1", number()))
    found = desk.result().xml.findall("{http://www.w3.org/2000/09/xmldsig#}Signature")
    assert len(found) == 1


def test_a_receipt_may_be_there_half_at_first(desk: Desk) -> None:
    desk.switch(two_steps=True, received=False)
    desk.send(letter("a"))
    desk.simulator.work()
    [path] = desk.simulator.area.receipts(SEND)
    half = path.read_bytes()
    desk.simulator.work()
    whole = path.read_bytes()
    assert whole.startswith(half) and len(half) == len(whole) // 2
    assert names_in(path) == ["masseutsendelse-resultat.xml"]


def test_there_may_be_a_text_in_it_and_others_receipts_beside_it(desk: Desk) -> None:
    desk.switch(text_in_receipt=True, foreign_receipts=True, received=False)
    desk.send(letter("a"))
    foreign, ours = desk.receipts()
    assert foreign.text("jobb-info/ref-jobb-id") == "annen.fjordvik.1.a.send-1"
    assert foreign.name.startswith("annen-")
    paths = desk.simulator.area.receipts(SEND)
    assert all(len(names_in(path)) == 2 for path in paths) and ours.status == "SUKSESS"


@pytest.mark.parametrize(
    ("uploaded", "left"),
    [("kept", ["a.zip", "kvittering"]), ("deleted", ["kvittering"])],
)
def test_the_uploaded_file_is_kept_or_deleted(desk: Desk, uploaded: str, left: list[str]) -> None:
    desk.switch(uploaded=uploaded)
    desk.send(letter("a"), zip="a.zip")
    assert statuses(desk.receipts()) == ["MOTTATT", "SUKSESS"]
    folder = desk.simulator.area.folder / SEND
    assert sorted(path.name for path in folder.iterdir()) == left
    assert desk.receipts() == []


def test_or_moved(desk: Desk) -> None:
    desk.switch(uploaded="moved")
    desk.send(letter("a"), zip="a.zip")
    assert statuses(desk.receipts()) == ["MOTTATT", "SUKSESS"]
    assert (desk.simulator.area.folder / SEND / "behandlet/a.zip").exists()


def test_a_part_is_left_alone_or_not(desk: Desk) -> None:
    desk.send(letter("a"), zip="a.zip.part")
    assert desk.receipts() == []
    desk.switch(ignore_part=False)
    assert statuses(desk.receipts()) == ["MOTTATT", "SUKSESS"]


def test_a_file_that_nobody_mentions_may_be_allowed(desk: Desk) -> None:
    desk.switch(unreferenced_files="allowed")
    desk.send(letter("a"), files={"brev.pdf": PDF, "ekstra.pdf": PDF})
    assert desk.result().status == "SUKSESS"


# --- from outside ---


async def test_everything_can_be_seen_and_done_over_http(desk: Desk) -> None:
    transport = httpx.ASGITransport(control(desk.simulator))
    async with httpx.AsyncClient(transport=transport, base_url="http://sim/_sim") as http:
        outcome = {"b": {"status": "UGYLDIG", "reasons": ["USPESIFISERT"]}}
        for path, body in (
            ("switches", {"received": False}),
            ("people", [{"name": "Kari Nordmann", "street": "Vei 1", "postal_code": "0155"}]),
            ("outcomes", outcome),
            ("block", {"key": "ola.nordmann#1AB2"}),
        ):
            assert (await http.post(f"/{path}", json=body)).status_code == 200
        desk.send(
            letter("a", person(street="Vei 1")),
            letter("b", person()),
            letter("c", address("ola.nordmann#1AB2")),
            auto="false",
        )
        assert (await http.post("/work")).json() == {"receipts": 1}
        job = {"job": "fjordvik.1.a.send-1"}
        assert (await http.post("/approve", json=job)).status_code == 200
        await http.post("/work")
        state = (await http.get("/state")).json()
        assert [one["state"] for one in state["jobs"]] == ["done"]
        assert state["letters"] == {"a": 1} and state["got_twice"] == []
        [got] = (await http.get("/deliveries", params={"kunde_id": "a"})).json()
        assert got["channel"] == "WEB" and got["address"].startswith("kari.nordmann#")
        assert (await http.get("/deliveries", params={"kunde_id": "b"})).json() == []
        assert (await http.post("/reject", json={"job": "ukjent"})).status_code == 404
        assert (await http.post("/switches", json={"ukjent": 1})).status_code == 400
        await http.post("/reset")
        assert (await http.get("/state")).json()["jobs"] == []


async def test_it_runs_beside_whoever_uses_it_and_works_by_itself(
    tmp_path: Path, known: Keys
) -> None:
    data = zipped({"masseutsendelse.xml": b"ikke xml"})
    with RunningDigipost(DigipostSimulator(tmp_path, known), every=0.01) as running:
        area = DigipostArea(settings(**running.settings))
        await area.upload(JobKind.SEND, "a.zip", BytesIO(data), len(data))
        async with httpx.AsyncClient(base_url=running.url) as http:
            await http.post("/_sim/work")
            [name] = (await http.get("/_sim/state")).json()["receipts"]
        assert list(await area.receipts(JobKind.SEND)) == [name]


async def test_what_the_app_builds_and_uploads_is_accepted_and_it_can_read_the_answer(
    desk: Desk, known: Keys
) -> None:
    home = PostalAddress(("Storgata 1B",), "0155", "Oslo")
    kari = Addressee(name="Kari Ikkebruker", postal=home)
    by_name = JobRecipient("d-1", Identity.NAME_AND_ADDRESS, addressee=kari)
    by_address = JobRecipient("d-2", Identity.DIGIPOST_ADDRESS, "ola.nordmann#1AB2")
    paper = Print("Kari Ikkebruker", home, "Fjordvik kommune", home)
    job = JobFile()
    job.add_file("brev.pdf", PDF)
    job.begin_send(
        JobSettings(100123, "fjordvik.1.a.send-1", auto_approve=True),
        Settings(subject="Høring"),
        [JobDocument("brev", "brev.pdf")],
    )
    job.add_letters(
        [
            JobLetter("d-1", by_name, ((uuid("j", "d-1"), "brev"),), print=paper),
            JobLetter("d-2", by_address, ((uuid("j", "d-2"), "brev"),)),
        ]
    )
    parcel = job.finish()
    parcel.file.seek(0)
    async with desk.simulator.area.serving() as port:
        area = DigipostArea(area_settings(known, port))
        await area.upload(JobKind.SEND, "a.zip", parcel.file, parcel.size)
        parcel.close()
        desk.simulator.work()
        assert [task.said for task in desk.simulator.tasks] == [""]
        names = list(await area.receipts(JobKind.SEND))
        answers = [
            read_receipt(name, await area.fetch(JobKind.SEND, name, 100_000)) for name in names
        ]
    assert [one.answer for one in answers] == [JobAnswer.RECEIVED, JobAnswer.SUCCESS]
    assert {one.id: one.answer for one in answers[1].recipients} == {
        "d-1": RecipientAnswer.IDENTIFIED,
        "d-2": RecipientAnswer.USER,
    }
    assert all(one.sent and not one.faults for one in answers[1].letters)
    assert {one.kunde_id: one.channel for one in desk.simulator.delivered} == {
        "d-1": "PRINT",
        "d-2": "WEB",
    }


def test_it_is_a_task_of_its_own(tmp_path: Path) -> None:
    child = start_task(
        *("digipost", "--port", "0", "--control-port", "0", "--folder", str(tmp_path)),
        *("--approve", "auto", "--switch", "result_seconds=5"),
    )
    try:
        assert child.stdout
        told = dict[str, str]()
        for line in child.stdout:
            name, _, value = line.strip().partition("=")
            told[name] = value
            if line.startswith("Look inside: "):
                url = line.removeprefix("Look inside: ").strip().removesuffix("/state")
                break
        assert told["DIGIPOST_HOST_KEY"] == keys(tmp_path / "keys").host_fingerprint
        switches = httpx.get(f"{url}/switches").json()
        assert (switches["approve"], switches["result_seconds"]) == ("auto", 5)
    finally:
        assert stop(child) in (0, 130)
