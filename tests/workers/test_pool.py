"""Workers as processes under their supervisor: fed, killed, stopped, silent. Zone and sockets are real."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time

import dns.rcode
import pytest
from tests.serve.asking import AUTHORITY, ask, edits, make_zone, option, read, texts
from tests.serve.forward.upstreams import Upstream, honest

from mesos_dns.dns import name as names
from mesos_dns.serve.cookies import ServerCookies
from mesos_dns.serve.forward.options import ForwardOptions
from mesos_dns.sockets import Sockets
from mesos_dns.workers import handle as module
from mesos_dns.workers import liveness
from mesos_dns.workers.pool import WorkerPool
from mesos_dns.workers.protocol import CookieSecrets, FrameReader, Heartbeat, Settings
from mesos_dns.workers.replication import CHANGES_PER_FRAME
from mesos_dns.workers.spawner import ProcessSpawner
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.zone import Zone
from mesos_dns.zone.zones import Zones

NAME = "chronos.marathon.mesos."
APEX = AUTHORITY.apex
SETTINGS = Settings([AUTHORITY], True, True, ForwardOptions({}, 5.0), [], 0, False)
PATIENCE = 20.0
LOOPBACK = bytes((127, 0, 0, 1))


def addresses(reply):
    assert reply.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
    return sorted(text.split()[-1] for text in texts(reply.answer))


class Client:
    """One UDP socket that asks; what it asks while nobody answers waits in the worker's socket."""

    def __init__(self, port):
        self._port = port
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._sock.connect(("127.0.0.1", port))

    def send(self, name=NAME, number=0):
        self._sock.send(ask(name, identifier=number))

    async def receive(self):
        async with asyncio.timeout(PATIENCE):
            return read(await asyncio.get_running_loop().sock_recv(self._sock, 4096))

    async def udp(self, name=NAME):
        self.send(name)
        return addresses(await self.receive())

    async def tcp(self, name=NAME):
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        with contextlib.closing(writer):
            return await self.over(reader, writer, name)

    @staticmethod
    async def over(reader, writer, name=NAME):
        query = ask(name)
        writer.write(len(query).to_bytes(2) + query)
        async with asyncio.timeout(PATIENCE):
            return addresses(read(await reader.readexactly(int.from_bytes(await reader.readexactly(2)))))

    def close(self):
        self._sock.close()


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Workers find the package that the tests have imported."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))


@pytest.fixture
async def said():
    """`await said(text)`: the next log line with that text."""
    lines = asyncio.Queue()
    handler = logging.Handler()
    handler.emit = lambda record: lines.put_nowait(record.getMessage())
    module.log.addHandler(handler)

    async def wait_for(text):
        async with asyncio.timeout(PATIENCE):
            while text not in (line := await lines.get()):
                pass
        return line

    yield wait_for
    module.log.removeHandler(handler)


class Running:
    """A pool over a zone, and a client of its port."""

    def __init__(self, zone, workers, **settings):
        self.zone = zone
        self.sockets = Sockets("127.0.0.1", 0)
        pairs = self.sockets.provide(workers)
        values = {name: getattr(SETTINGS, name) for name in SETTINGS.__struct_fields__}
        self.spawner = ProcessSpawner()
        self.pool = WorkerPool(pairs, Settings(**(values | settings)), Zones([zone]), self.spawner)
        self.client = Client(self.sockets.port)

    @property
    def handle(self):
        return self.pool.workers[0]

    async def serving(self, serial=None, restarts=0):
        """Wait until every worker serves this serial (or any), each after so many restarts at least."""
        async with asyncio.timeout(PATIENCE):
            while not all(
                handle.is_serving
                and handle.serving[APEX] == (serial or handle.serving[APEX])
                and handle.restarts >= restarts
                for handle in self.pool.workers
            ):
                self.pool._changed.clear()
                await self.pool._changed.wait()

    def change(self, table, serial):
        """Add the records of a table to the zone, and publish that."""
        change = tuple(edits(table))
        part = ZoneChange(serial or self.zone.serial + 1, change, complete=bool(serial))
        self.zone.apply(part)
        self.pool.publish(APEX, part)

    def signal(self, number, handle=0):
        os.kill(self.pool.workers[handle].pid, number)

    async def __aenter__(self):
        self.pool.listen()
        self.pool.start()
        return self

    async def __aexit__(self, *_):
        for handle in self.pool.workers:
            if handle.pid is not None:
                os.kill(handle.pid, signal.SIGCONT)
        await self.pool.stop()
        self.spawner.close()
        self.client.close()
        self.sockets.close()


def running(zone=None, workers=1, **settings):
    return Running(make_zone() if zone is None else zone, workers, **settings)


# --- answering ---------------------------------------------------------------------------------


async def test_workers_answer_from_the_zone_over_udp_and_tcp():
    async with running(workers=2) as it:
        assert it.pool.troubles() == ["worker 0 is not running", "worker 1 is not running"]
        await asyncio.wait_for(it.pool.serving(), PATIENCE)
        assert it.pool.troubles() == []
        assert await it.client.udp() == await it.client.tcp() == ["1.2.3.11"]
        assert await it.client.udp("nobody.mesos.") == []
        assert [handle.serving for handle in it.pool.workers] == [{APEX: 4711}, {APEX: 4711}]
        pids = [handle.pid for handle in it.pool.workers]
        handles = ", ".join(f"WorkerHandle({n}, pid={pid}, serving=[4711], restarts=0)" for n, pid in enumerate(pids))
        assert repr(it.pool) == f"WorkerPool([{handles}])"
    assert [(handle.pid, handle.serving) for handle in it.pool.workers] == [(None, {})] * 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_change_reaches_all_workers():
    async with running(workers=2) as it:
        await it.serving()
        it.change(f"{NAME} A 1.2.3.12", 0)
        it.change("new.mesos A 1.2.3.13", 4712)
        await it.serving(4712)
        for _ in range(8):  # from another port each time: both workers
            other = Client(it.sockets.port)
            with contextlib.closing(other):
                assert await other.udp() == ["1.2.3.11", "1.2.3.12"]
                assert await other.udp("new.mesos.") == ["1.2.3.13"]


async def test_other_upstreams_reach_all_workers_and_those_that_come_after_them():
    async with Upstream(honest) as former, Upstream(honest) as latter:

        def options(upstream):
            return ForwardOptions({names.ROOT: [upstream.address]}, 5.0)

        async with running(workers=2, forward=options(former)) as it:
            await it.serving()
            assert await it.client.udp("a.example.test.") == ["192.0.2.1"]
            it.pool.forward(options(latter))
            it.change(f"{NAME} A 1.2.3.12", 4712)
            await it.serving(4712)  # told behind it
            asked = len(former.asked)
            for n in range(8):
                with contextlib.closing(Client(it.sockets.port)) as other:
                    assert await other.udp(f"{n}.example.test.") == ["192.0.2.1"]
                    assert await other.udp() == ["1.2.3.11", "1.2.3.12"]
            it.signal(signal.SIGKILL)
            async with asyncio.timeout(PATIENCE):
                while not it.handle.restarts or not it.handle.is_serving:
                    it.pool._changed.clear()
                    await it.pool._changed.wait()
            for n in range(8):
                with contextlib.closing(Client(it.sockets.port)) as other:
                    assert await other.udp(f"x{n}.example.test.") == ["192.0.2.1"]
            assert len(former.asked) == asked


async def test_counters_are_summed_over_the_lives_of_a_worker():
    async with running() as it:
        await it.serving()
        await it.client.udp()
        await it.client.udp("nobody.mesos.")
        first = it.handle.pid
        it.signal(signal.SIGTERM)  # it drains and reports for the last time
        await it.serving(restarts=1)
        assert it.handle.pid != first
        asked = it.handle.total_counters()
        assert asked["cache_misses"] + asked["cache_hits"] == 2
        await it.client.udp()
        await it.pool.stop()
        asked = it.handle.total_counters()
        assert asked["cache_misses"] + asked["cache_hits"] == 3
        assert it.handle.counters == {}


# --- secrets of cookies ------------------------------------------------------------------------


async def test_all_workers_take_other_secrets_and_so_do_those_that_follow_them():
    async def made_with(client):
        """Which of the secrets the next reply's cookie was made with."""
        client._sock.send(ask(NAME, payload=1232, options=[option(10, b"12345678")]))
        (cookie,) = (found.to_wire() for found in (await client.receive()).options)
        return [n for n in range(3) if ServerCookies([bytes((n,)) * 16], time.time).is_valid(cookie, LOOPBACK)]

    def secrets(*numbers):
        return CookieSecrets([bytes((n,)) * 16 for n in numbers])

    async with running(workers=2, cookies=secrets(0)) as it:
        await it.serving()
        clients = [Client(it.sockets.port) for _ in range(16)]  # their ports make both workers answer
        with contextlib.ExitStack() as stack:
            for client in clients:
                stack.callback(client.close)
            assert [await made_with(client) for client in clients] == [[0]] * 16
            it.pool.use_cookies(secrets(1, 0))
            async with asyncio.timeout(PATIENCE):
                while [await made_with(client) for client in clients] != [[1]] * 16:
                    pass
            it.signal(signal.SIGKILL)  # what is asked meanwhile waits for the next one
            assert [await made_with(client) for client in clients] == [[1]] * 16
            assert it.handle.restarts == 1


# --- before and while the first state is taken ---------------------------------------------------


async def test_before_the_first_state_names_of_the_zone_are_not_known():
    async with running(Zone(AUTHORITY)) as it:
        it.client.send()
        assert (await it.client.receive()).rcode() == dns.rcode.SERVFAIL
        assert it.pool.troubles() == [f"worker 0 has no zone yet (pid {it.handle.pid})"]
        it.change(f"{NAME} A 1.2.3.11", 0)
        it.change("new.mesos A 1.2.3.13", 1)
        await it.serving(1)
        assert await it.client.udp() == ["1.2.3.11"]
        assert await it.client.udp("new.mesos.") == ["1.2.3.13"]


async def test_with_hold_nothing_is_answered_until_then():
    async with running(Zone(AUTHORITY), hold=True) as it:
        it.client.send()
        it.change(f"{NAME} A 1.2.3.11", 1)
        assert addresses(await it.client.receive()) == ["1.2.3.11"]


# --- killed ------------------------------------------------------------------------------------


async def test_a_killed_worker_is_replaced_at_once_and_what_was_asked_meanwhile_is_answered(said):
    async with running() as it:
        await it.serving()
        it.signal(signal.SIGSTOP)  # it takes no more from its sockets
        for number in range(20):
            it.client.send(number=number)
        waiting = await asyncio.open_connection("127.0.0.1", it.sockets.port)
        asked = asyncio.ensure_future(it.client.over(*waiting))
        killed = asyncio.ensure_future(said("worker 0 "))
        it.signal(signal.SIGKILL)
        it.change("new.mesos A 1.2.3.13", 4712)
        replies = [await it.client.receive() for _ in range(20)]
        assert (await killed).endswith("; another starts in 0.0 s")
        assert sorted(reply.id for reply in replies) == list(range(20))
        assert all(addresses(reply) == ["1.2.3.11"] for reply in replies)
        assert await asked == ["1.2.3.11"]
        waiting[1].close()
        await it.serving(4712, restarts=1)
        assert await it.client.udp("new.mesos.") == ["1.2.3.13"]


async def test_a_worker_that_dies_again_and_again_is_restarted_ever_more_slowly(monkeypatch, said):
    monkeypatch.setattr(module.sys, "executable", "/bin/false")
    monkeypatch.setattr(module, "RESTART_SECONDS", (0.0, 0.1, 0.2))
    async with running():
        for delay in ("0.0", "0.1", "0.2", "0.2"):
            assert await said("ended unasked") == f"worker 0 ended unasked (exit code 1); another starts in {delay} s"


async def test_a_worker_that_lived_for_long_is_restarted_at_once(monkeypatch, said):
    monkeypatch.setattr(module.sys, "executable", "/bin/false")
    monkeypatch.setattr(module, "HEALTHY_SECONDS", 0.0)
    async with running():
        for _ in range(3):
            assert await said("ended unasked") == "worker 0 ended unasked (exit code 1); another starts in 0.0 s"


async def test_a_worker_that_cannot_be_started_is_said_and_tried_again(monkeypatch, said):
    python = sys.executable
    monkeypatch.setattr(module.sys, "executable", "/nowhere/python")
    async with running() as it:
        assert "No such file or directory: '/nowhere/python'" in await said("worker 0 cannot be started")
        monkeypatch.setattr(module.sys, "executable", python)
        await it.serving()
        assert await it.client.udp() == ["1.2.3.11"]


# --- stopped -----------------------------------------------------------------------------------


async def test_stop_lets_workers_answer_what_has_arrived():
    async with running() as it:
        await it.serving()
        it.signal(signal.SIGSTOP)
        for number in range(20):
            it.client.send(number=number)
        stopping = asyncio.ensure_future(it.pool.stop())
        await asyncio.sleep(0)  # SIGTERM is sent
        it.signal(signal.SIGCONT)
        await asyncio.wait_for(stopping, PATIENCE)
        assert sorted([(await it.client.receive()).id for _ in range(20)]) == list(range(20))
        assert it.handle.restarts == 0


async def test_a_worker_that_ignores_sigterm_is_killed(monkeypatch, caplog):
    monkeypatch.setattr(module, "STOP_SECONDS", 0.1)
    async with running() as it:
        await it.serving()
        pid = it.handle.pid
        it.signal(signal.SIGSTOP)
        await asyncio.wait_for(it.pool.stop(), 5)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert "worker 0 does not end on SIGTERM; it is killed" in caplog.text


async def test_a_pool_can_be_stopped_while_its_workers_start():
    async with running(workers=2) as it:
        await asyncio.sleep(0)
        await asyncio.wait_for(it.pool.stop(), PATIENCE)
        assert [(handle.pid, handle.restarts) for handle in it.pool.workers] == [(None, 0)] * 2
        assert [task for task in asyncio.all_tasks() if "worker" in task.get_name()] == []


async def test_a_pool_can_be_stopped_while_a_restart_is_pending(monkeypatch, said):
    monkeypatch.setattr(module.sys, "executable", "/bin/false")
    monkeypatch.setattr(module, "RESTART_SECONDS", (3600.0,))
    async with running() as it:
        await said("ended unasked")
        await asyncio.wait_for(it.pool.stop(), PATIENCE)
        assert it.handle.restarts == 1


async def test_an_empty_pool_serves():
    pool = WorkerPool([], SETTINGS, Zones([Zone(AUTHORITY)]), ProcessSpawner())
    pool.start()
    await pool.serving()
    pool.publish(APEX, ZoneChange(1, tuple(edits(f"{NAME} A 1.2.3.4"))))
    await pool.stop()
    assert repr(pool) == "WorkerPool([])"


# --- large changes ---------------------------------------------------------------------------------


async def test_a_large_change_is_cut_into_frames_that_take_a_worker_a_millisecond():
    zone = Zone(AUTHORITY)
    async with running(zone) as it:
        frames = []
        it.handle.push = frames.extend
        it.handle._stale = False
        table = "\n".join(f"name-{n}.mesos A 10.0.{n // 250}.{n % 250}" for n in range(1000))
        it.pool.publish(APEX, ZoneChange(5, tuple(edits(table))))
        it.pool.publish(APEX, ZoneChange(6, ()))
    reader = FrameReader()
    reader.feed(b"".join(frames))
    assert [(frame.serial, len(frame.changes), frame.complete) for frame in reader] == [
        *[(5, CHANGES_PER_FRAME, False)] * (1000 // CHANGES_PER_FRAME - 1),
        (5, CHANGES_PER_FRAME, True),
        (6, 0, True),
    ]


# --- silent ------------------------------------------------------------------------------------


async def test_a_stopped_worker_is_replaced_after_a_second_and_what_was_asked_meanwhile_is_answered(said):
    async with running() as it:
        await it.serving()
        stopped = it.handle.pid
        it.signal(signal.SIGSTOP)
        for number in range(20):
            it.client.send(number=number)
        silent = asyncio.ensure_future(said("worker 0 said nothing for"))
        replies = [await it.client.receive() for _ in range(20)]
        assert sorted(reply.id for reply in replies) == list(range(20))
        assert (
            await silent == "worker 0 said nothing for 1.0 s, process state T, and was killed; another starts in 0.0 s"
        )
        await it.serving(restarts=1)
        assert it.handle.pid != stopped
        with pytest.raises(ProcessLookupError):
            os.kill(stopped, 0)


async def test_a_worker_hears_of_control_while_nothing_happens(monkeypatch):
    told = asyncio.Queue()
    encode = module.encode

    def noting(frame):
        told.put_nowait(frame)
        return encode(frame)

    monkeypatch.setattr(module, "encode", noting)
    async with running() as it:
        await it.serving()
        heard = []
        async with asyncio.timeout(PATIENCE):
            while heard.count(Heartbeat()) < 2:
                heard.append(await told.get())
        assert heard[-1] == Heartbeat()


async def test_while_a_worker_is_silent_that_can_be_seen(monkeypatch):
    monkeypatch.setattr(liveness, "STOPPED_TICKS", 1000)
    async with running() as it:
        await it.serving()
        it.signal(signal.SIGSTOP)
        async with asyncio.timeout(PATIENCE):
            while not it.pool.troubles():
                it.pool._changed.clear()
                await it.pool._changed.wait()
        assert it.pool.troubles() == [f"worker 0 has said nothing for 1.0 s (pid {it.handle.pid})"]
        it.signal(signal.SIGCONT)
        async with asyncio.timeout(PATIENCE):
            while it.pool.troubles():
                it.pool._changed.clear()
                await it.pool._changed.wait()
        assert it.handle.restarts == 0


async def test_a_worker_that_cannot_be_understood_is_replaced(monkeypatch, said):
    async with running() as it:
        await it.serving()
        before = it.handle.pid
        monkeypatch.setattr(module, "Ack", module.Report)
        it.change("new.mesos A 1.2.3.13", 4712)
        told = await said("worker 0 cannot be understood")
        monkeypatch.undo()
        assert told == (
            "worker 0 cannot be understood (a frame that is not for control: Ack), and was killed; another starts in 0.0 s"
        )
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        await it.serving(4712, restarts=1)
        assert it.handle.pid != before


async def test_a_worker_that_cannot_be_fed_is_replaced(monkeypatch, said):
    async with running() as it:
        await it.serving()
        with monkeypatch.context() as patch:
            patch.setattr(it.handle, "_next_portion", lambda: 1 / 0)
            it.change("new.mesos A 1.2.3.13", 4712)
            assert await said("worker 0 could") == "worker 0 could not be fed, and was killed; another starts in 0.0 s"
        await it.serving(4712, restarts=1)
        assert await it.client.udp("new.mesos.") == ["1.2.3.13"]
