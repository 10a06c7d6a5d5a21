"""The mangling of Mesos-DNS, by its own test vectors; the rule for long names, by its promises."""

import re

import dns.name
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mesos_dns.names import labels as lb

BOTH = [lb.rfc1123, lb.rfc952]
LONG_TAIL = "fdgsf---gs7-fgs--d7fddg123456789012345678901234567890123456789"


@pytest.mark.parametrize("rule", BOTH)
@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("", b""),
        ("a", b"a"),
        ("-", b""),
        ("a---", b"a"),
        ("---a---", b"a"),
        ("---a---b", b"a---b"),
        ("a.b.c.d.e", b"a-b-c-d-e"),
        ("a.c.d_de.", b"a-c-d-de"),
        ("abc123", b"abc123"),
        ("-abc123", b"abc123"),
        ("abc123-", b"abc123"),
        ("abc-123", b"abc-123"),
        ("abc--123", b"abc--123"),
        ("r29f.dev.angrypigs", b"r29f-dev-angrypigs"),
        ("hello" + "-" * 58 + "f", b"hellof"),
        ("Foo_Bar.baz", b"foo-bar-baz"),
        ("\u00fcn\u00efcode", b"ncode"),
        ("\u65e5\u672c", b""),
        ("/a/b", b"ab"),
        ("app.v1.2", b"app-v1-2"),
        ("_x_", b"x"),
        ("\u212aelvin", b"elvin"),
        ("a\x00b\n", b"ab"),
    ],
)
def test_both_modes(rule, text, label):
    assert rule(text) == label


@pytest.mark.parametrize(
    ("text", "rfc1123", "rfc952"),
    [
        ("4abc123", "4abc123", "abc123"),
        ("-4abc123", "4abc123", "abc123"),
        ("fd%gsf---gs7-f$gs--d7fddg-123", "fdgsf---gs7-fgs--d7fddg-123", "fdgsf---gs7-fgs--d7fddg1"),
        ("89fdgsf---gs7-fgs--d7fddg-123", "89fdgsf---gs7-fgs--d7fddg-123", "fdgsf---gs7-fgs--d7fddg1"),
        ("89fdgsf---gs7-fgs--d7fddg---123", "89fdgsf---gs7-fgs--d7fddg---123", "fdgsf---gs7-fgs--d7fddg1"),
        ("89fdgsf---gs7-fgs--d7fddg-", "89fdgsf---gs7-fgs--d7fddg", "fdgsf---gs7-fgs--d7fddg"),
        (
            "chronos with a space AND MIXED CASE-2.0.1",
            "chronoswithaspaceandmixedcase-2-0-1",
            "chronoswithaspaceandmixe",
        ),
        (
            "chronos with a space AND----------MIXED--",
            "chronoswithaspaceand----------mixed",
            "chronoswithaspaceandmixe",
        ),
        ("hello" + "-" * 56 + "f", "hello" + "-" * 56 + "f", "hellof"),
        (
            "fd%gsf---gs7-f$gs--d7fddg123456789012345678901234567890123456789-123",
            LONG_TAIL + "1",
            "fdgsf---gs7-fgs--d7fddg1",
        ),
        (
            "$$fdgsf---gs7-fgs--d7fddg123456789012345678901234567890123456789-123",
            LONG_TAIL + "1",
            "fdgsf---gs7-fgs--d7fddg1",
        ),
        (
            "%%fdgsf---gs7-fgs--d7fddg123456789012345678901234567890123456789---123",
            LONG_TAIL + "1",
            "fdgsf---gs7-fgs--d7fddg1",
        ),
        ("##fdgsf---gs7-fgs--d7fddg123456789012345678901234567890123456789-", LONG_TAIL, "fdgsf---gs7-fgs--d7fddg1"),
        ("123abc", "123abc", "abc"),
        ("---1-2", "1-2", ""),
        ("9" * 30, "9" * 30, ""),
        ("a" * 62 + "--b", "a" * 62 + "b", "a" * 24),
        ("a" * 23 + "-b", "a" * 23 + "-b", "a" * 23 + "b"),
        ("a" * 22 + "--bc", "a" * 22 + "--bc", "a" * 22 + "bc"),
        ("a-" * 40, ("a-" * 40)[:63], "a-a-a-a-a-a-a-a-a-a-a-aa"),
        ("a" * 22 + "--z-", "a" * 22 + "--z", "a" * 22 + "z-"),
        (
            "ct:1413913764000:0:Core Open Source Weekly Report",
            "ct14139137640000coreopensourceweeklyreport",
            "ct14139137640000coreopen",
        ),
    ],
)
def test_the_modes_differ(text, rfc1123, rfc952):
    assert lb.rfc1123(text) == rfc1123.encode()
    assert lb.rfc952(text) == rfc952.encode()


@given(st.text(max_size=100) | st.text(alphabet="aZ9-._ \u00fc", max_size=100))
def test_every_label_keeps_the_promises(text):
    assert re.fullmatch(rb"([0-9a-z][0-9a-z-]{0,62})?", lb.rfc1123(text))
    assert re.fullmatch(rb"([a-z][0-9a-z-]{0,23})?", lb.rfc952(text))


# --- framework names ---------------------------------------------------------------------------


@pytest.mark.parametrize("rule", BOTH)
@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        *[("", b""), (".", b""), ("..", b""), ("...", b""), ("-.-", b"")],
        *[("a", b"a"), ("abc", b"abc"), ("abc.", b"abc"), (".abc", b"abc")],
        *[("a.c", b"a.c"), (".a.c", b"a.c"), ("a.c.", b"a.c"), ("a..c", b"a.c")],
        *[("ab.c", b"ab.c"), ("ab.cd", b"ab.cd"), ("ab.cd.efg", b"ab.cd.efg"), ("a.c.e", b"a.c.e")],
        *[("a..c.e", b"a.c.e"), ("a.c..e", b"a.c.e"), ("host.com", b"host.com")],
        ("space space.com", b"spacespace.com"),
        ("blah-dash.com", b"blah-dash.com"),
        ("not$1234.com", b"not1234.com"),
        ("(@ host . com", b"host.com"),
        ("MiXeDcase.CoM", b"mixedcase.com"),
        ("dev/marathon", b"devmarathon"),
    ],
)
def test_fragments_in_both_modes(rule, text, fragment):
    assert lb.domain_fragment(text, rule) == fragment


@pytest.mark.parametrize(
    ("text", "rfc1123", "rfc952"),
    [
        (
            "pod_123$abc.marathon-0.6.0-dev.mesos",
            b"pod-123abc.marathon-0.6.0-dev.mesos",
            b"pod-123abc.marathon-0.dev.mesos",
        ),
        ("Marathon.Prod_1..x", b"marathon.prod-1.x", b"marathon.prod-1.x"),
        ("marathon-0.7.5", b"marathon-0.7.5", b"marathon-0"),
        ("1.2.3", b"1.2.3", b""),
    ],
)
def test_fragments_where_the_modes_differ(text, rfc1123, rfc952):
    assert lb.domain_fragment(text, lb.rfc1123) == rfc1123
    assert lb.domain_fragment(text, lb.rfc952) == rfc952


# --- canonical labels --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task_id", "characters"),
    [
        ("test", b"iffe9"),
        ("", b"5eh48"),
        ("a", b"o556e"),
        ("liquor-store.b8db9f73-562f-11e4-a088-c20493233aa5", b"4dfjd"),
        ("liquor-store.b71166c1-562f-11e4-a088-c20493233aa5", b"zasmd"),
        ("car-store.43758382-562f-11e4-a088-c20493233aa5", b"zinaz"),
        ("some-box.b8db9f73-562f-11e4-a088-c20493233aa5", b"h3dyr"),
        ("toy-store.b8db9f73-562f-11e4-a088-c20493233aa5", b"go588"),
        ("chronos.49b91a9a-3dda-11e4-a088-c20493233aa5", b"rx8q6"),
        ("nginx.1bc32344-3dda-11e4-a088-c20493233aa5", b"6ud99"),
        ("reviewbot.8c9b3434-615a-11e4-a088-c20493233aa5", b"8sq89"),
        ("nginx.48dccce7-90bc-11e6-ae70-70b3d5800001", b"jhy6r"),
    ],
)
def test_hashes_of_task_ids(task_id, characters):
    assert lb.task_hash(task_id) == characters


@pytest.mark.parametrize(
    ("agent_id", "tail"),
    [("20140803-125133-3041283216-5050-2410-0", b"0"), ("4242-S12", b"s12"), ("NoDash", b"nodash"), ("x-", b"")],
)
def test_tails_of_agent_ids(agent_id, tail):
    assert lb.agent_tail(agent_id) == tail


def test_a_canonical_label():
    task_id = "liquor-store.b8db9f73-562f-11e4-a088-c20493233aa5"
    assert lb.canonical(b"liquor-store", task_id, "2410-0") == b"liquor-store-4dfjd-0"


# --- the rule for long names -------------------------------------------------------------------

MESOS = b"\5mesos\0"


def test_a_label_of_63_octets_stays_and_one_of_64_is_shortened():
    assert lb.shorten_label(b"a" * 63) == b"a" * 63
    assert lb.shorten_label(b"a" * 64) == b"a" * 54 + b"-yncmiy1m"


def test_a_short_name_stays_as_it_is():
    assert lb.owner([b"nginx", b"marathon"], MESOS) == b"\5nginx\10marathon" + MESOS


@pytest.mark.parametrize("labels", [[b""], [b"a", b""], [b"", b"a" * 70, b"b" * 63, b"c" * 63, b"d" * 63]])
def test_there_is_no_name_with_an_empty_label(labels):
    assert lb.owner(labels, MESOS) is None


def test_the_longest_label_gives_room_first():
    name = lb.owner([b"x" * 60, b"a" * 63, b"b" * 63, b"c" * 50], MESOS)
    assert name is not None
    first, second, third, fourth, _ = dns.name.from_wire(name, 0)[0].relativize(dns.name.root).labels
    assert len(name) <= 255
    assert (first, third, fourth) == (b"x" * 60, b"b" * 63, b"c" * 50)
    assert second.startswith(b"a" * 40)


def test_a_name_whose_labels_are_all_short_cannot_give_room():
    assert lb.owner([b"a" * 16] * 15, MESOS) is None


LABEL = st.binary(min_size=1, max_size=90)


@given(st.lists(LABEL, min_size=1, max_size=20))
@example([b"a" * 63] * 4)
@example([b"a" * 17] * 14)
def test_names_fit_and_keep_the_number_of_their_labels(labels):
    name = lb.owner(labels, MESOS)
    if name is None:
        # Every label gave what it could, and the name is too long all the same.
        assert sum(min(len(label), 16) + 1 for label in labels) + len(MESOS) > 255
        return
    assert len(name) <= 255
    found = dns.name.from_wire(name, 0)[0].labels
    assert len(found) == len(labels) + 2
    for label, before in zip(found, labels, strict=False):
        assert 1 <= len(label) <= 63
        assert label == before or label[-9:-8] == b"-"
        assert len(label) >= min(len(before), 16)
    assert lb.owner(labels, MESOS) == name


def test_names_that_share_a_long_beginning_stay_apart():
    names = {lb.owner([b"a" * 70 + b"%d" % n, b"b" * 63, b"c" * 63, b"d" * 63], MESOS) for n in range(2000)}
    assert len(names) == 2000
