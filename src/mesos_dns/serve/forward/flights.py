"""Usual questions on their way to a sound upstream, with the few steps that these need. Edge: asyncio.

A flight does what `Search` does for any question, as long as nothing unusual happens: its upstream answers in time, with a usual reply
(see `fast`). If anything else happens, a search takes over what is under way.
"""

import time
from collections import Counter, deque
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from mesos_dns.dns import name as names
from mesos_dns.limits import MAX_FORWARDS, MAX_LABEL
from mesos_dns.metrics import Counts, counter
from mesos_dns.serve.forward.cache import ForwardCache
from mesos_dns.serve.forward.fast import FORMS, USUAL_TYPES, Form, Tails, cached_reply, has_room_for_label, usual_reply
from mesos_dns.serve.forward.health import UpstreamState
from mesos_dns.serve.forward.inflight import Question, Timers
from mesos_dns.serve.forward.loops import PROBE_LABEL_SIZE
from mesos_dns.serve.forward.observed import Observed, UpstreamCounts
from mesos_dns.serve.forward.options import Upstream
from mesos_dns.serve.forward.rewrite import answers
from mesos_dns.serve.forward.upstreams import Upstreams
from mesos_dns.serve.keys import BEHIND_NAME, NAME, OPT_OWNER_AND_TYPE

if TYPE_CHECKING:
    from mesos_dns.serve.forward.pool import Port, UdpPool

FORWARDED: Final = counter("forwarded", "Questions that an upstream answered.")
CACHED: Final = counter("forward_cached", "Questions about outside names that were answered from the cache.")

#: Parents of names that were asked for, with the way of their questions; each takes about 400 octets.
MOST_ROUTES: Final = 4096


class Listener(Protocol):
    """Takes questions from clients, and replies for them."""

    def reply(self, peer: Any, message: bytes) -> None:
        """Send `message` to `peer`, with the next `flush` at the latest."""

    def flush(self) -> None:
        """Send what waits to be sent."""

    def known(self, key: bytes, message: bytes, question_end: int, opt: bytes) -> None:
        """What was replied to a query with this key may be replied to all such for a second; it ends in our OPT record `opt`."""


class Keeper(Protocol):
    """Whose questions these are."""

    def take_over(self, flight: "Flight", question: Question) -> None:
        """Have a search go on with `question`, which is what `flight` was. It waits for a call of `start`, a reply, or an error."""

    def start(self, flight: "Flight") -> None:
        """Have the search that took over see whom else to ask."""

    def ask_slowly(self, flight: "Flight") -> None:
        """Have a question asked that could not be sent."""

    def tell_joined(self, flight: "Flight", reply: bytes) -> None:
        """Give the reply to those who joined."""


class Line:
    """What is under way to one upstream."""

    __slots__ = ("answered", "counts", "flights", "state", "to_send", "under_way", "watched")

    def __init__(self, flights: "Flights", state: UpstreamState[Upstream], counts: UpstreamCounts) -> None:
        self.flights = flights
        self.counts = counts
        self.state = state
        self.to_send: list[Flight] = []
        #: In the order in which they were asked; some are over already.
        self.under_way: deque[tuple[Flight, Port, bytes]] = deque()
        #: Whether there is a timer.
        self.watched = False
        #: Usual replies that the state has not been told of.
        self.answered = 0

    def __repr__(self) -> str:
        return f"Line({self.state.key}, under_way={len(self.under_way)})"

    def expired(self) -> None:
        """Part of `inflight.Timed`: it is time to look what is overdue."""
        self.flights.look(self)


class Route(NamedTuple):
    """The way of the questions for all names below `parent` (lower-case wire form)."""

    parent: bytes
    line: Line
    #: The other upstreams of the zone.
    others: tuple[UpstreamState[Upstream], ...]
    zone: bytes
    upstreams: Upstreams[Upstream]
    trusted: bool


class Flight(NamedTuple):
    """A usual question under way."""

    #: Under which the reply is kept (`cache.cache_key`).
    key: bytes
    #: The client's message, and where its question ends.
    octets: bytes
    end: int
    form: Form
    client: bytes
    #: Who took the question, and in a form of its own where the reply goes.
    listener: Listener
    peer: Any
    asked: float
    route: Route

    def message(self, identifier: bytes) -> bytes:
        """What its upstream is asked."""
        form = self.form
        return b"".join((identifier, form.head, self.octets[12 : self.end], form.opt))


_flight: Final = tuple.__new__


class Flights:
    """The flights of one forwarder, whose tables it shares: `pending` has what is asked of upstreams, `clients` how many requests each has there.

    `configured` has all zones that are not simply asked of the closest upstreams above them: own, private and with upstreams.
    """

    def __init__(
        self,
        keeper: Keeper,
        cache: ForwardCache,
        pending: "MutableMapping[bytes, Any]",
        clients: Counter[bytes],
        counters: Counts,
        configured: Sequence[bytes],
        own: Sequence[bytes],
        *,
        most_per_client: int,
    ) -> None:
        self._keeper = keeper
        self._cache = cache
        self._pending = pending
        self._clients = clients
        self._counters = counters
        self._observed = Observed()
        self._parents_of_configured = {names.parent(zone) for zone in configured if zone != names.ROOT}
        self._most_per_client = most_per_client
        self._tails = Tails(own)
        self._lines: dict[Upstream, Line] = {}
        #: By parent. Those who have the questions look here first.
        self.routes: dict[bytes, Route] = {}
        #: Lines with something to send, and listeners.
        self._to_send: list[Line] = []
        self._to_flush: list[Listener] = []
        #: Answers from the cache that are not yet counted.
        self._cached = 0
        #: How many are under way.
        self.count = 0
        self._pool: UdpPool | None = None
        self._timeout = 0.0

    def __repr__(self) -> str:
        return f"Flights({self.count})"

    def begin(self, pool: "UdpPool", timeout: float, observed: Observed | None = None) -> None:
        """Fly over the sockets of `pool`. A question has `timeout` seconds in all. `observed` counts what is asked of upstreams."""
        self._pool = pool
        self._observed = observed or self._observed
        self._timeout = timeout
        pool.flights = self

    def close(self) -> None:
        """Let go of everything. Nothing may be under way."""
        self.routes.clear()
        self._lines.clear()
        self._pool = None

    # --- where to ------------------------------------------------------------------------------

    def learn(self, name: bytes, zone: bytes, upstreams: Upstreams[Upstream], *, trusted: bool) -> None:
        """Note where `name` is asked for: its siblings may be, as well. A no-op if their questions need more than a flight."""
        first = upstreams.states[0] if upstreams.states else None
        if first is None or not upstreams.sequential or first.key.tls_name or name == names.ROOT:
            return
        parent = names.parent(name)
        if parent in self._parents_of_configured or not has_room_for_label(parent):
            return
        if len(self.routes) >= MOST_ROUTES:
            self.routes.clear()
        line = self._lines.get(first.key)
        if line is None:
            line = self._lines[first.key] = Line(self, first, self._observed.of(first.key))
        self.routes[parent] = Route(parent, line, upstreams.states[1:], zone, upstreams, trusted)

    def forget_routes(self) -> None:
        """Nothing flies from now on, until it is learnt anew."""
        self.routes.clear()

    # --- out -----------------------------------------------------------------------------------

    def take(  # noqa: C901 - each outside question comes through here
        self, route: Route, key: bytes, octets: bytes, client: bytes, listener: Listener, peer: Any
    ) -> bool:
        """Ask what `octets` asks, whose response cache key is `key` and whose parent has `route`, with the next `send`; or False."""
        state = route.line.state
        if state.suspect is not None or state.edns.doubted:
            return False
        for other in route.others:
            if other.suspect is not None:
                return False
        form = FORMS.get(key[:NAME])
        if form is None:
            form = FORMS.get(key[:NAME] + key[-1:])
            if form is None or key[-4:-1] != OPT_OWNER_AND_TYPE:
                return False
        end = len(key) + 2 - form.behind
        what = octets[end - BEHIND_NAME : end]
        if what not in USUAL_TYPES or key[NAME] > MAX_LABEL or key[NAME] == PROBE_LABEL_SIZE:
            return False
        cache_key = key[NAME : end - BEHIND_NAME - 2] + what + form.bits
        pending, clients = self._pending, self._clients
        if cache_key in self._cache:
            return self._answer(key, cache_key, octets, end, form, listener, peer)
        if cache_key in pending:
            return False
        waiting = clients.get(client, 0)
        if waiting >= self._most_per_client or len(pending) >= MAX_FORWARDS:
            return False
        clients[client] = waiting + 1
        self.count += 1
        line = route.line
        if not line.to_send:
            self._to_send.append(line)
        flight = _flight(Flight, (cache_key, octets, end, form, client, listener, peer, time.monotonic(), route))
        pending[cache_key] = flight
        line.to_send.append(flight)
        return True

    def _answer(
        self, key: bytes, cache_key: bytes, octets: bytes, end: int, form: Form, listener: Listener, peer: Any
    ) -> bool:
        """Answer from the cache; False if that needs more than what is usual."""
        kept = self._cache.fresh(cache_key, time.monotonic())
        message = None if kept is None else cached_reply(octets, end, form, kept)
        if message is None:
            return False
        self._cached += 1
        listener.reply(peer, message)
        listener.known(key, message, end, form.client_opt)
        if listener not in self._to_flush:
            self._to_flush.append(listener)
        return True

    def send(self) -> bool:
        """Send what was taken. Whether something was scheduled on the loop."""
        scheduled = False
        pool = self._pool
        for line in self._to_send:
            flights, line.to_send = line.to_send, []
            under_way = line.under_way
            while under_way and under_way[0][1].waiting.get(under_way[0][2]) is not under_way[0][0]:
                under_way.popleft()
            sent = 0
            if pool is not None:
                sent, made = pool.launch(line.state.key, flights, under_way)
                scheduled |= made
            line.state.asked += sent
            line.counts.requests += sent
            if not line.watched and pool is not None and under_way:
                self._watch(line, pool.timers)
                scheduled = True
            for flight in flights[sent:]:
                scheduled = True
                self._gone(flight)
                self._keeper.ask_slowly(flight)
        self._to_send.clear()
        if self._cached:
            self._counters.add(CACHED, times=self._cached)
            self._cached = 0
        self._flush()
        return scheduled

    def _flush(self) -> None:
        for listener in self._to_flush:
            listener.flush()
        self._to_flush.clear()

    # --- back ----------------------------------------------------------------------------------

    def replied(self, port: "Port", identifier: bytes, flight: Flight, reply: bytes) -> bool:
        """Take what came for `flight`. True if it was nothing but the usual."""
        key, octets, end, form, client, listener, peer, _, route = flight
        line = route.line
        passed = form.passed_trusted if route.trusted else form.passed
        message = usual_reply(octets, end, form, passed, route.parent, reply, self._tails)
        if message is None or line.state.suspect is not None:
            if not answers(reply, flight.message(identifier), end - 12):
                port.pool.stray()
                return True
            question = self._given_up(port, identifier, flight)
            question.take(reply)
            return False
        line.answered += 1
        port.landed(identifier)
        del self._pending[key]
        self.count -= 1
        clients = self._clients
        if clients[client] > 1:
            clients[client] -= 1
        else:
            del clients[client]
        self._cache.add(key, reply, end, flight.asked)
        listener.reply(peer, message)
        if listener not in self._to_flush:
            self._to_flush.append(listener)
        self._keeper.tell_joined(flight, reply)
        return True

    def settle(self, flight: Flight) -> None:
        """All that had come is taken; `flight` was the last."""
        line = flight.route.line
        if line.answered:
            now = time.monotonic()
            line.state.answered(now - flight.asked, now, edns=True, times=line.answered)
            line.counts.durations.observe(now - flight.asked, line.answered)
            self._counters.add(FORWARDED, times=line.answered)
            line.answered = 0
        self._flush()

    def failed(self, port: "Port", identifier: bytes, flight: Flight, error: OSError) -> None:
        """The network says that its upstream is not there."""
        self._given_up(port, identifier, flight).fail(error)

    def give_up(self) -> None:
        """Have searches take over all that is under way."""
        for line in self._lines.values():
            under_way, line.under_way = line.under_way, deque()
            for flight, port, identifier in under_way:
                if port.waiting.get(identifier) is flight:
                    self._given_up(port, identifier, flight)
                    self._keeper.start(flight)

    def look(self, line: Line) -> None:
        """Have searches take over what is overdue."""
        pool, under_way = self._pool, line.under_way
        line.watched = False
        if pool is None:
            return
        now = time.monotonic()
        while under_way:
            flight, port, identifier = under_way[0]
            if port.waiting.get(identifier) is flight:
                if flight.asked + line.state.delay > now:
                    self._watch(line, pool.timers)
                    return
                self._given_up(port, identifier, flight)
                self._keeper.start(flight)
            under_way.popleft()

    def _watch(self, line: Line, timers: Timers) -> None:
        line.watched = True
        timers.watch(line, line.under_way[0][0].asked + line.state.delay)

    def _given_up(self, port: "Port", identifier: bytes, flight: Flight) -> Question:
        """What was `flight` is the question of a search from now on."""
        question = port.adopt(flight.message(identifier), flight.end - 12, flight.asked + self._timeout)
        self._gone(flight)
        self._keeper.take_over(flight, question)
        return question

    def _gone(self, flight: Flight) -> None:
        self.count -= 1
        if self._clients[flight.client] > 1:
            self._clients[flight.client] -= 1
        else:
            del self._clients[flight.client]
        del self._pending[flight.key]
