"""Server cookies as credentials: who has one need not be held back by rate limits, and who could have one is given it. Pure."""

from mesos_dns.dns import message as msg
from mesos_dns.dns.message import Query
from mesos_dns.serve.cookies import ServerCookies, cookie_of
from mesos_dns.serve.render import error


class CookieCredentials:
    """The `policy.Credentials` of clients that send cookies."""

    def __init__(self, cookies: ServerCookies) -> None:
        self._cookies = cookies

    def __repr__(self) -> str:
        return f"CookieCredentials({self._cookies!r})"

    def proven(self, octets: bytes, client: bytes) -> bool:
        """Part of `policy.Credentials`."""
        sent = cookie_of(octets)
        return bool(sent) and self._cookies.is_valid(sent, client)

    def challenge(self, octets: bytes, client: bytes) -> bytes | None:
        """Part of `policy.Credentials`: BADCOOKIE, with the cookie that is right (RFC 7873 section 5.2.3). It is no larger than the query by more than 16 octets."""
        sent = cookie_of(octets)
        query = msg.parse(octets) if sent else None
        if not isinstance(query, Query):
            return None
        return error(query, msg.BADCOOKIE).message(octets, self._cookies.option(sent, client))
