"""Asks each master what a start would ask, but for the long part of the answer. Edge: HTTP, the clock."""

import asyncio
import email.utils
import time
from collections.abc import Iterable
from typing import Final

from mesos_dns.mesos.decoding.beginning import Beginning, read_beginning
from mesos_dns.mesos.errors import MasterError, alone
from mesos_dns.mesos.http.client import Glimpse, MasterClient
from mesos_dns.mesos.state import Endpoint
from mesos_dns.preflight.judging import Asked

#: Seconds that one master may take: as long as a connection may (`MASTER_CONNECT_SECONDS`), and a little, so that it is told which of both was slow.
MASTER_SECONDS: Final = 5.5
#: Octets of a state that are read: what is told before the lists has some kilobytes, flags included.
STATE_OCTETS: Final = 64 * 1024
#: Octets of `/version`: some hundreds.
VERSION_OCTETS: Final = 4096


async def ask_all(
    client: MasterClient, endpoints: Iterable[Endpoint], *, listed: bool, within: float = MASTER_SECONDS
) -> list[Asked]:
    """Ask them, all at once, in at most `within` seconds."""
    return list(await asyncio.gather(*(_ask(client, endpoint, listed=listed, within=within) for endpoint in endpoints)))


async def _ask(client: MasterClient, endpoint: Endpoint, *, listed: bool, within: float) -> Asked:
    (state, at), (version, version_at) = await asyncio.gather(
        _glimpse(client, endpoint, STATE_OCTETS, within), _glimpse(client, endpoint, VERSION_OCTETS, within, "/version")
    )
    outcome = state if isinstance(state, MasterError) else read_beginning(state.octets)
    # Of the two this one is written at once, and by masters that do not lead, too.
    offset = _offset(version, version_at)
    if offset is None:
        offset = _offset(state, at)
    if offset is None and isinstance(outcome, Beginning) and (outcome.start_time or 0.0) > at:
        offset = at - (outcome.start_time or 0.0)
    return Asked(
        endpoint,
        listed,
        outcome,
        0.0 if isinstance(state, MasterError) else state.seconds,
        "" if isinstance(version, MasterError) else read_beginning(version.octets).version,
        offset,
    )


async def _glimpse(
    client: MasterClient, endpoint: Endpoint, most: int, within: float, path: str = ""
) -> tuple[Glimpse | MasterError, float]:
    """What came, and the Unix time at which it had come."""
    try:
        found = await client.glimpse(endpoint, most=most, within=within, path=path)
    except MasterError as error:
        return alone(error), time.time()
    return found, time.time()


def _offset(glimpse: Glimpse | MasterError, now: float) -> float | None:
    """Seconds that this clock is ahead of the master's."""
    if isinstance(glimpse, MasterError) or not glimpse.date:
        return None
    try:
        date = email.utils.parsedate_to_datetime(glimpse.date).timestamp()
    except (ValueError, OverflowError):
        return None
    # It has whole seconds, rounded down.
    return now - date - 0.5
