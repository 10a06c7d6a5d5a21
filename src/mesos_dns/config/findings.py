"""What rules of the configuration are told, and what they find; and the rule that several keys have. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from mesos_dns.quoting import quoted

#: Values by key, as they are read: layers are put together, defaults filled in.
Values: TypeAlias = Mapping[str, Any]
#: A key, what is wrong with its value, and other keys that have to do with it.
Finding: TypeAlias = tuple[str, ...]


def one_of(values: Values, key: str, words: Sequence[str]) -> Iterator[Finding]:
    """The value of `key` must be one of these words, of which there are two or more."""
    if values[key] not in words:
        *first, last = [f'"{word}"' for word in words]
        yield key, f"{quoted(values[key])} is unknown; expected {', '.join(first)} or {last} in lower case"
