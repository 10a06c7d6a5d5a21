"""Server cookies: proof that a client receives what is sent to its address (RFC 7873), in the interoperable form of RFC 9018. Pure.

A server cookie is 16 octets: version 1, three reserved octets, the time of its making, and SipHash-2-4, under a secret, of
client cookie, those eight octets and the client's address. Nothing is remembered of any client: who has the secret can tell
whether a cookie is right.

A new one is made for every reply. RFC 9018 section 4.3 asks for that once a cookie is half an hour old and allows it
sooner; to make one takes 0.1 µs, less than to find out whether the client's may be sent back.
"""

import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from hmac import compare_digest
from itertools import repeat
from typing import Final

from siphashc import siphash

from mesos_dns.dns import message as msg
from mesos_dns.serve.keys import any_key, options_of
from mesos_dns.serve.request import Request

#: Octets of a secret: the key of SipHash-2-4 (RFC 9018 section 4.4).
SECRET_SIZE: Final = 16
#: Seconds after its making in which a server cookie is right (RFC 9018 section 4.3): long enough that clients with a question now and then have one.
LIFETIME_SECONDS: Final = 3600
#: The same before its making: clocks of servers that share a secret differ.
AHEAD_SECONDS: Final = 300

#: Version 1, reserved octets, and the time of making: seconds since 1970, modulo 2**32.
_HEAD: Final = struct.Struct("!B3xI")
_VERSION: Final = 1
_HASH: Final = struct.Struct("<Q")
_FULL: Final = msg.COOKIE_SIZE


class ServerCookies:
    """Makes and checks the cookies of this server.

    `secrets` have 16 octets each: with the first cookies are made, and those made with any of them are right. `clock` tells Unix time.
    """

    def __init__(self, secrets: Sequence[bytes], clock: Callable[[], float]) -> None:
        self.use(secrets)
        self._clock = clock

    def __repr__(self) -> str:
        return f"ServerCookies({len(self._secrets)} secrets)"

    def use(self, secrets: Sequence[bytes]) -> None:
        """Work with these secrets from now on. Raises ValueError if one is of another size, or there is none."""
        if not secrets or any(len(secret) != SECRET_SIZE for secret in secrets):
            raise ValueError(f"expected secrets of {SECRET_SIZE} octets, at least one")
        self._secrets = tuple(secrets)

    def head(self) -> bytes:
        """The first half of the server cookies that are made now: 8 octets."""
        return _HEAD.pack(_VERSION, int(self._clock()) & 0xFFFFFFFF)

    def hashes(self, texts: Iterable[bytes]) -> bytes:
        """The second halves, 8 octets each, for many clients; each text is a client cookie, the `head`, and the client."""
        found = array("Q", map(siphash, repeat(self._secrets[0]), texts))
        if sys.byteorder == "big":
            found.byteswap()
        return found.tobytes()

    def option(self, sent: bytes, client: bytes) -> bytes:
        """The COOKIE option for the reply to a client that `sent` a cookie: its own, and a new server cookie."""
        mine = sent[: msg.CLIENT_COOKIE_SIZE]
        head = self.head()
        return msg.option(msg.COOKIE, mine + head + _hash(self._secrets[0], mine, head, client))

    def is_valid(self, sent: bytes, client: bytes) -> bool:
        """Whether a client `sent` a server cookie, behind its own, that was made for it and is not too old (RFC 9018 section 4.3)."""
        # The reserved octets may have any value, and are hashed as they came (RFC 9018 section 4.2).
        if len(sent) != _FULL or sent[msg.CLIENT_COOKIE_SIZE] != _VERSION:
            return False
        mine, head, hashed = sent[:8], sent[8:16], sent[16:]
        # Serial numbers (RFC 1982): the time wraps around in 2106.
        age = (int(self._clock()) - _HEAD.unpack(head)[1] + AHEAD_SECONDS) & 0xFFFFFFFF
        if age > LIFETIME_SECONDS + AHEAD_SECONDS:
            return False
        return any(compare_digest(hashed, _hash(secret, mine, head, client)) for secret in self._secrets)

    def has_valid_cookie(self, request: Request) -> bool:
        """Whether the client has shown that it receives what is sent to its address. Any octets may come.

        For policies: who has is no spoofed source, and whoever has not but sends a client cookie (`has_cookie`) can be told to come
        again with one, by `Refuse(BADCOOKIE)`.
        """
        sent = cookie_of(request.octets)
        return bool(sent) and self.is_valid(sent, request.client)


def cookie_of(octets: bytes) -> bytes:
    """The data of the COOKIE option of a usual query: 8 octets, or 16 to 40. Empty without one, and for any other octets."""
    return msg.find_option(options_of(any_key(octets), octets), msg.COOKIE) or b""


def has_cookie(request: Request) -> bool:
    """Whether the client sent a cookie of any kind: then it understands BADCOOKIE (RFC 7873 section 5.2.3)."""
    return bool(cookie_of(request.octets))


def _hash(secret: bytes, mine: bytes, head: bytes, client: bytes) -> bytes:
    return _HASH.pack(siphash(secret, mine + head + client))
