"""Unbound as upstream: many questions at once over UDP, TCP and TLS."""

import textwrap

import pytest
from tests.integration.daemons import server
from tests.integration.program import free_port, need
from tests.serve.forward.asked import Asked, outcomes

from mesos_dns.serve.forward.pool import UdpPool
from mesos_dns.serve.forward.stream import StreamPool
from mesos_dns.serve.forward.tls import strict_context

QUESTIONS = 300


@pytest.fixture
def unbound(tmp_path, certificates):
    """The ports for plain text and for TLS of a resolver that knows `nNNN.example.test.`, each with an address of its own."""
    binary, port, tls_port = need("unbound"), free_port(), free_port()
    data = "\n".join(f"local-data: 'n{n}.example.test. A 10.0.{n >> 8}.{n & 255}'" for n in range(QUESTIONS))
    head = textwrap.dedent(f"""
        remote-control:
            control-enable: no
        server:
            interface: 127.0.0.1@{port}
            interface: 127.0.0.1@{tls_port}
            port: {port}
            tls-port: {tls_port}
            tls-service-key: "{certificates.path("server.key")}"
            tls-service-pem: "{certificates.path("server.pem")}"
            username: ""
            chroot: ""
            directory: "{tmp_path}"
            pidfile: "{tmp_path}/unbound.pid"
            use-syslog: no
            do-daemonize: no
            num-threads: 1
            local-zone: "example.test." static
    """)
    config = tmp_path / "unbound.conf"
    config.write_text(head + data + "\n")
    with server([binary, "-d", "-p", "-c", str(config)], port, tmp_path / "unbound.log", name="n0.example.test."):
        yield port, tls_port


@pytest.mark.parametrize("over", ["UDP", "TCP", "TLS"])
async def test_each_question_gets_its_own_answer(unbound, certificates, over):
    port, tls_port = unbound
    address = ("127.0.0.1", tls_port, "resolver.example") if over == "TLS" else ("127.0.0.1", port)
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
