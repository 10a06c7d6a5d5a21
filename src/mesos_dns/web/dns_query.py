"""`/dns-query`: a question in an HTTP request is answered by whoever answers questions (RFC 8484). Edge."""

import asyncio
import ipaddress
from typing import Final

from aiohttp import web

from mesos_dns.web.backend import Backend
from mesos_dns.web.doh import DNS_MESSAGE, MAX_MESSAGE, UnfitError, decoded, is_message_type, lifetime
from mesos_dns.web.sending import headers, text

#: Seconds within which the body of a request must have come: one packet, mostly.
HTTP_BODY_SECONDS: Final = 10.0
_METHODS: Final = "GET, HEAD, POST"


async def answer_dns(request: web.BaseRequest, backend: Backend) -> web.Response:
    """The reply to a request for `/dns-query`.

    A DNS error is a reply with status 200 like any other: HTTP's own errors are for what is no DNS message. Raises ConnectionError.
    """
    if request.method not in {"GET", "HEAD", "POST"}:
        reply = text(405, "405: Method Not Allowed")
        reply.headers["Allow"] = _METHODS
        return reply
    if request.method == "POST":
        if not is_message_type(request.headers.get("Content-Type")):
            return text(415, f"415: Unsupported Media Type; expected {DNS_MESSAGE}")
        if (request.content_length or 0) > MAX_MESSAGE:
            return text(413, f"413: Content Too Large; a DNS message has at most {MAX_MESSAGE} octets")
        try:
            async with asyncio.timeout(HTTP_BODY_SECONDS):
                octets = await _body(request)
        except TimeoutError:
            return _closing(text(408, "408: Request Timeout"))
        if len(octets) > MAX_MESSAGE:
            return _closing(text(413, f"413: Content Too Large; a DNS message has at most {MAX_MESSAGE} octets"))
    else:
        try:
            octets = decoded(request.query.getall("dns", []))
        except UnfitError as error:
            return text(400, f"400: Bad Request; {error}")
    return await _told(octets, request, backend)


async def _told(octets: bytes, request: web.BaseRequest, backend: Backend) -> web.Response:
    reply = await backend.ask(octets, client_of(request))
    if reply is None:
        return text(503, "503: nobody can be asked; try again later")
    if not reply:
        return text(400, "400: Bad Request; not a DNS query")
    fields = headers(DNS_MESSAGE) | {"Cache-Control": f"max-age={lifetime(reply)}"}
    return web.Response(body=reply, headers=fields)


async def _body(request: web.BaseRequest) -> bytes:
    """The body, and no more of it than shows that it is too large."""
    body = b""
    while len(body) <= MAX_MESSAGE and (chunk := await request.content.readany()):
        body += chunk
    return body


def _closing(reply: web.Response) -> web.Response:
    """A reply after which the connection ends, since a part of its request is still on its way."""
    reply.force_close()
    return reply


def client_of(request: web.BaseRequest) -> bytes:
    """The packed address of who sent the request; empty if it is not known any more. An IPv4 address that came over IPv6 is that IPv4 address."""
    try:
        address = ipaddress.ip_address((request.remote or "").partition("%")[0])
    except ValueError:
        return b""
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).packed
