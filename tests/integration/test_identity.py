"""Cookies, NSID, names of class CHAOS and extended errors over the wire, as dig, kdig, BIND and NSD see them."""

import json
import re
import signal
import socket
import struct
import subprocess
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.daemons import server
from tests.integration.masters import Master
from tests.integration.program import Program, free_port, need, sample_state, until

SECRET = "e5e973e5a6b2a43f48e7dc849e37bfcf"
KNOWN = "web.marathon.mesos."
#: Asked of the ports of others, to see that they are there.
ZONE = "@ 60 IN SOA ns root 1 60 60 60 60\n@ 60 IN NS ns\nns 60 IN A 127.0.0.1\n"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One for all tests: with a name, a version, a secret, and an upstream that does not exist."""
    master = Master(("127.0.0.1", 0), b"")
    master.body = sample_state(master.endpoint, **{f"many-{n}": f"10.9.0.{n}" for n in range(3)})
    keys: dict[str, Any] = {
        "ServerId": "ns-a.example",
        "ServerVersion": "7 (beta)",
        "CookieSecrets": [SECRET, "00" * 16],
        "Resolvers": [f"127.0.0.1:{free_port()}"],
        "timeout": 1,
        "workers": 2,
    }
    with Program(tmp_path_factory.mktemp("program"), masters=[master.endpoint], **keys) as running:
        running.wait_ready()
        yield running
    master.close()


def dig(port: int, *arguments: str) -> str:
    """What dig prints."""
    command = [need("dig"), "@127.0.0.1", "-p", str(port), "+tries=1", "+time=10", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def found(text: str, pattern: str) -> str:
    match = re.search(pattern, text)
    assert match, f"no {pattern!r} in:\n{text}"
    return match[1]


def status(text: str) -> str:
    return found(text, r"status: (\w+)")


def cookie(text: str) -> str:
    return found(text, r"COOKIE: ([0-9a-f]+)")


# --- cookies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("over", ["+notcp", "+tcp"])
@pytest.mark.parametrize(
    "question",
    [
        *(
            (KNOWN, "A"),
            ("_web._tcp.marathon.mesos.", "SRV"),
            ("nope.mesos.", "A"),
            ("mesos.", "ANY"),
            ("mesos.", "SOA"),
        ),
        *(("version.bind.", "CH", "TXT"), ("www.example.org.", "A"), ("1.0.0.10.in-addr.arpa.", "PTR")),
    ],
)
def test_dig_finds_its_cookie_in_every_reply_and_believes_it(
    program: Program, question: tuple[str, ...], over: str
) -> None:
    for _ in range(2):
        # dig says so: the client part is its own. A reply with another one is dropped by resolvers.
        assert "(good)" in dig(program.dns_port, *question, over, "+cookie")


def test_who_comes_again_with_its_cookie_stays_known(program: Program) -> None:
    first = cookie(dig(program.dns_port, KNOWN, "+cookie=0102030405060708"))
    assert (len(first), first[:24]) == (48, "010203040506070801000000")
    again = dig(program.dns_port, KNOWN, f"+cookie={first}")
    assert (status(again), cookie(again)[:24]) == ("NOERROR", first[:24])


@pytest.mark.parametrize("bad", ["01", "01020304050607", "010203040506070809", "01" * 15, "01" * 41])
def test_a_cookie_that_is_none_is_a_format_error(program: Program, bad: str) -> None:
    for over in ("+notcp", "+tcp"):
        assert status(dig(program.dns_port, KNOWN, over, "+nocookie", f"+ednsopt=10:{bad}")) == "FORMERR"


def test_nothing_but_a_cookie_may_be_asked_for(program: Program) -> None:
    told = dig(program.dns_port, "+header-only", "+cookie=0102030405060708")
    assert (status(told), found(told, r"QUERY: (\d)")) == ("NOERROR", "0")
    right = cookie(told)
    assert status(dig(program.dns_port, "+header-only", f"+cookie={right}", "+nobadcookie")) == "NOERROR"
    wrong = dig(program.dns_port, "+header-only", f"+cookie={right[:-2]}00", "+nobadcookie")
    assert (status(wrong), cookie(wrong)[:16]) == ("BADCOOKIE", right[:16])
    assert status(dig(program.dns_port, "+header-only", "+nocookie")) == "FORMERR"


def test_a_wrong_cookie_gets_an_answer_and_a_right_cookie(program: Program) -> None:
    told = dig(program.dns_port, KNOWN, "+cookie=" + "ab" * 24)
    assert (status(told), cookie(told)[:16]) == ("NOERROR", "ab" * 8)
    assert cookie(told) != "ab" * 24


def test_kdig_takes_the_cookie(program: Program) -> None:
    command = [need("kdig"), "@127.0.0.1", "-p", str(program.dns_port), KNOWN, "+cookie", "+nsid"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert "WARNING" not in told.stdout + told.stderr
    assert "status: NOERROR" in told.stdout
    assert len(found(told.stdout, r"COOKIE: ([0-9A-F]+)")) == 48
    assert '"ns-a.example"' in told.stdout


@contextmanager
def bind(folder: Path) -> Iterator[int]:
    binary, port = need("named"), free_port()
    (folder / "other.zone").write_text(f"$ORIGIN other.\n{ZONE}")
    config = folder / "named.conf"
    config.write_text(
        textwrap.dedent(f"""
        options {{
            directory "{folder}";
            pid-file none;
            session-keyfile none;
            listen-on port {port} {{ 127.0.0.1; }};
            listen-on-v6 {{ none; }};
            recursion no;
            cookie-algorithm siphash24;
            cookie-secret "{SECRET}";
            require-server-cookie yes;
        }};
        controls {{ }};
        zone "other" {{ type primary; file "other.zone"; }};
    """)
    )
    with server([binary, "-g", "-n", "1", "-c", str(config)], port, folder / "named.log", name="ns.other."):
        yield port


@contextmanager
def nsd(folder: Path) -> Iterator[int]:
    binary, port = need("nsd"), free_port()
    (folder / "other.zone").write_text(f"$ORIGIN other.\n{ZONE}")
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
            answer-cookie: yes
            cookie-secret: "{SECRET}"
        remote-control:
            control-enable: no
        zone:
            name: other
            zonefile: other.zone
    """)
    )
    with server([binary, "-d", "-c", str(config)], port, folder / "nsd.log", name="ns.other."):
        yield port


def test_bind_with_our_secret_knows_our_cookies_and_we_know_its(program: Program, tmp_path: Path) -> None:
    """One address may be served by servers of several makes (RFC 9018)."""
    with bind(tmp_path) as port:
        theirs = cookie(dig(port, "ns.other.", "+cookie=0102030405060708", "+nobadcookie"))
        ours = cookie(dig(program.dns_port, KNOWN, "+cookie=0102030405060708"))
        for made in (theirs, ours):
            assert told_by_both(program, port, made) == ("NOERROR", "NOERROR")
            # Neither is right for another client cookie.
            assert told_by_both(program, port, "ff" + made[2:]) == ("BADCOOKIE", "BADCOOKIE")


def told_by_both(program: Program, port: int, made: str) -> tuple[str, str]:
    """What we say to a cookie, and what BIND says."""
    ours = dig(program.dns_port, "+header-only", f"+cookie={made}", "+nobadcookie")
    return status(ours), status(dig(port, "ns.other.", f"+cookie={made}", "+nobadcookie"))


def test_nsd_with_our_secret_knows_our_cookies_and_we_know_its(program: Program, tmp_path: Path) -> None:
    with nsd(tmp_path) as port:
        theirs = cookie(dig(port, "ns.other.", "+cookie=0102030405060708"))
        assert status(dig(program.dns_port, "+header-only", f"+cookie={theirs}", "+nobadcookie")) == "NOERROR"
        ours = cookie(dig(program.dns_port, KNOWN, "+cookie=0102030405060708"))
        until(lambda: int(time.time()) > int(ours[24:32], 16), "the clock stands")
        # It sends a cookie back that it finds right, and else makes one of this second.
        assert cookie(dig(port, "ns.other.", f"+cookie={ours}")) == ours
        assert cookie(dig(port, "ns.other.", f"+cookie=ff{ours[2:]}"))[16:] != ours[16:]


def test_a_reload_with_other_secrets_knows_the_old_ones_if_told_so(program: Program) -> None:
    before = cookie(dig(program.dns_port, KNOWN, "+cookie=0102030405060708"))
    following = "445536bcd2513298075a5d379663c962"

    def reloaded(*secrets: str) -> None:
        since = json.loads(program.get("/v1/status")[1])["reload"]["at"]
        until(lambda: int(time.time()) > since, "the clock stands")  # it tells whole seconds
        program.write_config(program.config | {"CookieSecrets": secrets})
        assert program.process
        program.process.send_signal(signal.SIGHUP)
        until(lambda: _in_force(program, since), lambda: f"no reload\n{program.log()}")

    reloaded(following, SECRET)
    assert status(dig(program.dns_port, "+header-only", f"+cookie={before}", "+nobadcookie")) == "NOERROR"
    after = cookie(dig(program.dns_port, KNOWN, "+cookie=0102030405060708"))
    reloaded(SECRET)
    assert status(dig(program.dns_port, "+header-only", f"+cookie={after}", "+nobadcookie")) == "BADCOOKIE"


def _in_force(program: Program, since: int) -> bool:
    reload = json.loads(program.get("/v1/status")[1])["reload"]
    return bool(reload["state"] == "in force" and reload["at"] > since)


def test_nothing_tells_a_secret(program: Program) -> None:
    for path in ("/v1/config", "/v1/status", "/v1/version", "/readyz"):
        assert SECRET not in program.get(path)[1].lower()
    assert SECRET not in program.log().lower()
    assert set(json.loads(program.get("/v1/config")[1])["CookieSecrets"]) == {"******"}


# --- who this server is ------------------------------------------------------------------------


@pytest.mark.parametrize("over", ["+notcp", "+tcp"])
@pytest.mark.parametrize("name", [KNOWN, "nope.mesos.", "www.example.org."])
def test_nsid(program: Program, name: str, over: str) -> None:
    assert '("ns-a.example")' in dig(program.dns_port, name, "+nsid", over)
    assert "NSID" not in dig(program.dns_port, name, over)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("id.server.", '"ns-a.example"'), ("hostname.bind.", '"ns-a.example"')),
        *(("version.server.", '"7 (beta)"'), ("version.bind.", '"7 (beta)"')),
    ],
)
def test_names_of_class_chaos(program: Program, name: str, text: str) -> None:
    assert dig(program.dns_port, name, "CH", "TXT", "+short").strip() == text


# --- extended errors ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "rcode", "error"),
    [
        (("authors.bind.", "CH", "TXT"), "REFUSED", "21 (Not Supported): (class not served)"),
        ((KNOWN, "HS", "A"), "REFUSED", "21 (Not Supported): (class not served)"),
        (("mesos.", "AXFR", "+edns"), "REFUSED", ""),
        (
            (KNOWN, "-y", "hmac-sha256:key:MTIzNDU2Nzg5MDEyMzQ1Ng=="),
            "NOTAUTH",
            "21 (Not Supported): (TSIG not supported)",
        ),
        (("www.example.org.", "+norecurse"), "REFUSED", "20 (Not Authoritative)"),
        (("www.example.net.",), "SERVFAIL", "22 (No Reachable Authority)"),
    ],
)
def test_why_there_is_no_answer(program: Program, question: tuple[str, ...], rcode: str, error: str) -> None:
    told = dig(program.dns_port, *question)
    if "AXFR" in question:  # dig prints no header of a transfer that failed
        assert "Transfer failed" in told
        return
    assert (status(told), found(told, r"EDE: ([^\n]+)").strip()) == (rcode, error)


# --- keepalive and padding ---------------------------------------------------------------------


def options_over(kind: socket.SocketKind, program: Program, *options: bytes) -> dict[int, bytes]:
    """The EDNS options of the reply to a question with these."""
    data = b"".join(options)
    query = (
        b"\0\7\1\0\0\1\0\0\0\0\0\1\3web\x08marathon\5mesos\0\0\1\0\1\0\0\x29\x04\xd0\0\0\0\0"
        + struct.pack("!H", len(data))
        + data
    )
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.settimeout(10)
        sock.connect(program.dns)
        sock.sendall(query if kind == socket.SOCK_DGRAM else struct.pack("!H", len(query)) + query)
        reply = sock.recv(4096)
    at = reply.rindex(b"\0\0\x29\x04\xd0") + 11
    found = {}
    while at < len(reply):
        code, size = struct.unpack_from("!HH", reply, at)
        found[code] = reply[at + 4 : at + 4 + size]
        at += 4 + size
    return found


def test_how_long_a_connection_may_stay_idle_is_told_over_tcp_alone(program: Program) -> None:
    """RFC 7828 sections 3.2.1 and 3.3.2."""
    keepalive = b"\0\x0b\0\0"
    assert options_over(socket.SOCK_DGRAM, program, keepalive) == {}
    assert options_over(socket.SOCK_STREAM, program) == {}
    assert options_over(socket.SOCK_STREAM, program, keepalive) == {11: b"\0\x64"}
    # A client must not say how long, and one that does is told all the same.
    assert options_over(socket.SOCK_STREAM, program, b"\0\x0b\0\2\0\1") == {11: b"\0\x64"}


def test_where_anybody_can_read_it_nothing_is_padded(program: Program) -> None:
    padding = b"\0\x0c\0\x10" + bytes(16)
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        assert options_over(kind, program, padding) == {}
