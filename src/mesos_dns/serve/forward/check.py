"""Is what an upstream sent a usable answer to the question? Pure.

Two things are told apart, as Unbound does. What is malformed, or contradicts itself, is no answer, and the next upstream is
asked (BadReplyError). What is well-formed but does not belong to the question is taken out, and the rest is the answer: a server that
says more than it was asked is not yet one that lies, and without it many a name would not resolve at all.

What belongs:

* in the answer the records of the type that was asked for, at the end of the chain of aliases that begins with the question's name; the
  chain itself; and signatures (RRSIG) of these. The order of the records does not matter: some servers put the addresses first;
* in the authority section SOA and NS of zones in which a name of the chain lies, and proofs (NSEC, NSEC3, DS);
* in the additional section whatever it likes to add, for clients have learnt to trust none of it;
* nowhere a record of one of our own zones. We are their authority, and a client that trusts us would keep such a record as if we had made
  it. An alias of an outside name for one of ours stays, and ends the chain: whoever follows it asks us again.
"""

import struct
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple, NoReturn, TypeAlias

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns.rdata import AAAA, ANY, CLASS_ANY, CLASS_IN, CNAME, DNAME, NS, OPT, SOA, TXT, A
from mesos_dns.limits import MAX_LABEL, MAX_NAME
from mesos_dns.serve.forward.records import BadReplyError, owner_end
from mesos_dns.serve.forward.rewrite import MAX_SORTED, NAMES, name_at, record_at, written

_HEADER: Final = struct.Struct("!HHHHHH")
_FIXED: Final = struct.Struct("!HHIH")
_SHORTS: Final = struct.Struct("!HH")
#: In the third octet of a message.
_OPCODE: Final = 0x78
_AD: Final = 0x0020
#: Aliases in a row: resolvers follow 8 to 16.
MAX_ALIASES: Final = 16
#: A pointer to the question's name, which every message has at offset 12.
_QNAME: Final = b"\xc0\x0c"
_RRSIG: Final = 46
#: Octets of a signature's rdata before its signer's name (RFC 4034 section 3.1).
_RRSIG_HEAD: Final = 18
#: What proves in the authority section that something does not exist, or is not signed: DS, NSEC, NSEC3.
_PROOFS: Final = frozenset((43, 47, 50))
#: Questions that records of several types answer: MAILB, MAILA, ANY (RFC 1035 section 3.2.3).
_SEVERAL: Final = frozenset((253, 254, ANY))
#: Rdata of one size, in class IN.
_SIZES: Final = {A: 4, AAAA: 16}
#: Types with one name that never comes compressed (RFC 4034 sections 3.1.7 and 4.1.1, RFC 9460 section 2.2): octets before it. RRSIG, NSEC,
#: SVCB, HTTPS.
_PLAIN_NAMES: Final = {_RRSIG: _RRSIG_HEAD, 47: 0, 64: 2, 65: 2}
#: Octets of an SOA behind its two names.
_SOA_NUMBERS: Final = 20


#: A record: where it begins, its section (0 answer, 1 authority, 2 additional), owner (lower case), type, where its rdata begins and ends.
_Found: TypeAlias = tuple[int, int, bytes, int, int, int]


def usable(reply: bytes, question_end: int, own: Sequence[bytes] = ()) -> bytes:
    """`reply`, or if some of its records do not belong to its question, a reply without these, and without AD.

    It must have passed `rewrite.answers`; its question ends at `question_end` and is about none of the zones of `own` (apexes in lower-case
    wire form). A record in the middle of which a truncated reply ends is passed over. Raises BadReplyError if it is malformed, if its
    aliases contradict one another, or if it has an answer and none of it belongs to the question.
    """
    if reply[2] & _OPCODE:
        raise BadReplyError("it has another opcode than the question")
    known: dict[int, bytes] = {}
    starts, others = _records(reply, question_end, known)
    if known:
        _check_places(reply, starts, known)
    if not others:
        return reply
    asked = reply[12 : question_end - 4].lower()
    qtype = reply[question_end - 4] << 8 | reply[question_end - 3]
    chain = _chain(reply, others, asked, own, known)
    strangers = {found[0] for found in others if not _belongs(reply, found, chain, qtype, own)}
    return _without(reply, question_end, starts, strangers, known) if strangers else reply


# --- what is well-formed -----------------------------------------------------------------------


def _records(reply: bytes, at: int, known: dict[int, bytes]) -> tuple[list[int], list[_Found]]:
    """Check every record. Where each begins; and those about which there is more to say than that they are what was asked for."""
    asked = reply[12 : at - 4].lower()
    qtype, qclass = _SHORTS.unpack_from(reply, at - 4)
    _, flags, _, answers, authorities, additionals = _HEADER.unpack_from(reply)
    owners = {_QNAME: asked}
    starts: list[int] = []
    others: list[_Found] = []
    opts = 0
    for n in range(answers + authorities + additionals):
        start = at
        try:
            owner = owners.get(reply[at : at + 2])
            at = owner_end(reply, at) if owner is None else at + 2
            rrtype, rrclass, _, length = _FIXED.unpack_from(reply, at)
            at += 10
            end = at + length
            if end > len(reply):
                _end_early()
        except (IndexError, struct.error):
            if flags & msg.TC:
                break
            raise BadReplyError("it ends in the middle of a record") from None
        if owner is None:
            owner = _owner(reply, start, known, owners)
        if rrtype == OPT:
            opts += 1
            _check_opt(reply, start, end, first=opts == 1, additional=n >= answers + authorities)
        else:
            if qclass not in (rrclass, CLASS_ANY):
                raise BadReplyError(f"it has a record of class {rrclass}")
            if _SIZES.get(rrtype) != length or rrclass != CLASS_IN:
                _check_rdata(reply, rrtype, rrclass, at, end, known)
            if owner is not asked or rrtype != qtype or rrtype == CNAME or n >= answers:
                others.append((start, (n >= answers) + (n >= answers + authorities), owner, rrtype, at, end))
        starts.append(start)
        at = end
    return starts, others


def _check_places(reply: bytes, starts: list[int], known: dict[int, bytes]) -> None:
    """No name that was read, which are those of `known`, takes a TTL or an address for a part of itself.

    A pointer can lead anywhere, but only names are meant (RFC 1035 section 4.1.4). And TTLs count down, and addresses take turns: a name
    made of them would be another one, that nobody has looked at, for the next client.
    """
    #: Where what may change begins and ends, in turn.
    edges: list[int] = []
    for start in starts:
        at = owner_end(reply, start)
        rrtype, _, _, length = _FIXED.unpack_from(reply, at)
        edges += (at, at + 10 + (length if rrtype in _SIZES else 0))
    for at in known:
        length = reply[at]
        last = at + (1 if length > MAX_LABEL else length)
        n = bisect_right(edges, at)
        if n % 2 or (n < len(edges) and last >= edges[n]):
            raise BadReplyError("a name in it points to what is no name")


def _end_early() -> NoReturn:
    raise IndexError


def _owner(reply: bytes, at: int, known: dict[int, bytes], owners: dict[bytes, bytes]) -> bytes:
    """The name that begins at `at`, in lower case; `owners` has those that were read before, by their pointers."""
    try:
        owner = name_at(reply, at, known).lower()
    except IndexError:  # The record is whole, but its name leads to behind the end of the message.
        raise BadReplyError("it has a name that does not end") from None
    if reply[at] >= 0xC0:
        owners[reply[at : at + 2]] = owner
    return owner


def _check_opt(reply: bytes, start: int, end: int, *, first: bool, additional: bool) -> None:
    """An OPT record stands at the root, in the additional section, and once (RFC 6891 section 6.1.1)."""
    if not (first and additional) or reply[start]:
        raise BadReplyError("it has an OPT record where none may be, or more than one")
    if reply[start + 5]:
        raise BadReplyError("it has records and an extended RCODE, which is for replies without any")
    at = start + 11
    while at + 4 <= end:
        at += 4 + _SHORTS.unpack_from(reply, at)[1]
    if at != end:
        raise BadReplyError("it has an OPT record whose options are malformed")


def _check_rdata(reply: bytes, rrtype: int, rrclass: int, at: int, end: int, known: dict[int, bytes]) -> None:
    """Rdata of a type that we know has the form of that type."""
    before, count = NAMES.get(rrtype, (0, 0))
    try:
        if count:
            at += before
            for _ in range(count):
                name_at(reply, at, known)
                at = owner_end(reply, at)
            fits = at + (_SOA_NUMBERS if rrtype == SOA else 0) == end
        elif rrtype == TXT:
            fits = at < end
            while at < end:
                at += 1 + reply[at]
            fits = fits and at == end
        elif rrtype in _PLAIN_NAMES:
            fits = _plain_name_end(reply, at + _PLAIN_NAMES[rrtype]) <= end
        else:
            fits = rrclass != CLASS_IN or rrtype not in _SIZES
    except (IndexError, struct.error):
        fits = False
    if not fits:
        raise BadReplyError(f"it has a record of type {rrtype} whose data is malformed")


def _plain_name_end(reply: bytes, at: int) -> int:
    """Where the name that begins at `at` ends; behind the message if it is compressed, or too long."""
    start = at
    while length := reply[at]:
        if length > MAX_LABEL:
            return len(reply) + 1
        at += length + 1
    return at + 1 if at - start < MAX_NAME else len(reply) + 1


# --- what belongs ------------------------------------------------------------------------------


class _Chain(NamedTuple):
    """Names from the question's to that which the answer is about, and the owners of the DNAME records that led there."""

    names: tuple[bytes, ...]
    redirects: frozenset[bytes]


def _belongs(reply: bytes, found: _Found, chain: _Chain, qtype: int, own: Sequence[bytes]) -> bool:
    _, section, owner, rrtype, rdata, end = found
    if _is_own(owner, own):
        return False
    if section == 2:
        return True
    if rrtype == _RRSIG and rrtype != qtype and end - rdata >= _RRSIG_HEAD:
        rrtype = reply[rdata] << 8 | reply[rdata + 1]  # it belongs where that belongs which it signs
    if section == 1:
        if rrtype in (SOA, NS):
            return any(names.is_below_or_at(name, owner) for name in chain.names)
        return rrtype in _PROOFS
    if rrtype == CNAME:
        return owner in chain.names
    if rrtype == DNAME and owner in chain.redirects:
        return True
    return owner == chain.names[-1] and (rrtype == qtype or qtype in _SEVERAL)


def _is_own(name: bytes, own: Sequence[bytes]) -> bool:
    for apex in own:  # noqa: SIM110 - a generator would cost more than what it says
        if names.is_below_or_at(name, apex):
            return True
    return False


def _chain(reply: bytes, others: list[_Found], asked: bytes, own: Sequence[bytes], known: dict[int, bytes]) -> _Chain:
    """Follow the aliases of the answer from the name `asked`, wherever they stand."""
    aliases: dict[bytes, bytes] = {}
    redirects: dict[bytes, bytes] = {}
    for _, section, owner, rrtype, rdata, _ in others:
        if section == 0 and rrtype in (CNAME, DNAME):
            target = name_at(reply, rdata, known).lower()
            table = aliases if rrtype == CNAME else redirects
            if table.setdefault(owner, target) != target:
                raise BadReplyError("a name in it is an alias of two others")
    chain = [asked]
    used: set[bytes] = set()
    while (target := _next(chain[-1], aliases, redirects, used)) and not _is_own(target, own):
        if target in chain:
            raise BadReplyError("aliases in it lead back to where they began")
        if len(chain) > MAX_ALIASES:
            raise BadReplyError(f"it has more than {MAX_ALIASES} aliases in a row")
        chain.append(target)
    return _Chain(tuple(chain), frozenset(used))


def _next(name: bytes, aliases: dict[bytes, bytes], redirects: dict[bytes, bytes], used: set[bytes]) -> bytes:
    """That of which `name` is an alias, or nothing; a DNAME record that says so is noted as `used`."""
    target = aliases.get(name, b"")
    above = _redirect_above(name, redirects) if redirects else b""
    if not above:
        return target
    # With the record comes the alias that it makes (RFC 6672 section 3.1); some servers leave that out.
    used.add(above)
    made = name[: -len(above)] + redirects[above]
    if target and target != made:
        raise BadReplyError("an alias in it is another than its DNAME record makes")
    return made if len(made) <= MAX_NAME else b""


def _redirect_above(name: bytes, redirects: dict[bytes, bytes]) -> bytes:
    """The closest owner of a DNAME record above `name`, which does not redirect its owner itself; or nothing."""
    while name != names.ROOT:
        name = names.parent(name)
        if name in redirects:
            return name
    return b""


# --- what is left ------------------------------------------------------------------------------


def _without(reply: bytes, question_end: int, starts: list[int], strangers: set[int], known: dict[int, bytes]) -> bytes:
    """`reply` with those of the records that begin at `starts` that are no `strangers`. They may point into these, so they are written anew."""
    if len(reply) > MAX_SORTED:
        raise BadReplyError("it has records that do not belong to the question, and is too large to take them out")
    identifier, flags, questions, answers, authorities, _ = _HEADER.unpack_from(reply)
    places = {reply[12 : question_end - 4].lower(): 12}
    kept = [0, 0, 0]
    records = []
    for n, start in enumerate(starts):
        if start not in strangers:
            kept[(n >= answers) + (n >= answers + authorities)] += 1
            records.append(written(record_at(reply, start, known), places))
    if answers and not kept[0]:
        raise BadReplyError("no record of its answer belongs to the question")
    header = _HEADER.pack(identifier, flags & ~_AD, questions, *kept)
    return header + reply[12:question_end] + b"".join(records)
