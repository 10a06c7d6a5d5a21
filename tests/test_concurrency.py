import asyncio
import gc
import logging

import pytest

from mesos_dns import concurrency
from mesos_dns.concurrency import bound_complaints, spawn


async def test_a_task_has_a_name_and_a_result():
    async def answer():
        return 42

    task = spawn(answer(), name="answer")
    assert task.get_name() == "answer"
    assert await task == 42


async def test_a_task_that_nobody_holds_runs_to_its_end():
    done = asyncio.Event()

    async def work():
        await asyncio.sleep(0)
        gc.collect()
        await asyncio.sleep(0)
        done.set()

    spawn(work(), name="nobody's")
    async with asyncio.timeout(30):
        await done.wait()


async def test_what_is_done_is_not_kept():
    task = spawn(asyncio.sleep(0), name="short")
    await task
    await asyncio.sleep(0)
    assert task not in concurrency._running


async def test_a_failure_is_logged_though_nobody_awaits_the_task(caplog):
    async def fail():
        raise RuntimeError("the reason")

    spawn(fail(), name="doomed")
    with caplog.at_level(logging.ERROR):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    (record,) = caplog.records
    assert record.getMessage() == "task doomed ended with an error"
    assert "RuntimeError: the reason" in caplog.text


async def test_cancellation_is_silent(caplog):
    task = spawn(asyncio.sleep(60), name="cancelled")
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert caplog.records == []


async def test_what_the_loop_complains_of_is_logged_at_a_bounded_rate(caplog):
    loop = asyncio.get_running_loop()
    bound_complaints(loop)
    try:
        for number in range(100):
            loop.call_exception_handler({"message": "no file", "exception": OSError(24, "Too many open files")})
            loop.call_exception_handler({"message": "no idea", "exception": KeyError(number)})
            loop.call_exception_handler({"message": "no exception"})
            loop.call_exception_handler({"message": "no room", "exception": MemoryError()})
    finally:
        loop.set_exception_handler(None)
    assert [(one.levelname, one.getMessage(), bool(one.exc_info)) for one in caplog.records] == [
        ("WARNING", "the event loop: no file: Too many open files", False),
        ("ERROR", "the event loop: no idea: please report it", True),
        ("ERROR", "the event loop: no exception: please report it", False),
        ("WARNING", "the event loop: no room: no memory", False),
    ]
