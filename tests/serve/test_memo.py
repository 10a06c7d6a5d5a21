"""What is remembered, under which key, and how much of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.asking import ask, option

from mesos_dns.limits import MEMO_NOT_FOUND
from mesos_dns.serve.memo import Memo, common_edns_key, edns_key

NAME = "Chronos.marathon.mesos."


def key_and_size(**edns):
    found = edns_key(ask(NAME, **edns))
    assert found is not None
    return found.key, found.size


# --- keys --------------------------------------------------------------------------------------


def test_letter_case_cookies_and_sizes_do_not_matter():
    key, size = key_and_size(payload=1232)
    assert size == 1232
    for other in (
        ask(NAME.upper(), payload=4096),
        ask(NAME.lower(), payload=512, options=[option(10, b"12345678")]),
        ask(NAME, payload=1232, options=[option(10, bytes(24)), option(65001), option(12, bytes(100))]),
        ask(NAME, payload=1232, ednsflags=0x7FFF, identifier=1),
    ):
        assert edns_key(other) is not None
        assert edns_key(other)[0] == key


def test_what_the_reply_depends_on_makes_another_key():
    keys = {
        edns_key(octets)[0]
        for octets in (
            ask(NAME, payload=1232),
            ask(NAME, "AAAA", payload=1232),
            ask(NAME, "A", "ANY", payload=1232),
            ask("x" + NAME, payload=1232),
            ask(NAME, flags=0, payload=1232),
            ask(NAME, flags=0x0110, payload=1232),
            ask(NAME, payload=1232, ednsflags=0x8000),
        )
    }
    assert len(keys) == 7


def test_no_datagram_is_the_key_of_a_query_with_edns():
    """Or a datagram that promises an OPT record and has none would get the answer of one that has it."""
    octets = ask(NAME, payload=1232)
    key = edns_key(octets).key
    plain = octets[2:-11].lower()
    assert key != plain
    assert edns_key(ask(NAME, payload=1232, ednsflags=0x8000))[0] != plain + b"\x80"


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        bytes(11),
        ask(NAME),
        ask(NAME, payload=1232)[:-1],
        ask(NAME, payload=1232) + b"\0",
        ask(NAME, edns=1, payload=1232),
        ask(NAME, payload=1232)[:-1] + b"\1",
        ask(NAME, payload=1232, options=[option(10, b"12345678")])[:-1],
        ask(NAME, payload=1232)[:-2] + b"\0\3\0\0\0",
        ask(NAME, payload=1232)[:-2] + b"\0\5\0\0\0\2a",
        ask(NAME, payload=1232)[:-11] + b"\1a" + ask(NAME, payload=1232)[-11:],
        bytes(12) + b"\0\0\x29",
    ],
)
def test_what_is_no_plain_query_with_edns_has_no_key(octets):
    assert edns_key(octets) is None


def common(octets, before=b"", behind=b""):
    """The key that the answering loops find, in a buffer where the datagram is not alone."""
    return common_edns_key(memoryview(before + octets + behind), len(before), len(before) + len(octets))


@pytest.mark.parametrize("before", [b"", b"\xff" * 2048])
@pytest.mark.parametrize("flags", [0, 0x8000])
@pytest.mark.parametrize(("options", "rest"), [([], 11), ([option(10, b"\0\xff\1\2AZ\3\4")], 23)])
def test_the_loops_find_the_common_forms_under_the_same_key(before, flags, options, rest):
    octets = ask(NAME, payload=4096, ednsflags=flags, options=options)
    found = edns_key(octets)
    assert common(octets, before, b"\xff" * 100) == (found.key, rest)
    assert found.question_end == len(octets) - rest


@pytest.mark.parametrize(
    "octets",
    [
        ask(NAME, payload=1232, options=[option(10, bytes(24))]),
        ask(NAME, payload=1232, options=[option(3, bytes(8))]),
        ask(NAME, payload=1232, ednsflags=0x0001),
        b"",
        bytes(5),
        bytes(11),
    ],
)
def test_other_forms_have_no_key_for_the_loops_or_one_that_no_query_has(octets):
    found = common(octets)
    assert found is None or found[0] not in {edns_key(ask(NAME, payload=1232)).key, b""}


@given(octets=st.binary(max_size=80))
def test_whatever_has_the_key_of_a_query_is_that_query(octets):
    query = ask(NAME, payload=1232)
    for datagram in (octets, query + octets, query[: -len(octets)] if octets else query):
        found = common(datagram)
        if found is not None and found[0] == edns_key(query).key:
            assert edns_key(datagram).key == found[0]


# --- bounds ------------------------------------------------------------------------------------

HEAD = bytes(10)


def remember(memo, key, *tails, found=True):
    if not found:
        memo.remember(key, HEAD, tails[0], None, 0, found=False)
        assert key not in memo.entries
    memo.remember(key, HEAD, tails[0], iter(tails) if len(tails) > 1 else None, sum(map(len, tails)), found=found)


def test_a_reply_with_one_order_is_kept_as_it_is():
    memo = Memo()
    remember(memo, b"k", b"tail")
    assert memo.entries[b"k"] == (HEAD, b"tail")
    assert repr(memo) == "Memo(found=1, missing=0)"


def test_several_orders_take_turns():
    memo = Memo()
    remember(memo, b"k", b"abc", b"bca", b"cab")
    _, tail = memo.entries[b"k"]
    assert [tail() for _ in range(7)] == [b"abc", b"bca", b"cab", b"abc", b"bca", b"cab", b"abc"]


def test_an_order_is_made_when_it_is_asked_for_and_only_once():
    made = []

    def others():
        for tail in (b"ba", b"x"):
            made.append(tail)
            yield tail

    memo = Memo()
    memo.remember(b"k", HEAD, b"ab", others(), 6, found=True)
    _, tail = memo.entries[b"k"]
    assert made == []
    assert [tail() for _ in range(5)] == [b"ba", b"x", b"ba", b"x", b"ba"]
    assert made == [b"ba", b"x"]


def test_what_is_remembered_is_not_replaced():
    memo = Memo()
    remember(memo, b"k", b"first")
    remember(memo, b"k", b"second")
    assert memo.entries[b"k"] == (HEAD, b"first")
    assert repr(memo) == "Memo(found=1, missing=0)"


def test_each_kind_has_its_bound_and_drops_its_own_oldest():
    memo = Memo(found=3, missing=1)
    for n in range(5):
        remember(memo, b"found%d" % n, b"tail")
        remember(memo, b"missing%d" % n, b"tail", found=False)
    assert set(memo.entries) == {b"found2", b"found3", b"found4", b"missing4"}


def test_octets_are_bounded_as_well():
    memo = Memo(octets=1000)
    for n in range(5):
        remember(memo, b"%d" % n, bytes(200), bytes(199))
    assert set(memo.entries) == {b"3", b"4"}
    remember(memo, b"giant", bytes(1001))
    assert memo.entries == {}
    remember(memo, b"next", b"tail")
    assert set(memo.entries) == {b"next"}


def test_what_was_not_found_is_kept_when_it_is_asked_for_again():
    memo = Memo()
    for _ in range(2):
        memo.remember(b"k", HEAD, b"tail", None, 0, found=False)
    assert memo.entries == {b"k": (HEAD, b"tail")}


def test_what_was_asked_before_is_bounded():
    memo = Memo()
    for n in range(50_000):
        memo.remember(b"%d" % n, HEAD, b"tail", None, 0, found=False)
    assert len(memo._asked) <= MEMO_NOT_FOUND
    assert memo.entries == {}


def test_a_flood_of_unknown_names_costs_known_names_nothing():
    memo = Memo(found=3, missing=10)
    remember(memo, b"known", b"tail")
    for n in range(1000):
        remember(memo, b"%d" % n, b"tail", found=False)
    assert b"known" in memo.entries
    assert len(memo.entries) == 11


def test_what_is_forgotten_is_gone_at_once_and_freed_bit_by_bit():
    memo = Memo()
    for n in range(1000):
        remember(memo, b"%d" % n, b"tail")
    memo.forget()
    assert memo.entries == {}
    assert repr(memo) == "Memo(found=0, missing=0)"
    memo.sweep(600)
    assert sum(map(len, memo._garbage)) == 400
    remember(memo, b"new", b"tail")
    memo.forget()
    memo.sweep(10_000)
    assert memo._garbage == []


def test_a_forgotten_bound_counts_anew():
    memo = Memo(found=2)
    for n in range(5):
        remember(memo, b"%d" % n, b"tail")
        memo.forget()
    remember(memo, b"a", b"tail")
    remember(memo, b"b", b"tail")
    assert len(memo.entries) == 2
