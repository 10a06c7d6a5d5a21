"""Zones, and what changes in them, as frames for the workers. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final

from mesos_dns.workers.protocol import SnapshotBegin, ZoneUpdate, encode
from mesos_dns.zone.change import RRsetChange, ZoneChange
from mesos_dns.zone.zone import Zone

#: Octets of a frame that has more than one of them; 100 usual ones have 16,000.
FRAME_OCTETS: Final = 64 * 1024

#: Changes of record sets in one frame. A worker applies a frame between two packets, so it must be short: 0.3 ms, or
#: 1 ms while a large state keeps all processors busy.
CHANGES_PER_FRAME: Final = 100


def update_frames(apex: bytes, change: ZoneChange) -> list[bytes]:
    """The frames of a part of a change, none of which keeps a worker busy for long."""
    changes = change.changes
    portions = [changes[i : i + CHANGES_PER_FRAME] for i in range(0, len(changes), CHANGES_PER_FRAME)] or [()]
    frames: list[bytes] = []
    portions.reverse()
    while portions:
        portion = portions.pop()
        frame = encode(ZoneUpdate(apex, change.serial, portion, complete=change.complete and not portions))
        # Sizes tell how long it takes to apply, and are to be had for nothing.
        half = len(portion) // 2
        if len(frame) > FRAME_OCTETS and half:
            portions += portion[half:], portion[:half]
        else:
            frames.append(frame)
    return frames


def snapshot_frames(zone: Zone) -> Iterator[bytes]:
    """The frames of all names. The zone may change between two of them: what was read may be newer than its serial says.

    While the first state is still being taken the zone has no serial. The snapshot then stays open, and the updates that
    lead to the first serial complete it: workers load as control does.
    """
    apex, serial = zone.authority.apex, zone.serial
    owners = list(zone)
    yield encode(SnapshotBegin(apex))
    for start in range(0, len(owners), CHANGES_PER_FRAME):
        changes = _present(zone, owners[start : start + CHANGES_PER_FRAME])
        yield encode(ZoneUpdate(apex, serial, changes, complete=False))
    if serial:
        yield encode(ZoneUpdate(apex, serial, (), complete=True))


def _present(zone: Zone, owners: Iterable[bytes]) -> list[RRsetChange]:
    """The record sets of those of `owners` that are still there."""
    return [((owner,), (), rrsets) for owner in owners if (rrsets := zone.rrsets(owner)) is not None]
