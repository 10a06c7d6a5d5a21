"""Part `amplification`: how much larger a reply over UDP is than its query, which is what an attacker with a forged address gains."""

import socket
from contextlib import ExitStack
from typing import Final

from bench import services, wire
from bench.answering import start_mesos_dns
from bench.bed import Bed, Cluster
from bench.servers import ADDRESS, UnavailableError

TABLE: Final = "amplification"
NS: Final = 2
ANY: Final = 255
#: The EDNS size that asks for most.
_LARGEST: Final = 65535
#: Seconds for a reply.
_PATIENCE: Final = 5.0


def measure(bed: Bed) -> None:
    cluster = bed.attempt(TABLE, bed.cluster, bed.settings.tasks[0], served=True)
    if cluster is None or cluster.state is None:
        return
    with ExitStack() as stack:
        program = bed.settings.programs[0]
        server = bed.attempt(TABLE, start_mesos_dns, bed, cluster.state, stack, program, workers=1)
        if server is not None:
            for kind, (name, rrtype) in kinds(cluster).items():
                bed.attempt(f"{TABLE}, {kind}", _add, bed, server.port, kind, name, rrtype)


def kinds(cluster: Cluster) -> dict[str, tuple[str, int]]:
    """What is asked for each kind of answer. Names that are usual, and the ones with most records."""
    names, origin = cluster.names, cluster.names.origin
    usual = min(names.by_type["A"], key=lambda name: (abs(len(name) - 30), name))
    service = min(names.by_type["SRV"], key=lambda name: (abs(len(name) - 40), name))
    found = {
        "A": (usual, wire.A),
        "NODATA": (usual, NS),
        "NXDOMAIN": (f"nobody.{origin}", wire.A),
        "SRV": (service, wire.SRV),
    }
    found |= {f"SRV of {size} instances": (services.owner(size, origin), wire.SRV) for size in services.SIZES}
    large = f"{services.name(services.SIZES[-1])}.marathon.{origin}"
    return found | {
        f"A of {services.SIZES[-1]} instances": (large, wire.A),
        "ANY": (service, ANY),
        "ANY of the domain": (origin, ANY),
        "SOA": (origin, wire.SOA),
        "NS": (origin, NS),
        "REFUSED (a name outside)": ("www.example.com.", wire.A),
    }


def _add(bed: Bed, port: int, kind: str, name: str, rrtype: int) -> None:
    for form, size in (("", None), (", EDNS", _LARGEST)):
        query = wire.query(name, rrtype, size=size)
        reply = asked(port, query)
        bed.add(TABLE, kind, f"query{form}", len(query))
        bed.add(TABLE, kind, f"reply{form}", len(reply))
        bed.add(TABLE, kind, f"times{form}", len(reply) / len(query))


def asked(port: int, query: bytes) -> bytes:
    """The reply; UnavailableError when there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_PATIENCE)
        sock.connect((ADDRESS, port))
        sock.send(query)
        try:
            return sock.recv(65535)
        except TimeoutError as error:
            raise UnavailableError("no reply") from error
