"""What the commands have in common that ask a running server over its HTTP API."""

import ipaddress
import json
import sys
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp

from mesos_dns.commands import configured
from mesos_dns.config import Config, ConfigError
from mesos_dns.config.addresses import Unfit
from mesos_dns.config.token import token_of as token_in
from mesos_dns.quoting import quoted

#: Seconds that the server may take to answer a request, or to send what comes next.
PATIENCE_SECONDS: Final = 30.0
#: Characters of what a server says that is no API of ours.
_MOST_SAID: Final = 300


class NoAnswerError(Exception):
    """The server gives no answer that is of use; the message says why, and what to do."""


def url_of(options: Namespace) -> str:
    """Where the API of the server is that the flags mean. Raises ConfigError, and NoAnswerError if it has none."""
    if options.url:
        url = str(options.url)
        return (url if "://" in url else f"http://{url}").rstrip("/")
    config = _config_of(options)
    if not config.http_on:
        raise NoAnswerError("its HTTP API is off (HttpOn is false)")
    return f"http://{_host(config.http_listener)}:{config.http_port}"


def _config_of(options: Namespace) -> Config:
    path = configured.path_of(options)
    if path == configured.DEFAULT_FILE and not Path(path).exists():
        raise NoAnswerError(f"which server? There is no {path} here: give --config FILE, or --url http://HOST:8123")
    return configured.read(path).config


def token_of(options: Namespace) -> dict[str, str]:
    """The header fields that show a server that we may see what tells about clients: none without a token. Raises ConfigError, NoAnswerError."""
    if options.token_file:
        try:
            token = token_in(Path(options.token_file).read_bytes())
        except OSError as error:
            raise NoAnswerError(f"{options.token_file} cannot be read: {error.strerror}") from error
        except Unfit as error:
            raise NoAnswerError(f"{options.token_file} {error}") from error
    else:
        token = "" if options.url else _config_of(options).http_token
    return {"Authorization": f"Bearer {token}"} if token else {}


def _host(listener: str) -> str:
    """Where to find on this machine what listens there."""
    address = ipaddress.ip_address(listener)
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"[{address}]" if address.version == 6 else str(address)


@asynccontextmanager
async def asking(url: str, *, method: str = "GET", **headers: str) -> AsyncIterator[aiohttp.ClientResponse]:
    """The reply to a request for `url`, whose status is 200. Raises NoAnswerError, also for what happens while it is read."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=PATIENCE_SECONDS, sock_read=PATIENCE_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url, headers=headers) as reply,
        ):
            if reply.status != HTTPStatus.OK:
                said = (await reply.text(errors="replace"))[:_MOST_SAID]
                raise NoAnswerError(f"{url}: {said.strip() or reply.status}")
            yield reply
    except TimeoutError as error:
        raise NoAnswerError(f"{url}: no answer within {PATIENCE_SECONDS:.0f} s") from error
    except aiohttp.InvalidURL as error:
        raise NoAnswerError(f"{quoted(url)} is no address of an HTTP server; expected http://HOST:PORT") from error
    except (aiohttp.ClientError, OSError) as error:
        raise NoAnswerError(f"{url}: {getattr(error, 'strerror', None) or error}; does it run there?") from error


async def fetch(url: str, *, method: str = "GET", **headers: str) -> Any:
    """The JSON that `url` gives. Raises NoAnswerError."""
    async with asking(url, method=method, Accept="application/json", **headers) as reply:
        body = await reply.text()
    try:
        return json.loads(body)
    except ValueError as error:
        raise NoAnswerError(f"{url} gave no JSON: is it the API of this version of Mesos-DNS?") from error


def complain(error: NoAnswerError | ConfigError) -> int:
    """Tell a person at a terminal why there is no answer; the exit code."""
    if isinstance(error, ConfigError):
        return configured.complain(error)
    print(f"mesos-dns: {error}", file=sys.stderr)  # noqa: T201 - for people
    return 1
