"""TLS for what this server serves: a certificate and its key are checked, and made ready, from memory. Edge, since OpenSSL is one.

Control reads the two files. Whoever speaks TLS gets their octets, and needs no file, nor the right to read one.
"""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mesos_dns.certificates import Dates, KeyPair
from mesos_dns.quoting import quoted

#: For TLS 1.2: forward secrecy and authenticated encryption, no other (RFC 9325 section 4.2). TLS 1.3 has no others.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
#: X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python has no name for: dates are read, and judged by us.
_NO_CHECK_TIME: Final = 0x200000
#: Messages that two sides exchange until both are satisfied: a few, so that a fault ends the check, too.
_ROUNDS: Final = 10


class PairError(ValueError):
    """A certificate and a key that cannot be used; the text says why, behind the names of the two files."""


def server_context(pair: KeyPair, *protocols: str) -> ssl.SSLContext:
    """A server's side of TLS 1.2 and later. `protocols` are what clients may name (ALPN); who names none, or others, is served, too.

    Raises PairError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    # For the next connection of the same client. A second one would cost another 60 µs of each handshake.
    context.num_tickets = 1
    # To negotiate anew costs the server more than the client.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    try:
        with _as_file(pair.chain) as chain, _as_file(pair.key) as key:
            context.load_cert_chain(chain, key, password=refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise PairError(
                "do not fit: the key is not that of the first certificate; "
                "this server's own certificate stands first, those of its authorities behind it"
            ) from None
        raise PairError(f"are not a certificate and its private key in PEM form{_detail(error)}") from None
    except ValueError as error:
        raise PairError(f"cannot be used: {error}") from None
    return context


def examined(pair: KeyPair) -> Dates:
    """The dates of a pair that works: a client and a server have talked with it, in memory. Raises PairError."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False  # Whoever connects knows the name.
    # Nor is it known which authorities clients trust: here it is the certificate itself.
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
    server = server_context(pair)
    with _as_file(pair.chain) as chain:
        client.load_verify_locations(chain)
    try:
        found = _shown(server, client)
    except ssl.SSLCertVerificationError as error:
        raise PairError(
            f"are of no use to a server: clients would say {quoted(error.verify_message.rstrip('.'))}"
        ) from None
    except ssl.SSLError as error:
        raise PairError(f"cannot be used: no client would understand this server{_detail(error)}") from None
    return Dates(*(float(ssl.cert_time_to_seconds(str(found[member]))) for member in ("notBefore", "notAfter")))


def _shown(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, object]:
    """The certificate that a client is shown. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_ROUNDS):
        waits = 0
        for side in (asking, answering):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                waits += 1
        if not waits:
            break
    return dict(asking.getpeercert() or {})


@contextmanager
def _as_file(octets: bytes) -> Iterator[str]:
    """A path from which OpenSSL reads `octets`: Python's module takes keys from files only."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("pem")
        try:
            os.write(fd, octets)
            yield f"/proc/self/fd/{fd}"
        finally:
            os.close(fd)
    else:
        # Elsewhere than on Linux a file that only its owner can read, for a moment.
        with tempfile.NamedTemporaryFile() as file:
            file.write(octets)
            file.flush()
            yield file.name


def refuse_password() -> str:
    """Answer OpenSSL's question for a password; without this it would ask on the terminal."""
    raise ValueError("the key is encrypted, and nobody can be asked for its password")


def _detail(error: ssl.SSLError) -> str:
    return f" ({error.reason.replace('_', ' ').lower()})" if error.reason else ""
