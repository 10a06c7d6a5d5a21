"""Logs in as a DC/OS service account. Edge: HTTP; pyjwt is an optional dependency.

A short-lived JSON Web Token, signed with the account's key (RS256, claims `uid` and `exp`), buys a token from the login
service, which then goes into `Authorization: token=...`. The key and the tokens never appear in a log line, an error or a repr.
"""

import base64
import json
import ssl
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

import aiohttp

from mesos_dns.mesos.options import IamAccount

#: Seconds that the request for a login stays valid (as in Go).
_REQUEST_LIFE: Final = 3600
#: A token is renewed this long before it ends: longer than any state request is likely to take to arrive.
_MARGIN: Final = 60.0
#: Octets of the answer to a DC/OS login: a JSON Web Token has one or two kilobytes.
MAX_LOGIN_OCTETS: Final = 64 * 1024


class MissingDependencyError(RuntimeError):
    """An optional dependency is not installed; the text says how to get it."""


def _import_jwt() -> ModuleType:
    try:
        import jwt  # noqa: PLC0415 - optional: only needed by those who log in to DC/OS
        import jwt.algorithms  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(_INSTALL) from error
    if not jwt.algorithms.has_crypto:
        raise MissingDependencyError(_INSTALL)
    return jwt


_INSTALL: Final = 'MesosAuthentication "iam" needs pyjwt with RSA: pip install mesos-dns[iam]'


class IamLogin:
    """Gets tokens, and keeps the last one until shortly before its end.

    Raises MissingDependencyError at once without pyjwt. `clock` gives seconds since 1970.
    """

    def __init__(self, account: IamAccount, *, clock: Callable[[], float] = time.time) -> None:
        self._jwt = _import_jwt()
        self._account = account
        self._clock = clock
        self._token = ""
        self._valid_until = 0.0

    def __repr__(self) -> str:
        return f"IamLogin(uid={self._account.uid!r}, url={self.url!r})"

    @property
    def url(self) -> str:
        """Where tokens come from."""
        return self._account.login_endpoint

    @property
    def has_token(self) -> bool:
        """Whether a remembered token would be used now."""
        return bool(self._token) and self._clock() < self._valid_until

    def forget(self) -> None:
        """Log in again next time: the token was refused."""
        self._token = ""

    async def token(self, session: aiohttp.ClientSession, tls: ssl.SSLContext | None) -> str:
        """Return a valid token. Raises ValueError with the reason, or what aiohttp raises."""
        if self.has_token:
            return self._token
        async with session.post(
            self.url,
            json={"uid": self._account.uid, "token": self._request()},
            ssl=True if tls is None else tls,
            allow_redirects=False,
        ) as response:
            if response.status != 200:
                raise ValueError(f"status {response.status}, expected 200; check uid and private_key of IAMConfigFile")
            body = b""
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_LOGIN_OCTETS:
                    raise ValueError(f"the answer has more than {MAX_LOGIN_OCTETS} octets, the limit")
        self._token = _token_of(body)
        self._valid_until = _end_of(self._token) - _MARGIN
        return self._token

    def _request(self) -> str:
        claims = {"uid": self._account.uid, "exp": int(self._clock()) + _REQUEST_LIFE}
        try:
            signed: str = self._jwt.encode(claims, self._account.private_key, algorithm="RS256")
        except (self._jwt.PyJWTError, ValueError, TypeError):
            # The library's text may quote the key.
            raise ValueError("private_key of IAMConfigFile is no RSA key in PEM form") from None
        return signed


def _token_of(body: bytes) -> str:
    try:
        found: Any = json.loads(body)
    except ValueError:
        raise ValueError("the answer is no JSON, expected an object with 'token'") from None
    token = found.get("token") if isinstance(found, dict) else None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise ValueError("the answer has no usable 'token'")
    return token


def _end_of(token: str) -> float:
    """Return the `exp` claim, seconds since 1970; 0 if the token does not say (then it serves only once)."""
    parts = token.split(".")
    if len(parts) != 3:
        return 0.0
    try:
        claims: Any = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (ValueError, KeyError, TypeError):
        return 0.0
