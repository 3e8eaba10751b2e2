"""Seeding, keeping on disk, and the paths for looking inside."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.pureservice import Switches, World, expected, seed_base, seed_campaign, seed_examples
from dev.pureservice.__main__ import main, open_world
from dev.pureservice.seed import HAS_COMPANY, HAS_USER, SUBJECT, Scenario, Trigger

from .conftest import Clock

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


def address_of(world: World, kind: str, row: dict[str, Any]) -> str | None:
    """The address to write to, in the form the account has it; None when there is none."""
    table, key = (
        ("emailaddress", "userId") if kind == "user" else ("companyemailaddress", "companyId")
    )
    default = world.get(table, row.get("emailAddressId"))
    addresses = [default] if default else world.where(table, key, row["id"])
    if not addresses:
        return None
    local, _, domain = addresses[0]["email"].strip().lower().rpartition("@")
    return f"{local}@{domain.encode('idna').decode()}"


@pytest.mark.parametrize("scenario", ["email", "ticket"])
def test_the_account_of_a_campaign_fits_its_data(world: World, scenario: Scenario) -> None:
    account = expected(world, seed_campaign(world, recipients=PLAIN, scenario=scenario))
    mails: dict[str, int] = {}
    left_out: dict[str, int] = {}
    reached: set[Any] = set()
    for kind, row in memberships(world, account):
        address = address_of(world, kind, row)
        key = address if scenario == "email" else (kind, row["id"])
        if row.get("disabled"):
            reason = "disabled"
        elif address is None:
            reason = "no_address"
        elif " " in address:
            reason = "invalid_address"
        elif key in reached:
            reason = "duplicate"
        else:
            reached.add(key)
            mails[address] = mails.get(address, 0) + 1
            continue
        left_out[reason] = left_out.get(reason, 0) + 1
    assert mails == account["mails"]
    assert left_out == account["leftOut"]
    assert len(account["members"]) + sum(left_out.values()) == account["memberships"]
    assert sum(mails.values()) == len(account["members"]) > PLAIN
    assert not set(mails) & set(account["mustNotGet"])
    assert left_out["disabled"] == 2
    assert left_out["duplicate"] == (5 if scenario == "email" else 1)
    assert all(address.split("@")[1].count("example") for address in mails)


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
