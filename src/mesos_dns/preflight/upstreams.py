"""Asks each upstream one question in each way that a worker would: UDP and TCP, or TLS. Edge."""

import asyncio
import os
import secrets
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.preflight.findings import Finding, Level
from mesos_dns.quoting import quoted
from mesos_dns.serve.channel import words
from mesos_dns.serve.forward import rewrite
from mesos_dns.serve.forward.exchange import exchange_udp
from mesos_dns.serve.forward.options import Upstream
from mesos_dns.serve.forward.tls import strict_context

#: Seconds for one question, and for the way to whom it goes.
ANSWER_SECONDS: Final = 3.0
#: Upstreams that are tried: each costs three sockets, and they are asked all at once.
MAX_UPSTREAMS: Final = 128

_ID_SERVER: Final = names.from_text("id.server")
_HEADER: Final = struct.Struct("!HHHHHH")
_SHORTS: Final = struct.Struct("!HH")
#: Response codes in words, as dig has them.
_RCODES: Final = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 9: "NOTAUTH"}


class Said(NamedTuple):
    """What came over one way: a reply and the seconds that it took, or why there is none."""

    reply: bytes = b""
    seconds: float = 0.0
    why: str = ""


async def try_all(upstreams: Mapping[bytes, Sequence[Upstream]], ca_file: str, own_id: bytes) -> list[Finding]:
    """Try each once, with a question about the first of its zones. `own_id` is what this server calls itself, empty if nothing."""
    zones: dict[Upstream, bytes] = {}
    for zone, asked in upstreams.items():
        for each in asked:
            zones.setdefault(each, zone)
    try:
        context = strict_context(ca_file or None) if any(each.tls_name for each in zones) else None
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
        return [Finding(Level.FAIL, "upstream", "ForwardCAFile", "read the authorities", why, "certificates in PEM")]
    tried = list(zones.items())[:MAX_UPSTREAMS]
    lines = dict(zip(dict(tried), await asyncio.gather(*(_try(*each, context, own_id) for each in tried)), strict=True))
    found = list(spared(upstreams.values(), lines))
    if len(zones) > len(tried):
        rest = f"{len(zones) - len(tried)} more were not tried"
        found.append(Finding(Level.WARN, "upstream", "", "", rest, advice=f"at most {MAX_UPSTREAMS} are"))
    return found


def spared(together: Iterable[Sequence[Upstream]], lines: Mapping[Upstream, Sequence[Finding]]) -> Iterator[Finding]:
    """All lines; those of an upstream that fails are warnings if another one is asked wherever it is, and answers. Pure."""
    good = {each for each, own in lines.items() if all(line.level is not Level.FAIL for line in own)}
    needed = {each for group in together if good.isdisjoint(group) for each in group}
    for each, own in lines.items():
        for line in own:
            dire = line.level is Level.FAIL and each not in needed
            yield msgspec.structs.replace(line, level=Level.WARN) if dire else line


async def _try(upstream: Upstream, zone: bytes, context: ssl.SSLContext | None, own_id: bytes) -> list[Finding]:
    asked = _question(zone, rd.NS if zone == names.ROOT else rd.SOA)
    about = f"{names.to_text(zone)} {'NS' if zone == names.ROOT else 'SOA'}"
    if upstream.tls_name:
        tls = await _timed(lambda: _over_stream(upstream, asked, context))
        return [judge(upstream, "TLS", about, tls)]
    udp, tcp, who = await asyncio.gather(
        _timed(lambda: _over_udp(upstream, asked)),
        _timed(lambda: _over_stream(upstream, asked, None)),
        _timed(lambda: _over_udp(upstream, _question(_ID_SERVER, rd.TXT, 3))),
    )
    found = [judge(upstream, "UDP", about, udp), judge(upstream, "TCP", about, tcp)]
    if own_id and bytes((len(own_id),)) + own_id in who.reply[len(asked) :]:
        found.append(
            Finding(
                Level.WARN,
                "upstream",
                _name(upstream),
                "id.server TXT CH",
                f"calls itself {quoted(own_id.decode('utf-8', 'replace'))}, as this server does",
                "another server",
                "if it is this server itself, questions go round and round: ask others; if not, give them different names (ServerId)",
            )
        )
    return found


def judge(upstream: Upstream, way: str, about: str, said: Said) -> Finding:
    """What to say of one way. Pure."""
    tried = f"{about} over {way}"
    expected = "an answer"
    if said.why:
        # Without TCP what is short is answered all the same.
        level = Level.WARN if way == "TCP" else Level.FAIL
        advice = {
            "TCP": "open TCP on the way: without it long answers reach clients truncated",
            "UDP": f"try `dig @{upstream.host} -p {upstream.port}`: does it run, may this machine ask it, does a firewall drop?",
            "TLS": "does it speak TLS there, is its name right, do ForwardCAFile or the system know its authority?",
        }[way]
        return Finding(level, "upstream", _name(upstream), tried, f"{way}: {said.why}", expected, advice)
    rcode = said.reply[3] & 15
    found = f"{way}: {_RCODES.get(rcode, f'response code {rcode}')} in {1000 * said.seconds:.1f} ms"
    if rcode in (msg.NOERROR, msg.NXDOMAIN):
        return Finding(Level.OK, "upstream", _name(upstream), tried, found)
    if rcode == msg.REFUSED:
        advice = "let it answer this machine, or ask another one"
        return Finding(Level.FAIL, "upstream", _name(upstream), tried, found, expected, advice)
    advice = "it is there, but cannot answer: look at its log, and whom it asks"
    return Finding(Level.WARN, "upstream", _name(upstream), tried, found, expected, advice)


def _name(upstream: Upstream) -> str:
    host = f"[{upstream.host}]" if ":" in upstream.host else upstream.host
    return f"{host}:{upstream.port}" + (f" ({upstream.tls_name})" if upstream.tls_name else "")


def _question(zone: bytes, qtype: int, qclass: int = rd.CLASS_IN) -> bytes:
    header = _HEADER.pack(secrets.randbits(16), msg.RD, 1, 0, 0, 0)
    return header + zone + _SHORTS.pack(qtype, qclass)


async def _timed(ask: Callable[[], Awaitable[bytes]]) -> Said:
    now = asyncio.get_running_loop().time
    started = now()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reply = await ask()
    except TimeoutError:
        return Said(why=f"no answer within {ANSWER_SECONDS:g} s")
    except ssl.SSLError as error:
        return Said(why=words(error))
    except asyncio.IncompleteReadError:
        return Said(why="it closed the connection without an answer")
    except OSError as error:
        # asyncio writes its own words, with the address, into `strerror`.
        return Said(why=os.strerror(error.errno) if error.errno else str(error) or "the connection broke")
    return Said(reply, now() - started)


async def _over_udp(upstream: Upstream, asked: bytes) -> bytes:
    return await exchange_udp(upstream, asked, len(asked) - msg.HEADER_SIZE, within=ANSWER_SECONDS)


async def _over_stream(upstream: Upstream, asked: bytes, context: ssl.SSLContext | None) -> bytes:
    name = upstream.tls_name or None
    reader, writer = await asyncio.open_connection(*upstream.address, ssl=context, server_hostname=name)
    try:
        writer.write(len(asked).to_bytes(2) + asked)
        reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
    finally:
        # Not waited for: a server that never says goodbye would keep us.
        writer.transport.abort()
    if not rewrite.answers(reply, asked, len(asked) - msg.HEADER_SIZE):
        raise ConnectionError("what came is no answer to the question")
    return reply
