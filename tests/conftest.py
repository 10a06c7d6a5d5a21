"""What the tests of control share."""

import asyncio
import gc
import logging
import os
import sys

import pytest
from tests.scripted import Running, Source


@pytest.fixture
async def running(monkeypatch):
    """A control that is ended, and gone without a trace, at the end."""
    sources, lines = [], asyncio.Queue()
    handler = logging.Handler()
    handler.emit = lambda record: lines.put_nowait(record.getMessage())
    root = logging.getLogger("mesos_dns")
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.INFO)

    def source(options):
        sources.append(Source(options))
        return sources[-1]

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    thresholds = gc.get_threshold()
    it = Running(sources, lines, source)
    try:
        yield it
        await it.end()
        assert [task for task in asyncio.all_tasks() - {asyncio.current_task()} if not task.done()] == []
        assert gc.isenabled()
    finally:
        if it.task is not None and not it.task.done():
            it.task.cancel()
            await asyncio.wait([it.task])
        root.setLevel(level)
        root.removeHandler(handler)
        gc.enable()
        gc.unfreeze()
        gc.set_threshold(*thresholds)
