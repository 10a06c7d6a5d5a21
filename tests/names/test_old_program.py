"""The cluster of the old program's generator tests: all its records, ours beside them, and the order of address sources."""

import pytest
from tests.names.cluster import AGENTS, FRAMEWORKS, LEADER, TASKS, as_text, packed, rules, written

from mesos_dns.mesos.state import Delta
from mesos_dns.names.labels import rfc952, rfc1123
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming
from mesos_dns.zone.contributors import records_of

GO = """
big-dog.M big-dog-4dfjd-0.M big.dog.M big.dog-4dfjd-0.M         | A | 10.3.0.1
big-dog.MS big-dog-4dfjd-0.MS big.dog.MS big.dog-4dfjd-0.MS     | A | 1.2.3.11
liquor-store.M liquor.store.M                                   | A | 10.3.0.1, 10.3.0.2
liquor-store.MS liquor.store.MS                                 | A | 1.2.3.11, 1.2.3.12
liquor-store-4dfjd-0.M liquor.store-4dfjd-0.M                   | A | 10.3.0.1
liquor-store-4dfjd-0.MS liquor.store-4dfjd-0.MS                 | A | 1.2.3.11
liquor-store-zasmd-1.M liquor.store-zasmd-1.M                   | A | 10.3.0.2
liquor-store-zasmd-1.MS liquor.store-zasmd-1.MS                 | A | 1.2.3.12
car-store.M car-store-zinaz-0.M car-store.MS car-store-zinaz-0.MS | A | 1.2.3.11
chronos.M chronos-rx8q6-0.M chronos.MS chronos-rx8q6-0.MS       | A | 1.2.3.11
nginx.M nginx-6ud99-0.M                                         | A | 10.3.0.3
nginx.MS nginx-6ud99-0.MS                                       | A | 1.2.3.11
reviewbot.M reviewbot-8sq89-1.M reviewbot.MS reviewbot-8sq89-1.MS | A | 1.2.3.12
some-box.C some-box-h3dyr-0.C some-box.CS some-box-h3dyr-0.CS   | A | 1.2.3.11
toy-store.6 toy-store-go588-3.6                                 | A | 12.0.1.2, 12.0.1.3
marathon.mesos.                                                 | A | 1.2.3.11
{C}.mesos.                                                      | A | 1.2.3.12
nopid.mesos.                                                    | A | 127.0.0.1
slave.mesos.                                                    | A | 1.2.3.10, 1.2.3.11, 1.2.3.12
leader.mesos. master.mesos. master0.mesos.                      | A | 144.76.157.37
mesos-dns.mesos.                                                | A | 127.0.0.1

toy-store.6 toy-store-go588-3.6                                 | AAAA | fd01:b::1:8000:2
toy-store.6S toy-store-go588-3.6S                               | AAAA | 2001:db8::1
ipv6-framework.mesos. slave.mesos.                              | AAAA | 2001:db8::1

_leader._tcp.mesos. _leader._udp.mesos.                         | SRV | leader.mesos.:5050
_slave._tcp.mesos.                                              | SRV | slave.mesos.:5051
_framework._tcp.M                                               | SRV | marathon.mesos.:25501
_framework._tcp.C                                               | SRV | {C}.mesos.:25501
_framework._tcp.6                                               | SRV | ipv6-framework.mesos.:25501
_big-dog._tcp.M                                                 | SRV | big-dog-4dfjd-0.M:80, big-dog-4dfjd-0.M:443
_http._big-dog._tcp.M                                           | SRV | big-dog-4dfjd-0.M:80
_https._big-dog._tcp.M                                          | SRV | big-dog-4dfjd-0.M:443
_big-dog._tcp.MS _big-dog._udp.MS                               | SRV | big-dog-4dfjd-0.MS:31354, big-dog-4dfjd-0.MS:31355
_big.dog._tcp.M                                                 | SRV | big.dog-4dfjd-0.M:80, big.dog-4dfjd-0.M:443
_http._big.dog._tcp.M                                           | SRV | big.dog-4dfjd-0.M:80
_https._big.dog._tcp.M                                          | SRV | big.dog-4dfjd-0.M:443
_big.dog._tcp.MS _big.dog._udp.MS                               | SRV | big.dog-4dfjd-0.MS:31354, big.dog-4dfjd-0.MS:31355
_liquor-store._tcp.M                   | SRV | liquor-store-4dfjd-0.M:80, liquor-store-4dfjd-0.M:443
_liquor-store._tcp.M                   | SRV | liquor-store-zasmd-1.M:80, liquor-store-zasmd-1.M:443
_http._liquor-store._tcp.M             | SRV | liquor-store-4dfjd-0.M:80, liquor-store-zasmd-1.M:80
_https._liquor-store._tcp.M            | SRV | liquor-store-4dfjd-0.M:443, liquor-store-zasmd-1.M:443
_liquor-store._tcp.MS _liquor-store._udp.MS | SRV | liquor-store-4dfjd-0.MS:31354, liquor-store-4dfjd-0.MS:31355
_liquor-store._tcp.MS _liquor-store._udp.MS | SRV | liquor-store-zasmd-1.MS:31737, liquor-store-zasmd-1.MS:31738
_liquor.store._tcp.M                   | SRV | liquor.store-4dfjd-0.M:80, liquor.store-4dfjd-0.M:443
_liquor.store._tcp.M                   | SRV | liquor.store-zasmd-1.M:80, liquor.store-zasmd-1.M:443
_http._liquor.store._tcp.M             | SRV | liquor.store-4dfjd-0.M:80, liquor.store-zasmd-1.M:80
_https._liquor.store._tcp.M            | SRV | liquor.store-4dfjd-0.M:443, liquor.store-zasmd-1.M:443
_liquor.store._tcp.MS _liquor.store._udp.MS | SRV | liquor.store-4dfjd-0.MS:31354, liquor.store-4dfjd-0.MS:31355
_liquor.store._tcp.MS _liquor.store._udp.MS | SRV | liquor.store-zasmd-1.MS:31737, liquor.store-zasmd-1.MS:31738
_car-store._tcp.M _car-store._udp.M _car-store._tcp.MS _car-store._udp.MS | SRV | car-store-zinaz-0.MS:31364, car-store-zinaz-0.MS:31365
_chronos._tcp.M _chronos._udp.M _chronos._tcp.MS _chronos._udp.MS         | SRV | chronos-rx8q6-0.MS:31332
_reviewbot._tcp.M _reviewbot._udp.M _reviewbot._tcp.MS _reviewbot._udp.MS | SRV | reviewbot-8sq89-1.MS:31744
_some-box._tcp.C _some-box._udp.C _some-box._tcp.CS _some-box._udp.CS     | SRV | some-box-h3dyr-0.CS:31354
_toy-store._tcp.6 _toy-store._udp.6 _toy-store._tcp.6S _toy-store._udp.6S | SRV | toy-store-go588-3.6S:31354, toy-store-go588-3.6S:31355
"""

#: Not in the old program: `agent` beside `slave`, the masters' services, that of discovery ports below `.slave` (from the
#: fork), and the order of labels of the first design.
OURS = """
agent.mesos.                           | A | 1.2.3.10, 1.2.3.11, 1.2.3.12
agent.mesos.                           | AAAA | 2001:db8::1
_agent._tcp.mesos.                     | SRV | agent.mesos.:5051

_master._tcp.mesos. _master._udp.mesos. | SRV | master0.mesos.:5050

_http._big-dog._tcp.MS                 | SRV | big-dog-4dfjd-0.MS:80
_https._big-dog._tcp.MS                | SRV | big-dog-4dfjd-0.MS:443
_http._big.dog._tcp.MS                 | SRV | big.dog-4dfjd-0.MS:80
_https._big.dog._tcp.MS                | SRV | big.dog-4dfjd-0.MS:443
_http._liquor-store._tcp.MS            | SRV | liquor-store-4dfjd-0.MS:80, liquor-store-zasmd-1.MS:80
_https._liquor-store._tcp.MS           | SRV | liquor-store-4dfjd-0.MS:443, liquor-store-zasmd-1.MS:443
_http._liquor.store._tcp.MS            | SRV | liquor.store-4dfjd-0.MS:80, liquor.store-zasmd-1.MS:80
_https._liquor.store._tcp.MS           | SRV | liquor.store-4dfjd-0.MS:443, liquor.store-zasmd-1.MS:443

big-dog.marathon._tcp.mesos.           | SRV | big-dog-4dfjd-0.M:80, big-dog-4dfjd-0.M:443
big.dog.marathon._tcp.mesos.           | SRV | big.dog-4dfjd-0.M:80, big.dog-4dfjd-0.M:443
liquor-store.marathon._tcp.mesos.      | SRV | liquor-store-4dfjd-0.M:80, liquor-store-4dfjd-0.M:443
liquor-store.marathon._tcp.mesos.      | SRV | liquor-store-zasmd-1.M:80, liquor-store-zasmd-1.M:443
liquor.store.marathon._tcp.mesos.      | SRV | liquor.store-4dfjd-0.M:80, liquor.store-4dfjd-0.M:443
liquor.store.marathon._tcp.mesos.      | SRV | liquor.store-zasmd-1.M:80, liquor.store-zasmd-1.M:443
car-store.marathon._tcp.mesos. car-store.marathon._udp.mesos. | SRV | car-store-zinaz-0.MS:31364, car-store-zinaz-0.MS:31365
chronos.marathon._tcp.mesos. chronos.marathon._udp.mesos.     | SRV | chronos-rx8q6-0.MS:31332
reviewbot.marathon._tcp.mesos. reviewbot.marathon._udp.mesos. | SRV | reviewbot-8sq89-1.MS:31744
some-box.{C}._tcp.mesos. some-box.{C}._udp.mesos.             | SRV | some-box-h3dyr-0.CS:31354
toy-store.ipv6-framework._tcp.mesos. toy-store.ipv6-framework._udp.mesos. | SRV | toy-store-go588-3.6S:31354, toy-store-go588-3.6S:31355
"""


def fixture_records(label=rfc952, ip_sources=("netinfo", "docker", "mesos", "host")):
    model = Model(Naming(rules(label, ip_sources)))
    out = []
    for _, contributed in model.set_hosts({"localhost": packed("127.0.0.1")}):
        out += records_of(contributed)
    for _, contributed in model.apply(Delta(AGENTS, FRAMEWORKS, TASKS)):
        out += records_of(contributed)
    out += records_of(model.set_masters([LEADER], LEADER)[1])
    out += records_of(model.set_self(packed("127.0.0.1"))[1])
    return as_text(out)


@pytest.mark.parametrize(
    ("label", "chronos"), [(rfc952, "chronoswithaspaceandmixe"), (rfc1123, "chronoswithaspaceandmixedcase-2.0.1")]
)
def test_the_fixture_gives_the_records_of_the_old_program_and_ours(label, chronos):
    expected = written(GO, chronos) | written(OURS, chronos)
    assert fixture_records(label) == expected


def test_the_tables_have_as_many_names_as_the_old_program():
    names_of = {kind: {line.split()[0] for line in written(GO) if f" {kind} " in line} for kind in ("A", "AAAA", "SRV")}
    assert {kind: len(found) for kind, found in names_of.items()} == {"A": 50, "AAAA": 6, "SRV": 46}


LIQUOR = "liquor-store.marathon.mesos. A"
LIQUOR_SLAVE = "liquor-store.marathon.slave.mesos. A"
NGINX = "nginx.marathon.mesos. A"
CAR_SLAVE = "car-store.marathon.slave.mesos. A"
TOY, TOY_SLAVE = "toy-store.ipv6-framework.mesos.", "toy-store.ipv6-framework.slave.mesos."


@pytest.mark.parametrize(
    ("sources", "name", "values"),
    [
        (["netinfo"], LIQUOR, []),
        (["docker", "host"], LIQUOR, ["10.3.0.1", "10.3.0.2"]),
        (["mesos", "host"], LIQUOR, ["1.2.3.11", "1.2.3.12"]),
        (["host"], LIQUOR, ["1.2.3.11", "1.2.3.12"]),
        (["netinfo"], LIQUOR_SLAVE, ["1.2.3.11", "1.2.3.12"]),
        (["docker", "host"], LIQUOR_SLAVE, ["1.2.3.11", "1.2.3.12"]),
        (["netinfo"], NGINX, []),
        (["docker", "host"], NGINX, ["1.2.3.11"]),
        (["mesos", "host"], NGINX, ["10.3.0.3"]),
        (["host"], NGINX, ["1.2.3.11"]),
        (["netinfo"], CAR_SLAVE, ["1.2.3.11"]),
        (["mesos", "host"], CAR_SLAVE, ["1.2.3.11"]),
        (["netinfo"], TOY + " A", ["12.0.1.2", "12.0.1.3"]),
        (["docker", "host"], TOY + " A", []),
        (["netinfo"], TOY + " AAAA", ["fd01:b::1:8000:2"]),
        (["docker", "host"], TOY + " AAAA", ["2001:db8::1"]),
        (["mesos", "host"], TOY + " AAAA", ["2001:db8::1"]),
        (["host"], TOY + " AAAA", ["2001:db8::1"]),
        (["netinfo"], TOY_SLAVE + " AAAA", ["2001:db8::1"]),
        (["host"], TOY_SLAVE + " AAAA", ["2001:db8::1"]),
    ],
)
def test_the_order_of_address_sources_decides(sources, name, values):
    found = {line for line in fixture_records(ip_sources=sources) if line.startswith(name + " ")}
    assert found == {f"{name} {value}" for value in values}
