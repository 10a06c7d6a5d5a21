"""What every listener asks: the memo first, then the answer. Shared by UDP and TCP of one worker.

No I/O happens here; a listener turns octets into replies and sends them its own way.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from mesos_dns.dns import message as msg
from mesos_dns.dns.message import Rejected
from mesos_dns.limits import MAX_ROTATIONS, MEMO_MISSING_OCTETS, MEMO_OCTETS, SWEPT_AT_LEAST, SWEPT_PER_ANSWER
from mesos_dns.serve.answer import Answerer, Rendering
from mesos_dns.serve.cache import Memo, Parts, Pieces, Store
from mesos_dns.serve.fast import Shortcut
from mesos_dns.serve.keys import any_key, twin
from mesos_dns.serve.request import CLOSE, Close, Forward

T = TypeVar("T")

#: Takes the query, the largest reply in octets, and a function that sends the reply, now or later.
ForwardTo = Callable[[Forward, int, Callable[[bytes], None]], None]
#: Octets of the largest reply that a memo takes: others are rare, and fill the memory.
LARGEST_KEPT = msg.UDP_SIZE
#: ANCOUNT of an answer that has no orders.
_ONE = b"\0\1"


class Responder:
    """Replies of one worker, from memory or fresh.

    A listener adds to `hits` and `misses` what it answers from a memo of its own, or with `shortcut`.
    """

    def __init__(self, answerer: Answerer) -> None:
        self.counters: Counter[str] = Counter()
        self.hits = 0
        self.misses = 0
        self._memos: list[Memo[Any]] = []
        # Over TCP the same question may have a larger answer.
        self._udp_memo = self.memo(Pieces(MEMO_OCTETS), Pieces(MEMO_MISSING_OCTETS))
        self._tcp_memo = self.memo(Pieces(MEMO_OCTETS // 2), Pieces(MEMO_MISSING_OCTETS))
        self._answer_from(answerer)

    def _answer_from(self, answerer: Answerer) -> None:
        self._answerer = answerer
        #: The way to fresh replies over UDP for the listeners that have a memo of their own.
        self.shortcut = Shortcut(answerer, tcp=False)
        self._tcp_shortcut = Shortcut(answerer, tcp=True)

    def __repr__(self) -> str:
        return f"Responder({self._memos!r})"

    def memo(self, found: Store[T], missing: Store[T]) -> Memo[T]:
        """A memo for a listener, which is emptied whenever the zone changes."""
        memo = Memo(found, missing)
        self._memos.append(memo)
        return memo

    def use(self, answerer: Answerer) -> None:
        """Answer from another zone, or from a changed one: what is remembered may be wrong."""
        self._answer_from(answerer)
        self.forget()

    def forget(self) -> None:
        """Empty the memos after a change of the zone."""
        for memo in self._memos:
            memo.forget()

    def sweep(self, answered: int) -> None:
        """Free some of what was dropped: more than so many answers can have added since the last time."""
        for memo in self._memos:
            memo.sweep(SWEPT_AT_LEAST + SWEPT_PER_ANSWER * answered)

    def counts(self) -> Counter[str]:
        """All counts since the start."""
        counts = Counter(self.counters)
        counts.update(hits=self.hits, misses=self.misses)
        return counts

    def count(self, what: str, times: int = 1) -> None:
        """Add to a counter."""
        self.counters[what] += times

    # --- replies -------------------------------------------------------------------------------

    def respond_udp(self, octets: bytes) -> bytes | Forward | None:
        """The reply to a datagram, None for silence, or that the name is not ours."""
        return self._respond(octets, self._udp_memo, self.shortcut) or self.respond_fresh(octets, tcp=False)

    def respond_tcp(
        self, octets: bytes, client: bytes = b"", keepalive: int | None = None
    ) -> bytes | Forward | Close | None:
        """The same for a message over TCP, without its length octets."""
        if len(octets) < 12 or octets[2] & 0x80:
            self.counters["ignored"] += 1
            return CLOSE
        return self._respond(octets, self._tcp_memo, self._tcp_shortcut) or self.respond_fresh(octets, tcp=True)

    def _respond(self, octets: bytes, memo: Memo[Parts], shortcut: Shortcut) -> bytes | None:
        """The reply to a usual question; None for an unusual one."""
        key = any_key(octets)
        entry = memo.entries.get(key)
        if entry is not None:
            self.hits += 1
            head, tail, end = next(entry)
            return octets[:2] + head + octets[12:end] + tail
        rendering = shortcut.render(key)
        if rendering is None:
            return None
        self.misses += 1
        if memo.wants(key, found=rendering.found):
            learn(memo, key, rendering, shortcut)
        return octets[:2] + rendering.head + octets[12 : rendering.question_end] + rendering.tail

    def respond_fresh(self, octets: bytes, *, tcp: bool) -> bytes | Forward | None:
        """The reply to any message at all; nothing is remembered."""
        query = msg.parse(octets)
        if isinstance(query, Rejected):
            self.counters["rejected"] += 1
            return query.reply()
        if query is None:
            self.counters["ignored"] += 1
            return None
        limit = msg.TCP_SIZE if tcp else msg.udp_limit(query.edns)
        reply = self._answerer.reply(query, limit, tcp=tcp)
        if isinstance(reply, bytes):
            self.misses += 1
        return reply


def learn(memo: Memo[T], key: bytes, rendering: Rendering, shortcut: Shortcut) -> None:
    """Remember what `shortcut` renders for `key`. Not between a look-up and the sending of what was found.

    `rendering` was made for the one who asked just now.
    """
    several = rendering.head[4:6] > _ONE
    whole = shortcut.render(key, MAX_ROTATIONS) if several else rendering
    if whole is not None and whole.keep and len(whole.tail) <= LARGEST_KEPT:
        tails = whole.orders or (whole.tail,)
        other = twin(key) if whole.question_end + len(whole.tail) <= msg.PLAIN_UDP_SIZE else b""
        keys = (key, other) if other else (key,)
        memo.remember(keys, whole.head, tails, whole.question_end, found=whole.found)
