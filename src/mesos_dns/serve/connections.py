"""Which connections a listener has, what each waits for, and which has to go for a newcomer. Pure; time comes in.

A connection is in one of three states:

| State | It waits for | It goes |
|---|---|---|
| IDLE | a query, or the rest of one | when idle for too long; for a newcomer, the idlest first |
| UNREAD | its client, which does not take its replies | when idle for too long; for a newcomer if no other is idle and it has stood still |
| ASKING | upstreams, for forwarded queries | never: the forwarder's time-outs end that |

So nothing that is owed an answer is closed as long as there is one that is not (RFC 7766 section 6.2.3).
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from enum import IntEnum
from itertools import chain, takewhile
from typing import Final, Generic, Protocol, TypeVar

#: Seconds without taking an octet after which a client that does not read has to give way to a newcomer: more
#: than any round trip, less than a newcomer's patience.
STANDSTILL: Final = 1.0


class State(IntEnum):
    """What a connection waits for; see the table above."""

    IDLE = 0
    UNREAD = 1
    ASKING = 2


class Connection(Protocol):
    """What is known of a connection here. `state` and `active` are set by `Connections` alone."""

    #: The packed address of its client.
    client: bytes
    state: State
    #: When it was last active.
    active: float


C = TypeVar("C", bound=Connection)


class Connections(Generic[C]):
    """The connections of one listener, at most `most`, and at most `most_per_client` of one address.

    Whoever adds one asks `crowded` first, and removes one of `candidates` if that is true.
    """

    def __init__(self, most: int, most_per_client: int) -> None:
        self.most = most
        self.most_per_client = most_per_client
        #: By state, the one that was active longest ago first.
        self._by_state: tuple[OrderedDict[C, None], ...] = tuple(OrderedDict() for _ in State)
        self._per_client: Counter[bytes] = Counter()
        self._count = 0

    def __repr__(self) -> str:
        return f"Connections({self._count}, clients={len(self._per_client)})"

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[C]:
        return chain.from_iterable(self._by_state)

    def add(self, connection: C, now: float) -> None:
        """Take a new connection, which is idle."""
        connection.state = State.IDLE
        connection.active = now
        self._by_state[State.IDLE][connection] = None
        self._per_client[connection.client] += 1
        self._count += 1

    def remove(self, connection: C) -> None:
        """Forget a connection."""
        del self._by_state[connection.state][connection]
        self._count -= 1
        self._per_client[connection.client] -= 1
        if not self._per_client[connection.client]:
            del self._per_client[connection.client]

    def touch(self, connection: C, state: State, now: float) -> None:
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
        return self._count >= self.most or self._per_client[client] >= self.most_per_client

    def is_over_its_share(self, client: bytes) -> bool:
        """Whether `client` has as many connections as one client may have."""
        return self._per_client[client] >= self.most_per_client

    def under_pressure(self) -> bool:
        """Whether clients should close a connection as soon as they have their answers (RFC 7828 section 3.3.2)."""
        return self._count * 10 >= self.most * 9

    def candidates(self, client: bytes, now: float) -> Iterator[C]:
        """Those that may be closed for a newcomer of `client`, the best first; its own if it has its share already."""
        own = self.is_over_its_share(client)
        for connection in self._by_state[State.IDLE]:
            if not own or connection.client == client:
                yield connection
        for connection in self._by_state[State.UNREAD]:
            if now - connection.active < STANDSTILL:
                break
            if not own or connection.client == client:
                yield connection

    def expired(self, since: float) -> list[C]:
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
        """The client with most connections, and how many it has. There must be one."""
        return self._per_client.most_common(1)[0]
