"""A machine to throw away, with a systemd of its own: systemd-nspawn boots a root of tests/integration/throwaway.py, with a loopback and no other network."""

import os
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration import throwaway
from tests.integration.program import need, until
from tests.integration.throwaway import Root

#: What has nothing to do in there: a network that never comes would be waited for.
_MASKED = ("systemd-networkd", "systemd-networkd-wait-online", "NetworkManager-wait-online", "systemd-firstboot")
#: Alone with the processes that it starts, and with a /run of its own, so that nothing is left behind.
_START = """
set -e
for group in $GROUPS_OF_ITS_OWN; do echo $$ > "$group/cgroup.procs"; done
exec nsenter --target="$HOLDER" --mount unshare --mount --pid --fork --kill-child --mount-proc sh -c 'mount -t tmpfs tmpfs /run && exec "$@"' sh "$@"
"""


def _groups() -> Iterator[Path]:
    """Control groups for it, below those of this process, in the hierarchies that systemd uses: they end with it."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, kind, path = line.split(":", 2)
        places = {"": ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"), "name=systemd": ("/sys/fs/cgroup/systemd",)}.get(
            kind, ()
        )
        for place in places:
            if (Path(place) / "cgroup.procs").exists():
                yield Path(place) / path.lstrip("/") / f"mesos-dns-tests-{os.getpid()}"


def _forget(group: Path) -> None:
    """Remove a control group, whose processes have just ended, with all below it."""
    for folder, _, _ in os.walk(group, topdown=False):
        until(lambda: _is_removed(Path(folder)), f"{folder} is still in use")  # noqa: B023 - called at once


def _is_removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


@contextmanager
def machine() -> Generator[Root]:
    """A new one, until the end of the block: its basic services run."""
    nspawn = need("systemd-nspawn")
    with throwaway.bare() as holder:
        _prepare(Path(f"/proc/{holder}/root{throwaway.BARE_PLACE}"))
        groups = list(_groups())
        for group in groups:
            group.mkdir()
        options = [
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--private-network",
            "--link-journal=no",
            "--console=pipe",
        ]
        command = [nspawn, *options, f"--directory={throwaway.BARE_PLACE}", "--boot", "--", "--unit=basic.target"]
        process = subprocess.Popen(
            # Whatever becomes of the tests, it ends with them.
            ["setpriv", "--pdeathsig=KILL", "sh", "-c", _START, "sh", *command],
            env={**os.environ, "HOLDER": str(holder), "GROUPS_OF_ITS_OWN": " ".join(map(str, groups))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            yield _running(process)
        finally:
            # The first process of its namespace: all others end with it.
            for child in _children(process.pid):
                os.kill(child, 9)
            process.wait()
            for group in groups:
                _forget(group)


def _prepare(top: Path) -> None:
    (top / "etc/machine-id").write_text("uninitialized\n")
    (top / "etc/fstab").write_text("")
    for unit in _MASKED:
        place = top / f"etc/systemd/system/{unit}.service"
        place.unlink(missing_ok=True)
        place.symlink_to("/dev/null")


def _children(pid: int) -> list[int]:
    try:
        return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _running(process: subprocess.Popen[bytes]) -> Root:
    """unshare, its child nspawn, and the child of this, which is the first process in there."""

    def first() -> int | None:
        assert process.poll() is None, f"systemd-nspawn ended with {process.returncode}"
        found = [inner for outer in _children(process.pid) for inner in _children(outer)]
        return found[0] if found and Path(f"/proc/{found[0]}/comm").read_text() == "systemd\n" else None

    inside = Root(until(first, "no machine was started"), "--pid", "--net", "--uts", "--ipc", "--cgroup")

    def is_up() -> bool:
        asked = [*inside.under, "systemctl", "is-active", "--quiet", "basic.target"]
        return subprocess.run(asked, capture_output=True, timeout=60, check=False).returncode == 0

    until(is_up, lambda: inside.run("systemctl", "list-jobs", "--no-pager"))
    return inside
