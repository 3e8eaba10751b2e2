"""Utsendelse: one message from Pureservice to many, nobody twice and nobody lost.

    discover_campaigns    timer  ticket → campaign: marked, frozen, expanded, started
    account               timer  sweep, release the next portion, complete, report
    deliver_email         queue  claim one delivery, send it, settle it
    deliver_ticket        queue  the same, by a ticket of the recipient's own
    deliver_email_poison, deliver_ticket_poison
                          queue  what the queue gave up on: put back, or failed for good
    letters               timer  letter jobs for Digipost: gathered, uploaded, answered, settled
    receipts              timer  what Digipost has left for us, noted on its job
    register              timer  everybody on the lists: who of them is in Digipost?
    lists                 timer  recipient lists in step with the companies, where settings say so
    bounces               timer  mails that came back: the delivery, and a note a day on the ticket
    forget                timer  what has been over for long: names and addresses go, counts stay
    campaign_progress     HTTP   how far a campaign has come
    settle_uncertain      HTTP   what a person has found out about uncertain deliveries
    decide_job            HTTP   what a person has found out about a letter job
    find_in_register, register_file
                          HTTP   what Digipost has answered about members; all of it as CSV
    find_person, erase_person
                          HTTP   where somebody's address is known, and away with it
    suppress, lift_suppression, find_suppression
                          HTTP   addresses that are not written to
    acs_reports           HTTP   what Event Grid tells of mails that came back
    health                HTTP   which dependencies answer; the others want a function key

The flow is in `shared/flow`, one step per file; `shared/bootstrap.py` makes what it works on.
"""

import json
from collections.abc import Awaitable, Callable

import azure.functions as func

from shared.bootstrap import bootstrap
from shared.flow.account import account as account_for
from shared.flow.bounce import read_mailbox, tell_late_bounces
from shared.flow.deliver import deliver
from shared.flow.discover import discover
from shared.flow.enqueue import DeliverItem
from shared.flow.forget import forget as forget_for
from shared.flow.letters import letters as move_letters
from shared.flow.lists import lists as keep_in_step
from shared.flow.poison import poison
from shared.flow.receipts import receipts as read_receipts
from shared.flow.register import move_register
from shared.flow.register import register as ask_about_everybody
from shared.ports import Channel
from shared.settings import read_settings
from shared.web import event_grid, requests
from shared.web.requests import Answer

STORAGE = "AzureWebJobsStorage"
KEY = func.AuthLevel.FUNCTION

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
        heralds=services.heralds,
    )


@app.queue_trigger(arg_name="item", queue_name="%DELIVER_EMAIL_QUEUE%", connection=STORAGE)
async def deliver_email(item: func.QueueMessage) -> None:
    await _deliver(item, services.email)


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


@app.timer_trigger(arg_name="timer", schedule="%LETTERS_SCHEDULE%")
async def letters(timer: func.TimerRequest) -> None:
    await services.storage.prepare()
    try:
        await move_letters(
            service=services.digipost,
            builder=services.builder,
            ledger=services.ledger,
            files=services.files,
            watch=services.watch,
            settings=services.settings,
            clock=services.clock,
        )
    finally:  # a bug in the one does not stop the other
        await _register(move_register)


@app.timer_trigger(arg_name="timer", schedule="%RECEIPTS_SCHEDULE%")
async def receipts(timer: func.TimerRequest) -> None:
    await services.storage.prepare()
    await read_receipts(
        service=services.digipost,
        ledger=services.ledger,
        files=services.files,
        watch=services.watch,
        settings=services.settings,
        clock=services.clock,
    )


@app.timer_trigger(arg_name="timer", schedule="%REGISTER_SCHEDULE%")
async def register(timer: func.TimerRequest) -> None:
    await services.storage.prepare()
    await _register(ask_about_everybody)


async def _register(step: Callable[..., Awaitable[None]]) -> None:
    await step(
        service=services.digipost,
        helpdesk=services.helpdesk,
        directory=services.directory,
        ledger=services.ledger,
        files=services.files,
        watch=services.watch,
        settings=services.settings,
        clock=services.clock,
    )


@app.timer_trigger(arg_name="timer", schedule="%LISTS_SCHEDULE%")
async def lists(timer: func.TimerRequest) -> None:
    await keep_in_step(
        directory=services.directory, settings=services.settings, clock=services.clock
    )


@app.timer_trigger(arg_name="timer", schedule="%BOUNCES_SCHEDULE%")
async def bounces(timer: func.TimerRequest) -> None:
    await services.storage.prepare()
    if services.inbox:
        await read_mailbox(
            services.inbox,
            ledger=services.ledger,
            settings=services.settings,
            clock=services.clock,
        )
    await tell_late_bounces(
        helpdesk=services.helpdesk,
        ledger=services.ledger,
        settings=services.settings,
        clock=services.clock,
    )


@app.timer_trigger(arg_name="timer", schedule="%FORGET_SCHEDULE%")
async def forget(timer: func.TimerRequest) -> None:
    await services.storage.prepare()
    await forget_for(
        ledger=services.ledger,
        files=services.files,
        settings=services.settings,
        clock=services.clock,
    )


@app.route("campaigns/{campaign}", methods=["GET"], auth_level=KEY)
async def campaign_progress(req: func.HttpRequest) -> func.HttpResponse:
    campaign = req.route_params["campaign"]
    return _json(await requests.campaign_progress(campaign, ledger=services.ledger))


@app.route("campaigns/{campaign}/uncertain", methods=["POST"], auth_level=KEY)
async def settle_uncertain(req: func.HttpRequest) -> func.HttpResponse:
    return _json(
        await requests.settle_uncertain(
            req.route_params["campaign"],
            req.get_body(),
            ledger=services.ledger,
            clock=services.clock,
        )
    )


@app.route("campaigns/{campaign}/jobs/{number}", methods=["POST"], auth_level=KEY)
async def decide_job(req: func.HttpRequest) -> func.HttpResponse:
    await services.storage.prepare()
    return _json(
        await requests.decide_job(
            req.route_params["campaign"],
            req.route_params["number"],
            req.get_body(),
            ledger=services.ledger,
            clock=services.clock,
        )
    )


@app.route("register/find", methods=["POST"], auth_level=KEY)
async def find_in_register(req: func.HttpRequest) -> func.HttpResponse:
    await services.storage.prepare()
    return _json(await requests.find_in_register(req.get_body(), ledger=services.ledger))


@app.route("register.csv", methods=["GET"], auth_level=KEY)
async def register_file(req: func.HttpRequest) -> func.HttpResponse:
    await services.storage.prepare()
    behind = req.params.get("behind", "")
    found = await requests.register_file(behind, ledger=services.ledger)
    if isinstance(found, Answer):
        return _json(found)
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": 'attachment; filename="register.csv"',
    }
    if found.behind:
        headers["Link"] = f'<register.csv?behind={found.behind}>; rel="next"'
    return func.HttpResponse(found.data, mimetype="text/csv", headers=headers)


@app.route("persons/find", methods=["POST"], auth_level=KEY)
async def find_person(req: func.HttpRequest) -> func.HttpResponse:
    await services.storage.prepare()
    return _json(await requests.find_person(req.get_body(), ledger=services.ledger))


@app.route("persons/erase", methods=["POST"], auth_level=KEY)
async def erase_person(req: func.HttpRequest) -> func.HttpResponse:
    await services.storage.prepare()
    return _json(
        await requests.erase_person(
            req.get_body(),
            ledger=services.ledger,
            files=services.files,
            clock=services.clock,
        )
    )


@app.route("suppressions/add", methods=["POST"], auth_level=KEY)
async def suppress(req: func.HttpRequest) -> func.HttpResponse:
    await services.storage.prepare()
    body = req.get_body()
    return _json(await requests.suppress(body, ledger=services.ledger, clock=services.clock))


@app.route("suppressions/lift", methods=["POST"], auth_level=KEY)
async def lift_suppression(req: func.HttpRequest) -> func.HttpResponse:
    await services.storage.prepare()
    body = req.get_body()
    return _json(
        await requests.lift_suppression(body, ledger=services.ledger, clock=services.clock)
    )


@app.route("suppressions/find", methods=["POST"], auth_level=KEY)
async def find_suppression(req: func.HttpRequest) -> func.HttpResponse:
    await services.storage.prepare()
    body = req.get_body()
    return _json(
        await requests.find_suppression(body, ledger=services.ledger, clock=services.clock)
    )


@app.route("bounces/acs", methods=["POST", "OPTIONS"], auth_level=KEY)
async def acs_reports(req: func.HttpRequest) -> func.HttpResponse:
    if req.method == "OPTIONS":  # how CloudEvents ask to be let in; whoever has the key is
        allowed = {"WebHook-Allowed-Origin": req.headers.get("WebHook-Request-Origin", "*")}
        return func.HttpResponse(headers=allowed)
    await services.storage.prepare()
    return _json(
        await event_grid.acs_reports(
            req.get_body(),
            ledger=services.ledger,
            settings=services.settings,
            clock=services.clock,
        )
    )


@app.route("health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    found = await services.health.examine()
    return _json(Answer(200 if all(found.values()) else 503, found))


def _json(answer: Answer) -> func.HttpResponse:
    return func.HttpResponse(
        json.dumps(answer.body, ensure_ascii=False),
        status_code=answer.status,
        mimetype=answer.kind,
        headers={"Cache-Control": "no-store"},
    )
