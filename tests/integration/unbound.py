"""An Unbound that knows names of its own, over UDP, TCP and TLS."""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.certificates import Certificates
from tests.integration.daemons import server
from tests.integration.program import free_port, need

#: What it knows besides.
KNOWN = "known.example.test."


class Ports(NamedTuple):
    plain: int
    tls: int


@contextmanager
def unbound(folder: Path, certificates: Certificates, records: Sequence[str], *options: str) -> Iterator[Ports]:
    """It knows `records` below example.test, listens on 127.0.0.1 and for TLS on ::1, too, and is resolver.example there."""
    binary, ports = need("unbound"), Ports(free_port(), free_port())
    head = textwrap.dedent(f"""
        remote-control:
            control-enable: no
        server:
            interface: 127.0.0.1@{ports.plain}
            interface: 127.0.0.1@{ports.tls}
            interface: ::1@{ports.tls}
            access-control: ::1 allow
            port: {ports.plain}
            tls-port: {ports.tls}
            tls-service-key: "{certificates.path("server.key")}"
            tls-service-pem: "{certificates.path("server.pem")}"
            username: ""
            chroot: ""
            directory: "{folder}"
            pidfile: "{folder}/unbound.pid"
            use-syslog: no
            do-daemonize: no
            num-threads: 1
            local-zone: "example.test." static
    """)
    lines = [*options, *(f"local-data: '{record}'" for record in (f"{KNOWN} A 10.0.0.1", *records))]
    config = folder / "unbound.conf"
    config.write_text(head + "".join(f"    {line}\n" for line in lines))
    with server([binary, "-d", "-p", "-c", str(config)], ports.plain, folder / "unbound.log", name=KNOWN):
        yield ports


def connections_to(port: int) -> set[int]:
    """The client's ports of connections to `port` of 127.0.0.1, those that are open and those that ended lately."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote = (int(address.rpartition(":")[2], 16) for address in line.split()[1:3])
        if remote == port:
            found.add(local)
        elif local == port and remote:
            found.add(remote)
    return found
