"""What a master writes about itself into ZooKeeper: its MasterInfo as JSON or protobuf, or its PID as text. Pure.

| Node | Content | Written by |
|---|---|---|
| `json.info_NNNNNNNNNN` | MasterInfo as JSON | Mesos 0.24 and later |
| `info_NNNNNNNNNN` | MasterInfo as protobuf | 0.18 to 0.23 |
| `NNNNNNNNNN` | PID, `master@ip:port` | before 0.18 |

A MasterInfo tells the address up to three times. `address.ip` and `address.port` (0.24 and later) count before `pid`, and that before `ip`
and `port`: `ip` is an IPv4 address as a number in the byte order of the master's machine, taken here for little-endian.
"""

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from mesos_dns.mesos.decoding.grammar import parse_address, parse_endpoint
from mesos_dns.mesos.state import Endpoint

#: Octets of a node: a MasterInfo has some hundreds, more with domain and capabilities.
MAX_NODE_OCTETS: Final = 64 * 1024
#: Octets of one number in protobuf: 64 bits, seven in each.
_MAX_VARINT: Final = 10

#: Numbers of the fields that are read (mesos.proto, MasterInfo and Address; the same in all versions that have them).
_MASTER_FIELDS: Final = {2: "ip", 3: "port", 4: "pid", 7: "address"}
_ADDRESS_FIELDS: Final = {2: "ip", 3: "port"}
#: The default of `port` in MasterInfo (mesos.proto).
_DEFAULT_PORT: Final = 5050

_VARINT: Final = 0
_FIXED_64: Final = 1
_OCTETS: Final = 2
_FIXED_32: Final = 5


class MasterInfoError(ValueError):
    """A node does not tell where its master is; the text says what was found and what was expected."""


def from_json(data: bytes) -> Endpoint:
    """The endpoint of a MasterInfo as JSON. Raises MasterInfoError."""
    try:
        info = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MasterInfoError(f"its content is no JSON: {error}") from None
    if not isinstance(info, dict):
        raise MasterInfoError("its content is no JSON object")
    return _endpoint(info)


def from_protobuf(data: bytes) -> Endpoint:
    """The endpoint of a MasterInfo as protobuf. Raises MasterInfoError."""
    info: dict[str, Any] = {"port": _DEFAULT_PORT, **_named(data, _MASTER_FIELDS)}
    if isinstance(address := info.get("address"), bytes):
        info["address"] = _named(address, _ADDRESS_FIELDS)
    return _endpoint(info)


def from_pid(data: bytes) -> Endpoint:
    """The endpoint of a PID as text. Raises MasterInfoError."""
    endpoint = _pid(data)
    if endpoint is None:
        raise MasterInfoError("its content is no PID; expected master@address:port")
    return endpoint


READERS: Final[Mapping[str, Callable[[bytes], Endpoint]]] = {
    "json.info": from_json,
    "info": from_protobuf,
    "": from_pid,
}


def read(label: str, data: bytes) -> Endpoint:
    """The endpoint that the content of a node with this label (a key of READERS) tells. Raises MasterInfoError."""
    if len(data) > MAX_NODE_OCTETS:
        raise MasterInfoError(f"its content has {len(data)} octets; a MasterInfo has some hundreds")
    return READERS[label](data)


# --- the three ways to tell an address -----------------------------------------------------------


def _endpoint(info: Mapping[str, Any]) -> Endpoint:
    address = info.get("address")
    found = (
        (_at(address.get("ip"), address.get("port")) if isinstance(address, dict) else None)
        or _pid(info.get("pid"))
        or _at(_dotted(info.get("ip")), info.get("port"))
    )
    if found is None:
        raise MasterInfoError("it names no address and port; expected address.ip and address.port, pid, or ip and port")
    return found


def _at(host: object, port: object) -> Endpoint | None:
    if isinstance(host, bytes):
        host = host.decode("utf-8", "replace")
    packed = parse_address(host) if isinstance(host, str) else None
    # Without prefix lengths: they belong to networks.
    if packed is None or "/" in str(host) or type(port) is not int or not 1 <= port <= 65535:
        return None
    return Endpoint(str(ipaddress.ip_address(packed)), port)


def _pid(pid: object) -> Endpoint | None:
    """What a PID names; only addresses, as libprocess writes them."""
    if isinstance(pid, bytes):
        pid = pid.decode("utf-8", "replace")
    endpoint = parse_endpoint(pid) if isinstance(pid, str) else None
    return None if endpoint is None else _at(endpoint.host, endpoint.port)


def _dotted(number: object) -> str | None:
    """The address whose octets lie in memory as those of `number` do on a little-endian machine. 0 is none."""
    if type(number) is not int or not 0 < number < 1 << 32:
        return None
    return str(ipaddress.IPv4Address(number.to_bytes(4, "little")))


# --- protobuf --------------------------------------------------------------------------------------


def _named(message: bytes, names: Mapping[int, str]) -> dict[str, int | bytes]:
    """The fields that `names` lists, by name. The last of equal ones counts, but parts of a message add up (protobuf encoding)."""
    found: dict[str, int | bytes] = {}
    for number, value in _fields(message):
        name = names.get(number)
        if name is None:
            continue
        before = found.get(name)
        merges = name == "address" and isinstance(before, bytes) and isinstance(value, bytes)
        found[name] = before + value if merges else value  # type: ignore[operator]  # both are octets
    return found


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field, in order; values of fixed width are passed over. Raises MasterInfoError."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire_type == _OCTETS:
            length, at = _varint(message, at)
        elif wire_type in {_FIXED_32, _FIXED_64}:
            length = 4 if wire_type == _FIXED_32 else 8
        else:
            raise MasterInfoError(f"its content is no protobuf: wire type {wire_type} at octet {at}")
        if at + length > len(message):
            raise MasterInfoError(f"its content is no protobuf: it ends within the {length} octets of field {number}")
        if wire_type == _OCTETS:
            yield number, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number that begins at `at`, and where it ends. Raises MasterInfoError."""
    number = 0
    for count, octet in enumerate(message[at : at + _MAX_VARINT]):
        number |= (octet & 0x7F) << 7 * count
        if octet < 0x80:
            return number, at + count + 1
    raise MasterInfoError(f"its content is no protobuf: the number at octet {at} does not end")
