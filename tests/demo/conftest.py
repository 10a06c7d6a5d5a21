import socket

import pytest


@pytest.fixture
def free_ports():
    """Return that many TCP ports of 127.0.0.1 that were free a moment ago."""

    def choose(count):
        probes = [socket.socket() for _ in range(count)]
        try:
            for probe in probes:
                probe.bind(("127.0.0.1", 0))
            return [probe.getsockname()[1] for probe in probes]
        finally:
            for probe in probes:
                probe.close()

    return choose
