"""Polls go on for months: whatever comes of one, nothing may stay behind."""

import asyncio
import contextlib
import gc

import pytest
from aiohttp import web
from tests.mesos.test_polling import Failures, state

from mesos_dns.mesos.detect.static import StaticMasters
from mesos_dns.mesos.http.client import MasterClient
from mesos_dns.mesos.options import ClientOptions
from mesos_dns.mesos.polling import PollingSource
from mesos_dns.mesos.state import Endpoint

OUTCOMES = {
    "good": lambda _, endpoint: web.Response(body=state(endpoint)),
    "500": lambda *_: web.Response(status=500, text="broken"),
    "no state": lambda *_: web.Response(body=b"<html>"),
    "not leading": lambda _, endpoint: web.Response(body=state(endpoint, Endpoint("127.0.0.1", 1))),
    "redirect": lambda *_: web.Response(status=307, headers={"Location": "//127.0.0.1:1/master/state"}),
    "credentials": lambda *_: web.Response(status=401),
    "aborted": lambda request, _: request.transport.abort() or web.Response(),
    "cut": lambda request, _: Cut(request),
    "refused": None,
}


class Cut(web.Response):
    """Promises more than it sends."""

    def __init__(self, request):
        super().__init__(body=b"{", headers={"Content-Length": "1000"})
        self._transport = request.transport

    async def write_eof(self, data=b""):
        await super().write_eof(data)
        self._transport.abort()


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_no_outcome_of_a_poll_leaves_circles(serve, outcome):
    """Frames and states would be kept until the garbage collector looks, which is hardly ever. (asyncio's transports are circles.)"""

    async def answer(request):
        return OUTCOMES[outcome](request, endpoint)

    endpoint = await serve(answer) if outcome != "refused" else Endpoint("127.0.0.1", 1)
    failures = Failures()
    source = PollingSource(
        StaticMasters([endpoint]), MasterClient(ClientOptions(timeout=30)), refresh_seconds=0.001, chance=failures
    )
    async with contextlib.aclosing(source.observations()) as observations:
        pending = asyncio.ensure_future(anext(observations))
        if outcome == "good":
            await pending
        else:
            await failures.next(2)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            if outcome == "good":
                for _ in range(5):
                    await anext(observations)
            else:
                await failures.next(5)
            gc.collect()
            kinds = {type(found).__name__ for found in gc.garbage}
            ours = {
                kind for kind in kinds if kind in {"frame", "traceback", "coroutine", "Snapshot", "bytearray", "Task"}
            }
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert ours == set()
        assert not any(kind.endswith("Error") for kind in kinds)
        pending.cancel()
        await asyncio.wait([pending])
