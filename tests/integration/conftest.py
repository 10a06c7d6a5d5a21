"""What integration tests share: a master, the program, ZooKeeper."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.masters import Master
from tests.integration.program import Program, sample_state
from tests.integration.zookeeper import ZooKeeper


@contextmanager
def leading() -> Generator[Master]:
    serving = Master(("127.0.0.1", 0), b"")
    serving.body = sample_state(serving.endpoint)
    yield serving
    serving.close()


@pytest.fixture
def master() -> Generator[Master]:
    """A leading master with the sample cluster."""
    with leading() as serving:
        yield serving


@pytest.fixture(scope="module")
def shared_master() -> Generator[Master]:
    """The same, one for the tests of a file."""
    with leading() as serving:
        yield serving


@pytest.fixture
def program(master: Master, tmp_path: Path) -> Generator[Program]:
    """The real program, ready, on free ports of 127.0.0.1, with that master."""
    with Program(tmp_path, masters=[master.endpoint]) as running:
        running.wait_ready()
        yield running


@pytest.fixture(scope="module")
def shared_program(shared_master: Master, tmp_path_factory: pytest.TempPathFactory) -> Generator[Program]:
    """The same, one for the tests of a file, which only ask it: to start a program takes most of the time of a short test."""
    with Program(tmp_path_factory.mktemp("program"), masters=[shared_master.endpoint]) as running:
        running.wait_ready()
        yield running


@pytest.fixture(scope="module")
def zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Generator[ZooKeeper]:
    """One for the tests of a file, which leave it running; each has a node of its own."""
    server = ZooKeeper(tmp_path_factory.mktemp("zookeeper"))
    yield server
    server.close()


@pytest.fixture
def masters(zookeeper: ZooKeeper) -> Generator[Any]:
    """The side of the masters: a client of ZooKeeper."""
    with zookeeper.client() as client:
        yield client


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    """A node of the test's own, two levels deep."""
    return f"/dcos/{request.node.name}"
