"""Lists of clients in the configuration: what is taken, and what is said of the rest."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.config.given import given_keys, problems

from mesos_dns.config import access
from mesos_dns.config.access import SETS, Entry, complaints, entry
from mesos_dns.config.addresses import Unfit


def networks(found):
    return [str(ipaddress.ip_network((network, length))) for network, length in found.prefixes]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10.0.0.0/8", ["10.0.0.0/8"]),
        ("192.0.2.1", ["192.0.2.1/32"]),
        ("2001:DB8::/32", ["2001:db8::/32"]),
        ("::1", ["::1/128"]),
        ("0.0.0.0/0", ["0.0.0.0/0"]),
        ("any", ["0.0.0.0/0", "::/0"]),
        ("@loopback", ["127.0.0.0/8", "::1/128"]),
        ("none", []),
    ],
)
def test_entries(text, told):
    found = entry(text)
    assert (networks(found), found.local, found.excludes) == (told, False, False)


def test_the_networks_of_the_machine_and_exclusions():
    assert entry("@local") == Entry((), local=True)
    assert entry("!@local") == Entry((), local=True, excludes=True)
    assert networks(entry("!192.0.2.0/24")) == ["192.0.2.0/24"]
    assert entry("!192.0.2.0/24").excludes


def test_private_networks_are_those_that_the_standard_library_knows():
    private = [ipaddress.ip_network(each) for each in SETS["@private"]]
    shared = ipaddress.ip_network("100.64.0.0/10")
    assert all(network.is_private for network in private if network != shared)
    for address in ("10.1.2.3", "172.31.0.1", "192.168.9.9", "100.64.0.1", "169.254.1.1", "fd12::1", "fe80::1"):
        assert any(ipaddress.ip_address(address) in network for network in private)
    assert not any(ipaddress.ip_address("172.32.0.1") in network for network in private)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10.1.2.3/8", "'10.1.2.3/8' has bits behind its length; write 10.0.0.0/8, or 10.1.2.3 for that address alone"),
        ("::ffff:10.0.0.0/104", "is a prefix of IPv4 addresses in IPv6 form; write it as IPv4"),
        ("::ffff:10.0.0.1", "is a prefix of IPv4 addresses in IPv6 form; write it as IPv4"),
        ("10.0.0.0/255.0.0.0", "'10.0.0.0/255.0.0.0' is no prefix; expected an address, a prefix such as 10.0.0.0/8"),
        ("10.0.0.0/", "is no prefix"),
        ("10.0.0.0/33", "is no prefix"),
        ("fe80::1%eth0", "is no prefix"),
        (
            "@Private",
            "'@Private' is no prefix; expected an address, a prefix such as 10.0.0.0/8, one of any, @loopback, @priv",
        ),
        ("!any", "'any' is no prefix"),
        ("!none", "'none' is no prefix"),
        ("!!10.0.0.0/8", "is no prefix"),
        ("localhost", "is no prefix"),
        ("", "is no prefix"),
    ],
)
def test_what_is_no_entry(text, told):
    with pytest.raises(Unfit) as caught:
        entry(text)
    assert told in str(caught.value)


@given(st.text(max_size=20) | st.from_regex(r"!?[0-9.:/a-f]{1,20}", fullmatch=True))
def test_any_text_is_an_entry_or_unfit(text):
    try:
        found = entry(text)
    except Unfit:
        return
    assert found.prefixes or found.local or text == access.NONE


@given(st.ip_addresses(), st.integers(0, 128))
def test_every_prefix_is_taken_as_the_standard_library_writes_it(address, length):
    network = ipaddress.ip_network((address, min(length, address.max_prefixlen)), strict=False)
    if network.version == 6 and network.subnet_of(ipaddress.ip_network("::ffff:0:0/96")):
        return
    assert networks(entry(str(network))) == [str(network)]


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["any"], []),
        (["none"], []),
        (["any", "!192.0.2.0/24"], []),
        ([], ['is empty; write "none" if nobody may, or "any" if everybody may']),
        (["none", "10.0.0.0/8"], ['"none" stands beside others; leave it alone, or out']),
        (["!10.0.0.0/8"], ['only excludes, so that nobody may; add who may, such as "any"']),
        (["any", "any"], ["'any' stands more than once; remove one"]),
        (["192.0.2.1", "192.0.2.1/32"], ["'192.0.2.1/32' is the same as '192.0.2.1'; remove one of them"]),
    ],
)
def test_lists(texts, told):
    assert list(complaints(texts)) == told


def test_all_that_is_wrong_is_told_at_once():
    found = problems(
        AllowQuery=["10.0.0.1/8", "x"], AllowRecursion=[], AllowHttp=["@lokal"], RateLimit={"ExemptClients": ["y"]}
    )
    assert [each.partition(" (")[0] for each in found] == [
        *("AllowQuery", "AllowQuery", "AllowRecursion", "AllowHttp", "RateLimit.ExemptClients"),
    ]


def test_rate_limits_are_an_object():
    loaded = given_keys(RateLimit={"responsesPerSecond": 5, "Slip": 0, "ExemptClients": ["@local"]})
    config = loaded.config
    assert loaded.warnings == ()
    assert (config.rate_limit_responses_per_second, config.rate_limit_slip) == (5, 0)
    assert config.rate_limit_exempt_clients == ("@local",)


def test_rate_limits_may_stand_in_the_environment():
    environ = {"MESOS_DNS_RATE_LIMIT": '{"ResponsesPerSecond": 5, "Window": 3}', "MESOS_DNS_RATE_LIMIT_WINDOW": "4"}
    config = given_keys(environ, RateLimit={"ResponsesPerSecond": 9, "Slip": 1}).config
    found = (config.rate_limit_responses_per_second, config.rate_limit_window, config.rate_limit_slip)
    assert found == (5, 4, 1)


@pytest.mark.parametrize("value", [5, [5], "5"])
def test_rate_limits_that_are_no_object(value):
    (found,) = problems(RateLimit=value)
    assert "RateLimit (file" in found
    assert 'expected an object {"ResponsesPerSecond": …, "NxdomainsPerSecond": …' in found


@pytest.mark.parametrize(
    ("key", "value"), [("NxdomainsPerSecond", 1), ("ErrorsPerSecond", 1), ("ExemptClients", ["any"]), ("LogOnly", True)]
)
def test_parts_of_rate_limits_without_a_rate_are_warned_about(key, value):
    (warning,) = given_keys(RateLimit={key: value}).warnings
    assert str(warning).startswith(f"RateLimit.{key} (file")
    assert "has no effect, because RateLimit.ResponsesPerSecond is 0" in warning.message


def test_prefixes_of_ipv6_are_at_most_of_64_bits():
    (found,) = problems(RateLimit={"ResponsesPerSecond": 5, "IPv6PrefixLength": 65})
    assert "expected an integer from 1 to 64" in found
