"""Time, as host.json writes it and as listeners spend it."""

import asyncio
import re


def seconds(value: float | str) -> float:
    """Seconds in a number or a .NET time span such as `00:00:30`, `1.00:00:00` or `00:00:00.5`."""
    if isinstance(value, int | float):
        return value
    span = re.fullmatch(r"(?:(\d+)\.)?(\d+):(\d+):(\d+(?:\.\d+)?)", value)
    if not span:
        raise ValueError(f"not a time span: {value!r}")
    days, hours, minutes, rest = (float(part or 0) for part in span.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


async def pause(stopping: asyncio.Event, duration: float) -> bool:
    """Wait that long, or until the event is set; whether it is."""
    try:
        async with asyncio.timeout(duration):
            await stopping.wait()
    except TimeoutError:
        pass
    return stopping.is_set()
