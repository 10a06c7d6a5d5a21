import contextlib
import json
import socketserver
import threading

import pytest
from bench.tcp import load
from bench.tcp_client import Client, Plan, Replies
from hypothesis import given
from hypothesis import strategies as st
from tests.certificates import Certificates

from bench import tcp_client, wire

QUESTION = wire.query("leader.mesos.", wire.A)
NXDOMAIN = QUESTION[:3] + b"\3" + QUESTION[4:]


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(min_value=1, max_value=7))
def test_replies_are_cut_wherever_the_stream_was(found, step):
    stream, replies = wire.stream(found), Replies()
    cut = [message for place in range(0, len(stream), step) for message in replies.feed(stream[place : place + step])]
    assert cut == found


class Server(socketserver.ThreadingTCPServer):
    """Answers each message with `reply`; `closes` after a message instead, or is `silent`."""

    def __init__(self, reply=QUESTION, *, closes=False, silent=False):
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply, self.closes, self.silent = reply, closes, silent
        self.connections = self.questions = 0


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.server.connections += 1
        with contextlib.suppress(ConnectionError):
            while length := self.rfile.read(2):
                self.rfile.read(int.from_bytes(length, "big"))
                self.server.questions += 1
                if self.server.closes:
                    break
                if not self.server.silent:
                    self.wfile.write(wire.stream([self.server.reply]))


def ask(server, **plan):
    """Run a client against the server; when this returns every connection has ended."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        return Client(Plan(port=server.server_address[1], questions=[QUESTION], seconds=30, **plan)).run()
    finally:
        server.shutdown()
        server.server_close()  # waits for the threads of all connections
        thread.join()


class TlsServer(Server):
    """The same within TLS, with this certificate."""

    def __init__(self, certificates):
        super().__init__()
        self.context = certificates.server_context()

    def get_request(self):
        sock, address = super().get_request()
        return self.context.wrap_socket(sock, server_side=True), address


def test_questions_go_over_tls(tmp_path):
    server = TlsServer(Certificates.issued(tmp_path))
    done = ask(server, connections=2, count=6, per_connection=1, tls=True)
    assert done["answered"] >= 6
    assert done["failed"] == 0
    assert server.connections == done["opened"]


def test_each_question_has_a_connection_of_its_own():
    server = Server()
    found = ask(server, connections=2, per_connection=1, count=10)
    assert 10 <= found["answered"] <= 13  # nothing is cut off: what was out when the tenth came is waited for
    assert found["opened"] == found["answered"] == found["sent"] == server.questions
    assert (found["failed"], found["codes"]) == (0, {0: found["answered"]})


def test_connections_stay_and_keep_their_depth():
    server = Server(NXDOMAIN)
    found = ask(server, connections=3, depth=4, count=50)
    assert (found["opened"], server.connections) == (3, 3)
    assert found["answered"] == found["sent"] == server.questions
    assert found["codes"] == {3: found["answered"]}
    assert found["octets"] == found["answered"] * len(QUESTION)


def test_the_beginning_is_told_once(capsys):
    ask(Server(), connections=2, per_connection=1, count=20)
    assert capsys.readouterr().out == "begun\n"


def test_a_connection_that_the_server_ends_has_failed_and_is_replaced(monkeypatch):
    monkeypatch.setattr(Client, "_over", lambda self, _: self.failed >= 6)
    found = ask(Server(closes=True), connections=2, depth=2)
    assert found["failed"] >= 6
    assert found["answered"] == 0
    assert found["opened"] >= 4


def test_silence_is_given_up(monkeypatch):
    monkeypatch.setattr(tcp_client, "PATIENCE", 0.0)
    monkeypatch.setattr(Client, "_over", lambda self, _: self.failed > 0)
    found = ask(Server(silent=True), connections=1)
    assert (found["answered"], found["failed"] > 0) == (0, True)


def printed(**differing):
    figures = {"sent": 12, "answered": 10, "failed": 2, "octets": 500, "asked": 360, "opened": 12, "seconds": 2.0}
    return json.loads(json.dumps(figures | {"delay": 0.05, "slowest": 0.02, "codes": {0: 9, 3: 1}} | differing))


def test_its_figures_have_the_form_of_those_of_dnsperf():
    found = load(printed())
    assert (found.sent, found.answered, found.lost, found.qps) == (12, 10, 2, 5.0)
    assert (found.latency_ms, found.worst_ms) == (pytest.approx(5.0), 20.0)
    assert (found.request_octets, found.response_octets) == (30, 50)
    assert found.codes == {"NOERROR": 9, "NXDOMAIN": 1}


def test_a_run_without_answers_is_told_as_such():
    found = load(printed(sent=0, answered=0, octets=0, asked=0, codes={}))
    assert (found.qps, found.latency_ms, found.response_octets, found.codes) == (0.0, 0.0, 0, {})
