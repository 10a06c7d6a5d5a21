"""What people say over HTTP about the query log, and what follows from it."""

from typing import Final

from mesos_dns.assembly import selection
from mesos_dns.config import access, query_log
from mesos_dns.config.addresses import Unfit
from mesos_dns.query_logs import Follower, NoDestinationError, QueryLogs, State, TooManyError
from mesos_dns.querylog.selection import Selection, rcode_named
from mesos_dns.web.backend import BadLogError, NoLogError
from mesos_dns.web.log_filter import LogFilter

_NOWHERE: Final = (
    "there is no place to write to: set QueryLog.To in the configuration, for example to "
    "json:/var/log/mesos-dns/queries.json, and reload; or look on with /v1/queries, or `mesos-dns log follow`"
)
_TOO_MANY: Final = "as many look on as may at the same time; try again when one of them is done"


def switch_on(logs: QueryLogs, wanted: LogFilter) -> None:
    """Write what is wanted for a time. Raises BadLogError, NoLogError."""
    chosen = None if wanted.is_all else _selected(wanted)
    try:
        logs.switch_on(chosen, wanted.seconds)
    except NoDestinationError as error:
        raise NoLogError(_NOWHERE) from error


def follow(logs: QueryLogs, wanted: LogFilter) -> Follower:
    """Look on. Raises BadLogError, NoLogError."""
    chosen = _selected(wanted)
    try:
        return logs.follow(chosen)
    except TooManyError as error:
        raise NoLogError(_TOO_MANY) from error


def _selected(wanted: LogFilter) -> Selection:
    try:
        for client in wanted.clients:
            access.entry(client)
        for rcode in wanted.rcodes:
            rcode_named(rcode)
    except (Unfit, ValueError) as error:
        raise BadLogError(str(error)) from error
    complaints = filter(None, map(query_log.complaint_of_name, wanted.names))
    if complaint := next(complaints, ""):
        raise BadLogError(complaint)
    return selection(wanted.clients, wanted.names, wanted.rcodes, wanted.sample)


def shown(state: State) -> dict[str, object]:
    """How the log does, for JSON. Nothing of it tells about clients."""
    return {
        "to": state.destination,
        "on": state.on,
        "until": None if state.until is None else int(state.until),
        "written": state.written,
        "dropped": state.dropped,
        "trouble": state.trouble,
    }
