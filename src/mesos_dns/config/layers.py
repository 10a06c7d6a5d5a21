"""The layers that values come from, the environment over the file: read each, check types and ranges. Pure.

The file is read as Go's `encoding/json` does it over a structure that already holds the defaults:
keys match whatever their case, the last of several wins, null keeps a scalar and empties a list.
Unlike there, every problem is collected, and unknown keys are not silent.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from mesos_dns.config.addresses import Unfit
from mesos_dns.config.json import JsonObject, clean, fold, parse_json
from mesos_dns.config.values import KEYS, Key, Problem, printable
from mesos_dns.quoting import MAX_QUOTED, escaped, quoted

_Zones: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]

PREFIX: Final = "MESOS_DNS_"
#: Values of one list of the configuration (masters, resolvers, zones): far above any real one, and
#: low enough that reporting a problem for each of them stays readable.
MAX_LIST: Final = 256
#: Warnings about unknown keys; the rest is counted. More than these is another program's file.
MAX_UNKNOWN_KEYS: Final = 20

#: Objects in the place of a value, by name: `A` has the members `B` of all keys `A.B`.
OBJECTS: Final = tuple(dict.fromkeys(key.name.partition(".")[0] for key in KEYS if "." in key.name))
#: Keys of Mesos-DNS 0.1.0 that later releases ignore.
_RENAMED: Final = {"email": "SOARname", "mname": "SOAMname", "ns": "SOAMname"}

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
#: What Docker links and Kubernetes set for a service called mesos-dns.
_LINK_VARIABLE: Final = re.compile(r"MESOS_DNS_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)")
_LINK_VALUE: Final = re.compile(r"(tcp|udp|sctp)://.*")


@dataclass(slots=True)
class Layer:
    """What one place says: values by key name, where each stood, and what is wrong there.

    `refused` are the keys with a problem: their value is missing here, not absent.
    `unknown` are names that mean nothing.
    `complete` is False if the place could not be read at all.
    """

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    complete: bool = True

    @property
    def refused(self) -> frozenset[str]:
        """Names of the keys that have a problem."""
        return frozenset(problem.key for problem in self.problems)

    def give(self, key: str, origin: str, value: object) -> None:
        """Set a value."""
        self.values[key] = value
        self.origins[key] = origin

    def refuse(self, key: str, origin: str, message: str) -> None:
        """Record a problem."""
        self.problems.append(Problem(key, origin, message))

    def warn(self, key: str, origin: str, message: str) -> None:
        """Record a warning."""
        self.warnings.append(Problem(key, origin, message))

    def warn_of_unknown(self, origin: str) -> None:
        """Turn `unknown` into warnings about keys, and forget them."""
        for message in _unknown_keys(self.unknown):
            self.warn("", origin, message)
        self.unknown.clear()


def _folded(outer: str) -> dict[str, Key]:
    """The keys in an object by their folded names; "" is that of the file."""
    split = ((key.name.rpartition("."), key) for key in KEYS)
    return {fold(name): key for (above, _, name), key in split if above == outer}


_FOLDED: Final = {outer: _folded(outer) for outer in ("", *OBJECTS)}
_OBJECTS_FOLDED: Final = {fold(name): name for name in OBJECTS}


# --- one value ---------------------------------------------------------------------------------


def _described(value: object, key: Key) -> str:
    """Name the JSON type of `value` and, unless it is secret, the value."""
    if key.secret or isinstance(value, list | JsonObject) or value is None:
        return {list: "a list", JsonObject: "an object", type(None): "null"}.get(type(value), "another type")
    if isinstance(value, str):
        return f"the string {quoted(clean(value))}"
    if isinstance(value, bool):
        return str(value).lower()
    return f"the number {str(value)[:30]}"


def _from_json(key: Key, value: object) -> object:
    """Turn decoded JSON into what `key` holds. Raises `Unfit` without repeating a secret."""
    match key.kind:
        case "int" if isinstance(value, int) and not isinstance(value, bool):
            return _in_range(key, value)
        case "bool" if isinstance(value, bool):
            return value
        case "string" if isinstance(value, str):
            return clean(value)
        case "strings" if isinstance(value, list):
            return _strings(key, value)
        case "zones" if isinstance(value, JsonObject):
            return _zones(key, value)
    raise Unfit(f"expected {_expected(key)}, found {_described(value, key)}")


def _expected(key: Key) -> str:
    match key.kind:
        case "int":
            return f"an integer from {key.low} to {key.high} without quotes"
        case "bool":
            return "true or false without quotes"
        case "string":
            return "a string in double quotes"
        case "strings":
            return 'a list of strings, such as ["a", "b"]'
        case "zones":
            return 'an object with a list for each zone, such as {"example.com": ["192.0.2.53"]}'


def _in_range(key: Key, value: int) -> int:
    if not key.low <= value <= key.high:
        raise Unfit(f"{value} is out of range; expected an integer from {key.low} to {key.high}")
    return value


def _strings(key: Key, values: list[Any]) -> tuple[str, ...]:
    if len(values) > MAX_LIST:
        raise Unfit(f"holds {len(values)} values; at most {MAX_LIST} are possible")
    for value in values:
        if not isinstance(value, str):
            raise Unfit(f"expected only strings in the list, found {_described(value, key)}")
    return tuple(map(clean, values))


def _zones(key: Key, value: JsonObject) -> _Zones:
    if len(value.pairs) > MAX_LIST:
        raise Unfit(f"holds {len(value.pairs)} zones; at most {MAX_LIST} are possible")
    zones: dict[str, tuple[str, ...]] = {}
    for zone, resolvers in value.pairs:
        if resolvers is not None and not isinstance(resolvers, list):
            raise Unfit(f"expected a list of strings for zone {quoted(zone)}, found {_described(resolvers, key)}")
        zones[clean(zone)] = _strings(key, resolvers or [])
    return tuple(zones.items())


def _from_text(key: Key, text: str) -> object:
    """Turn the text of an environment variable into what `key` holds. Raises `Unfit`."""
    stripped = text.strip()
    match key.kind:
        case "int" if _INTEGER.fullmatch(stripped):
            return _in_range(key, int(stripped))
        case "int":
            raise Unfit(f"expected an integer from {key.low} to {key.high}, found {quoted(text)}")
        case "bool" if stripped.lower() in _TRUE | _FALSE:
            return stripped.lower() in _TRUE
        case "bool":
            raise Unfit(f"expected true or false (also 1/0, yes/no, on/off), found {quoted(text)}")
        case "string":
            return text
        case "strings":
            return _strings(key, _list_items(stripped))
        case "zones":
            if not stripped:
                return ()
            return _from_json(key, _embedded_json(stripped, _expected(key)))


def _embedded_json(text: str, expected: str) -> object:
    try:
        return parse_json(text.encode())
    except Unfit:
        raise Unfit(f"expected JSON: {expected}") from None


def _list_items(text: str) -> list[Any]:
    """Items of a JSON array or of a comma separated list (which may start with `[` of an IPv6 address)."""
    if text.startswith("["):
        try:
            value = parse_json(text.encode())
        except Unfit:
            value = None
        if isinstance(value, list):
            return value
    return [item.strip() for item in text.split(",") if item.strip()]


# --- the file ----------------------------------------------------------------------------------


def from_file(data: bytes, origin: str) -> Layer:
    """Read the configuration file that holds `data`; `origin` names it in messages."""
    layer = Layer()
    try:
        document = parse_json(data)
    except Unfit as problem:
        layer.refuse("", origin, str(problem))
        layer.complete = False
        return layer
    if document is None:
        return layer
    if not isinstance(document, JsonObject):
        layer.refuse("", origin, 'holds JSON, but no object; expected {"Masters": ["host:port"], ...}')
        layer.complete = False
        return layer
    _take_members(layer, document, "", origin)
    layer.warn_of_unknown(origin)
    return layer


def _take_members(layer: Layer, document: JsonObject, outer: str, origin: str) -> None:
    """Take the members of the file's object, or of the object called `outer` in it."""
    known = _FOLDED[outer]
    above = f"{outer}." if outer else ""
    seen: set[str] = set()
    for name, value in document.pairs:
        folded = fold(name)
        if folded in _OBJECTS_FOLDED and not outer:
            _take_object(layer, _OBJECTS_FOLDED[folded], value, origin)
        elif folded in known:
            _take(layer, known[folded], value, origin)
        else:
            layer.unknown.append(above + clean(name))
            continue
        if folded in seen:
            layer.warn("", origin, f"key {quoted(above + clean(name))} stands more than once; the last wins")
        seen.add(folded)


def _take(layer: Layer, key: Key, value: object, origin: str) -> None:
    empties = key.kind in {"strings", "zones"}
    if value is None and not empties:
        return
    try:
        result: Any = () if value is None else _from_json(key, value)
        if key.kind == "zones" and value is not None:
            result = _joined_zones(layer.values.get(key.name, ()), result)
    except Unfit as problem:
        layer.refuse(key.name, origin, str(problem))
        return
    layer.give(key.name, origin, result)


def _joined_zones(first: _Zones, second: _Zones) -> _Zones:
    """Join two objects of one key, as Go does: it decodes into the map that is already there."""
    joined = dict(first) | dict(second)
    if len(joined) > MAX_LIST:
        raise Unfit(f"holds more than {MAX_LIST} zones, which is not possible")
    return tuple(joined.items())


def _take_object(layer: Layer, name: str, value: object, origin: str) -> None:
    if isinstance(value, JsonObject):
        _take_members(layer, value, name, origin)
    elif value is not None:
        members = ", ".join(f'"{key.name.partition(".")[2]}": …' for key in _FOLDED[name].values())
        layer.refuse(name, origin, f"expected an object {{{members}}}")


# --- the environment ---------------------------------------------------------------------------


def _compact(variable: str) -> str:
    return variable.removeprefix(PREFIX).replace("_", "").lower()


_BY_COMPACT: Final = {_compact(key.env): key for key in KEYS}
_OBJECT_VARIABLES: Final = {name.lower(): name for name in OBJECTS}


def from_environ(environ: Mapping[str, str], read: Callable[[str], bytes]) -> Layer:
    """Read the variables `MESOS_DNS_…`; `read` those files that variables name, as `Host.read` does.

    The documented spelling of a variable beats the one with fewer underscores, and
    `MESOS_DNS_MESOS_CREDENTIALS_SECRET` beats the JSON in `MESOS_DNS_MESOS_CREDENTIALS`.
    """
    layer = Layer()
    ours = sorted(name for name in environ if name.startswith(PREFIX) and not _LINK_VARIABLE.fullmatch(name))
    # JSON objects first, then odd spellings, then documented ones: later ones overwrite.
    ours.sort(key=lambda name: (_compact(name) not in _OBJECT_VARIABLES, name in _DOCUMENTED))
    for name in ours:
        key = _BY_COMPACT.get(_compact(name))
        text = clean(environ[name])
        if _compact(name) in _OBJECT_VARIABLES:
            _take_object_variable(layer, _OBJECT_VARIABLES[_compact(name)], name, text)
        elif name in _BY_FILE:
            _take_file(layer, _BY_FILE[name], name, environ[name], read)
        elif key is None:
            layer.unknown.append(clean(name))
        elif key.name == "Port" and _LINK_VALUE.fullmatch(text):
            layer.warn(
                "",
                f"environment {name}",
                f"ignored, {quoted(text)} looks like a container link to a service called mesos-dns",
            )
        else:
            _take_variable(layer, key, name, text)
    layer.warnings.extend(_unknown_variables(layer.unknown))
    layer.unknown.clear()
    return layer


_DOCUMENTED: Final = frozenset(key.env for key in KEYS)
#: Variables that name a file with the value of another one, which nobody else needs to know: container runtimes and service managers give
#: secrets as files.
_BY_FILE: Final = {f"{key.env}_FILE": key for key in KEYS if key.secret or key.name == "Zk"}


def _take_file(layer: Layer, key: Key, name: str, path: str, read: Callable[[str], bytes]) -> None:
    """Take what the file at `path` holds, without the line end behind it."""
    try:
        text = read(path).decode()
    except OSError as error:
        advice = "; let the user that runs Mesos-DNS read it" if isinstance(error, PermissionError) else ""
        why = f"cannot be read: {error.strerror or error}{advice}"
        layer.refuse(key.name, f"environment {name}", f"{printable(path)} {why}")
    except UnicodeDecodeError:
        layer.refuse(key.name, f"environment {name}", f"{printable(path)} is not a text in UTF-8")
    else:
        _take_variable(layer, key, name, clean(text.removesuffix("\n").removesuffix("\r")))


def _take_variable(layer: Layer, key: Key, name: str, text: str) -> None:
    origin = f"environment {name}"
    try:
        value = _from_text(key, text)
    except Unfit as problem:
        layer.refuse(key.name, origin, str(problem))
        return
    if layer.origins.get(key.name, "").startswith("environment ") and layer.values[key.name] != value:
        layer.warn(key.name, origin, f"is used; {layer.origins[key.name]} says otherwise, remove one of them")
    layer.give(key.name, origin, value)


def _take_object_variable(layer: Layer, outer: str, name: str, text: str) -> None:
    origin = f"environment {name}"
    try:
        value = parse_json(text.encode())
    except Unfit:
        value = False  # no JSON is refused like JSON of another type, without its text
    _take_object(layer, outer, value, origin)
    layer.warn_of_unknown(origin)


# --- suggestions -------------------------------------------------------------------------------


def _nearest(text: str, candidates: Iterable[str], normal: Callable[[str], str]) -> str | None:
    """Find the candidate that `text` most likely means; both are compared in normal form."""
    by_normal = {normal(candidate): candidate for candidate in candidates}
    found = difflib.get_close_matches(normal(text[:64]), by_normal, n=1, cutoff=0.65)
    return by_normal[found[0]] if found else None


def _unknown_keys(unknown: list[str]) -> Iterator[str]:
    names = [key.name for key in KEYS] + [*OBJECTS]
    for name in unknown[:MAX_UNKNOWN_KEYS]:
        near = _RENAMED.get(fold(name)) or _nearest(name, names, fold)
        yield f"unknown key {quoted(name)} is ignored" + (f"; did you mean {near}?" if near else "")
    if len(unknown) > MAX_UNKNOWN_KEYS:
        yield f"{len(unknown) - MAX_UNKNOWN_KEYS} more unknown keys are ignored; is this the right file?"


def _unknown_variables(unknown: list[str]) -> Iterator[Problem]:
    names = [key.env for key in KEYS]
    for name in unknown[:MAX_UNKNOWN_KEYS]:
        near = _nearest(name, names, _compact)
        hint = f"; did you mean {near}?" if near else ""
        yield Problem("", f"environment {escaped(name[:MAX_QUOTED])}", f"unknown variable is ignored{hint}")
    if len(unknown) > MAX_UNKNOWN_KEYS:
        more = len(unknown) - MAX_UNKNOWN_KEYS
        yield Problem("", "environment", f"{more} more unknown {PREFIX}* variables are ignored")
