"""What is remembered, under which key, and how much of it."""

import pytest
from tests.serve.asking import ask, option

from mesos_dns.serve.memo import LARGE, Memo, edns_key

NAME = "Chronos.marathon.mesos."


def key_and_size(**edns):
    found = edns_key(ask(NAME, **edns))
    assert found is not None
    return found


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
    key, _ = edns_key(octets)
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


# --- bounds ------------------------------------------------------------------------------------

HEAD = bytes(10)


def test_a_reply_with_one_order_is_kept_as_it_is():
    memo = Memo()
    memo.remember(b"k", HEAD, [b"tail"], found=True)
    assert memo.entries[b"k"] == (HEAD, b"tail")
    assert repr(memo) == "Memo(small=1, large=0, missing=0)"


def test_several_orders_take_turns():
    memo = Memo()
    memo.remember(b"k", HEAD, [b"ab", b"ba"], found=True)
    _, tail = memo.entries[b"k"]
    assert [tail() for _ in range(5)] == [b"ab", b"ba", b"ab", b"ba", b"ab"]


def test_what_is_remembered_is_not_replaced():
    memo = Memo()
    memo.remember(b"k", HEAD, [b"first"], found=True)
    memo.remember(b"k", HEAD, [b"second"], found=True)
    assert memo.entries[b"k"] == (HEAD, b"first")
    assert repr(memo) == "Memo(small=1, large=0, missing=0)"


def test_each_kind_has_its_bound_and_drops_its_own_oldest():
    memo = Memo(small=3, large=2, missing=1)
    for n in range(5):
        memo.remember(b"small%d" % n, HEAD, [b"tail"], found=True)
        memo.remember(b"large%d" % n, HEAD, [bytes(LARGE), b"x"], found=True)
        memo.remember(b"missing%d" % n, HEAD, [b"tail"], found=False)
    assert set(memo.entries) == {b"small2", b"small3", b"small4", b"large3", b"large4", b"missing4"}


def test_a_flood_of_unknown_names_costs_known_names_nothing():
    memo = Memo(small=3, missing=10)
    memo.remember(b"known", HEAD, [b"tail"], found=True)
    for n in range(1000):
        memo.remember(b"%d" % n, HEAD, [b"tail"], found=False)
    assert b"known" in memo.entries
    assert len(memo.entries) == 11


def test_what_is_forgotten_is_gone_at_once_and_freed_bit_by_bit():
    memo = Memo()
    for n in range(1000):
        memo.remember(b"%d" % n, HEAD, [b"tail"], found=True)
    memo.forget()
    assert memo.entries == {}
    assert repr(memo) == "Memo(small=0, large=0, missing=0)"
    memo.sweep(600)
    assert sum(map(len, memo._garbage)) == 400
    memo.remember(b"new", HEAD, [b"tail"], found=True)
    memo.forget()
    memo.sweep(10_000)
    assert memo._garbage == []


def test_a_forgotten_bound_counts_anew():
    memo = Memo(small=2)
    for n in range(5):
        memo.remember(b"%d" % n, HEAD, [b"tail"], found=True)
        memo.forget()
    memo.remember(b"a", HEAD, [b"tail"], found=True)
    memo.remember(b"b", HEAD, [b"tail"], found=True)
    assert len(memo.entries) == 2
