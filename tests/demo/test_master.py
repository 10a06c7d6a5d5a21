"""The simulated masters over HTTP, on loopback, with a clock that the test moves."""

import gzip
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest

from mesos_dns.demo.master import Masters
from mesos_dns.demo.simulation import Plan, Simulation

START = 1_700_000_000.0


class Cluster:
    def __init__(self, simulation, masters, ports, session):
        self.simulation, self.masters, self.ports, self.session = simulation, masters, ports, session
        self.events = []

    async def at(self, seconds):
        self.events += self.simulation.advance(START + seconds)
        await self.masters.sync()

    async def get(self, index, path, **headers):
        """Return status, headers and body octets as they came, nothing followed, nothing unpacked."""
        url = f"http://127.0.0.1:{self.ports[index]}{path}"
        headers = {"Accept-Encoding": "identity"} | headers
        async with self.session.get(url, allow_redirects=False, headers=headers) as response:
            return response.status, response.headers, await response.read()


@pytest.fixture
async def cluster(free_ports):
    @asynccontextmanager
    async def started():
        ports = free_ports(3)
        plan = Plan(churn=0.0, failover_every=0.0)
        simulation = Simulation(plan, [("127.0.0.1", port) for port in ports], START)
        masters = Masters(simulation.world)
        async with masters.serving(), aiohttp.ClientSession(auto_decompress=False) as session:
            yield Cluster(simulation, masters, ports, session)

    async with started() as cluster:
        yield cluster


@pytest.mark.parametrize("path", ["/master/state", "/state", "/state/", "/master/state?a=b"])
async def test_the_leader_answers_with_the_state(cluster, path):
    status, headers, body = await cluster.get(0, path)

    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body)["leader"] == f"master@127.0.0.1:{cluster.ports[0]}"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/master/state", "/master/state"),
        ("/state", "/master/state"),
        ("/state?jsonp=f&x", "/master/state?jsonp=f&x"),
        ("/state-summary", "/master/state-summary"),
        ("/redirect", ""),
        ("/master/redirect?x=y", ""),
    ],
)
async def test_the_others_redirect_to_it_without_a_scheme(cluster, path, target):
    status, headers, body = await cluster.get(1, path)

    assert (status, headers["Location"], body) == (307, f"//127.0.0.1:{cluster.ports[0]}{target}", b"")
    assert "Content-Type" not in headers


async def test_the_leader_redirects_to_itself(cluster):
    status, headers, _ = await cluster.get(0, "/master/redirect")

    assert (status, headers["Location"]) == (307, f"//127.0.0.1:{cluster.ports[0]}")


@pytest.mark.parametrize("path", ["/master/state.json", "/state.json", "/nonexistent", "/", "/api/v1x"])
async def test_paths_that_mesos_1_11_does_not_have(cluster, path):
    status, headers, body = await cluster.get(0, path)

    assert (status, headers["Content-Type"], body) == (404, "text/plain; charset=utf-8", b"404 Not Found.")


@pytest.mark.parametrize("index", [0, 1])
async def test_every_master_tells_its_health_and_version(cluster, index):
    assert (await cluster.get(index, "/master/health"))[::2] == (200, b"")
    assert json.loads((await cluster.get(index, "/version"))[2])["version"] == "1.11.0"
    assert json.loads((await cluster.get(index, "/metrics/snapshot"))[2])["master/elected"] == 1.0 - index


async def test_large_bodies_are_compressed_for_clients_that_accept_it(cluster):
    _, plain_headers, plain = await cluster.get(0, "/master/state", **{"Accept-Encoding": "identity"})
    _, headers, body = await cluster.get(0, "/master/state", **{"Accept-Encoding": "gzip"})
    _, small_headers, _ = await cluster.get(0, "/version", **{"Accept-Encoding": "gzip"})

    assert "Content-Encoding" not in plain_headers
    assert headers["Content-Encoding"] == "gzip"
    assert len(body) < len(plain) / 4
    assert gzip.decompress(body) == plain
    assert "Content-Encoding" not in small_headers


async def test_jsonp_wraps_the_body(cluster):
    _, headers, body = await cluster.get(0, "/master/state-summary?jsonp=cb")

    assert headers["Content-Type"] == "text/javascript"
    assert body.startswith(b'cb({"hostname":"127.0.0.1"')
    assert body.endswith(b"})")


async def test_the_summary_counts_tasks_and_lists_none(cluster):
    document = json.loads((await cluster.get(0, "/master/state-summary"))[2])

    assert sum(agent["TASK_RUNNING"] for agent in document["slaves"]) == 40
    assert sum(framework["TASK_RUNNING"] for framework in document["frameworks"]) == 40
    assert "leader" not in document
    assert "tasks" not in document["frameworks"][0]


async def test_a_failover_as_its_clients_see_it(cluster):
    cluster.simulation.election.fail_over()
    await cluster.at(0.1)
    with pytest.raises(aiohttp.ClientConnectorError):
        await cluster.get(0, "/master/state")
    assert (await cluster.get(1, "/state"))[1]["Location"] == f"//127.0.0.1:{cluster.ports[0]}/master/state"

    await cluster.at(4.1)
    for path in ("/master/state", "/master/redirect"):
        status, _, body = await cluster.get(1, path)
        assert (status, body) == (503, b"No leader elected")
    assert (await cluster.get(1, "/master/health"))[0] == 200

    await cluster.at(4.5)
    statuses = {index: (await cluster.get(index, "/master/state"))[0] for index in (1, 2)}
    assert sorted(statuses.values()) == [200, 307]
    leader = next(index for index, status in statuses.items() if status == 200)
    document = json.loads((await cluster.get(leader, "/master/state"))[2])
    assert (document["slaves"], document["frameworks"], document["activated_slaves"]) == ([], [], 0.0)

    await cluster.at(20.0)
    assert (await cluster.get(0, "/master/state"))[1]["Location"] == f"//127.0.0.1:{cluster.ports[leader]}/master/state"
    document = json.loads((await cluster.get(leader, "/master/state"))[2])
    assert len(document["slaves"]) == 6
    assert cluster.events[0].text.startswith("leading master 127.0.0.1:")


async def test_a_port_in_use_is_an_error_and_leaves_nothing_open(free_ports):
    first, second = free_ports(2)

    def masters(*ports):
        endpoints = [("127.0.0.1", port) for port in ports]
        return Masters(Simulation(Plan(churn=0.0), endpoints, START).world)

    async with masters(second).serving():
        with pytest.raises(OSError, match="in use"):
            async with masters(first, second).serving():
                pass
    async with masters(first).serving():
        pass
