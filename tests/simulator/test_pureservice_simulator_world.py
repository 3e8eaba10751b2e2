"""Seeding, keeping on disk, and the paths for looking inside."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.pureservice import (
    Simulator,
    Switches,
    World,
    expected,
    seed_base,
    seed_campaign,
    seed_examples,
)
from dev.pureservice.__main__ import main, open_world
from dev.pureservice.seed import (
    HAS_COMPANY,
    HAS_USER,
    PLACEHOLDERS,
    SUBJECT,
    Scenario,
    Trigger,
    add_ticket,
)
from dev.seed import main as seed_task

from .conftest import Clock, served

PLAIN = 12


def memberships(world: World, account: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The members that count: of live lists, by the right relation types."""
    for members in account["lists"]:
        for edge in world.where("relationship", "toAssetId", members):
            relation = world.get("relationshiptype", edge["typeId"]) or {}
            for kind, name in (("user", HAS_USER), ("company", HAS_COMPANY)):
                if relation["name"] == name:
                    row = world.get(kind, edge[f"from{kind.title()}Id"])
                    assert row
                    yield kind, row


def comparable(address: str) -> str:
    """In the form the account has it: lower case, the domain in ASCII."""
    local, _, domain = address.strip().lower().rpartition("@")
    return f"{local}@{domain.encode('idna').decode()}"


def address_of(world: World, kind: str, row: dict[str, Any]) -> str | None:
    """The address to write to; None when there is none."""
    table, key = (
        ("emailaddress", "userId") if kind == "user" else ("companyemailaddress", "companyId")
    )
    default = world.get(table, row.get("emailAddressId"))
    addresses = [default] if default else world.where(table, key, row["id"])
    if not addresses:
        return None
    return comparable(addresses[0]["email"])


def user_of_mailbox(world: World, address: str) -> dict[str, Any] | None:
    """The user a company is written to through; None when one must be made first."""
    for row in world.all("emailaddress"):
        if row.get("userId") and comparable(row["email"]) == address:
            user = world.get("user", row["userId"]) or {}
            cannot = user.get("disabled") or user["emailAddressId"] != row["id"]
            return {"failed": True} if cannot else user
    return None


@pytest.mark.parametrize("scenario", ["email", "ticket"])
def test_the_account_of_a_campaign_fits_its_data(world: World, scenario: Scenario) -> None:
    account = expected(world, seed_campaign(world, recipients=PLAIN, scenario=scenario))
    mails: dict[str, int] = {}
    left_out: dict[str, int] = {}
    new_users: dict[str, list[str]] = {}
    failed: list[str] = []
    reached: set[Any] = set()
    for kind, row in memberships(world, account):
        address = address_of(world, kind, row)
        key = address if scenario == "email" else (kind, row["id"])
        mailbox = user_of_mailbox(world, address or "") if kind == "company" else row
        if row.get("disabled"):
            reason = "disabled"
        elif address is None:
            reason = "no_address"
        elif " " in address:
            reason = "invalid_address"
        elif address in PLACEHOLDERS.values():
            reason = "campaign_user"
        elif key in reached:
            reason = "duplicate"
        elif scenario == "ticket" and mailbox and mailbox.get("failed"):
            failed.append(f"{kind}:{row['id']}")
            continue
        else:
            reached.add(key)
            mails[address] = mails.get(address, 0) + 1
            if scenario == "ticket" and not mailbox:
                new_users.setdefault(address, []).append(row["name"])
            continue
        left_out[reason] = left_out.get(reason, 0) + 1
    assert mails == account["mails"]
    assert left_out == account["leftOut"]
    assert sorted(failed) == account["failed"]
    assert new_users == account["newUsers"]
    ends = len(account["members"]) + len(failed) + sum(left_out.values())
    assert ends == account["memberships"]
    assert sum(mails.values()) == len(account["members"]) > PLAIN
    assert not set(mails) & set(account["mustNotGet"])
    assert left_out["disabled"] == 2
    assert left_out["duplicate"] == (5 if scenario == "email" else 1)
    assert left_out.get("campaign_user", 0) == len(failed) == (0 if scenario == "email" else 2)
    assert len(new_users) == (0 if scenario == "email" else 7)
    assert all(address.split("@")[1].count("example") for address in mails)


def test_twins_and_shared_mailboxes_are_two_tickets_and_at_most_one_new_user(
    world: World,
) -> None:
    number = seed_campaign(world, recipients=0, scenario="ticket")
    account = expected(world, number)
    shared = {address for address, count in account["mails"].items() if count == 2}
    assert shared == {
        f"felles.postkasse.{number}@example.no",
        f"skrive.form.{number}@example.no",
        f"konsern.{number}@example.no",
        f"idn.{number}@xn--blbr-roah.example",
    }
    made_for = {address: len(names) for address, names in account["newUsers"].items()}
    assert made_for.pop(f"konsern.{number}@example.no") == 2
    assert set(made_for.values()) == {1}
    assert (
        f"sentralbord.{number}@xn--blbr-roah.example" in account["mails"].keys() - made_for.keys()
    )
    assert f"felles.postkasse.{number}@example.no" not in made_for
    assert account["newUsers"][f"fisk.{number}@example.no"] == [f'Fisk & "Vilt" <AS> {number}']
    half_done = world.find("emailaddress", email=f"halvferdig.{number}@example.no") or {}
    assert half_done and not half_done.get("userId")


def test_the_ticket_to_copy_is_unlike_a_new_one_in_every_field(world: World) -> None:
    account = expected(world, seed_campaign(world, recipients=1, scenario="ticket"))
    ticket = world.get("ticket", account["ticketId"]) or {}
    usual = add_ticket(world, user_id=5, subject="Vanlig")
    for name in ("ticketTypeId", "priorityId", "sourceId", "assignedAgentId", "customerReference"):
        assert ticket[name] != usual.get(name), name
    for name in ("category2Id", "category3Id", "cf_2", "cf_7"):
        assert ticket[name] and usual.get(name) is None, name
    assert "øvelser i Ålfjord" in ticket["description"]
    files = world.where("attachment", "ticketId", ticket["id"])
    hidden = [row["fileName"] for row in files if not row["isVisible"]]
    (picture,) = [row for row in files if row.get("embedded")]
    assert hidden == ["internt-notat.txt"]
    assert f"cid:{picture['contentId']}" in ticket["description"]
    sizes = {row["fileName"]: row["contentLength"] for row in files}
    assert sizes.keys() == {*hidden, *account["files"], *account["pictures"]}
    assert account["files"].keys() == {"veileder.pdf", "sjekkliste.txt"}
    assert sizes.items() >= account["files"].items() | account["pictures"].items()


@pytest.mark.parametrize("scenario", ["email", "ticket"])
def test_a_failed_message_may_greet_the_made_up_user(
    world: World, turn: Callable[..., None], scenario: Scenario
) -> None:
    turn(mail_template="greeting")
    number = seed_campaign(world, recipients=1, scenario=scenario, trigger="failed_email")
    account = expected(world, number)
    (mail,) = [
        row
        for row in world.where("email", "ticketId", account["ticketId"])
        if not row.get("isSystem")
    ]
    kind = "ikke-svar" if scenario == "email" else "med-svar"
    assert mail["html"].startswith(f"<html><body><p>Hei Masseutsendelse {kind},</p><p>Hei!</p>")
    assert mail["html"].count(f"[Sak ID# {number}]") == 1
    assert mail["subject"].startswith(f"[Sak ID# {number}]")


def test_a_plain_campaign_reaches_everybody(world: World) -> None:
    account = expected(world, seed_campaign(world, recipients=PLAIN, tricky=False))
    assert account["memberships"] == len(account["mails"]) == PLAIN
    assert account["leftOut"] == {} and account["mustNotGet"] == []


@pytest.mark.parametrize("trigger", ["communication", "failed_email"])
def test_a_campaign_has_one_message_and_two_files_to_send(world: World, trigger: Trigger) -> None:
    account = expected(world, seed_campaign(world, recipients=1, trigger=trigger))
    ticket = account["ticketId"]
    ordinary = [m for m in world.where("email", "ticketId", ticket) if not m.get("isSystem")]
    custom = [c for c in world.where("communication", "ticketId", ticket) if c["type"] == 9]
    assert (len(custom), len(ordinary)) == ((1, 0) if trigger == "communication" else (0, 1))
    (message,) = custom or ordinary
    assert "Ålfjord" in (message.get("html") or message["text"])
    assert all(m["status"] == 5 for m in world.where("email", "ticketId", ticket))
    visible = [
        row
        for row in world.where("attachment", "ticketId", ticket)
        if row["isVisible"] and not row.get("embedded")
    ]
    assert {row["fileName"]: len(world.content(row["digest"])) for row in visible} == (
        account["files"]
    )
    assert world.count("attachment") == 4


def test_large_campaigns_are_made_of_the_same_stuff(world: World) -> None:
    account = expected(world, seed_campaign(world, recipients=3000, tricky=False))
    assert len(account["mails"]) == 3000
    assert len(list(memberships(world, account))) == 3000


def test_two_campaigns_do_not_share_recipients(world: World) -> None:
    first, second = (expected(world, seed_campaign(world, recipients=5)) for _ in range(2))
    assert first["requestNumber"] != second["requestNumber"]
    assert not set(first["mails"]) & set(second["mails"])


def test_the_examples_wait_for_a_case_worker(world: World) -> None:
    numbers = seed_examples(world)
    names = {(world.get("status", t["statusId"]) or {})["name"] for t in world.all("ticket")}
    assert len(numbers) == 3 and names == {"Venter - sluttbruker"}


def everything(world: World) -> dict[str, Any]:
    return {kind: world.all(kind) for kind in world.kinds()}


async def test_every_write_is_on_disk_and_a_restart_goes_on(
    tmp_path: Path, clock: Clock, api: httpx.AsyncClient, world: World
) -> None:
    world.keep(tmp_path)
    number = seed_campaign(world, recipients=3)
    world.switches = Switches(page_size=25, calls_per_minute=0)
    ticket = expected(world, number)["ticketId"]
    await api.patch(f"/ticket/{ticket}", json={"subject": "Blåbær"})
    last = world.all("relationship")[-1]
    world.remove("relationship", last["id"])

    # No goodbye: the first process is gone in the middle of a line.
    with (tmp_path / "journal.jsonl").open("a", encoding="utf-8") as file:
        file.write('["ticket", 50')
    again = World.load(tmp_path, now=clock)
    assert everything(again) == everything(world)
    assert again.switches == world.switches
    assert expected(again, number) == expected(world, number)
    attachment = again.all("attachment")[0]
    assert again.content(attachment["digest"]) == world.content(attachment["digest"])
    assert again.where("ticket", "subject", "Blåbær")

    again.keep(tmp_path)
    assert (tmp_path / "journal.jsonl").stat().st_size == 0
    assert again.add("relationship", {"typeId": 33})["id"] > last["id"]
    assert again.next_request_number() == number + 1
    again.remove("relationship", again.all("relationship")[-1]["id"])
    again.save(tmp_path / "copy")
    third = World.load(tmp_path / "copy", now=clock)
    assert everything(third) == everything(again)
    assert third.add("relationship", {"typeId": 33})["id"] > last["id"] + 2
    for one in (world, again):
        one.close()


def test_a_directory_is_seeded_once(tmp_path: Path) -> None:
    for _ in range(2):
        world = open_world(tmp_path)
        assert world.count("company") == 8
        world.close()


def test_the_command_line_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for word in ("--port", "--dir", "--key", "--no-limit", "SIM_PORT", *Switches.model_fields):
        assert word in text
    for words in (
        "attachment_copy (works|ignored|claimed|refused)",
        "page_size (100)",
        "+bounce",
        "+lost",
    ):
        assert words in text


SIM = "http://tenant/_sim"


async def test_a_person_can_be_played(api: httpx.AsyncClient, world: World) -> None:
    lists = [row["id"] for row in world.all("asset")]
    body = {"subject": "Ny høring", "lists": lists, "visibility": 1}
    made = (await api.post(f"{SIM}/ticket", json=body)).json()
    assert made["status"] == "Ny" and made["mails"] == []
    body = {"ticketId": made["id"], "text": "<p>Hei</p>", "customType": "Til utsending"}
    await api.post(f"{SIM}/message", json=body)
    body = {"ticketId": made["id"], "statusName": "Utsending – klar", "userId": 4}
    await api.post(f"{SIM}/status", json=body)
    path = f"{SIM}/ticket/{made['requestNumber']}?by=requestNumber"
    account = (await api.get(path)).json()
    assert account["id"] == made["id"] and account["status"] == "Utsending – klar"
    entries = [(row["type"], row["by"]) for row in account["communications"]]
    assert entries == [("InitialMessage", 3), ("Til utsending", 3), ("History", 4)]
    assert (
        len((await api.get(f"/relationship/{made['id']}/fromTicket")).json()["relationships"]) == 3
    )


async def test_a_campaign_can_be_ordered_and_everything_reset(api: httpx.AsyncClient) -> None:
    body = {"recipients": 2, "tricky": False}
    account = (await api.post(f"{SIM}/campaign", json=body)).json()
    assert len(account["mails"]) == 2 and account["subject"] == SUBJECT
    assert (await api.get(f"{SIM}/campaign/{account['requestNumber']}")).json() == account
    await api.post(f"{SIM}/switches", json={"page_size": 7})
    await api.post(f"{SIM}/faults", json={"kind": "drop_before"})
    state = (await api.get(f"{SIM}/state")).json()
    assert state["campaigns"] == [account["requestNumber"]] and state["mailsTotal"] == 1
    assert state["mails"][0]["isInitial"] and state["counts"]["ticket"] == 1
    await api.post(f"{SIM}/reset")
    assert (await api.get(f"{SIM}/switches")).json()["page_size"] == 100
    assert (await api.get("/ticket")).json() == {"tickets": []}
    assert (await api.get("/status")).json()["statuses"]


@pytest.mark.parametrize("trigger", ["communication", "failed_email"])
@pytest.mark.parametrize("scenario", ["email", "ticket"])
async def test_the_seed_task_makes_a_campaign_in_a_running_simulator(
    app: Simulator, world: World, capsys: pytest.CaptureFixture[str], scenario: str, trigger: str
) -> None:
    async with served(app) as url:
        options = ["--scenario", scenario, "--trigger", trigger, "--recipients", "3", "--url", url]
        for more in ([], ["--plain"]):
            assert await asyncio.to_thread(seed_task, [*options, *more]) == 0
    tricky, plain = (expected(world, int(line)) for line in capsys.readouterr().out.split())
    assert tricky["scenario"] == plain["scenario"] == scenario
    assert len(tricky["mails"]) > len(plain["mails"]) == 3
    ticket = world.get("ticket", plain["ticketId"]) or {}
    assert ticket["emailAddress"] == PLACEHOLDERS["email" if scenario == "email" else "ticket"]
    failed = [m for m in world.where("email", "ticketId", ticket["id"]) if not m.get("isSystem")]
    assert len(failed) == (1 if trigger == "failed_email" else 0)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("switches", {"nosuch": 1}, 400),
        ("switches", {"page_size": 0}, 400),
        ("status", {"ticketId": 1, "statusName": "Ny"}, 404),
        ("ticket", {"user": "ukjent@example.no"}, 404),
        ("message", [], 400),
    ],
)
async def test_nonsense_is_refused_with_a_reason(
    api: httpx.AsyncClient, path: str, body: Any, status: int
) -> None:
    answer = await api.post(f"{SIM}/{path}", content=json.dumps(body))
    assert answer.status_code == status and answer.json()["message"]


def test_seeding_needs_no_network_and_no_real_addresses() -> None:
    world = World()
    seed_base(world)
    seed_campaign(world, recipients=3)
    for kind in ("emailaddress", "companyemailaddress"):
        for row in world.all(kind):
            domain = row["email"].strip().lower().rpartition("@")[2]
            assert domain == "utsendelse.local" or "example" in domain or domain == "adresse"
