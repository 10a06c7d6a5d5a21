import json

import pytest
from bench.zonefile import zone_names

from bench import queries, services

STATE = json.dumps(
    {
        "frameworks": [{"name": "other", "id": "f0", "tasks": []}, {"name": "marathon", "id": "f1", "tasks": []}],
        "slaves": [{"id": f"S{number}"} for number in range(20)],
    }
).encode()
ZONE = [
    "mesos. 60 IN SOA ns1.mesos. root.mesos. 1 60 60 60 60",
    "of60.marathon.mesos. 60 IN A 10.0.0.1",
    "of60-abcde-s1.marathon.slave.mesos. 60 IN A 10.0.0.1",
    "office.marathon.mesos. 60 IN A 10.0.0.1",
    "_of60._tcp.marathon.mesos. 60 IN SRV 0 0 31000 of60-abcde-s1.marathon.slave.mesos.",
    "_of60._tcp.marathon.slave.mesos. 60 IN SRV 0 0 31000 of60-abcde-s1.marathon.slave.mesos.",
    "_office._tcp.marathon.mesos. 60 IN SRV 0 0 31000 office.marathon.mesos.",
]


def tasks():
    frameworks = json.loads(services.with_services(STATE))["frameworks"]
    assert frameworks[0]["tasks"] == []
    return frameworks[1]["tasks"]


def test_each_application_has_its_number_of_instances():
    names = [task["name"] for task in tasks()]
    assert {name: names.count(name) for name in set(names)} == {"of60": 60, "of200": 200, "of1000": 1000}


def test_no_two_instances_share_an_id_or_a_port_of_an_agent():
    found = tasks()
    assert len({task["id"] for task in found}) == len(found)
    assert len({(task["slave_id"], task["resources"]["ports"]) for task in found}) == len(found)
    assert {task["framework_id"] for task in found} == {"f1"}


@pytest.mark.parametrize("state", [b'{"frameworks":[],"slaves":[{"id":"S1"}]}', b'{"frameworks":[],"slaves":[]}'])
def test_a_state_without_a_place_for_them_is_refused(state):
    with pytest.raises(ValueError, match="no framework marathon or no agent"):
        services.with_services(state)


def test_other_workloads_do_not_ask_for_them():
    names = services.apart(zone_names(ZONE))
    assert names.by_type["A"] == ("office.marathon.mesos.",)
    assert names.by_type["SRV"] == ("_office._tcp.marathon.mesos.",)
    assert names.services == ("_of60._tcp.marathon.mesos.",)
    assert names.owners == 7


def test_a_workload_says_what_a_zone_lacks():
    names = services.apart(zone_names(ZONE))
    by_name = {workload.name: workload for workload in queries.WORKLOADS}
    assert len(set(queries.questions(by_name["srv-60"], names, seconds=1, seed=1))) == 1
    with pytest.raises(queries.NothingToAskError, match="no _of200"):
        queries.questions(by_name["srv-200"], names, seconds=1, seed=1)
