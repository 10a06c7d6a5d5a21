"""The page's own files: what a browser gets at `/`. Read once, from wherever the package lies (a wheel, a zip archive). Edge."""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

from aiohttp import web

from mesos_dns.web.sending import headers, text

#: The file that stands at `/`.
INDEX: Final = "index.html"
_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
#: The page asks nobody but this server, runs nothing but its own files, and nobody else shows it in a frame.
_POLICY: Final = "; ".join(
    (
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'"),
        *("form-action 'none'", "base-uri 'none'", "frame-ancestors 'none'"),
    )
)
_SAFETY: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    # After an upgrade nobody must see the page of the version before.
    "Cache-Control": "no-cache",
}


class File(NamedTuple):
    """One of them. `tag` is its entity tag, in quotes."""

    content_type: str
    body: bytes
    tag: str


@cache
def files() -> Mapping[str, File]:
    """All files by name. Read when they are wanted first, and kept: an upgrade on the disk does not mix versions."""
    found = {}
    for each in (resources.files("mesos_dns.web") / "page").iterdir():
        content_type = _TYPES.get(each.name.rpartition(".")[2])
        if content_type is not None:  # an editor may have left something beside them
            body = each.read_bytes()
            found[each.name] = File(content_type, body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
    return found


def send_file(request: web.BaseRequest, name: str) -> web.Response:
    """Reply with a file; 304 to a browser that has it, 404 if there is none of that name."""
    file = files().get(name)
    if file is None:
        return text(404, "404: Page Not Found")
    if request.method not in {"GET", "HEAD"}:
        return text(405, "405: Method Not Allowed")
    fields = headers(file.content_type) | _SAFETY | {"ETag": file.tag}
    if is_known(request.headers.get("If-None-Match"), file.tag):
        del fields["Content-Type"]
        return web.Response(status=304, headers=fields)
    return web.Response(body=file.body, headers=fields)


def is_known(if_none_match: str | None, tag: str) -> bool:
    """Whether a browser with this `If-None-Match` header has the file with that tag (RFC 9110 section 13.1.2)."""
    given = [each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")]
    return tag in given or given == ["*"]
