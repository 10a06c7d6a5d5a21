"""The naming rules, read from the specification a second time: a witness for the server's own.

Label rules: Mesos-DNS 0.7 (`labels.go`); canonical names: NAME-HASH-TAIL; long names: docs/migrating.md.
"""

import hashlib
from functools import lru_cache
from typing import Any

ALPHABET = "ybndrfg8ejkmcpqxot1uwisza345h769"


def mangle(text: str, *, rfc952: bool) -> str:
    """One label out of free text."""
    kept = []
    for character in text:
        if "A" <= character <= "Z":
            kept.append(chr(ord(character) + 32))
        elif "a" <= character <= "z" or "0" <= character <= "9":
            kept.append(character)
        elif character in "-._":
            kept.append("-")
    whole = "".join(kept).lstrip("-0123456789" if rfc952 else "-")
    size = min(len(whole), 24 if rfc952 else 63)
    head = whole[:size].rstrip("-")
    return head + whole[size:].lstrip("-")[: size - len(head)]


def fragment(text: str, *, rfc952: bool) -> str:
    """Labels out of a framework's name, whose dots survive."""
    return ".".join(part for part in (mangle(part, rfc952=rfc952) for part in text.split(".")) if part)


def z_base_32(octets: bytes, characters: int) -> str:
    bits = "".join(f"{octet:08b}" for octet in hashlib.sha1(octets).digest())
    return "".join(ALPHABET[int(bits[5 * n : 5 * n + 5], 2)] for n in range(characters))


def canonical(name: str, task_id: str, agent_id: str) -> str:
    return f"{name}-{z_base_32(to_octets(task_id), 5)}-{agent_id.rpartition('-')[2].lower()}"


def to_octets(text: str) -> bytes:
    """UTF-8, with U+FFFD for half a surrogate pair, as a Go string decoded from JSON has it."""
    return "".join("\ufffd" if 0xD800 <= ord(c) < 0xE000 else c for c in text).encode()


def lower(text: str) -> str:
    """Lower case as DNS knows it: ASCII only (RFC 4343)."""
    return text.encode().lower().decode()


def shorten_label(label: bytes, longest: int = 63) -> bytes:
    """Beginning, dash, 8 characters of hash."""
    return label if len(label) <= longest else label[: longest - 9] + b"-" + z_base_32(label, 8).encode()


@lru_cache(maxsize=65536)
def shorten(name: str, domain: str) -> str:
    """`name` (text with trailing dot, below `domain`) as it can stand in DNS."""
    if len(name.encode()) <= 254 and all(len(label.encode()) <= 63 for label in name.split(".")):
        return name
    suffix = "slave." + domain if name.endswith(".slave." + domain) else domain
    labels = [shorten_label(label) for label in name[: -len(suffix) - 1].encode().split(b".")]
    while (over := sum(len(label) + 1 for label in labels) + len(suffix) + 1 - 255) > 0:
        at = max(range(len(labels)), key=lambda n: len(labels[n]))
        if len(labels[at]) <= 16:
            raise ValueError(f"{name} cannot be made to fit: no such name can exist")
        labels[at] = shorten_label(labels[at], max(16, len(labels[at]) - over))
    return b".".join(labels).decode() + "." + suffix


# --- reading a state as Go does: keys in any case, the last one of equals wins, null is absent ---------


def member(document: Any, key: str) -> Any:
    found = None
    for name, value in (document or {}).items():
        if name.lower() == key:
            found = value if value is not None else found
    return found


def members(document: Any, key: str) -> list[Any]:
    return [one for one in member(document, key) or [] if one is not None]
