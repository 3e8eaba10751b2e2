"""The first scenario: one mail to each, and no answers wanted."""

import re
from collections import Counter
from email.message import EmailMessage
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from dev.demo.campaign import Finished, differing, follow, read_csv, show_text
from dev.playground import Playground
from dev.pureservice.seed import PICTURE_ID
from dev.seed import seed
from shared.domain.delivery import Status
from shared.domain.recipient import address_key
from shared.flow.wording import LEFT_OUT, STATUS

#: Whom a company's mail greets: it has no first name.
NOBODY = "dere"
#: The placeholder as the helpdesk's editor leaves it; the picture is one of the ticket's.
TEXT = (
    '<p>Hei {{&nbsp;recipient.<span>first_name</span> | default("dere") }}!</p>'
    "<p>Vi inviterer {{ recipient.company | default('deg') }} til høring om <strong>ny veileder"
    "</strong> for små og større øvelser i Ålfjord, Bjørkedal og Grønnvik.</p>"
    f'<p><img src="cid:{PICTURE_ID}" alt="Fjordvik kommune"></p>'
    '<p><a href="https://example.no/høring?sak=1&amp;del=2">Les mer</a></p>'
)
_GREETING = re.compile(r"Hei (.+)!")

_SHOWN = 60


def play(playground: Playground, recipients: int, console: Console) -> list[str]:
    """What does not agree; nothing when everybody got one mail."""
    expected = seed(playground.url, {"recipients": recipients, "text": TEXT})
    number = expected["requestNumber"]
    console.print(
        f"A case worker has made ticket [bold]{number}[/] «{expected['subject']}», with"
        f" {len(expected['lists'])} recipient lists and {expected['memberships']} memberships.\n"
        f"The message greets everybody by first name, with «{NOBODY}» for who has none, names the"
        " company of those who have one, and has a picture in the text."
    )

    def in_the_sink() -> int:
        return sum(1 for _ in playground.sink.dir.glob("*.eml"))

    finished = follow(playground, number, console, "mails", in_the_sink)
    mails = playground.sink.messages()
    _show(finished, mails, console)
    faults = _disagreements(playground, finished, mails, expected)
    console.print(f"\nThe mails lie in [bold]{playground.sink.dir}[/]")
    if not faults:
        console.print(
            f"[green]✓[/] Ledger, mail sink and Pureservice agree: {len(mails)} of"
            f" {len(expected['mails'])} recipients reached, each once;"
            f" {len(finished.left_out)} memberships left out, each with its reason."
        )
    return faults


def _show(finished: Finished, mails: list[EmailMessage], console: Console) -> None:
    got = Counter(mail["X-Envelope-To"].lower() for mail in mails)
    greeted = {mail["X-Envelope-To"].lower(): _greeted(mail) for mail in mails}
    table = Table(title="What each recipient got", title_justify="left")
    for heading in ("Recipient", "Address", "Ledger", "Mails", "Greeted as"):
        table.add_column(heading, overflow="fold")
    ordered = sorted(finished.deliveries, key=lambda one: one.recipient.name)
    for delivery in ordered[:_SHOWN]:
        address = delivery.recipient.address
        count, name = got[address_key(address)], greeted.get(address_key(address), "–")
        status = STATUS[delivery.status]
        table.add_row(delivery.recipient.name, address, status, str(count), name)
    for left_out in finished.left_out[:_SHOWN]:
        member = left_out.member
        why = LEFT_OUT[left_out.reason]
        table.add_row(member.name, member.address or "", why, "–", "–", style="dim")
    console.print(table)
    if len(ordered) > _SHOWN:
        console.print(f"… and {len(ordered) - _SHOWN} more")
    ticket = finished.ticket
    title = f"Ticket {ticket['requestNumber']} – {ticket['status']} – Løsning"
    show_text(console, title, ticket["solution"])
    files = ", ".join(f"{file['fileName']} ({file['size']} bytes)" for file in finished.files)
    console.print(f"Attached, not visible to end users: {files}")
    console.print(
        f"From found to done: {finished.seconds:.1f} s, with neither undo window nor pace."
        " At 30 mails a minute, 1,000 take 34 minutes."
    )


def _disagreements(
    playground: Playground, finished: Finished, mails: list[EmailMessage], expected: dict[str, Any]
) -> list[str]:
    """Where ledger, mail sink and simulator tell different stories. None of it uses the flow."""
    ledger = Counter(
        address_key(one.recipient.address)
        for one in finished.deliveries
        if one.status is Status.SENT
    )
    sink = Counter(mail["X-Envelope-To"].lower() for mail in mails)
    left_out = Counter(str(one.reason) for one in finished.left_out)
    rows = read_csv(playground, finished.files, "mottakere-")
    csv_sent = [row["E-postadresse"].lower() for row in rows if row["Status"] == "sendt"]
    return differing(
        {
            "mails in the sink": (dict(sink), expected["mails"]),
            "sent in the ledger": (dict(ledger), expected["mails"]),
            "sent in the CSV on the ticket": (dict(Counter(csv_sent)), expected["mails"]),
            "left out in the ledger": (dict(left_out), expected["leftOut"]),
            "left out in the CSV": (
                len([row for row in rows if row["Status"] == "utelatt"]),
                len(finished.left_out),
            ),
            "memberships": (
                len(finished.deliveries) + len(finished.left_out),
                expected["memberships"],
            ),
            "who must get nothing": (sorted(sink.keys() & set(expected["mustNotGet"])), []),
            "files of ours that end users see": (
                [file["fileName"] for file in finished.files if file["isVisible"]],
                [],
            ),
            "the ticket's status": (finished.ticket["status"], "Løst"),
            "different Message-IDs": (len({m["Message-ID"] for m in mails}), len(mails)),
            "subjects": ({m["Subject"] for m in mails}, {expected["subject"]}),
            "greeted by another name": ([m["To"] for m in mails if not _is_theirs(m)], []),
            "greetings": (len({_greeted(mail) for mail in mails}) > 1, True),
            "placeholders that were left": (
                [mail["To"] for mail in mails if "{{" in _body(mail) + _body(mail, "html")],
                [],
            ),
            "pictures in each mail": (
                {tuple(sorted(_pictures(mail).items())) for mail in mails},
                {tuple(sorted(expected["pictures"].items()))},
            ),
            "files on each mail": (
                {tuple(sorted(_files(mail).items())) for mail in mails},
                {tuple(sorted(expected["files"].items()))},
            ),
        }
    )


def _body(mail: EmailMessage, kind: Literal["plain", "html"] = "plain") -> str:
    part = mail.get_body((kind,))
    return str(part.get_content()) if part else ""


def _greeted(mail: EmailMessage) -> str:
    found = _GREETING.match(_body(mail))
    return found[1] if found else ""


def _is_theirs(mail: EmailMessage) -> bool:
    """Whether it greets the one whose name stands on it, or nobody by name."""
    name = mail["To"].addresses[0].display_name
    greeted = _greeted(mail)
    return greeted == NOBODY or bool(greeted and name.startswith(greeted))


def _pictures(mail: EmailMessage) -> dict[str, int]:
    """Those that the text shows."""
    html = _body(mail, "html")
    return {
        part.get_filename() or "": len(part.get_payload(decode=True) or b"")
        for part in mail.walk()
        if part["Content-ID"] and f"cid:{part['Content-ID'].strip('<>')}" in html
    }


def _files(mail: EmailMessage) -> dict[str, int]:
    return {
        part.get_filename() or "": len(part.get_payload(decode=True) or b"")
        for part in mail.iter_attachments()
    }
