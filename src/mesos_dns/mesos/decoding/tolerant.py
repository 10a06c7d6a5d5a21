"""The slow, forgiving way to read one element of a state: what Go's encoding/json accepts, and more. Pure.

Taken when the typed decoding of an element fails or its keys are written unusually. Keys match in any letter
case (with the Unicode folds of Go: the long s is s, the Kelvin sign is k), the last of equal keys wins; bytes that are
no UTF-8 and lone surrogates become U+FFFD each; NaN and Infinity are numbers. A part of the wrong type costs only
itself and is noted in `problems`, unless the element cannot be identified without it.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from mesos_dns.mesos.decoding import wire

T = TypeVar("T")

#: (reason, example): why something was left out.
Problems = list[tuple[str, str]]

_FOLDS: Final = str.maketrans({"\u017f": "s", "\u212a": "k"})
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
#: Bytes that make a key unusual, all as "A"; what may stand in a usual key, and blanks, deleted.
_CAPITALS: Final = bytes(0x41 if 0x41 <= byte <= 0x5A or byte >= 0x80 else byte for byte in range(256))
_USUAL: Final = b"abcdefghijklmnopqrstuvwxyz0123456789_ \t\r\n"


class BadTypeError(ValueError):
    """A value that identifies an element has the wrong JSON type."""


def has_unusual_keys(element: bytes) -> bool:
    """Whether an object key of this JSON text contains a capital letter or an octet above 127.

    Tried on 100,000 tasks of 2.8 kB (282 MB): a regular expression 3.0 s; this 0.4 s. False alarms (custom
    resources, attributes) only cost time. Keys written with escapes are not recognised.
    """
    return b'A":' in element.translate(_CAPITALS, _USUAL)


def parse(text: bytes) -> Any:
    """Parse JSON, with folded keys; strings may still hold surrogates. ValueError or RecursionError if it is none."""
    # surrogateescape marks each undecodable octet alone, as Go counts them.
    return json.loads(text.decode("utf-8", "surrogateescape"), object_pairs_hook=_folded, strict=False)


def _folded(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {fold(key): value for key, value in pairs}


def _kind(value: Any) -> str:
    """What JSON calls a value of this type."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true or false"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, (int, float)):
        return "a number"
    return "a list" if isinstance(value, list) else "an object"


def fold(key: str) -> str:
    """Return the lower-case form under which Go finds a struct field for this key."""
    return key.translate(_FOLDS).lower()


def text(value: Any) -> str | None:
    """Return a string that can be encoded as UTF-8, or None for null; BadTypeError for anything else."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadTypeError(f"expected a string, found {_kind(value)}")
    return _SURROGATE.sub("\ufffd", value)


def task(element: bytes, problems: Problems) -> wire.TaskEntry | None:
    """Read one task; None if it is null or not running. ValueError (or RecursionError) if nothing can be made of it."""
    found = _object(parse(element))
    if found is None or text(found.get("state")) != "TASK_RUNNING":
        return None
    read = _Reader(problems, "task")
    return wire.TaskEntry(
        id=text(found.get("id")),
        name=text(found.get("name")),
        slave_id=text(found.get("slave_id")),
        state="TASK_RUNNING",
        resources=read.part("resources", found, lambda v: wire.Resources(ports=read.part("ports", v, text))),
        statuses=read.items("status", found.get("statuses"), lambda v: _status(v, read)),
        discovery=read.part("discovery", found, lambda v: _discovery(v, read)),
        labels=read.items("label", found.get("labels"), _label),
        container=read.part("container", found, lambda v: _container(v, read)),
    )


def agent(element: bytes) -> wire.AgentEntry | None:
    """Read one agent; None if it is null. ValueError (or RecursionError) if nothing can be made of it."""
    found = _object(parse(element))
    if found is None:
        return None
    pid = found.get("pid")
    # A PID of the wrong type must not cost the agent: its tasks may have addresses of their own.
    return wire.AgentEntry(id=text(found.get("id")), pid=text(pid) if isinstance(pid, str) else None)


class _Reader:
    """Reads parts of an object; what has the wrong type is noted and left out."""

    def __init__(self, problems: Problems, owner: str) -> None:
        self._problems = problems
        self._owner = owner

    def __repr__(self) -> str:
        return f"_Reader({self._owner!r}, problems={len(self._problems)})"

    def part(self, key: str, owner: Any, read: Callable[[Any], T | None]) -> T | None:
        """Return `read(owner[key])`; None if it is absent, null or bad."""
        try:
            found = _object(owner)
            value = None if found is None else found.get(key)
            return None if value is None else read(value)
        except BadTypeError as error:
            self._problems.append((f"{self._owner}: bad {key}", str(error)))
            return None

    def items(self, what: str, values: Any, read: Callable[[Any], T]) -> list[T | None]:
        """Return `read` of each member that is not null and good."""
        if values is None:
            return []
        if not isinstance(values, list):
            self._problems.append((f"{self._owner}: bad {what}", f"expected a list, found {_kind(values)}"))
            return []
        return list(self._good(what, values, read))

    def _good(self, what: str, values: list[Any], read: Callable[[Any], T]) -> Iterable[T]:
        for value in values:
            if value is None:
                continue
            try:
                yield read(value)
            except BadTypeError as error:
                self._problems.append((f"{self._owner}: bad {what}", str(error)))


def _object(value: Any) -> dict[str, Any] | None:
    if value is not None and not isinstance(value, dict):
        raise BadTypeError(f"expected an object, found {_kind(value)}")
    return value


def _number(value: Any) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise BadTypeError(f"expected a number, found {_kind(value)}")
    try:
        return None if value is None else float(value)
    except OverflowError as error:
        raise BadTypeError("number out of range") from error


def _truth(value: Any) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise BadTypeError(f"expected true or false, found {_kind(value)}")
    return value


def _port_number(value: Any) -> int | None:
    number = _number(value)
    if number is None:
        return None
    if not (number.is_integer() and abs(number) < 2**63):
        raise BadTypeError(f"expected a port number, found {number:g}")
    return int(number)


def _status(value: Any, read: _Reader) -> wire.Status:
    found = _object(value) or {}
    return wire.Status(
        state=text(found.get("state")),
        timestamp=read.part("timestamp", found, _number),
        labels=read.items("label", found.get("labels"), _label),
        container_status=read.part("container_status", found, lambda v: _container_status(v, read)),
        healthy=read.part("healthy", found, _truth),
    )


def _label(value: Any) -> wire.Label:
    found = _object(value) or {}
    return wire.Label(key=text(found.get("key")), value=text(found.get("value")))


def _container_status(value: Any, read: _Reader) -> wire.ContainerStatus:
    infos = (_object(value) or {}).get("network_infos")
    return wire.ContainerStatus(network_infos=read.items("network info", infos, lambda v: _network_info(v, read)))


def _network_info(value: Any, read: _Reader) -> wire.NetworkInfo:
    found = _object(value) or {}
    return wire.NetworkInfo(
        ip_addresses=read.items("address", found.get("ip_addresses"), _ip_address),
        ip_address=read.part("ip_address", found, text),
        port_mappings=read.items("port mapping", found.get("port_mappings"), _port_mapping),
    )


def _wanted_network(value: Any, read: _Reader) -> wire.WantedNetwork:
    found = _object(value) or {}
    return wire.WantedNetwork(
        name=read.part("name", found, text),
        port_mappings=read.items("port mapping", found.get("port_mappings"), _port_mapping),
    )


def _port_mapping(value: Any) -> wire.PortMapping:
    found = _object(value) or {}
    return wire.PortMapping(
        host_port=_port_number(found.get("host_port")),
        container_port=_port_number(found.get("container_port")),
        protocol=text(found.get("protocol")),
    )


def _container(value: Any, read: _Reader) -> wire.Container:
    found = _object(value) or {}
    return wire.Container(
        type=read.part("type", found, text),
        docker=read.part("docker", found, lambda v: _docker(v, read)),
        network_infos=read.items("network info", found.get("network_infos"), lambda v: _wanted_network(v, read)),
    )


def _docker(value: Any, read: _Reader) -> wire.Docker:
    found = _object(value) or {}
    return wire.Docker(
        network=read.part("network", found, text),
        port_mappings=read.items("port mapping", found.get("port_mappings"), _port_mapping),
    )


def _ip_address(value: Any) -> wire.IpAddress:
    return wire.IpAddress(ip_address=text((_object(value) or {}).get("ip_address")))


def _discovery(value: Any, read: _Reader) -> wire.Discovery:
    found = _object(value) or {}
    return wire.Discovery(
        name=read.part("name", found, text), ports=read.part("ports", found, lambda v: _discovery_ports(v, read))
    )


def _discovery_ports(value: Any, read: _Reader) -> wire.Ports:
    ports = (_object(value) or {}).get("ports")
    return wire.Ports(ports=read.items("discovery port", ports, _discovery_port))


def _discovery_port(value: Any) -> wire.Port:
    found = _object(value) or {}
    return wire.Port(
        number=_port_number(found.get("number")), name=text(found.get("name")), protocol=text(found.get("protocol"))
    )
