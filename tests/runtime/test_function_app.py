"""What Azure makes of the app: found and called by the very library that calls it there."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from azure.storage.queue import QueueClient

from dev.mail import MailSink
from dev.pureservice import expected, seed_campaign
from dev.pureservice.seed import add_company

from .conftest import Tenant
from .worker import PATIENCE, Called, Worker

NONE_OF_OURS = '{"campaign": 17}'


def test_azure_finds_every_function_and_what_triggers_it(app: Worker) -> None:
    assert app.error is None
    storage = "AzureWebJobsStorage"
    telling = ("type", "schedule", "queueName", "connection", "route", "methods", "authLevel")
    assert {
        name: [trigger[key] for key in telling if key in trigger]
        for name, trigger in app.triggers.items()
    } == {
        "discover_campaigns": ["timerTrigger", "%DISCOVER_SCHEDULE%"],
        "account": ["timerTrigger", "%ACCOUNT_SCHEDULE%"],
        "deliver_email": ["queueTrigger", "%DELIVER_EMAIL_QUEUE%", storage],
        "deliver_email_poison": ["queueTrigger", "%DELIVER_EMAIL_QUEUE%-poison", storage],
        "deliver_ticket": ["queueTrigger", "%DELIVER_TICKET_QUEUE%", storage],
        "deliver_ticket_poison": ["queueTrigger", "%DELIVER_TICKET_QUEUE%-poison", storage],
        "letters": ["timerTrigger", "%LETTERS_SCHEDULE%"],
        "receipts": ["timerTrigger", "%RECEIPTS_SCHEDULE%"],
        "lists": ["timerTrigger", "%LISTS_SCHEDULE%"],
        "forget": ["timerTrigger", "%FORGET_SCHEDULE%"],
        "campaign_progress": ["httpTrigger", "campaigns/{campaign}", ["GET"], "FUNCTION"],
        "bounces": ["timerTrigger", "%BOUNCES_SCHEDULE%"],
        "acs_reports": ["httpTrigger", "bounces/acs", ["POST", "OPTIONS"], "FUNCTION"],
        "suppress": ["httpTrigger", "suppressions/add", ["POST"], "FUNCTION"],
        "lift_suppression": ["httpTrigger", "suppressions/lift", ["POST"], "FUNCTION"],
        "find_suppression": ["httpTrigger", "suppressions/find", ["POST"], "FUNCTION"],
        "settle_uncertain": [
            "httpTrigger",
            "campaigns/{campaign}/uncertain",
            ["POST"],
            "FUNCTION",
        ],
        "decide_job": [
            "httpTrigger",
            "campaigns/{campaign}/jobs/{number}",
            ["POST"],
            "FUNCTION",
        ],
        "register": ["timerTrigger", "%REGISTER_SCHEDULE%"],
        "find_in_register": ["httpTrigger", "register/find", ["POST"], "FUNCTION"],
        "register_file": ["httpTrigger", "register.csv", ["GET"], "FUNCTION"],
        "find_person": ["httpTrigger", "persons/find", ["POST"], "FUNCTION"],
        "erase_person": ["httpTrigger", "persons/erase", ["POST"], "FUNCTION"],
        "health": ["httpTrigger", "health", ["GET"], "ANONYMOUS"],
    }


def test_health_names_the_dependencies_that_answer(app: Worker) -> None:
    called = app.get("health", "http://127.0.0.1:7071/api/health")
    assert called.error is None
    assert called.response
    assert json.loads(called.response["body"]) == {
        "storage": True,
        "pureservice": True,
        "smtp": True,
    }
    assert called.response["status"] == 200
    assert called.response["type"] == "application/json"


def test_a_campaign_goes_from_the_ticket_to_the_mailboxes_and_back(
    app: Worker, tenant: Tenant, sink: MailSink, queues: dict[str, QueueClient]
) -> None:
    number = seed_campaign(tenant.world, recipients=4, tricky=False)
    wanted = Counter(expected(tenant.world, number)["mails"])

    assert app.tick("discover_campaigns").error is None
    assert app.tick("discover_campaigns").error is None
    items = [message.content for message in queues["email"].receive_messages()]
    assert len(items) == wanted.total() == 4

    for item in items:
        assert app.message("deliver_email", item).error is None
    assert Counter(mail["X-Envelope-To"] for mail in sink.messages()) == wanted

    assert app.tick("account").error is None
    assert status(tenant, number) == "Løst"


def test_a_campaign_goes_from_the_ticket_to_a_ticket_for_each_recipient_and_back(
    app: Worker, tenant: Tenant, queues: dict[str, QueueClient]
) -> None:
    number = seed_campaign(tenant.world, recipients=4, scenario="ticket", tricky=False)

    assert app.tick("discover_campaigns").error is None
    assert app.tick("discover_campaigns").error is None
    for item in [message.content for message in queues["ticket"].receive_messages()]:
        assert app.message("deliver_ticket", item).error is None

    deadline = time.monotonic() + PATIENCE
    while status(tenant, number) != "Løst":  # every mail is looked for, a second or two later
        assert app.tick("account").error is None
        assert time.monotonic() < deadline
    wanted = expected(tenant.world, number)["mails"]
    copies = [
        ticket
        for ticket in tenant.world.all("ticket")
        if (ticket["customerReference"] or "").startswith(f"{number}-1 ")
    ]
    assert Counter(ticket["emailAddress"] for ticket in copies) == wanted
    mails = [tenant.world.where("email", "ticketId", ticket["id"]) for ticket in copies]
    assert [len(of_ticket) for of_ticket in mails] == [1] * 4


def answered(called: Called, status: int = 200) -> dict[str, Any]:
    assert called.error is None
    assert called.response
    assert called.response["status"] == status
    kind = "application/json" if status == 200 else "application/problem+json"
    assert called.response["type"] == kind
    body: dict[str, Any] = json.loads(called.response["body"])
    return body


def test_an_operator_finds_a_person_erases_them_and_settles_what_is_uncertain(
    app: Worker, tenant: Tenant, queues: dict[str, QueueClient]
) -> None:
    number = seed_campaign(tenant.world, recipients=4, tricky=False)
    address, *_ = expected(tenant.world, number)["mails"]
    for _ in range(2):
        assert app.tick("discover_campaigns").error is None
    queues["email"].clear_messages()  # all of them wait for their turn

    api, person = "http://127.0.0.1:7071/api", json.dumps({"address": address.upper()})
    found = answered(app.post("find_person", f"{api}/persons/find", person))
    assert {"campaign": f"{number}-1", "ticket": number}.items() <= found["campaigns"][-1].items()
    erased = answered(app.post("erase_person", f"{api}/persons/erase", person))
    assert (erased["erased"], erased["in_flight"]) == (found["rows"], 0)
    assert answered(app.post("find_person", f"{api}/persons/find", person))["rows"] == 0

    def settle(campaign: str, status: int) -> dict[str, Any]:
        url = f"{api}/campaigns/{campaign}/uncertain"
        word = json.dumps({"sent": True, "deliveries": "all"})
        return answered(app.post("settle_uncertain", url, word, campaign=campaign), status)

    assert settle(f"{number}-1", 200) == {"sent": 0, "not_sent": 0, "still_uncertain": 0}
    assert settle("1-1", 404)["title"] == "No such campaign"

    assert app.tick("account").error is None
    url = f"{api}/campaigns/{number}-1"
    progress = app.get("campaign_progress", url, campaign=f"{number}-1")
    assert answered(progress)["open"] == 3
    assert app.tick("forget").error is None


def status(tenant: Tenant, number: int) -> str:
    ticket = tenant.world.find("ticket", requestNumber=number)
    assert ticket
    status = tenant.world.get("status", ticket["statusId"])
    assert status
    return str(status["name"])


def test_a_company_comes_onto_the_list_of_its_category(app: Worker, tenant: Tenant) -> None:
    values = {"name": "Ny kommune", "cf_9": "Kommune", "organizationNumber": "999123456"}
    company = add_company(tenant.world, values)
    [municipalities] = tenant.world.where("asset", "uniqueId", "KOMM")

    assert app.tick("lists").error is None

    relations = tenant.world.where("relationship", "toAssetId", municipalities["id"])
    assert company["id"] in [relation.get("fromCompanyId") for relation in relations]


@pytest.mark.parametrize("channel", ["email", "ticket"])
def test_an_item_that_is_none_of_ours_fails_and_its_poison_is_forgotten(
    app: Worker, channel: str
) -> None:
    assert app.message(f"deliver_{channel}", NONE_OF_OURS).error
    assert app.message(f"deliver_{channel}_poison", NONE_OF_OURS).error is None


def test_a_mistake_that_the_app_alone_would_not_notice_is_told(python: str, tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text(
        "import azure.functions as func\n"
        "app = func.FunctionApp()\n"
        "@app.queue_trigger(arg_name='item', queue_name='q', connection='AzureWebJobsStorage')\n"
        "def deliver(message: func.QueueMessage) -> None: ...\n",
        "utf-8",
    )
    with Worker(python, tmp_path, {}) as broken:
        assert broken.error and "cannot load the deliver function" in broken.error
