"""What is kept of the responses, and how much of it."""

from itertools import accumulate, cycle, islice

from mesos_dns.serve.cache import _MOST_MISSING, ORDER_OCTETS, Pieces, ResponseCache
from mesos_dns.serve.render import Orders, Response
from mesos_dns.serve.turns import turns

HEAD = bytes(10)
ROOM = 1 << 20


def make_cache(found=100, missing=100, room=ROOM):
    return ResponseCache(Pieces(room), Pieces(room), found, missing)


def orders(*bodies, found=True, by_client=False):
    """One order for each body."""
    ends = [0, *accumulate(map(len, bodies))]
    windows = [(HEAD, ends[n], ends[n + 1]) for n in range(len(bodies))]
    return Orders(b"".join(bodies), windows, b"opt", 20, found, by_client)


def keep(cache, key, *bodies, found=True):
    cache.cache_orders((key,), orders(*bodies, found=found))


def first(cache, key, count=1):
    return [response.body for response in islice(cache.entries[key], count)]


def test_a_reply_with_one_order_is_given_again_and_again():
    cache = make_cache()
    keep(cache, b"k", b"tail")
    assert list(islice(cache.entries[b"k"], 3)) == [Response(HEAD, b"tail", b"opt", 20, found=True)] * 3
    assert repr(cache) == "ResponseCache(found=1, missing=0)"


def test_several_orders_take_turns():
    cache = make_cache()
    keep(cache, b"k", b"abc", b"bca", b"cab")
    assert first(cache, b"k", 7) == [b"abc", b"bca", b"cab", b"abc", b"bca", b"cab", b"abc"]


def test_what_is_remembered_is_not_replaced():
    cache = make_cache()
    keep(cache, b"k", b"first")
    keep(cache, b"k", b"second")
    assert first(cache, b"k") == [b"first"]
    assert repr(cache) == "ResponseCache(found=1, missing=0)"


def test_keys_of_one_reply_come_and_go_together():
    cache = make_cache(found=2)
    cache.cache_orders((b"large", b"small"), orders(b"ab", b"ba"))
    cache.cache_orders((b"small", b"other"), orders(b"x"))
    assert first(cache, b"large") + first(cache, b"small") == [b"ab", b"ba"]
    keep(cache, b"1", b"tail")
    keep(cache, b"2", b"tail")
    assert set(cache.entries) == {b"1", b"2"}


def test_each_kind_has_its_bound_and_drops_its_own_oldest():
    cache = make_cache(found=3, missing=1)
    for n in range(5):
        keep(cache, b"found%d" % n, b"tail")
        keep(cache, b"missing%d" % n, b"tail", found=False)
    assert set(cache.entries) == {b"found2", b"found3", b"found4", b"missing4"}


def test_octets_are_bounded_as_well_and_every_order_counts():
    each = ORDER_OCTETS
    cache = make_cache(room=6 * each + 1000)
    for n in range(4):
        keep(cache, b"%d" % n, bytes(200), bytes(199))
    assert set(cache.entries) == {b"2", b"3"}
    keep(cache, b"giant", bytes(5 * each + 1001))
    assert set(cache.entries) == {b"2", b"3"}
    keep(cache, b"large", bytes(5 * each + 1000))
    assert set(cache.entries) == {b"large"}
    keep(cache, b"next", b"tail")
    assert set(cache.entries) == {b"next"}


def test_parts_are_given_by_client_and_go_with_the_rest():
    cache = make_cache(found=1)
    cache.cache_orders((b"k",), orders(b"a", b"b", b"c", by_client=True))
    assert cache.entries == {}
    clients = [bytes((192, 0, 2, n)) for n in range(100)]
    seen = [cache.part(b"k", client, b"owner").body for client in clients]
    assert set(seen) == {b"a", b"b", b"c"}
    assert [cache.part(b"k", client, b"owner").body for client in clients] == seen
    assert cache.part(b"other", clients[0], b"owner") is None
    keep(cache, b"next", b"tail")
    assert cache.parts == {}
    cache.cache_orders((b"k",), orders(b"a", b"b", by_client=True))
    cache.forget()
    assert cache.parts == {}


def test_turns_are_kept_like_the_rest():
    cache = make_cache(found=2, room=1000)
    cache.cache_turns(b"t", cycle("ab"), HEAD, 900)
    assert [*islice(cache.entries[b"t"], 3)] == ["a", "b", "a"]
    keep(cache, b"k", b"tail")
    assert set(cache.entries) == {b"k"}
    cache.cache_turns(b"u", cycle("ab"), HEAD, 1001)
    assert set(cache.entries) == {b"k"}


def test_windows_are_a_sequence():
    store, bodies = Pieces(ROOM), [bytes(8000), bytes(8001), bytes(8002)]
    kept = store.put(orders(*bodies))
    assert [response.body for response in kept[1:]] == bodies[1:]
    assert kept[-1].body == bodies[-1]
    assert repr(kept) == "_Windows(3)"
    assert [response.body for response in islice(turns(kept)[0], 4)] == [*bodies, bodies[0]]
    assert store.weight(orders(*bodies)) == 24003 + 3 * ORDER_OCTETS


class Recording(Pieces):
    """A store that notes what is in it, as one that holds a few octets in a ring would know."""

    def __init__(self, room):
        super().__init__(room)
        self.log = []

    def put(self, orders):
        self.log.append(orders.octets)
        return super().put(orders)

    def clear(self):
        self.log.append("clear")


def test_the_store_gets_what_is_kept_and_hears_of_the_end():
    cache = ResponseCache(found := Recording(300), missing := Recording(300))
    keep(cache, b"a", b"1", b"2")
    keep(cache, b"b", b"3", found=False)
    keep(cache, b"giant", bytes(291))
    cache.forget()
    assert found.log == [b"12", "clear"]
    assert missing.log == [b"3", "clear"]


def test_what_is_asked_for_again_is_wanted():
    cache = make_cache()
    for found in (False, True):
        assert [cache.should_cache(b"k", found=found) for _ in range(3)] == [False, True, True]


def test_many_keys_are_looked_at_at_once():
    cache = make_cache()
    assert cache.repeated([b"a", b"b"]) == []
    assert cache.repeated([b"b", b"c", b"a"]) == [b"b", b"a"]
    assert cache.should_cache(b"c", found=False)


def test_after_a_change_of_the_zone_nothing_has_been_asked_for():
    cache = make_cache()
    cache.should_cache(b"k", found=True)
    cache.forget()
    assert not cache.should_cache(b"k", found=True)


def test_what_was_asked_before_is_bounded():
    cache = ResponseCache(Pieces(ROOM), Pieces(ROOM))
    for n in range(50_000):
        assert not cache.should_cache(b"%d" % n, found=False)
    assert len(cache._missing.asked) <= _MOST_MISSING
    assert cache.entries == {}


def test_a_flood_of_unknown_names_costs_known_names_nothing():
    cache = make_cache(found=3, missing=10)
    keep(cache, b"known", b"tail")
    cache.should_cache(b"asked once", found=True)
    for n in range(1000):
        cache.should_cache(b"%d" % n, found=False)
        keep(cache, b"%d" % n, b"tail", found=False)
    assert b"known" in cache.entries
    assert cache.should_cache(b"asked once", found=True)
    assert len(cache.entries) == 11


def test_what_is_forgotten_is_gone_at_once_and_freed_bit_by_bit():
    cache = make_cache(found=10_000)
    for n in range(1000):
        cache.should_cache(b"%d" % n, found=True)
        keep(cache, b"%d" % n, b"tail")
    cache.forget()
    assert cache.entries == {}
    assert repr(cache) == "ResponseCache(found=0, missing=0)"
    assert sum(map(len, cache._garbage)) == 3000
    cache.reclaim(600)
    assert sum(map(len, cache._garbage)) == 2400
    keep(cache, b"new", b"tail")
    cache.forget()
    cache.reclaim(10_000)
    assert cache._garbage == []


def test_a_forgotten_bound_counts_anew():
    cache = make_cache(found=2)
    for n in range(5):
        keep(cache, b"%d" % n, b"tail")
        cache.forget()
    keep(cache, b"a", b"tail")
    keep(cache, b"b", b"tail")
    assert len(cache.entries) == 2


def test_repr():
    assert repr(Pieces(7)) == "Pieces(room=7)"


# --- answers of upstreams ------------------------------------------------------------------------


def outside(body):
    return Response(HEAD, body, b"opt", 20, found=True)


def test_answers_of_upstreams_are_kept_until_they_are_dropped_together():
    cache = ResponseCache(Pieces(ROOM), Pieces(ROOM), outside=Pieces(ROOM))
    keep(cache, b"ours", b"tail")
    for key in (b"a", b"b"):
        cache.cache_outside(key, outside(key))
    assert list(islice(cache.entries[b"a"], 2)) == [outside(b"a")] * 2
    cache.forget_outside()
    assert set(cache.entries) == {b"ours"}
    cache.cache_outside(b"a", outside(b"again"))
    assert first(cache, b"a") == [b"again"]
    cache.forget()
    assert cache.entries == {}
    cache.forget_outside()


def test_answers_of_upstreams_are_bounded_and_cost_ours_nothing():
    cache = ResponseCache(Pieces(ROOM), Pieces(ROOM), outside=Pieces(3 * (ORDER_OCTETS + 10)))
    keep(cache, b"ours", b"tail")
    for n in range(10):
        cache.cache_outside(b"%d" % n, outside(b"0123456789"))
    assert set(cache.entries) == {b"ours", b"7", b"8", b"9"}
    cache.cache_outside(b"large", outside(bytes(10_000)))
    cache.cache_outside(b"ours", outside(b"foreign"))
    assert first(cache, b"ours") == [b"tail"]
    assert b"large" not in cache.entries


def test_a_cache_without_a_place_for_them_keeps_none():
    cache = make_cache()
    cache.cache_outside(b"a", outside(b"a"))
    cache.forget_outside()
    assert cache.entries == {}
