"""The second scenario: a ticket for each recipient, the message sent from it, and an answer."""

import time
from collections import Counter, defaultdict
from typing import Any

from rich.console import Console
from rich.table import Table

from dev.demo.campaign import PATIENCE, Finished, differing, follow, read_csv, show_text
from dev.playground import Playground
from dev.pureservice import behaviour
from dev.pureservice.seed import FROM_CAMPAIGN, comparable
from dev.seed import seed
from shared.domain.delivery import Delivery, Status
from shared.flow.wording import STATUS, reasons

RELATION = FROM_CAMPAIGN  #: TICKET_RELATION, so that the tickets hang together in Pureservice

_SHOWN = 20
_WAITING, _REVIEW, _SOLVED = "Venter - sluttbruker", "Utsending – til kontroll", "Løst"
_MAIL = {behaviour.QUEUED: "in the outbox", behaviour.SENT: "sent", behaviour.FAILED: "failed"}

Row = dict[str, Any]  #: a ticket, or something on it, as a person sees it


def play(playground: Playground, recipients: int, console: Console) -> list[str]:
    """What does not agree; nothing when everybody got one ticket and one message from it."""
    expected = seed(playground.url, {"recipients": recipients, "scenario": "ticket"})
    number = expected["requestNumber"]
    console.print(
        f"\nTicket [bold]{number}[/] is to become a ticket of their own for everybody on its"
        f" {len(expected['lists'])} lists: {expected['memberships']} memberships."
    )
    before, past_us = _tickets(playground), len(playground.sink.messages())
    finished = follow(playground, number, console, "tickets", lambda: _tickets(playground) - before)
    copies: list[Row] = playground.sim("GET", f"copies/{number}")
    _show(finished, copies, console)
    past_us = len(playground.sink.messages()) - past_us
    faults = differing({"mails that Pureservice did not send": (past_us, 0)})
    faults += _disagreements(playground, finished, copies, expected)
    if faults:
        return faults
    console.print(
        f"[green]✓[/] Ledger, Pureservice and CSV agree: {len(copies)} recipients have a ticket and"
        f" one message from it; {len(expected['failed'])} could not have one, and"
        f" {len(finished.left_out)} memberships are left out, each with its reason.\n"
    )
    return _ask_who_has_answered(playground, finished, copies, console)


def _tickets(playground: Playground) -> int:
    return int(playground.sim("GET", "state")["counts"]["ticket"])


def _show(finished: Finished, copies: list[Row], console: Console) -> None:
    own = {copy["customerReference"]: copy for copy in copies}
    table = Table(title="What each recipient got", title_justify="left")
    for heading in ("Recipient", "Address", "Ledger", "Ticket", "Its mail"):
        table.add_column(heading, overflow="fold")
    unhappy_first = sorted(
        finished.deliveries, key=lambda one: (one.status is Status.SENT, one.recipient.name)
    )
    for delivery in unhappy_first[:_SHOWN]:
        copy = own.get(_key(delivery))
        reason = reasons("ticket")[delivery.reason]
        table.add_row(
            delivery.recipient.name,
            delivery.recipient.address,
            ": ".join(filter(None, [STATUS[delivery.status], reason])),
            str(copy["requestNumber"]) if copy else "–",
            ", ".join(_MAIL[mail["status"]] for mail in _out_of(copy)) if copy else "–",
        )
    console.print(table)
    if len(unhappy_first) > _SHOWN:
        console.print(f"… and {len(unhappy_first) - _SHOWN} more")
    ticket = finished.ticket
    title = f"Ticket {ticket['requestNumber']} – {ticket['status']} – Løsning"
    show_text(console, title, ticket["solution"], 18)
    console.print(
        f"From found to done: {finished.seconds:.1f} s. At 60 calls a minute to Pureservice, 1,000"
        " recipients take 34 minutes."
    )


def _key(delivery: Delivery) -> str:
    """The customerReference of the delivery's ticket."""
    return f"{delivery.campaign} {delivery.id}"


def _out_of(copy: Row) -> list[Row]:
    return [mail for mail in copy["mails"] if mail["direction"] == behaviour.OUTBOUND]


# --- does it agree? ---


def _disagreements(
    playground: Playground, finished: Finished, copies: list[Row], expected: Row
) -> list[str]:
    """Where ledger, Pureservice and CSV tell different stories. None of it uses the flow."""
    of_status = defaultdict(list)
    for delivery in finished.deliveries:
        of_status[delivery.status].append(delivery)
    sent, failed = of_status.pop(Status.SENT, []), of_status.pop(Status.FAILED, [])
    own = {copy["customerReference"]: copy for copy in copies}
    rows = read_csv(playground, finished.files, "mottakere-")
    faults = differing(
        {
            "sent in the ledger": (_members(sent), expected["members"]),
            "failed in the ledger": (_members(failed), expected["failed"]),
            "neither sent nor failed": (dict(of_status), {}),
            "left out in the ledger": (
                Counter(str(one.reason) for one in finished.left_out),
                expected["leftOut"],
            ),
            "memberships": (
                len(finished.deliveries) + len(finished.left_out),
                expected["memberships"],
            ),
            "tickets": (
                sorted(copy["customerReference"] for copy in copies),
                sorted(map(_key, sent)),
            ),
            "the tickets' addresses": (
                Counter(copy["address"] for copy in copies),
                expected["mails"],
            ),
            "tickets in the CSV": (
                {row["Forsendelse"]: row["Sak"] for row in rows if row["Status"] == "sendt"},
                {one.id: str(own[_key(one)]["requestNumber"]) for one in sent if _key(one) in own},
            ),
            "users made for companies": (
                {address: len(_users(copies, address)) for address in expected["newUsers"]},
                dict.fromkeys(expected["newUsers"], 1),
            ),
            "the campaign's status": (finished.ticket["status"], _SOLVED),
            "files of ours that end users see": (
                [file["fileName"] for file in finished.files if file["isVisible"]],
                [],
            ),
        }
    )
    look = _Look(playground, finished.ticket, expected)
    for delivery in sent:
        if copy := own.get(_key(delivery)):
            found, wanted = look.at(copy), look.wanted(delivery, copy)
            compared = {what: (found[what], wanted[what]) for what in wanted}
            faults += [f"ticket {copy['requestNumber']}, {one}" for one in differing(compared)]
    return faults


def _members(deliveries: list[Delivery]) -> list[str]:
    return sorted(delivery.recipient.member for delivery in deliveries)


def _users(copies: list[Row], address: str) -> set[int]:
    """Those whose tickets go to this address."""
    return {copy["user"]["id"] for copy in copies if copy["address"] == address}


class _Look:
    """A recipient's ticket beside the one it was copied from."""

    def __init__(self, playground: Playground, parent: Row, expected: Row) -> None:
        self._playground = playground
        self._parent = parent
        self._expected = expected
        going_along = {*expected["files"], *expected["pictures"]}
        self._files_wanted = [one for one in self._files(parent) if one[0] in going_along]

    def _files(self, ticket: Row) -> list[tuple[str, bytes]]:
        return sorted(
            (file["fileName"], self._playground.download(file["id"]))
            for file in ticket["attachments"]
        )

    def at(self, copy: Row) -> Row:
        names = {file["id"]: file["fileName"] for file in copy["attachments"]}
        return {
            "end user": copy["user"],
            "address": copy["address"],
            "status": copy["status"],
            "subject": copy["subject"],
            "description": copy["description"],
            "classification": copy["classification"],
            "relations": copy["relations"],
            "files": self._files(copy),
            "mails": [
                {
                    "to": comparable(mail["to"]),
                    "subject": mail["subject"],
                    "state": _MAIL[mail["status"]],
                    "files": sorted(names.get(id_, "?") for id_ in mail["attachmentIds"]),
                }
                for mail in _out_of(copy)
            ],
        }

    def wanted(self, delivery: Delivery, copy: Row) -> Row:
        address = comparable(delivery.recipient.address)
        return {
            "end user": self._end_user(delivery, copy, address),
            "address": address,
            "status": _WAITING,
            "subject": self._parent["subject"],
            "description": self._parent["description"],
            "classification": {**self._parent["classification"], "assignedAgentId": None},
            "relations": [{"type": RELATION, "ticketId": self._parent["id"]}],
            "files": self._files_wanted,
            "mails": [
                {
                    "to": address,
                    "subject": f"[Sak ID# {copy['requestNumber']}] {self._expected['subject']}",
                    "state": "sent",
                    "files": sorted(self._expected["files"]),
                }
            ],
        }

    def _end_user(self, delivery: Delivery, copy: Row, address: str) -> Row:
        """The member itself; for a company whoever has its address, made if need be."""
        user: Row = dict(copy["user"])
        if names := self._expected["newUsers"].get(address):
            known = [f"Postmottak {name}" for name in names]
            user["name"] = user["name"] if user["name"] in known else " or ".join(known)
        elif delivery.recipient.member.startswith("user:"):
            user["id"] = int(delivery.recipient.member.removeprefix("user:"))
        return user


# --- who has answered? ---


def _ask_who_has_answered(
    playground: Playground, finished: Finished, copies: list[Row], console: Console
) -> list[str]:
    """An end user answers, the case worker asks, and the campaign's ticket tells."""
    parent, answered = finished.ticket, copies[0]
    playground.sim("POST", "reply", ticketId=answered["id"])
    playground.sim("POST", "status", ticketId=parent["id"], statusName=_REVIEW)
    console.print(
        f"{answered['user']['name']} answers on ticket {answered['requestNumber']}, and the case"
        f" worker gives ticket {parent['requestNumber']} the status «{_REVIEW}»."
    )
    deadline = time.monotonic() + PATIENCE
    while (ticket := playground.ticket(parent["requestNumber"]))["status"] != _SOLVED:
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.1)
    notes = [one["text"] for one in ticket["communications"] if "/svar-" in (one["text"] or "")]
    title = f"Ticket {ticket['requestNumber']} – {ticket['status']} – notat"
    show_text(console, title, "".join(notes))
    rows = read_csv(playground, ticket["attachments"], "svar-")
    waiting = {row["Sak"] for row in rows if row["Status på saken"] == _WAITING}
    every = {str(copy["requestNumber"]) for copy in copies}
    now = playground.sim("GET", f"copies/{parent['requestNumber']}")
    faults = differing(
        {
            "notes about answers": (len(notes), 1),
            "tickets in the list of answers": ({row["Sak"] for row in rows} - {""}, every),
            "tickets with an answer": (every - waiting, {str(answered["requestNumber"])}),
            "mails from each ticket": ({len(_out_of(copy)) for copy in now}, {1}),
        }
    )
    if not faults:
        console.print(
            f"[green]✓[/] One of {len(every)} has answered, and Pureservice and the list agree on"
            " whom; nobody got anything again."
        )
    return faults
