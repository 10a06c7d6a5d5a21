"""Padding of queries over TLS."""

import dns.edns
import dns.message
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.forward.replies import question

from mesos_dns.serve.forward.padding import BLOCK_OCTETS, padded
from mesos_dns.serve.forward.rewrite import question as asked

LABELS = st.text("abc", min_size=1, max_size=60)


@given(st.lists(LABELS, min_size=1, max_size=4), st.booleans())
def test_queries_have_few_sizes_and_say_the_same(labels, do):
    query = asked(question(".".join(labels) + ".", payload=4096, ednsflags=0x8000 if do else 0), 7)
    made = padded(query)
    assert len(made) % BLOCK_OCTETS == 0
    assert len(query) + 4 <= len(made) < len(query) + 4 + BLOCK_OCTETS
    plain, message = dns.message.from_wire(query), dns.message.from_wire(made)
    assert message == plain
    assert (message.payload, message.ednsflags) == (plain.payload, plain.ednsflags)
    (option,) = message.options
    assert option.otype == dns.edns.OptionType.PADDING
    assert not any(option.to_wire())
