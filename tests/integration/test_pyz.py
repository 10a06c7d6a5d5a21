"""The program in one file, as `make pyz` leaves it: it runs without anything of this environment."""

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Self

import pytest
from tests.integration import client
from tests.integration.masters import Master
from tests.integration.program import Program
from tests.test_docs import ROOT
from tools import pyz

FILE = ROOT / "dist" / "mesos-dns.pyz"
PACKAGE = "site-packages/mesos_dns/"


def is_of(sources: Path) -> bool:
    """Whether the file holds the program as it is now."""
    with zipfile.ZipFile(FILE) as archive:
        inside = {name.removeprefix(PACKAGE): name for name in archive.namelist() if name.startswith(PACKAGE)}
        here = {str(path.relative_to(sources)): path.read_bytes() for path in sources.rglob("*.py")}
        return here == {name: archive.read(full) for name, full in inside.items() if name.endswith(".py")}


@pytest.fixture(scope="module")
def program_file() -> Path:
    if not FILE.exists():
        pytest.skip("dist/mesos-dns.pyz is not built: make pyz (which needs a package index)")
    if not is_of(ROOT / "src" / "mesos_dns"):
        pytest.skip("dist/mesos-dns.pyz is of other sources: make pyz")
    return FILE


@pytest.fixture(scope="module")
def bare() -> Path:
    """The interpreter that made this environment: without anything installed for us."""
    return Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a service: next to nothing."""
    return {"PATH": "/usr/bin:/bin", "SHIV_ROOT": str(tmp_path_factory.mktemp("unpacked"))}


class OneFile(Program):
    """Started from the file."""

    def __init__(self, command: list[str], variables: dict[str, str], folder: Path, master: Master) -> None:
        super().__init__(folder, masters=[master.endpoint], workers=2)
        self._command, self._variables = command, variables

    def __enter__(self) -> Self:
        self.write_config(self.config)
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [*self._command, f"-config={self.config_file}", "-v=1"],
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self


def test_it_tells_its_version_and_checks_and_serves(
    program_file: Path, bare: Path, unpacked: dict[str, str], master: Master, tmp_path: Path
) -> None:
    command = [str(bare), "-I", str(program_file)]
    running = OneFile(command, unpacked, tmp_path, master)
    running.write_config(running.config)
    # The first of them unpacks it.
    for arguments, said in (
        (["version"], "0."),
        (["check", "--config", str(running.config_file)], f"{running.config_file}: no problems"),
    ):
        done = subprocess.run(
            [*command, *arguments], env=unpacked, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(said)
    with running:
        running.wait_ready()
        assert client.ask(running.dns, "web.marathon.mesos.", "A")["answer"]
        assert len(running.workers()) == 2
        assert running.end() == 0


def test_what_goes_into_it() -> None:
    names = pyz.needed(pyz.VERSIONS)
    assert {"aiohttp", "msgspec", "kazoo", "cryptography", "typing-extensions"} <= names
    assert not {"mesos-dns", "pytest", "ruff", "mypy"} & names
    lines = pyz.locked_lines((ROOT / "requirements.lock").read_text(), names)
    assert lines.count("==") == len(names)
    assert all(line.strip().startswith("--hash=") or "==" in line for line in lines.splitlines())


def test_files_that_differ_between_versions_do_not_fit(tmp_path: Path) -> None:
    for version, text in (("3.11", "one"), ("3.12", "one"), ("3.13", "other")):
        (tmp_path / version / "x-1.dist-info").mkdir(parents=True)
        (tmp_path / version / "x.py").write_text(text)
        (tmp_path / version / "x-1.dist-info" / "WHEEL").write_text(version)
    pyz.merge(tmp_path / "3.12", tmp_path / "3.11")
    with pytest.raises(SystemExit, match=r"x\.py differs"):
        pyz.merge(tmp_path / "3.13", tmp_path / "3.11")
