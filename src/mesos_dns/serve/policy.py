"""What a client may ask: the seam for access rules, rate limits and cookies. Pure.

A listener without a policy asks none: what it costs then is one comparison for each batch.
"""

from typing import NamedTuple, Protocol

from mesos_dns.serve.request import Request


class Drop(NamedTuple):
    """No reply."""


class Refuse(NamedTuple):
    """A reply with this RCODE, and with EDNS this extended error (RFC 8914)."""

    rcode: int
    ede: int | None = None


class Answer(NamedTuple):
    """The answer, with these EDNS options, in wire form, if the query has an OPT record."""

    options: bytes = b""


Verdict = Drop | Refuse | Answer


class Policy(Protocol):
    """Judges every request before it is answered, from the cache as well."""

    def judge(self, request: Request) -> Verdict | None:
        """What becomes of a request. None is the same as a plain `Answer`, and the fastest. Any octets may come."""
