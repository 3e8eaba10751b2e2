"""Reads a Functions app the way Azure would, and refuses what Azure would refuse."""

import importlib.util
import inspect
import json
import os
import re
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import azure.functions as func
from azure.functions.decorators.function_app import FunctionRegister

TRIGGERS = ("httpTrigger", "queueTrigger", "timerTrigger")
STORAGE = "AzureWebJobsStorage"


class AppError(Exception):
    """The app or its settings would not start in Azure either; says which function and why."""


@dataclass(frozen=True)
class Function:
    """One function of the app, with its settings filled in."""

    name: str
    call: Callable[..., Any]
    trigger: Mapping[str, Any]  # the binding as JSON
    wants_context: bool

    @property
    def kind(self) -> str:
        return str(self.trigger["type"])

    @property
    def argument(self) -> str:
        return str(self.trigger["name"])


def read_json(path: Path) -> dict[str, Any]:
    """The object in the file, an empty one when there is no file."""
    try:
        content = json.loads(path.read_text("utf-8-sig")) if path.is_file() else {}
    except ValueError as error:
        raise AppError(f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise AppError(f"{path}: expected a JSON object")
    return content


def read_settings(path: Path) -> dict[str, str]:
    """The "Values" of a local settings file under the environment, which wins."""
    content = read_json(path)
    if content.get("IsEncrypted"):
        raise AppError(f"{path}: encrypted settings cannot be read here")
    return {name: str(value) for name, value in content.get("Values", {}).items()} | dict(
        os.environ
    )


def load(folder: Path) -> func.FunctionApp:
    """The app in the folder's `function_app.py`, imported anew."""
    file = folder / "function_app.py"
    if not file.is_file():
        raise AppError(f"{folder} has no function_app.py")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("function_app", file)
    assert spec and spec.loader
    module = sys.modules["function_app"] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise AppError(f"{file.name} cannot be imported. {error}") from error
    apps = {id(value): value for value in vars(module).values() if _is_app(value)}
    if len(apps) != 1:
        raise AppError(f"{file} must have one FunctionApp at its top level; it has {len(apps)}")
    return typing.cast(func.FunctionApp, next(iter(apps.values())))


def _is_app(value: object) -> bool:
    return isinstance(value, FunctionRegister)


# An app lists its functions only once; a second host in this process gets the same list.
_listed: "WeakKeyDictionary[func.FunctionApp, list[Any]]" = WeakKeyDictionary()


def index(app: func.FunctionApp, settings: Mapping[str, str]) -> list[Function]:
    """Every function of the app; AppError for the first that Azure would not take."""
    if app not in _listed:
        try:
            _listed[app] = app.get_functions()
        except ValueError as error:
            raise AppError(str(error)) from None
    if not _listed[app]:
        raise AppError("the app has no functions")
    return [_function(listed, settings) for listed in _listed[app]]


def _function(listed: Any, settings: Mapping[str, str]) -> Function:
    name, call = listed.get_function_name(), listed.get_user_function()
    bindings = [
        {key: _resolve(value, settings, name) for key, value in json.loads(raw).items()}
        for raw in listed.get_raw_bindings()
    ]
    trigger = None
    for binding in bindings:
        if binding["type"] in TRIGGERS:
            trigger = binding
        elif binding["type"] != "http":
            raise AppError(
                f"function {name!r}: this host does not know the binding {binding['type']!r} "
                f"({binding['name']!r}); it knows {', '.join(TRIGGERS)}"
            )
    if trigger is None:
        raise AppError(f"function {name!r} has no trigger")
    parameters = set(inspect.signature(call).parameters)
    if trigger["name"] not in parameters:
        raise AppError(
            f"function {name!r}: its {trigger['type']} is bound to {trigger['name']!r}, "
            f"but it has no such parameter"
        )
    if unbound := parameters - {trigger["name"], "context"}:
        raise AppError(f"function {name!r}: nothing is bound to {', '.join(sorted(unbound))}")
    _check_annotation(name, call, trigger)
    return Function(name, call, trigger, wants_context="context" in parameters)


def _check_annotation(name: str, call: Callable[..., Any], trigger: Mapping[str, Any]) -> None:
    try:
        annotation = typing.get_type_hints(call).get(trigger["name"])
    except NameError:  # imported for type checking only; Azure's worker does not look either
        return
    converter = func.get_binding_registry().get(trigger["type"])
    if annotation is not None and not (
        isinstance(annotation, type) and converter.check_input_type_annotation(annotation)
    ):
        raise AppError(
            f"function {name!r}: {trigger['name']!r} is annotated {annotation!r}, "
            f"which a {trigger['type']} does not give"
        )


def _resolve(value: Any, settings: Mapping[str, str], function: str) -> Any:
    """The value with each `%NAME%` replaced by that setting."""
    if not isinstance(value, str):
        return value

    def setting(match: re.Match[str]) -> str:
        if match[1] not in settings:
            raise AppError(f"function {function!r}: the setting {match[1]} is missing")
        return settings[match[1]]

    return re.sub(r"%([^%\s]+)%", setting, value)
