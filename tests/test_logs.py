import io
import json
import logging
import os
import threading

import pytest

from mesos_dns import logs
from mesos_dns.logs import JsonFormatter, LineFormatter, QueueingHandler, RateLimited, is_journal, write_all


class Clock:
    """Stands still until told otherwise."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.DEBUG)
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


def test_the_first_message_of_each_kind_is_logged(clock, lines):
    limited = RateLimited(logging.getLogger("x"), clock=clock)
    limited.warning("one", "one %d", 1)
    limited.log(logging.ERROR, "two", "two")
    assert lines() == [("WARNING", "one 1"), ("ERROR", "two")]


def test_repetitions_are_swallowed_and_counted(clock, lines):
    limited = RateLimited(logging.getLogger("x"), interval=60, clock=clock)
    for n in range(5):
        limited.warning("key", "message %d", n)
    clock.now += 59.9
    limited.warning("key", "message 5")
    assert lines() == [("WARNING", "message 0")]
    clock.now += 0.1
    limited.warning("key", "message %d", 6)
    assert lines()[1:] == [("WARNING", "message 6 (5 more of this kind since the last such line)")]
    clock.now += 60
    limited.warning("key", "message 7")
    assert lines()[2:] == [("WARNING", "message 7")]


def test_keys_are_bounded_and_the_oldest_is_forgotten(clock, lines):
    limited = RateLimited(logging.getLogger("x"), max_keys=2, clock=clock)
    for key in ("a", "b", "c", "b", "a"):
        limited.warning(key, key)
    assert [text for _, text in lines()] == ["a", "b", "c", "a"]
    assert repr(limited) == "RateLimited('x', keys=2)"


def test_what_is_over_is_told_once_as_loud_as_it_began(clock, lines):
    limited = RateLimited(logging.getLogger("x"), interval=60, clock=clock)
    limited.over("up", "never was down")
    assert limited.log(logging.ERROR, "up", "down") is True
    assert limited.log(logging.ERROR, "up", "down") is False
    limited.over("up", "%s again", "up")
    limited.over("up", "up again")
    assert lines() == [("ERROR", "down"), ("ERROR", "up again")]
    # Flapping is told as rarely as failing.
    assert limited.warning("up", "down") is False
    limited.over("up", "up again")
    clock.now += 60
    limited.warning("up", "down")
    limited.over("up", "up again")
    assert lines()[2:] == [
        ("WARNING", "down (2 more of this kind since the last such line)"),
        ("WARNING", "up again"),
    ]


def test_a_forgotten_failure_is_not_over(clock, lines):
    limited = RateLimited(logging.getLogger("x"), max_keys=1, clock=clock)
    limited.warning("a", "a")
    limited.warning("b", "b")
    limited.over("a", "a is over")
    assert [text for _, text in lines()] == ["a", "b"]


@pytest.fixture
def root_logger():
    """Puts the root logger back as it was."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield root
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()  # and its thread ends
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.mark.parametrize(
    ("verbosity", "level", "line"),
    [
        (0, logging.WARNING, " ERROR what happened\n"),
        (1, logging.INFO, " ERROR what happened\n"),
        (2, logging.DEBUG, " ERROR mesos_dns.x: what happened\n"),
        (9, logging.DEBUG, " ERROR mesos_dns.x: what happened\n"),
    ],
)
def test_verbosity(root_logger, capsys, verbosity, level, line):
    logs.configure(verbosity)
    assert root_logger.level == level
    logging.getLogger("mesos_dns.x").error("what %s", "happened")
    logs.flush()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(line)


def test_a_second_configuration_keeps_the_queue(root_logger, capsys):
    logs.configure(0)
    (first,) = root_logger.handlers
    logs.configure(1)
    assert root_logger.handlers == [first]
    logging.getLogger("mesos_dns.x").info("heard")
    logs.flush()
    assert capsys.readouterr().err.endswith(" INFO heard\n")


def test_without_standard_error_nothing_is_written(root_logger, monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    logs.configure(0)
    logging.getLogger("mesos_dns.x").error("into the void")
    logs.flush()
    assert len(root_logger.handlers) == 1


# --- lines -----------------------------------------------------------------------------------------


def record(message, *args, level=logging.WARNING, exc_info=None):
    return logging.LogRecord("mesos_dns.x", level, "x.py", 1, message, args, exc_info)


def caught():
    try:
        raise ValueError("why")  # noqa: TRY301 - only what was raised has a traceback
    except ValueError as error:
        return type(error), error, error.__traceback__


def plain(message, *args):
    return LineFormatter(journal=False, modules=False).format(record(message, *args)).split(" ", 2)[2]


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("one", "WARNING one"),
        ("one\ntwo\n", "WARNING one | two"),
        ("a\x1b[2Jb\tc", r"WARNING a\x1b[2Jb\tc"),
        ("\u2028x\u202ey", r"WARNING  | x\u202ey"),
        ("日本", "WARNING 日本"),
    ],
)
def test_an_event_is_one_line(message, line):
    assert plain("%s", message) == line


def test_a_fault_of_ours_has_its_traceback():
    lines = LineFormatter(journal=False, modules=False).format(record("failed", exc_info=caught())).splitlines()
    assert lines[0].endswith(" WARNING failed")
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: why"


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.CRITICAL, "<3>"),
        (logging.ERROR, "<3>"),
        (logging.WARNING, "<4>"),
        (logging.INFO, "<6>"),
        (logging.DEBUG, "<7>"),
    ],
)
def test_the_journal_gets_priorities_and_no_time(level, priority):
    line = LineFormatter(journal=True, modules=False).format(record("what", level=level))
    assert line == f"{priority}{logging.getLevelName(level)} what"


def test_programs_get_an_object_on_one_line():
    event = record("%s", "what\n\x1b\udcff", exc_info=caught())
    event.created, event.msecs = 1700000000.25, 250.0
    line = JsonFormatter(journal=False).format(event)
    assert line.isascii()
    assert "\n" not in line
    found = json.loads(line)
    assert found.pop("traceback").endswith("ValueError: why")
    assert found == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "warning",
        "message": "what\n\x1b\udcff",
        "module": "mesos_dns.x",
        "pid": os.getpid(),
    }
    assert JsonFormatter(journal=True).format(record("what")).startswith('<4>{"time": ')


def test_each_line_of_a_traceback_has_its_priority_in_the_journal():
    text = LineFormatter(journal=True, modules=False).format(record("failed", level=logging.ERROR, exc_info=caught()))
    assert all(line.startswith("<3>") for line in text.splitlines())


def test_the_journal_is_known_by_its_descriptor(tmp_path):
    with (tmp_path / "journal").open("w") as stream:
        found = os.fstat(stream.fileno())
        assert is_journal(stream, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
        assert not is_journal(stream, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"})
        assert not is_journal(stream, {"JOURNAL_STREAM": ""})
        assert not is_journal(stream, {})
    assert not is_journal(stream, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})  # closed
    assert not is_journal(io.StringIO(), {"JOURNAL_STREAM": "1:2"})


# --- a standard error that nobody reads ------------------------------------------------------------


class Reader:
    """Takes what is written while it is `open`; `waiting` is set when a write waits for that."""

    def __init__(self):
        self.open = threading.Event()
        self.waiting = threading.Event()
        self.gone = False
        self.lines = []

    def write(self, octets):
        self.waiting.set()
        assert self.open.wait(30)
        if self.gone:
            raise BrokenPipeError
        self.lines += octets.decode().splitlines()


@pytest.fixture
def reader():
    return Reader()


@pytest.fixture
def handler(reader, monkeypatch):
    monkeypatch.setattr(logs, "FLUSH_SECONDS", 0.05)
    made = QueueingHandler(reader.write, limit=50)
    made.setFormatter(logging.Formatter("%(message)s"))
    yield made
    reader.open.set()
    made.close()


def drain(handler, monkeypatch):
    monkeypatch.setattr(logs, "FLUSH_SECONDS", 30)
    handler.flush()


def test_who_logs_does_not_wait_and_what_does_not_fit_is_dropped_and_counted(handler, reader, monkeypatch):
    handler.handle(record("the first"))
    assert reader.waiting.wait(30)  # and writes it until somebody reads
    for n in range(100):
        handler.handle(record("line %02d", n))
    reader.open.set()
    drain(handler, monkeypatch)
    told = ["the first", *(f"line {n:02d}" for n in range(5))]
    assert reader.lines == [*told, "95 lines were dropped, nobody reads standard error"]
    handler.handle(record("and on"))
    drain(handler, monkeypatch)
    assert reader.lines[-1] == "and on"


def test_the_number_of_dropped_lines_stands_where_they_are_missing(handler, reader, monkeypatch):
    reader.open.set()
    handler.handle(record("x"))
    drain(handler, monkeypatch)
    reader.open.clear()
    reader.waiting.clear()
    handler.handle(record("a" * 45))
    assert reader.waiting.wait(30)
    handler.handle(record("b" * 45))
    reader.open.set()
    drain(handler, monkeypatch)
    handler.handle(record("c"))
    drain(handler, monkeypatch)
    assert reader.lines == ["x", "a" * 45, "1 lines were dropped, nobody reads standard error", "c"]


def test_a_line_that_is_longer_than_the_queue_is_written_alone(handler, reader, monkeypatch):
    reader.open.set()
    handler.handle(record("x" * 1000))
    drain(handler, monkeypatch)
    assert reader.lines == ["x" * 1000]


def test_a_reader_that_is_gone_costs_its_lines_only(handler, reader, monkeypatch):
    reader.gone = True
    reader.open.set()
    handler.handle(record("a"))
    handler.handle(record("b"))
    drain(handler, monkeypatch)
    reader.gone = False
    handler.handle(record("c"))
    drain(handler, monkeypatch)
    assert reader.lines == ["2 lines were dropped, nobody reads standard error", "c"]


def test_flushing_waits_a_bounded_time_and_not_again(handler, reader, monkeypatch):
    handler.handle(record("a"))
    assert reader.waiting.wait(30)
    handler.flush()
    monkeypatch.setattr(logs, "FLUSH_SECONDS", 3600)
    handler.flush()  # returns at once: nothing was written since
    reader.open.set()
    with handler._changed:
        assert handler._changed.wait_for(lambda: not handler._writing, 30)
    assert reader.lines == ["a"]
    assert repr(handler) == "QueueingHandler(waiting=0, dropped=0)"


def test_a_message_that_does_not_fit_its_arguments_is_no_end(handler, reader, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    reader.open.set()
    handler.handle(record("%d %d", 1))
    handler.handle(record("on"))
    drain(handler, monkeypatch)
    assert reader.lines == ["on"]


def test_a_pipe_that_does_not_block_is_waited_for():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    octets = bytes(range(256)) * 1000  # more than a pipe holds
    thread = threading.Thread(target=write_all, args=(writing, octets))
    thread.start()
    taken = b""
    while len(taken) < len(octets):
        taken += os.read(reading, 65536)
    thread.join(30)
    assert taken == octets
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        write_all(writing, b"x")
    os.close(writing)
