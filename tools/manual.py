"""Writes the manual page and the completions of shells in packaging/, from the parsers of the command line.

python -m tools.manual    what `make manual` does

argparse-manpage and shtab, which know how such files look, are no part of the lock: `make manual` fetches them into build/manual.
tests/test_manual.py holds the files against the command line, without them.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Any, Final

from mesos_dns import __version__, cli

ROOT: Final = Path(__file__).parent.parent
LIBRARIES: Final = ROOT / "build" / "manual"
MANUAL: Final = ROOT / "packaging" / "man" / "mesos-dns.1"
#: Under the names that the shells expect.
COMPLETIONS: Final = {
    shell: ROOT / "packaging" / "completions" / name
    for shell, name in {"bash": "mesos-dns", "zsh": "_mesos-dns", "fish": "mesos-dns.fish"}.items()
}
MORE: Final = r"""
.SH EXIT STATUS
.TP
.B 0
ended by a signal, or done
.TP
.B 1
a port, a master or the server cannot be had, or \fBcheck \-\-strict\fR found warnings
.TP
.B 2
bad flags
.TP
.B 78
bad configuration; every problem is on standard error
.SH SIGNALS
.TP
.B SIGTERM\fR, \fBSIGINT
answer what has come, and end; a second one ends at once
.TP
.B SIGHUP
read the configuration again, and take it as soon as it can serve
.SH ENVIRONMENT
Each key of the configuration has a variable, which beats the file: \fBMESOS_DNS_TTL\fR is \fBTTL\fR.
.SH FILES
.TP
.I config.json
the configuration, if no other file is named, in the present folder
.SH SEE ALSO
The folder \fIdocs\fR of the sources: configuration.md has all keys, operations.md is for the person who was woken up.
"""


def main() -> None:
    sys.path.insert(0, str(LIBRARIES))
    try:
        import shtab  # noqa: PLC0415 - it may be missing
        from argparse_manpage.manpage import Manpage  # noqa: PLC0415 - the same
    except ImportError:
        sys.exit("argparse-manpage and shtab are not in build/manual: make manual fetches them")
    MANUAL.parent.mkdir(parents=True, exist_ok=True)
    MANUAL.write_text(manual(Manpage))
    for shell, file in COMPLETIONS.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(completion(shtab, shell))


def manual(page: Any) -> str:
    parser = cli.whole_parser()
    # What the page has in sections of their own.
    parser.epilog = None
    text = str(page(parser))
    text = re.sub(
        r"^\.TH .*$",
        rf'.TH MESOS\\-DNS 1 "" "Mesos\\-DNS {__version__}" "User Commands"',
        text,
        count=1,
        flags=re.MULTILINE,
    )
    text = text.replace(".SH NAME\nmesos\\-dns\n", ".SH NAME\nmesos\\-dns \\- DNS for Apache Mesos\n")
    # The usage has a second line.
    text = text.replace(" mesos-dns COMMAND [...]\n", "\n.br\n.B mesos\\-dns\nCOMMAND [...]\n")
    return re.sub(r"^\.SH\nCOMMANDS$", ".SH COMMANDS", text, flags=re.MULTILINE).rstrip() + MORE


def completion(library: Any, shell: str) -> str:
    parser = cli.whole_parser()
    for each in parsers(parser):
        for action in each._actions:  # noqa: SLF001 - there is no other way to them
            if action.metavar == "FILE":
                action.complete = library.FILE  # type: ignore[attr-defined] # where the library looks for it
    text: str = library.complete(parser, shell)
    if shell == "fish":
        # Flags of Go have one dash however long they are.
        text = re.sub(r" -s (\w[\w-]+)", r" -o \1", text)
    return text.rstrip() + "\n"


def parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """This one, and those of its commands."""
    found = [parser]
    for action in parser._actions:  # noqa: SLF001 - as above
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            found += action.choices.values()
    return found


if __name__ == "__main__":
    main()
