"""When the service manager is told what. Who serves, and the manager, are scripted."""

import asyncio

import pytest
from tests.zone.test_zone import AUTHORITY

from mesos_dns.dns import message as msg
from mesos_dns.supervision import Supervision, is_answered, status_line
from mesos_dns.zone.zone import Zone


class Serving:
    """A generation of so many workers. Each question is answered with the next of `replies`: None if none can be asked, ... for never."""

    def __init__(self, *replies, workers=1, reasons=(), notes=()):
        self.zone = Zone(AUTHORITY)
        self.workers = workers
        self.asked = []
        self._replies = list(replies)
        self._reasons, self._notes = [*reasons], [*notes]

    def ready(self):
        return not self._reasons, self._reasons

    def notes(self):
        return self._notes

    async def ask(self, octets, client):
        self.asked.append((octets, client))
        reply = self._replies.pop(0)
        if reply is ...:
            await asyncio.Event().wait()
        return reply


class Manager:
    is_there, watchdog = True, None

    def __init__(self):
        self.told = []

    def tell(self, assignments):
        self.told.append([*assignments])
        return True


def reply(rcode):
    return bytes((0, 0, 0x84, rcode)) + bytes(8)


@pytest.mark.parametrize(
    ("serving", "alive"),
    [
        (Serving(reply(msg.NOERROR)), True),
        (Serving(reply(msg.REFUSED)), True),
        (Serving(reply(msg.SERVFAIL)), False),
        (Serving(None), False),
        (Serving(b""), False),
        (Serving(...), False),
        (Serving(..., reply(msg.NOERROR), workers=2), True),
        (Serving(reply(msg.SERVFAIL), None, workers=2), False),
        (Serving(workers=0), True),
    ],
)
async def test_it_is_alive_if_one_worker_answers(serving, alive):
    assert await is_answered(serving, 0.05) is alive
    assert [len(octets) for octets, _ in serving.asked] == [12 + 7 + 4] * len(serving.asked)


def test_the_line_for_people():
    assert status_line(Serving(reasons=["no state yet"], notes=["a poll failed"])) == "no state yet; a poll failed"
    serving = Serving(notes=["3 s old"])
    serving.zone.serial = 9
    assert status_line(serving) == "0 names, serial 9; 3 s old"


def test_a_fault_in_the_line_for_people_keeps_nothing_else_from_being_told(caplog):
    manager, serving = Manager(), Serving()
    serving.notes = lambda: 1 / 0
    Supervision(manager, lambda: serving).serving()
    assert manager.told == [["READY"]]
    assert "the line for systemd failed by an internal error" in caplog.text


def test_what_is_told_when():
    manager, serving = Manager(), [None]
    it = Supervision(manager, lambda: serving[0])
    it.reloading()
    it.reloaded()
    assert manager.told == []  # All that belongs to the start.
    serving[0] = Serving()
    it.serving()
    it.reloading()
    it.reloading()
    it.reloaded()
    it.ending(5.0)
    it.serving()
    it.reloading()
    it.reloaded()
    assert manager.told == [
        ["READY", "STATUS"],
        ["RELOADING", "MONOTONIC_USEC", "STATUS"],
        ["RELOADING", "MONOTONIC_USEC", "STATUS"],
        ["READY", "STATUS"],
        ["STOPPING", "EXTEND_TIMEOUT_USEC", "STATUS"],
    ]
