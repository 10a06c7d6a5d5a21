"""The command `mesos-dns log`: the query log of a running server, switched on and off, or looked at as it happens."""

import asyncio
import json
from argparse import Namespace
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from mesos_dns.commands import server
from mesos_dns.config import ConfigError
from mesos_dns.quoting import escaped

_METHODS: Final = {"on": "POST", "off": "DELETE", "status": "GET"}
#: Octets of a line of the stream: names of 255 octets and some data of a few records, each octet escaped.
_MOST_LINE: Final = 256 * 1024


def run(options: Namespace) -> int:
    """Do what `options.action` says; the exit code."""
    try:
        url, token = server.url_of(options), server.token_of(options)
        if options.action == "follow":
            asyncio.run(_follow(f"{url}/v1/queries?{_wanted(options)}", token, as_json=options.json))
        else:
            wanted = _wanted(options) if options.action == "on" else ""
            state = asyncio.run(server.fetch(f"{url}/v1/querylog?{wanted}", method=_METHODS[options.action], **token))
            _say(json.dumps(state) if options.json else line_of(state))
    except (server.NoAnswerError, ConfigError) as error:
        return server.complain(error)
    return 0


def _wanted(options: Namespace) -> str:
    lists = (("client", options.client), ("name", options.name), ("rcode", options.rcode))
    single = (("sample", options.sample), ("for", options.duration))
    return urlencode([(key, value) for key, values in lists for value in values] + [each for each in single if each[1]])


async def _follow(url: str, token: Mapping[str, str], *, as_json: bool) -> None:
    """Print answers as they are given, until the time is over."""
    async with server.asking(url, Accept="application/x-ndjson", **token) as reply:
        rest = b""
        async for chunk in reply.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _MOST_LINE:
                raise server.NoAnswerError(f"{url}: a line of the stream has over {_MOST_LINE} octets")
            for line in filter(None, lines):
                _say(line.decode("utf-8", "replace") if as_json else text_of(json.loads(line)))


def text_of(found: Mapping[str, Any]) -> str:
    """An answer in a line for people."""
    if "dropped" in found:
        return f"({found['dropped']} more, dropped since they were not taken in time)"
    at = datetime.fromisoformat(found["time"]).astimezone()
    client = "somebody" if found["client"] is None else found["client"]
    told = ", ".join(found["answer"])
    more = found["answers"] - len(found["answer"])
    words = [
        f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}",
        client if found["port"] is None else f"{client}#{found['port']}",
        found["transport"],
        f"{found['name'] or '?'} {found['type'] or '?'}",
        found["rcode"] + (f" (EDE {found['ede']})" if found["ede"] else ""),
        " ".join(found["flags"]),
        f"{found['octets']} octets",
        f"{found['milliseconds']:.3f} ms",
    ]
    return escaped("  ".join(words) + (f"  {told}" if told else "") + (f" and {more} more" if more > 0 else ""))


def line_of(state: Mapping[str, Any]) -> str:
    """How the log does, in a line for people."""
    if not state["to"]:
        return "there is no query log: QueryLog.To is not set (`mesos-dns log follow` needs none)"
    words = [f"on, to {state['to']}" if state["on"] else f"off; it would go to {state['to']}"]
    if state["until"] is not None:
        until = datetime.fromtimestamp(state["until"], UTC).astimezone()
        words.append(f"until {until:%H:%M:%S}")
    words.append(f"{state['written']} answers written, {state['dropped']} dropped")
    if state["trouble"]:
        words.append(f"it cannot be written: {state['trouble']}")
    return "; ".join(words)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the command's output
