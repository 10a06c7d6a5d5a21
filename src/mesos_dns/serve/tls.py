"""DNS over TLS (RFC 7858): what is served over TCP, within TLS.

Connections, their bounds, turns and times are those of `tcp`; a handshake counts as a query that is not complete yet, so a client that
stalls in it is closed like any other. This part turns what is on the wire into what is said, and back.
"""

import contextlib
import logging
import os
import socket
import ssl
from functools import partial
from typing import Any, ClassVar, Final

from mesos_dns.dns.padding import pad
from mesos_dns.dns.rdata import address_text
from mesos_dns.metrics import counter
from mesos_dns.serve.channel import Channel, words
from mesos_dns.serve.connections import Connection
from mesos_dns.serve.recorder import Respond
from mesos_dns.serve.request import Reply, Transport
from mesos_dns.serve.responder import ForwardTo, Responder
from mesos_dns.serve.room import Kind
from mesos_dns.serve.tcp import TcpListener

_CONNECTIONS: Final = counter("tls_connections", "Connections for DNS over TLS accepted.")
_REFUSED: Final = counter(
    "tls_refused", "Connections for DNS over TLS closed at once: all others were waiting for answers."
)
_EVICTED: Final = counter("tls_evicted", "Idle connections for DNS over TLS closed for newer ones.")
_FAILED: Final = counter(
    "tls_failed", "Connections for DNS over TLS that were no TLS, or whose client did not accept this server."
)

#: What clients name that speak DNS over TLS (ALPN, RFC 7858 section 3.1 as registered with IANA).
PROTOCOL: Final = "dot"


class TlsConnection(Connection):
    """One client's connection, with its channel."""

    def __init__(self, fd: int, client: bytes, channel: Channel) -> None:
        super().__init__(fd, client)
        self.channel = channel


class TlsListener(TcpListener):
    """One listening TCP socket on which clients speak TLS. Options as those of `TcpListener`."""

    kind: ClassVar = Kind("TLS", _CONNECTIONS, _REFUSED, _EVICTED)
    transport: ClassVar = Transport.TLS

    def __init__(
        self, sock: socket.socket, responder: Responder, forward: ForwardTo, context: ssl.SSLContext, **options: Any
    ) -> None:
        super().__init__(sock, responder, forward, **options)
        self._context = context
        respond = partial(responder.respond_tcp, transport=Transport.TLS)

        def respond_tls(octets: bytes, client: bytes, keepalive: int | None) -> Reply:
            reply = respond(octets, client, keepalive)
            return pad(octets, reply) if isinstance(reply, bytes) else reply

        self._respond_tls = respond_tls

    def use(self, context: ssl.SSLContext) -> None:
        """Show new connections another certificate; those that are open go on."""
        self._context = context

    # --- what a TcpListener does otherwise -----------------------------------------------------

    def _connection(self, fd: int, client: bytes) -> Connection:
        return TlsConnection(fd, client, Channel(self._context))

    def _respond(self) -> Respond:
        return self._respond_tls

    def _wrapped(self, query: bytes, reply: bytes) -> bytes:
        return pad(query, reply)

    def _take(self, connection: Connection, data: bytes) -> bool:
        channel = _channel(connection)
        try:
            said = channel.receive(data)
        except ssl.SSLError as error:
            self._fail(connection, error)
            return False
        self._send(connection, b"")
        if connection.closed:
            return False
        connection.buffer = connection.buffer + said if connection.buffer else said
        return self._ended(connection) if channel.over else True

    def _send(self, connection: Connection, data: bytes) -> None:
        channel = _channel(connection)
        if data:
            try:
                channel.send(data)
            except ssl.SSLError as error:
                self._fail(connection, error)
                return
        wire = channel.outgoing()
        if wire or connection.unsent:
            super()._send(connection, wire)

    def _close(self, connection: Connection) -> None:
        if not connection.closed and not connection.unsent:
            channel = _channel(connection)
            channel.end()
            _write_what_fits(connection, channel)
        super()._close(connection)

    # --- its own -------------------------------------------------------------------------------

    def _fail(self, connection: Connection, error: ssl.SSLError) -> None:
        """What came is no TLS, or the client does not accept us: tell it, and close."""
        self.responder.count(_FAILED)
        self._warn.log(
            logging.INFO, "failed", "TLS: a connection of %s failed: %s", address_text(connection.client), words(error)
        )
        _write_what_fits(connection, _channel(connection))
        super()._close(connection)


def _channel(connection: Connection) -> Channel:
    assert isinstance(connection, TlsConnection)
    return connection.channel


def _write_what_fits(connection: Connection, channel: Channel) -> None:
    """The last words of a connection: who does not take them now gets none."""
    wire = channel.outgoing()
    if wire and not connection.unsent:
        with contextlib.suppress(OSError):
            os.write(connection.fd, wire)
