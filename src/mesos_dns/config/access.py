"""Who may ask, as the configuration spells it: prefixes, single addresses, and names for sets of them. Pure."""

import contextlib
import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from mesos_dns.config.addresses import Unfit
from mesos_dns.config.findings import Finding, Values
from mesos_dns.quoting import quoted

ANY: Final = "any"
NONE: Final = "none"
#: The networks of this machine's own interfaces, whatever they are at the moment.
LOCAL: Final = "@local"
#: What each name stands for: loopback (RFC 1122, RFC 4291), and private, shared and link-local networks (RFC 1918, RFC 6598, RFC 3927,
#: RFC 4193, RFC 4291).
SETS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        ANY: ("0.0.0.0/0", "::/0"),
        "@loopback": ("127.0.0.0/8", "::1/128"),
        "@private": (
            *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"),
            *("fc00::/7", "fe80::/10"),
        ),
    }
)
EXPECTED: Final = f'an address, a prefix such as 10.0.0.0/8, one of {", ".join(SETS)} and {LOCAL}, or "{NONE}" alone'

#: What `ipaddress` would take as well, and other programs read otherwise: netmasks, wildcard masks.
_LENGTH: Final = re.compile(r"[0-9]{1,3}", re.ASCII)
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")


class Entry(NamedTuple):
    """One entry of a list: its prefixes as (packed network, length), whether it is `@local` as well, and whether it excludes."""

    prefixes: tuple[tuple[bytes, int], ...]
    local: bool = False
    excludes: bool = False


def entry(text: str) -> Entry:
    """Take one entry. Raises `Unfit`."""
    excludes = text.startswith("!")
    bare = text[excludes:]
    if bare == LOCAL:
        return Entry((), local=True, excludes=excludes)
    if bare == NONE and not excludes:
        return Entry(())
    if bare in SETS and not (excludes and bare == ANY):
        return Entry(tuple(_prefix(each) for each in SETS[bare]), excludes=excludes)
    return Entry((_prefix(bare),), excludes=excludes)


def _prefix(text: str) -> tuple[bytes, int]:
    """Network and length of `10.0.0.0/8`, of `fd00::/8`, or of a single address."""
    address, slash, length = text.partition("/")
    found = None
    if "%" not in address and (_LENGTH.fullmatch(length) or not slash):
        with contextlib.suppress(ValueError):
            found = ipaddress.ip_interface(text)
    if found is None:
        raise Unfit(f"{quoted(text)} is no prefix; expected {EXPECTED}")
    network = found.network
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        raise Unfit(f"{quoted(text)} is a prefix of IPv4 addresses in IPv6 form; write it as IPv4")
    if found.ip != network.network_address:
        raise Unfit(f"{quoted(text)} has bits behind its length; write {network}, or {found.ip} for that address alone")
    return network.network_address.packed, network.prefixlen


def complaints(texts: Sequence[str]) -> Iterator[str]:
    """Say what is wrong with a list of entries."""
    if not texts:
        yield f'is empty; write "{NONE}" if nobody may, or "{ANY}" if everybody may'
        return
    seen: dict[Entry, str] = {}
    for text in texts:
        try:
            found = entry(text)
        except Unfit as problem:
            yield str(problem)
            continue
        if found in seen:
            yield (
                f"{quoted(text)} stands more than once; remove one"
                if seen[found] == text
                else (f"{quoted(text)} is the same as {quoted(seen[found])}; remove one of them")
            )
        seen.setdefault(found, text)
    if NONE in texts and len(texts) > 1:
        yield f'"{NONE}" stands beside others; leave it alone, or out'
    elif seen and all(each.excludes for each in seen) and len(seen) == len(texts):
        yield f'only excludes, so that nobody may; add who may, such as "{ANY}"'


def lists(values: Values) -> Iterator[Finding]:
    """Lists of clients. Those that may be empty are only lists of exceptions."""
    for key in ("AllowQuery", "AllowRecursion", "AllowHttp", "RateLimit.ExemptClients"):
        if values[key] or not key.startswith("RateLimit."):
            for message in complaints(values[key]):
                yield key, message
