import dns.exception
import dns.name
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mesos_dns.dns import name as names
from mesos_dns.dns.name import BadNameError

LABEL = st.binary(min_size=1, max_size=63)
LABELS = st.lists(LABEL, max_size=12).filter(lambda labels: sum(map(len, labels)) + len(labels) < 255)


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("", b"\0"),
        (".", b"\0"),
        ("mesos", b"\5mesos\0"),
        ("Leader.Mesos.", b"\6leader\5mesos\0"),
        ("_http._tcp.fw.mesos", b"\5_http\4_tcp\2fw\5mesos\0"),
        ("a b.mesos", b"\3a b\5mesos\0"),
        ("käse.mesos", b"\5k\xc3\xa4se\5mesos\0"),
        ("back\\slash", b"\12back\\slash\0"),
    ],
)
def test_text_becomes_lower_case_wire_form(text, wire):
    assert names.from_text(text) == wire


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a..b", "a label is empty"),
        (".a", "a label is empty"),
        ("..", "a label is empty"),
        ("a" * 64 + ".mesos", "a label has 64 octets, at most 63 are possible"),
        (".".join(["a" * 63] * 4), "the name has 257 octets, at most 255 are possible"),
    ],
)
def test_what_cannot_be_a_name_is_refused_with_the_reason(text, complaint):
    with pytest.raises(BadNameError, match=complaint):
        names.from_text(text)


def test_the_longest_label_and_the_longest_name_are_names():
    text = ".".join(["a" * 63] * 3 + ["b" * 61])
    wire = names.from_text(text)
    assert len(wire) == 255
    assert names.to_text(wire) == text + "."


@given(LABELS)
def test_wire_form_is_that_of_dnspython(labels):
    wire = names.from_labels(labels)
    oracle = dns.name.Name((*labels, b""))
    assert wire == oracle.to_wire()
    assert list(names.labels(wire)) == list(oracle.labels[:-1])


@given(LABELS)
def test_master_file_form_reads_back_through_dnspython(labels):
    wire = names.from_labels(labels)
    assert dns.name.from_text(names.to_master_file(wire)).to_wire() == wire


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters=".")), min_size=1, max_size=6))
def test_text_round_trip(parts):
    text = ".".join(parts) + "."
    assume(text != ".")
    try:
        wire = names.from_text(text)
    except BadNameError:
        assert not all(parts) or max(len(part.encode()) for part in parts) > 63 or len(text.encode()) > 254
        return
    # Only ASCII letters change case in DNS (RFC 4343).
    assert names.to_text(wire).encode() == text.encode().lower()


@given(LABELS, LABELS)
def test_below_or_at_agrees_with_dnspython(labels, apex):
    assume(sum(map(len, labels)) + len(labels) + sum(map(len, apex)) + len(apex) < 255)
    for name in (names.from_labels(labels), names.from_labels([*labels, *apex]), names.from_labels(apex)):
        oracle, _ = dns.name.from_wire(name, 0)
        # dnspython compares without case; lower-case wire form is what this function takes.
        expected = oracle.is_subdomain(dns.name.Name((*[label.lower() for label in apex], b"")))
        assert names.is_below_or_at(name.lower(), names.from_labels(apex).lower()) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mesos", True), ("a.mesos", True), ("xmesos", False), ("mesos.a", False), (".", False)],
)
def test_a_suffix_must_begin_at_a_label(name, expected):
    assert names.is_below_or_at(names.from_text(name), b"\5mesos\0") is expected


def test_a_label_that_only_looks_like_the_apex_is_not_it():
    # One label of seven octets that are the wire form of the apex without its end.
    assert not names.is_below_or_at(b"\7x\5mesos\0", b"\5mesos\0")


def test_parent_drops_the_leftmost_label():
    assert names.parent(b"\1a\5mesos\0") == b"\5mesos\0"
    assert names.parent(b"\5mesos\0") == names.ROOT


def test_octets_that_are_no_text_are_replaced_for_people_and_escaped_for_master_files():
    assert names.to_text(b"\3a\xff.\0") == "a\ufffd.."
    assert names.to_master_file(b'\7a\xff.\\" ;\0') == r"a\255\.\\\"\032\;."
    assert names.to_text(names.ROOT) == names.to_master_file(names.ROOT) == "."


def test_the_oracle_would_notice():
    with pytest.raises(dns.exception.DNSException):
        dns.name.from_text("a..b")
