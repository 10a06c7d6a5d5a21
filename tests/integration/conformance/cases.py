"""What an authority answers, case by case: a specification that two servers are held to, ours and BIND.

Where BIND answers otherwise, the case says what, and why either is right; where nothing is said, both say the same.
"""

from tests.integration.conformance.judging import UDP_SIZE, Case, Reply, opt, query, raw

SOA = "mesos. 60 SOA ns1.mesos. root.ns1.mesos. * 60"
NS = "mesos. 60 NS ns1.mesos."
NS_ADDRESS = "ns1.mesos. 60 A 127.0.0.1"
WEB = "web.marathon.mesos."
WEB_A = (f"{WEB} 60 A 10.2.0.1", f"{WEB} 60 A 10.2.0.2")
WEB_AAAA = (f"{WEB} 60 AAAA fd00::1", f"{WEB} 60 AAAA fd00::2")
SERVICE = "_web._tcp.marathon.mesos."
SERVICES = (f"{SERVICE} 60 SRV 0 1 31000 web-*", f"{SERVICE} 60 SRV 0 1 31001 web-*")
TARGETS = ("web-*.marathon.slave.mesos. 60 A 10.1.0.1", "web-*.marathon.slave.mesos. 60 A 10.1.0.2")
QUESTION = b"\5mesos\0\0\6\0\1"
#: A TSIG record: hmac-sha256, at a time long ago, 32 octets of a MAC (RFC 8945 section 4.2).
TSIG = b"\3key\0\0\xfa\0\xff\0\0\0\0\0\x3d\x0bhmac-sha256\0\0\0\0\0\0\1\1\x2c\0\x20" + bytes(32) + b"\x1d\x1d\0\0\0\0"

ANSWER = Reply(answer=(SOA,))
NODATA = Reply(authority=(SOA,))
NXDOMAIN = Reply("NXDOMAIN", authority=(SOA,))
REFUSED = Reply("REFUSED", "")
FORMERR = Reply("FORMERR", "")
NOTIMP = Reply("NOTIMP", "", question=False)
#: Of an error to which the question was not read, or not told.
BARE = FORMERR.but(question=False)
EDNS = ANSWER.but(opt=True, limit=UDP_SIZE)
BADVERS = Reply("BADVERS", "", opt=True)

AUTHORITY = [
    Case("SOA of the apex", "RFC 1035 3.3.13", query(), ANSWER),
    Case("NS of the apex, with its addresses", "RFC 1034 4.3.2", query(rrtype="NS"), Reply(answer=(NS,), additional=(NS_ADDRESS,))),
    Case("the same over TCP", "RFC 7766 5", query(), ANSWER, tcp=True),
    Case("addresses", "RFC 1034 4.3.2", query(WEB, "A"), Reply(answer=WEB_A)),
    Case("IPv6 addresses", "RFC 3596 2.1", query(WEB, "AAAA"), Reply(answer=WEB_AAAA)),
    Case("services, with the addresses of their targets", "RFC 2782", query(SERVICE, "SRV"), Reply(answer=SERVICES, additional=TARGETS)),
    *(
        Case(f"a name that does not exist: {rrtype}", "RFC 2308 2.1", query("nobody.marathon.mesos.", rrtype), NXDOMAIN)
        for rrtype in ("A", "AAAA", "SRV", "TXT", "TYPE666")
    ),
    *(
        Case(f"a name without such a record: {rrtype}", "RFC 2308 2.2", query(WEB, rrtype), NODATA)
        for rrtype in ("SRV", "TXT", "MX", "NS", "SOA", "CNAME", "TYPE666", "TYPE65534")
    ),
    *(
        Case(f"a name that has descendants only: {name}", "RFC 8020 2", query(name, "A"), NODATA)
        for name in ("mesos.", "_tcp.marathon.mesos.", "_tcp.mesos.")
    ),
    Case("below a name that does not exist", "RFC 8020 2", query(f"a.b.{WEB}", "A"), NXDOMAIN),
    Case(
        "random letter case comes back (0x20)", "RFC 1034 3.1",
        query("WeB.MaraThon.MeSoS.", "A"),
        Reply(answer=("WeB.MaraThon.MeSoS. 60 A 10.2.0.1", "WeB.MaraThon.MeSoS. 60 A 10.2.0.2")),
        bind=Reply(answer=WEB_A), why="RFC 4343 4.1 leaves it open: BIND gives owners in the case of its zone file",
    ),
    Case("a name that is not ours", "RFC 8906 3.1.1", query("www.example.org.", "A"), REFUSED),
    Case("the root", "RFC 8906 3.1.1", query(".", "NS"), REFUSED),
    Case("a name that only ends like ours", "RFC 1034 4.3.2", query("xmesos.", "A"), REFUSED),
    Case("the longest name there is", "RFC 1035 2.3.4", query(f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 53}.mesos.", "A"), NXDOMAIN),
    Case(
        "ANY over UDP: one record set", "RFC 8482 4.1",
        query(WEB, "ANY"), Reply(answer=WEB_A),
        bind=Reply(answer=WEB_A + WEB_AAAA), why="minimal-any is off by default: everything, as before RFC 8482",
    ),
    Case("ANY over TCP: everything", "RFC 8482 4.4", query(WEB, "ANY"), Reply(answer=WEB_A + WEB_AAAA), tcp=True),
    Case("ANY of a name that does not exist", "RFC 2308 2.1", query("nobody.mesos.", "ANY"), NXDOMAIN),
    Case("our zone in another class", "RFC 1034 3.6", query(WEB, "A", rrclass="CH"), REFUSED),
    Case("class NONE", "RFC 2136 2.4", query(WEB, "A", rrclass="NONE"), REFUSED, bind=FORMERR, why="BIND takes NONE for malformed outside UPDATE"),
    Case(
        "class ANY", "RFC 1035 4.3.1",
        query(WEB, "A", rrclass="ANY"), Reply(answer=WEB_A, flags=""),
        bind=FORMERR, why="No server is the authority for all classes: Go and we answer without AA, BIND not at all",
    ),
    Case("version.bind of who says nothing", "RFC 4892", query("version.bind.", "TXT", rrclass="CH"), REFUSED, bind=NODATA.but(authority=None), why="BIND has an empty built-in zone for it"),
]  # fmt: skip

HEADER = [
    *(
        Case(f"{flag.upper()} in the query", "RFC 8906 3.1.4", query(flags=flag), ANSWER.but(flags=f"aa {flag}" if flag in ("rd", "cd") else "aa"))
        for flag in ("aa", "tc", "rd", "ra", "z", "ad", "cd")
    ),
    Case("all of them", "RFC 8906 3.1.4", query(flags="aa tc rd ra z ad cd"), ANSWER.but(flags="aa rd cd")),
    Case("an RCODE in the query", "RFC 1035 4.1.1", raw(body=QUESTION, flags=0x0003), ANSWER),
    Case("an opcode that nobody has, and nothing else", "RFC 8906 3.1.3", raw((0, 0, 0, 0), flags=15 << 11), NOTIMP.but(opcode=15)),
    Case("the same with all flags", "RFC 8906 3.1.3", raw((0, 0, 0, 0), flags=15 << 11 | 0x07F0), NOTIMP.but(opcode=15)),
    *(
        Case(f"opcode {opcode} with a question", "RFC 8906 3.1.3", raw(body=QUESTION, flags=opcode << 11), NOTIMP.but(opcode=opcode))
        for opcode in (1, 2, 3, 6, 7)
    ),
    Case(
        "UPDATE", "RFC 2136 3.1", raw((1, 0, 1, 0), QUESTION + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\1\2\3\4", flags=5 << 11), NOTIMP.but(opcode=5),
        bind=REFUSED.but(opcode=5), why="BIND has UPDATE, and refuses it; we do not",
    ),
    Case(
        "NOTIFY that nobody waits for", "RFC 1996 3.10", raw(body=QUESTION, flags=4 << 11 | 0x0400), NOTIMP.but(opcode=4),
        bind=Reply(opcode=4), why="BIND can be a secondary, and acknowledges it even where it is none; we never are",
    ),
    Case("no question", "RFC 9619 4", raw((0, 0, 0, 0)), BARE),
    Case("two questions", "RFC 9619 4", raw((2, 0, 0, 0), QUESTION * 2), BARE),
    Case("QR is set", "RFC 1035 4.1.1", raw(body=QUESTION, flags=0x8000), None),
    *(
        Case(f"{size} octets", "RFC 1035 4.1.1", raw(body=QUESTION)[:size], None)
        for size in (0, 1, 2, 11)
    ),
    Case("a label of 64 octets", "RFC 1035 2.3.4", raw(body=b"\x40" + b"a" * 64 + QUESTION), BARE),
    Case("a label of an unknown kind", "RFC 6891 5", raw(body=b"\x80" + QUESTION), BARE),
    Case("a name that points to itself", "RFC 1035 4.1.4", raw(body=b"\xc0\x0c\0\1\0\1"), BARE),
    Case("a name of 256 octets", "RFC 1035 2.3.4", raw(body=b"\1a" * 127 + b"\1b\0\0\1\0\1"), BARE),
    Case("a question without its class", "RFC 1035 4.1.2", raw(body=QUESTION[:-2]), BARE),
    Case("a question that ends in its name", "RFC 1035 4.1.2", raw(body=QUESTION[:3]), BARE),
    Case("an answer in the query", "RFC 1035 4.1", raw((1, 1, 0, 0), QUESTION + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\1\2\3\4"), FORMERR, bind=ANSWER, why="BIND passes over it"),
    Case("a record that is announced and not there", "RFC 1035 4.1", raw((1, 0, 0, 1), QUESTION), FORMERR),
    Case("octets behind the message", "RFC 1035 4.1", raw(body=QUESTION + b"more"), ANSWER),
]  # fmt: skip

_COOKIE = (10, "0102030405060708")
EDNS_CASES = [
    Case("OPT in, OPT out", "RFC 6891 6.1.1", query(edns=0), EDNS),
    Case("no OPT in, none out", "RFC 6891 6.1.1", query(WEB, "TXT"), NODATA),
    Case("an error has an OPT record, too", "RFC 6891 6.1.1", query("www.example.org.", edns=0), REFUSED.but(opt=True, options=None)),
    Case("DO comes back", "RFC 3225 3", query(edns=0, ednsflags=0x8000), EDNS.but(do=True)),
    Case("DO and CD", "RFC 4035 3.2.2", query(edns=0, ednsflags=0x8000, flags="cd"), EDNS.but(do=True, flags="aa cd")),
    Case("an unknown flag", "RFC 6891 6.1.4", query(edns=0, ednsflags=0x0080), EDNS),
    Case("all flags", "RFC 6891 6.1.4", query(edns=0, ednsflags=0xFFFF), EDNS.but(do=True)),
    Case("an unknown option", "RFC 6891 6.1.2", query(edns=0, options=[(100, "")]), EDNS),
    Case("an unknown option with data", "RFC 6891 6.1.2", query(edns=0, options=[(65001, "0badc0de")]), EDNS),
    Case("padding over UDP", "RFC 7830 3", query(edns=0, options=[(12, "00" * 20)]), EDNS),
    Case("edns-tcp-keepalive over UDP", "RFC 7828 3.2.1", query(edns=0, options=[(11, "")]), EDNS),
    *(
        Case(f"version {version}{what}", "RFC 6891 6.1.3", query(edns=version, **more), BADVERS.but(do=what == ", DO"))
        for version in (1, 255)
        for what, more in (("", {}), (", an option", {"options": [(100, "")]}), (", a flag", {"ednsflags": 0x0080}), (", DO", {"ednsflags": 0x8000}))
    ),
    *(
        Case(f"a size of {size}", "RFC 6891 6.2.3", query("many.marathon.mesos.", "A", edns=0, size=size), Reply(flags="aa tc", answer=None, opt=True, limit=512))
        for size in (0, 100, 511, 512)
    ),
    Case("a size of 4096: ours is less", "RFC 9715 3", query("many.marathon.mesos.", "A", edns=0, size=4096), Reply(flags="aa tc", answer=None, opt=True, limit=UDP_SIZE)),
    Case("two OPT records", "RFC 6891 6.1.1", raw((1, 0, 0, 2), QUESTION + opt() + opt()), FORMERR),
    Case("OPT with a name", "RFC 6891 6.1.2", raw((1, 0, 0, 1), QUESTION + opt(owner=b"\1a\0")), FORMERR),
    Case("OPT longer than the message", "RFC 6891 6.1.2", raw((1, 0, 0, 1), QUESTION + opt(length=4)), FORMERR),
    Case("an option longer than OPT", "RFC 6891 6.1.2", raw((1, 0, 0, 1), QUESTION + opt(b"\0\x64\0\4\0")), FORMERR),
    Case("half an option", "RFC 6891 6.1.2", raw((1, 0, 0, 1), QUESTION + opt(b"\0\x64\0")), FORMERR),
]  # fmt: skip

COOKIES = [
    Case("a client cookie gets a server cookie", "RFC 7873 5.2.3", query(edns=0, options=[_COOKIE]), EDNS.but(options=("10 0102030405060708" + "?" * 32,))),
    Case("a server cookie that is not ours gets a fresh one", "RFC 7873 5.2.4", query(edns=0, options=[(10, "0102030405060708" + "01000000" + "5f" * 12)]), EDNS.but(options=("10 0102030405060708" + "?" * 32,))),
    *(
        Case(f"a cookie of {size} octets", "RFC 7873 5.2.2", query(edns=0, options=[(10, "aa" * size)]), FORMERR.but(opt=None))
        for size in (0, 1, 7, 9, 15, 41)
    ),
    Case("a cookie alone", "RFC 7873 5.4", raw((0, 0, 0, 1), opt(bytes.fromhex("000a0008") + b"\1\2\3\4\5\6\7\x08")), Reply(flags="", opt=True, question=False, options=("10 0102030405060708" + "?" * 32,))),
]  # fmt: skip

SIGNED = [
    Case("signed by a key that nobody knows", "RFC 8945 5.2.1", raw((1, 0, 0, 1), QUESTION + TSIG), Reply("NOTAUTH", ""), bind=Reply("NOTAUTH", "", additional=None), why="BIND verifies signatures, and says BADKEY in a TSIG record of its own; we verify none"),
    Case("signed, and something behind it", "RFC 8945 5.1", raw((1, 0, 0, 2), QUESTION + TSIG + opt()), FORMERR),
]  # fmt: skip

SIZES = [
    Case("what is too large for UDP is truncated", "RFC 2181 9", query("many.marathon.mesos.", "A"), Reply(flags="aa tc", answer=None)),
    Case("and complete over TCP", "RFC 7766 5", query("many.marathon.mesos.", "A"), Reply(answer=100, limit=65535), tcp=True),
    Case("so are services, with all addresses", "RFC 7766 5", query("_many._tcp.marathon.mesos.", "SRV"), Reply(answer=100, additional=None, limit=65535), tcp=True),
    Case("services in the least room, with the addresses that fit", "RFC 2181 9", query(SERVICE, "SRV", edns=0, size=512), Reply(answer=SERVICES, additional=TARGETS, opt=True), bind=Reply(answer=SERVICES, opt=True), why="BIND's is larger, and what does not fit is left out without TC"),
]  # fmt: skip

TRANSFER = [
    Case("AXFR over TCP by anybody", "RFC 5936 5", query(rrtype="AXFR"), REFUSED, tcp=True),
    Case("AXFR over UDP", "RFC 5936 4.2", query(rrtype="AXFR"), REFUSED),
    Case("IXFR over TCP by anybody", "RFC 1995 2", raw((1, 0, 1, 0), QUESTION[:-4] + b"\0\xfb\0\1" + b"\xc0\x0c\0\6\0\1\0\0\0\0\0\x16\0\0" + bytes(20)), REFUSED, tcp=True),
]  # fmt: skip

CASES = {
    "authority": AUTHORITY,
    "header": HEADER,
    "EDNS": EDNS_CASES,
    "cookies": COOKIES,
    "sizes": SIZES,
    "signatures": SIGNED,
    "transfer": TRANSFER,
}
