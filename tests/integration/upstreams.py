"""Name servers that answer as the upstreams did while the recordings were made.

What they know is put together from the recorded answers of forwarded queries: a resolver that was the
only one that could be asked in some variant must have given the answers recorded there.
"""

import asyncio
import json
import struct
from collections.abc import Iterable
from typing import Any

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from tests.integration import wire
from tests.integration.recordings import Item, Recording, recordings

Endpoint = tuple[str, int]
#: (name in lower case, type, class): what the upstream said, whole (as over TCP).
Knowledge = dict[tuple[str, str, int], Item]
#: What the recorded name servers (NSD) advertised and kept to over UDP.
UDP_LIMIT = 1232


def is_below(name: str, zone: str) -> bool:
    """Both with trailing dot, in lower case and master-file form."""
    return zone in (".", name) or (name.endswith("." + zone) and not name[: -len(zone) - 1].endswith("\\"))


def resolvers_asked(recording: Recording, name: str) -> list[Endpoint]:
    """Where the Go program sends a question outside the zone: keys with capitals never match there."""
    config = recording.effective
    if not config["ExternalOn"]:
        return []
    zones = {zone + ".": texts for zone, texts in (config["ZoneResolvers"] or {}).items()}
    matching = [zone for zone in zones if is_below(name.lower(), zone)]
    texts = zones[max(matching, key=len)] if matching else config["Resolvers"] or []
    return [resolver_endpoint(text) for text in texts]


def resolver_endpoint(text: str) -> Endpoint:
    """`ip` or `ip:port` or `[ip6]:port`."""
    if text.count(":") > 1 and not text.startswith("["):
        return text, 53
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if host else (text, 53)


def is_forwarded(recording: Recording, item: Item) -> bool:
    """Whether the Go program asks somebody else: other zones, and DS records of its own."""
    return item["t"] == "DS" or not is_below(item["q"].lower(), recording.domain)


def learn(all_recordings: Iterable[Recording] | None = None) -> dict[Endpoint, Knowledge]:
    """What each resolver that ever answered knows. Dead resolvers are not in it."""
    known: dict[Endpoint, Knowledge] = {}
    for recording in recordings() if all_recordings is None else all_recordings:
        for item in [*recording.read("answers.json"), *(recording.read("special.json") or [])]:
            if not is_forwarded(recording, item):
                continue
            asked = resolvers_asked(recording, item["q"])
            whole = _whole(recording, item)
            if len(asked) != 1 or whole is None or whole.get("rcode") in (None, "SERVFAIL"):
                continue
            key = (item["q"].lower(), item["t"], item.get("with", {}).get("qclass", 1))
            # The first spelling wins: with capitals in the question the names in the answer have them, too.
            if item["q"] == item["q"].lower():
                known.setdefault(asked[0], {}).setdefault(key, whole)
    return known


def dump(known: dict[Endpoint, Knowledge]) -> str:
    """As JSON: learning reads all recordings, so one process does it for all drivers."""
    return json.dumps([[*endpoint, *key, item] for endpoint, knows in known.items() for key, item in knows.items()])


def restore(text: str) -> dict[Endpoint, Knowledge]:
    known: dict[Endpoint, Knowledge] = {}
    for host, port, name, rrtype, rrclass, item in json.loads(text):
        known.setdefault((host, port), {})[(name, rrtype, rrclass)] = item
    return known


def _whole(recording: Recording, item: Item) -> Item | None:
    if "with" in item and "qclass" not in item["with"]:
        return None
    if isinstance(item.get("answer"), list):
        return item
    if isinstance(item.get("tcp"), dict) and isinstance(item["tcp"].get("answer"), list):
        tcp: Item = item["tcp"]
        return tcp
    for other in recording.read("answers.json"):
        if other["q"] == item["q"] and other["t"] == item["t"] and isinstance(other.get("tcp"), dict):
            # Cut short in another class: the records are those that the same question gave in class IN.
            return {**other["tcp"], "flags": item["flags"], "question": item["question"]}
    return None


class Upstream:
    """One replaying name server, on UDP and TCP."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.knowledge = knowledge
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None

    async def start(self, endpoint: Endpoint) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), local_addr=endpoint)
        self._server = await asyncio.start_server(self._tcp, *endpoint)

    def close(self) -> None:
        if self._transport:
            self._transport.close()
        if self._server:
            self._server.close()

    def answer(self, octets: bytes, *, udp: bool) -> bytes:
        query = dns.message.from_wire(octets)
        question = query.question[0]
        key = (question.name.to_text().lower(), wire.type_text(int(question.rdtype)), int(question.rdclass))
        known: dict[str, Any] = self.knowledge.get(key, {"rcode": "REFUSED", "flags": [], "question": ""})
        reply = dns.message.make_response(query, our_payload=UDP_LIMIT)
        reply.flags = dns.flags.QR | (query.flags & dns.flags.RD) | (dns.flags.AA if "AA" in known["flags"] else 0)
        reply.set_rcode(dns.rcode.from_text(known["rcode"]))
        if "question" not in known:
            reply.question = []
        # The spelling of the question comes first in the message, so compression brings it back everywhere.
        for section, name in (
            (reply.answer, "answer"),
            (reply.authority, "authority"),
            (reply.additional, "additional"),
        ):
            section.extend(_rrsets(known.get(name, ())))
        if query.edns >= 0:
            reply.use_edns(0, query.ednsflags & 0x8000, UDP_LIMIT)
        limit = min(UDP_LIMIT, max(512, query.payload)) if udp else 65535
        whole = reply.to_wire(max_size=65535)
        if len(whole) <= limit:
            return whole
        reply.answer, reply.authority, reply.additional = [], [], []
        reply.flags |= dns.flags.TC
        return reply.to_wire()

    async def _tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = struct.unpack(">H", await reader.readexactly(2))
                reply = self.answer(await reader.readexactly(length), udp=False)
                writer.write(struct.pack(">H", len(reply)) + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(self.upstream.answer(data, udp=True), addr)  # type: ignore[attr-defined]


def _rrsets(records: Iterable[Any]) -> list[dns.rrset.RRset]:
    out: list[dns.rrset.RRset] = []
    for record in records:
        if isinstance(record, dict):
            name, ttl, rrtype, rdata = (
                record["name"],
                record["ttl"],
                record["type"],
                record.get("rdata") or record["any_of"][0],
            )
        else:
            name, ttl, _, rrtype, rdata = record.split(" ", 4)
        text = rdata.replace("SERIAL", "1") if rrtype == "SOA" else rdata
        new = dns.rrset.from_text(name, int(ttl), "IN", rrtype, text)
        same = next((one for one in out if one.name == new.name and one.rdtype == new.rdtype), None)
        if same is None:
            out.append(new)
        else:
            same.add(new[0])
    return out
