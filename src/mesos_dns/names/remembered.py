"""What naming remembers, bounded by what there is to name. Pure.

Each cache has a bound for the largest clusters. Under the churn of a small one it would fill up to that over weeks, with what
belongs to tasks, frameworks and agents long gone.
"""

from collections.abc import Callable, Hashable
from functools import _lru_cache_wrapper
from typing import Any, NamedTuple

from mesos_dns.limits import most_kept


class InUse(NamedTuple):
    """How many entities of each kind have names at present."""

    agents: int
    frameworks: int
    tasks: int


def forget_surplus(remembered: dict[Any, Any], in_use: int) -> None:
    """Empty `remembered` if most of it cannot be in use."""
    if len(remembered) > most_kept(in_use):
        remembered.clear()


def forget_surplus_calls(function: Callable[[Any], Hashable], in_use: int) -> None:
    """The same for the results of a function with `lru_cache`; nothing for any other."""
    if isinstance(function, _lru_cache_wrapper) and function.cache_info().currsize > most_kept(in_use):
        function.cache_clear()
