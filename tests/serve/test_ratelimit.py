"""Response rate limiting, with time that the tests make."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.dns import name as names
from mesos_dns.dns.prefixes import ClientList, Prefix, prefix_of
from mesos_dns.serve import ratelimit
from mesos_dns.serve.ratelimit import Fate, RateLimiter, Rates

APEX = names.from_text("mesos")
ME, NEIGHBOUR, FAR = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 200)), bytes((192, 0, 3, 1))
POSITIVE, NODATA, NXDOMAIN = (
    bytes((0x85, code, 0, 1, 0, count, 0, 0, 0, 0)) for code, count in ((0, 1), (0, 0), (3, 0))
)
REFUSED, SILENCE = bytes((0x81, 5, 0, 1, 0, 0, 0, 0, 0, 0)), bytes(10)


def key(name, *, edns=False, rrtype=1):
    """As in `serve.keys`."""
    counts = bytes((1, 0, 0, 1, 0, 0, 0, 0, 0, 1 if edns else 0))
    return counts + names.from_text(name) + bytes((0, rrtype, 0, 1)) + (b"\0\0\x29E" if edns else b"")


def zone_of(name):
    return APEX if name.endswith(APEX) else b""


def make(responses=2, nxdomains=3, errors=4, **options):
    return RateLimiter(Rates(responses, nxdomains, errors, **options), zone_of)


def fates(limiter, times, client=ME, name="a.mesos", head=POSITIVE, now=0.0, **form):
    """What becomes of each of so many responses in one moment; None for those within the limit."""
    over = {
        each.place: each.fate
        for each in limiter.judge([client] * times, [key(name, **form)] * times, [head] * times, now)
    }
    return [over.get(place) for place in range(times)]


def sent(limiter, times, *args, **kwargs):
    """How many of so many responses are within the limit."""
    return fates(limiter, times, *args, **kwargs).count(None)


def test_as_many_as_the_rate_says_are_within_the_limit():
    limiter = make()
    assert fates(limiter, 6) == [None, None, Fate.DROPPED, Fate.TRUNCATED, Fate.DROPPED, Fate.TRUNCATED]


@pytest.mark.parametrize(
    ("slip", "told"),
    [
        (0, [Fate.DROPPED] * 4),
        (1, [Fate.TRUNCATED] * 4),
        (3, [Fate.DROPPED, Fate.DROPPED, Fate.TRUNCATED, Fate.DROPPED]),
    ],
)
def test_every_so_many_of_those_held_back_are_truncated(slip, told):
    assert fates(make(slip=slip), 6)[2:] == told


def test_errors_are_sent_where_others_are_truncated():
    assert fates(make(slip=1), 6, head=REFUSED) == [None] * 4 + [Fate.SENT] * 2


def test_each_kind_has_its_rate():
    limiter = make()
    assert [sent(limiter, 9, head=head) for head in (POSITIVE, NXDOMAIN, REFUSED)] == [2, 3, 4]


def test_records_are_counted_by_name_whatever_the_form_of_the_question():
    limiter = make()
    assert sent(limiter, 1) + sent(limiter, 9, edns=True) + sent(limiter, 9, rrtype=33) == 2
    assert sent(limiter, 9, name="b.mesos") == 2


def test_what_is_not_there_is_counted_by_zone():
    limiter = make()
    assert sent(limiter, 1, head=NXDOMAIN) + sent(limiter, 9, name="b.mesos", head=NODATA) == 3
    assert sent(limiter, 9, name="c.example", head=NXDOMAIN) == 3
    assert sent(limiter, 9, name="d.example", head=NXDOMAIN) == 0


def test_networks_are_counted_and_no_single_clients():
    limiter = make()
    assert sent(limiter, 9) == 2
    assert sent(limiter, 9, client=NEIGHBOUR) == 0
    assert sent(limiter, 9, client=bytes(10) + b"\xff\xff" + NEIGHBOUR) == 0
    assert sent(limiter, 9, client=FAR) == 2


def test_networks_of_ipv6():
    limiter = make()
    first, same, other = (bytes.fromhex(f"20010db8000000{n:02x}") + bytes(7) + b"\1" for n in (0, 0xFF, 0))
    assert (sent(limiter, 9, client=first), sent(limiter, 9, client=same)) == (2, 0)
    other = bytes.fromhex("20010db80000010000") + bytes(7)
    assert sent(limiter, 9, client=other) == 2


def test_who_is_exempt_is_not_limited():
    limiter = make(exempt=ClientList(allowed=(prefix_of(ME, 32),), local=True))
    assert sent(limiter, 9) == 9
    assert sent(limiter, 9, client=NEIGHBOUR) == 2
    limiter.use([prefix_of(FAR, 24)])
    assert sent(limiter, 9, client=FAR) == 9


def test_silence_counts_for_nothing():
    limiter = make()
    assert sent(limiter, 9, head=SILENCE) == 9
    assert len(limiter) == 0


def test_time_brings_more():
    limiter = make(responses=10, window=1)
    assert sent(limiter, 10) == 10
    assert sent(limiter, 9, now=0.5) == 5
    assert sent(limiter, 9, now=0.5) == 0
    assert sent(limiter, 20, now=100.0) == 10


def test_who_goes_on_stays_limited_and_who_stops_is_free_after_the_window():
    limiter = make(responses=10, window=5)
    sent(limiter, 10)
    for second in range(1, 10):
        sent(limiter, 1000, now=float(second))
    assert sent(limiter, 100, now=9.5) == 0
    assert sent(limiter, 1, now=13.9) == 0
    assert sent(limiter, 1, now=15.2) == 1


def test_a_worker_has_its_share_of_the_rate_for_long_and_all_of_it_for_a_moment():
    usual, greedy = (make(responses=10, share=0.25) for _ in range(2))
    assert sent(usual, 10) == 10
    assert all(sent(usual, 1, now=n / 2) for n in range(1, 100))
    assert sum(sent(greedy, 1, now=n / 4) for n in range(400)) < 40


def test_it_is_told_what_is_held_back():
    limiter = make(slip=0)
    positive, negative, error = (
        limiter.judge([ME] * 5, [key("a.mesos")] * 5, [head] * 5, 0.0)[-1] for head in (POSITIVE, NXDOMAIN, REFUSED)
    )
    network = Prefix(bytes((192, 0, 2, 0)), 24)
    assert positive == (4, Fate.DROPPED, network, names.from_text("a.mesos"), False)
    assert negative == (4, Fate.DROPPED, network, APEX, True)
    assert error == (4, Fate.DROPPED, network, b"", False)


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(ratelimit, "MAX_ACCOUNTS", 20)
    monkeypatch.setattr(ratelimit, "MAX_NETWORKS", 30)
    limiter = make()
    assert sent(limiter, 9) == 2
    for n in range(200):
        # The one that is limited is looked at all the time: it is not what is forgotten.
        assert sent(limiter, 1, now=n / 1000) == 0
        assert sent(limiter, 1, client=bytes((10, n, 0, 1)), now=n / 1000) == 1
        assert len(limiter) <= 20
        assert len(limiter._networks) <= 30


STEPS = st.lists(
    st.tuples(
        st.sampled_from([ME, NEIGHBOUR, FAR]),
        st.sampled_from(["a.mesos", "b.mesos", "c.example"]),
        st.sampled_from([POSITIVE, NXDOMAIN, REFUSED]),
        st.floats(0, 3),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 5), st.floats(0.1, 1.0))
def test_no_account_gets_more_than_the_rate_for_long(steps, rate, share):
    """Within any time at most the first amount, the same once more, and what the time brings."""
    limiter = make(rate, rate, rate, share=share)
    now, within = 0.0, Counter()
    for client, name, head, seconds in steps:
        now += seconds
        about = {POSITIVE: name, NXDOMAIN: zone_of(names.from_text(name)), REFUSED: ""}[head]
        within[client[:3], about] += sent(limiter, 1, client=client, name=name, head=head, now=now)
    assert all(count <= 2 * rate + now * rate * share + 1e-6 for count in within.values())


@given(STEPS)
def test_who_asks_seldom_is_never_limited(steps):
    limiter = make(1, 1, 1)
    for second, (client, name, head, _) in enumerate(steps):
        assert sent(limiter, 1, client=client, name=name, head=head, now=float(second)) == 1
