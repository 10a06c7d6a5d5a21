"""Secrets of cookies that control makes: what is right stays right for a day, also while workers learn of a change."""

from itertools import count

import pytest

from mesos_dns.serve.cookies import ServerCookies
from mesos_dns.workers.rotation import SECRET_SECONDS, begin


def numbers():
    """Secrets that can be told apart, in the place of random ones."""
    found = count()
    return lambda size: bytes((next(found),)) * size


def test_the_first_is_in_use_for_a_day_and_then_the_next_one():
    random = numbers()
    made = begin(100.0, random)
    assert (made.until, made.cookies.secrets) == (100.0 + SECRET_SECONDS, [b"\0" * 16, b"\1" * 16])
    made = made.turned(90000.0, random)
    assert (made.until, made.cookies.secrets) == (90000.0 + SECRET_SECONDS, [b"\1" * 16, b"\2" * 16, b"\0" * 16])
    made = made.turned(180000.0, random)
    assert made.cookies.secrets == [b"\2" * 16, b"\3" * 16, b"\1" * 16]


@pytest.mark.parametrize("ahead", ["one", "other"])
def test_workers_know_each_other_s_cookies_while_one_is_ahead(ahead):
    random = numbers()
    before = begin(0.0, random)
    for _ in range(3):
        after = before.turned(0.0, random)
        one, other = (ServerCookies(made.cookies.secrets, lambda: 1e9) for made in (after, before))
        maker, judge = (one, other) if ahead == "one" else (other, one)
        assert judge.is_valid(maker.option(bytes(8), b"abcd")[4:], b"abcd")
        before = after
