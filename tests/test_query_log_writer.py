"""Where a query log is written: files that grow, are moved away and are full; programs that come, go and hang."""

import os
import resource
import socket
import stat
import subprocess
import threading
from itertools import count

import pytest
from tests.integration.program import need, until
from tests.querylog.given import answered

from mesos_dns import query_log_writer as module
from mesos_dns.query_log_writer import MOST_WAITING, QueryLogWriter
from mesos_dns.querylog import dnstap, framestream
from mesos_dns.querylog.destination import Destination, destination
from mesos_dns.querylog.framestream import Control

MEGABYTE = 1024 * 1024
FRAME = framestream.frame(dnstap.payload(answered()))


@pytest.fixture
def writer():
    """Makes writers, and closes them."""
    made = []

    def make(text, most=MEGABYTE):
        made.append(QueryLogWriter(text if isinstance(text, Destination) else destination(text), most))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def at_once(monkeypatch):
    """The next try follows at once."""
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)


def written(writer, records):
    until(lambda: writer.written + writer.dropped >= records, lambda: f"{writer.written}, {writer.dropped}")


def read_by_bind(path):
    done = subprocess.run([need("dnstap-read"), path], check=True, capture_output=True, text=True)
    return len(done.stdout.splitlines())


# --- files -------------------------------------------------------------------------------------


def test_lines_are_appended(writer, tmp_path):
    path = tmp_path / "q.json"
    path.write_text("before\n")
    one = writer(f"json:{path}")
    one.put(b"a\nb\n", 2)
    one.put(b"c\n", 1)
    one.close()
    assert path.read_text() == "before\na\nb\nc\n"
    assert (one.written, one.dropped, one.trouble) == (3, 0, "")


def test_a_file_is_not_for_everybody(writer, tmp_path):
    path = tmp_path / "q.json"
    one = writer(f"json:{path}")
    one.put(b"a\n", 1)
    one.close()
    assert stat.S_IMODE(path.stat().st_mode) & 0o137 == 0


def test_nothing_is_opened_before_there_is_something_to_write(writer, tmp_path):
    writer(f"json:{tmp_path / 'q.json'}").close()
    assert not list(tmp_path.iterdir())


def test_a_full_file_is_kept_and_another_one_begun(writer, tmp_path):
    path = tmp_path / "q.json"
    one = writer(f"json:{path}", 10)
    for n in range(7):
        one.put(b"%d--\n" % n, 1)
    one.close()
    assert path.read_text() == "6--\n"
    assert (tmp_path / "q.json.1").read_text() == "4--\n5--\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["q.json", "q.json.1"]


def test_what_is_larger_than_a_file_may_be_is_written_all_the_same(writer, tmp_path):
    path = tmp_path / "q.json"
    one = writer(f"json:{path}", 10)
    one.put(b"0123456789abcdef\n", 1)
    one.put(b"x\n", 1)
    one.close()
    assert path.read_text() == "x\n"
    assert (tmp_path / "q.json.1").read_text() == "0123456789abcdef\n"


def test_dnstap_in_a_file_is_a_stream_with_beginning_and_end(writer, tmp_path):
    path = tmp_path / "q.tap"
    for _ in range(2):
        one = writer(f"dnstap:{path}")
        one.put(FRAME * 3, 3)
        one.close()
        assert read_by_bind(path) == 3
    # A stream that has ended is kept.
    assert read_by_bind(f"{path}.1") == 3


def test_dnstap_in_full_files(writer, tmp_path):
    path = tmp_path / "q.tap"
    one = writer(f"dnstap:{path}", 3 * len(FRAME))
    for _ in range(5):
        one.put(FRAME, 1)
    one.close()
    assert (read_by_bind(path), read_by_bind(f"{path}.1")) == (1, 2)


def test_a_file_that_was_moved_away_is_made_anew(writer, tmp_path):
    path = tmp_path / "q.json"
    one = writer(f"json:{path}")
    one.put(b"a\n", 1)
    written(one, 1)
    path.rename(tmp_path / "rotated")
    one.put(b"b\n", 1)
    written(one, 2)
    one.renew()
    one.put(b"c\n", 1)
    one.close()
    assert (tmp_path / "rotated").read_text() == "a\nb\n"
    assert path.read_text() == "c\n"


# --- files that cannot be written ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("json:/nowhere/q.json", "No such file or directory"),
        ("dnstap:/proc/self/q.tap", "No such file or directory"),
        ("json:/dev/full", "No space left on device"),
        ("json:/", "Is a directory"),
        ("json+unix:/nowhere/q.sock", "No such file or directory"),
    ],
)
def test_what_cannot_be_written_is_dropped_and_told(writer, caplog, text, why):
    form, _, path = text.partition(":")
    one = writer(Destination(form.startswith("dnstap"), form.endswith("unix"), path))
    one.put(b"x\n", 3)
    one.put(b"x\n", 4)
    written(one, 7)
    assert (one.written, one.dropped, one.trouble) == (0, 7, f"{text}: {why}")
    assert caplog.messages == [f"query log: {text}: {why}; what it should have is dropped"]


def test_a_folder_that_may_not_be_written(writer, tmp_path):
    if os.geteuid() == 0:
        path = "/sys/q.json"
    else:
        (tmp_path / "closed").mkdir(mode=0o500)
        path = f"{tmp_path}/closed/q.json"
    one = writer(f"json:{path}")
    one.put(b"x\n", 1)
    written(one, 1)
    assert one.dropped == 1
    assert one.trouble.endswith((": Permission denied", ": Read-only file system", ": Operation not permitted"))


def test_a_destination_that_comes_back_is_written_to_again(writer, tmp_path, caplog, at_once):  # noqa: ARG001
    path = tmp_path / "later" / "q.json"
    one = writer(f"json:{path}")
    one.put(b"a\n", 1)
    written(one, 1)
    path.parent.mkdir()
    one.put(b"b\n", 1)
    one.close()
    assert path.read_text() == "b\n"
    assert (one.written, one.dropped, one.trouble) == (1, 1, "")
    assert caplog.messages[-1] == f"query log: json:{path} is written to again"


def test_a_disk_that_gets_full_has_whole_records_only(writer, tmp_path, monkeypatch, at_once):  # noqa: ARG001
    """As much of a record as fits is taken back: what follows must be readable."""
    path = tmp_path / "q.tap"
    real, room = os.write, [len(FRAME) * 2 + 100]

    def write(fd, octets):
        octets = bytes(octets)[: room[0]]
        if not octets:
            raise OSError(28, "No space left on device")
        room[0] -= len(octets)
        return real(fd, octets)

    monkeypatch.setattr(module.os, "write", write)
    one = writer(f"dnstap:{path}")
    for _ in range(3):
        one.put(FRAME, 1)
    written(one, 3)
    assert (one.written, one.dropped) == (2, 1)
    assert path.stat().st_size == len(framestream.control(Control.START, dnstap.CONTENT_TYPE)) + 2 * len(FRAME)
    room[0] = MEGABYTE
    one.put(FRAME, 1)
    one.close()
    assert (read_by_bind(path), read_by_bind(f"{path}.1")) == (1, 2)


def test_a_limit_of_file_sizes_costs_records_and_not_the_program(writer, tmp_path, at_once):  # noqa: ARG001
    path = tmp_path / "q.json"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    one = writer(f"json:{path}")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        for _ in range(12):
            one.put(b"x" * 99 + b"\n", 1)
        written(one, 12)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (one.written, one.dropped) == (10, 2)
    assert path.stat().st_size == 1000


def test_a_destination_that_hangs_holds_up_nobody(writer, tmp_path, monkeypatch):
    """What waits is bounded, and the end of the program does not wait for ever."""
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.0)
    hangs, goes_on = threading.Event(), threading.Event()

    def write_all(*_):
        hangs.set()
        goes_on.wait(60)

    monkeypatch.setattr(module, "_write_all", write_all)
    one = writer(f"json:{tmp_path / 'q.json'}")
    one.put(b"x", 1)
    assert hangs.wait(40)
    part = bytes(MOST_WAITING // 4)
    for _ in range(6):
        one.put(part, 10)
    assert (one.dropped, one._size) == (20, MOST_WAITING)
    one.close()
    goes_on.set()
    one._thread.join()


# --- programs at a Unix socket -------------------------------------------------------------------


class Reader:
    """A program that listens at a Unix socket, and takes what comes."""

    def __init__(self, path):
        self.path = path
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._listening.settimeout(40)

    def accept(self):
        connection, _ = self._listening.accept()
        connection.settimeout(40)
        return connection

    def end(self):
        self._listening.close()
        self.path.unlink()


@pytest.fixture
def reader(tmp_path):
    reader = Reader(tmp_path / "q.sock")
    yield reader
    reader._listening.close()


def received(connection, size):
    octets = b""
    while len(octets) < size:
        more = connection.recv(size - len(octets))
        assert more, octets
        octets += more
    return octets


def test_lines_go_to_a_program(writer, reader):
    one = writer(f"json+unix:{reader.path}")
    one.put(b"a\n", 1)
    with reader.accept() as connection:
        assert received(connection, 2) == b"a\n"
        one.put(b"b\n", 1)
        one.close()
        assert connection.recv(10) == b"b\n"
        assert connection.recv(10) == b""


def test_a_program_that_goes_and_comes_back(writer, reader, caplog, at_once):  # noqa: ARG001
    one = writer(f"json+unix:{reader.path}")
    one.put(b"a\n", 1)
    with reader.accept() as connection:
        received(connection, 2)
    # Nobody knows what the kernel took before it noticed.
    for sent in count(1):
        one.put(b"lost\n", 1)
        written(one, sent + 1)
        if one.dropped:
            break
    assert "Broken pipe; what it should have is dropped" in caplog.text
    one.put(b"b\n", 1)
    with reader.accept() as connection:
        received(connection, 2)
    assert caplog.messages[-1] == f"query log: json+unix:{reader.path} is written to again"


def test_a_program_that_takes_nothing_costs_what_it_does_not_take(writer, reader, monkeypatch):
    monkeypatch.setattr(module, "STALL_SECONDS", 0.1)
    one = writer(f"json+unix:{reader.path}")
    for _ in range(8):
        one.put(bytes(MEGABYTE // 2), 1)
    written(one, 8)
    assert one.dropped > 0
    assert one.trouble == f"json+unix:{reader.path}: it takes nothing for 0 s"


def test_with_dnstap_both_sides_say_what_they_speak(writer, reader):
    one = writer(f"dnstap+unix:{reader.path}")
    one.put(FRAME, 1)
    with reader.accept() as connection:
        ready = framestream.control(Control.READY, dnstap.CONTENT_TYPE)
        assert received(connection, len(ready)) == ready
        connection.sendall(framestream.control(Control.ACCEPT, dnstap.CONTENT_TYPE))
        begins = framestream.control(Control.START, dnstap.CONTENT_TYPE) + FRAME
        assert received(connection, len(begins)) == begins
        ending = threading.Thread(target=one.close)
        ending.start()
        ends = framestream.control(Control.STOP)
        assert received(connection, len(ends)) == ends
        connection.sendall(framestream.control(Control.FINISH))
        ending.join()
    assert one.written == 1


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "it does not speak Frame Streams"),
        (framestream.control(Control.ACCEPT, b"protobuf:other"), "the program there does not take dnstap"),
        (framestream.control(Control.FINISH), "the program there does not take dnstap"),
        (b"", "the program there ended the connection"),
    ],
)
def test_a_program_that_does_not_take_dnstap(writer, reader, said, why):
    one = writer(f"dnstap+unix:{reader.path}")
    one.put(FRAME, 1)
    with reader.accept() as connection:
        received(connection, len(framestream.control(Control.READY, dnstap.CONTENT_TYPE)))
        connection.sendall(said)
    written(one, 1)
    assert one.trouble == f"dnstap+unix:{reader.path}: {why}"


def test_a_program_that_does_not_say_goodbye(writer, reader, monkeypatch, caplog):
    monkeypatch.setattr(module, "STALL_SECONDS", 0.1)
    caplog.set_level("INFO")
    one = writer(f"dnstap+unix:{reader.path}")
    one.put(FRAME, 1)
    with reader.accept() as connection:
        connection.sendall(framestream.control(Control.ACCEPT))
        written(one, 1)
        one.close()
    assert caplog.messages == [f"query log: dnstap+unix:{reader.path} was not ended as it should be: timed out"]


def test_fstrm_captures_it(writer, tmp_path):
    tool, path, taken = need("fstrm_capture"), tmp_path / "q.sock", tmp_path / "taken.tap"
    process = subprocess.Popen(
        [tool, "-t", "protobuf:dnstap.Dnstap", "-u", path, "-w", taken], stderr=subprocess.DEVNULL
    )
    try:
        until(path.exists, lambda: f"no {path}")
        one = writer(f"dnstap+unix:{path}")
        for _ in range(10):
            one.put(FRAME * 10, 10)
        written(one, 100)
        one.close()
        assert (one.written, one.trouble) == (100, "")
    finally:
        process.terminate()
        process.wait(40)
    assert read_by_bind(taken) == 100


def test_what_it_looks_like(tmp_path):
    one = QueryLogWriter(destination(f"json:{tmp_path}/q"), 10)
    assert repr(one) == f"QueryLogWriter(json:{tmp_path}/q, waiting=0)"
    one.close()
