"""What stands behind the HTTP API, as it reads it. Control hands it in, and hands in another one after a reload."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mesos_dns.dns.rdata import Record
from mesos_dns.history import History
from mesos_dns.metrics import Metric
from mesos_dns.names.explanation import Explanation
from mesos_dns.names.model import Model
from mesos_dns.web.log_filter import LogFilter
from mesos_dns.web.trust import Token
from mesos_dns.zone.journal import Journal
from mesos_dns.zone.zone import Zone


class BadLogError(ValueError):
    """What is wanted in a query log is nothing that can be; the text says what was found, and what was expected."""


class NoLogError(Exception):
    """A query log that cannot be had; the text says why, and what to do."""


class LogFollower(Protocol):
    """Somebody who looks on; whoever has one closes it."""

    @property
    def ended(self) -> bool:
        """Whether no more lines will come."""

    async def lines(self) -> tuple[list[bytes], int]:
        """The lines that have come since the last time, and how many were dropped. Waits until there is something, or no more will come."""

    def close(self) -> None:
        """Look on no more."""


class Backend(Protocol):
    """The program as one configuration has it. A request reads one `Backend` from beginning to end.

    `mname`, `rname` (with the trailing dot) and `domain` (without) are texts as configured.
    `refresh_seconds` is `RefreshSeconds`; `enumeration_on` is `EnumerationOn`.
    """

    @property
    def zone(self) -> Zone:
        """The authoritative zone; its serial is 0 until something is loaded."""

    @property
    def model(self) -> Model:
        """The cluster."""

    @property
    def version(self) -> str:
        """The program's version."""

    @property
    def enumeration_on(self) -> bool:
        """Whether what tells names that nobody asked for exists: dumps, lists, changes, explanations, searches."""

    @property
    def refresh_seconds(self) -> int:
        """`RefreshSeconds`."""

    @property
    def mname(self) -> str:
        """`SOAMname`."""

    @property
    def rname(self) -> str:
        """`SOARname`."""

    @property
    def domain(self) -> str:
        """`Domain`."""

    def may_ask(self, client: bytes) -> bool:
        """Whether a client may use the HTTP server at all, by its packed address (`AllowHttp`); no octets if nobody knows it."""

    @property
    def http_token(self) -> Token:
        """What shows that somebody may see what tells about clients; empty without `HttpTokenFile`."""

    @property
    def history(self) -> History:
        """What was asked and answered lately."""

    @property
    def journal(self) -> Journal:
        """The newest changes of the zones."""

    async def news(self) -> None:
        """Wait until the journal has another change, or another backend is in its place."""

    def log_state(self) -> Mapping[str, Any]:
        """How the query log does: plain values, ready for JSON."""

    def switch_log_on(self, wanted: LogFilter) -> None:
        """Log what is wanted, or what is configured if nothing is said about that, for a time. Raises BadLogError, NoLogError."""

    def switch_log_off(self) -> None:
        """Log nothing more."""

    def follow_log(self, wanted: LogFilter) -> LogFollower:
        """Look on as questions are answered. Raises BadLogError, NoLogError."""

    @property
    def web_on(self) -> bool:
        """Whether the page exists."""

    @property
    def doh_on(self) -> bool:
        """Whether `/dns-query` exists."""

    async def ask(self, octets: bytes, client: bytes) -> bytes | None:
        """The reply to any DNS message of `client`, its packed address; empty if it deserves none, None if nobody can be asked."""

    def config_json(self) -> Mapping[str, Any]:
        """Every configuration key with its effective value, in order, ready for JSON and free of secrets."""

    def ready(self) -> tuple[bool, Sequence[str]]:
        """Whether all workers serve the loaded zone; if not, one line for each reason."""

    def status(self) -> Mapping[str, Any]:
        """How everything does: plain values, ready for JSON."""

    def explain(self, name: str, rrtype: int | None) -> Explanation:
        """Why a name, as people write it, has this answer; of every type if `rrtype` is None. Takes milliseconds."""

    def measured(self) -> tuple[Mapping[str, Metric], Mapping[str, float]]:
        """What is counted and measured, as declared, by name; and all numbers by series."""

    def notes(self) -> Sequence[str]:
        """Lines about how fresh the records are, and what hinders newer ones."""

    def is_shared(self, record: Record) -> bool:
        """Whether more than one entity contributes `record`; True is always right, and costs memory."""
