"""What this machine has, judged; and who may read which file."""

import os
import socket
from pathlib import Path

import pytest
from tests.certificates import Certificates

from mesos_dns.assembly import plan
from mesos_dns.certificates import Certificate, KeyPair
from mesos_dns.config import Account, Config
from mesos_dns.preflight import machine
from mesos_dns.preflight.findings import Level
from mesos_dns.preflight.machine import Machine

ENOUGH = Machine(soft=1024, hard=524288, cores=4, memory=8 * 2**30, uid=1000)
CONFIG = Config(masters=("127.0.0.1:5050",), workers=2)
DAY = 86400


def levels(found, config=CONFIG):
    return {line.subject: line.level for line in machine.judge(found, plan(config))}


def test_an_ordinary_machine_is_enough():
    assert levels(ENOUGH) == {"open files": Level.OK, "memory": Level.OK, "processors": Level.OK}
    assert levels(ENOUGH._replace(soft=None, hard=None, memory=None)) == {
        "open files": Level.OK,
        "processors": Level.OK,
    }


@pytest.mark.parametrize(
    ("lack", "subject"),
    [
        ({"hard": 4096}, "open files"),
        ({"soft": 256}, "open files"),
        ({"memory": 10**7}, "memory"),
        ({"cores": 1}, "processors"),
    ],
)
def test_what_there_is_too_little_of_is_a_warning(lack, subject):
    found = levels(ENOUGH._replace(**lack))
    assert found.pop(subject) is Level.WARN
    assert set(found.values()) == {Level.OK}


def test_without_dns_fewer_files_are_needed():
    assert levels(ENOUGH._replace(hard=4096), Config(masters=CONFIG.masters, dns_on=False))["open files"] is Level.OK


@pytest.mark.parametrize(("uid", "level"), [(0, Level.OK), (53, Level.OK), (1000, Level.FAIL)])
def test_to_be_another_user_takes_root(uid, level):
    config = Config(masters=CONFIG.masters, user="dns", account=Account(53, 53, (53,)))
    assert levels(ENOUGH._replace(uid=uid), config)["User"] is level


def test_this_machine_can_be_looked_at():
    found = machine.this_machine()
    assert found.uid == os.geteuid()
    assert found.cores >= 1
    assert found.memory is None or found.memory > 0


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "right", "account", "expected"),
    [
        (0o600, 4, Account(4711, 1, ()), True),
        (0o600, 4, Account(1, 4712, ()), False),
        (0o640, 4, Account(1, 4712, ()), True),
        (0o640, 4, Account(1, 1, (4712,)), True),
        (0o640, 4, Account(1, 1, ()), False),
        (0o604, 4, Account(1, 1, ()), True),
        # The first class that fits decides, as in the kernel.
        (0o044, 4, Account(4711, 4712, ()), False),
        (0o604, 4, Account(1, 4712, ()), False),
        (0o710, 1, Account(1, 4712, ()), True),
        (0o740, 1, Account(1, 4712, ()), False),
        (0o000, 4, Account(0, 0, ()), True),
    ],
)
def test_modes_say_who_may(mode, right, account, expected):
    found = os.stat_result((mode, 0, 0, 1, 4711, 4712, 0, 0, 0, 0))
    assert machine.may(account, found, right) is expected


def test_whoever_may_not_pass_a_folder_cannot_read_what_is_in_it(tmp_path):
    path = tmp_path / "key.pem"
    path.write_bytes(b"")
    path.chmod(0o644)
    tmp_path.chmod(0o700)
    assert not machine.readable_by(Account(4711, 4711, ()), path)
    assert machine.readable_by(Account(0, 0, ()), path)


def test_files_of_another_user_are_looked_at(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{}")
    path.chmod(0o600)
    config = Config(
        masters=CONFIG.masters, file=str(path), ca_cert_file=str(tmp_path / "gone"), account=Account(4712, 4712, ())
    )
    found = {line.subject: line.level for line in machine.files(config)}
    assert found == {"File": Level.WARN, "CACertFile": Level.FAIL}
    assert [line.level for line in machine.files(Config(masters=CONFIG.masters, file=str(path)))] == [Level.OK]


@pytest.mark.parametrize("account", [None, Account(0, 0, ()), Account(4711, 4711, ())])
def test_the_query_log_must_be_writable(tmp_path, account):
    def found(to):
        config = Config(masters=CONFIG.masters, query_log_to=to, account=account)
        return [(line.level, line.found) for line in machine.query_log(plan(config))]

    tmp_path.chmod(0o700)
    path = tmp_path / "queries"
    may = account is None or account.uid == 0
    assert found("") == []
    # Neither the one that is to be made, nor the one that is there.
    for place in (tmp_path, path):
        assert found(f"json:{path}") == [
            (Level.OK, f"json:{path} can be written") if may else (Level.WARN, f"{place} cannot be written")
        ]
        path.touch()
    gone = f"{tmp_path}/gone/queries"
    assert found(f"json:{gone}")[0][0] is Level.WARN
    assert found(f"json+unix:{gone}") == [(Level.WARN, f"{gone} is no socket")]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{tmp_path}/listening")
        assert found(f"dnstap+unix:{tmp_path}/listening")[0][0] is Level.OK


def test_standard_input_is_no_file():
    assert machine.files_of(Config(masters=CONFIG.masters, file="-")) == {}


# --- certificates --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "level", "says"),
    [(300, Level.OK, "valid for 300 days"), (3, Level.WARN, "expires in 3 days"), (-1, Level.FAIL, "has expired")],
)
def test_this_servers_certificate(days, level, says):
    config = Config(masters=CONFIG.masters, certificate=Certificate(KeyPair(b"", b""), "/c.pem", 0.0, 1e9 + days * DAY))
    (found,) = machine.certificates(config, 1e9)
    assert (found.level, says in found.found) == (level, True)


def test_authorities(tmp_path, monkeypatch):
    config = Config(masters=CONFIG.masters, ca_cert_file=Certificates.issued(tmp_path).path("ca.pem"))
    now = Path(config.ca_cert_file).stat().st_mtime
    (ending,) = machine.certificates(config, now)
    assert (ending.level, ending.found) == (Level.WARN, f"{config.ca_cert_file}, 1 certificate, valid for 1 day")
    monkeypatch.setattr(machine, "EXPIRY_WARNING_SECONDS", 60.0)
    assert [line.level for line in machine.certificates(config, now)] == [Level.OK]
    (ended,) = machine.certificates(config, now + 10_000 * DAY)
    assert (ended.level, "1 of them not valid now" in ended.found) == (Level.FAIL, True)
    # A certificate that stands for itself is no authority, and has no dates here.
    (single,) = machine.certificates(Config(masters=CONFIG.masters, ca_cert_file=str(tmp_path / "server.pem")), now)
    assert (single.level, single.found.endswith("has no authorities, but certificates")) == (Level.OK, True)
    (gone,) = machine.certificates(Config(masters=CONFIG.masters, ca_cert_file=str(tmp_path / "gone")), now)
    assert gone.level is Level.FAIL
