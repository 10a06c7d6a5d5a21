"""Names that are not ours: ask the upstreams, in order, and pass their answer on."""

import asyncio
import logging
import secrets
import socket
import struct
from collections.abc import Callable, Mapping, Sequence

from mesos_dns.concurrency import spawn
from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns.message import Query
from mesos_dns.limits import MAX_FORWARDS
from mesos_dns.logs import RateLimited
from mesos_dns.serve import relay
from mesos_dns.serve.request import Forward

log = logging.getLogger(__name__)

#: Host (an address) and port.
Upstream = tuple[str, int]


class Forwarder:
    """Asks upstreams over UDP, over TCP when the answer is truncated.

    `upstreams` maps zones (lower-case wire form, the root for all the rest) to servers in order of
    preference; `timeout` is seconds for each attempt. Any RCODE is an answer and ends the search; the next
    server is asked only if one is silent or unreachable.
    """

    def __init__(
        self,
        upstreams: Mapping[bytes, Sequence[Upstream]],
        timeout: float,
        *,
        truncate_bit: bool,
        refuse: Callable[[Query, int, int], bytes],
    ) -> None:
        self._upstreams = upstreams
        self._timeout = timeout
        self._truncate_bit = truncate_bit
        self._refuse = refuse
        self._pending = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._warn = RateLimited(log)
        self.counters = {"forwarded": 0, "forward_refused": 0, "forward_failed": 0, "forward_shed": 0}

    def __repr__(self) -> str:
        return f"Forwarder(zones={len(self._upstreams)}, pending={self._pending})"

    def submit(self, forward: Forward, limit: int, send: Callable[[bytes], None]) -> None:
        """Answer `forward` with at most `limit` octets by calling `send`, now or later, exactly once."""
        query = forward.query
        servers = self.servers_for(query.name)
        if not servers:
            self.counters["forward_refused"] += 1
            send(self._refuse(query, msg.REFUSED, msg.EDE_PROHIBITED))
        elif self._pending >= MAX_FORWARDS:
            # Names of the zone must stay answerable when the upstreams hang.
            self.counters["forward_shed"] += 1
            send(self._refuse(query, msg.SERVFAIL, msg.EDE_NO_REACHABLE_AUTHORITY))
        else:
            self._pending += 1
            self._idle.clear()
            spawn(self._answer(query, servers, limit, send), name="forward")

    def servers_for(self, name: bytes) -> Sequence[Upstream]:
        """The upstreams of the closest zone above `name`; none of the default ones if that has none."""
        while name not in self._upstreams:
            if name == names.ROOT:
                return ()
            name = names.parent(name)
        return self._upstreams[name]

    async def drained(self) -> None:
        """Wait until no query is pending."""
        await self._idle.wait()

    async def _answer(
        self, query: Query, servers: Sequence[Upstream], limit: int, send: Callable[[bytes], None]
    ) -> None:
        try:
            reply = await self._ask(query, servers, limit)
            if reply is None:
                self.counters["forward_failed"] += 1
                reply = self._refuse(query, msg.SERVFAIL, msg.EDE_NO_REACHABLE_AUTHORITY)
            else:
                self.counters["forwarded"] += 1
            send(reply)
        finally:
            self._pending -= 1
            if not self._pending:
                self._idle.set()

    async def _ask(self, query: Query, servers: Sequence[Upstream], limit: int) -> bytes | None:
        for server in servers:
            sent = relay.question(query, secrets.randbits(16))
            length = query.question_end - 12
            try:
                reply = await _exchange_udp(server, sent, length, within=self._timeout)
                if relay.is_truncated(reply):
                    reply = await self._retry_tcp(server, sent, length, reply)
                return relay.relay(reply, query, limit, truncate_bit=self._truncate_bit)
            except TimeoutError:
                reason = f"no answer within {self._timeout:g} s"
            except (OSError, relay.BadReplyError) as error:
                reason = str(error)
            self._warn.warning(
                f"{server}", "upstream %s port %d failed: %s; the next one is asked, if there is one", *server, reason
            )
        return None

    async def _retry_tcp(self, server: Upstream, sent: bytes, length: int, truncated: bytes) -> bytes:
        """The answer over TCP; if that cannot be had, the truncated one, which says so itself."""
        try:
            async with asyncio.timeout(self._timeout):
                return await _exchange_tcp(server, sent, length)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self._warn.warning(f"tcp {server}", "upstream %s port %d does not answer over TCP: %s", *server, error)
            return truncated


async def _exchange_udp(server: Upstream, sent: bytes, question_length: int, *, within: float) -> bytes:
    """One question from a fresh socket, hence a fresh source port.

    The socket is connected: the kernel drops what other addresses send. Datagrams that do not answer
    the question are passed over. Raises TimeoutError or OSError.
    """
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bytes] = loop.create_future()

    def on_readable() -> None:
        try:
            # Not until nothing is left: a flood of forged replies would never let go of the loop.
            for _ in range(16):
                reply = sock.recv(msg.TCP_SIZE)
                if relay.answers(reply, sent, question_length) and not answered.done():
                    answered.set_result(reply)
                    return
        except BlockingIOError:
            pass
        except OSError as error:
            if not answered.done():
                answered.set_exception(error)

    def on_timeout() -> None:
        if not answered.done():
            answered.set_exception(TimeoutError())

    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.connect(server)
        sock.send(sent)
        loop.add_reader(sock.fileno(), on_readable)
        timer = loop.call_later(within, on_timeout)
        try:
            return await answered
        finally:
            timer.cancel()
            loop.remove_reader(sock.fileno())


async def _exchange_tcp(server: Upstream, sent: bytes, question_length: int) -> bytes:
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(struct.pack("!H", len(sent)) + sent)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        reply = await reader.readexactly(length)
    finally:
        writer.close()
    if not relay.answers(reply, sent, question_length):
        raise relay.BadReplyError("over TCP it answers another question")
    return reply
