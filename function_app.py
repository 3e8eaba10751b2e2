"""Utsendelse: one message from Pureservice to many, nobody twice and nobody lost.

    discover_campaigns    timer  ticket → campaign: marked, frozen, expanded, started
    account               timer  sweep, release the next portion, complete, report
    deliver_email         queue  claim one delivery, send it, settle it
    deliver_ticket        queue  the same, by a ticket of the recipient's own
    deliver_email_poison, deliver_ticket_poison
                          queue  what the queue gave up on: put back, or failed for good
    lists                 timer  recipient lists in step with the companies, where settings say so
    health                HTTP   which dependencies answer

The flow is in `shared/flow`, one step per file; `shared/bootstrap.py` makes what it works on.
"""

import json

import azure.functions as func

from shared.bootstrap import bootstrap
from shared.flow.account import account as account_for
from shared.flow.deliver import deliver
from shared.flow.discover import discover
from shared.flow.enqueue import DeliverItem
from shared.flow.lists import lists as keep_in_step
from shared.flow.poison import poison
from shared.ports import Channel
from shared.settings import read_settings

STORAGE = "AzureWebJobsStorage"

app = func.FunctionApp()
services = bootstrap(read_settings())


@app.timer_trigger(arg_name="timer", schedule="%DISCOVER_SCHEDULE%")
async def discover_campaigns(timer: func.TimerRequest) -> None:
    await services.storage.prepare()
    await discover(
        helpdesk=services.helpdesk,
        ledger=services.ledger,
        files=services.files,
        lanes=services.lanes,
        settings=services.settings,
        clock=services.clock,
    )


@app.timer_trigger(arg_name="timer", schedule="%ACCOUNT_SCHEDULE%")
async def account(timer: func.TimerRequest) -> None:
    await services.storage.prepare()
    await account_for(
        services.lanes,
        ledger=services.ledger,
        helpdesk=services.helpdesk,
        messages=services.messages,
        settings=services.settings,
        clock=services.clock,
    )


@app.queue_trigger(arg_name="item", queue_name="%DELIVER_EMAIL_QUEUE%", connection=STORAGE)
async def deliver_email(item: func.QueueMessage) -> None:
    await _deliver(item, services.smtp)


@app.queue_trigger(arg_name="item", queue_name="%DELIVER_TICKET_QUEUE%", connection=STORAGE)
async def deliver_ticket(item: func.QueueMessage) -> None:
    await _deliver(item, services.ticket)


async def _deliver(item: func.QueueMessage, channel: Channel) -> None:
    await deliver(
        DeliverItem.model_validate_json(item.get_body()),
        channel=channel,
        ledger=services.ledger,
        messages=services.messages,
        watch=services.watch,
        settings=services.settings,
        clock=services.clock,
    )


@app.queue_trigger(arg_name="item", queue_name="%DELIVER_EMAIL_QUEUE%-poison", connection=STORAGE)
async def deliver_email_poison(item: func.QueueMessage) -> None:
    await poison(item.get_body(), ledger=services.ledger, clock=services.clock)


@app.queue_trigger(arg_name="item", queue_name="%DELIVER_TICKET_QUEUE%-poison", connection=STORAGE)
async def deliver_ticket_poison(item: func.QueueMessage) -> None:
    await poison(item.get_body(), ledger=services.ledger, clock=services.clock)


@app.timer_trigger(arg_name="timer", schedule="%LISTS_SCHEDULE%")
async def lists(timer: func.TimerRequest) -> None:
    await keep_in_step(
        directory=services.directory, settings=services.settings, clock=services.clock
    )


@app.route("health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    found = await services.health.examine()
    status = 200 if all(found.values()) else 503
    return func.HttpResponse(json.dumps(found), status_code=status, mimetype="application/json")
