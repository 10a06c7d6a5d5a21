"""The manual page and the completions in packaging/ are those of the command line as it is. Made anew by `make manual`."""

import argparse
import re
import subprocess

import pytest
from tests.test_docs import checker
from tools.manual import COMPLETIONS, MANUAL, parsers

from mesos_dns import __version__, cli

PAGE = MANUAL.read_text()


def flags(parser: argparse.ArgumentParser) -> list[str]:
    """All that people may give to it, apart from what is accepted for the sake of Go's scripts alone."""
    return [flag for action in parser._actions if action.help != argparse.SUPPRESS for flag in action.option_strings]


ALL_FLAGS = sorted({flag for parser in parsers(cli.whole_parser()) for flag in flags(parser)})


def test_the_parser_of_the_manual_is_that_of_the_program() -> None:
    """Each command has the same flags in both."""
    _, *commands = parsers(cli.whole_parser())
    assert [parser.prog for parser in commands] == [f"mesos-dns {name}" for name in cli.COMMANDS]
    for parser, name in zip(commands, cli.COMMANDS, strict=True):
        assert flags(parser) == flags(cli._command_parser(name))


def test_the_manual_page_has_every_command_and_flag() -> None:
    plain = re.sub(r"\\f[BIR]|\\,|\\/", "", PAGE).replace(r"\-", "-")
    told = re.findall(r"^COMMAND '(.*)'$|^\.SH COMMAND '(.*)'$", plain, re.MULTILINE)
    assert [first or second for first, second in told] == [f"mesos-dns {name}" for name in cli.COMMANDS]
    for parser in parsers(cli.whole_parser())[1:]:
        part = plain.partition(f".SH COMMAND '{parser.prog}'")[2].partition(".SH COMMAND '")[0]
        wanted = set(flags(parser)) - {"-h", "--help"}
        assert wanted == set(
            re.findall(r"(?:^|, )(--?[a-z][a-z-]*)(?= |,|$)", part.partition(".SH EXIT")[0], re.MULTILINE)
        ), parser.prog
    assert f'"Mesos-DNS {__version__}"' in plain


def test_the_manual_page_is_well_formed() -> None:
    command = [checker("groff"), "-man", "-ww", "-Tutf8", "-z", str(MANUAL)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize("shell", COMPLETIONS)
def test_completions_have_every_command_and_flag(shell: str) -> None:
    text = COMPLETIONS[shell].read_text()
    for name in cli.COMMANDS:
        assert re.search(rf"\b{name}\b", text), name
    for flag in ALL_FLAGS:
        # fish writes them without dashes: -s h, -o config, -l config.
        kind = "-l" if flag.startswith("--") else "-[so]"
        wanted = rf" {kind} {flag.lstrip('-')} " if shell == "fish" else rf"(?<![\w-]){flag}(?![\w-])"
        assert re.search(wanted, text), flag


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("mesos-dns ch", ["check"]),
        ("mesos-dns -log", ["-log-format"]),
        ("mesos-dns check --s", ["--strict"]),
        ("mesos-dns records --format z", ["zone"]),
        ("mesos-dns run -log-format j", ["json"]),
    ],
)
def test_bash_completes(line: str, offered: list[str]) -> None:
    words = line.split()
    script = f"""
        compopt() {{ :; }}
        source {COMPLETIONS["bash"]}
        function=$(complete -p mesos-dns | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}; COMP_LINE={line!r}; COMP_POINT={len(line)}
        $function mesos-dns {words[-1]!r} {words[-2]!r}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    command = [checker("bash"), "--norc", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout.split(), done.stderr) == (offered, "")
