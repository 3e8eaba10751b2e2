"""The app in the worker library that Azure runs, without Azure: `python driver.py FOLDER`.

Says on one line of JSON what was indexed, then answers each question on standard input with
another, until there are no more. Runs on a Python that has the worker library, the app's
requirements and nothing else of this project.

The library's own way in takes protobuf messages. It only ever reads and sets their attributes, so
plain objects with the same names do.
"""

import asyncio
import json
import logging
import sys
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import azure_functions_runtime as runtime  # type: ignore[import-not-found]  # not in our venv
from azure_functions_runtime.bindings.datumdef import Datum  # type: ignore[import-not-found]
from azure_functions_runtime.native_invocation import (  # type: ignore[import-not-found]
    invocation_request_native,
)


class _Status(SimpleNamespace):
    Failure, Success = 0, 1


class _Binding(SimpleNamespace):
    undefined = 0
    out, inout = 1, 2


_PROTOS = SimpleNamespace(
    BindingInfo=_Binding,
    FunctionMetadataResponse=SimpleNamespace,
    RpcException=SimpleNamespace,
    RpcFunctionMetadata=SimpleNamespace,
    RpcRetryOptions=SimpleNamespace,
    StatusResult=_Status,
    WorkerInitResponse=SimpleNamespace,
    WorkerMetadata=SimpleNamespace,
)


async def main(folder: str) -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # what the app prints is no answer
    logging.basicConfig()
    logging.getLogger("shared").setLevel(logging.INFO)
    sys.path.insert(0, folder)

    def answer(content: dict[str, Any]) -> None:
        print(json.dumps(content), file=answers, flush=True)

    error, functions = await _index(folder)
    triggers = {name: _trigger(found.raw_bindings) for name, found in functions.items()}
    answer({"error": error, "triggers": triggers})
    while line := await asyncio.to_thread(sys.stdin.readline):
        question = json.loads(line)
        name = question["function"]
        answer(await _invoke(functions[name].function_id, triggers[name]["name"], question))


async def _index(folder: str) -> tuple[str | None, dict[str, Any]]:
    """Why the app would not start, and its functions by name."""
    request = SimpleNamespace(
        request=SimpleNamespace(
            worker_init_request=SimpleNamespace(capabilities={}, function_app_directory=folder)
        ),
        properties={"host": "127.0.0.1", "protos": _PROTOS},
    )
    started = await runtime.worker_init_request(request)
    if started.result.status != _Status.Success:
        return started.result.exception.message, {}
    listed = await runtime.functions_metadata_request(request)
    return None, {function.name: function for function in listed.function_metadata_results or ()}


def _trigger(raw_bindings: list[str]) -> dict[str, Any]:
    bindings: list[dict[str, Any]] = [json.loads(raw) for raw in raw_bindings]
    return next(binding for binding in bindings if binding["type"].endswith("Trigger"))


async def _invoke(function_id: str, argument: str, question: dict[str, Any]) -> dict[str, Any]:
    data = _datum(question["kind"], question["data"])
    metadata = {
        name: Datum(value, "string") if isinstance(value, str) else Datum(json.dumps(value), "json")
        for name, value in question["metadata"].items()
    }
    ok, returned, _, error, _ = await invocation_request_native(
        str(uuid4()), function_id, [(argument, data)], metadata
    )
    return {"error": None if ok else error, "response": _response(returned)}


def _datum(kind: str, value: Any) -> Datum:
    """What the host sends: the body of a message, a timer's JSON, or a request."""
    if kind != "http":
        return Datum(value, kind)
    request = {
        "method": Datum(value["method"], "string"),
        "url": Datum(value["url"], "string"),
        "headers": {},
        "params": {name: Datum(part, "string") for name, part in value["params"].items()},
        "query": {},
        "body": Datum(value["body"].encode(), "bytes"),
    }
    return Datum(request, "http")


def _response(returned: Datum | None) -> dict[str, Any] | None:
    if returned is None or returned.type != "http":
        return None
    return {
        "status": int(returned.value["status_code"].value),
        "type": returned.value["headers"]["content-type"].value,
        "body": returned.value["body"].value.decode(),
    }


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
