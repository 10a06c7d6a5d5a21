"""With real name servers: NSD and Unbound as upstreams, BIND's checker for the zone file."""

import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.integration import client, wire
from tests.integration.daemons import server
from tests.integration.masters import Master
from tests.integration.program import Program, free_port, need, run

MANY = "\n".join(f"many IN A 192.0.2.{n}" for n in range(1, 101))
ZONE = f"""
$ORIGIN shop.example.
$TTL 300
@ IN SOA ns1 root 1 3600 600 86400 300
@ IN NS ns1
ns1 IN A 127.0.0.1
www IN A 192.0.2.10
www IN AAAA 2001:db8::10
alias IN CNAME www
text IN TXT "some text" "more"
{MANY}
"""


@contextmanager
def nsd(folder: Path) -> Iterator[int]:
    binary, port = need("nsd"), free_port()
    (folder / "shop.example.zone").write_text(ZONE)
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
        remote-control:
            control-enable: no
        zone:
            name: shop.example
            zonefile: shop.example.zone
    """)
    )
    with server([binary, "-d", "-c", str(config)], port, folder / "nsd.log", name="www.shop.example."):
        yield port


@contextmanager
def unbound(folder: Path, authority: int) -> Iterator[int]:
    """A resolver that knows shop.example from the name server on port `authority`."""
    binary, port = need("unbound"), free_port()
    config = folder / "unbound.conf"
    config.write_text(
        textwrap.dedent(f"""
        server:
            interface: 127.0.0.1
            port: {port}
            username: ""
            chroot: ""
            directory: "{folder}"
            pidfile: "{folder}/unbound.pid"
            use-syslog: no
            do-daemonize: no
            do-not-query-localhost: no
            module-config: "iterator"
            num-threads: 1
            local-zone: "test." nodefault
        remote-control:
            control-enable: no
        stub-zone:
            name: "shop.example"
            stub-addr: 127.0.0.1@{authority}
    """)
    )
    with server([binary, "-d", "-p", "-c", str(config)], port, folder / "unbound.log", name="www.shop.example."):
        yield port


@pytest.fixture(params=["nsd", "unbound"], scope="module")
def forwarding(
    request: pytest.FixtureRequest, shared_master: Master, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """The program with a real upstream."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as running:
        upstream = running.enter_context(nsd(folder))
        if request.param == "unbound":
            upstream = running.enter_context(unbound(folder, upstream))
        program = Program(folder, masters=[shared_master.endpoint], Resolvers=[f"127.0.0.1:{upstream}"])
        running.enter_context(program).wait_ready()
        yield program


def test_forwarded_answers(forwarding: Program) -> None:
    found = client.ask(forwarding.dns, "www.shop.example.", "A")
    assert (found["rcode"], [text.split()[-1] for text in found["answer"]]) == ("NOERROR", ["192.0.2.10"])
    assert found["opt"] == []
    found = client.ask(forwarding.dns, "alias.shop.example.", "AAAA", edns=4096)
    assert [text.split(" ", 3)[3] for text in found["answer"]] == ["AAAA 2001:db8::10", "CNAME www.shop.example."] or [
        text.split(" ", 3)[3] for text in found["answer"]
    ] == ["CNAME www.shop.example.", "AAAA 2001:db8::10"]
    assert [opt["size"] for opt in found["opt"]] == [1232]
    found = client.ask(forwarding.dns, "text.shop.example.", "TXT")
    assert found["answer"][0].endswith('TXT "some text" "more"')
    assert client.ask(forwarding.dns, "nobody.shop.example.", "A")["rcode"] == "NXDOMAIN"
    assert client.ask_tcp(forwarding.dns, wire.query(1, "www.shop.example.", "A"))["rcode"] == "NOERROR"


def test_large_answers_are_fetched_over_tcp(forwarding: Program) -> None:
    """100 addresses are 1600 octets: no UDP reply from the upstream holds them."""
    question = ("many.shop.example.", "A")
    cut = client.ask(forwarding.dns, *question)
    assert "TC" in cut["flags"]
    assert cut["size"] <= 512
    assert len(client.ask_tcp(forwarding.dns, wire.query(1, *question))["answer"]) == 100


def test_the_cluster_is_answered_beside_it(forwarding: Program) -> None:
    found = client.ask(forwarding.dns, "web.marathon.mesos.", "A")
    assert len(found["answer"]) == 2
    assert "AA" in found["flags"]


def test_a_dead_upstream_and_a_living_one(master: Master, tmp_path: Path) -> None:
    with nsd(tmp_path) as authority:
        resolvers = [f"127.0.0.1:{free_port()}", f"127.0.0.1:{authority}"]
        with Program(tmp_path, masters=[master.endpoint], Resolvers=resolvers) as program:
            program.wait_ready()
            assert client.ask(program.dns, "www.shop.example.", "A")["rcode"] == "NOERROR"


def test_only_dead_upstreams(master: Master, tmp_path: Path) -> None:
    with Program(tmp_path, masters=[master.endpoint], Resolvers=[f"127.0.0.1:{free_port()}"], timeout=1) as program:
        program.wait_ready()
        assert client.ask(program.dns, "www.shop.example.", "A")["rcode"] == "SERVFAIL"


def test_named_checkzone_accepts_the_zone_file(master: Master, tmp_path: Path) -> None:
    checker = need("named-checkzone")
    config = tmp_path / "config.json"
    config.write_text(f'{{"masters": ["{master.endpoint[0]}:{master.endpoint[1]}"], "externalOn": false}}')
    done = run("records", "--config", str(config), "--format", "zone")
    assert done.returncode == 0, done.stderr
    checked = subprocess.run(
        [checker, "mesos", "/dev/stdin"], input=done.stdout, capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr + done.stdout
    assert checked.stdout.strip().endswith("OK")


def test_named_checkzone_accepts_what_the_recorded_state_gives(tmp_path: Path) -> None:
    """Every naming edge case: spaces, quotes, backslashes, UTF-8, long labels."""
    from tests.integration.recordings import recordings  # noqa: PLC0415 - only this test reads them

    checker = need("named-checkzone")
    for rec in recordings():
        if not rec.name.endswith("-default"):
            continue
        state = tmp_path / "state.json"
        state.write_bytes(rec.state_text)
        done = run(
            "records",
            "--config",
            str(rec.folder / "config.json"),
            "--state",
            str(state),
            "--format",
            "zone",
            "--no-resolve",
        )
        assert done.returncode == 0, done.stderr
        # Names are checked as the DNS sees them; BIND's rules for host names would refuse underscores.
        checked = subprocess.run(
            [checker, "-k", "ignore", rec.domain, "/dev/stdin"],
            input=done.stdout,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout[-3000:] + checked.stderr
