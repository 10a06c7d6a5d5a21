"""Validating resolvers before the program and behind it: with it between, and its cache on, signed, unsigned and bogus names are what they are without it."""

import json
import re
import shutil
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration import client, wire
from tests.integration.daemons import server
from tests.integration.masters import Master
from tests.integration.program import Program, free_port, need, sample_state, until

ZONE = """
$ORIGIN {zone}
$TTL 300
@ IN SOA ns root 1 3600 600 86400 300
@ IN NS ns
ns IN A 127.0.0.1
www IN A 192.0.2.10
alias IN CNAME www
ours IN CNAME web.marathon.mesos.
*.wild IN A 192.0.2.11
many IN TXT {many}
"""
#: The zones below are delegated by a root of our own, which says how the signed ones are.
ROOT = """
$TTL 300
. IN SOA ns. root. 1 3600 600 86400 300
. IN NS ns.
ns. IN A 127.0.0.1
signed.example. IN NS ns.signed.example.
ns.signed.example. IN A 127.0.0.1
unsigned.example. IN NS ns.unsigned.example.
ns.unsigned.example. IN A 127.0.0.1
bogus.example. IN NS ns.bogus.example.
ns.bogus.example. IN A 127.0.0.1
"""
MANY = " ".join(f'"{n:0200}"' for n in range(12))
SIGNED, UNSIGNED, BOGUS = "signed.example.", "unsigned.example.", "bogus.example."
#: Name below the zone, type, and what is asked over: what does not fit into a datagram goes over TCP.
QUESTIONS = (
    ("www", "A"),
    ("www", "AAAA"),
    ("alias", "A"),
    ("nobody", "A"),
    ("x.wild", "A"),
    ("many", "TXT"),
    ("", "DNSKEY"),
)


def sign(folder: Path, zone: str) -> str:
    """Sign the zone whose file has its name. Its DS record's data."""

    def run(program: str, *arguments: str) -> str:
        command = [need(program), *arguments]
        return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=30).stdout

    key = run("dnssec-keygen", "-a", "ECDSAP256SHA256", "-f", "KSK", zone).strip()
    run("dnssec-keygen", "-a", "ECDSAP256SHA256", zone)
    run("dnssec-signzone", "-S", "-o", zone, "-f", "signed", file_of(zone))
    shutil.move(folder / "signed", folder / file_of(zone))
    *_, tag, algorithm, digest_type, digest = run("dnssec-dsfromkey", "-2", f"{key}.key").split(maxsplit=6)
    return f"{tag} {algorithm} {digest_type} {digest.strip()}"


def file_of(zone: str) -> str:
    return f"{zone}zone"


@dataclass(frozen=True)
class Bed:
    authority: int
    #: The DS record's data of the root.
    anchor: str


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """A name server with a signed zone, an unsigned one, and one whose records are not those that were signed."""
    folder = tmp_path_factory.mktemp("zones")
    binary, port = need("nsd"), free_port()
    for zone in (SIGNED, UNSIGNED, BOGUS):
        (folder / file_of(zone)).write_text(ZONE.format(zone=zone, many=MANY))
    delegations = "".join(f"{zone} IN DS {sign(folder, zone)}\n" for zone in (SIGNED, BOGUS))
    (folder / file_of(".")).write_text(ROOT + delegations)
    anchor = sign(folder, ".")
    bogus = folder / file_of(BOGUS)
    bogus.write_text(bogus.read_text().replace("192.0.2.1", "198.51.100.1"))
    config = folder / "nsd.conf"
    config.write_text(
        textwrap.dedent(f"""
        server:
            ip-address: 127.0.0.1
            port: {port}
            username: ""
            chroot: ""
            zonesdir: "{folder}"
            database: ""
            pidfile: "{folder}/nsd.pid"
            zonelistfile: "{folder}/zone.list"
            xfrdfile: "{folder}/xfrd.state"
            xfrdir: "{folder}"
            server-count: 1
            rrl-ratelimit: 0
        remote-control:
            control-enable: no
        """)
        + "".join(f"zone:\n  name: {zone}\n  zonefile: {file_of(zone)}\n" for zone in (".", SIGNED, UNSIGNED, BOGUS))
    )
    with server([binary, "-d", "-c", str(config)], port, folder / "nsd.log", name=f"www.{SIGNED}"):
        yield Bed(port, anchor)


# --- resolvers ---------------------------------------------------------------------------------


def unbound(folder: Path, port: int, upstream: int, anchor: str) -> list[str]:
    config = f"""
        server:
          interface: 127.0.0.1
          port: {port}
          username: ""
          chroot: ""
          directory: "{folder}"
          pidfile: "{folder}/pid"
          use-syslog: no
          do-daemonize: no
          do-not-query-localhost: no
          ede: yes
          module-config: "validator iterator"
          num-threads: 1
          trust-anchor: ". DS {anchor}"
          domain-insecure: "mesos"
        remote-control:
          control-enable: no
        forward-zone:
          name: "."
          forward-addr: 127.0.0.1@{upstream}
    """
    (folder / "unbound.conf").write_text(textwrap.dedent(config))
    return [need("unbound"), "-d", "-p", "-c", f"{folder}/unbound.conf"]


def bind(folder: Path, port: int, upstream: int, anchor: str) -> list[str]:
    tag, algorithm, digest_type, digest = anchor.split()
    config = f"""
        controls {{ }};
        options {{
          directory "{folder}";
          listen-on port {port} {{ 127.0.0.1; }};
          listen-on-v6 {{ none; }};
          pid-file none;
          session-keyfile none;
          dnssec-validation yes;
          validate-except {{ "mesos"; }};
          synth-from-dnssec no;
          recursion yes;
          empty-zones-enable no;
          forward only;
          forwarders {{ 127.0.0.1 port {upstream}; }};
        }};
        trust-anchors {{ . static-ds {tag} {algorithm} {digest_type} "{digest}"; }};
    """
    (folder / "named.conf").write_text(textwrap.dedent(config))
    return [need("named"), "-g", "-n", "1", "-c", f"{folder}/named.conf"]


def dnsmasq(folder: Path, port: int, upstream: int, anchor: str) -> list[str]:
    config = f"""
        no-resolv
        no-hosts
        bind-interfaces
        listen-address=127.0.0.1
        port={port}
        server=127.0.0.1#{upstream}
        dnssec
        trust-anchor=.,{anchor.replace(" ", ",")}
    """
    (folder / "dnsmasq.conf").write_text(textwrap.dedent(config))
    arguments = ["--keep-in-foreground", "--user=", "--group=", "--pid-file=", f"--conf-file={folder}/dnsmasq.conf"]
    return [need("dnsmasq"), *arguments]


RESOLVERS = {"unbound": unbound, "bind": bind, "dnsmasq": dnsmasq}
Resolver = Callable[[Path, int, int, str], list[str]]


@contextmanager
def resolver(make: Resolver, folder: Path, upstream: int, anchor: str, name: str) -> Iterator[int]:
    folder.mkdir()
    port = free_port()
    with server(make(folder, port, upstream, anchor), port, folder / "resolver.log", name=name):
        yield port


# --- what they say -----------------------------------------------------------------------------

Said = tuple[str, bool, tuple[str, ...]]


def said(port: int, name: str, rrtype: str, *, flags: int, do: bool) -> Said:
    """RCODE, AD, and the records of the answer without their TTLs."""

    def ask() -> wire.Reply:
        query = wire.query(1, name, rrtype, flags=flags, edns=4096, do=do)
        (reply,) = client.ask_all(("127.0.0.1", port), [query])
        return client.ask_tcp(("127.0.0.1", port), query) if "TC" in reply.get("flags", ()) else reply

    reply = until(lambda: found if "rcode" in (found := ask()) else None, f"{name} {rrtype} is not answered")
    records = tuple(sorted(re.sub(r"^(\S+) \d+ ", r"\1 ", record) for record in reply["answer"]))
    return reply["rcode"], "AD" in reply["flags"], records


def all_said(port: int) -> dict[tuple[str, str, int, bool], Said]:
    """What is said twice is said from a cache for the second time."""
    found = {}
    for zone in (SIGNED, UNSIGNED, BOGUS):
        for below, rrtype in QUESTIONS:
            name = f"{below}.{zone}" if below else zone
            for flags, do in ((0x0100, False), (0x0120, False), (0x0100, True), (0x0110, True)):
                found[name, rrtype, flags, do] = first = said(port, name, rrtype, flags=flags, do=do)
                assert said(port, name, rrtype, flags=flags, do=do) == first, (name, rrtype, flags, do)
    return found


def assert_sane(found: dict[tuple[str, str, int, bool], Said]) -> None:
    """The resolver validates: otherwise the comparison would show nothing."""
    plain, asking, checking, unchecked = ((0x0100, False), (0x0120, False), (0x0100, True), (0x0110, True))
    signed = found[f"www.{SIGNED}", "A", *checking]
    assert signed[:2] == ("NOERROR", True)
    assert any(" RRSIG " in record for record in signed[2])
    assert found[f"nobody.{SIGNED}", "A", *checking][:2] == ("NXDOMAIN", True)
    assert found[f"www.{UNSIGNED}", "A", *checking][:2] == ("NOERROR", False)
    assert found[f"www.{BOGUS}", "A", *plain] == ("SERVFAIL", False, ())
    assert found[f"www.{BOGUS}", "A", *unchecked][0] == "NOERROR"
    assert found[f"www.{SIGNED}", "A", *asking][1]


def check_aliases_of_ours(port: int, *, signatures: bool) -> None:
    """Names of the program behind an alias, of which the root knows that they do not exist; with `signatures` the alias has its."""
    ours = tuple(f"web.marathon.mesos. IN A 10.2.0.{n}" for n in (1, 2))
    for zone in (SIGNED, UNSIGNED):
        alias = f"ours.{zone} IN CNAME web.marathon.mesos."
        for _ in range(2):
            expected = ("NOERROR", False, tuple(sorted((alias, *ours))))
            assert said(port, f"ours.{zone}", "A", flags=0x0120, do=False) == expected
            rcode, validated, records = said(port, f"ours.{zone}", "A", flags=0x0120, do=True)
            assert (rcode, validated) == ("NOERROR", False)
            assert {alias, *ours} <= set(records)
            assert not signatures or any(" RRSIG CNAME " in record for record in records) is (zone == SIGNED)


@pytest.fixture(scope="module")
def forwarding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Program]]:
    """The program that forwards to a port, and trusts it; until the module ends."""
    with ExitStack() as stack:
        master = Master(("127.0.0.1", 0), b"")
        stack.callback(master.close)
        master.body = sample_state(master.endpoint)

        def run(port: int) -> Program:
            upstream = f"127.0.0.1:{port}"
            folder = tmp_path_factory.mktemp("program")
            keys = {"Resolvers": [upstream], "TrustedResolvers": [upstream], "Workers": 1}
            program = stack.enter_context(Program(folder, masters=[master.endpoint], **keys))
            program.wait_ready()
            return program

        yield run


def cached(program: Program) -> int:
    """How many questions were answered from the cache."""
    return until(lambda: json.loads(program.get("/v1/status")[1])["counters"].get("forward_cached", 0), "none")


@pytest.fixture(scope="module")
def before_authority(signed: Bed, forwarding: Callable[[int], Program]) -> Program:
    return forwarding(signed.authority)


@pytest.mark.parametrize("name", RESOLVERS)
def test_a_validating_resolver_before_the_program_and_behind_it(
    signed: Bed, before_authority: Program, forwarding: Callable[[int], Program], tmp_path: Path, name: str
) -> None:
    make, anchor = RESOLVERS[name], signed.anchor
    with (
        resolver(make, tmp_path / "direct", signed.authority, anchor, f"www.{SIGNED}") as direct,
        resolver(make, tmp_path / "before", before_authority.dns_port, anchor, f"www.{SIGNED}") as before,
    ):
        expected = all_said(direct)
        assert_sane(expected)
        assert all_said(before) == expected
        behind = forwarding(direct)
        found = all_said(behind.dns_port)
        assert found == expected
        assert cached(behind) > 0 < cached(before_authority), "the cache is on"
        check_aliases_of_ours(behind.dns_port, signatures=True)
        if make is not dnsmasq:  # which cannot be told that mesos is not signed, and holds its records for bogus
            check_aliases_of_ours(before, signatures=False)
        assert "Traceback" not in behind.log() + before_authority.log()
