"""Which answers somebody wants in a query log, and for how long: parameters of a request in, values out. Pure."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from mesos_dns.limits import MAX_SAMPLE
from mesos_dns.quoting import quoted
from mesos_dns.web.filters import BadFilterError

#: Seconds for which it goes on if nothing is said, and at the most: nobody forgets a log of more than a day.
LOG_SECONDS: Final = 300
MAX_LOG_SECONDS: Final = 86_400
#: Values of one parameter.
_MOST: Final = 100
_SPAN: Final = re.compile(r"([0-9]{1,6})([smh]?)", re.ASCII)
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}


class LogFilter(NamedTuple):
    """Clients, names and RCODEs as people write them, each empty for all; of those one in `sample`; for so many `seconds`."""

    clients: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    rcodes: tuple[str, ...] = ()
    sample: int = 1
    seconds: int = LOG_SECONDS

    @property
    def is_all(self) -> bool:
        """Whether nothing is said about what is wanted."""
        return self._replace(seconds=LOG_SECONDS) == LogFilter()


def log_filter_of(parameters: Iterable[tuple[str, str]]) -> LogFilter:
    """The filter that decoded parameters of a query ask for. Raises BadFilterError, also for unknown ones: a misspelt one would log everything."""
    lists: dict[str, list[str]] = {"client": [], "name": [], "rcode": []}
    sample, seconds = 1, LOG_SECONDS
    for name, value in parameters:
        if name in lists:
            lists[name].append(value)
        elif name == "sample":
            sample = _sample(value)
        elif name == "for":
            seconds = _seconds(value)
        else:
            raise BadFilterError(f"{quoted(name)} is no parameter; expected client, name, rcode, sample or for")
    for name, values in lists.items():
        if len(values) > _MOST:
            raise BadFilterError(f"{name}: expected {_MOST} of them at most, found {len(values)}")
    clients, names, rcodes = map(tuple, lists.values())
    return LogFilter(clients, names, rcodes, sample, seconds)


def _sample(value: str) -> int:
    if value.isascii() and value.isdigit() and len(value) <= len(str(MAX_SAMPLE)) and 1 <= int(value) <= MAX_SAMPLE:
        return int(value)
    raise BadFilterError(f"sample: expected a number from 1 to {MAX_SAMPLE}, found {quoted(value)}")


def _seconds(value: str) -> int:
    found = _SPAN.fullmatch(value)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 1 <= seconds <= MAX_LOG_SECONDS:
        raise BadFilterError(f"for: expected a time such as 90s, 5m or 2h, up to a day, found {quoted(value)}")
    return seconds
