"""Answers as dnstap has them: protocol buffers, https://dnstap.info. Pure.

An encoder of a few lines instead of the protobuf library: it would be one more dependency, compiled, for two messages that do not change.
"""

from typing import Final

from mesos_dns.querylog.answered import Answered

#: What a reader of such a stream is told that it has.
CONTENT_TYPE: Final = b"protobuf:dnstap.Dnstap"

#: `Dnstap.Type.MESSAGE`.
_MESSAGE: Final = 1
#: `Message.Type`: the reply of an authority, and that of a resolver.
_AUTH_RESPONSE: Final = 2
_CLIENT_RESPONSE: Final = 6
#: `SocketFamily` by octets of an address, and `SocketProtocol`.
_FAMILIES: Final = {4: 1, 16: 2}
_PROTOCOLS: Final = {"udp": 1, "tcp": 2, "tls": 3, "https": 4}
#: Of fields, as the low bits of their tags have them.
_VARINT, _OCTETS, _FIXED32 = 0, 2, 5
_AA: Final = 0x04


def payload(answered: Answered, identity: bytes = b"", version: bytes = b"") -> bytes:
    """A `Dnstap` message about an answer; `identity` and `version` are those of this server, if it tells them."""
    transport, client, port, query, reply, began, ended = answered
    kind = _AUTH_RESPONSE if reply[2] & _AA else _CLIENT_RESPONSE
    fields = [
        _number(1, kind),
        _number(2, _FAMILIES[len(client)]) if client else b"",
        _number(3, _PROTOCOLS[transport]),
        _octets(4, client),
        _number(6, port),
        *_time(8, began),
        _octets(10, query),
        *_time(12, ended),
        _octets(14, reply),
    ]
    return b"".join(
        (_octets(1, identity), _octets(2, version), _octets(14, b"".join(fields)), _number(15, _MESSAGE)),
    )


def _time(field: int, at: float) -> tuple[bytes, bytes]:
    """Seconds in `field`, nanoseconds in the one behind it."""
    seconds, nanoseconds = divmod(round(at * 1e6) * 1000, 1_000_000_000)
    return _number(field, seconds), bytes((field + 1 << 3 | _FIXED32,)) + nanoseconds.to_bytes(4, "little")


def _number(field: int, value: int) -> bytes:
    """A number; nothing for 0, which is what nothing means."""
    return bytes((field << 3 | _VARINT,)) + _varint(value) if value else b""


def _octets(field: int, value: bytes) -> bytes:
    return bytes((field << 3 | _OCTETS,)) + _varint(len(value)) + value if value else b""


def _varint(value: int) -> bytes:
    """Seven bits an octet, the lowest first; all but the last have the highest bit set."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
