"""Searching for names, tasks, agents and frameworks."""

import json
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.web.given import MESOS, NS1, Cluster, new_zone, packed, task, tasks

from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.mesos.state import Agent, Delta, Framework
from mesos_dns.names import labels
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming
from mesos_dns.names.suffixes import Rules
from mesos_dns.web import asking
from mesos_dns.web import search as module
from mesos_dns.web.search import MAX_SEARCHED, address_test, search
from mesos_dns.zone.contributors import ContributorCounts


def found(cluster, text, limit=20, **more):
    looking = search(cluster.model, cluster.zone, text, limit, **more)
    while True:
        try:
            next(looking)
        except StopIteration as end:
            return end.value


def owners(cluster, text, **more):
    return [names.to_text(owner) for owner in found(cluster, text, **more).names]


def ids(cluster, text, **more):
    return [each.id for each in found(cluster, text, **more).tasks]


def test_names_of_tasks_and_frameworks(cluster):
    assert owners(cluster, "nginx") == ["nginx.marathon.mesos."]
    assert owners(cluster, "marathon") == ["marathon.mesos.", "nginx.marathon.mesos.", "store.marathon.mesos."]
    assert owners(cluster, "IN") == ["nginx.marathon.mesos."]


@pytest.mark.parametrize("text", ["nginx.mara", "x.marathon.mesos", ".marathon.mesos", "nginx.marathon.mesos.", "x."])
def test_dots_of_names_are_dots(cluster, text):
    assert "nginx.marathon.mesos." in owners(cluster, text)
    assert "nginx.marathon.mesos." in owners(cluster, text, every_name=True)


def test_the_very_name_comes_first_whatever_it_is(cluster):
    for text in ("leader.mesos", "leader.mesos.", "LEADER", "_nginx._tcp.marathon.mesos", "_nginx._tcp.marathon"):
        assert owners(cluster, text)[0].startswith(text.lower().removesuffix(".")), text
    assert owners(cluster, "marathonmesos") == []


def test_other_names_are_found_if_all_are_looked_through(cluster):
    assert owners(cluster, "_tcp.mara") == []
    assert owners(cluster, "_sql._st", every_name=True)[0] == "_sql._store._tcp.marathon.mesos."
    found_all = owners(cluster, "_tcp.mara", every_name=True)
    assert {"_nginx._tcp.marathon.mesos.", "_sql._store._tcp.marathon.mesos."} < {*found_all}
    (instance,) = owners(cluster, "cron-", every_name=True, limit=1)
    assert instance.startswith("cron-")


def test_what_only_looks_alike_in_wire_form_is_not_found(empty):
    # The label of 48 octets has "0" in front.
    empty.take(
        Delta(
            agents={"S0": Agent("S0", "10.0.0.1", 5051)},
            frameworks={"fw-1": Framework("fw-1", "m")},
            tasks=tasks(task("b" * 48, agent="S0")),
        )
    )
    assert owners(empty, "0b", every_name=True) == []
    assert owners(empty, "bb", every_name=True)[0] == "b" * 48 + ".m.mesos."


def test_tasks_by_name_and_id(cluster):
    assert ids(cluster, "nginx") == ["nginx.1"]
    assert ids(cluster, "DB.1") == ["db.1"]
    assert ids(cluster, ".1") == ["db.1", "cron.1", "lost.1", "nginx.1"]
    assert found(cluster, ".1", limit=2).totals["tasks"] == 4
    assert len(ids(cluster, ".1", limit=2)) == 2


def test_agents_and_frameworks(cluster):
    assert [each.id for each in found(cluster, "s1").agents] == ["4242-S1"]
    assert [each.id for each in found(cluster, "10.0.0.").agents] == ["4242-S0", "4242-S1"]
    assert [each.name for each in found(cluster, "<").frameworks] == ["idle <one>"]
    assert [each.name for each in found(cluster, "FW-3").frameworks] == ["chronos"]


@pytest.mark.parametrize(
    "text", ["192.0.2.7", "192.0.2.", "192.0.", "192.", "192.0.2.8", "2001:db8::7", "2001:db", "2001:DB8:"]
)
def test_tasks_by_their_own_addresses(cluster, text):
    assert ids(cluster, text) == ["db.1"]


@pytest.mark.parametrize("text", ["192.0.3.", "92.0.2", "192.0.2.70", "256.", "db8:", "192..", "1.2.3.4.5"])
def test_other_addresses(cluster, text):
    assert ids(cluster, text) == []


def test_what_begins_so_comes_first_and_then_what_is_shorter(empty):
    named = ("xweb", "web-longer", "web", "a-web")
    empty.take(
        Delta(
            agents={"S0": Agent("S0", "10.0.0.1", 5051)},
            frameworks={"fw-1": Framework("fw-1", "m")},
            tasks=tasks(*(task(name, agent="S0") for name in named)),
        )
    )
    assert owners(empty, "web") == [f"{name}.m.mesos." for name in ("web", "web-longer", "xweb", "a-web")]
    assert ids(empty, "web") == [f"{name}.1" for name in ("web", "web-longer", "xweb", "a-web")]


def test_of_very_many_hits_the_first_are_compared_and_the_others_counted(cluster, monkeypatch):
    monkeypatch.setattr(module, "MOST_RANKED", 2)
    hits = found(cluster, ".1")
    assert ([each.id for each in hits.tasks], hits.totals["tasks"]) == (["lost.1", "nginx.1"], 4)


def test_it_goes_on_while_tasks_come_and_go(cluster, monkeypatch):
    monkeypatch.setattr(module, "SLICE_OF_SEARCH", 1)
    looking = search(cluster.model, cluster.zone, "n", 20)
    hits, number = None, 0
    while hits is None:
        try:
            next(looking)
        except StopIteration as end:
            hits = end.value
        key = ("fw-1", f"new{number}.1", 0)
        cluster.take(Delta(tasks={key: task(f"new{number}")}))
        if number == 3:
            cluster.take(Delta(tasks_gone=[("fw-1", "nginx.1", 0)], frameworks_gone=["fw-2"], agents_gone=["4242-S1"]))
        number += 1
    assert number > 4
    # What came before the tasks were looked at is found, and what has gone has no name.
    assert "new0.1" in {each.id for each in hits.tasks}
    assert "nginx.marathon.mesos." not in map(names.to_text, hits.names)


@given(st.text(max_size=30), st.booleans())
def test_any_text_is_looked_for(text, every_name):
    zone = new_zone()
    rules = Rules(MESOS, NS1, labels.rfc1123, ("netinfo", "mesos", "host"), 1)
    cluster = Cluster(Model(Naming(rules)), zone, ContributorCounts(zone))
    cluster.take(
        Delta(
            agents={"S0": Agent("S0", "10.0.0.1", 5051)},
            frameworks={"fw-1": Framework("fw-1", "m")},
            tasks=tasks(task("web", agent="S0", netinfo=packed("192.0.2.7", "2001:db8::7"))),
        )
    )
    for owner in found(cluster, text, every_name=every_name).names:
        assert zone.rrsets(owner)


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6), st.integers(1, 40))
def test_the_beginning_of_an_address_finds_it(address, length):
    text = str(address)[:length]
    test = address_test(text)
    shown = rd.address_text(address.packed)
    if test is None:
        assert "." not in text
        assert ":" not in text
    elif shown == str(address) and (":" in text or text == shown or rd.pack_address(text) is None):
        # Not one that is mapped, which is shown otherwise; and an IPv4 address is itself, and not the beginning of another.
        assert test((b"\0\0\0\0", address.packed))


@given(
    st.lists(st.integers(0, 255), min_size=1, max_size=3),
    st.from_regex("[0-9]{0,3}", fullmatch=True),
    st.binary(min_size=16, max_size=16),
)
def test_only_what_begins_so_is_found(octets, following, more):
    text = ".".join(map(str, octets)) + "." + following
    test = address_test(text)
    assume(rd.pack_address(text) is None)
    ipv4, ipv6 = bytes(octets) + more[: 4 - len(octets)], bytes(octets) + more[len(octets) :]
    assert test((ipv4,)) == rd.address_text(ipv4).startswith(text)
    assert not test((ipv6,))
    assert test((ipv6, ipv4)) == test((ipv4,))


# --- over HTTP ---------------------------------------------------------------------------------


async def test_over_http(get):
    reply = await get("/v1/search?q=nginx")
    assert json.loads(reply.body) == {
        "q": "nginx",
        "totals": {"names": 1, "tasks": 1, "agents": 0, "frameworks": 0},
        "names": [{"name": "nginx.marathon.mesos.", "types": ["A"]}],
        "tasks": [
            {
                "id": "nginx.1",
                "name": "nginx",
                "framework": "marathon",
                "framework_id": "fw-1",
                "agent": "10.0.0.1",
                "agent_id": "4242-S0",
                "health": "",
                "dns": "nginx.marathon.mesos.",
                "addresses": ["10.0.0.1"],
            }
        ],
        "agents": [],
        "frameworks": [],
    }


async def test_what_can_be_asked(get, cluster):
    names_found = json.loads((await get("/v1/search?q=_nginx._t&names=all&limit=1")).body)["names"]
    assert names_found == [{"name": "_nginx._tcp.marathon.mesos.", "types": ["SRV"]}]
    for query in ("", "?q=", "?q=%20", f"?q={'a' * (MAX_SEARCHED + 1)}"):
        reply = await get(f"/v1/search{query}")
        assert reply.short == (400, "text/plain; charset=utf-8", "400: q: expected 1 to 255 characters to look for")
    for limit in ("0", "101", "x"):
        body = (await get(f"/v1/search?q=a&limit={limit}")).body
        assert body == f"400: limit: expected a number from 1 to 100, found '{limit}'"
    assert (await get(f"/v1/search?q={quote('<é☃')}")).status == 200
    cluster.enumeration_on = False
    assert (await get("/v1/search?q=nginx")).status == 404


async def test_searches_take_turns(cluster, monkeypatch):
    monkeypatch.setattr(asking, "HTTP_SEARCH_WAIT_SECONDS", 0.001)
    questions = asking.Questions()
    for _ in range(asking.MAX_SEARCHES):
        await questions._searches.acquire()

    class Request:
        query = {"q": "a"}  # noqa: RUF012 - nobody alters it

    reply = await questions.ask(asking.Endpoint.SEARCH, Request(), cluster)
    assert (reply.status, reply.body) == (503, b"503: others are searching; try again later")
