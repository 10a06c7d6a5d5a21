import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.web.filters import EVERYTHING, MAX_LIMIT, MAX_VALUES, BadFilterError, Filter, Gzip, filter_of, takes_gzip


def test_parameters():
    assert filter_of([]) == filter_of([("x", "1")]) == EVERYTHING
    given = [("framework", "a"), ("framework", "B"), ("prefix", "Web."), ("limit", "7")]
    assert filter_of(given) == Filter(frozenset({"a", "B"}), "web.", 7)
    assert filter_of([("limit", "7"), ("limit", str(MAX_LIMIT))]).limit == MAX_LIMIT


def test_too_many_values():
    with pytest.raises(BadFilterError, match="framework: expected 100 of them at most, found 101"):
        filter_of([("framework", str(n)) for n in range(MAX_VALUES + 1)])


@given(st.lists(st.tuples(st.sampled_from(["framework", "prefix", "limit", "x"]), st.text())))
def test_any_parameters_are_understood_or_refused(parameters):
    try:
        found = filter_of(parameters)
    except BadFilterError:
        return
    assert found.limit is None or 1 <= found.limit <= MAX_LIMIT


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("GZIP;Q=0.1", True),
        ("x-gzip", True),
        ("br, *;q=0.1", True),
        ("*, gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("deflate", False),
        ("gzipped", False),
    ],
)
def test_who_takes_gzip(header, takes):
    assert takes_gzip(header) is takes


@given(st.text())
def test_any_header_is_judged(header):
    assert takes_gzip(header) in {True, False}


@given(st.lists(st.binary(max_size=200)))
def test_what_is_packed_can_be_unpacked(pieces):
    packer = Gzip()
    packed = b"".join([*map(packer.add, pieces), packer.end()])
    assert gzip.decompress(packed) == b"".join(pieces)
