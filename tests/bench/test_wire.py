import random

import dns.edns
import dns.flags
import dns.message
import pytest

from bench import wire


def test_a_plain_query_is_what_dnspython_reads():
    message = dns.message.from_wire(wire.query("leader.mesos.", wire.A, identifier=0x1234))
    assert message.id == 0x1234
    assert message.flags == dns.flags.RD
    assert message.question[0].to_text() == "leader.mesos. IN A"
    assert message.edns == -1


def test_a_query_with_a_cookie_carries_it_in_edns():
    message = dns.message.from_wire(wire.query("leader.mesos", wire.SRV, size=1232, cookie=b"12345678"))
    assert message.payload == 1232
    (option,) = message.options
    assert option.otype == dns.edns.OptionType.COOKIE
    assert option.to_wire() == b"12345678"


def test_a_cookie_without_edns_is_refused():
    with pytest.raises(ValueError, match="give a size"):
        wire.query("a.mesos.", wire.A, cookie=b"12345678")


@pytest.mark.parametrize("name", ["a..mesos.", "x" * 64 + ".mesos."])
def test_a_label_that_cannot_be_is_refused(name):
    with pytest.raises(ValueError, match="expected 1 to 63"):
        wire.name_octets(name)


def test_the_root_is_one_octet():
    assert wire.name_octets(".") == b"\0"


def test_replies_say_their_code_and_count():
    query = dns.message.make_query("gone.mesos.", "A")
    reply = dns.message.make_response(query)
    reply.set_rcode(dns.rcode.NXDOMAIN)
    assert wire.code(reply.to_wire()) == 3
    assert wire.answers(reply.to_wire()) == 0


def test_a_reply_shorter_than_a_header_is_refused():
    with pytest.raises(ValueError, match="at least the 12"):
        wire.code(b"short")
    with pytest.raises(ValueError, match="at least the 12"):
        wire.answers(b"")


def test_a_stream_frames_each_message():
    assert wire.stream([b"ab", b"", b"c"]) == b"\0\2ab\0\0\0\1c"


def test_random_octets_are_not_mistaken_for_a_query():
    octets = random.Random(1).randbytes(12)
    assert 0 <= wire.code(octets) < 16
