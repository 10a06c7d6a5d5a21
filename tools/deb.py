"""Builds the Debian package `mesos-dns_VERSION_ARCHITECTURE.deb` from the one file and packaging/.

python -m tools.deb    what `make deb` does; needs the Debian packages debhelper and dpkg-dev; lintian looks at it, if it is there

Its libraries are those of dist/mesos-dns.pyz, unpacked to /usr/lib/mesos-dns: parts in C for each version of Python that it supports, hence
an architecture. Not Debian's own: Debian 12 has some of them too old, others not at all. Not the one file itself: it would have to be
unpacked at its first start, into a folder that then belongs to no package. debhelper, in packaging/debian, does the rest.
"""

import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from importlib.metadata import Distribution
from pathlib import Path
from typing import Final

from mesos_dns import __version__
from tools import pyz

ROOT: Final = pyz.ROOT
PACKAGING: Final = ROOT / "packaging"
WORK: Final = ROOT / "build" / "deb"
LIBRARIES: Final = "usr/lib/mesos-dns"
GUIDE: Final = "usr/share/doc/mesos-dns/guide"
#: What lies ready in packaging/, and where Debian looks for it.
PLACES: Final = {
    "config.json": "etc/mesos-dns/config.json",
    "completions/mesos-dns": "usr/share/bash-completion/completions/mesos-dns",
    "completions/_mesos-dns": "usr/share/zsh/vendor-completions/_mesos-dns",
    "completions/mesos-dns.fish": "usr/share/fish/vendor_completions.d/mesos-dns.fish",
}
#: Documentation, in the layout of the sources, so that links between pages lead somewhere.
DOCUMENTATION: Final = (
    *("README.md", "SECURITY.md", "CHANGELOG.md", "docs", "packaging/config.json"),
    *("packaging/mesos-dns.service", "packaging/mesos-dns.socket", "packaging/prometheus", "packaging/grafana"),
)
#: In the one file, and of no use here: its own starter, tests and sources in C of libraries.
LEFT_OUT: Final = (
    "bin/*",
    "kazoo/tests/*",
    "*.pyx",
    "*.pxd",
    "*.pxi",
    "*.h",
    "*.c",
    "*/INSTALLER",
    "*/REQUESTED",
    "multidict/_testcapi.*",
)


def main() -> None:
    for program, package in (("dpkg-buildpackage", "dpkg-dev"), ("dh", "debhelper")):
        if shutil.which(program) is None:
            sys.exit(f"{program} is not installed (Debian: apt-get install --no-install-recommends {package})")
    if not pyz.is_current(pyz.FILE):
        pyz.build(pyz.FILE, pyz.WORK, pyz.VERSIONS)
    shutil.rmtree(WORK, ignore_errors=True)
    source = WORK / f"mesos-dns-{__version__}"
    lay_ready(source)
    pyz.run("dpkg-buildpackage", "--build=binary", "--no-sign", "--no-check-builddeps", folder=source)
    (built,) = WORK.glob("mesos-dns_*.deb")
    if shutil.which("lintian"):
        pyz.run("lintian", "--fail-on", "error,warning", "--tag-display-limit", "0", str(built))
    else:
        print("lintian is not installed: nobody has looked whether the package follows Debian's rules", file=sys.stderr)
    for old in pyz.FILE.parent.glob("mesos-dns_*.deb"):
        old.unlink()
    print(shutil.copy(built, pyz.FILE.parent))


def lay_ready(source: Path) -> None:
    """The folder in which debhelper works: `debian/`, `packaging/`, and in `root/` files at their places."""
    root = source / "root"
    shutil.copytree(PACKAGING, source / "packaging")
    shutil.copytree(PACKAGING / "debian", source / "debian", ignore=shutil.ignore_patterns("launcher.py"))
    unpack(pyz.FILE, root / LIBRARIES)
    put(PACKAGING / "debian" / "launcher.py", root / "usr" / "bin" / "mesos-dns", 0o755)
    for name, place in PLACES.items():
        put(PACKAGING / name, root / place)
    for name in DOCUMENTATION:
        for file in files(ROOT / name):
            put(file, root / GUIDE / file.relative_to(ROOT))
    (source / "debian" / "mesos-dns.service").write_text(unit((PACKAGING / "mesos-dns.service").read_text()))
    put(PACKAGING / "mesos-dns.socket", source / "debian" / "mesos-dns.socket")
    control = source / "debian" / "control"
    control.write_text(filled(control.read_text()))
    with (source / "debian" / "copyright").open("a") as told:
        told.writelines(licences(root / LIBRARIES))
    (source / "debian" / "changelog").write_text(
        f"mesos-dns ({__version__}) unstable; urgency=medium\n\n"
        f"  * What is new stands in /{GUIDE}/CHANGELOG.md.\n\n"
        f" -- {maintainer()}  {format_datetime(datetime.fromtimestamp(when(), UTC))}\n"
    )


def put(file: Path, place: Path, mode: int = 0o644) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, place)
    place.chmod(mode)


def files(path: Path) -> list[Path]:
    """This file, or those in this folder that are for readers."""
    return [path] if path.is_file() else [each for each in path.rglob("*") if each.suffix in {".md", ".json", ".yml"}]


def unpack(archive: Path, folder: Path) -> None:
    """The libraries of the one file, and the program itself."""
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            inside = Path(name.removeprefix("site-packages/"))
            if name == str(inside) or name.endswith("/") or any(inside.match(each) for each in LEFT_OUT):
                continue
            to = folder / inside
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(opened.read(name))
            to.chmod(0o644)


def unit(text: str) -> str:
    """The unit, which starts the program of the package and names its manual page."""
    return text.replace("/opt/mesos-dns/bin/", "/usr/bin/").replace(
        "Description=Mesos-DNS\n", "Description=Mesos-DNS\nDocumentation=man:mesos-dns(1)\n"
    )


def filled(control: str) -> str:
    """With the maintainer, and the versions of Python that there are parts in C for."""
    major, minor = pyz.VERSIONS[-1].split(".")
    after = f"{major}.{int(minor) + 1}"
    return control.replace("@MAINTAINER@", maintainer()).replace("@FIRST@", pyz.VERSIONS[0]).replace("@AFTER@", after)


def maintainer() -> str:
    """Whoever builds it, as Debian's tools have it told."""
    name = os.environ.get("DEBFULLNAME", "Mesos-DNS maintainers")
    return f"{name} <{os.environ.get('DEBEMAIL', 'maintainers@mesos-dns.invalid')}>"


def when() -> int:
    """Seconds since 1970 at which these sources were: the same package comes of the same sources."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 else int(time.time())


def licences(libraries: Path) -> Iterator[str]:
    """A stanza for each library, for debian/copyright: what it tells of itself."""
    for folder in sorted(libraries.glob("*.dist-info")):
        told = Distribution.at(folder).metadata
        if told["Name"] == "mesos-dns":
            continue
        licence = (told["License-Expression"] or told["License"]).replace("Apache 2.0", "Apache-2.0")
        module = folder.name.partition("-")[0]
        yield (
            f"\nFiles: {LIBRARIES}/{module}* {LIBRARIES}/{folder.name}/*\n"
            f"Copyright: the authors of {told['Name']}, see the files of its licence\n"
            f"License: {licence.replace(' AND ', ' and ').replace(' OR ', ' or ')}\n"
            f" The text stands in /{LIBRARIES}/{folder.name}.\n"
        )


if __name__ == "__main__":
    main()
