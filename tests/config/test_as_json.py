"""`GET /v1/config`: what is shown, how, in which order. Expected values were recorded from the Go program."""

import dataclasses
import json

import pytest
from tests.config.given import PATH, given_keys, given_text

from mesos_dns.config import Config, as_json

BASE = {
    "masters": ["127.0.0.1:5050"],
    "refreshSeconds": 3600,
    "ttl": 60,
    "domain": "mesos",
    "port": 8053,
    "resolvers": ["127.0.0.1:5353"],
    "timeout": 2,
    "listener": "0.0.0.0",
    "httplistener": "127.0.0.1",
    "httpport": 8123,
}
#: Answered for `BASE`, in this order; the serial is the one that the test gives.
GO_BASE = {
    "RefreshSeconds": 3600,
    "Port": 8053,
    "Timeout": 2,
    "StateTimeoutSeconds": 300,
    "ZkDetectionTimeout": 30,
    "HttpPort": 8123,
    "TTL": 60,
    "SRVRecordDefaultWeight": 1,
    "SOASerial": 7,
    "SOARefresh": 60,
    "SOARetry": 600,
    "SOAExpire": 86400,
    "SOAMinttl": 60,
    "SOAMname": "ns1.mesos.",
    "SOARname": "root.ns1.mesos.",
    "Masters": ["127.0.0.1:5050"],
    "ZoneResolvers": {},
    "Resolvers": ["127.0.0.1:5353"],
    "IPSources": ["netinfo", "mesos", "host"],
    "Zk": "",
    "Domain": "mesos",
    "File": PATH,
    "Listener": "0.0.0.0",
    "HTTPListener": "127.0.0.1",
    "RecurseOn": True,
    "DnsOn": True,
    "HttpOn": True,
    "ExternalOn": True,
    "EnforceRFC952": False,
    "SetTruncateBit": True,
    "EnumerationOn": True,
    "MesosHTTPSOn": False,
    "CACertFile": "",
    "CertFile": "",
    "KeyFile": "",
    "MesosCredentials": {"Principal": "", "Secret": ""},
    "IAMConfigFile": "",
    "MesosAuthentication": "",
}


@pytest.mark.parametrize(
    ("changed", "go"),
    [
        ({}, {}),
        (
            {"SOAMname": "NS.Cluster.Example.", "SOARname": "Hostmaster@cluster.example.", "domain": "Cluster.Example"},
            {"SOAMname": "NS.Cluster.Example.", "SOARname": "Hostmaster.cluster.example.", "Domain": "cluster.example"},
        ),
        ({"IPSources": ["docker", "mesos", "host"]}, {"IPSources": ["docker", "mesos", "host"]}),
        ({"listener": "::1"}, {"Listener": "::1"}),
        (
            {"masters": ["127.0.0.9:5050", "[::1]:5051"], "stateTimeoutSeconds": 3},
            {"Masters": ["127.0.0.9:5050", "[::1]:5051"], "StateTimeoutSeconds": 3},
        ),
        ({"resolvers": ["127.0.0.1:5399", "127.0.0.1"]}, {"Resolvers": ["127.0.0.1:5399", "127.0.0.1"]}),
        (
            {"ttl": 0, "EnumerationOn": False, "srvRecordDefaultWeight": 0},
            {"TTL": 0, "EnumerationOn": False, "SRVRecordDefaultWeight": 0},
        ),
        ({"externalon": False, "recurseon": False}, {"ExternalOn": False, "RecurseOn": False}),
        (
            {"ttl": 7, "SOARefresh": 1, "SOARetry": 2, "SOAExpire": 3, "SOAMinttl": 4, "SOASerial": 99},
            {"TTL": 7, "SOARefresh": 1, "SOARetry": 2, "SOAExpire": 3, "SOAMinttl": 4},
        ),
        (
            {"zoneResolvers": {"example.test": ["127.0.0.1:5353"], "Upper.Test": ["127.0.0.1:5353"]}},
            {"ZoneResolvers": {"Upper.Test": ["127.0.0.1:5353"], "example.test": ["127.0.0.1:5353"]}},
        ),
    ],
)
def test_the_configuration_is_shown_as_go_shows_it(changed, go):
    shown = as_json(given_text(json.dumps(BASE | changed)).config, 7)
    ours = {"ReverseDnsOn": False, "ResolvSubnetFirst": False, "Workers": 0, "HealthAware": True}
    ours |= {"FailoverGraceSeconds": 0, "MesosSource": "auto", "ReconcileSeconds": 600}
    ours |= {"ForwardPolicy": "sequential", "AskNextOnFailure": True, "CacheOctets": 16 * 1024**2}
    ours |= {"CacheMinTTL": 0, "CacheMaxTTL": 86400, "CacheStaleSeconds": 86400}
    ours |= {"TrustedResolvers": [], "PrivateZones": ["special-use"], "ForwardNonRecursive": False, "ForwardCAFile": ""}
    ours |= {"ForwardMixedCase": False}
    ours |= {"TlsOn": False, "TlsPort": 853, "TlsCertFile": "", "TlsKeyFile": ""}
    ours |= {"HttpsOn": False, "HttpsPort": 443, "DohOn": False}
    ours |= {"User": "", "Group": ""}
    ours |= {"CookiesOn": True, "CookieSecrets": [], "ServerId": "@hostname", "ServerVersion": "", "MinimalAny": "udp"}
    ours |= {"AllowQuery": ["any"], "AllowRecursion": ["@loopback", "@local", "@private"], "AllowHttp": ["any"]}
    ours["RateLimit"] = dict.fromkeys(("ResponsesPerSecond", "NxdomainsPerSecond", "ErrorsPerSecond"), 0) | {
        "Window": 15,
        "Slip": 2,
        "IPv4PrefixLength": 24,
        "IPv6PrefixLength": 56,
        "ExemptClients": [],
        "LogOnly": False,
    }
    ours |= {"LameDuckSeconds": 0, "LogFormat": "text", "HttpTokenFile": ""}
    ours["QueryLog"] = {
        "To": "",
        "On": True,
        "Clients": [],
        "Names": [],
        "Rcodes": [],
        "Sample": 1,
        "MaxOctets": 1024**3,
    }
    ours["WebOn"] = True
    assert shown == GO_BASE | go | ours
    assert list(shown["ZoneResolvers"]) == list(go.get("ZoneResolvers", {}))


def test_keys_are_shown_in_the_order_of_go_and_of_the_fork():
    shown = list(as_json(Config(), 0))
    assert [key for key in shown if key in GO_BASE] == list(GO_BASE)
    assert shown[shown.index("DnsOn") + 1] == "ReverseDnsOn"
    assert shown[shown.index("IAMConfigFile") + 1] == "ResolvSubnetFirst"
    ours = ["Workers", "HealthAware", "FailoverGraceSeconds", "MesosSource", "ReconcileSeconds"]
    ours += ["ForwardPolicy", "AskNextOnFailure", "CacheOctets", "CacheMinTTL", "CacheMaxTTL", "CacheStaleSeconds"]
    ours += ["TrustedResolvers", "PrivateZones", "ForwardNonRecursive", "ForwardCAFile", "ForwardMixedCase"]
    ours += ["TlsOn", "TlsPort", "TlsCertFile", "TlsKeyFile", "HttpsOn", "HttpsPort", "DohOn"]
    ours += ["User", "Group"]
    ours += ["CookiesOn", "CookieSecrets", "ServerId", "ServerVersion", "MinimalAny"]
    ours += ["AllowQuery", "AllowRecursion", "AllowHttp", "RateLimit"]
    ours += ["LameDuckSeconds", "LogFormat", "HttpTokenFile", "QueryLog", "WebOn"]
    assert [key for key in shown if key not in GO_BASE][2:] == ours


def test_what_is_shown_can_be_read_again():
    loaded = given_keys(TTL=5, ZoneResolvers={"B.c": ["1.1.1.1"], "a.b": ["[::1]:54"]}, Workers=3, Timeout=0)
    again = given_text(json.dumps(as_json(loaded.config, 1)))
    assert again.warnings == ()
    assert again.config == dataclasses.replace(loaded.config, zones=tuple(sorted(loaded.config.zones)))


def test_of_the_secrets_of_cookies_only_their_number_is_shown():
    shown = as_json(given_keys(CookieSecrets=["ab" * 16, "cd" * 16]).config, 1)
    assert shown["CookieSecrets"] == ["******", "******"]
