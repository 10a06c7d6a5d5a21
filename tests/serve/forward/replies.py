"""Replies of upstreams, as transcripts."""

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from tests.serve.asking import ask, parse

SECTIONS = {"answer": 1, "authority": 2, "additional": 3}


def question(name="www.example.test.", qtype="A", **options):
    """The query of a client."""
    return parse(ask(name, qtype, **options))


def reply_to(query, transcript="", *, rcode="NOERROR", flags=dns.flags.RA, edns=False):
    """The upstream's reply, each line of the transcript a record: `section owner TTL type rdata`."""
    asked = dns.message.from_wire(query.octets)
    reply = dns.message.Message(asked.id)
    reply.question = asked.question
    reply.flags = dns.flags.QR | dns.flags.RD | flags
    for line in transcript.strip().splitlines():
        section, owner, ttl, kind, *rdata = line.split()
        rrset = dns.rrset.from_text(owner, int(ttl), "IN", kind, " ".join(rdata))
        reply.section_from_number(SECTIONS[section]).append(rrset)
    if edns:
        reply.use_edns(0, 0, 4096)
    reply.set_rcode(dns.rcode.from_text(rcode))
    return reply.to_wire(want_shuffle=False)


def transcript(octets):
    """The records of a message, a line for each, as in `reply_to`."""
    message = dns.message.from_wire(octets, one_rr_per_rrset=True)
    return [
        f"{name} {rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {rrset[0].to_text()}"
        for name, number in SECTIONS.items()
        for rrset in message.section_from_number(number)
    ]
