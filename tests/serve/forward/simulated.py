"""Upstreams and clients in virtual time: what `mesos_dns.serve.forward.upstreams` decides, without a socket."""

import heapq
import random
from collections import defaultdict
from itertools import count

from mesos_dns.serve.forward.upstreams import Policy, by_zone

TIMEOUT = 5.0


def make_upstreams(*keys, policy=Policy.SEQUENTIAL, timeout=TIMEOUT):
    return by_zone({b"": keys}, policy, timeout)[b""]


def answering(after):
    return lambda _question, _now: ("answered", after)


def replying(text, after):
    return lambda _question, _now: ("bad", after, text)


def refusing(_question, _now):
    return "refused", 0.0002, "Connection refused"


def silent(_question, _now):
    return None


def until(moment, before, after):
    """One behaviour before a moment, another from then on."""
    return lambda question, now: (before if now < moment else after)(question, now)


class World:
    """A clock, and upstreams that behave: each is a function of question and time that gives what comes back, or None."""

    def __init__(self, upstreams, seed=1, late=0.0, **behaviours):
        self.upstreams = upstreams
        self.behaviours = behaviours
        self.now = 0.0
        self.random = random.Random(seed)
        #: Timers come later than they should by up to so many seconds.
        self.late = late
        #: Moments at which each upstream was sent a question.
        self.sent = defaultdict(list)
        self.clients = []
        self._events = []
        self._numbers = count()

    def at(self, when, act, *args):
        heapq.heappush(self._events, (when, next(self._numbers), act, args))

    def ask(self, when, question):
        client = Client(self, question)
        self.clients.append(client)
        self.at(when, client.start)
        return client

    def run(self, until=float("inf")):
        while self._events and self._events[0][0] <= until:
            self.now, _, act, args = heapq.heappop(self._events)
            act(*args)
        return self

    def state(self, key):
        return next(state for state in self.upstreams.states if state.key == key)

    def status(self, key):
        return self.state(key).status(self.now)


class Client:
    """One question, asked as the module says that it is to be."""

    def __init__(self, world, question):
        self.question = question
        #: The upstream whose answer it got, "bad", "none", or None while it waits.
        self.outcome = None
        self.asked = []
        self._world = world
        self._attempts = None
        self._closed = False
        self._turn = 0

    @property
    def waited(self):
        return self.ended - self.started

    def start(self):
        world = self._world
        self.started = world.now
        self._replied = False
        self._attempts = world.upstreams.plan(world.now, world.random.random, self.question)
        self._go()

    def _go(self):
        world = self._world
        self._turn += 1
        while True:
            state = self._attempts.next(world.now)
            if state is not None:
                self._send(state)
            elif self._attempts.wait == 0:
                self._end("bad" if self._replied else "none")
                return
            assert 0 <= self._attempts.wait <= TIMEOUT
            if self._attempts.wait:
                late = world.late * world.random.random()
                world.at(world.now + self._attempts.wait + late, self._wake, self._turn)
                return

    def _send(self, state):
        world = self._world
        self.asked.append((state.key, world.now - self.started))
        world.sent[state.key].append(world.now)
        if (reply := world.behaviours[state.key](self.question, world.now)) is not None:
            kind, after, *text = reply
            world.at(world.now + after, self._receive, state, kind, text)

    def _wake(self, turn):
        if self.outcome is None and turn == self._turn:
            self._go()

    def _receive(self, state, kind, text):
        if self._closed:
            return
        getattr(self._attempts, kind)(state, self._world.now, *text)
        self._replied |= kind == "bad"
        if self.outcome is None:
            if kind == "answered":
                self._end(state.key)
            else:
                self._go()

    def _end(self, outcome):
        world = self._world
        self.outcome = outcome
        self.ended = world.now
        world.at(world.now + self._attempts.linger(world.now), self._close)

    def _close(self):
        self._closed = True
        self._attempts.close(self._world.now)
