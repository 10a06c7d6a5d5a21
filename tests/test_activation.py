"""Sockets that a service manager hands over: which are taken, and what is said of others."""

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns import activation
from mesos_dns.activation import Inherited, inherited
from mesos_dns.assembly import Place
from mesos_dns.sockets import BindError

UDP, TCP = socket.SOCK_DGRAM, socket.SOCK_STREAM
PID = os.getpid()


@pytest.fixture
def opened():
    """`opened(kind, host)`: a socket of any free port, closed at the end."""
    found = []

    def make(kind, host="127.0.0.1", *, listens=True, only_v6=True):
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        found.append(sock)
        if ":" in host:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_v6)
        sock.bind((host, 0))
        if kind == TCP and listens:
            sock.listen()
        return sock

    yield make
    for sock in found:
        sock.close()


def handed(monkeypatch, *descriptors, **variables):
    """What the process gets of copies of these descriptors, and the environment that is left."""
    # Consecutive ones, as the service manager makes them, out of the way of all others.
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, 500 + number)
    monkeypatch.setattr(activation, "_FIRST", 500)
    environ = {"LISTEN_PID": str(PID), "LISTEN_FDS": str(len(descriptors)), "PATH": "/bin", **variables}
    return inherited(environ, PID), environ


def place(sock, host=None, key="Port"):
    own, port = sock.getsockname()[:2]
    return Place(key, "DNS", sock.type, host or own, port)


def test_they_are_taken_by_what_they_are(opened, monkeypatch):
    udp, tcp, web = opened(UDP), opened(TCP), opened(TCP, "::1")
    found, environ = handed(monkeypatch, *(sock.fileno() for sock in (udp, tcp, web, udp)))
    assert (repr(found), environ) == ("Inherited(4)", {"PATH": "/bin"})
    places = [place(udp), place(tcp), place(web, "0:0:0:0:0:0:0:1", "HttpPort")]
    found.check(places)
    copies = [found.copies(one) for one in places]
    assert [len(one) for one in copies] == [2, 1, 1]
    for one, original in zip(copies, (udp, tcp, web), strict=True):
        for sock in one:
            assert sock.getsockname() == original.getsockname()
            assert not sock.getblocking()
            sock.close()
    found.close()


@pytest.mark.parametrize("whose", ["", "1", "nonsense"])
def test_those_of_another_process_are_none_of_ours(whose):
    environ = {"LISTEN_PID": whose, "LISTEN_FDS": "3"}
    assert len(inherited(environ, PID)) == 0
    assert environ == {}


@given(st.text(max_size=30).filter(lambda text: not (text.isascii() and text.isdigit())))
def test_any_text_is_judged(count):
    with pytest.raises(BindError, match="expected a number from 0 to 256"):
        inherited({"LISTEN_PID": str(PID), "LISTEN_FDS": count}, PID)


@pytest.mark.parametrize("count", ["-1", "257", "1e3", "", "٣", "9" * 5000])
def test_what_is_no_number_of_descriptors_is_refused(count):
    with pytest.raises(BindError, match="expected a number from 0 to 256"):
        inherited({"LISTEN_PID": str(PID), "LISTEN_FDS": count}, PID)


def test_a_file_is_no_socket(monkeypatch, tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    with path.open() as file, pytest.raises(BindError, match="is no socket: Socket operation on non-socket"):
        handed(monkeypatch, file.fileno())
    os.close(500)


def test_sockets_of_other_kinds_are_refused(opened, monkeypatch):
    with socket.socket(socket.AF_UNIX, UDP) as unix, pytest.raises(BindError, match="of the family AF_UNIX"):
        handed(monkeypatch, unix.fileno())
    with pytest.raises(BindError, match=r"hands over TCP 127\.0\.0\.1:\d+; expected .* that listen"):
        handed(monkeypatch, opened(TCP, listens=False).fileno())


def test_all_addresses_must_be_all(opened, monkeypatch):
    with pytest.raises(BindError, match="say BindIPv6Only=both"):
        handed(monkeypatch, opened(UDP, "::").fileno())
    found, _ = handed(monkeypatch, opened(UDP, "::", only_v6=False).fileno())
    found.close()


def test_what_nobody_wants_is_told(opened, monkeypatch):
    udp, tcp = opened(UDP), opened(TCP)
    found, _ = handed(monkeypatch, udp.fileno(), LISTEN_FDNAMES="mesos-dns.socket")
    with pytest.raises(BindError) as told:
        found.check([place(tcp)])
    assert str(told.value).startswith(
        f"the service manager hands over UDP 127.0.0.1:{udp.getsockname()[1]} ('mesos-dns.socket'), which the configuration does "
        f"not want: expected TCP 127.0.0.1:{tcp.getsockname()[1]} (Port); let ListenDatagram="
    )
    # The same port of another address is another place, and a host name is no address.
    for host in ("127.0.0.2", "localhost"):
        with pytest.raises(BindError):
            found.check([place(udp, host)])
    with pytest.raises(BindError, match="expected nothing"):
        found.check([])
    found.close()
    Inherited().check([])
