"""The masters as the configuration lists them: a detector that never learns anything."""

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from mesos_dns.mesos.source import KnownMasters
from mesos_dns.mesos.state import Endpoint


class StaticMasters:
    """A `MasterDetector` for a list. Which of them leads, their answers tell."""

    def __init__(self, masters: Iterable[Endpoint]) -> None:
        self._known = KnownMasters(tuple(masters))

    def __repr__(self) -> str:
        return f"StaticMasters({', '.join(map(str, self._known.masters))})"

    @property
    def known(self) -> KnownMasters:
        """The list."""
        return self._known

    @property
    def status(self) -> None:
        """There is nothing to say."""
        return

    async def changed(self, known: KnownMasters) -> None:
        """Never return, unless `known` is not what it is."""
        if known == self._known:
            await asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        """Nothing to begin."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing to end."""
