"""What tests of rewriting share: replies of an upstream, and what a client gets of them."""

import dns.flags
import dns.message
import dns.rrset
from tests.serve.asking import ask, option, parse, read, texts

from mesos_dns.dns import message as msg
from mesos_dns.serve.forward import rewrite
from mesos_dns.serve.request import Forward

QR, AA, TC, RD, RA, AD, CD = (dns.flags.QR, dns.flags.AA, dns.flags.TC, dns.flags.RD, dns.flags.RA, 0x20, dns.flags.CD)


def upstream_reply(octets, *records, flags=0, rcode=0, opt=False, identifier=None):
    """What dnspython's upstream says to the query `octets`; records as `section owner type rdata`."""
    query = dns.message.from_wire(octets)
    reply = dns.message.Message(query.id if identifier is None else identifier)
    reply.question = query.question
    reply.flags = QR | flags
    for record in records:
        section, owner, kind, *rdata = record.split()
        reply.section_from_number({"answer": 1, "authority": 2, "additional": 3}[section]).append(
            dns.rrset.from_text(owner, 300, "IN", kind, " ".join(rdata))
        )
    if opt:
        reply.use_edns(0, 0x8000, 4096, options=[option(65001, b"theirs")])
    reply.set_rcode(rcode)
    return reply.to_wire()


ADDRESS = "answer www.example.test. A 192.0.2.1"


MANY = [f"answer www.example.test. A 192.0.2.{n}" for n in range(60)]


def addresses(reply):
    return [text.split()[-1] for text in texts(reply.answer)]


def rewritten(octets, reply, *, limit=None, truncate_bit=True, trusted=False, client=b""):
    query = parse(octets)
    limit = limit or msg.udp_limit(query.edns)
    out = rewrite.for_client(reply, Forward(query, client), limit, truncate_bit=truncate_bit, trusted=trusted)
    assert len(out) <= limit
    return read(out)


ASKED = ask("www.example.test.")


def part(*records, client=b"\n\0\0\1", limit=512, truncate_bit=True, flags=0):
    """What is left of these records for a client."""
    reply = upstream_reply(ASKED, *records, flags=flags)
    return rewritten(ASKED, reply, client=client, limit=limit, truncate_bit=truncate_bit)
