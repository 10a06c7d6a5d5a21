"""What the service manager is told: the datagrams of sd_notify(3) and sd_watchdog_enabled(3), which other managers speak, too.

Edge. One datagram holds some assignments, a line each, and goes to the Unix socket that `NOTIFY_SOCKET` names. Nobody answers.
"""

import logging
import os
import socket
from collections.abc import Mapping
from typing import Final

from mesos_dns.logs import RateLimited
from mesos_dns.quoting import escaped

log = logging.getLogger(__name__)

#: Characters of a status line, of which systemd takes some thousand, and people read one line.
MAX_STATUS: Final = 400
#: Digits of a number of microseconds, which are 64 bits.
_MAX_DIGITS: Final = 20


def message(assignments: Mapping[str, object]) -> bytes:
    """The datagram of these assignments: `READY=1`, a line each. Values are one line, whatever they hold."""
    return "\n".join(f"{name}={_line(str(value))}" for name, value in assignments.items()).encode()


def _line(text: str) -> str:
    line = " ".join(text.split())
    line = line if line.isprintable() else escaped(line)
    return line if len(line) <= MAX_STATUS else line[: MAX_STATUS - 1] + "…"


class ServiceManager:
    """Who started this process as a service, and wants to know how it does. Without such nothing is told."""

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        """`pid` is that of this process: a watchdog may be meant for another one that has inherited the variables."""
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._warn = RateLimited(log)
        #: Seconds within which the manager wants a sign of life; None if it does not.
        self.watchdog = _watchdog(environ, pid) if self.is_there else None

    def __repr__(self) -> str:
        return f"ServiceManager({self._address!r}, watchdog={self.watchdog})"

    @property
    def is_there(self) -> bool:
        """Whether there is one. Addresses of other families than Unix mean none."""
        return self._address.startswith(("/", "@"))

    def tell(self, assignments: Mapping[str, object]) -> bool:
        """Send one datagram; whether it went. Never waits: a manager that does not read must not stop who answers for names."""
        if not self.is_there:
            return False
        # A leading @ stands for the zero octet of a name that is no file.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.connect(address)
                sock.send(message(assignments))
        except OSError as error:
            self._warn.warning(
                "send", "systemd cannot be told how it goes: %s: %s", self._address, error.strerror or error
            )
            return False
        self._warn.over("send", "systemd is told again how it goes")
        return True


def present() -> ServiceManager:
    """That of this process."""
    return ServiceManager(os.environ, os.getpid())


def _watchdog(environ: Mapping[str, str], pid: int) -> float | None:
    """`WATCHDOG_USEC` in seconds; None if there is none, or it is meant for another process."""
    microseconds, whose = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if whose and whose != str(pid):
        return None
    is_number = microseconds.isascii() and microseconds.isdigit() and len(microseconds) <= _MAX_DIGITS
    return int(microseconds) / 1e6 or None if is_number else None
