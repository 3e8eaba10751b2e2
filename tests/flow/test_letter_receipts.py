"""What Digipost answers twice, too late, or otherwise than it should."""

from contextlib import suppress

import pytest

from shared.domain.campaign import Phase
from shared.domain.delivery import Reason, Status
from shared.domain.letter_job import HELD, JobKind, JobState
from shared.errors import TransientError
from shared.flow.decide import Decision, decide
from shared.flow.erase import erase
from shared.flow.receipts import LARGEST
from tests.flow.letter_house import NS
from tests.flow.test_letters import by_name, campaign, make_letters, standing

__all__ = ["make_letters"]

SEND_ONLY = {"DIGIPOST_SPLIT": "false"}
GO = "Utsending – klar"


async def jobs(house, number):
    return await house.ledger.jobs.of((await house.campaign(number)).id)


async def refused(house, number, minutes=3) -> None:
    """Digipost refuses what it gets, and the campaign waits for a person."""
    house.desk.refuses = "ENGINE_FEIL"
    for _ in range(6):
        await house.minute()
    house.desk.refuses = ""
    assert (await house.campaign(number)).problem == "letter_job_failed"


def answer_again(house, index: int = 0) -> None:
    """Another final answer to a job that has been answered, as Digipost would answer it now."""
    kind, name = house.area.uploads[index]
    house.desk.answered.discard((kind, name))
    for other in house.area.uploads:
        if other != (kind, name):
            house.desk.answered.add(other)
    house.desk.work()


def raised_alerts(house) -> list[str]:
    """What is raised from now on, each as often as it is."""
    details, raised = [], house.ledger.alerts.raised

    async def note(alert, now):
        details.append(alert.detail)
        await raised(alert, now)

    house.ledger.alerts.raised = note
    return details


async def test_a_refused_job_keeps_its_letters_until_somebody_says_go(make_letters):
    house = make_letters(**SEND_ONLY)
    number = campaign(house, "Kari", "Ola")
    await refused(house, number)
    [job] = await jobs(house, number)
    assert job.state is JobState.FAILED and HELD in job.steps
    assert [len(some) async for some in house.ledger.jobs.owned(job)] == [2]
    house.set_status(number, GO)
    await house.until_done(number)
    assert set(house.desk.delivered.values()) == {1}
    assert [job.state for job in await jobs(house, number)] == [JobState.FAILED, JobState.DONE]


async def test_letters_that_were_refused_and_delivered_after_all_are_sent_and_no_others(
    make_letters,
):
    house = make_letters(**SEND_ONLY)
    alerts = raised_alerts(house)
    number = campaign(house, "Kari", "Ola")
    await refused(house, number)
    answer_again(house)
    await house.minute()
    house.set_status(number, GO)
    await house.until_done(number)
    assert len(house.area.uploads) == 1
    assert set(house.desk.delivered.values()) == {1}
    assert {one.status for one in (await by_name(house, number)).values()} == {Status.SENT}
    assert "contradicts" in alerts


async def test_after_that_no_letter_leaves_until_a_person_has_looked(make_letters):
    house = make_letters(**SEND_ONLY)
    number = campaign(house, "Kari", "Ola")
    await refused(house, number)
    house.set_status(number, GO)
    upload, waits = house.area.upload, []

    async def says_otherwise(*args) -> None:
        """The second job is built, and does not leave; meanwhile the first turns out sent."""
        if not waits:
            waits.append(args)
            answer_again(house)
        raise TransientError("later")

    house.area.upload = says_otherwise
    for _ in range(6):
        await house.minute(desk=False)
    house.area.upload = upload
    one = await house.campaign(number)
    assert (one.phase, one.problem) == (Phase.BLOCKED, "letter_contradicted")
    assert any("Digipost har sagt to ting om jobben" in note for note in house.notes(number))
    house.set_status(number, GO)
    for _ in range(3):
        await house.minute()
    assert (await house.campaign(number)).phase is Phase.BLOCKED
    assert set(house.desk.delivered.values()) == {1}
    # and where a person has seen that nothing was delivered
    house.desk.delivered.clear()
    decided = await decide(one.id, 1, Decision.NOT_RECEIVED, ledger=house.ledger, clock=house.clock)
    assert decided and decided.state is JobState.FAILED
    house.set_status(number, GO)
    await house.until_done(number)
    assert set(house.desk.delivered.values()) == {1}


async def test_what_comes_while_the_next_job_is_built_counts_before_it_leaves(make_letters):
    house = make_letters(**SEND_ONLY)
    number = campaign(house, "Kari", "Ola")
    await refused(house, number)
    house.set_status(number, GO)
    build, built = type(house.builder).build, []

    async def slow(campaign, job):
        built.append(await build(builder, campaign, job))
        if len(built) == 1:
            answer_again(house)
            await house.receipts()
        return built[-1]

    builder, house.builder = house.builder, Building(house.builder, slow)
    for _ in range(6):
        await house.minute()
    assert built
    assert (await house.campaign(number)).problem == "letter_contradicted"
    assert set(house.desk.delivered.values()) == {1}


class Building:
    """The builder, but for how it builds."""

    def __init__(self, builder, build) -> None:
        self.builder, self.build = builder, build

    def __getattr__(self, name):
        return getattr(self.builder, name)


async def test_who_may_have_a_letter_by_a_contradicted_job_goes_on_by_no_other_way(make_letters):
    house = make_letters(**SEND_ONLY, DIGIPOST_NOT_REACHED="email")
    number = campaign(house, "Kari", "Ola")
    await refused(house, number)
    house.set_status(number, GO)
    for _ in range(2):
        await house.minute(desk=False)
    answer_again(house)
    await house.receipts()
    found = await by_name(house, number)
    house.desk.faults = {one.id: "USPESIFISERT_FEIL" for one in found.values()}
    answer_again(house, 1)
    for _ in range(4):
        await house.minute()
    assert not house.channel.sent


async def test_a_contradicted_job_that_was_delivered_leaves_the_others_uncertain(make_letters):
    house = make_letters(**SEND_ONLY)
    number = campaign(house, "Kari", "Ola")
    await refused(house, number)
    house.set_status(number, GO)
    upload = house.area.upload

    async def later(*args) -> None:
        raise TransientError("later")

    house.area.upload = later
    await house.minute(desk=False)
    answer_again(house)
    await house.receipts()
    house.area.upload = upload
    for _ in range(3):
        await house.minute()
    one = await house.campaign(number)
    assert one.problem == "letter_contradicted"
    assert await decide(one.id, 1, Decision.UNCERTAIN, ledger=house.ledger, clock=house.clock)
    house.set_status(number, GO)
    for _ in range(6):
        await house.minute()
    assert {d.status for d in (await by_name(house, number)).values()} == {Status.UNCERTAIN}
    assert set(house.desk.delivered.values()) == {1}


async def test_a_question_that_is_contradicted_stops_nobody(make_letters):
    house = make_letters()
    number = campaign(house, "Kari")
    await refused(house, number)
    house.set_status(number, GO)
    for _ in range(2):
        await house.minute(desk=False)
    answer_again(house)
    await house.receipts()
    house.desk.answered = {house.area.uploads[0]}
    await house.until_done(number)
    assert set(house.desk.delivered.values()) == {1}


@pytest.mark.parametrize("refuses", ["", "ENGINE_FEIL"])
async def test_a_result_that_comes_while_a_job_is_given_up_is_read_after_that(
    make_letters, refuses
):
    house = make_letters(**SEND_ONLY)
    number = campaign(house, "Kari")
    await standing(house, number)
    one = await house.campaign(number)
    house.desk.refuses = refuses
    house.desk.work()
    put, lose = house.files.put, house.ledger.jobs.lose
    deciding = []

    async def decided_meanwhile(blob, data):
        """Somebody gives it up between that its receipt is read and that it is noted."""
        house.files.put, house.ledger.jobs.lose = put, no_more
        with suppress(RuntimeError):
            await decide(one.id, 1, Decision.UNCERTAIN, ledger=house.ledger, clock=house.clock)
        house.ledger.jobs.lose = lose
        await put(blob, data)

    async def no_more(job, at):
        deciding.append(job)
        raise RuntimeError("stopped")

    house.files.put = decided_meanwhile
    for _ in range(5):
        await house.minute(desk=False)
    [job] = await jobs(house, number)
    [kari] = (await by_name(house, number)).values()
    assert deciding and job.state is JobState.ABANDONED
    assert kari.status is (Status.UNCERTAIN if refuses else Status.SENT)
    assert not house.area.answers_there


async def test_what_was_sent_is_so_though_a_person_has_said_otherwise(make_letters):
    house = make_letters(**SEND_ONLY)
    number = campaign(house, "Kari")
    await given_up(house, number)
    await house.minute(desk=False)
    [kari] = (await by_name(house, number)).values()
    assert await house.ledger.verdicts.give(kari, False, house.clock(), "note")
    answer_again(house)
    await house.receipts()
    [kari] = (await by_name(house, number)).values()
    assert (kari.status, kari.reason, bool(kari.reference)) == (Status.SENT, Reason.NONE, True)
    house.set_status(number, GO)
    await house.run(6)
    assert set(house.desk.delivered.values()) == {1}


async def test_a_late_result_settles_its_own_round_alone(make_letters):
    house = make_letters(**SEND_ONLY)
    number = campaign(house, "Kari")
    await given_up(house, number)
    for _ in range(3):
        await house.minute(desk=False)
    [kari] = (await by_name(house, number)).values()
    assert await house.ledger.verdicts.give(kari, False, house.clock(), "note")
    house.set_status(number, GO)
    for _ in range(6):
        await house.minute(desk=False)
    one = await house.campaign(number)
    assert await decide(one.id, 2, Decision.UNCERTAIN, ledger=house.ledger, clock=house.clock)
    house.desk.people = {kari.id: "unknown"}
    answer_again(house, 0)
    await house.receipts()
    [kari] = (await by_name(house, number)).values()
    assert (kari.status, kari.round) == (Status.UNCERTAIN, 2)


async def test_each_refused_part_is_told_of_when_its_turn_comes(make_letters):
    house = make_letters(**SEND_ONLY, DIGIPOST_LETTERS_PER_JOB="1")
    number = campaign(house, "Kari", "Ola")
    await refused(house, number)
    house.set_status(number, GO)
    for _ in range(4):
        await house.minute()
    first, second, *_ = await jobs(house, number)
    for job in (first, second):
        assert any(f"avviste hele jobben «{job.id}»" in note for note in house.notes(number))
    house.set_status(number, GO)
    await house.until_done(number)
    assert sorted(house.desk.delivered.values()) == [1, 1]
    assert len(await jobs(house, number)) == 4


async def test_a_second_result_that_is_another_is_told_of_and_changes_nothing(make_letters):
    house = make_letters(**SEND_ONLY)
    alerts = raised_alerts(house)
    number = campaign(house, "Kari", "Ola")
    await house.until_done(number)
    before = await by_name(house, number)
    house.desk.people = dict.fromkeys((one.id for one in before.values()), "unknown")
    answer_again(house)
    await house.receipts()
    assert "contradicts" in alerts
    assert await by_name(house, number) == before


async def test_a_name_that_is_used_again_is_read_again_before_it_is_taken_away(make_letters):
    house = make_letters(**SEND_ONLY)
    number = campaign(house, "Kari")
    await standing(house, number)
    house.desk.receive()
    [(place, first)] = house.area.answers_there.items()
    await house.receipts()
    house.area.answers_there.clear()
    house.desk.work()
    [result] = house.area.answers_there.values()
    house.area.answers_there = {place: result}  # by the name of the first
    await house.receipts()
    assert not house.area.answers_there
    [job] = await jobs(house, number)
    assert job.state is JobState.ANSWERED
    # the same size, too: only what has been read is taken away
    house.area.answers_there = {place: b"?" * len(first)}
    await house.receipts()
    assert place in house.area.answers_there


async def test_what_cannot_be_read_is_told_of_once_and_not_fetched_for_ever(make_letters):
    house = make_letters(**SEND_ONLY)
    alerts = raised_alerts(house)
    fetched = []
    house.area.before = fetched.append
    house.area.put_receipt(JobKind.SEND, "rot.zip", b"no zip file")
    for _ in range(4):
        await house.receipts()
    assert fetched.count("fetch") == 2
    assert alerts == ["unreadable"]


async def test_what_is_too_large_is_told_of_and_not_fetched(make_letters):
    house = make_letters(**SEND_ONLY)
    alerts = raised_alerts(house)
    fetched = []
    house.area.before = fetched.append

    async def receipts(kind):
        return {"stor.zip": LARGEST + 1} if kind is JobKind.SEND else {}

    house.area.receipts = receipts
    for _ in range(2):
        await house.receipts()
    assert not fetched
    assert alerts == ["unreadable"]


async def given_up(house, number) -> None:
    await standing(house, number)
    one = await house.campaign(number)
    assert await decide(one.id, 1, Decision.UNCERTAIN, ledger=house.ledger, clock=house.clock)


async def test_a_result_that_comes_too_late_settles_what_is_uncertain(make_letters):
    house = make_letters(**SEND_ONLY, DIGIPOST_NOT_REACHED="email")
    alerts = raised_alerts(house)
    number = campaign(house, "Kari", "Ola", "Liv")
    await given_up(house, number)
    for _ in range(3):
        await house.minute(desk=False)
    found = await by_name(house, number)
    assert {one.status for one in found.values()} == {Status.UNCERTAIN}
    house.desk.people = {found["Ola"].id: "known"}
    house.desk.left_out = {found["Liv"].id}
    house.desk.work()
    await house.receipts()
    found = await by_name(house, number)
    assert found["Kari"].status is Status.SENT
    assert (found["Ola"].status, found["Ola"].reason) == (Status.FAILED, Reason.NOT_IN_DIGIPOST)
    assert found["Liv"].status is Status.UNCERTAIN
    assert "late" in alerts
    assert not house.channel.sent


@pytest.mark.parametrize("answered", [True, False])
async def test_a_job_that_is_given_up_is_so_though_the_one_who_did_it_was_stopped(
    make_letters, answered
):
    house = make_letters(**SEND_ONLY)
    number = campaign(house, "Kari")
    await standing(house, number)
    save, stopped = house.ledger.jobs.save, []

    async def stops(job):
        if job.state is JobState.ABANDONED:
            stopped.append(job)
            raise RuntimeError("stopped")
        return await save(job)

    house.ledger.jobs.save = stops
    one = await house.campaign(number)
    with pytest.raises(RuntimeError):
        await decide(one.id, 1, Decision.UNCERTAIN, ledger=house.ledger, clock=house.clock)
    house.ledger.jobs.save = save
    if answered:
        house.desk.work()
        await house.receipts()
    await house.letters()
    [job] = await jobs(house, number)
    assert job.state is JobState.ABANDONED and stopped
    [kari] = (await by_name(house, number)).values()
    assert kari.status is (Status.SENT if answered else Status.UNCERTAIN)


async def test_a_number_in_digiposts_own_words_is_kept_nowhere(make_letters):
    house = make_letters(**SEND_ONLY)
    number = campaign(house, "Kari")
    theirs, put = "17857410084", house.desk._put
    house.desk.refuses = "VALIDERING_FEILET"
    house.desk._put = lambda kind, name, word, body: put(
        kind, name, word, body.replace("Noe er galt", f"Feil: {theirs}")
    )
    for _ in range(6):
        await house.minute()
    [job] = await jobs(house, number)
    assert job.error == "validation: Feil: [skjult nummer]"
    for table in house.tables.values():
        assert theirs not in repr(table.rows)


@pytest.mark.parametrize(
    "change",
    [
        # the row of another document
        lambda body: body.replace("<hoveddokument-uuid>", "<hoveddokument-uuid>0"),
        # two rows that say two things
        lambda body: body.replace(
            "</brev-resultater>",
            body[body.index("<resultat brev-id") : body.index("</brev-resultater>")].replace(
                "SENDT", "IKKE_SENDT"
            )
            + "</brev-resultater>",
        ),
    ],
)
async def test_a_row_that_proves_nothing_leaves_its_letter_uncertain(make_letters, change):
    house = make_letters(**SEND_ONLY, DIGIPOST_NOT_REACHED="email")
    number = campaign(house, "Kari")
    put = house.desk._put
    house.desk._put = lambda kind, name, word, body: put(
        kind, name, word, change(body) if word == "resultat" else body
    )
    await house.run(8)
    [kari] = (await by_name(house, number)).values()
    assert (kari.status, kari.reason) == (Status.UNCERTAIN, Reason.NO_RESULT)
    assert not house.channel.sent


async def test_who_is_told_of_twice_and_otherwise_is_asked_by_their_letter(make_letters):
    house = make_letters(DIGIPOST_NOT_REACHED="email")
    number = campaign(house, "Kari")
    put = house.desk._put

    def twice(kind, name, word, body):
        if kind is JobKind.SPLIT and word == "resultat":
            [one] = [f"<resultat>{body.split('<resultat>')[1].split('</resultat>')[0]}</resultat>"]
            other = one.replace("DIGIPOST", "UIDENTIFISERT")
            body = body.replace("</mottaker-resultater>", f"{other}</mottaker-resultater>")
        put(kind, name, word, body)

    house.desk._put = twice
    await house.until_done(number)
    letter = house.desk.xml[1]
    assert letter.find(f".//{{{NS}}}digipostadresse") is None
    assert set(house.desk.delivered.values()) == {1}
    assert not house.channel.sent


async def test_with_a_person_go_the_receipts_of_their_campaigns_that_are_over(make_letters):
    house = make_letters(**SEND_ONLY)
    number = campaign(house, "Kari", "Ola")
    await house.until_done(number)
    folder = f"{(await house.campaign(number)).id}/digipost/"
    assert any(name.startswith(folder) for name in house.files.blobs)
    await erase("kari@example.no", ledger=house.ledger, files=house.files, clock=house.clock)
    assert not any(name.startswith(folder) for name in house.files.blobs)
