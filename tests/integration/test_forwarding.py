"""Outside names, asked of the real program: what leaves, what is believed, and loops between two instances."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rrset
import pytest
from tests.integration import client, wire
from tests.integration.daemons import server
from tests.integration.masters import Master
from tests.integration.program import Program, free_port, need, until
from tests.integration.test_resolvers import fill


class Upstream:
    """A name server on loopback, in a thread: `answer` makes a message of each query."""

    def __init__(self, answer: Callable[[dns.message.Message], dns.message.Message]) -> None:
        self._answer = answer
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.text = "{}:{}".format(*self._socket.getsockname())
        #: Names and types that were asked for, without probes.
        self.asked: list[str] = []
        self.probes = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            octets, address = self._socket.recvfrom(65535)
            if not octets:
                return
            query = dns.message.from_wire(octets)
            name = query.question[0].name.to_text()
            if name.startswith("mesos-dns-loop-"):
                self.probes += 1
            else:
                self.asked.append(name)
            self._socket.sendto(self._answer(query).to_wire(), address)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", self._socket.getsockname())
        self._thread.join(5)
        self._socket.close()


def honest(query: dns.message.Message) -> dns.message.Message:
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.RA | dns.flags.AD
    reply.answer.append(dns.rrset.from_text(query.question[0].name, 300, "IN", "A", "192.0.2.1"))
    return reply


def poisoned(query: dns.message.Message) -> dns.message.Message:
    reply = honest(query)
    reply.additional.append(dns.rrset.from_text("leader.mesos.", 300, "IN", "A", "6.6.6.6"))
    reply.answer.append(dns.rrset.from_text("www.bank.example.", 300, "IN", "A", "6.6.6.6"))
    return reply


def malformed(query: dns.message.Message) -> dns.message.Message:
    reply = honest(query)
    reply.answer.append(
        dns.rrset.from_text(query.question[0].name, 300, "IN", "CNAME", query.question[0].name.to_text())
    )
    return reply


@contextmanager
def serving(*answers: Callable[[dns.message.Message], dns.message.Message]) -> Iterator[list[Upstream]]:
    upstreams = [Upstream(answer) for answer in answers]
    try:
        yield upstreams
    finally:
        for upstream in upstreams:
            upstream.close()


def ask(program: Program, name: str, rrtype: str = "A", **more: Any) -> dict[str, Any]:
    found = client.ask_all(program.dns, [wire.query(0, name, rrtype, **more)])[0]
    assert "rcode" in found, found
    return dict(found)


def extended_errors(program: Program, octets: bytes) -> tuple[str, list[tuple[int, str | None]]]:
    """The RCODE of the reply to a query, and its extended errors."""
    with client.connected(program.dns, socket.SOCK_DGRAM) as sock:
        sock.send(octets)
        reply = dns.message.from_wire(sock.recv(65535))
    return dns.rcode.to_text(reply.rcode()), [(int(option.code), option.text) for option in reply.options]


# --- what leaves -------------------------------------------------------------------------------


def test_private_names_own_names_and_questions_without_rd_do_not_leave(master: Master, tmp_path: Path) -> None:
    with (
        serving(honest, honest) as (general, special),
        Program(
            tmp_path,
            masters=[master.endpoint],
            Resolvers=[general.text],
            ZoneResolvers={"ec2.internal": [special.text]},
        ) as program,
    ):
        program.wait_ready()
        for name in ("printer.local.", "x.internal.", "1.0.0.10.in-addr.arpa.", "4.0.16.172.in-addr.arpa.", "a.test."):
            reply = ask(program, name)
            assert (reply["rcode"], reply["answer"]) == ("NXDOMAIN", [])
            assert "nobody.invalid. SERIAL 3600 1200 604800 10800" in reply["authority"][0]
        assert ask(program, "www.localhost.")["answer"] == ["www.localhost. 10800 IN A 127.0.0.1"]
        for name, rrtype in (
            ("mesos.", "DS"),
            ("nobody.mesos.", "A"),
            ("web.marathon.mesos.", "A"),
            ("x.mesos.", "DS"),
        ):
            assert ask(program, name, rrtype)["rcode"] in ("NOERROR", "NXDOMAIN")
            assert ask(program, name, rrtype, flags=0)["rcode"] in ("NOERROR", "NXDOMAIN")
        assert extended_errors(program, wire.query(1, "www.example.com.", "A", flags=0, edns=1232)) == (
            "REFUSED",
            [(20, None)],
        )
        assert (general.asked, special.asked) == ([], [])
        assert ask(program, "www.example.com.")["answer"]
        assert ask(program, "ip-10-0-0-1.ec2.internal.")["answer"]
        assert (general.asked, special.asked) == (["www.example.com."], ["ip-10-0-0-1.ec2.internal."])


def test_the_way_back_to_go(master: Master, tmp_path: Path) -> None:
    with (
        serving(honest) as (upstream,),
        Program(
            tmp_path,
            masters=[master.endpoint],
            Resolvers=[upstream.text],
            PrivateZones=[],
            ForwardNonRecursive=True,
        ) as program,
    ):
        program.wait_ready()
        assert ask(program, "printer.local.")["answer"]
        assert ask(program, "www.example.com.", flags=0)["answer"]
        assert upstream.asked == ["printer.local.", "www.example.com."]


# --- what is believed --------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [False, True])
def test_only_what_belongs_comes_back_and_ad_from_whom_is_trusted(
    master: Master, tmp_path: Path, *, trusted: bool
) -> None:
    with (
        serving(malformed, honest, poisoned) as (bad, good, liar),
        Program(
            tmp_path,
            masters=[master.endpoint],
            Resolvers=[bad.text, good.text],
            ZoneResolvers={"liar.example": [liar.text]},
            TrustedResolvers=[good.text, liar.text] if trusted else [],
        ) as program,
    ):
        program.wait_ready()
        asked = ask(program, "www.example.com.", flags=0x0120)
        assert asked["answer"] == ["www.example.com. 300 IN A 192.0.2.1"]
        assert ("AD" in asked["flags"]) is trusted
        assert "AD" not in ask(program, "www.example.com.")["flags"]
        until(lambda: "aliases in it lead back to where they began" in program.log(), program.log)
        lied = ask(program, "www.liar.example.", flags=0x0120)
        assert (lied["answer"], lied["additional"]) == (["www.liar.example. 300 IN A 192.0.2.1"], [])
        assert "AD" not in lied["flags"]
        assert ask(program, "leader.mesos.")["answer"][0].endswith(" 127.0.0.1")


# --- aliases of our own names ------------------------------------------------------------------


def aliased(query: dns.message.Message) -> dns.message.Message:
    """Names of alias.example are aliases of the same below mesos, of which the world knows nothing."""
    reply = dns.message.make_response(query)
    name = query.question[0].name
    target = name.to_text().replace("alias.example.", "mesos.")
    reply.answer.append(dns.rrset.from_text(name, 300, "IN", "CNAME", target))
    reply.authority.append(dns.rrset.from_text(".", 900, "IN", "SOA", "a. b. 1 2 3 4 900"))
    reply.set_rcode(dns.rcode.NXDOMAIN)
    return reply


def test_an_alias_of_a_name_of_ours_is_completed(master: Master, tmp_path: Path) -> None:
    with (
        serving(aliased) as (upstream,),
        Program(tmp_path, masters=[master.endpoint], Resolvers=[upstream.text], Workers=1) as program,
    ):
        program.wait_ready()
        alias = "web.marathon.alias.example. 300 IN CNAME web.marathon.mesos."
        ours = sorted(ask(program, "web.marathon.mesos.")["answer"])
        query = wire.query(0, "web.marathon.alias.example.", "A")
        for reply in (
            ask(program, "web.marathon.alias.example."),
            ask(program, "web.marathon.alias.example.", edns=1232),
            client.ask_tcp(program.dns, query),
        ):
            assert reply["rcode"] == "NOERROR"
            assert reply["answer"][0].split()[0] == alias.split(maxsplit=1)[0]
            assert reply["answer"][0].split()[2:] == alias.split()[2:]
            assert sorted(reply["answer"][1:]) == ours
            assert not {"AA", "AD", "TC"} & set(reply["flags"])
        nobody = ask(program, "nobody.alias.example.")
        assert (nobody["rcode"], len(nobody["answer"])) == ("NXDOMAIN", 1)
        assert nobody["authority"][0].startswith("mesos. 60 IN SOA")
        assert upstream.asked == ["web.marathon.alias.example.", "nobody.alias.example."]


# --- loops -------------------------------------------------------------------------------------


def looped(program: Program) -> bool:
    """Whether a new outside question is refused as a loop."""
    return extended_errors(program, wire.query(1, "www.example.com.", "A", edns=1232)) == (
        "SERVFAIL",
        [(0, "forwarding loop")],
    )


def test_two_instances_that_forward_to_each_other(master: Master, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    one, other = (Program(folder, masters=[master.endpoint], Workers=2, ExternalOn=True) for folder in folders)
    one.config["Resolvers"] = ["{}:{}".format(*other.dns)]
    other.config["Resolvers"] = ["{}:{}".format(*one.dns)]
    with one, other:
        one.wait_ready()
        other.wait_ready()
        until(lambda: looped(one) or looped(other), lambda: one.log() + other.log())
        told = [line for program in (one, other) for line in program.log().splitlines() if "leads back" in line]
        assert 1 <= len(told) <= 4, "once for each worker at most"
        assert ask(one, "web.marathon.mesos.")["answer"]


def test_a_loop_by_way_of_another_server(master: Master, tmp_path: Path) -> None:
    binary, port = need("dnsmasq"), free_port()
    with Program(tmp_path, masters=[master.endpoint], Resolvers=[f"127.0.0.1:{port}"], Workers=2) as program:
        program.wait_ready()
        config = tmp_path / "dnsmasq.conf"
        config.write_text(
            fill(
                """
                no-resolv
                no-hosts
                bind-interfaces
                listen-address=127.0.0.1
                port=$port
                address=/ready.example/192.0.2.1
                server=127.0.0.1#$ours
                """,
                {"port": str(port), "ours": str(program.dns_port)},
            )
        )
        command = [binary, "--keep-in-foreground", "--user=", "--group=", "--pid-file=", f"--conf-file={config}"]
        with server(command, port, tmp_path / "dnsmasq.log", name="ready.example."):
            until(lambda: looped(program), program.log)
            until(lambda: f"upstream 127.0.0.1 port {port} leads back to this server" in program.log(), program.log)


def test_an_upstream_that_is_not_in_a_loop_gets_one_probe_of_each_worker(master: Master, tmp_path: Path) -> None:
    with (
        serving(honest) as (upstream,),
        Program(tmp_path, masters=[master.endpoint], Resolvers=[upstream.text], Workers=2) as program,
    ):
        program.wait_ready()
        for n in range(20):
            assert ask(program, f"{n}.example.com.")["answer"]
        assert 1 <= until(lambda: upstream.probes, "no probe") <= 2
        assert "leads back" not in program.log()
