import random

import pytest
from bench.soak import Sample, growth, reply_to, slope

from bench import soak, wire


@pytest.mark.parametrize(
    ("points", "expected"),
    [([], 0), ([(1, 5)], 0), ([(1, 5), (1, 9)], 0), ([(0, 1), (1, 3), (2, 5)], 2), ([(0, 4), (1, 1), (2, 4)], 0)],
)
def test_the_slope(points, expected):
    assert slope(points) == pytest.approx(expected)


def test_growth_is_that_of_the_second_half():
    rss = [10, 20, 30, 30.5, 31]
    samples = [Sample(n, {"control 1": int(each * 1e6)}, {}) for n, each in enumerate(rss)]
    _, row = growth(samples)
    # 0.5 MB a minute: 500 kB, and 720 MB in a day.
    assert row.split() == ["control", "1", "10.0", "31.0", "31.0", "500.0", "720.0"]


def test_upstreams_that_fail(monkeypatch):
    query = wire.query("a.test", wire.A)
    assert reply_to(query, "forged")[:2] != query[:2]
    assert reply_to(query, "forged")[2:] == reply_to(query, "good")[2:]
    assert reply_to(query, "servfail")[3] & 15 == 2
    there = []
    for now in (0.0, soak.FLAPPING, 2 * soak.FLAPPING):
        monkeypatch.setattr(soak.time, "monotonic", lambda now=now: now)
        there.append(reply_to(query, "flapping") is not None)
    assert there == [True, False, True]


def test_questions_for_those_alone():
    clients = soak.Clients(1, 2, ["a.mesos"], random.Random(1), forwards=True)
    asked = b"".join(clients.question() for _ in range(200))
    assert all(bytes((len(zone) - 5,)) + zone[:-5].encode() in asked for zone in soak.FAILING)
    assert b"mesos" not in asked
    assert b"good" not in asked


def test_upstreams():
    query = wire.query("a.test", wire.A, identifier=7)
    assert reply_to(query, "silent") is None
    good = reply_to(query, "good")
    assert (good[:2], wire.answers(good), len(good)) == (query[:2], 1, len(query) + 16)
    assert reply_to(query, "damaged") == good[:-1]
    assert reply_to(query, "large")[2] & 2
    assert len(reply_to(query, "noise")) == 40
