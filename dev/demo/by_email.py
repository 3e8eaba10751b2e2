"""The first scenario: one mail to each, and no answers wanted."""

from collections import Counter
from email.message import EmailMessage
from typing import Any

from rich.console import Console
from rich.table import Table

from dev.demo.campaign import Finished, differing, follow, read_csv, show_text
from dev.playground import Playground
from dev.seed import seed
from shared.domain.delivery import Status
from shared.domain.recipient import address_key
from shared.flow.wording import LEFT_OUT, STATUS

_SHOWN = 60


def play(playground: Playground, recipients: int, console: Console) -> list[str]:
    """What does not agree; nothing when everybody got one mail."""
    expected = seed(playground.url, {"recipients": recipients})
    number = expected["requestNumber"]
    console.print(
        f"A case worker has made ticket [bold]{number}[/] «{expected['subject']}», with"
        f" {len(expected['lists'])} recipient lists and {expected['memberships']} memberships."
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
    table = Table(title="What each recipient got", title_justify="left")
    for heading in ("Recipient", "Address", "Ledger", "Mails"):
        table.add_column(heading, overflow="fold")
    ordered = sorted(finished.deliveries, key=lambda one: one.recipient.name)
    for delivery in ordered[:_SHOWN]:
        address = delivery.recipient.address
        count = got[address_key(address)]
        table.add_row(delivery.recipient.name, address, STATUS[delivery.status], str(count))
    for left_out in finished.left_out[:_SHOWN]:
        member = left_out.member
        why = LEFT_OUT[left_out.reason]
        table.add_row(member.name, member.address or "", why, "–", style="dim")
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
            "files on each mail": (
                {tuple(sorted(_files(mail).items())) for mail in mails},
                {tuple(sorted(expected["files"].items()))},
            ),
        }
    )


def _files(mail: EmailMessage) -> dict[str, int]:
    return {
        part.get_filename() or "": len(part.get_payload(decode=True) or b"")
        for part in mail.iter_attachments()
    }
