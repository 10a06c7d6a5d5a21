"""Logging: lines for people, a bounded rate for what bad input could repeat, and a standard error that may block.

Whoever should read standard error may be slow, stuck or gone: a full pipe makes a plain write wait for ever. So lines go
through a bounded queue to a thread that writes them; when the queue is full they are dropped and counted.
"""

import contextlib
import json
import logging
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, TextIO

from mesos_dns.quoting import escaped

#: For messages that belong to no module.
logger = logging.getLogger("mesos_dns")

#: -v=0 shows warnings and errors, -v=1 what changes, -v=2 and more every detail.
LEVELS = {0: logging.WARNING, 1: logging.INFO}
#: Octets of lines that wait to be written: minutes of a busy log, and little memory.
MAX_WAITING: Final = 256 * 1024
#: What is logged in the place of lines that were dropped.
DROPPED: Final = "%d lines were dropped, nobody reads standard error"
#: Seconds that the end of a process waits for its last lines to be read.
FLUSH_SECONDS: Final = 0.5
#: Seconds between two looks whether a standard error that does not block takes more.
_LOOK_SECONDS: Final = 1.0

#: Priorities of syslog, which systemd reads in front of a line (sd-daemon(3)).
_PRIORITIES: Final = ((logging.ERROR, "<3>"), (logging.WARNING, "<4>"), (logging.INFO, "<6>"))
_DEBUG_PRIORITY: Final = "<7>"


def configure(verbosity: int, *, as_json: bool = False) -> None:
    """Send log lines to standard error: time, level and text, from -v=2 on also the module; or, `as_json`, objects of all of these.

    Under systemd its own priority stands in the place of the time, and in front of an object.
    """
    stream = sys.stderr
    handler: logging.Handler = logging.NullHandler()
    if stream is not None:
        handler = _handler_for(stream)
        journal = is_journal(stream, os.environ)
        handler.setFormatter(
            JsonFormatter(journal=journal) if as_json else LineFormatter(journal=journal, modules=verbosity > 1)
        )
    logging.basicConfig(level=LEVELS.get(verbosity, logging.DEBUG), handlers=[handler], force=True)


def flush() -> None:
    """Wait until all lines so far are written, at most FLUSH_SECONDS. Done at the end of a process by itself (logging.shutdown)."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether what is written to `stream` goes to systemd's journal: `JOURNAL_STREAM` is its device and inode (systemd.exec(5))."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


class LineFormatter(logging.Formatter):
    """One line for each event; only the traceback of a fault of ours has lines of its own behind it.

    Line breaks inside a message become ` | `, other control characters are escaped: texts from outside are in some messages.
    """

    def __init__(self, *, journal: bool, modules: bool) -> None:
        super().__init__()
        self._journal = journal
        self._modules = modules

    def format(self, record: logging.LogRecord) -> str:
        """The line or lines of `record`, without the last line break."""
        message = " | ".join(line if line.isprintable() else escaped(line) for line in record.getMessage().splitlines())
        head = f"{record.levelname} {record.name}:" if self._modules else record.levelname
        lines = [f"{head} {message}"]
        if record.exc_info:
            lines += self.formatException(record.exc_info).splitlines()
        if not self._journal:
            return f"{self.formatTime(record)} " + "\n".join(lines)
        priority = _priority(record)
        return "\n".join(priority + line for line in lines)


class JsonFormatter(logging.Formatter):
    """One JSON object on one line for each event, for programs: `time` (RFC 3339, UTC), `level`, `message`, `module`, `pid`; and `traceback`, if there is one."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """The line of `record`, without the line break."""
        fields = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "module": record.name,
            "pid": record.process,
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        # ASCII: what a terminal or a lone surrogate could do harm with is escaped.
        return (_priority(record) if self._journal else "") + json.dumps(fields)


def _priority(record: logging.LogRecord) -> str:
    return next((text for level, text in _PRIORITIES if record.levelno >= level), _DEBUG_PRIORITY)


# --- a stream that may block -------------------------------------------------------------------


class QueueingHandler(logging.Handler):
    """Has lines written by a thread of its own, so that whoever logs never waits. Lines that find the queue full are dropped and counted.

    The thread is made by the first line. It does not keep the process from ending; `flush` waits for it, for a bounded time.
    """

    def __init__(self, write: Callable[[bytes], None], *, limit: int = MAX_WAITING) -> None:
        """`write` writes octets and may block; OSError or ValueError if nobody will ever read them."""
        super().__init__()
        self._write = write
        self._limit = limit
        self._changed = threading.Condition()
        #: Lines, each with how many it stands for: itself, or those whose loss it tells.
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._octets = 0
        self._writing = False
        self._dropped = 0
        #: Waiting was in vain, and nothing was written since.
        self._stuck = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"QueueingHandler(waiting={len(self._waiting)}, dropped={self._dropped})"

    def emit(self, record: logging.LogRecord) -> None:
        """Part of logging.Handler."""
        try:
            line = self._line(record)
        except Exception:  # noqa: BLE001 - a message that does not fit its arguments; as in logging, it costs only itself
            self.handleError(record)
            return
        with self._changed:
            if self._octets and self._octets + len(line) > self._limit:
                self._dropped += 1
                return
            self._tell_dropped()
            self._put(line, 1)
            self._start()
            self._changed.notify_all()

    def flush(self) -> None:
        """Part of logging.Handler: wait until nothing waits to be written, at most FLUSH_SECONDS, and not twice in vain."""
        with self._changed:
            if self._waiting:
                self._start()
            seconds = 0.0 if self._stuck else FLUSH_SECONDS
            self._stuck = not self._changed.wait_for(lambda: not (self._waiting or self._writing), seconds)

    def close(self) -> None:
        """Part of logging.Handler: let the thread end when it has written what waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        super().close()

    def _start(self) -> None:
        """Have a thread that writes."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="log", daemon=True)
            # No memory, or no processes left for this user: lines wait, and the next one tries again.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def _line(self, record: logging.LogRecord) -> bytes:
        return (self.format(record) + "\n").encode("utf-8", "backslashreplace")

    def _put(self, line: bytes, stands_for: int) -> None:
        self._waiting.append((line, stands_for))
        self._octets += len(line)

    def _tell_dropped(self) -> None:
        if self._dropped:
            record = logging.LogRecord(logger.name, logging.WARNING, __file__, 0, DROPPED, (self._dropped,), None)
            self._put(self._line(record), self._dropped)
            self._dropped = 0

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                line, stands_for = self._waiting.popleft()
                self._writing = True
            try:
                self._write(line)
                failed = False
            except (OSError, ValueError):
                failed = True  # A pipe whose other end is closed: perhaps somebody opens it again.
            with self._changed:
                self._octets -= len(line)
                self._writing = self._stuck = False
                if failed:
                    self._dropped += stands_for
                elif not self._waiting:
                    self._tell_dropped()
                self._changed.notify_all()


def write_all(fd: int, octets: bytes) -> None:
    """Write all octets, however long the descriptor takes, also if it does not block. OSError if it cannot."""
    while octets:
        try:
            octets = octets[os.write(fd, octets) :]
        except BlockingIOError:
            # Whoever shares the pipe may have made it non-blocking.
            select.select([], [fd], [], _LOOK_SECONDS)


def _handler_for(stream: TextIO) -> QueueingHandler:
    """The handler of this stream: the present one, with its queue and thread, if that is it already."""
    root = logging.getLogger()
    for present in root.handlers:
        if isinstance(present, _StreamHandler) and present.stream is stream:
            root.removeHandler(present)  # Otherwise `force` would close it.
            return present
    return _StreamHandler(stream)


class _StreamHandler(QueueingHandler):
    """Writes to the descriptor of `stream`, or to the stream if it has none.

    Not through the stream's buffer: a thread that blocks in it would hold its lock when the process ends.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        try:
            fd = stream.fileno()
        except (OSError, ValueError):
            super().__init__(self._write_text)
        else:
            super().__init__(lambda octets: write_all(fd, octets))

    def _write_text(self, octets: bytes) -> None:
        self.stream.write(octets.decode())
        self.stream.flush()


class RateLimited:
    """Logs at most one message per key and interval, and says how many it swallowed.

    `max_keys` bounds the memory: when it is reached, the oldest key is forgotten.
    """

    def __init__(
        self,
        logger: logging.Logger,
        *,
        interval: float = 60.0,
        max_keys: int = 256,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._interval = interval
        self._max_keys = max_keys
        self._clock = clock
        #: When it was last logged, and how often not since.
        self._seen: dict[str, tuple[float, int]] = {}
        #: The level at which people were told what is not over yet.
        self._lasting: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"RateLimited({self._logger.name!r}, keys={len(self._seen)})"

    def log(self, level: int, key: str, message: str, *args: object, exc_info: bool | BaseException = False) -> bool:
        """Log `message % args`, unless the same `key` was logged less than an interval ago. Returns whether it did.

        With `exc_info` the traceback of that exception, or the one that is being handled, follows.
        """
        now = self._clock()
        last = self._seen.get(key)
        if last is not None and now - last[0] < self._interval:
            self._seen[key] = (last[0], last[1] + 1)
            return False
        swallowed = last[1] if last is not None else 0
        if last is None and len(self._seen) >= self._max_keys:
            oldest = next(iter(self._seen))
            del self._seen[oldest]
            self._lasting.pop(oldest, None)
        self._seen[key] = (now, 0)
        self._lasting[key] = level
        if swallowed:
            message += f" ({swallowed} more of this kind since the last such line)"
        self._logger.log(level, message, *args, exc_info=exc_info or None)
        return True

    def warning(self, key: str, message: str, *args: object) -> bool:
        """`log` at level WARNING."""
        return self.log(logging.WARNING, key, message, *args)

    def over(self, key: str, message: str, *args: object) -> None:
        """Log that what was logged under `key` is over, as loud as that was: who saw the one sees the other. Nothing if it was not."""
        level = self._lasting.pop(key, None)
        if level is not None:
            self._logger.log(level, message, *args)
