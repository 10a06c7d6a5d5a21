"""Who may see what tells about clients: this machine itself, or whoever has the token. And what no foreign page can forge."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from tests.web.given import Client, packed

from mesos_dns.web.server import HttpServer
from mesos_dns.web.trust import Token, bearer, forgery, refusal

SECRET = "3f9a" * 8
TOKEN = Token(SECRET)
(HERE,) = packed("127.0.0.1")
(HERE6,) = packed("::1")
(ELSEWHERE,) = packed("10.0.0.7")


def why(client=HERE, token=TOKEN, **fields):
    fields = {"Host": "localhost:8123"} | {name.replace("_", "-"): value for name, value in fields.items()}
    return refusal(client, CIMultiDict(fields), token)


@pytest.mark.parametrize("client", [HERE, HERE6, *packed("127.7.7.7")])
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:8123", "[::1]", "[::1]:8123"])
def test_this_machine_itself_is_trusted(client, host):
    assert why(client, Token(), Host=host) == ""


@pytest.mark.parametrize("client", [b"", ELSEWHERE, *packed("2001:db8::1", "169.254.0.1", "0.0.0.0", "::")])
def test_other_machines_are_not(client):
    assert why(client) == (
        "the request comes from another machine: this tells about clients; ask on the machine itself, as http://localhost, "
        "or send the token of HttpTokenFile (Authorization: Bearer TOKEN)"
    )
    assert why(client, Token()).endswith("or set HttpTokenFile, and send its token (Authorization: Bearer TOKEN)")


@pytest.mark.parametrize(
    "name", ["Forwarded", "X-Forwarded-For", "x-forwarded-proto", "Via", "X-Real-IP", "X-Client-Ip", "True-Client-IP"]
)
def test_nor_what_came_through_a_proxy_on_this_machine(name):
    assert why(**{name: ""}).startswith(f"the request came through a proxy (it has {name.title()}): ")


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "evil.example:8123", "localhost.evil.example", "10.0.0.4:8123", "localhost@evil.example"),
        *("127.0.0.1.evil.example", "[::1", "localhost:x", "127.1", "2130706433", "localhost/x", "0.0.0.0", "[::]:1"),
    ],
)
def test_nor_a_page_whose_own_name_leads_here(host):
    """DNS rebinding: the browser is on this machine, and thinks that it talks to the page's site."""
    assert why(Host=host).startswith(
        "the request asks for this server by a name or address (Host) that is not localhost: "
    )
    assert refusal(HERE, CIMultiDict(), Token())


@pytest.mark.parametrize("client", [HERE, ELSEWHERE, b""])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", " BEARER "])
def test_whoever_has_the_token_is_trusted(client, scheme):
    shown = f"{scheme.rstrip()} {SECRET}"
    assert why(client, Authorization=shown, Host="evil.example", Via="1.1 proxy") == ""


@pytest.mark.parametrize(
    "shown", ["x", SECRET[:-1], SECRET + "0", SECRET.upper(), "", "ü", "\udcff", f"{SECRET},{SECRET}"]
)
def test_another_token_is_refused_even_here(shown):
    """Whoever sends one means it: a wrong one should not look right."""
    assert why(Authorization=f"Bearer {shown}") == "the token is not the one in HttpTokenFile"
    assert why(Authorization=f"Bearer {shown}", token=Token()) == (
        "a token was sent, but the configuration has no HttpTokenFile"
    )


def test_other_ways_to_log_in_mean_nothing():
    assert why(Authorization="Basic bWU6aHVudGVyMg==") == ""
    assert "another machine" in why(ELSEWHERE, Authorization=f"Basic {SECRET}")
    assert [bearer(None), bearer(""), bearer("Bearer"), bearer(SECRET)] == [None, None, "", None]


def test_no_token_is_nobodys():
    assert not Token().is_shown_in("Bearer ")
    assert not Token().is_shown_in("Bearer")


def test_the_token_is_not_shown():
    assert (repr(TOKEN), repr(Token())) == ("Token(set)", "Token()")


@given(
    st.binary(max_size=16).filter(lambda octets: len(octets) in {0, 4, 16}),
    st.dictionaries(st.sampled_from(["Host", "Authorization", "Via", "Origin", "Sec-Fetch-Site"]), st.text()),
)
def test_any_request_is_judged(client, fields):
    found = refusal(client, CIMultiDict(fields), TOKEN)
    assert "\n" not in found
    assert SECRET not in found
    forgery(CIMultiDict(fields))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"Host": "localhost:8123", "Origin": "http://localhost:8123"},
        {"Host": "Dns.Example", "Origin": "https://dns.example", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_programs_and_the_own_page_may_change_something(fields):
    assert forgery(CIMultiDict(fields)) == ""


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"Host": "localhost:8123", "Origin": "http://evil.example"}, "Origin"),
        ({"Host": "localhost:8123", "Origin": "http://localhost:8124"}, "Origin"),
        ({"Host": "localhost:8123", "Origin": "null"}, "Origin"),
        ({"Host": "localhost:8123", "Origin": ""}, "Origin"),
        ({"Host": "localhost:8123", "Origin": "file://localhost:8123"}, "Origin"),
        ({"Origin": "http://"}, "Origin"),
        ({"Sec-Fetch-Site": "cross-site"}, "Sec-Fetch-Site"),
        ({"Sec-Fetch-Site": "same-site", "Host": "a", "Origin": "http://a"}, "Sec-Fetch-Site"),
        ({"Sec-Fetch-Site": ""}, "Sec-Fetch-Site"),
    ],
)
def test_foreign_pages_may_not(fields, field):
    assert forgery(CIMultiDict(fields)) == (
        f"a page of another site sent this ({field}); only this server's own page, and programs, may"
    )


# --- over HTTP ---------------------------------------------------------------------------------


async def test_over_http(get, cluster):
    cluster.http_token = TOKEN
    assert (await get("/v1/trust")).body == '{\n  "trusted": true\n }'
    reply = await get("/v1/trust", Via="1.1 proxy")
    assert reply.short[:2] == (403, "text/plain; charset=utf-8")
    assert reply.body.startswith(
        "403: Forbidden\nthe request came through a proxy (it has Via): this tells about clients;"
    )
    reply = await get("/v1/trust", Via="1.1 proxy", Accept="application/json")
    assert (reply.status, json.loads(reply.body)["error"]) == (403, "Forbidden")
    assert (await get("/v1/trust", Via="1.1 proxy", Authorization=f"Bearer {SECRET}")).status == 200


async def test_over_ipv4_on_an_ipv6_socket(cluster):
    server = HttpServer(lambda: cluster)
    await server.start("::", 0)
    found = [(await Client(host, server.address[1])("/v1/trust")).status for host in ("127.0.0.1", "::1")]
    await server.stop()
    assert found == [200, 200]


async def test_a_wrong_token_is_logged_and_not_shown(get, cluster, caplog):
    cluster.http_token = TOKEN
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert (await get("/v1/trust", Authorization="Bearer hunter2hunter2hunter2")).status == 403
    assert [one.getMessage() for one in caplog.records] == [
        "HTTP: 127.0.0.1 sent a token that is not the one in HttpTokenFile"
    ]
