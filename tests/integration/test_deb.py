"""The Debian package, as `make deb` leaves it, installed for real in a root to throw away: what it brings, starts, keeps and takes along.

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
from tests.integration import client, debian, transcripts
from tests.integration.debian import dpkg
from tests.integration.masters import Master
from tests.integration.program import Program, need, until
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
        *deb.PLACES.values(),
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

#: In place of systemd's: it notes what it is asked.
_SYSTEMCTL = '#!/bin/sh\necho "$*" >> /tmp/asked\n'


@pytest.fixture(scope="module")
def root(contents: Path) -> Generator[Root]:
    """With a service manager that only notes what it is asked."""
    assert contents
    with debian.root() as made:
        made.path("/run/systemd/system").mkdir(parents=True)
        made.path("/usr/bin/systemctl").unlink(missing_ok=True)
        made.path("/usr/bin/systemctl").write_text(_SYSTEMCTL)
        made.path("/usr/bin/systemctl").chmod(0o755)
        yield made


def asked(root: Root) -> list[str]:
    """What the service manager was asked since the last time."""
    notes = root.path("/tmp/asked")
    found = notes.read_text().splitlines() if notes.exists() else []
    notes.unlink(missing_ok=True)
    return found


def look(root: Root, path: str) -> str:
    return root.run("stat", "--format=%A %U %G", path).strip()


@pytest.fixture(scope="module")
def installed(root: Root) -> str:
    """What dpkg said."""
    return dpkg(root, "--install", "/tmp/new.deb")


def test_an_installation_starts_nothing_and_says_what_to_do(installed: str, root: Root) -> None:
    assert installed.splitlines()[-1] == (
        f"mesos-dns: say in {CONFIG} where the masters are, then: systemctl enable --now mesos-dns"
    )
    assert [each for each in asked(root) if "mesos-dns" in each] == []
    assert not root.path("/etc/systemd/system/multi-user.target.wants/mesos-dns.service").is_symlink()


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
    if not root.path("/usr/bin/systemd-analyze").exists():
        pytest.skip("systemd-analyze is not installed")
    said = root.run("systemd-analyze", "verify", "--man=no", UNIT)
    assert [line for line in said.splitlines() if "mesos-dns" in line] == []


def test_it_serves_with_its_own_libraries(installed: str, root: Root, shared_master: Master) -> None:
    assert installed
    user = ["setpriv", "--reuid=mesos-dns", "--regid=mesos-dns", "--init-groups"]
    start = [*root.under, *user, "/usr/bin/mesos-dns", f"-config={CONFIG}", "-v=1"]
    program = Program(
        root.path("/etc/mesos-dns"),
        masters=[shared_master.endpoint],
        program=start,
        variables={"PATH": "/usr/bin"},
        workers=2,
    )
    with program:
        program.wait_ready()
        assert client.ask(program.dns, "web.marathon.mesos.", "A")["answer"]
        used = Path(f"/proc/{program.pid}/maps").read_text()
        assert "/usr/lib/mesos-dns/msgspec/" in used
        assert "/site-packages/" not in used
        until(lambda: len(program.workers()) == 2, "no two workers")
        assert program.end() == 0
    assert "Traceback" not in program.log()


# --- pages, typed line for line ---------------------------------------------------------------------

#: Nothing outlives the shell; a network with a loopback and nothing else.
_ALONE = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c")
_SET_UP = 'ip link set lo up && cd /tmp && exec "$@"'


@pytest.mark.parametrize("name", ["from-zero.md", "upgrade.md"])
def test_every_line_says_what_the_page_tells(installed: str, root: Root, name: str) -> None:
    assert installed
    for program in ("dig", "curl", "jq", "unbound", "named", "dnsmasq", "ss"):
        need(program)
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


# --- what comes after -------------------------------------------------------------------------------


def changed(contents: Path, folder: Path) -> Path:
    """The package of a later version, with another example of a configuration."""
    (contents / CONFIG[1:]).write_text('{"Zk": "zk://10.0.0.11:2181/mesos"}\n')
    control = contents / "DEBIAN" / "control"
    control.write_text(control.read_text().replace(f"Version: {__version__}\n", "Version: 99.0\n"))
    later = folder / "later.deb"
    subprocess.run(
        ["dpkg-deb", "-Znone", "--build", str(contents), str(later)], check=True, timeout=60, capture_output=True
    )
    return later


def test_an_upgrade_keeps_the_configuration_and_does_not_wait_for_ever(
    installed: str, root: Root, contents: Path, tmp_path: Path
) -> None:
    assert installed
    mine = json.dumps({"Masters": ["10.9.9.9:5050"]})
    root.path(CONFIG).write_text(mine)
    root.run("chmod", "0600", CONFIG)
    copy = shutil.copytree(contents, tmp_path / "copy")
    shutil.copy(changed(copy, tmp_path), root.path("/tmp/later.deb"))
    # How a restart goes well is in tests/integration/test_booted.py.
    root.path("/usr/bin/systemctl").write_text(_SYSTEMCTL + 'case "$*" in try-restart*) exit 1;; esac\n')
    asked(root)
    said = dpkg(root, "--force-confdef", "--force-confold", "--install", "/tmp/later.deb")
    assert said.splitlines()[-1] == "mesos-dns: not ready after its restart, see: systemctl status mesos-dns"
    assert root.path(CONFIG).read_text() == mine
    assert root.path(f"{CONFIG}.dpkg-dist").exists()
    assert look(root, CONFIG) == "-rw------- root mesos-dns"
    assert asked(root)[-2:] == ["--system daemon-reload", "try-restart mesos-dns.service"]


def test_a_removal_stops_it_and_keeps_the_configuration_until_a_purge(installed: str, root: Root) -> None:
    assert installed
    asked(root)
    dpkg(root, "--remove", "mesos-dns")
    assert "stop mesos-dns.service" in asked(root)
    assert not root.path("/usr/lib/mesos-dns").exists()
    assert root.path(CONFIG).exists()
    root.path("/etc/mesos-dns/environment").write_text("MESOS_DNS_TTL=30\n")
    dpkg(root, "--purge", "mesos-dns")
    left = root.run("find", "/etc", "/usr", "/lib", "/var/lib", "-maxdepth", "4", "-name", "*mesos-dns*").split()
    assert left == []
    assert "mesos-dns" in root.run("getent", "passwd", "mesos-dns"), "files may still be its own"
