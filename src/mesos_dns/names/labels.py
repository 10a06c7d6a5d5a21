"""Labels out of free text: the mangling rules of Mesos-DNS, and the rule for names that are too long. Pure."""

import struct
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

from mesos_dns.dns import name as names
from mesos_dns.limits import MAX_LABEL, MAX_NAME

try:
    # OpenSSL's, which hashlib prefers, makes a context for each call: naming 100,000 tasks takes 0.2 s longer.
    from _sha1 import sha1  # type: ignore[import-not-found]
except ImportError:
    from hashlib import sha1

#: Text in, label octets out (possibly empty).
LabelRule = Callable[[str], bytes]

_KEPT: Final = b"abcdefghijklmnopqrstuvwxyz0123456789-"
_TO_LABEL: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ._", b"abcdefghijklmnopqrstuvwxyz--")
_DROPPED: Final = bytes(octet for octet in range(256) if bytes((octet,)).translate(_TO_LABEL) not in _KEPT)

_Z_BASE_32: Final = b"ybndrfg8ejkmcpqxot1uwisza345h769"
_SINGLES: Final = tuple(bytes((one,)) for one in _Z_BASE_32)
_PAIRS: Final = tuple(bytes((first, second)) for first in _Z_BASE_32 for second in _Z_BASE_32)
_FIRST_32_BITS: Final = struct.Struct("!I").unpack_from
#: Octets of the hash that a shortened label ends in: 40 bits, so that 10,000 long names that share
#: their beginning collide with a probability of 0.005 %.
SHORT_HASH: Final = 8
#: A label that had to give room keeps at least this: 7 octets of text, the dash, the hash.
SHORTEST: Final = 16


#: Texts whose labels are remembered; beyond, the one that was used longest ago is forgotten.
_MAX_LABELS: Final = 65536
#: The same for ids of agents.
_MAX_AGENT_TAILS: Final = 16384


@lru_cache(maxsize=_MAX_LABELS)
def rfc1123(text: str) -> bytes:
    """The label of `text`: letters (in lower case), digits and dashes, at most 63, no dash in front."""
    return _mangle(text, MAX_LABEL, b"-")


@lru_cache(maxsize=_MAX_LABELS)
def rfc952(text: str) -> bytes:
    """As `rfc1123`, but at most 24 characters and a letter in front (`EnforceRFC952`)."""
    return _mangle(text, 24, b"-0123456789")


def _mangle(text: str, longest: int, not_in_front: bytes) -> bytes:
    # Only ASCII counts: str.lower() would turn the Kelvin sign into a "k" that nobody wrote.
    octets = text.encode("ascii", "ignore").translate(_TO_LABEL, _DROPPED).lstrip(not_in_front)
    size = min(len(octets), longest)
    head = octets[:size].rstrip(b"-")
    if len(head) == size:
        return head
    # Dashes at the end make room for what follows them; dashes that arrive this way stay.
    return head + octets[size:].lstrip(b"-")[: size - len(head)]


def domain_fragment(text: str, rule: LabelRule) -> bytes:
    """`text` with `rule` applied between its dots, and empty parts dropped (framework names)."""
    return b".".join(filter(None, map(rule, text.split("."))))


@lru_cache(maxsize=_MAX_AGENT_TAILS)
def agent_tail(agent_id: str) -> bytes:
    """What follows the last dash of an agent's id: `s12` of `4242-S12`. Letters, in lower case, and digits; the rest is dropped.

    Masters give ids that have nothing else. A dot would put the task's canonical name below another name.
    """
    return agent_id.rpartition("-")[2].encode("ascii", "ignore").translate(_TO_LABEL, _DROPPED).replace(b"-", b"")


def task_hash(task_id: str) -> bytes:
    """Five characters of z-base-32: the first 25 bits of the SHA-1 of the task's id."""
    digest = sha1(task_id.encode("utf-8", "replace"), usedforsecurity=False).digest()
    bits: int = _FIRST_32_BITS(digest)[0]
    # Two characters at a time: a hash for each of 100,000 tasks adds up.
    return _PAIRS[bits >> 22] + _PAIRS[bits >> 12 & 1023] + _SINGLES[bits >> 7 & 31]


def canonical(label: bytes, task_id: str, agent_id: str) -> bytes:
    """The canonical task label: NAME-HASH-TAIL, unique for each instance."""
    return label + canonical_tail(task_id, agent_id)


def canonical_tail(task_id: str, agent_id: str) -> bytes:
    """What follows NAME in it, with the dash."""
    return b"-" + task_hash(task_id) + b"-" + agent_tail(agent_id)


def shorten_label(label: bytes, longest: int = MAX_LABEL) -> bytes:
    """`label`, or if it has more than `longest` octets: its beginning, a dash, 8 characters of its hash."""
    if len(label) <= longest:
        return label
    return b"%b-%b" % (label[: longest - SHORT_HASH - 1], _hash(label, SHORT_HASH))


def owner(labels: Iterable[bytes], suffix: bytes) -> bytes | None:
    """Wire form of `labels` in front of `suffix` (wire form), with the rule for long names.

    A label over 63 octets is shortened by `shorten_label`. If the whole name has more than 255
    octets, its longest label (the leftmost of equals) is shortened so that it fits, again and again,
    but none below 16 octets. None if a label is empty or the name cannot be made to fit: such a name
    cannot exist in DNS.
    """
    short = [shorten_label(label) for label in labels]
    excess = sum(map(len, short)) + len(short) + len(suffix) - MAX_NAME
    while excess > 0:
        at = max(range(len(short)), key=lambda i: len(short[i]))
        length = len(short[at])
        if length <= SHORTEST:
            return None
        short[at] = shorten_label(short[at], max(SHORTEST, length - excess))
        excess -= length - len(short[at])
    if not all(short):
        return None
    return names.from_labels(short)[:-1] + suffix


def _hash(octets: bytes, characters: int) -> bytes:
    # Not a matter of security: the hash tells instances apart, and Mesos-DNS has always used SHA-1.
    bits = int.from_bytes(sha1(octets, usedforsecurity=False).digest()[:5], "big")
    # Two characters at a time: a hash for each of 100,000 tasks adds up.
    text = _PAIRS[bits >> 30] + _PAIRS[bits >> 20 & 1023] + _PAIRS[bits >> 10 & 1023] + _PAIRS[bits & 1023]
    return text[:characters]
