"""Every script: plain campaigns, and all that may happen before, during and after one."""

from collections.abc import Sequence

from shared.domain.campaign import Phase
from shared.domain.delivery import Status
from tests.injection.letter_scripts import LETTER_SCRIPTS
from tests.injection.moments import Trouble
from tests.injection.people import (
    ATTENTION,
    CANCEL,
    COMPANY,
    KARI,
    NEW,
    OLA,
    OPERATOR,
    PAUSE,
    READY,
    REVIEW,
    RUNNING,
    SOLVED,
    ÅSE,
    Does,
    a_mail_comes_back,
    a_person_and_a_company,
    alerted,
    allow_only,
    always,
    both,
    but_first,
    by_a_failed_mail,
    change_address,
    change_the_message,
    delete_the_list,
    erase,
    fill_the_list,
    forgotten,
    give_an_address,
    helpdesk_says,
    let_time_pass,
    link_another_list,
    link_the_list,
    lists_in_step,
    lose_the_message,
    mail_left,
    mailed_at_once,
    mails_are_put_off,
    mend_the_helpdesk,
    mend_the_mail_server,
    move_companies,
    nobody_has,
    note,
    nothing,
    our_password_is_wrong,
    put_a_company_on_the_list,
    put_on_the_list,
    put_the_logo,
    put_the_message_back,
    remove_the_mark,
    rename_status,
    say_who_has_got_it,
    set_status,
    settle_over_http,
    soon,
    status_is,
    suppress,
    take_the_first_off_the_list,
    the_day_passes,
    the_queue_gives_up,
    ticket_forgotten,
    ticket_left,
    told,
    touch_every_delivery,
    two_and_a_double,
    we_have_seen_it,
    without_lists,
    write_another_message,
)
from tests.injection.script import Deed, Script
from tests.injection.town import Accident

SENT_OR_FAILED = frozenset({Status.SENT, Status.FAILED})
SENT_OR_CANCELLED = frozenset({Status.SENT, Status.CANCELLED})
SENT_OR_SKIPPED = frozenset({Status.SENT, Status.SKIPPED})
CALLED_OFF = (Phase.CANCELLED,)

ALERTS = {"ALERT_EMAIL": OPERATOR}
SLOWLY = {"EMAIL_RATE": "1"}  #: one now, and the other a minute later
WE_MAIL = {"TICKET_MESSAGE_VIA": "email", "TICKET_REPLY_TO": "servicedesk@example.org"}

THREE = but_first(two_and_a_double, put_on_the_list(OLA))
TICKETS = mailed_at_once(a_person_and_a_company)
A_PAGE_IS_READ = "http GET /relationship/{id}/fromAsset in _page"
IS_IT_THE_SAME = "http GET /relationship/{id}/fromTicket in changed"
MAIL_CUT_OFF = Accident("smtp the last dot in _send", Trouble.BEFORE)

go = set_status(READY)


def mended(*deeds: Does, maybe: bool = False) -> Deed:
    """Whoever sees that it must be looked into does so, and lets it go again.

    More than once when they were so quick that we had not stored yet that we had told them.
    """
    return Deed(status_is(ATTENTION), both(*deeds, go), maybe, again=True)


def again(*deeds: Does) -> tuple[Deed, Deed]:
    """When it is over, another round is asked for; it has been when the ticket says so."""
    return Deed(status_is(SOLVED), both(*deeds, go)), Deed(told("/runde-2"), nothing)


EMAIL = Script(
    "e-mail",
    by_a_failed_mail(two_and_a_double),
    settings={"MESSAGE_TRIGGER": "failed_email"},
)
TICKET = Script("tickets", TICKETS, settings={"TICKET_RELATION": "Er utsending fra"})

PLAIN: Sequence[Script] = (
    EMAIL,
    TICKET,
    Script("tickets whose message we mail", TICKETS, settings=WE_MAIL),
    Script(
        "tickets by a message that failed, which are mailed late",
        but_first(by_a_failed_mail(a_person_and_a_company)),
        settings={"MESSAGE_TRIGGER": "failed_email"},
    ),
    Script("tickets that are mailed late", a_person_and_a_company),
)

ACCIDENTS: Sequence[Script] = (
    Script(
        "a letterhead without its logo",
        two_and_a_double,
        (mended(put_the_logo),),
        settings={"LETTERHEADS": {"default": {"header": "Fjordvik", "logo": "vaapen.png"}}},
    ),
    # while it is being read and started
    Script(
        "reading is interrupted",
        but_first(two_and_a_double, link_another_list(OLA, None)),
        accidents=(Accident("storage PATCH campaigns in _read_on", Trouble.AFTER),),
        planned=(3,),
    ),
    Script(
        "a list changes while it is read",
        two_and_a_double,
        accidents=(Accident(IS_IT_THE_SAME, people=put_on_the_list(OLA)),),
        planned=(3,),
    ),
    Script(
        "a long list changes while it is read",
        but_first(two_and_a_double, fill_the_list),
        accidents=(
            Accident(A_PAGE_IS_READ),
            Accident(A_PAGE_IS_READ, people=take_the_first_off_the_list),
        ),
    ),
    Script(
        "an address changes between two readings",
        two_and_a_double,
        accidents=(
            Accident(
                "storage transaction POST deliveries in _read_on",
                Trouble.AFTER,
                change_address(KARI, OLA),
            ),
        ),
    ),
    Script(
        "starting is interrupted",
        two_and_a_double,
        accidents=(Accident("http POST /communication/ in post", Trouble.BEFORE),),
    ),
    Script(
        "starting is interrupted, and regretted",
        two_and_a_double,
        (Deed(told("/start-"), set_status(NEW)),),
        accidents=(Accident("http POST /communication/ in post", Trouble.AFTER),),
        statuses=frozenset({NEW}),
        phases=CALLED_OFF,
        planned=(0,),
    ),
    # while it is sent
    Script("a mail is cut off", two_and_a_double, accidents=(MAIL_CUT_OFF,), in_doubt=1),
    Script(
        "a mail is cut off and sent again",
        two_and_a_double,
        accidents=(MAIL_CUT_OFF,),
        settings={"EMAIL_WHEN_UNCERTAIN": "resend"},
        at_most=2,
    ),
    Script(
        "a ticket's message is cut off",
        TICKETS,
        accidents=(Accident("http POST /communication/ in _send", Trouble.BEFORE),),
    ),
    Script(
        "a ticket's message is written and not noted",
        TICKETS,
        accidents=(Accident("http POST /communication/ in _send", Trouble.AFTER),),
    ),
    Script(
        "a ticket is made and not noted",
        TICKETS,
        accidents=(Accident("http POST /ticket/ in _send", Trouble.AFTER),),
    ),
    Script(
        "a mailed ticket is logged and not noted",
        TICKETS,
        accidents=(Accident("http POST /communication/ in _send", Trouble.AFTER),),
        settings=WE_MAIL,
    ),
    Script(
        "a ticket is tried once only",
        TICKETS,
        accidents=(Accident("http POST /ticket/ in _send", Trouble.BEFORE),),
        settings={"MAX_ATTEMPTS": "1"},
        outcomes=SENT_OR_FAILED,
    ),
    Script(
        "the frozen message is out of reach",
        two_and_a_double,
        (Deed(told("/start-"), soon(Accident("storage GET campaigns in _read", Trouble.REFUSED))),),
        settings={"UNDO_SECONDS": "60"},
    ),
    Script(
        "the frozen message is lost, and found",
        two_and_a_double,
        (Deed(told("/start-"), lose_the_message), mended(put_the_message_back)),
        settings={"UNDO_SECONDS": "60"},
    ),
    Script(
        "claiming takes longer than the lease",
        two_and_a_double,
        accidents=(
            Accident("storage PATCH deliveries in deliver", people=let_time_pass(minutes=8)),
        ),
    ),
    Script(
        "the mail server is out of reach",
        two_and_a_double,
        accidents=(Accident("smtp connect in _send", Trouble.REFUSED),),
    ),
    Script(
        "the mail server is out of reach, and then refuses everybody",
        but_first(two_and_a_double, nobody_has(KARI, ÅSE)),
        accidents=(Accident("smtp connect in _send", Trouble.REFUSED),),
        outcomes=frozenset({Status.FAILED}),
    ),
    Script(
        "the mail server puts us off for hours",
        but_first(two_and_a_double, mails_are_put_off),
        (Deed(alerted, mend_the_mail_server),),
        settings={**ALERTS, "MAX_ATTEMPTS": "50", "TICKET_WAIT_MINUTES": "5"},
    ),
    Script(
        "the mail server refuses us for long, and takes us again",
        but_first(two_and_a_double, our_password_is_wrong),
        (mended(mend_the_mail_server),),
        settings={**ALERTS, "BLOCK_AFTER_HOURS": "1"},
    ),
    Script(
        "given up by the queue",
        but_first(two_and_a_double, the_queue_gives_up),
        outcomes=SENT_OR_FAILED,
    ),
    Script(
        "the test list shrinks midway",
        two_and_a_double,
        (Deed(mail_left, allow_only(OLA)),),
        settings=SLOWLY,
        outcomes=SENT_OR_SKIPPED,
    ),
    Script(
        "somebody is suppressed midway",
        two_and_a_double,
        (Deed(mail_left, suppress(OLA)),),
        settings=SLOWLY,
        outcomes=SENT_OR_SKIPPED,
    ),
    # while it is reported
    Script(
        "files are refused",
        but_first(two_and_a_double, helpdesk_says(400, 1_000, method="POST", path="/attachment")),
        files=False,
    ),
    Script(
        "the report cannot be attached for hours",
        but_first(two_and_a_double, helpdesk_says(503, 1_000, method="POST", path="/attachment")),
        (Deed(alerted, mend_the_helpdesk),),
        settings=ALERTS,
    ),
    Script(
        "the ticket cannot be solved",
        two_and_a_double,
        accidents=(Accident("http PATCH /ticket/{id} in _solve", people=helpdesk_says(400)),),
        statuses=frozenset({RUNNING, SOLVED}),
    ),
    Script(
        "a mail comes back after the report",
        two_and_a_double,
        (
            Deed(status_is(SOLVED), a_mail_comes_back),
            Deed(always, the_day_passes),
            Deed(told("/retur-"), nothing),
        ),
        outcomes=SENT_OR_FAILED,
    ),
    # all the time
    Script(
        "a status has another name",
        but_first(two_and_a_double, rename_status(ATTENTION, "Sjekk meg")),
        (Deed(alerted, rename_status("Sjekk meg", ATTENTION)),),
        settings=ALERTS,
    ),
    Script(
        "the key is refused",
        but_first(two_and_a_double, helpdesk_says(401, 1_000)),
        (Deed(alerted, mend_the_helpdesk),),
        settings=ALERTS,
    ),
    Script(
        "the tickets cannot be read for hours",
        two_and_a_double,
        (Deed(mail_left, helpdesk_says(503, 10_000)), Deed(alerted, mend_the_helpdesk)),
        settings={**SLOWLY, **ALERTS},
    ),
    Script(
        "an alert is cut off",
        without_lists,
        (mended(link_the_list),),
        accidents=(Accident("smtp the last dot in _turn", Trouble.LOST),),
        settings=ALERTS,
    ),
)

BEFORE: Sequence[Script] = (
    Script("blocked, and mended", without_lists, (mended(link_the_list),), settings=ALERTS),
    Script(
        "blocked, and solved",
        without_lists,
        (Deed(status_is(ATTENTION), set_status(SOLVED)),),
        phases=CALLED_OFF,
        planned=(0,),
    ),
    Script(
        "blocked, and called off",
        without_lists,
        (Deed(status_is(ATTENTION), set_status(CANCEL)),),
        statuses=frozenset({CANCEL}),
        phases=CALLED_OFF,
        planned=(0,),
    ),
    Script(
        "undone",
        two_and_a_double,
        (Deed(told("/start-"), set_status(NEW)),),
        settings={"UNDO_SECONDS": "3600"},
        statuses=frozenset({NEW}),
        phases=CALLED_OFF,
        planned=(0,),
    ),
    Script(
        "withdrawn while it is read",
        two_and_a_double,
        accidents=(Accident(IS_IT_THE_SAME, people=set_status(NEW)),),
        statuses=frozenset({NEW}),
        phases=CALLED_OFF,
        outcomes=frozenset({Status.PLANNED}),
    ),
    Script(
        "withdrawn when reading was interrupted",
        two_and_a_double,
        (Deed(we_have_seen_it, set_status(NEW)),),
        accidents=(Accident(A_PAGE_IS_READ, Trouble.BEFORE),),
        statuses=frozenset({NEW}),
        phases=CALLED_OFF,
        planned=(0,),
    ),
    Script(
        "previewed, and let go",
        but_first(two_and_a_double, set_status(NEW)),
        (
            Deed(we_have_seen_it, set_status(REVIEW)),
            Deed(told("/til-kontroll-"), go),
        ),
        over=ticket_forgotten,
    ),
    Script(
        "tickets previewed in short, and let go",
        but_first(TICKETS, set_status(NEW)),
        (
            Deed(we_have_seen_it, set_status(REVIEW)),
            Deed(told("/til-kontroll-"), go),
        ),
        accidents=(Accident("http POST /communication/ in post", people=helpdesk_says(400)),),
    ),
    Script(
        "begun by itself, where there are no statuses",
        but_first(two_and_a_double, set_status(NEW)),
        settings={
            f"STATUS_{name}": ""
            for name in ("READY", "RUNNING", "ATTENTION", "PAUSE", "CANCEL", "REVIEW")
        },
    ),
)

MIDWAY: Sequence[Script] = (
    Script(
        "paused, and let go on",
        THREE,
        (Deed(mail_left, set_status(PAUSE)), Deed(told("/pause-1"), go)),
        settings=SLOWLY,
        planned=(3,),
    ),
    Script(
        "paused, and left so for long",
        THREE,
        (Deed(mail_left, set_status(PAUSE)), Deed(told("/pause-1"), let_time_pass(days=2))),
        settings={**SLOWLY, "RETENTION_DAYS": "1"},
        statuses=frozenset({PAUSE}),
        phases=CALLED_OFF,
        planned=(3,),
        outcomes=SENT_OR_CANCELLED,
    ),
    Script(
        "taken away, and given back",
        THREE,
        (Deed(mail_left, set_status(SOLVED)), Deed(told("/pause-1"), go)),
        settings={**SLOWLY, **ALERTS},
        planned=(3,),
    ),
    Script(
        "pauses itself, and is let go on",
        but_first(THREE, nobody_has(KARI, ÅSE)),
        (mended(mend_the_mail_server, maybe=True),),
        settings={
            **SLOWLY,
            **ALERTS,
            "PAUSE_AFTER_FAILURES": "1",
            "PAUSE_AT_FAILED_PERCENT": "1",
        },
        planned=(3,),
        outcomes=SENT_OR_FAILED,
    ),
    Script(
        "asked how far it has come before it goes",
        two_and_a_double,
        (Deed(told("/start-"), set_status(REVIEW)), Deed(told("/status-1"), nothing)),
        settings={"UNDO_SECONDS": "600"},
    ),
    Script(
        "asked how far it has come",
        THREE,
        (Deed(mail_left, set_status(REVIEW)), Deed(told("/status-1"), nothing)),
        settings=SLOWLY,
        planned=(3,),
    ),
    Script(
        "asked how far it has come, and answering is interrupted",
        THREE,
        (Deed(mail_left, set_status(REVIEW)), Deed(told("/status-1"), nothing)),
        accidents=(Accident("http PATCH /ticket/{id} in tell_how_far", Trouble.AFTER),),
        settings=SLOWLY,
        planned=(3,),
    ),
    Script(
        "called off",
        THREE,
        (Deed(mail_left, set_status(CANCEL)),),
        settings=SLOWLY,
        planned=(3,),
        statuses=frozenset({CANCEL}),
        phases=CALLED_OFF,
        outcomes=SENT_OR_CANCELLED,
    ),
    Script(
        "tickets called off",
        TICKETS,
        (Deed(ticket_left, set_status(CANCEL)),),
        settings={"PURESERVICE_RATE": "5"},
        statuses=frozenset({CANCEL}),
        phases=CALLED_OFF,
        outcomes=SENT_OR_CANCELLED,
    ),
    Script(
        "erased before their turn",
        THREE,
        (Deed(mail_left, erase(KARI)), Deed(always, erase(ÅSE))),
        settings=SLOWLY,
        planned=(3,),
        outcomes=SENT_OR_SKIPPED,
    ),
    Script(
        "erased while the ticket waits for its message",
        TICKETS,
        (Deed(ticket_left, erase(KARI)), Deed(always, erase(COMPANY))),
        accidents=(Accident("http POST /communication/ in _send", Trouble.REFUSED),),
        outcomes=SENT_OR_SKIPPED,
    ),
)

AFTER: Sequence[Script] = (
    Script(
        "answers looked over",
        TICKETS,
        (Deed(status_is(SOLVED), set_status(REVIEW)), Deed(told("/svar-1"), nothing)),
    ),
    Script(
        "repaired, with a new address and somebody new",
        but_first(two_and_a_double, nobody_has(KARI)),
        again(
            change_address(KARI, "kari.ny@example.no"),
            put_on_the_list(OLA),
            put_on_the_list(ÅSE),
            note("mottakere: nye"),
        ),
        planned=(3,),
    ),
    Script(
        "repaired, with somebody who had no address",
        but_first(two_and_a_double, put_on_the_list("")),
        again(give_an_address),
        planned=(3,),
    ),
    Script(
        "repaired, while the list changes",
        but_first(two_and_a_double, nobody_has(KARI)),
        again(
            mend_the_mail_server,
            note("mottakere: nye"),
            soon(Accident(IS_IT_THE_SAME, people=put_on_the_list(OLA))),
        ),
        planned=(3,),
    ),
    Script(
        "repaired, while a long list changes",
        but_first(two_and_a_double, fill_the_list, nobody_has(KARI)),
        again(
            mend_the_mail_server,
            note("mottakere: nye"),
            soon(
                Accident(A_PAGE_IS_READ),
                Accident(A_PAGE_IS_READ, people=take_the_first_off_the_list),
            ),
        ),
    ),
    Script(
        "repaired, when the list is gone",
        but_first(two_and_a_double, nobody_has(KARI)),
        again(delete_the_list, note("mottakere: nye"), mend_the_mail_server),
    ),
    Script(
        "repaired, though the mark is gone",
        but_first(two_and_a_double, nobody_has(KARI)),
        again(remove_the_mark, mend_the_mail_server),
    ),
    Script("repaired in vain", two_and_a_double, again()),
    Script(
        "not repaired, since the message has changed",
        two_and_a_double,
        (
            Deed(status_is(SOLVED), both(change_the_message, go)),
            Deed(status_is(ATTENTION), nothing),
        ),
        statuses=frozenset({ATTENTION}),
    ),
    Script(
        "let go again while the report is written",
        two_and_a_double,
        (Deed(told("/runde-2"), nothing),),
        accidents=(
            Accident(
                "http GET /ticket/{id} in at_rest", people=both(let_time_pass(minutes=16), go)
            ),
        ),
    ),
    Script(
        "tickets repaired, with a new company",
        TICKETS,
        again(note("mottakere: nye"), put_a_company_on_the_list),
        accidents=(Accident("http POST /emailaddress/ in _send", people=helpdesk_says(400)),),
        planned=(3,),
    ),
    Script(
        "tickets repaired, whose message was refused",
        TICKETS,
        again(),
        accidents=(Accident("http POST /communication/ in _send", people=helpdesk_says(400)),),
    ),
    Script(
        "tickets repaired, whose message was refused and sent",
        TICKETS,
        again(),
        accidents=(
            Accident(
                "http POST /communication/ in _send", people=helpdesk_says(400, after_write=True)
            ),
        ),
    ),
    Script(
        "the uncertain settled by a note, and sent again",
        two_and_a_double,
        again(say_who_has_got_it),
        accidents=(MAIL_CUT_OFF,),
    ),
    Script(
        "the uncertain settled by a note, and looked over",
        two_and_a_double,
        (
            Deed(status_is(SOLVED), both(note("usikre: ikke sendt"), set_status(REVIEW))),
            Deed(told("/svar-1"), nothing),
        ),
        accidents=(
            MAIL_CUT_OFF,
            Accident(
                "storage transaction PATCH deliveries, POST deliveries, PUT deliveries in _settle",
                people=touch_every_delivery,
            ),
        ),
        outcomes=SENT_OR_FAILED,
    ),
    Script(
        "the uncertain settled over HTTP",
        two_and_a_double,
        (Deed(status_is(SOLVED), settle_over_http),),
        accidents=(MAIL_CUT_OFF,),
        outcomes=SENT_OR_FAILED,
    ),
    Script(
        "corrected",
        two_and_a_double,
        (
            Deed(status_is(SOLVED), both(write_another_message, note("mottakere: de samme"), go)),
            Deed(status_is(RUNNING), nothing),
        ),
        accidents=(Accident("storage PATCH campaigns in plan_correction", Trouble.AFTER),),
        phases=(Phase.DONE, Phase.DONE),
        planned=(2, 2),
    ),
    Script(
        "corrected, while an address changes",
        two_and_a_double,
        (
            Deed(status_is(SOLVED), both(write_another_message, note("mottakere: de samme"), go)),
            Deed(status_is(RUNNING), nothing),
        ),
        accidents=(
            Accident(
                "storage transaction POST deliveries in plan_correction",
                Trouble.AFTER,
                change_address(KARI, OLA),
            ),
        ),
        phases=(Phase.DONE, Phase.DONE),
        planned=(2, 2),
    ),
    Script(
        "tickets corrected, previewed first",
        TICKETS,
        (
            Deed(
                status_is(SOLVED),
                both(write_another_message, note("mottakere: de samme"), set_status(REVIEW)),
            ),
            Deed(told("/til-kontroll-"), go),
            Deed(status_is(RUNNING), nothing),
        ),
        phases=(Phase.DONE, Phase.DONE),
        planned=(2, 2),
    ),
    Script("erased", two_and_a_double, (Deed(status_is(SOLVED), erase(ÅSE)),)),
    Script(
        "forgotten",
        two_and_a_double,
        (Deed(status_is(SOLVED), let_time_pass(days=2), again=True),),
        settings={"RETENTION_DAYS": "1"},
        over=forgotten,
    ),
)

BESIDE: Sequence[Script] = (
    Script(
        "lists kept in step",
        but_first(two_and_a_double, set_status(NEW), move_companies),
        settings={"LISTS": "update", "LISTS_REMOVE_AT_MOST": "100"},
        statuses=frozenset({NEW}),
        phases=(),
        planned=(),
        over=lists_in_step,
    ),
)

ALL: Sequence[Script] = (*PLAIN, *ACCIDENTS, *BEFORE, *MIDWAY, *AFTER, *BESIDE, *LETTER_SCRIPTS)
