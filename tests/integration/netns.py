"""Network and mount namespaces for tests: own loopback, own addresses, own /etc/hosts."""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

#: `unshare` as root, and as an ordinary user where the kernel allows it.
_WAYS = (("unshare", "--net", "--mount"), ("unshare", "-Urnm"))

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000

_SET_UP = """
set -e
ip link set lo up
for address in $ADDRESSES; do ip address add "$address" dev lo; done
for pair in $MOUNTS; do mount --bind "${pair%%=*}" "${pair##*=}"; done
exec "$@"
"""


@cache
def way() -> tuple[str, ...] | None:
    """How namespaces can be made here; None if they cannot."""
    if not (shutil.which("unshare") and shutil.which("ip") and shutil.which("mount")):
        return None
    for command in _WAYS:
        done = subprocess.run(
            [*command, "sh", "-c", "ip link set lo up && mount --bind /etc/hosts /etc/hosts"],
            capture_output=True,
            timeout=20,
            check=False,
        )
        if done.returncode == 0:
            return command
    return None


def missing() -> str | None:
    """Why a test that needs a namespace must be skipped."""
    return (
        None
        if way()
        else "network namespaces cannot be made here (needs unshare, ip, mount, and root or user namespaces)"
    )


def start(
    program: Sequence[str],
    *,
    addresses: Sequence[str] = (),
    hosts: str = "127.0.0.1 localhost\n",
    log: Path,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `program` in a namespace of its own; its output goes to the file `log`.

    `addresses` stand on lo besides the usual ones. Host names resolve by `hosts` alone: resolv.conf
    names a server that is not there.
    """
    command = way()
    assert command, missing()
    etc = Path(tempfile.mkdtemp(prefix="netns-", dir=log.parent))
    files = {
        "/etc/hosts": hosts,
        "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
        "/etc/nsswitch.conf": "hosts: files dns\n",
    }
    mounts = []
    for place, text in files.items():
        if Path(place).exists():
            mine = etc / Path(place).name
            mine.write_text(text)
            mounts.append(f"{mine}={os.path.realpath(place)}")
    with_lengths = [f"{text}/128" if ":" in text else f"{text}/32" for text in addresses]
    with log.open("wb") as output:
        return subprocess.Popen(
            [*command, "sh", "-c", _SET_UP, "sh", *program],
            env={**os.environ, "ADDRESSES": " ".join(with_lengths), "MOUNTS": " ".join(mounts)},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def run(
    program: Sequence[str], *, addresses: Sequence[str], hosts: str, log: Path, timeout: float, folder: Path
) -> int:
    """As `start`, and wait; the exit status. On time-out the program is killed and TimeoutExpired raised."""
    process = start(program, addresses=addresses, hosts=hosts, log=log, folder=folder)
    try:
        return process.wait(timeout)
    except BaseException:
        process.kill()
        process.wait()
        raise


def python() -> str:
    return sys.executable


class Network:
    """A network of its own, with a loopback, that this process can enter: for root."""

    def __init__(self, holder: int) -> None:
        self.holder = holder
        #: In front of a command: it runs in there.
        self.under = ("nsenter", f"--net=/proc/{holder}/ns/net")

    def within(self, what: Callable[[], T]) -> T:
        """What `what` returns, called in a thread that is in there; sockets that it makes stay there."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._call, what).result()

    def _call(self, what: Callable[[], T]) -> T:
        fd = os.open(f"/proc/{self.holder}/ns/net", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(fd, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(fd)
        return what()

    def run(self, *command: str) -> None:
        """One command in there, which must go well."""
        subprocess.run([*self.under, *command], check=True, timeout=20)


@contextmanager
def network() -> Generator[Network]:
    """A new one, until the end of the block."""
    # The shell says when it is there, and then waits for its end.
    command = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && read -r _"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stdout.readline() == b"up\n"
        yield Network(holder.pid)
        holder.stdin.close()
