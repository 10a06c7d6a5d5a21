"""What every listener asks: the memo first, then the answer. Shared by UDP and TCP of one worker.

No I/O happens here; a listener turns octets into replies and sends them its own way.
"""

from collections import Counter
from collections.abc import Callable

from mesos_dns.dns import message as msg
from mesos_dns.dns.message import Query, Rejected
from mesos_dns.serve.answer import Answerer, Forward, Rendering
from mesos_dns.serve.memo import Entry, Memo, edns_key

#: Takes the query, the largest reply in octets, and a function that sends the reply, now or later.
ForwardTo = Callable[[Forward, int, Callable[[bytes], None]], None]


class Responder:
    """Replies of one worker, from memory or fresh.

    `plain_hits` and `counters` count replies; the listeners add what they answered themselves.
    """

    def __init__(self, answerer: Answerer) -> None:
        self.counters: Counter[str] = Counter()
        self.plain_hits = 0
        self._answerer = answerer
        self._udp = Memo()
        # Over TCP the same question may have a larger answer.
        self._tcp = Memo()

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

    def count(self, what: str, times: int = 1) -> None:
        """Add to a counter."""
        self.counters[what] += times

    def respond_udp(self, octets: bytes) -> bytes | Forward | None:
        """The reply to a datagram, None for silence, or that the name is not ours."""
        found = edns_key(octets)
        if found is not None:
            key, size = found
            entry = self._udp.entries.get(key)
            if entry is not None:
                reply = _assemble(octets, octets.find(0, 12) + 5, entry)
                if len(reply) <= msg.PLAIN_UDP_SIZE or len(reply) <= size:
                    self.counters["edns_hits"] += 1
                    return reply
        else:
            key, size = octets[2:].lower(), msg.PLAIN_UDP_SIZE
        query = self._parse(octets)
        if not isinstance(query, Query):
            return query
        limit = msg.udp_limit(query.edns)
        # What is remembered for EDNS is made for our own size; smaller clients are rare.
        rememberable = _is_common(query, edns=found is not None) and (found is None or size >= msg.UDP_SIZE)
        return self._fresh(query, limit, self._udp if rememberable else None, key, tcp=False)

    def respond_tcp(self, octets: bytes) -> bytes | Forward | None:
        """The reply to a message over TCP, without its length octets."""
        found = edns_key(octets)
        key = found[0] if found is not None else octets[2:].lower()
        entry = self._tcp.entries.get(key)
        if entry is not None:
            self.counters["tcp_hits"] += 1
            return _assemble(octets, octets.find(0, 12) + 5, entry)
        query = self._parse(octets)
        if not isinstance(query, Query):
            return query
        rememberable = _is_common(query, edns=found is not None)
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
        self.counters["misses"] += 1
        if memo is not None and _is_worth_keeping(rendering):
            memo.remember(key, rendering.head, rendering.tails, found=rendering.found)
        octets = query.octets
        return octets[:2] + rendering.head + octets[12 : query.question_end] + rendering.tails[0]


def _assemble(octets: bytes, question_end: int, entry: Entry) -> bytes:
    head, tail = entry
    return octets[:2] + head + octets[12:question_end] + (tail if isinstance(tail, bytes) else tail())


def _is_common(query: Query, *, edns: bool) -> bool:
    """Whether the query has the shape that replies from memory take for granted.

    That is a name without zero octets in its labels, and behind the question nothing but at most the
    OPT record that `edns_key` found. Other queries are rare, and could be made large.
    """
    if query.octets.find(0, 12) + 5 != query.question_end:
        return False
    return query.edns is not None if edns else len(query.octets) == query.question_end


def _is_worth_keeping(rendering: Rendering) -> bool:
    """Small answers, and only those of the zone: an error may pass, and a giant fills the memory."""
    authoritative = rendering.head[0] & msg.AA >> 8
    return bool(authoritative) and sum(map(len, rendering.tails)) <= 8 * msg.UDP_SIZE
