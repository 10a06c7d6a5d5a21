"""The token of `HttpTokenFile`: octets of a file in, a token out. Pure."""

import re
from typing import Final

from mesos_dns.config.addresses import Unfit

#: Characters that a token has at least: as many of a random one are more than anybody can try.
MIN_HTTP_TOKEN: Final = 16
#: Characters that it has at most: it must fit a header field, and nobody types it.
MAX_HTTP_TOKEN: Final = 1024
#: What a bearer token is made of (RFC 6750 section 2.1).
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
#: How to make one.
HOW: Final = "make one with: openssl rand -hex 32"


def token_of(data: bytes) -> str:
    """The token in a file that has nothing else, but for white space around it. Raises Unfit, which never shows what is there."""
    text = data.decode("ascii", "replace").strip()
    if not text:
        raise Unfit(f"is empty; {HOW}")
    if not _TOKEN.fullmatch(text):
        raise Unfit(f"holds no token: expected one line of letters, digits and -._~+/ without blanks; {HOW}")
    if not MIN_HTTP_TOKEN <= len(text) <= MAX_HTTP_TOKEN:
        raise Unfit(f"holds a token of {len(text)} characters; expected {MIN_HTTP_TOKEN} to {MAX_HTTP_TOKEN}; {HOW}")
    return text
