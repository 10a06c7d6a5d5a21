"""What tests of the Debian package share."""

import subprocess
from pathlib import Path

import pytest
from tests.integration.program import need
from tests.integration.throwaway import Root
from tools import deb, pyz

from mesos_dns import __version__


def package() -> Path:
    """The package in dist/. The test is skipped if there is none."""
    found = list(pyz.FILE.parent.glob(f"mesos-dns_{__version__}_*.deb"))
    if not found:
        pytest.skip("there is no dist/mesos-dns_*.deb: make deb (which needs debhelper and a package index)")
    return found[0]


def contents(folder: Path) -> Path:
    """What the package holds, and what it tells dpkg in `DEBIAN`. Of these sources, or the test is skipped."""
    subprocess.run([need("dpkg-deb"), "--raw-extract", str(package()), str(folder)], check=True, timeout=60)
    inside = folder / deb.LIBRARIES / "mesos_dns"
    files = (each for each in inside.rglob("*") if each.name.endswith(pyz.SOURCES))
    if pyz.program() != {str(each.relative_to(inside)): each.read_bytes() for each in files}:
        pytest.skip("dist/mesos-dns_*.deb is of other sources: make deb")
    return folder


def dpkg(root: Root, *arguments: str) -> str:
    """What dpkg says."""
    # Others that are told of new files (the index of manual pages) take their time.
    return root.run("dpkg", "--no-triggers", *arguments)
