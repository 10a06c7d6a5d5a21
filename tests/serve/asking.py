"""A small zone, and questions and answers in dnspython's words."""

from random import Random

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
from tests.zone.changes import edit

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.serve.answer import Answerer, AnswerOptions
from mesos_dns.serve.render import Response
from mesos_dns.serve.responder import Responder
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.zone import Authority, Zone
from mesos_dns.zone.zones import Zones

AUTHORITY = Authority(
    *(
        names.from_text("mesos"),
        names.from_text("ns1.mesos"),
        names.from_text("root.ns1.mesos"),
        60,
        600,
        86400,
        30,
        60,
    ),
    redirects=((names.from_text("agent.mesos"), names.from_text("slave.mesos")),),
)

RECORDS = """
chronos.marathon.mesos                        A    1.2.3.11
liquor.marathon.mesos                         A    10.3.0.1 10.3.0.2
toy.marathon.mesos                            A    12.0.1.2 12.0.1.3
toy.marathon.mesos                            AAAA fd01:b::1:8000:2
_liquor._tcp.marathon.mesos                   SRV  liquor-a.marathon.mesos:80 liquor-a.marathon.mesos:443
_liquor._tcp.marathon.mesos                   SRV  liquor-b.marathon.mesos:80 liquor-b.marathon.mesos:443
liquor-a.marathon.mesos                       A    10.3.0.1
liquor-b.marathon.mesos                       A    10.3.0.2
liquor-b.marathon.mesos                       AAAA fd00::2
_lost._tcp.marathon.mesos                     SRV  nobody.marathon.mesos:80
ns1.mesos                                     A    192.0.2.1
ns1.mesos                                     AAAA 2001:db8::53
*.marathon.mesos                              A    9.9.9.9
slave.mesos                                   A    10.0.0.1
agent.mesos                                   A    10.0.0.1
liquor-a.marathon.slave.mesos                 A    10.0.0.1
_liquor._tcp.marathon.slave.mesos             SRV  liquor-a.marathon.slave.mesos:31000
many.mesos                                    A    {many}
_many._tcp.mesos                              SRV  {targets}
""".format(
    many=" ".join(f"10.9.{n // 250}.{n % 250}" for n in range(60)),
    targets=" ".join(f"target-{n}.mesos:{n}" for n in range(60)),
)


def edits(table):
    """Edits that add the records of a table of lines `owner type value value ...`."""
    for line in filter(None, map(str.strip, table.splitlines())):
        owner, kind, *values = line.split()
        if kind == "SRV":
            pairs = (value.rsplit(":", 1) for value in values)
            rdataset = [rd.srv(1, int(port), names.from_text(target)) for target, port in pairs]
            yield edit(names.from_text(owner), rd.SRV, (), tuple(rdataset))
        else:
            rrtype = {"A": rd.A, "AAAA": rd.AAAA}[kind]
            yield edit(names.from_text(owner), rrtype, (), tuple(map(rd.pack_address, values)))


def make_zone(table=RECORDS, authority=AUTHORITY, serial=4711):
    zone = Zone(authority)
    zone.apply(ZoneChange(serial, tuple(edits(table))))
    return zone


def make_answerer(zone=None, *, recursion=True, truncate_bit=True, seed=0):
    return Answerer(
        Zones([make_zone() if zone is None else zone]), AnswerOptions(recursion, truncate_bit), Random(seed)
    )


def make_responder(zone=None, *, policy=None, cookies=None, **options):
    return Responder(make_answerer(zone, **options), policy, cookies)


def reply_of(answerer, query, limit=512, client=b"", *, tcp=False):
    """The whole reply of an answerer, or a `Forward`."""
    response = answerer.compose(query, limit, client, tcp=tcp)
    return response.message(query.octets) if isinstance(response, Response) else response


def ask(name, rdtype="A", rdclass="IN", *, identifier=0xBEEF, flags=dns.flags.RD, **edns):
    """The octets of a query; `edns`, `payload`, `ednsflags` and `options` as dnspython takes them."""
    query = dns.message.Message(identifier)
    query.flags = flags
    rdtype, rdclass = dns.rdatatype.RdataType.make(rdtype), dns.rdataclass.RdataClass.make(rdclass)
    query.question.append(dns.rrset.RRset(dns.name.from_text(name), rdclass, rdtype))
    if edns:
        query.use_edns(**({"edns": 0} | edns))
    return query.to_wire()


def parse(octets):
    """A query that must be well-formed."""
    query = msg.parse(octets)
    assert isinstance(query, msg.Query), query
    return query


def read(octets):
    """A reply, which dnspython must understand to the last octet."""
    reply = dns.message.from_wire(octets)
    assert reply.flags & dns.flags.QR
    return reply


def texts(section):
    """The records of a section, as a list of texts `owner ttl class type rdata`."""
    return [f"{rrset.name} {rrset.ttl} {text}" for rrset in section for text in _tail(rrset)]


def _tail(rrset):
    kind = f"{dns.rdataclass.to_text(rrset.rdclass)} {dns.rdatatype.to_text(rrset.rdtype)}"
    return [f"{kind} {rdata.to_text()}" for rdata in rrset]


def option(code, data=b""):
    return dns.edns.GenericOption(code, data)
