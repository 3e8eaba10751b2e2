"""Alerts to a webhook: a POST of JSON, with a `text` for receivers that only show one."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx

from shared.domain.alert import Notice
from shared.errors import (
    PermanentError,
    StoppedError,
    ThrottledError,
    TransientError,
    UncertainError,
)
from shared.settings import Settings

TIME_LIMIT = timedelta(seconds=10)
CONNECT_SECONDS = 4
#: A receiver that is asked too often need not say for how long.
THROTTLED_FOR = timedelta(minutes=5)

# httpx tells every URL at info, httpcore every redirect at debug, and whoever has ours can write
# to our people.
for chatty in ("httpx", "httpcore"):
    logging.getLogger(chatty).setLevel(logging.WARNING)


class AlertWebhook:
    """Posts to ALERT_WEBHOOK. The URL is a secret: no error or log has any of it."""

    name = "webhook"

    def __init__(self, settings: Settings, *, time_limit: timedelta = TIME_LIMIT) -> None:
        self._time_limit = time_limit.total_seconds()
        self._url = settings.ALERT_WEBHOOK.get_secret_value().strip()
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            # reaching the receiver has one of its own; `tell` has one for everything
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
        )

    async def tell(self, notice: Notice) -> None:
        """Any 2xx is a yes. A redirect is a no: it might lead anywhere."""
        alert = notice.alert
        body = {
            "installation": notice.installation,
            "cause": alert.cause,
            "campaign": alert.campaign,
            "ticket": alert.ticket,
            "link": notice.link,
            "text": f"{notice.subject}\n\n{notice.text}",
            "key": alert.key,
        }
        with _in_our_words(f"webhook: alert {alert.key}"):
            async with asyncio.timeout(self._time_limit):
                # streamed: the status says it all, and the rest may be long
                async with self._client.stream("POST", self._url, json=body) as response:
                    status = response.status_code
        _judge(status, f"webhook: alert {alert.key}: {status}")

    async def close(self) -> None:
        await self._client.aclose()


def _judge(status: int, what: str) -> None:
    match status // 100, status:
        case 2, _:
            return
        case _, 504:  # somebody on the way has given up; the receiver may have it
            raise UncertainError(what)
        case 5, _:
            raise TransientError(what)
        case _, 429:
            raise ThrottledError(what, THROTTLED_FOR)
        case _, 400 | 413 | 422:
            raise PermanentError(f"{what}: the receiver does not take what we send")
        case _:
            raise StoppedError(f"{what}: check ALERT_WEBHOOK")


@contextmanager
def _in_our_words(what: str) -> Iterator[None]:
    """Only the kind of an error is told: its words and its request may have the URL in them."""
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise StoppedError(f"{what}: check ALERT_WEBHOOK") from None
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
        raise TransientError(f"{what}: not reached ({type(error).__name__})") from None
    except httpx.RequestError as error:
        raise UncertainError(f"{what}: no answer ({type(error).__name__})") from None
    except TimeoutError:
        raise UncertainError(f"{what}: timed out") from None
