"""DNS over TLS and over HTTPS of the running program, as kdig, openssl, browsers and those who mean no good speak it."""

import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import dns.message
import pytest
from tests.certificates import Certificates
from tests.integration import client, wire
from tests.integration.masters import Master
from tests.integration.program import Program, free_port, need, sample_state, until
from tests.integration.unbound import KNOWN, unbound

NAME = "web.marathon.mesos."
HOST = "resolver.example"


class Encrypted(Program):
    """The program with DNS over TLS, HTTPS and DNS over HTTPS; its certificate and key are in files of their own."""

    def __init__(self, folder: Path, certificates: Certificates, **keys: object) -> None:
        self.certificates = certificates
        self.tls_port, self.https_port = free_port(), free_port()
        self.files = folder / "own.pem", folder / "own.key"
        self.use("server")
        super().__init__(
            folder,
            TlsOn=True,
            TlsPort=self.tls_port,
            HttpsOn=True,
            HttpsPort=self.https_port,
            DohOn=True,
            TlsCertFile=str(self.files[0]),
            TlsKeyFile=str(self.files[1]),
            **keys,  # type: ignore[arg-type]  # whatever a test wants
        )

    def use(self, name: str, key: str = "") -> None:
        """Put another pair into the place of the present one."""
        shutil.copy(self.certificates.path(f"{name}.pem"), self.files[0])
        shutil.copy(self.certificates.path(f"{key or name}.key"), self.files[1])

    def reload(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGHUP)

    def shown(self, port: int = 0) -> str:
        """The certificate that clients are shown."""
        return ssl.get_server_certificate(("127.0.0.1", port or self.tls_port), timeout=15)

    def until_shown(self, pem: str) -> None:
        until(lambda: self.shown() == pem, self.log)

    def until_said(self, text: str) -> None:
        until(lambda: text in self.log(), self.log)

    def connect(self, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        context = context or trusting(self.certificates)
        plain = socket.create_connection(("127.0.0.1", self.tls_port), timeout=15)
        return context.wrap_socket(plain, server_hostname=HOST)


def trusting(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificates.path("ca.pem"))
    context.set_alpn_protocols(["dot"])
    return context


def framed(octets: bytes) -> bytes:
    return struct.pack(">H", len(octets)) + octets


def receive(sock: socket.socket) -> bytes:
    """The next message of a stream."""
    (length,) = struct.unpack(">H", exactly(sock, 2))
    return exactly(sock, length)


def exactly(sock: socket.socket, count: int) -> bytes:
    octets = b""
    while len(octets) < count:
        more = sock.recv(count - len(octets))
        if not more:
            raise EOFError
        octets += more
    return octets


def ask(sock: socket.socket, name: str = NAME, rrtype: str = "A") -> wire.Reply:
    sock.sendall(framed(wire.query(7, name, rrtype)))
    return wire.parse(receive(sock))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.issued(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def running(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    """One program for the tests that leave it as it is, with an Unbound for the names of others."""
    master = Master(("127.0.0.1", 0), b"")
    master.body = sample_state(master.endpoint)
    folder = tmp_path_factory.mktemp("encrypted")
    with (
        unbound(tmp_path_factory.mktemp("unbound"), certificates, []) as ports,
        Encrypted(
            folder,
            certificates,
            masters=[master.endpoint],
            Resolvers=[f"127.0.0.1:{ports.plain}"],
            PrivateZones=[],
            Workers=1,
        ) as program,
    ):
        program.wait_ready()
        yield program
    master.close()


def kdig(running: Encrypted, *options: str, port: int = 0) -> str:
    command = [need("kdig"), "@127.0.0.1", "-p", str(port or running.tls_port), "+retry=0", "+timeout=15", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


# --- kdig and openssl --------------------------------------------------------------------------


def test_kdig_asks_whoever_is_there(running: Encrypted) -> None:
    told = kdig(running, "+tls", NAME)
    assert "status: NOERROR" in told
    assert "10.2.0.1" in told
    assert "TLS session (TLS1.3)" in told


def test_kdig_verifies_the_certificate_and_the_name(running: Encrypted) -> None:
    verified = (f"+tls-ca={running.certificates.path('ca.pem')}", "+short", NAME)
    assert sorted(kdig(running, f"+tls-hostname={HOST}", *verified).split()) == ["10.2.0.1", "10.2.0.2"]
    assert "Error in the certificate" in kdig(running, "+tls-hostname=other.example", *verified)


def test_kdig_asks_for_the_names_of_others(running: Encrypted) -> None:
    assert kdig(running, "+tls", "+short", KNOWN).split() == ["10.0.0.1"]


def test_kdig_pads_its_questions_and_is_answered(running: Encrypted) -> None:
    assert "status: NOERROR" in kdig(running, "+tls", "+padding=128", NAME)


@pytest.mark.parametrize("name", [NAME, KNOWN, "nobody.mesos."])
def test_replies_to_padded_questions_have_sizes_that_tell_little(running: Encrypted, name: str) -> None:
    """RFC 8467 section 4.1, also for what is forwarded; who does not pad gets no padding."""
    with running.connect() as sock:
        sizes = set()
        for _ in range(2):  # Asked anew, and from a cache.
            sock.sendall(framed(padded(name)))
            sizes.add(len(receive(sock)))
        sock.sendall(framed(wire.query(7, name, "A", edns=1232)))
        assert len(receive(sock)) < 300
    status, _, body = request(running, "POST", "/dns-query", body=padded(name), headers=AS_MESSAGE)
    assert (status, sizes, len(body)) == (200, {468}, 468)


def test_openssl_may_not_negotiate_anew(running: Encrypted) -> None:
    command = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{running.tls_port}", "-tls1_2", "-alpn", "dot"]
    done = subprocess.run(command, input=b"R\n", capture_output=True, timeout=60, check=False)
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert "ALPN protocol: dot" in said
    assert "Secure Renegotiation IS supported" in said
    assert "no renegotiation" in said


def test_kdig_over_https_through_a_proxy_that_speaks_http_2(running: Encrypted, tmp_path: Path) -> None:
    """kdig speaks HTTP/2 alone, which this server leaves to who stands in front of it (docs/encrypted.md)."""
    port = free_port()
    pem = tmp_path / "both.pem"
    pem.write_bytes(b"".join(Path(running.certificates.path(f"server.{end}")).read_bytes() for end in ("pem", "key")))
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
        f"frontend doh\n  bind 127.0.0.1:{port} ssl crt {pem} alpn h2,http/1.1\n  default_backend mesos-dns\n"
        f"backend mesos-dns\n  server one 127.0.0.1:{running.http_port}\n"
    )
    with (tmp_path / "log").open("wb") as log:
        proxy = subprocess.Popen([need("haproxy"), "-db", "-f", str(config)], stdout=log, stderr=log)
    try:
        until(lambda: accepts(port), (tmp_path / "log").read_text)
        for way in ("+https", "+https-get"):
            told = kdig(running, way, NAME, port=port)
            assert "HTTP session (HTTP/2" in told
            assert "status: NOERROR" in told
            assert "10.2.0.2" in told
    finally:
        proxy.terminate()
        proxy.wait(15)


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


# --- a browser's form --------------------------------------------------------------------------


def request(running: Encrypted, method: str, path: str, **more: object) -> tuple[int, dict[str, str], bytes]:
    context = ssl.create_default_context(cafile=running.certificates.path("ca.pem"))
    connection = http.client.HTTPSConnection("127.0.0.1", running.https_port, timeout=15, context=context)
    try:
        connection.request(method, path, **more)  # type: ignore[arg-type]  # body and headers
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


AS_MESSAGE = {"Content-Type": "application/dns-message"}


def padded(name: str) -> bytes:
    """A question as browsers make it: ID 0, and an OPT record with padding."""
    query = dns.message.make_query(name, "A", use_edns=0, payload=4096, pad=128)
    query.id = 0
    return query.to_wire()


def test_get_as_firefox_asks(running: Encrypted) -> None:
    encoded = base64.urlsafe_b64encode(padded(NAME)).rstrip(b"=").decode()
    headers = {"Accept": "application/dns-message", "Accept-Language": "", "Cache-Control": "no-store"}
    status, fields, body = request(running, "GET", f"/dns-query?dns={encoded}", headers=headers)
    reply = dns.message.from_wire(body)
    assert (status, fields["content-type"], fields["cache-control"]) == (200, "application/dns-message", "max-age=60")
    assert sorted(str(each) for each in reply.answer[0]) == ["10.2.0.1", "10.2.0.2"]
    assert reply.id == 0


def test_post_as_chromium_asks(running: Encrypted) -> None:
    headers = {"Content-Type": "application/dns-message", "Accept": "application/dns-message"}
    for name, rcode in ((NAME, 0), ("nobody.marathon.mesos.", 3), (KNOWN, 0)):
        status, fields, body = request(running, "POST", "/dns-query", body=padded(name), headers=headers)
        reply = dns.message.from_wire(body)
        assert (status, reply.rcode()) == (200, rcode)
        # What an upstream said counts down.
        left = (f"max-age={3600 - seconds}" for seconds in range(600)) if name == KNOWN else ("max-age=60",)
        assert fields["cache-control"] in left
        assert len(reply.answer) == (0 if rcode else 1)


def test_a_question_that_gets_an_error_of_dns_is_a_reply_that_nobody_keeps(running: Encrypted) -> None:
    headers = {"Content-Type": "application/dns-message"}
    transfer = wire.query(0, "mesos.", "AXFR")
    status, fields, body = request(running, "POST", "/dns-query", body=transfer, headers=headers)
    assert (status, fields["cache-control"], wire.parse(body)["rcode"]) == (200, "max-age=0", "REFUSED")


def test_the_api_is_there_over_https_too(running: Encrypted) -> None:
    plain = running.get("/v1/hosts/web.marathon.mesos")[1]
    found = request(running, "GET", "/v1/hosts/web.marathon.mesos")[2].decode()
    assert sorted(each["ip"] for each in json.loads(found)) == sorted(each["ip"] for each in json.loads(plain))


# --- those who mean no good, and many ----------------------------------------------------------


def test_plain_dns_and_garbage_on_the_port_of_tls(running: Encrypted) -> None:
    for octets in (framed(wire.query(1, NAME, "A")), b"GET / HTTP/1.0\r\n\r\n", bytes(range(256)) * 20):
        with socket.create_connection(("127.0.0.1", running.tls_port), timeout=15) as sock:
            sock.sendall(octets)
            said = b""
            try:
                while more := sock.recv(4096):
                    said += more
            except ConnectionResetError:
                pass
            assert NAME.encode()[:3] not in said
    with running.connect() as sock:
        assert ask(sock)["rcode"] == "NOERROR"
    until(lambda: "TLS: a connection of 127.0.0.1 failed: TLS failed (" in running.log(), running.log)


def test_questions_that_come_together_and_then_an_end(running: Encrypted) -> None:
    with running.connect() as sock:
        sock.sendall(b"".join(framed(wire.query(n, NAME, "A")) for n in range(500)))
        assert [struct.unpack_from(">H", receive(sock))[0] for _ in range(500)] == list(range(500))
        assert sock.unwrap().fileno() >= 0


def test_1000_connections_beside_plain_questions(running: Encrypted) -> None:
    context = trusting(running.certificates)
    with ExitStack() as stack:
        idle = []
        for n in range(1000):
            plain = socket.create_connection(
                ("127.0.0.1", running.tls_port), timeout=15, source_address=(f"127.0.1.{n // 100 + 1}", 0)
            )
            idle.append(stack.enter_context(context.wrap_socket(plain, server_hostname=HOST)))
            if n % 100 == 0:
                assert client.ask_tcp(running.dns, wire.query(1, NAME, "A"))["rcode"] == "NOERROR"
        # The first of them may be older than ten seconds on a busy machine.
        assert ask(idle[-1])["rcode"] == "NOERROR"
        assert running.get("/readyz")[0] == 200
        counters = json.loads(running.get("/v1/status")[1])["counters"]
        assert counters.get("tls_refused", 0) == 0


def test_nothing_secret_is_shown(running: Encrypted) -> None:
    key = running.files[1].read_text().splitlines()[1]
    shown = running.get("/v1/config")[1]
    assert json.loads(shown)["TlsKeyFile"] == str(running.files[1])
    told = shown + running.get("/v1/status")[1] + running.log()
    assert key not in told
    assert "PRIVATE" not in told


# --- as the page says --------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "encrypted.md"


def test_the_page_says_how_to_make_a_certificate_and_to_try_it(master: Master, tmp_path: Path) -> None:
    """Its commands as they are typed, with the ports that are free here."""
    for binary in ("openssl", "kdig", "curl"):
        need(binary)
    making, _, trying = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    shell(making, tmp_path)
    tls_port, https_port = free_port(), free_port()
    with Program(
        tmp_path,
        masters=[master.endpoint],
        TlsOn=True,
        TlsPort=tls_port,
        HttpsOn=True,
        HttpsPort=https_port,
        DohOn=True,
        TlsCertFile=str(tmp_path / "own.pem"),
        TlsKeyFile=str(tmp_path / "own.key"),
    ) as program:
        program.wait_ready()
        told = shell(trying.replace("8853", str(tls_port)).replace("8443", str(https_port)), tmp_path)
        assert told.count("status: NOERROR") == 2
        assert len(re.findall(r"^leader\.mesos\.\s+60\s+IN\s+A\s+127\.0\.0\.1$", told, re.MULTILINE)) == 2
        assert told.endswith("ok\n")
        reply = wire.parse((tmp_path / "reply").read_bytes())
        assert reply["answer"] == ["leader.mesos. 60 IN A 127.0.0.1"]
        # A certificate of 90 days is nothing to be warned of.
        assert "certificate in" not in program.log()


def shell(commands: str, folder: Path) -> str:
    done = subprocess.run(
        ["/bin/bash", "-e", "-c", commands], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_unbound_asks_over_tls(running: Encrypted, tmp_path: Path) -> None:
    """Unbound as a client, with what the page says for it."""
    forward = [
        f'tls-cert-bundle: "{running.certificates.path("ca.pem")}"',
        'domain-insecure: "mesos"',
        "do-not-query-localhost: no",
        "forward-zone:",
        'name: "mesos"',
        f"forward-addr: 127.0.0.1@{running.tls_port}#{HOST}",
        "forward-tls-upstream: yes",
        "server:",
    ]
    with unbound(tmp_path, running.certificates, [], *forward) as ports:
        reply = client.ask_tcp(("127.0.0.1", ports.plain), wire.query(1, NAME, "A"))
        assert sorted(each.split()[-1] for each in reply["answer"]) == ["10.2.0.1", "10.2.0.2"]


# --- another certificate -----------------------------------------------------------------------


class Load(threading.Thread):
    """Asks over a connection that stays, and each time over a new one, too, until it is stopped."""

    def __init__(self, running: Encrypted) -> None:
        super().__init__(daemon=True)
        self.running = running
        self.ending = threading.Event()
        self.answered = 0
        self.fault: Exception | None = None

    def until_answered(self, count: int) -> None:
        until(lambda: self.fault or self.answered > count, self.running.log)

    def run(self) -> None:
        context = trusting(self.running.certificates)
        try:
            with self.running.connect(context) as kept:
                while not self.ending.is_set():
                    assert ask(kept)["rcode"] == "NOERROR"
                    with self.running.connect(context) as fresh:
                        assert ask(fresh)["rcode"] == "NOERROR"
                    self.answered += 2
        except (OSError, EOFError, AssertionError) as error:
            self.fault = error


def test_certificates_are_renewed_under_load_with_nothing_lost(
    master: Master, certificates: Certificates, tmp_path: Path
) -> None:
    with Encrypted(tmp_path, certificates, masters=[master.endpoint], Workers=2) as program:
        program.wait_ready()
        load = Load(program)
        workers = program.workers()
        load.start()
        # `client` is a certificate for the same names.
        for name in ("client", "server", "client"):
            pem = Path(certificates.path(f"{name}.pem")).read_text()
            before = load.answered
            program.use(name)
            program.reload()
            program.until_shown(pem)
            assert program.shown(program.https_port) == pem
            load.until_answered(before + 10)
        load.ending.set()
        load.join(30)
        assert load.fault is None
        assert program.workers() == workers
        assert program.log().count(f"the new certificate in {program.files[0]} is in force, valid until ") == 3
        assert json.loads(program.get("/v1/status")[1])["reload"]["state"] == "in force"


def test_a_bad_pair_is_not_taken(master: Master, certificates: Certificates, tmp_path: Path) -> None:
    with Encrypted(tmp_path, certificates, masters=[master.endpoint], Workers=1) as program:
        program.wait_ready()
        shown = program.shown()
        cert, key = program.files
        for name, other, why in (
            ("client", "server", "and TlsKeyFile do not fit: the key is not that of the first certificate"),
            ("expired", "expired", f"the certificate in {cert} has expired on "),
            ("ca", "ca", "are of no use to a server: clients would say 'unsuitable certificate purpose'"),
        ):
            program.use(name, other)
            program.reload()
            program.until_said(why)
            assert "the new configuration was not taken" in program.get("/readyz")[1]
        key.unlink()
        program.reload()
        until(lambda: f"TlsKeyFile (file {program.config_file}): {key} cannot be read" in program.log(), program.log)
        assert program.shown() == shown
        with program.connect() as sock:
            assert ask(sock)["rcode"] == "NOERROR"
        # Whatever was wrong is mended: the new pair is taken, and a worker that is started anew has it.
        program.use("client")
        program.reload()
        until(lambda: program.shown() != shown, program.log)
        (pid,) = program.workers()
        os.kill(pid, signal.SIGKILL)
        until(lambda: program.workers() not in ([], [pid]), program.log)
        with program.connect() as sock:
            assert ask(sock)["rcode"] == "NOERROR"
        assert program.shown() != shown


def test_tls_is_turned_on_and_off_by_a_reload(master: Master, certificates: Certificates, tmp_path: Path) -> None:
    with Encrypted(tmp_path, certificates, masters=[master.endpoint], Workers=1) as program:
        program.wait_ready()
        with_tls = dict(program.config)
        program.write_config({**with_tls, "TlsOn": False, "HttpsOn": False})
        program.reload()
        until(lambda: not accepts(program.tls_port) and not accepts(program.https_port), program.log)
        assert client.ask_tcp(program.dns, wire.query(1, NAME, "A"))["rcode"] == "NOERROR"
        program.write_config(with_tls)
        program.reload()
        until(lambda: accepts(program.tls_port) and accepts(program.https_port), program.log)
        with program.connect() as sock:
            assert ask(sock)["rcode"] == "NOERROR"
