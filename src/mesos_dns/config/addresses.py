"""Addresses and names as the configuration spells them: parse, compare, refuse. Pure.

The rules are those of Go's `net.SplitHostPort` and `net.ParseIP` where Mesos-DNS 0.7 used them.
Functions raise `Unfit` with a message for people.
"""

import ipaddress
import re
from typing import Final, NamedTuple

from mesos_dns.limits import MAX_LABEL, MAX_NAME
from mesos_dns.quoting import quoted

_DOMAIN: Final = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9_.-]{1,253}", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
#: A label of a name in master-file notation: printable ASCII, `\\.` and `\\DDD` for the rest.
_LABEL_PART: Final = re.compile(r"\\[0-9]{3}|\\[!-~]|[!-\[\]-~]", re.ASCII)
#: What an upstream over TLS begins with, and its port if none is given (RFC 7858 section 3.1).
_TLS: Final = "tls://"
_TLS_PORT: Final = 853


class Unfit(ValueError):  # noqa: N818 - a verdict about a value, always caught and reported as a Problem
    """A value cannot be used; the text says why."""


def ip(text: str) -> str | None:
    """Give the normal form of an IP literal (an IPv4-mapped address is its IPv4 address), or None.

    Addresses with a scope (`fe80::1%eth0`) are no literals here, as in Go's `ParseIP`.
    """
    if "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)


def joined(host: str, port: int) -> str:
    """`host:port`, with brackets where the host holds colons."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_and_port(text: str) -> tuple[str, int]:
    """Split `host:port` or `[ip6]:port`; the port is 1 to 65535, the host not empty, without brackets."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        colon, port = rest.startswith(":"), rest[1:]
        if ip(host) is None or ":" not in host:
            raise Unfit(f"{quoted(text)} has brackets around something that is not an IPv6 address")
    else:
        host, separator, port = text.rpartition(":")
        colon = bool(separator)
        if ":" in host:
            raise Unfit(
                f"{quoted(text)} has too many colons; expected host:port without a scheme, or [IPv6 address]:port"
            )
    if not colon:
        raise Unfit(f"{quoted(text)} has no port; expected host:port")
    if not host:
        raise Unfit(f"{quoted(text)} has no host; expected host:port")
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise Unfit(f"{quoted(text)} has no valid port; expected a number from 1 to 65535 after the last colon")
    return host, int(port)


def master(text: str) -> str:
    """Give the normal form of a master's `host:port`; the host is an IP literal or a name."""
    host, port = host_and_port(text)
    address = ip(host)
    if address is None and not _HOST.fullmatch(host):
        raise Unfit(f"{quoted(text)} has a host that is neither an IP address nor a host name")
    return joined(address or host, port)


class Resolver(NamedTuple):
    """A forwarder in normal form: an address, a port, and, if it is asked over TLS, the name that its certificate must prove."""

    host: str
    port: int
    tls_name: str = ""

    @property
    def place(self) -> str:
        """What no two forwarders have in common: address, port, and whether it is asked over TLS."""
        return f"{_TLS if self.tls_name else ''}{joined(self.host, self.port)}"


def resolver(text: str) -> Resolver:
    """Take a forwarder: an IP literal, `ip:port`, `[ip6]:port`; or over TLS `tls://ip#name`, the port between them if it is not 853."""
    if text[: len(_TLS)].lower() == _TLS:
        return _tls_resolver(text)
    address = ip(text)
    if address is not None:
        return Resolver(address, 53)
    if text.startswith("[") and text.endswith("]") and ip(text[1:-1]):
        raise Unfit(f"{quoted(text)} has brackets but no port; leave the brackets out, or add :53")
    if ":" not in text:
        raise Unfit(f"{quoted(text)} is not an IP address; expected an IP address or IP:port, names cannot be used")
    host, port = host_and_port(text)
    address = ip(host)
    if address is None:
        raise Unfit(f"{quoted(text)} has no IP address before the port; names cannot be used here")
    return Resolver(address, port)


def _tls_resolver(text: str) -> Resolver:
    """Take a forwarder over TLS. All that is wrong is told at once."""
    where, _, name = text[len(_TLS) :].partition("#")
    wrong = []
    address, port = None, 0
    has_port = ":" in where and not where.endswith("]")
    try:
        host, port = host_and_port(where if has_port else f"{where}:{_TLS_PORT}")
        address = ip(host)
        if address is None:
            wrong.append("has no IP address after tls://; names cannot be used there")
    except Unfit:
        wrong.append("has no valid address and port after tls://")
    if not name:
        wrong.append("does not say which name the server's certificate must prove")
    elif ip(name) is None:
        try:
            check_domain(name)
        except Unfit:
            wrong.append(f"has something after # that is neither a valid domain name nor an IP address: {quoted(name)}")
    if wrong or address is None:
        expected = "expected tls://ADDRESS#NAME or tls://ADDRESS:PORT#NAME, an IPv6 address in brackets"
        raise Unfit(f"{quoted(text)} {', and '.join(wrong)}; {expected}")
    return Resolver(address, port, ip(name) or name.lower())


def check_domain(text: str) -> None:
    """Refuse what is no domain of letters, digits and hyphens without a dot at either end."""
    if not _DOMAIN.fullmatch(text):
        raise Unfit(
            f"{quoted(text)} is not a valid domain name; expected labels of letters, digits and '-', "
            "separated by single dots, without a dot at either end"
        )
    if max(map(len, text.split("."))) > MAX_LABEL or len(text) + 2 > MAX_NAME:
        raise Unfit(f"{quoted(text)} is too long; a label has at most 63 characters, a domain at most 253")


def check_listener(text: str) -> None:
    """Refuse what is no plain IP literal."""
    if ip(text) is None:
        raise Unfit(
            f"{quoted(text)} is not an IP address; expected an address of this host, "
            "or 0.0.0.0 (every IPv4 address) or :: (every IPv6 address), without brackets or port"
        )


def check_http_listener(text: str) -> None:
    """Refuse what is neither an IP literal nor a host name nor empty."""
    if text and ip(text) is None and not _HOST.fullmatch(text):
        raise Unfit(
            f"{quoted(text)} is neither an IP address nor a host name; expected one of them, without brackets or port"
        )


def absolute_name(text: str) -> str:
    """`text` with exactly one dot at its end.

    A name in master-file notation (RFC 1035 section 5.1): labels of 1 to 63 octets, 255 in all.
    """
    if len(text) > 4 * MAX_NAME:
        raise Unfit(f"{quoted(text)} is longer than a domain name may be (255 octets)")
    bare = text.rstrip(".")
    if len(bare) < len(text) and (len(bare) - len(bare.rstrip("\\"))) % 2:
        bare += "."  # an escaped dot belongs to the name
    length = 1
    label = 0
    rest = bare + "." if bare else ""
    while rest:
        if rest[0] == ".":
            if not 1 <= label <= MAX_LABEL:
                raise Unfit(f"{quoted(text)} has an empty label or one of more than 63 characters")
            length += 1 + label
            label, rest = 0, rest[1:]
            continue
        part = _LABEL_PART.match(rest)
        if part is None or (len(part[0]) == 4 and int(part[0][1:]) > 255):
            raise Unfit(f"{quoted(text)} is not a domain name; expected printable ASCII without blanks")
        label += 1
        rest = rest[part.end() :]
    if label:
        raise Unfit(f"{quoted(text)} ends with a lone backslash; remove it")
    if length > MAX_NAME:
        raise Unfit(f"{quoted(text)} is longer than a domain name may be (255 octets)")
    return bare + "."


def parents(zone: str) -> list[str]:
    """List the zones above `zone`, nearest first; without the root."""
    labels = zone.split(".")
    return [".".join(labels[i:]) for i in range(1, len(labels))]
