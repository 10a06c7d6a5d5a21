"""The command `mesos-dns watch`: names that appear and vanish, as it happens, and why."""

import asyncio
import json
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mesos_dns.commands import server
from mesos_dns.config import ConfigError

#: Seconds until the next try after the server went away.
AGAIN_SECONDS: Final = 2.0
#: Octets of a line of the stream: a change with a thousand records has some hundred thousand.
_MOST_LINE: Final = 4 * 1024 * 1024


def run(options: Namespace) -> int:
    """Print changes until somebody ends it; the exit code."""
    try:
        url = server.url_of(options)
        asyncio.run(_show(url, options) if options.once else _watch(url, options))
    except (server.NoAnswerError, ConfigError) as error:
        return server.complain(error)
    return 0


async def _show(url: str, options: Namespace) -> None:
    """Print what is known, and end."""
    found = await server.fetch(f"{url}/v1/changes?since={options.since or 0}")
    if not found["complete"]:
        _say("earlier changes are not known any more")
    for change in found["changes"]:
        _print(change, as_json=options.json)


async def _watch(url: str, options: Namespace) -> None:
    """Print what happens. A server that was there and goes away is waited for; what it told last is where to go on."""
    last = None if options.since is None else str(options.since)
    began = False
    while True:
        try:
            async for name, identifier, data in events(url, last):
                if name == "gap":
                    _say("some changes before this are not known any more")
                elif name == "change":
                    last = identifier
                    _print(json.loads(data), as_json=options.json)
                began = True
            raise server.NoAnswerError(f"{url}: it ended the connection")  # noqa: TRY301 - as if it had not answered
        except server.NoAnswerError as error:
            if not began:
                raise
            _say(f"{error}; another try every {AGAIN_SECONDS:g} s")
        await asyncio.sleep(AGAIN_SECONDS)


async def events(url: str, last: str | None) -> AsyncIterator[tuple[str, str, str]]:
    """The events of a server: name, id, data. The first one has no name: it says that the stream has begun. Raises NoAnswerError."""
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last is not None else {})
    async with server.asking(f"{url}/v1/changes", **headers) as reply:
        yield "", "", ""
        fields: dict[str, str] = {}
        rest = b""
        async for chunk in reply.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _MOST_LINE:
                raise server.NoAnswerError(f"{url}: a line of the stream has over {_MOST_LINE} octets")
            for line in lines:
                if line:
                    field, _, value = line.decode("utf-8", "replace").partition(":")
                    fields[field] = value.removeprefix(" ")
                elif fields:
                    yield fields.get("event", ""), fields.get("id", ""), fields.get("data", "")
                    fields = {}


def lines_of(change: Mapping[str, Any]) -> Iterator[str]:
    """A change in lines for people, the first of which says when and why."""
    at = datetime.fromtimestamp(change["at"] / 1000, UTC).astimezone()
    why = list(change["because"]) or ["for no known reason"]
    if change["because_more"]:
        why.append(f"and {change['because_more']} more")
    yield f"{at:%Y-%m-%d %H:%M:%S} {change['zone']} serial {change['serial']}: {'; '.join(why)}"
    for sign, what in (("-", "vanished"), ("+", "appeared")):
        for record in change[what]:
            yield f"  {sign} {record['name']} {record['rtype']} {record['rdata']}"
        if more := change[f"{what}_more"]:
            yield f"  {sign} {more} {'more ' if change[what] else ''}records"


def _print(change: Mapping[str, Any], *, as_json: bool) -> None:
    for line in [json.dumps(change)] if as_json else lines_of(change):
        print(line, flush=True)  # noqa: T201 - the command's output


def _say(what: str) -> None:
    print(f"mesos-dns: {what}", file=sys.stderr, flush=True)  # noqa: T201 - for people
