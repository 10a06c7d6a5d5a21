"""What of a question and its answer a log looks at."""

import dns.exception
import dns.message
import dns.name
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.querylog.given import reply_to
from tests.serve.asking import ask

from mesos_dns.querylog.answered import name_of, rcode_of


def test_the_name_is_in_lower_case():
    assert name_of(ask("Web.Marathon.MESOS.")) == b"\3web\x08marathon\5mesos\0"
    assert name_of(ask(".")) == b"\0"


@pytest.mark.parametrize(
    "octets",
    [b"", bytes(12), ask("web.mesos.")[:14], ask("web.mesos.")[:12] + b"\xc0\x0c", ask("web.mesos.")[:12] + b"\x40abc"],
)
def test_what_asks_for_nothing_has_no_name(octets):
    assert name_of(octets) is None


@given(st.binary(max_size=60) | st.builds(bytes.__add__, st.just(ask("a.b.")[:12]), st.binary(max_size=60)))
def test_a_name_is_what_dnspython_reads(octets):
    found = name_of(octets)
    try:
        theirs, _ = dns.name.from_wire(octets, 12)
    except dns.exception.DNSException:
        theirs = None
    if found is not None and len(found) <= 255:
        assert theirs is not None
        assert theirs.canonicalize().to_wire() == found


@pytest.mark.parametrize("rcode", [*range(11), 16, 23])
@pytest.mark.parametrize("edns", [True, False])
def test_an_rcode_is_whole(rcode, edns):
    if rcode < 16 or edns:
        reply = reply_to(ask("web.mesos.", payload=1232), rcode=rcode, edns=1232 if edns else None)
        assert rcode_of(reply) == rcode


def test_an_answer_with_records_has_no_upper_bits():
    query = ask("web.mesos.", payload=1232)
    assert rcode_of(reply_to(query, "web.mesos. 60 IN A 10.0.0.1", edns=1232)) == dns.rcode.NOERROR
