import asyncio

import pytest
from tests.mesos.following import Detector

from mesos_dns.mesos import waiting
from mesos_dns.mesos.state import Endpoint

A, B, C = (Endpoint(f"127.0.0.{number}", 5050) for number in (1, 2, 3))


async def test_a_pause_ends_by_itself():
    detector = Detector((A,))
    await waiting.pause(detector, detector.known, 0.001)


async def test_a_pause_ends_when_the_detector_knows_something_else():
    detector = Detector((A,))
    pausing = asyncio.ensure_future(waiting.pause(detector, detector.known, 3600.0))
    await asyncio.sleep(0)
    detector.learns((A, B))
    await pausing


@pytest.mark.parametrize("named", [None, A, B], ids=["nobody", "whom it named before", "who is being asked"])
async def test_what_is_no_other_leader(named):
    detector = Detector((A, B, C))
    detector.learns((A, B, C), leader=A)
    waited = asyncio.ensure_future(waiting.other_leader(detector, detector.known, B))
    detector.learns((A, B, C), leader=named)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waited.done()
    detector.learns((A, B, C), leader=C)
    await waited
