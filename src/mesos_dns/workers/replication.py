"""The zone, and what changes in it, as frames for the workers. Pure."""

from collections.abc import Iterable, Iterator

import msgspec

from mesos_dns.limits import EDITS_PER_FRAME, FRAME_OCTETS
from mesos_dns.workers.protocol import Begin, Edits, End, Load, encode
from mesos_dns.zone.change import Change
from mesos_dns.zone.rrsets import Node, Owners
from mesos_dns.zone.zone import Zone


def frames_of(change: Change) -> list[bytes]:
    """The frames of a change, none of which keeps a worker busy for long; the last has the serial."""
    nodes, edits = change.nodes, change.edits
    portions = [Edits(0, [], nodes[i : i + EDITS_PER_FRAME]) for i in range(0, len(nodes), EDITS_PER_FRAME)]
    portions += [Edits(0, edits[i : i + EDITS_PER_FRAME]) for i in range(0, len(edits), EDITS_PER_FRAME)]
    portions = portions or [Edits(0, [])]
    portions[-1] = msgspec.structs.replace(portions[-1], serial=change.serial)
    frames: list[bytes] = []
    portions.reverse()
    while portions:
        portion = portions.pop()
        frame = encode(portion)
        # Sizes tell how long it takes to apply, and are to be had for nothing.
        half = max(len(portion.nodes), len(portion.edits)) // 2
        if len(frame) > FRAME_OCTETS and half:
            portions.append(Edits(portion.serial, portion.edits[half:], portion.nodes[half:]))
            portions.append(Edits(0, portion.edits[:half], portion.nodes[:half]))
        else:
            frames.append(frame)
    return frames


def snapshot_of(zone: Zone) -> Iterator[bytes]:
    """The frames of all names. The zone may change between two of them: what was read may be older than its serial says.

    While the first state is still being taken the zone has no serial. The snapshot then stays open, and the edits that
    lead to the first serial complete it: workers load as control does.
    """
    serial = zone.serial
    owners = list(zone)
    yield encode(Begin())
    for start in range(0, len(owners), EDITS_PER_FRAME):
        yield encode(Load(_nodes(zone, owners[start : start + EDITS_PER_FRAME])))
    if serial:
        yield encode(End(serial))


def _nodes(zone: Zone, owners: Iterable[bytes]) -> list[tuple[Owners, Node]]:
    """The record sets of those of `owners` that are still there."""
    return [((owner,), node) for owner in owners if (node := zone.node(owner)) is not None]
