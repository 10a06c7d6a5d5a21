"""What must hold between values. Vectors of Mesos-DNS 0.7."""

import pytest
from tests.config.given import PATH, given_keys, problems, warnings

from mesos_dns.config import KEYS
from mesos_dns.config.rules import RULES, Listening, advice, cluster, loops, name_servers


def findings(**changed):
    """What the rules find wrong with the defaults, a master and these values: keys and messages."""
    values = {key.name: key.default for key in KEYS} | {"Masters": ("m:1",)} | changed
    return [finding[:2] for rule in (*RULES, cluster) for finding in rule(values)]


def test_the_defaults_are_fine_but_for_a_cluster():
    assert findings() == []
    assert [key for key, _ in findings(Masters=())] == ["Masters"]


def test_something_must_be_served():
    assert findings(DnsOn=False) == []
    assert findings(HttpOn=False) == []
    assert [key for key, _ in findings(DnsOn=False, HttpOn=False)] == ["DnsOn"]


def test_the_log_has_two_formats():
    assert findings(LogFormat="json") == []
    assert findings(LogFormat="JSON") == [("LogFormat", '\'JSON\' is unknown; expected "text" or "json" in lower case')]


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
        (("tls://1.2.3.4#a.b", "tls://1.2.3.4:853#A.B"), 1),
        (("tls://1.2.3.4#a.b", "tls://1.2.3.4#c.d"), 1),
        (("tls://1.2.3.4#a.b", "1.2.3.4:853", "1.2.3.4", "tls://1.2.3.4:53#a.b"), 0),
    ],
)
def test_resolvers_are_distinct(resolvers, count):
    assert [key for key, _ in findings(Resolvers=resolvers)] == ["Resolvers"] * count


@pytest.mark.parametrize(
    ("trusted", "messages"),
    [
        (("1.2.3.4", "[::1]:54"), []),
        (
            ("1.2.3.4", "1.2.3.4:53"),
            ["'1.2.3.4:53' is the same address as '1.2.3.4'; remove one of them"],
        ),
        (("x",), ["'x' is not an IP address; expected an IP address or IP:port, names cannot be used"]),
    ],
)
def test_trusted_resolvers(trusted, messages):
    assert findings(TrustedResolvers=trusted) == [("TrustedResolvers", message) for message in messages]
    assert findings(TrustedResolvers=trusted, ExternalOn=False) == []


def test_whoever_is_trusted_and_not_asked_is_pointed_out():
    values = {key.name: key.default for key in KEYS}
    values |= {"Resolvers": ("192.0.2.1", "x"), "ZoneResolvers": (("a.test", ("192.0.2.2:54",)),)}
    values["TrustedResolvers"] = ("192.0.2.1:53", "192.0.2.2:54", "192.0.2.2")
    assert list(advice(values)) == [
        ("TrustedResolvers", "'192.0.2.2' has no effect: it is not among Resolvers or ZoneResolvers")
    ]
    assert list(advice(values | {"ExternalOn": False})) == []


def test_trust_in_who_is_asked_over_tls_is_trust_in_its_name():
    values = {key.name: key.default for key in KEYS}
    values |= {"Resolvers": ("tls://192.0.2.1#a.example",), "TrustedResolvers": ("tls://192.0.2.1:853#A.example",)}
    assert list(advice(values)) == []
    for other in ("192.0.2.1", "192.0.2.1:853", "tls://192.0.2.1#b.example"):
        assert [key for key, _ in advice(values | {"TrustedResolvers": (other,)})] == ["TrustedResolvers"]


def test_authorities_for_nobody_are_pointed_out():
    values = {key.name: key.default for key in KEYS} | {"ForwardCAFile": "ca.pem"}
    (found,) = advice(values)
    assert found[0] == "ForwardCAFile"
    assert list(advice(values | {"Resolvers": ("tls://192.0.2.1#a.example",)})) == []
    assert list(advice(values | {"ZoneResolvers": (("a.test", ("tls://192.0.2.1#a.example",)),)})) == []


SECRETS = ("00112233445566778899aabbccddeeff", "ff" * 16, "E5E973E5A6B2A43F48E7DC849E37BFCF")
NO_SECRET = "expected secrets of 32 hexadecimal digits each; make one with: openssl rand -hex 16"


@pytest.mark.parametrize(
    ("secrets", "messages"),
    [
        ((), []),
        (SECRETS, []),
        (("hunter2",), [NO_SECRET]),
        (
            ("", "x" * 32, "ff" * 15, "ff" * 17, SECRETS[0]),
            [NO_SECRET, "holds 5 secrets; at most 3 are possible: in use, next, and before"],
        ),
        ((SECRETS[1], SECRETS[1].upper()), ["holds the same secret more than once; remove one"]),
    ],
)
def test_secrets_of_cookies_and_nothing_repeats_them(secrets, messages):
    assert findings(CookieSecrets=secrets) == [("CookieSecrets", message) for message in messages]


def test_secrets_without_cookies_are_pointed_out():
    values = {key.name: key.default for key in KEYS} | {"CookieSecrets": SECRETS}
    assert list(advice(values)) == []
    assert list(advice(values | {"CookiesOn": False})) == [
        ("CookieSecrets", "has no effect, because CookiesOn is false")
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *((text, None) for text in ("", "ns1", "rack 7, ns-a.example", "é", "x" * 128)),
        ("x" * 129, f"'{'x' * 60}…' is not a text of at most 128 printable octets; shorten it"),
        ("é" * 65, "is not a text of at most 128 printable octets; shorten it"),
        ("a\nb", "'a\\nb' is not a text of at most 128 printable octets; shorten it"),
        ("@host", '\'@host\' is unknown; expected a text that does not begin with @, "@hostname", or ""'),
    ],
)
def test_what_a_server_says_of_itself(text, message):
    found = findings(ServerId=text)
    assert [key for key, _ in found] == ([] if message is None else ["ServerId"])
    assert all(told.endswith(message[-40:]) for _, told in found)
    assert [key for key, _ in findings(ServerVersion=text)] == ([] if message is None else ["ServerVersion"])


def test_the_words_for_what_this_machine_and_this_program_are():
    assert findings(ServerId="@hostname", ServerVersion="@version") == []
    assert [key for key, _ in findings(ServerId="@version", ServerVersion="@hostname")] == ["ServerId", "ServerVersion"]


def test_minimal_answers_to_any():
    for value in ("udp", "always", "never"):
        assert findings(MinimalAny=value) == []
    assert findings(MinimalAny="TCP") == [
        ("MinimalAny", '\'TCP\' is unknown; expected "udp", "always" or "never" in lower case')
    ]


@pytest.mark.parametrize(
    ("zones", "messages"),
    [
        ((), []),
        (("special-use", "corp.example", "10.in-addr.arpa"), []),
        (("a.test", "A.Test"), ["zone 'A.Test' stands more than once; remove one"]),
        (
            ("_x.test",),
            [
                "zone '_x.test' is not a valid domain name; expected labels of letters, digits and '-', separated by single dots, without a dot at either end"
            ],
        ),
    ],
)
def test_private_zones(zones, messages):
    assert findings(PrivateZones=zones) == [("PrivateZones", message) for message in messages]
    assert findings(PrivateZones=zones, ExternalOn=False) == []


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
        (("auto", "host"), 0),
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
    assert name_servers(text, local, Listening("192.0.2.1", 5353)) == ((), ())


def test_a_rule_counts_only_for_what_is_used():
    loaded = given_keys(ExternalOn=False, Resolvers=["a"], ZoneResolvers={"mesos": ["b"]})
    assert loaded.warnings == ()


# --- what leads back to this server --------------------------------------------------------------

LOCAL = frozenset({"127.0.0.1", "::1", "192.0.2.1", "2001:db8::1"})


@pytest.mark.parametrize(
    ("listener", "resolvers"),
    [
        ("0.0.0.0", ("127.0.0.1", "127.0.0.53", "127.9.9.9:53", "0.0.0.0", "192.0.2.1", "::ffff:192.0.2.1")),
        ("::", ("127.0.0.1", "127.0.0.53", "0.0.0.0", "::", "::1", "[::1]:53", "192.0.2.1", "2001:DB8:0::1")),
        ("192.0.2.1", ("192.0.2.1", "192.0.2.1:53")),
        ("192.0.2.77", ("192.0.2.77",)),  # perhaps an address that comes later
        ("127.0.0.1", ("127.0.0.1", "0.0.0.0")),
        ("::1", ("::1", "::")),
    ],
)
def test_a_resolver_that_is_this_server_is_refused(listener, resolvers):
    for server in resolvers:
        for keys in ({"Resolvers": (server,)}, {"ZoneResolvers": (("corp.example", (server,)),)}):
            (found,) = loop_findings(Listener=listener, **keys)
            assert found[0] in keys
            assert f"'{server}' leads back to this server, which listens on {listener} port 53" in found[1]


@pytest.mark.parametrize(
    ("listener", "resolvers"),
    [
        ("0.0.0.0", ("127.0.0.1:54", "192.0.2.53", "::1", "2001:db8::1", "::", "nonsense")),
        ("::", ("[::1]:54", "192.0.2.53", "2001:db8::53")),
        ("192.0.2.1", ("127.0.0.1", "127.0.0.53", "0.0.0.0", "2001:db8::1")),
        ("127.0.0.1", ("127.0.0.53", "192.0.2.1", "::1")),
        ("nonsense", ("127.0.0.1",)),
    ],
)
def test_other_resolvers_are_none_of_our_business(listener, resolvers):
    assert loop_findings(Listener=listener, Resolvers=resolvers) == []


def loop_findings(**changed):
    values = {key.name: key.default for key in KEYS} | changed
    return list(loops(values, lambda: LOCAL))


def test_who_serves_no_dns_or_asks_nobody_has_no_loop():
    assert loop_findings(Resolvers=("127.0.0.1",), DnsOn=False) == []
    assert loop_findings(Resolvers=("127.0.0.1",), ExternalOn=False) == []
    assert loop_findings(Resolvers=("127.0.0.1",), Port=0) == []  # any free one, which nobody knows yet


def test_a_loop_is_told_with_its_place():
    (found,) = problems(Resolvers=["192.0.2.1"])
    assert found == (
        f"Resolvers (file {PATH}): '192.0.2.1' leads back to this server, which listens on 0.0.0.0 port 53: "
        "it would ask itself without end; name another resolver"
    )
    (found,) = problems(ZoneResolvers={"corp.example": ["127.0.0.1"]})
    assert found.startswith(f"ZoneResolvers (file {PATH}): zone 'corp.example': '127.0.0.1' leads back")
    (found,) = problems(Resolvers=["tls://192.0.2.1:53#a.example"])
    assert found.endswith("which listens on 0.0.0.0 port 53: it does not speak TLS; name another resolver")
    assert loop_findings(Resolvers=("tls://192.0.2.1#a.example",)) == []


# --- one port for two ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dns", "http"),
    [
        ("0.0.0.0", "0.0.0.0"),
        ("0.0.0.0", ""),
        ("0.0.0.0", "192.0.2.1"),
        ("192.0.2.1", "0.0.0.0"),
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("0.0.0.0", "localhost"),
        ("0.0.0.0", "some.host.example"),  # can only be an address of this machine
        ("127.0.0.1", "localhost"),
        ("::", "192.0.2.1"),
        ("2001:db8::1", "::"),
        ("0.0.0.0", "::"),
    ],
)
def test_dns_and_http_cannot_share_address_and_port(dns, http):
    (found,) = findings(Port=8053, HttpPort=8053, Listener=dns, HTTPListener=http)
    assert found[0] == "HttpPort"
    assert "set another HttpPort" in found[1]


@pytest.mark.parametrize(
    ("dns", "http"),
    [
        ("192.0.2.1", "192.0.2.2"),
        ("0.0.0.0", "2001:db8::1"),
        ("2001:db8::1", "0.0.0.0"),
        ("127.0.0.1", "some.host.example"),  # who knows
        ("::1", "localhost"),
    ],
)
def test_dns_and_http_can_have_one_port_on_different_addresses(dns, http):
    assert findings(Port=8053, HttpPort=8053, Listener=dns, HTTPListener=http) == []


def test_a_port_is_free_if_nobody_has_it():
    assert findings(Port=8123, DnsOn=False) == []
    assert findings(Port=8123, HttpOn=False) == []
    assert findings(Port=0, HttpPort=0) == []


# --- masters that are one ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("masters", "text"),
    [
        (["m1.example:5050", "M1.Example:5050"], "'M1.Example:5050' is the same master as 'm1.example:5050'"),
        (["m1.example:5050", "m1.example.:5050"], "'m1.example.:5050' is the same master as 'm1.example:5050'"),
        (["m1.example:05050", "M1.example:5050"], "'M1.example:5050' is the same master as 'm1.example:05050'"),
        (["10.0.0.01:5050"], "'10.0.0.01:5050' has a host of digits that is no IPv4 address"),
    ],
)
def test_masters_that_are_one_are_warned_about(masters, text):
    (warning,) = warnings(Masters=masters)
    assert warning.startswith(f"Masters (file {PATH}): {text}")


@pytest.mark.parametrize("masters", [["10.0.0.1:5050", "10.0.0.1:05050"], ["m1:5050", "m1:05050"]])
def test_a_port_is_a_number_however_it_is_written(masters):
    (found,) = problems(Masters=masters)
    assert "is the same address as" in found


def test_masters_on_other_ports_are_others():
    assert warnings(Masters=["m1:5050", "M1:5051", "10.0.0.1:5050"]) == []
