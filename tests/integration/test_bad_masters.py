"""A master that misbehaves never costs an answer."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration import client
from tests.integration.masters import Master
from tests.integration.program import Program, sample_state, until

GOOD_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Socket:
    """Plays a master that does to each connection what `act` says."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.endpoint: tuple[str, int] = self._listening.getsockname()
        self.act: Callable[[socket.socket], None] = lambda _: None
        self.seen = 0
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            try:
                connection.recv(65536)
                self.act(connection)
            except OSError:
                pass
            self.seen += 1
            self._open.append(connection)

    def close(self) -> None:
        self._listening.close()
        for connection in self._open:
            connection.close()


@pytest.fixture
def rogue() -> Iterator[Socket]:
    one = Socket()
    yield one
    one.close()


def whole(body: bytes) -> Callable[[socket.socket], None]:
    def act(connection: socket.socket) -> None:
        connection.sendall(GOOD_HEAD % len(body) + body)
        connection.close()

    return act


def hang(_: socket.socket) -> None:
    """Says nothing and stays: `stateTimeoutSeconds` ends it."""


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def error_500(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
    connection.close()


def cut(connection: socket.socket) -> None:
    body = sample_state(("127.0.0.1", 5050))
    connection.sendall(GOOD_HEAD % len(body) + body[: len(body) // 2])
    connection.close()


BAD = {
    "hangs": hang,
    "resets": reset,
    "500": error_500,
    "HTML": whole(b"<html><body>It works!</body></html>"),
    "half JSON": whole(sample_state(("127.0.0.1", 5050))[:500]),
    "cut in the middle": cut,
    "empty body": whole(b""),
    "another JSON": whole(b'["not", "a", "state"]'),
    "null": whole(b"null"),
}


@pytest.fixture(scope="module")
def fickle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Socket, Program]]:
    """A master that behaves well between the tests, and the program."""
    master = Socket()
    master.act = whole(sample_state(master.endpoint))
    with Program(tmp_path_factory.mktemp("program"), masters=[master.endpoint], stateTimeoutSeconds=1) as program:
        program.wait_ready()
        yield master, program
        assert program.end() == 0
        assert "Traceback" not in program.log()
    master.close()


@pytest.mark.parametrize("how", BAD)
def test_old_answers_stay(fickle: tuple[Socket, Program], how: str) -> None:
    master, program = fickle
    master.act = BAD[how]
    seen = master.seen
    until(lambda: master.seen >= seen + 2, lambda: f"not asked again: {program.log()}")
    found = client.ask(program.dns, "web.marathon.mesos.", "A")
    assert [text.split()[-1] for text in found["answer"]] == ["10.2.0.1", "10.2.0.2"]
    assert program.get("/readyz")[0] == 200

    # And when it has come to its senses, what is new is taken.
    name = f"after-{how.replace(' ', '-').lower()}"
    master.act = whole(sample_state(master.endpoint, **{name: "10.9.9.9"}))
    until(
        lambda: client.ask(program.dns, f"{name}.marathon.mesos.", "A").get("answer"),
        lambda: f"never recovered: {program.log()[-2000:]}",
    )


def test_one_broken_task_among_many_costs_itself_only(master: Master, tmp_path: Path) -> None:
    good = sample_state(master.endpoint, other="10.9.9.9")
    master.body = good.replace(b'"id": "other.1"', b'"id": {"no": "text"}').replace(b'"10.9.9.9"', b"17")
    with Program(tmp_path, masters=[master.endpoint]) as program:
        program.wait_ready()
        found = client.ask(program.dns, "web.marathon.mesos.", "A")
        assert [text.split()[-1] for text in found["answer"]] == ["10.2.0.1", "10.2.0.2"]


def test_the_next_master_is_asked(master: Master, rogue: Socket, tmp_path: Path) -> None:
    rogue.act = reset
    with Program(tmp_path, masters=[rogue.endpoint, master.endpoint]) as program:
        program.wait_ready()
        assert client.ask(program.dns, "master1.mesos.", "A")["rcode"] == "NOERROR"
