import contextlib
import random
import socket

import pytest


def bound(port):
    probe = socket.socket()
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        probe.close()
        raise
    return probe


@pytest.fixture
def free_ports():
    """Return that many TCP ports of 127.0.0.1 that were free a moment ago."""

    def choose(count):
        with contextlib.ExitStack() as probes:
            return [probes.enter_context(bound(0)).getsockname()[1] for _ in range(count)]

    return choose


@pytest.fixture
def base_port():
    """Return a port that was free a moment ago, as were the two after it: below those that the kernel gives away."""
    for first in random.sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), contextlib.ExitStack() as probes:
            for port in range(first, first + 3):
                probes.enter_context(bound(port))
            return first
    pytest.fail("no three ports in a row are free")
