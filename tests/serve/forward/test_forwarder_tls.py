"""Names that are not ours, asked over TLS of fake upstreams that prove their name, or do not."""

import asyncio
import ssl
from contextlib import AsyncExitStack, asynccontextmanager

import dns.edns
import dns.flags
import dns.message
import pytest
from tests.serve.asking import ask, read, texts
from tests.serve.forward.upstreams import (
    NAME,
    ROOT,
    StreamUpstream,
    Upstream,
    honest,
    make_forwarder,
    say,
    silent,
    submit,
    truncated,
)

from mesos_dns.serve.forward import tls
from mesos_dns.serve.forward.loops import LoopWatch, routes_of
from mesos_dns.serve.forward.options import ForwardOptions
from mesos_dns.serve.forward.options import Upstream as Server

HOST = "resolver.example"


@asynccontextmanager
async def secure(certificates, answer, *, name=HOST, certificate="server", plain=silent):
    """An upstream over TLS, and what is asked at the same port over UDP: `plain` answers that."""
    async with AsyncExitStack() as stack:
        while True:
            upstream = StreamUpstream(answer, tls=certificates.server_context(certificate), name=name)
            await stack.enter_async_context(upstream)
            udp = Upstream(plain)
            try:
                udp._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                    lambda udp=udp: udp, local_addr=upstream.address.address
                )
            except OSError:  # somebody has it
                continue
            stack.callback(udp._transport.close)
            upstream.in_plain_text = udp.asked
            yield upstream
            return


async def test_all_is_asked_over_one_connection_and_nothing_in_plain_text(certificates):
    async with secure(certificates, honest, plain=honest) as upstream:
        forwarder = make_forwarder(upstream, ca_file=certificates.path("ca.pem"))
        for n in range(3):
            reply = read(await submit(forwarder, ask(f"n{n}.example.test.")))
            assert texts(reply.answer) == [f"n{n}.example.test. 300 IN A 192.0.2.1"]
        assert list(map(len, upstream.asked)) == [3]
        sent = dns.message.from_wire(upstream.asked[0][0])
        assert (sent.payload, [option.otype for option in sent.options]) == (1232, [dns.edns.OptionType.PADDING])
        assert {len(octets) for octets in upstream.asked[0]} == {128}
        assert upstream.in_plain_text == []
        forwarder.close()
        assert forwarder._means.streams.connections == 0


NOT_PROVEN = {
    "another name": ({"name": "other.example"}, "ca.pem", "Hostname mismatch, certificate is not valid for"),
    "expired": ({"certificate": "expired"}, "ca.pem", "certificate has expired"),
    "unknown authority": ({}, "other.pem", "unable to get local issuer certificate"),
}


@pytest.mark.parametrize(("how", "authority", "words"), NOT_PROVEN.values(), ids=NOT_PROVEN)
async def test_who_does_not_prove_its_name_is_told_nothing_and_the_next_is_asked(
    certificates, caplog, how, authority, words
):
    async with secure(certificates, honest, plain=honest, **how) as first, Upstream(honest) as second:
        ca_file = certificates.path(authority)
        reply = read(await submit(make_forwarder(first, second, ca_file=ca_file, timeout=60), ask(NAME)))
        assert texts(reply.answer) == [f"{NAME} 300 IN A 192.0.2.1"]
        assert len(second.asked) == 1
        failed = f"upstream 127.0.0.1 port {first.address.port} failed: its certificate is not accepted ({words}"
        assert [one.getMessage()[: len(failed)] for one in caplog.records] == [failed]
        assert caplog.records[0].getMessage().endswith("); the next one is asked, if there is one")
        # Without another one there is no answer.
        reply = read(await submit(make_forwarder(first, ca_file=ca_file, timeout=0.2), ask(NAME, payload=1232)))
        assert (reply.rcode(), [int(option.code) for option in reply.options]) == (dns.rcode.SERVFAIL, [22])
        assert not any(first.asked)
        assert first.in_plain_text == []


async def test_an_upstream_that_does_not_speak_tls(certificates, caplog):
    async def talk(_, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server, Upstream(honest) as second:
        port = server.sockets[0].getsockname()[1]
        zones = {ROOT: [("127.0.0.1", port, HOST), second.address]}
        forwarder = make_forwarder(zones=zones, ca_file=certificates.path("ca.pem"), timeout=60)
        assert texts(read(await submit(forwarder, ask(NAME))).answer)
    assert caplog.records[0].getMessage().startswith(f"upstream 127.0.0.1 port {port} failed: TLS failed (")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda octets: say(octets, rcode=2), None),
        (lambda octets: say(octets, name="another.test."), "over TCP it answers another question"),
        (lambda octets: honest(octets)[:-1], "it ends"),
    ],
    ids=["SERVFAIL", "another question", "cut"],
)
async def test_a_bad_answer_over_tls_makes_the_next_be_asked(certificates, caplog, answer, words):
    async with secure(certificates, answer) as first, Upstream(honest) as second:
        forwarder = make_forwarder(first, second, ca_file=certificates.path("ca.pem"), timeout=60)
        assert texts(read(await submit(forwarder, ask(NAME))).answer)
        state = forwarder.upstreams_for(ROOT)[1].states[0]
        assert state.key == first.address
        # It lives: it is asked first again.
        await submit(forwarder, ask(NAME))
        assert list(map(len, first.asked)) == [2]
    told = [one.getMessage() for one in caplog.records]
    assert bool(told) == (words is not None)
    assert all(f" failed: {words}" in one for one in told)


async def test_a_silent_upstream_over_tls_does_not_keep_clients_waiting(certificates):
    async with secure(certificates, silent) as first, Upstream(honest) as second:
        forwarder = make_forwarder(first, second, ca_file=certificates.path("ca.pem"), timeout=60)
        assert texts(read(await submit(forwarder, ask(NAME))).answer)
        await first.until_asked(1)
        forwarder.close()


async def test_what_is_truncated_over_tls_is_passed_on(certificates):
    async with secure(certificates, truncated) as upstream:
        forwarder = make_forwarder(upstream, ca_file=certificates.path("ca.pem"), timeout=60)
        assert read(await submit(forwarder, ask(NAME))).flags & dns.flags.TC
        assert list(map(len, upstream.asked)) == [1]


async def test_an_upstream_over_tls_that_does_not_take_edns(certificates):
    def plain_only(octets):
        return say(octets, rcode=1) if dns.message.from_wire(octets).edns >= 0 else honest(octets)

    async with secure(certificates, plain_only) as upstream:
        forwarder = make_forwarder(upstream, ca_file=certificates.path("ca.pem"), timeout=60)
        assert texts(read(await submit(forwarder, ask(NAME))).answer)
        assert list(map(len, upstream.asked)) == [2]


@pytest.mark.parametrize("trusted", [False, True])
async def test_ad_of_an_upstream_over_tls(certificates, trusted):
    validated = lambda octets: say(octets, "192.0.2.1", flags=dns.flags.AD)  # noqa: E731
    async with secure(certificates, validated) as upstream:
        # Trust in the same address without TLS is another matter.
        believed = upstream.address if trusted else Server(*upstream.address.address)
        forwarder = make_forwarder(upstream, ca_file=certificates.path("ca.pem"), trusted={believed})
        reply = read(await submit(forwarder, ask(NAME, ednsflags=0x8000)))
        assert bool(reply.flags & dns.flags.AD) is trusted


async def test_the_same_server_with_and_without_tls_are_two(certificates):
    async with secure(certificates, lambda octets: say(octets, rcode=2), plain=honest) as upstream:
        zones = {ROOT: [upstream.address, upstream.address.address]}
        forwarder = make_forwarder(zones=zones, ca_file=certificates.path("ca.pem"), timeout=60)
        assert texts(read(await submit(forwarder, ask(NAME))).answer)
        assert (len(upstream.asked[0]), len(upstream.in_plain_text)) == (1, 1)


async def test_a_loop_by_way_of_tls_is_found(certificates, caplog):
    """The upstream takes off TLS and asks us."""
    asking = []

    def back(octets):
        asking.append(asyncio.ensure_future(submit(forwarder, octets)))
        asking[-1].add_done_callback(lambda done: back_to(upstream, octets, done.result()))

    def back_to(upstream, octets, reply):
        reply = octets[:2] + reply[2:]
        upstream.writers[-1].write(len(reply).to_bytes(2) + reply)

    async with secure(certificates, back) as upstream:
        zones = {ROOT: [upstream.address]}
        loops = LoopWatch(b"key", routes_of(zones))
        forwarder = make_forwarder(zones=zones, ca_file=certificates.path("ca.pem"), timeout=60, loops=loops)
        assert read(await submit(forwarder, ask(NAME))).rcode() == dns.rcode.SERVFAIL
        await asyncio.gather(*asking)
        assert upstream.in_plain_text == []
    told = [one.getMessage() for one in caplog.records if "leads back" in one.getMessage()]
    assert told[0].startswith(f"upstream 127.0.0.1 port {upstream.address.port} leads back to this server")


# --- authorities -------------------------------------------------------------------------------

ONE = Server("192.0.2.1", 853, HOST)


def test_who_asks_nobody_over_tls_reads_no_authorities():
    assert tls.context_for(ForwardOptions({ROOT: [Server("192.0.2.1", 53)]}, 5.0, ca_file="/nowhere.pem")) is None


def test_the_authorities_are_those_of_the_system_or_of_the_file(certificates, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", certificates.path("other.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(certificates.folder / "none"))
    authorities = []
    for ca_file in ("", certificates.path("ca.pem")):
        context = tls.context_for(ForwardOptions({ROOT: [ONE]}, 5.0, ca_file=ca_file))
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        authorities.append([dict(*one["subject"])["commonName"] for one in context.get_ca_certs()])
    assert authorities == [["another authority"], ["authority"]]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file or directory"), (b"nothing", "TLS failed (no certificate or crl found)")],
)
async def test_a_file_that_is_no_good_any_more_is_told_and_costs_only_upstreams_over_tls(
    tmp_path, caplog, content, words
):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    async with Upstream(honest) as other:
        forwarder = make_forwarder(zones={ROOT: [ONE, other.address]}, ca_file=str(path), timeout=60)
        assert texts(read(await submit(forwarder, ask(NAME))).answer)
    assert [one.getMessage() for one in caplog.records] == [
        f"cannot read the authorities in {path}: {words}; no upstream is asked over TLS: mend the file and reload",
        "upstream 192.0.2.1 port 853 failed: there are no authorities to verify it with; the next one is asked, if there is one",
    ]
