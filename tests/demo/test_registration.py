"""The masters in ZooKeeper: against one in memory that obeys at once, and against a real one."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from tests.integration.zookeeper import ZooKeeper

from mesos_dns.demo import registration
from mesos_dns.demo.document import MasterIdentity
from mesos_dns.demo.election import Pace
from mesos_dns.demo.live import Cluster
from mesos_dns.demo.masterinfo import Form, encoded
from mesos_dns.demo.registration import Ensemble, RegistrationError, sequence_of
from mesos_dns.demo.releases import LATEST, release

MASTER = MasterIdentity("the-id", "10.1.2.3", 5050, 1.0, "demo", "m1.example")
PACE = Pace(registry=0.01, reregistration=0.02, restart=0.05)


class Memory:
    """A ZooKeeper in memory. `away`: it does not answer."""

    def __init__(self, *nodes):
        self.nodes = dict.fromkeys(nodes, b"")
        self.counter = len(nodes)
        self.away = False
        self.clients = []

    def client(self, *_ensemble_and_session):
        client = Client(self)
        self.clients.append(client)
        return client

    def tell(self):
        for client in [] if self.away else list(self.clients):
            for watch in client.watches:
                watch(sorted(self.nodes))

    def set_away(self, away):
        self.away = away
        for client in self.clients:
            for listener in client.listeners:
                listener("SUSPENDED" if away else "CONNECTED")


class Client:
    def __init__(self, memory):
        self.memory, self.mine, self.watches, self.listeners = memory, [], [], []

    def start(self, **_timeout):
        if self.memory.away:
            raise TimeoutError("nobody answers")

    def ensure_path(self, path):
        assert path == "/mesos"

    def create(self, path, data, *, ephemeral, sequence):
        assert ephemeral
        assert sequence
        name = f"{path}{self.memory.counter:010d}".rpartition("/")[2]
        self.memory.counter += 1
        self.memory.nodes[name] = data
        self.mine.append(name)
        self.memory.tell()
        return f"/mesos/{name}"

    def ChildrenWatch(self, _path, function):  # noqa: N802  # kazoo's name
        self.watches.append(function)
        function(sorted(self.memory.nodes))

    def add_listener(self, listener):
        self.listeners.append(listener)

    def stop(self):
        self.watches, self.listeners = [], []
        for name in self.mine:
            self.memory.nodes.pop(name, None)
        self.mine = []
        if self in self.memory.clients:
            self.memory.clients.remove(self)
            self.memory.tell()

    def close(self):
        pass


@asynccontextmanager
async def registered(memory, *forms, masters=3, session=0.3):
    async with Cluster(masters=masters, tasks=4) as cluster:
        found = await cluster.register(
            "zk://a:1,b:2/mesos", forms=forms or (Form.JSON,), session=session, pace=PACE, make_client=memory.client
        )
        yield cluster, found


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("zk://a:2181/mesos", Ensemble("a:2181", "/mesos")),
        ("zk://a:1,b:2/deep/path/", Ensemble("a:1,b:2", "/deep/path")),
        ("zk://user:p@ss@a:1/mesos", Ensemble("a:1", "/mesos", "user:p@ss")),
    ],
)
def test_urls(url, expected):
    assert Ensemble.parse(url) == expected


@pytest.mark.parametrize("url", ["", "zk://", "zk://a:1", "zk://a:1/", "zk:///mesos", "http://a:1/mesos"])
def test_urls_that_name_no_group(url):
    with pytest.raises(RegistrationError, match="is not zk://"):
        Ensemble.parse(url)


@pytest.mark.parametrize(
    ("name", "number"),
    [("json.info_0000000012", 12), ("info_0000000003", 3), ("0000000004", 4), ("log_replicas", None), ("x_12", None)],
)
def test_sequence_numbers(name, number):
    assert sequence_of(name) == number


def test_the_json_form_has_its_keys_in_order_and_the_address_with_the_first_octet_lowest():
    text = encoded(Form.JSON, MASTER, LATEST).decode()

    assert list(json.loads(text)) == sorted(json.loads(text))
    assert json.loads(text) == {
        "address": {"hostname": "m1.example", "ip": "10.1.2.3", "port": 5050},
        "capabilities": [{"type": "AGENT_UPDATE"}, {"type": "AGENT_DRAINING"}, {"type": "QUOTA_V2"}],
        "hostname": "m1.example", "id": "the-id", "ip": 0x0302010A, "pid": "master@10.1.2.3:5050", "port": 5050,
        "version": "1.11.0",
    }  # fmt: skip


def test_the_other_forms():
    assert encoded(Form.PID, MASTER, LATEST) == b"master@10.1.2.3:5050"
    assert encoded(Form.PROTOBUF, MASTER, release("0.22.0")) == (
        b"\x0a\x06the-id\x10\x8a\x82\x88\x18\x18\xba\x27\x22\x14master@10.1.2.3:5050\x2a\x0am1.example"
    )
    assert encoded(Form.PROTOBUF, MASTER, release("0.23.0")).endswith(b"m1.example\x32\x060.23.0")
    assert encoded(Form.PROTOBUF, MASTER, release("0.24.0")).endswith(
        b"0.24.0\x3a\x19\x0a\x0am1.example\x12\x0810.1.2.3\x18\xba\x27"
    )


async def test_each_master_has_a_node_in_its_form_and_the_first_leads():
    memory = Memory()
    async with registered(memory, Form.JSON, Form.PROTOBUF, Form.PID) as (cluster, found):
        assert found.nodes == ["json.info_0000000000", "info_0000000001", "0000000002"]
        assert set(memory.nodes) == set(found.nodes)
        assert memory.nodes["0000000002"] == f"master@{cluster.endpoints[2]}".encode()
        assert cluster.leader == 0
    assert memory.nodes == {}


async def test_a_dead_leaders_node_stays_for_its_session_then_the_next_leads_with_everything():
    memory = Memory("log_replicas")
    async with registered(memory) as (cluster, found):
        first, second, _ = found.nodes
        await cluster.kill(0)
        assert first in memory.nodes
        await until(lambda: cluster.leader == 1)
        assert first not in memory.nodes
        assert second in memory.nodes
        await until(lambda: cluster.ledger.registry_read and len(cluster.ledger.tasks) == 4)


async def test_a_restarted_leader_redirects_to_itself_until_its_old_node_is_gone():
    memory = Memory()
    async with registered(memory) as (cluster, found):
        await cluster.kill(0)
        await cluster.start(0)
        assert cluster.world.masters[0].believed == 0
        await until(lambda: found.nodes[0] == "json.info_0000000003")
        await until(lambda: cluster.leader == 1)
        assert cluster.world.masters[0].believed == 1


async def test_a_stopped_leader_loses_its_node_answers_for_a_moment_when_it_goes_on_then_ends_and_is_started_again():
    memory = Memory()
    async with registered(memory) as (cluster, found):
        await cluster.freeze(0)
        await until(lambda: cluster.leader == 1)
        await cluster.freeze(0, frozen=False)
        assert [seat.ledger is not None for seat in cluster.world.masters] == [True, True, False]
        await until(lambda: not cluster.world.masters[0].up)
        await until(lambda: cluster.world.masters[0].up and found.nodes[0] in memory.nodes)
        assert cluster.leader == 1


async def test_who_goes_on_in_time_keeps_everything():
    memory = Memory()
    async with registered(memory, session=60.0) as (cluster, found):
        before = found.nodes
        await cluster.freeze(0)
        await cluster.freeze(2)
        await asyncio.sleep(3 * registration.TICK)
        await cluster.freeze(0, frozen=False)
        await cluster.freeze(2, frozen=False)
        await asyncio.sleep(3 * registration.TICK)

        assert (found.nodes, cluster.leader) == (before, 0)


async def test_without_zookeeper_for_longer_than_a_session_the_leader_ends_and_comes_back_with_it():
    memory = Memory()
    async with registered(memory) as (cluster, found):
        memory.set_away(True)
        await until(lambda: cluster.leader is None)
        await until(lambda: all(seat.believed is None for seat in cluster.world.masters if seat.up))
        memory.set_away(False)
        await until(lambda: cluster.leader is not None and None not in found.nodes)
        assert sorted(memory.nodes) == sorted(found.nodes)


async def test_a_short_absence_of_zookeeper_changes_nothing():
    memory = Memory()
    async with registered(memory, session=60.0) as (cluster, found):
        before = found.nodes
        memory.set_away(True)
        await asyncio.sleep(3 * registration.TICK)
        memory.set_away(False)
        await asyncio.sleep(3 * registration.TICK)

        assert (found.nodes, cluster.leader) == (before, 0)


async def test_a_zookeeper_that_does_not_answer_is_an_error():
    memory = Memory()
    memory.set_away(True)
    with pytest.raises(RegistrationError, match="cannot register at a:1,b:2: TimeoutError"):
        async with registered(memory):
            pass


async def test_a_missing_library_is_named(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(registration.importlib, "import_module", missing)
    async with Cluster() as cluster:
        with pytest.raises(RegistrationError, match="kazoo is not installed: pip install kazoo"):
            await cluster.register("zk://a:1/mesos")


async def test_with_a_real_zookeeper(tmp_path):
    server = ZooKeeper(tmp_path)
    try:
        async with Cluster(masters=3, tasks=4) as cluster:
            found = await cluster.register(
                f"zk://127.0.0.1:{server.port}/mesos",
                forms=(Form.JSON, Form.PROTOBUF, Form.PID),
                session=2.0,
                pace=PACE,
            )
            assert cluster.leader == 0
            await cluster.kill()
            await until(lambda: cluster.leader == 1)
            await cluster.start(0)
            await until(lambda: found.nodes[0] not in {None, "json.info_0000000000"})
            await cluster.freeze(1)
            await until(lambda: cluster.leader == 2)
            await until(lambda: cluster.ledger.registry_read and len(cluster.ledger.tasks) == 4)
    finally:
        server.close()
