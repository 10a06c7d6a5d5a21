"""What of a dump a client wants: parameters in, a filter out. And whether it takes it compressed. Pure."""

import zlib
from collections.abc import Iterable
from typing import Final, NamedTuple

from mesos_dns.quoting import quoted

#: Values of one parameter: no request line has room for more than some hundred.
MAX_VALUES: Final = 100
#: A limit beyond is none: no cluster has as many tasks or names.
MAX_LIMIT: Final = 1_000_000_000
#: How hard to compress: JSON of names becomes a tenth or less with the least effort, 0.2 ms for each 64 KiB, and little less with more.
_LEVEL: Final = 1
#: What tells zlib to write a gzip header (RFC 1952).
_GZIP: Final = zlib.MAX_WBITS | 16


class BadFilterError(ValueError):
    """A parameter that cannot be understood; the text says which, what was expected and what was found."""


class Filter(NamedTuple):
    """`frameworks` (names or ids) or all if empty; names that begin with `prefix`, in any letter case; at most `limit` entries, None for all."""

    frameworks: frozenset[str] = frozenset()
    prefix: str = ""
    limit: int | None = None


#: What a request without parameters wants.
EVERYTHING: Final = Filter()


def filter_of(parameters: Iterable[tuple[str, str]]) -> Filter:
    """The filter that decoded parameters of a query ask for; unknown ones mean nothing. Raises BadFilterError."""
    frameworks: list[str] = []
    prefix, limit = "", None
    for name, value in parameters:
        if name == "framework":
            frameworks.append(value)
        elif name == "prefix":
            prefix = value.lower()
        elif name == "limit":
            limit = number_of("limit", value, 1, MAX_LIMIT, MAX_LIMIT)
    if len(frameworks) > MAX_VALUES:
        raise BadFilterError(f"framework: expected {MAX_VALUES} of them at most, found {len(frameworks)}")
    return Filter(frozenset(frameworks), prefix, limit)


def number_of(name: str, value: str | None, low: int, high: int, default: int) -> int:
    """The number that the parameter `name` gives, from `low` to `high`; `default` without it. Raises BadFilterError."""
    if value is None:
        return default
    if value.isascii() and value.isdigit() and len(value) <= len(str(high)) and low <= int(value) <= high:
        return int(value)
    raise BadFilterError(f"{name}: expected a number from {low} to {high}, found {quoted(value)}")


def takes_gzip(accept_encoding: str | None) -> bool:
    """Whether a client with this `Accept-Encoding` header takes gzip (RFC 9110 section 12.5.3). One that does not say so gets none."""
    weights: dict[str, float] = {}
    for element in (accept_encoding or "").split(","):
        coding, *parameters = [part.strip().lower() for part in element.split(";")]
        weights[coding] = _weight(parameters)
    for coding in ("gzip", "x-gzip", "*"):
        if coding in weights:
            return weights[coding] > 0
    return False


def _weight(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


class Gzip:
    """Compresses a body piece by piece."""

    def __init__(self) -> None:
        self._packer = zlib.compressobj(_LEVEL, wbits=_GZIP)

    def __repr__(self) -> str:
        return "Gzip()"

    def add(self, octets: bytes) -> bytes:
        """What follows from these octets; may be empty."""
        return self._packer.compress(octets)

    def end(self) -> bytes:
        """The rest."""
        return self._packer.flush()
