"""What is put down in query logs, and what programs at the other end of one say."""

import json

from mesos_dns.querylog import dnstap, framestream, lines
from mesos_dns.querylog.answered import Answered
from mesos_dns.querylog.lines import MAX_TOLD

#: Addresses of clients, by the first octet of an input.
_CLIENTS = (b"", bytes((192, 0, 2, 1)), bytes(15) + b"\1", bytes(10) + b"\xff\xff\x0a\0\0\1")


def query_logs(octets: bytes) -> None:
    """Any query and any reply of 12 octets or more become one line, and a frame; what the other end says is understood or refused.

    The first octet chooses a client, the second says how many of the others are the query.
    """
    if len(octets) < 2:
        return
    client, end = _CLIENTS[octets[0] % len(_CLIENTS)], 2 + octets[1]
    query, reply = octets[2:end], octets[end:]
    if len(reply) >= 12:
        answered = Answered("udp", client, 53, query, reply, 1e9, 1e9 + 0.5)
        line = lines.line(answered)
        assert line.count(b"\n") == 1
        assert line.isascii() or line.decode()
        found = json.loads(line)
        assert found["octets"] == len(reply)
        assert len(found["answer"]) <= MAX_TOLD
        payload = dnstap.payload(answered)
        assert payload.count(reply)
        assert payload.count(query) or not query
    try:
        told = framestream.read_control(octets)
    except framestream.StreamError:
        return
    assert told is None or told[2] <= len(octets)
