"""This server's certificate and its key, as values: when it is valid, and what to say about that. Pure."""

import datetime as dt
import math
from typing import Final, NamedTuple

import msgspec

#: Seconds before its end from which a certificate is worth a warning: two weekends.
EXPIRY_WARNING_SECONDS: Final = 14 * 86_400
_DAY: Final = 86_400


class KeyPair(msgspec.Struct, frozen=True, array_like=True):
    """A chain of certificates, this server's own first, and its private key, not encrypted; both PEM."""

    chain: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"KeyPair({len(self.chain)} octets, and a key)"


class Certificate(msgspec.Struct, frozen=True):
    """A pair that was checked: it is valid from `since` until `until` (Unix times). `file` is where the chain was read, for people."""

    pair: KeyPair
    file: str
    since: float
    until: float

    def trouble(self, now: float) -> str:
        """What an operator must know about its dates at the Unix time `now`; "" if there is nothing."""
        if now < self.since:
            return f"the certificate in {self.file} is not valid before {_date(self.since)}: clients that verify it go away; is the clock right?"
        if now >= self.until:
            return f"the certificate in {self.file} has expired on {_date(self.until)}: clients that verify it go away; renew it, and reload"
        left = self.until - now
        if left < EXPIRY_WARNING_SECONDS:
            return f"the certificate in {self.file} expires in {days_left(self.until, now)}, on {_date(self.until)}: renew it, and reload"
        return ""

    def is_valid(self, now: float) -> bool:
        """Whether its dates allow its use at the Unix time `now`."""
        return self.since <= now < self.until

    def until_text(self) -> str:
        """The day on which it ends."""
        return _date(self.until)


class Dates(NamedTuple):
    """From when and until when a certificate is valid: Unix times."""

    since: float
    until: float


def days_left(until: float, now: float) -> str:
    """How many days there are from `now` to `until` (Unix times), one that has begun counts whole; for people."""
    days = math.ceil((until - now) / _DAY)
    return f"{days} day{'s' if days != 1 else ''}"


def _date(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).date().isoformat()
