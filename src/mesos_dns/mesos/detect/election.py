"""Who leads, told from the children of the masters' node in ZooKeeper. Pure.

Every master that would lead has one ephemeral node there, `LABEL_NNNNNNNNNN` or `NNNNNNNNNN`; one counter numbers them all, whatever their
label. The smallest number leads (Mesos 0.18 and later). What is no such node (`log_replicas`, say) is passed over.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from mesos_dns.mesos.detect.masterinfo import READERS
from mesos_dns.mesos.source import KnownMasters
from mesos_dns.mesos.state import Endpoint

#: Masters of one cluster: real ones have 3 to 7. More nodes than these are somebody's mistake, and each costs a request.
MAX_CONTENDERS: Final = 64
#: ZooKeeper writes ten digits, and a sign when its 32 bits are used up.
_NODE: Final = re.compile(r"(?:(.*)_)?(-?[0-9]{1,10})", re.ASCII)


class Contender(msgspec.Struct, frozen=True, order=True):
    """One master's node. The smaller leads."""

    sequence: int
    name: str
    label: str


def contenders(children: Iterable[str]) -> tuple[Contender, ...]:
    """Those of `children` (names of nodes) that are masters', in the order in which they would lead; the first MAX_CONTENDERS."""
    found = []
    for name in children:
        node = _NODE.fullmatch(name)
        if node is not None and (node[1] or "") in READERS:
            found.append(Contender(int(node[2]), name, node[1] or ""))
    return tuple(sorted(found)[:MAX_CONTENDERS])


def outcome(
    standing: Iterable[Contender],
    endpoints: Mapping[str, Endpoint],
    before: Iterable[Endpoint],
    listed: Iterable[Endpoint],
) -> KnownMasters:
    """What is known when ZooKeeper shows the contenders `standing`, of which `endpoints` (by node) can be read.

    The masters are the contenders in their order, each once: a master that came back has two nodes until the session of the
    first has ended. The leader is the first contender; None if its node cannot be read, because then it is somebody else
    than the next. If there is no contender whose node can be read, the masters known `before` stay, and behind them come those
    that the configuration has `listed`.
    """
    names = [contender.name for contender in standing]
    masters = dict.fromkeys(endpoints[name] for name in names if name in endpoints)
    if not masters:
        return KnownMasters(tuple(dict.fromkeys((*before, *listed))))
    return KnownMasters(tuple(masters), endpoints.get(names[0]))
