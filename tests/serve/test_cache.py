"""What is remembered, and how much of it."""

from itertools import islice

from mesos_dns.limits import MEMO_NOT_FOUND
from mesos_dns.serve.cache import Memo, Pieces

HEAD = bytes(10)
ROOM = 1 << 20


def make_memo(found=100, missing=100, room=ROOM):
    return Memo(Pieces(room), Pieces(room), found, missing)


def remember(memo, key, *tails, found=True):
    memo.remember((key,), HEAD, tails, 20 + len(key), found=found)


def first(memo, key, count=1):
    return [tail for _, tail, _ in islice(memo.entries[key], count)]


def test_a_reply_with_one_order_is_given_again_and_again():
    memo = make_memo()
    remember(memo, b"k", b"tail")
    assert list(islice(memo.entries[b"k"], 3)) == [(HEAD, b"tail", 21)] * 3
    assert repr(memo) == "Memo(found=1, missing=0)"


def test_several_orders_take_turns():
    memo = make_memo()
    remember(memo, b"k", b"abc", b"bca", b"cab")
    assert first(memo, b"k", 7) == [b"abc", b"bca", b"cab", b"abc", b"bca", b"cab", b"abc"]


def test_what_is_remembered_is_not_replaced():
    memo = make_memo()
    remember(memo, b"k", b"first")
    remember(memo, b"k", b"second")
    assert first(memo, b"k") == [b"first"]
    assert repr(memo) == "Memo(found=1, missing=0)"


def test_keys_of_one_reply_come_and_go_together():
    memo = make_memo(found=2)
    memo.remember((b"large", b"small"), HEAD, (b"ab", b"ba"), 20, found=True)
    memo.remember((b"small", b"other"), HEAD, (b"x",), 20, found=True)
    assert first(memo, b"large") + first(memo, b"small") == [b"ab", b"ba"]
    remember(memo, b"1", b"tail")
    remember(memo, b"2", b"tail")
    assert set(memo.entries) == {b"1", b"2"}


def test_each_kind_has_its_bound_and_drops_its_own_oldest():
    memo = make_memo(found=3, missing=1)
    for n in range(5):
        remember(memo, b"found%d" % n, b"tail")
        remember(memo, b"missing%d" % n, b"tail", found=False)
    assert set(memo.entries) == {b"found2", b"found3", b"found4", b"missing4"}


def test_octets_are_bounded_as_well():
    memo = make_memo(room=1000)
    for n in range(5):
        remember(memo, b"%d" % n, bytes(200), bytes(199))
    assert set(memo.entries) == {b"3", b"4"}
    remember(memo, b"giant", bytes(991))
    assert set(memo.entries) == {b"3", b"4"}
    remember(memo, b"large", bytes(990))
    assert set(memo.entries) == {b"large"}
    remember(memo, b"next", b"tail")
    assert set(memo.entries) == {b"next"}


class Recording(Pieces):
    """A store that notes what is in it, as one that holds a few octets in a ring would know."""

    def __init__(self, room):
        super().__init__(room)
        self.log = []

    def put(self, head, tail, question_end):
        self.log.append(tail)
        return super().put(head, tail, question_end)

    def clear(self):
        self.log.append("clear")


def test_the_store_gets_what_is_remembered_and_hears_of_the_end():
    memo = Memo(found := Recording(100), missing := Recording(100))
    remember(memo, b"a", b"1", b"2")
    remember(memo, b"b", b"3", found=False)
    remember(memo, b"giant", bytes(91))
    memo.forget()
    assert found.log == [b"1", b"2", "clear"]
    assert missing.log == [b"3", "clear"]


def test_what_is_asked_for_again_is_wanted():
    memo = make_memo()
    for found in (False, True):
        assert [memo.wants(b"k", found=found) for _ in range(3)] == [False, True, True]


def test_after_a_change_of_the_zone_nothing_has_been_asked_for():
    memo = make_memo()
    memo.wants(b"k", found=True)
    memo.forget()
    assert not memo.wants(b"k", found=True)


def test_what_was_asked_before_is_bounded():
    memo = Memo(Pieces(ROOM), Pieces(ROOM))
    for n in range(50_000):
        assert not memo.wants(b"%d" % n, found=False)
    assert len(memo._missing.asked) <= MEMO_NOT_FOUND
    assert memo.entries == {}


def test_a_flood_of_unknown_names_costs_known_names_nothing():
    memo = make_memo(found=3, missing=10)
    remember(memo, b"known", b"tail")
    memo.wants(b"asked once", found=True)
    for n in range(1000):
        memo.wants(b"%d" % n, found=False)
        remember(memo, b"%d" % n, b"tail", found=False)
    assert b"known" in memo.entries
    assert memo.wants(b"asked once", found=True)
    assert len(memo.entries) == 11


def test_what_is_forgotten_is_gone_at_once_and_freed_bit_by_bit():
    memo = make_memo(found=10_000)
    for n in range(1000):
        memo.wants(b"%d" % n, found=True)
        remember(memo, b"%d" % n, b"tail")
    memo.forget()
    assert memo.entries == {}
    assert repr(memo) == "Memo(found=0, missing=0)"
    assert sum(map(len, memo._garbage)) == 3000
    memo.sweep(600)
    assert sum(map(len, memo._garbage)) == 2400
    remember(memo, b"new", b"tail")
    memo.forget()
    memo.sweep(10_000)
    assert memo._garbage == []


def test_a_forgotten_bound_counts_anew():
    memo = make_memo(found=2)
    for n in range(5):
        remember(memo, b"%d" % n, b"tail")
        memo.forget()
    remember(memo, b"a", b"tail")
    remember(memo, b"b", b"tail")
    assert len(memo.entries) == 2


def test_repr():
    assert repr(Pieces(7)) == "Pieces(room=7)"
