"""Which connections a listener has, what each waits for, and which has to go for a newcomer. Pure; time comes in.

A connection is in one of three states:

| State | It waits for | It goes |
|---|---|---|
| IDLE | a query, or the rest of one | when idle for too long; for a newcomer, the idlest first |
| UNREAD | its client, which does not take its replies | when idle for too long; for a newcomer if no other is idle and it has stood still |
| ASKING | upstreams, for forwarded queries | never: the forwarder's time-outs end that |

So nothing that is owed an answer is closed as long as there is one that is not (RFC 7766 section 6.2.3).
"""

from collections import OrderedDict
from collections.abc import Iterator
from enum import IntEnum
from itertools import chain, takewhile
from operator import itemgetter
from typing import Final

from mesos_dns.dns.rdata import address_text

#: Seconds without taking an octet after which a client that does not read has to give way to a newcomer: more
#: than any round trip, less than a newcomer's patience.
STANDSTILL: Final = 1.0
#: Files of a worker that are no connections of clients: for upstreams, the 256 UDP sockets to each of three (`forward/pool.py`) and some
#: truncated answers that are asked for over TCP, a socket each. Whatever is beyond fails alone. And a few of its own.
_UPSTREAM_FILES: Final = 1000
_OWN_FILES: Final = 50


def holder_of(client: bytes) -> bytes:
    """Whose share of the connections a client uses: that of its IPv4 address, or of its IPv6 network of 64 bits, all of which it may have."""
    return client if len(client) == 4 else client[:8] + bytes(8)


def holder_text(holder: bytes) -> str:
    """A holder for people."""
    return address_text(holder) if len(holder) == 4 else f"{address_text(holder)}/64"


class State(IntEnum):
    """What a connection waits for; see the table above."""

    IDLE = 0
    UNREAD = 1
    ASKING = 2


class Connection:
    """One client's connection: values only, the listener does the work.

    What a short-lived connection never alters stands in the class: to set it costs a microsecond.
    """

    state = State.IDLE
    #: When it was last active. This and `state` are set by `Connections` alone.
    active = 0.0
    #: What was received and not answered yet; begins with a query's length.
    buffer = b""
    #: Replies that the client has not taken yet.
    unsent: bytearray | None = None
    #: Queries whose forwarded answer is still to come.
    pending = 0
    #: What the poller watches for; None until it does.
    watched: int | None = None
    #: It is about to be served.
    queued = False
    #: Its queries are being answered right now.
    answering = False
    #: Nothing more is read: it is closed when nothing is owed to it any more.
    ending = False
    closed = False

    def __init__(self, fd: int, client: bytes) -> None:
        """`client` is its packed address."""
        self.fd = fd
        self.client = client
        self.holder = holder_of(client)

    def __repr__(self) -> str:
        return f"Connection({address_text(self.client)}, {self.state.name}, pending={self.pending})"

    def has_query(self) -> bool:
        """Whether a complete query is in the buffer."""
        buffer = self.buffer
        return len(buffer) >= 2 and len(buffer) >= 2 + (buffer[0] << 8 | buffer[1])


class Connections:
    """The connections of one listener, at most `most`, and at most `most_per_client` of one holder.

    Whoever adds one asks `crowded` first, and removes one of `candidates` if that is true.
    """

    def __init__(self, most: int, most_per_client: int) -> None:
        self.most = most
        self.most_per_client = most_per_client
        #: By state, the one that was active longest ago first.
        self._by_state: tuple[OrderedDict[Connection, None], ...] = tuple(OrderedDict() for _ in State)
        #: Connections of each holder.
        self._held: dict[bytes, int] = {}
        self._count = 0

    def __repr__(self) -> str:
        return f"Connections({self._count}, clients={len(self._held)})"

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Connection]:
        return chain.from_iterable(self._by_state)

    def add(self, connection: Connection, now: float) -> None:
        """Take a new connection, which is idle."""
        connection.state = State.IDLE
        connection.active = now
        self._by_state[State.IDLE][connection] = None
        self._held[connection.holder] = self._held.get(connection.holder, 0) + 1
        self._count += 1

    def remove(self, connection: Connection) -> None:
        """Forget a connection."""
        del self._by_state[connection.state][connection]
        self._count -= 1
        left = self._held[connection.holder] - 1
        if left:
            self._held[connection.holder] = left
        else:
            del self._held[connection.holder]

    def touch(self, connection: Connection, state: State, now: float) -> None:
        """The connection was active, and is in `state` now."""
        connection.active = now
        if connection.state is state:
            self._by_state[state].move_to_end(connection)
        else:
            del self._by_state[connection.state][connection]
            connection.state = state
            self._by_state[state][connection] = None

    # --- who has to go -------------------------------------------------------------------------

    def crowded(self, client: bytes) -> bool:
        """Whether no other connection of `client` is within the bounds."""
        return self._count >= self.most or self._held.get(holder_of(client), 0) >= self.most_per_client

    def is_over_its_share(self, client: bytes) -> bool:
        """Whether `client` has as many connections as one client may have."""
        return self._held.get(holder_of(client), 0) >= self.most_per_client

    def under_pressure(self) -> bool:
        """Whether clients should close a connection as soon as they have their answers (RFC 7828 section 3.3.2)."""
        return self._count * 10 >= self.most * 9

    def candidates(self, client: bytes, now: float) -> Iterator[Connection]:
        """Those that may be closed for a newcomer of `client`, the best first; its own if it has its share already."""
        own, holder = self.is_over_its_share(client), holder_of(client)
        for connection in self._by_state[State.IDLE]:
            if not own or connection.holder == holder:
                yield connection
        for connection in self._by_state[State.UNREAD]:
            if now - connection.active < STANDSTILL:
                break
            if not own or connection.holder == holder:
                yield connection

    def expired(self, since: float) -> list[Connection]:
        """Those that wait for their client and were not active since then, nor at that time."""
        return [
            connection
            for state in (State.IDLE, State.UNREAD)
            for connection in takewhile(lambda each: each.active <= since, self._by_state[state])
        ]

    def oldest(self) -> float | None:
        """When the one was last active that will expire first; None if none can."""
        firsts = [
            next(iter(self._by_state[state])).active for state in (State.IDLE, State.UNREAD) if self._by_state[state]
        ]
        return min(firsts, default=None)

    def wait_for_clients(self) -> bool:
        """Whether any connection waits for its client."""
        return bool(self._by_state[State.IDLE] or self._by_state[State.UNREAD])

    def largest_holder(self) -> tuple[bytes, int]:
        """Who holds most connections, and how many. There must be one."""
        return max(self._held.items(), key=itemgetter(1))


def files_needed(connections: int) -> int:
    """How many files a worker may have open with so many connections."""
    return connections + _UPSTREAM_FILES + _OWN_FILES


def most_within(files: int) -> int:
    """How many connections to take with a lower limit of open files: half of them, the others are for upstreams."""
    return max(1, (files - _OWN_FILES) // 2)
