"""A root to throw away: all that this machine has, in a mount namespace, where what is written goes to memory and is gone at the end."""

import os
import shutil
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

#: Whoever holds it says so, and stays until its input ends. Nothing of a machine's services is seen in there.
_SET_UP = """
set -e
mount -t tmpfs -o mode=755 tmpfs "$PLACE"
cd "$PLACE"
mkdir upper work root
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay root
cd root
# What forbids packages to start their services, as images of containers have it.
rm -f usr/sbin/policy-rc.d
if [ -n "$BARE" ]; then echo there; read -r _; exit; fi
mount -t proc proc proc
mount --rbind /dev dev
for own in run tmp var/tmp; do mount -t tmpfs -o mode=1777 tmpfs "$own"; done
chmod 755 run
exec chroot . /bin/sh -c 'echo there; read -r _'
"""


class Root:
    """It, as long as its holder lives, a process that sees nothing else. `namespaces` are those of its own besides the mounts."""

    def __init__(self, holder: int, *namespaces: str) -> None:
        self.holder = holder
        #: In front of a command: it runs in there, with an environment of its own.
        self.under = (
            "nsenter",
            f"--target={holder}",
            "--mount",
            *namespaces,
            "--root",
            "--wd",
            "env",
            "-i",
            *_ENVIRONMENT,
        )
        self._top = Path(f"/proc/{holder}/root")

    def path(self, inside: str) -> Path:
        """How a file in there is called out here."""
        return self._top / inside.lstrip("/")

    def run(self, *command: str, code: int = 0) -> str:
        """What one command says, errors behind the rest; it must end with that code."""
        done = subprocess.run(
            [*self.under, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, f"{' '.join(command)}: {done.returncode}\n{done.stdout}"
        return done.stdout


_ENVIRONMENT = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")


def _command() -> Sequence[str]:
    return "unshare", "--mount", "/bin/sh", "-c", _SET_UP


@cache
def missing() -> str | None:
    """Why a test that needs one must be skipped."""
    if os.geteuid() != 0:
        return "only root can make itself a root to throw away"
    if not all(shutil.which(each) for each in ("unshare", "nsenter", "mount", "chroot")):
        return "unshare, nsenter, mount or chroot is not installed"
    try:
        with _held(Path("/mnt")):
            return None
    except OSError as error:
        return f"no root to throw away can be made here: {error}"


@contextmanager
def _held(place: Path, *, bare: bool = False) -> Generator[Root]:
    with subprocess.Popen(
        _command(),
        env={**os.environ, "PLACE": str(place), "BARE": "1" if bare else ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stderr
        if holder.stdout.readline() != "there\n":
            raise OSError(holder.stderr.read().strip())
        try:
            yield Root(holder.pid)
        finally:
            holder.stdin.close()


@contextmanager
def root() -> Generator[Root]:
    """A new one, until the end of the block."""
    if (why := missing()) is not None:
        pytest.skip(why)
    with _held(Path("/mnt")) as made:
        yield made


#: Where it stands in the file system of whoever holds a bare one.
BARE_PLACE = Path("/mnt/root")


@contextmanager
def bare() -> Generator[int]:
    """The process that holds a root at BARE_PLACE, for somebody else to make a machine of: files alone, no processes, no devices."""
    if (why := missing()) is not None:
        pytest.skip(why)
    with _held(Path("/mnt"), bare=True) as made:
        yield made.holder
