"""The table whose protected part a flood cannot reach."""

from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.serve.forward.segments import Segments


def weight(key, value):
    return len(key) + value


def test_what_was_asked_again_survives_any_flood():
    table = Segments(1000, weight)
    table.put(b"popular", 10)
    assert table.get(b"popular") == 10
    for n in range(10_000):
        table.put(b"random %d" % n, 10)
    assert table.get(b"popular") == 10
    assert table.get(b"random 0") is None
    assert table.get(b"random 9999") == 10


def test_what_was_asked_once_goes_in_the_order_of_its_arrival():
    table = Segments(100, weight)
    for n in range(11):
        table.put(b"%02d" % n, 8)
    assert [n for n in range(11) if table.get(b"%02d" % n) is None] == [0]


def test_what_was_not_asked_for_longest_loses_its_protection_first():
    table = Segments(100, weight)
    for n in range(9):
        table.put(b"%02d" % n, 8)
        table.get(b"%02d" % n)
    table.get(b"01")  # 00 went back when 08 came, and 02 is now the oldest.
    table.put(b"09", 8)
    table.get(b"09")
    table.put(b"10", 8)
    table.put(b"11", 8)
    kept = [n for n in range(12) if table.get(b"%02d" % n)]
    assert kept == [1, 3, 4, 5, 6, 7, 8, 9, 10, 11]


def test_a_new_value_takes_the_place_of_the_old_one_in_its_segment():
    table = Segments(1000, weight)
    table.put(b"popular", 10)
    table.get(b"popular")
    table.put(b"popular", 20)
    for n in range(100):
        table.put(b"random %d" % n, 20)
    assert table.get(b"popular") == 20


def test_what_was_replaced_takes_no_room_any_more():
    table = Segments(1000, weight)
    protected = [b"%d" % n for n in range(8)]
    for _ in range(100):
        for key in protected:
            table.put(key, 99)
            table.get(key)
    for n in range(100):
        table.put(b"random %d" % n, 20)
    assert all(table.get(key) for key in protected)


def test_a_value_that_would_take_too_much_is_not_taken_and_the_old_one_is_gone():
    table = Segments(1000, weight)
    table.put(b"large", 10)
    table.put(b"large", 96)
    assert (table.get(b"large"), len(table), table.octets) == (None, 0, 0)


def test_no_room_keeps_nothing():
    table = Segments(0, weight)
    table.put(b"a", 1)
    assert table.get(b"a") is None


KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.integers(1, 15)),
        st.tuples(st.just("get"), KEYS, st.just(0)),
        st.tuples(st.just("discard"), KEYS, st.just(0)),
    ),
    min_size=20,
    max_size=200,
)


@given(st.integers(0, 120), STEPS)
def test_any_use_keeps_to_the_room_and_gives_what_was_put_last(room, steps):
    table, model = Segments(room, weight), {}
    for step, key, value in steps:
        if step == "put":
            table.put(key, value)
            model[key] = value
        elif step == "get":
            assert table.get(key) in (None, model.get(key))
        else:
            table.discard(key)
            model.pop(key, None)
        kept = {**table._probationary, **table._protected}
        assert len(kept) == len(table)
        assert kept.items() <= model.items()
        assert table.octets == sum(weight(*item) for item in kept.items()) <= room
        assert table._protected_octets == sum(weight(*item) for item in table._protected.items()) <= room * 0.8
