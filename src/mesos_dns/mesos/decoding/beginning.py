"""What the first octets of a `/master/state` tell: version, PID, leader. Pure.

Mesos writes these members before the long lists, so whoever only wants to know what answers there need not read hundreds of megabytes.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from mesos_dns.mesos.decoding.grammar import parse_endpoint
from mesos_dns.mesos.state import Endpoint
from mesos_dns.quoting import MAX_QUOTED, escaped

#: Members of the document that are looked at: Mesos has less than thirty before the lists.
_MOST_MEMBERS: Final = 64
_DECODER: Final = json.JSONDecoder()


class Beginning(msgspec.Struct, frozen=True):
    """What was found; "" and None for what is not there, or no such thing; `version` is fit for people. `is_state`: whether it may be the beginning of a state at all."""

    is_state: bool
    version: str = ""
    pid: Endpoint | None = None
    leader: Endpoint | None = None
    start_time: float | None = None


def read_beginning(octets: bytes) -> Beginning:
    """Read the members that are complete in the first octets of a document, in the order in which they stand there. Nothing raises."""
    found = dict(_members(octets.decode("utf-8", "replace")))
    started = found.get("start_time")
    return Beginning(
        is_state=bool(found.keys() & {"version", "pid", "leader", "slaves", "frameworks"}),
        version=_version(found.get("version")),
        pid=parse_endpoint(_text(found.get("pid"))),
        leader=parse_endpoint(_text(found.get("leader"))),
        start_time=float(started) if isinstance(started, int | float) and abs(started) < 1e12 else None,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _version(value: object) -> str:
    return escaped(_text(value)[:MAX_QUOTED])


def _members(text: str) -> Iterator[tuple[str, Any]]:
    """The complete members of an object that may break off anywhere."""
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        return
    for _ in range(_MOST_MEMBERS):
        try:
            key, at = _DECODER.raw_decode(text, _skip(text, at + 1))
            at = _skip(text, at)
            if not isinstance(key, str) or text[at : at + 1] != ":":
                return
            value, at = _DECODER.raw_decode(text, _skip(text, at + 1))
        except (ValueError, RecursionError):
            return
        at = _skip(text, at)
        # A number that ends where the text does, or is followed by something else, may be the beginning of another one.
        if text[at : at + 1] not in {",", "}"}:
            return
        yield key, value
        if text[at] != ",":
            return


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at
