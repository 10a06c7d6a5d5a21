"""Writes a query log to a file or a Unix socket, in a thread of its own: whoever hangs there holds up nobody. Edge."""

import contextlib
import errno
import logging
import os
import queue
import select
import socket
import stat
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final

from mesos_dns.logs import RateLimited
from mesos_dns.querylog import dnstap, framestream
from mesos_dns.querylog.destination import Destination
from mesos_dns.querylog.framestream import Control

log = logging.getLogger(__name__)

#: Octets that wait to be written: a disk that is busy for a second, at 5 MB a second of each of some workers. What is more is dropped.
MOST_WAITING: Final = 16 * 1024 * 1024
#: Seconds until the next try after the destination could not be written to.
AGAIN_SECONDS: Final = 1.0
#: Seconds that a program at the other end may take nothing, or say nothing when it is greeted.
STALL_SECONDS: Final = 5.0
#: Seconds that the end of the program waits for what is still to be written.
CLOSE_SECONDS: Final = 2.0
#: What follows the path of a file that was full, or of one that dnstap cannot go on with.
OLD: Final = ".1"
#: Whoever may read what clients ask: the user of the program and its group.
_MODE: Final = 0o640


class QueryLogWriter:
    """One destination, opened with the first record. A file is begun anew when it would have more than `most` octets; the one before it stays."""

    def __init__(self, destination: Destination, most: int) -> None:
        self.destination = destination
        #: Records that were written, and that were dropped since they could not be; what is wrong at present, "" for nothing.
        self.written = 0
        self.dropped = 0
        self.trouble = ""
        self._most = most
        self._output: _Output | None = None
        self._again = 0.0
        self._waiting: queue.SimpleQueue[tuple[bytes, int] | None] = queue.SimpleQueue()
        self._size = 0
        self._lock = threading.Lock()
        self._renewed = threading.Event()
        self._warn = RateLimited(log)
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"QueryLogWriter({self.destination}, waiting={self._size})"

    def put(self, octets: bytes, records: int) -> None:
        """Have records written, soon; or drop them, if too many wait."""
        with self._lock:
            if self._size + len(octets) > MOST_WAITING:
                self.dropped += records
                return
            self._size += len(octets)
        self._waiting.put((octets, records))
        if self._thread is None:
            # A daemon: a disk that hangs must not keep the program from ending.
            self._thread = threading.Thread(target=self._run, name="query log", daemon=True)
            self._thread.start()

    def renew(self) -> None:
        """Open the destination anew: somebody has moved the file away."""
        self._renewed.set()

    def close(self) -> None:
        """Write what waits, within a bounded time, and let go."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(CLOSE_SECONDS)

    # --- in the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        while (found := self._waiting.get()) is not None:
            octets, records = found
            with self._lock:
                self._size -= len(octets)
            self._write(octets, records)
        self._end()

    def _write(self, octets: bytes, records: int) -> None:
        if self._renewed.is_set():
            self._renewed.clear()
            self._end()
        if self._output is None and time.monotonic() < self._again:
            self.dropped += records
            return
        try:
            if self._output is None:
                self._output = _open(self.destination, self._most)
                self._recovered()
            self._output.write(octets)
            self.written += records
        except (OSError, framestream.StreamError) as error:
            self.dropped += records
            self._failed(error)

    def _recovered(self) -> None:
        if self.trouble:
            log.warning("query log: %s is written to again", self.destination)
        self.trouble = ""

    def _failed(self, error: Exception) -> None:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        self.trouble = f"{self.destination}: {reason}"
        self._warn.warning("failed", "query log: %s: %s; what it should have is dropped", self.destination, reason)
        self._again = time.monotonic() + AGAIN_SECONDS
        self._let_go()

    def _end(self) -> None:
        if self._output is not None:
            try:
                self._output.end()
            except (OSError, framestream.StreamError) as error:
                log.info("query log: %s was not ended as it should be: %s", self.destination, error)
        self._let_go()

    def _let_go(self) -> None:
        output, self._output = self._output, None
        if output is not None:
            output.close()


def _open(destination: Destination, most: int) -> "_Output":
    if destination.unix:
        return _Socket(destination)
    return _File(destination, most)


class _Output(ABC):
    """What is written to. Every error is an OSError or a StreamError, after which only `close` may follow."""

    @abstractmethod
    def write(self, octets: bytes) -> None:
        """Write whole records, all or nothing as far as that can be."""

    @abstractmethod
    def end(self) -> None:
        """Write what ends a stream."""

    @abstractmethod
    def close(self) -> None:
        """Let go."""


class _File(_Output):
    """A file to which is appended; or a terminal, a pipe, or whatever has such a name."""

    def __init__(self, destination: Destination, most: int) -> None:
        self._destination = destination
        self._most = most
        self._fd = -1
        self._size = 0
        self._begin()

    def __repr__(self) -> str:
        return f"_File({self._destination}, size={self._size})"

    def _begin(self) -> None:
        path = Path(self._destination.path)
        if self._destination.dnstap and path.is_file() and path.stat().st_size:
            # A stream that has ended cannot be gone on with.
            path.replace(f"{path}{OLD}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        self._fd = os.open(path, flags, _MODE)
        found = os.fstat(self._fd)
        self._regular = stat.S_ISREG(found.st_mode)
        self._size = found.st_size if self._regular else 0
        if self._destination.dnstap:
            self._put(framestream.control(Control.START, dnstap.CONTENT_TYPE))

    def write(self, octets: bytes) -> None:
        if self._regular and self._size and self._size + len(octets) > self._most:
            self.end()
            self.close()
            Path(self._destination.path).replace(f"{self._destination.path}{OLD}")
            self._begin()
        self._put(octets)

    def end(self) -> None:
        if self._destination.dnstap:
            self._put(framestream.control(Control.STOP))

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _put(self, octets: bytes) -> None:
        try:
            _write_all(self._fd, octets)
        except OSError:
            if self._regular:
                # Half a record would make the rest unreadable.
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, self._size)
            raise
        self._size += len(octets)


class _Socket(_Output):
    """A program that listens at a Unix socket. With dnstap each side says what it speaks."""

    def __init__(self, destination: Destination) -> None:
        self._dnstap = destination.dnstap
        self._heard = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(STALL_SECONDS)
            self._socket.connect(destination.path)
            if self._dnstap:
                self._greet()
            self._socket.setblocking(False)
        except BaseException:
            self._socket.close()
            raise

    def __repr__(self) -> str:
        return f"_Socket({self._socket!r})"

    def _greet(self) -> None:
        self._socket.sendall(framestream.control(Control.READY, dnstap.CONTENT_TYPE))
        kind, content_types = self._hear()
        if kind is not Control.ACCEPT or (content_types and dnstap.CONTENT_TYPE not in content_types):
            raise framestream.StreamError("the program there does not take dnstap")
        self._socket.sendall(framestream.control(Control.START, dnstap.CONTENT_TYPE))

    def _hear(self) -> tuple[Control, list[bytes]]:
        while (found := framestream.read_control(self._heard)) is None:
            octets = self._socket.recv(framestream.MAX_CONTROL)
            if not octets:
                raise framestream.StreamError("the program there ended the connection")
            self._heard += octets
        kind, content_types, size = found
        self._heard = self._heard[size:]
        return kind, content_types

    def write(self, octets: bytes) -> None:
        _write_all(self._socket.fileno(), octets)

    def end(self) -> None:
        if self._dnstap:
            _write_all(self._socket.fileno(), framestream.control(Control.STOP))
            self._socket.settimeout(STALL_SECONDS)
            self._hear()

    def close(self) -> None:
        self._socket.close()


def _write_all(fd: int, octets: bytes) -> None:
    """Write all of it. OSError if that is not possible, or nothing is taken for too long."""
    left = memoryview(octets)
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:
            if not poller.poll(STALL_SECONDS * 1000):
                raise TimeoutError(errno.ETIMEDOUT, f"it takes nothing for {STALL_SECONDS:.0f} s") from None
