"""The datagrams of sd_notify(3), and the variables of the watchdog."""

import logging
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.systemd import MAX_STATUS, ServiceManager, message, present


@pytest.fixture
def heard(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


def manager(**environ):
    return ServiceManager(environ, 7)


def test_a_word_is_one_datagram(heard, tmp_path):
    it = manager(NOTIFY_SOCKET=str(tmp_path / "notify"))
    assert it.tell({"READY": 1, "STATUS": "5 names"})
    assert heard.recv(100) == b"READY=1\nSTATUS=5 names"


@given(st.text())
def test_whatever_a_status_holds_it_is_one_line(text):
    octets = message({"STATUS": text, "READY": 1})
    first, second = octets.decode().split("\n")
    assert first.startswith("STATUS=")
    assert len(first) <= len("STATUS=") + MAX_STATUS
    assert first.isprintable()
    assert second == "READY=1"


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
def test_without_a_manager_of_this_machine_nothing_is_told(address):
    it = manager(NOTIFY_SOCKET=address, WATCHDOG_USEC="1000000")
    assert (it.is_there, it.watchdog, it.tell({"READY": 1})) == (False, None, False)


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("3000000", "", 3.0),
        ("3000000", "7", 3.0),
        ("3000000", "8", None),
        ("3000000", "x", None),
        ("", "7", None),
        ("0", "", None),
        ("-1", "", None),
        ("٣", "", None),
        ("9" * 10_000, "", None),
    ],
)
def test_the_watchdog_is_for_whom_it_names(usec, pid, seconds):
    assert manager(NOTIFY_SOCKET="@x", WATCHDOG_USEC=usec, WATCHDOG_PID=pid).watchdog == seconds


def test_a_manager_that_is_gone_is_told_of_once_and_when_it_is_back(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = str(tmp_path / "notify")
    it = manager(NOTIFY_SOCKET=path)
    assert not it.tell({"READY": 1})
    assert not it.tell({"READY": 1})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        assert it.tell({"READY": 1})
        # One that does not read is not waited for.
        while it.tell({"STATUS": "x" * 100}):
            pass
    assert [record.getMessage() for record in caplog.records] == [
        f"systemd cannot be told how it goes: {path}: No such file or directory",
        "systemd is told again how it goes",
    ]


def test_that_of_this_process(monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "@here")
    assert present().is_there
