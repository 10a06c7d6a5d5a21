"""Questions that come to control over HTTPS: asked over a socket, answered by a responder, whoever fails."""

import asyncio
import socket

import pytest
from tests.cycles import left_by
from tests.serve.asking import ask, make_responder, make_zone, read, texts
from tests.serve.tcp_bed import until

from mesos_dns.serve.request import Transport
from mesos_dns.workers import answering as module
from mesos_dns.workers.answering import Answering
from mesos_dns.workers.protocol import Ack, encode
from mesos_dns.workers.questions import MAX_QUESTIONS, Asking, NoAnswerError

NAME = "chronos.marathon.mesos."
CLIENT = bytes((192, 0, 2, 7))


class Pair:
    """Both sides, connected; `forwarded` is what the worker's side handed on."""

    def __init__(self, responder=None):
        self.responder = responder or make_responder(make_zone())
        self.forwarded = []
        self.asking = Asking()
        self.answering = Answering(self.responder, lambda *forward: self.forwarded.append(forward))

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        await loop.create_connection(lambda: self.asking, sock=ours)
        self.worker, _ = await loop.create_connection(lambda: self.answering, sock=theirs)
        return self

    async def __aexit__(self, *_):
        self.asking.close()
        await until(lambda: self.answering._transport is None and self.asking._transport is None)


async def test_a_question_is_answered():
    async with Pair() as pair:
        reply = read(await pair.asking.ask(ask(NAME), CLIENT))
        assert texts(reply.answer) == [f"{NAME} 60 IN A 1.2.3.11"]
        assert pair.responder.counters["https_queries"] == 1
        assert await pair.asking.ask(b"x", CLIENT) == b""


async def test_policies_know_who_asks_and_how():
    class Noting:
        def judge(self, request):
            noted.append((request.client, request.transport))

    noted = []
    responder = make_responder(make_zone())
    responder.policy = Noting()
    async with Pair(responder) as pair:
        await pair.asking.ask(ask(NAME), CLIENT)
    assert noted == [(CLIENT, Transport.HTTPS)]


async def test_slow_answers_hold_back_nobody():
    async with Pair() as pair:
        slow = asyncio.ensure_future(pair.asking.ask(ask("example.org."), CLIENT))
        assert read(await pair.asking.ask(ask(NAME), CLIENT)).rcode() == 0
        ((forward, limit, send),) = pair.forwarded
        assert (forward.client, limit) == (CLIENT, 65535)
        send(b"the answer")
        assert await slow == b"the answer"


async def test_many_questions_are_answered_in_turns(monkeypatch):
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)
    async with Pair() as pair:
        replies = await asyncio.gather(*(pair.asking.ask(ask(NAME, identifier=n), CLIENT) for n in range(300)))
        assert [read(reply).id for reply in replies] == list(range(300))


async def test_who_waits_for_a_worker_that_ends_is_told():
    async with Pair() as pair:
        waiting = asyncio.ensure_future(pair.asking.ask(ask("example.org."), CLIENT))
        await until(lambda: pair.forwarded)
        pair.worker.abort()
        with pytest.raises(NoAnswerError):
            await waiting
        with pytest.raises(NoAnswerError):
            await pair.asking.ask(ask(NAME), CLIENT)
        # Its upstream answers all the same.
        pair.forwarded[0][2](b"too late")
    assert repr(pair.asking) == "Asking(closed, waiting=0)"


async def test_so_many_questions_wait_and_no_more():
    async with Pair() as pair:
        waiting = [asyncio.ensure_future(pair.asking.ask(ask("example.org."), CLIENT)) for _ in range(MAX_QUESTIONS)]
        await asyncio.sleep(0)
        with pytest.raises(NoAnswerError):
            await pair.asking.ask(ask(NAME), CLIENT)
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)
        assert read(await pair.asking.ask(ask(NAME), CLIENT)).rcode() == 0


@pytest.mark.parametrize("octets", [b"\xff\xff\xff\xff", encode(Ack(b"\0", 1))], ids=["no frame", "another frame"])
async def test_a_side_that_cannot_be_understood_is_left(octets, caplog):
    async with Pair() as pair:
        pair.worker.write(octets)
        await until(lambda: not pair.asking.is_open)
        assert caplog.records[0].getMessage().startswith("a worker is asked no more questions that come over HTTPS: ")
    async with Pair() as pair:
        pair.asking._transport.write(b"\xff\xff\xff\xff")
        await until(lambda: not pair.asking.is_open)
        assert caplog.records[1].getMessage().startswith("questions that come over HTTPS are taken no more: ")


async def test_questions_leave_nothing_to_the_garbage_collector():
    async with Pair() as pair:

        async def answered():
            await pair.asking.ask(ask(NAME), CLIENT)

        async def cancelled():
            task = asyncio.ensure_future(pair.asking.ask(ask("example.org."), CLIENT))
            await until(lambda: pair.forwarded)
            task.cancel()
            await asyncio.wait([task])
            pair.forwarded.pop()[2](b"too late")

        assert await left_by(answered) == {}
        assert await left_by(cancelled) == {}
