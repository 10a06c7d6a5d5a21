"""Prefixes and lists of clients, compared with the standard library's networks."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.dns import prefixes
from mesos_dns.dns.prefixes import EVERYBODY, ClientList, Clients, Prefix, client_of, prefix_of

ADDRESSES = st.ip_addresses()
#: Few bits, so that addresses meet prefixes.
NEAR = st.integers(0, 255).map(lambda n: bytes((10, 0, 0, n))) | st.integers(0, 255).map(
    lambda n: bytes(15) + bytes((n,))
)


def prefix(text):
    network = ipaddress.ip_network(text)
    return Prefix(network.network_address.packed, network.prefixlen)


def packed(text):
    return ipaddress.ip_address(text).packed


PREFIXES = st.builds(
    lambda address, length: prefix_of(address, min(length, 8 * len(address))), NEAR, st.integers(0, 128)
)


@given(ADDRESSES, st.integers(0, 128))
def test_the_prefix_of_an_address(address, length):
    length = min(length, address.max_prefixlen)
    network = ipaddress.ip_network((address, length), strict=False)
    assert prefix_of(address.packed, length) == (network.network_address.packed, length)


def covers(prefixes, address):
    found = ipaddress.ip_address(address)
    networks = [ipaddress.ip_network((network, length)) for network, length in prefixes]
    return any(found in network for network in networks if network.version == found.version)


@given(st.lists(PREFIXES, max_size=4), st.lists(PREFIXES, max_size=4), st.lists(NEAR, max_size=8))
def test_who_is_allowed_and_not_excluded_is_on_the_list(allowed, excluded, addresses):
    clients = Clients(ClientList(allowed=tuple(allowed), excluded=tuple(excluded)))
    for address in addresses * 2:
        told = clients.allows(address)
        assert told is (covers(allowed, address) and not covers(excluded, address))
        assert (address in clients.known) is told


def test_everybody_is_on_the_usual_list_but_who_is_nobody():
    clients = Clients(ClientList())
    assert ClientList().is_everybody
    assert clients.allows(packed("203.0.113.9"))
    assert clients.allows(packed("2001:db8::1"))
    assert not clients.allows(b"")
    assert not Clients(ClientList(allowed=())).allows(packed("127.0.0.1"))


@pytest.mark.parametrize(
    "listed",
    [
        ClientList(allowed=EVERYBODY[:1]),
        ClientList(excluded=(prefix("192.0.2.0/24"),)),
        ClientList(not_local=True),
        ClientList(allowed=()),
    ],
)
def test_lists_that_do_not_have_everybody(listed):
    assert not listed.is_everybody


def test_an_ipv4_address_in_its_ipv6_form_is_that_ipv4_address():
    mapped = packed("::ffff:10.0.0.1")
    assert client_of(mapped) == packed("10.0.0.1")
    clients = Clients(ClientList(allowed=(prefix("10.0.0.0/8"),)))
    assert clients.allows(mapped)
    assert mapped in clients.known
    assert not Clients(ClientList(allowed=(prefix("::/0"),))).allows(mapped)


def test_the_networks_of_the_machine_may_change():
    clients = Clients(ClientList(allowed=(prefix("192.0.2.1/32"),), local=True), [prefix("198.51.100.0/24")])
    assert clients.allows(packed("198.51.100.7"))
    clients.use([prefix("203.0.113.0/24")])
    assert [clients.allows(packed(each)) for each in ("198.51.100.7", "203.0.113.7", "192.0.2.1")] == [
        False,
        True,
        True,
    ]


def test_the_networks_of_the_machine_may_be_excluded():
    clients = Clients(ClientList(not_local=True), [prefix("198.51.100.0/24")])
    assert not clients.allows(packed("198.51.100.7"))
    assert clients.allows(packed("198.51.101.7"))


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(prefixes, "MAX_KNOWN_CLIENTS", 10)
    clients = Clients(ClientList())
    for n in range(100):
        assert clients.allows(bytes((10, 0, 0, n)))
        assert len(clients.known) <= 10
