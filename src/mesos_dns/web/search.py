"""Finding names, tasks, agents and frameworks by a part of what they are called, or of an address. Pure.

There is no index: nothing takes memory, and nothing can be out of date. With 100,000 tasks there are a million names, but these follow from some
ten thousand labels of tasks in frameworks, which are looked through with all ids in less than a tenth of a second, in steps of a millisecond or two. All names
one by one take some tenths: whoever searches for what is in longer names only, such as ports and instances, asks for that.
"""

import re
from collections.abc import Callable, Generator, Iterable, Sequence
from heapq import nsmallest
from itertools import islice
from typing import Final, Generic, NamedTuple, TypeVar

from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.mesos.state import Agent, Framework, Task
from mesos_dns.names.model import Model
from mesos_dns.zone.zone import Zone

#: Characters of what is searched for: no name has more, and ids hardly ever.
MAX_SEARCHED: Final = 255
#: Hits of each kind that are shown, and those without a wish.
MAX_HITS: Final = 100
USUAL_HITS: Final = 20
#: Tasks, agents or frameworks that are looked at in one go: a millisecond.
SLICE_OF_SEARCH: Final = 2000
#: Hits of each kind that are compared with each other, the first ones; the others are only counted: who finds so many types another letter.
MOST_RANKED: Final = 5000
#: Names that are kept for each one to be shown: some turn out to have the octets of a label's length among those that were found.
_SPARE: Final = 2
#: The beginning of an IPv4 address: up to three octets with their dots, and perhaps a part of the next.
_IPV4: Final = re.compile(r"((?:[0-9]{1,3}\.){1,3})([0-9]{0,3})", re.ASCII)

T = TypeVar("T")
#: Whether one of these packed addresses is looked for.
AnyWanted = Callable[[Sequence[bytes]], bool]
#: The smaller, the better.
Rank = tuple[int, int, str]


class Found(NamedTuple):
    """The best hits of each kind, the best first, and how many there are of it in all (a few more, if other octets of a name looked alike)."""

    names: list[bytes]
    tasks: list[Task]
    agents: list[Agent]
    frameworks: list[Framework]
    totals: dict[str, int]


class _Best(Generic[T]):
    """The best of all hits of one kind."""

    def __init__(self, most: int, rank: Callable[[T], Rank]) -> None:
        self._most = most
        self._rank = rank
        self._best: list[T] = []
        self._ranked = 0
        self.total = 0

    def add(self, hits: Sequence[T]) -> None:
        self.total += len(hits)
        ranked = hits[: MOST_RANKED - self._ranked]
        if ranked:
            self._ranked += len(ranked)
            self._best = nsmallest(self._most, [*self._best, *ranked], key=self._rank)

    @property
    def best(self) -> list[T]:
        """At most so many as were asked for, the best first."""
        return self._best


def search(
    model: Model, zone: Zone, text: str, limit: int = USUAL_HITS, *, every_name: bool = False
) -> Generator[None, None, Found]:
    """Look for everything that has `text` in it, in any letter case; each step takes a few milliseconds.

    That are the plain names of tasks and frameworks in the zone, or `every_name` of it; names and ids of tasks and frameworks; ids, hosts and
    addresses of agents; and own addresses of tasks, if `text` is an address or the beginning of one. What begins with it comes
    first, then what is shorter.
    """
    text = text.strip().lower()
    any_wanted = address_test(text)
    # Digits and dots are the same in capitals, and nothing else becomes one of them in small letters.
    has_no_case = text.isascii() and text.upper() == text
    wanted = text.encode("utf-8", "replace")
    begin = 1 if every_name else 0  # behind the length of the first label
    owners = _Best[bytes](_SPARE * limit, lambda name: (0 if name.startswith(wanted, begin) else 1, len(name), ""))
    for found in _every_name(zone, wanted) if every_name else _plain_names(model, wanted):
        owners.add(found)
        yield
    frameworks = _Best[Framework](limit, lambda each: _rank(text, each.name, each.id))
    for some in _slices([*model.frameworks.values()]):
        frameworks.add([each for each in some if text in each.name.lower() or text in each.id.lower()])
        yield
    agents = _Best[Agent](limit, lambda each: _rank(text, each.host, each.id))
    for of_agents in _slices([*model.agents.values()]):
        agents.add([each for each in of_agents if _is_agent(model, each, text, any_wanted)])
        yield
    tasks = _Best[Task](limit, lambda each: _rank(text, each.name, each.id))
    for of_tasks in _slices([*model.tasks.values()]):
        # Without a call for each task, which would take as long again.
        if has_no_case:
            hits = [each for each in of_tasks if text in each.id or text in each.name]
        else:
            hits = [each for each in of_tasks if text in each.id.lower() or text in each.name.lower()]
        if any_wanted is not None:
            known = {*map(id, hits)}
            # Most have addresses of one source, so that two of three calls are spared.
            hits += [
                each
                for each in of_tasks
                if (
                    (each.netinfo and any_wanted(each.netinfo))
                    or (each.mesos and any_wanted(each.mesos))
                    or (each.docker and any_wanted(each.docker))
                )
                and id(each) not in known
            ]
        tasks.add(hits)
        yield
    texts = [names.to_text(owner).encode() for owner in owners.best] if every_name else owners.best
    exact = [wanted, wanted.removesuffix(b".") + b"." + _domain(model)]
    alike = [name for name in texts if wanted in name]
    present = dict.fromkeys(filter(None, (_present(zone, name) for name in (*exact, *alike))))
    totals = {"names": owners.total, "tasks": tasks.total, "agents": agents.total, "frameworks": frameworks.total}
    return Found([*islice(present, limit)], tasks.best, agents.best, frameworks.best, totals)


def _slices(entries: list[T]) -> Iterable[list[T]]:
    return (entries[start : start + SLICE_OF_SEARCH] for start in range(0, len(entries), SLICE_OF_SEARCH))


def address_test(text: str) -> AnyWanted | None:
    """What tells whether one of some packed addresses begins as `text`, or is it; None if that is no address nor the beginning of one, with a dot or a colon."""
    packed = rd.pack_address(text)
    if ":" in text:  # `2001:db8::` is an address, and the beginning of others
        return lambda addresses: (
            packed in addresses or any(len(each) == 16 and rd.address_text(each).startswith(text) for each in addresses)
        )
    if packed is not None:
        return lambda addresses: packed in addresses
    found = _IPV4.fullmatch(text)
    if found is None or any(int(octet) > 255 for octet in found[1].split(".") if octet):
        return None
    before, following = bytes([int(octet) for octet in found[1].split(".") if octet]), found[2]
    place = len(before)

    def begins(addresses: Sequence[bytes]) -> bool:
        for each in addresses:  # A loop, for it runs for each task.
            if each.startswith(before) and len(each) == 4 and str(each[place]).startswith(following):
                return True
        return False

    return begins


def _is_agent(model: Model, agent: Agent, text: str, any_wanted: AnyWanted | None) -> bool:
    if text in agent.host.lower() or text in agent.id.lower():
        return True
    return any_wanted is not None and any_wanted(model.agent_addresses(agent.id) or ())


def _rank(text: str, name: str, more: str) -> Rank:
    """That of something by its name, and its id."""
    name = name.lower()
    return 0 if name.startswith(text) else 1 if text in name else 2, len(name), name + more


def _domain(model: Model) -> bytes:
    return names.to_text(model.naming.rules.domain).encode()


def _plain_names(model: Model, wanted: bytes) -> Iterable[list[bytes]]:
    """The names of tasks and frameworks with nothing in front, as texts: TASK.FRAMEWORK.DOMAIN. and FRAMEWORK.DOMAIN."""
    domain = _domain(model)
    for fragment, framework_ids in [*model.called.items()]:
        end = b"." + fragment + b"." + domain
        yield [end[1:]] if wanted in end[1:] else []
        # What has no dot is in the label or in the end; nothing is put together to find out.
        in_label = b"." not in wanted and wanted not in end
        for framework_id in [*framework_ids]:
            for some in _slices([*model.tasks_of_framework(framework_id).labels()]):
                if in_label:
                    yield [label + end for label in some if wanted in label]
                else:
                    yield [name for label in some if wanted in (name := label + end)]


def _every_name(zone: Zone, wanted: bytes) -> Iterable[list[bytes]]:
    """Owner names in wire form, where a dot is the octet that tells a label's length, and some other octets may look like a letter of `wanted`."""
    parts = wanted.split(b".")
    longest = max(parts, key=len)
    matches = re.compile(b"[\x00-\x3f]".join(map(re.escape, parts))).search
    for part in zone.parts if longest else ():
        # In one go, for it may change meanwhile.
        hits = [owner for owner in part if longest in owner]
        yield hits if len(parts) == 1 else [owner for owner in hits if matches(owner)]


def _present(zone: Zone, text: bytes) -> bytes:
    """The name that this text is, in lower case, if it has records; else nothing."""
    try:
        owner = names.from_labels(text.removesuffix(b".").split(b"."))
    except names.BadNameError:
        return b""
    return owner if zone.rrsets(owner) is not None else b""
