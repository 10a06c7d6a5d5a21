"""DNS over HTTPS: what is a DNS message in a request, and how long a reply may be kept."""

import base64
import re

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mesos_dns.web.doh import MAX_MESSAGE, UnfitError, decoded, is_message_type, lifetime

#: The example of RFC 8484 section 4.1.1: www.example.com, A.
RFC_QUERY = "AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB"


def test_the_example_of_the_rfc():
    assert dns.message.from_wire(decoded([RFC_QUERY])).question[0].to_text() == "www.example.com. IN A"


@given(st.binary(max_size=200))
def test_what_is_encoded_is_decoded(octets):
    assert decoded([base64.urlsafe_b64encode(octets).rstrip(b"=").decode()]) == octets


@given(st.text(max_size=40))
@example("AAA=")
@example("A")
@example("AA+/")
@example("AA\n")
@example("\u0661\u0661")
def test_any_text_is_decoded_or_refused(text):
    if not re.fullmatch("[A-Za-z0-9_-]*", text, re.ASCII) or len(text) % 4 == 1:
        with pytest.raises(UnfitError, match=r"^the parameter `dns` "):
            decoded([text])
        return
    # Unused bits in the last character may be anything.
    again = base64.urlsafe_b64encode(decoded([text])).rstrip(b"=").decode()
    assert (again[:-1], len(again)) == (text[:-1], len(text))


@pytest.mark.parametrize("values", [[], ["AAAA", "AAAA"]])
def test_one_parameter_is_expected(values):
    with pytest.raises(UnfitError, match="expected one parameter `dns`"):
        decoded(values)


@pytest.mark.parametrize(
    ("content_type", "fits"),
    [
        ("application/dns-message", True),
        ("Application/DNS-Message; charset=x", True),
        ("application/dns-json", False),
        ("application/dns-message2", False),
        ("", False),
        (None, False),
    ],
)
def test_media_types(content_type, fits):
    assert is_message_type(content_type) is fits


# --- how long ----------------------------------------------------------------------------------

SOA = "mesos. {} IN SOA ns1.mesos. root.ns1.mesos. 1 60 600 86400 {}"


def reply(*answers, authority=(), rcode=dns.rcode.NOERROR, flags=0, edns=0):
    message = dns.message.make_response(
        dns.message.make_query("web.mesos.", "A", use_edns=edns, id=1), our_payload=1232
    )
    message.set_rcode(rcode)
    message.flags |= flags
    for section, texts in ((message.answer, answers), (message.authority, authority)):
        section.extend(dns.rrset.from_text(*text.split(None, 4)) for text in texts)
    return message.to_wire()


@pytest.mark.parametrize(
    ("octets", "seconds"),
    [
        (reply("web.mesos. 60 IN A 10.0.0.1", "w.mesos. 30 IN A 10.0.0.2"), 30),
        (reply("web.mesos. 60 IN A 10.0.0.1", authority=[SOA.format(5, 5)]), 60),
        (reply("web.mesos. 0 IN A 10.0.0.1"), 0),
        (reply(authority=[SOA.format(60, 30)]), 30),
        (reply(authority=[SOA.format(20, 30)], rcode=dns.rcode.NXDOMAIN), 20),
        (reply("web.mesos. 60 IN CNAME x.mesos.", authority=[SOA.format(20, 30)], rcode=dns.rcode.NXDOMAIN), 20),
        (reply(), 0),
        (reply(authority=[SOA.format(60, 30)], rcode=dns.rcode.SERVFAIL), 0),
        (reply(rcode=dns.rcode.REFUSED), 0),
        (reply("web.mesos. 60 IN A 10.0.0.1", flags=dns.flags.TC), 0),
        (reply("web.mesos. 60 IN A 10.0.0.1")[:-20], 0),
        (b"", 0),
    ],
)
def test_how_long_a_reply_may_be_kept(octets, seconds):
    assert lifetime(octets) == seconds


def test_a_ttl_beyond_31_bits_means_nothing():
    octets = bytearray(reply("web.mesos. 60 IN A 10.0.0.1", edns=False))
    octets[-10:-6] = b"\x80\0\0\0"
    assert lifetime(bytes(octets)) == 0


@given(st.binary(max_size=100), st.integers(0, 60))
def test_any_octets_have_a_lifetime(octets, at):
    whole = reply("web.mesos. 60 IN A 10.0.0.1", authority=[SOA.format(60, 30)])
    assert 0 <= lifetime(octets) < 1 << 31
    assert 0 <= lifetime(whole[:at] + octets + whole[at + 1 :]) < 1 << 31
    assert MAX_MESSAGE == 65535
