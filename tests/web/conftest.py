from typing import Any

import pytest
from tests.web.given import MESOS, NS1, Client, Cluster, new_zone, packed, task, tasks

from mesos_dns.mesos.state import Agent, Delta, DiscoveryPort, Endpoint, Framework
from mesos_dns.names import labels
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming
from mesos_dns.names.suffixes import Rules
from mesos_dns.web.server import HttpServer
from mesos_dns.zone.contributors import ContributorCounts


@pytest.fixture
def empty() -> Cluster:
    """Nothing loaded yet: serial 0."""
    rules = Rules(MESOS, NS1, labels.rfc1123, ("netinfo", "mesos", "host"), 1)
    zone = new_zone()
    return Cluster(Model(Naming(rules)), zone, ContributorCounts(zone))


@pytest.fixture
def cluster(empty: Cluster) -> Cluster:
    """Two agents, three frameworks, four tasks, one of them on an agent that nobody knows."""
    empty.take(
        Delta(
            agents={"4242-S0": Agent("4242-S0", "10.0.0.1", 5051), "4242-S1": Agent("4242-S1", "10.0.0.2", 5051)},
            frameworks={
                "fw-1": Framework("fw-1", "marathon", "10.0.0.9", 8080),
                "fw-2": Framework("fw-2", "idle <one>"),
                "fw-3": Framework("fw-3", "chronos"),
            },
            tasks=tasks(
                task("nginx", ports=((31000, 31001),)),
                task("lost", agent="4242-S7"),
                task(
                    "db",
                    discovery_name="store",
                    discovery_ports=(DiscoveryPort(5432, "sql", "tcp"),),
                    netinfo=packed("192.0.2.7", "192.0.2.8", "2001:db8::7", "2001:db8::8"),
                ),
                task("cron", agent="4242-S1", framework="fw-3"),
            ),
        )
    )
    empty.change(*empty.model.set_masters([Endpoint("127.0.0.1", 5050)], Endpoint("127.0.0.1", 5050)))
    empty.change(*empty.model.set_self(packed("10.20.30.40", "fd20::40")))
    return empty


@pytest.fixture
async def server(cluster: Cluster) -> Any:
    running = HttpServer(lambda: cluster)
    await running.start("127.0.0.1", 0)
    yield running
    await running.stop()


@pytest.fixture
def get(server: HttpServer) -> Client:
    assert server.address is not None
    return Client(*server.address)
