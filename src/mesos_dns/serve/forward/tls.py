"""TLS between a socket and what is said over it: octets in, octets out, no I/O. Edge, since OpenSSL is one."""

import logging
import ssl
from typing import Final

from mesos_dns.serve.forward.options import ForwardOptions

log = logging.getLogger(__name__)

#: Octets of one piece of what was said: a TLS record holds no more.
_PIECE_OCTETS: Final = 16 * 1024


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


def words(error: ssl.SSLError) -> str:
    """What went wrong, without OpenSSL's codes."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({error.verify_message.rstrip('.')})"
    return f"TLS failed ({(error.reason or str(error)).replace('_', ' ').lower()})"


class Tls:
    """The client's side of one TLS connection to the server `name`, a host name or an address that its certificate must have.

    What is to go over the wire is to be fetched with `outgoing` after each call, also after one that fails: it may be an alert.
    """

    def __init__(self, context: ssl.SSLContext, name: str) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=name)
        #: What is said before the handshake is done; None from then on.
        self._early: bytearray | None = bytearray()

    def __repr__(self) -> str:
        return f"Tls({self._tls.server_hostname!r}, {'handshake' if self._early is not None else self._tls.version()})"

    def send(self, octets: bytes) -> None:
        """Say `octets`, as soon as the handshake is done; the first call begins it. Raises ssl.SSLError."""
        if self._early is None:
            self._tls.write(octets)
        else:
            self._early += octets
            self._shake_hands()

    def receive(self, octets: bytes) -> bytes:
        """What is said by what came over the wire. Raises ssl.SSLError, also for a certificate that does not prove the name."""
        self._in.write(octets)
        if self._early is not None:
            self._shake_hands()
        said = bytearray()
        if self._early is None:
            try:
                while piece := self._tls.read(_PIECE_OCTETS):
                    said += piece
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                pass  # All is read, or the other side says that it ends: then its socket does, too.
        return bytes(said)

    def outgoing(self) -> bytes:
        """What is to go over the wire."""
        return self._out.read()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        early, self._early = self._early, None
        if early:
            self._tls.write(early)
