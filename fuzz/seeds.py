"""What fuzzing begins with: ordinary inputs of each target, made of the same things as the tests.

python -m fuzz.seeds FOLDER     writes them, each target's in a folder of its own
"""

import gzip
import hashlib
import json
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import dns.message
from tests.mesos.decoding import shapes
from tests.serve.asking import ask, make_responder, option
from tests.serve.forward.test_check import ANSWERS
from tests.serve.forward.test_rewrite import upstream_reply
from tests.workers.test_protocol import FRAMES

from fuzz import answering, local
from mesos_dns.querylog import dnstap, framestream
from mesos_dns.querylog.framestream import Control
from mesos_dns.workers.protocol import encode

_ROOT = Path(__file__).parents[1]
_RECORDED = _ROOT / "tests" / "fixtures" / "mesos" / "zookeeper.jsonl.gz"


def _queries() -> Iterator[bytes]:
    name = "chronos.marathon.mesos."
    for kind in ("A", "AAAA", "SRV", "SOA", "NS", "TXT", "ANY", "AXFR", "HTTPS"):
        yield ask(name, kind)
    for payload, more in (
        (1232, {}),
        (512, {"ednsflags": 0x8000}),
        (600, {"options": [option(10, b"12345678")]}),
        (4096, {"options": [option(3), option(8, b"\0\1\x18\0\1\2\3"), option(10, bytes(24)), option(11)]}),
        (1232, {"edns": 1}),
    ):
        yield ask(name.upper(), payload=payload, **more)
    for other in (
        "nope.marathon.mesos.",
        "mesos.",
        ".",
        "example.org.",
        "a.*b.mesos.",
        "many.mesos.",
        "x.agent.mesos.",
    ):
        yield ask(other)
        yield ask(other, payload=1232)
    yield ask("_liquor._tcp.marathon.mesos.", "SRV", payload=1232)
    yield ask(name, "A", "CH")
    yield ask(name, "A", "ANY")
    yield ask(name, flags=0)
    yield ask(name, flags=0x2800) + b"\0"
    for cookie in (bytes(8), bytes(24), bytes(7)):
        lone = dns.message.Message(7)
        lone.use_edns(0, options=[option(10, cookie)])
        yield lone.to_wire()
    yield ask("id.server.", "TXT", "CH", payload=1232, options=[option(3), option(10, bytes(8))])
    signed = dns.message.from_wire(ask(name))
    signed.use_tsig({"key.": b"secret"})
    yield signed.to_wire()


def _answers() -> Iterator[bytes]:
    messages = list(_queries())
    for at in range(0, len(messages), 3):
        yield answering.framed(*messages[at : at + 3], server=at % 5)
    # The same question in forms that share, and must not share, what is kept.
    for name in ("many.mesos.", "toy.marathon.mesos.", "nope1.mesos."):
        yield answering.framed(ask(name), ask(name.upper()), ask(name, payload=4096), ask(name, payload=600), server=0)
    yield answering.framed(*(ask(f"nope{n}.mesos.", payload=1232) for n in range(5)))


def _replies() -> Iterator[bytes]:
    octets = ask("www.example.test.")
    end = len(octets)
    for records in ANSWERS.values():
        for opt in (False, True):
            reply = upstream_reply(octets, *records, "additional bank.example.test. A 6.6.6.6", opt=opt)
            flags, _, *counts = struct.unpack_from("!5H", reply, 2)
            yield struct.pack("!BHBBB", 0, flags, *counts) + reply[end:]


def _cluster() -> dict[str, Any]:
    info = {"ip_addresses": [{"ip_address": "10.0.0.1"}, {"ip_address": "fd00::5"}]}
    status = {
        "state": "TASK_RUNNING",
        "timestamp": 5.0,
        "labels": [("Docker.NetworkSettings.IPAddress", "10.0.0.9")],
        "healthy": True,
        "container_status": {"network_infos": [info]},
    }
    docker = {"network": "BRIDGE", "port_mappings": [{"host_port": 31000, "container_port": 80, "protocol": "tcp"}]}
    task = {
        "id": "web.1",
        "name": "web.shop",
        "framework": "F0",
        "agent": "S0",
        "state": "TASK_RUNNING",
        "ports": [(31000, 31001), (32000, 32000)],
        "statuses": [status],
        "labels": [],
        "discovery": None,
        "container": {"type": "DOCKER", "docker": docker},
    }
    discovery = {
        "name": "search",
        "visibility": "CLUSTER",
        "ports": {"ports": [{"number": 80, "name": "http", "protocol": "tcp"}]},
    }
    return {
        "agents": {"S0": "slave(1)@10.1.0.1:5051"},
        "recovered": ["S1"],
        "completed": ["F9"],
        "frameworks": [
            {"id": "F0", "name": "marathon", "hostname": "host", "recovered": False, "pid": "scheduler@10.2.0.1:99"}
        ],
        "tasks": [task, task | {"id": "search.1", "discovery": discovery, "container": None}],
    }


def _states() -> Iterator[bytes]:
    yield shapes.v0_state(_cluster())
    yield shapes.v0_state({**_cluster(), "tasks": []})
    yield b'{"Slaves":null,"frameworks":[{"Tasks":[{"id":"\\ud800","statuses":[{"healthy":1}],"limits":{"cpus":Infinity}}]}]}'
    yield b"{}"


def _stream(*records: bytes) -> bytes:
    return b"".join(b"%d\n%s" % (len(record), record) for record in records)


def _events() -> Iterator[bytes]:
    cluster = _cluster()
    task, other = cluster["tasks"]
    first = shapes.subscribed({**cluster, "tasks": []})
    yield _stream(shapes.subscribed(cluster))
    yield _stream(first, shapes.task_added(task), shapes.task_updated(task, task["statuses"][0]))
    yield _stream(
        first, shapes.task_added(other), shapes.task_updated(other, {**other["statuses"][0], "state": "TASK_LOST"})
    )
    yield _stream(
        first,
        shapes.event("AGENT_ADDED", agent=shapes.v1_agent("S2", "slave(1)@10.1.0.2:5051")),
        shapes.event("AGENT_REMOVED", agent_id={"value": "S0"}),
        shapes.event("FRAMEWORK_UPDATED", framework=shapes.v1_framework(cluster["frameworks"][0])),
        shapes.event("FRAMEWORK_REMOVED", framework_info={"id": {"value": "F0"}}),
        shapes.event("HEARTBEAT"),
    )


def _calls() -> Iterator[bytes]:
    yield shapes.MASTER
    yield shapes.FLAGS
    yield shapes.summary({**_cluster(), "tasks": []})
    yield json.dumps({"tasks": [shapes.v0_task(task) for task in _cluster()["tasks"]]}).encode()
    yield b'{"token":"e30.eyJleHAiOjF9.c2ln"}'
    yield b"//10.0.0.1:5050/master/redirect"
    yield b"https://[fd00::1]/"


def _zookeeper() -> Iterator[bytes]:
    recorded = map(json.loads, gzip.decompress(_RECORDED.read_bytes()).splitlines())
    seen = next(event for event in recorded if event.get("nodes"))
    listing = "\n".join(seen["children"]).encode()
    yield listing + b"\n\n" + next(iter(seen["nodes"].values())).encode()
    pid = b"master@10.0.0.1:5050"
    protobuf = b"\x0a\2M1\x10\x8a\x80\x80\x08\x18\xba\x27\x22%c%s\x2a\4host" % (len(pid), pid)
    yield b"info_0000000001\nlog_replicas\n\n" + protobuf
    yield b"info_0000000001\n\n" + pid
    yield b"zk://user:secret@10.0.0.1:2181,[fd00::1],zk.example:2182/mesos"
    yield b"file:///etc/mesos/zk"


def _configurations() -> Iterator[bytes]:
    example = next((_ROOT / "docs" / "examples").glob("config*.json")).read_bytes()
    yield example + b"\0nameserver 192.0.2.53\noptions edns0\n"
    yield b'{"zk":"zk://10.0.0.1:2181/mesos","Resolvers":["tls://192.0.2.1:853#dns.example"],"ExternalOn":true}'
    yield (
        b'{"masters":["10.0.0.1:5050"],"IAMConfigFile":"/iam.json","MesosHTTPSOn":true}\0\0'
        + json.dumps({"uid": "u", "private_key": "k", "login_endpoint": "https://10.0.0.1/login"}).encode()
    )
    yield b'{"Masters":["10.0.0.1:5050","[fd00::1]:5050"]}\0\0\0ZONE_RESOLVERS={"corp.example":["10.1.0.53"]}'
    yield b'{"Masters":["10.0.0.1:5050"],"Domain":"a.b","TTL":0,"Port":-1,"SOARname":"x@y"}\0\0\0MASTERS=10.0.0.1:5050,10.0.0.2'


def _resolv_confs() -> Iterator[bytes]:
    yield b"# made by somebody\nsearch example.test\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver 127.0.0.1\n"
    yield b"nameserver\t2001:db8::53 \n nameserver 0.0.0.0\nnameserver 192.0.2.053\n"


def _frames() -> Iterator[bytes]:
    for frame in FRAMES:
        yield local.framed(encode(frame)[4:])
    yield local.framed(*(encode(frame)[4:] for frame in FRAMES[1:5]), cut=40)


def _paths() -> Iterator[bytes]:
    yield b"/v1/hosts/toy.marathon.mesos.\napplication/json;q=0.5, */*"
    yield b"/v1/services/_liquor._tcp.marathon.mesos"
    yield b"/v1//hosts/../hosts/a%2Fports/%C3%A9?"
    yield b"//evil.example/..\ntext/html"


def _query_logs() -> Iterator[bytes]:
    for n, octets in enumerate(_queries()):
        reply = octets[:2] + b"\x84\x03" + octets[4:]
        yield bytes((n % 4, len(octets))) + octets + reply
    responder = make_responder()
    for name, kind in (("_liquor._tcp.marathon.mesos.", "SRV"), ("mesos.", "SOA"), ("many.mesos.", "A")):
        octets = ask(name, kind, payload=1232)
        reply = responder.respond_udp(octets)
        assert isinstance(reply, bytes)
        yield bytes((1, len(octets))) + octets + reply
    yield from (framestream.control(kind, dnstap.CONTENT_TYPE) for kind in Control)


SEEDS: dict[str, Callable[[], Iterable[bytes]]] = {
    "queries": _queries,
    "answers": _answers,
    "replies": _replies,
    "states": _states,
    "events": _events,
    "calls": _calls,
    "zookeeper": _zookeeper,
    "configuration": _configurations,
    "resolv_conf": _resolv_confs,
    "frames": _frames,
    "paths_and_headers": _paths,
    "query_logs": _query_logs,
}


def write(folder: Path) -> None:
    for name, seeds in SEEDS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for octets in seeds():
            (folder / name / hashlib.sha1(octets, usedforsecurity=False).hexdigest()).write_bytes(octets)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
