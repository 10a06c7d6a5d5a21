"""The running program asks an Unbound over TLS, and over TCP for what does not fit into a datagram."""

import json
from pathlib import Path

import pytest
from tests.certificates import Certificates
from tests.integration import client, wire
from tests.integration.masters import Master
from tests.integration.program import Program, run, until
from tests.integration.test_forwarding import ask, extended_errors
from tests.integration.unbound import KNOWN, connections_to, unbound

HOST = "resolver.example"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.issued(tmp_path_factory.mktemp("certificates"))


def test_names_are_asked_of_unbound_over_one_tls_connection(
    master: Master, certificates: Certificates, tmp_path: Path
) -> None:
    records = [f"n{n}.example.test. A 10.0.0.{n}" for n in range(50)]
    with unbound(tmp_path, certificates, records) as ports:
        resolver = f"tls://127.0.0.1:{ports.tls}#Resolver.Example"
        with Program(
            tmp_path,
            masters=[master.endpoint],
            Workers=1,
            Resolvers=[resolver],
            PrivateZones=[],
            ForwardCAFile=certificates.path("ca.pem"),
        ) as program:
            program.wait_ready()
            assert run("check", "--config", str(program.config_file)).returncode == 0
            for n in range(50):
                assert ask(program, f"n{n}.example.test.")["answer"] == [f"n{n}.example.test. 3600 IN A 10.0.0.{n}"]
            assert ask(program, "nobody.example.test.")["rcode"] == "NXDOMAIN"
            assert len(connections_to(ports.tls)) == 1
            assert json.loads(program.get("/v1/config")[1])["Resolvers"] == [resolver]
            assert "upstream" not in program.log()


def test_who_does_not_prove_its_name_is_not_asked(master: Master, certificates: Certificates, tmp_path: Path) -> None:
    with (
        unbound(tmp_path, certificates, ["www.example.org. A 192.0.2.1"]) as ports,
        Program(
            tmp_path,
            masters=[master.endpoint],
            Resolvers=[f"tls://127.0.0.1:{ports.tls}#other.example"],
            ZoneResolvers={"example.test": [f"tls://[::1]:{ports.tls}#{HOST}"]},
            PrivateZones=[],
            ForwardCAFile=certificates.path("ca.pem"),
        ) as program,
    ):
        program.wait_ready()
        failed = extended_errors(program, wire.query(1, "www.example.org.", "A", edns=1232))
        assert failed == ("SERVFAIL", [(22, None)])
        told = (
            f"upstream 127.0.0.1 port {ports.tls} failed: its certificate is not accepted "
            "(Hostname mismatch, certificate is not valid for 'other.example'); the next one is asked"
        )
        until(lambda: told in program.log(), program.log)
        assert ask(program, KNOWN)["answer"] == [f"{KNOWN} 3600 IN A 10.0.0.1"]
        assert f"upstream ::1 port {ports.tls}" not in program.log()


def test_truncated_answers_are_fetched_over_one_connection(
    master: Master, certificates: Certificates, tmp_path: Path
) -> None:
    names = [f"many{n}.example.test." for n in range(3)]
    records = [f"{name} A 10.0.1.{n}" for name in names for n in range(100)]
    with (
        unbound(tmp_path, certificates, records) as ports,
        Program(
            tmp_path,
            masters=[master.endpoint],
            Workers=1,
            Resolvers=[f"127.0.0.1:{ports.plain}"],
            PrivateZones=[],
        ) as program,
    ):
        program.wait_ready()
        before = connections_to(ports.plain)
        for name in names:
            reply = client.ask_tcp(program.dns, wire.query(1, name, "A", edns=1232))
            assert len(reply["answer"]) == 100
        assert len(connections_to(ports.plain) - before) == 1
