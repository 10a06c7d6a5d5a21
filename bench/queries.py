"""Pure: the questions of each workload, as octets."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench import services, wire
from bench.zonefile import ZoneNames

#: Questions of a workload that may repeat. More than the names of a 10,000-task cluster have of one
#: type, so that most are asked, and few enough that dnsperf reads them in an instant.
REPEATED: Final = 50_000
#: Questions of a workload in which no packet may repeat, per second of the run: more than any of the
#: servers answers on one core.
UNREPEATED_PER_SECOND: Final = 130_000
#: Distinct names of the NXDOMAIN workload: people mistype the same few again and again.
UNKNOWN: Final = 1_000
#: Copies of one question in a file that is read again and again.
_SAME: Final = 100
#: EDNS sizes that clients are seen to send; None is a query without EDNS.
SIZES: Final = (None, 512, 1220, 1232, 1400, 1410, 1472, 2048, 4000, 4096, 8192, 65535)

Make = Callable[[ZoneNames, random.Random, int], list[bytes]]


@dataclass(frozen=True, slots=True)
class Workload:
    """What is asked. `make` gets the zone, randomness, and the number of questions wanted."""

    name: str
    title: str
    make: Make
    #: No packet may come twice, so the questions grow with the length of the run.
    unrepeated: bool = False
    tcp: bool = False
    #: Over TCP within TLS.
    tls: bool = False
    #: Asked by `bench.tcp` instead of dnsperf, which closes no connection and reads no answer above 16 kB.
    own_client: bool = False
    #: Replies after which a TCP connection is closed; 0 is never.
    per_connection: int = 0
    #: Questions on their way at a time.
    outstanding: int = 400
    #: Questions a second; 0 is as many as the server answers.
    rate: int = 0
    #: Left out by --quick unless it is named.
    long: bool = False
    #: Servers that go on answering must say so with one of these RCODEs, at least for most questions.
    codes: tuple[str, ...] = ("NOERROR",)


class NothingToAskError(ValueError):
    """The zone lacks the names that a workload asks for."""


def unknown_names(zone: ZoneNames, randomness: random.Random, count: int) -> list[str]:
    """Names that do not exist, each beside a name that does."""
    known = zone.by_type["A"]
    return [
        f"q{randomness.getrandbits(64):016x}.{_parent(randomness.choice(known), zone.origin)}" for _ in range(count)
    ]


def _parent(name: str, origin: str) -> str:
    return origin if name == origin else name.split(".", 1)[1]


def _typed(rrtype: str) -> Make:
    def make(zone: ZoneNames, randomness: random.Random, count: int) -> list[bytes]:
        names = zone.by_type[rrtype]
        if not names:
            raise NothingToAskError(f"the zone {zone.origin} has no {rrtype} records: nothing to ask for")
        return [wire.query(name, wire.TYPES[rrtype]) for name in randomness.choices(names, k=count)]

    return make


def _service(instances: int) -> Make:
    def make(zone: ZoneNames, _: random.Random, count: int) -> list[bytes]:
        wanted = services.owner(instances, zone.origin)
        if wanted not in zone.services:
            raise NothingToAskError(f"the zone {zone.origin} has no {wanted}: nothing to ask for")
        return [wire.query(wanted, wire.SRV)] * min(count, _SAME)

    return make


def _nxdomain(zone: ZoneNames, randomness: random.Random, count: int) -> list[bytes]:
    fixed = [wire.query(name, wire.A) for name in unknown_names(zone, randomness, UNKNOWN)]
    return randomness.choices(fixed, k=count)


def _unique(zone: ZoneNames, randomness: random.Random, count: int) -> list[bytes]:
    """Made from octets: half a million names in text take longer to encode than the run lasts."""
    parents = sorted({_parent(name, zone.origin) for name in zone.by_type["A"]})
    # The first label is 17 octets; what follows it is the same for all names below one parent.
    header = wire.query(".", wire.A)[:12]
    below = [wire.query(parent, wire.A)[12:] for parent in parents]
    tails = randomness.choices(below, k=count)
    return [b"%b\x11q%016x%b" % (header, randomness.getrandbits(64), tail) for tail in tails]


def _flood(zone: ZoneNames, randomness: random.Random, count: int) -> list[bytes]:
    """Known names, and as many unknown ones of which none comes twice: an attack on the caches."""
    questions = _typed("A")(zone, randomness, count - count // 2) + _unique(zone, randomness, count // 2)
    randomness.shuffle(questions)
    return questions


def _mix(zone: ZoneNames, randomness: random.Random, count: int) -> list[bytes]:
    """Six in ten A, two SRV, one AAAA (mostly NODATA: resolver libraries ask both), one unknown."""
    tenth = count // 10
    hosts = zone.by_type["A"]
    questions = [
        *_typed("A")(zone, randomness, count - 4 * tenth),
        *_typed("SRV")(zone, randomness, 2 * tenth),
        *(wire.query(name, wire.AAAA) for name in randomness.choices(hosts, k=tenth)),
        *_nxdomain(zone, randomness, tenth),
    ]
    randomness.shuffle(questions)
    return questions


def case_bits(question: bytes) -> int:
    """The bits that turn a letter of the name in a query without EDNS into its other case."""
    mask = bytearray(len(question))
    place = 12
    while length := question[place]:
        for letter in range(place + 1, place + 1 + length):
            mask[letter] = 0x20 if chr(question[letter]).isalpha() else 0
        place += 1 + length
    return int.from_bytes(mask, "big")


def _case(zone: ZoneNames, randomness: random.Random, count: int) -> list[bytes]:
    """Each letter of each question in a case of its own (what resolvers call 0x20)."""
    plain = [wire.query(name, wire.A) for name in zone.by_type["A"]]
    known = [(int.from_bytes(octets, "big"), case_bits(octets), len(octets)) for octets in plain]
    return [
        (octets ^ (bits & randomness.getrandbits(8 * length))).to_bytes(length, "big")
        for octets, bits, length in randomness.choices(known, k=count)
    ]


def _cookies(zone: ZoneNames, randomness: random.Random, count: int) -> list[bytes]:
    # The cookie is what the packet ends with.
    known = [wire.query(name, wire.A, size=1232, cookie=bytes(8))[:-8] for name in zone.by_type["A"]]
    return [start + randomness.randbytes(8) for start in randomness.choices(known, k=count)]


def _sizes(zone: ZoneNames, randomness: random.Random, count: int) -> list[bytes]:
    names = randomness.choices(zone.by_type["A"], k=count)
    return [wire.query(name, wire.A, size=randomness.choice(SIZES)) for name in names]


WORKLOADS: Final = (
    Workload("a", "A, UDP", _typed("A")),
    Workload("srv", "SRV, UDP", _typed("SRV")),
    Workload("nxdomain", "NXDOMAIN, UDP", _nxdomain, codes=("NXDOMAIN",)),
    Workload("mix", "mix, UDP", _mix, codes=("NOERROR", "NXDOMAIN")),
    Workload("case", "A, random case", _case, unrepeated=True),
    Workload("cookies", "A, random cookies", _cookies, unrepeated=True),
    Workload("sizes", "A, differing EDNS sizes", _sizes),
    Workload("unique", "NXDOMAIN, no name twice", _unique, unrepeated=True, codes=("NXDOMAIN",)),
    Workload("flood", "half A, half never twice", _flood, unrepeated=True, codes=("NOERROR", "NXDOMAIN"), long=True),
    Workload("tcp", "A, TCP", _typed("A"), tcp=True),
    Workload(
        "tcp-single", "A, TCP, one question a connection", _typed("A"), tcp=True, own_client=True, per_connection=1
    ),
    *(
        Workload(
            f"srv-{size}", f"SRV of {size} instances, TCP", _service(size), tcp=True, own_client=True, outstanding=64
        )
        for size in (60, 200)
    ),
    Workload("a-1000", "A, UDP, 1,000 a second", _typed("A"), rate=1_000),
    Workload("a-5000", "A, UDP, 5,000 a second", _typed("A"), rate=5_000, long=True),
    Workload("a-20000", "A, UDP, 20,000 a second", _typed("A"), rate=20_000, long=True),
)

#: Those of the part `tls`.
ENCRYPTED: Final = (
    Workload("tls", "A, TLS", _typed("A"), tls=True),
    Workload(
        "tls-single", "A, TLS, one question a connection", _typed("A"), tls=True, own_client=True, per_connection=1
    ),
)


def questions(workload: Workload, zone: ZoneNames, *, seconds: float, seed: int) -> list[bytes]:
    """The questions of one run; the same seed gives the same questions, for every server alike."""
    count = int(UNREPEATED_PER_SECOND * seconds) if workload.unrepeated else REPEATED
    # Seeded by text, so that two workloads of one run do not share their randomness.
    return workload.make(zone, random.Random(f"{workload.name} {seed}"), count)


def forwarded(zone: str, *, seconds: float, seed: int, edns: bool = False) -> list[bytes]:
    """Questions for names below `zone`, which a wildcard there answers; none comes twice."""
    randomness = random.Random(f"forwarded {seed}")
    names = ZoneNames(zone, {"A": (f"any.{zone}",)}, 1, 1)
    plain = _unique(names, randomness, int(UNREPEATED_PER_SECOND / 3 * seconds))
    if not edns:
        return plain
    opt = wire.query(zone, wire.A, size=1232)[len(wire.query(zone, wire.A)) :]
    return [octets[:11] + b"\1" + octets[12:] + opt for octets in plain]


def cached(zone: str, *, seed: int) -> list[bytes]:
    """Questions for a thousand names below `zone`, over and over: what a resolver has in its cache."""
    randomness = random.Random(f"cached {seed}")
    known = [wire.query(f"name-{number}.{zone}", wire.A) for number in range(1000)]
    return randomness.choices(known, k=REPEATED)
