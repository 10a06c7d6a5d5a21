"""Whom to ask next on the way to the leading master. Pure: it decides, others ask.

A round starts with the master that answered last time, then goes through the configured ones in order. On the way:

| answer | next |
|---|---|
| a state that names its own master as leader | done |
| a state that names another leader (masters before Mesos 1.0 answer 200 without leading) | that leader: address and port of its PID |
| a state without `pid` that names another leader | that leader; if the asked one was already a named leader: done |
| a state without `leader`; 503 | the next master |
| 307 to an address | that address |
| 307 to a host name | the other masters first: the name may be one that only this program could resolve |
| anything else | the next master |

Nobody is asked twice in a round, so two masters that point at each other (a dead leader's node lives on for some
seconds) end it. Those that a former round still waits for count as asked.
"""

import ipaddress
from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

from mesos_dns.mesos.errors import MasterError, NobodyAnsweredError, NoLeaderError, NotLeadingError, RedirectError
from mesos_dns.mesos.state import Endpoint

#: Endpoints asked in one round beyond the configured masters: leaders and redirect targets that are not in the list.
MAX_UNLISTED_MASTERS: Final = 8


class LeaderSearch:
    """One round. Call `next` for an endpoint, then `accepts` or `failed` with what came of it, until done."""

    def __init__(
        self, masters: Iterable[Endpoint], last: Endpoint | None = None, *, asked: Iterable[Endpoint] = ()
    ) -> None:
        first = () if last is None else (last,)
        self._waiting = deque(dict.fromkeys((*first, *masters)))
        self._last_resort: deque[Endpoint] = deque()
        self._asked: set[Endpoint] = set(asked)
        self._named: set[Endpoint] = set()
        #: How many masters said of each that it leads.
        self.votes: Counter[Endpoint] = Counter()
        self._listed = frozenset(self._waiting)
        self._errors: list[MasterError] = []

    def __repr__(self) -> str:
        return f"LeaderSearch(asked={sorted(map(str, self._asked))}, waiting={[*map(str, self._waiting)]})"

    @property
    def errors(self) -> tuple[MasterError, ...]:
        """What came of those asked so far, in the order in which it came."""
        return tuple(self._errors)

    def next(self) -> Endpoint:
        """Return the endpoint to ask; raise NobodyAnsweredError when there is none left."""
        endpoint = self.pick()
        if endpoint is None:
            raise NobodyAnsweredError(self.errors)
        return endpoint

    def pick(self) -> Endpoint | None:
        """Return the endpoint to ask, None if there is none left for now."""
        while self._waiting or self._last_resort:
            endpoint = (self._waiting or self._last_resort).popleft()
            if endpoint in self._asked:
                continue
            if endpoint not in self._listed and len(self._asked - self._listed) >= MAX_UNLISTED_MASTERS:
                continue
            self._asked.add(endpoint)
            return endpoint
        return None

    def failed(self, error: MasterError) -> None:
        """Take note that an endpoint did not answer with a state."""
        # Without its traceback, which holds the frame that holds this search: a circle, and with it the whole answer.
        self._errors.append(error.with_traceback(None))
        if isinstance(error, RedirectError) and error.location is not None:
            if error.location != error.endpoint:
                self.votes[error.location] += 1
            if _is_address(error.location.host):
                self._waiting.appendleft(error.location)
            else:
                self._last_resort.append(error.location)

    def accepts(self, asked: Endpoint, *, pid: Endpoint | None, leader: Endpoint | None) -> bool:
        """Whether the state that `asked` gave, with these fields, is the leader's. If not, `next` goes on."""
        if leader is None:
            self._errors.append(NoLeaderError(asked, "its state names no leader: an election may be going on"))
            return False
        if leader == (pid or asked) or (pid is None and asked in self._named):
            return True
        self.votes[leader] += 1
        self._errors.append(NotLeadingError(asked, f"does not lead, and its leader {leader} gave no state either"))
        self._named.add(leader)
        self._waiting.appendleft(leader)
        return False


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
