"""Keys of DNS over TLS, HTTPS and DNS over HTTPS: what they need, which ports they may have, and the certificate."""

import pytest
from tests.config.given import NOW, PATH, FakeHost, given_keys, problems, warnings

from mesos_dns.certificates import Certificate, KeyPair

YEAR = 365 * 86_400
FILES = {"/own.pem": str(YEAR).encode(), "/own.key": b"the key"}
PAIR = {"TlsCertFile": "/own.pem", "TlsKeyFile": "/own.key"}


def host(**files):
    return FakeHost(FILES | {f"/{name.replace('_', '.')}": content for name, content in files.items()})


def refused(files=None, **keys):
    return problems(host=host(**(files or {})), **keys)


def test_without_them_nothing_is_served_over_tls():
    config = given_keys().config
    assert (config.tls_on, config.https_on, config.doh_on) == (False, False, False)
    assert (config.tls_port, config.https_port, config.certificate) == (853, 443, None)


@pytest.mark.parametrize("switch", ["TlsOn", "HttpsOn"])
def test_the_pair_is_read_with_the_configuration(switch):
    loaded = given_keys(host=host(), **{switch: True}, **PAIR)
    assert loaded.config.certificate == Certificate(
        KeyPair(str(YEAR).encode(), b"the key"), "/own.pem", NOW - 86_400, NOW + YEAR
    )
    assert loaded.warnings == ()
    assert "the key" not in repr(loaded.config)
    assert "the key" not in repr(loaded.config.certificate)


@pytest.mark.parametrize("switch", ["TlsOn", "HttpsOn"])
def test_a_certificate_and_a_key_are_needed(switch):
    assert refused(**{switch: True}) == [
        f"TlsCertFile (default): is missing, but {switch} is true; name the PEM file with the certificate of this server",
        f"TlsKeyFile (default): is missing, but {switch} is true; name the PEM file with the private key of this server",
    ]


def test_files_that_cannot_be_read_are_problems_of_their_keys():
    assert refused(TlsOn=True, TlsCertFile="/none.pem", TlsKeyFile="/none.key") == [
        f"TlsCertFile (file {PATH}): /none.pem cannot be read: No such file or directory",
        f"TlsKeyFile (file {PATH}): /none.key cannot be read: No such file or directory",
    ]


def test_a_key_that_may_not_be_read():
    class Locked(FakeHost):
        def read(self, path):
            if path == "/own.key":
                raise PermissionError(13, "Permission denied")
            return super().read(path)

    assert problems(host=Locked(FILES), TlsOn=True, **PAIR) == [
        f"TlsKeyFile (file {PATH}): /own.key cannot be read: Permission denied; let the user that runs Mesos-DNS read it"
    ]


def test_a_pair_that_does_not_fit_is_refused():
    assert refused({"own_key": b"bad"}, TlsOn=True, **PAIR) == [
        f"TlsCertFile (file {PATH}): /own.pem and TlsKeyFile do not fit"
    ]


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (20 * 86_400, []),
        (
            13.5 * 86_400,
            ["the certificate in /own.pem expires in 14 days, on 2027-01-28: renew it, and reload"],
        ),
        (3600, ["the certificate in /own.pem expires in 1 day, on 2027-01-15: renew it, and reload"]),
        (
            -1,
            [
                "the certificate in /own.pem has expired on 2027-01-15: clients that verify it go away; renew it, and reload"
            ],
        ),
    ],
)
def test_a_certificate_that_ends_is_warned_of_and_used(left, told):
    assert warnings(host=host(own_pem=str(left).encode()), TlsOn=True, **PAIR) == [
        f"TlsCertFile (file {PATH}): {text}" for text in told
    ]


def test_a_pair_that_nobody_uses_is_not_read():
    assert warnings(**PAIR) == [
        f"TlsCertFile (file {PATH}): has no effect: neither TlsOn nor HttpsOn is true",
        f"TlsKeyFile (file {PATH}): has no effect: neither TlsOn nor HttpsOn is true",
    ]


def test_dns_over_tls_and_https_need_those_who_answer():
    assert refused(TlsOn=True, DohOn=True, DnsOn=False, **PAIR) == [
        f"{key} (file {PATH}): is true, but DnsOn is false: the processes that answer DNS do not run; set DnsOn to true"
        for key in ("TlsOn", "DohOn")
    ]


def test_dns_over_https_needs_http():
    assert refused(DohOn=True, HttpOn=False) == [
        f"DohOn (file {PATH}): is true, but neither HttpsOn nor HttpOn is; set HttpsOn to true"
    ]
    assert given_keys(host=host(), DohOn=True, HttpOn=False, HttpsOn=True, **PAIR).config.doh_on
    # Behind a proxy that has the certificate.
    assert warnings(DohOn=True) == []


def test_https_alone_is_enough_to_serve():
    assert given_keys(host=host(), DnsOn=False, HttpOn=False, HttpsOn=True, **PAIR).config.https_on


# --- ports -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (
            {"TlsOn": True, "TlsPort": 53},
            "TlsPort (file {}): is 53, as Port is, on the same address: DNS over TCP and DNS over TLS cannot share it; set another TlsPort",
        ),
        (
            {"HttpsOn": True, "HttpsPort": 8123},
            "HttpsPort (file {}): is 8123, as HttpPort is, on the same address: HTTP and HTTPS cannot share it; set another HttpsPort",
        ),
        (
            {"HttpsOn": True, "TlsOn": True, "HttpsPort": 853, "HTTPListener": "192.0.2.1"},
            "HttpsPort (file {}): is 853, as TlsPort is, and HTTPListener (192.0.2.1) and Listener (0.0.0.0) have an address in common: DNS over TLS and HTTPS cannot share it; set another HttpsPort",
        ),
    ],
)
def test_ports_that_clash(keys, told):
    assert refused(**keys, **PAIR) == [told.format(PATH)]


@pytest.mark.parametrize(
    "keys",
    [
        {"TlsOn": True, "TlsPort": 0, "Port": 0},
        {"TlsOn": False, "TlsPort": 53, "HttpsOn": True},
        {"HttpsOn": True, "TlsOn": True, "HttpsPort": 853, "HTTPListener": "192.0.2.1", "Listener": "192.0.2.2"},
    ],
)
def test_ports_that_do_not(keys):
    given_keys(host=host(), **keys, **PAIR)


@pytest.mark.parametrize(
    ("resolver", "outcome"),
    [
        ("tls://127.0.0.1#x.example", "853: it would ask itself without end"),
        ("127.0.0.1:853", "853: it speaks nothing but TLS there"),
        ("tls://127.0.0.1:53#x.example", "53: it does not speak TLS"),
    ],
)
def test_resolvers_that_are_this_server(resolver, outcome):
    assert refused(TlsOn=True, Resolvers=[resolver], **PAIR) == [
        f"Resolvers (file {PATH}): '{resolver}' leads back to this server, which listens on 0.0.0.0 port {outcome}; name another resolver"
    ]
