"""Rules of `config.rules` about what a server says of itself, and about its cookies. Pure."""

import re
from collections.abc import Iterator
from typing import Final

from mesos_dns.config.findings import Finding, Values, one_of
from mesos_dns.config.values import HOST_NAME, OWN_VERSION
from mesos_dns.limits import MAX_IDENTITY
from mesos_dns.quoting import quoted

#: Secrets of cookies that can be told apart in a rotation: in use, next, and before.
MAX_COOKIE_SECRETS: Final = 3
#: A secret: 16 octets in hexadecimal.
_SECRET: Final = re.compile(r"[0-9A-Fa-f]{32}", re.ASCII)


def cookie_secrets(values: Values) -> Iterator[Finding]:
    """No text of a secret is repeated."""
    secrets = values["CookieSecrets"]
    if any(not _SECRET.fullmatch(secret) for secret in secrets):
        message = "expected secrets of 32 hexadecimal digits each; make one with: openssl rand -hex 16"
        yield "CookieSecrets", message
    if len({secret.lower() for secret in secrets}) < len(secrets):
        yield "CookieSecrets", "holds the same secret more than once; remove one"
    if len(secrets) > MAX_COOKIE_SECRETS:
        message = f"holds {len(secrets)} secrets; at most {MAX_COOKIE_SECRETS} are possible: in use, next, and before"
        yield "CookieSecrets", message


def what_it_says(values: Values) -> Iterator[Finding]:
    """A text, a word for the usual one, or nothing."""
    for key, word in (("ServerId", HOST_NAME), ("ServerVersion", OWN_VERSION)):
        text = values[key]
        if text == word:
            continue
        if text.startswith("@"):
            yield key, f'{quoted(text)} is unknown; expected a text that does not begin with @, "{word}", or ""'
        elif not text.isprintable() or len(text.encode()) > MAX_IDENTITY:
            yield key, f"{quoted(text)} is not a text of at most {MAX_IDENTITY} printable octets; shorten it"


def minimal_any(values: Values) -> Iterator[Finding]:
    """One of three words."""
    yield from one_of(values, "MinimalAny", ("udp", "always", "never"))
