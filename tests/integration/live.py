"""A simulated cluster in a thread of its own, for tests that run the program beside it."""

import asyncio
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Self, TypeVar

from mesos_dns.demo.live import Cluster

Endpoint = tuple[str, int]
T = TypeVar("T")
#: Seconds for anything that a cluster does.
PATIENCE = 30.0


class Live:
    """`Cluster` with the same options, entered and left by `with`."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cluster", daemon=True)
        self.cluster: Cluster

    def __enter__(self) -> Self:
        self._thread.start()
        self.cluster = self._run(self._make)
        return self

    def __exit__(self, *_: object) -> None:
        self._run(lambda: self.cluster.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _make(self) -> Cluster:
        return await Cluster(**self._options).__aenter__()

    def do(self, verb: Callable[[Cluster], Any]) -> Any:
        """What `verb` gives for the cluster, called in its loop and awaited if it is to be."""
        return self._run(lambda: verb(self.cluster))

    def _run(self, what: Callable[[], Any]) -> Any:
        done: Future[Any] = Future()

        async def work() -> None:
            try:
                found = what()
                done.set_result(await found if inspect.isawaitable(found) else found)
            except BaseException as error:  # noqa: BLE001 - whoever waits raises it
                done.set_exception(error)

        asyncio.run_coroutine_threadsafe(work(), self._loop)
        return done.result(PATIENCE)

    @property
    def endpoints(self) -> list[Endpoint]:
        pairs = (each.rsplit(":", 1) for each in self.cluster.endpoints)
        return [(host, int(port)) for host, port in pairs]
