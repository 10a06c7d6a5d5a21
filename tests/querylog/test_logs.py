"""Records on their way from workers to control."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.querylog.logs import MAX_PARCEL, PARCEL, parcels, unpack


@given(st.integers(0, 255), st.lists(st.binary(min_size=1, max_size=50) | st.just(bytes(40_000)), max_size=12))
def test_what_is_packed_is_unpacked(number, records):
    found = list(parcels(number, records))
    taken = [unpack(parcel) for _, parcel in found]
    assert b"".join(octets for _, _, octets in taken) == b"".join(records)
    assert sum(count for _, count, _ in taken) == sum(count for count, _ in found) == len(records)
    assert {number for number, _, _ in taken} <= {number}


def test_parcels_are_not_too_large():
    records = [bytes(1000)] * 200 + [bytes(140_000)] * 2
    sizes = [len(parcel) for _, parcel in parcels(0, records)]
    assert len(sizes) == 5
    assert max(sizes) <= MAX_PARCEL
    assert all(size >= PARCEL for size in sizes[:-1])


def test_what_is_none():
    with pytest.raises(struct.error):
        unpack(b"\0\1")
