"""The running program, and BIND with the same zone, held to the same specification: `cases.py`, `probes.py`, and streams of TCP."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.integration.conformance import beds
from tests.integration.conformance.beds import Server
from tests.integration.conformance.cases import CASES
from tests.integration.conformance.judging import Case, complaints
from tests.integration.masters import Master
from tests.integration.program import Program


@pytest.fixture(scope="module")
def master() -> Iterator[Master]:
    serving = Master(("127.0.0.1", 0), b"")
    serving.body = beds.cluster(serving.endpoint)
    yield serving
    serving.close()


@pytest.fixture(scope="module")
def program(master: Master, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("program"), masters=[master.endpoint], recurseOn=False, Workers=2) as running:
        running.wait_ready()
        yield running


@pytest.fixture(scope="module")
def servers(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    with ExitStack() as stack:
        other = stack.enter_context(beds.bind(tmp_path_factory.mktemp("bind"), beds.zone_file(program)))
        yield {"ours": Server("ours", program.dns), "BIND": other}


@pytest.fixture(scope="module", params=["ours", "BIND"])
def server(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Server:
    return servers[request.param]


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{part}: {case.name}") for part, cases in CASES.items() for case in cases])
def test_case(server: Server, case: Case) -> None:
    expected = case.bind if server.name == "BIND" and not isinstance(case.bind, str) else case.reply
    wrong = complaints(case.query, server.ask(case.query, tcp=case.tcp), expected)
    assert not wrong, f"{case.source}: {'; '.join(wrong)}"
