"""Where a query log is written to, as the configuration spells it. Pure."""

from typing import Final, NamedTuple

from mesos_dns.quoting import quoted

EXPECTED: Final = (
    "json:FILE, dnstap:FILE, or json+unix:SOCKET, dnstap+unix:SOCKET for a program that listens at a Unix socket; "
    "FILE and SOCKET are absolute paths"
)
_FORMS: Final = {
    "json": (False, False),
    "dnstap": (True, False),
    "json+unix": (False, True),
    "dnstap+unix": (True, True),
}
#: Octets of the path of a Unix socket (unix(7)), its end apart.
MAX_SOCKET_PATH: Final = 107


class BadDestinationError(ValueError):
    """A text that is no destination; it says what was expected."""


class Destination(NamedTuple):
    """In which form, and where to: a file, or the program that listens at a Unix socket."""

    dnstap: bool
    unix: bool
    path: str

    def __str__(self) -> str:
        form = next(form for form, found in _FORMS.items() if found == (self.dnstap, self.unix))
        return f"{form}:{self.path}"


def destination(text: str) -> Destination:
    """What `text` names. Raises BadDestinationError."""
    form, colon, path = text.partition(":")
    if not colon or form not in _FORMS or not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise BadDestinationError(f"{quoted(text)} is no destination; expected {EXPECTED}")
    dnstap, unix = _FORMS[form]
    if unix and len(path.encode("utf-8", "surrogateescape")) > MAX_SOCKET_PATH:
        raise BadDestinationError(
            f"the path of a Unix socket has {MAX_SOCKET_PATH} octets at the most; {quoted(text)} has more"
        )
    return Destination(dnstap, unix, path)
