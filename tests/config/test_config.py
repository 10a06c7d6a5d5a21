"""A file and an environment in, one `Config` or every problem out."""

import dataclasses
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.config.given import MASTERS, PATH, FakeHost, given_keys, problems, warnings

from mesos_dns.config import KEYS, Account, Config, ConfigError, IamAccount, Problem, as_json, interpret, load

# --- values and defaults ---------------------------------------------------------------------------


def test_masters_alone_make_a_configuration():
    loaded = given_keys()
    assert loaded.config == Config(masters=("127.0.0.1:5050",), file=PATH)
    assert loaded.warnings == ()
    assert loaded.origins["Masters"] == f"file {PATH}"
    assert loaded.origins["TTL"] == "default"


def test_the_defaults_of_a_new_config():
    config = Config()
    assert (config.refresh_seconds, config.ttl, config.port, config.http_port) == (60, 60, 53, 8123)
    assert (config.timeout, config.state_timeout_seconds, config.zk_detection_timeout) == (5, 300, 30)
    assert config.upstreams == (("8.8.8.8", 53, ""),)
    assert config.zone_resolvers == {}


def test_problems_and_warnings_are_bounded():
    found = problems(Masters=["x"] * 256)
    assert len(found) == 101
    assert found[-1] == "configuration: 156 more problems; mend these first"
    resolv_conf = b"".join(b"nameserver fe80::%d%%eth0\n" % n for n in range(200))
    told = warnings(host=FakeHost({"/etc/resolv.conf": resolv_conf}), Resolvers=[])
    assert len(told) == 101
    assert "no name server is left" in told[0]
    assert told[-1] == "configuration: 101 more warnings"


def test_a_config_is_a_value():
    loaded = given_keys(ZoneResolvers={"weave": ["192.0.2.9"]})
    assert hash(loaded.config) == hash(given_keys(ZoneResolvers={"weave": ["192.0.2.9"]}).config)
    assert pickle.loads(pickle.dumps(loaded.config)) == loaded.config
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.config.ttl = 5


def test_names_end_with_one_dot_and_mail_addresses_become_names():
    config = given_keys(SOAMname="NS.Example..", SOARname="a@b.c.org", Domain="Cluster.Example").config
    assert (config.soa_mname, config.soa_rname, config.domain) == ("NS.Example.", "a.b.c.org.", "cluster.example")


def test_a_timeout_of_0_is_the_default_as_in_go():
    assert given_keys(Timeout=0).config.timeout == 5


def test_upstreams_always_have_a_port():
    config = given_keys(
        Resolvers=["192.0.2.9", "192.0.2.2:54", "2001:DB8::1", "TLS://[2001:db8::2]#Dns.Example"],
        ZoneResolvers={"Upper.Test": ["192.0.2.3"], "other.test": ["192.0.2.4:54"]},
    ).config
    assert config.resolvers == ("192.0.2.9", "192.0.2.2:54", "2001:DB8::1", "TLS://[2001:db8::2]#Dns.Example")
    assert [*map(tuple, config.upstreams)] == [
        ("192.0.2.9", 53, ""),
        ("192.0.2.2", 54, ""),
        ("2001:db8::1", 53, ""),
        ("2001:db8::2", 853, "dns.example"),
    ]
    assert config.zone_resolvers == {"upper.test": ("192.0.2.3",), "other.test": ("192.0.2.4:54",)}
    assert config.zone_upstreams == {"upper.test": (("192.0.2.3", 53, ""),), "other.test": (("192.0.2.4", 54, ""),)}


def test_without_external_nobody_is_asked_and_nothing_is_judged():
    config = given_keys(ExternalOn=False, Resolvers=["nonsense"], ZoneResolvers={"mesos": []}).config
    assert (config.upstreams, config.zone_upstreams) == ((), {})
    assert config.resolvers == ("nonsense",)


# --- secrets ---------------------------------------------------------------------------------------


def test_secrets_are_never_shown():
    loaded = given_keys(
        MesosAuthentication="basic",
        MesosCredentials={"Principal": "me", "Secret": "hunter2"},
        Zk="zk://user:hunter2@a:2181,b:2181/mesos",
    )
    assert loaded.config.mesos_secret == "hunter2"
    assert "hunter2" not in repr(loaded)
    shown = as_json(loaded.config, 1)
    assert shown["MesosCredentials"] == {"Principal": "me", "Secret": "******"}
    assert shown["Zk"] == "zk://******@a:2181,b:2181/mesos"


@pytest.mark.parametrize("credentials", ["hunter2", ["hunter2"], {"Secret": ["hunter2"]}, {"Secret": 1234567}])
def test_a_secret_of_the_wrong_type_is_not_repeated(credentials):
    (found,) = problems(MesosCredentials=credentials)
    assert found.startswith("MesosCredentials")
    assert not {"hunter2", "1234567"} & set(found.replace('"', " ").replace("'", " ").split())


# --- what is not here yet --------------------------------------------------------------------------


def test_what_is_accepted_without_effect_is_said():
    told = given_keys(ReverseDnsOn=True, ResolvSubnetFirst=True).warnings
    assert [warning.key for warning in told] == ["ReverseDnsOn", "ResolvSubnetFirst"]
    assert all("not implemented in this release" in warning.message for warning in told)


# --- other files -----------------------------------------------------------------------------------


ACCOUNT = {"uid": "me", "private_key": "-----BEGIN PRIVATE KEY-----\n…", "login_endpoint": "https://leader.mesos/acs"}


def iam_host(account, **kwargs):
    return FakeHost({"iam.json": account if isinstance(account, bytes) else json.dumps(account).encode()}, **kwargs)


def test_tls_without_ca_is_warned_about():
    (warning,) = warnings(MesosHTTPSOn=True)
    assert "not verified" in warning
    assert given_keys(MesosHTTPSOn=True, CACertFile="ca.pem").warnings == ()


def test_certificates_are_checked_even_without_tls():
    assert problems(CACertFile="bad.pem", CertFile="bad.pem", KeyFile="key.pem") == [
        f"CACertFile (file {PATH}): bad.pem holds no certificate in PEM form",
        f"CertFile (file {PATH}): bad.pem and KeyFile are not a certificate and its private key in PEM form",
    ]


def test_authorities_for_upstreams_are_checked_if_there_may_be_any():
    assert problems(ForwardCAFile="bad.pem") == [
        f"ForwardCAFile (file {PATH}): bad.pem holds no certificate in PEM form",
    ]
    assert given_keys(ForwardCAFile="bad.pem", ExternalOn=False).warnings == ()


def test_the_user_is_looked_up():
    assert given_keys(User="mesos-dns").config.account == Account(990, 990, (990,))
    assert given_keys(User="mesos-dns", Group="dns").config.account == Account(990, 991, (990,))
    assert given_keys().config.account is None
    assert problems(User="mseos-dns") == [f"User (file {PATH}): is no user of this machine"]
    assert problems(Group="dns") == [f"Group (file {PATH}): has no effect without User; name the user, too"]


@pytest.mark.parametrize(
    ("keys", "secret"),
    [
        ({}, False),
        ({"MesosCredentials": {"Principal": "me"}}, False),
        ({"MesosCredentials": {"Secret": "hunter2"}}, True),
        ({"CertFile": "cert.pem", "KeyFile": "key.pem"}, True),
        ({"IAMConfigFile": "iam.json"}, True),
        ({"Zk": "zk://10.0.0.1/mesos"}, False),
        ({"Zk": "zk://me:hunter2@10.0.0.1/mesos"}, True),
    ],
)
def test_it_is_known_whether_there_is_a_secret(keys, secret):
    assert given_keys(host=iam_host(ACCOUNT), **keys).config.has_secrets is secret


@pytest.mark.parametrize(("present", "absent"), [("CertFile", "KeyFile"), ("KeyFile", "CertFile")])
def test_a_client_certificate_needs_both_files(present, absent):
    (found,) = problems(**{present: "x.pem"})
    assert found == f"{absent} (default): is missing, but {present} is set; a client certificate needs both"


@pytest.mark.parametrize("credentials", [{"Principal": "p", "Secret": "s"}, {"Principal": "p"}, {"Secret": "s"}])
def test_basic_needs_a_principal_or_a_secret(credentials):
    assert given_keys(MesosAuthentication="basic", MesosCredentials=credentials).warnings == ()


@pytest.mark.parametrize("keys", [{}, {"MesosCredentials": {}}, {"MesosCredentials": {"Secret": ""}}])
def test_basic_without_either_is_a_problem(keys):
    (found,) = problems(MesosAuthentication="basic", **keys)
    assert 'is "basic", which needs MesosCredentials' in found


@pytest.mark.parametrize("mechanism", ["123", "Basic", "IAM"])
def test_other_mechanisms_are_unknown(mechanism):
    (found,) = problems(MesosAuthentication=mechanism)
    assert f"'{mechanism}' is unknown" in found


def test_unused_credentials_are_warned_about():
    loaded = given_keys(host=iam_host({}), MesosCredentials={"Principal": "p"}, IAMConfigFile="iam.json")
    assert [warning.key for warning in loaded.warnings] == ["MesosCredentials.Principal", "IAMConfigFile"]
    assert loaded.config.iam == IamAccount()


def test_iam_with_a_whole_account():
    loaded = given_keys(host=iam_host(ACCOUNT), MesosAuthentication="iam", IAMConfigFile="iam.json")
    assert loaded.config.iam == IamAccount(**ACCOUNT)
    assert "BEGIN" not in repr(loaded)


@pytest.mark.parametrize(
    ("account", "message"),
    [
        ({}, "at least one of them is empty"),
        (ACCOUNT | {"uid": ""}, "at least one of them is empty"),
        (ACCOUNT | {"private_key": "hunter2"}, "is not a private key in PEM form"),
        (ACCOUNT | {"login_endpoint": "leader.mesos"}, "not an http:// or https:// URL"),
        (ACCOUNT | {"login_endpoint": "http://[::1"}, "not an http:// or https:// URL"),
        (b"{", "iam.json is not JSON at line 1, column 2"),
        (b"[]", "iam.json holds no JSON object"),
    ],
)
def test_iam_with_less_is_one_problem(account, message):
    (found,) = problems(host=iam_host(account), MesosAuthentication="iam", IAMConfigFile="iam.json")
    assert message in found
    assert "hunter2" not in found


def test_iam_needs_its_file_and_its_packages():
    assert "needs an IAMConfigFile" in problems(MesosAuthentication="iam")[0]
    assert "iam.json cannot be read: No such file" in problems(MesosAuthentication="iam", IAMConfigFile="iam.json")[0]
    host = iam_host(ACCOUNT, signs=False)
    assert 'pip install "mesos-dns[iam]"' in problems(host=host, MesosAuthentication="iam", IAMConfigFile="iam.json")[0]


def resolvers_from(resolv_conf, **keys):
    loaded = given_keys(host=FakeHost({"/etc/resolv.conf": resolv_conf}), Resolvers=[], **keys)
    return loaded.config.resolvers, tuple(map(str, loaded.warnings))


def test_no_resolvers_means_those_of_the_machine_except_itself():
    text = b"# nameserver 1.1.1.1\nsearch a\nnameserver 127.0.0.1\nnameserver 192.0.2.53\nnameserver\t2001:db8::53\n"
    assert resolvers_from(text + b"nameserver\nnameserver 192.0.2.53\nnameserver 0.0.0.0\n") == (
        ("192.0.2.53", "2001:db8::53"),
        (),
    )


def test_unusable_name_servers_of_the_machine_are_left_out():
    assert resolvers_from(b"nameserver fe80::1%eth0\nnameserver 127.0.0.53\n", Listener="192.0.2.1") == (
        ("127.0.0.53",),
        ("/etc/resolv.conf: name server 'fe80::1%eth0' is not a plain IP address, ignored",),
    )


@pytest.mark.parametrize("listener", ["0.0.0.0", "::", "127.0.0.53"])
def test_a_stub_resolver_on_an_address_that_is_served_here_is_left_out(listener):
    text = b"nameserver 127.0.0.53\nnameserver 192.0.2.53\n"
    assert resolvers_from(text, Listener=listener) == (("192.0.2.53",), ())
    assert resolvers_from(text, Listener=listener, Port=5353) == (("127.0.0.53", "192.0.2.53"), ())
    assert resolvers_from(text, Listener=listener, DnsOn=False) == (("127.0.0.53", "192.0.2.53"), ())


def test_nobody_left_to_ask_is_warned_about():
    resolvers, (warning,) = resolvers_from(b"nameserver 192.0.2.1\nnameserver ::ffff:127.0.0.1\n")
    assert resolvers == ()
    assert "no name server is left" in warning


def test_no_resolv_conf_is_a_problem():
    host = FakeHost()
    del host.files["/etc/resolv.conf"]
    (found,) = problems(host=host, Resolvers=[])
    assert found.startswith(f"Resolvers (file {PATH}): is empty, and /etc/resolv.conf cannot be read: No such file")


# --- finding the file ------------------------------------------------------------------------------


def test_a_missing_file_is_the_problem_and_not_its_consequences():
    with pytest.raises(ConfigError) as refusal:
        load("/nowhere/config.json", {"MESOS_DNS_TTL": "x"}, host=FakeHost())
    assert refusal.value.problems == (
        Problem(
            "",
            "file /nowhere/config.json",
            "cannot be read: No such file or directory; give the path of the configuration file with -config=PATH",
        ),
        Problem("TTL", "environment MESOS_DNS_TTL", "expected an integer from 0 to 2147483647, found 'x'"),
    )
    assert str(refusal.value).count("\n") == 1


def test_the_first_tilde_is_the_home_directory(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps(MASTERS))
    loaded = load("~/c.json", {"HOME": str(tmp_path)})
    assert loaded.config.file == "~/c.json"
    assert loaded.origins["Masters"] == f"file {tmp_path}/c.json"
    assert load("~/c.json", {"HOME": "/nowhere", "USERPROFILE": str(tmp_path)}).config == loaded.config


def test_a_relative_path_is_reported_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"^file {tmp_path}/config.json: cannot be read: No such file"):
        load("config.json", {})


def test_a_file_is_not_needed():
    loaded = load(None, {"MESOS_DNS_MASTERS": "m:1"}, host=FakeHost())
    assert loaded.config == Config(masters=("m:1",))


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory; is this the right path\?$"):
        load(str(tmp_path), {})


def test_the_file_may_say_what_is_shown_as_its_name():
    assert given_keys(File="shown.json").config.file == "shown.json"


# --- anything --------------------------------------------------------------------------------------


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(["1.2.3.4:5", "::1", "a.b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([key.name for key in KEYS] + ["MesosCredentials", "masters", "zkk"]) | st.text(max_size=8)


def config_or_problems(data, environ):
    try:
        loaded = interpret(data, PATH, environ, FakeHost())
    except ConfigError as refusal:
        lines = [str(problem) for problem in refusal.problems]
        assert lines
    else:
        json.dumps(as_json(loaded.config, 1)).encode()
        assert loaded.config.upstreams is not None
        lines = [*map(str, loaded.warnings), *loaded.origins.values()]
    assert all(line.isprintable() for line in lines)


@given(st.binary() | st.dictionaries(NAMES, VALUES).map(lambda value: json.dumps(value).encode()))
def test_any_file_gives_a_configuration_or_problems(data):
    config_or_problems(data, {})


@given(st.dictionaries(st.sampled_from([key.env for key in KEYS] + ["MESOS_DNS_?"]), st.text()))
def test_any_environment_gives_a_configuration_or_problems(environ):
    config_or_problems(json.dumps(MASTERS).encode(), environ)
