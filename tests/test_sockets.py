"""Sockets for the workers: bound all or none, shared with nobody."""

import contextlib
import errno
import os
import random
import socket
from types import SimpleNamespace

import ifaddr
import pytest

from mesos_dns import sockets as module
from mesos_dns.dns import rdata as rd
from mesos_dns.dns.prefixes import prefix_of
from mesos_dns.sockets import BindError, Sockets, own_addresses, own_networks

UDP, TCP = socket.SOCK_DGRAM, socket.SOCK_STREAM


@pytest.fixture
def opened():
    """Makes `Sockets`, closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(host="127.0.0.1", port=0):
            return stack.enter_context(contextlib.closing(Sockets(host, port)))

        yield make


@contextlib.contextmanager
def taken(port, kind, host="127.0.0.1", *options):
    """Another program's socket."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as sock:
        for level, option, value in options:
            sock.setsockopt(level, option, value)
        sock.bind((host, port))
        if kind == TCP:
            sock.listen()
        yield sock


@pytest.fixture
def free_port():
    """A port that nobody has, for UDP and TCP, and that the kernel gives to nobody who asks for any port."""
    ports = range(20_000, 32_000)
    return next(port for port in random.sample(ports, len(ports)) if free_again(port))


REUSE_PORT = socket.SOL_SOCKET, socket.SO_REUSEPORT, 1
REUSE_ADDRESS = socket.SOL_SOCKET, socket.SO_REUSEADDR, 1


def free_again(port, host="127.0.0.1"):
    """Whether nothing is bound to the port any more."""
    try:
        for kind in (UDP, TCP):
            with taken(port, kind, host):
                pass
    except OSError:
        return False
    return True


# --- binding -----------------------------------------------------------------------------------


def test_each_worker_has_a_pair_on_one_port(opened, free_port):
    sockets = opened(port=free_port)
    pairs = sockets.provide(3)
    assert len(pairs) == 3
    assert {sock.getsockname() for pair in pairs for sock in pair[:2]} == {("127.0.0.1", free_port)}
    assert {(pair.udp.type, pair.tcp.type) for pair in pairs} == {(UDP, TCP)}
    assert not any(sock.getblocking() for pair in pairs for sock in pair[:2])
    assert all(pair.tcp.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for pair in pairs)
    assert repr(sockets) == f"Sockets('127.0.0.1', port={free_port}, pairs=3)"
    assert str(sockets) == f"127.0.0.1 port {free_port} (3 workers)"


def test_the_kernel_hands_queries_to_all_of_them(opened):
    sockets = opened()
    pairs = sockets.provide(2)
    for _ in range(64):
        with socket.socket(socket.AF_INET, UDP) as client:
            client.sendto(b"?", ("127.0.0.1", sockets.port))
    received = [0, 0]
    for n, pair in enumerate(pairs):
        with contextlib.suppress(BlockingIOError):
            while pair.udp.recv(10):
                received[n] += 1
    assert sum(received) == 64
    assert all(received)


def test_no_workers_no_sockets(opened, free_port):
    sockets = opened(port=free_port)
    assert sockets.provide(0) == []
    assert str(sockets) == "off"
    assert free_again(free_port)


def test_port_0_is_any_port_that_is_free_for_both(opened):
    sockets = opened()
    (first,) = sockets.provide(1)
    assert first.udp.getsockname() == first.tcp.getsockname() == ("127.0.0.1", sockets.port)
    assert sockets.port != 0
    _, second = sockets.provide(2)
    assert second.udp.getsockname() == first.udp.getsockname()
    assert sockets.serves("127.0.0.1", 0)
    assert not sockets.serves("127.0.0.1", sockets.port)


def test_a_random_port_that_only_udp_can_have_is_given_up_for_another(opened, monkeypatch):
    bind, refused = module._bind, []

    def unlucky(host, port, kind, *, shared):
        if kind == TCP and len(refused) < 3:
            refused.append(port)
            raise BindError("taken") from OSError(errno.EADDRINUSE, "taken")
        return bind(host, port, kind, shared=shared)

    monkeypatch.setattr(module, "_bind", unlucky)
    sockets = opened()
    sockets.provide(1)
    assert sockets.port not in refused
    refused.clear()
    monkeypatch.setattr(module, "_TRIES", 3)
    with pytest.raises(BindError, match="is free for both UDP and TCP"):
        opened().provide(1)


def test_what_is_wrong_with_every_port_is_told_at_once(opened, monkeypatch):
    tried = []

    def hopeless(host, port, kind, *, shared):  # noqa: ARG001 - the form of `_bind`
        tried.append(port)
        raise BindError("cannot listen on ::: no such family") from OSError(errno.EAFNOSUPPORT, "no such family")

    monkeypatch.setattr(module, "_bind", hopeless)
    with pytest.raises(BindError, match="no such family"):
        opened().provide(1)
    assert tried == [0]


def test_what_is_bound_stays(opened):
    sockets = opened()
    (before,) = sockets.provide(1)
    after = sockets.provide(2)
    assert after[0] is before
    assert sockets.provide(1) == [before]
    assert len(sockets.pairs) == 2


def test_all_or_none(opened, monkeypatch):
    sockets = opened()
    (before,) = sockets.provide(1)
    bind = module._bind

    def third_fails(host, port, kind, *, shared):
        if len(sockets.pairs) == 2:
            raise BindError("no more")
        return bind(host, port, kind, shared=shared)

    monkeypatch.setattr(module, "_bind", third_fails)
    with pytest.raises(BindError, match="no more"):
        sockets.provide(3)
    assert sockets.pairs == [before]
    assert before.udp.fileno() >= 0


def test_keep_closes_what_is_beyond(opened):
    sockets = opened()
    first, second, third = sockets.provide(3)
    sockets.keep(5)
    assert len(sockets.pairs) == 3
    sockets.keep(1)
    assert sockets.pairs == [first]
    assert [sock.fileno() >= 0 for pair in (first, second, third) for sock in pair[:2]] == [True] * 2 + [False] * 4
    sockets.close()
    assert sockets.pairs == []
    assert free_again(sockets.port)


def test_closed_sockets_can_be_provided_anew(opened, free_port):
    sockets = opened(port=free_port)
    sockets.provide(2)
    sockets.keep(0)
    (pair,) = sockets.provide(1)
    assert pair.udp.getsockname() == ("127.0.0.1", free_port)


# --- in use ------------------------------------------------------------------------------------

OTHERS = [
    (UDP, ()),
    (TCP, ()),
    (UDP, (REUSE_PORT,)),
    (TCP, (REUSE_PORT,)),
    (TCP, (REUSE_ADDRESS, REUSE_PORT)),
]


@pytest.mark.parametrize(("kind", "options"), OTHERS)
def test_a_port_that_another_program_has_is_refused_even_if_it_would_share(opened, free_port, kind, options):
    sockets = opened(port=free_port)
    name = "UDP" if kind == UDP else "TCP"
    with taken(free_port, kind, "127.0.0.1", *options), pytest.raises(BindError) as refusal:
        sockets.provide(2)
    assert f"cannot listen on {name} 127.0.0.1 port {free_port}: Address already in use" in str(refusal.value)
    assert "another program has it (`ss -lntup` shows which)" in str(refusal.value)
    assert sockets.pairs == []
    assert free_again(free_port)


def test_a_second_server_of_the_same_user_is_refused(opened):
    first = opened()
    first.provide(1)
    with pytest.raises(BindError, match="Address already in use"):
        opened(port=first.port).provide(1)


def test_the_wildcard_meets_a_program_on_one_address(opened, free_port):
    with taken(free_port, UDP), pytest.raises(BindError, match="another program has it"):
        opened("0.0.0.0", free_port).provide(1)


def test_connections_of_a_former_server_that_linger_are_no_hindrance(opened):
    """TIME_WAIT: the side that closes first keeps the port's pair for a minute."""
    former = opened()
    (pair,) = former.provide(1)
    with socket.create_connection(("127.0.0.1", former.port)) as client:
        accepted, _ = pair.tcp.accept()
        accepted.close()
        assert client.recv(1) == b""
    former.close()
    opened(port=former.port).provide(1)


# --- other reasons -----------------------------------------------------------------------------


def test_an_address_of_another_machine(opened):
    with pytest.raises(BindError) as refusal:
        opened("192.0.2.1", 5353).provide(1)
    assert "cannot listen on UDP 192.0.2.1 port 5353" in str(refusal.value)
    assert "Listener must be an address of this machine, 0.0.0.0 or ::" in str(refusal.value)


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "ports below 1024 need root or the capability CAP_NET_BIND_SERVICE"),
        (errno.EPERM, "ports below 1024 need root or the capability CAP_NET_BIND_SERVICE"),
        (errno.EINVAL, "check Listener and Port"),
    ],
)
def test_advice(opened, monkeypatch, number, advice):
    class Refusing(socket.socket):
        def bind(self, _address):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module.socket, "socket", Refusing)
    with pytest.raises(BindError) as refusal:
        opened(port=53).provide(1)
    assert f"{os.strerror(number)}; {advice}" in str(refusal.value)


# --- IPv6 --------------------------------------------------------------------------------------


def exchange(host, port):
    """Send to the port over UDP, connect over TCP."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, UDP) as client:
        client.sendto(b"?", (host, port))
    socket.create_connection((host, port), timeout=30).close()


def test_ipv6_alone(opened):
    sockets = opened("::1")
    (pair,) = sockets.provide(1)
    assert pair.udp.getsockname()[:2] == pair.tcp.getsockname()[:2] == ("::1", sockets.port)
    exchange("::1", sockets.port)
    assert pair.udp.recv(10) == b"?"
    pair.tcp.accept()[0].close()
    with taken(sockets.port, UDP), taken(sockets.port, TCP):
        pass  # IPv4 is not ours


def test_the_ipv6_wildcard_takes_ipv4_too(opened):
    sockets = opened("::")
    (pair,) = sockets.provide(1)
    senders = []
    for host in ("127.0.0.1", "::1"):
        exchange(host, sockets.port)
        senders.append((pair.udp.recvfrom(10)[1][0], pair.tcp.accept()))
    for _, (connection, _) in senders:
        connection.close()
    assert [(udp, tcp[0]) for udp, (_, tcp) in senders] == [("::ffff:127.0.0.1",) * 2, ("::1",) * 2]


@pytest.mark.parametrize(
    ("host", "asked", "level"), [("0.0.0.0", "127.0.0.7", socket.IPPROTO_IP), ("::", "::1", socket.IPPROTO_IPV6)]
)
def test_what_comes_before_a_worker_is_there_tells_where_it_was_sent_to(opened, host, asked, level):
    """The kernel notes it with the datagram, if anybody has asked for it by then; without it the answer comes from another address."""
    (pair,) = opened(host).provide(1)
    with socket.socket(pair.udp.family, UDP) as client:
        client.sendto(b"x", (asked, pair.udp.getsockname()[1]))
    pair.udp.settimeout(10)
    _, ((found, _, data),), _, _ = pair.udp.recvmsg(10, 64)
    assert (found, socket.inet_pton(pair.udp.family, asked) in data) == (level, True)


def test_the_ipv6_wildcard_meets_an_ipv4_program(opened, free_port):
    with taken(free_port, TCP), pytest.raises(BindError, match="cannot listen on TCP :: port"):
        opened("::", free_port).provide(1)


# --- own addresses -----------------------------------------------------------------------------


def machine(monkeypatch, *addresses):
    """A machine with these addresses, as `ifaddr` tells them: texts for IPv4, triples for IPv6."""
    ips = [SimpleNamespace(ip=(text, 0, 1) if ":" in text else text) for text in addresses]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: [SimpleNamespace(ips=ips[:1]), SimpleNamespace(ips=ips[1:])])


@pytest.mark.parametrize("listener", ["192.0.2.1", "2001:db8::1", "127.0.0.1", "::1"])
def test_a_listener_on_one_address_is_that_address(listener):
    assert own_addresses(listener) == [rd.pack_address(listener)]


@pytest.mark.parametrize("listener", ["0.0.0.0", "::"])
def test_a_wildcard_is_every_address_but_loopback(monkeypatch, listener):
    machine(monkeypatch, "127.0.0.1", "::1", "192.0.2.9", "127.0.0.53", "2001:db8::9", "fe80::1", "192.0.2.9")
    found = [rd.address_text(address) for address in own_addresses(listener)]
    assert sorted(found) == ["192.0.2.9", "2001:db8::9", "fe80::1"]


def test_the_order_does_not_hang_on_that_of_the_interfaces(monkeypatch):
    machine(monkeypatch, "192.0.2.9", "192.0.2.8")
    one = own_addresses("0.0.0.0")
    machine(monkeypatch, "192.0.2.8", "192.0.2.9")
    assert own_addresses("0.0.0.0") == one


def test_a_machine_without_a_network_is_reached_over_loopback(monkeypatch):
    machine(monkeypatch, "127.0.0.1", "::1")
    assert own_addresses("0.0.0.0") == [b"\x7f\0\0\1"]


def test_the_addresses_of_this_machine():
    found = own_addresses("0.0.0.0")
    assert found
    assert all(len(address) in (4, 16) for address in found)


def adapter(*addresses):
    return SimpleNamespace(ips=[SimpleNamespace(ip=ip, network_prefix=length) for ip, length in addresses])


def test_the_networks_of_this_machine_are_those_of_its_interfaces_each_once(monkeypatch):
    adapters = [
        adapter(("127.0.0.1", 8), (("::1", 0, 0), 128)),
        adapter(("192.0.2.9", 24), (("2001:db8::9", 0, 0), 64), (("fe80::1", 0, 2), 64), ("10.0.0.1", 0)),
        adapter(("192.0.2.200", 24)),
    ]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: adapters)
    found = [f"{rd.address_text(network)}/{length}" for network, length in own_networks()]
    assert sorted(found) == ["127.0.0.0/8", "192.0.2.0/24", "2001:db8::/64", "::1/128", "fe80::/64"]


def test_this_machine_is_in_one_of_its_networks():
    assert prefix_of(b"\x7f\0\0\1", 8) in own_networks()


# --- DNS over TLS ------------------------------------------------------------------------------


def listening(sock):
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def test_with_tls_each_worker_has_a_socket_more(free_port):
    with contextlib.closing(Sockets("127.0.0.1", free_port, 0)) as sockets:
        pairs = sockets.provide(2)
        assert {pair.tls.getsockname() for pair in pairs} == {("127.0.0.1", sockets.tls_port)}
        assert all(listening(pair.tls) for pair in pairs)
        assert str(sockets) == f"127.0.0.1 port {free_port}, TLS port {sockets.tls_port} (2 workers)"
        assert sockets.serves("127.0.0.1", free_port, 0)
        assert not sockets.serves("127.0.0.1", free_port)
        # More of them, beside those that are read: nobody connects before they are bound.
        sockets.prepare(3)
        assert [listening(pair.tls) for pair in sockets.pairs] == [True, True, False]
        sockets.bind()
        assert listening(sockets.pairs[2].tls)
        sockets.keep(1)
        assert pairs[1].tls.fileno() == -1


def test_a_port_of_tls_that_somebody_has_is_named_by_its_key(free_port):
    with taken(0, TCP) as other, contextlib.closing(Sockets("127.0.0.1", free_port, other.getsockname()[1])) as sockets:
        for way in (sockets.provide, sockets.prepare):
            with pytest.raises(BindError, match="set another TlsPort or Listener"):
                way(1)
            assert sockets.pairs == []
    assert free_again(free_port)


def test_a_port_of_tls_that_this_process_has_is_joined_without_taking_connections(free_port):
    with contextlib.closing(Sockets("127.0.0.1", 0, free_port)) as present:
        present.provide(1)
        with contextlib.closing(Sockets("127.0.0.1", 0, free_port, tls_joins=True)) as new:
            new.provide(1)
            assert not listening(new.pairs[0].tls)
            new.bind()
            assert listening(new.pairs[0].tls)
