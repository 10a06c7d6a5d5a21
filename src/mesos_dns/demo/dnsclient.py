"""A tiny DNS client of its own, so that the demo checks the server with other eyes (RFC 1035, RFC 3596, RFC 2782)."""

import secrets
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

TYPES = {"A": 1, "NS": 2, "SOA": 6, "AAAA": 28, "SRV": 33}
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}

#: A name has at most 127 labels, so no chain of compression pointers is longer than that.
_MAX_JUMPS = 127
_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHIH")


class BadReplyError(ValueError):
    """The reply is not a DNS message, or not one to our query."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said: the name of the response code, and the answers of the asked type as `dig +short` prints them."""

    rcode: str
    authoritative: bool
    truncated: bool
    answers: tuple[str, ...]


def encode_query(ident: int, name: str, record_type: str) -> bytes:
    """Return a query for `name` (with or without the last dot). Raises ValueError for impossible names."""
    question = b""
    for label in name.rstrip(".").split("."):
        octets = label.encode()
        if not 0 < len(octets) < 64:
            raise ValueError(f"{name!r} has a label of {len(octets)} octets, expected 1 to 63")
        question += bytes([len(octets)]) + octets
    return _HEADER.pack(ident, 0x0100, 1, 0, 0, 0) + question + b"\0" + struct.pack("!HH", TYPES[record_type], 1)


def decode_reply(query: bytes, reply: bytes) -> Reply:
    """Return the reply to `query`. Raises BadReplyError when it is anything else."""
    try:
        ident, flags, questions, answers, _, _ = _HEADER.unpack_from(reply)
        if ident != int.from_bytes(query[:2], "big") or not flags & 0x8000:
            raise BadReplyError("the reply belongs to another query")
        if questions != 1 or reply[12 : len(query)].lower() != query[12:].lower():
            raise BadReplyError("the reply does not repeat the question")
        wanted = int.from_bytes(query[-4:-2], "big")
        offset, found = len(query), []
        for _ in range(answers):
            _, offset = _name(reply, offset)
            kind, _, _, length = _RECORD.unpack_from(reply, offset)
            offset += _RECORD.size
            if offset + length > len(reply):
                raise BadReplyError("the record data goes beyond the end of the message")
            if kind == wanted:
                found.append(_data(reply, kind, offset, length))
            offset += length
    except (struct.error, IndexError) as error:
        raise BadReplyError(f"the reply of {len(reply)} octets ends in the middle: {error}") from error
    rcode = RCODES.get(flags & 15, str(flags & 15))
    return Reply(rcode, bool(flags & 0x0400), bool(flags & 0x0200), tuple(found))


def ask(server: tuple[str, int], name: str, record_type: str, *, tcp: bool = False, seconds: float = 2.0) -> Reply:
    """Ask `server` once. Raises OSError (also on time-out) and BadReplyError."""
    query = encode_query(secrets.randbits(16), name, record_type)
    if tcp:
        with socket.create_connection(server, seconds) as stream, stream.makefile("rwb") as file:
            file.write(len(query).to_bytes(2, "big") + query)
            file.flush()
            length = int.from_bytes(file.read(2), "big")
            return decode_reply(query, file.read(length))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(seconds)
        datagrams.connect(server)
        datagrams.send(query)
        return decode_reply(query, datagrams.recv(65535))


def _name(message: bytes, offset: int) -> tuple[str, int]:
    """Return the name at `offset` and where the next field begins (RFC 1035, 4.1.4)."""
    labels: list[str] = []
    after = -1
    jumps = 0
    while length := message[offset]:
        if length >= 0xC0:
            after = after if after >= 0 else offset + 2
            offset = (length & 0x3F) << 8 | message[offset + 1]
            jumps += 1
            if jumps > _MAX_JUMPS:
                raise BadReplyError("the compression pointers of a name lead in a circle")
            continue
        if length > 63 or len(labels) > _MAX_JUMPS:
            raise BadReplyError(f"a name has a label of {length} octets or too many labels")
        labels.append(message[offset + 1 : offset + 1 + length].decode("ascii", "backslashreplace"))
        offset += 1 + length
    return ".".join(labels) + ".", (after if after >= 0 else offset + 1)


def _data(message: bytes, kind: int, offset: int, length: int) -> str:
    data = message[offset : offset + length]
    if kind == TYPES["A"] and length == 4:
        return str(IPv4Address(data))
    if kind == TYPES["AAAA"] and length == 16:
        return str(IPv6Address(data))
    if kind == TYPES["SRV"] and length > 6:
        priority, weight, port = struct.unpack_from("!3H", data)
        return f"{priority} {weight} {port} {_name(message, offset + 6)[0]}"
    if kind in {TYPES["NS"], TYPES["SOA"]}:
        return _name(message, offset)[0]
    raise BadReplyError(f"record data of type {kind} with {length} octets")
