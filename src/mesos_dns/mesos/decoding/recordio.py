"""RecordIO, the framing of a master's event stream: a length in decimal digits, a line feed, that many octets. Pure.

Records have nothing to do with the chunks in which they arrive: one chunk may hold many, and one record many chunks.
"""

from collections.abc import Iterator
from typing import Final

from mesos_dns.quoting import quoted

#: Digits of a record's length: enough for 2 GiB, the largest state that is read. More are no length, but something else.
MAX_LENGTH_DIGITS: Final = 10

_DIGITS: Final = frozenset(b"0123456789")


class RecordError(ValueError):
    """What came is no RecordIO, or a record of an absurd length. Where the next record begins is not known any more."""


class RecordReader:
    """Takes chunks, gives records. After a RecordError it is of no use."""

    def __init__(self, limit: int) -> None:
        """No record may have more than `limit` octets."""
        self._limit = limit
        #: Digits of the length of a record that has not begun yet.
        self._digits = b""
        #: The record under way, and the octets that it lacks; None between two records.
        self._record: bytearray | None = None
        self._lacking = 0

    def __repr__(self) -> str:
        have = None if self._record is None else len(self._record)
        return f"RecordReader(digits={self._digits!r}, octets={have}, lacking={self._lacking})"

    @property
    def is_between(self) -> bool:
        """Whether nothing of a record has come that is not complete."""
        return self._record is None and not self._digits

    def feed(self, chunk: bytes) -> Iterator[bytes | bytearray]:
        """The records that end in `chunk`, in order. Use the iterator up before the next chunk. Raises RecordError."""
        at = 0
        while at < len(chunk):
            if self._record is None:
                at = self._read_length(chunk, at)
                if self._record is None:
                    continue
                if len(chunk) - at >= self._lacking:
                    # The common case of an event: no copy but this one.
                    end = at + self._lacking
                    self._record = None
                    yield chunk[at:end]
                    at = end
                    continue
            record = self._record
            # A growing bytearray: each octet is copied once into it, however many chunks a large record takes.
            part = chunk if at == 0 and len(chunk) <= self._lacking else chunk[at : at + self._lacking]
            record += part
            at += len(part)
            self._lacking -= len(part)
            if not self._lacking:
                # Nothing here may keep a large record until the next one comes.
                self._record, part = None, b""
                done = [record]
                del record
                yield done.pop()

    def _read_length(self, chunk: bytes, at: int) -> int:
        """Read on in a length; where to go on. A record is begun if the length is complete."""
        end = chunk.find(b"\n", at, at + MAX_LENGTH_DIGITS + 1)
        found = self._digits + chunk[at : end if end >= 0 else at + MAX_LENGTH_DIGITS + 1]
        if len(found) > MAX_LENGTH_DIGITS or not _DIGITS.issuperset(found) or (end >= 0 and not found):
            shown = quoted(found.decode("latin-1"))
            raise RecordError(f"expected the length of a record as up to {MAX_LENGTH_DIGITS} digits, found {shown}")
        if end < 0:
            self._digits = found
            return len(chunk)
        length = int(found)
        if length > self._limit:
            raise RecordError(f"a record of {length} octets is announced, the limit is {self._limit}")
        self._digits = b""
        self._lacking = length
        self._record = bytearray()
        return end + 1
