"""A campaign that waits for a person: the ticket says why and what to do, and then it goes on."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import shared.flow
from dev.pureservice.seed import AGENT, MESSAGE_TYPE
from shared.adapters import digipost_job
from shared.domain.campaign import Campaign, Phase
from shared.flow.wording import render
from tests.flow.edges import another

READY, ATTENTION = "Utsending – klar", "Utsending – må sjekkes"

#: What each problem's text is told, and words that it must have.
PROBLEMS = {
    "no_message": (
        {"trigger": "communication", "type": "Til utsending"},
        "Skriv meldingen som en oppføring av typen «Til utsending».",
    ),
    "several_messages": ({"count": "2"}, "Saken har 2 meldinger"),
    "empty_message": ({}, "mangler emne eller tekst"),
    "unreadable_file": ({"name": "Årsplan <1>.pdf"}, "«Årsplan &lt;1&gt;.pdf»"),
    "too_large": ({"megabytes": "20"}, "større enn 20 MB"),
    "wrong_placeholder": (
        {"placeholder": "{{ fornavn }}", "why": "unknown", "instead": "recipient.first_name"},
        "Mente du «recipient.first_name»",
    ),
    "no_logo": ({"name": "våpen.png"}, "logoen «våpen.png»"),
    "no_lists": ({}, "ikke koblet til noen mottakerliste"),
    "only_deleted_lists": ({}, "merket for sletting"),
    "unreadable_list": ({"name": "Skoler & barnehager"}, "«Skoler &amp; barnehager»"),
    "nobody": ({"left_out": "1"}, "1 oppføring er utelatt"),
    "foreign_mark": ({"installation": "nabo", "field": "cf_3"}, "installasjonen «nabo»"),
    "mark_gone": ({"field": "customerReference"}, "«customerReference», er borte"),
    "not_classified": ({}, "mangler sone, type, prioritet eller kilde"),
    "names_campaign_user": ({"name": "Utsending <Svar>"}, "nevner «Utsending &lt;Svar&gt;»"),
    "nobody_before": ({"earlier": "20417-1"}, "ingen av dem kan få den nå"),
    "lists_change": ({}, "endret hver gang vi leste dem"),
    "unclear_order": ({"line": "start: <snart>"}, "«start: &lt;snart&gt;»"),
    "start_too_far": ({"days": "60"}, "mer enn 60 dager fram i tid"),
    "message_gone": ({}, "finnes ikke lenger i lageret vårt"),
    "channel_closed": ({"channel": "email", "hours": "24"}, "E-postserveren har ikke tatt imot"),
    "refused": ({}, "Pureservice avviste"),
    "letter_file_type": ({"name": "<a>.docx", "types": "pdf"}, "Vedlegget «&lt;a&gt;.docx»"),
    "which_document": ({"begins": "brev", "count": "2"}, "begynne med «brev»"),
    "too_many_attachments": ({"most": "99"}, "flere vedlegg enn Digipost tar imot"),
    "unfit_document": (
        {"name": "plan.pdf", "faults": "fonts,page_size"},
        "sider som ikke er A4",
    ),
    "letter_not_made": ({}, "lot seg ikke gjøre om til et brev"),
    "letter_area": ({"job": "k.send-1", "said": "ingen plass"}, "Svaret var: ingen plass"),
    "letter_job_failed": (
        {"job": "k.send-1", "kind": "send", "code": "validation", "words": "Ugyldig XML"},
        "Digipost skriver: «Ugyldig XML»",
    ),
    "letter_contradicted": ({"job": "k.send-1"}, "Digipost har sagt to ting om jobben «k.send-1»"),
    "letter_receipt_gone": ({"job": "k.send-1"}, "Svaret fra Digipost på jobben «k.send-1»"),
    "letter_rule": ({"rule": "subject", "id": "brev"}, "ikke følger reglene deres (subject)"),
}


def text(problem, detail, *, by_status=True, ready=READY):
    campaign = Campaign(
        "20417-1", 5001, 20417, "email", datetime(2026, 11, 23, tzinfo=UTC), "ab12cd34"
    )
    blocked = replace(campaign, problem=problem, detail=detail)
    html = render("blocked.html", campaign=blocked, by_status=by_status, ready=ready, so_far=None)
    return " ".join(html.split())


def mend(house, number, problem):
    """What the note asks the case worker to do."""
    ticket = house.ticket(number)
    entries = [
        e for e in house.world.where("communication", "ticketId", ticket["id"]) if e["type"] == 9
    ]
    match problem:
        case "no_message":
            house.write(number, "<p>Hei</p>", custom_type=MESSAGE_TYPE)
        case "several_messages":
            house.world.remove("communication", entries[0]["id"])
        case "empty_message":
            house.world.change("communication", entries[0]["id"], {"text": "<p>Hei</p>"}, by=AGENT)
        case "no_lists" | "only_deleted_lists":
            house.link(number, house.make_list("ny", "kari@example.no"))
        case "nobody":
            [user] = [u for u in house.world.all("user") if u["emailAddressId"] is None]
            address = house.world.add(
                "emailaddress", {"email": "kari@example.no", "userId": user["id"]}
            )
            house.world.change("user", user["id"], {"emailAddressId": address["id"]}, by=AGENT)


def in_trouble(house, problem):
    """A ticket that will be blocked for this reason."""
    one = house.make_list("en", None if problem == "nobody" else "kari@example.no")
    deleted = house.make_list("to", "ola@example.no", deleted=True)
    lists = {"no_lists": [], "only_deleted_lists": [deleted]}.get(problem, [one])
    message = {"no_message": "", "empty_message": "<p> </p>"}.get(problem, "<p>Hei</p>")
    number = house.open_ticket(*lists, message=message, status=READY)
    if problem == "several_messages":
        house.write(number, "<p>Eller?</p>", custom_type=MESSAGE_TYPE)
    return number


MENDED = pytest.mark.parametrize(
    "problem",
    [
        "no_message",
        "several_messages",
        "empty_message",
        "no_lists",
        "only_deleted_lists",
        "nobody",
    ],
)


# --- the words ---


def test_every_problem_there_is_has_its_text():
    sources = Path(shared.flow.__file__).parent.glob("*.py")
    code = "\n".join(source.read_text("utf-8") for source in sources)
    code += Path(digipost_job.__file__).read_text("utf-8")
    raised = r'(?:BlockedError|super\(\).__init__)\(\s*"(\w+)"'
    assert set(re.findall(raised, code)) == PROBLEMS.keys()


@pytest.mark.parametrize("kind", ["split", "send"])
@pytest.mark.parametrize("code", ["validation", "engine", "general", "unknown"])
def test_a_job_that_digipost_refused_is_told_in_plain_words_without_anybodys_number(kind, code):
    words = "Mottaker 17857410084 er ugyldig"
    detail = {"job": "k.send-1", "kind": kind, "code": code, "words": words}
    said = text("letter_job_failed", detail)
    assert ("Ingen av brevene i den er levert" in said) is (kind == "send")
    assert ("ingen brev var med" in said) is (kind == "split")
    assert "17857410084" not in said
    assert "Mottaker [skjult nummer] er ugyldig" in said


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_text_says_what_is_wrong_and_what_to_do(problem):
    detail, words = PROBLEMS[problem]
    said = text(problem, detail)
    assert words in said
    assert ("Ingen har fått e-post" in said) is (problem != "foreign_mark")
    assert said.endswith(f"setter du statusen til «{READY}» igjen. Da prøver vi på nytt. </p>")
    assert said != text("nothing we know of", detail)


def test_the_texts_differ_where_a_mail_is_the_message_and_where_the_lists_are_empty():
    mail = text("no_message", {"trigger": "failed_email", "type": "Til utsending"})
    assert "vanlig utgående melding til sluttbrukeren" in mail
    assert "lage en ny sak" in mail
    assert "er tomme" in text("nobody", {"left_out": "0"})


def test_without_our_own_status_the_ticket_is_to_be_touched():
    touched = text("no_lists", {}, by_status=False)
    assert "endrer du noe på saken" in touched
    assert f"så lenge statusen er «{READY}»." in touched
    assert "statusen" not in text("no_lists", {}, by_status=False, ready="")


# --- blocked, mended, gone on with ---


@MENDED
async def test_blocked_then_mended_then_asked_for_again_reaches_everybody(house, problem):
    number = in_trouble(house, problem)
    await house.run(4)
    assert (house.channel.sent, house.status(number)) == ([], ATTENTION)
    campaign = await house.campaign(number)
    assert (campaign.phase, campaign.problem) == (Phase.BLOCKED, problem)
    [note] = house.notes(number)
    assert PROBLEMS[problem][1] in " ".join(note.split())
    mend(house, number, problem)
    await house.run(2)
    assert house.channel.sent == []  # not before somebody says so
    house.set_status(number, READY)
    await house.run(3)
    assert house.channel.addresses == {"kari@example.no": 1}
    assert house.status(number) == "Løst"
    assert len(house.notes(number)) == 2  # why it was blocked, and the start
    assert len(await house.campaigns(number)) == 1


async def test_asked_for_again_without_being_mended_is_blocked_again_and_says_so_again(house):
    number = in_trouble(house, "no_lists")
    await house.run(2)
    house.set_status(number, READY)
    await house.run(2)
    assert len(house.notes(number)) == 2
    assert house.status(number) == ATTENTION
    assert (await house.campaign(number)).times_blocked == 2


async def test_another_message_and_other_lists_count_when_it_is_asked_for_again(house):
    """Blocked by the second list, when message and first list were fixed already."""
    one, two = house.make_list("en", "kari@example.no"), house.make_list("to", "ola@example.no")
    number = house.open_ticket(one, two, message="<p>Før</p>", status=READY)
    path = f"/relationship/{two['id']}/fromAsset"
    house.trouble("status", status=404, method="GET", path=path)
    await house.run(2)
    assert house.status(number) == ATTENTION
    [entry] = [e for e in house.world.all("communication") if e.get("customTypeId")]
    house.world.change("communication", entry["id"], {"text": "<p>Etter</p>"}, by=AGENT)
    [tie] = [r for r in house.world.all("relationship") if r["toAssetId"] == one["id"]][1:]
    house.world.remove("relationship", tie["id"])
    house.set_status(number, READY)
    await house.run(3)
    assert house.channel.addresses == {"ola@example.no": 1}
    assert [message.text for message in house.channel.messages] == ["Etter"]


async def test_a_start_that_was_refused_is_told_anew_when_it_is_asked_for_again(make_house):
    """The note stood, the status was refused: what is said the second time is true the second."""
    house = make_house(UNDO_SECONDS="180")
    number = in_trouble(house, "none")
    house.trouble("status", status=400, method="PATCH", path="/ticket", skip=1)
    await house.minute()
    campaign = await house.campaign(number)
    assert (campaign.phase, campaign.blocked_from) == (Phase.BLOCKED, Phase.APPROVED)
    assert "Pureservice avviste" in house.notes(number)[-1]
    await house.run(5)
    house.set_status(number, READY)
    await house.minute()
    assert house.channel.sent == []
    assert "klargjort" in house.notes(number)[-1]
    assert "kl. 09:10" in house.notes(number)[-1]
    await house.run(5)
    assert house.channel.addresses == {"kari@example.no": 1}


async def test_a_blocked_ticket_is_silent_and_makes_no_mail(house):
    number = in_trouble(house, "no_lists")
    before = house.mails(number)
    await house.run(3)
    assert house.ticket(number)["visibility"] == 1
    assert house.mails(number) == before


# --- told once ---


FAULTS = [
    {"kind": "drop_after_write"},
    {"kind": "drop_before"},
    {"kind": "status", "status": 500},
    {"kind": "html", "status": 502, "after_write": True},
    {"kind": "half_json"},
]


@pytest.mark.parametrize("call", ["POST /communication", "PATCH /ticket", "GET /communication"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: "-".join(str(v) for v in f.values()))
async def test_the_note_stands_once_and_the_status_is_set_whatever_is_lost(house, call, fault):
    number = in_trouble(house, "no_lists")
    method, path = call.split()
    # the first PATCH is the mark; the first look at communications is for the message
    skip = 0 if method == "POST" else 1
    house.trouble(method=method, path=path, times=3, skip=skip, **fault)
    await house.run(6)
    assert len(house.notes(number)) == 1
    assert house.status(number) == ATTENTION
    house.link(number, house.make_list("ny", "kari@example.no"))
    house.set_status(number, READY)
    await house.run(3)
    assert house.channel.addresses == {"kari@example.no": 1}


async def test_a_host_that_stops_while_it_tells_is_followed_by_one_that_tells_the_rest(house):
    number = in_trouble(house, "no_lists")

    async def power_cut(moment):
        if moment == "after helpdesk.add_note":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await another(house, power_cut).discover()
    assert house.status(number) == READY
    await house.run(2)
    assert len(house.notes(number)) == 1
    assert house.status(number) == ATTENTION


# --- where our own status is not configured ---


@pytest.mark.parametrize("go", [READY, ""], ids=["go status", "quiet period"])
async def test_without_an_attention_status_an_untouched_ticket_is_left_alone(make_house, go):
    house = make_house(STATUS_ATTENTION="", STATUS_READY=go)
    number = in_trouble(house, "empty_message")
    await house.run(30)
    assert len(house.notes(number)) == 1
    assert house.status(number) == READY
    assert (await house.campaign(number)).times_blocked == 1


@pytest.mark.parametrize("go", [READY, ""], ids=["go status", "quiet period"])
async def test_without_an_attention_status_a_touched_ticket_is_tried_again(make_house, go):
    house = make_house(STATUS_ATTENTION="", STATUS_READY=go)
    number = in_trouble(house, "empty_message")
    await house.run(12)
    mend(house, number, "empty_message")
    await house.run(12)
    assert house.channel.sent == []  # the entry was changed; the ticket does not show it
    house.world.change("ticket", house.ticket(number)["id"], {}, by=AGENT)
    await house.run(12)
    assert house.channel.addresses == {"kari@example.no": 1}
    assert len(house.notes(number)) == 2


async def test_without_an_attention_status_a_lost_answer_makes_no_second_note(make_house):
    house = make_house(STATUS_ATTENTION="")
    number = in_trouble(house, "no_lists")
    house.trouble("drop_after_write", method="POST", path="/communication")
    await house.run(10)
    assert len(house.notes(number)) == 1
    assert (await house.campaign(number)).times_blocked == 1
