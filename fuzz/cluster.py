"""What masters and ZooKeeper send: it is refused as a whole, or costs only the element that is wrong, and makes records that DNS can carry."""

import asyncio
from functools import cache

import msgspec

from mesos_dns import assembly
from mesos_dns.commands.records import FORMATS, what_else
from mesos_dns.config import Config
from mesos_dns.config import zookeeper as zookeeper_config
from mesos_dns.config.addresses import Unfit
from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.mesos.decoding import v0_tasks, v1_calls
from mesos_dns.mesos.decoding.beginning import read_beginning
from mesos_dns.mesos.decoding.document import StateError
from mesos_dns.mesos.decoding.members import Skipped
from mesos_dns.mesos.decoding.recordio import RecordError, RecordReader
from mesos_dns.mesos.decoding.tasks import TaskReader
from mesos_dns.mesos.decoding.v0 import Decoder
from mesos_dns.mesos.decoding.v1 import read_first
from mesos_dns.mesos.decoding.v1_events import Event, read_event
from mesos_dns.mesos.detect import masterinfo
from mesos_dns.mesos.detect.election import contenders
from mesos_dns.mesos.http import client, iam
from mesos_dns.mesos.state import Delta, Endpoint, Snapshot
from mesos_dns.mesos.view import View
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming
from mesos_dns.publisher import Publisher
from mesos_dns.web import views
from mesos_dns.zone.zones import Zones

_SIZES = {rd.A: 4, rd.AAAA: 16}
_HERE = Endpoint("192.0.2.9", 5050)
#: Octets of a message for people: a few quoted excerpts and what stands around them.
_LONGEST_MESSAGE = 2000
#: Octets that a record of an event stream may announce.
_LARGEST_RECORD = 1_000_000
_CONFIG = Config(
    masters=("127.0.0.1:5050",),
    listener="127.0.0.1",
    external_on=False,
    soa_mname="ns1.mesos.",
    soa_rname="root.ns1.mesos.",
)


def states(octets: bytes) -> None:
    """A document of `/master/state`. Read again, it means the same; what it means are names and records that DNS can carry."""
    what_else(octets)
    read_beginning(octets)
    decoder = Decoder()
    try:
        snapshot = decoder.decode(octets)
    except StateError as error:
        _for_people(error)
        return
    assert decoder.decode(octets) == snapshot
    publisher = _publisher()
    _loop().run_until_complete(publisher.observe(snapshot))
    _check_zone(publisher)
    serials = [zone.serial for zone in publisher.zones]
    _loop().run_until_complete(publisher.observe(decoder.decode(octets)))
    assert serials == [zone.serial for zone in publisher.zones], "the same state is a change"


def events(octets: bytes) -> None:
    """An event stream from its first octet: framing, the state it begins with, and what events make of that."""
    reader, tasks, skipped = RecordReader(_LARGEST_RECORD), TaskReader(), Skipped()
    view: View | None = None
    publisher = _publisher()
    try:
        for half in (octets[: len(octets) // 2], octets[len(octets) // 2 :]):
            for record in reader.feed(half):
                if view is not None:
                    _take(view, read_event(record, skipped), publisher)
                elif (state := read_first(record, tasks)) is not None:
                    view = View(state, tasks, skipped)
                    master = v1_calls.Master("M1", _HERE, "1.11.0")
                    _observe(publisher, view.take_snapshot(master, _HERE, (), None))
    except (RecordError, StateError) as error:
        _for_people(error)
    _check_zone(publisher)


def calls(octets: bytes) -> None:
    """Answers of a master besides its state, of the login of DC/OS, and where a master redirects to."""
    skipped = Skipped()
    for read in (
        v1_calls.read_master,
        v1_calls.read_flags,
        lambda body: v1_calls.read_summary(body, skipped),
        lambda body: v0_tasks.read_running(body, "F", "t", skipped),
    ):
        try:
            read(octets)
        except StateError as error:
            _for_people(error)
    try:
        iam._end_of(iam._token_of(octets))
    except ValueError as error:
        _for_people(error)
    text = octets.decode("latin-1")
    iam._end_of(text)
    found = client._parse_location(text)
    assert found is None or (found.host and 0 <= found.port <= 65535)


def zookeeper(octets: bytes) -> None:
    """What ZooKeeper shows: names of nodes, a line each, and behind an empty line the content of one; and its URL in the configuration."""
    listing, _, content = octets.partition(b"\n\n")
    found = contenders(listing.decode("utf-8", "replace").split("\n"))
    assert list(found) == sorted(found)
    for label in masterinfo.READERS:
        try:
            endpoint = masterinfo.read(label, content)
        except masterinfo.MasterInfoError as error:
            _for_people(error)
            continue
        assert rd.pack_address(endpoint.host) is not None
        assert 1 <= endpoint.port <= 65535
    zookeeper_config.redacted(octets.decode("utf-8", "replace"))
    zookeeper_config.file_of(octets.decode("utf-8", "replace"))
    try:
        zookeeper_config.parse(octets.decode("utf-8", "replace"))
    except Unfit as error:
        _for_people(error)


def _for_people(error: Exception) -> None:
    text = str(error)
    assert text
    assert len(text) < _LONGEST_MESSAGE
    assert "\n" not in text


# --- from what is observed to the zone -----------------------------------------------------------


def _publisher() -> Publisher:
    return Publisher(
        Model(Naming(assembly.rules(_CONFIG))),
        Zones.of([assembly.authority(_CONFIG)]),
        lambda *_: None,
        clock=lambda: 0.0,
        epoch=lambda: 1e9,
    )


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _observe(publisher: Publisher, observation: Snapshot | Delta | None) -> None:
    _loop().run_until_complete(publisher.observe(observation))


def _take(view: View, event: Event | None, publisher: Publisher) -> None:
    if event is not None:
        view.take(event)
    if view.is_changed:
        _observe(publisher, view.take_delta())


def _check_zone(publisher: Publisher) -> None:
    """Every record is one that DNS can carry, and everything that shows records can show it."""
    (zone,) = publisher.zones
    for owner in zone:
        _check_name(owner)
        assert owner == owner.lower()
        assert names.is_below_or_at(owner, zone.authority.apex)
        for rrtype, rdataset in zone.rrsets(owner) or ():
            assert len(set(rdataset)) == len(rdataset)
            for rdata in rdataset:
                if rrtype == rd.SRV:
                    _, _, port, target = rd.srv_fields(rdata)
                    _check_name(target)
                    assert 0 <= port <= 65535
                else:
                    assert len(rdata) == _SIZES[rrtype]
    for form in ("table", "zone"):
        assert all("\n" not in line for line in FORMATS[form](zone))
    for pieces in (
        views.enumerate_tasks(publisher.model, publisher.is_shared),
        views.axfr(zone, refresh_seconds=30, mname="ns1.mesos.", rname="root.mesos.", domain="mesos"),
    ):
        msgspec.json.decode("".join(pieces))


def _check_name(name: bytes) -> None:
    assert len(name) <= 255
    found = list(names.labels(name))
    assert names.from_labels(found) == name
