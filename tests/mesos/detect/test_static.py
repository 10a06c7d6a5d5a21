import asyncio

import pytest

from mesos_dns.mesos.detect.static import StaticMasters
from mesos_dns.mesos.source import KnownMasters
from mesos_dns.mesos.state import Endpoint

A, B = (Endpoint(f"10.0.0.{number}", 5050) for number in (1, 2))


async def test_a_list_names_no_leader_and_never_changes():
    async with StaticMasters([A, B]) as masters:
        assert masters.known == KnownMasters((A, B), None)
        waiting = asyncio.ensure_future(masters.changed(masters.known))
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_whoever_knows_something_else_is_told_at_once():
    await StaticMasters([A]).changed(KnownMasters())


def test_its_repr():
    assert repr(StaticMasters([A, B])) == "StaticMasters(10.0.0.1:5050, 10.0.0.2:5050)"
