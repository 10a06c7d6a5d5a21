"""DNS over TLS: handshakes of every kind, and that all else is as over TCP."""

import asyncio
import contextlib
import logging
import socket
import ssl
import struct

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.certificates import Certificates
from tests.cycles import left_by
from tests.serve.asking import ask, make_responder, option, read, texts
from tests.serve.tcp_bed import LARGE, NAME, OTHER, ZONE, framed, until
from tests.serve.tls_bed import TlsServer, pair_of, trusting

from mesos_dns.serve.channel import Channel
from mesos_dns.serve.request import Transport
from mesos_dns.serve.tcp import QUERIES_PER_TURN
from mesos_dns.tls import server_context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates.issued(tmp_path_factory.mktemp("certificates"))


def infos(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]


# --- the handshake -----------------------------------------------------------------------------


async def test_a_question_is_answered_and_the_client_told_what_is_spoken(certificates):
    async with TlsServer(certificates) as server:
        client = await server.speaking()
        assert texts((await client.ask(ask(NAME))).answer) == [f"{NAME} 60 IN A 1.2.3.11"]
        assert client.channel._tls.selected_alpn_protocol() == "dot"
        assert client.channel._tls.version() == "TLSv1.3"
        assert repr(client.channel) == "Channel('resolver.example', TLSv1.3)"
        assert repr(server.listener).startswith("TlsListener(")
        assert server.counters["tls_connections"] == 1
        assert server.counters["tcp_connections"] == 0


@pytest.mark.parametrize("protocols", [(), ("h2", "http/1.1")], ids=["none", "others"])
async def test_who_names_no_protocol_or_others_is_answered(certificates, protocols):
    async with TlsServer(certificates) as server:
        client = await server.speaking(trusting(certificates, protocols=protocols))
        assert (await client.ask(ask(NAME))).rcode() == 0
        assert client.channel._tls.selected_alpn_protocol() is None


async def test_tls_1_2_is_spoken_with_forward_secrecy_and_nothing_older(certificates):
    async with TlsServer(certificates) as server:
        context = trusting(certificates)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        client = await server.speaking(context)
        assert (await client.ask(ask(NAME))).rcode() == 0
        cipher, version, _ = client.channel._tls.cipher()
        assert version == "TLSv1.2"
        assert cipher.startswith("ECDHE-")
        old = trusting(certificates)
        with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, EOFError)):
            await server.speaking(old)


async def test_a_session_is_resumed(certificates):
    async with TlsServer(certificates) as server:
        context = trusting(certificates)
        first = await server.speaking(context)
        await first.ask(ask(NAME))
        session = first.channel._tls.session
        reader, writer = await asyncio.open_connection(*server.address)
        second = type(first)(reader, writer, context)
        server._clients.append(second)
        second.channel._tls.session = session
        await second.speak()
        assert second.channel._tls.session_reused
        assert (await second.ask(ask(NAME))).rcode() == 0


async def test_what_comes_octet_by_octet(certificates):
    async with TlsServer(certificates) as server:
        client = await server.client()
        wire = type(await server.speaking())(client.reader, client.writer, trusting(certificates))

        def trickle():
            octets = wire.channel.outgoing()
            for n in range(len(octets)):
                client.send(octets[n : n + 1])

        wire.flush = trickle
        await wire.speak()
        assert (await wire.ask(ask(NAME))).rcode() == 0


async def test_a_handshake_that_stalls_is_ended_and_holds_back_nobody(certificates):
    async with TlsServer(certificates, idle=0.3) as server:
        silent, half = await server.client(), await server.client()
        hello = type(await server.speaking())(None, None, trusting(certificates)).channel
        hello.send(b"")
        half.send(hello.outgoing()[:-1])
        assert (await (await server.speaking()).ask(ask(NAME))).rcode() == 0
        assert await silent.ended() == b""
        assert await half.ended() == b""


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (framed(ask(NAME)), "wrong version number"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "http request"),
        (b"\x16\x03\x01\0\4\1\0\0\0", "length mismatch|length too short|bad length|decode error"),
    ],
    ids=["plain DNS", "HTTP", "a hello of nothing"],
)
async def test_what_is_no_tls_is_counted_told_and_closed(certificates, caplog, octets, why):
    caplog.set_level(logging.INFO)
    async with TlsServer(certificates) as server:
        client = await server.client()
        client.send(octets)
        # An alert is the last word.
        assert (await client.ended())[:1] in (b"", b"\x15")
        assert server.counters["tls_failed"] == 1
        assert (await (await server.speaking()).ask(ask(NAME))).rcode() == 0
    (line,) = infos(caplog)
    assert line.startswith("TLS: a connection of 127.0.0.1 failed: TLS failed (")
    assert any(part in line for part in why.split("|"))


async def test_a_client_that_does_not_trust_the_certificate_is_told_of(certificates, caplog):
    caplog.set_level(logging.INFO)
    async with TlsServer(certificates) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await server.speaking(trusting(certificates, "other.pem"))
        server._clients[-1].flush()  # its alert
        await until(lambda: server.counters["tls_failed"])
    assert infos(caplog) == ["TLS: a connection of 127.0.0.1 failed: TLS failed (tlsv1 alert unknown ca)"]


@given(octets=st.binary(min_size=1, max_size=600))
@example(b"\x16\x03\x03\xff\xff" + bytes(500))
@example(b"\x80\x2e\1\0\2")
@example(b"\x15\x03\x03\0\2\2\x28")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_any_octets_in_the_place_of_a_handshake(certificates, octets):
    async def main():
        async with TlsServer(certificates, idle=0.5) as server:
            client = await server.client()
            client.send(octets)
            client.writer.write_eof()
            await client.ended()
            await until(lambda: not server.connections)

    asyncio.run(main())


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_a_record_that_was_altered_ends_the_connection(certificates, data):
    async def main():
        async with TlsServer(certificates) as server:
            client = await server.speaking()
            client.channel.send(framed(ask(NAME)))
            record = bytearray(client.channel.outgoing())
            at = data.draw(st.integers(5, len(record) - 1))
            record[at] ^= data.draw(st.integers(1, 255))
            client.writer.write(bytes(record))
            with contextlib.suppress(ssl.SSLError):  # the alert
                assert await client.ended() == (b"", False)
            assert server.counters["tls_failed"] == 1

    asyncio.run(main())


# --- as over TCP -------------------------------------------------------------------------------


async def test_queries_that_come_together_are_answered_in_their_order(certificates):
    async with TlsServer(certificates) as server:
        client = await server.speaking()
        count = 2 * QUERIES_PER_TURN + 5
        client.send(b"".join(framed(ask(NAME, identifier=n)) for n in range(count)))
        assert [struct.unpack_from("!H", await client.receive())[0] for _ in range(count)] == list(range(count))


async def test_a_large_answer_comes_whole(certificates):
    async with TlsServer(certificates, LARGE) as server:
        client = await server.speaking()
        assert len((await client.ask(ask("many.mesos."))).answer[0]) == 3500


async def test_a_client_that_has_asked_all_it_wanted_gets_what_is_forwarded(certificates):
    async with TlsServer(certificates) as server:
        client = await server.speaking()
        client.send(framed(ask(OTHER)) + framed(ask(NAME, identifier=7)))
        client.half_close()
        assert read(await client.receive()).id == 7
        await server.until_forwarded(1)
        server.forwarded[0][1](b"the answer")
        assert await client.receive() == b"the answer"
        assert await client.ended() == (b"", True)


async def test_a_client_that_ends_the_connection_of_tcp_alone_gets_its_answer(certificates):
    async with TlsServer(certificates) as server:
        client = await server.speaking()
        client.send(framed(ask(NAME, identifier=7)))
        client.writer.write_eof()
        assert read(await client.receive()).id == 7
        assert await client.ended() == (b"", True)


async def test_a_client_that_asks_how_long_it_may_stay_is_told(certificates):
    async with TlsServer(certificates) as server:
        reply = await (await server.speaking()).ask(ask(NAME, options=[option(11)]))
        assert [(each.otype, each.data) for each in reply.options] == [(11, b"\0\x64")]


async def test_a_policy_knows_the_client_and_that_it_came_over_tls(certificates):
    class Noting:
        usual = frozenset()
        requests = ()

        def judge(self, request):
            self.requests = (*self.requests, (request.client, request.transport))

    policy = Noting()
    responder = make_responder(ZONE)
    responder.policy = policy
    async with TlsServer(certificates, responder=responder) as server:
        await (await server.speaking()).ask(ask(NAME))
    assert policy.requests == ((b"\x7f\0\0\1", Transport.TLS),)
    assert [transport for transport in Transport if transport.is_encrypted] == [Transport.TLS, Transport.HTTPS]


async def test_an_idle_connection_is_closed_with_a_word(certificates):
    async with TlsServer(certificates, idle=0.2) as server:
        client = await server.speaking()
        await client.ask(ask(NAME))
        assert await client.ended() == (b"", True)


async def test_a_newcomer_takes_the_place_of_the_idlest(certificates, caplog):
    async with TlsServer(certificates, most=2) as server:
        clients = [await server.speaking() for _ in range(3)]
        for client in clients[1:]:
            assert (await client.ask(ask(NAME))).rcode() == 0
        assert await clients[0].ended() == (b"", True)
        assert (server.counters["tls_evicted"], server.counters["tls_refused"]) == (1, 0)
    assert infos(caplog) == [
        "TLS: all 2 connections are in use, the idlest is closed for each new one; most are held by 127.0.0.1 (2)"
    ]


async def test_a_client_that_does_not_read_is_waited_for_and_keeps_little(certificates):
    async with TlsServer(certificates, LARGE) as server:
        with_little_room = socket.socket()
        with_little_room.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client = await server.speaking(sock=with_little_room)
        client.writer.transport.pause_reading()
        count = 150
        client.send(b"".join(framed(ask("many.mesos.", identifier=n)) for n in range(count)))
        (connection,) = server.connections
        await until(lambda: connection.unsent)
        assert len(connection.unsent) < 1024 * 1024
        client.writer.transport.resume_reading()
        for n in range(count):
            assert struct.unpack_from("!H", await client.receive()) == (n,)


async def test_another_certificate_is_shown_to_newcomers_and_connections_go_on(certificates):
    async with TlsServer(certificates, name="expired") as server:
        lax = trusting(certificates)
        lax.verify_flags |= ssl.VerifyFlags(0x200000)  # dates do not count
        before = await server.speaking(lax)
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            await server.speaking()
        server.listener.use(server_context(pair_of(certificates), "dot"))
        assert (await (await server.speaking()).ask(ask(NAME))).rcode() == 0
        assert (await before.ask(ask(NAME))).rcode() == 0


async def test_what_has_arrived_is_answered_before_the_end(certificates):
    async with TlsServer(certificates) as server:
        client, idle = await server.speaking(), await server.speaking()
        in_handshake = await server.client()
        await client.ask(ask(NAME))
        client.send(b"".join(framed(ask(NAME, identifier=n)) for n in range(5)))
        await asyncio.sleep(0)
        await server.listener.stop()
        assert [read(await client.receive()).id for _ in range(5)] == list(range(5))
        assert await client.ended() == (b"", True)
        assert await idle.ended() == (b"", True)
        assert await in_handshake.ended() == b""


# --- memory ------------------------------------------------------------------------------------


async def test_connections_leave_nothing_to_the_garbage_collector(certificates):
    loop = asyncio.get_running_loop()
    contexts = {name: trusting(certificates, name) for name in ("ca.pem", "other.pem")}
    async with TlsServer(certificates) as server:

        async def spoken(context, octets, *, half=False):
            """A client that leaves nothing itself: a plain socket, and TLS by hand."""
            channel = Channel(context, "resolver.example")
            with socket.socket() as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, server.address)
                said = b""
                try:
                    channel.send(octets)
                    while not said or not channel.is_open:
                        await loop.sock_sendall(sock, channel.outgoing())
                        said = channel.receive(await loop.sock_recv(sock, 65536))
                except ssl.SSLError:
                    await loop.sock_sendall(sock, channel.outgoing())
                    await loop.sock_recv(sock, 100)
                if half:
                    channel.end()
                    await loop.sock_sendall(sock, channel.outgoing())
                    await loop.sock_recv(sock, 100)
            await until(lambda: not server.connections)

        async def raw(octets):
            with socket.socket() as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, server.address)
                await loop.sock_sendall(sock, octets)
                if octets:
                    await loop.sock_recv(sock, 100)
            await until(lambda: not server.connections)

        query = framed(ask(NAME))
        for operation in (
            lambda: spoken(contexts["ca.pem"], query),
            lambda: spoken(contexts["ca.pem"], query, half=True),
            lambda: spoken(contexts["other.pem"], query),
            lambda: raw(query),
            lambda: raw(b""),
        ):
            assert await left_by(operation) == {}
