"""The sources and detectors that the options ask for. Edge: the one place that puts them together."""

from mesos_dns.mesos.detect.static import StaticMasters
from mesos_dns.mesos.http.client import MasterClient
from mesos_dns.mesos.options import SourceOptions
from mesos_dns.mesos.polling import PollingSource
from mesos_dns.mesos.source import MasterDetector, Source
from mesos_dns.mesos.state import Snapshot


def detector(options: SourceOptions) -> MasterDetector:
    """What knows the masters."""
    return StaticMasters(options.masters)


def follow(options: SourceOptions) -> Source:
    """What follows the cluster. OSError or ssl.SSLError if the files of `options.client` are unusable."""
    return _poll(options)


async def read_once(options: SourceOptions) -> Snapshot:
    """Read the state once. Raises NobodyAnsweredError if no master gives one; also the errors of `follow`."""
    return await _poll(options).once()


def _poll(options: SourceOptions) -> PollingSource:
    return PollingSource(detector(options), MasterClient(options.client), refresh_seconds=options.refresh_seconds)
