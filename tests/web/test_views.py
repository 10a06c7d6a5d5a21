import json
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.web.given import MESOS, new_zone, packed, tasks
from tests.zone.changes import edit

from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.mesos.state import Agent, Delta, Framework, Task
from mesos_dns.web import views
from mesos_dns.web.filters import Filter
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.zone import Zone


def read(pieces):
    return json.loads("".join(pieces))


def always(_record):
    return True


def axfr(zone):
    return views.axfr(zone, refresh_seconds=60, mname="ns1.mesos.", rname="root.ns1.mesos.", domain="mesos")


def put(zone: Zone, name: str, rrtype: int, *rdataset: bytes) -> None:
    zone.apply(ZoneChange(zone.serial + 1, (edit(names.from_text(name), rrtype, (), rdataset),)))


# --- hosts -----------------------------------------------------------------------------------------


def test_a_host_octet_for_octet(cluster):
    assert "".join(views.hosts(cluster.zone, "leader.mesos", Random(1))) == (
        '[\n  {\n   "host": "leader.mesos.",\n   "ip": "127.0.0.1"\n  }\n ]'
    )


def test_hosts_and_services_below_agent_are_those_below_slave(cluster):
    put(cluster.zone, "x.fw.slave.mesos", rd.A, bytes([10, 0, 0, 1]))
    put(cluster.zone, "_x._tcp.fw.slave.mesos", rd.SRV, rd.srv(1, 80, names.from_text("x.fw.slave.mesos")))
    assert read(views.hosts(cluster.zone, "x.fw.agent.mesos", Random(1))) == [
        {"host": "x.fw.agent.mesos.", "ip": "10.0.0.1"}
    ]
    (service,) = read(views.services(cluster.zone, "_x._tcp.fw.agent.mesos", Random(1)))
    assert (service["host"], service["port"]) == ("x.fw.slave.mesos.", "80")


def test_an_unknown_host_octet_for_octet(cluster):
    assert (
        "".join(views.hosts(cluster.zone, "nobody.mesos", Random(1))) == '[\n  {\n   "host": "",\n   "ip": ""\n  }\n ]'
    )


def test_ipv4_comes_before_ipv6(cluster):
    found = [one["ip"] for one in read(views.hosts(cluster.zone, "store.marathon.mesos", Random(1)))]
    assert (set(found[:2]), set(found[2:])) == ({"192.0.2.7", "192.0.2.8"}, {"2001:db8::7", "2001:db8::8"})


@pytest.mark.parametrize("instances", [2, 3, 7, 20])
def test_each_address_of_a_host_is_first_equally_often(cluster, instances):
    addresses = [bytes([10, 9, 0, n]) for n in range(instances)]
    put(cluster.zone, "many.mesos", rd.A, *addresses)
    put(cluster.zone, "many.mesos", rd.AAAA, *(bytes(12) + address for address in addresses))
    random = Random(1)
    fours, sixes = Counter(), Counter()
    for _ in range(100 * instances):
        found = [one["ip"] for one in read(views.hosts(cluster.zone, "many.mesos", random))]
        assert len(set(found)) == 2 * instances
        fours[found[0]] += 1
        sixes[found[instances]] += 1
    for counted in (fours, sixes):
        assert len(counted) == instances
        assert all(50 < times < 150 for times in counted.values())


@pytest.mark.parametrize("instances", [2, 3, 7, 20])
def test_each_instance_of_a_service_is_first_equally_often(cluster, instances):
    hosts = [names.from_text(f"i{n}.mesos") for n in range(instances)]
    for n, host in enumerate(hosts):
        put(cluster.zone, names.to_text(host), rd.A, bytes([10, 9, 0, n]))
    put(cluster.zone, "_many._tcp.mesos", rd.SRV, *(rd.srv(1, 80, host) for host in hosts))
    random = Random(1)
    counted = Counter()
    for _ in range(100 * instances):
        found = [one["host"] for one in read(views.services(cluster.zone, "_many._tcp.mesos", random))]
        assert len(set(found)) == instances
        counted[found[0]] += 1
    assert len(counted) == instances
    assert all(50 < times < 150 for times in counted.values())


@pytest.mark.parametrize(
    "text", ["leader.mesos", "leader.mesos.", "LEADER.Mesos", "leader.*.mesos", "lea.*der.mesos", "leader.*.*.mesos.*"]
)
def test_the_host_is_shown_as_it_was_looked_up(cluster, text):
    assert read(views.hosts(cluster.zone, text, Random(1))) == [{"host": "leader.mesos.", "ip": "127.0.0.1"}]


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", ".*", "*.leader.mesos", "a..b.marathon.mesos.", ".leader.mesos", "leader.mesos.."),
        *("\0", "a b", "x" * 300, "www.example.test", "_nginx._tcp.marathon.mesos", "mesos", "\ud800.mesos"),
    ],
)
def test_whatever_has_no_address_is_the_one_empty_object(cluster, text):
    assert read(views.hosts(cluster.zone, text, Random(1))) == [{"host": "", "ip": ""}]


def test_the_servers_own_name_is_found_outside_the_domain(cluster):
    put(cluster.zone, "dns.example.org", rd.A, *packed("10.0.0.53"))
    assert read(views.hosts(cluster.zone, "dns.example.org", Random(1))) == [
        {"host": "dns.example.org.", "ip": "10.0.0.53"}
    ]


# --- services --------------------------------------------------------------------------------------


def test_a_service_octet_for_octet(cluster):
    assert "".join(views.services(cluster.zone, "_leader._tcp.mesos", Random(1))) == (
        '[\n  {\n   "service": "_leader._tcp.mesos",\n   "host": "leader.mesos.",\n'
        '   "ip": "127.0.0.1",\n   "port": "5050"\n  }\n ]'
    )


def test_an_unknown_service_octet_for_octet(cluster):
    assert "".join(views.services(cluster.zone, "_nope._tcp.mesos", Random(1))) == (
        '[\n  {\n   "service": "",\n   "host": "",\n   "ip": "",\n   "port": ""\n  }\n ]'
    )


def test_the_service_is_shown_as_it_was_typed(cluster):
    [one] = read(views.services(cluster.zone, "_LEADER.*._tcp.Mesos", Random(1)))
    assert one == {"service": "_LEADER.*._tcp.Mesos", "host": "leader.mesos.", "ip": "127.0.0.1", "port": "5050"}


def test_each_port_has_its_entry(cluster):
    found = read(views.services(cluster.zone, "_nginx._tcp.marathon.mesos", Random(1)))
    assert sorted(one["port"] for one in found) == ["31000", "31001"]


def test_one_address_of_each_family_is_chosen_at_random(cluster):
    seen = set()
    for seed in range(40):
        v4, v6 = read(views.services(cluster.zone, "_store._tcp.marathon.mesos", Random(seed)))
        seen |= {v4["ip"], v6["ip"]}
        assert (v4["host"], v4["port"], ":" in v4["ip"], ":" in v6["ip"]) == (v6["host"], "5432", False, True)
    assert seen == {"192.0.2.7", "192.0.2.8", "2001:db8::7", "2001:db8::8"}


def test_a_target_without_address_gives_nothing(cluster):
    put(cluster.zone, "_ghost._tcp.mesos", rd.SRV, rd.srv(1, 80, names.from_text("ghost.mesos")))
    assert read(views.services(cluster.zone, "_ghost._tcp.mesos", Random(1))) == [views.NO_SERVICE]


# --- enumerate -------------------------------------------------------------------------------------


def test_no_frameworks_are_null(empty):
    assert "".join(views.enumerate_tasks(empty.model, empty.is_shared)) == '{\n  "frameworks": null\n }'


def test_the_tasks_octet_for_octet(empty):
    # Task, hash and layout are those of the recording.
    empty.take(
        Delta(
            agents={"4242-S0": Agent("4242-S0", "10.7.1.1", 5051)},
            frameworks={"fw-1": Framework("fw-1", "marathon"), "fw-2": Framework("fw-2", "<idle>")},
            tasks=tasks(Task("nginx.c43f552e-9a13-925e", "nginx", "fw-1", "4242-S0")),
        )
    )
    assert (
        "".join(views.enumerate_tasks(empty.model, empty.is_shared))
        == """{
  "frameworks": [
   {
    "tasks": [
     {
      "name": "nginx",
      "id": "nginx.c43f552e-9a13-925e",
      "records": [
       {
        "name": "nginx.marathon.mesos.",
        "host": "10.7.1.1",
        "rtype": "A"
       },
       {
        "name": "nginx-r8fxr-s0.marathon.mesos.",
        "host": "10.7.1.1",
        "rtype": "A"
       },
       {
        "name": "nginx.marathon.slave.mesos.",
        "host": "10.7.1.1",
        "rtype": "A"
       },
       {
        "name": "nginx-r8fxr-s0.marathon.slave.mesos.",
        "host": "10.7.1.1",
        "rtype": "A"
       }
      ]
     }
    ],
    "name": "marathon"
   },
   {
    "tasks": [],
    "name": "\\u003cidle\\u003e"
   }
  ]
 }"""
    )


def test_frameworks_and_tasks_stand_in_their_order_and_the_lost_one_is_left_out(cluster):
    listed = read(views.enumerate_tasks(cluster.model, cluster.is_shared))
    assert list(listed) == ["frameworks"]
    assert [(one["name"], [t["name"] for t in one["tasks"]]) for one in listed["frameworks"]] == [
        ("marathon", ["nginx", "db"]),
        ("idle <one>", []),
        ("chronos", ["cron"]),
    ]


def test_services_are_shown_with_target_and_port(cluster):
    nginx = read(views.enumerate_tasks(cluster.model, cluster.is_shared))["frameworks"][0]["tasks"][0]
    assert [one["host"].partition(":")[2] for one in nginx["records"] if one["rtype"] == "SRV"].count("31000") >= 4
    assert {"A", "SRV"} == {one["rtype"] for one in nginx["records"]}


def test_every_record_of_the_model_is_listed(cluster):
    listed = read(views.enumerate_tasks(cluster.model, cluster.is_shared))
    shown = [
        (one["name"], one["rtype"], one["host"])
        for framework in listed["frameworks"]
        for each in framework["tasks"]
        for one in each["records"]
    ]
    wanted = [record for key in cluster.model.tasks for record in cluster.model.task_records(key)]
    assert len(shown) == len(set(shown)) == len(set(wanted))


@pytest.mark.parametrize("remembered", ["shared records", "all records"])
def test_a_record_stands_at_its_first_task_only(empty, remembered):
    twins = [Task("t.1", "web", "fw-1", "4242-S0"), Task("t.2", "web", "fw-1", "4242-S0")]
    same = Task("t.1", "web", "fw-1", "4242-S0")
    empty.take(
        Delta(
            agents={"4242-S0": Agent("4242-S0", "10.0.0.1", 5051)},
            frameworks={"fw-1": Framework("fw-1", "marathon")},
            tasks={**tasks(*twins), ("fw-1", "t.1", 1): same},
        )
    )
    is_shared = empty.is_shared if remembered == "shared records" else always
    [framework] = read(views.enumerate_tasks(empty.model, is_shared))["frameworks"]
    first, second, repeated = (each["records"] for each in framework["tasks"])
    assert [one["name"] for one in first][::2] == ["web.marathon.mesos.", "web.marathon.slave.mesos."]
    assert len(second) == 2
    assert all(one["name"].startswith("web-") for one in second)
    assert repeated is None


def test_tasks_that_vanish_in_between_do_no_harm(cluster):
    pieces = views.enumerate_tasks(cluster.model, cluster.is_shared)
    text = next(pieces)
    cluster.take(Delta(tasks_gone=tuple(cluster.model.tasks), frameworks_gone=("fw-3",)))
    assert [len(one["tasks"]) for one in json.loads(text + "".join(pieces))["frameworks"]] == [0, 0, 0]


# --- axfr ------------------------------------------------------------------------------------------


def test_an_empty_zone_octet_for_octet(empty):
    assert "".join(axfr(empty.zone)) == (
        '{\n  "TTL": 60,\n  "Serial": 0,\n  "RefreshSeconds": 60,\n  "Mname": "ns1.mesos.",\n'
        '  "Rname": "root.ns1.mesos.",\n  "Domain": "mesos",\n'
        '  "Records": {\n   "As": {},\n   "AAAAs": {},\n   "SRVs": {}\n  }\n }'
    )


def test_a_small_zone_octet_for_octet(empty):
    put(empty.zone, "b.mesos", rd.A, *packed("10.0.0.1", "10.0.0.2"))
    put(empty.zone, "_b._tcp.mesos", rd.SRV, rd.srv(1, 80, names.from_text("b.mesos")))
    put(empty.zone, "a.mesos", rd.A, *packed("10.0.0.1"))
    assert "".join(axfr(empty.zone)).partition('"Records"')[2] == (
        ': {\n   "As": {\n    "a.mesos.": [\n     "10.0.0.1"\n    ],\n'
        '    "b.mesos.": [\n     "10.0.0.1",\n     "10.0.0.2"\n    ]\n   },\n   "AAAAs": {},\n'
        '   "SRVs": {\n    "_b._tcp.mesos.": [\n     "b.mesos.:80"\n    ]\n   }\n  }\n }'
    )


def test_the_zone_is_shown_whole(cluster):
    shown = read(axfr(cluster.zone))
    sections = {"As": rd.A, "AAAAs": rd.AAAA, "SRVs": rd.SRV}
    count = sum(len(hosts) for section in sections for hosts in shown["Records"][section].values())
    assert list(shown["Records"]) == list(sections)
    assert count == len(list(cluster.zone.records()))
    assert shown["Serial"] == cluster.zone.serial
    assert shown["Records"]["AAAAs"]["ns1.mesos."] == ["fd20::40"]


_LABELS = st.binary(min_size=1, max_size=6).map(bytes.lower)


@given(st.lists(_LABELS, unique=True, max_size=40), st.integers(1, 7))
def test_names_are_sorted_however_they_are_sliced(some, slice_size):
    zone = new_zone()
    for label in some:
        zone.apply(ZoneChange(1, (edit(names.from_labels([label])[:-1] + MESOS, rd.A, (), packed("10.0.0.1")),)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "NAMES_PER_PIECE", slice_size)
        shown = "".join(axfr(zone))
    pairs = json.loads(shown, object_pairs_hook=list)
    listed = [name for name, _ in dict(dict(pairs)["Records"])["As"]]
    assert listed == sorted(names.to_text(owner) for owner in zone)


def test_names_that_vanish_or_come_in_between_do_no_harm(cluster):
    pieces = axfr(cluster.zone)
    text = next(pieces) + next(pieces)
    cluster.take(Delta(tasks_gone=tuple(cluster.model.tasks)))
    put(cluster.zone, "new.mesos", rd.A, *packed("10.0.0.1"))
    shown = json.loads(text + "".join(pieces))["Records"]
    assert "nginx.marathon.mesos." not in shown["As"]
    assert "leader.mesos." in shown["As"]


# --- the rest --------------------------------------------------------------------------------------


def test_the_version_octet_for_octet():
    assert "".join(views.version("golden")) == (
        '{\n  "Service": "Mesos-DNS",\n  "URL": "https://github.com/mesosphere/mesos-dns",\n  "Version": "golden"\n }'
    )


def test_the_configuration_keeps_its_order():
    assert "".join(views.config({"TTL": 60, "Masters": None, "Domain": "mesos"})) == (
        '{\n  "TTL": 60,\n  "Masters": null,\n  "Domain": "mesos"\n }'
    )


# --- parts of dumps --------------------------------------------------------------------------------


def test_a_limit_says_whether_there_is_more(cluster):
    whole = read(views.enumerate_tasks(cluster.model, cluster.is_shared))
    count = sum(len(each["tasks"]) for each in whole["frameworks"])
    for limit in range(1, count + 2):
        part = read(views.enumerate_tasks(cluster.model, cluster.is_shared, Filter(limit=limit)))
        assert sum(len(each["tasks"]) for each in part["frameworks"]) == min(limit, count)
        assert part["complete"] is (limit >= count)
    assert part == {**whole, "complete": True}


def test_a_limit_of_names(cluster):
    whole = read(axfr(cluster.zone))["Records"]
    count = sum(map(len, whole.values()))
    settings = {"refresh_seconds": 60, "mname": "ns1.mesos.", "rname": "root.ns1.mesos.", "domain": "mesos"}
    for limit in (1, 3, count, count + 1):
        part = read(views.axfr(cluster.zone, **settings, wanted=Filter(limit=limit)))
        assert sum(map(len, part["Records"].values())) == min(limit, count)
        assert part["complete"] is (limit >= count)
    assert part["Records"] == whole
