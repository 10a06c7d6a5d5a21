"""packaging/Containerfile, step by step in roots to throw away: what comes of it serves, as nobody, where nothing can be written."""

import shutil
import signal
import subprocess
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.integration import client, throwaway
from tests.integration.containerfile import Image, wheels
from tests.integration.masters import Master
from tests.integration.program import Program, need
from tests.test_docs import ROOT
from tools import pyz

from mesos_dns import __version__

CONTAINERFILE = (ROOT / "packaging" / "Containerfile").read_text()


@pytest.fixture(scope="module")
def libraries() -> Path:
    """Those for the Python of this Debian, as `make pyz` fetched them."""
    said = [need("/usr/bin/python3"), "-c", "import sys; print(*sys.version_info[:2], sep='.')"]
    version = subprocess.run(said, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    found = pyz.WORK / version
    if not found.is_dir():
        pytest.skip(f"build/pyz/{version} is missing: make pyz (which needs a package index)")
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `make build` leaves in dist/."""
    wheel = ROOT / "dist" / f"mesos_dns-{__version__}-py3-none-any.whl"
    if not pyz.is_current(wheel, "mesos_dns/"):
        pytest.skip("there is no wheel of these sources in dist/: make build")
    context = tmp_path_factory.mktemp("context")
    (context / "dist").mkdir()
    for file in (wheel, wheel.with_name("constraints.txt")):
        shutil.copy(file, context / "dist")
    return context


@pytest.fixture(scope="module")
def image(libraries: Path, built: Path) -> Generator[Image]:
    if (why := throwaway.missing()) is not None:
        pytest.skip(why)
    with ExitStack() as roots:
        index = built / "index"
        index.mkdir()
        assert list(wheels(libraries, index))
        yield Image(CONTAINERFILE, built, roots, index)


def test_it_has_the_program_and_no_installer(image: Image) -> None:
    start = image.told["ENTRYPOINT"].words
    assert image.root.run(*start, "version").strip() == __version__
    image.root.run("/opt/mesos-dns/bin/python", "-c", "import pip", code=1)
    # Credentials of DC/OS service accounts need it.
    image.root.run("/opt/mesos-dns/bin/python", "-c", "import jwt, cryptography")


def test_it_serves_as_nobody_where_nothing_can_be_written(image: Image, shared_master: Master) -> None:
    folder = image.root.path("/etc/mesos-dns")
    folder.mkdir()
    start = image.command(*image.told["ENTRYPOINT"].words, *image.told["CMD"].words)
    clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    program = Program(folder, masters=[shared_master.endpoint], program=start, variables=clean, workers=2)
    check = image.command(*image.told["HEALTHCHECK"].words, MESOS_DNS_HTTP_PORT=str(program.http_port))
    with program:
        program.wait_ready()
        assert client.ask(program.dns, "web.marathon.mesos.", "A")["answer"]
        status = Path(f"/proc/{program.pid}/status").read_text()
        assert f"\nUid:\t{image.told['USER'].told.partition(':')[0]}\t" in status
        assert subprocess.run(check, capture_output=True, timeout=60, check=False).returncode == 0
        assert program.end(getattr(signal, image.told["STOPSIGNAL"].told)) == 0
    assert subprocess.run(check, capture_output=True, timeout=60, check=False).returncode == 1
    assert "Traceback" not in program.log()
