"""Names that are not ours: answered from the cache of what upstreams said, or asked of them. Edge: asyncio."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns.message import Query
from mesos_dns.limits import MAX_FORWARDS
from mesos_dns.logs import RateLimited
from mesos_dns.metrics import Counts, counter, gauge
from mesos_dns.serve.forward import aliases, observed, rewrite
from mesos_dns.serve.forward.aliases import Ours, leads_here
from mesos_dns.serve.forward.cache import cache_for, cache_key, question_of
from mesos_dns.serve.forward.flights import CACHED, FORWARDED, Flight, Flights, Share
from mesos_dns.serve.forward.health import Status, UpstreamState
from mesos_dns.serve.forward.inflight import Question
from mesos_dns.serve.forward.loops import LoopWatch, Route
from mesos_dns.serve.forward.options import ForwardOptions, Upstream
from mesos_dns.serve.forward.outages import Outages
from mesos_dns.serve.forward.pool import UdpPool
from mesos_dns.serve.forward.probing import Prober
from mesos_dns.serve.forward.records import BadReplyError
from mesos_dns.serve.forward.search import FAILURES, Means, Search
from mesos_dns.serve.forward.stream import StreamPool
from mesos_dns.serve.forward.terms import Refuse, Terms
from mesos_dns.serve.forward.tls import context_for
from mesos_dns.serve.forward.upstreams import Policy, Upstreams, by_zone
from mesos_dns.serve.forward.waiting import Pending, Waiting, waiting_for
from mesos_dns.serve.request import Forward

log = logging.getLogger(__name__)

_STALE: Final = counter("forward_stale", "Questions answered with what was out of date, as no upstream answered.")
_JOINED: Final = counter(
    "forward_joined", "Questions that waited for the answer to the same question of somebody else."
)
_REFUSED: Final = counter("forward_refused", "Questions for which there is no upstream.")
_FAILED: Final = counter("forward_failed", "Questions that no upstream answered.")
_LOOPED: Final = counter("forward_looped", "Questions whose upstreams all lead back to this server.")
_SHED: Final = counter("forward_shed", "Questions answered with SERVFAIL at once: too many were under way.")
_PENDING: Final = gauge("forward_pending", "Clients' questions that wait for upstreams.", by_worker=True)
_KEPT: Final = gauge("forward_cache_entries", "Answers about outside names in the cache.", by_worker=True)

#: Clients that wait for upstreams at the same time, all together.
MAX_WAITING: Final = 4 * MAX_FORWARDS
#: Requests of one client among them once there is a crowd. As long as there is none its share is nobody's loss: it may be a resolver
#: that asks for thousands of users.
MAX_WAITING_PER_CLIENT: Final = MAX_FORWARDS // 4
#: Different questions that are asked, and clients that wait, which are a crowd: half of the most. The rest is for the other clients.
CROWD_QUESTIONS: Final = MAX_FORWARDS // 2
CROWD_WAITING: Final = MAX_WAITING // 2
#: Seconds for which clients wait if there is an answer that is out of date (RFC 8767 section 5: the client response timer).
STALE_AFTER_SECONDS: Final = 1.8


#: Why there is no answer, for people: extended errors for which RFC 8914 has no code.
_LOOP: Final = b"forwarding loop"
_TOO_MANY: Final = b"too many questions under way"
_UNFIT: Final = b"the answer does not fit"


class Forwarder:
    """Answers outside names. `refuse` makes replies without records; `terms` say what is not for upstreams at all.

    `ours` answers what aliases of outside names leave open about our own names; without it clients get the aliases alone.

    Upstreams are those of the closest zone above a name. The same question of several clients is asked once.
    """

    def __init__(
        self,
        options: ForwardOptions,
        *,
        truncate_bit: bool,
        refuse: Refuse,
        terms: Terms | None = None,
        ours: Ours | None = None,
    ) -> None:
        self._options = options
        self._truncate_bit = truncate_bit
        self._refuse = refuse
        self._terms = terms or Terms()
        self._ours = ours
        self._own_labels = aliases.first_labels(self._terms.own)
        # Here, not with the first question: to read what authorities there are takes a while.
        self._tls = context_for(options)
        self._zones = by_zone(options.upstreams, Policy(options.policy), options.timeout)
        self._cache = cache_for(options)
        self._warn = RateLimited(log)
        self._outages = Outages()
        self._pending: dict[bytes, Pending | Flight] = {}
        #: Those who wait for the answer to what is in flight.
        self._joined: dict[bytes, list[Waiting]] = {}
        self._waiting = 0
        #: How many requests of each client wait.
        self._clients: Counter[bytes] = Counter()
        self._idle = asyncio.Event()
        self._idle.set()
        self._means: Means | None = None
        self.counters = Counts()
        self._observed = observed.Observed()
        own = tuple(self._terms.own)
        #: Usual questions, which listeners may hand in without a look at them.
        self.flights = Flights(
            self,
            self._cache,
            self._pending,
            self._clients,
            self.counters,
            (*own, *options.private, *options.upstreams),
            own,
            share=Share(CROWD_QUESTIONS, MAX_WAITING_PER_CLIENT),
        )

    def __repr__(self) -> str:
        return f"Forwarder(zones={len(self._zones)}, pending={self.pending}, cached={len(self._cache)})"

    @property
    def pending(self) -> int:
        """How many requests wait for upstreams."""
        return self._waiting + self.flights.count

    def submit(self, forward: Forward, limit: int, send: Callable[[bytes], None]) -> bytes | None:
        """Answer `forward` with at most `limit` octets by calling `send`, now or later, exactly once.

        The result is what was sent, if the same may be sent for a second to all who ask the same.
        """
        means = self._means or self._begin()
        query = forward.query
        now = means.loop.time()
        if (here := means.prober.takes(forward, now)) is not None:
            send(here)
            return None
        # Without RD only what is at hand is told (RFC 1034 section 4.3.1): what others asked for.
        needs_rd = not query.flags & msg.RD and not self._terms.non_recursive
        key = cache_key(query._replace(flags=query.flags | msg.RD) if needs_rd else query)
        found = self._cache.find(key, now)
        if found is not None and found.fresh:
            reply = self._for_client(found.reply, forward, limit)
            if reply is not None:
                self.counters.add(CACHED)
                send(reply)
                if found.prefetch and key not in self._pending and len(self._pending) < MAX_FORWARDS:
                    self._search(means, key, forward, found.reply)
                # Our own records are as they are now.
                return None if leads_here(found.reply) else reply
        if (here := self._terms.answer_here(forward, self._refuse, self.counters)) is not None:
            send(here)
            return None
        stale = b""
        if found is not None and not found.fresh:
            stale = found.reply
            if found.failed:
                self.counters.add(_FAILED)
                send(self._refusal(forward, msg.SERVFAIL, msg.EDE_CACHED_ERROR))
                return None
            if not found.recheck:
                self._send_stale(stale, Waiting(forward, limit, send))
                return None
        self._ask(means, key, Waiting(forward, limit, send), stale, now)
        return None

    def counts(self) -> dict[str, float]:
        """All counts since the start, by series."""
        return {**self.counters.snapshot(), **dict(self._observed.numbers())}

    def gauges(self, now: float) -> dict[str, float]:
        """What is at `now` (the loop's time), by series."""
        found = dict(observed.gauges(self._states(), now))
        return {**found, _PENDING.series(): self._waiting, _KEPT.series(): len(self._cache)}

    def health(self, now: float) -> dict[str, Status]:
        """How each upstream does at `now` (the loop's time), by what it is called."""
        return {observed.label(state.key): state.status(now) for state in self._states()}

    def _states(self) -> Iterable[UpstreamState[Upstream]]:
        return {state.key: state for zone in self._zones.values() for state in zone.states}.values()

    def upstreams_for(self, name: bytes) -> tuple[bytes, Upstreams[Upstream] | None]:
        """The closest zone at or above `name` that is configured, and its upstreams; None if it has none."""
        while name not in self._zones and name != names.ROOT:
            name = names.parent(name)
        found = self._zones.get(name)
        return name, found if found is not None and found.states else None

    def use(self, upstreams: Mapping[bytes, Sequence[Upstream]], loops: LoopWatch) -> None:
        """Ask others from now on, by zone as in `ForwardOptions`; `loops` watches them.

        What is under way is asked once more, of these. What the former ones said is forgotten: others may know other names.
        """
        known = [state for each in self._zones.values() for state in each.states]
        options = msgspec.structs.replace(
            self._options, upstreams={zone: list(servers) for zone, servers in upstreams.items()}
        )
        self._options = options
        self._terms = self._terms._replace(loops=loops)
        self._zones = by_zone(options.upstreams, Policy(options.policy), options.timeout, known)
        self._cache = cache_for(options)
        self._outages = Outages()
        self.flights.give_up()
        self.flights.renew(self._cache)
        means = self._means
        if means is None:
            return
        means.failing.intersection_update(set().union(*options.upstreams.values()))
        means = self._means = means._replace(
            prober=Prober(loops, options.timeout, self._leads_back, means.streams),
        )
        for key, pending in list(self._pending.items()):
            assert isinstance(pending, Pending)
            self._search_again(means, key, pending)

    async def drained(self) -> None:
        """Wait until nobody waits."""
        self.flights.give_up()
        await self._idle.wait()

    def close(self) -> None:
        """Let go of everything; who still waits gets no answer."""
        self.flights.give_up()
        self.flights.close()
        for pending in self._pending.values():
            assert isinstance(pending, Pending)
            if pending.timer is not None:
                pending.timer.cancel()
            if pending.search is not None:
                pending.search.close()
            self._taken(pending)
        self._pending.clear()
        if self._means is not None:
            self._means.pool.close()
            self._means.streams.close()

    def _begin(self) -> Means:
        """What needs a running event loop."""
        options = self._options
        streams = StreamPool(most=2 * MAX_FORWARDS, context=self._tls)
        self._means = Means(
            pool=UdpPool(most=2 * MAX_FORWARDS, most_per_upstream=MAX_FORWARDS, counters=self.counters),
            streams=streams,
            loop=asyncio.get_running_loop(),
            prober=Prober(self._terms.loops, options.timeout, self._leads_back, streams),
            timeout=options.timeout,
            own=self._terms.own,
            trusted=frozenset(self._terms.trusted),
            ask_next_on_failure=options.ask_next_on_failure,
            mixed_case=options.mixed_case,
            warn=self._warn,
            failing=set(),
            observed=self._observed,
        )
        self.flights.begin(self._means.pool, options.timeout, self._observed)
        return self._means

    # --- asking --------------------------------------------------------------------------------

    def _ask(self, means: Means, key: bytes, waiting: Waiting, stale: bytes, now: float) -> None:
        forward, _, send = waiting
        pending = self._pending.get(key)
        if isinstance(pending, Pending):
            # What was asked for while it was fresh may have become stale since.
            pending.stale = stale or pending.stale
            if pending.is_slow:
                self._send_stale(pending.stale, waiting)
                return
        if pending is None:
            zone, upstreams = self.upstreams_for(forward.query.name)
            if upstreams is None:
                self.counters.add(_REFUSED)
                send(self._refusal(forward, msg.REFUSED, msg.EDE_NOT_AUTHORITATIVE))
                return
            if means.prober.knows_loops and all(
                means.prober.leads_back((zone, state.key), now) for state in upstreams.states
            ):
                self.counters.add(_LOOPED)
                send(self._refusal(forward, msg.SERVFAIL, msg.EDE_OTHER, _LOOP))
                return
        if self._has_no_room(forward.client, is_new=pending is None):
            # Names of the zone must stay answerable when the upstreams hang, and one client must not take the place of all.
            if stale:
                self._send_stale(stale, waiting)
                return
            self.counters.add(_SHED)
            send(self._refusal(forward, msg.SERVFAIL, msg.EDE_OTHER, _TOO_MANY))
            return
        self._waiting += 1
        self._clients[forward.client] += 1
        self._idle.clear()
        if pending is not None:
            self.counters.add(_JOINED)
            (pending.waiting if isinstance(pending, Pending) else self._joined.setdefault(key, [])).append(waiting)
        else:
            self._search(means, key, forward, stale, waiting)

    def _has_no_room(self, client: bytes, *, is_new: bool) -> bool:
        """Whether a request cannot wait; `is_new` says that nobody waits for its answer yet."""
        questions, waiting = len(self._pending) if is_new else 0, self._waiting
        if questions >= MAX_FORWARDS or waiting >= MAX_WAITING:
            return True
        crowd = questions >= CROWD_QUESTIONS or waiting >= CROWD_WAITING
        return crowd and self._clients[client] >= MAX_WAITING_PER_CLIENT

    def _search(self, means: Means, key: bytes, forward: Forward, stale: bytes, *waiting: Waiting) -> None:
        zone, upstreams = self.upstreams_for(forward.query.name)
        if upstreams is None:
            return
        if not (means.prober.knows_loops or means.mixed_case):
            self.flights.learn(
                forward.query.name, zone, upstreams, trusted=upstreams.states[0].key in self._terms.trusted
            )
        pending = self._pending[key] = Pending(stale, zone, upstreams)
        pending.waiting += waiting
        if stale:
            # Also if nobody waits yet: who asks when the answer has become stale waits no longer for that.
            pending.timer = asyncio.get_running_loop().call_later(STALE_AFTER_SECONDS, self._answer_stale, pending)
        self._start(means, key, pending, forward.query)

    def _start(self, means: Means, key: bytes, pending: Pending, query: Query) -> None:
        done = partial(self._done, key, query.question_end)
        pending.search = Search(means, pending.zone, pending.upstreams, query, done)
        pending.search.start()

    def _search_again(self, means: Means, key: bytes, pending: Pending) -> None:
        """Ask other upstreams what is asked already; what nobody waits for is not asked any more."""
        if pending.search is not None:
            pending.search.close()
        if not pending.waiting:
            del self._pending[key]
            if pending.timer is not None:
                pending.timer.cancel()
            return
        query = pending.waiting[0].forward.query
        pending.zone, upstreams = self.upstreams_for(query.name)
        if upstreams is None:
            self._done(key, query.question_end, None)
        else:
            pending.upstreams = upstreams
            self._start(means, key, pending, query)

    def _leads_back(self, route: Route) -> None:
        """What was asked by a way that turned out to lead back here is asked of others."""
        self.flights.forget_routes()
        self.flights.give_up()
        for pending in list(self._pending.values()):
            if isinstance(pending, Pending) and pending.search is not None:
                pending.search.leads_back(route)

    # --- for flights ---------------------------------------------------------------------------

    def take_over(self, flight: Flight, question: Question) -> None:
        """Part of `flights.Keeper`."""
        means = self._means or self._begin()
        key, route = flight.key, flight.route
        waiting = waiting_for(flight)
        pending = self._pending[key] = Pending(b"", route.zone, route.upstreams)
        pending.waiting = [waiting, *self._joined.pop(key, ())]
        self._waiting += 1
        self._clients[flight.client] += 1
        self._idle.clear()
        query = waiting.forward.query
        pending.search = Search(
            means,
            route.zone,
            route.upstreams,
            query,
            partial(self._done, key, query.question_end),
            flight.asked,
        )
        pending.search.adopt(route.line.state, question, flight.asked)

    def start(self, flight: Flight) -> None:
        """Part of `flights.Keeper`."""
        pending = self._pending.get(flight.key)
        if isinstance(pending, Pending) and pending.search is not None:
            pending.search.start()

    def ask_slowly(self, flight: Flight) -> None:
        """Part of `flights.Keeper`."""
        self.submit(*waiting_for(flight))
        pending = Pending(b"", flight.route.zone, flight.route.upstreams)
        pending.waiting = self._joined.pop(flight.key, [])
        for waiting in self._taken(pending):
            self.submit(*waiting)

    def tell_joined(self, flight: Flight, reply: bytes) -> None:
        """Part of `flights.Keeper`."""
        if self._joined and (joined := self._joined.pop(flight.key, None)):
            pending = Pending(b"", flight.route.zone, flight.route.upstreams)
            pending.waiting = joined
            self._tell(pending, reply, failed=False)

    def _done(self, key: bytes, question_end: int, reply: bytes | None) -> None:
        """Upstreams have answered, or none has."""
        pending = self._pending.pop(key)
        assert isinstance(pending, Pending)
        search, pending.search = pending.search, None
        now = asyncio.get_running_loop().time()
        if pending.timer is not None:
            pending.timer.cancel()
        failed = reply is None or (self._options.ask_next_on_failure and reply[3] & 15 in FAILURES)
        if reply is not None and self._ours is not None:
            reply = aliases.noted(reply, question_end, self._terms.own, self._own_labels)
        if failed:
            down = self._outages.failed(pending.zone, pending.upstreams, question_of(key), replied=reply is not None)
            self._cache.fail(key, now, down=down)
        elif reply is not None and not (search and search.lacks_signatures):
            # Kept, an answer without signatures would be bogus to a validator for as long as it lives.
            self._cache.put(key, reply, question_end, now)
        if self._outages.lasting and not failed and self._outages.over(pending.zone, now):
            self._cache.forgive(now)
        self._tell(pending, reply, failed=failed)

    def _tell(self, pending: Pending, reply: bytes | None, *, failed: bool) -> None:
        for waiting in self._taken(pending):
            if reply is not None and not (failed and pending.stale):
                answer = self._for_client(reply, waiting.forward, waiting.limit)
                if answer is not None:
                    self.counters.add(FORWARDED)
                    waiting.send(answer)
                    continue
            if pending.stale:
                self._send_stale(pending.stale, waiting)
            else:
                self.counters.add(_FAILED)
                why = (msg.EDE_NO_REACHABLE_AUTHORITY, b"") if reply is None else (msg.EDE_OTHER, _UNFIT)
                waiting.send(self._refusal(waiting.forward, msg.SERVFAIL, *why))

    def _answer_stale(self, pending: Pending) -> None:
        """Upstreams take long: clients get what there is, and the search goes on for those to come."""
        pending.is_slow = True
        for waiting in self._taken(pending):
            self._send_stale(pending.stale, waiting)

    def _taken(self, pending: Pending) -> list[Waiting]:
        """Those who wait, who do so no more."""
        taken, pending.waiting = pending.waiting, []
        self._waiting -= len(taken)
        for waiting in taken:
            self._clients[waiting.forward.client] -= 1
            if not self._clients[waiting.forward.client]:
                del self._clients[waiting.forward.client]
        if not self._waiting:
            self._idle.set()
        return taken

    # --- replies -------------------------------------------------------------------------------

    def _send_stale(self, stale: bytes, waiting: Waiting) -> None:
        forward, limit, send = waiting
        told = forward
        if forward.query.edns is not None:
            ede = msg.EDE_STALE_NXDOMAIN if stale[3] & 15 == msg.NXDOMAIN else msg.EDE_STALE_ANSWER
            told = forward._replace(options=forward.options + msg.extended_error(ede))
        reply = self._for_client(stale, told, limit)
        self.counters.add(_STALE if reply is not None else _FAILED)
        send(reply or self._refusal(forward, msg.SERVFAIL, msg.EDE_OTHER, _UNFIT))

    def _refusal(self, forward: Forward, rcode: int, ede: int, text: bytes = b"") -> bytes:
        return self._refuse(forward.query, rcode, ede, text, forward.options)

    def _for_client(self, reply: bytes, forward: Forward, limit: int) -> bytes | None:
        """The reply for one client; None if it cannot be passed on to it."""
        try:
            if leads_here(reply) and self._ours is not None:
                reply = aliases.complete(reply, forward, limit, self._ours)
            return rewrite.for_client(reply, forward, limit, truncate_bit=self._truncate_bit, trusted=True)
        except BadReplyError as error:
            self._warn.warning("pass", "an upstream's answer cannot be passed on: %s", error)
            return None
