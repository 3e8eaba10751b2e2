"""Scripts of letters: whom Digipost reaches, whom it does not, and what may happen on the way."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from shared.domain.campaign import Phase
from shared.domain.delivery import Status
from shared.errors import PermanentError, StoppedError
from shared.flow.decide import Decision
from tests.flow.letter_house import SETTINGS
from tests.injection.letter_people import (
    PICTURE,
    alerted_twice,
    all_asked_about,
    all_receipts_read,
    area_says,
    ask_about_everybody,
    attach,
    by_letter,
    delete_every_list,
    deliver_after_all,
    digipost,
    files_are_taken_away,
    forgotten_and_asked_about,
    give_jobs_up,
    let_us_in,
    letter_left,
    look_into_jobs,
    look_into_what_was_refused,
    lose_the_receipt,
    mend_the_area,
    put_strays,
    question_left,
    read_the_register,
    refused_once,
    say_that_it_was_delivered,
    say_the_opposite,
    show_a_picture,
    spoil_the_address,
    stopped_and_nothing_is_unread,
    the_number_is_gone,
    touch_every_job,
    upload_breaks_off,
    where,
    with_a_number_instead_of_a_home,
)
from tests.injection.moments import Trouble
from tests.injection.people import (
    ATTENTION,
    CANCEL,
    KARI,
    NEW,
    OLA,
    OPERATOR,
    READY,
    REVIEW,
    SOLVED,
    ÅSE,
    Does,
    alerted,
    always,
    both,
    but_first,
    erase,
    let_time_pass,
    mailed_at_once,
    nobody_has,
    nothing,
    set_status,
    status_is,
    told,
    we_have_seen_it,
)
from tests.injection.script import Deed, Script
from tests.injection.town import Accident

LETTERS = {**SETTINGS, "ALERT_EMAIL": OPERATOR, "DIGIPOST_ANSWER_MINUTES": "10"}
SEND_ONLY = {**LETTERS, "DIGIPOST_SPLIT": "false"}
REGISTER = {**SEND_ONLY, "DIGIPOST_REGISTER": "on"}
PICTURED = f'<p>Årsavgiften endres. <img src="cid:{PICTURE}" alt="Kart"></p>'
PERSONAL = f"<p>Hei {{{{ recipient.first_name }}}}.</p>{PICTURED}"

SENT_OR_SKIPPED = frozenset({Status.SENT, Status.SKIPPED})
SENT_OR_FAILED = frozenset({Status.SENT, Status.FAILED})
SENT_OR_CANCELLED = frozenset({Status.SENT, Status.CANCELLED})

TWO = by_letter(KARI, ÅSE)
THEIR_OWN = but_first(by_letter(KARI, ÅSE, message=PERSONAL), show_a_picture)
KARI_IS_NO_USER = where(kari="known")
AN_UPLOAD = "sftp upload in _leave"
A_QUESTION = "sftp upload in _upload (flow/register"
SETTLES_BY_DECISION = (
    "storage transaction DELETE deliveries, PATCH deliveries, POST deliveries, PUT deliveries"
    " in _decided"
)
OPERATOR_LOOKS = (Deed(alerted, look_into_jobs),)
DENIED = StoppedError("denied", timedelta(minutes=10))
CALLED_OFF = (Phase.CANCELLED,)

#: A ticket that is not to be sent, while something else goes on.
NOT_YET: dict[str, Any] = {
    "settings": REGISTER,
    "statuses": frozenset({NEW}),
    "phases": (),
    "planned": (),
}

#: Digipost takes its time, and so do those who wait for it. `test_letter_crashes` and
#: `test_register` in `tests/flow` try every call.
LetterScript = partial(Script, patience=1, by_line=True)

go = set_status(READY)


def mended(*deeds: Does) -> Deed:
    return Deed(status_is(ATTENTION), both(*deeds, go), again=True)


LETTER_SCRIPTS: Sequence[Script] = (
    LetterScript(
        "letters, and mails to the others",
        but_first(TWO, KARI_IS_NO_USER, with_a_number_instead_of_a_home(ÅSE)),
        watchful=OPERATOR_LOOKS,
        settings={**LETTERS, "DIGIPOST_NOT_REACHED": "email"},
    ),
    LetterScript(
        "letters, printed where they must be, and some on no way",
        but_first(
            by_letter(KARI, ÅSE, OLA),
            attach("brev.pdf", "vedlegg.pdf"),
            with_a_number_instead_of_a_home(ÅSE),
            with_a_number_instead_of_a_home(OLA),
            where(kari="known", aase="unknown"),
        ),
        (Deed(told("/start-"), the_number_is_gone(OLA)),),
        watchful=OPERATOR_LOOKS,
        accidents=(Accident("http GET /user/ in _as_registered", Trouble.REFUSED),),
        settings={**SEND_ONLY, "DIGIPOST_NOT_REACHED": "print,list", "UNDO_SECONDS": "60"},
        planned=(3,),
        outcomes=SENT_OR_SKIPPED,
    ),
    LetterScript(
        "letters of their own, by the register, and the others on paper; and again",
        but_first(THEIR_OWN, KARI_IS_NO_USER),
        (
            Deed(status_is(SOLVED), both(digipost(stands={}), go)),
            Deed(told("/runde-2"), nothing),
        ),
        watchful=OPERATOR_LOOKS,
        accidents=(Accident("http POST /attachment in put_on_paper", Trouble.AFTER),),
        settings={**REGISTER, "DIGIPOST_NOT_REACHED": "list"},
        outcomes=SENT_OR_SKIPPED,
    ),
    LetterScript(
        "mails to the others that are refused, and then tickets",
        but_first(mailed_at_once(TWO), KARI_IS_NO_USER, nobody_has(KARI)),
        watchful=OPERATOR_LOOKS,
        settings={**LETTERS, "DIGIPOST_NOT_REACHED": "email,ticket"},
    ),
    # while Digipost has them
    LetterScript(
        "a job is refused, and mended",
        but_first(TWO, digipost(refuses="VALIDERING_FEILET")),
        (mended(mend_the_area),),
        watchful=OPERATOR_LOOKS,
        settings=SEND_ONLY,
    ),
    LetterScript(
        "a job is refused, and delivered after all",
        but_first(TWO, digipost(refuses="VALIDERING_FEILET")),
        (
            Deed(status_is(ATTENTION), deliver_after_all),
            Deed(stopped_and_nothing_is_unread, go, again=True),
        ),
        watchful=OPERATOR_LOOKS,
        settings=SEND_ONLY,
    ),
    *(
        LetterScript(
            f"a job is refused, and said to be delivered when another is to go: {found}",
            but_first(TWO, digipost(refuses="VALIDERING_FEILET")),
            watchful=(*OPERATOR_LOOKS, Deed(status_is(ATTENTION), looks)),
            accidents=(
                Accident(AN_UPLOAD),
                Accident(AN_UPLOAD, Trouble.BEFORE, say_that_it_was_delivered),
            ),
            settings=SEND_ONLY,
            in_doubt=in_doubt,
        )
        for found, in_doubt in ((Decision.NOT_RECEIVED, 0), (Decision.UNCERTAIN, 2))
        for looks in (look_into_what_was_refused(found),)
    ),
    LetterScript(
        "a job waits for approval, and is given up, and delivered after all",
        but_first(TWO, digipost(first="FORELØPIG_SUKSESS", only_receives=True)),
        (
            Deed(letter_left, let_time_pass(hours=1)),
            Deed(alerted, give_jobs_up),
            Deed(status_is(SOLVED), mend_the_area),
        ),
        settings={**SEND_ONLY, "DIGIPOST_RESULT_HOURS": "1"},
        in_doubt=2,
        over=all_receipts_read,
    ),
    LetterScript(
        "a job is given up by halves",
        but_first(TWO, upload_breaks_off),
        (Deed(alerted, give_jobs_up),),
        accidents=(Accident(SETTLES_BY_DECISION, Trouble.BEFORE),),
        settings=SEND_ONLY,
        in_doubt=2,
    ),
    LetterScript(
        "Digipost says first that they are sent, and then the opposite",
        but_first(TWO, put_strays),
        (Deed(status_is(SOLVED), say_the_opposite),),
        watchful=OPERATOR_LOOKS,
        settings=SEND_ONLY,
        over=all_receipts_read,
    ),
    # uploads that break off
    LetterScript(
        "an upload is broken off, its second is refused, and the third comes through",
        but_first(TWO, upload_breaks_off, digipost(refuses="JOBB_ID_FINNES")),
        (Deed(refused_once, mend_the_area),),
        watchful=OPERATOR_LOOKS,
        settings={**SEND_ONLY, "DIGIPOST_REUPLOAD": "auto"},
    ),
    LetterScript(
        "a question does not leave, is asked anew, and answered about one of them",
        but_first(by_letter(KARI, ÅSE, message=PICTURED), show_a_picture, where(kari="silent")),
        accidents=(
            Accident(AN_UPLOAD, Trouble.BEFORE),
            Accident(AN_UPLOAD, Trouble.AFTER),
            Accident("storage PATCH deliveries in _save (flow/receipts", people=touch_every_job),
            Accident("sftp remove in _take_in", Trouble.BEFORE),
        ),
        watchful=OPERATOR_LOOKS,
        settings=LETTERS,
        outcomes=SENT_OR_SKIPPED,
    ),
    LetterScript(
        "nobody is left when the letters are made",
        by_letter(ÅSE),
        (Deed(told("/start-"), spoil_the_address),),
        settings={**SEND_ONLY, "UNDO_SECONDS": "60"},
        planned=(1,),
        outcomes=frozenset({Status.FAILED}),
    ),
    LetterScript(
        "an upload is lost, and Digipost has it",
        but_first(TWO, files_are_taken_away, digipost(closed=True)),
        (Deed(alerted, look_into_jobs), Deed(always, mend_the_area)),
        watchful=OPERATOR_LOOKS,
        accidents=(Accident(AN_UPLOAD, Trouble.LOST),),
        settings=SEND_ONLY,
    ),
    # the area
    LetterScript(
        "Digipost does not accept our key, and then does, twice",
        but_first(TWO, area_says(DENIED, "upload")),
        (
            Deed(alerted, both(mend_the_area, digipost(closed=True), let_time_pass(minutes=9))),
            Deed(letter_left, area_says(DENIED, "receipts")),
            Deed(alerted_twice, mend_the_area),
        ),
        watchful=OPERATOR_LOOKS,
        settings=SEND_ONLY,
    ),
    LetterScript(
        "Digipost takes no file, and then does",
        but_first(TWO, area_says(PermanentError("refused"), "upload")),
        (mended(mend_the_area),),
        watchful=OPERATOR_LOOKS,
        settings=SEND_ONLY,
    ),
    # called off
    LetterScript(
        "called off while Digipost is asked",
        but_first(TWO, digipost(closed=True)),
        (Deed(question_left, set_status(CANCEL)),),
        accidents=(Accident(AN_UPLOAD, Trouble.AFTER),),
        settings=LETTERS,
        statuses=frozenset({CANCEL}),
        phases=CALLED_OFF,
        outcomes=SENT_OR_CANCELLED,
    ),
    LetterScript(
        "called off before anything leaves",
        TWO,
        accidents=(Accident(AN_UPLOAD, Trouble.REFUSED, set_status(CANCEL)),),
        watchful=OPERATOR_LOOKS,
        settings=SEND_ONLY,
        statuses=frozenset({CANCEL}),
        phases=CALLED_OFF,
        outcomes=SENT_OR_CANCELLED,
    ),
    LetterScript(
        "called off after an upload that was broken off",
        but_first(TWO, upload_breaks_off),
        (Deed(alerted, look_into_jobs), Deed(always, set_status(CANCEL))),
        settings=SEND_ONLY,
        statuses=frozenset({CANCEL}),
        phases=CALLED_OFF,
        outcomes=SENT_OR_CANCELLED,
        in_doubt=2,
    ),
    # before and after
    LetterScript(
        "letters of their own previewed, and let go",
        but_first(THEIR_OWN, set_status(NEW)),
        (
            Deed(we_have_seen_it, set_status(REVIEW)),
            Deed(told("/til-kontroll-"), go),
        ),
        watchful=OPERATOR_LOOKS,
        settings={**REGISTER, "TEST_RECIPIENTS": OPERATOR},
    ),
    LetterScript(
        "letters that are attached previewed, and let go",
        but_first(TWO, attach("brev.pdf", "vedlegg.pdf"), set_status(NEW)),
        (
            Deed(we_have_seen_it, set_status(REVIEW)),
            Deed(told("/til-kontroll-"), go),
        ),
        watchful=OPERATOR_LOOKS,
        settings=SEND_ONLY,
    ),
    LetterScript(
        "letters forgotten, with all that is known of people and receipts",
        but_first(TWO, put_strays),
        (
            Deed(we_have_seen_it, ask_about_everybody),
            Deed(status_is(SOLVED), read_the_register),
            Deed(always, erase(KARI)),
            Deed(always, let_time_pass(days=2), again=True),
        ),
        watchful=OPERATOR_LOOKS,
        # it is begun, and no more: what comes then is tried again each minute
        accidents=(Accident("storage GET deliveries in _jobs (flow/register", Trouble.REFUSED),),
        settings={**REGISTER, "RETENTION_DAYS": "1"},
        over=forgotten_and_asked_about,
    ),
    # everybody is asked about
    LetterScript(
        "everybody is asked about, and Digipost refuses the question",
        but_first(
            TWO,
            set_status(NEW),
            area_says(DENIED, "upload"),
            digipost(refuses="VALIDERING_FEILET"),
        ),
        (Deed(we_have_seen_it, ask_about_everybody), Deed(alerted, let_us_in, maybe=True)),
        over=all_asked_about,
        **NOT_YET,
    ),
    LetterScript(
        "everybody is asked about, and the question does not leave",
        but_first(TWO, set_status(NEW)),
        (Deed(we_have_seen_it, ask_about_everybody),),
        accidents=(Accident(A_QUESTION, Trouble.BEFORE),),
        over=all_asked_about,
        **NOT_YET,
    ),
    LetterScript(
        "everybody is asked about, and the question is broken off",
        but_first(TWO, set_status(NEW), upload_breaks_off),
        (Deed(we_have_seen_it, ask_about_everybody),),
        over=all_asked_about,
        **NOT_YET,
    ),
    LetterScript(
        "everybody is asked about, and Digipost takes no file",
        but_first(TWO, set_status(NEW), area_says(PermanentError("refused"), "upload")),
        (Deed(we_have_seen_it, ask_about_everybody),),
        over=all_asked_about,
        **NOT_YET,
    ),
    LetterScript(
        "everybody is asked about, and Digipost does not let us in until nobody is left",
        but_first(TWO, set_status(NEW), area_says(DENIED, "upload")),
        (
            Deed(we_have_seen_it, ask_about_everybody),
            Deed(alerted, both(let_us_in, delete_every_list), maybe=True),
        ),
        over=all_asked_about,
        **NOT_YET,
    ),
    LetterScript(
        "everybody is asked about, and Digipost does not answer for weeks",
        but_first(TWO, set_status(NEW), digipost(closed=True)),
        (
            Deed(we_have_seen_it, ask_about_everybody),
            Deed(always, let_time_pass(days=2)),
            Deed(alerted, ask_about_everybody),
            Deed(always, mend_the_area),
        ),
        accidents=(Accident(A_QUESTION, Trouble.AFTER),),
        over=all_asked_about,
        **NOT_YET,
    ),
    LetterScript(
        "everybody is asked about again after an interruption, and the answer is lost",
        but_first(TWO, set_status(NEW)),
        (Deed(we_have_seen_it, ask_about_everybody), Deed(always, ask_about_everybody)),
        accidents=(
            Accident(A_QUESTION, Trouble.BEFORE, let_time_pass(days=2)),
            Accident(A_QUESTION, Trouble.AFTER),
            Accident("storage GET campaigns in _receipt", people=lose_the_receipt),
        ),
        over=all_asked_about,
        **NOT_YET,
    ),
)
