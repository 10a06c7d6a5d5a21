"""The program in one file, as `make pyz` leaves it: it runs without anything of this environment."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration import client
from tests.integration.masters import Master
from tests.integration.program import Program
from tests.test_docs import ROOT
from tools import pyz


@pytest.fixture(scope="module")
def program_file() -> Path:
    if not pyz.FILE.exists():
        pytest.skip("dist/mesos-dns.pyz is not built: make pyz (which needs a package index)")
    if not pyz.is_current(pyz.FILE):
        pytest.skip("dist/mesos-dns.pyz is of other sources: make pyz")
    return pyz.FILE


@pytest.fixture(scope="module")
def bare() -> Path:
    """The interpreter that made this environment: without anything installed for us."""
    return Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a service: next to nothing."""
    return {"PATH": "/usr/bin:/bin", "SHIV_ROOT": str(tmp_path_factory.mktemp("unpacked"))}


def test_it_tells_its_version_and_checks_and_serves(
    program_file: Path, bare: Path, unpacked: dict[str, str], master: Master, tmp_path: Path
) -> None:
    command = [str(bare), "-I", str(program_file)]
    start = [*command, f"-config={tmp_path / 'config.json'}", "-v=1"]
    running = Program(tmp_path, masters=[master.endpoint], program=start, variables=unpacked, workers=2)
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
        assert running.get("/")[1].startswith("<!doctype html>")
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
