"""Upstreams that fail in every way, and the real program that asks them: what clients get, and that it stays itself.

One program serves most tests. Each has a zone of its own, whose upstreams fail in its way.
"""

import random
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median

import pytest
from tests.integration import client, wire
from tests.integration.faulty import (
    Asked,
    Bed,
    Behaviour,
    Held,
    NameServer,
    bed,
    failure,
    honest,
    late,
    nobody,
    saying,
    silent,
    truncated,
)
from tests.integration.program import until

#: Seconds that a question may take.
TIMEOUT = 2
ADDRESS = "192.0.2.1"
#: As many addresses as a datagram of 1,232 octets cannot hold.
MANY = [f"192.0.2.{n}" for n in range(1, 101)]


def lying(asked: Asked) -> None:
    """Says what is wrong in each way that a forged reply may be, and then the truth."""
    wrong = asked.reply("6.6.6.6")
    asked.send(bytes((wrong[0], wrong[1] ^ 1)) + wrong[2:])
    asked.send(wrong.replace(b"\x03www", b"\x03wwx", 1))
    asked.send(wrong[:2] + bytes((wrong[2] & 0x7F,)) + wrong[3:])
    asked.send(wrong[:4] + b"\0\0" + wrong[6:])
    asked.send(b"")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
        elsewhere.sendto(wrong, asked.address)
    honest(asked)


def forging(asked: Asked) -> None:
    """Never the truth."""
    wrong = asked.reply("6.6.6.6")
    asked.send(bytes((wrong[0], wrong[1] ^ 1)) + wrong[2:])


def garbage(asked: Asked) -> None:
    """An honest reply with some octets behind the ID changed, cut anywhere, or with something behind it; always the same for one name."""
    draw = random.Random(asked.name)
    octets = bytearray(asked.reply(*MANY[:3], opt=b"\0" + struct.pack(">2HIH", 41, 1232, 0, 0)))
    start = len(octets) - 59 if draw.random() < 0.7 else 2
    for _ in range(draw.randrange(1, 6)):
        octets[draw.randrange(start, len(octets))] = draw.choice((0, 1, 0x3F, 0x40, 0xC0, 0xFF, draw.randrange(256)))
    if draw.random() < 0.2:
        del octets[draw.randrange(12, len(octets)) :]
    asked.send(bytes(octets) + draw.randbytes(draw.choice((0, 0, 0, 5))))


def whole(asked: Asked) -> None:
    asked.send(asked.reply(*MANY))


def garbage_over_tcp(asked: Asked) -> None:
    """Each time another of many wrong messages, the first of which nobody would think of."""
    reply = asked.reply(*MANY)
    wrong = {
        "header": asked.header(1),
        "formerr": asked.reply(rcode=1),
        "empty": b"",
        "short": reply[:7],
        "cut": reply[:-3],
        "other": bytes((reply[0] ^ 1,)) + reply[1:],
        "query": asked.octets,
        "end": reply[:20],
    }
    asked.send(wrong[asked.name.split(".")[0]])


def at_the_end(asked: Asked) -> None:
    """Up to a fifth of a second before the time-out ends, or after."""
    late(TIMEOUT + (int(asked.name.split(".")[0]) - 20) / 100)(asked)


WRONG_OVER_TCP = ("header", "formerr", "empty", "short", "cut", "other", "query", "end")


@pytest.fixture(scope="module")
def upstreams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    def pair(behave: Behaviour, tcp: Behaviour | None = None) -> list[NameServer]:
        return [NameServer(behave, tcp), NameServer(honest)]

    zones = {
        "silent.example.": [NameServer(silent)],
        "slow.example.": [NameServer(late(0.7))],
        "refusing.example.": [nobody()],
        "second.example.": [nobody(), NameServer(honest)],
        "quiet.example.": pair(silent),
        "lying.example.": [NameServer(lying)],
        "forging.example.": pair(forging),
        "garbage.example.": pair(garbage),
        "truncating.example.": [NameServer(truncated, whole)],
        "closing.example.": [NameServer(truncated, whole, most=1)],
        "notcp.example.": [NameServer(truncated)],
        "hanging.example.": [NameServer(truncated, silent)],
        **{f"{how}.tcp.example.": [NameServer(truncated, garbage_over_tcp)] for how in WRONG_OVER_TCP},
        "flapping.example.": pair(honest),
        "alone.example.": [NameServer(honest)],
        "dead.example.": [NameServer(silent), NameServer(silent)],
        "end.example.": [NameServer(at_the_end)],
        "flood.example.": [NameServer(silent)],
        "gone.example.": [NameServer(Held())],
        "failing.example.": [NameServer(saying(2)), NameServer(saying(5)), NameServer(honest)],
        "servfail.example.": [NameServer(saying(2))],
        "six.example.": [NameServer(honest, host="::1")],
        "refusing-six.example.": [nobody(host="::1"), NameServer(honest, host="::1")],
        "silent-six.example.": [NameServer(silent, host="::1"), NameServer(honest, host="::1")],
        "truncating-six.example.": [NameServer(truncated, whole, host="::1")],
        "notcp-six.example.": [NameServer(truncated, host="::1")],
    }
    with bed(tmp_path_factory.mktemp("faults"), zones, timeout=TIMEOUT) as running:
        yield running


@pytest.fixture(scope="module")
def waited(upstreams: Bed) -> dict[str, bytes]:
    """Replies by name to questions that take the whole time-out, all asked at the same time; ours are answered meanwhile."""
    names = ["www.silent.example."]
    names += [f"{n}.dead.example." for n in range(6)]
    names += [f"{n}.hanging.example." for n in range(4)]
    names += [f"{n}.end.example." for n in range(40)]
    with client.connected(upstreams.program.dns, socket.SOCK_DGRAM, 5 * TIMEOUT) as sock:
        for n, name in enumerate(names):
            sock.send(wire.query(n, name, "A", edns=1232))
        upstreams.ours()
        replies = [sock.recv(65535) for _ in names]
        # By then the answers of `end` that come too late are there.
        upstreams.servers["end.example."][0].behave = honest
        until(lambda: upstreams.ask(f"{time.monotonic_ns()}.end.example.")["answer"], upstreams.program.log)
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(65535)
    found = {names[int.from_bytes(reply[:2])]: reply for reply in replies}
    assert sorted(found) == sorted(names), "each is answered once"
    return found


@pytest.fixture(autouse=True)
def zone_stays(upstreams: Bed) -> Iterator[None]:
    yield
    upstreams.ours()


def addresses(reply: wire.Reply) -> list[str]:
    assert reply["rcode"] == "NOERROR", reply
    return [record.split()[-1] for record in reply["answer"]]


# --- silence -----------------------------------------------------------------------------------


def test_silence_is_servfail_and_is_remembered(upstreams: Bed, waited: dict[str, bytes]) -> None:
    (server,) = upstreams.servers["silent.example."]
    assert failure(waited["www.silent.example."]) == ("SERVFAIL", (22,))
    assert upstreams.failure("www.silent.example.") == ("SERVFAIL", (13,))
    assert server.names().count("www.silent.example.") == 1


def test_where_tcp_hangs_the_truncated_answer_is_the_answer(upstreams: Bed, waited: dict[str, bytes]) -> None:
    for n in range(4):
        found = wire.parse(waited[f"{n}.hanging.example."])
        assert (found["rcode"], "TC" in found["flags"]) == ("NOERROR", True)
    (server,) = upstreams.servers["hanging.example."]
    assert len(server.asked_tcp) == 4
    assert "TC" in upstreams.ask("later.hanging.example.")["flags"]
    assert len(server.asked_tcp) == 4, "after several failures TCP is not tried for a while"


def test_a_slow_upstream_is_waited_for_and_asked_once(upstreams: Bed) -> None:
    assert addresses(upstreams.ask("www.slow.example.")) == [ADDRESS]
    assert upstreams.servers["slow.example."][0].names() == ["www.slow.example."]


def test_nobody_listens(upstreams: Bed) -> None:
    assert upstreams.failure("www.refusing.example.") == ("SERVFAIL", (22,))
    until(lambda: "failed: Connection refused" in upstreams.program.log(), upstreams.program.log)
    assert addresses(upstreams.ask("www.second.example.")) == [ADDRESS]


def test_the_second_answers_soon_once_the_first_is_known_to_be_silent(upstreams: Bed) -> None:
    quiet, _ = upstreams.servers["quiet.example."]
    began, n = time.monotonic(), 0
    while time.monotonic() - began < 1.3 or n < 5:
        assert addresses(upstreams.ask(f"{n}.quiet.example.")) == [ADDRESS]
        n += 1
    asked = len(quiet.asked)
    for more in range(30):
        assert addresses(upstreams.ask(f"{n + more}.quiet.example.")) == [ADDRESS]
    assert len(quiet.asked) - asked < 10, "it is only probed"


def test_when_all_are_dead_questions_fail_at_once(upstreams: Bed, waited: dict[str, bytes]) -> None:
    assert {failure(waited[f"{n}.dead.example."]) for n in range(6)} == {("SERVFAIL", (22,))}
    took = []
    for n in range(20):
        began = time.monotonic()
        assert upstreams.failure(f"x{n}.dead.example.") == ("SERVFAIL", (22,))
        took.append(time.monotonic() - began)
    assert median(took) < TIMEOUT, "not all wait until the time is over"
    assert upstreams.failure("0.dead.example.")[1] in [(13,), (22,)]


def test_an_answer_at_the_very_end_of_the_time_out_is_one_or_it_is_too_late(waited: dict[str, bytes]) -> None:
    rcodes = {failure(waited[f"{n}.end.example."]) for n in range(40)}
    assert rcodes <= {("NOERROR", ()), ("SERVFAIL", (22,))}


def test_clients_that_ask_and_leave(upstreams: Bed) -> None:
    (server,) = upstreams.servers["gone.example."]
    held = server.behave
    assert isinstance(held, Held)
    with ExitStack() as stack:
        for n in range(100):
            kind = socket.SOCK_STREAM if n % 4 == 0 else socket.SOCK_DGRAM
            sock = stack.enter_context(client.connected(upstreams.program.dns, kind))
            query = wire.query(n, f"{n}.gone.example.", "A")
            if kind == socket.SOCK_STREAM:
                # Half of them break the connection, the others close it.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", n % 8 == 0, 0))
                query = struct.pack(">H", len(query)) + query
            sock.send(query)
        until(lambda: len(held.asked) > 50, lambda: f"{len(held.asked)} were forwarded")
    held.release()
    server.behave = honest
    kept = held.answered[0].name
    assert addresses(upstreams.ask(kept)) == [ADDRESS]
    assert server.names().count(kept) == 1, "what came is kept, though nobody waited for it"
    assert addresses(upstreams.ask("www.gone.example.")) == [ADDRESS]
    (worker,) = upstreams.program.workers()
    before = resident(worker)
    for n in range(1000):
        with client.connected(upstreams.program.dns, socket.SOCK_DGRAM) as sock:
            sock.send(wire.query(n, f"x{n}.gone.example.", "A"))
        if n % 20 == 0:  # so that the others are taken, too
            upstreams.ask(f"y{n}.gone.example.")
    assert len(server.asked) > 1000
    assert resident(worker) - before < 8 << 20


def resident(pid: int) -> int:
    """Octets of memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_a_client_that_floods_a_dead_zone_gets_half_of_the_room_and_others_are_served(upstreams: Bed) -> None:
    replies = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.2", 0))
        sock.connect(upstreams.program.dns)
        sock.setblocking(False)
        for n in range(900):
            sock.send(wire.query(n, f"{n}.flood.example.", "A", edns=1232))
            if n % 50 == 49:
                upstreams.ours()
                assert addresses(upstreams.ask(f"{n}.second.example.")) == [ADDRESS]
                with suppress(BlockingIOError):
                    while True:
                        replies.append(sock.recv(65535))
    assert len(replies) > 300
    assert {failure(reply) for reply in replies} == {("SERVFAIL", (0,))}
    assert len(upstreams.servers["flood.example."][0].asked) <= 500
    until(lambda: upstreams.count("forward_shed") > 300, "it is not counted")


# --- lies and garbage --------------------------------------------------------------------------


def test_forged_replies_are_passed_over(upstreams: Bed) -> None:
    assert addresses(upstreams.ask("www.lying.example.")) == [ADDRESS]
    assert addresses(upstreams.ask("www.forging.example.")) == [ADDRESS]
    assert len(upstreams.servers["lying.example."][0].asked) == 1


def test_garbage_is_no_answer_and_the_next_one_is_asked(upstreams: Bed) -> None:
    replies = upstreams.ask_all([f"{n}.garbage.example." for n in range(400)])
    assert all("undecodable" not in reply for reply in replies)
    assert "SERVFAIL" not in {reply["rcode"] for reply in replies}
    garbled, _ = upstreams.servers["garbage.example."]
    assert addresses(upstreams.ask(next(name for name in garbled.names() if name != "0.garbage.example.")))


def test_failures_are_passed_over_and_the_last_one_is_told(upstreams: Bed) -> None:
    assert addresses(upstreams.ask("www.failing.example.")) == [ADDRESS]
    assert upstreams.failure("www.servfail.example.")[0] == "SERVFAIL"
    assert upstreams.failure("www.servfail.example.") == ("SERVFAIL", (13,))


# --- TCP ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["truncating.example.", "closing.example."])
def test_what_is_truncated_is_asked_for_over_tcp(upstreams: Bed, zone: str) -> None:
    for n in range(20):
        found = upstreams.ask(f"{n}.{zone}", edns=4096)
        assert "TC" in found["flags"] or len(found["answer"]) == len(MANY), found
        found = client.ask_tcp(upstreams.program.dns, wire.query(1, f"{n}.{zone}", "A"))
        assert sorted(addresses(found)) == sorted(MANY)
        assert "TC" not in found["flags"]
    (server,) = upstreams.servers[zone]
    assert [asked.name for asked in server.asked_tcp] == server.names(), "once each"


def test_without_tcp_the_truncated_answer_is_the_answer(upstreams: Bed) -> None:
    for n in range(4):
        found = upstreams.ask(f"{n}.notcp.example.")
        assert (found["rcode"], "TC" in found["flags"]) == ("NOERROR", True)
    until(lambda: "does not answer over TCP: Connection refused" in upstreams.program.log(), upstreams.program.log)


@pytest.mark.parametrize("how", WRONG_OVER_TCP)
def test_garbage_over_tcp_leaves_the_truncated_answer(upstreams: Bed, how: str) -> None:
    found = upstreams.ask(f"{how}.{how}.tcp.example.")
    assert (found["rcode"], "TC" in found["flags"]) == ("NOERROR", True)
    assert upstreams.servers[f"{how}.tcp.example."][0].asked_tcp


# --- up and down -------------------------------------------------------------------------------


def test_an_upstream_that_dies_lives_and_dies(upstreams: Bed) -> None:
    first, second = upstreams.servers["flapping.example."]
    (alone,) = upstreams.servers["alone.example."]
    n = 0

    def next_name() -> str:
        nonlocal n
        n += 1
        return f"{n}.flapping.example."

    def asks(server: NameServer) -> bool:
        name = next_name()
        assert addresses(upstreams.ask(name)) == [ADDRESS], upstreams.program.log()
        return name in server.names()

    def answers(*, rcode: str) -> bool:
        name = next_name().replace("flapping", "alone")
        return upstreams.ask(name)["rcode"] == rcode

    for _ in range(2):
        assert asks(first) or until(lambda: asks(first), "the first is not asked")
        assert until(lambda: answers(rcode="NOERROR"), upstreams.program.log)
        first.stop()
        alone.stop()
        assert asks(second)
        assert answers(rcode="SERVFAIL")
        for _ in range(5):
            assert asks(second)
        first.start()
        alone.start()
        until(lambda: asks(first), "the first is not found again")
        until(lambda: answers(rcode="NOERROR"), upstreams.program.log)
    until(lambda: "answers again" in upstreams.program.log(), upstreams.program.log)


def test_an_upstream_over_ipv6(upstreams: Bed) -> None:
    assert addresses(upstreams.ask("www.six.example.")) == [ADDRESS]


def test_upstreams_over_ipv6_that_fail(upstreams: Bed) -> None:
    for how in ("refusing", "silent"):
        assert addresses(upstreams.ask(f"www.{how}-six.example.")) == [ADDRESS]
        assert [len(server.asked) for server in upstreams.servers[f"{how}-six.example."]] == [how == "silent", 1]
    query = wire.query(1, "www.truncating-six.example.", "A")
    assert sorted(addresses(client.ask_tcp(upstreams.program.dns, query))) == sorted(MANY)
    assert "TC" in upstreams.ask("www.notcp-six.example.")["flags"]
    until(lambda: "upstream ::1 port " in upstreams.program.log(), upstreams.program.log)
