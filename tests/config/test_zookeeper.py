"""The value of `Zk`: every spelling that the Go program starts with, what is refused, and that no password is ever told."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.config.given import PATH, FakeHost, given_keys, given_text, problems, text_problems, warnings

from mesos_dns.config import as_json
from mesos_dns.config.addresses import Unfit
from mesos_dns.config.zookeeper import MAX_SERVERS, Ensemble, parse, redacted


def ensemble(*servers, path="/mesos", credentials=""):
    return Ensemble(servers=servers, path=path, credentials=credentials)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("zk://10.0.0.1:2181/mesos", ensemble("10.0.0.1:2181")),
        ("zk://a:2181,b:2182,c:2183/mesos", ensemble("a:2181", "b:2182", "c:2183")),
        ("zk://a,b:2182/mesos", ensemble("a:2181", "b:2182")),
        ("zk://a/mesos/", ensemble("a:2181")),
        ("zk://a/mesos//", ensemble("a:2181")),
        ("zk://a/dcos/prod/mesos", ensemble("a:2181", path="/dcos/prod/mesos")),
        ("zk://[::1]:2181,[fd00::2]/mesos", ensemble("[::1]:2181", "[fd00::2]:2181")),
        ("zk://me:secret@a:2181/mesos", ensemble("a:2181", credentials="me:secret")),
        ("zk://me:p@ss:w@rd@a,b/mesos", ensemble("a:2181", "b:2181", credentials="me:p@ss:w@rd")),
        ("zk://me@a/mesos", ensemble("a:2181", credentials="me")),
        ("zk://@a/mesos", ensemble("a:2181")),
        ("zk://a:2181,,b:2181,/mesos", ensemble("a:2181", "b:2181")),
        ("zk://a:2181, b:2181/mesos", ensemble("a:2181", "b:2181")),
        ("zk://a,a:2181/mesos", ensemble("a:2181")),
        (" zk://a/mesos\n", ensemble("a:2181")),
        ("zk://zk-1.example.com./mesos", ensemble("zk-1.example.com.:2181")),
        ("10.0.0.1:5050", "10.0.0.1:5050"),
        ("master.example:5050", "master.example:5050"),
    ],
)
def test_what_it_means(text, meaning):
    assert parse(text) == meaning


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("zk://a:2181", "has no path"),
        ("zk://a:2181/", "has no path"),
        ("zk://", "has no path"),
        ("zk:///mesos", "has no server"),
        ("zk://,/mesos", "has no server"),
        ("zk://me:secret@/mesos", "has no server"),
        ("zk://a:x/mesos", "no valid port"),
        ("zk://a:0/mesos", "no valid port"),
        ("zk://a:65536/mesos", "no valid port"),
        ("zk://::1/mesos", "too many colons"),
        ("zk://[::1/mesos", "has no port"),
        ("zk://a b/mesos", "neither an IP address nor a host name"),
        ("zk://a//mesos", "an empty part"),
        ("zk://a/mesos/../x", "'.' or '..'"),
        ("zk://a/me\x07sos", "no terminal shows"),
        (f"zk://a/{'x' * 2000}", "more than 1024"),
        (f"zk://{','.join(f'h{n}' for n in range(MAX_SERVERS + 1))}/mesos", "at most 64"),
        ("zk://me:pa/ss@a/mesos", "has an @ behind its first /"),
        ("ZK://a/mesos", "another scheme"),
        ("http://a/mesos", "another scheme"),
        ("file:/x", "neither a zk:// URL nor"),
        ("me:secret@a:2181/mesos", "does not begin with zk://"),
        ("foo", "neither a zk:// URL nor the host:port of a master"),
        ("", "neither a zk:// URL nor"),
        ("a:2181,b:2181/mesos", "neither a zk:// URL nor"),
    ],
)
def test_what_is_refused(text, why):
    with pytest.raises(Unfit, match=re.escape(why)) as refusal:
        parse(text)
    assert re.search("expected|at most|refuses|no terminal shows|host name|brackets", str(refusal.value))


@pytest.mark.parametrize("before", ["zk://", "", "http://", "zk:/", "ZK://", " zk://"])
@pytest.mark.parametrize("password", ["hunter2", "hun/hunter2", "a@hunter2", "a,hunter2", "a://hunter2", "hunter2\n"])
@pytest.mark.parametrize("after", ["a:2181/mesos", "a:x/mesos", "a", "", "a b/mesos", "a/x/../y"])
def test_no_message_tells_a_password(before, password, after):
    text = f"{before}me:{password}@{after}"
    assert "hunter2" not in redacted(text)
    try:
        found = repr(parse(text))
    except Unfit as problem:
        found = str(problem)
    assert "hunter2" not in found


@given(st.text())
def test_any_text_is_read_or_refused(text):
    try:
        found = parse(text)
    except Unfit:
        return
    assert isinstance(found, str) or (found.servers and found.path.startswith("/") and not found.path.endswith("/"))


@given(st.text(st.characters(exclude_characters="/", exclude_categories=("Cs",))))
def test_credentials_are_kept_as_they_are(credentials):
    assert (
        parse(f"zk://{credentials}@a/mesos").credentials == credentials.lstrip() or credentials != credentials.lstrip()
    )
    assert parse(f"zk://x{credentials}@a/mesos") == ensemble("a:2181", credentials=f"x{credentials}")


# --- in a configuration ----------------------------------------------------------------------------


def test_zookeeper_alone_is_enough():
    config = given_text('{"zk": "zk://a/mesos"}').config
    assert (config.masters, config.ensemble) == ((), ensemble("a:2181"))
    assert given_text('{"zk": "zk://a/mesos"}').warnings == ()


def test_masters_beside_it_stay():
    loaded = given_keys(Zk="zk://a/mesos")
    assert (loaded.config.masters, loaded.warnings) == (("127.0.0.1:5050",), ())
    assert loaded.config.ensemble == ensemble("a:2181")


def test_without_it_there_is_none():
    assert given_keys().config.ensemble is None


def test_a_master_in_its_place_is_asked_like_the_others():
    config = given_text('{"zk": "10.0.0.1:5050"}').config
    assert (config.masters, config.ensemble) == (("10.0.0.1:5050",), None)
    assert given_keys(Zk="10.0.0.1:5050").config.masters == ("10.0.0.1:5050", "127.0.0.1:5050")
    assert given_keys(Zk="127.0.0.1:5050").config.masters == ("127.0.0.1:5050",)
    (told,) = warnings(Zk="10.0.0.1:5050")
    assert told.startswith(f"Zk (file {PATH}): is no zk:// URL: the master that it names is asked")


def test_all_problems_are_told_at_once():
    keys = [problem.split(" ")[0] for problem in text_problems('{"zk": "zk://a", "ttl": -1, "domain": "."}')]
    assert sorted(keys) == ["Domain", "TTL", "Zk"]


def test_a_file_is_read_and_trimmed():
    host = FakeHost({"/etc/mesos/zk": b" zk://me:hunter2@a/mesos\n\n"})
    loaded = given_text('{"zk": "file:///etc/mesos/zk"}', None, host)
    assert loaded.config.ensemble == ensemble("a:2181", credentials="me:hunter2")
    assert as_json(loaded.config, 1)["Zk"] == "file:///etc/mesos/zk"
    assert "hunter2" not in repr(loaded)


def test_a_file_may_name_a_file():
    host = FakeHost({"/1": b"file:///2", "/2": b"zk://a/mesos\n", "/loop": b"file:///loop\n"})
    assert given_keys(None, host, Zk="file:///1").config.ensemble == ensemble("a:2181")
    (found,) = problems(None, host, Zk="file:///loop")
    assert "names a file that names a file, and so on" in found


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file"),
        (b"\xff\xfe", "is no text in UTF-8"),
        (b"", "expected"),
        (b"x", "expected"),
    ],
)
def test_a_bad_file_is_refused(content, why):
    host = FakeHost({} if content is None else {"/zk": content})
    (found,) = problems(None, host, Zk="file:///zk")
    assert found.startswith(f"Zk (file {PATH}): ")
    assert why in found


@pytest.mark.parametrize("text", ["zk://me:hunter2@a:2181/mesos", "me:hunter2@a", "zk:/me:hunter2@a/mesos"])
def test_no_password_is_shown(text):
    found = problems(Zk=text) if not text.startswith("zk://") else [repr(given_keys(Zk=text))]
    assert not any("hunter2" in one for one in found)
