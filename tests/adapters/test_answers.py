"""Asked for its health, Pureservice answers yes or no, and never with an error."""

import httpx
import pytest

from .conftest import Connect, Tenant


async def test_it_answers_when_it_takes_our_key(tenant: Tenant, connect: Connect) -> None:
    assert await connect().answers()
    assert {request.method for request in tenant.asked} == {"GET"}


@pytest.mark.parametrize("status", [401, 404, 503])
async def test_a_refusal_or_an_error_is_no_answer(
    tenant: Tenant, connect: Connect, status: int
) -> None:
    tenant.fault("status", status=status, times=9)
    assert not await connect().answers()


async def test_silence_is_no_answer(connect: Connect) -> None:
    def unreachable(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route to host")

    assert not await connect(transport=httpx.MockTransport(unreachable)).answers()
