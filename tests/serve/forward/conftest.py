"""Certificates for upstreams over TLS, and the end of what tests leave open."""

import pytest
from tests.certificates import Certificates
from tests.serve.forward import upstreams


@pytest.fixture(autouse=True)
async def _forwarders_let_go():
    """Their sockets stay open for a second otherwise."""
    yield
    while upstreams.FORWARDERS:
        upstreams.FORWARDERS.pop().close()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """As in `Certificates`."""
    return Certificates.issued(tmp_path_factory.mktemp("certificates"))
