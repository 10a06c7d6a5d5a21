"""Runs in a network namespace: the program with its defaults, asked from addresses near and far. Prints what came of it, as JSON.

A route makes this machine take what is sent to addresses that no interface has: those are the clients from elsewhere.
"""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
from tests.integration import wire
from tests.integration.masters import Master
from tests.integration.program import PATIENCE, Program, sample_state
from tests.integration.test_forwarding import honest, serving

#: On no interface: private and shared networks, and everybody else's.
ELSEWHERE = ("10.200.0.1", "100.64.9.9", "169.254.9.9", "fd99::1", "203.0.113.9", "2001:db8:9::1")
#: On an interface, in networks of 24 and 64 bits, and neighbours in these.
OWN = ("192.0.2.1/24", "2001:db8:1::1/64")
NEIGHBOURS = ("192.0.2.77", "2001:db8:1::77")
SOURCES = ("127.0.0.1", "::1", *NEIGHBOURS, *ELSEWHERE)

#: Lets a socket be bound to an address that is on no interface (Linux); Python has no name for it.
IPV6_FREEBIND = 78


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def asked_from(source: str, port: int, octets: bytes, kind: socket.SocketKind) -> dict[str, Any]:
    six = ":" in source
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, kind) as sock:
        sock.settimeout(PATIENCE)
        if six:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        sock.bind((source, 0))
        sock.connect(("2001:db8:1::1" if six else "192.0.2.1", port))
        if kind is socket.SOCK_STREAM:
            sock.sendall(len(octets).to_bytes(2) + octets)
            length = int.from_bytes(sock.recv(2, socket.MSG_WAITALL))
            reply = dns.message.from_wire(sock.recv(length, socket.MSG_WAITALL))
        else:
            sock.send(octets)
            reply = dns.message.from_wire(sock.recv(65535))
    return {
        "rcode": dns.rcode.to_text(reply.rcode()),
        "ra": bool(reply.flags & dns.flags.RA),
        "errors": [int(option.code) for option in reply.options],
        "answers": sum(map(len, reply.answer)),
    }


def main(folder: Path) -> None:
    for address in OWN:
        ip("address", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))
    for address in (*ELSEWHERE, *NEIGHBOURS):
        ip("-6" if ":" in address else "-4", "route", "replace", "local", address, "dev", "lo")
    master = Master(("127.0.0.1", 0), b"")
    master.body = sample_state(master.endpoint)
    with (
        serving(honest) as (upstream,),
        Program(folder, masters=[master.endpoint], listener="::", Resolvers=[upstream.text]) as program,
    ):
        program.wait_ready()
        found = {}
        for source in SOURCES:
            for way, kind in (("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)):
                for name in ("www.example.com.", "web.marathon.mesos."):
                    octets = wire.query(1, name, "A", edns=1232)
                    # The second time it comes from a cache.
                    found[f"{source} {way} {name}"] = [asked_from(source, program.dns_port, octets, kind) for _ in "12"]
    master.close()
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
