"""DNS over HTTPS (RFC 8484): from a request to a DNS message, and for how long its reply may be kept. Pure."""

import base64
import binascii
import re
import struct
from collections.abc import Sequence
from typing import Final

from mesos_dns.dns import message as msg
from mesos_dns.dns.rdata import OPT, SOA

#: The media type of DNS messages (RFC 8484 section 6).
DNS_MESSAGE: Final = "application/dns-message"
#: Octets of a message, as over TCP.
MAX_MESSAGE: Final = msg.TCP_SIZE

_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_HEADER: Final = struct.Struct("!HHHHHH")
_FIXED: Final = struct.Struct("!HHIH")
_NUMBER: Final = struct.Struct("!I")
#: TTLs are numbers of 31 bits, and one that is larger means 0 (RFC 2181 section 8).
_TTL_END: Final = 1 << 31


class UnfitError(ValueError):
    """What came is no DNS message in the form that it must have; the text says why."""


def decoded(values: Sequence[str]) -> bytes:
    """The message in `values`, those of the parameter `dns`: one, in base64url without padding (RFC 8484 sections 4.1 and 6). Raises UnfitError."""
    if len(values) != 1:
        raise UnfitError("expected one parameter `dns`, with a DNS message in base64url")
    (text,) = values
    # The decoder of the library passes over what is not of its alphabet.
    if not _BASE64URL.fullmatch(text):
        raise UnfitError("the parameter `dns` is not base64url without padding: letters, digits, `-` and `_` alone")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise UnfitError("the parameter `dns` ends in the middle of an octet") from None


def is_message_type(content_type: str | None) -> bool:
    """Whether a body of this `Content-Type` is a DNS message, whatever its parameters."""
    return (content_type or "").partition(";")[0].strip().lower() == DNS_MESSAGE


def lifetime(reply: bytes) -> int:
    """Seconds for which an HTTP cache may keep `reply` (RFC 8484 section 5.1); 0 if it must not.

    That is the smallest TTL in its answer section; without answers the smaller of TTL and MINIMUM of its SOA (RFC 2308 section 5).
    Replies that say neither what there is nor that there is nothing are not kept.
    """
    try:
        return _lifetime(reply)
    except (IndexError, struct.error):
        return 0


def _lifetime(reply: bytes) -> int:
    _, flags, questions, answers, authorities, _ = _HEADER.unpack_from(reply)
    if flags & msg.TC or flags & 15 not in (msg.NOERROR, msg.NXDOMAIN):
        return 0
    at = msg.HEADER_SIZE
    for _ in range(questions):
        at = _name_end(reply, at) + 4
    least = _TTL_END
    for n in range(answers + authorities):
        at = _name_end(reply, at)
        rrtype, _, ttl, length = _FIXED.unpack_from(reply, at)
        at += _FIXED.size + length
        if n < answers and rrtype != OPT:
            least = min(least, _true(ttl))
        elif rrtype == SOA and (not answers or flags & 15 == msg.NXDOMAIN):
            (minimum,) = _NUMBER.unpack_from(reply, at - _NUMBER.size)
            least = min(least, _true(ttl), _true(minimum))
    return least if least < _TTL_END else 0


def _true(ttl: int) -> int:
    return ttl if ttl < _TTL_END else 0


def _name_end(reply: bytes, at: int) -> int:
    while length := reply[at]:
        if length >= 0xC0:
            return at + 2
        at += length + 1
    return at + 1
