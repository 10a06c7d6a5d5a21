"""Tries to bind each port that a start would bind, lets go of it at once, and asks who has it if it is taken. Edge."""

import asyncio
import errno
from http import HTTPStatus
from typing import Final, NamedTuple

import aiohttp
import msgspec

from mesos_dns import sockets
from mesos_dns.assembly import Place, Plan
from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.preflight.findings import Finding, Level
from mesos_dns.preflight.holders import Holder, holders
from mesos_dns.process_name import CONTROL
from mesos_dns.quoting import quoted
from mesos_dns.serve.forward.exchange import exchange_udp
from mesos_dns.serve.forward.options import Upstream

#: Seconds for whoever has a port to say who it is.
WHO_SECONDS: Final = 2.0
#: Octets of an answer to /v1/version.
MAX_VERSION_OCTETS: Final = 4096

_SCHEMES: Final = {"HttpPort": "http", "HttpsPort": "https"}
_TAKEN: Final = {errno.EADDRINUSE}
_FORBIDDEN: Final = {errno.EACCES, errno.EPERM}


async def try_all(plan: Plan) -> list[Finding]:
    """Try each."""
    return list(await asyncio.gather(*(_try(place, plan) for place in plan.places)))


async def _try(place: Place, plan: Plan) -> Finding:
    tried = f"bind the port of {place.what}, and let go of it"
    try:
        sockets.try_out(place.host, place.port, place.kind, place.key)
    except sockets.BindError as error:
        cause = error.__cause__
        number = cause.errno if isinstance(cause, OSError) else None
        who = await _who(place, plan) if number in _TAKEN | _FORBIDDEN else ()
        return judge(place, tried, str(error), number, who)
    return Finding(Level.OK, "port", str(place), tried, f"free for {place.what}")


class Answered(NamedTuple):
    """What says that it is Mesos-DNS: in which words."""

    words: str


async def _who(place: Place, plan: Plan) -> "tuple[Holder | Answered, ...]":
    """The processes that have the port, and what answers there if it is Mesos-DNS."""
    found = await asyncio.to_thread(holders, place.kind, place.port)
    if found and not any(one.name.startswith(CONTROL) for one in found):
        return tuple(found)
    words = await (_version(place) if place.key in _SCHEMES else _id_server(place, plan.worker.server_id))
    return (*found, *([Answered(words)] if words else []))


def judge(place: Place, tried: str, error: str, number: int | None, who: "tuple[Holder | Answered, ...]") -> Finding:
    """What to say of a port that could not be bound. Pure."""
    processes = [one for one in who if isinstance(one, Holder)]
    words = [one.words for one in who if isinstance(one, Answered)]
    units = processes == [one for one in processes if one.pid == 1]
    ours = bool(words) or any(one.name.startswith(CONTROL) for one in processes)
    first = ", ".join(f"{quoted(one.name)}, process {one.pid}" for one in processes[:1])
    if ours:
        found = f"held by a Mesos-DNS that runs ({'; '.join([*([first] if first else []), *words])})"
        return Finding(Level.OK, "port", str(place), tried, f"{found}: a reload keeps it")
    if processes and units:
        found = f"held by {first}, for a socket unit"
        expected, advice = (
            "mesos-dns.socket",
            "`systemctl list-sockets` tells for whom; Mesos-DNS gets those of its own",
        )
        return Finding(Level.WARN, "port", str(place), tried, found, expected, advice)
    if number in _FORBIDDEN and not who:
        advice = "try this as the user, and with the rights, that will serve; see Port 53 in docs/install.md"
        return Finding(Level.FAIL, "port", str(place), tried, error, "the right to bind it", advice)
    if not first:
        return Finding(Level.FAIL, "port", str(place), tried, error, "a free port", "as root this tells who has it")
    advice = f"stop it, or set another {place.key} or address"
    return Finding(Level.FAIL, "port", str(place), tried, f"held by {first}", "a free port", advice)


async def _version(place: Place) -> str:
    """The name and version that a Mesos-DNS tells over HTTP; "" from all others."""
    url = f"{_SCHEMES[place.key]}://{_host(place)}:{place.port}/v1/version"
    timeout = aiohttp.ClientTimeout(total=WHO_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, ssl=False) as reply:
            body = await reply.content.read(MAX_VERSION_OCTETS)
            if reply.status != HTTPStatus.OK:
                return ""
            return version_words(body)
    except (aiohttp.ClientError, OSError, ValueError):
        return ""


def version_words(body: bytes) -> str:
    """What /v1/version says in words; "" if it is not that of a Mesos-DNS. Pure."""
    try:
        found = msgspec.json.decode(body, type=dict[str, str])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""
    return f"version {quoted(found.get('Version', ''))}" if found.get("Service") == "Mesos-DNS" else ""


async def _id_server(place: Place, own: bytes) -> str:
    """How whoever answers DNS there calls itself, if it is as this server would."""
    if not own or place.key != "Port":
        return ""
    question = msg.question(0, names.from_text("id.server"), rd.TXT)[:-2] + rd.CLASS_CHAOS.to_bytes(2)
    try:
        server = Upstream(sockets.near(place.host), place.port)
        reply = await exchange_udp(server, question, len(question) - msg.HEADER_SIZE, within=WHO_SECONDS)
    except OSError:  # A time-out is one, too.
        return ""
    same = bytes((len(own),)) + own in reply[len(question) :]
    return f"it answers as {quoted(own.decode('utf-8', 'replace'))}" if same else ""


def _host(place: Place) -> str:
    host = sockets.near(place.host)
    return f"[{host}]" if ":" in host else host
