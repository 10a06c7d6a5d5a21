"""Every response of the real program is one that docs/openapi.json describes, and every one that it describes was seen."""

import gzip
import http.client
import json
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from tests.integration import wire
from tests.integration.masters import Master
from tests.integration.program import PATIENCE, Program, free_port, sample_state, until

from mesos_dns.web.paths import Endpoint, Match, match

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
QUERY = wire.query(0, "leader.mesos.", "A")
MESSAGE = "application/dns-message"
STREAMS = ("text/event-stream", "application/x-ndjson")
#: (status, operation or "" for any): why it is not seen here.
UNSEEN = {
    ("500", ""): "a fault of the program would be needed",
    ("503", "search"): "others would have to search; tests/web/test_search.py",
    ("503", "changes"): "33 clients would be needed; tests/web/test_watching.py",
    ("503", "queries"): "five clients would be needed; tests/web/test_query_log.py",
    ("503", "dnsQuery"): "no worker may be there; tests/web/test_dns_query.py",
    ("503", "dnsQueryPost"): "the same",
    ("408", "dnsQueryPost"): "it takes seconds; tests/web/test_dns_query.py",
    ("404", "dnsQueryPost"): "the same as for GET",
}


def strict(schema: Any) -> Any:
    """The same without room for members that are not described."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    if "properties" in schema and isinstance(schema.get("required"), list):
        found.setdefault("additionalProperties", False)
    return found


REGISTRY: Registry[Any] = Registry().with_resource(
    "urn:api", Resource(contents=strict(DOCUMENT), specification=DRAFT202012)
)


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    """What a reference within the document means."""
    if "$ref" not in value:
        return value
    found: Any = DOCUMENT
    for part in value["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)


def check(schema: dict[str, Any], value: object) -> None:
    absolute = json.loads(json.dumps(strict(schema)).replace('"#/', '"urn:api#/'))
    jsonschema.Draft202012Validator(absolute, registry=REGISTRY).validate(value)


class Asked(NamedTuple):
    """A request: the operation's path, the path that is asked for, and the rest."""

    path: str
    target: str
    method: str = "GET"
    headers: dict[str, str] = {}  # noqa: RUF012 - nobody alters it
    body: bytes = b""


class Answered(NamedTuple):
    status: int
    content_type: str
    body: bytes


def ask(program: Program, asked: Asked) -> Answered:
    connection = http.client.HTTPConnection("127.0.0.1", program.http_port, timeout=PATIENCE)
    try:
        connection.request(asked.method, asked.target, asked.body or None, asked.headers)
        reply = connection.getresponse()
        content_type = (reply.getheader("Content-Type") or "").partition(";")[0]
        # A stream of events or lines does not end soon.
        body = reply.readline() if content_type in STREAMS else reply.read()
        if reply.getheader("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        return Answered(reply.status, content_type, body)
    finally:
        connection.close()


SEEN: set[tuple[str, str]] = set()


def hold(program: Program, asked: Asked) -> Answered:
    """Ask, and hold the answer against the document."""
    reply = ask(program, asked)
    operation = DOCUMENT["paths"][asked.path].get(asked.method.lower())
    if operation is None:
        # Another method than those described: that is what the others say of it.
        operation = DOCUMENT["paths"][asked.path]["get"]
        assert reply.status == 405
    responses = operation["responses"]
    assert str(reply.status) in responses, f"{asked}: {reply}"
    SEEN.add((str(reply.status), operation["operationId"]))
    response = resolved(responses[str(reply.status)])
    if asked.method == "HEAD" or reply.status == 304:
        assert reply.body == b""
        return reply
    assert reply.content_type in response["content"], f"{asked}: {reply}"
    media = response["content"][reply.content_type]
    if "schema" in media:
        text = reply.body.decode()
        check(media["schema"], json.loads(text) if reply.content_type == "application/json" else text)
    return reply


@pytest.fixture(scope="module")
def leader() -> Generator[Master]:
    serving = Master(("127.0.0.1", 0), b"")
    serving.body = sample_state(serving.endpoint, a_b="10.2.0.7", **{"a.b": "10.2.0.8"})
    yield serving
    serving.close()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, leader: Master) -> Generator[Program]:
    folder = tmp_path_factory.mktemp("openapi")
    masters = [leader.endpoint, ("127.0.0.1", free_port())]
    more = {"Resolvers": [f"127.0.0.1:{free_port()}"], "QueryLog": {"To": f"json:{folder}/q.json", "On": False}}
    with Program(folder, masters=masters, workers=1, dohOn=True, **more) as running:
        running.wait_ready()
        yield running


REQUESTS = [
    *(Asked(path, path) for path in DOCUMENT["paths"] if "{" not in path and path != "/dns-query"),
    *(Asked(path, path, "HEAD") for path in ("/metrics", "/healthz", "/readyz", "/")),
    *(Asked("/page/{file}", f"/page/{name}", "HEAD") for name in ("page.css", "none")),
    *(Asked("/page/{file}", f"/page/{name}") for name in ("page.js", "icon.svg", "index.html", "none")),
    Asked("/page/{file}", "/page/page.css", headers={"If-None-Match": "*"}),
    Asked("/", "/", headers={"If-None-Match": "*"}),
    Asked("/v1/hosts/{host}", "/v1/hosts/web.marathon.mesos"),
    Asked("/v1/hosts/{host}", "/v1/hosts/nobody.mesos"),
    Asked("/v1/hosts/{host}/ports", "/v1/hosts/web.marathon.mesos/ports"),
    Asked("/v1/services/{service}", "/v1/services/_web._tcp.marathon.mesos"),
    Asked("/v1/services/{service}", "/v1/services/nobody"),
    Asked("/v1/enumerate", "/v1/enumerate?framework=marathon&limit=1"),
    Asked("/v1/enumerate", "/v1/enumerate?framework=nobody", headers={"Accept-Encoding": "gzip"}),
    Asked("/v1/axfr", "/v1/axfr?prefix=web.&limit=2"),
    Asked("/v1/enumerate", "/v1/enumerate?limit=0"),
    Asked("/v1/axfr", "/v1/axfr?limit=0"),
    Asked("/v1/changes", "/v1/changes?since=x"),
    Asked("/v1/changes", "/v1/changes", headers={"Accept": "text/event-stream"}),
    *(
        Asked("/v1/explain", f"/v1/explain?name={name}&type={rrtype}")
        for name, rrtype in [
            *(("web.marathon.mesos", ""), ("web.marathon.mesos", "MX"), ("leader.mesos", "A"), ("slave.mesos", "A")),
            *(
                ("wev.marathon.mesos", ""),
                ("www.example.com", ""),
                ("a..b", ""),
                ("ns1.mesos", ""),
                ("marathon.mesos", ""),
            ),
        ]
    ),
    Asked("/v1/explain", "/v1/explain?name=web.marathon.mesos&type=no"),
    Asked("/v1/trust", "/v1/trust", headers={"Via": "1.1 proxy"}),
    *(Asked("/v1/querylog", "/v1/querylog", method) for method in ("POST", "DELETE")),
    Asked("/v1/querylog", "/v1/querylog?for=x", "POST"),
    Asked("/v1/querylog", "/v1/querylog%zz", "DELETE"),
    *(Asked("/v1/querylog", "/v1/querylog", method, {"Via": "1.1 proxy"}) for method in ("GET", "POST", "DELETE")),
    Asked("/v1/queries", "/v1/queries?for=x"),
    Asked("/v1/queries", "/v1/queries", headers={"Via": "1.1 proxy"}),
    Asked("/v1/queries", "/v1/queries", headers={"Accept": "text/event-stream"}),
    Asked("/v1/history", "/v1/history?after=x"),
    Asked("/v1/search", "/v1/search?q=web&names=all"),
    Asked("/v1/search", "/v1/search?q=10."),
    Asked("/v1/frameworks", "/v1/frameworks?limit=0"),
    Asked("/v1/agents", "/v1/agents?limit=0"),
    Asked("/v1/tasks", "/v1/tasks?limit=0"),
    Asked("/v1/tasks", "/v1/tasks?framework=fw-1"),
    Asked("/v1/changes", "/v1/changes?name=web.marathon.mesos&limit=1"),
    Asked("/metrics", "/metrics", headers={"Accept": "application/openmetrics-text"}),
    Asked("/dns-query", "/dns-query?dns=AAAAAAABAAAAAAAABmxlYWRlcgVtZXNvcwAAAQAB"),
    Asked("/dns-query", "/dns-query?dns=AAAAAAABAAAAAAAABmxlYWRlcgVtZXNvcwAAAQAB", "HEAD"),
    Asked("/dns-query", "/dns-query?dns=!"),
    Asked("/dns-query", "/dns-query?dns=!", "HEAD"),
    Asked("/dns-query", "/dns-query", "POST", {"Content-Type": MESSAGE}, QUERY),
    Asked("/dns-query", "/dns-query", "POST", {"Content-Type": MESSAGE}, b"x"),
    Asked("/dns-query", "/dns-query", "POST", {"Content-Type": "text/plain"}, QUERY),
    Asked("/dns-query", "/dns-query", "POST", {"Content-Type": MESSAGE}, bytes(70_000)),
]


def every_get() -> Iterator[Asked]:
    """One request for each path."""
    for path in DOCUMENT["paths"]:
        target = path.replace("{host}", "web.mesos").replace("{service}", "_web._tcp.mesos")
        target = target.replace("{file}", "page.css")
        yield Asked(path, f"{target}?q=web" if path == "/v1/search" else target)


@pytest.mark.parametrize("asked", REQUESTS, ids=lambda asked: f"{asked.method} {asked.target[:60]} {[*asked.headers]}")
def test_what_is_answered_is_described(program: Program, asked: Asked) -> None:
    hold(program, asked)


def test_errors_are_described(program: Program) -> None:
    for asked in every_get():
        assert hold(program, asked._replace(method="PUT")).status == 405
        if "406" in DOCUMENT["paths"][asked.path]["get"]["responses"]:
            assert hold(program, asked._replace(headers={"Accept": "text/html"})).status == 406
        if asked.path.startswith("/v1"):
            assert hold(program, asked._replace(target=asked.path.replace("{host}", "web.mesos") + "%zz")).status == 400


def test_a_status_with_something_to_tell(program: Program, leader: Master) -> None:
    """After a failover whose agents have not come back, with a refused configuration, a dead upstream and names that collide."""
    state = json.loads(leader.body)
    leader.body = json.dumps(state | {"id": "master-2", "slaves": [], "frameworks": []}).encode()
    program.write_config("{")
    assert program.process
    program.process.send_signal(signal.SIGHUP)

    def told() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(hold(program, Asked("/v1/status", "/v1/status")).body)
        is_there = found["held"] and found["holding"] and found["configuration"]["newest"] == "refused"
        return found if is_there and len(found["leaders"]) == 2 else {}

    found = until(told, "the failover is not told")
    assert found["collisions"]["counts"]["applications"] == 1
    assert found["collisions"]["shown"][0]["name"] == "a-b.marathon.mesos."
    assert found["masters"][1]["failing"]
    hold(program, Asked("/v1/changes", "/v1/changes"))
    for name in ("web.marathon.mesos", "slave.mesos", "www.example.com"):
        hold(program, Asked("/v1/explain", f"/v1/explain?name={name}"))


def test_a_server_that_has_no_records_and_tells_no_names(tmp_path: Path) -> None:
    with Program(tmp_path, masters=[("127.0.0.1", free_port())]) as early:
        until(lambda: early.get("/healthz")[0] == 200, "it never listens", 2 * PATIENCE)
        for asked in every_get():
            hold(early, asked)
        hold(early, Asked("/readyz", "/readyz", "HEAD"))
        assert hold(early, Asked("/v1/querylog", "/v1/querylog", "POST")).status == 409
    with Program(tmp_path, masters=[("127.0.0.1", free_port())], EnumerationOn=False, WebOn=False) as silent:
        until(lambda: silent.get("/healthz")[0] == 200, "it never listens", 2 * PATIENCE)
        listings = ("/v1/search", "/v1/frameworks", "/v1/agents", "/v1/tasks")
        for path in ("/v1/enumerate", "/v1/axfr", "/v1/changes", "/v1/explain", "/dns-query", *listings):
            assert hold(silent, Asked(path, path)).status == 404
        for path, target in (("/", "/"), ("/page/{file}", "/page/page.css")):
            for method in ("GET", "HEAD"):
                assert hold(silent, Asked(path, target, method)).status == 404


def test_a_client_that_may_ask_nothing(tmp_path: Path) -> None:
    with Program(tmp_path, masters=[("127.0.0.1", free_port())], dohOn=True, AllowHttp=["192.0.2.0/24"]) as closed:
        until(lambda: closed.get("/healthz")[0] == 403, "it never listens", 2 * PATIENCE)
        for asked in every_get():
            for method in DOCUMENT["paths"][asked.path]:
                assert hold(closed, asked._replace(method=method.upper())).status == 403
            hold(closed, asked._replace(headers={"Accept": "application/json"}))


def test_all_that_is_described_was_seen(request: pytest.FixtureRequest) -> None:
    others = {item.name.partition("[")[0] for item in request.session.items if item.path == request.path}
    if len(others) < sum(name.startswith("test_") for name in globals()):
        pytest.skip("only some tests of this file run")
    described = {
        (status, operation["operationId"])
        for path in DOCUMENT["paths"].values()
        for operation in path.values()
        for status in operation["responses"]
    }
    unseen = {
        (status, operation)
        for status, operation in described - SEEN
        if not {(status, operation), (status, "")} & UNSEEN.keys()
    }
    assert unseen == set()
    assert described >= SEEN


def test_every_path_is_described() -> None:
    found = {match(asked.target.partition("?")[0]) for asked in every_get()}
    assert {each.endpoint for each in found if isinstance(each, Match)} == set(Endpoint)
    assert all(isinstance(each, Match) for each in found)


def test_the_schemas_are_schemas() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
