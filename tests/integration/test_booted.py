"""The Debian package on a machine that systemd runs: started, reloaded, upgraded and removed with its unit, as administrators do."""

import json
import shutil
import subprocess
from collections.abc import Generator

import pytest
from tests.integration import booted, debian
from tests.integration.debian import dpkg
from tests.integration.program import until
from tests.integration.throwaway import Root

CONFIG = "/etc/mesos-dns/config.json"
GOOD = json.dumps({"Masters": ["127.0.0.1:15050"], "ExternalOn": False, "LameDuckSeconds": 1})


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Generator[Root]:
    """With the package installed, its configuration written, and a cluster on its loopback."""
    debian.contents(tmp_path_factory.mktemp("deb") / "contents")
    with booted.machine() as made:
        shutil.copy(debian.package(), made.path("/root/new.deb"))
        dpkg(made, "--install", "/root/new.deb")
        quiet = ("--no-server", "--churn=0", "--failover-every=0")
        demo = ("--setenv=PYTHONPATH=/usr/lib/mesos-dns", "python3", "-m", "mesos_dns.demo", *quiet)
        made.run("systemd-run", "--quiet", "--unit=cluster", *demo)
        health = [*made.under, "curl", "-sf", "http://127.0.0.1:15050/master/health"]
        until(
            lambda: subprocess.run(health, capture_output=True, check=False, timeout=20).returncode == 0, "no cluster"
        )
        made.path(CONFIG).write_text(GOOD)
        yield made


def told(machine: Root, key: str) -> str:
    """What systemd says of the service."""
    return machine.run("systemctl", "show", "--value", f"--property={key}", "mesos-dns").strip()


def journal(machine: Root) -> str:
    return machine.run("journalctl", "--no-pager", "--output=cat", "--unit=mesos-dns")


def test_nothing_runs_before_somebody_says_so(machine: Root) -> None:
    assert (told(machine, "UnitFileState"), told(machine, "ActiveState")) == ("disabled", "inactive")


def test_it_is_started_when_names_are_served(machine: Root) -> None:
    machine.run("systemctl", "enable", "--now", "mesos-dns")
    assert machine.run("dig", "@127.0.0.1", "leader.mesos", "+short") == "127.0.0.1\n"
    assert told(machine, "StatusText").startswith("258 names, serial ")
    user = machine.run("stat", "--format=%U", f"/proc/{told(machine, 'MainPID')}").strip()
    assert user == "mesos-dns"


def test_a_reload_checks_first(machine: Root) -> None:
    before = told(machine, "MainPID")
    machine.run("systemctl", "reload", "mesos-dns")
    machine.path(CONFIG).write_text('{"Masters": [')
    try:
        machine.run("systemctl", "reload", "mesos-dns", code=1)
    finally:
        machine.path(CONFIG).write_text(GOOD)
    assert "is not JSON at line 1" in journal(machine)
    assert (told(machine, "MainPID"), told(machine, "ActiveState")) == (before, "active")


def test_an_upgrade_restarts_it_and_returns_when_it_serves(machine: Root) -> None:
    before = told(machine, "MainPID")
    said = dpkg(machine, "--install", "/root/new.deb")
    assert "not ready" not in said
    assert told(machine, "MainPID") not in {before, "0"}
    assert machine.run("dig", "@127.0.0.1", "leader.mesos", "+short") == "127.0.0.1\n"
    assert "ending in 1 s; until then /readyz says no" in journal(machine)


def test_a_purge_stops_it(machine: Root) -> None:
    dpkg(machine, "--purge", "mesos-dns")
    assert (told(machine, "LoadState"), told(machine, "ActiveState")) == ("not-found", "inactive")
    assert "Traceback" not in journal(machine)
    assert not machine.path("/etc/mesos-dns").exists()
