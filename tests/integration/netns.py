"""Network and mount namespaces for tests: own loopback, own addresses, own /etc/hosts."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

#: `unshare` as root, and as an ordinary user where the kernel allows it.
_WAYS = (("unshare", "--net", "--mount"), ("unshare", "-Urnm"))

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
