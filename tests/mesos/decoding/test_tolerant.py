import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.mesos.decoding import tolerant, wire


@pytest.mark.parametrize(
    ("element", "unusual"),
    [
        (b'{"id":"TASK_RUNNING","labels":[{"key":"HAPROXY","value":"X"}]}', False),
        (b'{"id":"A\\":\\"B"}', False),
        (b'{"Id":1}', True),
        (b'{"resources" : {"poRts" : 1}}', True),
        (b'{"\xc5\xbftate":1}', True),
        (b'{"a":"X","ID"\n:1}', True),
    ],
)
def test_unusual_keys(element, unusual):
    assert tolerant.has_unusual_keys(element) is unusual


@pytest.mark.parametrize(
    ("key", "folded"), [("NAME", "name"), ("Slave_ID", "slave_id"), ("\u017ftate", "state"), ("\u212aey", "key")]
)
def test_keys_fold_as_in_go(key, folded):
    assert tolerant.fold(key) == folded


def test_the_last_of_equal_keys_wins_whatever_its_case():
    problems = []
    task = tolerant.task(b'{"id":"t","state":"TASK_RUNNING","name":"a","Name":"b","slave_id":"s"}', problems)
    assert task is not None
    assert (task.name, problems) == ("b", [])


def test_each_bad_octet_and_each_lone_surrogate_becomes_one_replacement_character():
    task = tolerant.task(b'{"id":"a\xff\xfeb\\ud800c\xe3\x81","state":"TASK_RUNNING"}', [])
    assert task is not None
    assert task.id == "a\ufffd\ufffdb\ufffdc\ufffd\ufffd"


def test_a_bad_part_costs_only_itself():
    problems = []
    task = tolerant.task(
        json.dumps(
            {
                "id": "t",
                "name": "n",
                "slave_id": "s",
                "state": "TASK_RUNNING",
                "resources": {"ports": 5},
                "discovery": {"name": "d", "ports": {"ports": [{"number": "x"}, {"number": 80.0}, None, 7]}},
                "labels": [{"key": "a"}, "b", {"key": "c", "value": 1}],
                "container": {
                    "type": 1,
                    "docker": {"network": "BRIDGE", "port_mappings": [{"host_port": 1}, {"host_port": "1"}]},
                    "network_infos": [{"name": "n"}, {"name": 5, "port_mappings": 6}],
                },
                "statuses": [
                    "x",
                    {"state": "TASK_RUNNING", "timestamp": "now", "labels": {"a": 1}, "healthy": "yes"},
                    {
                        "state": "TASK_RUNNING",
                        "timestamp": 5,
                        "healthy": False,
                        "labels": [{"key": 1}, {"key": "k", "value": "v"}],
                        "container_status": {
                            "network_infos": [3, {"ip_addresses": [{"ip_address": "1.2.3.4"}, {"ip_address": 4}]}]
                        },
                    },
                ],
            }
        ).encode(),
        problems,
    )
    assert task == wire.TaskEntry(
        id="t",
        name="n",
        slave_id="s",
        state="TASK_RUNNING",
        resources=wire.Resources(ports=None),
        discovery=wire.Discovery(name="d", ports=wire.Ports(ports=[wire.Port(number=80)])),
        statuses=[
            wire.Status(state="TASK_RUNNING", timestamp=None, labels=[]),
            wire.Status(
                state="TASK_RUNNING",
                timestamp=5.0,
                labels=[wire.Label("k", "v")],
                container_status=wire.ContainerStatus(
                    [wire.NetworkInfo([wire.IpAddress("1.2.3.4")], port_mappings=[])]
                ),
                healthy=False,
            ),
        ],
        labels=[wire.Label("a")],
        container=wire.Container(
            docker=wire.Docker("BRIDGE", [wire.PortMapping(host_port=1)]),
            network_infos=[wire.WantedNetwork("n", []), wire.WantedNetwork(None, [])],
        ),
    )
    assert [reason for reason, _ in problems] == [
        "task: bad ports",
        "task: bad status",
        "task: bad timestamp",
        "task: bad label",
        "task: bad healthy",
        "task: bad label",
        "task: bad network info",
        "task: bad address",
        "task: bad discovery port",
        "task: bad discovery port",
        "task: bad label",
        "task: bad label",
        "task: bad type",
        "task: bad port mapping",
        "task: bad name",
        "task: bad port mapping",
    ]


def test_what_is_not_running_is_not_looked_at():
    problems = []
    assert tolerant.task(b'{"id":"t","state":"TASK_STAGING","statuses":7}', problems) is None
    assert tolerant.task(b"null", problems) is None
    assert problems == []


@pytest.mark.parametrize(
    "element", [b"[]", b"5", b'{"id":5,"state":"TASK_RUNNING"}', b'{"id":"t","state":["TASK_RUNNING"]}', b"{"]
)
def test_what_cannot_be_identified_is_refused(element):
    with pytest.raises(ValueError, match=r"expected|Expecting"):
        tolerant.task(element, [])


def test_numbers_out_of_range():
    problems = []
    task = tolerant.task(
        b'{"id":"t","state":"TASK_RUNNING","statuses":[{"timestamp":1%s},{"timestamp":Infinity}],'
        b'"discovery":{"ports":{"ports":[{"number":1e30},{"number":NaN},{"number":true},{"number":1.5}]}}}'
        % (b"0" * 400),
        problems,
    )
    assert task is not None
    assert task.statuses == [wire.Status(labels=[]), wire.Status(timestamp=float("inf"), labels=[])]
    assert task.discovery == wire.Discovery(ports=wire.Ports(ports=[]))
    assert len(problems) == 5


def test_an_agent_survives_a_pid_of_the_wrong_type():
    assert tolerant.agent(b'{"ID":"a","PID":7}') == wire.AgentEntry(id="a", pid=None)
    assert tolerant.agent(b"null") is None


_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.just("TASK_RUNNING"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "name",
                    "state",
                    "statuses",
                    "labels",
                    "key",
                    "value",
                    "timestamp",
                    "resources",
                    "ports",
                    "discovery",
                    "number",
                    "protocol",
                    "container_status",
                    "network_infos",
                    "ip_addresses",
                    "ip_address",
                    "slave_id",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["statuses", "resources", "discovery", "name", "slave_id"]), _values))
def test_no_shape_of_a_running_task_breaks_the_reader(parts):
    element = json.dumps({"id": "t", **parts, "state": "TASK_RUNNING"}).encode()
    try:
        task = tolerant.task(element, [])
    except tolerant.BadTypeError:
        assert not all(isinstance(parts.get(key), str | None) for key in ("name", "slave_id"))
    else:
        assert task is not None
        assert task.id == "t"
