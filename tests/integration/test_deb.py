"""The Debian package, as `make deb` leaves it, installed for real on a machine to throw away: what it brings, starts, keeps and takes along.

With it, pages for operators are typed line for line. Tests that alter what is installed stand at the end.
"""

import json
import platform
import re
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.integration import booted, debian, transcripts
from tests.integration.debian import dpkg
from tests.integration.program import need, until
from tests.integration.throwaway import Root
from tests.test_docs import DOCS, ROOT
from tools import deb, pyz

from mesos_dns import __version__

#: On systems with a merged /usr this is the place, too, whichever debhelper chose.
UNIT = "/usr/lib/systemd/system/mesos-dns.service"
CONFIG = "/etc/mesos-dns/config.json"


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the package holds, and what it tells dpkg in `DEBIAN`."""
    return debian.contents(tmp_path_factory.mktemp("deb") / "contents")


def unit(contents: Path) -> Path:
    """The unit in the package: debhelper of Debian 12 and later ones have different places for it."""
    (found,) = [path for path in (contents / UNIT[1:], contents / UNIT.removeprefix("/usr/")) if path.exists()]
    return found


def test_it_holds_what_people_look_for(contents: Path) -> None:
    assert unit(contents).is_file()
    for place in (
        *("usr/bin/mesos-dns", "usr/lib/sysusers.d/mesos-dns.conf", "usr/share/man/man1/mesos-dns.1.gz"),
        *(str(unit(contents).with_suffix(".socket").relative_to(contents)), *deb.PLACES.values()),
        *(f"{deb.GUIDE}/{name}" for name in ("README.md", "docs/index.md", "packaging/prometheus/mesos-dns.rules.yml")),
    ):
        assert (contents / place).is_file(), place
    assert (contents / "usr/bin/mesos-dns").stat().st_mode & 0o777 == 0o755
    assert (contents / "DEBIAN/conffiles").read_text() == f"{CONFIG}\n"
    # The same libraries as in the one file, for each Python that it is said to be for.
    for version in pyz.VERSIONS:
        name = f"_core.cpython-{version.replace('.', '')}-{platform.machine()}-linux-gnu.so"
        assert (contents / deb.LIBRARIES / "msgspec" / name).is_file()


def test_it_tells_nothing_of_the_machine_that_built_it(contents: Path) -> None:
    told = [path for path in contents.rglob("*") if path.is_file() and str(ROOT).encode() in path.read_bytes()]
    assert told == []


def test_each_library_has_its_licence(contents: Path) -> None:
    copyright_ = (contents / "usr/share/doc/mesos-dns/copyright").read_text()
    named = set(re.findall(r"^ The text stands in /(.*)\.$", copyright_, re.MULTILINE))
    libraries = {str(each.relative_to(contents)) for each in (contents / deb.LIBRARIES).glob("*.dist-info")}
    assert named == {each for each in libraries if "/mesos_dns-" not in each}
    for each in named:
        assert [file for file in (contents / each).rglob("*") if file.name.upper().startswith(("LICEN", "COPYING"))], (
            each
        )


def test_the_unit_is_that_of_the_sources_but_for_the_place_of_the_program(contents: Path) -> None:
    ours, told = (path.read_text().splitlines() for path in (ROOT / "packaging/mesos-dns.service", unit(contents)))
    different = {line for line in told if line not in ours}
    assert {line.partition("=")[0] for line in different} == {"Documentation", "ExecStart", "ExecReload"}
    assert not [line for line in told if "/opt/" in line]


# --- installed --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(contents: Path) -> Generator[Root]:
    """A machine with the package in /srv."""
    assert contents
    with booted.machine() as made:
        shutil.copy(debian.package(), made.path("/srv/new.deb"))
        yield made


def look(root: Root, path: str) -> str:
    return root.run("stat", "--format=%A %U %G", path).strip()


def shown(root: Root, key: str) -> str:
    """What systemd says of the service."""
    return root.run("systemctl", "show", "--value", f"--property={key}", "mesos-dns").strip()


def journal(root: Root) -> str:
    return root.run("journalctl", "--no-pager", "--output=cat", "--unit=mesos-dns")


@pytest.fixture(scope="module")
def installed(root: Root) -> str:
    """What dpkg said."""
    return dpkg(root, "--install", "/srv/new.deb")


def test_an_installation_starts_nothing_and_says_what_to_do(installed: str, root: Root) -> None:
    assert installed.splitlines()[-1] == (
        f"mesos-dns: say in {CONFIG} where the masters are, then: systemctl enable --now mesos-dns"
    )
    assert (shown(root, "UnitFileState"), shown(root, "ActiveState")) == ("disabled", "inactive")


def test_the_configuration_is_the_groups_to_read(installed: str, root: Root) -> None:
    assert installed
    assert look(root, "/etc/mesos-dns") == "drwxr-x--- root mesos-dns"
    assert look(root, CONFIG) == "-rw-r----- root mesos-dns"
    assert "/usr/sbin/nologin" in root.run("getent", "passwd", "mesos-dns")


def test_it_runs_as_its_user(installed: str, root: Root) -> None:
    assert installed
    assert root.run("mesos-dns", "version").strip() == __version__
    said = root.run("runuser", "-u", "mesos-dns", "--", "mesos-dns", "check", "--config", CONFIG)
    assert said == f"{CONFIG}: no problems\n"


def test_systemd_understands_the_unit(installed: str, root: Root) -> None:
    assert installed
    said = root.run("systemd-analyze", "verify", "--man=no", UNIT)
    assert [line for line in said.splitlines() if "mesos-dns" in line] == []


# --- pages, typed line for line ---------------------------------------------------------------------

#: Nothing outlives the shell; a network with a loopback and nothing else.
_ALONE = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c")
_SET_UP = 'ip link set lo up && cd /tmp && exec "$@"'


@pytest.mark.parametrize("name", ["from-zero.md", "upgrade.md"])
def test_every_line_says_what_the_page_tells(installed: str, root: Root, name: str) -> None:
    assert installed
    for program in ("dig", "curl", "jq", "unbound", "named", "dnsmasq"):
        need(program)
    shutil.copy(debian.package(), root.path("/tmp/new.deb"))
    page = transcripts.steps((DOCS / name).read_text())
    said = transcripts.typed([*root.under, *_ALONE, _SET_UP, "sh"], page, 120)
    wrong = [
        f"$ {step.typed}{told}--- expected\n{step.said}"
        for step, told in zip(page, said, strict=False)
        if not transcripts.is_said(step.said, told)
    ]
    if wrong:
        pytest.fail("\n".join(wrong))
    assert len(said) == len(page)


# --- under systemd, as administrators use it ----------------------------------------------------------

GOOD = json.dumps({"Masters": ["127.0.0.1:15050"], "ExternalOn": False, "LameDuckSeconds": 1, "Workers": 2})
#: As docs/install.md has it.
DROP_IN = re.findall(r"^install -d .*\nprintf .*$", (DOCS / "install.md").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def started(installed: str, root: Root) -> str:
    """What the journal says, once the service has been started, with a cluster on the loopback of the machine."""
    assert installed
    options = ("--no-server", "--churn=0", "--failover-every=0")
    cluster = ("--setenv=PYTHONPATH=/usr/lib/mesos-dns", "python3", "-m", "mesos_dns.demo", *options)
    root.run("systemd-run", "--quiet", "--unit=cluster", *cluster)
    health = [*root.under, "curl", "-sf", "http://127.0.0.1:15050/master/health"]
    until(lambda: subprocess.run(health, capture_output=True, check=False, timeout=20).returncode == 0, "no cluster")
    root.path(CONFIG).write_text(GOOD)
    root.run("systemctl", "enable", "--now", "mesos-dns")
    return journal(root)


def leader(root: Root) -> str:
    return root.run("dig", "@127.0.0.1", "leader.mesos", "+short").strip()


def test_it_is_started_when_names_are_served(started: str, root: Root) -> None:
    assert "Traceback" not in started
    assert leader(root) == "127.0.0.1"
    assert shown(root, "StatusText").startswith("258 names, serial ")


def test_it_is_its_user_with_its_own_libraries(started: str, root: Root) -> None:
    assert started
    pid = shown(root, "MainPID")
    assert root.run("stat", "--format=%U", f"/proc/{pid}").strip() == "mesos-dns"
    used = root.run("cat", f"/proc/{pid}/maps")
    assert "/usr/lib/mesos-dns/msgspec/" in used
    assert "-packages/" not in used


def test_a_reload_checks_first(started: str, root: Root) -> None:
    assert started
    before = shown(root, "MainPID")
    root.run("systemctl", "reload", "mesos-dns")
    root.path(CONFIG).write_text('{"Masters": [')
    try:
        root.run("systemctl", "reload", "mesos-dns", code=1)
    finally:
        root.path(CONFIG).write_text(GOOD)
    assert "is not JSON at line 1" in journal(root)
    assert (shown(root, "MainPID"), shown(root, "ActiveState")) == (before, "active")


def test_systemd_may_open_the_ports(started: str, root: Root) -> None:
    """And a query starts what does not run."""
    assert started
    (made,) = DROP_IN
    root.run("sh", "-c", made)
    root.run("systemctl", "daemon-reload")
    root.run("systemctl", "stop", "mesos-dns")
    root.run("systemctl", "start", "mesos-dns.socket")
    root.run("systemctl", "start", "mesos-dns")
    assert leader(root) == "127.0.0.1"
    assert re.search(r"^INFO 4 sockets are those of the service manager", journal(root), re.MULTILINE)
    assert shown(root, "AmbientCapabilities") == ""
    root.run("systemctl", "stop", "mesos-dns.service")
    until(lambda: leader(root) == "127.0.0.1", lambda: journal(root))


def changed(contents: Path, folder: Path) -> Path:
    """The package of a later version, with another example of a configuration."""
    (contents / CONFIG[1:]).write_text('{"Zk": "zk://10.0.0.11:2181/mesos"}\n')
    control = contents / "DEBIAN" / "control"
    control.write_text(control.read_text().replace(f"Version: {__version__}\n", "Version: 99.0\n"))
    later = folder / "later.deb"
    build = ["dpkg-deb", "-Znone", "--build", str(contents), str(later)]
    subprocess.run(build, check=True, timeout=60, capture_output=True)
    return later


def test_an_upgrade_keeps_the_configuration_and_returns_when_names_are_served_again(
    started: str, root: Root, contents: Path, tmp_path: Path
) -> None:
    assert started
    root.run("chmod", "0644", CONFIG)
    before = shown(root, "MainPID")
    copy = shutil.copytree(contents, tmp_path / "copy")
    shutil.copy(changed(copy, tmp_path), root.path("/srv/later.deb"))
    said = dpkg(root, "--force-confdef", "--force-confold", "--install", "/srv/later.deb")
    assert "not ready" not in said
    assert root.path(CONFIG).read_text() == GOOD
    assert root.path(f"{CONFIG}.dpkg-dist").exists()
    assert look(root, CONFIG) == "-rw-r--r-- root mesos-dns"
    assert shown(root, "MainPID") not in {before, "0"}
    assert leader(root) == "127.0.0.1"
    assert "ending in 1 s; until then /readyz says no" in journal(root)


def test_what_does_not_get_ready_does_not_hold_an_upgrade_up(started: str, root: Root) -> None:
    """systemctl that gives up stands for masters that are silent for a minute."""
    assert started
    place = root.path("/srv/impatient")
    place.mkdir()
    (place / "systemctl").write_text('#!/bin/sh\n[ "$1" != try-restart ]\n')
    (place / "systemctl").chmod(0o755)
    postinst = ("/var/lib/dpkg/info/mesos-dns.postinst", "configure", __version__)
    variables = ("PATH=/srv/impatient:/usr/sbin:/usr/bin:/sbin:/bin", "DPKG_MAINTSCRIPT_PACKAGE=mesos-dns")
    said = root.run("env", *variables, *postinst)
    assert said.splitlines()[-1] == "mesos-dns: not ready after its restart, see: systemctl status mesos-dns"


def test_a_removal_stops_it_and_keeps_the_configuration_until_a_purge(started: str, root: Root) -> None:
    assert started
    dpkg(root, "--remove", "mesos-dns")
    assert (shown(root, "LoadState"), shown(root, "ActiveState")) == ("not-found", "inactive")
    assert root.run("ss", "-Hlntu", "sport = :53") == ""
    assert not root.path("/usr/lib/mesos-dns").exists()
    assert root.path(CONFIG).exists()
    assert root.path("/var/log/mesos-dns").exists(), "the unit makes it"
    root.path("/etc/mesos-dns/environment").write_text("MESOS_DNS_TTL=30\n")
    dpkg(root, "--purge", "mesos-dns")
    root.run("rm", "-r", "/etc/systemd/system/mesos-dns.service.d")
    left = root.run(
        "find", "/etc", "/usr", "/lib", "/var/lib", "/var/log", "-maxdepth", "4", "-name", "*mesos-dns*"
    ).split()
    assert left == []
    assert "mesos-dns" in root.run("getent", "passwd", "mesos-dns"), "files may still be its own"
    assert "Traceback" not in journal(root)
