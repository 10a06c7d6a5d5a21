"""`/v1/explain`: the same value as JSON, in the layout of the other endpoints."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.web.given import Client

from mesos_dns.web import asking
from mesos_dns.web.server import HttpServer

EXPLAINED = """{
  "name": "nginx.marathon.mesos.",
  "rtype": "A",
  "verdict": "answer",
  "exists": true,
  "summary": "nginx.marathon.mesos. has 1 record (A)",
  "zone": "mesos.",
  "serial": 4,
  "types": [
   "A"
  ],
  "reasons": [],
  "records": [
   {
    "name": "nginx.marathon.mesos.",
    "rtype": "A",
    "ttl": 60,
    "rdata": "10.0.0.1",
    "givers": [
     {
      "kind": "task",
      "id": "nginx.1",
      "framework": "marathon",
      "framework_id": "fw-1",
      "agent": "10.0.0.1",
      "agent_id": "4242-S0",
      "health": "",
      "network": "unknown",
      "source": {
       "name": "host",
       "automatic": false,
       "why": "the first of IPSources (netinfo, mesos, host) that gives an address"
      },
      "held": null
     }
    ],
    "givers_more": 0
   }
  ],
  "records_more": 0,
  "candidates": 1,
  "looked_at": 1,
  "nearest": "",
  "alike": [],
  "compared": 0,
  "upstreams": []
 }"""


async def test_a_name_that_exists(get):
    assert (await get("/v1/explain?name=nginx.marathon.mesos&type=a")).short == (200, "application/json", EXPLAINED)


async def test_a_name_that_does_not(get):
    found = json.loads((await get("/v1/explain?name=ngnix.marathon.mesos.")).body)
    assert (found["verdict"], found["exists"], found["alike"]) == ("nxdomain", False, ["nginx.marathon.mesos."])
    found = json.loads((await get("/v1/explain?name=lost.marathon.mesos")).body)
    assert found["reasons"][0]["code"] == "agent-unknown"


NAME = f"400: name: expected a name of up to {asking.MAX_EXPLAINED} characters"


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", NAME),
        ("?name=", NAME),
        ("?type=A", NAME),
        (f"?name={'a' * (asking.MAX_EXPLAINED + 1)}", NAME),
        ("?name=x&type=B", "400: type: expected a type such as A, AAAA, SRV or TYPE65, found 'B'"),
        ("?name=x&type=TYPE65536", "400: type: expected a type such as A, AAAA, SRV or TYPE65, found 'TYPE65536'"),
    ],
)
async def test_questions_that_are_none(get, query, body):
    reply = await get(f"/v1/explain{query}")
    assert (reply.status, reply.body) == (400, body)


async def test_it_needs_the_right_to_enumerate(get, cluster):
    cluster.enumeration_on = False
    assert (await get("/v1/explain?name=x")).status == 404


async def test_before_there_are_records(get, cluster):
    cluster.zone.serial = 0
    found = json.loads((await get("/v1/explain?name=x.mesos")).body)
    assert (found["verdict"], found["reasons"][0]["code"]) == ("no state", "no-state")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(octets=st.binary(min_size=1, max_size=60))
async def test_names_of_any_octets(cluster, octets):
    server = HttpServer(lambda: cluster)
    await server.start("127.0.0.1", 0)
    try:
        get = Client(*server.address)
        name = "".join(f"%{octet:02x}" for octet in octets)
        for path in (f"/v1/explain?name={name}", f"/v1/explain?name={name}.mesos"):
            reply = await get(path)
            assert reply.status == 200, reply
            assert json.loads(reply.body)["summary"].isprintable()
    finally:
        await server.stop()
