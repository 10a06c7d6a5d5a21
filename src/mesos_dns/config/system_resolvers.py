"""The name servers of /etc/resolv.conf, as they change while the program runs.

DHCP clients, VPNs and resolvconf rewrite the file whenever they like, in place or by another in its place, and who reads it meanwhile finds the
half of it. So it is read again and again, and believed when two looks in a row find the same. What is no use (no file, nobody to ask, only
this server itself) changes nothing: those known before are a better guess than none.
"""

import logging
from typing import Final

from mesos_dns.config import rules
from mesos_dns.config.host import Host, ThisHost, reason
from mesos_dns.config.values import Config

log = logging.getLogger(__name__)

RESOLV_CONF: Final = "/etc/resolv.conf"
#: Seconds between two looks. A change is in force after two of them; Go's own resolver waits for five.
LOOK_SECONDS: Final = 2.0
#: Looks after which it is judged again though it is the same: which addresses are this server itself may have changed.
LOOKS_PER_JUDGEMENT: Final = 15


class SystemResolvers:
    """Follows the file for `config`, whose resolvers are those that it had at the start."""

    def __init__(self, config: Config, host: Host | None = None) -> None:
        self._host = host or ThisHost()
        self._here = rules.Listening.at(config.listener, config.port, on=config.dns_on)
        #: Those in force.
        self._resolvers = config.resolvers
        #: What the last look found: the file, or why it cannot be read.
        self._seen: bytes | str = b""
        #: The same of the look that was judged last.
        self._judged: bytes | str | None = None
        self._looks = 0
        #: What is wrong with the file at present, which was told.
        self._trouble = ""

    def __repr__(self) -> str:
        return f"SystemResolvers({list(self._resolvers)})"

    def look(self) -> tuple[str, ...] | None:
        """Look at the file. Other resolvers than before, at least one, in the order of the file; None if all stays."""
        before = self._seen
        try:
            self._seen = self._host.read(RESOLV_CONF)
        except OSError as error:
            self._seen = f"cannot be read: {reason(error)}"
        self._looks += 1
        if self._seen != before or (self._seen == self._judged and self._looks < LOOKS_PER_JUDGEMENT):
            return None
        self._looks, is_new, self._judged = 0, self._seen != self._judged, self._seen
        if isinstance(self._seen, str):
            self._complain(self._seen)
            return None
        text = self._seen.decode("utf-8", errors="replace")
        found, ignored = rules.name_servers(text, self._host.addresses(), self._here)
        if not found:
            self._complain("names no server that can be asked")
            return None
        if self._trouble:
            log.warning("/etc/resolv.conf names servers again: %s", ", ".join(found))
            self._trouble = ""
        if found == self._resolvers:
            return None
        for message in ignored if is_new else ():
            log.warning("/etc/resolv.conf: %s", message)
        log.warning("/etc/resolv.conf has changed: outside names are asked of %s from now on", ", ".join(found))
        self._resolvers = found
        return found

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:
            kept = ", ".join(self._resolvers) or "none"
            log.warning("/etc/resolv.conf %s; the resolvers known before stay (%s)", trouble, kept)
        self._trouble = trouble
