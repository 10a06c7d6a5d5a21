"""Who leads, as a real ZooKeeper tells it: contenders, rights, sessions; and ZooKeeper killed, stopped, cut off, and back."""

import asyncio
import contextlib
import functools
import logging
import re
import signal
import socket
import sys
import threading

import pytest
from kazoo.client import KazooClient
from tests.cycles import left_by
from tests.integration.program import PATIENCE
from tests.integration.zookeeper import Proxy, ZooKeeper, only, stand

from mesos_dns.mesos.detect import zookeeper as detecting
from mesos_dns.mesos.detect.ensemble import AbsentError, Ensemble, EnsembleError
from mesos_dns.mesos.detect.zookeeper import ZooKeeperMasters
from mesos_dns.mesos.options import ZooKeeperOptions
from mesos_dns.mesos.source import KnownMasters
from mesos_dns.mesos.state import Endpoint

M1, M2, M3, LISTED = (("127.0.0.1", port) for port in (5051, 5052, 5053, 5059))


#: One that notices soon that a server hangs.
quick = functools.partial(Ensemble, session_seconds=4.0)


@pytest.fixture(autouse=True)
def changes_are_told_quickly(monkeypatch):
    monkeypatch.setattr(detecting, "CHANGE_SECONDS", 0.05)


def options(path, *servers, credentials="", limit=0.0):
    return ZooKeeperOptions(tuple(Endpoint(*one) for one in servers), path, credentials, limit)


def known(*masters, leader):
    return KnownMasters(tuple(Endpoint(*one) for one in masters), leader and Endpoint(*leader))


async def knows(detector, wanted):
    """Wait until the detector knows this; else fail with what it knows."""
    try:
        async with asyncio.timeout(2 * PATIENCE):
            while (now := detector.known) != wanted:
                await detector.changed(now)
    except TimeoutError:
        pytest.fail(f"{detector} with {detector.status}, expected {wanted}")


async def until(what, detector):
    """Wait until `what(status)` is true."""
    try:
        async with asyncio.timeout(2 * PATIENCE):
            while not what(detector.status):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"{detector} with {detector.status}")


def told(caplog):
    """What our log says; kazoo of the other side says more."""
    return "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("mesos_dns"))


# --- contenders ------------------------------------------------------------------------------------


async def test_contenders_come_and_go(zookeeper, masters, path):
    first = stand(masters, path, M1)
    async with ZooKeeperMasters(options(path, zookeeper.endpoint), [Endpoint(*LISTED)]) as detector:
        assert detector.known == known(M1, leader=M1)
        second = stand(masters, path, M2)
        await knows(detector, known(M1, M2, leader=M1))
        masters.delete(first)
        await knows(detector, known(M2, leader=M2))
        stand(masters, path, M3)
        stand(masters, path, M1)
        await knows(detector, known(M2, M3, M1, leader=M2))
        masters.delete(second)
        await knows(detector, known(M3, M1, leader=M3))
        assert (detector.status.connected, detector.status.masters, detector.status.trouble) == (True, 2, "")
        assert detector.status.leader == Endpoint(*M3)


async def test_masters_of_all_ages_and_other_nodes(zookeeper, masters, path):
    masters.ensure_path(f"{path}/log_replicas")
    stand(masters, path, M1, "json.info_")
    stand(masters, path, b"\x10\xff\x81\x80\x08\x18\xbc\x27", "info_")  # ip 127.0.0.1 (with octets turned), port 5052
    stand(masters, path, b"master@127.0.0.1:5053", "")
    stand(masters, path, M1, "other_")
    async with ZooKeeperMasters(options(path, zookeeper.endpoint)) as detector:
        assert [master.port for master in detector.known.masters] == [5051, 5052, 5053]
        assert detector.known.leader == Endpoint(*M1)


async def test_garbage_costs_only_its_node(zookeeper, masters, path, caplog):
    stand(masters, path, M1)
    stand(masters, path, b"\xff\x00garbage")
    stand(masters, path, M2)
    async with ZooKeeperMasters(options(path, zookeeper.endpoint)) as detector:
        assert detector.known == known(M1, M2, leader=M1)
        assert "1 of 3 nodes cannot be read, such as 'json.info_0000000001'" in detector.status.trouble
        assert detector.status.notes(0.0) == [
            f"ZooKeeper zk://127.0.0.1:{zookeeper.port}{path}: {detector.status.trouble}"
        ]
        assert "the node 'json.info_0000000001' of ZooKeeper" in told(caplog)
        caplog.clear()
        stand(masters, path, M3)
        await knows(detector, known(M1, M2, M3, leader=M1))
    assert "passed over" not in told(caplog)


async def test_a_leader_whose_node_is_garbage_is_unknown(zookeeper, masters, path):
    stand(masters, path, b"")
    stand(masters, path, M2)
    async with ZooKeeperMasters(options(path, zookeeper.endpoint)) as detector:
        assert detector.known == known(M2, leader=None)


async def test_the_masters_node_is_waited_for(zookeeper, masters, path):
    async with ZooKeeperMasters(options(path, zookeeper.endpoint), [Endpoint(*LISTED)]) as detector:
        assert detector.known == known(LISTED, leader=None)
        assert detector.status.trouble == f"there is no node {path}: no master has registered there yet"
        masters.ensure_path(path)
        await until(lambda status: status.trouble == "no master has registered there", detector)
        assert detector.known == known(LISTED, leader=None)
        stand(masters, path, M1)
        await knows(detector, known(M1, leader=M1))


async def test_when_all_contenders_are_gone_those_known_stay(zookeeper, masters, path):
    node = stand(masters, path, M1)
    async with ZooKeeperMasters(options(path, zookeeper.endpoint), [Endpoint(*LISTED)]) as detector:
        masters.delete(node)
        await knows(detector, known(M1, LISTED, leader=None))
        masters.delete(path)
        await until(lambda status: "there is no node" in status.trouble, detector)
        # The numbers begin anew: what stood under a number does not count any more.
        assert stand(masters, path, M2) == node
        await knows(detector, known(M2, leader=M2))


# --- rights ----------------------------------------------------------------------------------------


async def test_nodes_that_only_some_may_read(zookeeper, masters, path, caplog, monkeypatch):
    monkeypatch.setattr(detecting, "LOOK_AGAIN_SECONDS", 0.2)
    masters.add_auth("digest", "me:hunter2")
    masters.ensure_path(path, acl=only("me", "hunter2"))
    masters.create(f"{path}/json.info_", b"x", sequence=True, ephemeral=True)
    caplog.set_level(logging.DEBUG)
    async with ZooKeeperMasters(options(path, zookeeper.endpoint), [Endpoint(*LISTED)]) as detector:
        assert detector.status.connected
        assert "is not shown: give credentials in Zk (zk://user:password@…)" in detector.status.trouble
        assert detector.known == known(LISTED, leader=None)
    async with ZooKeeperMasters(options(path, zookeeper.endpoint, credentials="you:hunter2")) as detector:
        assert "the user of Zk has no right to read it" in detector.status.trouble
        stand(masters, path, M1)
        masters.set_acls(path, only("you", "hunter2"))
        masters.add_auth("digest", "you:hunter2")
        await knows(detector, known(M1, leader=None))
    stand(masters, path, M2)
    async with ZooKeeperMasters(options(path, zookeeper.endpoint, credentials="you:hunter2")) as detector:
        assert detector.known == known(M1, M2, leader=None)
        assert "hunter2" not in repr(detector)
        assert "hunter2" not in str(detector.status)
    assert "hunter2" not in told(caplog)


async def test_one_node_that_may_not_be_read(zookeeper, masters, path):
    stand(masters, path, M1)
    masters.add_auth("digest", "me:hunter2")
    masters.create(f"{path}/json.info_", b"x", sequence=True, ephemeral=True, acl=only("me", "hunter2"))
    async with ZooKeeperMasters(options(path, zookeeper.endpoint)) as detector:
        assert detector.known == known(M1, leader=M1)
        assert "the rights to read it do not suffice" in detector.status.trouble


# --- ZooKeeper away, and back ------------------------------------------------------------------------


async def test_killed_and_back(zookeeper, masters, path, caplog, monkeypatch):
    monkeypatch.setattr(detecting, "SILENCE_TOLD_SECONDS", 0.2)
    caplog.set_level(logging.INFO)
    node = stand(masters, path, M1)
    stand(masters, path, M2)
    async with ZooKeeperMasters(options(path, zookeeper.endpoint, limit=0.5)) as detector:
        assert detector.known == known(M1, M2, leader=M1)
        zookeeper.kill()
        try:
            await until(lambda status: not status.connected and "refused" in status.trouble, detector)
            await until(lambda _: "has named no leading master for" in told(caplog), detector)
        finally:
            zookeeper.revive()
        assert detector.known == known(M1, M2, leader=M1)
        assert "is silent, the masters known so far are asked (127.0.0.1:5051, 127.0.0.1:5052)" in told(caplog)
        await until(lambda status: status.connected, detector)
        assert "answers again" in told(caplog)
        assert "names a leading master again: 127.0.0.1:5051" in told(caplog)
        assert told(caplog).count("has named no leading master for") == 1
        await asyncio.to_thread(masters.retry, masters.delete, node)
        await knows(detector, known(M2, leader=M2))


async def test_set_up_anew(tmp_path, path, monkeypatch):
    """It knows nothing of our session, and has fewer transactions than we have seen."""
    monkeypatch.setattr(detecting, "FRESH_CLIENT_SECONDS", 0.5)
    monkeypatch.setattr(detecting, "NEW_CLIENT_SECONDS", 0.1)
    zookeeper = ZooKeeper(tmp_path)
    try:
        with zookeeper.client() as masters:
            for _ in range(10):
                node = stand(masters, path, M1)
                masters.delete(node)
            stand(masters, path, M1)
            detector = ZooKeeperMasters(options(path, zookeeper.endpoint))
            await detector.__aenter__()
        try:
            zookeeper.kill()
            zookeeper.wipe()
            zookeeper.start()
            with zookeeper.client() as masters:
                stand(masters, path, M2)
                await knows(detector, known(M2, leader=M2))
        finally:
            await detector.__aexit__(None, None, None)
    finally:
        zookeeper.close()


async def test_stopped_and_continued(zookeeper, masters, path):
    stand(masters, path, M1)
    async with ZooKeeperMasters(options(path, zookeeper.endpoint), connect=quick) as detector:
        zookeeper.signal(signal.SIGSTOP)
        try:
            await until(lambda status: not status.connected, detector)
        finally:
            zookeeper.signal(signal.SIGCONT)
        assert detector.known == known(M1, leader=M1)
        await until(lambda status: status.connected, detector)


async def test_cut_off_and_back(zookeeper, masters, path):
    node = stand(masters, path, M1)
    proxy = Proxy(zookeeper.endpoint)
    try:
        async with ZooKeeperMasters(options(path, proxy.endpoint), connect=quick) as detector:
            assert detector.known == known(M1, leader=M1)
            proxy.freeze()
            stand(masters, path, M2)
            masters.delete(node)
            await until(lambda status: not status.connected, detector)
            assert detector.known == known(M1, leader=M1)
            proxy.thaw()
            await knows(detector, known(M2, leader=M2))
            # To leave while it is cut off takes no longer than it must.
            proxy.freeze()
    finally:
        proxy.close()


async def test_a_session_that_expires(zookeeper, masters, path):
    stand(masters, path, M1)
    readers = []

    def connect(*args):
        readers.append(Ensemble(*args))
        return readers[-1]

    async with ZooKeeperMasters(options(path, zookeeper.endpoint), connect=connect) as detector:
        await asyncio.to_thread(end_session, zookeeper, readers[0]._client.client_id)
        stand(masters, path, M2)
        await knows(detector, known(M1, M2, leader=M1))
        await until(lambda _: readers[0].session == 1, detector)
    assert len(readers) == 1


def end_session(zookeeper, client_id):
    """Take over the session of another client, and end it."""
    thief = KazooClient(f"127.0.0.1:{zookeeper.port}", client_id=client_id)
    thief.start(PATIENCE)
    thief.stop()
    thief.close()


async def test_dead_servers_among_others(zookeeper, masters, path):
    stand(masters, path, M1)
    with socket.create_server(("127.0.0.1", 0)) as dumb, socket.create_server(("127.0.0.1", 0)) as closed:
        gone = closed.getsockname()
        closed.close()
        servers = options(path, gone, dumb.getsockname(), zookeeper.endpoint)
        async with ZooKeeperMasters(servers, patience=2 * PATIENCE) as detector:
            assert detector.known == known(M1, leader=M1)


async def test_host_names_are_looked_up_each_time(zookeeper, masters, path, monkeypatch):
    stand(masters, path, M1)
    answers = [socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), [], [zookeeper.endpoint]]
    real = socket.getaddrinfo

    def look_up(host, port, *more):
        if host != "zk.example":
            return real(host, port, *more)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", endpoint) for endpoint in answer]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    servers = options(path, ("zk.example", zookeeper.port))
    async with ZooKeeperMasters(servers, patience=2 * PATIENCE) as detector:
        assert detector.known == known(M1, leader=M1)
    assert answers == [[zookeeper.endpoint]]


async def test_a_name_that_no_resolver_takes(path):
    async with ZooKeeperMasters(options(path, ("a..b", 2181)), patience=0.01) as detector:
        await until(lambda status: re.search("Unicode[A-Za-z]*Error", status.trouble) is not None, detector)


async def test_nobody_there_is_waited_for_within_bounds(path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = closed.getsockname()
    async with ZooKeeperMasters(options(path, gone), [Endpoint(*LISTED)], patience=0.1) as detector:
        assert detector.known == known(LISTED, leader=None)
        await until(lambda status: "refused" in status.trouble, detector)


@pytest.mark.parametrize(
    ("octets", "trouble"),
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "an answer of 1213486160 octets was announced", id="http"),
        pytest.param(b"\xff\xff\xff\xff", "", id="negative"),
        pytest.param(b"\0\0\0\4abcd", "", id="short"),
        pytest.param(b"", "", id="silent"),
    ],
)
async def test_something_else_than_a_zookeeper(path, octets, trouble, monkeypatch):
    monkeypatch.setattr(detecting, "NEW_CLIENT_SECONDS", 0.05)
    asked = asyncio.Queue()

    async def babble(_, writer):
        asked.put_nowait(None)
        writer.write(octets)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    endpoint = server.sockets[0].getsockname()
    async with ZooKeeperMasters(options(path, endpoint), patience=0.01) as detector:
        async with asyncio.timeout(PATIENCE):
            for _ in range(3):
                await asked.get()
        await until(lambda status: status.trouble and trouble in status.trouble, detector)
        server.close()
        await server.wait_closed()
        assert not detector.status.connected


# --- what is left ------------------------------------------------------------------------------------


async def test_nothing_is_left(zookeeper, masters, path):
    stand(masters, path, M1)
    before = threading.active_count()

    async def come_and_go():
        async with ZooKeeperMasters(options(path, zookeeper.endpoint)) as detector:
            assert detector.known.leader == Endpoint(*M1)

    assert await left_by(come_and_go) == {}
    assert threading.active_count() == before


@pytest.mark.xfail(
    sys.version_info >= (3, 13),
    reason="on Python 3.13 a refused attempt of kazoo stays in a cycle with its thread; control looks for cycles each ten minutes",
)
async def test_nothing_is_left_if_nobody_answers(path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = closed.getsockname()
    before = threading.active_count()

    async def come_and_go():
        async with ZooKeeperMasters(options(path, gone), patience=0.2):
            pass

    assert await left_by(come_and_go) == {}
    assert threading.active_count() == before


async def test_looking_leaves_nothing(zookeeper, masters, path):
    node = stand(masters, path, M1)
    stirred = asyncio.Event()
    reader = Ensemble(options(path, zookeeper.endpoint), stirred.set)
    while not reader.connected:
        await stirred.wait()
        stirred.clear()

    async def look():
        assert await reader.children(path)
        assert await reader.exists(path)
        assert await reader.content(node)
        with contextlib.suppress(AbsentError):
            await reader.content(f"{path}/x")

    try:
        assert await left_by(look) == {}
    finally:
        await reader.close()


async def test_reconnecting_leaves_nothing(zookeeper, masters, path):
    stand(masters, path, M1)
    proxy = Proxy(zookeeper.endpoint)

    async def reconnect():
        before = proxy.connections
        proxy.drop()
        await until(lambda _: proxy.connections and proxy.connections.isdisjoint(before), detector)
        while True:
            try:
                return await readers[0].children(path)
            except EnsembleError:
                await asyncio.sleep(0.02)

    readers = []

    def connect(*args):
        readers.append(Ensemble(*args))
        return readers[-1]

    try:
        async with ZooKeeperMasters(options(path, proxy.endpoint), connect=connect) as detector:
            assert await left_by(reconnect) == {}
        assert len(readers) == 1
    finally:
        proxy.close()
