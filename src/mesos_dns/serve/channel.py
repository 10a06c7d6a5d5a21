"""TLS between a socket and what is said over it: octets in, octets out, no I/O. Edge, since OpenSSL is one."""

import contextlib
import ssl
from typing import Final

#: Octets of one piece of what was said: a TLS record holds no more.
_PIECE_OCTETS: Final = 16 * 1024


def words(error: ssl.SSLError) -> str:
    """What went wrong, without OpenSSL's codes."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({error.verify_message.rstrip('.')})"
    if isinstance(error, ssl.SSLZeroReturnError):
        return "TLS failed (the other side ended it)"
    return f"TLS failed ({(error.reason or str(error)).replace('_', ' ').lower()})"


class Channel:
    """One side of a TLS connection.

    A client's side names the server, whose certificate must have that host name or address; the server's side names nobody.
    What is to go over the wire is to be fetched with `outgoing` after each call, also after one that fails: it may be an alert.
    """

    #: The other side has said that it ends: nothing more comes from it, and it may still take something.
    over = False

    def __init__(self, context: ssl.SSLContext, name: str | None = None) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=name is None, server_hostname=name)
        #: What is said before the handshake is done; None from then on.
        self._early: bytearray | None = bytearray()

    def __repr__(self) -> str:
        side = self._tls.server_hostname or "server"
        return f"Channel({side!r}, {'handshake' if self._early is not None else self._tls.version()})"

    @property
    def is_open(self) -> bool:
        """Whether the handshake is done."""
        return self._early is None

    def send(self, octets: bytes) -> None:
        """Say `octets`, as soon as the handshake is done; a client's first call begins it. Raises ssl.SSLError."""
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
            if self._early is not None:
                return b""
        said = b""
        read, wire, tls = self._tls.read, self._in, self._tls
        try:
            # All has been read when nothing is left on either side: an exception, which would tell the same, costs more.
            while wire.pending or tls.pending():
                piece = read(_PIECE_OCTETS)
                if not piece:
                    self.over = True
                    break
                said += piece
        except ssl.SSLWantReadError:
            pass  # The rest of a record is still to come.
        except ssl.SSLZeroReturnError:
            self.over = True
        return said

    def outgoing(self) -> bytes:
        """What is to go over the wire."""
        return self._out.read()

    def end(self) -> None:
        """Tell the other side that nothing more comes from here, if the handshake is done."""
        if self._early is not None:
            return
        # It would wait for the other side's word, which nobody is interested in.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        early, self._early = self._early, None
        if early:
            self._tls.write(early)
