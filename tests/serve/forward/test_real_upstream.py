"""Unbound as upstream: many questions at once over UDP, TCP and TLS."""

import pytest
from tests.integration.unbound import unbound
from tests.serve.forward.asked import Asked, outcomes

from mesos_dns.serve.forward.pool import UdpPool
from mesos_dns.serve.forward.stream import StreamPool
from mesos_dns.serve.forward.tls import strict_context

QUESTIONS = 300


@pytest.fixture
def ports(tmp_path, certificates):
    """Those of a resolver that knows `nNNN.example.test.`, each with an address of its own."""
    records = [f"n{n}.example.test. A 10.0.{n >> 8}.{n & 255}" for n in range(QUESTIONS)]
    with unbound(tmp_path, certificates, records) as ports:
        yield ports


@pytest.mark.parametrize("over", ["UDP", "TCP", "TLS"])
async def test_each_question_gets_its_own_answer(ports, certificates, over):
    address = ("127.0.0.1", ports.tls, "resolver.example") if over == "TLS" else ("127.0.0.1", ports.plain)
    if over == "UDP":
        pool = UdpPool(most=QUESTIONS, most_per_upstream=QUESTIONS)
    elif over == "TCP":
        pool = StreamPool(most=QUESTIONS)
    else:
        pool = StreamPool(most=QUESTIONS, context=strict_context(certificates.path("ca.pem")))
    # Not more at once than its socket has room for: nobody asks again here.
    for first in range(0, QUESTIONS, 50):
        replies = await outcomes([Asked(pool, address, f"n{n}.example.test.") for n in range(first, first + 50)])
        for n, reply in enumerate(replies, first):
            assert reply[3] & 15 == 0
            assert bytes((10, 0, n >> 8, n & 255)) in reply
    pool.close()
