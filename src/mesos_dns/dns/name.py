"""Domain names as octets. Pure.

A name in *wire form* is its labels, each behind its length octet, ended by the root's zero octet
(RFC 1035 section 3.1), never compressed. Owners inside the program are in wire form and lower case
(RFC 4343), which makes one `bytes` object both dictionary key and ready-to-send octets.
"""

from collections.abc import Iterable, Iterator

from mesos_dns.limits import MAX_LABEL, MAX_NAME

ROOT = b"\0"


class BadNameError(ValueError):
    """A text that cannot stand as a domain name; the message says why."""


def from_labels(labels: Iterable[bytes]) -> bytes:
    """Wire form of `labels` (leftmost first), absolute; the case is kept.

    Raises BadNameError for an empty label, a label over 63 octets or a name over 255 octets.
    """
    parts = []
    for label in labels:
        if not label:
            raise BadNameError("a label is empty")
        if len(label) > MAX_LABEL:
            raise BadNameError(f"a label has {len(label)} octets, at most {MAX_LABEL} are possible")
        parts.append(bytes((len(label),)) + label)
    parts.append(ROOT)
    name = b"".join(parts)
    if len(name) > MAX_NAME:
        raise BadNameError(f"the name has {len(name)} octets, at most {MAX_NAME} are possible")
    return name


def from_text(text: str) -> bytes:
    """Wire form, lower case, of plain dotted text such as `Leader.mesos.` (UTF-8, no escapes).

    The trailing dot is optional; "" and "." are the root. Raises BadNameError like `from_labels`.
    """
    octets = text.encode("utf-8", "replace").lower().removesuffix(b".")
    return from_labels(octets.split(b".")) if octets else ROOT


def labels(name: bytes) -> Iterator[bytes]:
    """The labels of a valid wire form, leftmost first, without the root."""
    at = 0
    while length := name[at]:
        yield name[at + 1 : at + 1 + length]
        at += 1 + length


def to_text(name: bytes) -> str:
    """Dotted text with the trailing dot, unescaped, as the HTTP API shows names.

    Octets that are no UTF-8 become U+FFFD. For master files use `to_master_file`.
    """
    return b"".join([label + b"." for label in labels(name)]).decode("utf-8", "replace") or "."


def to_master_file(name: bytes) -> str:
    r"""Dotted text in master-file form (RFC 1035 section 5.1): `\.`, `\\`, `\"`, and `\DDD`."""
    parts: list[str] = []
    for label in labels(name):
        if label.translate(None, _PLAIN):
            parts.extend(_ESCAPED[octet] for octet in label)
        else:
            parts.append(label.decode("ascii"))
        parts.append(".")
    return "".join(parts) or "."


def parent(name: bytes) -> bytes:
    """The name without its leftmost label; `name` must not be the root."""
    return name[name[0] + 1 :]


def is_below_or_at(name: bytes, apex: bytes) -> bool:
    """Whether `name` is `apex` or a descendant of it; both lower-case wire form.

    The suffix must begin at a label boundary: `xmesos.` is not below `mesos.`.
    """
    if not name.endswith(apex):
        return False
    start = len(name) - len(apex)
    at = 0
    while at < start:
        at += name[at] + 1
    return at == start


def _escape(octet: int) -> str:
    character = chr(octet)
    if character in '.\\"()@;$ ':
        return f"\\{character}" if character != " " else "\\032"
    if 0x21 <= octet <= 0x7E:
        return character
    return f"\\{octet:03d}"


_ESCAPED = tuple(_escape(octet) for octet in range(256))
#: Octets that stand for themselves.
_PLAIN = bytes(octet for octet, text in enumerate(_ESCAPED) if len(text) == 1)
