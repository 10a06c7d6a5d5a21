import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mesos_dns.web.paths import BadPathError, Endpoint, Match, Moved, acceptable, match, moved_body


@pytest.mark.parametrize(
    ("path", "meaning"),
    [
        ("/", Match(Endpoint.PAGE)),
        ("/page/page.css", Match(Endpoint.PAGE, "page.css")),
        ("/healthz", Match(Endpoint.HEALTH)),
        ("/readyz/", Match(Endpoint.READINESS)),
        ("/metrics", Match(Endpoint.METRICS)),
        ("/v1/version", Match(Endpoint.VERSION)),
        ("/v1/version/", Match(Endpoint.VERSION)),
        ("/v1/%76ersion", Match(Endpoint.VERSION)),
        ("/v1/config", Match(Endpoint.CONFIG)),
        ("/v1/enumerate", Match(Endpoint.ENUMERATE)),
        ("/v1/axfr", Match(Endpoint.AXFR)),
        ("/v1/explain", Match(Endpoint.EXPLAIN)),
        ("/v1/hosts/leader.mesos", Match(Endpoint.HOSTS, "leader.mesos")),
        ("/v1/hosts/LEADER%2Emesos./", Match(Endpoint.HOSTS, "LEADER.mesos.")),
        ("/v1/hosts/x/ports", Match(Endpoint.PORTS, "x")),
        ("/v1/hosts/ports", Match(Endpoint.HOSTS, "ports")),
        ("/v1/services/_%E6%97%A5._tcp.mesos.", Match(Endpoint.SERVICES, "_日._tcp.mesos.")),
        ("/v1/hosts/日", Match(Endpoint.HOSTS, "日")),
        ("/v1/hosts/\udce6\udc97\udca5", Match(Endpoint.HOSTS, "日")),
        ("/v1/hosts/%FF%00", Match(Endpoint.HOSTS, "\ufffd\0")),
        ("/v1/hosts/a%3Fb%23c", Match(Endpoint.HOSTS, "a?b#c")),
    ],
)
def test_known_paths(path, meaning):
    assert match(path) == meaning


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            "/page",
            "/page/a/b",
            "/index.html",
            "/v1",
            "/v1/",
            "/v1/nope",
            "/v1/hosts",
            "/v1/hosts/",
            "/v1/services/",
            "/V1/version",
            "v1/version",
        ),
        *("/v1/hosts/a/b", "/v1/hosts/a%2Fb", "/v1/services/a/ports", "/v1/hosts/a/ports/b", "/healthz/x", "*"),
    ],
)
def test_unknown_paths(path):
    assert match(path) is None


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        # recorded
        ("//v1/version", "/v1/version"),
        ("/v1/hosts/.", "/v1/hosts"),
        ("/v1/hosts/..", "/v1"),
        # what Go's path.Clean makes of others; a slash at the end stays
        ("/v1//version", "/v1/version"),
        ("/v1/version//", "/v1/version/"),
        ("/v1/./version", "/v1/version"),
        ("/v1/../v1/version", "/v1/version"),
        ("/../../v1", "/v1"),
        ("/v1/hosts//ports", "/v1/hosts/ports"),
        ("/v1/hosts/./", "/v1/hosts/"),
        ("/v1/..", "/"),
        ("//", "/"),
        ("//nope/x", "/nope/x"),
        ("/v1/hosts/%2E%2e", "/v1"),
        ("/v1/hosts/a%2F%2Fb", "/v1/hosts/a/b"),
        ("//v1/hosts/a%20b%3f%25$&+,:;=@_.-~'%FF日", "/v1/hosts/a%20b%3F%25$&+,:;=@_.-~%27%FF%E6%97%A5"),
        ("//evil.example", "/evil.example"),
        ("/.//evil.example", "/evil.example"),
    ],
)
def test_a_path_that_is_not_clean_has_moved(path, clean):
    assert match(path) == Moved(clean)
    assert not isinstance(match(clean), Moved)


def test_the_html_of_a_redirect():
    assert moved_body("/v1/version?a=1&b=<'\">") == (
        '<a href="/v1/version?a=1&amp;b=&lt;&#39;&#34;&gt;">Moved Permanently</a>.\n\n'
    )


@pytest.mark.parametrize("path", ["/v1/hosts/%", "/v1/hosts/%zz", "/%4", "/v1/hosts/a%%20"])
def test_a_percent_sign_without_digits_is_no_path(path):
    with pytest.raises(BadPathError):
        match(path)


@given(st.binary(max_size=60).map(lambda octets: b"/v1/hosts/" + octets) | st.binary(max_size=60))
@example(b"/v1/hosts/%80")
def test_any_octets_are_a_path_or_none(octets):
    try:
        found = match(octets.decode("utf-8", "surrogateescape"))
    except BadPathError:
        assert b"%" in octets
    else:
        if isinstance(found, Moved):
            assert found.path.isascii()
            assert found.path.startswith("/")
            assert not found.path.startswith("//")  # which would be another host
            assert not isinstance(match(found.path), Moved)
        elif found is not None:
            assert "/" not in found.name
            found.name.encode()


@pytest.mark.parametrize(
    "accept",
    [
        *(None, "", "*/*", "application/json", "application/json;q=0.5", "text/html, application/json"),
        *("text/html,*/*;q=0.1", " application/json ; charset=utf-8"),
    ],
)
def test_who_takes_json(accept):
    assert acceptable(accept)


@pytest.mark.parametrize(
    "accept", ["text/html", "application/xml", "application/*", "text/json, */xml", ",", "APPLICATION/JSON"]
)
def test_who_does_not(accept):
    assert not acceptable(accept)
