"""OPT records with cookies for a whole batch of replies: what differs by client is made with few steps of Python for each."""

from array import array
from collections.abc import Iterable
from typing import Final

from mesos_dns.dns import message as msg
from mesos_dns.serve.cookies import ServerCookies
from mesos_dns.serve.memory import Memory

#: Octets of an OPT record with a cookie, and one more, so that the cookie is three aligned words.
_COOKIE_STRIDE: Final = 40
_COOKIE_AT: Final = _COOKIE_STRIDE - msg.COOKIE_SIZE


class CookieRecords:
    """The OPT records of replies that differ by client: each has a cookie of its own in the room that `opt` has for it.

    Until it is hashed, an IPv4 address lies where the hash will: so what is hashed lies there in one piece.
    """

    def __init__(self, opt: bytes, size: int, cookies: ServerCookies) -> None:
        self._cookies = cookies
        self._memory = Memory(size * _COOKIE_STRIDE)
        places = range(_COOKIE_STRIDE - len(opt), size * _COOKIE_STRIDE, _COOKIE_STRIDE)
        for at in places:
            self._memory.octets[at : at + len(opt)] = opt
        self._starts = memoryview(array("L", (self._memory.address + at for at in places)))
        words = memoryview(self._memory.octets).cast("Q")
        first = _COOKIE_AT // 8
        self._mine, self._heads, self._hashes = (words[first + n :: _COOKIE_STRIDE // 8] for n in range(3))
        self._addresses = memoryview(self._memory.octets).cast("I")[2 * first + 4 :: _COOKIE_STRIDE // 4]

    def fill(self, mine: list[bytes], addresses: memoryview | None, clients: Iterable[bytes] = ()) -> memoryview:
        """Where the records begin that have these client cookies, for these IPv4 addresses; or without those for `clients`."""
        count = len(mine)
        head = self._cookies.head()
        self._mine[:count] = memoryview(b"".join(mine)).cast("Q")
        self._heads[:count] = memoryview(head * count).cast("Q")
        if addresses is None:
            texts = [cookie + head + client for cookie, client in zip(mine, clients)]  # noqa: B905 - as many, and strict costs
        else:
            self._addresses[:count] = addresses
            octets = self._memory.octets[: count * _COOKIE_STRIDE]
            texts = [octets[at : at + 20] for at in range(_COOKIE_AT, count * _COOKIE_STRIDE, _COOKIE_STRIDE)]
        self._hashes[:count] = memoryview(self._cookies.hashes(texts)).cast("Q")
        return self._starts[:count]

    def __repr__(self) -> str:
        return f"CookieRecords({len(self._starts)})"
