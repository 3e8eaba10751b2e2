"""The simulator's own paths, over HTTP: look inside, throw switches, act as people do.

GET  /_sim/state             jobs, receipts that lie there, and who has got how many letters
GET  /_sim/deliveries        every letter that somebody has got; `?kunde_id=` for one person's
GET  /_sim/switches          and POST to change some: {"shuffled": false}
POST /_sim/approve, reject   {"job": "…"}
POST /_sim/people            [{"name": "Kari Nordmann", "kind": "known", …}], see `Person`
POST /_sim/outcomes          {"kunde-id": {"status": "UGYLDIG", "reasons": ["USPESIFISERT"]}}
POST /_sim/block             {"key": "a Digipost address or an alias"}
POST /_sim/work              do what is due now, rather than at the next round
POST /_sim/reset             an empty area; keys, people and switches stay
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .population import Outcome, Person
from .sim import Delivered, DigipostSimulator, Task, receipts_in

Handler = Callable[[Request], Awaitable[Any]]


def control(simulator: DigipostSimulator) -> Starlette:
    """The app over one simulator."""

    async def state(request: Request) -> Any:
        letters = Counter(one.kunde_id for one in simulator.delivered)
        return {
            "jobs": [_task(one) for one in simulator.tasks],
            "receipts": [path.name for path in receipts_in(simulator.area)],
            "letters": dict(letters),
            "got_twice": simulator.got_twice,
            "connections": simulator.area.connections,
        }

    async def deliveries(request: Request) -> Any:
        whose = request.query_params.get("kunde_id")
        every = simulator.delivered if whose is None else simulator.got(whose)
        return [_delivered(one) for one in every]

    async def get_switches(request: Request) -> Any:
        return simulator.switches.model_dump()

    async def post_switches(request: Request) -> Any:
        simulator.switch(**await request.json())
        return simulator.switches.model_dump()

    async def approve(request: Request) -> Any:
        simulator.approve((await request.json())["job"])

    async def reject(request: Request) -> Any:
        simulator.reject((await request.json())["job"])

    async def people(request: Request) -> Any:
        simulator.population.add(*(Person.model_validate(one) for one in await request.json()))

    async def outcomes(request: Request) -> Any:
        told = await request.json()
        simulator.population.outcomes.update(
            {id_: Outcome.model_validate(one) for id_, one in told.items()}
        )

    async def block(request: Request) -> Any:
        simulator.population.block((await request.json())["key"])

    async def work(request: Request) -> Any:
        return {"receipts": simulator.work()}

    async def reset(request: Request) -> Any:
        simulator.forget()

    posts = (approve, reject, people, outcomes, block, work, reset)
    return Starlette(
        routes=[
            Route("/_sim/state", _answered(state)),
            Route("/_sim/deliveries", _answered(deliveries)),
            Route("/_sim/switches", _answered(get_switches)),
            Route("/_sim/switches", _answered(post_switches), methods=["POST"]),
            *(Route(f"/_sim/{do.__name__}", _answered(do), methods=["POST"]) for do in posts),
        ]
    )


def _answered(do: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            told = await do(request)
        except LookupError as error:
            return JSONResponse({"message": str(error)}, 404)
        except (ValidationError, ValueError, TypeError, AttributeError) as error:
            return JSONResponse({"message": str(error)}, 400)
        return JSONResponse({} if told is None else told)

    return answer


def _task(task: Task) -> dict[str, Any]:
    job = task.job
    return {
        "file": task.path.name,
        "kind": task.root,
        "job": job.id if job else None,
        "name": job.name if job else None,
        "state": task.state,
        "error": task.error,
        "said": task.said,
        "recipients": len(job.recipients) if job else 0,
        "letters": len(job.letters) if job else 0,
        "deliver_at": job.deliver_at.isoformat() if job and job.deliver_at else None,
        "approved": task.approved,
        "receipts": task.receipts,
    }


def _delivered(one: Delivered) -> dict[str, Any]:
    return asdict(one) | {"at": one.at.isoformat()}
