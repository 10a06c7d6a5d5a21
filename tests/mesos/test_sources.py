from mesos_dns.mesos.options import SourceOptions
from mesos_dns.mesos.source import SourceStatus
from mesos_dns.mesos.sources import follow
from mesos_dns.mesos.state import Endpoint

A, B = (Endpoint(f"127.0.0.{number}", 5050) for number in (1, 2))


def test_a_list_of_masters_is_polled():
    source = follow(SourceOptions((A, B), 7.0))
    assert repr(source) == f"PollingSource(StaticMasters(127.0.0.1:5050, 127.0.0.2:5050), status={SourceStatus()})"
