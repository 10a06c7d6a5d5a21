"""Names that are not ours: ask the upstreams, in order, and pass their answer on."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mesos_dns.concurrency import spawn
from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.limits import MAX_FORWARDS
from mesos_dns.logs import RateLimited
from mesos_dns.metrics import Counts, counter
from mesos_dns.serve.forward import rewrite
from mesos_dns.serve.forward.check import usable
from mesos_dns.serve.forward.exchange import Upstream, exchange_tcp, exchange_udp
from mesos_dns.serve.forward.probing import Prober
from mesos_dns.serve.forward.rewrite import BadReplyError
from mesos_dns.serve.forward.terms import Refuse, Terms
from mesos_dns.serve.request import Forward

log = logging.getLogger(__name__)

_FORWARDED: Final = counter("forwarded", "Questions that an upstream answered.")
_REFUSED: Final = counter("forward_refused", "Questions for which there is no upstream.")
_FAILED: Final = counter("forward_failed", "Questions that no upstream answered.")
_SHED: Final = counter("forward_shed", "Questions answered with SERVFAIL at once: too many were under way.")
_LOOPED: Final = counter("forward_looped", "Questions whose upstreams all lead back to this server.")


class Forwarder:
    """Asks upstreams over UDP, over TCP when the answer is truncated.

    `upstreams` maps zones (lower-case wire form, the root for all the rest) to servers in order of
    preference; `timeout` is seconds for each attempt. Any RCODE is an answer and ends the search; the next
    server is asked only if one is silent or unreachable, or sends what is no answer to the question (`check`).
    What is not for upstreams at all is answered at once (`terms`).
    """

    def __init__(
        self,
        upstreams: Mapping[bytes, Sequence[Upstream]],
        timeout: float,
        *,
        truncate_bit: bool,
        refuse: Refuse,
        terms: Terms | None = None,
    ) -> None:
        self._upstreams = upstreams
        self._timeout = timeout
        self._truncate_bit = truncate_bit
        self._refuse = refuse
        self._terms = terms or Terms()
        self._prober = Prober(self._terms.loops, timeout)
        self._pending = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._warn = RateLimited(log)
        #: Upstreams that failed when they were asked last.
        self._failing: set[Upstream] = set()
        self.counters = Counts()

    def __repr__(self) -> str:
        return f"Forwarder(zones={len(self._upstreams)}, pending={self._pending})"

    @property
    def pending(self) -> int:
        """How many questions are under way."""
        return self._pending

    def submit(self, forward: Forward, limit: int, send: Callable[[bytes], None]) -> None:
        """Answer `forward` with at most `limit` octets by calling `send`, now or later, exactly once."""
        query = forward.query
        here = self._prober.takes(forward) or self._terms.answer_here(forward, self._refuse, self.counters)
        if here is not None:
            send(here)
            return
        zone = self.zone_for(query.name)
        configured = self.servers_for(zone)
        servers = [server for server in configured if not self._prober.leads_back((zone, server))]
        if not configured:
            self.counters.add(_REFUSED)
            send(self._refuse(query, msg.REFUSED, msg.EDE_PROHIBITED))
        elif not servers:
            self.counters.add(_LOOPED)
            send(self._refuse(query, msg.SERVFAIL, msg.EDE_OTHER, b"forwarding loop"))
        elif self._pending >= MAX_FORWARDS:
            # Names of the zone must stay answerable when the upstreams hang.
            self.counters.add(_SHED)
            send(self._refuse(query, msg.SERVFAIL, msg.EDE_NO_REACHABLE_AUTHORITY))
        else:
            self._pending += 1
            self._idle.clear()
            spawn(self._answer(forward, zone, servers, limit, send), name="forward")

    def servers_for(self, name: bytes) -> Sequence[Upstream]:
        """The upstreams of the zone for `name`."""
        return self._upstreams.get(self.zone_for(name), ())

    def zone_for(self, name: bytes) -> bytes:
        """The closest zone at or above `name` that is configured, or the root. Its upstreams are asked, and none of the default ones."""
        while name not in self._upstreams and name != names.ROOT:
            name = names.parent(name)
        return name

    async def drained(self) -> None:
        """Wait until no query is pending."""
        await self._idle.wait()

    async def _answer(
        self, forward: Forward, zone: bytes, servers: Sequence[Upstream], limit: int, send: Callable[[bytes], None]
    ) -> None:
        try:
            reply = await self._ask(forward, zone, servers, limit)
            if reply is None:
                self.counters.add(_FAILED)
                reply = self._refuse(forward.query, msg.SERVFAIL, msg.EDE_NO_REACHABLE_AUTHORITY)
            else:
                self.counters.add(_FORWARDED)
            send(reply)
        finally:
            self._pending -= 1
            if not self._pending:
                self._idle.set()

    async def _ask(self, forward: Forward, zone: bytes, servers: Sequence[Upstream], limit: int) -> bytes | None:
        for server in servers:
            self._prober.asking((zone, server))
            try:
                reply = await self._ask_one(forward, server, limit)
            except TimeoutError:
                reason = f"no answer within {self._timeout:g} s"
                self._prober.asking((zone, server), failed=True)
            except (OSError, BadReplyError) as error:
                reason = _words(error)
            else:
                if reply[3] & 15 == msg.SERVFAIL:
                    self._prober.asking((zone, server), failed=True)
                if server in self._failing:
                    self._failing.discard(server)
                    self._warn.over(f"{server}", "upstream %s port %d answers again", *server)
                return reply
            self._failing.add(server)
            self._warn.warning(
                f"{server}", "upstream %s port %d failed: %s; the next one is asked, if there is one", *server, reason
            )
        return None

    async def _ask_one(self, forward: Forward, server: Upstream, limit: int) -> bytes:
        """The reply for the client. Raises TimeoutError, OSError or BadReplyError."""
        query = forward.query
        sent = rewrite.question(query, secrets.randbits(16))
        length = query.question_end - 12
        trusted = server in self._terms.trusted
        reply = await exchange_udp(server, sent, length, within=self._timeout)
        reply = usable(reply, query.question_end, self._terms.own)
        if rewrite.is_truncated(reply):
            try:
                complete = await exchange_tcp(server, sent, length, within=self._timeout)
                complete = usable(complete, query.question_end, self._terms.own)
                return rewrite.for_client(complete, forward, limit, truncate_bit=self._truncate_bit, trusted=trusted)
            except TimeoutError:
                reason = f"no answer within {self._timeout:g} s"
            except (OSError, BadReplyError) as error:
                reason = _words(error)
            # The truncated answer is one: it says itself that there is more.
            self._warn.warning(f"tcp {server}", "upstream %s port %d does not answer over TCP: %s", *server, reason)
        return rewrite.for_client(reply, forward, limit, truncate_bit=self._truncate_bit, trusted=trusted)


def _words(error: Exception) -> str:
    """The system's words, without number and Python's brackets."""
    return getattr(error, "strerror", None) or str(error)
