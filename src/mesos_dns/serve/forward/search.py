"""One question to upstreams: whom to ask, and what becomes of the replies. Edge: asyncio.

Whom to ask and for how long is the word of `upstreams`, what a reply is worth that of `check`; this module carries it out.
"""

import asyncio
import errno
import logging
import os
import random
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from mesos_dns.dns import message as msg
from mesos_dns.dns.message import HEADER_SIZE, Query
from mesos_dns.logs import RateLimited
from mesos_dns.serve import channel
from mesos_dns.serve.forward import rewrite
from mesos_dns.serve.forward.case import mixed
from mesos_dns.serve.forward.check import usable
from mesos_dns.serve.forward.health import UpstreamState
from mesos_dns.serve.forward.observed import Observed
from mesos_dns.serve.forward.options import Upstream
from mesos_dns.serve.forward.padding import padded
from mesos_dns.serve.forward.pool import UdpPool
from mesos_dns.serve.forward.probing import Prober
from mesos_dns.serve.forward.records import BadReplyError
from mesos_dns.serve.forward.stream import StreamPool
from mesos_dns.serve.forward.upstreams import Attempts, Upstreams

if TYPE_CHECKING:
    from mesos_dns.serve.forward.inflight import Question

log = logging.getLogger(__name__)

#: RCODEs that say nothing about the name, but that this server did not do what it was asked for.
FAILURES: Final = {msg.FORMERR: "FORMERR", msg.SERVFAIL: "SERVFAIL", msg.NOTIMP: "NOTIMP", msg.REFUSED: "REFUSED"}
#: RCODEs of servers that do not take EDNS (RFC 6891 sections 6.1.3 and 7). The low four bits of BADVERS are NOERROR.
_REJECTIONS: Final = frozenset({msg.FORMERR, msg.NOTIMP})
#: Errors of this machine, which say nothing about an upstream.
_OWN_ERRORS: Final = frozenset({errno.ENOBUFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})

#: Seconds for the whole of an answer that came truncated, which its upstream has at hand. Where TCP is filtered nothing comes back,
#: and clients wait for five.
MAX_TCP_SECONDS: Final = 2.0

_LEADS_BACK: Final = "it leads back to this server"


class Means(NamedTuple):
    """What all searches of a worker share. `timeout` is in seconds; `own` has the apexes of our zones."""

    loop: asyncio.AbstractEventLoop
    pool: UdpPool
    streams: StreamPool
    prober: Prober
    timeout: float
    own: Sequence[bytes]
    trusted: frozenset[Upstream]
    ask_next_on_failure: bool
    mixed_case: bool
    warn: RateLimited
    #: Upstreams that failed when they were asked last, and that people were told of.
    failing: set[Upstream]
    observed: Observed


class Search:
    """Asks the upstreams of `zone` what `query` asks, as often as need be. `done` gets the reply, None if there is none."""

    def __init__(
        self,
        means: Means,
        zone: bytes,
        upstreams: Upstreams[Upstream],
        query: Query,
        done: Callable[[bytes | None], None],
        started: float | None = None,
    ) -> None:
        self._means = means
        self._zone = zone
        self._query = query
        self._done: Callable[[bytes | None], None] | None = done
        self._loop = means.loop
        now = self._loop.time() if started is None else started
        self._deadline = now + means.timeout
        self._attempts: Attempts[Upstream] | None = upstreams.plan(now, random.random, (query.name, query.qtype))
        self._questions: dict[Upstream, Question] = {}
        self._asked: list[UpstreamState[Upstream]] = []
        #: The last reply that another upstream might better.
        self._last: bytes | None = None
        self._tick: int | None = None
        #: The question for what was truncated, over TCP: as long as it is under way no other upstream is asked.
        self._over_tcp: Question | None = None
        #: Whether the reply is for this time only: signatures were asked for (DO), and its upstream was not told so for want of EDNS.
        self.lacks_signatures = False

    def __repr__(self) -> str:
        return f"Search({self._attempts!r})"

    def start(self) -> None:
        """Ask the first upstream. `done` may be called before this returns."""
        self._go_on()

    def adopt(self, state: UpstreamState[Upstream], question: "Question", asked: float) -> None:
        """Before `start`: the first upstream, `state`, was asked `question` at `asked` already."""
        question.on_reply = partial(self._replied, state)
        question.on_error = partial(self._unanswered, state)
        self._questions[state.key] = question
        self._asked.append(state)
        if self._attempts is not None:
            self._attempts.begun(state, asked)

    def close(self) -> None:
        """Let go of everything; `done` is not called any more."""
        self._done = None
        self._close()

    def leads_back(self, route: tuple[bytes, Upstream]) -> None:
        """`route` turned out to lead back to this server: what was asked there will come to no answer."""
        zone, upstream = route
        question = self._questions.get(upstream)
        if zone == self._zone and question is not None and self._done is not None and self._attempts is not None:
            question.cancel()
            del self._questions[upstream]
            state = next(state for state in self._asked if state.key == upstream)
            self._attempts.bad(state, self._loop.time(), _LEADS_BACK)
            self._go_on()

    # --- asking --------------------------------------------------------------------------------

    def _go_on(self) -> None:
        attempts = self._attempts
        if attempts is None or self._done is None or self._over_tcp is not None:
            return
        self._unwatch()
        while self._done is not None:
            now = self._loop.time()
            state = attempts.next(now)
            if state is not None:
                if not self._ask(state, now, edns=attempts.edns):
                    continue
            elif not attempts.wait:
                self._finish(self._last)
                return
            if attempts.wait:
                self._tick = self._means.pool.timers.watch(self, now + attempts.wait)
                return

    def expired(self) -> None:
        """It is time to ask another one, or to give up; or to listen no more."""
        self._tick = None
        if self._done is None:
            self._close()
        else:
            self._go_on()

    def _ask(self, state: UpstreamState[Upstream], now: float, *, edns: bool) -> bool:
        """Whether it is asked: not if it leads back to this server."""
        means, upstream = self._means, state.key
        route = self._zone, upstream
        if means.prober.leads_back(route, now):
            if self._attempts is not None:
                self._attempts.bad(state, now, _LEADS_BACK)
            return False
        means.prober.asking(route, now)
        self._asked.append(state)
        means.observed.of(upstream).requests += 1
        sent = rewrite.question(self._query, 0, edns=edns)
        if means.mixed_case and not upstream.tls_name and state.case.used(now):
            end = self._query.question_end - 4
            sent = sent[:HEADER_SIZE] + mixed(sent[HEADER_SIZE:end], os.urandom(end - HEADER_SIZE)) + sent[end:]
        pool: UdpPool | StreamPool = means.pool
        if upstream.tls_name:
            # Whoever is to prove its name is never asked in plain text (RFC 8310 section 5).
            pool = means.streams
            sent = padded(sent) if edns else sent
        self._questions[upstream] = pool.ask(
            upstream,
            sent,
            self._query.question_end,
            partial(self._replied, state),
            partial(self._unanswered, state),
            max(self._deadline, now),
        )
        return True

    def _unanswered(self, state: UpstreamState[Upstream], error: OSError | None) -> None:
        attempts = self._attempts
        self._questions.pop(state.key, None)
        if attempts is None:
            return
        now = self._loop.time()
        if error is not None and error.errno == errno.ECANCELED:
            # The program lets go of its upstreams: there is nobody to ask, and nothing to tell.
            self.close()
            return
        if error is None:
            self._means.prober.asking((self._zone, state.key), now, failed=True)
        elif error.errno in _OWN_ERRORS:
            attempts.dropped(state, now)
            self._tell(state, words(error))
        elif error.errno == errno.EBADMSG:
            self._failed(state, words(error))
        else:
            self._means.observed.of(state.key).failures += 1
            attempts.refused(state, now, words(error))
            self._tell(state, words(error))
        self._go_on()

    # --- replies -------------------------------------------------------------------------------

    def _replied(self, state: UpstreamState[Upstream], reply: bytes) -> bool:
        """Take a reply; whether it ends the attempt."""
        attempts = self._attempts
        if attempts is None:
            return True
        now = self._loop.time()
        rcode, end = reply[3] & 15, self._query.question_end
        beyond = rewrite.extended_rcode(reply, end)
        sent = self._questions.pop(state.key).sent
        if self._means.mixed_case and self._is_respelled(sent, reply):
            self._ask_who_respelled(state, sent, now)
            return True
        if (beyond or rcode in _REJECTIONS) and attempts.without_edns(state, now):
            if not self._ask(state, now, edns=False):
                self._go_on()
            return True
        return self._take(state, sent, reply, now)

    def _take(self, state: UpstreamState[Upstream], sent: bytes, reply: bytes, now: float) -> bool:
        """Take a reply that is the upstream's; it ends the attempt, whatever is in it."""
        try:
            reply = self._checked(state, reply)
        except BadReplyError as error:
            self._failed(state, str(error))
        else:
            self._judge(state, sent, reply, now)
        self._go_on()
        return True

    def _checked(self, state: UpstreamState[Upstream], reply: bytes) -> bytes:
        """What of `reply`, over UDP or TCP, is an answer. Raises BadReplyError."""
        rcode, end = reply[3] & 15, self._query.question_end
        if len(reply) <= HEADER_SIZE:
            raise BadReplyError(f"{FAILURES[rcode]}, without the question")
        if beyond := rewrite.extended_rcode(reply, end):
            raise BadReplyError(f"it refuses our EDNS (extended RCODE {beyond << 4 | rcode})")
        reply = usable(reply, end, self._means.own)
        return reply if state.key in self._means.trusted else rewrite.without_ad(reply)

    def _judge(self, state: UpstreamState[Upstream], sent: bytes, reply: bytes, now: float) -> None:
        attempts = self._attempts
        assert attempts is not None
        failure = FAILURES.get(reply[3] & 15)
        if failure == "SERVFAIL":
            self._means.prober.asking((self._zone, state.key), now, failed=True)
        if failure is not None and self._means.ask_next_on_failure:
            self._means.observed.of(state.key).failures += 1
            self._last = reply
            attempts.bad(state, now, failure)
            return
        self._means.observed.of(state.key).durations.observe(attempts.answered(state, now))
        if state.key in self._means.failing:
            self._means.failing.discard(state.key)
            self._means.warn.over(f"{state.key}", "upstream %s port %d answers again", *state.key.address)
        if self._done is None:
            return  # The client has its answer: the rest of this one is for nobody.
        if self._query.edns is not None and self._query.edns.do:
            self.lacks_signatures = not rewrite.has_opt(sent)
        if rewrite.is_truncated(reply) and not state.key.tls_name and state.tcp.used(now):
            self._ask_over_tcp(state, sent, reply, now)
        else:
            self._finish(reply)

    def _ask_over_tcp(self, state: UpstreamState[Upstream], sent: bytes, truncated: bytes, now: float) -> None:
        """Ask once more what was `sent`, with an OPT record only if that had one: some upstreams take none."""
        self._unwatch()
        within = min(max(self._deadline - now, 0.0), MAX_TCP_SECONDS)
        self._over_tcp = self._means.streams.ask(
            state.key,
            sent,
            self._query.question_end,
            partial(self._complete, state, truncated),
            partial(self._incomplete, state, truncated, within),
            now + within,
            # dnsmasq 2.90 says AD of an answer over a connection if it is true of the one before.
            alone=state.key in self._means.trusted and rewrite.asks_for_ad(self._query),
        )

    def _complete(self, state: UpstreamState[Upstream], truncated: bytes, reply: bytes) -> bool:
        try:
            reply = self._checked(state, reply)
            failure = FAILURES.get(reply[3] & 15)
            if failure is not None and self._means.ask_next_on_failure:
                raise BadReplyError(failure)  # noqa: TRY301 - as those of `_checked`
        except BadReplyError as error:
            self._no_tcp(state, str(error))
            reply = truncated
        else:
            state.tcp.answered()
        # The truncated answer is one: it says itself that there is more.
        self._finish(reply)
        return True

    def _incomplete(
        self, state: UpstreamState[Upstream], truncated: bytes, within: float, error: OSError | None
    ) -> None:
        self._tell_no_tcp(state, within, error)
        self._finish(truncated)

    def _tell_no_tcp(self, state: UpstreamState[Upstream], within: float, error: OSError | None) -> None:
        if error is None:
            self._no_tcp(state, f"no answer within {within:.1f} s")
        else:
            self._no_tcp(state, words(error), own=error.errno in _OWN_ERRORS)

    def _no_tcp(self, state: UpstreamState[Upstream], reason: str, *, own: bool = False) -> None:
        if not own:
            state.tcp.failed(self._loop.time(), reason)
        self._means.warn.warning(
            f"tcp {state.key}", "upstream %s port %d does not answer over TCP: %s", *state.key.address, reason
        )

    def _failed(self, state: UpstreamState[Upstream], reason: str) -> None:
        assert self._attempts is not None
        self._means.observed.of(state.key).failures += 1
        self._attempts.bad(state, self._loop.time(), reason)
        self._tell(state, reason)

    def _tell(self, state: UpstreamState[Upstream], reason: str) -> None:
        self._means.failing.add(state.key)
        self._means.warn.warning(
            f"{state.key}",
            "upstream %s port %d failed: %s; the next one is asked, if there is one",
            *state.key.address,
            reason,
        )

    # --- mixed case ----------------------------------------------------------------------------

    def _is_respelled(self, sent: bytes, reply: bytes) -> bool:
        """Whether the question was in mixed case, and comes back in another."""
        end = self._query.question_end
        asked = sent[HEADER_SIZE:end]
        return len(reply) >= end and reply[HEADER_SIZE:end] != asked and asked != self._query.octets[HEADER_SIZE:end]

    def _ask_who_respelled(self, state: UpstreamState[Upstream], sent: bytes, now: float) -> None:
        """Somebody who forges answers, or an upstream that does not keep letters as they are? Over TCP nobody can forge."""
        if not state.tcp.used(now):
            self._ask_in_any_case(state)
            return
        self._unwatch()
        within = min(max(self._deadline - now, 0.0), MAX_TCP_SECONDS)
        self._over_tcp = self._means.streams.ask(
            state.key,
            sent,
            self._query.question_end,
            partial(self._take_proven, state, sent),
            partial(self._unproven, state, within),
            now + within,
        )

    def _take_proven(self, state: UpstreamState[Upstream], sent: bytes, reply: bytes) -> bool:
        self._over_tcp = None
        now = self._loop.time()
        if self._is_respelled(sent, reply):
            state.case.lost(now)
        else:
            self._means.warn.warning(
                f"case {state.key}",
                "a reply in the name of upstream %s port %d is passed over: it spells the question otherwise, and over TCP the upstream does not",
                *state.key.address,
            )
        return self._take(state, sent, reply, now)

    def _unproven(self, state: UpstreamState[Upstream], within: float, error: OSError | None) -> None:
        self._over_tcp = None
        self._tell_no_tcp(state, within, error)
        self._ask_in_any_case(state)

    def _ask_in_any_case(self, state: UpstreamState[Upstream]) -> None:
        """Without TCP it cannot be told: then an answer is worth more than a few bits."""
        attempts = self._attempts
        if attempts is None:
            return
        now = self._loop.time()
        state.case.lost(now)
        if not self._ask(state, now, edns=attempts.edns):
            self._go_on()
        elif self._tick is None and attempts.wait:
            self._tick = self._means.pool.timers.watch(self, now + attempts.wait)

    # --- the end -------------------------------------------------------------------------------

    def _finish(self, reply: bytes | None) -> None:
        """Tell the result. Those that are overtaken may still be listened to, so that it is known whether they live."""
        done, self._done = self._done, None
        attempts = self._attempts
        if done is None or attempts is None:
            return
        self._unwatch()
        linger = attempts.linger(self._loop.time()) if self._questions else 0.0
        if linger > 0:
            self._tick = self._means.pool.timers.watch(self, self._loop.time() + linger)
        else:
            self._close()
        done(reply)

    def _close(self) -> None:
        attempts, self._attempts = self._attempts, None
        self._unwatch()
        for question in self._questions.values():
            question.cancel()
        self._questions.clear()
        if self._over_tcp is not None:
            self._over_tcp.cancel()
        if attempts is None:
            return
        now = self._loop.time()
        attempts.close(now)
        for state in self._asked:
            # Silence is nothing that happens: it shows when the circuit is open.
            if state.suspect is not None and state.key not in self._means.failing:
                status = state.status(now)
                if status.state == "open":
                    self._means.prober.asking((self._zone, state.key), now, failed=True)
                    self._tell(state, status.error or "no answer")

    def _unwatch(self) -> None:
        if self._tick is not None:
            self._means.pool.timers.unwatch(self, self._tick)
            self._tick = None


def words(error: Exception) -> str:
    """The system's words, without number and Python's brackets."""
    if isinstance(error, ssl.SSLError):
        return channel.words(error)
    return getattr(error, "strerror", None) or str(error)
