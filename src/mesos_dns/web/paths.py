"""Which request path means what. Pure."""

import enum
import re
from typing import Final, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes


class Endpoint(enum.Enum):
    """What can be asked for."""

    HEALTH = enum.auto()
    READINESS = enum.auto()
    VERSION = enum.auto()
    CONFIG = enum.auto()
    STATUS = enum.auto()
    HOSTS = enum.auto()
    PORTS = enum.auto()
    SERVICES = enum.auto()
    ENUMERATE = enum.auto()
    AXFR = enum.auto()
    CHANGES = enum.auto()
    EXPLAIN = enum.auto()
    DNS_QUERY = enum.auto()
    METRICS = enum.auto()
    PAGE = enum.auto()
    TRUST = enum.auto()
    QUERY_LOG = enum.auto()
    QUERIES = enum.auto()
    HISTORY = enum.auto()
    SEARCH = enum.auto()
    FRAMEWORKS = enum.auto()
    AGENTS = enum.auto()
    TASKS = enum.auto()


class Match(NamedTuple):
    """An endpoint, and the host or service in the path, or the name of a file of the page, "" for the page itself."""

    endpoint: Endpoint
    name: str = ""


class Moved(NamedTuple):
    """The path that was meant, percent-encoded, by one that is not clean."""

    path: str


class BadPathError(ValueError):
    """A path with a `%` that two hexadecimal digits do not follow."""


_FIXED: Final = {
    ("healthz",): Match(Endpoint.HEALTH),
    ("readyz",): Match(Endpoint.READINESS),
    ("dns-query",): Match(Endpoint.DNS_QUERY),
    ("metrics",): Match(Endpoint.METRICS),
    ("v1", "version"): Match(Endpoint.VERSION),
    ("v1", "config"): Match(Endpoint.CONFIG),
    ("v1", "status"): Match(Endpoint.STATUS),
    ("v1", "enumerate"): Match(Endpoint.ENUMERATE),
    ("v1", "axfr"): Match(Endpoint.AXFR),
    ("v1", "changes"): Match(Endpoint.CHANGES),
    ("v1", "explain"): Match(Endpoint.EXPLAIN),
    ("v1", "trust"): Match(Endpoint.TRUST),
    ("v1", "querylog"): Match(Endpoint.QUERY_LOG),
    ("v1", "queries"): Match(Endpoint.QUERIES),
    ("v1", "history"): Match(Endpoint.HISTORY),
    ("v1", "search"): Match(Endpoint.SEARCH),
    ("v1", "frameworks"): Match(Endpoint.FRAMEWORKS),
    ("v1", "agents"): Match(Endpoint.AGENTS),
    ("v1", "tasks"): Match(Endpoint.TASKS),
}
#: What Go leaves as it is in a path, beside letters, digits and `_.-~` (net/url, encodePath).
_UNESCAPED: Final = "/$&+,:;=@"
_HTML: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"})
_BAD_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")


def match(path: str) -> Match | Moved | None:
    """Say what `path` means, None if nothing.

    `path` is the undecoded path of the request line, octets beyond ASCII as surrogate escapes or UTF-8.
    One trailing slash makes no difference. A path with `//`, `.` or `..` stands for the one without, as for Go's router.
    A decoded `%2F` separates like a plain slash, as in the Go program. Raises BadPathError.
    """
    if _BAD_ESCAPE.search(path):
        raise BadPathError(path)
    octets = unquote_to_bytes(path.encode("utf-8", "surrogateescape"))
    if not octets.startswith(b"/"):
        return None
    clean = _clean(octets)
    if clean != octets:
        return Moved(quote_from_bytes(clean, _UNESCAPED))
    match clean.decode("utf-8", "replace").removesuffix("/").split("/")[1:]:
        case []:
            return Match(Endpoint.PAGE)
        case ["page", name]:
            return Match(Endpoint.PAGE, name)
        case ["v1", "hosts", name]:
            return Match(Endpoint.HOSTS, name)
        case ["v1", "hosts", name, "ports"]:
            return Match(Endpoint.PORTS, name)
        case ["v1", "services", name]:
            return Match(Endpoint.SERVICES, name)
        case segments:
            return _FIXED.get(tuple(segments))


def _clean(path: bytes) -> bytes:
    """A path from the root without empty segments, `.` and `..`; one slash at its end stays. Go's `cleanPath`."""
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in {b"", b"."}:
            kept.append(segment)
    clean = b"/" + b"/".join(kept)
    return clean + b"/" if kept and path.endswith(b"/") else clean


def moved_body(location: str) -> str:
    """The HTML of a redirect, as Go's `http.Redirect` writes it."""
    return f'<a href="{location.translate(_HTML)}">Moved Permanently</a>.\n\n'


def acceptable(accept: str | None) -> bool:
    """Whether a client with this `Accept` header takes JSON.

    As go-restful judges: some element is `*/*` or `application/json`, whatever its parameters; `q=0`
    and `application/*` mean nothing to it.
    """
    if not accept:
        return True
    return any(part.partition(";")[0].strip(" ") in {"*/*", "application/json"} for part in accept.split(","))
