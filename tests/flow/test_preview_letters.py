"""A preview of letters: how people are found, what the letter is, and what to think of first."""

from datetime import timedelta

import pytest

from dev.pureservice.seed import PDF, add_file
from shared.domain.addressee import fingerprint
from shared.domain.register import Entry, Standing
from shared.flow.audience import audience
from tests.flow.letter_town import LETTER_HOUSE, NUMBER, resident, residents
from tests.flow.test_preview import note, prepared
from tests.flow.test_report import words


async def told(house, *people, files=(), **options) -> str:
    """What the preview of a letter to these says."""
    people = people or (resident(house, "Kari", address="kari@example.no"),)
    number = await prepared(house, residents(house, *people), channel="digipost", **options)
    for name, data in files:
        add_file(house.world, house.ticket(number), name, data)
    return words(await note(house, number))


@pytest.fixture
def town(make_house):
    return lambda **changes: make_house(**{**LETTER_HOUSE, **changes})


async def test_it_counts_how_digipost_would_find_people_and_never_tells_a_number(town):
    house = town()
    people = [resident(house, "Kari", id_=NUMBER), resident(house, "Ola"), resident(house, "Åse")]
    said = await told(house, *people)
    assert "3 mottakere får brevet i Digipost, eller på en annen måte." in said
    assert "1 mottaker med fødselsnummer 2 mottakere med navn og postadresse" in said
    assert "Slike oppslag kan ta flere timer." in said
    assert NUMBER not in said


async def test_who_cannot_be_found_is_named_with_what_is_wrong(town):
    house = town()
    people = [
        resident(house, "Kari"),
        resident(house, "Ola", home=False),
        resident(house, "Åse", home=False, id_="12345678901"),
    ]
    said = await told(house, *people)
    assert "Ola Nordmann: ingenting å gå etter" in said
    assert "Åse Nordmann: ugyldig fødselsnummer" in said
    assert "12345678901" not in said


@pytest.mark.parametrize(
    ("ways", "named"), [("list", True), ("print,list", True), ("email", False)]
)
async def test_who_has_no_postal_address_is_named_where_paper_is_a_way(town, ways, named):
    back = '{"name": "Fjordvik", "lines": ["Torget 1"], "postal_code": "0155", "city": "Oslo"}'
    house = town(DIGIPOST_NOT_REACHED=ways, DIGIPOST_RETURN_ADDRESS=back)
    said = await told(house, resident(house, "Kari", home=False, id_=NUMBER))
    assert ("1 mottaker har ingen postadresse som kan brukes" in said) is named
    assert ("på papir: Kari Nordmann" in said) is named


async def test_the_ways_for_those_not_reached_stand_in_their_order(town):
    house = town(DIGIPOST_NOT_REACHED="email,ticket,list")
    said = await told(house)
    mail, ticket, paper = (
        said.index(words)
        for words in (
            "Vi sender brevet på e-post",
            "får en egen sak med brevet",
            "kommer på en liste på denne saken",
        )
    )
    assert mail < ticket < paper
    none = town(DIGIPOST_NOT_REACHED="")
    assert "Den som ikke har Digipost, får ikke brevet." in await told(none)


async def test_the_register_tells_who_is_in_digipost_as_long_as_it_is_fresh(town):
    house = town(DIGIPOST_REGISTER="on", DIGIPOST_SPLIT="false")
    people = [resident(house, name) for name in ("Kari", "Ola", "Åse")]
    who = await audience(None, house.ledger, house.settings, house.clock(), "digipost")
    members = await house.helpdesk.people([f"user:{one['id']}" for one in people])
    known = [who.recipient(members[f"user:{one['id']}"]) for one in people]
    ages = (timedelta(days=1), timedelta(days=1), timedelta(days=30))
    standings = (Standing.USER, Standing.KNOWN, Standing.USER)
    await house.ledger.register.keep(
        Entry(
            one.member,
            standing,
            digipost_address="kari#1AB2" if standing is Standing.USER else "",
            asked_at=house.clock() - age,
            fingerprint=fingerprint(one.addressee),
        )
        for one, age, standing in zip(known, ages, standings, strict=True)
    )
    said = await told(house, *people)
    assert "1 mottaker er i Digipost, etter det vi fikk vite sist" in said
    assert "1 mottaker er ikke i Digipost, etter det vi fikk vite sist" in said
    assert "1 mottaker med Digipost-adressen vi har fått vite før" in said
    assert "kari#1AB2" not in said


async def test_the_one_pdf_is_the_letter_and_its_pages_are_counted(town):
    said = await told(town(), files=[("plan.pdf", PDF)])
    assert "Selve brevet er plan.pdf – 1 side," in said
    assert "Ingen vedlegg." in said


async def test_of_several_the_one_named_so_is_the_letter(town):
    house = town()
    said = await told(house, files=[("Brev til deg.pdf", PDF), ("plan.pdf", PDF)])
    assert "Selve brevet er Brev til deg.pdf – 1 side" in said
    assert "Vedlegg: plan.pdf – 1 side" in said
    said = await told(town(), files=[("en.pdf", PDF), ("to.pdf", PDF)])
    assert "har 2 PDF-filer, og vi kan ikke vite hvilken som er selve brevet" in said
    assert "begynne med «brev»" in said


async def test_without_a_pdf_the_message_is_the_letter(town):
    said = await told(town())
    assert "Ingen PDF er lagt ved, så vi lager brevet av meldingen: 1 side," in said
    assert "for én av mottakerne" not in said
    said = await told(town(), message="<p>Hei {{ recipient.name }}</p>")
    assert "for én av mottakerne. Hver mottaker får sitt eget." in said


async def test_a_document_that_cannot_be_sent_is_told_of_with_what_to_do(town):
    said = await told(town(), files=[("plan.pdf", b"%PDF-1.4 og ikke mer")])
    assert "Dette må rettes først" in said
    assert "Dokumentet «plan.pdf» kan ikke sendes slik det er:" in said
    assert "PDF-filen kan ikke leses." in said


async def test_a_file_that_digipost_does_not_take_is_told_of(town):
    said = await told(town(), files=[("plan.docx", b"x")])
    assert "Vedlegget «plan.docx» er av en type som ikke kan sendes i Digipost" in said


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"DIGIPOST_APPROVE": "portal"}, "Noen må godkjenne jobben i Digipost-portalen"),
        ({"DIGIPOST_LETTERS_PER_JOB": "1"}, "går i 2 jobber. Hver jobb leveres for seg"),
        (
            {"DIGIPOST_SPLIT": "false"},
            "For så mange eller så store brev anbefaler Digipost å spørre først",
        ),
        ({}, "Emnet er lengre enn 100 tegn"),
    ],
    ids=["approval", "several jobs", "send only", "subject"],
)
async def test_it_warns_only_where_there_is_reason_to(town, changes, says):
    """Without asking first, a letter of more than 150 kB is too large."""
    quiet = await told(town(DIGIPOST_APPROVE="auto"))
    assert says not in quiet
    assert "kan den ikke lenger avbrytes herfra" in quiet
    house = town(**changes)
    two = [resident(house, "Kari"), resident(house, "Ola")]
    heavy = PDF + b"%" + b"x" * 150_000
    said = await told(house, *two, files=[("plan.pdf", heavy)], subject="Høring " * 20)
    assert says in said


async def test_the_trial_is_a_mail_with_the_letter(town):
    house = town()
    said = await told(house)
    [(_, message)] = house.channel.tried_out
    assert [file.name for file in message.files] == ["brev.pdf"]
    assert "Brevet ligger ved som PDF." in said
