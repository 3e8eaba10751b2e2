"""Letters through the whole flow: who is asked about, who gets one, and who goes on how."""

import io
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from pypdf import PdfReader

from dev.pureservice.seed import (
    MESSAGE_TYPE,
    PNG,
    add_file,
    add_list,
    add_member,
    add_user,
    national_id,
)
from shared.domain.addressee import fingerprint
from shared.domain.campaign import Phase
from shared.domain.delivery import Reason, Status
from shared.domain.letter_job import JobState
from shared.domain.register import Entry, Standing
from shared.errors import StoppedError, ThrottledError
from shared.flow.decide import Decision, decide
from tests.flow.edges import item_for
from tests.flow.letter_house import NS, LetterHouse

GO = "Utsending – klar"
HOME = {"streetAddress": "Ærøygata 1", "postalCode": "0155", "city": "Oslo", "country": "Norge"}


@pytest.fixture
async def make_letters():
    houses = []

    def make(**changes) -> LetterHouse:
        houses.append(LetterHouse(**changes))
        return houses[-1]

    yield make
    for house in houses:
        await house.helpdesk.close()


def people(house, *names: str, **values) -> dict:
    """A list of users with these first names, each with a home and an e-mail address."""
    members = add_list(house.world, "Brevliste", "BREV")
    for number, name in enumerate(names):
        home = house.world.add("physicaladdress", dict(HOME))
        known = {"firstName": name, "lastName": "Nordmann", "addressId": home["id"], **values}
        if "cf_5" in values:
            known["cf_5"] = national_id(number)
        user = add_user(house.world, known, [f"{name.lower()}@example.no"])
        add_member(house.world, members, "user", user)
    return members


def campaign(house, *names: str, **values) -> int:
    """A campaign by letter to these, with a message that becomes the letter; its number."""
    return house.open_ticket(
        people(house, *names, **values),
        message="<p>Årsavgiften endres.</p>",
        status=GO,
        channel="digipost",
    )


async def by_name(house, number: int) -> dict:
    [one] = await house.campaigns(number)
    return {d.recipient.name.split()[0]: d for d in await house.deliveries(one)}


async def standing(house, number: int, minutes: int = 4, **people: str) -> None:
    """Some rounds in which nobody answers, and then how they stand with Digipost."""
    for _ in range(minutes):
        await house.minute(desk=False)
    found = await by_name(house, number)
    house.desk.people = {found[name].id: stands for name, stands in people.items()}


async def test_everybody_is_asked_about_first_and_users_get_their_letter(make_letters):
    house = make_letters()
    number = campaign(house, "Kari", "Ola")
    await house.until_done(number)
    found = await by_name(house, number)
    assert house.desk.delivered == {one.id: 1 for one in found.values()}
    assert {one.status for one in found.values()} == {Status.SENT}
    (split, asked), (send, got) = house.desk.jobs
    assert ".split-1" in split and ".send-2" in send
    assert set(asked) == set(got) == {one.id for one in found.values()}


async def test_send_only_asks_nobody_first(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false")
    number = campaign(house, "Kari", "Ola")
    await house.until_done(number)
    [(send, _)] = house.desk.jobs
    assert ".send-1" in send
    assert sum(house.desk.delivered.values()) == 2


@pytest.mark.parametrize("split", ["true", "false"])
async def test_who_is_not_in_digipost_goes_on_by_e_mail_with_the_same_delivery(make_letters, split):
    house = make_letters(DIGIPOST_SPLIT=split, DIGIPOST_NOT_REACHED="email")
    number = campaign(house, "Kari", "Ola", "Liv")
    await standing(house, number, Ola="known", Liv="unknown")
    await house.until_done(number)
    found = await by_name(house, number)
    assert house.desk.delivered == {found["Kari"].id: 1}
    assert house.channel.addresses == {"ola@example.no": 1, "liv@example.no": 1}
    assert {one.status for one in found.values()} == {Status.SENT}
    assert [found[n].channel for n in ("Kari", "Ola", "Liv")] == ["digipost", "email", "email"]


@pytest.mark.parametrize("split", ["true", "false"])
async def test_where_print_comes_first_digipost_prints_in_the_same_job(make_letters, split):
    house = make_letters(DIGIPOST_SPLIT=split, DIGIPOST_NOT_REACHED="print,email")
    number = campaign(house, "Kari", "Ola")
    await standing(house, number, Ola="known")
    await house.until_done(number)
    found = await by_name(house, number)
    assert house.desk.delivered == {one.id: 1 for one in found.values()}
    assert house.desk.printed == {found["Ola"].id}
    assert found["Ola"].channel == "print"
    assert not house.channel.sent


async def test_print_as_a_later_way_is_a_job_of_its_own_when_the_mails_are_through(make_letters):
    house = make_letters(DIGIPOST_NOT_REACHED="email,print")
    number = campaign(house, "Kari", "Ola")
    await standing(house, number, Ola="known")
    refused = house.channel.answer

    def refuse(delivery):
        from shared.errors import PermanentError

        raise PermanentError("550")

    house.channel.answer = refuse
    await house.until_done(number)
    house.channel.answer = refused
    found = await by_name(house, number)
    assert house.desk.printed == {found["Ola"].id}
    assert [".split-1" in house.desk.jobs[0][0], ".send-2" in house.desk.jobs[1][0]] == [True] * 2
    assert house.desk.jobs[2][1] == [found["Ola"].id]
    assert found["Ola"].status is Status.SENT


async def test_whom_no_way_is_open_to_is_not_sent_and_says_why(make_letters):
    house = make_letters(DIGIPOST_NOT_REACHED="")
    number = campaign(house, "Kari", "Ola", "Liv")
    await standing(house, number, Ola="known", Liv="invalid")
    await house.until_done(number)
    found = await by_name(house, number)
    assert (found["Ola"].status, found["Ola"].reason) == (Status.SKIPPED, Reason.NOT_IN_DIGIPOST)
    assert (found["Liv"].status, found["Liv"].reason) == (Status.FAILED, Reason.BAD_IDENTITY)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("UGYLDIG_DOKUMENT", Reason.BAD_DOCUMENT),
        ("UGYLDIG_MOTTAKER", Reason.BAD_IDENTITY),
        ("UGYLDIG_FOR_PRINT", Reason.NOT_PRINTED),
        ("USPESIFISERT_FEIL", Reason.REFUSED),
        ("NOE_NYTT", Reason.REFUSED),
    ],
)
async def test_a_letter_that_is_not_sent_says_why(make_letters, fault, reason):
    house = make_letters(DIGIPOST_SPLIT="false", DIGIPOST_NOT_REACHED="list")
    number = campaign(house, "Kari", "Ola")
    await standing(house, number)
    house.desk.faults = {(await by_name(house, number))["Ola"].id: fault}
    await house.until_done(number)
    found = await by_name(house, number)
    assert (found["Ola"].status, found["Ola"].reason) == (Status.FAILED, reason)
    assert found["Kari"].status is Status.SENT


async def test_a_letter_without_a_row_is_uncertain_and_goes_no_other_way(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false", DIGIPOST_NOT_REACHED="email")
    number = campaign(house, "Kari", "Ola")
    await standing(house, number)
    house.desk.left_out = {(await by_name(house, number))["Ola"].id}
    await house.run(5)
    found = await by_name(house, number)
    assert (found["Ola"].status, found["Ola"].reason) == (Status.UNCERTAIN, Reason.NO_RESULT)
    assert not house.channel.sent


async def test_more_letters_than_a_job_takes_are_several_jobs(make_letters):
    house = make_letters(DIGIPOST_LETTERS_PER_JOB="2")
    number = campaign(house, "Kari", "Ola", "Liv", "Åse", "Per")
    await house.until_done(number)
    sizes = [(".split-" in job, len(ids)) for job, ids in house.desk.jobs]
    assert Counter(sizes) == {(True, 2): 2, (True, 1): 1, (False, 2): 2, (False, 1): 1}
    assert set(house.desk.delivered.values()) == {1}


async def test_the_national_identity_number_is_in_the_file_and_nowhere_else(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false")
    number = campaign(house, "Kari", cf_5=True)
    await house.until_done(number)
    theirs = national_id(0)
    [xml] = house.desk.xml
    assert theirs in "".join(xml.itertext())
    for table in house.tables.values():
        assert theirs not in repr(table.rows)
    assert not any(theirs.encode() in blob for blob in house.files.blobs.values())


async def test_a_job_that_digipost_refuses_blocks_the_campaign_and_a_new_one_goes_after_that(
    make_letters,
):
    house = make_letters(DIGIPOST_SPLIT="false")
    number = campaign(house, "Kari", "Ola")
    house.desk.refuses = "VALIDERING_FEILET"
    await house.run(5)
    assert house.status(number) == "Utsending – må sjekkes"
    assert not house.desk.delivered
    house.desk.refuses = ""
    house.set_status(number, GO)
    await house.until_done(number)
    assert sum(house.desk.delivered.values()) == 2
    [first, second] = [job for job, _ in house.desk.jobs]
    assert first != second


async def test_a_broken_upload_waits_for_the_receipt_and_is_never_sent_again(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false")
    number = campaign(house, "Kari", "Ola")
    house.area.breaks_after = 10
    for _ in range(90):
        await house.minute(desk=False)
    [job] = await house.ledger.jobs.of((await house.campaign(number)).id)
    assert (job.state, job.uploads) == (JobState.UNKNOWN, 1)
    assert len(house.area.uploads) == 1


async def test_a_broken_upload_that_came_through_is_found_there(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false")
    number = campaign(house, "Kari", "Ola")
    house.area.breaks_after = 10_000_000
    await house.until_done(number)
    assert set(house.desk.delivered.values()) == {1}
    assert len(house.area.uploads) == 1


async def test_a_broken_upload_goes_again_under_another_name_where_settings_say_so(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false", DIGIPOST_REUPLOAD="auto")
    number = campaign(house, "Kari", "Ola")
    house.area.breaks_after = 10
    for _ in range(40):
        await house.minute(desk=False)
    (kind, first), (_, second) = house.area.uploads
    assert first != second
    house.desk.answered.add((kind, first))  # a broken file that nobody can read
    await house.until_done(number)
    assert set(house.desk.delivered.values()) == {1}
    [(job, _)] = house.desk.jobs
    assert job.endswith(".send-1")


async def test_calling_off_before_the_upload_sends_nothing_and_after_it_says_so(make_letters):
    house = make_letters(DIGIPOST_SPLIT="true")
    number = campaign(house, "Kari", "Ola")
    await standing(house, number)
    house.set_status(number, "Utsending – avbryt")
    for _ in range(6):
        await house.minute(desk=False)
    found = await by_name(house, number)
    assert {one.status for one in found.values()} == {Status.CANCELLED}
    assert not house.desk.delivered


async def test_an_uploaded_job_runs_to_its_end_though_it_is_called_off(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false", DIGIPOST_NOT_REACHED="email")
    number = campaign(house, "Kari", "Ola")
    await standing(house, number, Ola="known")
    house.set_status(number, "Utsending – avbryt")
    await house.run(6)
    found = await by_name(house, number)
    assert found["Kari"].status is Status.SENT
    assert found["Ola"].status is Status.CANCELLED  # and not by another way, since it is over
    assert not house.channel.sent


async def test_going_again_asks_anew_about_those_who_were_not_reached_and_no_others(make_letters):
    house = make_letters(DIGIPOST_NOT_REACHED="list")
    number = campaign(house, "Kari", "Ola")
    await standing(house, number, Ola="known")
    await house.until_done(number)
    house.desk.people = {}
    house.set_status(number, GO)
    await house.run(8)
    found = await by_name(house, number)
    assert house.desk.delivered == {one.id: 1 for one in found.values()}
    assert found["Ola"].status is Status.SENT


async def test_receipts_in_any_order_and_twice_change_nothing(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false", DIGIPOST_KEEP_RECEIPTS="true")
    number = campaign(house, "Kari", "Ola")
    await standing(house, number)
    house.desk.receive("FORELØPIG_SUKSESS")
    await house.minute(desk=False)
    house.desk.receive("MOTTATT")
    await house.until_done(number)
    before = {name: dict(table.rows) for name, table in house.tables.items()}
    await house.receipts()
    await house.receipts()
    assert {name: dict(table.rows) for name, table in house.tables.items()} == before
    assert set(house.desk.delivered.values()) == {1}


async def test_where_no_letters_are_sent_the_timers_ask_nobody(make_letters):
    house = make_letters()
    house.settings = house.settings.model_copy(update={"DIGIPOST_CAMPAIGN_USER": ""})
    house.area = None  # whoever asked it would fail
    house.watch = None
    await house.letters()
    await house.receipts()
    assert not any(table.rows for table in house.tables.values())


async def test_a_second_upload_that_is_lost_is_told_of_like_the_first(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false")
    number = campaign(house, "Kari")
    for times in (1, 2):
        house.area.breaks_after = 10
        for _ in range(45):
            await house.minute(desk=False)
        told = [note for note in house.notes(number) if "Vi vet ikke om Digipost" in note]
        assert len(told) == times
        one = await house.campaign(number)
        await decide(one.id, 1, Decision.NOT_RECEIVED, ledger=house.ledger, clock=house.clock)


@pytest.mark.parametrize("ways", ["list", "print,email"])
async def test_whom_the_test_list_lets_through_no_more_gets_nothing_by_any_way(make_letters, ways):
    house = make_letters(DIGIPOST_SPLIT="false", DIGIPOST_NOT_REACHED=ways)
    number = campaign(house, "Kari", "Ola")
    house.clock.tick(minutes=1)
    await house.discover()
    only = house.settings.model_copy(update={"ONLY_SEND_TO": "kari@example.no"})
    house.settings = only
    house.open_letters()
    await house.until_done(number)
    found = await by_name(house, number)
    assert house.desk.delivered == {found["Kari"].id: 1}
    assert (found["Ola"].status, found["Ola"].reason) == (Status.SKIPPED, Reason.NOT_ON_TEST_LIST)
    assert not house.channel.sent


async def test_a_letter_abroad_stands_on_its_cover_and_in_its_list_once(make_letters):
    house = make_letters(DIGIPOST_NOT_REACHED="list")
    abroad = {"streetAddress": "Gatan 2", "postalCode": "111 22", "city": "Stockholm"}
    members = add_list(house.world, "Brevliste", "BREV")
    home = house.world.add("physicaladdress", {**abroad, "country": "Sverige"})
    known = {"firstName": "Nils", "lastName": "Utland", "addressId": home["id"]}
    add_member(house.world, members, "user", add_user(house.world, known, []))
    number = house.open_ticket(members, message="<p>Hei</p>", status=GO, channel="digipost")
    for _ in range(4):
        await house.minute(desk=False)
    found = await by_name(house, number)
    house.desk.people = {found["Nils"].id: "unknown"}
    await house.until_done(number)
    paper = {name: row for name, row in house.files_on(number).items() if "paa-papir" in name}
    assert len(paper) == 2
    texts = []
    for attachment in await house.helpdesk.attachments(house.ticket(number)["id"]):
        if attachment.name in paper:
            data = await house.helpdesk.download(attachment)
            is_pdf = attachment.name.endswith(".pdf")
            pages = PdfReader(io.BytesIO(data)).pages if is_pdf else []
            texts.append(pages[0].extract_text() if is_pdf else data.decode("utf-8-sig"))
    assert [text.count("Stockholm") for text in texts] == [1, 1]


async def test_a_correction_goes_by_letter_to_exactly_those_who_got_the_first(make_letters):
    house = make_letters(DIGIPOST_NOT_REACHED="")
    number = campaign(house, "Kari", "Ola")
    await standing(house, number, Ola="known")
    await house.until_done(number)
    house.write(number, "<p>Beklager: Årsavgiften endres ikke.</p>", custom_type=MESSAGE_TYPE)
    house.note(number, "<p>mottakere: de samme</p>")
    house.set_status(number, GO)
    await house.run(8)
    first, second = await house.campaigns(number)
    [one] = await house.deliveries(second)
    assert (one.recipient.name, one.status) == ("Kari Nordmann", Status.SENT)
    assert second.correction_of == first.id
    assert sum(house.desk.delivered.values()) == 2


async def test_a_stale_item_on_another_channels_queue_sends_nothing(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false", DIGIPOST_NOT_REACHED="email")
    number = campaign(house, "Kari")
    house.clock.tick(minutes=1)
    await house.discover()
    [planned] = await house.deliveries(await house.campaign(number))
    for channel in (house.channel, house.tickets):
        await house.deliver(item_for(planned), channel)
    assert not house.channel.sent
    await house.until_done(number)
    assert house.desk.delivered == {planned.id: 1}


async def test_a_closed_way_that_nobody_has_gone_on_to_stops_no_letters(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false", DIGIPOST_NOT_REACHED="email")
    number = campaign(house, "Kari")
    for _ in range(27):
        house.clock.tick(hours=1)
        await house.watch.rest("email", StoppedError("535"), house.clock())
        await house.minute(desk=False)
    assert (await house.campaign(number)).phase is Phase.SENDING
    await house.until_done(number)
    assert sum(house.desk.delivered.values()) == 1


async def test_a_number_that_was_corrected_after_digipost_answered_leads_to_its_owner(make_letters):
    house = make_letters(DIGIPOST_SPLIT="true")
    number = campaign(house, "Kari", cf_5=True)
    await standing(house, number)
    house.desk.work()
    [user] = [row for row in house.world.all("user") if row.get("cf_5") == national_id(0)]
    house.world.change("user", user["id"], {"cf_5": national_id(9)})
    await house.until_done(number)
    _, letter = house.desk.xml
    assert letter.findtext(f".//{{{NS}}}foedselsnummer") == national_id(9)
    assert letter.find(f".//{{{NS}}}digipostadresse") is None


async def test_letters_wait_for_no_mails(make_letters):
    house = make_letters(DIGIPOST_NOT_REACHED="email")
    number = campaign(house, "Kari", "Ola")
    await house.watch.rest("email", StoppedError("535"), house.clock())
    await standing(house, number, Ola="known")
    await house.run(4)
    found = await by_name(house, number)
    assert house.desk.delivered == {found["Kari"].id: 1}
    assert not house.channel.sent


async def test_a_job_that_is_called_off_while_it_is_built_is_not_uploaded(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false")
    number = campaign(house, "Kari")
    house.clock.tick(minutes=1)
    await house.discover()
    builder, build = house.builder, house.builder.build

    class Slow:
        def __getattr__(self, name):
            return getattr(builder, name)

        async def build(self, *args):
            built = await build(*args)
            house.set_status(number, "Utsending – avbryt")
            house.clock.tick(minutes=1)
            await house.discover()
            return built

    house.builder = Slow()
    await house.letters()
    assert not house.area.uploads


async def test_one_whom_digiposts_rules_keep_out_stops_nobody_else(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false", DIGIPOST_NOT_REACHED="list")
    number = campaign(house, "Kari", "Ola")
    house.clock.tick(minutes=1)
    await house.discover()
    for row in house.tables["deliveries"].rows.values():
        if "Ola" in str(row.values.get("addressee", "")):
            row.values["addressee"] = row.values["addressee"].replace("Nordmann", "\ufffe")
    await house.until_done(number)
    found = {d.recipient.name: d for d in await house.deliveries(await house.campaign(number))}
    (kari, ola) = (found[name] for name in sorted(found))
    assert kari.status is Status.SENT
    assert (ola.status, ola.reason) == (Status.FAILED, Reason.BAD_IDENTITY)


async def test_what_breaks_the_rules_for_many_is_no_fault_of_theirs(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false")
    number = campaign(house, *(f"Nr{n}" for n in range(22)))
    house.clock.tick(minutes=1)
    await house.discover()
    for row in house.tables["deliveries"].rows.values():
        if "addressee" in row.values:
            row.values["addressee"] = row.values["addressee"].replace("Nordmann", "\ufffe")
    for _ in range(4):
        await house.minute()
    assert (await house.campaign(number)).problem == "letter_rule"
    assert {one.status for one in await house.deliveries(await house.campaign(number))} == {
        Status.PLANNED
    }


async def test_the_helpdesks_limit_is_waited_for_while_numbers_are_read(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false")
    number = campaign(house, "Kari", cf_5=True)
    read, asked, waited = house.helpdesk.people, [], []

    async def limited(members):
        asked.append(members)
        if len(asked) < 3:
            raise ThrottledError("429", timedelta(seconds=30))
        return await read(members)

    async def pause(seconds):
        waited.append(seconds)

    house.helpdesk.people = limited
    house.builder = replace(house.builder, pause=pause)
    await house.until_done(number)
    assert waited == [30, 30]
    assert set(house.desk.delivered.values()) == {1}


async def test_a_limit_that_lasts_is_left_alone_until_it_is_over(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false")
    number = campaign(house, "Kari", cf_5=True)
    read, asked = house.helpdesk.people, []

    async def limited(members):
        asked.append(members)
        raise ThrottledError("429", timedelta(minutes=10))

    house.helpdesk.people = limited
    for _ in range(8):
        await house.minute()
    assert len(asked) == 1
    house.helpdesk.people = read
    await house.until_done(number)
    assert set(house.desk.delivered.values()) == {1}


async def test_letters_of_their_own_are_in_smaller_jobs(make_letters, monkeypatch):
    monkeypatch.setattr("shared.settings.OWN_LETTERS_IN_A_JOB", 2)
    house = make_letters(DIGIPOST_SPLIT="false")
    members = people(house, "Kari", "Ola", "Liv")
    for text, sizes in (("Hei {{ recipient.first_name }}.", [2, 1]), ("Hei.", [3])):
        house.desk.jobs.clear()
        number = house.open_ticket(members, message=f"<p>{text}</p>", status=GO, channel="digipost")
        await house.until_done(number)
        assert [len(ids) for _, ids in house.desk.jobs] == sizes


async def test_a_picture_in_letters_of_their_own_is_read_once_a_job(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false")
    members = people(house, "Kari", "Ola", "Liv")
    text = '<p>Hei {{ recipient.first_name }}. <img src="cid:kart@fjordvik" alt="Kart"></p>'
    number = house.open_ticket(members, message=text, status=GO, channel="digipost")
    hidden = {"embedded": True, "isVisible": False, "contentId": "kart@fjordvik"}
    add_file(house.world, house.ticket(number), "kart.png", PNG, **hidden)
    get, read = house.files.get, []

    async def noted(name):
        read.append(name)
        return await get(name)

    house.files.get = noted
    await house.until_done(number)
    answered = next(n for n, name in enumerate(read) if "/digipost/" in name)
    assert sum("/file-" in name for name in read[:answered]) == 1
    assert set(house.desk.delivered.values()) == {1}


async def test_a_refusal_of_what_was_uploaded_twice_is_no_final_answer(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false", DIGIPOST_REUPLOAD="auto")
    number = campaign(house, "Kari")
    house.area.breaks_after = 10
    for _ in range(40):
        await house.minute(desk=False)
    (kind, first), _ = house.area.uploads
    house.desk.answered.add((kind, first))
    house.desk.refuses = "GENERELL_FEIL"
    for _ in range(60):
        await house.minute()
    one = await house.campaign(number)
    [job] = await house.ledger.jobs.of(one.id)
    assert (job.state, one.phase) == (JobState.UNKNOWN, Phase.SENDING)
    assert len(house.area.uploads) == 2
    assert sum("lastet opp på nytt og avvist" in note for note in house.notes(number)) == 1


async def test_called_off_before_its_second_upload_a_letter_is_uncertain(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false")
    number = campaign(house, "Kari")
    house.area.breaks_after = 10
    for _ in range(40):
        await house.minute(desk=False)
    one = await house.campaign(number)
    await decide(one.id, 1, Decision.NOT_RECEIVED, ledger=house.ledger, clock=house.clock)
    house.set_status(number, "Utsending – avbryt")
    for _ in range(4):
        await house.minute(desk=False)
    [kari] = (await by_name(house, number)).values()
    assert (kari.status, kari.reason) == (Status.UNCERTAIN, Reason.NO_RESULT)
    assert len(house.area.uploads) == 1


async def test_whoever_is_printed_after_other_ways_waits_for_those_on_them(make_letters):
    house = make_letters(DIGIPOST_NOT_REACHED="email,print")
    members = people(house, "Ola")
    home = house.world.add("physicaladdress", dict(HOME))
    liv = {"firstName": "Liv", "lastName": "Nordmann", "addressId": home["id"]}
    add_member(house.world, members, "user", add_user(house.world, liv, []))
    number = house.open_ticket(members, message="<p>Hei.</p>", status=GO, channel="digipost")
    await standing(house, number, Ola="known", Liv="known")
    deliver, house.deliver_all = house.deliver_all, lambda: house.discover()
    for _ in range(3):
        await house.minute()
    assert [".split-" in job for job, _ in house.desk.jobs] == [True]
    house.deliver_all = deliver
    await house.until_done(number)
    found = await by_name(house, number)
    assert house.channel.addresses == {"ola@example.no": 1}
    assert house.desk.printed == {found["Liv"].id}


async def test_a_paused_campaign_uploads_nothing_and_goes_on_when_it_may(make_letters):
    house = make_letters(DIGIPOST_SPLIT="false")
    number = campaign(house, "Kari")
    await house.watch.rest("digipost", StoppedError("denied"), house.clock())
    for _ in range(3):
        await house.minute()
    assert not house.area.uploads
    house.set_status(number, "Utsending – pause")
    for _ in range(30):
        await house.minute()
    assert not house.area.uploads
    house.set_status(number, GO)
    await house.until_done(number)
    assert set(house.desk.delivered.values()) == {1}


@pytest.mark.parametrize(
    ("days", "of_another", "asked"), [(1, False, False), (9, False, True), (1, True, True)]
)
async def test_the_register_is_believed_while_it_is_fresh_and_of_the_same_person(
    make_letters, days, of_another, asked
):
    house = make_letters(DIGIPOST_SPLIT="false", DIGIPOST_REGISTER="on")
    number = campaign(house, "Kari")
    house.clock.tick(minutes=1)
    await house.discover()
    [kari] = (await by_name(house, number)).values()
    known = Entry(
        kari.recipient.member,
        Standing.USER,
        "kari#1AB2",
        asked_at=house.clock() - timedelta(days=days),
        fingerprint="another" if of_another else fingerprint(kari.recipient.addressee),
    )
    await house.ledger.register.keep([known])
    await house.until_done(number)
    assert [".split-" in job for job, _ in house.desk.jobs] == ([True, False] if asked else [False])
