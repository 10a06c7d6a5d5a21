import contextlib
import gc
import gzip
import json
import weakref
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns import limits
from mesos_dns.limits import most_kept
from mesos_dns.mesos.decoding import v0
from mesos_dns.mesos.decoding.document import StateError
from mesos_dns.mesos.decoding.members import MAX_SKIPPED_EXAMPLES
from mesos_dns.mesos.decoding.v0 import Decoder
from mesos_dns.mesos.state import Agent, DiscoveryPort, Endpoint, Framework, NotShown, Snapshot, Task

FIXTURES = Path(__file__).parents[2] / "fixtures" / "mesos"
CAPTURES = sorted(FIXTURES.glob("captured-*.json.gz"))


def fixture(name):
    return gzip.decompress((FIXTURES / name).read_bytes())


def state(tasks=(), **more):
    framework = {"id": "F", "name": "fw", "pid": "s@10.0.0.9:99", "tasks": list(tasks)}
    return json.dumps({"leader": "master@10.0.0.1:5050", "slaves": [], "frameworks": [framework], **more}).encode()


def running(**more):
    return {"id": "t", "name": "web", "slave_id": "S0", "state": "TASK_RUNNING", **more}


def decode_task(**more):
    (task,) = Decoder().decode(state([running(**more)])).tasks.values()
    return task


def at(timestamp, *addresses, state="TASK_RUNNING"):
    infos = [{"ip_addresses": [{"ip_address": address} for address in addresses]}]
    return {"state": state, "timestamp": timestamp, "container_status": {"network_infos": infos}}


def packed(*addresses):
    return tuple(bytes(map(int, address.split("."))) for address in addresses)


def test_a_whole_state():
    body = state(
        [
            running(
                framework_id="ignored",
                resources={"cpus": 1, "ports": "[31000-31001]", "ports_revocable": "[1-2]"},
                discovery={"name": "d", "ports": {"ports": [{"number": 80, "name": "http", "protocol": "tcp"}, None]}},
                statuses=[at(1, "10.1.1.1", "fd00::5/64")],
            )
        ],
        id="M",
        pid="master@10.0.0.2:5051",
        flags={},
        slaves=[{"id": "S0", "pid": "slave(1)@10.0.1.1:5051"}],
        recovered_slaves=[{"id": "S7", "hostname": "h"}],
        unregistered_frameworks=["F8"],
        completed_frameworks=[{"id": "F9", "completed_tasks": [{"id": "old"}]}],
    )
    masters = (Endpoint("10.0.0.1", 5050), Endpoint("10.0.0.2", 5051))
    assert Decoder().decode(body, masters=masters) == Snapshot(
        master_id="M",
        leader=Endpoint("10.0.0.1", 5050),
        masters=masters,
        agents={"S0": Agent("S0", "10.0.1.1", 5051)},
        frameworks={"F": Framework("F", "fw", "10.0.0.9", 99)},
        tasks={
            ("F", "t", 0): Task(
                id="t",
                name="web",
                framework_id="F",
                agent_id="S0",
                ports=((31000, 31001),),
                discovery_name="d",
                discovery_ports=(DiscoveryPort(80, "http", "tcp"),),
                netinfo=(b"\x0a\x01\x01\x01", b"\xfd" + bytes(14) + b"\x05"),
            )
        },
        recovered_agents=frozenset({"S7"}),
        unregistered_frameworks=frozenset({"F8"}),
        completed_frameworks=frozenset({"F9"}),
        pid=Endpoint("10.0.0.2", 5051),
    )


def test_what_a_state_does_not_show():
    assert Decoder().decode(state([])).not_shown == NotShown()
    summary = state([], frameworks=[{"id": "F", "name": "fw"}, {"id": "G", "name": "other", "tasks": []}])
    assert Decoder().decode(summary).not_shown == NotShown(tasks_of=frozenset({"F"}))
    lacking = Decoder().decode(state([running()], slaves=None, frameworks=None))
    assert lacking.not_shown == NotShown(agents=True, frameworks=True)
    assert (lacking.agents, lacking.frameworks, lacking.tasks) == ({}, {}, {})
    slaves_alone = Decoder().decode(b'{"leader":"master@10.0.0.1:5050","slaves":[]}')
    assert slaves_alone.not_shown == NotShown(frameworks=True)


@pytest.mark.parametrize(
    ("more", "recovered"),
    [
        ({}, None),
        ({"recovered_slaves": None}, None),
        ({"recovered_slaves": []}, frozenset()),
        ({"recovered_slaves": [{"id": "S1"}], "flags": {"registry": "replicated_log"}}, frozenset({"S1"})),
        ({"recovered_slaves": [{"id": "S1"}], "flags": "hidden"}, frozenset({"S1"})),
        # A registry that ends with its master does not know the agents of the one before.
        ({"recovered_slaves": [], "flags": {"registry": "in_memory"}}, None),
        # Half of the list would give the other half up.
        ({"recovered_slaves": [{"id": "S1"}, {"id": 5}]}, None),
        ({"recovered_slaves": [{"id": "S1"}, {}]}, None),
        ({"recovered_slaves": {"id": "S1"}}, None),
    ],
)
def test_which_agents_the_master_expects_back(more, recovered):
    assert Decoder().decode(state([], **more)).recovered_agents == recovered


@pytest.mark.parametrize(
    ("value", "told"), [([], frozenset()), (["a", "b"], frozenset("ab")), (None, None), ([1], None), ("a", None)]
)
def test_frameworks_with_tasks_that_are_not_registered(value, told):
    assert Decoder().decode(state([], unregistered_frameworks=value)).unregistered_frameworks == told


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.name)
def test_states_of_a_real_cluster_decode_whole(path):
    body = gzip.decompress(path.read_bytes())
    raw = json.loads(body)
    snapshot = Decoder().decode(body)
    assert snapshot.skipped == {}
    assert snapshot.leader == snapshot.pid is not None
    assert snapshot.master_id == raw["id"]
    assert not snapshot.flags_hidden
    assert list(snapshot.agents) == [agent["id"] for agent in raw["slaves"]]
    assert list(snapshot.tasks) == [
        (framework["id"], task["id"], 0)
        for framework in raw["frameworks"]
        for task in framework["tasks"]
        if task["state"] == "TASK_RUNNING"
    ]
    # One executor reported "network_infos": [{}].
    assert {task.id for task in snapshot.tasks.values() if not task.netinfo} <= {"noip.1"}


def test_a_real_task():
    tasks = Decoder().decode(fixture("captured-tasks.json.gz")).tasks
    (task,) = [task for task in tasks.values() if task.id == "exec-plain"]
    assert task.agent_id == "3e272df2-c0e8-401a-befb-c7ab42498e8f-S1"
    assert task.netinfo == packed("127.0.0.32")


def test_the_crafted_state_of_naming_edge_cases():
    snapshot = Decoder().decode(fixture("crafted-A.json.gz"))
    by_name = {task.name: task for (framework, _, _), task in snapshot.tasks.items() if framework.endswith("-0000")}
    assert snapshot.skipped == {"ports: unreadable range": 1, "address: not an IP address": 9}
    assert snapshot.skipped_examples["ports: unreadable range"] == (
        "'[a-b, 31010-31010, 31011-x]' of task 'tracker.aefe4fed-502e-29a5'",
    )
    assert len(snapshot.skipped_examples["address: not an IP address"]) == MAX_SKIPPED_EXAMPLES
    assert by_name["tracker"].ports == ((31010, 31010),)
    assert by_name["ip-order-proxy"].netinfo == packed("10.7.21.3")
    assert by_name["ip-oldmix-proxy"].netinfo == packed("10.7.20.21", "10.7.20.22")
    assert by_name["ip-duplabel-proxy"].docker == packed("10.7.20.31", "10.7.20.32")
    assert by_name["ip-both-proxy"].mesos == packed("10.7.20.4")
    assert by_name["t-di-ports-mail"].discovery_ports[-2:] == (
        DiscoveryPort(-1, "neg", "tcp"),
        DiscoveryPort(99999999, "huge", "udp"),
    )
    assert sorted(key[2] for key in snapshot.tasks if key[1] == "same") == [0, 1]
    hosts = {framework.name: (framework.host, framework.port) for framework in snapshot.frameworks.values()}
    assert hosts["httphost-ledger"] == ("http-kafka.internal", None)
    assert hosts["svcport-proxy"] == ("10.7.2.36", None)
    assert hosts["Marathon-Kafka"] == ("fd10::2:2", 15101)
    assert snapshot.agents["20150101-000000-100000-5050-4242-S15"].host == "::ffff:10.7.1.15"


def test_the_crafted_state_of_json_quirks():
    snapshot = Decoder().decode(fixture("crafted-Q.json.gz"))
    by_id = {task.id.partition(".")[0]: task for task in snapshot.tasks.values()}
    assert snapshot.skipped == {}
    assert sorted(by_id) == sorted(
        [
            "bothcase",
            "casekeys",
            "discnullname",
            "discnullport",
            "escaped_slash",
            "extra",
            "intts",
            "labelsnokey",
            "lonesurrogate�x",
            "nullip",
            "nullname",
            "nullstatus",
            "plain",
            "portnull",
            "resnull",
            "t",
        ]
    )
    assert by_id["bothcase"].name == "bothcase2"
    assert by_id["casekeys"].ports == ((31001, 31001),)
    assert by_id["lonesurrogate\ufffdx"].name == "lonesurrogate\ufffdx"
    assert by_id["nullip"].netinfo == packed("50.9.30.4")
    assert by_id["nullname"].name == ""
    assert by_id["discnullport"].discovery_ports == (DiscoveryPort(0),)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([at(3, "1.0.0.3"), at(1, "1.0.0.1"), at(2, "1.0.0.2")], "1.0.0.3"),
        ([at(4, "1.0.0.1"), at(4, "1.0.0.2")], "1.0.0.1"),
        ([at(1, "1.0.0.1"), at(9, "1.0.0.2", state="TASK_KILLING")], "1.0.0.1"),
        ([at(1, "1.0.0.1"), {"state": "TASK_RUNNING", "timestamp": 2}], None),
        ([at(-0.5, "1.0.0.1")], "1.0.0.1"),
        ([at(-1, "1.0.0.1")], None),
        ([{k: v for k, v in at(0, "1.0.0.1").items() if k != "timestamp"}], "1.0.0.1"),
        ([at(1, "1.0.0.1", state="TASK_STARTING")], "1.0.0.1"),
        ([at(1, "1.0.0.1", state="TASK_STAGING"), at(2, "nope", state="TASK_STARTING")], "1.0.0.1"),
        ([at(1, "1.0.0.1", state="TASK_STAGING"), at(2, "1.0.0.2", state="TASK_STARTING")], "1.0.0.2"),
        ([], None),
        (None, None),
        ([None], None),
    ],
)
def test_which_status_gives_the_addresses(statuses, expected):
    assert decode_task(statuses=statuses).netinfo == (() if expected is None else packed(expected))


def test_network_infos_of_all_versions():
    infos = [
        {"ip_address": "1.0.0.1"},
        {"ip_address": "1.0.0.2", "ip_addresses": []},
        {"ip_address": "9.9.9.9", "ip_addresses": [{"ip_address": "1.0.0.3"}, {"ip_address": ""}, {}, None]},
        {},
        None,
        {"ip_addresses": [{"ip_address": "1.0.0.1"}]},
    ]
    task = decode_task(statuses=[{"state": "TASK_RUNNING", "container_status": {"network_infos": infos}}])
    assert task.netinfo == packed("1.0.0.1", "1.0.0.2", "1.0.0.3")


def test_addresses_are_bounded():
    many = [f"10.0.{number // 250}.{number % 250}" for number in range(limits.MAX_ADDRESSES + 5)]
    snapshot = Decoder().decode(state([running(statuses=[at(1, *many)])]))
    (task,) = snapshot.tasks.values()
    assert task.netinfo == packed(*many[: limits.MAX_ADDRESSES])
    assert snapshot.skipped == {"address: too many": 1}


def test_only_running_tasks_count():
    states = ["TASK_STAGING", "TASK_KILLING", "task_running", "TASK_RUNNING ", None, "TASK_RUNNING"]
    snapshot = Decoder().decode(state([running(id=str(state), state=state) for state in states] + [None]))
    assert list(snapshot.tasks) == [("F", "TASK_RUNNING", 0)]
    assert snapshot.skipped == {}


def test_tasks_that_do_not_run_are_told_unless_they_have_ended(monkeypatch):
    states = ["TASK_STAGING", "TASK_KILLED", "TASK_KILLING", None, "", "TASK_RUNNING", "TASK_STARTING"]
    body = state([running(id=str(state), state=state, statuses=[at(1, "nope")]) for state in states] + [None])
    decoder = Decoder()
    for _ in range(2):
        snapshot = decoder.decode(body)
        told = [(one.state, one.task.id, one.task.name) for one in snapshot.not_running]
        assert told == [(state, state, "web") for state in ("TASK_STAGING", "TASK_KILLING", "TASK_STARTING")]
        # What is wrong with one that has no names is nobody's concern.
        assert snapshot.skipped == {"address: not an IP address": 1}
        assert snapshot.ended_tasks["F"] == {"None", *filter(None, states)} - {"TASK_RUNNING"} | {""}
    monkeypatch.setattr(v0, "MAX_NOT_RUNNING", 2)
    for one in (decoder, Decoder()):
        snapshot = one.decode(body)
        assert [told.state for told in snapshot.not_running] == ["TASK_STAGING", "TASK_KILLING"]
        assert "TASK_STARTING" in snapshot.ended_tasks["F"]


def test_one_broken_task_among_thousands_costs_itself():
    tasks = [running(id=f"t{number}") for number in range(3000)]
    tasks[1234] = running(id=["not", "a", "name"])
    tasks[2345] = "TASK_RUNNING"
    snapshot = Decoder().decode(state(tasks))
    assert len(snapshot.tasks) == 2998
    assert snapshot.skipped == {"task: bad type": 2}
    assert "expected a string, found a list" in snapshot.skipped_examples["task: bad type"][0]


def test_octets_that_are_no_utf8_cost_nothing():
    body = state([running(name="XX"), running(id="u")]).replace(b'"XX"', b'"caf\xe9"')
    names = [task.name for task in Decoder().decode(body).tasks.values()]
    assert names == ["caf\ufffd", "web"]
    names[0].encode()


def test_infinite_limits_cost_nothing():
    body = state([running(limits={"cpus": float("inf"), "mem": 1}), running(id="u", limits={"mem": "Infinity"})])
    assert b"Infinity," in body
    assert len(Decoder().decode(body).tasks) == 2


def test_frameworks_without_or_with_the_same_id_stay_apart():
    body = state(
        frameworks=[
            {"id": "F", "name": "a", "tasks": [running()]},
            {"id": "F", "name": "b", "tasks": [running()]},
            {"name": "c", "tasks": [running()]},
            {"ID": "G", "Name": "d", "TASKS": [running()], "recovered": True},
        ]
    )
    snapshot = Decoder().decode(body)
    assert {key: framework.name for key, framework in snapshot.frameworks.items()} == {
        "F": "a",
        "#1": "b",
        "#2": "c",
        "G": "d",
    }
    assert [task.framework_id for task in snapshot.tasks.values()] == ["F", "#1", "#2", "G"]
    assert [framework.recovered for framework in snapshot.frameworks.values()] == [False, False, False, True]


@pytest.mark.parametrize(
    ("more", "host", "port", "skipped"),
    [
        ({"pid": "s@1.2.3.4:8", "hostname": "h"}, "1.2.3.4", 8, {}),
        ({"hostname": "h"}, "h", None, {}),
        ({"pid": None, "hostname": "h"}, "h", None, {}),
        ({}, "", None, {}),
        ({"pid": "", "hostname": "h"}, "h", None, {"framework: bad pid": 1}),
    ],
)
def test_where_a_framework_is(more, host, port, skipped):
    snapshot = Decoder().decode(state(frameworks=[{"id": "F", "name": "n", **more}]))
    assert snapshot.frameworks["F"] == Framework("F", "n", host, port)
    assert snapshot.skipped == skipped


def test_a_framework_of_the_wrong_shape_costs_itself():
    frameworks = [{"id": "F", "name": 5}, {"id": "G", "tasks": {}}, {"id": "H"}, 7]
    snapshot = Decoder().decode(state(frameworks=frameworks))
    assert list(snapshot.frameworks) == ["H"]
    assert snapshot.skipped == {"framework: bad type": 3}


def test_agents_with_a_bad_pid_stay_for_their_tasks():
    agents = [
        {"id": "a", "pid": "slave(1)@agent.example:5051", "attributes": {"Rack": "R"}},
        {"id": "b"},
        {"id": "c", "pid": "nothing"},
        {"id": "d", "pid": 5},
        {"pid": "slave(1)@10.0.0.1:1"},
        {"id": 5},
        None,
        "x",
    ]
    snapshot = Decoder().decode(state(slaves=agents))
    assert snapshot.agents == {
        "a": Agent("a", "agent.example", 5051),
        "b": Agent("b", "", 0),
        "c": Agent("c", "", 0),
        "d": Agent("d", "", 0),
        "#4": Agent("#4", "10.0.0.1", 1),
    }
    assert snapshot.skipped == {"agent: bad pid": 3, "agent: bad type": 2}


def test_no_leader():
    for leader in (None, "", "nonsense", 5):
        assert Decoder().decode(state(leader=leader)).leader is None


def test_concealed_flags_are_noticed():
    assert Decoder().decode(state()).flags_hidden
    assert not Decoder().decode(state(flags={"port": "5050"})).flags_hidden


def test_lists_that_names_never_come_from():
    elsewhere = [running(id="x")]
    body = state(
        frameworks=[{"id": "F", "tasks": [], "completed_tasks": elsewhere, "unreachable_tasks": elsewhere}],
        completed_frameworks=[{"id": "G", "tasks": elsewhere}],
        orphan_tasks=elsewhere,
    )
    assert Decoder().decode(body).tasks == {}


def test_unchanged_tasks_are_the_same_objects():
    decoder = Decoder()
    first = decoder.decode(
        state([running(id="a"), running(id="b", name="x"), running(id="c", state="TASK_LOST")])
    ).tasks
    second = decoder.decode(state([running(id="a"), running(id="b", name="y"), running(id="d")])).tasks
    assert second["F", "a", 0] is first["F", "a", 0]
    assert second["F", "b", 0].name == "y"
    assert list(second) == [("F", "a", 0), ("F", "b", 0), ("F", "d", 0)]
    assert repr(decoder) == "Decoder(tasks=3)"


def test_problems_of_unchanged_tasks_are_counted_again():
    decoder = Decoder()
    body = state([running(statuses=[at(1, "nope")]), running(id=5)])
    expected = {"address: not an IP address": 1, "task: bad type": 1}
    assert decoder.decode(body).skipped == expected
    assert decoder.decode(body).skipped == expected


def test_a_bad_document_leaves_the_decoder_as_it_was():
    decoder = Decoder()
    task = decoder.decode(state([running()])).tasks["F", "t", 0]
    with pytest.raises(StateError):
        decoder.decode(b"<html>")
    assert decoder.decode(state([running()])).tasks["F", "t", 0] is task


def test_equal_values_are_shared():
    first, second = (
        Decoder().decode(state([running(id="a", statuses=[at(1, "1.1.1.1")]) | {"n": n} for n in "xy"])).tasks.values()
    )
    assert first.netinfo is second.netinfo
    assert first.agent_id is second.agent_id


def test_values_of_tasks_that_are_gone_are_forgotten_in_a_small_cluster():
    decoder = Decoder()
    for n in range(3000):
        decoder.decode(state([running(id=f"t{n}", statuses=[at(1, f"10.{n // 65536}.{n // 256 % 256}.{n % 256}")])]))
    assert len(decoder._reader._shared) <= most_kept(2 * 3)


def test_the_body_is_not_kept():
    class Body(bytearray):
        pass

    body = Body(state([running()], slaves=[{"id": "S0", "pid": "s@1.1.1.1:1"}]))
    gone = weakref.ref(body)
    decoder = Decoder()
    snapshot = decoder.decode(body)
    del body
    gc.collect()
    assert gone() is None
    assert len(snapshot.tasks) == 1


@given(st.binary())
def test_any_octets_give_a_snapshot_or_a_state_error(body):
    with contextlib.suppress(StateError):
        assert isinstance(Decoder().decode(body), Snapshot)


_seed = fixture("crafted-Q.json.gz")


@given(st.integers(0, len(_seed) - 1), st.integers(0, 40), st.binary(max_size=6))
def test_any_damage_to_a_state_gives_a_snapshot_or_a_state_error(start, length, inserted):
    damaged = _seed[:start] + inserted + _seed[start + length :]
    try:
        snapshot = Decoder().decode(damaged)
    except StateError:
        return
    for task in snapshot.tasks.values():
        assert f"{task.id}{task.name}{task.agent_id}{task.discovery_name}".encode()
