"""Asks each server of a ZooKeeper for the masters' nodes. Edge. Sessions end with it, and nothing is written."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from mesos_dns.concurrency import spawn
from mesos_dns.mesos.detect.election import contenders, outcome
from mesos_dns.mesos.detect.ensemble import AbsentError, Ensemble, EnsembleError, ForbiddenError
from mesos_dns.mesos.detect.masterinfo import MasterInfoError, read
from mesos_dns.mesos.options import ZooKeeperOptions
from mesos_dns.mesos.source import KnownMasters
from mesos_dns.mesos.state import Endpoint
from mesos_dns.preflight.findings import Finding, Level

#: Seconds that one server may take, to connect and to answer.
SERVER_SECONDS: Final = 2.5
#: Servers that are asked: ensembles have three to seven. Each costs three threads.
MAX_SERVERS: Final = 16

_NOBODY: Final = KnownMasters(())


class Look(NamedTuple):
    """What one server showed; an error in words and what to do about it, or the masters."""

    server: Endpoint
    known: KnownMasters = _NOBODY
    level: Level = Level.OK
    found: str = ""
    advice: str = ""


async def look_at_all(options: ZooKeeperOptions) -> list[Look]:
    """Look at all servers beside each other."""
    return list(await asyncio.gather(*(_look(options, server) for server in options.servers[:MAX_SERVERS])))


async def _look(options: ZooKeeperOptions, server: Endpoint) -> Look:
    stirred = asyncio.Event()
    reader = Ensemble(replace(options, servers=(server,)), stirred.set)
    try:
        async with asyncio.timeout(SERVER_SECONDS):
            while not reader.connected:
                if reader.over:
                    return _unreachable(server, reader.trouble)
                await stirred.wait()
                stirred.clear()
            return await _read(reader, options, server)
    except TimeoutError:
        return _unreachable(server, reader.trouble or f"no session within {SERVER_SECONDS:g} s")
    except EnsembleError as error:
        return _unreachable(server, str(error))
    finally:
        # A server that hangs is not waited for.
        spawn(reader.close(), name=f"end the session with {server}")


def _unreachable(server: Endpoint, why: str) -> Look:
    advice = "is ZooKeeper running there, has it a quorum (`echo srvr | nc HOST PORT`), does a firewall drop?"
    return Look(server, level=Level.FAIL, found=why or "no session", advice=advice)


async def _read(reader: Ensemble, options: ZooKeeperOptions, server: Endpoint) -> Look:
    path = options.path
    try:
        listing = await reader.children(path)
        standing = contenders(listing.names)
        endpoints = {}
        for one in standing:
            try:
                endpoints[one.name] = read(one.label, await reader.content(f"{path}/{one.name}"))
            except AbsentError:
                continue  # It went just now.
            except MasterInfoError as error:
                found = f"the node {one.name} cannot be understood: {error}"
                return Look(server, level=Level.WARN, found=found, advice="is it a master's? Is the path right?")
    except AbsentError:
        found, advice = f"there is no node {path}", "Zk must have the path of mesos-master --zk; or no master ever ran"
        return Look(server, level=Level.FAIL, found=found, advice=advice)
    except ForbiddenError:
        advice = (
            "the user of Zk needs the right to read it"
            if options.credentials
            else "give credentials in Zk (zk://user:password@…), or let everyone read it"
        )
        return Look(server, level=Level.FAIL, found=f"the node {path} is not shown: no right", advice=advice)
    known = outcome(standing, endpoints, (), ())
    number = f"{len(known.masters)} master{'s' if len(known.masters) != 1 else ''}"
    if not standing:
        return Look(
            server, level=Level.FAIL, found=f"no master has registered at {path}", advice="do masters run with --zk?"
        )
    return Look(server, known, found=f"{number} at {path}, {known.leader or 'nobody'} leads")


def findings(looks: Sequence[Look], asked: int) -> list[Finding]:
    """A line for each server, and one for what is wrong with all of them together. `asked`: how many servers there are."""
    reached = any(look.known.masters for look in looks)
    found = [_finding(look, others_answer=reached) for look in looks]
    leaders = {look.known.leader for look in looks if look.known.masters}
    if len(leaders) > 1:
        found.append(
            Finding(
                Level.WARN,
                "zookeeper",
                "",
                "who leads, by each server",
                f"they differ: {', '.join(sorted(map(str, leaders)))}",
                "one leader",
                "an election may be going on: check again; else servers of two ensembles are in Zk",
            )
        )
    if asked > len(looks):
        found.append(
            Finding(
                Level.WARN,
                "zookeeper",
                "",
                "",
                f"{asked - len(looks)} more servers were not tried",
                advice=f"{MAX_SERVERS} are tried; an ensemble has three to seven",
            )
        )
    return found


def _finding(look: Look, *, others_answer: bool) -> Finding:
    # One of several that is away is what an ensemble is for.
    level = Level.WARN if look.level is Level.FAIL and others_answer else look.level
    expected = "" if level is Level.OK else "a session, and the masters' nodes"
    tried = "a session, and the children of the masters' node"
    return Finding(level, "zookeeper", str(look.server), tried, look.found, expected, look.advice)
