"""The one place that starts asyncio tasks: named, referenced, and never failing unseen. And what asyncio leaves behind, or says."""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from mesos_dns.logs import RateLimited

log = logging.getLogger(__name__)

T = TypeVar("T")

#: The event loop itself keeps only weak references to tasks.
_running: set[asyncio.Task[Any]] = set()


def spawn(coroutine: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """Start `coroutine` as a task called `name`.

    An exception that ends the task is logged with its traceback when it happens, whether or not
    anybody awaits the task; cancellation is silent.
    """
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _running.add(task)
    task.add_done_callback(_finished)
    return task


def _finished(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if task.cancelled():
        return
    error = task.exception()
    if error is not None:
        log.error("task %s ended with an error", task.get_name(), exc_info=error)


class Broadcast:
    """Wakes all who wait, whenever something has happened. Nobody need listen."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def __repr__(self) -> str:
        return "Broadcast()"

    def tell(self) -> None:
        """It has happened."""
        event, self._next = self._next, asyncio.Event()
        event.set()

    async def wait(self) -> None:
        """Wait until it happens the next time."""
        await self._next.wait()


def bound_complaints(loop: asyncio.AbstractEventLoop) -> None:
    """Have `loop` log what it cannot tell anybody, such as connections that cannot be accepted, at a bounded rate and in one line if it is the system's fault."""
    warn = RateLimited(log)

    def complain(_: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        message: str = context["message"]
        error: BaseException | None = context.get("exception")
        if isinstance(error, OSError | MemoryError):
            what = getattr(error, "strerror", None) or str(error) or "no memory"
            warn.warning(message, "the event loop: %s: %s", message, what)
        else:
            warn.log(logging.ERROR, message, "the event loop: %s: please report it", message, exc_info=error or False)

    loop.set_exception_handler(complain)


def let_go(transport: asyncio.BaseTransport) -> None:
    """Break the reference cycles of a transport. Call it in `connection_lost`, when nothing will use it any more.

    A transport of asyncio's selector loops keeps methods of itself (CPython 3.11 to 3.13), so each connection stays,
    with its socket object about 1 kB, until the garbage collector looks at objects of its age.
    """
    for name, value in list(vars(transport).items()):
        if getattr(value, "__self__", None) is transport:
            setattr(transport, name, None)
