"""The judge itself: it takes what is right and nothing else."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.integration import naming, netns, web_rules, wire
from tests.integration import recordings as recs
from tests.integration.differences import Judge
from tests.integration.expectations import RR, Expected, disagreement
from tests.integration.upstreams import is_below, resolver_endpoint

A1, A2 = RR("a.mesos.", 60, "IN", "A", "10.0.0.1"), RR("a.mesos.", 60, "IN", "A", "10.0.0.2")
V6 = RR("a.mesos.", 60, "IN", "AAAA", "fd00::1")
SRV = RR("_a._tcp.mesos.", 60, "IN", "SRV", "0 1 80 a.mesos.")
RIGHT = Expected("NOERROR", frozenset({"QR", "AA"}), "_a._tcp.mesos. IN SRV", (SRV,), (), (A1, A2, V6), limit=512)


def reply(e: Expected, **other: object) -> wire.Reply:
    """What `e` says, as a parsed reply."""
    sections = {part: sorted(rr.text() for rr in getattr(e, part)) for part in ("answer", "authority", "additional")}
    opt = [e.opt] if e.opt else []
    return {
        "rcode": e.rcode,
        "flags": sorted(e.flags),
        "question": e.question,
        **sections,
        "opt": opt,
        "size": 150,
        **other,
    }


def test_the_right_reply_is_right() -> None:
    assert disagreement(RIGHT, reply(RIGHT)) is None


@pytest.mark.parametrize(
    "other",
    [
        {"rcode": "NXDOMAIN"},
        {"flags": ["QR"]},
        {"flags": ["AA", "QR", "TC"]},
        {"question": "_A._tcp.mesos. IN SRV"},
        {"answer": []},
        {"answer": [SRV._replace(rdata="0 1 81 a.mesos.").text()]},
        {"answer": [SRV._replace(ttl=59).text()]},
        {"answer": [SRV.text(), SRV.text()]},
        {"authority": ["mesos. 60 IN SOA a. b. SERIAL 1 1 1 1"]},
        {"additional": [A1.text(), A2.text()]},
        {"opt": [{"version": 0, "size": 1232, "flags": 0}]},
        {"size": 513},
    ],
    ids="-".join,
)
def test_a_wrong_reply_is_wrong(other: dict[str, object]) -> None:
    assert disagreement(RIGHT, reply(RIGHT, **other)) is not None


def test_silence_and_garbage_are_wrong() -> None:
    assert disagreement(RIGHT, {"timeout": True}) is not None
    assert disagreement(RIGHT, wire.parse(b"garbage")) is not None
    assert disagreement(RIGHT._replace(silent=True), reply(RIGHT)) is not None


def test_additional_records_go_in_whole_sets_as_far_as_they_fit() -> None:
    fitting = RIGHT._replace(additional_is="fitting")
    full = reply(fitting, size=500)
    assert disagreement(fitting, {**full, "additional": []}) is None
    assert "not a whole RRset" in str(disagreement(fitting, {**full, "additional": [A1.text()]}))
    assert "although it fits" in str(disagreement(fitting, {**full, "additional": [], "size": 200}))
    assert "not wanted" in str(disagreement(fitting, {**full, "additional": [A1._replace(rdata="10.0.0.9").text()]}))


def test_a_subset_must_fill_the_room() -> None:
    many = tuple(A1._replace(rdata=f"10.0.0.{n}") for n in range(50))
    some = RIGHT._replace(answer=many, additional=(), answer_is="subset")
    part = [rr.text() for rr in many[:30]]
    assert disagreement(some, reply(some, answer=part, size=505)) is None
    assert "left out" in str(disagreement(some, reply(some, answer=part, size=400)))
    assert "not one of" in str(disagreement(some, reply(some, answer=[*part, part[0]], size=505)))


@pytest.mark.parametrize("rec", recs.recordings(), ids=lambda rec: rec.name)
def test_each_recorded_question_has_a_right_answer_and_wrong_ones(rec: recs.Recording) -> None:
    judge = Judge(rec, {})
    for item in rec.read("answers.json")[:200]:
        _, right = judge.expected(item)
        assert right
        for one in right:
            wrong = {**reply(one, size=one.limit), "rcode": "NOTIMP"}
            assert all(disagreement(other, wrong) for other in right), item


# --- the parts that judging rests on ---------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_any_octets_can_be_parsed(octets: bytes) -> None:
    found = wire.parse(octets)
    assert ("rcode" in found) != ("undecodable" in found)


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=8), st.sampled_from(["A", "SRV", "TYPE65280"]))
def test_a_query_is_read_as_it_was_written(labels: list[bytes], rrtype: str) -> None:
    name = "".join(wire.label_text(label) + "." for label in labels) or "."
    octets = wire.query(7, name, rrtype, edns=1232, do=True)
    found = wire.parse(octets)
    assert found["question"] == f"{name} IN {rrtype}"
    assert found["opt"] == [{"version": 0, "size": 1232, "flags": 0x8000}]
    assert found["flags"] == ["RD"]


def test_a_pointer_loop_ends() -> None:
    assert "undecodable" in wire.parse(struct.pack(">6H", 0, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1")


@pytest.mark.parametrize(
    ("text", "rfc1123", "rfc952"),
    [
        ("4abc123", "4abc123", "abc123"),
        ("a.c.d_de.", "a-c-d-de", "a-c-d-de"),
        ("fd%gsf---gs7-f$gs--d7fddg-123", "fdgsf---gs7-fgs--d7fddg-123", "fdgsf---gs7-fgs--d7fddg1"),
        ("hello" + 58 * "-" + "f", "hellof", "hellof"),
        ("\u65e5\u672c", "", ""),
        ("a" * 62 + "--b", "a" * 62 + "b", "a" * 24),
    ],
)
def test_labels(text: str, rfc1123: str, rfc952: str) -> None:
    assert (naming.mangle(text, rfc952=False), naming.mangle(text, rfc952=True)) == (rfc1123, rfc952)


def test_canonical_names_and_short_ones() -> None:
    assert naming.z_base_32(b"test", 5) == "iffe9"
    assert (
        naming.canonical("car-store", "car-store.43758382-562f-11e4-a088-c20493233aa5", "2410-S0")
        == "car-store-zinaz-s0"
    )
    short = naming.shorten("x" * 70 + ".mesos.", "mesos.")
    assert short.startswith("x" * 54 + "-")
    assert len(short.split(".")[0]) == 63
    assert len(naming.shorten(".".join(["y" * 63] * 6) + ".mesos.", "mesos.")) <= 254


def test_go_layout() -> None:
    assert web_rules.layout([{"host": "a<b>&"}]) == '[\n  {\n   "host": "a\\u003cb\\u003e\\u0026"\n  }\n ]'


def test_names_below_zones() -> None:
    assert is_below("a.mesos.", "mesos.")
    assert is_below("mesos.", ".")
    assert not is_below("xmesos.", "mesos.")
    assert not is_below("foo\\.mesos.", "mesos.")
    assert resolver_endpoint("1.2.3.4") == ("1.2.3.4", 53)
    assert resolver_endpoint("[::1]:54") == ("::1", 54)
    assert resolver_endpoint("::1") == ("::1", 53)


def test_a_namespace_or_a_reason() -> None:
    assert (netns.missing() is None) == (netns.way() is not None)
