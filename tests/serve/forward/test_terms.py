"""Which questions about outside names are not for upstreams."""

import dns.flags
import dns.rcode
from tests.serve.asking import ask, parse, read
from tests.serve.forward.upstreams import NAME, REFUSE

from mesos_dns.dns import name as names
from mesos_dns.metrics import Counts
from mesos_dns.serve.forward.private import PrivateZones
from mesos_dns.serve.forward.terms import Terms
from mesos_dns.serve.request import Forward

PRIVATE = PrivateZones([names.from_text("local")], [], recursion=True)


def answer(terms, *question, **more):
    counts = Counts()
    reply = terms.answer_here(Forward(parse(ask(*question, **more))), REFUSE, counts)
    return reply and read(reply), dict(counts.snapshot())


def test_usual_questions_are_for_upstreams():
    assert answer(Terms(), NAME) == (None, {})
    assert answer(Terms(private=PRIVATE), NAME) == (None, {})


def test_without_rd_nobody_is_asked():
    reply, counts = answer(Terms(), NAME, flags=0, payload=1232)
    assert (reply.rcode(), counts) == (dns.rcode.REFUSED, {"forward_not_recursive": 1})
    assert [(int(option.code), option.text) for option in reply.options] == [(20, None)]
    assert not reply.flags & (dns.flags.RD | dns.flags.AA)
    assert answer(Terms(non_recursive=True), NAME, flags=0) == (None, {})


def test_private_names_are_answered_with_rd_and_without():
    for flags in (0, dns.flags.RD):
        reply, counts = answer(Terms(private=PRIVATE), "a.local.", flags=flags)
        assert (reply.rcode(), counts) == (dns.rcode.NXDOMAIN, {"forward_private": 1})
