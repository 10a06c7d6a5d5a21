"""The JSON of configuration files, read as Go's `encoding/json` reads it. Pure.

Order and duplicates of keys survive, because the last of several spellings of a key wins.
Functions raise `Unfit` with a message for people that repeats no text of the file: it may hold secrets.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from mesos_dns.config.addresses import Unfit
from mesos_dns.config.values import IamAccount

#: Octets of a configuration file, a service account file or /etc/resolv.conf. Real ones have a few
#: hundred; the bound keeps a wrong path (a log, a device) from filling the memory.
MAX_CONFIG_OCTETS: Final = 1024 * 1024
#: What Go's case folding for JSON keys adds to ASCII: LATIN SMALL LETTER LONG S and KELVIN SIGN.
_FOLD: Final = str.maketrans({"\u017f": "s", "\u212a": "k"} | {chr(c): chr(c + 32) for c in range(65, 91)})
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def fold(key: str) -> str:
    """`key` as Go compares it: ASCII letters in lower case, two odd letters as s and k."""
    return key.translate(_FOLD)


@dataclass(frozen=True, slots=True)
class JsonNumber:
    """A number that is no integer of reasonable length: only its text is of interest."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class JsonObject:
    """A JSON object with order and duplicates."""

    pairs: tuple[tuple[str, Any], ...]


def _integer(text: str) -> object:
    return int(text) if len(text) <= 20 else JsonNumber(text)


def _no_constant(text: str) -> object:
    raise Unfit(f"is not JSON: {text} is not a JSON value")


def clean(text: str) -> str:
    """Replace lone surrogates by U+FFFD, as Go decodes them: nothing can print or encode them."""
    return _SURROGATE.sub("\ufffd", text)


def parse_json(data: bytes) -> object:
    """Decode the JSON value in `data`; objects come as `JsonObject`, odd numbers as `JsonNumber`.

    Octets that are not UTF-8 become U+FFFD, as in Go: they are harmless in a comment-like key.
    """
    if len(data) > MAX_CONFIG_OCTETS:
        raise Unfit(f"is larger than {MAX_CONFIG_OCTETS} octets; is this the right file?")
    if data.startswith(b"\xef\xbb\xbf"):
        raise Unfit("starts with a byte order mark, which is not JSON; save it as UTF-8 without BOM")
    text = data.decode("utf-8", errors="replace")
    if not text.strip(" \t\r\n"):
        raise Unfit("is empty; expected a JSON object")
    try:
        return json.loads(
            text,
            object_pairs_hook=lambda pairs: JsonObject(tuple(pairs)),
            parse_int=_integer,
            parse_float=JsonNumber,
            parse_constant=_no_constant,
        )
    except json.JSONDecodeError as error:
        found = text[error.pos : error.pos + 1]
        where = f"line {error.lineno}, column {error.colno}"
        raise Unfit(f"is not JSON at {where}: {_json_reason(error.msg, found)}") from None
    except RecursionError:
        raise Unfit("is nested too deeply") from None


def _json_reason(reason: str, found: str) -> str:
    """Why parsing stopped, with a hint for what people do most often. Repeats no text of the file."""
    if found in {"/", "#"}:
        return "a comment; JSON has none, remove it"
    if reason == "Extra data":
        return "text after the end of the object; remove it"
    if not found:
        return f"{reason[0].lower()}{reason[1:]}; the file ends too early"
    if "property name" in reason or "trailing comma" in reason:
        return "expected a key in double quotes; is there a comma before the closing brace?"
    return f"{reason[0].lower()}{reason[1:]}; a comma, colon, quote or bracket near it is missing or one too many"


def parse_iam(data: bytes) -> IamAccount:
    """Decode a service account: `uid`, `private_key`, `login_endpoint`; other keys are ignored.

    Keys match as in the configuration file, missing ones are "".
    """
    document = parse_json(data)
    if not isinstance(document, JsonObject):
        raise Unfit('holds no JSON object; expected {"uid": "…", "private_key": "…", "login_endpoint": "…"}')
    found = {"uid": "", "private_key": "", "login_endpoint": ""}
    for name, value in document.pairs:
        member = fold(name)
        if member not in found or value is None:
            continue
        if not isinstance(value, str):
            raise Unfit(f"has a {member} that is not a string")
        found[member] = clean(value)
    return IamAccount(**found)
