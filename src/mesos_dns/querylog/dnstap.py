"""Answers as dnstap has them: protocol buffers, https://dnstap.info. Pure.

An encoder of a few lines instead of the protobuf library: it would be one more dependency, compiled, for two messages that do not change.
"""

from functools import lru_cache
from typing import Final

from mesos_dns.querylog.answered import Answered

#: What a reader of such a stream is told that it has.
CONTENT_TYPE: Final = b"protobuf:dnstap.Dnstap"

#: `Message.Type`: the reply of an authority, and that of a resolver.
_AUTH_RESPONSE: Final = 2
_CLIENT_RESPONSE: Final = 6
#: `SocketFamily` by octets of an address, and `SocketProtocol`.
_FAMILIES: Final = {4: 1, 16: 2}
_PROTOCOLS: Final = {"udp": 1, "tcp": 2, "tls": 3, "https": 4}
_AA: Final = 0x04
#: Lengths, seconds and the like whose octets are remembered.
_REMEMBERED: Final = 4096


def payload(answered: Answered, identity: bytes = b"", version: bytes = b"") -> bytes:
    """A `Dnstap` message about an answer; `identity` and `version` are those of this server, if it tells them."""
    transport, client, port, query, reply, began, ended = answered
    kind = _AUTH_RESPONSE if reply[2] & _AA else _CLIENT_RESPONSE
    message = b"".join(
        (
            _kind(kind, len(client), transport),
            _octets(_QUERY_ADDRESS, client),
            _QUERY_PORT + _varint(port) if port else b"",
            _time(_QUERY_TIME, began),
            _octets(_QUERY_MESSAGE, query),
            _time(_RESPONSE_TIME, ended),
            _octets(_RESPONSE_MESSAGE, reply),
        )
    )
    return _server(identity, version) + _MESSAGE + _varint(len(message)) + message + _IS_MESSAGE


def _tag(field: int, wire: int) -> bytes:
    """What begins a field: its number, and whether a number (0), octets (2) or 32 bits (5) follow."""
    return bytes((field << 3 | wire,))


#: Fields of `Dnstap`.
_IDENTITY, _VERSION, _MESSAGE = _tag(1, 2), _tag(2, 2), _tag(14, 2)
_IS_MESSAGE: Final = _tag(15, 0) + b"\x01"
#: Fields of `Message`.
_TYPE, _FAMILY, _PROTOCOL = _tag(1, 0), _tag(2, 0), _tag(3, 0)
_QUERY_ADDRESS, _QUERY_PORT, _QUERY_MESSAGE, _RESPONSE_MESSAGE = _tag(4, 2), _tag(6, 0), _tag(10, 2), _tag(14, 2)
#: Seconds, and nanoseconds.
_QUERY_TIME: Final = (_tag(8, 0), _tag(9, 5))
_RESPONSE_TIME: Final = (_tag(12, 0), _tag(13, 5))


@lru_cache(64)
def _kind(kind: int, size: int, transport: str) -> bytes:
    """What a message is about: its type, the family of an address of so many octets, and the protocol."""
    family = _FAMILY + _varint(_FAMILIES[size]) if size else b""
    return _TYPE + _varint(kind) + family + _PROTOCOL + _varint(_PROTOCOLS[transport])


@lru_cache(8)
def _server(identity: bytes, version: bytes) -> bytes:
    return _octets(_IDENTITY, identity) + _octets(_VERSION, version)


def _time(tags: tuple[bytes, bytes], at: float) -> bytes:
    seconds, microseconds = divmod(round(at * 1e6), 1_000_000)
    return b"".join((tags[0], _varint(seconds), tags[1], (microseconds * 1000).to_bytes(4, "little")))


def _octets(tag: bytes, value: bytes) -> bytes:
    """A field; nothing for no octets, which is what nothing means."""
    return tag + _varint(len(value)) + value if value else b""


@lru_cache(_REMEMBERED)
def _varint(value: int) -> bytes:
    """Seven bits an octet, the lowest first; all but the last have the highest bit set."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
