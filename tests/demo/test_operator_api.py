"""`/api/v1` over HTTP: what is refused, as recorded from Mesos 1.11, and what the calls answer."""

import base64
import json

import aiohttp
import pytest
from tests.demo.streaming import subscribed

from mesos_dns.demo.access import NOTHING, Door, Rights
from mesos_dns.demo.live import Cluster

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def cluster():
    async with Cluster(masters=2, tasks=6) as started:
        yield started


async def post(session, url, body=b'{"type":"GET_HEALTH"}', method="POST", skip=(), **headers):
    """Return status, headers and body, nothing followed."""
    headers = {key.replace("_", "-"): value for key, value in headers.items()}
    async with session.request(
        method, url, data=body, headers=headers, allow_redirects=False, skip_auto_headers=("Content-Type", *skip)
    ) as response:
        return response.status, response.headers, await response.text()


@pytest.mark.parametrize(
    ("body", "headers", "status", "text"),
    [
        (b"{}", {}, 400, "Expecting 'Content-Type' to be present"),
        (
            b"{}",
            {"Content_Type": "application/json; charset=utf-8"},
            415,
            "Expecting 'Content-Type' of application/json or application/x-protobuf",
        ),
        (b'{"type":"NO_SUCH_CALL"}', JSON, 400, "Failed to validate master::Call: Expecting 'type' to be present"),
        (b"[]", JSON, 400, "Failed to validate master::Call: Expecting 'type' to be present"),
        (b"{", JSON, 400, "Failed to parse body into JSON: syntax error at line 1 near: "),
        (
            b'{"type":"GET_HEALTH"}',
            JSON | {"Accept": "text/html"},
            406,
            "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'",
        ),
        (
            b'{"type":"GET_HEALTH"}',
            JSON | {"Accept": "application/recordio"},
            406,
            "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'",
        ),
        (b'{"type":"TEARDOWN"}', JSON, 501, "501 Not Implemented."),
    ],
)
async def test_what_the_leader_refuses(cluster, session, body, headers, status, text):
    answer = await post(session, f"{cluster.urls[0]}/api/v1", body, **headers)

    assert (answer[0], answer[2][: len(text)]) == (status, text)
    assert answer[1]["Content-Type"] == "text/plain; charset=utf-8"


async def test_other_methods_are_refused(cluster, session):
    status, headers, text = await post(session, f"{cluster.urls[0]}/master/api/v1", b"", "GET")

    assert (status, headers["Allow"]) == (405, "POST")
    assert text == "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'GET'."


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html, application/*;q=0.1"])
async def test_json_is_the_answer_wherever_it_is_acceptable(cluster, session, accept):
    status, headers, text = await post(session, f"{cluster.urls[0]}/api/v1", **JSON, Accept=accept)

    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(text) == {"type": "GET_HEALTH", "get_health": {"healthy": True}}


@pytest.mark.parametrize("path", ["/api/v1", "/master/api/v1"])
async def test_the_others_redirect_whatever_is_asked(cluster, session, path):
    for method in ("POST", "GET"):
        status, headers, text = await post(session, cluster.urls[1] + path, b"{", method)
        assert (status, headers["Location"], text) == (307, f"//{cluster.endpoints[0]}/master/api/v1", "")


async def test_without_a_leader_and_before_recovery_it_is_unavailable(cluster, session):
    url = f"{cluster.urls[1]}/api/v1"
    await cluster.kill()
    assert (await post(session, url, **JSON))[0] == 307, "to the dead one"
    await cluster.nobody_leads()
    assert (await post(session, url, **JSON))[::2] == (503, "No leader elected")
    await cluster.elect(1, registry=False)
    assert (await post(session, url, **JSON))[::2] == (503, "Master has not finished recovery")
    assert (await post(session, f"{cluster.urls[1]}/state", b"", "GET"))[0] == 200, "the old API does not wait"
    cluster.world.read_registry()
    assert (await post(session, url, **JSON))[0] == 200


async def test_a_restarted_leader_redirects_to_itself_until_somebody_else_leads(cluster, session):
    await cluster.kill()
    await cluster.start(0, routed=False)
    url = f"{cluster.urls[0]}/api/v1"
    assert (await post(session, url, **JSON))[::2] == (404, "404 Not Found.")
    cluster.world.masters[0].routed = True
    assert (await post(session, url, **JSON))[1]["Location"] == f"//{cluster.endpoints[0]}/master/api/v1"
    await cluster.take_over(1)
    assert (await post(session, url, **JSON))[1]["Location"] == f"//{cluster.endpoints[1]}/master/api/v1"


@pytest.mark.parametrize("call", ["GET_STATE", "GET_TASKS", "GET_AGENTS", "GET_FRAMEWORKS", "GET_EXECUTORS"])
async def test_the_parts_are_parts_of_the_state(cluster, session, call):
    async def ask(kind):
        answer = json.loads((await post(session, f"{cluster.urls[0]}/api/v1", json.dumps({"type": kind}), **JSON))[2])
        assert answer["type"] == kind
        return answer[kind.lower()]

    state, part = await ask("GET_STATE"), await ask(call)
    assert part == (state if call == "GET_STATE" else state[call.lower()])


async def test_redirects_name_the_host_as_the_master_calls_itself(cluster, session):
    cluster.world.rename(0, "m1.example")
    port = cluster.endpoints[0].rpartition(":")[2]

    location = (await post(session, f"{cluster.urls[1]}/state?x=1", b"", "GET"))[1]["Location"]
    assert location == f"//m1.example:{port}/master/state?x=1"


async def test_a_master_tells_who_it_is(cluster, session):
    url = f"{cluster.urls[0]}/api/v1"
    told = json.loads((await post(session, url, b'{"type":"GET_MASTER"}', **JSON))[2])["get_master"]
    info = told["master_info"]
    assert info["address"] == {"hostname": "127.0.0.1", "ip": "127.0.0.1", "port": int(cluster.urls[0].split(":")[2])}
    assert (info["ip"], info["pid"]) == (0x0100007F, f"master@{cluster.endpoints[0]}")
    assert told["start_time"] < told["elected_time"]
    version = json.loads((await post(session, url, b'{"type":"GET_VERSION"}', **JSON))[2])
    assert version["get_version"]["version_info"]["version"] == "1.11.0"


async def test_its_flags_are_those_of_its_state(cluster, session):
    told = json.loads((await post(session, f"{cluster.urls[0]}/api/v1", b'{"type":"GET_FLAGS"}', **JSON))[2])
    state = json.loads((await post(session, f"{cluster.urls[0]}/state", b"", "GET"))[2])
    assert told["type"] == "GET_FLAGS"
    assert {flag["name"]: flag["value"] for flag in told["get_flags"]["flags"]} == state["flags"]
    assert state["flags"]["agent_reregister_timeout"] == "10mins"


@pytest.mark.parametrize("version", ["0.21.0", "0.28.0"])
async def test_old_masters_have_no_operator_api_and_answer_for_themselves(session, version):
    async with Cluster(masters=2, tasks=3, version=version) as cluster:
        path = "/state.json" if version == "0.21.0" else "/state"
        assert (await post(session, f"{cluster.urls[0]}/api/v1", **JSON))[0] == 404
        lead = json.loads((await post(session, cluster.urls[0] + path, b"", "GET"))[2])
        follow = json.loads((await post(session, cluster.urls[1] + path, b"", "GET"))[2])
        assert lead["leader"] == follow["leader"] == lead["pid"] != follow["pid"]
        assert (len(lead["slaves"]), follow["slaves"], follow["frameworks"]) == (3, [], [])
        assert "elected_time" not in follow
        location = (await post(session, f"{cluster.urls[1]}/master/redirect", b"", "GET"))[1]["Location"]
        assert location == ("http:" if version == "0.21.0" else "") + f"//{cluster.endpoints[0]}"


@pytest.mark.parametrize(
    ("version", "here", "missing"),
    [
        ("0.21.0", {"/state.json"}, {"/state", "/state-summary", "/slaves"}),
        ("0.25.0", {"/state.json", "/state", "/slaves"}, {"/frameworks"}),
        ("1.7.3", {"/state.json", "/state", "/state-summary", "/frameworks"}, set()),
        ("1.8.1", {"/state", "/state-summary"}, {"/state.json"}),
    ],
)
async def test_paths_of_each_release(session, version, here, missing):
    async with Cluster(tasks=3, version=version) as cluster:
        statuses = {path: (await post(session, cluster.urls[0] + path, b"", "GET"))[0] for path in here | missing}

    assert statuses == dict.fromkeys(here, 200) | dict.fromkeys(missing, 404)


CREDENTIALS = {"right": "secret", "blind": "secret", "narrow": "secret", "claims": "secret", "empty": ""}


@pytest.fixture
async def guarded():
    async with Cluster(masters=2, tasks=12) as started:
        started.settings.door = Door(
            readonly=True,
            readwrite=True,
            credentials=CREDENTIALS,
            rights={"blind": NOTHING, "narrow": Rights(frozenset({"marathon"}), frozenset({"web"}))},
            forbidden={"claims"},
        )
        yield started


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "basic cmlnaHQ6c2VjcmV0", "Basic  cmlnaHQ6c2VjcmV0", "Basic cmlnaHQ6d3Jvbmc=", "Basic cmlnaHQ6c2VjcmV0OngK",
     "Basic !!", "Basic /w==", "Basic cmlnaHQ=", "Bearer x", "token=x"],
)  # fmt: skip
async def test_credentials_are_asked_for_before_anything_else(guarded, session, header):
    sent = JSON | ({"Authorization": header} if header else {})
    for index in (0, 1):
        for path, realm in (("/api/v1", "mesos-master-readwrite"), ("/master/state", "mesos-master-readonly")):
            status, headers, text = await post(session, guarded.urls[index] + path, **sent)
            assert (status, headers["WWW-Authenticate"]) == (401, f'Basic realm="{realm}"')
            assert text == "401 Unauthorized."


def basic(name):
    return "Basic " + base64.b64encode(f"{name}:{CREDENTIALS[name]}".encode()).decode()


@pytest.mark.parametrize("path", ["/version", "/health", "/redirect"])
async def test_open_paths(guarded, session, path):
    assert (await post(session, guarded.urls[0] + path, b"", "GET"))[0] in {200, 307}


async def test_a_token_is_as_good_as_credentials(guarded, session):
    guarded.settings.door.tokens["abc"] = "blind"
    for token, status in (("abc", 200), ("abd", 401)):
        answer = await post(session, f"{guarded.urls[0]}/api/v1", **JSON, Authorization=f"token={token}")
        assert answer[0] == status
    state = await post(session, f"{guarded.urls[0]}/state", b"", "GET", Authorization="token=abc")
    assert json.loads(state[2])["frameworks"] == []


async def test_a_principal_without_a_value_is_forbidden(guarded, session):
    assert (await post(session, f"{guarded.urls[0]}/api/v1", **JSON, Authorization=basic("claims")))[0] == 403


@pytest.mark.parametrize(("name", "status"), [("right", 200), ("blind", 403)])
async def test_flags_are_for_those_who_may_see_them(guarded, session, name, status):
    header = {"Authorization": basic(name)}
    call = await post(session, f"{guarded.urls[0]}/api/v1", b'{"type":"GET_FLAGS"}', **JSON, **header)
    page = await post(session, f"{guarded.urls[0]}/flags", b"", "GET", **header)
    assert (call[0], page[0]) == (status, status)


@pytest.mark.parametrize(
    ("name", "frameworks", "tasks"), [("right", 7, 12), ("blind", 0, 0), ("narrow", 1, 3), ("empty", 7, 12)]
)
async def test_rights_filter_in_silence(guarded, session, name, frameworks, tasks):
    header = {"Authorization": basic(name)}
    state = json.loads((await post(session, f"{guarded.urls[0]}/state", b"", "GET", **header))[2])
    told = json.loads((await post(session, f"{guarded.urls[0]}/api/v1", b'{"type":"GET_STATE"}', **JSON, **header))[2])

    assert (len(state["slaves"]), len(state["frameworks"])) == (3, frameworks)
    assert sum(len(framework["tasks"]) for framework in state["frameworks"]) == tasks
    assert ("flags" in state, "cluster" in state) == (name != "blind", name != "blind")
    told = told["get_state"]
    assert len(told["get_tasks"]["tasks"]) == tasks
    assert (len(told["get_agents"]["agents"]), len(told["get_frameworks"]["frameworks"])) == (3, frameworks)


@pytest.mark.parametrize(("version", "filtered"), [("1.4.0", False), ("1.5.3", True), ("1.11.0", True)])
async def test_events_are_filtered_since_1_5(version, filtered):
    async with Cluster(version=version) as cluster:
        cluster.settings.door.anonymous = Rights(frozenset({"marathon"}), frozenset({"seen"}))
        async with subscribed(cluster.urls[0]) as reader:
            await cluster.subscribed()
            cluster.launch("hidden")
            cluster.launch("seen")
            await reader.until(lambda: b'"seen"' in reader.raw)
            names = [event["task_added"]["task"]["name"] for event in reader.records if event["type"] == "TASK_ADDED"]

    assert names == (["seen"] if filtered else ["hidden", "seen"])
