"""Certificates for upstreams over TLS, and the end of what tests leave open."""

import pytest
from tests.certificates import certificates  # noqa: F401 - a fixture
from tests.serve.forward import upstreams


@pytest.fixture(autouse=True)
async def _forwarders_let_go():
    """Their sockets stay open for a second otherwise."""
    yield
    while upstreams.FORWARDERS:
        upstreams.FORWARDERS.pop().close()
