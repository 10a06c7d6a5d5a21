"""Rules of `config.rules` about the query log. Pure."""

from collections.abc import Iterator

from mesos_dns.config import access
from mesos_dns.config.findings import Finding, Values
from mesos_dns.dns import name as names
from mesos_dns.querylog.destination import BadDestinationError, destination
from mesos_dns.querylog.selection import MAX_SELECTED, rcode_named
from mesos_dns.quoting import quoted


def where(values: Values) -> Iterator[Finding]:
    """A form and an absolute path."""
    if values["QueryLog.To"]:
        try:
            destination(values["QueryLog.To"])
        except BadDestinationError as error:
            yield "QueryLog.To", str(error)


def what(values: Values) -> Iterator[Finding]:
    """Clients, names and RCODEs, not too many."""
    for key in ("QueryLog.Clients", "QueryLog.Names", "QueryLog.Rcodes"):
        count = len(values[key])
        if count > MAX_SELECTED:
            yield key, f"has {count} entries; at most {MAX_SELECTED} are possible"
    if values["QueryLog.Clients"]:
        for message in access.complaints(values["QueryLog.Clients"]):
            yield "QueryLog.Clients", message
    for name in values["QueryLog.Names"]:
        if complaint := complaint_of_name(name):
            yield "QueryLog.Names", complaint
    for rcode in values["QueryLog.Rcodes"]:
        try:
            rcode_named(rcode)
        except ValueError as error:
            yield "QueryLog.Rcodes", str(error)


def complaint_of_name(text: str) -> str:
    """What is wrong with a name that a log is restricted to; "" for nothing."""
    try:
        names.from_text(text)
    except names.BadNameError as error:
        return f"{quoted(text)} is no name in DNS: {error}"
    return ""
