"""What must hold between values. Vectors of Mesos-DNS 0.7."""

import pytest
from tests.config.given import PATH, given_keys, problems

from mesos_dns.config import KEYS
from mesos_dns.config.rules import RULES, name_servers


def findings(**changed):
    """What the rules find wrong with the defaults, a master and these values: keys and messages."""
    values = {key.name: key.default for key in KEYS} | {"Masters": ("m:1",)} | changed
    return [finding[:2] for rule in RULES for finding in rule(values)]


def test_the_defaults_are_fine_but_for_a_cluster():
    assert findings() == []
    assert [key for key, _ in findings(Masters=())] == ["Masters"]


def test_something_must_be_served():
    assert findings(DnsOn=False) == []
    assert findings(HttpOn=False) == []
    assert [key for key, _ in findings(DnsOn=False, HttpOn=False)] == ["DnsOn"]


@pytest.mark.parametrize(
    ("masters", "count"),
    [
        (("",), 1),
        (("", ""), 2),
        (("a", "b"), 2),
        (("a:1", "b:1"), 0),
        (("1.2.3.4:1", "5.6.7.8:1"), 0),
        (("1.2.3.4:1", "1.2.3.4:2"), 0),
        (("1.2.3.4:1", "1.2.3.4:1"), 1),
        (("[2001:0db8:3c4d:0015:0000:0000:1a2f:1a2b]:1",), 0),
        (("[2001:0db8:3c4d:0015:0000:0000:1a2f:1a2b]:1", "[2001:db8:3c4d:15::1a2f:1a2b]:1"), 1),
    ],
)
def test_masters_are_distinct(masters, count):
    assert [key for key, _ in findings(Masters=masters)] == ["Masters"] * count


def test_a_duplicate_is_named_in_both_spellings():
    assert problems(Masters=["[::1]:1", "[0::1]:1"]) == [
        f"Masters (file {PATH}): '[0::1]:1' is the same address as '[::1]:1'; remove one of them"
    ]


@pytest.mark.parametrize(
    ("resolvers", "count"),
    [
        ((), 0),
        (("", ""), 2),
        (("a", "b"), 2),
        (("1.2.3.4", "1.2.3.4"), 1),
        (("1.2.3.4", "1.2.3.4:53"), 1),
        (("1.2.3.4", "1.2.3.4:54"), 0),
        (("1.2.3.4", "5.6.7.8:1234"), 0),
        (("2001:0db8:3c4d:0015::1a2f:1a2b", "[2001:db8:3c4d:15::1a2f:1a2b]:55"), 0),
        (("2001:0db8:3c4d:0015::1a2f:1a2b", "2001:db8:3c4d:15::1a2f:1a2b"), 1),
    ],
)
def test_resolvers_are_distinct(resolvers, count):
    assert [key for key, _ in findings(Resolvers=resolvers)] == ["Resolvers"] * count


def zones_found(*zones, domain="dc.mesos"):
    found = findings(Domain=domain, ZoneResolvers=tuple((zone, ("192.0.2.1",)) for zone in zones))
    assert {key for key, _ in found} <= {"ZoneResolvers"}
    return [message for _, message in found]


@pytest.mark.parametrize("zones", [(), ("weave",), ("acdc.mesos",), ("abc.com", "bc.com"), ("Upper.Test",)])
def test_zones(zones):
    assert zones_found(*zones) == []


@pytest.mark.parametrize(
    ("zones", "message"),
    [
        (("",), "zone '' is not a valid domain name"),
        (("a.",), "zone 'a.' is not a valid domain name"),
        (("mesos",), "zone 'mesos' holds the Mesos domain 'dc.mesos'; remove it"),
        (("dc.mesos",), "zone 'dc.mesos' is the Mesos domain, which is answered here; remove it"),
        (("DC.mesos",), "zone 'DC.mesos' is the Mesos domain, which is answered here; remove it"),
        (("site.dc.mesos",), "zone 'site.dc.mesos' lies inside the Mesos domain 'dc.mesos', which is answered here"),
        (("abc.com", "com"), "zone 'abc.com' lies inside zone 'com', so it is unclear who is asked"),
        (("com", "a.b.COM"), "zone 'a.b.COM' lies inside zone 'com', so it is unclear who is asked"),
        (("a.b", "A.b"), "zones 'a.b' and 'A.b' are the same; join them"),
    ],
)
def test_other_zones_are_refused(zones, message):
    (found,) = zones_found(*zones)
    assert found.startswith(message)


def test_the_mesos_domain_is_compared_in_lower_case():
    assert len(zones_found("a.dc.mesos", domain="DC.Mesos")) == 1


def test_a_zone_has_valid_resolvers():
    assert findings(ZoneResolvers=(("weave", ()),)) == [
        ("ZoneResolvers", "zone 'weave' has no resolvers; name at least one, or remove the zone")
    ]
    assert [message for _, message in findings(ZoneResolvers=(("weave", ("1.1.1.1", "x", "1.1.1.1:53")),))] == [
        "zone 'weave': 'x' is not an IP address; expected an IP address or IP:port, names cannot be used",
        "zone 'weave': '1.1.1.1:53' is the same address as '1.1.1.1'; remove one of them",
    ]


@pytest.mark.parametrize(
    ("sources", "count"),
    [
        ((), 1),
        (("host", "docker", "mesos", "netinfo"), 0),
        (("host", "host"), 1),
        (("rkt",), 1),
        (("HOST", "rkt"), 2),
    ],
)
def test_ip_sources(sources, count):
    assert [key for key, _ in findings(IPSources=sources)] == ["IPSources"] * count


def test_addresses_of_this_host_are_all_left_out():
    local = frozenset({"192.0.2.1", "2001:db8::1", "127.0.0.1"})
    text = "".join(f"nameserver {address}\n" for address in [*sorted(local), "2001:0db8:0::1"])
    assert name_servers(text, local) == ((), ())


def test_a_rule_counts_only_for_what_is_used():
    loaded = given_keys(ExternalOn=False, Resolvers=["a"], ZoneResolvers={"mesos": ["b"]})
    assert loaded.warnings == ()
