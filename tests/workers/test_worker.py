"""A worker: fed with frames in this process, and as the process that it is."""

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import time

import dns.rcode
import msgspec
import pytest
from tests.serve.asking import AUTHORITY, ask, edits, make_zone, option, read, texts
from tests.zone.changes import edit

from mesos_dns import landlock
from mesos_dns.dns import name as names
from mesos_dns.dns.prefixes import ClientList, prefix_of
from mesos_dns.serve.cookies import ServerCookies
from mesos_dns.serve.forward.options import ForwardOptions
from mesos_dns.serve.ratelimit import Rates
from mesos_dns.serve.request import Forward
from mesos_dns.workers.protocol import (
    Ack,
    CookieSecrets,
    FrameReader,
    Listen,
    Listener,
    Networks,
    ProtocolError,
    Report,
    Settings,
    SnapshotBegin,
    ZoneUpdate,
    encode,
)
from mesos_dns.workers.worker import Worker

NAME = "chronos.marathon.mesos."
SERIAL = 1700000000
APEX = AUTHORITY.apex


def settings(listeners=(), *, hold=False, **more):
    values = {"recursion": True, "truncate_bit": True, "forward": ForwardOptions({}, 5.0), "verbosity": 0}
    return Settings([AUTHORITY], listeners=list(listeners), hold=hold, **(values | more))


def snapshot():
    """The frames of a whole zone."""
    zone = make_zone()
    return [
        SnapshotBegin(APEX),
        *(update(SERIAL, ((owner,), (), zone.rrsets(owner)), complete=False) for owner in zone),
        update(SERIAL),
    ]


def update(serial, *changes, complete=True):
    return ZoneUpdate(APEX, serial, list(changes), complete)


class Told:
    """What a worker told control."""

    def __init__(self):
        self.frames = []

    def __call__(self, frame):
        self.frames.append(frame)


@pytest.fixture
def told():
    yield Told()
    gc.enable()


@pytest.fixture
def worker(told):
    return Worker(settings(), told)


def feed(worker, *frames):
    for frame in frames:
        worker.take(frame)


def addresses(worker, name=NAME):
    """What the worker answers; None if it has nothing to answer from."""
    reply = read(worker._responder.respond_udp(ask(name)))
    if reply.rcode() == dns.rcode.SERVFAIL:
        return None
    return sorted(text.split()[-1] for text in texts(reply.answer))


# --- frames ------------------------------------------------------------------------------------


async def test_before_the_zone_is_there_it_does_not_know(worker):
    assert addresses(worker) is None


async def test_it_works_with_the_secrets_that_control_tells(told):
    worker = Worker(settings(cookies=CookieSecrets([bytes(16)]), server_id=b"ns-a"), told)
    octets = ask("id.server.", "TXT", "CH", payload=1232, options=[option(10, bytes(8))])

    def judge(secret):
        reply = read(worker._responder.respond_udp(octets, b"abcd"))
        assert texts(reply.answer) == ['id.server. 0 CH TXT "ns-a"']
        return ServerCookies([secret], time.time).is_valid(reply.options[0].to_wire(), b"abcd")

    assert judge(bytes(16))
    feed(worker, CookieSecrets([b"x" * 16, bytes(16)]))
    assert judge(b"x" * 16)


async def test_without_cookies_secrets_change_nothing(worker):
    feed(worker, CookieSecrets([b"x" * 16]))
    reply = read(worker._responder.respond_udp(ask("mesos.", payload=1232, options=[option(10, bytes(8))])))
    assert [int(found.otype) for found in reply.options] == [15]


async def test_a_snapshot_is_served_when_it_is_complete(worker, told):
    *most, last = snapshot()
    feed(worker, *most)
    assert (addresses(worker), told.frames) == (None, [])
    feed(worker, last)
    assert addresses(worker) == ["1.2.3.11"]
    assert told.frames == [Ack(APEX, SERIAL)]
    assert worker._zones[APEX].serial == SERIAL
    assert gc.isenabled()


async def test_a_snapshot_may_be_completed_by_updates(worker, told):
    """While control takes its first state its zone is empty; all that workers get are updates."""
    first, second = [edit(owner, 1, (), (b"\1\2\3\4",)) for owner in map(names.from_text, ("a.mesos", "b.mesos"))]
    feed(worker, SnapshotBegin(APEX), update(SERIAL, first, complete=False))
    assert addresses(worker, "a.mesos.") is None
    feed(worker, update(SERIAL, second))
    assert addresses(worker, "a.mesos.") == addresses(worker, "b.mesos.") == ["1.2.3.4"]
    assert told.frames == [Ack(APEX, SERIAL)]


async def test_a_change_is_seen_at_once(worker, told):
    feed(worker, *snapshot())
    assert addresses(worker) == ["1.2.3.11"]
    feed(worker, update(SERIAL + 1, *edits(f"{NAME} A 1.2.3.12"), complete=False))
    assert addresses(worker) == ["1.2.3.11", "1.2.3.12"]
    assert told.frames == [Ack(APEX, SERIAL)]
    feed(worker, update(SERIAL + 1, edit(names.from_text(NAME), 1, (b"\1\2\3\x0b",), ())))
    assert addresses(worker) == ["1.2.3.12"]
    assert told.frames == [Ack(APEX, SERIAL), Ack(APEX, SERIAL + 1)]


async def test_a_new_snapshot_replaces_the_old_zone_and_until_then_the_old_one_answers(worker):
    feed(worker, *snapshot())
    feed(
        worker,
        SnapshotBegin(APEX),
        update(SERIAL + 5, edit(names.from_text("new.mesos"), 1, (), (b"\1\1\1\1",)), complete=False),
    )
    assert addresses(worker) == ["1.2.3.11"]
    feed(worker, update(SERIAL + 5))
    assert addresses(worker) == []
    assert addresses(worker, "new.mesos.") == ["1.1.1.1"]


async def test_each_zone_has_a_snapshot_changes_and_a_serial_of_its_own(told):
    other = names.from_text("other")
    frame = msgspec.structs.replace(settings(), zones=[AUTHORITY, AUTHORITY._replace(apex=other)])
    worker = Worker(frame, told)
    feed(worker, *snapshot())
    assert addresses(worker) == ["1.2.3.11"]
    assert addresses(worker, "web.other.") is None
    record = edit(names.from_text("web.other"), 1, (), (b"\1\2\3\4",))
    feed(worker, SnapshotBegin(other), ZoneUpdate(other, 7, [record], False))
    assert addresses(worker, "web.other.") is None
    feed(worker, ZoneUpdate(other, 7, [], True))
    assert addresses(worker, "web.other.") == ["1.2.3.4"]
    feed(worker, ZoneUpdate(other, 8, [edit(names.from_text("web.other"), 1, (b"\1\2\3\4",), (b"\1\2\3\5",))], True))
    assert addresses(worker, "web.other.") == ["1.2.3.5"]
    assert addresses(worker) == ["1.2.3.11"]
    assert told.frames == [Ack(APEX, SERIAL), Ack(other, 7), Ack(other, 8)]


@pytest.mark.parametrize("frame", [settings(), Ack(APEX, 1), Report({})])
async def test_frames_out_of_order_are_refused(worker, frame):
    with pytest.raises(ProtocolError, match=f"an unexpected frame: {type(frame).__name__}"):
        worker.take(frame)


async def test_counters(worker):
    feed(worker, *snapshot())
    addresses(worker)
    addresses(worker)
    assert worker.counters()["cache_misses"] == 2 - worker.counters()["cache_hits"]
    assert "forwarded" not in worker.counters()


async def test_repr(worker):
    memo = "ResponseCache(found=0, missing=0)"
    assert repr(worker) == f"Worker(Zones([Zone('mesos.', serial=0, names=0)]), Responder([{memo}, {memo}]))"


# --- the process -------------------------------------------------------------------------------


class Control:
    """Control's end of a feed."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self._frames = FrameReader()

    def send(self, *frames):
        for frame in frames:
            self._writer.write(frame if isinstance(frame, bytes) else encode(frame))

    async def receive(self, kind):
        """The next frame of this kind."""
        async with asyncio.timeout(20):
            while True:
                for frame in self._frames:
                    if isinstance(frame, kind):
                        return frame
                octets = await self._reader.read(65536)
                assert octets, "the worker is gone"
                self._frames.feed(octets)

    async def ended(self):
        async with asyncio.timeout(20):
            while await self._reader.read(65536):
                pass

    def close(self):
        self._writer.close()


class Process:
    """A worker process with a UDP and a TCP socket on one port of loopback."""

    async def __aenter__(self):
        self.udp, self.tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
        self.tcp.bind(("127.0.0.1", 0))
        self.address = self.tcp.getsockname()
        self.udp.bind(self.address)
        ours, theirs = socket.socketpair()
        fds = [theirs.fileno(), self.udp.fileno(), self.tcp.fileno()]
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mesos_dns.workers.worker", "0", str(fds[0])),
            pass_fds=fds,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=asyncio.subprocess.PIPE,
        )
        theirs.close()
        self.listeners = [Listener(fds[1], udp=True), Listener(fds[2], udp=False)]
        self.control = Control(*await asyncio.open_connection(sock=ours))
        return self

    async def __aexit__(self, *_):
        self.control.close()
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()
        self.udp.close()
        self.tcp.close()

    async def ended(self):
        """Exit code and what it wrote to standard error."""
        async with asyncio.timeout(20):
            _, written = await self.process.communicate()
        return self.process.returncode, written.decode()


async def ask_udp(address, octets):
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.connect(address)
        sock.send(octets)
        async with asyncio.timeout(10):
            return read(await loop.sock_recv(sock, 4096))


async def ask_tcp(address, octets):
    reader, writer = await asyncio.open_connection(*address)
    async with asyncio.timeout(10):
        writer.write(len(octets).to_bytes(2) + octets)
        reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
    writer.close()
    return read(reply)


async def test_the_life_of_a_worker():
    async with Process() as worker:
        worker.control.send(settings(worker.listeners), Listen())
        assert (await ask_udp(worker.address, ask(NAME))).rcode() == dns.rcode.SERVFAIL
        worker.control.send(*snapshot())
        assert await worker.control.receive(Ack) == Ack(APEX, SERIAL)
        assert texts((await ask_udp(worker.address, ask(NAME))).answer)
        assert texts((await ask_tcp(worker.address, ask(NAME))).answer)
        assert (await ask_udp(worker.address, ask("example.org."))).rcode() == dns.rcode.REFUSED
        # Neither Ctrl-C nor a reload are its business.
        worker.process.send_signal(signal.SIGINT)
        worker.process.send_signal(signal.SIGHUP)
        assert texts((await ask_udp(worker.address, ask(NAME))).answer)
        worker.process.send_signal(signal.SIGTERM)
        counts = (await worker.control.receive(Report)).counts
        assert counts["tcp_connections"] == 1
        assert await worker.ended() == (0, "")


async def test_a_worker_that_holds_answers_nothing_before_it_has_the_zone():
    async with Process() as worker:
        worker.control.send(settings(worker.listeners, hold=True), Listen())
        question = asyncio.ensure_future(ask_udp(worker.address, ask(NAME)))
        # The first report tells that it lives and has taken its settings.
        await worker.control.receive(Report)
        assert not question.done()
        worker.control.send(*snapshot())
        assert texts((await question).answer)


async def test_a_worker_ends_with_its_control():
    async with Process() as worker:
        worker.control.send(settings(worker.listeners), Listen(), *snapshot())
        await worker.control.receive(Ack)
        worker.control.close()
        assert await worker.ended() == (0, "")


@pytest.mark.skipif(not landlock.version(), reason="this system has no Landlock")
def test_it_reads_no_other_files_than_those_it_was_given(tmp_path):
    """Neither the configuration, with its secrets, nor what lies where it was started; and it has no privileges by then."""
    for name in ("ca.pem", "config.json"):
        (tmp_path / name).write_text("text")
    program = [
        "from mesos_dns.workers import worker",
        "worker._give_up_privileges(['ca.pem'])",
        "assert open('ca.pem').read() == 'text'",
        "try: open('config.json')",
        "except PermissionError: pass",
        "else: raise AssertionError",
        "try: open('ca.pem', 'a')",
        "except PermissionError: pass",
        "else: raise AssertionError",
        "assert 'NoNewPrivs:\\t1' in status",
    ]
    program.insert(1, "import pathlib; read = pathlib.Path('/proc/self/status').open()")
    program.insert(3, "status = read.read()")
    done = subprocess.run(
        [sys.executable, "-P", "-c", "\n".join(program)],
        cwd=tmp_path,
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- who may ask -------------------------------------------------------------------------------


def rcode(worker, name, client):
    reply = worker._responder.respond_udp(ask(name), client)
    return None if isinstance(reply, Forward) else read(reply).rcode()


async def test_who_may_ask_depends_on_the_networks_of_the_machine(told):
    friend, stranger = bytes((198, 51, 100, 7)), bytes((203, 0, 113, 7))
    local = ClientList(allowed=(), local=True)
    worker = Worker(
        settings(allow_query=local, networks=(prefix_of(friend, 24),), rates=Rates(1, 1, 1, exempt=local)), told
    )
    feed(worker, *snapshot())
    assert [rcode(worker, NAME, each) for each in (friend, stranger)] == [0, dns.rcode.REFUSED]
    assert worker._limit.limiter.exempt.allows(friend)
    feed(worker, Networks((prefix_of(stranger, 24),)))
    assert [rcode(worker, NAME, each) for each in (friend, stranger)] == [dns.rcode.REFUSED, 0]
    assert not worker._limit.limiter.exempt.allows(friend)


async def test_names_outside_are_for_those_who_may(told):
    friend, stranger = bytes((198, 51, 100, 7)), bytes((203, 0, 113, 7))
    worker = Worker(settings(allow_recursion=ClientList(allowed=(prefix_of(friend, 24),))), told)
    feed(worker, *snapshot())
    assert [rcode(worker, NAME, each) for each in (friend, stranger)] == [0, 0]
    assert [rcode(worker, "www.example.", each) for each in (friend, stranger)] == [None, dns.rcode.REFUSED]


async def test_without_lists_and_limits_nothing_is_asked(worker):
    assert worker._responder.policy is worker._responder.recursion is worker._limit is None


async def test_names_are_counted_by_the_zone_that_they_lie_in(told):
    worker = Worker(settings(rates=Rates(1, 1, 1)), told)
    zone_of = worker._limit.limiter._zone_of
    assert [zone_of(names.from_text(name)) for name in ("a.b.mesos", "mesos", "example")] == [APEX, APEX, b""]
