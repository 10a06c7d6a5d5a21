import logging

import pytest

from mesos_dns import logs
from mesos_dns.logs import RateLimited


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


@pytest.fixture
def root_logger():
    """Puts the root logger back as it was."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield root
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.mark.parametrize(
    ("verbosity", "level"), [(0, logging.WARNING), (1, logging.INFO), (2, logging.DEBUG), (9, logging.DEBUG)]
)
def test_verbosity(root_logger, capsys, verbosity, level):
    logs.configure(verbosity)
    assert root_logger.level == level
    logging.getLogger("mesos_dns.x").error("what %s", "happened")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(" ERROR mesos_dns.x: what happened\n")
