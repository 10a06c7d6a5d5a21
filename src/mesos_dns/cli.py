"""The command line: Go-style flags, subcommands, exit codes.

    mesos-dns -config=/etc/mesos-dns/config.json -v=1      as the Go program
    mesos-dns run|check|records|version ...

Exit codes: 0 done, 1 a socket or a master cannot be had, 2 bad flags, 78 (EX_CONFIG) bad configuration.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from mesos_dns import __version__, early_signals, logs
from mesos_dns.config import ConfigError, Loaded, load

BAD_CONFIG: Final = 78
_DEFAULT_CONFIG: Final = "config.json"
#: Flags of the Go program's logging library. They never did anything for Mesos-DNS' own messages.
_GLOG_SWITCHES: Final = ("logtostderr", "alsologtostderr")
_GLOG_VALUES: Final = ("stderrthreshold", "vmodule", "log_backtrace_at", "log_dir")
#: The commands in the order of the help, and what each does.
_ABOUT: Final = {
    "run": "serve; the same without a command, as the Go program",
    "check": "print every problem of a configuration, and touch nothing",
    "records": "print the names of a cluster, of its masters or of a saved state",
    "version": "print the version",
}
_EXAMPLES: Final = """
examples:
  mesos-dns -config=/etc/mesos-dns/config.json -v=1
  mesos-dns check --config /etc/mesos-dns/config.json
  mesos-dns records --master 10.0.0.11:5050

`mesos-dns COMMAND -h` lists the flags of a command."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command and end the process with its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    options = _parse(args)
    if options.command != "run":
        early_signals.leave()
    if getattr(options, "version", False):
        options.command = "version"
    try:
        code = _COMMANDS[options.command](options)
        # Here and not at the very end, where nobody can catch what it raises.
        print(end="", flush=True)  # noqa: T201 - does nothing without a standard output, too
        sys.exit(code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _parse(args: list[str]) -> argparse.Namespace:
    if args and args[0] in _COMMANDS:
        return _parser(subcommands=True).parse_args(args)
    parser = _parser(subcommands=False)
    options, unknown = parser.parse_known_args(args)
    if unknown:
        parser.error(_about(unknown[0]))
    return options


def _about(word: str) -> str:
    if word.startswith("-"):
        return f"unknown flag {word}; mesos-dns -h lists the flags, mesos-dns COMMAND -h those of a command"
    if word in _COMMANDS:
        return f"the command comes before all flags: mesos-dns {word} ..."
    return f"unknown command {word!r}; the commands are {', '.join(_COMMANDS)} (mesos-dns -h tells more)"


def _parser(*, subcommands: bool) -> argparse.ArgumentParser:
    if not subcommands:
        parser = argparse.ArgumentParser(
            prog="mesos-dns",
            usage="mesos-dns [-config FILE] [-v N] [-version]\n       mesos-dns COMMAND [...]",
            description="DNS for Apache Mesos.",
            epilog="\n".join(["commands:", *(f"  {name:<20}  {about}" for name, about in _ABOUT.items()), _EXAMPLES]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=False,
            allow_abbrev=False,
        )
        parser.add_argument("-h", "-help", "--help", action="help", help="print this")
        _add_config(parser)
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
    parser = argparse.ArgumentParser(prog="mesos-dns", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    made = {name: commands.add_parser(name, description=about, allow_abbrev=False) for name, about in _ABOUT.items()}
    for name in ("run", "check", "records"):
        _add_config(made[name])
    _add_records_flags(made["records"])
    return parser


def _add_records_flags(records: argparse.ArgumentParser) -> None:
    where = records.add_mutually_exclusive_group()
    where.add_argument("--state", metavar="FILE", help="a saved /master/state; - for standard input")
    where.add_argument("--master", metavar="HOST:PORT", help="a master to ask instead of the configured ones")
    records.add_argument("--format", choices=("table", "zone", "json"), default="table", help="default: table")
    records.add_argument("--no-resolve", action="store_true", help="do not look up host names in the state")


def _switch(text: str) -> bool:
    if text.lower() in {"1", "t", "true"}:
        return True
    if text.lower() in {"0", "f", "false"}:
        return False
    raise argparse.ArgumentTypeError(f"expected true or false, found {text!r}")


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-config", "--config", metavar="FILE", help=f"default: {_DEFAULT_CONFIG}")
    parser.add_argument(
        "-v", "--v", type=int, default=0, metavar="N", help="0 warnings, 1 what changes, 2 every detail"
    )


def _path(options: argparse.Namespace) -> str | None:
    """The configuration file; None if no file is named or here, and the environment has to do."""
    if options.config:
        return str(options.config)
    only_environment = any(name.startswith("MESOS_DNS_") for name in os.environ)
    return None if only_environment and not Path(_DEFAULT_CONFIG).exists() else _DEFAULT_CONFIG


def _read_config(options: argparse.Namespace) -> Loaded:
    return load(_path(options), os.environ)


def _complain(error: ConfigError) -> int:
    print(f"mesos-dns: the configuration cannot be used:\n{error}", file=sys.stderr)  # noqa: T201 - for people
    return BAD_CONFIG


def _run(options: argparse.Namespace) -> int:
    # Imported here, since the other commands need not wait for the HTTP libraries.
    from mesos_dns.control import Control  # noqa: PLC0415 - as said above
    from mesos_dns.sockets import BindError  # noqa: PLC0415 - as said above
    from mesos_dns.workers.spawner import CONTROL_NICENESS  # noqa: PLC0415 - as said above

    logs.configure(options.v)
    try:
        loaded = _read_config(options)
    except ConfigError as error:
        return _complain(error)
    for warning in loaded.warnings:
        logs.logger.warning("configuration: %s", warning)
    try:
        asyncio.run(Control(lambda: _read_config(options), options.v, CONTROL_NICENESS).run(loaded.config))
    except BindError as error:
        print(f"mesos-dns: {error}", file=sys.stderr)  # noqa: T201 - for people
        return 1
    return 0


def _check(options: argparse.Namespace) -> int:
    try:
        loaded = _read_config(options)
    except ConfigError as error:
        return _complain(error)
    for warning in loaded.warnings:
        print(f"warning: {warning}")  # noqa: T201 - the command's output
    print(f"{_path(options) or 'the environment'}: no problems")  # noqa: T201 - the command's output
    return 0


def _records(options: argparse.Namespace) -> int:
    from mesos_dns import records  # noqa: PLC0415 - see _run

    logs.configure(options.v)
    environ = dict(os.environ)
    path = _path(options)
    if path == _DEFAULT_CONFIG and not Path(path).exists() and (options.master or options.state):
        path = None  # The defaults will do.
    if options.master:
        environ["MESOS_DNS_MASTERS"] = options.master
    elif options.state and path is None:
        environ.setdefault("MESOS_DNS_MASTERS", "127.0.0.1:5050")
    try:
        loaded = load(path, environ)
    except ConfigError as error:
        return _complain(error)
    try:
        zone = records.zone_of(loaded.config, options.state, resolve=not options.no_resolve)
    except records.NoStateError as error:
        print(f"mesos-dns: {error}", file=sys.stderr)  # noqa: T201 - for people
        return 1
    for line in records.FORMATS[options.format](zone):
        print(line)  # noqa: T201 - the command's output
    return 0


def _version(_: argparse.Namespace) -> int:
    print(__version__)  # noqa: T201 - the command's output
    return 0


_COMMANDS: Final = {"run": _run, "check": _check, "records": _records, "version": _version}
