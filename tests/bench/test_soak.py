import pytest
from bench.soak import Sample, growth, reply_to, slope

from bench import wire


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


def test_upstreams():
    query = wire.query("a.test", wire.A, identifier=7)
    assert reply_to(query, "silent") is None
    good = reply_to(query, "good")
    assert (good[:2], wire.answers(good), len(good)) == (query[:2], 1, len(query) + 16)
    assert reply_to(query, "damaged") == good[:-1]
    assert reply_to(query, "large")[2] & 2
    assert len(reply_to(query, "noise")) == 40
