"""Ports: what a start would bind, who has them, and what to say of it."""

import errno
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.assembly import Place, plan
from mesos_dns.config import Config
from mesos_dns.preflight.findings import Level
from mesos_dns.preflight.holders import Holder, holders, inodes_of
from mesos_dns.preflight.listeners import Answered, judge, version_words

DNS = Place("Port", "DNS", socket.SOCK_DGRAM, "0.0.0.0", 53)
UDP = """\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  427: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 11111 2 0000000000000000 0
  528: 00000000:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 22222 2 0000000000000000 0
""".splitlines()
TCP = """\
   0: 00000000:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 33333 1 0000000000000000 100 0
   1: 0100007F:0035 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 44444 1 0000000000000000 100 0
   2: 0100007F:0035 0100007F:9C41 06 00000000:00000000 00:00000000 00000000     0        0 0 3 0000000000000000
""".splitlines()


def test_a_start_binds_what_is_served():
    config = Config(masters=("127.0.0.1:5050",), listener="10.0.0.1", http_listener="", http_port=0, tls_on=True)
    assert [str(place) for place in plan(config).places] == [
        "UDP 10.0.0.1:53",
        "TCP 10.0.0.1:53",
        "TCP 10.0.0.1:853",
    ]
    config = Config(masters=("127.0.0.1:5050",), dns_on=False, http_listener="::1", https_on=True)
    assert [str(place) for place in plan(config).places] == ["TCP [::1]:8123", "TCP [::1]:443"]


def test_sockets_are_found_by_their_port():
    assert list(inodes_of(UDP, 53, listening=False)) == ["11111"]
    assert list(inodes_of(UDP, 8080, listening=False)) == ["22222"]
    # Of TCP those that listen: not its connections.
    assert list(inodes_of(TCP, 53, listening=True)) == ["33333"]


@given(st.lists(st.text(max_size=100), max_size=5), st.integers(0, 65535), st.booleans())
def test_any_table_is_read(lines, port, listening):
    assert list(inodes_of(lines, port, listening=listening)) is not None


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_this_process_is_found(kind, address):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as sock:
        sock.bind((address, 0))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        assert os.getpid() in [one.pid for one in holders(kind, sock.getsockname()[1])]


@pytest.mark.parametrize(
    ("number", "who", "level", "says"),
    [
        (errno.EADDRINUSE, (Holder(7, "mesos-dns"),), Level.OK, "'mesos-dns', process 7): a reload keeps it"),
        (errno.EADDRINUSE, (Answered("it answers as 'ns1'"),), Level.OK, "(it answers as 'ns1')"),
        (errno.EACCES, (Answered("version '0.1.0'"),), Level.OK, "held by a Mesos-DNS that runs"),
        (errno.EADDRINUSE, (Holder(1, "systemd"), Holder(7, "mesos-dns")), Level.OK, "held by a Mesos-DNS"),
        (errno.EADDRINUSE, (Holder(1, "systemd"),), Level.WARN, "held by 'systemd', process 1, for a socket unit"),
        (errno.EADDRINUSE, (Holder(1, "init"), Holder(7, "named")), Level.FAIL, "held by 'init', process 1"),
        (errno.EADDRINUSE, (Holder(7, "named"),), Level.FAIL, "held by 'named', process 7"),
        (errno.EADDRINUSE, (), Level.FAIL, "the error"),
        (errno.EACCES, (), Level.FAIL, "the error"),
        (errno.EADDRNOTAVAIL, (), Level.FAIL, "the error"),
    ],
)
def test_what_to_say_of_a_port_that_is_taken(number, who, level, says):
    found = judge(DNS, "bind", "the error", number, who)
    assert (found.level, found.subject) == (level, "UDP 0.0.0.0:53")
    assert says in found.found
    assert bool(found.advice) is (level is not Level.OK)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"Service":"Mesos-DNS","Version":"0.1.0","URL":"x"}', "version '0.1.0'"),
        (b'{"Service":"Marathon"}', ""),
        (b'{"Service":["Mesos-DNS"]}', ""),
        (b"<html>", ""),
        (b"[" * 100_000, ""),
        (b"\xff", ""),
    ],
)
def test_who_says_that_it_is_mesos_dns(body, words):
    assert version_words(body) == words
