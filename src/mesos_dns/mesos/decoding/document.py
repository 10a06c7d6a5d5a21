"""Opens a `/master/state` document as far as its lists of agents, frameworks and tasks. Pure.

One pass finds the agents and tasks of a document that Mesos itself wrote. What Go accepted besides (keys in another case, lone
surrogates, null or wrong members) and what RapidJSON may write (a bare Infinity) goes through slower ways.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Raw

from mesos_dns import limits
from mesos_dns.mesos.decoding import tolerant
from mesos_dns.quoting import quoted

#: Called with a reason and an example for each element that is left out.
Skip = Callable[[str, str], None]

#: Everything that msgspec and json raise for bad input.
UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)

#: RapidJSON without Mesos' patch writes an infinite limit (1.10 and later) as a bare token, which is no JSON.
#: A quote that follows a letter ends a string, so this never matches inside one.
_INFINITE: Final = re.compile(rb'(?<=[A-Za-z0-9_]")(\s*:\s*)(?:-?Infinity|NaN)(?=\s*[,}])')
#: An escaped surrogate, or a pair of them. msgspec refuses lone ones even in what it skips.
_SURROGATES: Final = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?|[c-fC-F][0-9a-fA-F]{2})"
)

#: What stands for an absent value: Go treats null and absence alike, too.
NULL: Final = Raw(b"null")

_decode_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_list: Final = msgspec.json.Decoder(list[Raw]).decode


class StateError(ValueError):
    """The document as a whole is no master state. The text says what was found instead."""


class FrameworkEntry(msgspec.Struct, gc=False):
    """One element of `frameworks`, with its tasks still as the octets of the body (which a Raw keeps alive).

    `tasks` is None if the list is missing or null: as in a summary of the state.
    """

    id: Raw
    name: Raw
    tasks: list[Raw] | None
    pid: Raw = NULL
    hostname: Raw = NULL
    recovered: Raw = NULL
    used_resources: Raw = NULL
    executors: Raw = NULL
    completed_tasks: Raw = NULL
    unreachable_tasks: Raw = NULL


class CompletedEntry(msgspec.Struct, gc=False):
    """One element of `completed_frameworks`."""

    id: Raw = NULL


class Document(msgspec.Struct, gc=False):
    """The top level, with every element of its lists still as the octets of the body.

    `frameworks` and `slaves` are None if the list is missing or null. Every Mesos writes both.
    """

    frameworks: list[FrameworkEntry | None] | None
    slaves: list[Raw] | None
    completed_frameworks: list[CompletedEntry | None] | None = None
    unregistered_frameworks: Raw = NULL
    id: Raw = NULL
    pid: Raw = NULL
    leader: Raw = NULL
    recovered_slaves: Raw = NULL
    flags: Raw = NULL
    cluster: Raw = NULL
    hostname: Raw = NULL
    elected_time: Raw = NULL


_decode_document: Final = msgspec.json.Decoder(Document).decode


def open_document(body: bytes | bytearray, skip: Skip) -> Document:
    """Find the elements of a state. StateError if the document as a whole is none."""
    try:
        top = _decode_document(body)
    except (msgspec.ValidationError, UnicodeDecodeError):
        return _open_unusual(body, skip)
    except msgspec.DecodeError as error:
        repaired = _repair(body)
        if repaired is not None:
            return open_document(repaired, skip)
        raise _no_state(body, error) from error
    except RecursionError as error:
        raise _no_state(body, error) from error
    # No leader: a young cluster, or the key is in another case.
    return _open_unusual(body, skip) if is_null(top.leader) else top


def _open_unusual(body: bytes | bytearray, skip: Skip) -> Document:
    """Do the same for a document with keys in another case, or with elements of another type."""
    try:
        found = fold_keys(_decode_object(body))
    except UNREADABLE as error:
        raise _no_state(body, error) from error
    if not found.keys() & {"frameworks", "slaves"}:
        raise StateError(f"no 'frameworks' and no 'slaves' in {excerpt(body)}: this is no /master/state document")
    frameworks = list_of(found, "frameworks")
    return Document(
        frameworks=None if frameworks is None else list(_framework_entries(frameworks, skip)),
        slaves=list_of(found, "slaves"),
        completed_frameworks=list(_completed_entries(found, skip)),
        **_members(found, "id", "pid", "leader", "recovered_slaves", "unregistered_frameworks", "flags"),
        **_members(found, "cluster", "hostname", "elected_time"),
    )


def _members(found: Mapping[str, Raw], *keys: str) -> dict[str, Raw]:
    return {key: found.get(key, NULL) for key in keys}


def _no_state(body: bytes | bytearray, error: Exception) -> StateError:
    found = excerpt(body) if body else "nothing"
    return StateError(f"expected the JSON object of /master/state ({len(body)} octets), found {found}: {error}")


def _repair(body: bytes | bytearray) -> bytes | None:
    """Make JSON of what Go or RapidJSON let pass; None if there is nothing of the kind."""
    repaired, infinite = _INFINITE.subn(rb"\1null", body)
    whole = _SURROGATES.sub(_replace_surrogates, repaired)
    return whole if infinite or whole != repaired else None


def _replace_surrogates(found: re.Match[bytes]) -> bytes:
    start = found.start()
    backslashes = 0
    while start - backslashes > 0 and found.string[start - backslashes - 1] == 0x5C:
        backslashes += 1
    is_pair = len(found[0]) > 6
    if backslashes % 2:  # the first is no escape, but text about one
        return found[0][:6] + (rb"\ufffd" if is_pair else b"")
    return found[0] if is_pair else rb"\ufffd"


def fold_keys(entry: Mapping[str, Raw]) -> Mapping[str, Raw]:
    """Return the same with the keys that Go would take them for; the last of equal ones stays."""
    return {tolerant.fold(key): value for key, value in entry.items()}


def is_null(raw: Raw) -> bool:
    """Whether this is the JSON null; costs nothing however long the value is."""
    return memoryview(raw) == memoryview(b"null")


def list_of(found: Mapping[str, Raw], key: str) -> list[Raw] | None:
    """Return the members of a list; None if it is missing or null. StateError if it is no list."""
    raw = found.get(key, NULL)
    if is_null(raw):
        return None
    try:
        return _decode_list(raw)
    except UNREADABLE as error:
        raise StateError(f"expected a list as {quoted(key)}, found {excerpt(raw)}") from error


def _framework_entries(elements: Iterable[Raw], skip: Skip) -> Iterable[FrameworkEntry]:
    for raw in elements:
        if is_null(raw):
            continue
        try:
            found = fold_keys(_decode_object(raw))
            tasks = list_of(found, "tasks")
        except UNREADABLE as error:
            skip("framework: bad type", f"{error} in {excerpt(raw)}")
            continue
        yield FrameworkEntry(
            tasks=tasks,
            **_members(found, "id", "name", "pid", "hostname", "recovered"),
            **_members(found, "used_resources", "executors", "completed_tasks", "unreachable_tasks"),
        )


def _completed_entries(document: Mapping[str, Raw], skip: Skip) -> Iterable[CompletedEntry]:
    try:
        elements = list_of(document, "completed_frameworks") or ()
    except StateError as error:
        skip("framework: bad type", str(error))
        return
    for raw in elements:
        try:
            found = _decode_object(raw)
        except UNREADABLE:
            continue  # null, or nothing that could tell which framework has ended
        yield CompletedEntry(**_members(fold_keys(found), "id"))


def excerpt(text: bytes | bytearray | Raw) -> str:
    """Quote the beginning of a JSON text for a message."""
    # One octet more than is shown tells that there is more.
    shown = bytes(memoryview(text)[: limits.MAX_EXAMPLE_TEXT + 1])
    return quoted(shown.decode("utf-8", "replace"), limits.MAX_EXAMPLE_TEXT)
