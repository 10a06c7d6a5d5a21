"""Under which key a response is kept: what matters to it, and nothing else."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.asking import ask, option

from mesos_dns.serve.keys import (
    EdnsForms,
    alternate_key,
    any_key,
    has_cookie,
    has_lone_cookie,
    options_of,
    owner_of,
)

NAME = "Chronos.marathon.mesos."


def test_letter_case_and_the_id_do_not_matter():
    key = any_key(ask(NAME))
    assert key == ask(NAME)[2:].lower()
    assert any_key(ask(NAME.upper(), identifier=1)) == key


def test_letter_case_sizes_and_other_options_do_not_matter():
    key = any_key(ask(NAME, payload=1232))
    assert key.endswith(b"\0\0\x29E")
    for other in (
        ask(NAME.upper(), payload=4096),
        ask(NAME.lower(), payload=65535, options=[option(11, b"12345678")]),
        ask(NAME, payload=1232, options=[option(65001), option(12, bytes(100))]),
        ask(NAME, payload=1232, ednsflags=0x7FFF, identifier=1),
    ):
        assert any_key(other) == key


def test_whether_there_is_a_cookie_matters_and_not_which():
    key = any_key(ask(NAME, payload=1232, options=[option(10, b"12345678")]))
    assert key.endswith(b"\0\0\x29C")
    for options in (
        [option(10, b"ABCDEFGH")],
        [option(10, bytes(24))],
        [option(3), option(10, bytes(40)), option(65001), option(12, bytes(100))],
        [option(10, b"12345678"), option(10, b"bad")],
    ):
        octets = ask(NAME.upper(), payload=4096, options=options)
        assert any_key(octets) == key
        assert has_cookie(key)
        assert has_lone_cookie(key, octets) == (len(options) == 1)
    assert not has_cookie(any_key(ask(NAME, payload=1232)))
    assert not has_lone_cookie(b"", b"")


def test_sizes_below_ours_share_another_key():
    key = any_key(ask(NAME, payload=512))
    assert key.endswith(b"\0\0\x29S")
    for size in (0, 513, 1231):
        assert any_key(ask(NAME, payload=size)) == key
    assert any_key(ask(NAME, payload=512, ednsflags=0x8000)) == key[:-1] + b"T"
    cookie = [option(10, bytes(8))]
    assert any_key(ask(NAME, payload=512, options=cookie)) == key[:-1] + b"K"
    assert any_key(ask(NAME, payload=512, ednsflags=0x8000, options=cookie)) == key[:-1] + b"L"
    assert any_key(ask(NAME, payload=1232, ednsflags=0x8000, options=cookie)) == key[:-1] + b"O"


def test_both_keys_of_a_query_know_each_other():
    for flags, options in product((0, 0x8000), ([], [option(10, bytes(8))])):
        large, small = (any_key(ask(NAME, payload=size, ednsflags=flags, options=options)) for size in (1232, 1231))
        assert (alternate_key(large), alternate_key(small)) == (small, large)
    for other in (ask(NAME), ask(NAME, 69), ask("TEST.mesos.", 68)):
        assert alternate_key(any_key(other)) == b""


def test_what_the_reply_depends_on_makes_another_key():
    keys = {
        any_key(octets)
        for octets in (
            ask(NAME),
            ask(NAME, payload=1232),
            ask(NAME, payload=1231),
            ask(NAME, "AAAA", payload=1232),
            ask(NAME, "A", "ANY", payload=1232),
            ask("x" + NAME, payload=1232),
            ask(NAME, flags=0, payload=1232),
            ask(NAME, flags=0x0110, payload=1232),
            ask(NAME, payload=1232, ednsflags=0x8000),
            ask(NAME, payload=1232, options=[option(10, bytes(8))]),
        )
    }
    assert len(keys) == 10


def test_no_datagram_is_the_key_of_a_query_with_edns():
    """Or a datagram that promises an OPT record and has none would get the answer of one that has it."""
    octets = ask(NAME, payload=1232)
    for rest in (b"", b"\0\0\x29E", b"\0\0\x29D"):
        assert any_key(octets[:-11] + rest) == b""
        assert common(octets[:-11] + rest) != any_key(octets)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        bytes(11),
        ask(NAME, payload=1232)[:-1],
        ask(NAME, payload=1232) + b"\0",
        ask(NAME, edns=1, payload=1232),
        ask(NAME, payload=1232)[:-1] + b"\1",
        ask(NAME, payload=1232, options=[option(10, b"12345678")])[:-1],
        ask(NAME, payload=1232, options=[option(10, b"1234567")]),
        ask(NAME, payload=1232, options=[option(3), option(10, bytes(41))]),
        ask(NAME, payload=1232)[:-2] + b"\0\3\0\0\0",
        ask(NAME, payload=1232)[:-2] + b"\0\5\0\0\0\2a",
        ask(NAME, payload=1232)[:-11] + b"\1a" + ask(NAME, payload=1232)[-11:],
        bytes(11) + b"\1\0\0\x29",
    ],
)
def test_what_is_no_plain_query_with_edns_has_no_key(octets):
    assert any_key(octets) == b""


SIZES = [0, 512, 1023, 1024, 1231, 1232, 1279, 1280, 4096, 0x4141, 0x5A5A, 65535]
FLAGS = [0, 0x8000, 0x0001, 0x8041]
OPTIONS = [
    [],
    [option(10, b"\0\xff\1\2AZ\3\4")],
    [option(10, b"\1\2\3\4\5\6\0\0")],
    [option(10, b"AZ" * 12)],
    [option(10, bytes(8))],
    [option(10, bytes(24))],
]


def learnt():
    """Forms that know all that they can know."""
    forms = EdnsForms()
    for size in SIZES:
        for flags in FLAGS:
            for options in OPTIONS:
                octets = ask("other.example.", payload=size, ednsflags=flags, options=options)
                forms.learn(any_key(octets), octets)
    return forms


LEARNT = learnt()


def common(octets, before=b"", behind=b""):
    """The key that the answering loops find, in a buffer where the datagram is not alone."""
    folded = (before + octets + behind).lower().ljust(len(before) + 12)
    return LEARNT.keys(folded, [len(before)], [len(octets)])[0]


@pytest.mark.parametrize("before", [b"", b"\xff" * 2048])
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", OPTIONS[:4])
def test_the_loops_find_the_common_forms_under_the_same_key(before, flags, size, options):
    octets = ask(NAME, payload=size, ednsflags=flags, options=options)
    assert common(octets, before, b"\xff" * 100) == any_key(octets) != b""


def test_the_loops_find_queries_without_edns_under_the_same_key():
    assert common(ask(NAME), b"\xff" * 50, b"\xff" * 50) == any_key(ask(NAME))


@pytest.mark.parametrize(
    "octets",
    [
        ask(NAME, payload=1232, options=[option(10, bytes(16))]),
        ask(NAME, payload=1232, options=[option(10, bytes(8)), option(3)]),
        ask(NAME, payload=1232, options=[option(3, bytes(8))]),
        b"",
        bytes(5),
        bytes(11),
        bytes(11) + b"\1",
        bytes(11) + b"\1" + bytes(15),
    ],
)
@pytest.mark.parametrize("around", [b"", bytes(100), b"\1" * 100])
def test_other_forms_have_no_key_for_the_loops_or_one_that_no_query_has(octets, around):
    assert common(octets, around, around) not in {any_key(ask(NAME, payload=size)) for size in (512, 1232)}


@given(octets=st.binary(max_size=80))
def test_whatever_has_the_key_of_a_query_is_that_query(octets):
    query = ask(NAME, payload=1232)
    for datagram in (octets, query + octets, query[: -len(octets)] if octets else query):
        if common(datagram) == any_key(query):
            assert any_key(datagram) == any_key(query)


@given(octets=st.binary(max_size=300), before=st.binary(max_size=20), behind=st.binary(max_size=20))
def test_any_octets(octets, before, behind):
    key = common(octets, before, behind)
    assert len(key) <= len(octets)
    assert any_key(octets) == b"" or len(octets) >= 17


@given(
    st.lists(
        st.one_of(
            st.builds(
                lambda name, edns, options: ask(name, **(edns | {"options": options} if edns else edns)),
                st.sampled_from([NAME, "LEADER.mesos.", "x.mesos.", "."]),
                st.one_of(
                    st.just({}),
                    st.fixed_dictionaries({"payload": st.sampled_from(SIZES), "ednsflags": st.sampled_from(FLAGS)}),
                ),
                st.sampled_from([*OPTIONS, [option(10, bytes(16))], [option(3)], [option(3, bytes(8))]]),
            ),
            st.binary(max_size=120),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_all_ways_to_a_key_agree(datagrams):
    """What the loops find is what `any_key` says, or a key that no query has."""
    forms = EdnsForms()
    keys = {any_key(octets) for octets in datagrams}
    for _ in range(2):
        folded = b"".join(octets.ljust(128, b"\1") for octets in datagrams).lower()
        starts, lengths = range(0, 128 * len(datagrams), 128), list(map(len, datagrams))
        for octets, found in zip(datagrams, forms.keys(folded, starts, lengths), strict=True):
            assert found == any_key(octets) or found == b"" or found not in keys
        for octets in datagrams:
            forms.learn(any_key(octets), octets)


def test_forms_are_bounded():
    forms = EdnsForms()
    for size in range(1000):
        octets = ask(NAME, payload=size)
        forms.learn(any_key(octets), octets)
        assert forms.keys(octets.lower(), [0], [len(octets)]) == [any_key(octets)]
    assert len(forms._plain) <= 256
    octets = ask(NAME, payload=1232, options=[option(10, b"12345678")])
    assert forms.keys(octets.lower(), [0], [len(octets)]) == [b""]
    forms.learn(any_key(octets), octets)
    assert forms.keys(octets.lower(), [0], [len(octets)]) == [any_key(octets)]
    assert repr(forms) == f"EdnsForms({len(forms._plain)}, 1, 0)"
    for size, length in product(range(1000), (8, 24)):
        octets = ask(NAME, payload=size, options=[option(10, bytes(length))])
        forms.learn(any_key(octets), octets)
    assert max(len(forms._new), len(forms._known)) <= 256


def test_the_loops_are_told_where_client_cookies_are():
    forms, asked = EdnsForms(), []
    for number, (flags, size) in enumerate(product((0, 0x8000), (8, 24))):
        cookie = bytes((number,)) * size
        asked.append(ask(NAME, payload=1232, ednsflags=flags, options=[option(10, cookie)]))
        forms.learn(any_key(asked[-1]), asked[-1])
    asked.append(ask(NAME, payload=1232))
    buffer = b"".join(octets.ljust(128) for octets in asked)
    for _ in range(2):
        forms.keys(buffer.lower(), range(0, len(buffer), 128), list(map(len, asked)))
        plain, do = (places for _, places in sorted(forms.cookies.items()))
        assert [buffer[at : at + 8] for at in plain] == [b"\0" * 8, b"\1" * 8]
        assert [buffer[at : at + 8] for at in do] == [b"\2" * 8, b"\3" * 8]


@pytest.mark.parametrize("name", ["mesos.", NAME, "."])
@pytest.mark.parametrize("edns", [{}, {"payload": 1232}, {"payload": 512, "options": [option(3, b"abc")]}])
def test_name_and_options_can_be_read_from_a_key(name, edns):
    octets = ask(name, **edns)
    key = any_key(octets)
    assert owner_of(key) == octets[12 : 12 + len(owner_of(key))].lower()
    assert len(owner_of(key)) == len(name) + (name != ".")
    assert options_of(key, octets) == (b"\0\3\0\3abc" if "options" in edns else b"")
    assert options_of(b"", octets) == b""


@pytest.mark.parametrize("size", [8, 24])
def test_a_batch_of_one_form_is_seen_through_at_once_and_others_are_not_mistaken_for_one(size):
    def cookies_of(datagrams):
        buffer = b"".join(octets.ljust(128) for octets in datagrams)
        keys = forms.keys(buffer.lower(), range(0, 128 * 200, 128), list(map(len, datagrams)))
        return keys, [buffer[at : at + 8] for places in forms.cookies.values() for at in places]

    forms = EdnsForms()
    alike = [ask(NAME, payload=1232, options=[option(10, bytes((n,)) * size)]) for n in range(20)]
    forms.learn(any_key(alike[0]), alike[0])
    plain, other = ask(NAME, payload=1232), ask(NAME, payload=1232, ednsflags=0x8000, options=[option(10, bytes(size))])
    for octets in (plain, other):
        forms.learn(any_key(octets), octets)
    mine = [bytes((n,)) * 8 for n in range(20)]
    for _ in range(3):
        for _ in range(3):
            assert cookies_of(alike) == ([any_key(alike[0])] * 20, mine)
        assert cookies_of([*alike, plain]) == ([any_key(alike[0])] * 20 + [any_key(plain)], mine)
        assert cookies_of(alike)[1] == mine
        assert cookies_of([*alike, other]) == ([any_key(alike[0])] * 20 + [any_key(other)], [*mine, bytes(8)])
        assert cookies_of([]) == ([], [])
        assert cookies_of(alike)[1] == mine
        # One that promises no OPT record has no key of a query, also in such company.
        lying = alike[0][:11] + b"\0" + alike[0][12:]
        keys, _ = cookies_of([*alike, lying])
        assert keys[-1] not in {any_key(octets) for octets in (*alike, plain, other, ask(NAME))}
