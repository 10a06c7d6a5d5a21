"""Part `tls`: what an answer over TLS costs, beside NSD; Knot 3.2 does not serve it."""

import subprocess
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench import queries, servers
from bench.answering import compare, start_mesos_dns
from bench.bed import Bed, Cluster
from bench.servers import Server, Start, Tls, UnavailableError

if TYPE_CHECKING:
    from bench.servers import Program


def measure(bed: Bed) -> None:
    for tasks in bed.settings.tasks:
        cluster = bed.attempt(f"TLS at {tasks:,} tasks", bed.cluster, tasks, served=True)
        if cluster is None:
            continue
        with ExitStack() as stack:
            found = _start_all(bed, cluster, stack)
            for workload in queries.ENCRYPTED if found else ():
                compare(bed, cluster, found, workload)


def _start_all(bed: Bed, cluster: Cluster, stack: ExitStack) -> list[Server]:
    """The servers, each with its port of TLS in the place of the other one."""
    certificate, key = _pair(bed.folder)

    def nsd() -> Server:
        tls = Tls(servers.free_port(), certificate, key)
        zones = {cluster.names.origin: cluster.zone}
        server = stack.enter_context(servers.nsd(zones, bed.folder, bed.server_cores, tls=tls))
        return replace(server, port=tls.port)

    def mesos_dns(program: "Program") -> Server:
        tls = Tls(servers.free_port(), certificate, key)
        server = start_mesos_dns(bed, cluster.state, stack, program, workers=1, **tls.keys)
        return replace(server, port=tls.port)

    entries: dict[str, Start] = {program.name: partial(mesos_dns, program) for program in bed.settings.programs}
    entries["NSD"] = nsd
    found = (bed.attempt(f"{name} over TLS", entry) for name, entry in entries.items())
    return [server for server in found if server is not None]


def _pair(folder: Path) -> tuple[Path, Path]:
    """A certificate of an elliptic curve, signed by itself, and its key."""
    certificate, key = folder / "tls.pem", folder / "tls.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
    command += ["-subj", "/CN=bench", "-days", "30", "-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UnavailableError(f"openssl makes no certificate: {error}") from error
    return certificate, key
