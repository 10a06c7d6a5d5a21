"""What the machine does to the running program: no files left, a full disk, a full send buffer, no IPv6, clocks that jump, a pause."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.integration import client, netns, wire
from tests.integration.faults import Asking, has_address
from tests.integration.masters import Master
from tests.integration.program import Program, command, environment, need, sample_state, until

WEB = wire.query(1, "web.marathon.mesos.", "A")


def leading() -> Master:
    master = Master(("127.0.0.1", 0), b"")
    master.body = sample_state(master.endpoint)
    return master


def comes(program: Program, master: Master, name: str) -> None:
    """A task that starts now gets its name, from every worker."""
    master.body = sample_state(master.endpoint, **{name: "10.9.9.9"})
    until(
        lambda: all(has_address(program.dns, f"{name}.marathon.mesos.") for _ in range(10)),
        lambda: f"{name} never came: {program.log()}",
        30,
    )


def serial(program: Program) -> int:
    found = json.loads(program.get("/v1/status")[1])["zones"][0]["serial"]
    assert isinstance(found, int)
    return found


# --- files -----------------------------------------------------------------------------------------


def test_no_files_are_left(master: Master, tmp_path: Path) -> None:
    """Clients over TCP and HTTP take what they may, and it is not all: names follow the cluster, and workers can be started."""
    under = [need("prlimit"), "--nofile=48:48"]
    with Program(tmp_path, masters=[master.endpoint], under=under, workers=2) as program, ExitStack() as held:
        program.wait_ready()
        with Asking(program.dns) as asking:
            for number in range(100):
                for port in (program.dns_port, program.http_port):
                    sock = held.enter_context(socket.socket())
                    sock.settimeout(30)
                    sock.bind((f"127.0.5.{number % 50 + 1}", 0))
                    sock.connect(("127.0.0.1", port))
            until(lambda: "HTTP: 12 connections are open" in program.log(), lambda: f"not told: {program.log()}")
            victim = program.workers()[0]
            os.kill(victim, signal.SIGKILL)
            until(
                lambda: victim not in program.workers() and len(program.workers()) == 2,
                lambda: f"no worker came: {program.log()}",
            )
            comes(program, master, "late")
            assert client.ask_tcp(program.dns, WEB)["rcode"] == "NOERROR"
            assert asking.some_more().keys() == {"NOERROR"}
        held.close()
        until(lambda: program.get("/readyz")[0] == 200, lambda: f"not ready: {program.log()}")
        assert program.end() == 0
        log = program.log()
    assert "TCP: the limit of open files is 48, 2050 are needed" in log
    assert "Traceback" not in log
    assert log.count("\n") < 60


# --- disk --------------------------------------------------------------------------------------------


def test_a_full_disk_ends_nothing(master: Master, tmp_path: Path) -> None:
    program = Program(tmp_path, masters=[master.endpoint], workers=1)
    program.write_config(program.config)
    program.log_file.touch()
    with Path("/dev/full").open("wb") as full:
        program.process = subprocess.Popen(
            command("run", "--config", str(program.config_file), "-v=2"),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=full,
        )
    try:
        program.wait_ready()
        comes(program, master, "late")
        program.write_config({**program.config, "ttl": 7})
        os.kill(program.pid, signal.SIGHUP)
        until(lambda: json.loads(program.get("/v1/config")[1])["TTL"] == 7, "the new configuration never came")
        assert has_address(program.dns, "late.marathon.mesos.")
        assert program.end() == 0
    finally:
        program.__exit__()


# --- networks ----------------------------------------------------------------------------------------


@pytest.fixture
def network() -> Generator[netns.Network]:
    if os.geteuid() != 0:
        pytest.skip("only root can make and enter networks")
    need("nsenter")
    with netns.network() as found:
        yield found


def test_the_kernel_takes_no_more_replies(network: netns.Network, tmp_path: Path) -> None:
    """The way to one client is slow, and its replies fill the send buffer. It loses them, and nobody else waits."""
    with netns.network() as clients, ExitStack() as tidy:
        network.run(*["ip", "link", "add", "server", "type", "veth", "peer", "name", "client"])
        network.run("ip", "link", "set", "client", "netns", str(clients.holder))
        for where, device, address in ((network, "server", "10.77.0.1/24"), (clients, "client", "10.77.0.2/24")):
            where.run("ip", "address", "add", address, "dev", device)
            where.run("ip", "link", "set", device, "up")
        network.run(
            need("tc"),
            *["qdisc", "add", "dev", "server", "root", "tbf", "rate", "64kbit", "burst", "2000", "limit", "64mb"],
        )
        master = network.within(leading)
        tidy.callback(master.close)
        program = tidy.enter_context(
            Program(tmp_path, masters=[master.endpoint], under=network.under, workers=1, listener="0.0.0.0")
        )
        network.within(program.wait_ready)

        def failed() -> int:
            counters = json.loads(network.within(lambda: program.get("/v1/status"))[1])["counters"]
            return int(counters.get("udp_send_failed", 0))

        over = threading.Event()
        flood = threading.Thread(
            target=clients.within, args=[lambda: ask_without_end(("10.77.0.1", program.dns_port), over)]
        )
        flood.start()
        try:
            until(lambda: failed() > 1000, lambda: f"the buffer is never full: {program.log()}", 60)
            # Meanwhile others are answered: over TCP, and over UDP as soon as there is room for a reply.
            assert network.within(lambda: client.ask_tcp(program.dns, WEB))["rcode"] == "NOERROR"
        finally:
            over.set()
            flood.join()
        assert network.within(lambda: client.ask(program.dns, "web.marathon.mesos.", "A"))["rcode"] == "NOERROR"
        network.run(need("tc"), *["qdisc", "del", "dev", "server", "root"])
        there = "10.77.0.1", program.dns_port
        until(
            lambda: clients.within(lambda: has_address(there)),
            lambda: f"it never recovers: {program.log()}",
        )
        assert program.end() == 0
        assert "Traceback" not in program.log()


def ask_without_end(endpoint: tuple[str, int], over: threading.Event) -> None:
    with client.connected(endpoint, socket.SOCK_DGRAM) as sock:
        while not over.wait(0.005):
            for _ in range(200):
                sock.send(WEB)


#: seccomp(2): socket(2) of the family AF_INET6 fails as with a kernel without IPv6 (`ipv6.disable=1`): EAFNOSUPPORT. On other machines than these two nothing is forbidden.
_NO_IPV6 = """
import ctypes, os, platform, struct, sys
number = {"x86_64": 41, "aarch64": 198}.get(platform.machine(), -1)
code = [(0x20, 0, 0, 0), (0x15, 0, 3, number & 0xffffffff), (0x20, 0, 0, 16), (0x15, 0, 1, 10), (0x06, 0, 0, 0x50000 | 97), (0x06, 0, 0, 0x7fff0000)]
rules = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in code))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(rules)))
prctl = ctypes.CDLL(None, use_errno=True).prctl
assert prctl(38, 1, 0, 0, 0) == 0 and prctl(22, 2, ctypes.c_void_p(ctypes.addressof(program)), 0, 0) == 0
os.execvp(sys.argv[1], sys.argv[1:])
"""


@contextmanager
def upstream(endpoint: tuple[str, int]) -> Iterator[None]:
    """Answers every question with one address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(endpoint)
        sock.settimeout(0.2)
        over = threading.Event()

        def work() -> None:
            while not over.is_set():
                try:
                    octets, asker = sock.recvfrom(4096)
                except TimeoutError:
                    continue
                end = octets.index(0, 12) + 5
                answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x0a\x63\0\1"
                sock.sendto(octets[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + octets[12:end] + answer, asker)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize("way", ["no addresses", "no protocol"])
def test_there_is_no_ipv6(network: netns.Network, tmp_path: Path, way: str) -> None:
    """An upstream over IPv6 costs nothing but itself, names have their IPv6 addresses, and who is to listen there is told."""
    under = [*network.under]
    if way == "no addresses":
        network.run("sh", "-c", "for file in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 > $file; done")
    else:
        under += [sys.executable, "-c", _NO_IPV6]
    master = network.within(leading)
    keys = {"externalOn": True, "Resolvers": ["[2001:db8::53]:5353", "127.0.0.53:5353"]}
    answering = upstream(("127.0.0.53", 5353))
    network.within(answering.__enter__)
    try:
        with Program(
            tmp_path, masters=[master.endpoint], under=under, workers=1, listener="0.0.0.0", **keys
        ) as program:
            network.within(program.wait_ready)
            found = network.within(lambda: client.ask(program.dns, "web.marathon.mesos.", "AAAA"))
            assert len(found["answer"]) == 2
            # Each of its own: what is known of an upstream changes with each question.
            for number in range(5):
                found = network.within(lambda name=f"n{number}.example.": client.ask(program.dns, name, "A"))
                assert [text.split()[-1] for text in found["answer"]] == ["10.99.0.1"]
            assert network.within(lambda: client.ask_tcp(program.dns, WEB))["rcode"] == "NOERROR"
            assert program.end() == 0
            assert "Traceback" not in program.log()
    finally:
        answering.__exit__(None, None, None)
        master.close()


def test_who_is_to_listen_where_there_is_no_ipv6_is_told(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    for key, listener in (("listener", "::"), ("httpListener", "::1")):
        file.write_text(
            json.dumps({"masters": ["127.0.0.1:1"], "port": 0, "httpPort": 0, "listener": "127.0.0.1", key: listener})
        )
        done = subprocess.run(
            [sys.executable, "-c", _NO_IPV6, *command("run", "--config", str(file))],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1
        assert f"{listener}" in done.stderr
        assert "Address family not supported by protocol; check" in done.stderr
        assert "Traceback" not in done.stderr


# --- clocks --------------------------------------------------------------------------------------------

#: In every process of the program the wall clock is what a file says away from the real one.
_CLOCK = """
import os, time
def jumped(real=time.time, place=os.path.join(os.path.dirname(__file__), "offset")):
    with open(place) as file:
        return real() + float(file.read())
time.time = jumped
"""
YEAR = 365 * 86400


def test_the_wall_clock_jumps(master: Master, tmp_path: Path) -> None:
    """It tells where serials begin, and people when things happened; nothing waits for it, and nothing ends by it."""
    (tmp_path / "sitecustomize.py").write_text(_CLOCK)
    offset = tmp_path / "offset"

    def jump(seconds: int) -> None:
        (tmp_path / "new").write_text(str(seconds))
        (tmp_path / "new").replace(offset)

    jump(0)
    variables = {"PYTHONPATH": f"{tmp_path}:{environment()['PYTHONPATH']}"}
    with Program(tmp_path, masters=[master.endpoint], variables=variables, workers=1) as program:
        program.wait_ready()
        workers = program.workers()
        with Asking(program.dns) as asking:
            seen = [serial(program)]
            for number, seconds in enumerate((10 * YEAR, -20 * YEAR, 0)):
                jump(seconds)
                comes(program, master, f"late{number}")
                seen.append(serial(program))
                assert program.get("/readyz")[0] == 200
            program.write_config({**program.config, "ttl": 7})
            os.kill(program.pid, signal.SIGHUP)
            until(lambda: program.workers() != workers and len(program.workers()) == 1, "no reload")
            assert asking.some_more().keys() == {"NOERROR"}
        assert abs(json.loads(program.get("/v1/status")[1])["reload"]["at"] - time.time()) < YEAR
        assert program.end() == 0
    assert seen == sorted(set(seen))


def test_the_machine_has_just_started(master: Master, tmp_path: Path) -> None:
    """Nothing takes it for granted that the steady clock is far from 0."""
    seconds = 2
    if os.geteuid() != 0:
        pytest.skip("only root can have clocks of its own")
    offset = seconds - int(time.clock_gettime(time.CLOCK_BOOTTIME))
    under = [need("unshare"), "--time", f"--monotonic={offset}", f"--boottime={offset}"]
    clock = subprocess.run(
        [*under, sys.executable, "-c", "import time; print(time.monotonic())"], capture_output=True, check=True
    )
    assert abs(float(clock.stdout) - seconds) < 60
    with Program(tmp_path, masters=[master.endpoint], under=under, workers=1) as program:
        program.wait_ready()
        with Asking(program.dns) as asking:
            comes(program, master, "late")
            assert client.ask_tcp(program.dns, WEB)["rcode"] == "NOERROR"
            victim = program.workers()[0]
            os.kill(victim, signal.SIGKILL)
            until(lambda: victim not in program.workers() and program.get("/readyz")[0] == 200, "no other came")
            assert asking.some_more().keys() == {"NOERROR"}
        assert program.end() == 0


def test_everything_stands_still_for_a_while(master: Master, tmp_path: Path) -> None:
    """As in a virtual machine that is paused or moved: no worker is lost by it, and what came meanwhile is answered."""
    with Program(tmp_path, masters=[master.endpoint], workers=2) as program:
        program.wait_ready()
        workers = program.workers()
        everybody = [program.pid, *workers]
        for pid in everybody:
            os.kill(pid, signal.SIGSTOP)
        with Asking(program.dns, patience=60) as asking:
            # Longer than any worker may be silent (`workers/liveness.py`), stopped or not.
            time.sleep(3)
            for pid in everybody:
                os.kill(pid, signal.SIGCONT)
            assert asking.some_more().keys() == {"NOERROR"}
        comes(program, master, "late")
        assert program.workers() == workers
        assert program.end() == 0
    assert "WARNING worker" not in program.log()
