"""Changes over HTTP: as one body, and as they happen."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cycles import left_by
from tests.web.given import MESOS, Cluster, connected

from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.web import watching
from mesos_dns.web.watching import BadSerialError, serial_of, wants_events
from mesos_dns.zone import journal as journals
from mesos_dns.zone.journal import Because, Change

TARGET = names.from_text("web-x.marathon.slave.mesos")
WEB = names.from_text("web.marathon.mesos")


def change(serial, name=WEB):
    appeared = ((name, rd.A, b"\xc0\0\2\1"), (name, rd.SRV, rd.srv(0, 80, TARGET)))
    return Change(
        MESOS, serial, 1700000000.25, Because(("task 'web.1' runs",), 2), appeared, ((name, rd.A, b"\xc0\0\2\2"),)
    )


IN_FULL = {
    "serial": 8,
    "zone": "mesos.",
    "at": 1700000000250,
    "because": ["task 'web.1' runs"],
    "because_more": 2,
    "appeared": [
        {"name": "web.marathon.mesos.", "rtype": "A", "rdata": "192.0.2.1"},
        {"name": "web.marathon.mesos.", "rtype": "SRV", "rdata": "0 0 80 web-x.marathon.slave.mesos."},
    ],
    "vanished": [{"name": "web.marathon.mesos.", "rtype": "A", "rdata": "192.0.2.2"}],
    "appeared_more": 0,
    "vanished_more": 0,
}


async def test_what_is_known(get, cluster):
    for serial in (7, 8):
        cluster.note(change(serial))
    reply = await get("/v1/changes?since=7")
    serial = cluster.zone.serial
    assert json.loads(reply.body) == {"since": 7, "serial": serial, "complete": True, "changes": [IN_FULL]}
    assert len(json.loads((await get("/v1/changes")).body)["changes"]) == 2
    assert json.loads((await get("/v1/changes?since=9")).body)["changes"] == []


async def test_the_newest(get, cluster):
    for serial in (7, 8):
        cluster.note(change(serial))
    found = json.loads((await get("/v1/changes?limit=1")).body)
    assert (found["complete"], found["changes"]) == (False, [IN_FULL])
    assert json.loads((await get("/v1/changes?limit=2")).body)["complete"]
    assert (await get("/v1/changes?limit=0")).body == "400: limit: expected a number from 1 to 1000000000, found '0'"


async def test_those_of_one_name(get, cluster):
    other = names.from_text("other.marathon.mesos")
    cluster.note(change(7, other)._replace(vanished=((WEB, rd.A, b"\xc0\0\2\2"),), more_appeared=9))
    cluster.note(change(8, other)._replace(vanished=()))
    (found,) = json.loads((await get("/v1/changes?name=WEB.marathon.mesos")).body)["changes"]
    assert (found["serial"], found["appeared"], found["vanished"]) == (7, [], IN_FULL["vanished"])
    assert (found["appeared_more"], found["vanished_more"]) == (0, 0)
    assert (await get("/v1/changes?name=a..b")).body == "400: name: a label is empty"


@pytest.mark.parametrize("since", ["", "x", "-1", "1.0", "4294967296", "9" * 99, "%C2%B2"])
@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_a_serial_that_is_none(get, since, accept):
    reply = await get(f"/v1/changes?since={since}", Accept=accept)
    assert reply.status == 400
    assert reply.body.startswith("400: since: expected a serial, a number from 0 to 4294967295, found '")


@pytest.mark.parametrize("since", [10, 2**31, 2**32 - 1])
async def test_a_serial_of_the_future_has_nothing_behind_it(get, cluster, since):
    """Somebody who heard the last one of another server, or of this one before its clock was set back."""
    cluster.note(change(8))
    found = json.loads((await get(f"/v1/changes?since={since}")).body)
    assert (found["since"], found["complete"], found["changes"]) == (since, False, [])


@pytest.mark.parametrize("last", [b"x", b"-1", b"4294967296", b"9" * 4000, b"\xff\xfe", b"8, 9", b"\xd9\xa3"])
async def test_a_last_event_that_is_none(get, last):
    request = (
        b"GET /v1/changes HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nLast-Event-ID: %b\r\nConnection: close\r\n\r\n"
        % last
    )
    reply = await get.raw(request)
    assert reply.status == 400
    assert reply.body.startswith("400: since: expected a serial, a number from 0 to 4294967295, found '")


async def test_without_enumeration_there_are_none(get, cluster):
    cluster.enumeration_on = False
    assert (await get("/v1/changes")).status == 404
    assert (await get("/v1/changes", Accept="text/event-stream")).status == 404


@given(st.text() | st.integers().map(str))
def test_any_text_is_a_serial_or_not(text):
    try:
        serial = serial_of(text)
    except BadSerialError as error:
        serial, text = 0, str(error)
    assert 0 <= serial <= 0xFFFFFFFF
    assert text.isprintable()


def test_who_wants_events():
    assert wants_events("text/event-stream")
    assert wants_events("application/json, text/event-stream;q=0.5")
    assert not wants_events(None)
    assert not wants_events("application/json")


# --- as they happen ----------------------------------------------------------------------------


class Watch:
    """A client that reads events. A context manager."""

    def __init__(self, client, *, since=None, path="/v1/changes"):
        self._client = client
        self._last = "" if since is None else f"Last-Event-ID: {since}\r\n"
        self._path = path

    async def __aenter__(self):
        self._connection = connected(self._client.host, self._client.port)
        self.reader, self.writer = await self._connection.__aenter__()
        request = f"GET {self._path} HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\n{self._last}\r\n"
        self.writer.write(request.encode())
        self.head = (await self.block()).lower()
        return self

    async def __aexit__(self, *_):
        await self._connection.__aexit__(None, None, None)

    async def block(self):
        """The lines up to the next empty one."""
        async with asyncio.timeout(10):
            lines = []
            while line := (await self.reader.readline()).decode().rstrip("\r\n"):
                lines.append(line)
            return "\n".join(lines)

    async def change(self):
        """The next change; what comes besides is passed over."""
        while True:
            fields = dict(line.split(": ", 1) for line in (await self.block()).split("\n"))
            if fields.get("event") == "change":
                assert int(fields["id"]) == json.loads(fields["data"])["serial"]
                return json.loads(fields["data"])


async def test_a_watch_begins_now_and_tells_what_happens(get, cluster):
    cluster.note(change(7))
    cluster.zone.serial = 7
    async with Watch(get) as watch:
        assert "200" in watch.head.split("\n")[0]
        assert "content-type: text/event-stream" in watch.head
        assert "cache-control: no-store" in watch.head
        assert await watch.block() == "retry: 2000"
        cluster.note(change(8))
        assert await watch.change() == IN_FULL
        for serial in (9, 10, 11):
            cluster.note(change(serial))
        assert [(await watch.change())["serial"] for _ in range(3)] == [9, 10, 11]


async def test_a_watch_goes_on_where_it_was(get, cluster):
    for serial in (7, 8, 9):
        cluster.note(change(serial))
    async with Watch(get, since=7) as watch:
        assert [(await watch.change())["serial"] for _ in range(2)] == [8, 9]
    async with Watch(get, path="/v1/changes?since=8") as watch:
        assert (await watch.change())["serial"] == 9


async def test_what_is_forgotten_leaves_a_gap(get, cluster, monkeypatch):
    monkeypatch.setattr(journals, "MOST_CHANGES", 2)
    for serial in (7, 8, 9):
        cluster.note(change(serial))
    async with Watch(get, since=2) as watch:
        await watch.block()
        assert await watch.block() == 'event: gap\ndata: {"since":2}'
        assert [(await watch.change())["serial"] for _ in range(2)] == [8, 9]


async def test_a_watch_after_a_serial_of_the_future_goes_on_from_now(get, cluster):
    """A browser that comes back with what another server told it: it is told of the gap, and then of what happens."""
    cluster.note(change(7))
    cluster.zone.serial = 7
    async with Watch(get, since=2**32 - 1) as watch:
        await watch.block()
        assert await watch.block() == 'event: gap\ndata: {"since":4294967295}'
        cluster.note(change(8))
        cluster.zone.serial = 8
        assert (await watch.change())["serial"] == 8


async def test_who_has_gone_makes_room_soon(get, monkeypatch):
    monkeypatch.setattr(watching, "HTTP_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(watching, "MAX_WATCHES", 1)
    async with Watch(get):
        pass
    heads = []
    async with asyncio.timeout(10):
        while not heads or " 503 " in heads[-1]:
            async with Watch(get) as another:
                heads.append(another.head)
    assert " 200 " in heads[-1]


async def test_silence_is_filled(get, monkeypatch):
    monkeypatch.setattr(watching, "HTTP_HEARTBEAT_SECONDS", 0.01)
    async with Watch(get) as watch:
        await watch.block()
        assert await watch.block() == ": still here"


async def test_another_configuration_is_gone_on_with(get, cluster, server):
    other = Cluster(cluster.model, cluster.zone, cluster.counts)
    async with Watch(get) as watch:
        await watch.block()
        server._api._watches._current = lambda: other
        cluster.happened.tell()
        other.journal.add(change(cluster.zone.serial + 1))
        other.happened.tell()
        assert (await watch.change())["serial"] == cluster.zone.serial + 1


async def test_watches_are_bounded(get, monkeypatch):
    monkeypatch.setattr(watching, "MAX_WATCHES", 1)
    async with Watch(get):
        reply = await get("/v1/changes", Accept="text/event-stream")
        assert (reply.status, reply.body[:27]) == (503, "503: 1 clients watch alread")


async def test_who_goes_away_leaves_nothing(get, cluster):
    serials = iter(range(100, 1000))

    async def watch_and_go():
        async with Watch(get) as watch:
            await watch.block()
            cluster.note(change(next(serials)))
            await watch.change()
        cluster.note(change(next(serials)))

    assert await left_by(watch_and_go, transports=False) == {}
