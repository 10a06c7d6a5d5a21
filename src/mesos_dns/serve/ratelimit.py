"""Response rate limiting: how often the same is said to the same network. Pure; time comes in.

Who sends queries with the address of somebody else has the answers sent to that one, and answers are larger than queries. Real clients seldom
ask the same again within a second. So responses over UDP are counted by the network that they go to and by what they say, as BIND,
NSD and Knot do it; what is beyond the limit is dropped, or cut to nothing but the TC flag, so that a real client asks over TCP.

| What a response says | It is counted by |
|---|---|
| records | the name that was asked |
| NXDOMAIN, or no records | the zone: an attacker can make up names without end |
| an error | nothing more |

Each account begins with as many responses as the rate allows in a second. When they are used up it gets what the time since then has brought,
at most the same again; while it is overdrawn responses are held back. So nothing gets more than the rate for long, nor more than twice
the rate at once, and an attack is held back for as long as it lasts, and up to `window` seconds longer.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Final, NamedTuple

import msgspec

from mesos_dns.dns import message as msg
from mesos_dns.dns.prefixes import ClientList, Clients, Prefix, client_of, prefix_of
from mesos_dns.serve.keys import BEHIND_NAME, BEHIND_NAME_EDNS, NAME, owner_of

#: Accounts that a worker keeps, 20 MB: attackers may use all addresses that there are. Those that were used last stay.
MAX_ACCOUNTS: Final = 50_000
#: Clients whose network is remembered. Beyond, all are forgotten.
MAX_NETWORKS: Final = 65_536

#: In the place of a name: what stands in front of a zone, and errors. No name begins with such an octet.
_NEGATIVE: Final = b"\xff"
_ERROR: Final = b""
#: Whom nobody limits, in the place of a network.
_EXEMPT: Final = b""
_NOBODY: Final = ClientList(allowed=())


class Rates(msgspec.Struct, frozen=True, array_like=True):
    """How much is too much. Responses a second: those with records, to a name; negative ones, about a zone; errors.

    `share` is the part of each rate that one worker allows for long; all of it, for a moment. `window` are the seconds in which an account
    that is overdrawn as far as possible comes back to zero. Each `slip`th response that is held back is truncated, the others are
    dropped; 0: all. Networks are what the first `ipv4` and `ipv6` bits of an address say. `exempt` are not limited. `log_only`:
    nothing is held back, only counted and told.
    """

    responses: int
    nxdomains: int
    errors: int
    share: float = 1.0
    window: int = 15
    slip: int = 2
    ipv4: int = 24
    ipv6: int = 56
    exempt: ClientList = _NOBODY
    log_only: bool = False


class Fate(Enum):
    """What becomes of a response beyond the limit."""

    DROPPED = "dropped"
    TRUNCATED = "truncated"
    #: An error has nothing to truncate: it is sent as it is.
    SENT = "sent"


class Over(NamedTuple):
    """Response number `place` of those that were judged is beyond the limit."""

    place: int
    fate: Fate
    network: Prefix
    #: The name or the zone that it is about, in wire form; empty for an error.
    about: bytes
    negative: bool


class _Account:
    """How many responses are left, but for what time has brought since `seen`; below zero: how many were too many."""

    __slots__ = ("held", "left", "seen")

    def __init__(self, left: float, now: float) -> None:
        self.left = left
        self.seen = now
        #: Responses that were held back.
        self.held = 0


class RateLimiter:
    """The accounts of one worker. `zone_of` gives the apex of the zone that a name (lower case) lies in, and empty octets for names outside."""

    def __init__(self, rates: Rates, zone_of: Callable[[bytes], bytes]) -> None:
        self.rates = rates
        self.exempt = Clients(rates.exempt)
        self._zone_of = zone_of
        #: The network of each client, packed.
        self._networks: dict[bytes, bytes] = {}
        #: By network and what is said, the one that was used longest ago first.
        self._accounts: OrderedDict[tuple[bytes, bytes], _Account] = OrderedDict()

    def __repr__(self) -> str:
        return f"RateLimiter({self.rates!r}, accounts={len(self)})"

    def __len__(self) -> int:
        return len(self._accounts)

    def use(self, networks: Sequence[Prefix]) -> None:
        """Take other networks of this machine."""
        self.exempt.use(networks)
        self._networks.clear()

    def judge(
        self, clients: Iterable[bytes], keys: Iterable[bytes], heads: Iterable[bytes], now: float, *, at: int = 0
    ) -> list[Over]:
        """Count responses, and tell which are beyond the limit.

        Of each: the packed address of its client, the key of its query (see `keys`), and octets in which octets 2 to 12 of its header
        stand from `at` on; all zeros for no response.
        """
        over = []
        networks, accounts = self._networks, self._accounts
        code, high, low = at + 1, at + 4, at + 5
        for place, (client, key, head) in enumerate(zip(clients, keys, heads)):  # noqa: B905 - strict costs
            network = networks.get(client)
            if network is None:
                network = self._network(client)
            if not (network and head[at]):
                continue
            if (head[low] or head[high]) and not head[code] & 15:
                # As `owner_of`, without a call.
                about = key[NAME : -BEHIND_NAME_EDNS if key[NAME - 1] else -BEHIND_NAME]
            else:
                about = self._about(key, head[code] & 15)
            account = accounts.get((network, about)) or self._open(network, about, now)
            account.left -= 1.0
            # What time has brought is only looked at when it is needed.
            if account.left < 0 and self._catch_up(network, about, account, now) < 0:
                over.append(self._held(place, network, about, account))
        return over

    def _network(self, client: bytes) -> bytes:
        if len(self._networks) >= MAX_NETWORKS:
            self._networks.clear()
        bare = client_of(client)
        is_exempt = not bare or self.exempt.allows(bare)
        network = self._networks[client] = _EXEMPT if is_exempt else prefix_of(bare, self._length(bare)).network
        return network

    def _length(self, network: bytes) -> int:
        return self.rates.ipv4 if len(network) == 4 else self.rates.ipv6

    def _about(self, key: bytes, rcode: int) -> bytes:
        """What stands in the place of the name for a response without records."""
        if rcode not in (msg.NOERROR, msg.NXDOMAIN):
            return _ERROR
        return _NEGATIVE + self._zone_of(owner_of(key))

    def _rate(self, about: bytes) -> int:
        rates = self.rates
        if about == _ERROR:
            return rates.errors
        return rates.nxdomains if about[:1] == _NEGATIVE else rates.responses

    def _open(self, network: bytes, about: bytes, now: float) -> _Account:
        """A new account, in the place of the one that was not looked at for longest if there are too many."""
        if len(self._accounts) >= MAX_ACCOUNTS:
            self._accounts.popitem(last=False)
        account = self._accounts[network, about] = _Account(self._rate(about), now)
        return account

    def _catch_up(self, network: bytes, about: bytes, account: _Account, now: float) -> float:
        """Add what time has brought since the last time; what is left then."""
        rate = self._rate(about)
        growth = rate * self.rates.share
        # The response that is judged has been taken off already.
        account.left = min(rate - 1.0, account.left + (now - account.seen) * growth)
        account.left = max(account.left, -self.rates.window * growth)
        account.seen = now
        self._accounts.move_to_end((network, about))
        return account.left

    def _held(self, place: int, network: bytes, about: bytes, account: _Account) -> Over:
        account.held += 1
        slips = self.rates.slip and account.held % self.rates.slip == 0
        fate = (Fate.SENT if about == _ERROR else Fate.TRUNCATED) if slips else Fate.DROPPED
        negative = about[:1] == _NEGATIVE
        prefix = Prefix(network, self._length(network))
        return Over(place, fate, prefix, about[1:] if negative else about, negative)
