"""Responses over UDP that say too often the same are held back: `ratelimit` decides, this carries it out, counts and tells. Edge."""

import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns.message import CookieQuery, Query, Rejected
from mesos_dns.dns.rdata import address_text
from mesos_dns.logs import RateLimited
from mesos_dns.metrics import Counts, counter
from mesos_dns.serve.answer import clean_wildcards
from mesos_dns.serve.batch import HEADER_AT, SILENCE, Batch, truncated
from mesos_dns.serve.keys import BEHIND_NAME, NAME
from mesos_dns.serve.policy import Credentials, Unknown
from mesos_dns.serve.ratelimit import Fate, Over, RateLimiter
from mesos_dns.serve.render import cut
from mesos_dns.serve.request import Forward

log = logging.getLogger(__name__)

_LIMITED: Final = counter(
    "rate_limited",
    "Responses over UDP beyond a rate limit: dropped, truncated, replaced by BADCOOKIE, sent as an error, sent to a client with a valid "
    "cookie, or sent since limits are only logged.",
    fate=("dropped", "truncated", "challenged", "sent", "trusted", "logged"),
)


#: Octets of the ID, in front of the rest of the header.
_ID: Final = 2


class ResponseLimit:
    """Rate limits of the UDP listeners of one worker. `credentials` tell whose address is proven: those are not held back."""

    def __init__(self, limiter: RateLimiter, counters: Counts, credentials: Credentials | None = None) -> None:
        self.limiter = limiter
        self._counters = counters
        self._credentials = credentials or Unknown()
        self._warn = RateLimited(log)

    def __repr__(self) -> str:
        return f"ResponseLimit({self.limiter!r})"

    def batch(self, datagrams: Batch, keys: Sequence[bytes], lengths: Sequence[int], descriptors: list[bytes]) -> None:
        """Replace, among what a batch of datagrams is answered with, what is beyond the limit.

        Whole replies are not looked at: those go through `reply`.
        """
        clients = datagrams.sources(len(descriptors))
        for over in self.limiter.judge(clients, keys, descriptors, monotonic(), at=HEADER_AT):
            i = over.place
            fate, instead = self._decide(over, datagrams.datagram(i, lengths[i]), clients[i])
            if instead is not None:
                descriptors[i] = datagrams.whole(i, instead)
            elif fate is Fate.DROPPED:
                descriptors[i] = SILENCE
            elif fate is Fate.TRUNCATED:
                descriptors[i] = truncated(descriptors[i])

    def reply(self, octets: bytes, client: bytes, reply: bytes, key: bytes = b"") -> bytes | None:
        """What is sent in the place of the whole `reply` to the query `octets`: mostly that; None for nothing.

        `key` is that of the query, or empty if it is not known.
        """
        key = key or _key(msg.parse(octets))
        for over in self.limiter.judge((client,), (key,), (reply,), monotonic(), at=_ID):
            fate, instead = self._decide(over, octets, client)
            if instead is not None:
                return instead
            if fate is Fate.DROPPED:
                return None
            if fate is Fate.TRUNCATED and isinstance(query := msg.parse(octets), Query):
                return cut(query, reply[3] & 15).message(octets)
        return reply

    def sender(self, forward: Forward, send: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Sends the reply to a forwarded query with `send`, unless that is beyond the limit."""

        def limited(reply: bytes) -> None:
            allowed = self.reply(forward.query.octets, forward.client, reply)
            if allowed is not None:
                send(allowed)

        return limited

    def _decide(self, over: Over, octets: bytes, client: bytes) -> tuple[Fate, bytes | None]:
        """What becomes of a response beyond the limit, and what is sent instead if that is another one."""
        fate, instead, counted = over.fate, None, over.fate.value
        if self.limiter.rates.log_only:
            fate, counted = Fate.SENT, "logged"
        elif self._credentials.proven(octets, client):
            fate, counted = Fate.SENT, "trusted"
        elif fate is Fate.TRUNCATED:
            instead = self._credentials.challenge(octets, client)
            counted = counted if instead is None else "challenged"
        self._counters.add(_LIMITED, counted)
        if counted != "trusted":
            self._tell(over)
        return fate, instead

    def _tell(self, over: Over) -> None:
        about = names.to_text(over.about) if over.about else "names outside" if over.negative else ""
        kind = "negative responses about" if over.negative else "responses with records of" if about else "errors"
        self._warn.warning(
            "limit",
            "rate limit: too many %s to %s/%d%s",
            f"{kind} {about}".strip(),
            address_text(over.network.network),
            over.network.length,
            ", which are sent all the same (RateLimit.LogOnly)" if self.limiter.rates.log_only else "",
        )


def _key(query: Query | CookieQuery | Rejected | None) -> bytes:
    """A key with the name that is looked up for a query: the many spellings of one name with `.*` are one. The root if there is none."""
    name = query.name if isinstance(query, Query) else names.ROOT
    return bytes(NAME) + (clean_wildcards(name) if b"*" in name else name) + bytes(BEHIND_NAME)
