"""The command line: Go-style flags, subcommands, exit codes.

    mesos-dns -config=/etc/mesos-dns/config.json -v=1      as the Go program
    mesos-dns run|check|records|explain|watch|log|status|version ...

Exit codes: 0 done, 1 a socket or a master cannot be had, or `check --live` says so, 2 bad flags, 78 (EX_CONFIG) bad configuration; those of `status`: `verdict.EXIT_CODES`.
What the commands do stands in `commands/`.
"""

import argparse
import contextlib
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from mesos_dns import __version__, early_signals, logs
from mesos_dns.commands.configured import DEFAULT_FILE
from mesos_dns.config.rules import LOG_FORMATS
from mesos_dns.dns.rdata import type_of
from mesos_dns.quoting import quoted

#: Flags of the Go program's logging library. They never did anything for Mesos-DNS' own messages.
_GLOG_SWITCHES: Final = ("logtostderr", "alsologtostderr")
_GLOG_VALUES: Final = ("stderrthreshold", "vmodule", "log_backtrace_at", "log_dir")
#: What a file says that takes no more.
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
#: The commands in the order of the help, and what each does.
COMMANDS: Final = {
    "run": "serve; the same without a command, as the Go program",
    "check": "print every problem of a configuration, and touch nothing; with --live try what it needs",
    "records": "print the names of a cluster, of its masters or of a saved state",
    "explain": "ask a running server why a name has its answer, or none",
    "watch": "print the names that appear and vanish in a running server, as it happens, and why",
    "log": "switch the query log of a running server on or off, or look on as it answers",
    "status": "print how a running server does; ends with 0 if all is well, 1 if not all, 2 if it is down",
    "version": "print the version",
}
_URL_HELP: Final = "where the HTTP API is; default: HTTPListener and HttpPort of the configuration"
_EXAMPLES: Final = """
examples:
  mesos-dns -config=/etc/mesos-dns/config.json -v=1
  mesos-dns check --config /etc/mesos-dns/config.json
  mesos-dns check --live --config /etc/mesos-dns/config.json
  mesos-dns records --master 10.0.0.11:5050

`mesos-dns COMMAND -h` lists the flags of a command."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command and end the process with its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    options = parse(args)
    if options.command != "run":
        early_signals.leave()
    try:
        code = _do(options)
        # Here and not at the very end, where nobody can catch what it raises.
        if sys.stdout is not None:
            sys.stdout.flush()
        sys.exit(code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing is wrong.
        _write_no_more()
        sys.exit(0)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _write_no_more()
        with contextlib.suppress(OSError):
            print(f"mesos-dns: the output cannot be written: {error.strerror}", file=sys.stderr)  # noqa: T201 - for people
        sys.exit(1)
    finally:
        logs.flush()


def _write_no_more() -> None:
    """Let what is left in standard output go nowhere: Python would try again to write it at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _do(options: argparse.Namespace) -> int:
    if options.command == "version" or getattr(options, "version", False):
        print(__version__)  # noqa: T201 - the command's output
        return 0
    # Imported only now, since the other commands need not wait for the HTTP libraries.
    code: int = importlib.import_module(f"mesos_dns.commands.{options.command}").run(options)
    return code


def parse(args: Sequence[str]) -> argparse.Namespace:
    """What the arguments say; `command` is one of `COMMANDS`. Ends the process with 2 if they cannot be understood."""
    if args and args[0] in COMMANDS:
        return _command_parser(args[0]).parse_args(args[1:])
    parser = _go_parser()
    options, unknown = parser.parse_known_args(args)
    if unknown:
        parser.error(_about(unknown[0]))
    return options


def _about(word: str) -> str:
    if word.startswith("-"):
        return f"unknown flag {word}; mesos-dns -h lists the flags, mesos-dns COMMAND -h those of a command"
    if word in COMMANDS:
        return f"the command comes before all flags: mesos-dns {word} ..."
    return f"unknown command {quoted(word)}; the commands are {', '.join(COMMANDS)} (mesos-dns -h tells more)"


def _go_parser() -> argparse.ArgumentParser:
    """The flags without a command: those of the Go program."""
    parser = argparse.ArgumentParser(
        prog="mesos-dns",
        usage="mesos-dns [-config FILE] [-v N] [-log-format FORMAT] [-version]\n       mesos-dns COMMAND [...]",
        description="DNS for Apache Mesos.",
        epilog="\n".join(["commands:", *(f"  {name:<20}  {about}" for name, about in COMMANDS.items()), _EXAMPLES]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument("-h", "-help", "--help", action="help", help="print this")
    _add_config(parser)
    _add_log_format(parser)
    # As in Go, a switch may have a value.
    parser.add_argument(
        "-version",
        "--version",
        nargs="?",
        type=_switch,
        metavar="true",
        const=True,
        default=False,
        help="print the version",
    )
    for name in _GLOG_SWITCHES:
        parser.add_argument(f"-{name}", f"--{name}", nargs="?", const="true", help=argparse.SUPPRESS)
    for name in _GLOG_VALUES:
        parser.add_argument(f"-{name}", f"--{name}", help=argparse.SUPPRESS)
    parser.set_defaults(command="run")
    return parser


def _command_parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"mesos-dns {name}", description=COMMANDS[name], allow_abbrev=False)
    _add_flags(parser, name)
    return parser


def whole_parser() -> argparse.ArgumentParser:
    """The flags of the Go program and all commands in one parser: what manual and completions are made of. `parse` knows more exactly."""
    parser = _go_parser()
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", prog="mesos-dns")
    for name, about in COMMANDS.items():
        _add_flags(commands.add_parser(name, help=about, description=about, allow_abbrev=False), name)
    return parser


def _add_flags(parser: argparse.ArgumentParser, name: str) -> None:
    parser.set_defaults(command=name)
    if name != "version":
        _add_config(parser)
    if name == "run":
        _add_log_format(parser)
    if name == "check":
        parser.add_argument("--strict", action="store_true", help="end with 1 if there are warnings")
        parser.add_argument("--json", action="store_true", help="print problems and warnings as JSON")
        parser.add_argument(
            "--live", action="store_true", help="also try masters, ZooKeeper, upstreams, ports; end with 1 if one fails"
        )
    if name == "explain":
        parser.add_argument("name", metavar="NAME", help="the name, as a client would ask for it")
        parser.add_argument("type", metavar="TYPE", nargs="?", type=_type, help="A, AAAA, SRV ...; default: every type")
        parser.add_argument("--url", metavar="URL", help=_URL_HELP)
        parser.add_argument("--json", action="store_true", help="print the explanation as JSON")
    if name == "watch":
        parser.add_argument("--url", metavar="URL", help=_URL_HELP)
        parser.add_argument("--since", type=_serial, metavar="SERIAL", help="begin with what changed after this serial")
        parser.add_argument("--once", action="store_true", help="print what is known, and end")
        parser.add_argument("--json", action="store_true", help="print each change as a line of JSON")
    if name == "log":
        _add_log_flags(parser)
    if name == "status":
        parser.add_argument("--url", metavar="URL", help=_URL_HELP)
        parser.add_argument("--json", action="store_true", help="print what /v1/status says, as JSON")
    if name == "records":
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--state", metavar="FILE", help="a saved /master/state; - for standard input")
        where.add_argument("--master", metavar="HOST:PORT", help="a master to ask instead of the configured ones")
        parser.add_argument("--format", choices=("table", "zone", "json"), default="table", help="default: table")
        parser.add_argument("--no-resolve", action="store_true", help="do not look up host names in the state")


def _add_log_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=("on", "off", "status", "follow"),
        help="on: to QueryLog.To, for a time; off; status; follow: print answers as they are given",
    )
    parser.add_argument("--client", metavar="PREFIX", action="append", default=[], help="only of these clients")
    parser.add_argument("--name", metavar="NAME", action="append", default=[], help="only this name and what is below")
    parser.add_argument("--rcode", metavar="RCODE", action="append", default=[], help="only these, such as NXDOMAIN")
    parser.add_argument("--sample", metavar="N", help="only one of N, by chance")
    parser.add_argument("--for", dest="duration", metavar="TIME", help="90s, 5m, 2h; default: 5m, at most a day")
    parser.add_argument("--url", metavar="URL", help=_URL_HELP)
    parser.add_argument("--token-file", metavar="FILE", help="with the token of HttpTokenFile, for another machine")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _type(text: str) -> str:
    try:
        type_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _serial(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= 0xFFFFFFFF:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a number from 0 to 4294967295, found {quoted(text)}")


def _switch(text: str) -> bool:
    if text.lower() in {"1", "t", "true"}:
        return True
    if text.lower() in {"0", "f", "false"}:
        return False
    raise argparse.ArgumentTypeError(f"expected true or false, found {quoted(text)}")


def _add_log_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        *("-log-format", "--log-format"),
        choices=LOG_FORMATS,
        metavar="FORMAT",
        help=f"of the log: {' or '.join(LOG_FORMATS)}; default: LogFormat of the configuration, else text",
    )


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-config", "--config", metavar="FILE", help=f"- for standard input; default: {DEFAULT_FILE}")
    parser.add_argument(
        "-v", "--v", type=int, default=0, metavar="N", help="0 warnings, 1 what changes, 2 every detail"
    )
