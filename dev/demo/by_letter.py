"""The third scenario: letters by Digipost, and other ways to those who are not there."""

from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

from dev.demo.campaign import Finished, differing, follow, read_csv, show_text
from dev.digipost import Person, Switches
from dev.playground import Playground
from dev.seed import seed
from shared.domain.delivery import Delivery, Status
from shared.domain.recipient import address_key
from shared.flow.wording import STATUS

#: Digipost thinks for a second, as if it were hours.
DIGIPOST = Switches(result_seconds=1)
#: DIGIPOST_NOT_REACHED: a letter on paper, or a mail, or a list for us to see to.
NOT_REACHED = "print,email,list"

#: Somebody on the lists whom Digipost knows, and who has no Digipost: theirs is printed.
_ON_PAPER = Person(
    name="Nils Uten E-post",
    kind="known",
    street="Ærfuglveien 2 Leilighet 4",
    postal_code="0155",
)

_SHOWN = 60
_WAYS = {"digipost": "Digipost", "print": "on paper, by Digipost", "email": "e-mail"}


def play(playground: Playground, recipients: int, console: Console) -> list[str]:
    """What does not agree; nothing when everybody got it once, by whatever way."""
    playground.digipost.simulator.population.add(_ON_PAPER)
    expected = seed(playground.url, {"recipients": recipients, "scenario": "digipost"})
    number = expected["requestNumber"]
    console.print(
        f"\nTicket [bold]{number}[/] is to be a letter, the PDF on it, to everybody on its"
        f" {len(expected['lists'])} lists: {expected['memberships']} memberships. Digipost is asked"
        f" who is there; for the others we try {', '.join(NOT_REACHED.split(','))}."
    )
    before = len(playground.sink.messages())
    simulator = playground.digipost.simulator

    def reached() -> int:
        return len(simulator.delivered) + len(list(playground.sink.dir.glob("*.eml"))) - before

    finished = follow(playground, number, console, "letters and mails", reached)
    mails = Counter(
        address_key(mail["X-Envelope-To"]) for mail in playground.sink.messages()[before:]
    )
    _show(playground, finished, mails, console)
    faults = _disagreements(playground, finished, mails, expected)
    if not faults:
        letters = Counter(one.channel for one in simulator.delivered)
        console.print(
            f"[green]✓[/] Ledger, Digipost, mail sink and CSV agree: {letters['WEB']} letters in"
            f" Digipost, {letters['PRINT']} on paper, {mails.total()} mails, each recipient once;"
            f" {len(finished.left_out)} memberships left out, each with its reason."
        )
    return faults


def _show(
    playground: Playground, finished: Finished, mails: Counter[str], console: Console
) -> None:
    got = _got(playground)
    table = Table(title="What each recipient got", title_justify="left")
    for heading in ("Recipient", "Address", "Ledger", "By", "Letters", "Mails"):
        table.add_column(heading, overflow="fold")
    for delivery in sorted(finished.deliveries, key=lambda one: one.recipient.name)[:_SHOWN]:
        sent = delivery.status is Status.SENT
        sent_by_mail = sent and delivery.channel == "email"
        table.add_row(
            delivery.recipient.name,
            delivery.recipient.address,
            STATUS[delivery.status],
            _WAYS[delivery.channel] if sent else "–",
            str(got[delivery.id]),
            # two may share a mailbox, and one of them have a letter
            str(mails[address_key(delivery.recipient.address)] if sent_by_mail else 0),
        )
    console.print(table)
    jobs = [(one.job.id, one.state) for one in playground.digipost.simulator.tasks if one.job]
    console.print("Jobs at Digipost: " + ", ".join(f"{id_} ({state})" for id_, state in jobs))
    ticket = finished.ticket
    title = f"Ticket {ticket['requestNumber']} – {ticket['status']} – Løsning"
    show_text(console, title, ticket["solution"])
    files = ", ".join(f"{file['fileName']} ({file['size']} bytes)" for file in finished.files)
    console.print(f"Attached, not visible to end users: {files}")
    console.print(
        f"From found to done: {finished.seconds:.1f} s. With a real Digipost it is hours."
    )


def _got(playground: Playground) -> Counter[str]:
    """How many letters Digipost has delivered or printed, by delivery."""
    return Counter(one.kunde_id for one in playground.digipost.simulator.delivered)


def _disagreements(
    playground: Playground, finished: Finished, mails: Counter[str], expected: dict[str, Any]
) -> list[str]:
    """Where the ledger, Digipost, the mail sink and the CSV tell different stories."""
    simulator = playground.digipost.simulator
    sent = [one for one in finished.deliveries if one.status is Status.SENT]

    def by(*channels: str) -> list[Delivery]:
        return [one for one in sent if one.channel in channels]

    by_mail = Counter(address_key(one.recipient.address) for one in by("email"))
    left_out = Counter(str(one.reason) for one in finished.left_out)
    rows = read_csv(playground, finished.files, "mottakere-")
    members = {one.recipient.member for one in finished.deliveries}
    # whom Digipost could never find, and a mail reaches
    others = members - set(expected["members"])
    return differing(
        {
            "letters at Digipost": (
                dict(_got(playground)),
                {one.id: 1 for one in by("digipost", "print")},
            ),
            "printed letters": (
                sorted(one.kunde_id for one in simulator.delivered if one.channel == "PRINT"),
                sorted(one.id for one in by("print")),
            ),
            "mails in the sink": (dict(mails), dict(by_mail)),
            "ways that were used": ({one.channel for one in sent}, set(_WAYS)),
            "recipients who are missing": (sorted(set(expected["members"]) - members), []),
            "others, by": (
                {one.channel for one in sent if one.recipient.member in others},
                {"email"},
            ),
            "left out, and others": (
                left_out.total() + len(others),
                sum(expected["leftOut"].values()),
            ),
            "sent in the CSV": (sum(row["Status"] == "sendt" for row in rows), len(sent)),
            "memberships": (
                len(finished.deliveries) + len(finished.left_out),
                expected["memberships"],
            ),
            "files of ours that end users see": (
                [file["fileName"] for file in finished.files if file["isVisible"]],
                [],
            ),
            "the ticket's status": (finished.ticket["status"], "Løst"),
        }
    )
