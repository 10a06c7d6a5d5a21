"""`POST /api/v1` of a simulated master: what is refused and how, and the calls that are answered.

JSON only: a client that insists on protobuf gets 406, as if the master could not (a real one can).
"""

import json
from typing import Any, Final

from aiohttp import web

from mesos_dns.demo import http, v1_document, wire

#: Calls of the operator API that exist and are not simulated.
_OTHERS: Final = frozenset(
    [
        "GET_METRICS",
        "GET_LOGGING_LEVEL",
        "SET_LOGGING_LEVEL",
        "LIST_FILES",
        "READ_FILE",
        "GET_OPERATIONS",
        "GET_ROLES",
        "GET_WEIGHTS",
        "UPDATE_WEIGHTS",
        "RESERVE_RESOURCES",
        "UNRESERVE_RESOURCES",
        "CREATE_VOLUMES",
        "DESTROY_VOLUMES",
        "GROW_VOLUME",
        "SHRINK_VOLUME",
        "GET_MAINTENANCE_STATUS",
        "GET_MAINTENANCE_SCHEDULE",
        "UPDATE_MAINTENANCE_SCHEDULE",
        "START_MAINTENANCE",
        "STOP_MAINTENANCE",
        "DRAIN_AGENT",
        "DEACTIVATE_AGENT",
        "REACTIVATE_AGENT",
        "GET_QUOTA",
        "UPDATE_QUOTA",
        "SET_QUOTA",
        "REMOVE_QUOTA",
        "TEARDOWN",
        "MARK_AGENT_GONE",
    ]
)
_ANSWERED: Final = frozenset({*v1_document.PARTS, "SUBSCRIBE", "GET_FLAGS", "GET_MASTER", "GET_HEALTH", "GET_VERSION"})


async def call_of(request: web.Request) -> str | web.Response:
    """Return the type of the call in `request`, or the answer that refuses it, checked in Mesos' order."""
    if request.method != "POST":
        message = f"405 Method Not Allowed. Expecting one of {{ 'POST' }}, but received '{request.method}'."
        return http.text(405, message, {"Allow": "POST"})
    kind = request.headers.get("Content-Type")
    if kind is None:
        return http.text(400, "Expecting 'Content-Type' to be present")
    if kind not in {"application/json", "application/x-protobuf"}:
        return http.text(415, "Expecting 'Content-Type' of application/json or application/x-protobuf")
    call = _parse(await request.read())
    if isinstance(call, web.Response):
        return call
    if not _accepts_json(request.headers.getall("Accept", [])):
        return http.text(406, "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'")
    if call in _OTHERS:
        return http.text(501, "501 Not Implemented.")
    return call


def _parse(body: bytes) -> str | web.Response:
    try:
        found: Any = json.loads(body)
    except ValueError:
        return http.text(400, f"Failed to parse body into JSON: syntax error at line 1 near: {body[:20]!r}")
    kind = found.get("type") if isinstance(found, dict) else None
    if kind not in _ANSWERED and kind not in _OTHERS:
        return http.text(400, "Failed to validate master::Call: Expecting 'type' to be present")
    return str(kind)


def _accepts_json(headers: list[str]) -> bool:
    if not headers:
        return True
    for entry in ",".join(headers).split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        if kind in {"*/*", "application/*", "application/json"} and "q=0" not in parameters:
            return True
    return False


def health() -> bytes:
    """Return the answer to GET_HEALTH."""
    return wire.dump({"type": "GET_HEALTH", "get_health": {"healthy": True}})
