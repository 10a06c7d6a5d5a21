"""What the whole suite shares: order, skips, how properties are tested, the garbage collector; and what the tests of control share."""

import asyncio
import gc
import logging
import os
import sys

import pytest
from hypothesis import settings
from tests.longest import place
from tests.scripted import Running, Source

# Thousands of tests and their modules are objects that stay. To look at them again and again took a quarter of the time of
# collecting tests, and half a second of each test that collects garbage. So nobody thaws what is frozen: no `gc.unfreeze`.
gc.disable()


def pytest_collection_finish():
    gc.enable()
    gc.freeze()


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: place(item.path))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """With CI_REQUIRE_ALL=1 everything that a test needs must be installed: a skip is a failure. What is expected to fail is none."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI_REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, but CI_REQUIRE_ALL=1: {call.excinfo and call.excinfo.value}"
    return report


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

    def make_source(options):
        sources.append(Source(options))
        return sources[-1]

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    thresholds = gc.get_threshold()
    it = Running(sources, lines, make_source)
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
        gc.set_threshold(*thresholds)


# No deadline: a loaded machine is no fault of the program. `ci` tries the same on each run; `default` tries others
# each time; HYPOTHESIS_PROFILE=thorough is for a night. A test has settings of its own only if an example is dear.
settings.register_profile("default", deadline=None, max_examples=100)
settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True, print_blob=True)
# To see what is run, a few examples do: counting doubles the time of each.
settings.register_profile("coverage", deadline=None, max_examples=20, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=10_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if "CI_REQUIRE_ALL" in os.environ else "default"))
