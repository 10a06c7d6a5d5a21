import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.mesos.decoding.recordio import MAX_LENGTH_DIGITS, RecordError, RecordReader


def framed(*records):
    return b"".join(b"%d\n%s" % (len(record), record) for record in records)


def read(*chunks, limit=1000):
    reader = RecordReader(limit)
    return [bytes(record) for chunk in chunks for record in reader.feed(chunk)], reader


def test_records_in_one_chunk():
    records, reader = read(framed(b"one", b"", b"three\n3\n"))
    assert records == [b"one", b"", b"three\n3\n"]
    assert reader.is_between


def test_a_record_in_many_chunks():
    records, reader = read(b"1", b"1\nhello", b" ", b"worl", b"d", b"2")
    assert records == [b"hello world"]
    assert not reader.is_between


@given(st.lists(st.binary(max_size=40), max_size=8), st.data())
def test_chunks_make_no_difference(records, data):
    octets = framed(*records)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=12)))
    chunks = [octets[start:end] for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
    found, reader = read(*chunks)
    assert found == records
    assert reader.is_between


@pytest.mark.parametrize(
    "octets",
    [
        *(
            b"\n",
            b"-5\nhello",
            b"+5\nhello",
            b" 5\nhello",
            b"5 \nhello",
            b"0x5\nhello",
            b"5.0\nhello",
            b'{"type":"HEARTBEAT"}',
        ),
        *(b"5\r\nhello", b"\xd9\xa5\nhello", b"9" * (MAX_LENGTH_DIGITS + 1), b"1001\n", b"9999999999\n"),
    ],
)
@pytest.mark.parametrize("step", [1, 100])
def test_what_is_no_length_is_refused(octets, step):
    with pytest.raises(RecordError):
        read(*(octets[at : at + step] for at in range(0, len(octets), step)))


def test_the_limit_is_allowed():
    assert read(framed(bytes(1000)))[0] == [bytes(1000)]


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_anything_is_read_or_refused(chunks):
    reader = RecordReader(100)
    with contextlib.suppress(RecordError):
        for chunk in chunks:
            for record in reader.feed(chunk):
                assert len(record) <= 100


def test_a_large_record_is_not_kept():
    """Once it is given away nothing of the reader holds it: it may be all of a cluster."""
    reader = RecordReader(10**6)
    list(reader.feed(b"100000\n"))
    records = reader.feed(bytes(100000))
    record = next(records)
    assert not [name for name, value in records.gi_frame.f_locals.items() if value is record]
