"""The wheel is what people install: built, installed into a fresh environment, and run from there."""

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.integration import client
from tests.integration.masters import Master
from tests.integration.program import Program

ROOT = Path(__file__).parent.parent.parent
STATE = ROOT / "docs" / "examples" / "state.json"


def output(command: Sequence[str | Path], cwd: Path | None = None) -> str:
    """What a command printed; it must end with 0. It sees no PYTHONPATH."""
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "PIP_NO_INPUT": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        },
        cwd=cwd,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in ("pip", "hatchling"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed, so no wheel can be built; `make venv` has it")
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    output([*pip, "--wheel-dir", folder, ROOT])
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment with the wheel; its dependencies are those of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install"]
    output([*pip, "--quiet", "--no-deps", "--no-index", wheel])
    site = Path(output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip())
    # Not through addsitedir: an editable install of the checkout there must not come along.
    paths = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (site / "dependencies.pth").write_text("\n".join(paths) + "\n")
    return folder / "bin"


def test_the_wheel_holds_the_package_its_types_and_its_licence(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.partition("/")[0] for name in names}
    assert {"mesos_dns/__init__.py", "mesos_dns/py.typed", "mesos_dns/demo/__main__.py"} <= names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mesos_dns"}
    inside = {name.removeprefix("mesos_dns/") for name in names if name.endswith(".py")}
    files = {name.removeprefix("mesos_dns/web/page/") for name in names if name.startswith("mesos_dns/web/page/")}
    assert files == {path.name for path in (ROOT / "src/mesos_dns/web/page").iterdir()}
    assert inside == {str(path.relative_to(ROOT / "src/mesos_dns")) for path in (ROOT / "src/mesos_dns").rglob("*.py")}


def test_what_runs_is_the_wheel(installed: Path) -> None:
    place = output([installed / "python", "-c", "import mesos_dns; print(mesos_dns.__file__)"])
    assert Path(place).is_relative_to(installed.parent)


def test_the_version_is_that_of_the_wheel(installed: Path, wheel: Path) -> None:
    assert output([installed / "mesos-dns", "version"]).strip() == wheel.name.split("-")[1]


def test_check_accepts_the_packaged_configuration(installed: Path) -> None:
    said = output([installed / "mesos-dns", "check", "--config", ROOT / "packaging" / "config.json"])
    assert said.endswith("no problems\n")


def test_records_of_a_saved_state(installed: Path, tmp_path: Path) -> None:
    said = output(
        [installed / "mesos-dns", "records", "--state", STATE, "--format", "json", "--no-resolve"], cwd=tmp_path
    )
    found = {(record["name"], record["data"]) for record in json.loads(said)["records"]}
    assert ("search.marathon.mesos.", "10.32.0.5") in found


def test_it_serves(installed: Path, master: Master, tmp_path: Path) -> None:
    """Workers, too, are started from the environment."""
    start = [str(installed / "mesos-dns"), f"-config={tmp_path / 'config.json'}", "-v=1"]
    variables = {"PATH": os.environ["PATH"]}
    with Program(tmp_path, masters=[master.endpoint], program=start, variables=variables) as program:
        program.wait_ready()
        assert client.ask(program.dns, "web.marathon.mesos.", "A")["rcode"] == "NOERROR"
        assert program.get("/")[1].startswith("<!doctype html>")
        assert program.get("/page/page.js")[0] == 200
        assert program.end() == 0
    assert "Traceback" not in program.log()
