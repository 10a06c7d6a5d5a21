"""Which request path means what. Pure."""

import enum
import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes


class Endpoint(enum.Enum):
    """What can be asked for."""

    HEALTH = enum.auto()
    READINESS = enum.auto()
    VERSION = enum.auto()
    CONFIG = enum.auto()
    HOSTS = enum.auto()
    PORTS = enum.auto()
    SERVICES = enum.auto()
    ENUMERATE = enum.auto()
    AXFR = enum.auto()


class Match(NamedTuple):
    """An endpoint, and the host or service in the path."""

    endpoint: Endpoint
    name: str = ""


class BadPathError(ValueError):
    """A path with a `%` that two hexadecimal digits do not follow."""


_FIXED: Final = {
    ("healthz",): Match(Endpoint.HEALTH),
    ("readyz",): Match(Endpoint.READINESS),
    ("v1", "version"): Match(Endpoint.VERSION),
    ("v1", "config"): Match(Endpoint.CONFIG),
    ("v1", "enumerate"): Match(Endpoint.ENUMERATE),
    ("v1", "axfr"): Match(Endpoint.AXFR),
}
_BAD_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")


def match(path: str) -> Match | None:
    """Say what `path` means, None if nothing.

    `path` is the undecoded path of the request line, octets beyond ASCII as surrogate escapes or UTF-8.
    One trailing slash makes no difference; `//`, `.` and `..` are not resolved, such paths mean nothing.
    A decoded `%2F` separates like a plain slash, as in the Go program. Raises BadPathError.
    """
    if _BAD_ESCAPE.search(path):
        raise BadPathError(path)
    decoded = unquote_to_bytes(path.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")
    root, *segments = decoded.removesuffix("/").split("/")
    if root or any(segment in {"", ".", ".."} for segment in segments):
        return None
    match segments:
        case ["v1", "hosts", name]:
            return Match(Endpoint.HOSTS, name)
        case ["v1", "hosts", name, "ports"]:
            return Match(Endpoint.PORTS, name)
        case ["v1", "services", name]:
            return Match(Endpoint.SERVICES, name)
        case _:
            return _FIXED.get(tuple(segments))


def acceptable(accept: str | None) -> bool:
    """Whether a client with this `Accept` header takes JSON.

    As go-restful judges: some element is `*/*` or `application/json`, whatever its parameters; `q=0`
    and `application/*` mean nothing to it.
    """
    if not accept:
        return True
    return any(part.partition(";")[0].strip(" ") in {"*/*", "application/json"} for part in accept.split(","))
