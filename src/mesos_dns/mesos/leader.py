"""Finds the leading master by asking for its name. Edge: asyncio.

GET_MASTER costs a master nothing, only the leader answers it, and those that do not lead point to it. So several may be asked at once: one that hangs
holds nobody up.
"""

import asyncio
from typing import Final

from mesos_dns.concurrency import spawn
from mesos_dns.mesos.decoding.v1_calls import Master
from mesos_dns.mesos.detect.search import LeaderSearch
from mesos_dns.mesos.errors import MasterError, MasterTimeoutError, NobodyAnsweredError
from mesos_dns.mesos.source import KnownMasters
from mesos_dns.mesos.state import Endpoint
from mesos_dns.mesos.subscription import Caller, ask_master

#: Seconds after which the next master is asked although one has not answered yet.
ASK_NEXT_SECONDS: Final = 1.0


async def find_leader(
    client: Caller, known: KnownMasters, last: Endpoint | None, *, silent: Endpoint | None = None
) -> tuple[Endpoint, Master]:
    """The leading master, where it was asked, and who it is. NobodyAnsweredError if none says that it leads.

    The one that the detector names is asked first, or else the `last` one. `silent` is not asked: it is the one in doubt.
    """
    search = LeaderSearch(known.masters, known.leader or last)
    asking: dict[asyncio.Task[Master | MasterError], Endpoint] = {}
    try:
        while True:
            try:
                asked = search.next()
                if asked == silent:
                    search.failed(MasterTimeoutError(asked, "its event stream is silent"))
                    continue
                asking[spawn(_ask(client, asked), name=f"ask {asked}")] = asked
            except NobodyAnsweredError:
                if not asking:
                    raise
            done, _ = await asyncio.wait(asking, timeout=ASK_NEXT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                asked = asking.pop(task)
                found = task.result()
                if isinstance(found, Master):
                    return asked, found
                search.failed(found)
    finally:
        for task in asking:
            task.cancel()
        if asking:
            await asyncio.wait(asking)


async def _ask(client: Caller, endpoint: Endpoint) -> Master | MasterError:
    # Returned, not raised: a task keeps what it raised, and that the frames.
    try:
        return await ask_master(client, endpoint)
    except MasterError as error:
        return error.with_traceback(None)
