"""On what terms questions about outside names are forwarded, and which are answered here instead. Pure."""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple, Protocol

from mesos_dns.dns import message as msg
from mesos_dns.dns.message import Query
from mesos_dns.metrics import Counts, counter
from mesos_dns.serve.forward.loops import LoopWatch
from mesos_dns.serve.forward.options import Upstream
from mesos_dns.serve.forward.private import PrivateZones
from mesos_dns.serve.request import Forward

_PRIVATE: Final = counter("forward_private", "Questions for names in private zones, answered here.")
_NOT_RECURSIVE: Final = counter("forward_not_recursive", "Questions without RD, refused.")


class Refuse(Protocol):
    """Makes a whole reply that says an RCODE, and to clients with EDNS an extended error with a text, and further options."""

    def __call__(
        self, query: Query, rcode: int, ede: int | None = None, text: bytes = b"", options: bytes = b""
    ) -> bytes:
        """The reply to `query`."""


class Terms(NamedTuple):
    """What a forwarder may do.

    `own`: apexes of our own zones, about which upstreams are not believed. `trusted`: the upstreams whose AD flag is passed on.
    `private`: zones that are answered here. `non_recursive`: questions without RD are forwarded like others. `loops`: the watch for
    upstreams that lead back here.
    """

    own: Sequence[bytes] = ()
    trusted: Collection[Upstream] = ()
    private: PrivateZones = PrivateZones((), (), recursion=False)
    non_recursive: bool = False
    loops: LoopWatch = LoopWatch(b"", ())

    def answer_here(self, forward: Forward, refuse: Refuse, counts: Counts) -> bytes | None:
        """The whole reply to a question that is not for an upstream, whoever that is; None for the others.

        RD says that the server may ask others (RFC 1034 section 4.3.1). Without it only what is known here is an answer: about outside
        names that is nothing, and for these this server is no authority.
        """
        reply = self.private.answer(forward)
        if reply is not None:
            counts.add(_PRIVATE)
        elif not (forward.query.flags & msg.RD or self.non_recursive):
            counts.add(_NOT_RECURSIVE)
            reply = refuse(forward.query, msg.REFUSED, msg.EDE_NOT_AUTHORITATIVE, options=forward.options)
        return reply
