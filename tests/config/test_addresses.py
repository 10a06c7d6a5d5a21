"""Addresses and names: what is accepted, what is the same, what is refused. Vectors of Mesos-DNS 0.7."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.config.addresses import (
    Unfit,
    absolute_name,
    check_domain,
    check_http_listener,
    check_listener,
    ip,
    joined,
    master,
    parents,
    quoted,
    resolver,
)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("a:1234", "a:1234"),
        ("a:65535", "a:65535"),
        ("1.2.3.4:5", "1.2.3.4:5"),
        ("1.2.3.4.5:6", "1.2.3.4.5:6"),
        ("[2001:0db8:3c4d:0015:0000:0000:1a2f:1a2b]:1", "[2001:db8:3c4d:15::1a2f:1a2b]:1"),
        ("[::ffff:10.0.0.1]:5050", "10.0.0.1:5050"),
        ("master_1.example.com:5050", "master_1.example.com:5050"),
        ("10.0.0.1:05050", "10.0.0.1:5050"),
    ],
)
def test_masters_have_a_host_and_a_port(text, normal):
    assert master(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "a",
            "1.2.3.4",
            "1.2.3.4.5",
            "a:0",
            "a:65536",
            "a:",
            ":5050",
            "a:-1",
            "a:+1",
            "a:\uff15",
            "a:1 ",
            "a b:1",
        ),
        *(
            "http://10.0.0.1:5050",
            "::1:5050",
            "[::1]",
            "[::1]5050",
            "[a]:1",
            "[1.2.3.4]:1",
            "[fe80::1%eth0]:1",
            "a:1\n",
        ),
    ],
)
def test_other_masters_are_refused(text):
    with pytest.raises(Unfit):
        master(text)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("1.2.3.4", "1.2.3.4:53"),
        ("1.2.3.4:53", "1.2.3.4:53"),
        ("5.6.7.8:65535", "5.6.7.8:65535"),
        ("2001:0db8:3c4d:0015:0000:0000:1a2f:1a2b", "[2001:db8:3c4d:15::1a2f:1a2b]:53"),
        ("[2001:db8:3c4d:15::1a2f:1a2b]:55", "[2001:db8:3c4d:15::1a2f:1a2b]:55"),
    ],
)
def test_resolvers_are_ip_addresses_with_or_without_port(text, normal):
    assert resolver(text).place == normal
    assert resolver(text).tls_name == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tls://9.9.9.9#dns.quad9.net", ("9.9.9.9", 853, "dns.quad9.net")),
        ("tls://9.9.9.9:8853#Dns.Quad9.Net", ("9.9.9.9", 8853, "dns.quad9.net")),
        ("TLS://[2620:FE::0:fe]#dns.quad9.net", ("2620:fe::fe", 853, "dns.quad9.net")),
        ("tls://[2620:fe::fe]:854#dns.quad9.net", ("2620:fe::fe", 854, "dns.quad9.net")),
        # Some have a certificate for their address.
        ("tls://1.1.1.1#1.1.1.1", ("1.1.1.1", 853, "1.1.1.1")),
        ("tls://1.1.1.1#2606:4700:4700:0::1111", ("1.1.1.1", 853, "2606:4700:4700::1111")),
    ],
)
def test_resolvers_over_tls_have_a_name_to_prove(text, found):
    assert resolver(text) == found
    assert resolver(text).place == f"tls://{joined(*found[:2])}"


EXPECTED = "expected tls://ADDRESS#NAME or tls://ADDRESS:PORT#NAME, an IPv6 address in brackets"
NO_PLACE = "has no valid address and port after tls://"
NO_NAME = "does not say which name the server's certificate must prove"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("tls://9.9.9.9", NO_NAME),
        ("tls://9.9.9.9:853#", NO_NAME),
        ("tls://dns.quad9.net", f"has no IP address after tls://; names cannot be used there, and {NO_NAME}"),
        ("tls://", f"{NO_PLACE}, and {NO_NAME}"),
        ("tls://9.9.9.9:0#a.b", NO_PLACE),
        ("tls://9.9.9.9:66666#a.b", NO_PLACE),
        ("tls://2620:fe::fe#a.b", NO_PLACE),
        ("tls://[9.9.9.9]#a.b", NO_PLACE),
        ("tls://[fe80::1%eth0]#a.b", NO_PLACE),
        (
            "tls://9.9.9.9#a_b",
            "has something after # that is neither a valid domain name nor an IP address: 'a_b'",
        ),
        ("tls://9.9.9.9#a.b#c", "has something after # that is neither a valid domain name nor an IP address: 'a.b#c'"),
    ],
)
def test_all_that_is_wrong_with_a_resolver_over_tls_is_told(text, wrong):
    with pytest.raises(Unfit) as told:
        resolver(text)
    assert str(told.value) == f"'{text}' {wrong}; {EXPECTED}"


@pytest.mark.parametrize(
    "text",
    ["", "a", "a:53", "1.2.3.4.5", "5.6.7.8:-1", "5.6.7.8:65536", "5.6.7.8:abc", "5.6.7.8:0", "[::1]", "fe80::1%eth0"],
)
def test_other_resolvers_are_refused(text):
    with pytest.raises(Unfit):
        resolver(text)


def test_a_refusal_says_what_to_do():
    with pytest.raises(Unfit, match=r"^'\[::1\]' has brackets but no port; leave the brackets out, or add :53$"):
        resolver("[::1]")


@pytest.mark.parametrize("text", ["1-awesome.domain.e", "single-name", "name", "Cluster.Example", "a" * 63])
def test_domains(text):
    check_domain(text)


@pytest.mark.parametrize(
    "text", ["", ".invalid.com", "invalid.com.", "a..b", "a_b", "ä", "a b", "a" * 64, ".".join(["a" * 60] * 5), "a\n"]
)
def test_other_domains_are_refused(text):
    with pytest.raises(Unfit):
        check_domain(text)


def test_the_longest_domain_has_253_characters():
    check_domain(".".join(["a" * 49] * 5) + ".abc")
    with pytest.raises(Unfit, match="too long"):
        check_domain(".".join(["a" * 49] * 5) + ".abcd")


def test_listeners():
    for text in ("0.0.0.0", "::", "127.0.0.1", "::1"):
        check_listener(text)
        check_http_listener(text)
    check_http_listener("")
    check_http_listener("localhost")
    for text in ("", "localhost", "[::1]", "127.0.0.1:53", "fe80::1%lo"):
        with pytest.raises(Unfit):
            check_listener(text)
    for text in ("[::1]", "127.0.0.1:53", "a b"):
        with pytest.raises(Unfit):
            check_http_listener(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ns1.mesos", "ns1.mesos."),
        ("ns1.mesos...", "ns1.mesos."),
        ("NS.Cluster.Example.", "NS.Cluster.Example."),
        ("", "."),
        (".", "."),
        (r"john\.doe.example.com", r"john\.doe.example.com."),
        (r"trailing\.", r"trailing\.."),
        (r"backslash\\.", "backslash\\\\."),
        (r"\255.x", r"\255.x."),
        ("a" * 63, "a" * 63 + "."),
    ],
)
def test_absolute_names_end_with_exactly_one_dot(text, name):
    assert absolute_name(text) == name


@pytest.mark.parametrize(
    "text", ["a..b", ".a", "a b", "ä.b", "a" * 64, r"\256.x", "\\", ".".join(["a" * 60] * 5), "a." * 100_000]
)
def test_texts_that_no_dns_message_can_hold_are_no_names(text):
    with pytest.raises(Unfit):
        absolute_name(text)


def test_parents_nearest_first():
    assert parents("a.b.c") == ["b.c", "c"]
    assert parents("a") == []


@given(st.ip_addresses())
def test_every_ip_literal_has_one_normal_form(address):
    text = address.exploded
    assert ip(text) == ip(str(address))
    host, port, _ = resolver(text)
    assert port == 53
    assert ip(host) == ip(text)
    assert resolver(f"tls://{joined(text, 853)}#a.b") == (host, 853, "a.b")
    assert ipaddress.ip_address(host) in {address, getattr(address, "ipv4_mapped", None)}


def message_of(check, text):
    try:
        check(text)
    except Unfit as problem:
        return str(problem)
    return ""


@given(st.text())
def test_any_text_is_taken_or_refused_on_one_printable_line(text):
    for check in (master, resolver, absolute_name, check_domain, check_listener, check_http_listener):
        assert message_of(check, text).isprintable()
    assert message_of(resolver, f"tls://{text}").isprintable()
    assert message_of(resolver, f"tls://192.0.2.1#{text}").isprintable()


def test_long_values_are_quoted_in_part():
    assert quoted("x" * 1000) == "'" + "x" * 60 + "'…"
