"""Waiting for a detector's word. Edge: asyncio."""

import asyncio
import contextlib

from mesos_dns.mesos.source import KnownMasters, MasterDetector
from mesos_dns.mesos.state import Endpoint


async def pause(detector: MasterDetector, known: KnownMasters, seconds: float) -> None:
    """Wait so long, or until the detector knows something else than `known`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await detector.changed(known)


async def other_leader(detector: MasterDetector, known: KnownMasters, asked: Endpoint | None = None) -> None:
    """Return as soon as the detector names a leader that is neither the one it named before, in `known`, nor `asked`."""
    while (now := detector.known).leader in {None, asked, known.leader}:
        await detector.changed(now)
