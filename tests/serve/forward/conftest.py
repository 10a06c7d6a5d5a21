"""Certificates for upstreams over TLS."""

from tests.certificates import certificates  # noqa: F401 - a fixture
