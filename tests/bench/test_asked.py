"""What scrapes and explanations cost, and what it costs that somebody looks on: all that is asked for exists, and is measured."""

from collections.abc import Generator
from pathlib import Path

import pytest
from bench.bed import Cluster
from bench.servers import Server, UnavailableError
from bench.zonefile import ZoneNames
from tests.integration.masters import Master
from tests.integration.program import Program, sample_state, until

from bench import asked, watched


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    master = Master(("127.0.0.1", 0), b"")
    master.body = sample_state(master.endpoint)
    with Program(tmp_path_factory.mktemp("asked"), masters=[master.endpoint], workers=1) as program:
        program.wait_ready()
        assert program.process
        http = f"http://127.0.0.1:{program.http_port}"
        yield Server("ours", program.dns_port, program.process, program.log_file, http)
    master.close()


def cluster(*owners: str) -> Cluster:
    return Cluster(2, None, Path("zone"), ZoneNames("mesos.", {"A": owners}, 2, 2))


def test_all_that_is_asked_for_is_answered(server, monkeypatch):
    monkeypatch.setattr(asked, "REQUESTS", 2)
    for path in asked.paths(cluster("web.marathon.mesos.")).values():
        found = asked._cost(server, path)
        assert found.cpu > 0
        assert found.answer > 0
        assert found.pause > 0


def test_a_name_that_is_not_there_is_near_one_that_is():
    found = asked.paths(cluster("web.marathon.mesos."))
    assert found["an explanation of a name"] == "/v1/explain?name=web.marathon.mesos."
    assert found["an explanation of a name that is not there"] == "/v1/explain?name=we.marathon.mesos."


def test_what_is_not_answered_is_no_figure(server):
    with pytest.raises(UnavailableError, match="/v1/nope: status 404"):
        asked._cost(server, "/v1/nope")


def test_who_looks_on_is_answered(server):
    with watched.looked_at(server.http) as found:
        until(lambda: len(found) > len(watched.PATHS), lambda: str(found))
    assert set(found) == {200}
