"""From the configuration to plain values: nothing gets lost, swapped or doubled on the way."""

import dataclasses
import json
import os
import socket

import msgspec
import pytest
from tests.config.given import FakeHost

from mesos_dns import __version__, assembly
from mesos_dns.config import Account, Config, ConfigError, IamAccount, interpret
from mesos_dns.dns import name as names
from mesos_dns.dns.prefixes import ClientList, Clients, Prefix
from mesos_dns.mesos import options
from mesos_dns.mesos.state import Endpoint
from mesos_dns.names import labels
from mesos_dns.names.suffixes import Rules
from mesos_dns.serve.forward.options import ForwardOptions, Upstream
from mesos_dns.serve.ratelimit import Rates
from mesos_dns.workers.protocol import CookieSecrets, Settings, encode
from mesos_dns.zone.zone import Authority

OVER_TLS = Upstream("192.0.2.4", 853, "dns.example")


def given(**keys):
    """The configuration of a file with these keys."""
    data = json.dumps({"Masters": ["10.0.0.1:5050"], "Resolvers": ["192.0.2.53"]} | keys).encode()
    return interpret(data, "/x.json", {}, FakeHost()).config


# --- the zone ------------------------------------------------------------------------------------


def test_start_of_authority():
    config = given(
        Domain="Cluster.Example",
        TTL=1,
        SOARefresh=2,
        SOARetry=3,
        SOAExpire=4,
        SOAMname="NS1.Cluster",
        SOARname="dns@x.y",
    )
    assert assembly.authority(config) == Authority(
        apex=b"\7cluster\7example\0",
        mname=b"\3NS1\7Cluster\0",  # as it is spelled
        rname=b"\3dns\1x\1y\0",
        refresh=2,
        retry=3,
        expire=4,
        minimum=1,
        ttl=1,
        redirects=((b"\5agent\7cluster\7example\0", b"\5slave\7cluster\7example\0"),),
    )


def test_a_domain_that_leaves_no_room_has_no_alias():
    assert assembly.authority(given(Domain=".".join(["a" * 63] * 3 + ["b" * 57]))).redirects == ()
    assert assembly.authority(given(Domain=".".join(["a" * 63] * 3 + ["b" * 55]))).redirects != ()


def test_the_minimum_is_the_ttl_whatever_soaminttl_says():
    authority = assembly.authority(given(TTL=30, SOAMinttl=5))
    assert (authority.minimum, authority.ttl) == (30, 30)


@pytest.mark.parametrize("dots", ["ns1.mesos", "ns1.mesos."])
def test_a_dot_at_the_end_makes_no_difference(dots):
    assert assembly.absolute(dots) == b"\3ns1\5mesos\0"


@pytest.mark.parametrize("name", [".", "mesos", "x" * 63 + ".mesos", "*", ".".join("x" * 127)])
def test_every_name_that_the_configuration_takes_can_be_written(name):
    config = given(SOAMname=name, SOARname=name)
    assert assembly.authority(config).mname.endswith(b"\0")
    assert assembly.authority(config).rname.endswith(b"\0")
    assert assembly.rules(config).self_name.endswith(b"\0")


@pytest.mark.parametrize("name", ["a..mesos", "n s.mesos", "ü.mesos", "x" * 64 + ".mesos", ".".join("x" * 128)])
def test_names_that_cannot_be_written_are_refused_before(name):
    with pytest.raises(ConfigError) as refusal:
        given(SOAMname=name, SOARname=name)
    assert {problem.key for problem in refusal.value.problems} == {"SOAMname", "SOARname"}


def test_the_root_is_a_name():
    config = given(SOAMname=".", SOARname=".")
    assert assembly.authority(config).mname == assembly.authority(config).rname == names.ROOT


def test_rules_of_names():
    config = given(
        Domain="Cluster",
        SOAMname="NS1.Cluster",
        IPSources=["host", "docker"],
        SRVRecordDefaultWeight=7,
        HealthAware=False,
    )
    assert assembly.rules(config) == Rules(
        b"\7cluster\0", b"\3ns1\7cluster\0", labels.rfc1123, ("host", "docker"), 7, False
    )
    assert assembly.rules(given(EnforceRFC952=True)).label is labels.rfc952


# --- workers -------------------------------------------------------------------------------------


def test_settings():
    config = given(
        Timeout=3,
        RecurseOn=False,
        SetTruncateBit=False,
        Resolvers=["192.0.2.9", "[2001:db8::1]:5353", "tls://192.0.2.4#Dns.Example"],
        ZoneResolvers={"Example.ORG": ["192.0.2.2:54"], "a.example.com": ["192.0.2.3"]},
        ForwardPolicy="fastest",
        AskNextOnFailure=False,
        CacheOctets=1_000_000,
        CacheMinTTL=5,
        CacheMaxTTL=600,
        CacheStaleSeconds=7200,
        TrustedResolvers=["192.0.2.9", "tls://192.0.2.4:853#dns.example"],
        ForwardCAFile="authorities.pem",
        PrivateZones=["Corp.Example"],
        ForwardNonRecursive=True,
        CookieSecrets=["00ff" * 8],
        ServerId="ns1 in rack 7",
        ServerVersion="@version",
        MinimalAny="always",
        ForwardMixedCase=True,
        AllowQuery=["any", "!192.0.2.0/24", "!@local"],
        AllowRecursion=["@local", "2001:db8::/32", "192.0.2.1"],
        Workers=4,
        RateLimit={
            "ResponsesPerSecond": 10,
            "ErrorsPerSecond": 3,
            "Window": 7,
            "Slip": 5,
            "IPv4PrefixLength": 22,
            "IPv6PrefixLength": 48,
            "ExemptClients": ["192.0.2.1"],
            "LogOnly": True,
        },
    )
    assert assembly.settings(config, 2, hold=True) == Settings(
        zones=[assembly.authority(config)],
        recursion=False,
        truncate_bit=False,
        forward=ForwardOptions(
            upstreams={
                names.ROOT: [Upstream("192.0.2.9", 53), Upstream("2001:db8::1", 5353), OVER_TLS],
                b"\7example\3org\0": [Upstream("192.0.2.2", 54)],
                b"\1a\7example\3com\0": [Upstream("192.0.2.3", 53)],
            },
            timeout=3.0,
            policy="fastest",
            ask_next_on_failure=False,
            cache_octets=1_000_000,
            cache_min_ttl=5,
            cache_max_ttl=600,
            stale_seconds=7200.0,
            trusted=[Upstream("192.0.2.9", 53), OVER_TLS],
            private=[b"\4corp\7example\0"],
            non_recursive=True,
            ca_file="authorities.pem",
            mixed_case=True,
        ),
        listeners=[],
        verbosity=2,
        hold=True,
        cookies=CookieSecrets([b"\0\xff" * 8]),
        server_id=b"ns1 in rack 7",
        version=f"Mesos-DNS {__version__}".encode(),
        minimal_any="always",
        allow_query=ClientList(excluded=(Prefix(b"\xc0\0\2\0", 24),), not_local=True),
        allow_recursion=ClientList(
            allowed=(Prefix(b"\x20\1\x0d\xb8" + bytes(12), 32), Prefix(b"\xc0\0\2\1", 32)), local=True
        ),
        rates=Rates(
            responses=10,
            nxdomains=10,
            errors=3,
            share=0.25,
            window=7,
            slip=5,
            ipv4=22,
            ipv6=48,
            exempt=ClientList(allowed=(Prefix(b"\xc0\0\2\1", 32),)),
            log_only=True,
        ),
    )


def test_a_server_is_called_like_its_machine_unless_it_has_a_name_of_its_own():
    assert assembly.server_id(given()) == socket.gethostname().encode()
    assert assembly.server_id(given(ServerId="")) == b""
    assert assembly.settings(given(), 0, hold=False).version == b""


def test_secrets_of_cookies_are_made_by_control_or_given_and_none_without_cookies():
    assert assembly.settings(given(), 0, hold=False).cookies == CookieSecrets([])
    assert assembly.settings(given(CookiesOn=False), 0, hold=False).cookies is None
    assert "00ff" not in repr(assembly.plan(given(CookieSecrets=["00ff" * 8])))
    assert "00ff" not in repr(given(CookieSecrets=["00ff" * 8]))


def test_by_default_everybody_may_ask_but_not_about_names_outside_and_nothing_is_limited():
    plan = assembly.plan(given(), cores=1)
    worker = plan.worker
    assert worker.allow_query == plan.http_clients == ClientList()
    assert worker.allow_query.is_everybody
    assert worker.allow_recursion.local
    assert not worker.allow_recursion.is_everybody
    assert worker.rates is None


def test_who_may_use_http():
    clients = Clients(assembly.plan(given(AllowHttp=["@loopback", "!127.0.0.9"])).http_clients)
    found = [clients.allows(bytes((127, 0, 0, n))) for n in (1, 9)] + [clients.allows(bytes((10, 0, 0, 1)))]
    assert found == [True, False, False]
    nobody = Clients(assembly.client_list(["none"]))
    assert not nobody.allows(bytes((127, 0, 0, 1)))


def test_the_token_is_in_the_plan_and_not_in_what_is_shown_of_it():
    plan = assembly.plan(dataclasses.replace(given(), http_token_file="/token", http_token="c2VjcmV0c2VjcmV0"))
    assert plan.http_token.is_shown_in("Bearer c2VjcmV0c2VjcmV0")
    assert plan.guarded
    assert "c2VjcmV0" not in repr(plan)


def test_without_external_names_nobody_is_asked():
    config = given(ExternalOn=False, ZoneResolvers={"example.org": ["192.0.2.2"]})
    settings = assembly.settings(config, 0, hold=False).forward
    assert (settings.upstreams, settings.private, settings.trusted) == ({names.ROOT: []}, [], [])


@pytest.mark.parametrize(
    ("keys", "cores", "count"),
    [
        ({}, 1, 1),
        ({}, 3, 3),
        ({}, 64, 4),
        ({"Workers": 7}, 2, 7),
        ({"Workers": 1}, 64, 1),
        ({"DnsOn": False}, 64, 0),
        ({"DnsOn": False, "Workers": 3}, 64, 0),
    ],
)
def test_how_many_workers(monkeypatch, keys, cores, count):
    assert assembly.worker_count(given(**keys), cores) == count
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert assembly.worker_count(given(**keys)) == count


# --- the whole plan ------------------------------------------------------------------------------


def test_a_plan_has_every_part():
    config = given(Port=5353, Listener="127.0.0.1", HttpPort=80, HTTPListener="::1", Workers=3, RefreshSeconds=9)
    plan = assembly.plan(config, verbosity=1)
    assert plan.zones == (assembly.authority(config),)
    assert plan.naming == assembly.rules(config)
    assert plan.source == assembly.source_options(config)
    assert plan.worker == assembly.settings(config, 1, hold=False)
    assert (plan.dns, plan.http, plan.workers) == (("127.0.0.1", 5353), ("::1", 80), 3)
    assert (plan.account, plan.guarded) == (None, False)


def test_who_the_processes_are_and_whether_they_are_guarded():
    account = Account(990, 991, (990,))
    plan = assembly.plan(given(User="mesos-dns", Group="dns", **CREDENTIALS))
    assert (plan.account, plan.guarded) == (account, True)


def test_what_is_off_has_no_part_in_the_plan():
    assert assembly.plan(given(HttpOn=False)).http is None
    off = assembly.plan(given(DnsOn=False, Listener="127.0.0.1"), cores=8)
    assert (off.workers, off.dns.host) == (0, "127.0.0.1")  # this server still has a name


def test_what_the_http_api_shows():
    shown = assembly.plan(
        given(Domain="Cluster", SOAMname="NS1.x", SOARname="a@x", RefreshSeconds=9, EnumerationOn=False)
    ).shown
    assert (shown.domain, shown.mname, shown.rname) == ("cluster", "NS1.x.", "a.x.")
    assert (shown.refresh_seconds, shown.enumeration_on) == (9, False)
    config = shown.config_json(42)
    assert (config["SOASerial"], config["RefreshSeconds"], config["Domain"]) == (42, 9, "cluster")
    assert list(config) == list(shown.effective)


def test_workers_are_told_no_secrets():
    account = json.dumps({"uid": "me", "private_key": "-----BEGIN PRIVATE KEY-----hush", "login_endpoint": "https://x"})
    host = FakeHost({"iam.json": account.encode()})
    keys = {"Masters": ["127.0.0.1:5050"], "Zk": "zk://me:hush@10.0.0.1/mesos", "IAMConfigFile": "iam.json"}
    keys |= {"CertFile": "hush.pem", "KeyFile": "hush.key", **CREDENTIALS}
    plan = assembly.plan(interpret(json.dumps(keys).encode(), "", {}, host).config)
    assert plan.guarded
    assert "hush" in str(msgspec.to_builtins(plan.source))
    assert b"hush" not in encode(plan.worker)


def test_a_plan_shows_no_secrets():
    text = repr(assembly.plan(given(MesosAuthentication="basic", **CREDENTIALS)))
    assert "dns" in text
    assert "hush" not in text


def test_equal_configurations_make_equal_plans():
    assert assembly.plan(given(), cores=2) == assembly.plan(given(), cores=2)
    assert assembly.plan(given(), cores=2) != assembly.plan(given(TTL=5), cores=2)


# --- the source ----------------------------------------------------------------------------------


def test_masters_keep_their_order():
    config = given(Masters=["10.0.0.2:5050", "[2001:db8::1]:6060", "10.0.0.1:5050"])
    assert assembly.masters(config) == (
        Endpoint("10.0.0.2", 5050),
        Endpoint("2001:db8::1", 6060),
        Endpoint("10.0.0.1", 5050),
    )
    assert assembly.source_options(config).masters == assembly.masters(config)


def test_plain_polling():
    config = given(RefreshSeconds=9, StateTimeoutSeconds=8)
    assert assembly.source_options(config) == options.SourceOptions(
        masters=(Endpoint("10.0.0.1", 5050),),
        refresh_seconds=9.0,
        client=options.ClientOptions(
            https=False, ca_file="", cert_file="", key_file="", principal="", secret="", iam=None, timeout=8.0
        ),
    )


def test_tls():
    config = given(MesosHTTPSOn=True, CACertFile="/ca.pem", CertFile="/cert.pem", KeyFile="/key.pem")
    client = assembly.source_options(config).client
    assert (client.https, client.ca_file, client.cert_file, client.key_file) == (
        True,
        "/ca.pem",
        "/cert.pem",
        "/key.pem",
    )


CREDENTIALS = {"MesosCredentials": {"Principal": "dns", "Secret": "hush"}}
ACCOUNT = IamAccount(uid="dns", private_key="key", login_endpoint="https://iam.example/login")


@pytest.mark.parametrize(("kind", "sent"), [("basic", ("dns", "hush")), ("", ("", ""))])
def test_credentials_are_sent_if_that_is_asked_for_only(kind, sent):
    client = assembly.source_options(given(MesosAuthentication=kind, **CREDENTIALS)).client
    assert (client.principal, client.secret) == sent
    assert client.iam is None


@pytest.mark.parametrize(
    ("kind", "account"),
    [("iam", options.IamAccount("dns", "key", "https://iam.example/login")), ("basic", None), ("", None)],
)
def test_a_service_account_is_used_if_that_is_asked_for_only(kind, account):
    config = Config(masters=("10.0.0.1:5050",), mesos_authentication=kind, iam=ACCOUNT, mesos_principal="p")
    client = assembly.source_options(config).client
    assert client.iam == account
    assert client.principal == ("p" if kind == "basic" else "")


# --- ZooKeeper ------------------------------------------------------------------------------------


def test_zookeeper():
    source = assembly.source_options(given(Zk="zk://me:hunter2@a,[::1]:2182/mesos/", ZkDetectionTimeout=7))
    assert source.masters == (Endpoint("10.0.0.1", 5050),)
    assert source.zookeeper == options.ZooKeeperOptions(
        (Endpoint("a", 2181), Endpoint("::1", 2182)), "/mesos", "me:hunter2", 7.0
    )
    assert "hunter2" not in repr(source) + str(source.zookeeper)
    assert str(source.zookeeper) == "zk://a:2181,[::1]:2182/mesos"


def test_without_zookeeper():
    assert assembly.source_options(given()).zookeeper is None
    alone = assembly.source_options(given(Zk="10.0.0.9:5050"))
    assert (alone.zookeeper, alone.masters) == (None, (Endpoint("10.0.0.9", 5050), Endpoint("10.0.0.1", 5050)))


@pytest.mark.parametrize("seconds", [0, -5])
def test_a_limit_of_nothing_is_none(seconds):
    source = assembly.source_options(given(Zk="zk://a/mesos", ZkDetectionTimeout=seconds))
    assert source.zookeeper.detection_timeout == 0.0
