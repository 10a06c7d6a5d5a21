"""What a client may ask: the seam for access rules, rate limits and cookies. Pure.

A listener without a policy asks none: what it costs then is one comparison for each batch.
"""

from typing import Final, NamedTuple, Protocol

from mesos_dns.dns import message as msg
from mesos_dns.dns.prefixes import Clients
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

#: What becomes of the questions of those who may not ask them.
PROHIBITED: Final = Refuse(msg.REFUSED, msg.EDE_PROHIBITED)


class Policy(Protocol):
    """Judges every request before it is answered, from the cache as well."""

    @property
    def usual(self) -> set[bytes] | frozenset[bytes]:
        """Clients, by their packed addresses as they came in, all of whose requests get the usual answer: they need not be judged."""

    def judge(self, request: Request) -> Verdict | None:
        """What becomes of a request. None is the same as a plain `Answer`, and the fastest. Any octets may come."""


class Credentials(Protocol):
    """Tells who has proven that its address is its own, as with a server cookie (RFC 7873): whom rate limits need not hold back."""

    def proven(self, octets: bytes, client: bytes) -> bool:
        """Whether this datagram proves it. Any octets may come."""

    def challenge(self, octets: bytes, client: bytes) -> bytes | None:
        """The whole reply that lets its sender prove it the next time (BADCOOKIE); None if it cannot, and is to be told to use TCP."""


class Unknown:
    """Credentials of those who have none."""

    def __repr__(self) -> str:
        return "Unknown()"

    def proven(self, octets: bytes, client: bytes) -> bool:  # noqa: ARG002 - part of Credentials
        """Part of Credentials."""
        return False

    def challenge(self, octets: bytes, client: bytes) -> bytes | None:  # noqa: ARG002 - part of Credentials
        """Part of Credentials."""
        return None


class Access:
    """Only those on a list may ask anything."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def __repr__(self) -> str:
        return f"Access({self._clients!r})"

    @property
    def usual(self) -> set[bytes]:
        """Part of Policy."""
        return self._clients.known

    def judge(self, request: Request) -> Verdict | None:
        """Part of Policy."""
        return None if self._clients.allows(request.client) else PROHIBITED
