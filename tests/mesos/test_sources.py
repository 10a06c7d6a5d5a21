import pytest

from mesos_dns.mesos.detect.zookeeper import ZooKeeperMasters
from mesos_dns.mesos.options import SourceOptions, ZooKeeperOptions
from mesos_dns.mesos.source import KnownMasters, SourceStatus
from mesos_dns.mesos.sources import detector, follow
from mesos_dns.mesos.state import Endpoint

A, B = (Endpoint(f"127.0.0.{number}", 5050) for number in (1, 2))


def test_a_list_of_masters_is_polled():
    source = follow(SourceOptions((A, B), 7.0))
    assert repr(source) == f"PollingSource(StaticMasters(127.0.0.1:5050, 127.0.0.2:5050), status={SourceStatus()})"


def test_zookeeper_comes_before_the_list():
    zookeeper = ZooKeeperOptions((Endpoint("127.0.0.1", 2181),), "/mesos", "me:hunter2")
    found = detector(SourceOptions((A,), zookeeper=zookeeper))
    assert isinstance(found, ZooKeeperMasters)
    assert found.known == KnownMasters((A,))
    assert "hunter2" not in repr(found) + repr(zookeeper) + str(zookeeper)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ((A, B), (A, B), True),
        ((A, B), (B, A), False),
        ((A,), (A,), True),
    ],
)
def test_the_same_masters_mean_the_same_cluster(one, other, same):
    assert SourceOptions(one).same_cluster(SourceOptions(other, 7.0)) is same


def test_the_same_zookeeper_means_the_same_cluster():
    def options(*servers, path="/mesos", credentials=""):
        return SourceOptions((), zookeeper=ZooKeeperOptions(servers, path, credentials))

    assert options(A, B).same_cluster(options(B, A, credentials="x:y"))
    assert not options(A).same_cluster(options(A, path="/other"))
    assert not options(A).same_cluster(options(B))
    assert not options(A).same_cluster(SourceOptions(()))
