"""The real app in the local host, Azurite, the simulator over HTTP and a real mail server."""

from collections.abc import Iterator

import httpx
import pytest

from dev import bench, demo, playground, seed
from dev.playground import Playground

from .watching import received, wait_until_solved


def test_the_demo_ends_well_whatever_settings_are_in_the_environment(capsys, monkeypatch):
    monkeypatch.setenv("PURESERVICE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ONLY_SEND_TO", "noen@example.org")
    assert demo.main(["--recipients", "8"]) == 0
    said = capsys.readouterr().out
    assert said.count("Masseutsendelsen er ferdig") == 3
    assert "Slik står det til med mottakernes saker" in said
    assert said.count("✓") == 4


@pytest.fixture(scope="module")
def here() -> Iterator[Playground]:
    with playground.temporary() as here:
        yield here


def test_a_recipient_that_is_refused_is_reported_and_the_others_get_theirs(here):
    host = here.start_host()
    draft = seed.seed(here.url, {"recipients": 3, "tricky": False, "status": None})
    number = draft["requestNumber"]
    add_member(here, draft["lists"][0], "Kari", "kari+550@example.no")
    ticket = here.ticket(number)["id"]
    here.sim("POST", "status", ticketId=ticket, statusName="Utsending – klar")
    wait_until_solved(here, number)
    host.stop()
    assert received(here) == draft["mails"]
    solution = here.ticket(number)["solution"]
    assert "kari+550@example.no" in solution
    assert "avviste" in solution


def add_member(here: Playground, list_id: int, name: str, address: str) -> None:
    """A person on a list, made through the API as any integration would."""
    api = httpx.Client(
        base_url=f"{here.url}/agent/api",
        headers={
            "X-Authorization-Key": playground.KEY,
            "Accept": "application/vnd.api+json",
            "Content-Type": "application/vnd.api+json",
        },
    )

    def post(path: str, plural: str, **values) -> dict:
        answer = api.post(path, json={plural: [values]})
        assert answer.is_success, answer.text
        return answer.json()[plural][0]

    with api:
        of_lists = {"filter": 'fromAssetType.name == "Mottakerliste"'}
        types = api.get("/relationshiptype/", params=of_lists).json()["relationshiptypes"]
        [contains_user] = [one["id"] for one in types if one["name"] == "Inneholder bruker"]
        email = post("/emailaddress/", "emailaddresses", email=address)
        links = {"emailAddress": {"id": email["id"], "type": "emailaddress"}}
        user = post("/user/", "users", firstName=name, lastName="Li", role=10, links=links)
        post(
            "/relationship/",
            "relationships",
            main="toAssetId",
            inverseMain="fromAssetId",
            links={
                "type": {"id": contains_user},
                "toAsset": {"id": list_id},
                "fromUser": {"id": user["id"]},
            },
        )


def test_health_says_which_dependencies_answer_and_reveals_nothing(here):
    here.sim("POST", "faults", kind="drop_before", times=1_000_000)
    host = here.start_host()  # one that has not asked before
    answer = httpx.get(f"{host.url}/api/health", timeout=30)
    host.stop()
    here.sim("DELETE", "faults")
    assert answer.status_code == 503
    assert answer.json() == {"storage": True, "pureservice": False, "smtp": True}


def test_storage_requests_per_mail():
    """The slope between two sizes, so that a small test says what a large campaign costs.

    One at a time, so that it does not matter how many begin at once: each is polled for by itself,
    where a batch would be polled for together.
    """
    small, large = bench.storage_requests_of([10, 50], batch=1)
    assert (large - small) / 40 <= 1 + 5.5


def test_pureservice_calls_do_not_follow_the_number_of_recipients():
    few, many = bench.pureservice_calls_of([3, 63])
    assert (few.working, few.each_minute) == (many.working, many.each_minute)
    assert many.each_minute == 1
