"""The probes of ISC's DNS compliance tester (genreport -f -c), under its names: all of them, with what it calls ok.

They ask for the apex, without RD. What a tester cannot expect, because a server may or may not have it (NSID, EXPIRE, ECS, cookies), may come
back; what nobody knows must not.
"""

from tests.integration.conformance.cases import ANSWER, BADVERS, EDNS, NODATA, NOTIMP
from tests.integration.conformance.judging import UDP_SIZE, Case, query, raw

_SOURCE = "RFC 8906 8"
_UNKNOWN = (100, "")
_NSID, _SUBNET, _EXPIRE, _COOKIE = (3, ""), (8, "00010000"), (9, ""), (10, "0102030405060708")
_KNOWN = {"nsid": _NSID, "cookie": _COOKIE, "expire": _EXPIRE, "subnet": _SUBNET}

PROBES = [
    Case("dns", _SOURCE, query(), ANSWER),
    *(Case(flag if flag != "z" else "zflag", _SOURCE, query(flags=flag), ANSWER.but(flags=f"aa {flag}" if flag in ("rd", "cd") else "aa")) for flag in ("aa", "ad", "cd", "ra", "rd", "tc", "z")),
    Case("opcode", _SOURCE, raw((0, 0, 0, 0), flags=15 << 11), NOTIMP.but(opcode=15)),
    Case("opcodeflg", _SOURCE, raw((0, 0, 0, 0), flags=15 << 11 | 0x07F0), NOTIMP.but(opcode=15)),
    Case("type666", _SOURCE, query(rrtype="TYPE666"), NODATA),
    Case("tcp", _SOURCE, query(), ANSWER, tcp=True),
    Case("edns", _SOURCE, query(edns=0, size=4096), EDNS),
    Case("edns1", _SOURCE, query(edns=1, size=4096), BADVERS),
    Case("edns@512", _SOURCE, query(rrtype="DNSKEY", edns=0, size=512), NODATA.but(opt=True)),
    Case("ednsopt", _SOURCE, query(edns=0, size=4096, options=[_UNKNOWN]), EDNS),
    Case("edns1opt", _SOURCE, query(edns=1, size=4096, options=[_UNKNOWN]), BADVERS),
    Case("do", _SOURCE, query(edns=0, size=4096, ednsflags=0x8000), EDNS.but(do=True)),
    Case("docd", _SOURCE, query(edns=0, size=4096, ednsflags=0x8000, flags="cd"), EDNS.but(do=True, flags="aa cd")),
    Case("edns1do", _SOURCE, query(edns=1, size=4096, ednsflags=0x8000), BADVERS.but(do=True)),
    Case("ednsflags", _SOURCE, query(edns=0, size=4096, ednsflags=0x0080), EDNS),
    Case("optlist", _SOURCE, query(edns=0, size=4096, options=[_NSID, _SUBNET, _EXPIRE, _COOKIE]), EDNS.but(options=None)),
    *(Case(f"edns{name}", _SOURCE, query(edns=0, size=4096, options=[option]), EDNS.but(options=None)) for name, option in _KNOWN.items()),
    *(Case(f"edns1{name}", _SOURCE, query(edns=1, size=4096, options=[option]), BADVERS.but(options=None)) for name, option in _KNOWN.items()),
    Case("ednstcp", _SOURCE, query(rrtype="DNSKEY", edns=0, size=512, ednsflags=0x8000), NODATA.but(opt=True, do=True, limit=65535), tcp=True),
    Case("bind11", _SOURCE, query(edns=0, size=4096, ednsflags=0x8000, options=[_COOKIE]), EDNS.but(do=True, options=None)),
    Case("dig11", _SOURCE, query(flags="rd ad", edns=0, size=4096, options=[_COOKIE]), EDNS.but(flags="aa rd", options=None)),
]  # fmt: skip

#: Types that the tester asks for, one after the other (-t): those that mean something of their own are no plain questions.
PLAIN_TYPES = [rrtype for rrtype in (*range(1, 110), 256, 257, 258, 259, 32768, 32769) if rrtype not in (2, 6, 41)]
TYPES = [
    Case(f"TYPE{rrtype}", _SOURCE, query(rrtype=f"TYPE{rrtype}", edns=0), NODATA.but(opt=True, limit=UDP_SIZE))
    for rrtype in PLAIN_TYPES
]
