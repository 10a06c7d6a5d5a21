"""Whom upstreams over TLS are verified by. Edge, since OpenSSL is one."""

import logging
import ssl

from mesos_dns.serve.channel import words
from mesos_dns.serve.forward.options import ForwardOptions

log = logging.getLogger(__name__)


def strict_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Strict privacy (RFC 8310 section 5): the upstream must prove its name with a certificate of a known authority.

    Those are the system's, or the ones in `ca_file`. TLS 1.2 or later. Raises OSError if the file cannot be read or has none.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def context_for(options: ForwardOptions) -> ssl.SSLContext | None:
    """What upstreams over TLS are verified with. None if there are none, or, which is logged, if the authorities cannot be read."""
    if not any(upstream.tls_name for upstreams in options.upstreams.values() for upstream in upstreams):
        return None
    try:
        return strict_context(options.ca_file or None)
    except OSError as error:
        log.error(  # noqa: TRY400 - it is the file's fault
            "cannot read the authorities in %s: %s; no upstream is asked over TLS: mend the file and reload",
            options.ca_file or "the system's store",
            words(error) if isinstance(error, ssl.SSLError) else error.strerror,
        )
        return None
