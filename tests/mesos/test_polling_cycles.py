"""What a poll leaves to the garbage collector: no cycles, for their frames hold states of hundreds of megabytes."""

import contextlib
import json

import pytest
from tests.cycles import left_by, peer
from tests.mesos.http.test_client_cycles import answers, hangs_within, resets_within

from mesos_dns.mesos.errors import NobodyAnsweredError
from mesos_dns.mesos.options import ClientOptions, SourceOptions
from mesos_dns.mesos.sources import follow
from mesos_dns.mesos.state import Endpoint


def state(leader, **more):
    return json.dumps({"leader": leader, "pid": "master@127.0.0.1:1", "frameworks": [], "slaves": []} | more).encode()


def source(*masters, within=5.0, refresh=60):
    client = ClientOptions(timeout=within)
    return follow(SourceOptions(tuple(Endpoint(*one) for one in masters), refresh, client))


@pytest.mark.parametrize(
    "handle",
    [
        pytest.param(answers(200, state("master@127.0.0.1:1")), id="state"),
        pytest.param(answers(200, state("master@127.0.0.1:2")), id="does not lead"),
        pytest.param(answers(200, state(None)), id="no leader"),
        pytest.param(answers(200, b"<html>" * 1000), id="no state"),
        pytest.param(answers(200, state("x", frameworks=7)), id="of another shape"),
        pytest.param(answers(307, b"", "Location: //127.0.0.1:9"), id="redirect to nobody"),
        pytest.param(answers(503), id="election"),
        resets_within,
        hangs_within,
    ],
)
async def test_a_round(handle, caplog):
    async def once():
        with contextlib.suppress(NobodyAnsweredError):
            await source(one, other, within=0.1 if handle is hangs_within else 5.0).once()
        caplog.clear()

    with peer(handle) as one, peer(answers(404)) as other:
        assert await left_by(once, transports=False) == {}


async def test_polling_on(caplog):
    """Some rounds of one source, with and without success."""

    async def some():
        observations = source(one, refresh=0).observations()
        for _ in range(3):
            await anext(observations)
        await observations.aclose()
        caplog.clear()

    with peer(answers(200, state("master@127.0.0.1:1"))) as one:
        assert await left_by(some, transports=False) == {}
