"""Finds the leading master by asking for its name. Edge: asyncio.

GET_MASTER costs a master nothing, only the leader answers it, and those that do not lead point to it. So all may be asked at once: one that hangs
holds nobody up. Which of several claims is believed, `mesos.asking` says; so it is here.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias

from mesos_dns.concurrency import spawn
from mesos_dns.mesos.asking import CLAIM_SECONDS
from mesos_dns.mesos.decoding.v1_calls import Master
from mesos_dns.mesos.detect.search import LeaderSearch
from mesos_dns.mesos.errors import MasterError, NobodyAnsweredError, alone
from mesos_dns.mesos.source import KnownMasters
from mesos_dns.mesos.state import Endpoint
from mesos_dns.mesos.subscription import Caller, ask_master

#: Seconds after which the other masters are asked although the first has not answered yet.
ASK_NEXT_SECONDS: Final = 1.0


_Asked: TypeAlias = "asyncio.Task[Master | MasterError]"


class Leader(NamedTuple):
    """A master that says it leads, and where it was asked."""

    endpoint: Endpoint
    master: Master


async def find_leader(
    client: Caller,
    known: KnownMasters,
    last: Endpoint | None,
    *,
    same: str | None = None,
    excluded: Iterable[Endpoint] = (),
) -> Leader:
    """The leading master. NobodyAnsweredError if none says that it leads.

    The one that the detector names is asked first, or else the `last` one; `excluded` ones are not asked. The detector's word, or the id `same` of
    the leader so far, is believed at once.
    """
    search = LeaderSearch(known.masters, known.leader or last, asked=excluded)
    asking: dict[_Asked, Endpoint] = {}
    claims: list[Leader] = []
    ask_all = False
    try:
        while True:
            while (not asking or ask_all) and (asked := search.pick()) is not None:
                asking[spawn(_ask(client, asked), name=f"ask {asked}")] = asked
            if not asking:
                break
            seconds = CLAIM_SECONDS if claims else ASK_NEXT_SECONDS
            done, _ = await asyncio.wait(asking, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            new = [*_claims(done, asking, search)]
            for one in new:
                if one.endpoint == known.leader or one.master.id == same:
                    return one
            claims += new
            if not done and claims:
                break
            ask_all = ask_all or not done or bool(claims)
    finally:
        for task in asking:
            task.cancel()
        if asking:
            await asyncio.wait(asking)
    if not claims:
        raise NobodyAnsweredError(search.errors)
    return max(claims, key=lambda one: (search.votes[one.endpoint], one.master.elected_time or 0.0))


def _claims(done: Iterable[_Asked], asking: dict[_Asked, Endpoint], search: LeaderSearch) -> Iterator[Leader]:
    """Those among the `done` that say they lead; all of them are not `asking` any more."""
    for task in done:
        found, asked = task.result(), asking.pop(task)
        if isinstance(found, Master):
            yield Leader(asked, found)
        else:
            search.failed(found)


async def _ask(client: Caller, endpoint: Endpoint) -> Master | MasterError:
    # Returned, not raised: a task keeps what it raised, and that the frames.
    try:
        return await ask_master(client, endpoint)
    except MasterError as error:
        return alone(error)
