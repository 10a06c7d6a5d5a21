"""Answers for query logs."""

import dns.flags
import dns.message
import dns.rrset
from tests.serve.asking import ask

from mesos_dns.querylog.answered import Answered

CLIENT = bytes((192, 0, 2, 7))
BEGAN = 1_795_753_888.195_204


def reply_to(query, *records, rcode=0, flags=dns.flags.AA, edns=None, options=()):
    """A reply in dnspython's words, with a line of a master file for each record."""
    reply = dns.message.make_response(dns.message.from_wire(query), recursion_available=True)
    reply.flags |= flags
    for record in records:
        owner, ttl, rrclass, rrtype, data = record.split(None, 4)
        reply.answer.append(dns.rrset.from_text(owner, int(ttl), rrclass, rrtype, data))
    if edns is not None:
        reply.use_edns(0, payload=edns, options=list(options))
    reply.set_rcode(rcode)
    return reply.to_wire()


def answered(query=None, reply=None, **others):
    """An answer to a question for an address."""
    query = ask("web.marathon.mesos.") if query is None else query
    reply = reply_to(query, "web.marathon.mesos. 60 IN A 10.0.0.1") if reply is None else reply
    values = {"transport": "udp", "client": CLIENT, "port": 40000, "began": BEGAN, "ended": BEGAN + 0.0015} | others
    return Answered(query=query, reply=reply, **values)
