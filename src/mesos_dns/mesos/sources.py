"""The sources and detectors that the options ask for. Edge: the one place that puts them together."""

import time
from typing import Final

from mesos_dns.mesos.asked import Asked
from mesos_dns.mesos.detect.static import StaticMasters
from mesos_dns.mesos.detect.zookeeper import FIRST_ANSWER_SECONDS, ZooKeeperMasters
from mesos_dns.mesos.errors import NobodyAnsweredError
from mesos_dns.mesos.following import Plan
from mesos_dns.mesos.http.client import MasterClient
from mesos_dns.mesos.identity import Identity
from mesos_dns.mesos.options import SourceOptions
from mesos_dns.mesos.polling import PollingSource
from mesos_dns.mesos.source import MasterDetector, Source
from mesos_dns.mesos.state import Snapshot
from mesos_dns.mesos.streaming import Entered, StreamingSource

#: Seconds that reading once waits for ZooKeeper: it has to try all servers, some of which may be gone.
READ_ONCE_PATIENCE: Final = 15.0


def detector(options: SourceOptions, *, patience: float = FIRST_ANSWER_SECONDS) -> MasterDetector:
    """What knows the masters. It waits for ZooKeeper's first answer for `patience` seconds."""
    if options.zookeeper is not None:
        return ZooKeeperMasters(options.zookeeper, options.masters, patience=patience)
    return StaticMasters(options.masters)


def follow(options: SourceOptions) -> Source:
    """What follows the cluster. OSError or ssl.SSLError if the files of `options.client` are unusable."""
    if options.follow == "polling":
        return _poll(options, detector(options))
    known, identity, asked = detector(options), Identity(), Asked()
    polling = None
    if options.follow == "auto":
        polling = _poll(options, Entered(known), identity, asked)
    plan = Plan(options.reconcile_seconds, options.client.timeout)
    return StreamingSource(known, MasterClient(options.client, asked), polling, plan, identity=identity, asked=asked)


async def read_once(options: SourceOptions) -> Snapshot:
    """Read the state once. Raises NobodyAnsweredError if no master gives one; also the errors of `follow`."""
    masters = detector(options, patience=READ_ONCE_PATIENCE)
    try:
        return await _poll(options, masters).once()
    except NobodyAnsweredError as error:
        if (status := masters.status) is None or not (notes := status.notes(time.monotonic())):
            raise
        raise NobodyAnsweredError(error.errors, "; ".join(notes)) from error


def _poll(
    options: SourceOptions, masters: MasterDetector, identity: Identity | None = None, asked: Asked | None = None
) -> PollingSource:
    asked = Asked() if asked is None else asked
    client = MasterClient(options.client, asked)
    return PollingSource(masters, client, refresh_seconds=options.refresh_seconds, identity=identity, asked=asked)
