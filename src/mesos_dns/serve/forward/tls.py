"""Whom upstreams over TLS are verified by. Edge, since OpenSSL is one."""

import logging
import ssl
from typing import Final

from mesos_dns.serve.channel import Channel, words
from mesos_dns.serve.forward.options import ForwardOptions, Upstream

log = logging.getLogger(__name__)

#: Seconds after which a certificate is verified again, though sessions could be resumed on and on.
VERIFIED_SECONDS: Final = 3600.0


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


class Sessions:
    """Sessions that may be resumed: a connection without a certificate to send and verify, and with one round trip less in TLS 1.2.

    Each is for one connection (RFC 8446 appendix C.4: else an onlooker sees that two are of one client), and says when the certificate
    was verified: not for ever, for that may be withdrawn.
    """

    def __init__(self) -> None:
        self._kept: dict[Upstream, tuple[ssl.SSLSession, float]] = {}

    def __repr__(self) -> str:
        return f"Sessions({len(self._kept)})"

    def take(self, upstream: Upstream, now: float) -> tuple[ssl.SSLSession | None, float]:
        """A session to resume with `upstream`, None without one; and when its certificate was verified: now without one."""
        session, verified = self._kept.pop(upstream, (None, now))
        return (session, verified) if now - verified < VERIFIED_SECONDS else (None, now)

    def keep(self, upstream: Upstream, tls: Channel, verified: float, now: float) -> None:
        """What `tls`, a connection that works, gives to later ones. `verified` is as `take` gave it when that was made."""
        session = tls.session
        if session is not None:
            self._kept[upstream] = session, verified if tls.resumed else now
