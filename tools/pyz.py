"""Builds `mesos-dns.pyz`: the program and its libraries in one file, for each Python that it supports.

python -m tools.pyz                            dist/mesos-dns.pyz
python -m tools.pyz --python 3.11 --to FILE    for one version alone

The libraries are those of requirements.lock, hashes and all. Those with parts in C have a wheel for each version of Python; their files differ in
name, so that all versions fit into one folder. shiv, which makes the file, is no part of the lock: it is fetched into an environment of its own.
"""

import argparse
import filecmp
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable, Sequence
from importlib.metadata import requires
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parent.parent
#: Those that the classifiers of pyproject.toml name.
VERSIONS: Final = tuple(
    re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
)
FILE: Final = ROOT / "dist" / "mesos-dns.pyz"
WORK: Final = ROOT / "build" / "pyz"
SHIV: Final = "shiv==1.0.8"
#: Names of what is written by hand.
SOURCES: Final = (".py", ".html", ".css", ".js", ".svg")
#: What the file holds besides the program: what `iam` needs, too.
EXTRAS: Final = ("iam",)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", choices=VERSIONS, help="default: all of them")
    parser.add_argument("--to", type=Path, default=FILE, metavar="FILE")
    parser.add_argument("--work", type=Path, default=WORK, metavar="FOLDER", help="where to work")
    options = parser.parse_args(arguments)
    build(options.to, options.work, options.python or VERSIONS)


def build(to: Path, work: Path, versions: Sequence[str]) -> None:
    """Make the file; `work` is emptied before."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    locked = work / "locked.txt"
    locked.write_text(locked_lines((ROOT / "requirements.lock").read_text(), needed(versions)))
    everything = work / "everything"
    pip("install", "--no-deps", "--no-build-isolation", "--no-compile", "--target", str(everything), str(ROOT))
    forget_origin(everything)
    for version in versions:
        folder = work / version
        pip(
            *("install", "--no-deps", "--no-compile", "--only-binary", ":all:", "--require-hashes"),
            *("--python-version", version, "--target", str(folder), "--requirement", str(locked)),
        )
        merge(folder, everything)
    shiv = work / "shiv"
    venv.create(shiv, with_pip=True)
    run(str(shiv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", SHIV)
    to.parent.mkdir(parents=True, exist_ok=True)
    run(
        *(str(shiv / "bin" / "shiv"), "--site-packages", str(everything), "--entry-point", "mesos_dns.__main__:main"),
        # Workers are processes of their own, which have to find the program, too.
        *("--extend-pythonpath", "--reproducible", "--compressed"),
        *("--python", "/usr/bin/env python3", "--output-file", str(to)),
    )


def needed(versions: Iterable[str]) -> set[str]:
    """The distributions that the program needs under any of these versions, by their normal names, itself apart."""
    found: set[str] = set()
    left: list[tuple[str, tuple[str, ...]]] = [("mesos-dns", EXTRAS)]
    while left:
        name, extras = left.pop()
        for text in requires(name) or ():
            wanted = Requirement(text)
            normal = canonicalize_name(wanted.name)
            if normal not in found and is_wanted(wanted, versions, extras):
                found.add(normal)
                left.append((normal, tuple(wanted.extras)))
    return found


def is_wanted(requirement: Requirement, versions: Iterable[str], extras: Iterable[str]) -> bool:
    if requirement.marker is None:
        return True
    environments = [
        {"python_version": version, "python_full_version": f"{version}.0", "extra": extra}
        for version in versions
        for extra in (*extras, "")
    ]
    return any(requirement.marker.evaluate(environment) for environment in environments)


def locked_lines(lock: str, names: set[str]) -> str:
    """The part of a lock file that is about these distributions. Raises KeyError for one that it lacks."""
    parts = {match[1]: match[0] for match in re.finditer(r"^([\w.-]+)==.*?(?<!\\)$\n?", lock, re.MULTILINE | re.DOTALL)}
    return "".join(parts[name] for name in sorted(names))


def merge(source: Path, target: Path) -> None:
    """Copy what is not there yet. What is there must be the same, but for what wheels tell of themselves."""
    for file in sorted(source.rglob("*")):
        there = target / file.relative_to(source)
        if file.is_dir() or "bin" in file.relative_to(source).parts[:1]:
            continue
        if not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, there)
        elif ".dist-info" not in str(there) and not filecmp.cmp(file, there, shallow=False):
            sys.exit(f"{there.relative_to(target)} differs between versions of Python: it does not fit into one file")


def forget_origin(folder: Path) -> None:
    """The program was installed from this checkout, whose path is nobody's business: the same sources make the same file anywhere."""
    for origin in folder.glob("mesos_dns-*.dist-info/direct_url.json"):
        origin.unlink()
        record = origin.with_name("RECORD")
        kept = [line for line in record.read_text().splitlines(keepends=True) if "/direct_url.json," not in line]
        record.write_text("".join(kept))


def program() -> dict[str, bytes]:
    """The modules of the program and the files of its page as they are now, by their places in the package."""
    sources = ROOT / "src" / "mesos_dns"
    return {
        str(path.relative_to(sources)): path.read_bytes() for path in sources.rglob("*") if path.name.endswith(SOURCES)
    }


def is_current(file: Path, package: str = "site-packages/mesos_dns/") -> bool:
    """Whether this archive, the one file if nothing else is said, is there and holds the program as it is now."""
    if not file.exists():
        return False
    with zipfile.ZipFile(file) as archive:
        inside = {name.removeprefix(package): name for name in archive.namelist() if name.startswith(package)}
        return program() == {name: archive.read(full) for name, full in inside.items() if name.endswith(SOURCES)}


def pip(*arguments: str) -> None:
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments)


def run(*command: str, folder: Path = ROOT) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
