import errno
import os
import re
import socket
import ssl
from types import SimpleNamespace

import aiohttp
import pytest

from mesos_dns import limits
from mesos_dns.mesos.errors import DisconnectedError, LoginError, MasterTimeoutError, UnreachableError
from mesos_dns.mesos.http.translation import reason, translated, translated_login
from mesos_dns.mesos.state import Endpoint

A = Endpoint("10.0.0.11", 5050)
#: What aiohttp's errors know of a connection.
PLAIN = SimpleNamespace(host="10.0.0.11", port=5050, is_ssl=False, ssl=True)
TLS = SimpleNamespace(host="10.0.0.11", port=5050, is_ssl=True, ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
LOGIN = "https://10.0.0.11/acs/api/v1/auth/login"


def refused(*addresses):
    """As asyncio does when it has tried several addresses."""
    texts = [f"[Errno {errno.ECONNREFUSED}] Connect call failed ({address!r}, 5050)" for address in addresses]
    return OSError(f"Multiple exceptions: {', '.join(texts)}")


def tls_error(reason):
    error = ssl.SSLError(1, f"[SSL: {reason}] {reason.replace('_', ' ').lower()} (_ssl.c:1006)")
    error.reason = reason
    return error


def certificate_error(code, message):
    error = ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] {message} (_ssl.c:1006)")
    error.verify_code, error.verify_message = code, message
    return error


def no_http(message):
    return aiohttp.ClientResponseError(None, (), status=400, message=message)


CONNECTIONS = {
    "refused": (
        aiohttp.ClientConnectorError(PLAIN, OSError(errno.ECONNREFUSED, "Connect call failed ('10.0.0.11', 5050)")),
        "no connection: connection refused",
    ),
    "two addresses refuse": (
        aiohttp.ClientConnectorError(PLAIN, refused("10.0.0.11", "fd00::1")),
        "no connection: connection refused",
    ),
    "no route": (
        aiohttp.ClientConnectorError(PLAIN, OSError(errno.EHOSTUNREACH, "Connect call failed")),
        "no connection: no route to host",
    ),
    "no such name": (
        aiohttp.ClientConnectorError(PLAIN, socket.gaierror(socket.EAI_NONAME, "Name or service not known")),
        (
            "no connection: the host name does not resolve (Name or service not known); "
            "host names in Masters must resolve without Mesos-DNS"
        ),
    ),
    "an error without number and text": (
        aiohttp.ClientConnectorError(PLAIN, ConnectionResetError()),
        "no connection: it was closed",
    ),
    "no host name": (UnicodeError("label too long"), "cannot be asked: this is no possible host name and port"),
    "no URL": (aiohttp.InvalidURL("http://h:70000/"), "cannot be asked: this is no possible host name and port"),
    "no TLS": (
        aiohttp.ClientConnectorSSLError(TLS, tls_error("WRONG_VERSION_NUMBER")),
        "TLS failed, because it does not speak TLS on this port; set MesosHTTPSOn to false, or give the port that does in Masters",
    ),
    "another TLS": (
        aiohttp.ClientConnectorSSLError(TLS, tls_error("TLSV1_ALERT_PROTOCOL_VERSION")),
        "TLS failed: tlsv1 alert protocol version; check MesosHTTPSOn, CertFile and KeyFile",
    ),
    "closed in the handshake": (
        aiohttp.ClientConnectorError(TLS, ConnectionResetError()),
        (
            "TLS failed: it closed the connection during the handshake; "
            "check MesosHTTPSOn; if it wants a client certificate, CertFile and KeyFile"
        ),
    ),
    "another authority": (
        aiohttp.ClientConnectorCertificateError(TLS, certificate_error(20, "unable to get local issuer certificate")),
        (
            "its certificate is not accepted (unable to get local issuer certificate); "
            "check CACertFile: it must hold the authority that signed it"
        ),
    ),
    "expired": (
        aiohttp.ClientConnectorCertificateError(TLS, certificate_error(10, "certificate has expired")),
        "its certificate is not accepted (certificate has expired); renew it, or check the clocks",
    ),
    "another host": (
        aiohttp.ClientConnectorCertificateError(TLS, certificate_error(62, "Hostname mismatch, not valid for 'm1'.")),
        (
            "its certificate is not accepted (Hostname mismatch, not valid for 'm1'); "
            "Masters must give the host as the certificate names it"
        ),
    ),
}
ANSWERS = {
    "closed": (
        aiohttp.ServerDisconnectedError(),
        "it closed the connection without an answer; if it speaks TLS only, set MesosHTTPSOn to true",
    ),
    "reset": (
        aiohttp.ClientOSError(errno.ECONNRESET, "Connection reset by peer"),
        "the connection broke before the answer: connection reset by peer; if it speaks TLS only, set MesosHTTPSOn to true",
    ),
    "TLS alert": (
        no_http("Bad status line:\n\n  b'\\x15\\x03\\x03'\n    ^"),
        "what came is no HTTP answer but TLS; set MesosHTTPSOn to true",
    ),
    "another protocol": (
        no_http("Bad status line:\n\n  b'SSH-2.0'\n    ^"),
        "what came is no HTTP answer: Bad status line: b'SSH-2.0'; is this the port of a Mesos master?",
    ),
    "incomplete": (aiohttp.ClientPayloadError("not complete"), "the answer broke off or is damaged: not complete"),
    "anything else": (aiohttp.ClientError("odd"), "odd"),
}


@pytest.mark.parametrize(("error", "text"), CONNECTIONS.values(), ids=CONNECTIONS.keys())
async def test_no_connection(error, text):
    with pytest.raises(UnreachableError, match=f"^master 10.0.0.11:5050: {re.escape(text)}$") as caught:
        async with translated(A, tls=error.args[0] is TLS):
            raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(("error", "text"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_no_answer(error, text):
    with pytest.raises(DisconnectedError, match=f"^master 10.0.0.11:5050: {re.escape(text)}$"):
        async with translated(A, tls=False):
            raise error


async def test_a_connection_that_breaks_after_the_handshake():
    with pytest.raises(DisconnectedError, match="if it wants a client certificate, check CertFile and KeyFile"):
        async with translated(A, tls=True):
            raise aiohttp.ServerDisconnectedError


@pytest.mark.parametrize(
    ("error", "text"),
    [(aiohttp.SocketTimeoutError(), "connected, but nothing came"), (aiohttp.ServerTimeoutError(), "no connection")],
)
async def test_silence(error, text):
    with pytest.raises(MasterTimeoutError, match=text):
        async with translated(A, tls=False):
            raise error


async def test_what_is_no_failure_of_a_connection_passes_unchanged():
    with pytest.raises(ZeroDivisionError):
        async with translated(A, tls=False):
            raise ZeroDivisionError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("status 401, expected 200; check uid"), "status 401, expected 200; check uid"),
        (CONNECTIONS["refused"][0], "no connection: connection refused"),
        (CONNECTIONS["no TLS"][0], "TLS failed, because it does not speak TLS on this port"),
    ],
)
async def test_logins(error, text):
    with pytest.raises(LoginError) as caught:
        async with translated_login(A, LOGIN):
            raise error
    assert str(caught.value) == f"master 10.0.0.11:5050: not asked, because the login at {LOGIN} failed: {text}"


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_the_words_of_the_system_for_every_number(number):
    text = os.strerror(number)
    expected = f"the connection broke before the answer: {text[:1].lower()}{text[1:]}"
    assert reason(aiohttp.ClientOSError(number, "whatever")) == expected


def test_a_reason_is_one_bounded_line():
    text = reason(no_http("Invalid header:\n\n" + "x" * 100_000))
    assert "\n" not in text
    assert len(text) == limits.MAX_EXAMPLE_TEXT
