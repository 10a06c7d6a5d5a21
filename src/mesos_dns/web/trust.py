"""Who may see what tells about clients, and what no foreign page can make a browser do. Pure.

The HTTP port listens everywhere by default, and reads of it need no login. Who asks what is nobody else's business: that is shown on the machine
itself, or to whoever has the token of `HttpTokenFile`. Being on the machine is told by the connection, which says little if a
proxy on the machine passes on what others ask; nor if a page from elsewhere has its own name resolve to this machine (DNS rebinding), so that
the browser takes it for the same site: then the name that the browser asked for is in `Host`.
"""

import hmac
import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

#: Header fields that proxies add, in lower case, beside all that begin with `_PROXY_PREFIX`.
_PROXY_FIELDS: Final = frozenset(
    {"forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip"}
)
_PROXY_PREFIX: Final = "x-forwarded-"
#: What `Sec-Fetch-Site` says of requests that this server's own page, or a person, began.
_OWN_SITES: Final = frozenset({"same-origin", "none"})


class Token(msgspec.Struct, frozen=True):
    """The token of `HttpTokenFile`; the empty one is no token, which nobody has."""

    text: str = ""

    def __repr__(self) -> str:
        return "Token(set)" if self.text else "Token()"

    def __bool__(self) -> bool:
        return bool(self.text)

    def is_shown_in(self, authorization: str | None) -> bool:
        """Whether an `Authorization` header has it as a bearer token (RFC 6750 section 2.1), in a time that tells nothing about it."""
        given = bearer(authorization)
        if not self.text or given is None:
            return False
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self.text.encode())


def bearer(authorization: str | None) -> str | None:
    """The bearer token in an `Authorization` header, None without one."""
    scheme, _, credentials = (authorization or "").strip().partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None


def refusal(client: bytes, headers: Mapping[str, str], token: Token) -> str:
    """Why a request may not see what tells about clients, and what to do about that, in one line; "" if it may.

    `client` is the packed address at the other end of the connection, empty if nobody knows it; `headers` finds fields in any letter case.
    """
    if token.is_shown_in(headers.get("Authorization")):
        return ""
    if bearer(headers.get("Authorization")) is not None:
        return (
            "the token is not the one in HttpTokenFile"
            if token
            else "a token was sent, but the configuration has no HttpTokenFile"
        )
    why = _not_local(client, headers)
    if not why:
        return ""
    way = (
        "send the token of HttpTokenFile (Authorization: Bearer TOKEN)"
        if token
        else "set HttpTokenFile, and send its token (Authorization: Bearer TOKEN)"
    )
    return f"{why}: this tells about clients; ask on the machine itself, as http://localhost, or {way}"


def _not_local(client: bytes, headers: Mapping[str, str]) -> str:
    """Why a request is not one of a person or program on this machine; "" if it is."""
    if not client or not ipaddress.ip_address(client).is_loopback:
        return "the request comes from another machine"
    passed_on = next((name for name in headers if _is_of_a_proxy(name)), None)
    if passed_on is not None:
        return f"the request came through a proxy (it has {passed_on.title()})"
    if not _names_loopback(headers.get("Host")):
        return "the request asks for this server by a name or address (Host) that is not localhost"
    return ""


def _is_of_a_proxy(name: str) -> bool:
    name = name.lower()
    return name in _PROXY_FIELDS or name.startswith(_PROXY_PREFIX)


def _names_loopback(host: str | None) -> bool:
    """Whether a `Host` header is `localhost` or a loopback address, with or without a port."""
    name = _host_name(host or "")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _host_name(host: str) -> str:
    """The part of `Host` before the port, an IPv6 address without its brackets; "" if there is none."""
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018 - raises ValueError for one that is none
    except ValueError:
        return ""
    more = parts.username is not None or parts.path or parts.query or parts.fragment
    return "" if more else parts.hostname or ""


def forgery(headers: Mapping[str, str]) -> str:
    """Why a request that changes something may be one that a foreign page made a browser send, in one line; "" if it cannot be.

    Browsers send `Origin` with whatever is no simple read, and newer ones `Sec-Fetch-Site`; programs send neither.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None and site.strip().lower() not in _OWN_SITES:
        return "a page of another site sent this (Sec-Fetch-Site); only this server's own page, and programs, may"
    origin = headers.get("Origin")
    if origin is not None and not _is_same(origin, headers.get("Host")):
        return "a page of another site sent this (Origin); only this server's own page, and programs, may"
    return ""


def _is_same(origin: str, host: str | None) -> bool:
    scheme, separator, place = origin.strip().partition("://")
    return (
        bool(separator and place and host)
        and scheme.lower() in {"http", "https"}
        and place.lower() == (host or "").lower()
    )
