"""The Azure Communication Services simulator, through Microsoft's own client where it can be."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from azure.communication.email.aio import EmailClient
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest

from dev.acs import KEY, MOST_BYTES, AcsSimulator, RunningAcs, main

API = {"api-version": "2025-09-01"}


def message(*to: str, **changes: Any) -> dict[str, Any]:
    return {
        "senderAddress": "post@fjordvik.no",
        "recipients": {"to": [{"address": address} for address in to or ["kari@example.no"]]},
        "content": {"subject": "Vannet stenges på tirsdag", "plainText": "Hei på deg"},
    } | changes


@pytest.fixture(scope="module")
def served() -> Iterator[RunningAcs]:
    with RunningAcs() as running:
        yield running


@pytest.fixture
def acs(served: RunningAcs) -> AcsSimulator:
    served.simulator.forget()
    return served.simulator


@pytest.fixture
async def client(served: RunningAcs, acs: AcsSimulator) -> AsyncIterator[EmailClient]:
    async with EmailClient(served.url, AzureKeyCredential(KEY), retry_total=0) as client:
        yield client


async def fetch(method: str, url: str, **what: Any) -> httpx.Response:
    """The answer to a request that is not signed, or signed by whoever asks."""
    async with httpx.AsyncClient() as client:
        return await client.request(method, url, **what)


async def post(client: EmailClient, body: Any, **headers: str) -> Any:
    """The answer to a signed request."""
    request = HttpRequest("POST", "/emails:send", params=API, json=body, headers=headers)
    return await client.send_request(request)


async def look(client: EmailClient, id_: str, params: Any = API) -> Any:
    return await client.send_request(HttpRequest("GET", f"/emails/operations/{id_}", params=params))


async def problem(client: EmailClient, body: Any, status: int) -> str:
    """What a refused request is told."""
    answer = await post(client, body)
    assert answer.status_code == status
    said = answer.json()["error"]
    assert answer.headers["x-ms-error-code"] == said["code"]
    return f"{said['code']} {said.get('target')} {said['message']}"


async def test_microsofts_client_sends_and_waits_for_the_end(
    client: EmailClient, acs: AcsSimulator
) -> None:
    id_ = str(uuid4())
    poller = await client.begin_send(message(), operation_id=id_, polling_interval=0)
    acs.operations[id_].looks = 2  # otherwise it waits half a minute, as it is told to
    assert await poller.result() == {"id": id_, "status": "Succeeded", "error": None}
    assert acs.sent == [{"id": id_, "message": message()}]


async def test_an_operation_goes_on_by_being_looked_at(client: EmailClient) -> None:
    accepted = await post(client, message())
    assert accepted.status_code == 202
    told = accepted.json()
    assert told["status"] == "Running"
    assert accepted.headers["Operation-Location"].endswith(
        f"/emails/operations/{told['id']}?api-version=2025-09-01"
    )
    seen = [(await look(client, told["id"])).json()["status"] for _ in range(4)]
    assert seen == ["NotStarted", "Running", "Succeeded", "Succeeded"]


async def test_an_id_again_is_the_same_mail_and_none_is_a_new_one(
    client: EmailClient, acs: AcsSimulator
) -> None:
    id_ = str(uuid4())
    answers = [await post(client, message(), **{"Operation-Id": id_}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert len(acs.sent) == 1
    other = message(content={"subject": "Et annet", "html": "<p>brev</p>"})
    assert (await post(client, other, **{"Operation-Id": id_})).status_code == 400
    assert len(acs.sent) == 1
    await post(client, message())
    await post(client, message())
    assert len({sent["id"] for sent in acs.sent}) == 3
    assert (await post(client, message(), **{"Operation-Id": "17"})).status_code == 400


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (message(cc="x"), "Extra inputs are not permitted"),
        (message(recipients={"to": [{"address": "a@b.no", "name": "A"}]}), "Extra inputs"),
        (message(content={"subject": "x", "plainText": "y", "mjml": "z"}), "Extra inputs"),
        (message(recipients={}), "must be 1 to 50"),
        (message(*(f"nr{n}@example.no" for n in range(51))), "must be 1 to 50"),
        (message("ingen-krøllalfa"), "Invalid format for email address: ingen-krøllalfa"),
        (message("a@b.no, c@d.no"), "Invalid format for email address"),
        (message(content={"subject": "", "plainText": "x"}), "at least 1 character"),
        (message(content={"subject": "x"}), "needs plainText or html"),
        (message(headers={"X-Number": 7}), "valid string"),
        (message(userEngagementTrackingDisabled="true"), "valid boolean"),
        (
            message(attachments=[{"name": "a", "contentType": "a/b", "contentInBase64": "å"}]),
            "is not base64",
        ),
        (
            message(
                attachments=[
                    {"name": n, "contentType": "a/b", "contentInBase64": "eA==", "contentId": "1"}
                    for n in "ab"
                ]
            ),
            "has a contentId twice",
        ),
        ("tekst", "Input should be an object"),
    ],
)
async def test_what_is_not_as_documented_is_refused(
    client: EmailClient, acs: AcsSimulator, body: Any, told: str
) -> None:
    assert told in await problem(client, body, 400)
    assert acs.sent == []


async def test_fifty_recipients_are_allowed(client: EmailClient) -> None:
    answer = await post(client, message(*(f"nr{n}@example.no" for n in range(50))))
    assert answer.status_code == 202


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # by our own client
async def test_more_than_ten_megabytes_are_refused(client: EmailClient, acs: AcsSimulator) -> None:
    text = "x" * MOST_BYTES
    too_large = message(content={"subject": "x", "plainText": text})
    assert await problem(client, too_large, 413) == (
        "RequestEntityTooLarge None The request is too large."
    )
    fits = message(content={"subject": "x", "plainText": text[1000:]})
    assert (await post(client, fits)).status_code == 202
    assert len(acs.sent) == 1


async def test_only_verified_domains_may_send(client: EmailClient) -> None:
    told = await problem(client, message(senderAddress="post@foreign.example"), 404)
    assert told.startswith("DomainNotLinked")


async def test_nobody_gets_in_without_the_right_signature(
    served: RunningAcs, acs: AcsSimulator
) -> None:
    wrong = AzureKeyCredential(base64.b64encode(b"another").decode())
    async with EmailClient(served.url, wrong, retry_total=0) as client:
        with pytest.raises(HttpResponseError) as caught:
            await client.begin_send(message(), polling=False)
        assert caught.value.status_code == 401
    answer = await fetch("POST", f"{served.url}/emails:send", params=API, json=message())
    assert answer.status_code == 401
    assert acs.sent == []


@pytest.mark.parametrize("part", ["x-ms-date", "x-ms-content-sha256", "authorization", "body"])
async def test_a_signature_is_of_one_request_only(
    served: RunningAcs, client: EmailClient, part: str
) -> None:
    signed: dict[str, Any] = {}

    def keep(request: Any) -> None:
        signed.update(headers=dict(request.http_request.headers), body=request.http_request.content)

    await client.begin_send(message(), polling=False, raw_request_hook=keep)
    headers, content = signed["headers"], signed["body"].encode()

    async def again() -> int:
        url = f"{served.url}/emails:send?api-version=2025-09-01"
        return (await fetch("POST", url, content=content, headers=headers)).status_code

    assert await again() == 202
    if part == "body":
        content = content.replace(b"kari", b"mari")
    else:
        (name,) = (name for name in headers if name.lower() == part)
        headers[name] = headers[name][:-3] + "xxx"
    assert await again() == 401


@pytest.mark.parametrize("params", [{}, {"api-version": "2019-01-01"}])
async def test_the_version_must_be_given(client: EmailClient, params: dict[str, str]) -> None:
    assert (await look(client, "17", params)).status_code == 400


async def test_an_unknown_operation_is_not_there(client: EmailClient) -> None:
    assert (await look(client, str(uuid4()))).status_code == 404


@pytest.mark.parametrize(
    ("domain", "status", "sent"),
    [
        ("throttle.example", 429, 0),
        ("invalid.example", 400, 0),
        ("denied.example", 401, 0),
        ("lost.example", 503, 1),
    ],
)
async def test_a_domain_misbehaves_always_or_once(
    client: EmailClient, acs: AcsSimulator, domain: str, status: int, sent: int
) -> None:
    answer = await post(client, message(f"kari@{domain}"))
    assert answer.status_code == status
    assert answer.headers.get("Retry-After") == ("7" if status == 429 else None)
    assert len(acs.sent) == sent
    once = [await post(client, message(f"ola+once@{domain}")) for _ in range(3)]
    assert [answer.status_code for answer in once] == [status, 202, 202]


async def test_some_fail_later_and_some_never_end(client: EmailClient, acs: AcsSimulator) -> None:
    ends = {}
    for domain in ("refuse.example", "slow.example", "bounce.example"):
        id_ = (await post(client, message(f"kari@{domain}"))).json()["id"]
        ends[domain] = [(await look(client, id_)).json()["status"] for _ in range(3)][-1]
    assert ends == {
        "refuse.example": "Failed",
        "slow.example": "Running",
        "bounce.example": "Succeeded",
    }
    to = [sent["message"]["recipients"]["to"][0]["address"] for sent in acs.sent]
    assert to == ["kari@slow.example", "kari@bounce.example"]


async def test_what_was_sent_and_what_came_of_it_can_be_fetched(
    served: RunningAcs, client: EmailClient
) -> None:
    for to in ("kari@bounce.example", "kari@example.no", "kari@refuse.example"):
        await post(client, message(to))
    sent = (await fetch("GET", f"{served.url}/_sim/sent")).json()
    reports = (await fetch("GET", f"{served.url}/_sim/reports")).json()
    assert len(sent) == 2
    told = [(one["data"]["messageId"], one["data"]["status"]) for one in reports]
    assert told == [(sent[0]["id"], "Bounced"), (sent[1]["id"], "Delivered")]


def test_a_taken_port_is_an_error_and_no_hanging_thread(served: RunningAcs) -> None:
    port = int(served.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"), RunningAcs(port=port):
        pass


def test_it_tells_what_it_understands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "bounce.example" in capsys.readouterr().out
