"""Readers that are called within the selector, beside everything else that an event loop does."""

import asyncio
import logging
import os
import signal
import socket
import time

import pytest

from mesos_dns.serve.loop import MOST_ROUNDS, DirectEventLoop, DirectSelector, add_reader, remove_reader


class Echo:
    """A direct reader that counts how often it is called, and by whom."""

    def __init__(self, goes_on=True):
        self.ours, self.peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ours.setblocking(False)
        self.goes_on = goes_on
        self.read, self.told = [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ours.close()
        self.peer.close()

    def __call__(self, now=0.0, /):
        self.read.append(self.ours.recv(100))
        self.told.append(now)
        return self.goes_on

    def fileno(self):
        return self.ours.fileno()


@pytest.fixture
def runner():
    with asyncio.Runner(loop_factory=DirectEventLoop) as runner:
        yield runner


def selecting(echo):
    selector = DirectSelector()
    selector.register(echo.fileno(), 1, "data")
    selector.add_direct(echo.fileno(), echo)
    return selector


def test_what_waits_is_read_until_nothing_is_left():
    with Echo() as echo:
        selector = selecting(echo)
        for n in range(5):
            echo.peer.send(b"%d" % n)
        assert selector.select(0.01) == []
        assert echo.read == [b"0", b"1", b"2", b"3", b"4"]
        selector.close()


def test_without_time_each_waiting_reader_is_called_once():
    with Echo() as echo:
        selector = selecting(echo)
        echo.peer.send(b"1")
        echo.peer.send(b"2")
        assert selector.select(0) == []
        assert echo.read == [b"1"]
        assert selector.select(-1) == []
        assert echo.read == [b"1", b"2"]
        selector.close()


def test_a_reader_that_scheduled_something_gives_the_loop_its_turn():
    with Echo(goes_on=False) as echo:
        selector = selecting(echo)
        echo.peer.send(b"1")
        echo.peer.send(b"2")
        assert selector.select(None) == []
        assert echo.read == [b"1"]
        selector.close()


def test_a_reader_without_end_gives_the_loop_its_turn_now_and_then():
    with Echo() as echo:
        selector = selecting(echo)

        def again(now, /):
            echo.peer.send(b"more")
            return echo(now)

        selector.add_direct(echo.fileno(), again)
        echo.peer.send(b"first")
        assert selector.select(None) == []
        assert len(echo.read) == MOST_ROUNDS
        selector.close()


def test_others_that_are_ready_are_returned_at_once():
    with Echo() as echo, Echo() as other:
        selector = selecting(echo)
        key = selector.register(other.fileno(), 1, "other")
        for _ in range(3):
            echo.peer.send(b"x")
        other.peer.send(b"y")
        assert selector.select(None) == [(key, 1)]
        assert echo.read == [b"x"]
        writer = selector.register(other.peer.fileno(), 2, "writer")
        assert sorted(selector.select(None)) == sorted([(key, 1), (writer, 2)])
        selector.close()


def test_a_reader_that_is_removed_is_an_ordinary_one():
    with Echo() as echo:
        selector = selecting(echo)
        selector.remove_direct(echo.fileno())
        selector.remove_direct(echo.fileno())
        echo.peer.send(b"x")
        assert [key.data for key, _ in selector.select(None)] == ["data"]
        assert repr(selector) == "DirectSelector(direct=0)"
        selector.close()


def test_a_reader_that_fails_is_reported_and_the_loop_goes_on(caplog):
    with Echo() as echo:
        selector = selecting(echo)
        selector.add_direct(echo.fileno(), lambda _: echo.ours.recv(100) and 1 / 0)
        echo.peer.send(b"x")
        with caplog.at_level(logging.ERROR):
            assert selector.select(None) == []
        assert "reading from a socket failed" in caplog.text
        selector.close()


def test_a_reader_is_told_when_it_was_found_ready_and_that_the_next_look_follows_at_once():
    with Echo() as echo:
        selector = selecting(echo)
        echo.peer.send(b"1")
        echo.peer.send(b"2")
        begin = time.monotonic()
        selector.select(0.01)
        first, second = echo.told
        assert begin <= first <= second <= time.monotonic()
        selector.close()


@pytest.mark.parametrize("timeout", [0, -1])
def test_a_reader_is_told_that_other_work_waits(timeout):
    with Echo() as echo:
        selector = selecting(echo)
        echo.peer.send(b"1")
        selector.select(timeout)
        assert echo.told == [0.0]
        selector.close()


class Seen(asyncio.Event):
    """Set when so many things have been seen."""

    def __init__(self, count):
        super().__init__()
        self.count, self.things = count, []

    def add(self, thing):
        self.things.append(thing)
        if len(self.things) == self.count:
            self.set()


def test_timers_signals_and_other_threads_are_served_during_a_flood(runner):
    with Echo() as echo:

        def again(now, /):
            echo.peer.send(b"more")
            return echo(now)

        async def flood():
            loop, seen = asyncio.get_running_loop(), Seen(3)
            loop.add_signal_handler(signal.SIGUSR1, seen.add, "signal")
            add_reader(echo.fileno(), again)
            echo.peer.send(b"first")
            loop.call_later(0.02, seen.add, "timer")
            os.kill(os.getpid(), signal.SIGUSR1)
            await loop.run_in_executor(None, lambda: loop.call_soon_threadsafe(seen.add, "thread"))
            async with asyncio.timeout(30):
                await seen.wait()
            remove_reader(echo.fileno())
            loop.remove_signal_handler(signal.SIGUSR1)
            return seen.things

        assert sorted(runner.run(flood())) == ["signal", "thread", "timer"]
        assert len(echo.read) > 100


async def test_in_another_loop_a_reader_is_an_ordinary_one():
    with Echo() as echo:
        seen = Seen(1)
        add_reader(echo.fileno(), lambda: seen.add(echo()))
        echo.peer.send(b"x")
        async with asyncio.timeout(30):
            await seen.wait()
        remove_reader(echo.fileno())
        assert echo.told == [0.0]


def test_streams_work_as_in_any_loop(runner):
    async def exchange():
        async def serve(reader, writer):
            writer.write(await reader.readexactly(100_000))
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(bytes(100_000))
        assert await reader.readexactly(100_000) == bytes(100_000)
        writer.close()
        server.close()

    runner.run(exchange())
