"""The command `mesos-dns explain`: why a running server gives a name this answer, or none, for people."""

import asyncio
import json
from argparse import Namespace
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlencode

import msgspec

from mesos_dns.commands import server
from mesos_dns.config import ConfigError
from mesos_dns.names.explanation import Explanation, Giver, Reason, Shown
from mesos_dns.quoting import quoted

#: Characters of an id or a name that is shown.
_MOST_TEXT: Final = 120


def run(options: Namespace) -> int:
    """Print it; the exit code: 0 if the name exists, 1 if not or if there is no answer."""
    try:
        found = asyncio.run(_ask(options))
    except (server.NoAnswerError, ConfigError) as error:
        return server.complain(error)
    exists = bool(found.get("exists"))
    for line in [json.dumps(found)] if options.json else lines_of(msgspec.convert(found, Explanation)):
        print(line)  # noqa: T201 - the command's output
    return 0 if exists else 1


async def _ask(options: Namespace) -> dict[str, object]:
    asked = {"name": options.name} | ({"type": options.type} if options.type else {})
    query = urlencode(asked, errors="surrogateescape")
    url = f"{server.url_of(options)}/v1/explain?{query}"
    found = await server.fetch(url)
    try:
        msgspec.convert(found, Explanation)
    except msgspec.ValidationError as error:
        raise server.NoAnswerError(f"{url} gave no explanation: is it the API of this version of Mesos-DNS?") from error
    assert isinstance(found, dict)
    return found


def lines_of(found: Explanation) -> Iterator[str]:
    """An explanation in lines for people: what is so, why (the most probable first), and the records."""
    yield found.summary + (f"; the nearest name above is {found.nearest}" if found.nearest else "")
    for number, reason in enumerate(found.reasons):
        yield from _reason(reason, first=number == 0)
    if found.alike:
        yield f"  names alike: {', '.join(found.alike)} (of {found.compared} that were compared)"
    for record in found.records:
        yield from _record(record)
    if found.records_more:
        yield f"  and {found.records_more} more records"
    if found.candidates > found.looked_at:
        yield f"  {found.looked_at} of {found.candidates} that may have the name were looked at"
    for upstream in found.upstreams:
        asked = upstream.up + upstream.down
        how = "it has not been asked yet" if not asked else f"well for {upstream.up} of {asked} workers"
        trip = "" if upstream.milliseconds is None else f", round trip {upstream.milliseconds or 'under 1'} ms"
        yield f"  resolver {upstream.address}: {how}{trip}"
    if found.zone:
        yield f"  zone {found.zone} serial {found.serial}"


def _reason(reason: Reason, *, first: bool) -> Iterator[str]:
    yield f"{'* ' if first else '- '}{reason.text}"


def _record(record: Shown) -> Iterator[str]:
    yield f"  {record.name} {record.ttl} {record.rtype} {record.rdata}"
    for giver in record.givers:
        yield f"    from {_giver(giver)}"
    if record.givers_more:
        yield f"    and from {record.givers_more} or more others"


def _giver(giver: Giver) -> str:
    held = ""
    if giver.held is not None:
        held = f"; held because {giver.held.why}" + (
            f", {giver.held.seconds} s left" if giver.held.seconds is not None else ""
        )
    match giver.kind:
        case "self":
            return "this server's own addresses"
        case "master":
            return f"master {_short(giver.id)}"
        case "agent":
            return f"agent {_short(giver.id)} at {_short(giver.agent)}{held}"
        case "framework":
            return f"the scheduler of framework {_short(giver.framework)} ({_short(giver.id)}){held}"
    parts = [f"task {_short(giver.id)} of framework {_short(giver.framework)}"]
    if giver.agent_id:
        parts.append(f"on agent {_short(giver.agent_id)} at {_short(giver.agent)}")
    if giver.health:
        parts.append(giver.health)
    if giver.network not in ("", "unknown"):
        parts.append(f"network {giver.network}")
    if giver.source is not None:
        parts.append(f"address from {giver.source.name}, {giver.source.why}" if giver.source.name else giver.source.why)
    return ", ".join(parts) + held


def _short(text: str) -> str:
    return quoted(text, _MOST_TEXT)
