"""The program and a BIND that serves the same zone, both on loopback; and how they are asked."""

import json
import re
import socket
import struct
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.integration import client
from tests.integration.daemons import server
from tests.integration.program import Endpoint, Program, free_port, need, run, sample_state

#: Instances of `many`: their addresses and services fit no datagram.
MANY = 100
#: ID of the question behind each other one: where its answer comes first, the other one got none.
_SENTINEL = 0x5E5E
_CONF = """
options {
  directory "%(folder)s";
  listen-on port %(port)d { 127.0.0.1; };
  listen-on-v6 { none; };
  pid-file none;
  session-keyfile none;
  recursion no;
  dnssec-validation no;
  empty-zones-enable no;
  notify no;
  allow-transfer { none; };
  minimal-responses no-auth;
  edns-udp-size 1232;
  max-udp-size 1232;
  version none;
  server-id none;
  hostname none;
};
controls { };
zone "mesos" {
  type primary;
  file "mesos.zone";
  check-names ignore;
};
"""


class Server(NamedTuple):
    """One of the two, by name."""

    name: str
    endpoint: Endpoint

    def ask(self, octets: bytes, *, tcp: bool = False) -> bytes | None:
        """The reply, None for silence: then the reply to what was asked next is the first to come."""
        return self._over_tcp(octets) if tcp else self._over_udp(octets)

    def _over_udp(self, octets: bytes) -> bytes | None:
        with client.connected(self.endpoint, socket.SOCK_DGRAM) as sock:
            sock.send(octets)
            sock.send(_soa(_SENTINEL))
            first = sock.recv(65535)
            if first[:2] != _SENTINEL.to_bytes(2):
                assert sock.recv(65535)[:2] == _SENTINEL.to_bytes(2), "it answers further"
                return first
            return None

    def _over_tcp(self, octets: bytes) -> bytes | None:
        with self.connection() as sock:
            sock.sendall(framed(octets))
            # Nothing more will come: who would be silent ends the connection, or has done so already.
            with suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
            try:
                return received(sock)
            except (EOFError, ConnectionResetError):
                return None

    def connection(self) -> socket.socket:
        """A TCP connection."""
        return client.connected(self.endpoint, socket.SOCK_STREAM)


def _soa(identifier: int) -> bytes:
    return struct.pack(">6H", identifier, 0, 1, 0, 0, 0) + b"\5mesos\0\0\6\0\1"


def framed(octets: bytes) -> bytes:
    return struct.pack(">H", len(octets)) + octets


def received(sock: socket.socket) -> bytes:
    """The next reply on a TCP connection. EOFError if none comes any more."""
    (length,) = struct.unpack(">H", client.exactly(sock, 2))
    return client.exactly(sock, length)


def cluster(leader: Endpoint, **tasks: str) -> bytes:
    """The sample cluster with many instances of `many`, and `tasks`."""
    document = json.loads(sample_state(leader, **tasks))
    found = document["frameworks"][0]["tasks"]
    model = json.dumps(found[0])
    for n in range(MANY):
        task = json.loads(model)
        info = {"ip_addresses": [{"ip_address": f"10.9.0.{n + 1}"}]}
        task |= {"id": f"many.{n}", "name": "many", "resources": {"ports": f"[{20000 + n}-{20000 + n}]"}}
        task["statuses"][0]["container_status"]["network_infos"] = [info]
        found.append(task)
    return json.dumps(document).encode()


def zone_file(program: Program) -> str:
    """The zone that a program serves, as its command prints it, under the serial that it has."""
    done = run("records", "--config", str(program.config_file), "--format", "zone")
    assert done.returncode == 0, done.stderr
    return re.sub(r"(@ IN SOA \S+ \S+) \d+", rf"\1 {serial(Server('', program.dns))}", done.stdout)


def serial(server: Server) -> int:
    """The serial of the zone that a server has."""
    octets = server.ask(_soa(1))
    assert octets is not None
    return int(struct.unpack_from(">I", octets, len(octets) - 20)[0])


@contextmanager
def bind(folder: Path, zone: str) -> Iterator[Server]:
    """Runs BIND with that zone."""
    binary, port = need("named"), free_port()
    (folder / "mesos.zone").write_text(zone)
    (folder / "named.conf").write_text(textwrap.dedent(_CONF % {"folder": folder, "port": port}))
    command = [binary, "-g", "-n", "1", "-c", str(folder / "named.conf")]
    with server(command, port, folder / "named.log", name="leader.mesos."):
        yield Server("BIND", ("127.0.0.1", port))
