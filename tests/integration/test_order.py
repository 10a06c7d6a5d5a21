"""Load is spread: each record of an answer comes first about equally often. The judge of recordings sorts, and cannot see it."""

import functools
import json
import socket
import struct
from collections import Counter
from collections.abc import Iterator

import pytest
from tests.integration import client, wire
from tests.integration.masters import Master
from tests.integration.program import Program, sample_state

#: Instances of the applications of the cluster. 40 services fit no datagram: their clients ask over TCP.
SIZES = (2, 5, 20, 40)
#: Questions for each instance.
EACH = 40


def state_with_applications(master: Master) -> bytes:
    """The sample cluster with an application `appN` of N tasks for each of `SIZES`."""
    document = json.loads(sample_state(master.endpoint))
    (framework,) = document["frameworks"]
    like = framework["tasks"][0]
    for size in SIZES:
        for n in range(size):
            task = json.loads(json.dumps(like))
            task |= {"id": f"app{size}.{n}", "name": f"app{size}"}
            task["resources"]["ports"] = f"[{40000 + n}-{40000 + n}]"
            (info,) = task["statuses"][0]["container_status"]["network_infos"]
            info["ip_addresses"] = [{"ip_address": f"10.9.0.{n}"}, {"ip_address": f"fd00::9:{n:x}"}]
            framework["tasks"].append(task)
    return json.dumps(document).encode()


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The program with that cluster and two workers."""
    master = Master(("127.0.0.1", 0), b"")
    master.body = state_with_applications(master)
    with Program(tmp_path_factory.mktemp("spread"), masters=[master.endpoint], Workers=2) as running:
        running.wait_ready()
        yield running
    master.close()


def question(size: int, kind: str) -> bytes:
    name = f"_app{size}._tcp.marathon.mesos." if kind == "SRV" else f"app{size}.marathon.mesos."
    return wire.query(7, name, kind, edns=1232)


def over_tcp(program: Program, octets: bytes, times: int) -> list[wire.Reply]:
    """The replies to the same question over one connection."""
    parse = functools.cache(wire.parse)  # Most come more than once.
    replies = []
    with client.connected(program.dns, socket.SOCK_STREAM) as sock, sock.makefile("rb") as stream:
        for _ in range(times):
            sock.sendall(struct.pack(">H", len(octets)) + octets)
            (length,) = struct.unpack(">H", stream.read(2))
            replies.append(parse(stream.read(length)))
    return replies


@pytest.mark.parametrize(
    ("size", "kind", "transport"),
    [
        (size, kind, transport)
        for size in SIZES
        for kind in ("A", "AAAA", "SRV")
        for transport in ("udp", "tcp")
        # What fits no datagram holds each client's own part, and not each record in turn.
        if (size, kind, transport) != (40, "SRV", "udp")
    ],
)
def test_each_instance_comes_first_equally_often(spread: Program, size: int, kind: str, transport: str) -> None:
    octets = question(size, kind)
    if transport == "tcp":
        replies = over_tcp(spread, octets, EACH * size)
    else:
        replies = client.ask_all(spread.dns, [octets] * (EACH * size))
    assert {len(reply["answer"]) for reply in replies} == {size}
    firsts = Counter(reply["first"] for reply in replies)
    # Two workers, each of which begins where chance says, and answers its first questions at random.
    assert len(firsts) == size
    assert max(firsts.values()) - min(firsts.values()) <= EACH / 2, firsts


def test_a_client_sees_the_same_part_of_a_truncated_answer_from_all_workers(spread: Program) -> None:
    octets = wire.query(7, "_app40._tcp.marathon.mesos.", "SRV")
    parts = set()
    # Each socket has a port of its own, so that both workers are asked.
    for _ in range(16):
        for reply in client.ask_all(spread.dns, [octets] * 4):
            assert "TC" in reply["flags"]
            parts.add(tuple(reply["answer"]))
    (part,) = parts
    assert 5 < len(part) < 40
    whole = client.ask_tcp(spread.dns, octets)["answer"]
    assert set(part) < set(whole)
