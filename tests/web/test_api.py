import asyncio
import gzip
import json
import logging
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.web.given import Client

from mesos_dns.web import api, sending, turns, views
from mesos_dns.web.server import HttpServer

TEXT = "text/plain; charset=utf-8"
NOT_FOUND = (404, TEXT, "404: Page Not Found")
NOT_ALLOWED = (405, TEXT, "405: Method Not Allowed")
NOT_ACCEPTABLE = (406, TEXT, "406: Not Acceptable")
NO_HOST = '[\n  {\n   "host": "",\n   "ip": ""\n  }\n ]'
VERSION = '{\n  "Service": "Mesos-DNS",\n  "URL": "https://github.com/mesosphere/mesos-dns",\n  "Version": "0.7.0"\n }'


# --- what was recorded from the old program ------------------------------------------------------------


async def test_a_reply_octet_for_octet(get):
    reply = await get("/v1/hosts/leader.mesos", version="1.1")
    assert reply.short == (
        200,
        "application/json",
        '[\n  {\n   "host": "leader.mesos.",\n   "ip": "127.0.0.1"\n  }\n ]',
    )
    assert reply.headers["content-length"] == str(len(reply.body))


@pytest.mark.parametrize(
    "path", ["/v1/version", "/v1/version/", "/v1/version?x=1", "/v1/version?", "http://x/v1/version"]
)
async def test_the_version(get, path):
    assert (await get(path)).short == (200, "application/json", VERSION)


async def test_the_status(get):
    reply = await get("/v1/status")
    assert json.loads(reply.body) == {"version": "0.7.0", "ready": True, "workers": [], "held": None}


async def test_the_configuration(get):
    assert (await get("/v1/config")).body == '{\n  "RefreshSeconds": 60,\n  "Masters": null\n }'


@pytest.mark.parametrize(
    "path", ["/v1/hosts/%00", "/v1/hosts/a%20b", "/v1/hosts/a..b.mesos.", "/v1/hosts/.*", "/v1/hosts/%C3%A4"]
)
async def test_a_miss_is_one_empty_object(get, path):
    assert (await get(path)).short == (200, "application/json", NO_HOST)


async def test_a_service_as_it_was_typed(get):
    reply = await get("/v1/services/_LEADER._tcp%2Emesos")
    assert '"service": "_LEADER._tcp.mesos",\n   "host": "leader.mesos.",' in reply.body


@pytest.mark.parametrize("path", ["/v1/hosts/leader.mesos./ports", "/v1/hosts/a/ports", "/v1/hosts/a/ports/"])
async def test_ports_were_never_implemented(get, path):
    assert (await get(path)).short == (501, TEXT, "To be implemented...")


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/page",
            "/page/none.js",
            "/v1",
            "/v1/",
            "/v1/nope",
            "/v1/hosts",
            "/v1/hosts/",
            "/v1/services/",
            "/V1/version",
            "/v1/hosts/a/b",
        ),
        "/v1/services/a/ports",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_unknown_paths(get, path, method):
    assert (await get(path, method)).short == NOT_FOUND


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("//v1/version", "/v1/version"),
        ("/v1//version?x=1&y=%20", "/v1/version?x=1&amp;y=%20"),
        ("/v1/./version", "/v1/version"),
        ("/v1/hosts/..", "/v1"),
        ("/v1/services/%2e%2e", "/v1"),
        ("//readyz", "/readyz"),
        ("//nope", "/nope"),
    ],
)
async def test_a_path_that_is_not_clean_leads_to_the_one_that_is(get, path, location):
    reply = await get(path)
    assert reply.short == (301, "text/html; charset=utf-8", f'<a href="{location}">Moved Permanently</a>.\n\n')
    assert reply.headers["location"] == location.replace("&amp;", "&")
    head = await get(path, "HEAD")
    assert head.short == (301, "text/html; charset=utf-8", "")
    post = await get(path, "POST", Content_Length="0")
    assert (post.status, post.headers["location"], post.body) == (301, reply.headers["location"], "")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
@pytest.mark.parametrize("path", ["/v1/version", "/v1/hosts/leader.mesos", "/v1/hosts/a/ports", "/v1/axfr"])
async def test_other_methods(get, path, method):
    assert (await get(path, method, Content_Type="text/plain", Content_Length="0")).short == NOT_ALLOWED


async def test_head_is_an_other_method_and_has_no_body(get):
    assert (await get("/v1/version", "HEAD")).short == (405, TEXT, "")


@pytest.mark.parametrize("accept", ["text/html", "application/xml"])
async def test_who_takes_no_json_gets_none(get, accept):
    assert (await get("/v1/version", Accept=accept)).short == NOT_ACCEPTABLE
    assert (await get("/v1/hosts/a/ports", Accept=accept)).short == NOT_ACCEPTABLE
    assert (await get("/v1/version", "POST", Accept=accept)).short == NOT_ALLOWED
    assert (await get("/v1/nope", Accept=accept)).short == NOT_FOUND


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json;q=0.5"])
async def test_who_takes_json_gets_it(get, accept):
    assert (await get("/v1/version", Accept=accept)).body == VERSION


async def test_a_get_with_a_content_type_is_a_get(get):
    assert (await get("/v1/version", Content_Type="text/plain")).body == VERSION


# --- dumps ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/enumerate", "/v1/axfr"])
async def test_dumps(get, cluster, path):
    pieces = {
        "/v1/enumerate": views.enumerate_tasks(cluster.model, cluster.is_shared),
        "/v1/axfr": views.axfr(
            cluster.zone, refresh_seconds=60, mname="ns1.mesos.", rname="root.ns1.mesos.", domain="mesos"
        ),
    }
    assert (await get(path)).short == (200, "application/json", "".join(pieces[path]))


@pytest.mark.parametrize("path", ["/v1/enumerate", "/v1/axfr"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_without_enumeration_there_are_no_dumps(get, cluster, path, method):
    cluster.enumeration_on = False
    assert (await get(path, method)).short == NOT_FOUND
    assert (await get("/v1/version")).status == 200


async def test_a_second_dump_waits_for_the_first(get, monkeypatch):
    under_way, proceed = asyncio.Event(), asyncio.Event()
    real = api.send

    async def slowly(request, pieces, **how):
        under_way.set()
        await proceed.wait()
        return await real(request, pieces, **how)

    monkeypatch.setattr(api, "send", slowly)
    first = asyncio.ensure_future(get("/v1/axfr"))
    await under_way.wait()
    under_way.clear()
    second = asyncio.ensure_future(get("/v1/enumerate"))
    version = asyncio.ensure_future(get("/v1/version"))
    await under_way.wait()  # The version does not wait for the dump.
    assert not second.done()
    proceed.set()
    assert [(await each).status for each in (first, second, version)] == [200, 200, 200]


async def test_who_waits_too_long_for_a_dump_is_told_so(get, monkeypatch):
    monkeypatch.setattr(turns, "HTTP_DUMP_WAIT_SECONDS", 0.05)
    under_way, proceed = asyncio.Event(), asyncio.Event()

    async def slowly(_request, _pieces, **_how):
        under_way.set()
        await proceed.wait()
        return api.text(200, "")

    monkeypatch.setattr(api, "send", slowly)
    first = asyncio.ensure_future(get("/v1/axfr"))
    await under_way.wait()
    assert (await get("/v1/axfr")).short == (503, TEXT, "503: somebody else is being sent all records; try again later")
    proceed.set()
    assert (await first).status == 200


async def test_a_part_of_a_dump(get):
    listed = json.loads((await get("/v1/enumerate?framework=chronos&framework=fw-2")).body)["frameworks"]
    assert [each["name"] for each in listed] == ["idle <one>", "chronos"]
    assert json.loads((await get("/v1/enumerate?framework=nobody")).body) == {"frameworks": []}
    shown = json.loads((await get("/v1/axfr?prefix=LEADER.")).body)["Records"]
    assert [*shown["As"]] == ["leader.mesos."]
    assert shown["SRVs"] == {}
    assert "complete" not in shown
    # What is not known means nothing, as ever.
    assert (await get("/v1/axfr?x=1")).body == (await get("/v1/axfr")).body


@pytest.mark.parametrize("path", ["/v1/enumerate", "/v1/axfr"])
@pytest.mark.parametrize("limit", ["0", "-1", "x", "", "1e3", "%D9%A1", "9" * 50])
async def test_a_limit_that_is_none(get, path, limit):
    reply = await get(f"{path}?limit={limit}")
    assert (reply.status, reply.body.partition(", found ")[0]) == (
        400,
        "400: limit: expected a number from 1 to 1000000000",
    )


@pytest.mark.parametrize("path", ["/v1/enumerate", "/v1/axfr"])
async def test_dumps_are_compressed_for_those_who_take_it(get, path, monkeypatch):
    plain = await get(path)
    assert plain.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in plain.headers
    # A small one is not worth it.
    assert (await get(path, Accept_Encoding="gzip")).octets == plain.octets
    monkeypatch.setattr(sending, "HTTP_CHUNK", 50)
    for coding in ("gzip, deflate, br", "*", "identity;q=0.5, gzip;q=1.0"):
        packed = await get(path, Accept_Encoding=coding)
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed.octets) == plain.octets
    for coding in ("identity", "br", "gzip;q=0", "gzip;q=x"):
        assert (await get(path, Accept_Encoding=coding)).octets == plain.octets


# --- readiness -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_of_a_healthy_server(get, path, method):
    reply = await get(path, method, Accept="text/html")
    assert reply.short == (200, TEXT, "ok\n" if method == "GET" else "")


async def test_probes_of_a_server_that_is_not_ready(get, cluster):
    cluster.reasons = ["no state of the cluster yet", "worker 1 has no zone yet"]
    assert (await get("/readyz")).short == (503, TEXT, "no state of the cluster yet\nworker 1 has no zone yet\n")
    assert (await get("/healthz")).short == (200, TEXT, "ok\n")


async def test_readiness_tells_how_old_the_state_is_and_stays_when_polls_fail(get, cluster):
    cluster.said = ["state of the cluster: 7 min old, from 10.0.0.11:5050", "the last 4 polls failed: no master"]
    assert (await get("/readyz")).short == (
        200,
        TEXT,
        "ok\nstate of the cluster: 7 min old, from 10.0.0.11:5050\nthe last 4 polls failed: no master\n",
    )
    assert (await get("/healthz")).short == (200, TEXT, "ok\n")
    cluster.reasons = ["worker 1 has no zone yet"]
    assert (await get("/readyz")).short == (503, TEXT, "worker 1 has no zone yet\n")


async def test_probes_know_no_other_methods(get):
    assert (await get("/readyz", "POST", Content_Length="0")).short == NOT_ALLOWED


@pytest.mark.parametrize(
    "path", ["/v1/hosts/leader.mesos", "/v1/services/_leader._tcp.mesos", "/v1/enumerate", "/v1/axfr"]
)
async def test_before_the_first_load_there_are_no_records(get, cluster, path):
    cluster.zone.serial = 0
    cluster.reasons = ["no state of the cluster yet"]
    assert (await get(path)).short == (503, TEXT, "503: no records yet\nno state of the cluster yet")
    assert (await get(path, "POST", Content_Length="0")).short == NOT_ALLOWED
    assert (await get("/v1/version")).status == (await get("/v1/config")).status == 200


async def test_a_reload_swaps_what_is_read(cluster):
    states = [cluster]
    server = HttpServer(lambda: states[-1])
    await server.start("127.0.0.1", 0)
    get = Client(*server.address)
    cluster.version = "new"
    assert '"Version": "new"' in (await get("/v1/version")).body
    states.append(type(cluster)(cluster.model, cluster.zone, cluster.counts, version="newer"))
    assert '"Version": "newer"' in (await get("/v1/version")).body
    await server.stop()


# --- faults --------------------------------------------------------------------------------------------


async def test_a_fault_is_logged_and_says_nothing_to_the_client(get, cluster, caplog):
    cluster.config = {"Secret": object()}
    assert (await get("/v1/config")).short == (500, TEXT, "500: Internal Server Error")
    assert (await get("/v1/config")).status == 500
    [record] = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert record.getMessage() == "GET '/v1/config' failed"
    assert record.exc_info[0] is TypeError
    assert (await get("/v1/version")).status == 200


async def test_a_broken_escape_is_a_bad_request(get):
    assert (await get("/v1/hosts/%zz")).short == (400, TEXT, "400: Bad Request")


_PRINTABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40)
_ENCODED = st.binary(max_size=20).map(lambda octets: quote_from_bytes(octets, safe=""))
_BEYOND_ASCII = st.text(st.characters(min_codepoint=0xA0, exclude_categories=["Cs"]), min_size=1, max_size=10)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prefix=st.sampled_from(["/", "/v1/hosts/", "/v1/services/", "/v1/", ""]),
    rest=_PRINTABLE | _ENCODED | _BEYOND_ASCII,
)
async def test_any_path_has_a_known_status(get, prefix, rest):
    assert (await get(prefix + rest)).status in {200, 301, 400, 404, 501}


async def test_what_was_counted_lately(get, cluster):
    for now in range(3):
        counts = {
            'dns_requests{proto="udp",family="1",type="A"}': 7 * now * now,
            'dns_responses{rcode="NXDOMAIN"}': now,
        }
        cluster.history.note(now * 5.0, 1_700_000_000.5 + now * 5, counts | {"cache_hits": float(now == 2)})
    assert json.loads((await get("/v1/history")).body) == {
        "count": 2,
        "at": [1700000005500, 1700000010500],
        "milliseconds": [5000, 5000],
        "types": {"A": [7, 21]},
        "rcodes": {"NXDOMAIN": [1, 1]},
        "origins": {"cache": [0, 1]},
    }
    assert json.loads((await get("/v1/history?after=1")).body)["types"] == {"A": [21]}
    assert json.loads((await get("/v1/history?after=2")).body) == {
        "count": 2,
        "at": [],
        "milliseconds": [],
        "types": {},
        "rcodes": {},
        "origins": {},
    }
    assert (await get("/v1/history?after=x")).body == "400: after: expected a number from 0 to 1000000000, found 'x'"
