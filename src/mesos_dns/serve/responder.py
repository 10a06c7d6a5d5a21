"""What every listener asks: the memo first, then the answer. Shared by UDP and TCP of one worker.

No I/O happens here; a listener turns octets into replies and sends them its own way.
"""

from collections import Counter
from collections.abc import Callable

from mesos_dns.dns import message as msg
from mesos_dns.dns.message import Query, Rejected
from mesos_dns.limits import MAX_ROTATIONS, MEMO_OCTETS
from mesos_dns.serve.answer import Answerer, Forward, Rendering
from mesos_dns.serve.memo import Entry, Memo, edns_key

#: Takes the query, the largest reply in octets, and a function that sends the reply, now or later.
ForwardTo = Callable[[Forward, int, Callable[[bytes], None]], None]


class Responder:
    """Replies of one worker, from memory or fresh.

    The listeners add to `plain_hits` what they answer with `recall` themselves.
    """

    def __init__(self, answerer: Answerer) -> None:
        self.counters: Counter[str] = Counter()
        self.plain_hits = 0
        self.edns_hits = 0
        self.tcp_hits = 0
        self.misses = 0
        self._answerer = answerer
        self._udp = Memo()
        # Over TCP the same question may have a larger answer.
        self._tcp = Memo(octets=MEMO_OCTETS // 2)

    def __repr__(self) -> str:
        return f"Responder(udp={self._udp!r}, tcp={self._tcp!r})"

    def recall(self) -> Callable[[bytes], Entry | None]:
        """The look-up in the memo of UDP replies; valid until the next change of the zone."""
        return self._udp.entries.get

    def use(self, answerer: Answerer) -> None:
        """Answer from another zone, or from a changed one: what is remembered may be wrong."""
        self._answerer = answerer
        self.forget()

    def forget(self) -> None:
        """Drop the memos after a change of the zone."""
        self._udp.forget()
        self._tcp.forget()

    def sweep(self) -> None:
        """Free a little of what was dropped."""
        self._udp.sweep()
        self._tcp.sweep()

    def counts(self) -> Counter[str]:
        """All counts since the start."""
        counts = Counter(self.counters)
        counts.update(plain_hits=self.plain_hits, edns_hits=self.edns_hits, tcp_hits=self.tcp_hits, misses=self.misses)
        return counts

    def count(self, what: str, times: int = 1) -> None:
        """Add to a counter."""
        self.counters[what] += times

    def respond_udp(self, octets: bytes) -> bytes | Forward | None:
        """The reply to a datagram, None for silence, or that the name is not ours."""
        found = edns_key(octets) if len(octets) > 11 and octets[11] else None
        if found is None:
            query = self._parse(octets)
            if not isinstance(query, Query):
                return query
            memo = self._udp if query.edns is None and _is_common(query) else None
            return self._fresh(query, msg.udp_limit(query.edns), memo, octets[2:].lower(), tcp=False)
        key, end, size = found
        entry = self._udp.entries.get(key)
        if entry is not None:
            head, tail = entry
            reply = octets[:2] + head + octets[12:end] + (tail if isinstance(tail, bytes) else tail())
            # What is remembered is made for our own UDP size; a client that takes less is rare.
            if size >= msg.UDP_SIZE or len(reply) <= max(size, msg.PLAIN_UDP_SIZE):
                self.edns_hits += 1
                return reply
        query = self._parse(octets)
        if not isinstance(query, Query):
            return query
        memo = self._udp if size >= msg.UDP_SIZE and _is_common(query) else None
        return self._fresh(query, msg.udp_limit(query.edns), memo, key, tcp=False)

    def respond_tcp(self, octets: bytes) -> bytes | Forward | None:
        """The reply to a message over TCP, without its length octets."""
        found = edns_key(octets)
        key, end = found[:2] if found is not None else (octets[2:].lower(), len(octets))
        entry = self._tcp.entries.get(key)
        if entry is not None:
            self.tcp_hits += 1
            head, tail = entry
            return octets[:2] + head + octets[12:end] + (tail if isinstance(tail, bytes) else tail())
        query = self._parse(octets)
        if not isinstance(query, Query):
            return query
        rememberable = (query.edns is None) == (found is None) and _is_common(query)
        return self._fresh(query, msg.TCP_SIZE, self._tcp if rememberable else None, key, tcp=True)

    def _parse(self, octets: bytes) -> Query | bytes | None:
        query = msg.parse(octets)
        if isinstance(query, Rejected):
            self.counters["rejected"] += 1
            return query.reply()
        if query is None:
            self.counters["ignored"] += 1
        return query

    def _fresh(self, query: Query, limit: int, memo: Memo | None, key: bytes, *, tcp: bool) -> bytes | Forward:
        rendering = self._answerer.compose(query, limit, tcp=tcp)
        if isinstance(rendering, Forward):
            return rendering
        self.misses += 1
        if memo is not None and _is_worth_keeping(rendering):
            memo.remember(key, rendering.head, rendering.tail, rendering.others, rendering.size, found=rendering.found)
        octets = query.octets
        return octets[:2] + rendering.head + octets[12 : query.question_end] + rendering.tail


def _is_common(query: Query) -> bool:
    """Whether the query has the shape that replies from memory take for granted.

    That is a name without zero octets in its labels, and behind the question nothing but at most the
    OPT record that `edns_key` found. Other queries are rare, and could be made large.
    """
    if query.octets.find(0, 12) + 5 != query.question_end:
        return False
    return query.edns is not None or len(query.octets) == query.question_end


def _is_worth_keeping(rendering: Rendering) -> bool:
    """Small answers, and only those of the zone: an error may pass, and a giant fills the memory."""
    authoritative = rendering.head[0] & msg.AA >> 8
    return bool(authoritative) and rendering.size <= MAX_ROTATIONS * msg.UDP_SIZE
