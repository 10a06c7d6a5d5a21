"""The small text grammars inside a Mesos state: addresses, PIDs, port ranges. Pure; nothing raises."""

import ipaddress
import re
from functools import lru_cache
from typing import Final

from mesos_dns.mesos.state import Endpoint

#: Largest prefix length that CNI plug-ins attach to an address ("fd00::5/64").
_MAX_PREFIX: Final = 128
_OCTETS: Final = {str(octet): octet for octet in range(256)}
_MAPPED: Final = bytes(10) + b"\xff\xff"


def parse_address(text: str) -> bytes | None:
    """Return the packed form (4 or 16 octets) of an IP address as text; None if it is none.

    The rules are those of Go's net.ParseIP (Go 1.17 and later), which the Go program used: no leading
    zeros in IPv4, no zone, no brackets, no blanks; an IPv4-mapped IPv6 address is the IPv4 address. Beyond
    Go, a prefix length is cut off: Mesos leaves it on the IPv6 addresses of CNI networks (all versions).
    """
    address = text
    if "/" in text:
        address, _, prefix = text.partition("/")
        if not (prefix.isascii() and prefix.isdigit() and int(prefix[:4]) <= _MAX_PREFIX):
            return None
    if ":" not in address:
        return _parse_ipv4(address)
    packed = _parse_plain_ipv6(address) or _parse_any_ipv6(address)
    return packed[12:] if packed is not None and packed.startswith(_MAPPED) else packed


def _parse_plain_ipv6(text: str) -> bytes | None:
    """Return what is written in up to eight hexadecimal groups; None also for rarer correct forms."""
    # By hand: a third of the time of ipaddress.IPv6Address (1.7 instead of 5.9 µs for fd00::c:0:1:0:6).
    front, gap, back = text.partition("::")
    groups = front.split(":") if front else []
    after = back.split(":") if back else []
    missing = 8 - len(groups) - len(after)
    if missing < 1 if gap else missing:
        return None
    try:
        return b"".join([*map(_group, groups), bytes(2 * missing), *map(_group, after)])
    except ValueError:
        return None


def forget_surplus(most: int) -> None:
    """Forget the groups of IPv6 addresses that are remembered if there are more than `most`."""
    if _group.cache_info().currsize > most:
        _group.cache_clear()


@lru_cache(maxsize=65536)
def _group(text: str) -> bytes:
    """Two octets of one to four hexadecimal digits; ValueError for anything else."""
    if len(text) > 4 or not text.isalnum():
        raise ValueError(text)  # fromhex() takes blanks between digits, too.
    return bytes.fromhex(text.zfill(4))


def _parse_any_ipv6(text: str) -> bytes | None:
    if "%" in text:
        return None
    try:
        return ipaddress.IPv6Address(text).packed
    except ValueError:
        return None


def _parse_ipv4(text: str) -> bytes | None:
    # By hand: a fifth of the time of ipaddress.IPv4Address, and states hold one or more for each task. A table
    # knows exactly what may stand between the dots; int() is laxer and took twice as long.
    try:
        first, second, third, fourth = text.split(".")
        return bytes((_OCTETS[first], _OCTETS[second], _OCTETS[third], _OCTETS[fourth]))
    except (ValueError, KeyError):
        return None


def parse_pid(text: str) -> tuple[str, int | None] | None:
    """Return host and port of a libprocess PID, `<id>@<host>:<port>`; None if it is no PID at all.

    Mesos writes only IPv4 addresses here. Also read: `id@[v6]:port`, a bare IPv6 address before the last
    colon, a host name, blanks or quotes around the whole (which Go trims), an `@` inside the id. The host is
    text without brackets, possibly ""; the port is None if it is no number from 0 to 65535.
    """
    _, at, address = text.strip(' "\t\r\n').rpartition("@")
    if not at:
        return None
    return split_host_port(address)


def split_host_port(text: str) -> tuple[str, int | None] | None:
    """Return host (without brackets) and port of `host:port`, `[v6]:port` or `v6:port`; None without a colon."""
    host, colon, port = text.rpartition(":")
    if not colon:
        return None
    if host.startswith("["):
        if not host.endswith("]"):
            return None
        host = host[1:-1]
    return host, _parse_port(port)


def _parse_port(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > 5:
        return None
    port = int(text)
    return port if port <= 65535 else None


def parse_endpoint(text: str) -> Endpoint | None:
    """Return the endpoint that a master's PID (`master@ip:port`) names; None if host or port are missing or bad."""
    found = parse_pid(text)
    if found is None or not found[0] or found[1] is None:
        return None
    return Endpoint(found[0], found[1])


def parse_ranges(text: str) -> tuple[tuple[tuple[int, int], ...], int]:
    """Read the port ranges (first, last) of a `ports` resource, `"[31000-31001]"`; also count the unusable parts.

    Order and repetitions are kept. As in Go: what stands outside the first pair of brackets is ignored, blanks
    around a part are allowed, a third bound in a part is ignored, a range that runs backwards is empty. Unlike Go, which
    panics, a part without "-" and a text without brackets are unusable parts, and bounds end at 65535.
    """
    _, opened, rest = text.partition("[")
    if not opened:
        return (), 1 if text.strip() else 0
    inner = rest.partition("]")[0]
    if not inner.strip():
        return (), 0
    ranges: list[tuple[int, int]] = []
    bad = 0
    for part in inner.split(","):
        bounds = part.strip().split("-")
        first = _parse_bound(bounds[0])
        last = _parse_bound(bounds[1]) if len(bounds) > 1 else None
        if first is None or last is None or first > 65535:
            bad += 1
        elif first <= last:
            ranges.append((first, min(last, 65535)))
    return tuple(ranges), bad


def _parse_bound(text: str) -> int | None:
    digits = text.removeprefix("+")  # Go's Atoi takes a sign
    if not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits[:20])  # more digits only say "too large"


#: Seconds of each unit of a Mesos Duration.
_UNITS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "secs": 1.0,
    "mins": 60.0,
    "hrs": 3600.0,
    "days": 86400.0,
    "weeks": 604800.0,
}
_DURATION: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)([a-z]{2,5})")


def parse_duration(text: str) -> float | None:
    """Return the seconds of a Mesos Duration as flags have it, `10mins` or `1.5hrs`; None if it is none."""
    found = _DURATION.fullmatch(text)
    unit = _UNITS.get(found[2]) if found else None
    return None if found is None or unit is None else float(found[1]) * unit


def parse_ensemble(text: str) -> str:
    """Return the servers (sorted) and the path of a `zk://` URL, without its credentials, so that equal ones look alike; "" if it is none."""
    scheme, _, rest = text.partition("://")
    if scheme != "zk":
        return ""
    servers, slash, path = rest.partition("/")
    hosts = sorted(filter(None, servers.rpartition("@")[2].lower().split(",")))
    return ",".join(hosts) + slash + path.rstrip("/") if hosts else ""
