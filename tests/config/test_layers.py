"""The file as Go reads it, and the environment: types, ranges, spellings, origins."""

import json

import pytest
from tests.config.given import PATH, FakeHost, given_keys, given_text, problems, text_problems

from mesos_dns.config import KEYS
from mesos_dns.config.layers import from_environ

# --- JSON as Go reads it ---------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["refreshSeconds", "REFRESHSECONDS", "refreshseconds", "refresh\u017feconds"])
def test_keys_match_in_any_letter_case(key):
    assert given_keys(**{key: 7}).config.refresh_seconds == 7


def test_of_several_spellings_the_last_in_the_file_wins():
    loaded = given_text('{"Masters": ["m:1"], "TTL": 1, "ttl": 2, "Ttl": 3, "TTL": null}')
    assert loaded.config.ttl == 3
    assert str(loaded.warnings[0]) == f"file {PATH}: key 'ttl' stands more than once; the last wins"


def test_null_keeps_scalars_and_empties_lists():
    loaded = given_keys(TTL=None, Domain=None, DnsOn=None, MesosCredentials=None, ZoneResolvers=None, Resolvers=None)
    assert (loaded.config.ttl, loaded.config.domain, loaded.config.dns_on) == (60, "mesos", True)
    assert loaded.config.resolvers == ("192.0.2.53",)
    (found,) = problems(Masters=None)
    assert found == (
        f'Masters (file {PATH}): no Mesos masters are given; list them, such as ["10.0.0.1:5050", "10.0.0.2:5050"], '
        "or name their ZooKeeper in Zk, such as zk://10.0.0.1:2181,10.0.0.2:2181/mesos"
    )


def test_zones_of_several_spellings_are_joined():
    text = '{"Masters": ["m:1"], "zoneResolvers": {"a.b": ["1.1.1.1"]}, "ZoneResolvers": {"c.d": ["2.2.2.2"]}}'
    assert given_text(text).config.zones == (("a.b", ("1.1.1.1",)), ("c.d", ("2.2.2.2",)))


def test_joined_zones_are_bounded():
    halves = [json.dumps({f"{half}{n}": ["1.1.1.1"] for n in range(200)}) for half in "ab"]
    text = f'{{"Masters": ["m:1"], "zoneResolvers": {halves[0]}, "ZoneResolvers": {halves[1]}}}'
    assert text_problems(text) == [f"ZoneResolvers (file {PATH}): holds more than 256 zones, which is not possible"]


@pytest.mark.parametrize("text", ["null", "{}"])
def test_an_empty_file_lacks_masters(text):
    assert text_problems(text)[0].startswith("Masters (default): no Mesos masters are given")


@pytest.mark.parametrize("text", ["[]", "5", '"x"', "true"])
def test_a_file_without_an_object_is_the_only_problem(text):
    assert text_problems(text) == [
        f'file {PATH}: holds JSON, but no object; expected {{"Masters": ["host:port"], ...}}'
    ]


def test_a_syntax_error_has_line_and_column():
    assert text_problems('{\n "TTL": 1,\n}')[0].startswith(f"file {PATH}: is not JSON at line ")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("TTL", "60", "expected an integer from 0 to 2147483647 without quotes, found the string '60'"),
        ("TTL", True, "expected an integer from 0 to 2147483647 without quotes, found true"),
        ("TTL", 1.0, "expected an integer from 0 to 2147483647 without quotes, found the number 1.0"),
        ("TTL", -1, "-1 is out of range; expected an integer from 0 to 2147483647"),
        ("TTL", 2**31, "2147483648 is out of range; expected an integer from 0 to 2147483647"),
        ("Port", 65536, "65536 is out of range; expected an integer from 0 to 65535"),
        ("HttpPort", -1, "-1 is out of range; expected an integer from 0 to 65535"),
        ("RefreshSeconds", 0, "0 is out of range; expected an integer from 1 to 2147483647"),
        ("StateTimeoutSeconds", 0, "0 is out of range; expected an integer from 1 to 2147483647"),
        ("SRVRecordDefaultWeight", 65536, "65536 is out of range; expected an integer from 0 to 65535"),
        ("SOASerial", 2**32, "4294967296 is out of range; expected an integer from 0 to 4294967295"),
        ("Workers", 65, "65 is out of range; expected an integer from 0 to 64"),
        ("FailoverGraceSeconds", -1, "-1 is out of range; expected an integer from 0 to 86400"),
        ("DnsOn", "true", "expected true or false without quotes, found the string 'true'"),
        ("DnsOn", 1, "expected true or false without quotes, found the number 1"),
        ("Domain", 5, "expected a string in double quotes, found the number 5"),
        ("Domain", ["a"], "expected a string in double quotes, found a list"),
        ("Masters", "m:1", 'expected a list of strings, such as ["a", "b"], found the string \'m:1\''),
        ("Masters", ["m:1", 5], "expected only strings in the list, found the number 5"),
        ("Masters", ["m:1", None], "expected only strings in the list, found null"),
        ("Masters", ["m:1"] * 257, "holds 257 values; at most 256 are possible"),
        ("ZoneResolvers", {"a": "1.1.1.1"}, "expected a list of strings for zone 'a', found the string '1.1.1.1'"),
        ("ZoneResolvers", {str(n): [] for n in range(257)}, "holds 257 zones; at most 256 are possible"),
        ("IPSources", {}, 'expected a list of strings, such as ["a", "b"], found an object'),
        ("Listener", "localhost", "'localhost' is not an IP address; expected an address of this host"),
        ("HTTPListener", "a b", "'a b' is neither an IP address nor a host name"),
        ("Domain", "under_score", "'under_score' is not a valid domain name"),
        ("SOAMname", "a..b", "'a..b' has an empty label"),
        ("SOARname", "a@@b", "'a..b' has an empty label"),
    ],
)
def test_a_bad_value_is_one_problem(key, value, message):
    (found,) = problems(**{key: value})
    assert found.startswith(f"{key} (file {PATH}): {message}")


def test_every_problem_is_reported_at_once():
    text = '{"masters": ["a"], "ttl": "x", "ttl": 5, "ipSources": ["rkt"], "domain": ".", "listener": ""}'
    keys = [line.split(" ")[0] for line in text_problems(text, {"MESOS_DNS_PORT": "x"})]
    assert keys == ["TTL", "Port", "Masters", "IPSources", "Domain", "Listener"]


def test_a_value_of_the_wrong_type_is_not_missed_elsewhere():
    assert len(problems(Masters=5, Zk="zk://a:2181/mesos")) == 1
    assert len(problems(MesosCredentials=5, MesosAuthentication="basic")) == 1
    assert len(problems(CertFile="c", KeyFile=5)) == 1
    assert len(problems(IAMConfigFile=5, MesosAuthentication="iam")) == 1


def test_problems_stay_on_one_line():
    (found,) = problems(Listener="a\nb\x1b[0m\ud800")
    assert found.isprintable()


def test_unknown_keys_are_warned_about_with_the_nearest_known_one():
    loaded = given_keys(RefreshSecond=5, email="x", whatever_else=None, MesosCredentials={"Secrets": "hunter2"})
    assert tuple(map(str, loaded.warnings)) == (
        f"file {PATH}: unknown key 'RefreshSecond' is ignored; did you mean RefreshSeconds?",
        f"file {PATH}: unknown key 'email' is ignored; did you mean SOARname?",
        f"file {PATH}: unknown key 'whatever_else' is ignored",
        f"file {PATH}: unknown key 'MesosCredentials.Secrets' is ignored; did you mean MesosCredentials.Secret?",
    )


def test_warnings_about_unknown_keys_are_bounded():
    loaded = given_keys(**{f"key{n}": n for n in range(1000)})
    assert len(loaded.warnings) == 21
    assert str(loaded.warnings[-1]) == f"file {PATH}: 980 more unknown keys are ignored; is this the right file?"


# --- the environment -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("TTL", "5", "ttl", 5),
        ("REFRESH_SECONDS", " 7 ", "refresh_seconds", 7),
        ("REFRESHSECONDS", "7", "refresh_seconds", 7),
        ("IP_SOURCES", "host, docker", "ip_sources", ("host", "docker")),
        ("IP_SOURCES", '["host"]', "ip_sources", ("host",)),
        ("MASTERS", "[::1]:5050,[::2]:5050,", "masters", ("[::1]:5050", "[::2]:5050")),
        ("RESOLVERS", "", "resolvers", ("192.0.2.53",)),
        ("ZONE_RESOLVERS", '{"a.b": ["1.1.1.1"]}', "zones", (("a.b", ("1.1.1.1",)),)),
        ("ZONE_RESOLVERS", "", "zones", ()),
        ("SOA_MNAME", "ns", "soa_mname", "ns."),
        ("MESOS_HTTPS_ON", "Yes", "mesos_https_on", True),
        ("ENFORCE_RFC952", "on", "enforce_rfc952", True),
        ("HTTP_ON", "0", "http_on", False),
        ("DOMAIN", "A.b", "domain", "a.b"),
        ("WORKERS", "2", "workers", 2),
        ("FAILOVER_GRACE_SECONDS", "900", "failover_grace_seconds", 900),
        ("MESOS_SOURCE", "events", "mesos_source", "events"),
        ("RECONCILE_SECONDS", "60", "reconcile_seconds", 60),
        ("MESOS_CREDENTIALS_PRINCIPAL", "me", "mesos_principal", "me"),
        ("MESOS_CREDENTIALS_SECRET", "s", "mesos_secret", "s"),
        ("MESOS_CREDENTIALS", '{"principal": "me"}', "mesos_principal", "me"),
    ],
)
def test_a_variable_beats_the_file(variable, text, field, value):
    loaded = given_keys({f"MESOS_DNS_{variable}": text}, TTL=60, MesosCredentials={"Principal": "p", "Secret": "q"})
    assert getattr(loaded.config, field) == value


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_key_has_a_variable_that_is_found_with_and_without_inner_underscores(key):
    for name in (key.env, "MESOS_DNS_" + key.env.removeprefix("MESOS_DNS_").replace("_", "")):
        layer = from_environ({name: "~"}, FakeHost().read)
        assert layer.refused | layer.values.keys() == {key.name}
        assert layer.warnings == []


SECRETS = {
    "/secret": b"s3cr3t\n",
    "/cookies": b"0" * 32 + b"," + b"1" * 32 + b"\r\n",
    "/zk": b"zk://u:p@10.0.0.1:2181/m",
}


@pytest.mark.parametrize(
    ("variable", "path", "field", "value"),
    [
        ("MESOS_CREDENTIALS_SECRET", "/secret", "mesos_secret", "s3cr3t"),
        ("COOKIE_SECRETS", "/cookies", "cookie_secrets", ("0" * 32, "1" * 32)),
        ("ZK", "/zk", "zk", "zk://u:p@10.0.0.1:2181/m"),
    ],
)
def test_a_secret_may_lie_in_a_file(variable, path, field, value):
    loaded = given_keys({f"MESOS_DNS_{variable}_FILE": path}, FakeHost(SECRETS))
    assert getattr(loaded.config, field) == value
    assert f"environment MESOS_DNS_{variable}_FILE" in loaded.origins.values()


def test_a_file_of_a_secret_that_is_not_there():
    assert problems({"MESOS_DNS_MESOS_CREDENTIALS_SECRET_FILE": "/run/secrets/mesos"}) == [
        "MesosCredentials.Secret (environment MESOS_DNS_MESOS_CREDENTIALS_SECRET_FILE): /run/secrets/mesos cannot be read: No such file or directory"
    ]


def test_a_file_of_a_secret_that_is_no_text():
    host = FakeHost({"/secret": b"\xff\xfe"})
    assert problems({"MESOS_DNS_MESOS_CREDENTIALS_SECRET_FILE": "/secret"}, host) == [
        "MesosCredentials.Secret (environment MESOS_DNS_MESOS_CREDENTIALS_SECRET_FILE): /secret is not a text in UTF-8"
    ]


def test_a_variable_beats_the_one_that_names_a_file():
    names = {"MESOS_DNS_MESOS_CREDENTIALS_SECRET": "other", "MESOS_DNS_MESOS_CREDENTIALS_SECRET_FILE": "/secret"}
    loaded = given_keys(names, FakeHost(SECRETS))
    assert loaded.config.mesos_secret == "other"
    told = " ".join(map(str, loaded.warnings))
    assert "is used; environment MESOS_DNS_MESOS_CREDENTIALS_SECRET_FILE says otherwise, remove one of them" in told
    assert "s3cr3t" not in told


def test_what_is_no_secret_is_not_read_from_a_file():
    loaded = given_keys({"MESOS_DNS_TTL_FILE": "/ttl"})
    assert ["MESOS_DNS_TTL_FILE" in str(warning) for warning in loaded.warnings] == [True]


def test_the_origin_of_each_value_is_kept():
    origins = given_keys({"MESOS_DNS_TTL": "5", "MESOS_DNS_RESOLVERS": ""}, Port=5353).origins
    assert origins["TTL"] == "environment MESOS_DNS_TTL"
    assert origins["Port"] == f"file {PATH}"
    assert origins["Resolvers"] == "/etc/resolv.conf, as Resolvers is empty in environment MESOS_DNS_RESOLVERS"
    assert set(origins) == {key.name for key in KEYS}


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("TTL", "x", "TTL (environment MESOS_DNS_TTL): expected an integer from 0 to 2147483647, found 'x'"),
        ("TTL", "", "TTL (environment MESOS_DNS_TTL): expected an integer from 0 to 2147483647, found ''"),
        ("TTL", "-1", "TTL (environment MESOS_DNS_TTL): -1 is out of range; expected"),
        ("DNSON", "maybe", "DnsOn (environment MESOS_DNS_DNSON): expected true or false (also 1/0, yes/no, on/off)"),
        ("ZONE_RESOLVERS", "a=1.1.1.1", "ZoneResolvers (environment MESOS_DNS_ZONE_RESOLVERS): expected JSON: an obj"),
        ("ZONE_RESOLVERS", "[]", "ZoneResolvers (environment MESOS_DNS_ZONE_RESOLVERS): expected an object with a "),
        ("MASTERS", "[1]", "Masters (environment MESOS_DNS_MASTERS): expected only strings in the list, found the"),
        ("IP_SOURCES", "rkt", "IPSources (environment MESOS_DNS_IP_SOURCES): 'rkt' is not a source of addresses"),
        ("MESOS_CREDENTIALS", "me:hunter2", "MesosCredentials (environment MESOS_DNS_MESOS_CREDENTIALS): expected an"),
    ],
)
def test_a_bad_variable_is_a_problem(variable, text, message):
    (found,) = problems({f"MESOS_DNS_{variable}": text})
    assert found.startswith(message)
    assert "hunter2" not in found


def test_unknown_variables_are_warned_about():
    loaded = given_keys({"MESOS_DNS_TTTL": "5", "MESOS_DNS_XYZZY": "", "OTHER": "1"})
    assert tuple(map(str, loaded.warnings)) == (
        "environment MESOS_DNS_TTTL: unknown variable is ignored; did you mean MESOS_DNS_TTL?",
        "environment MESOS_DNS_XYZZY: unknown variable is ignored",
    )


def test_the_documented_spelling_wins():
    loaded = given_keys({"MESOS_DNS_REFRESH_SECONDS": "1", "MESOS_DNS_REFRESHSECONDS": "2"})
    assert loaded.config.refresh_seconds == 1
    (warning,) = loaded.warnings
    assert str(warning).startswith(
        "RefreshSeconds (environment MESOS_DNS_REFRESH_SECONDS): is used; environment MESOS_DNS_REFRESHSECONDS says"
    )


def test_variables_of_container_links_do_not_confuse():
    loaded = given_keys(
        {
            "MESOS_DNS_PORT": "udp://10.0.0.1:53",
            "MESOS_DNS_PORT_53_UDP_ADDR": "10.0.0.1",
            "MESOS_DNS_SERVICE_HOST": "10.0.0.1",
            "MESOS_DNS_SERVICE_PORT_DNS": "53",
        }
    )
    assert loaded.config.port == 53
    assert len(loaded.warnings) == 1
    assert "container link" in str(loaded.warnings[0])
