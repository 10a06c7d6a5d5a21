"""The systemd unit, and what docs/security.md tells of it and of other bounds: both fit the program."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from tests.test_docs import DOCS, ROOT, checker

from mesos_dns import cli, limits, sockets, supervision
from mesos_dns.commands.configured import BAD_CONFIG
from mesos_dns.config import Config
from mesos_dns.mesos import hosts
from mesos_dns.names.tasks import MAX_PORTS_PER_TASK
from mesos_dns.serve import mmsg, tcp
from mesos_dns.web import server
from mesos_dns.workers import handle, liveness

UNIT = ROOT / "packaging" / "mesos-dns.service"
SOCKET = UNIT.with_suffix(".socket")


def setting(name: str, unit: Path = UNIT) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


def test_the_unit_leaves_room_for_what_the_program_allows_itself() -> None:
    assert int(setting("LimitNOFILE")[0]) > limits.MAX_TCP_CONNECTIONS + limits.MAX_FORWARDS + 100
    assert int(setting("TimeoutStopSec")[0]) > handle.STOP_SECONDS + server.HTTP_STOP_SECONDS
    assert str(BAD_CONFIG) in setting("RestartPreventExitStatus")[0].split()


def test_the_unit_takes_what_the_program_tells() -> None:
    assert (setting("Type"), setting("NotifyAccess")) == (["notify"], ["main"])
    # A worker that hangs is replaced long before, and two words may be lost.
    watchdog = int(setting("WatchdogSec")[0])
    assert watchdog > 2 * liveness.SILENT_TICKS * liveness.TICK_SECONDS
    assert watchdog > 3 * supervision.BEAT_SECONDS
    text = " ".join((DOCS / "operations.md").read_text().split())
    assert f"missing for `WatchdogSec` ({watchdog} s in the unit)" in text
    assert f"`WATCHDOG=1` | every {supervision.BEAT_SECONDS:g} s, or a quarter" in text


@pytest.mark.parametrize("line", [*setting("ExecStart"), *setting("ExecReload")])
def test_the_unit_calls_what_exists(line: str) -> None:
    program, *arguments = shlex.split(line)
    if program.endswith("mesos-dns"):
        cli.parse(arguments)
    else:
        assert line == "/bin/kill -HUP $MAINPID"


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    verify = checker("systemd-analyze")
    here, beside = tmp_path / UNIT.name, tmp_path / SOCKET.name
    # The program is not installed where the unit expects it.
    here.write_text(UNIT.read_text().replace("/opt/mesos-dns/bin/mesos-dns", "/bin/true"))
    beside.write_text(SOCKET.read_text())
    command = [verify, "verify", str(here), str(beside)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert [line for line in done.stderr.splitlines() if UNIT.stem in line] == []


def test_the_sockets_of_the_unit_are_those_of_the_configuration() -> None:
    """As it stands it fits the defaults: each worker of two has its pair."""
    config = Config(workers=2)
    address = f"{config.listener}:{config.port}"
    assert setting("ListenDatagram", SOCKET) == setting("ListenStream", SOCKET) == config.workers * [address]
    # Further ones are offered in comments, on the ports of the defaults.
    offered = {f"{config.listener}:{config.tls_port}", f"{config.http_listener}:{config.https_port}"}
    assert set(setting("#ListenStream", SOCKET)) == offered
    assert setting("ReusePort", SOCKET) == ["yes"]
    assert setting("ReceiveBuffer", SOCKET) == [f"{sockets.SOCKET_BUFFER // 2**20}M"]
    assert setting("Backlog", SOCKET) == [str(sockets.BACKLOG)]


def test_the_exposure_that_security_md_tells_is_the_units() -> None:
    analyze = checker("systemd-analyze")
    command = [analyze, "security", "--offline=true", "--no-pager", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip("this systemd-analyze judges no files")
    told = re.search(
        r"exposure is (\d+\.\d) of 10 \(0 is best\) by systemd (\d+)", " ".join(SECURITY.read_text().split())
    )
    assert told
    version = subprocess.run([analyze, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    if version.split()[1] != told[2]:
        pytest.skip("another version of systemd judges otherwise")
    assert f"exposure level for {UNIT.name}: {told[1]} " in done.stdout


def test_the_unit_lets_workers_give_up_what_they_do_not_need() -> None:
    wanted = {"capset", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"}
    assert wanted <= {word for line in setting("SystemCallFilter") for word in line.split()}


# --- security.md --------------------------------------------------------------------------------

SECURITY = DOCS / "security.md"


def test_the_numbers_that_security_md_tells() -> None:
    text = " ".join(SECURITY.read_text().split())
    stopped, silent = liveness.STOPPED_TICKS * liveness.TICK_SECONDS, liveness.SILENT_TICKS * liveness.TICK_SECONDS
    for told in (
        f"| {limits.MAX_TCP_CONNECTIONS:,} a worker stay, {tcp.MAX_TCP_PER_CLIENT} of one address;",
        f"| closed {tcp.TCP_IDLE_SECONDS:g} s after their last whole query |",
        f"at most the {mmsg.BATCH} datagrams that it had in hand",
        f"| replaced after {stopped:g} s, or {silent:g} s |",
        f"exit code {os.EX_OSERR}",
        f"| {server.MAX_HTTP_CONNECTIONS} connections (a quarter of the files at most), {server.HTTP_REQUEST_SECONDS:g} s for a request,",
        f"{hosts.MAX_HOSTS:,} host names, {hosts.HOST_LOOKUP_THREADS} at once",
        f"{MAX_PORTS_PER_TASK} ports and {limits.MAX_ADDRESSES} addresses a task",
    ):
        assert told in text
    assert server.HTTP_SHARE_OF_FILES == 4
