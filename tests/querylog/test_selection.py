"""Which answers a query log has."""

import pytest
from tests.querylog.given import CLIENT
from tests.serve.asking import ask

from mesos_dns.dns import name as names
from mesos_dns.dns.prefixes import ClientList, prefix_of
from mesos_dns.querylog.selection import Selection, Selector, rcode_named

WEB = ask("Web.marathon.mesos.")
MINE = prefix_of(CLIENT, 24)


def selector(*, networks=(), chance=lambda: 0.5, **wanted):
    return Selector(Selection(**wanted), networks, chance)


def test_without_a_restriction_it_has_all():
    everything = selector()
    assert everything.asks(CLIENT, WEB)
    assert everything.asks(b"", b"no message at all")
    assert all(map(everything.takes, range(24)))


@pytest.mark.parametrize(
    ("apex", "is_in"),
    [
        *((apex, True) for apex in ("web.marathon.mesos", "marathon.mesos", "mesos", ".")),
        *((apex, False) for apex in ("eb.marathon.mesos", "marathon.mesos.x", "api.marathon.mesos")),
    ],
)
def test_a_name_stands_for_what_is_below_it(apex, is_in):
    assert selector(names=(names.from_text(apex),)).asks(CLIENT, WEB) is is_in


def test_one_of_several_names_is_enough():
    assert selector(names=(names.from_text("a.b"), names.from_text("web.marathon.mesos"))).asks(CLIENT, WEB)


def test_what_has_no_name_is_below_none():
    assert not selector(names=(names.ROOT,)).asks(CLIENT, bytes(12))


def test_clients_are_those_of_a_list():
    some = selector(clients=ClientList(allowed=(MINE,)))
    assert some.asks(CLIENT, WEB)
    assert not some.asks(bytes((192, 0, 3, 7)), WEB)
    assert not some.asks(b"", WEB)


def test_the_networks_of_this_machine_may_change():
    local = selector(clients=ClientList(allowed=(), local=True))
    assert not local.asks(CLIENT, WEB)
    local.use([MINE])
    assert local.asks(CLIENT, WEB)
    # Whoever takes everybody has no list to change.
    selector().use([MINE])


def test_rcodes():
    failures = selector(rcodes=(rcode_named("servfail"), rcode_named("NXDOMAIN")))
    assert [rcode for rcode in range(24) if failures.takes(rcode)] == [2, 3]


def test_an_rcode_that_nobody_knows():
    with pytest.raises(ValueError, match="'NXDOMIAN' is no RCODE; expected one of NOERROR, FORMERR, SERVFAIL, "):
        rcode_named("NXDOMIAN")


def test_a_sample_is_left_to_chance():
    chances = iter([0.0, 0.3, 0.09, 0.1, 0.99])
    tenth = selector(sample=10, chance=lambda: next(chances))
    assert [tenth.takes(0) for _ in range(5)] == [True, False, True, False, False]
