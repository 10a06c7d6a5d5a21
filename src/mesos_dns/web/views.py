"""The bodies of the HTTP API. Pure: zone and model in, JSON text out.

Each body comes in *pieces*, so that it need not be in memory as a whole and the caller can do other work
in between. Making one piece takes a few milliseconds at the most; an empty piece is only such an
opportunity. Zone and model may change between two pieces.
"""

import heapq
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, Final

import msgspec

from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.dns.rdata import AAAA, SRV, A, Record
from mesos_dns.history import History
from mesos_dns.names.explanation import Explanation
from mesos_dns.names.model import Model
from mesos_dns.web.filters import EVERYTHING, Filter
from mesos_dns.web.go_json import line, quote, render
from mesos_dns.zone.journal import Change, Journal
from mesos_dns.zone.zone import Zone

#: Names sorted in one go: 2 ms.
NAMES_PER_PIECE: Final = 500
#: A body, piece by piece. Who gives up before the end closes it.
Pieces = Generator[str, None, None]
#: What a miss answers, with status 200: clients of the Go program depend on it.
NO_HOST: Final = {"host": "", "ip": ""}
NO_SERVICE: Final = {"service": "", "host": "", "ip": "", "port": ""}
#: What a step of the history counts.
_GROUPS: Final = ("types", "rcodes", "origins")
_SECTIONS: Final = (("As", A), ("AAAAs", AAAA), ("SRVs", SRV))


def version(text: str) -> Pieces:
    """Show name, home and version of the program; name and home are those of the Go program, which clients check."""
    yield render({"Service": "Mesos-DNS", "URL": "https://github.com/mesosphere/mesos-dns", "Version": text})


def config(values: Mapping[str, Any]) -> Pieces:
    """Show the effective configuration."""
    yield render(values)


def trusted() -> Pieces:
    """Show that whoever asked may see what tells about clients."""
    yield render({"trusted": True})


def status(values: Mapping[str, Any]) -> Pieces:
    """Show how everything does."""
    yield render(values)


def explain(explanation: Explanation) -> Pieces:
    """Show why a name has its answer."""
    yield render(msgspec.to_builtins(explanation))


# --- look-ups --------------------------------------------------------------------------------------


def hosts(zone: Zone, text: str, random: Random) -> Pieces:
    """List the addresses of a host: IPv4 first, each family in an order of its own each time, since many clients take the first.

    `text` may lack the trailing dot and may have `.*` in it.
    """
    return _listing(_host_entries(zone, text, random), NO_HOST)


def services(zone: Zone, text: str, random: Random) -> Pieces:
    """List the instances of a service in an order of its own each time: for each SRV record one IPv4 and one IPv6 address, at random.

    `service` is `text` as it came; an SRV record whose target has no address gives nothing.
    """
    return _listing(_service_entries(zone, text, random), NO_SERVICE)


def _host_entries(zone: Zone, text: str, random: Random) -> Iterator[dict[str, str]]:
    owner = _owner(text)
    host = names.to_text(owner)
    for rrtype in (A, AAAA):
        for address in _shuffled(zone.rdataset(zone.redirected(owner), rrtype), random):
            yield {"host": host, "ip": rd.address_text(address)}


def _service_entries(zone: Zone, text: str, random: Random) -> Iterator[dict[str, str]]:
    for rdata in _shuffled(zone.rdataset(zone.redirected(_owner(text)), SRV), random):
        _, _, port, target = rd.srv_fields(rdata)
        for rrtype in (A, AAAA):
            addresses = zone.rdataset(target, rrtype)
            if addresses:
                ip = rd.address_text(random.choice(addresses))
                yield {"service": text, "host": names.to_text(target), "ip": ip, "port": str(port)}


def _shuffled(rdataset: Sequence[bytes], random: Random) -> list[bytes]:
    return random.sample(rdataset, len(rdataset))


def _owner(text: str) -> bytes:
    """Give the name to look up; the root, which has no records, for a text that is no name.

    Every `.*` vanishes, as in DNS, where the same rule works on labels (`search.*.mesos` is `search.mesos`).
    """
    try:
        return names.from_text(text.replace(".*", ""))
    except names.BadNameError:
        return names.ROOT


def _listing(entries: Iterable[Mapping[str, str]], nothing: Mapping[str, str]) -> Pieces:
    opening = "["
    for entry in entries:
        yield opening + line(1) + render(entry, 1)
        opening = ","
    if opening == "[":
        yield opening + line(1) + render(nothing, 1)
    yield line(0) + "]"


# --- what was counted ---------------------------------------------------------------


def history(kept: History, after: int) -> Pieces:
    """Show what was counted in the steps after the first `after` that there ever were, each series as a list with a number for each step."""
    steps = kept.after(after)
    groups = {group: sorted({name for step in steps for name in getattr(step, group)}) for group in _GROUPS}
    yield render(
        {
            "count": kept.count,
            "at": [int(step.at * 1000) for step in steps],
            "milliseconds": [round(step.seconds * 1000) for step in steps],
            **{
                group: {name: [getattr(step, group).get(name, 0) for step in steps] for name in found}
                for group, found in groups.items()
            },
        }
    )


# --- the tasks -------------------------------------------------------------------------------------


def enumerate_tasks(model: Model, is_shared: Callable[[Record], bool], wanted: Filter = EVERYTHING) -> Pieces:
    """List all frameworks with their running tasks and what these contribute, oldest first.

    A record that several tasks contribute stands at the first of them only; `is_shared` may say that a
    record is not worth remembering for that. Tasks whose agent is unknown are left out. `wanted` may ask for some frameworks, and for so many tasks;
    then a member `complete` says whether these are all.
    """
    all_ = list(model.frameworks.items())
    frameworks = [each for each in all_ if not wanted.frameworks or {each[0], each[1].name} & wanted.frameworks]
    if not all_:
        yield render({"frameworks": None})
        return
    yield "{" + line(1) + '"frameworks": '
    listed: set[Record] = set()
    room = _Room(wanted.limit)
    opening = "["
    for framework_id, framework in frameworks:
        yield opening + line(2) + "{" + line(3) + '"tasks": '
        yield from _tasks(model, framework_id, is_shared, listed, room)
        yield "," + line(3) + '"name": ' + quote(framework.name) + line(2) + "}"
        opening = ","
        if room.lacking:
            break
    yield ("[]" if opening == "[" else line(1) + "]") + room.complete + line(0) + "}"


class _Room:
    """How many entries a client still wants; there is no end without a limit."""

    def __init__(self, limit: int | None) -> None:
        self._left = limit
        #: Whether there was no room for one.
        self.lacking = False

    def take(self) -> bool:
        """Whether there is room for another entry, which takes it."""
        if self._left is None:
            return True
        self.lacking |= self._left == 0
        self._left = max(self._left - 1, 0)
        return not self.lacking

    @property
    def complete(self) -> str:
        """The member that says whether there was room for all; nothing without a limit."""
        return "" if self._left is None else "," + line(1) + f'"complete": {render(not self.lacking)}'


def _tasks(
    model: Model, framework_id: str, is_shared: Callable[[Record], bool], listed: set[Record], room: _Room
) -> Pieces:
    opening = "["
    for key in list(model.tasks_of_framework(framework_id)):
        task = model.tasks.get(key)
        if task is None or task.agent_id not in model.agents:
            yield ""
            continue
        if not room.take():
            break
        records = [record for record in model.task_records(key) if _is_new(record, is_shared, listed)]
        # Nothing new is `null`, as Go writes a list that was never begun.
        entry = {"name": task.name, "id": task.id, "records": [*map(_record, records)] or None}
        yield opening + line(4) + render(entry, 4)
        opening = ","
    yield "[]" if opening == "[" else line(3) + "]"


def _is_new(record: Record, is_shared: Callable[[Record], bool], listed: set[Record]) -> bool:
    if not is_shared(record):
        return True
    if record in listed:
        return False
    listed.add(record)
    return True


def _record(record: Record) -> dict[str, str]:
    owner, rrtype, rdata = record
    return {"name": names.to_text(owner), "host": _host(rrtype, rdata), "rtype": rd.TYPE_TEXT[rrtype]}


def _host(rrtype: int, rdata: bytes) -> str:
    """Spell out rdata: an address, or `target.:port`."""
    if rrtype != SRV:
        return rd.address_text(rdata)
    _, _, port, target = rd.srv_fields(rdata)
    return f"{names.to_text(target)}:{port}"


# --- the zone --------------------------------------------------------------------------------------


def axfr(
    zone: Zone, *, refresh_seconds: int, mname: str, rname: str, domain: str, wanted: Filter = EVERYTHING
) -> Pieces:
    """List all address and SRV records by name, names sorted, behind what identifies the zone.

    `wanted` may ask for names with a prefix, and for so many names; then a member `complete` says whether these are all.
    """
    head = {
        "TTL": zone.authority.ttl,
        "Serial": zone.serial,
        "RefreshSeconds": refresh_seconds,
        "Mname": mname,
        "Rname": rname,
        "Domain": domain,
    }
    members = [f"{quote(key)}: {render(value)}" for key, value in head.items()]
    yield "{" + line(1) + ("," + line(1)).join([*members, '"Records": {'])
    # Tuples: the garbage collector stops looking at them, while it walks lists of a million names again and again.
    runs: dict[int, list[tuple[bytes, ...]]] = {rrtype: [] for _, rrtype in _SECTIONS}
    owners = tuple(zone)
    for start in range(0, len(owners), NAMES_PER_PIECE):
        some = sorted(_wanted(owners[start : start + NAMES_PER_PIECE], wanted.prefix), key=names.to_text)
        for rrtype, sorted_runs in runs.items():
            sorted_runs.append(tuple([owner for owner in some if zone.rdataset(owner, rrtype)]))
        yield ""
    opening = ""
    room = _Room(wanted.limit)
    for key, rrtype in _SECTIONS:
        yield opening + line(2) + quote(key) + ": "
        yield from _section(zone, rrtype, runs.pop(rrtype), room)
        opening = ","
    yield line(1) + "}" + room.complete + line(0) + "}"


def _wanted(owners: tuple[bytes, ...], prefix: str) -> Iterable[bytes]:
    return [owner for owner in owners if names.to_text(owner).startswith(prefix)] if prefix else owners


def _section(zone: Zone, rrtype: int, runs: list[tuple[bytes, ...]], room: _Room) -> Pieces:
    """List the records of one type; `runs` are owners, each sorted by its text."""
    opening = "{"
    # Only the head of each run is ever spelt out: texts of all names would take more than the zone.
    for name, owner in heapq.merge(*(((names.to_text(owner), owner) for owner in run) for run in runs)):
        hosts = [_host(rrtype, rdata) for rdata in zone.rdataset(owner, rrtype)]
        if hosts:  # else it vanished meanwhile
            if not room.take():
                break
            yield opening + line(3) + quote(name) + ": " + render(hosts, 3)
            opening = ","
        else:
            yield ""
    yield "{}" if opening == "{" else line(2) + "}"


# --- changes ---------------------------------------------------------------------------------------


def changes(
    journal: Journal, since: int, serial: int, *, owner: bytes | None = None, limit: int | None = None
) -> Pieces:
    """List what changed after the serial `since`, the oldest first; `serial` is the present one.

    With `owner` what changed at that name only; and the newest `limit` of it.
    """
    found, complete = journal.since(since, serial)
    if owner is not None:
        found = [concerned for change in found if (concerned := change.at_name(owner)) is not None]
    if limit is not None and len(found) > limit:
        found, complete = found[-limit:], False
    yield "{" + line(1) + f'"since": {since},' + line(1) + f'"serial": {serial},'
    yield line(1) + f'"complete": {render(complete)},' + line(1) + '"changes": '
    opening = "["
    for change in found:
        yield opening + line(2) + render(change_of(change), 2)
        opening = ","
    yield ("[]" if opening == "[" else line(1) + "]") + line(0) + "}"


def change_of(change: Change) -> dict[str, object]:
    """One change as plain values; `at` is in milliseconds."""
    return {
        "serial": change.serial,
        "zone": names.to_text(change.zone),
        "at": int(change.at * 1000),
        "because": list(change.because.texts),
        "because_more": change.because.more,
        "appeared": [*map(_record_in_full, change.appeared)],
        "vanished": [*map(_record_in_full, change.vanished)],
        "appeared_more": change.more_appeared,
        "vanished_more": change.more_vanished,
    }


def _record_in_full(record: Record) -> dict[str, str]:
    owner, rrtype, rdata = record
    return {"name": names.to_text(owner), "rtype": rd.TYPE_TEXT[rrtype], "rdata": rd.to_text(rrtype, rdata)}
