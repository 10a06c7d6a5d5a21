"""Who may ask: one list for everything, one for names outside, at listeners over real sockets."""

import dns.rcode
import pytest
from tests.serve.asking import ask, make_answerer, make_responder, read, texts
from tests.serve.test_udp import NAME, SPARSE, V6, WAYS, ZONE, Server
from tests.serve.test_udp_outside import OUTSIDE, Upstream

from mesos_dns.dns.prefixes import ClientList, Clients, prefix_of
from mesos_dns.serve.policy import PROHIBITED, Access
from mesos_dns.serve.request import Forward, Request, Transport
from mesos_dns.serve.responder import Responder

FRIEND, STRANGER = bytes((127, 0, 0, 2)), bytes((127, 0, 0, 3))


def only(*allowed):
    return Clients(ClientList(allowed=tuple(prefix_of(each, 8 * len(each)) for each in allowed)))


def refused(reply):
    return reply.rcode() == dns.rcode.REFUSED


def test_who_is_not_on_the_list_is_refused():
    access = Access(only(FRIEND))
    assert access.judge(Request(b"", FRIEND, Transport.UDP)) is None
    assert access.judge(Request(b"", STRANGER, Transport.TCP)) == PROHIBITED
    assert access.usual == {FRIEND}


@pytest.mark.parametrize("octets", [ask(NAME), ask(OUTSIDE), ask("nobody.mesos."), ask("a.b.c.d.mesos.", payload=1232)])
def test_a_responder_refuses_strangers_by_udp_and_tcp(octets):
    responder = Responder(make_answerer(ZONE), Access(only(FRIEND)))
    for way in (responder.respond_udp, responder.respond_tcp):
        for _ in range(3):
            usual = way(octets, FRIEND)
            assert isinstance(usual, Forward) or not refused(read(usual))
            reply = read(way(octets, STRANGER))
            assert refused(reply)
            assert not reply.flags & (dns.flags.RA | dns.flags.AA)
            assert [option.code for option in reply.options] == ([18] if reply.edns >= 0 else [])


def test_what_is_no_query_gets_no_more_from_a_policy_than_without():
    responder = Responder(make_answerer(ZONE), Access(only(FRIEND)))
    assert responder.respond_udp(b"short", STRANGER) is None
    assert responder.respond_udp(bytes((0, 0, 0x80)) + bytes(20), STRANGER) is None


def test_names_outside_are_for_those_who_may_and_ours_are_for_all():
    responder = Responder(make_answerer(ZONE), recursion=only(FRIEND))
    for way in (responder.respond_udp, responder.respond_tcp):
        for _ in range(3):
            assert isinstance(way(ask(OUTSIDE), FRIEND), Forward)
            reply = read(way(ask(OUTSIDE, payload=1232), STRANGER))
            assert refused(reply)
            assert not reply.flags & dns.flags.RA
            assert [option.code for option in reply.options] == [18]
            assert way(ask(NAME), FRIEND) == way(ask(NAME), STRANGER)
    assert responder.counters["recursion_refused"] == 6


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


def forget_nothing(server):
    """What upstreams said is kept: there is no event loop that could forget it."""
    if hasattr(server.listener, "_outside"):
        server.listener._outside._forget_soon = lambda: None


def clients(server, *addresses):
    found = [server.client() for _ in addresses]
    for client, address in zip(found, addresses, strict=True):
        client.socket.bind((address, 0))
    return found


def take(server, client, *, alone):
    server.read(next(SPARSE) if alone else 0.0)
    return read(client.socket.recv(4096))


@pytest.mark.parametrize("alone", [False, True])
def test_a_listener_tells_clients_apart(way, alone):
    server = Server(way)
    server.responder.policy = Access(only(FRIEND))
    friend, stranger = clients(server, "127.0.0.2", "127.0.0.3")
    for _ in range(5):
        for octets in (ask(NAME), ask(NAME, payload=1232), ask("nobody.mesos."), ask("many.mesos.")):
            friend.send(octets)
            assert not refused(take(server, friend, alone=alone))
            stranger.send(octets)
            assert refused(take(server, stranger, alone=alone))
    server.close()


def test_a_batch_has_friends_and_strangers(way):
    server = Server(way)
    server.responder.policy = Access(only(FRIEND))
    friend, stranger = clients(server, "127.0.0.2", "127.0.0.3")
    for _ in range(4):
        for n in range(8):
            (friend if n % 2 else stranger).send(ask(NAME, identifier=n, payload=1232))
        server.read()
        assert [refused(read(friend.socket.recv(4096))) for _ in range(4)] == [False] * 4
        assert [refused(read(stranger.socket.recv(4096))) for _ in range(4)] == [True] * 4
    server.close()


async def test_an_ipv4_client_of_an_ipv6_socket_is_that_client(way):
    server = Server(way, V6, "::")
    server.responder.policy = Access(only(FRIEND))
    async with server:
        for address, may in (("::ffff:127.0.0.2", True), ("::ffff:127.0.0.3", False), ("::1", False)):
            client = server.client("::1" if address == "::1" else "::ffff:127.0.0.1")
            client.socket.bind((address, 0))
            for _ in range(4):
                client.send(ask(NAME))
                assert refused(read((await client.receive())[0])) is not may


@pytest.mark.parametrize("alone", [False, True])
def test_what_a_friend_was_told_of_names_outside_no_stranger_gets(way, alone):
    """Answers of upstreams are given again from a cache for a second: not to everybody."""
    server = Server(way, recursion=only(FRIEND))
    upstream = Upstream()
    server.listener._forward = upstream.forward
    forget_nothing(server)
    friend, stranger = clients(server, "127.0.0.2", "127.0.0.3")
    for n in range(6):
        for octets in (ask(OUTSIDE), ask(OUTSIDE, payload=1232), ask(OUTSIDE.upper(), payload=512)):
            friend.send(octets)
            assert [text.split()[-1] for text in texts(take(server, friend, alone=alone).answer)] == ["192.0.2.1"]
            stranger.send(octets)
            assert refused(take(server, stranger, alone=alone))
        if way == "batched":
            assert len(upstream.asked) == 3, n
    server.close()


def test_outside_answers_are_for_all_if_all_may_ask():
    responder = make_responder(ZONE)
    assert responder.recursion is None
    assert responder.may_recurse(STRANGER)
