"""Loading an app from a folder, and refusing what Azure would refuse."""

import json
import os
import textwrap
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest

from dev.host import AppError, Host, Options
from dev.host.app import index, read_settings
from dev.host.pause import seconds
from dev.process import start_task, stop

WITHIN = 20


def write_app(folder: Path, code: str) -> Path:
    start = "import os\nimport azure.functions as func\napp = func.FunctionApp()\n"
    (folder / "function_app.py").write_text(start + textwrap.dedent(code), "utf-8")
    return folder


async def test_a_folder_is_served_with_its_settings_in_place_before_the_import(
    tmp_path: Path, azurite: str, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_app(
        tmp_path,
        """
        AT_IMPORT = os.environ["GREETING"]

        @app.queue_trigger(arg_name="item", queue_name="%THE_QUEUE%", connection="THE_STORAGE")
        async def handle(item: func.QueueMessage) -> None:
            os.environ["GREETED"] = f"{AT_IMPORT} {item.get_body().decode()}"
        """,
    )
    (tmp_path / "host.json").write_text('{"extensions": {"queues": {"batchSize": 1}}}', "utf-8")
    values = {"GREETING": "hei", "THE_QUEUE": queue.name, "THE_STORAGE": "overridden", "N": 1}
    (tmp_path / "local.settings.json").write_text(json.dumps({"Values": values}), "utf-8")
    monkeypatch.setenv("THE_STORAGE", azurite)  # the environment wins over the file
    for name in ("GREETING", "GREETED", "THE_QUEUE", "N"):
        monkeypatch.setenv(name, "")  # so that what the host sets is undone after the test
        monkeypatch.delenv(name)
    queue.put("Kåre")
    async with Host(tmp_path, options=Options()) as host:
        await host.run_until(lambda: host.counts["handle", "succeeded"] == 1, WITHIN)
    assert os.environ["GREETED"] == "hei Kåre"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("del app", "one FunctionApp"),
        ("other = func.FunctionApp()", "one FunctionApp"),
        ("", "no functions"),
    ],
)
async def test_a_folder_without_exactly_one_app_is_refused(
    tmp_path: Path, code: str, said: str
) -> None:
    with pytest.raises(AppError, match=said):
        await Host(write_app(tmp_path, code), settings={"X": "x"}).start()


async def test_a_folder_without_function_app_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AppError, match="no function_app"):
        await Host(tmp_path, settings={"X": "x"}).start()


def queue_app(**options: Any) -> Any:
    app = func.FunctionApp()
    given = {"arg_name": "item", "queue_name": "q", "connection": "AzureWebJobsStorage"}
    return app, app.queue_trigger(**given | options)


def wrong_parameter() -> func.FunctionApp:
    app, trigger = queue_app(arg_name="message")

    @trigger  # type: ignore[untyped-decorator]
    async def deliver(item: func.QueueMessage) -> None: ...

    return app


def unbound_parameter() -> func.FunctionApp:
    app, trigger = queue_app()

    @trigger  # type: ignore[untyped-decorator]
    async def deliver(item: func.QueueMessage, ledger: object = None) -> None: ...

    return app


def wrong_annotation() -> func.FunctionApp:
    app, trigger = queue_app()

    @trigger  # type: ignore[untyped-decorator]
    async def deliver(item: dict[str, str]) -> None: ...

    return app


def unknown_trigger() -> func.FunctionApp:
    app = func.FunctionApp()

    @app.service_bus_queue_trigger(arg_name="item", queue_name="q", connection="C")
    async def deliver(item: func.ServiceBusMessage) -> None: ...

    return app


def unknown_output() -> func.FunctionApp:
    app, trigger = queue_app()

    @trigger  # type: ignore[untyped-decorator]
    @app.queue_output(arg_name="out", queue_name="q2", connection="C")
    async def deliver(item: func.QueueMessage, out: func.Out[str]) -> None: ...

    return app


def missing_setting() -> func.FunctionApp:
    app, trigger = queue_app(queue_name="%DELIVER_QUEUE%")

    @trigger  # type: ignore[untyped-decorator]
    async def deliver(item: func.QueueMessage) -> None: ...

    return app


def missing_connection() -> func.FunctionApp:
    app, trigger = queue_app(connection="OTHER_STORAGE")

    @trigger  # type: ignore[untyped-decorator]
    async def deliver(item: func.QueueMessage) -> None: ...

    return app


def same_name_twice() -> func.FunctionApp:
    app = func.FunctionApp()
    for queue in "ab":

        @app.function_name("deliver")
        @app.queue_trigger(arg_name="item", queue_name=queue, connection="")
        async def deliver(item: func.QueueMessage) -> None: ...

    return app


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (wrong_parameter, "'message'"),
        (unbound_parameter, "ledger"),
        (wrong_annotation, "dict"),
        (unknown_trigger, "serviceBusTrigger"),
        (unknown_output, "'queue'"),
        (missing_setting, "DELIVER_QUEUE"),
        (missing_connection, "OTHER_STORAGE"),
        (same_name_twice, "unique"),
    ],
)
async def test_a_mistake_is_refused_with_the_functions_name(make: Any, said: str) -> None:
    host = Host(make(), settings={"AzureWebJobsStorage": "UseDevelopmentStorage=true"})
    with pytest.raises(AppError) as refusal:
        await host.start()
    assert "deliver" in str(refusal.value)
    assert said in str(refusal.value)


def test_settings_are_filled_in_wherever_they_are_named() -> None:
    app, trigger = queue_app(queue_name="%PREFIX%-deliver-%CHANNEL%")

    @trigger  # type: ignore[untyped-decorator]
    async def deliver(item: func.QueueMessage) -> None: ...

    for prefix in ("a", "b"):  # an app may be indexed again
        (function,) = index(app, {"PREFIX": prefix, "CHANNEL": "email"})
        assert function.trigger["queueName"] == f"{prefix}-deliver-email"


def test_a_settings_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "local.settings.json"
    for content in ("{", "[]", '{"IsEncrypted": true}'):
        file.write_text(content, "utf-8")
        with pytest.raises(AppError, match=r"local\.settings\.json"):
            read_settings(file)


@pytest.mark.parametrize(
    ("span", "expected"),
    [("00:00:02", 2), ("00:00:00.1000000", 0.1), ("1.01:01:01", 90061), (3, 3)],
)
def test_time_spans(span: str | int, expected: float) -> None:
    assert seconds(span) == expected


@pytest.mark.parametrize("how", ["end of input", "SIGTERM"])
def test_the_command_serves_until_it_is_asked_to_stop(
    tmp_path: Path, azurite: str, how: str
) -> None:
    if how == "SIGTERM" and os.name == "nt":
        pytest.skip("Windows ends a process without asking it")
    write_app(
        tmp_path,
        """
        @app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
        async def tick(timer: func.TimerRequest) -> None: ...
        """,
    )
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"Values": {"AzureWebJobsStorage": azurite}}), "utf-8")
    host = start_task("host", "--app", str(tmp_path), "--settings", str(settings), "--port", "0")
    try:
        assert host.stdout
        assert any("host.ready" in line for line in host.stdout)
        if how == "SIGTERM":
            host.terminate()
            assert host.wait(WITHIN) == 0
    finally:
        status = stop(host)
    assert status == 0


def test_the_command_says_what_is_wrong_and_fails(tmp_path: Path) -> None:
    host = start_task("host", "--app", str(tmp_path), "--port", "0")
    assert host.stdout
    assert "no function_app.py" in host.stdout.read()
    assert stop(host) == 1
