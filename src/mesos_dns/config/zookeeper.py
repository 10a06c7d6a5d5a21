"""The value of `Zk`: where the masters elect their leader. Pure; raises `Unfit` with a message for people, without secrets.

zk://[user:password@]host[:port],…/path     read as Mesos reads it: credentials end at the last @, the path begins at the first /
file://path                                 such a text in a file
host:port                                   a master itself, which the Go program asked as it asks those of `Masters`
"""

import re
from dataclasses import dataclass, field
from typing import Final

from mesos_dns.config import addresses
from mesos_dns.config.addresses import Unfit
from mesos_dns.quoting import quoted

ZK: Final = "zk://"
FILE: Final = "file://"
REDACTED: Final = "******"
#: The port of ZooKeeper's clients, where none is given.
DEFAULT_PORT: Final = 2181
#: Servers of one ZooKeeper: real ones have 3 to 7, and each attempt to connect goes through all of them.
MAX_SERVERS: Final = 64
#: Characters of the path of a node, so that it fits into any message.
MAX_NODE_PATH: Final = 1024
#: The user part of a URL, up to the last `@`.
_USER_PART: Final = re.compile(r"(?<=://).*@|^(?!.*://).*@", re.DOTALL)
_EXPECTED: Final = "expected zk://host:port,host:port/path, such as zk://10.0.0.1:2181,10.0.0.2:2181/mesos"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """A ZooKeeper, and the masters' node in it. `servers` are `host:port` in normal form; `path` begins with / and ends with none."""

    servers: tuple[str, ...]
    path: str
    #: `user:password` for digest authentication, "" for none.
    credentials: str = field(default="", repr=False)


def redacted(text: str) -> str:
    """`text` with stars in the place of credentials, also if it is malformed."""
    return _USER_PART.sub(f"{REDACTED}@", text)


def file_of(text: str) -> str | None:
    """The path of the file that holds the value; None if `text` is the value itself."""
    return text.removeprefix(FILE) if text.startswith(FILE) else None


def parse(text: str) -> Ensemble | str:
    """The ZooKeeper that `text` names; or the master, as `host:port`. Blanks around it do not count."""
    text = text.strip()
    if text.startswith(ZK):
        return _ensemble(text)
    shown = quoted(redacted(text))
    if "://" in text:
        raise Unfit(f"{shown} has another scheme than zk:// and file://; {_EXPECTED}")
    if "@" in text:
        raise Unfit(f"{shown} does not begin with zk://; {_EXPECTED}")
    try:
        return addresses.master(text)
    except Unfit:
        raise Unfit(f"{shown} is neither a zk:// URL nor the host:port of a master; {_EXPECTED}") from None


def _ensemble(text: str) -> Ensemble:
    shown = quoted(redacted(text))
    authority, slash, path = text.removeprefix(ZK).partition("/")
    if "@" in path:
        raise Unfit(
            f"{shown} has an @ behind its first /: neither a password nor the path can hold the other's mark; {_EXPECTED}"
        )
    credentials, _, hosts = authority.rpartition("@")
    path = (slash + path).rstrip("/")
    if not path:
        raise Unfit(f"{shown} has no path, which is the node of the masters; {_EXPECTED}")
    _check_path(path, shown)
    servers = tuple(dict.fromkeys(_server(entry.strip(), shown) for entry in hosts.split(",") if entry.strip()))
    if not servers:
        raise Unfit(f"{shown} has no server; {_EXPECTED}")
    if len(servers) > MAX_SERVERS:
        raise Unfit(f"{shown} has {len(servers)} servers; at most {MAX_SERVERS} are taken")
    return Ensemble(servers=servers, path=path, credentials=credentials)


def _check_path(path: str, shown: str) -> None:
    """Refuse what ZooKeeper refuses as the path of a node."""
    if not path.isprintable() or len(path) > MAX_NODE_PATH:
        raise Unfit(f"{shown} has a path with characters that no terminal shows, or of more than {MAX_NODE_PATH}")
    if not {"", ".", ".."}.isdisjoint(path.split("/")[1:]):
        raise Unfit(f"{shown} has a path with an empty part, '.' or '..', which ZooKeeper refuses")


def _server(text: str, shown: str) -> str:
    try:
        return addresses.master(text if _has_port(text) else f"{text}:{DEFAULT_PORT}")
    except Unfit as problem:
        raise Unfit(f"{shown}: {problem}") from None


def _has_port(text: str) -> bool:
    """Whether `host`, `host:port`, `[ip6]` or `[ip6]:port` has a port."""
    return ":" in text.rpartition("]")[2]
