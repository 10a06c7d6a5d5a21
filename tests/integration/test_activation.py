"""Sockets that systemd has opened: the program serves on them and on no others, keeps them over reloads, and says what does not fit."""

import json
import os
import signal
import socket
import ssl
from collections import Counter
from pathlib import Path
from typing import Any

from tests.certificates import Certificates
from tests.integration import client, handing_over, wire
from tests.integration.masters import Master
from tests.integration.program import PATIENCE, Program, environment, free_port, need, until

ROOT = Path(__file__).parents[2]
NAME = "web.marathon.mesos."


def answers(program: Program) -> bool:
    """Whether it does, over UDP and TCP."""
    over_tcp = client.ask_tcp(program.dns, wire.query(1, NAME, "A"))
    return bool(client.ask(program.dns, NAME, "A").get("answer") and over_tcp.get("answer"))


class Activated(Program):
    """The program with sockets that were handed over: as many of UDP, of TCP and of HTTP; and such of `more`."""

    def __init__(self, folder: Path, *counts: int, more: tuple[str, ...] = (), **keys: Any) -> None:
        super().__init__(folder, **keys)
        # What hands them over is a module of the tests.
        self.variables = {"PYTHONPATH": os.pathsep.join([environment()["PYTHONPATH"], str(ROOT)])}
        kinds = (f"udp:127.0.0.1:{self.dns_port}", f"tcp:127.0.0.1:{self.dns_port}", f"tcp:127.0.0.1:{self.http_port}")
        repeated = [text for text, count in zip(kinds, counts, strict=True) for _ in range(count)]
        self.under = handing_over.command(*repeated, *more)

    def inodes(self) -> dict[tuple[str, str], int]:
        """How many sockets there are on its ports, whoever has them: UDP, and TCP that listens (0A)."""
        ports = {f"{port:04X}": key for key, port in self.config.items() if key.lower().endswith("port")}
        found: Counter[tuple[str, str]] = Counter()
        for kind in ("udp", "tcp"):
            for fields in map(str.split, Path(f"/proc/net/{kind}").read_text().splitlines()[1:]):
                key = ports.get(fields[1].rpartition(":")[2])
                if key and (kind == "udp" or fields[3] == "0A"):
                    found[kind, key] += 1
        return dict(found)

    def reload(self, **keys: Any) -> None:
        self.write_config(self.config | keys)
        os.kill(self.pid, signal.SIGHUP)


def test_a_life_on_inherited_sockets(master: Master, tmp_path: Path) -> None:
    certificates = Certificates.issued(tmp_path)
    ports = {"tlsPort": free_port(), "httpsPort": free_port()}
    tls, https = (f"tcp:127.0.0.1:{port}" for port in ports.values())
    keys = {"tlsOn": True, "httpsOn": True, "tlsCertFile": certificates.path("server.pem")}
    keys |= {"tlsKeyFile": certificates.path("server.key"), **ports}
    with Activated(tmp_path, 2, 2, 1, more=(tls, tls, https), masters=[master.endpoint], workers=2, **keys) as program:
        program.wait_ready()
        assert answers(program)
        inodes = program.inodes()
        # They are those that were handed over, and no others.
        assert inodes == {
            ("udp", "port"): 2,
            ("tcp", "port"): 2,
            ("tcp", "httpPort"): 1,
            ("tcp", "tlsPort"): 2,
            ("tcp", "httpsPort"): 1,
        }
        for port in ports.values():
            trusting = ssl.create_default_context(cafile=certificates.path("ca.pem"))
            with client.connected(("127.0.0.1", port), socket.SOCK_STREAM) as sock:
                trusting.wrap_socket(sock, server_hostname="127.0.0.1").close()

        # More workers than sockets: they share them.
        program.reload(workers=3)
        until(lambda: len(program.workers()) == 3, program.log)
        until(lambda: "the new configuration is in force" in program.log(), program.log)
        for _ in range(10):
            assert answers(program)
        assert program.inodes() == inodes

        # Fewer than sockets would leave one that nobody reads; another port would leave all.
        for keys, why in (
            ({"workers": 1}, "hands over 2 sockets of one kind"),
            ({"port": 1}, f"hands over UDP 127.0.0.1:{program.dns_port}, which the configuration does not want"),
        ):
            program.reload(**keys)
            until(lambda why=why: why in program.log(), program.log)  # type: ignore[misc]  # mypy knows no such default
            assert json.loads(program.get("/v1/status")[1])["configuration"]["newest"] == "refused"
            assert answers(program)
        assert program.inodes() == inodes
        assert program.end() == 0, program.log()


def test_what_does_not_fit_is_a_clear_error(master: Master, tmp_path: Path) -> None:
    with Activated(tmp_path, 1, 1, 0, more=("udp:127.0.0.2:0",), masters=[master.endpoint], workers=1) as program:
        assert program.process
        assert program.process.wait(PATIENCE) == 1
        (line,) = [line for line in program.log().splitlines() if "no start: " in line]
        assert f"which the configuration does not want: expected UDP 127.0.0.1:{program.dns_port} (Port), " in line


def test_systemd_hands_them_over(master: Master, tmp_path: Path) -> None:
    """The first query starts the program; what is not handed over, HTTP, it binds itself."""
    activate = need("systemd-socket-activate")
    program = Program(tmp_path, masters=[master.endpoint], workers=1)
    address = f"127.0.0.1:{program.dns_port}"
    # It opens sockets of one kind, and hands on what it was given.
    program.under = [activate, "-E", "PYTHONPATH", "-d", "-l", address, activate, "-E", "PYTHONPATH", "-l", address]
    with program:
        until(lambda: address in program.log(), program.log)
        client.ask(program.dns, NAME, "A")
        program.wait_ready()
        assert answers(program)
        assert program.end() == 0
