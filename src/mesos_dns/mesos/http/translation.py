"""What went wrong on a connection, in the words of people who run masters. Edge: aiohttp.

The one place that knows the library's exceptions; their own texts show Python objects, several lines, or nothing.
"""

import contextlib
import os
import re
import socket
import traceback
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

import aiohttp

from mesos_dns import limits
from mesos_dns.mesos.errors import DisconnectedError, LoginError, MasterTimeoutError, UnreachableError
from mesos_dns.mesos.state import Endpoint

#: Seconds to reach a master (TCP and TLS). A host that is gone must not cost the whole state time-out.
MASTER_CONNECT_SECONDS: Final = 5.0
#: Seconds of silence after which a master that accepted the request counts as hanging. Old masters take
#: many seconds to build a large state; StateTimeoutSeconds bounds the whole and is 300 by default.
MASTER_STALL_SECONDS: Final = 60.0
#: OpenSSL's marks around its text: `[SSL: UNKNOWN_CA] unknown ca (_ssl.c:1006)`.
_TLS_MARKS: Final = re.compile(r"\[[^\]]*\] ?| ?\(_ssl\.c:\d+\)")
#: OpenSSL's reasons for an answer that is not TLS at all.
_NO_TLS: Final = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "RECORD_LAYER_FAILURE"}
#: How aiohttp shows the octets of a TLS alert (RFC 8446, section 6) where a status line should be.
_TLS_ALERT: Final = r"b'\x15\x03"
#: Certificate errors that the right authority does not cure (X509_V_ERR_* of OpenSSL), and what does.
_CERTIFICATE_ADVICE: Final = {
    9: "check the clocks",
    10: "renew it, or check the clocks",
    62: "Masters must give the host as the certificate names it",
    64: "Masters must give the host as the certificate names it",
}

#: For connections that break without a word: without TLS, with TLS.
_BROKEN_ADVICE: Final = (
    "if it speaks TLS only, set MesosHTTPSOn to true",
    "if it wants a client certificate, check CertFile and KeyFile",
)


@contextlib.asynccontextmanager
async def translated(endpoint: Endpoint, *, tls: bool) -> AsyncIterator[None]:
    """Raise a MasterError for what a request to `endpoint` may raise. `tls`: whether TLS was meant."""
    try:
        yield
    except aiohttp.SocketTimeoutError as error:
        raise MasterTimeoutError(
            endpoint, f"connected, but nothing came for {MASTER_STALL_SECONDS:g} s: it hangs or is overloaded"
        ) from error
    except aiohttp.ServerTimeoutError as error:
        raise MasterTimeoutError(
            endpoint,
            f"no connection within {MASTER_CONNECT_SECONDS:g} s: host down, or packets dropped on the way",
        ) from error
    except (aiohttp.ClientError, OSError, UnicodeError) as error:
        _let_go(error)
        unreached = isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL | UnicodeError)
        kind = UnreachableError if unreached else DisconnectedError
        raise kind(endpoint, "; ".join(filter(None, _words(error, tls=tls)))) from error


@contextlib.asynccontextmanager
async def translated_login(endpoint: Endpoint, url: str) -> AsyncIterator[None]:
    """Raise a LoginError for what logging in at `url` may raise. ValueError carries a text of its own."""
    try:
        yield
    except (aiohttp.ClientError, OSError, ValueError) as error:
        _let_go(error)
        raise LoginError(endpoint, f"not asked, because the login at {url} failed: {reason(error)}") from error


def _let_go(error: BaseException) -> None:
    """Empty and forget the frames that `error` and what led to it went through.

    They keep responses and lists of exceptions, which keep the frames: circles for the garbage collector, which hardly ever looks.
    """
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        traceback.clear_frames(at.__traceback__)
        at.__traceback__ = None
        at = at.__cause__ or at.__context__


def reason(error: Exception) -> str:
    """What happened, in one bounded line without advice. `it` is the other side."""
    return _words(error, tls=False).found


class _Words(NamedTuple):
    """What happened, in one bounded line, and what to do about it ("" if that is plain)."""

    found: str
    advice: str = ""


def _words(error: Exception, *, tls: bool) -> _Words:
    words = _unbounded_words(error, tls=tls)
    return words._replace(found=" ".join(words.found.split())[: limits.MAX_EXAMPLE_TEXT])


def _unbounded_words(error: Exception, *, tls: bool) -> _Words:
    match error:
        case aiohttp.ClientSSLError():
            return _tls_words(error)
        case aiohttp.ClientConnectorError():
            return _connection_words(error)
        case aiohttp.ClientPayloadError():
            return _Words(f"the answer broke off or is damaged: {getattr(error.__cause__, 'message', error)}")
        case aiohttp.ClientResponseError() if _TLS_ALERT in error.message:
            return _Words("what came is no HTTP answer but TLS", "set MesosHTTPSOn to true")
        case aiohttp.ClientResponseError():
            found = error.message.rstrip(" ^")
            return _Words(f"what came is no HTTP answer: {found}", "is this the port of a Mesos master?")
        case aiohttp.ServerDisconnectedError():
            return _Words("it closed the connection without an answer", _BROKEN_ADVICE[tls])
        case OSError():
            return _Words(f"the connection broke before the answer: {_system(error)}", _BROKEN_ADVICE[tls])
        case UnicodeError() | aiohttp.InvalidURL():
            return _Words("cannot be asked: this is no possible host name and port")
        case _:
            return _Words(str(error))


def _tls_words(error: aiohttp.ClientSSLError) -> _Words:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        found = str(getattr(cause, "verify_message", cause)).rstrip(".")
        advice = _CERTIFICATE_ADVICE.get(
            getattr(cause, "verify_code", 0), "check CACertFile: it must hold the authority that signed it"
        )
        return _Words(f"its certificate is not accepted ({found})", advice)
    if getattr(error.os_error, "reason", None) in _NO_TLS:
        return _Words(
            "TLS failed, because it does not speak TLS on this port",
            "set MesosHTTPSOn to false, or give the port that does in Masters",
        )
    found = _TLS_MARKS.sub("", str(error.os_error.strerror))
    return _Words(f"TLS failed: {found}", "check MesosHTTPSOn, CertFile and KeyFile")


def _connection_words(error: aiohttp.ClientConnectorError) -> _Words:
    cause = error.os_error
    if isinstance(cause, socket.gaierror):
        return _Words(
            f"no connection: the host name does not resolve ({cause.strerror})",
            "host names in Masters must resolve without Mesos-DNS",
        )
    if isinstance(cause, ConnectionResetError) and error.ssl is not True:
        return _Words(
            "TLS failed: it closed the connection during the handshake",
            "check MesosHTTPSOn; if it wants a client certificate, CertFile and KeyFile",
        )
    return _Words(f"no connection: {_system(cause)}")


def _system(error: OSError) -> str:
    """The system's words for `error`; for several addresses tried, each kind of failure once."""
    numbers = [error.errno] if error.errno else map(int, re.findall(r"\[Errno (\d+)\]", str(error)))
    texts = dict.fromkeys(os.strerror(number) for number in numbers)
    return ", ".join(text[:1].lower() + text[1:] for text in texts) or str(error) or "it was closed"
