"""A Containerfile without a container engine: its steps, done in roots to throw away.

The base is this machine, whatever FROM names: it must have Python with `venv`. As much of the format as packaging/Containerfile uses.
"""

import json
import re
import shlex
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tests.integration import throwaway
from tests.integration.throwaway import Root

KNOWN = ("FROM", "COPY", "RUN", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD")


class Instruction(NamedTuple):
    """Its name, and what follows it."""

    name: str
    told: str

    @property
    def words(self) -> list[str]:
        """What is told in the exec form, a list in JSON."""
        return list(map(str, json.loads(self.told[self.told.index("[") :])))


def instructions(text: str) -> list[Instruction]:
    """All of them in their order; continued lines joined. Raises ValueError for one that is not known here."""
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    found = [Instruction(*map(str.strip, line.partition(" ")[::2])) for line in lines if line.strip()]
    for each in found:
        if each.name not in KNOWN:
            raise ValueError(f"unknown instruction {each.name}")
    return found


class Image:
    """What comes of a Containerfile. Its roots live until `roots` is closed."""

    def __init__(self, text: str, context: Path, roots: ExitStack, index: Path) -> None:
        """`context` is the folder that COPY takes from, `index` one with wheels, all that pip finds."""
        self._context, self._roots, self._index = context, roots, index
        self._stages: dict[str, Root] = {}
        #: The last instruction of each name in the last stage.
        self.told: dict[str, Instruction] = {}
        for each in instructions(text):
            self._do(each)

    def _do(self, step: Instruction) -> None:
        if step.name == "FROM":
            self.root, self.environment = self._roots.enter_context(throwaway.root()), {"PATH": _PATH}
            self.told = {}
            _as_python_images_call_it(self.root)
            if name := re.search(r" AS (\w+)$", step.told):
                self._stages[name[1]] = self.root
        elif step.name == "COPY":
            self._copy(shlex.split(step.told))
        elif step.name == "RUN":
            if not self.root.path("/tmp/index").exists():
                shutil.copytree(self._index, self.root.path("/tmp/index"))
            variables = {**self.environment, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/tmp/index"}
            self.root.run("env", *_pairs(variables), "/bin/sh", "-c", step.told)
        elif step.name == "ENV":
            self.environment.update(word.split("=", 1) for word in shlex.split(step.told))
        self.told[step.name] = step

    def _copy(self, words: list[str]) -> None:
        top = Path("/")
        if words[0].startswith("--from="):
            stage = self._stages[words.pop(0).removeprefix("--from=")]
            shutil.copytree(stage.path(words[0]), self.root.path(words[1]), symlinks=True)
            return
        *patterns, to = words
        for pattern in patterns:
            found = list(self._context.glob(pattern))
            if not found:
                raise FileNotFoundError(f"COPY {pattern}: nothing in {self._context} is called so")
            for file in found:
                shutil.copy(file, self.root.path(str(top / to / file.name)))

    def command(self, *words: str, **variables: str) -> list[str]:
        """How a container engine would start this in the image: as its user, without a capability, where nothing can be written."""
        user, _, group = self.told["USER"].told.partition(":")
        rights = ["--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        settings = _pairs({**self.environment, **variables})
        closed = [*self.root.under, "unshare", "--mount", "sh", "-c", _READ_ONLY, "sh"]
        return [*closed, "setpriv", f"--reuid={user}", f"--regid={group}", *rights, "env", "-i", *settings, *words]


#: For this command alone: who prepares it goes on writing.
_READ_ONLY = """
set -e
for place in / /tmp /run /var/tmp; do mount -o remount,bind,ro "$place"; done
if touch /written 2>/dev/null; then echo "the root is not read-only" >&2; exit 99; fi
exec "$@"
"""
_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


def _pairs(variables: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in variables.items()]


def _as_python_images_call_it(root: Root) -> None:
    """Images of Python have it as /usr/local/bin/python."""
    place = root.path("/usr/local/bin/python")
    place.unlink(missing_ok=True)
    place.symlink_to("/usr/bin/python3")


def wheels(installed: Path, folder: Path) -> Iterator[Path]:
    """Wheels, as they were before they were installed: pip in a root without a network can take them."""
    for info in sorted(installed.glob("*.dist-info")):
        tags = [tag.split("-") for tag in re.findall(r"^Tag: (.*)$", (info / "WHEEL").read_text(), re.MULTILINE)]
        tag = "-".join(".".join(sorted(set(parts))) for parts in zip(*tags, strict=True))
        wheel = folder / f"{info.name.removesuffix('.dist-info')}-{tag}.whl"
        files = [line.rsplit(",", 2)[0].strip('"') for line in (info / "RECORD").read_text().splitlines()]
        with zipfile.ZipFile(wheel, "w") as archive:
            for name in files:
                # Starters of programs stand beside the libraries, and are made anew.
                if not name.startswith("..") and (installed / name).is_file():
                    archive.write(installed / name, name)
        yield wheel
