"""`agent` beside `slave`, and `auto`, through the whole program."""

import json
from pathlib import Path
from typing import Any

from tests.integration import client
from tests.integration.masters import Master
from tests.integration.program import Program, sample_state


def answers(program: Program, name: str, rrtype: str) -> list[str]:
    """The records, each with its owner."""
    return sorted(client.ask(program.dns, name, rrtype).get("answer", ()))


def test_names_of_agents_have_two_spellings(master: Master, tmp_path: Path) -> None:
    master.body = sample_state(master.endpoint)
    with Program(tmp_path, masters=[master.endpoint]) as program:
        program.wait_ready()
        for name, rrtype, count in [
            ("web.marathon.{}.mesos.", "A", 2),
            ("_web._tcp.marathon.{}.mesos.", "SRV", 2),
            ("{}.mesos.", "A", 2),
            ("nobody.marathon.{}.mesos.", "A", 0),
        ]:
            old = answers(program, name.format("slave"), rrtype)
            # Again, since the second answer may come from the response cache.
            for _ in range(3):
                new = answers(program, name.format("agent"), rrtype)
                assert [one.split()[-1] for one in new] == [one.split()[-1] for one in old]
            assert len(old) == count
        assert [one.split()[-1] for one in answers(program, "agent.mesos.", "DNAME")] == ["slave.mesos."]
        _, listed = program.get("/v1/hosts/web.marathon.agent.mesos")
        assert {one["ip"] for one in json.loads(listed)} == {"10.1.0.1", "10.1.0.2"}


def test_auto_tells_a_bridge_from_an_overlay(master: Master, tmp_path: Path) -> None:
    document: dict[str, Any] = json.loads(sample_state(master.endpoint, db="10.9.0.1"))
    web, _, db = document["frameworks"][0]["tasks"]
    mapping = {"host_port": 31000, "container_port": 80, "protocol": "tcp"}
    web["container"] = {"type": "DOCKER", "docker": {"network": "BRIDGE", "port_mappings": [mapping]}}
    web["discovery"] = {"name": "web", "ports": {"ports": [{"number": 80, "name": "http", "protocol": "tcp"}]}}
    db["container"] = {"type": "DOCKER", "docker": {"network": "USER"}, "network_infos": [{"name": "overlay"}]}
    db["discovery"] = {"name": "db", "ports": {"ports": [{"number": 5432, "name": "sql", "protocol": "tcp"}]}}
    document["frameworks"][0]["tasks"] = [web, db]
    master.body = json.dumps(document).encode()
    with Program(tmp_path, masters=[master.endpoint], IPSources=["auto"]) as program:
        program.wait_ready()
        assert [one.split()[-1] for one in answers(program, "web.marathon.mesos.", "A")] == ["10.1.0.1"]
        assert [one.split()[-1] for one in answers(program, "db.marathon.mesos.", "A")] == ["10.9.0.1"]
        (service,) = answers(program, "_http._web._tcp.marathon.mesos.", "SRV")
        assert service.split()[-2] == "31000"
        (service,) = answers(program, "_sql._db._tcp.marathon.mesos.", "SRV")
        assert service.split()[-2] == "5432"
        assert answers(program, "_sql._db._tcp.marathon.slave.mesos.", "SRV") == []
