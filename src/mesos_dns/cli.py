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
from typing import Final, NoReturn

from mesos_dns import __version__, logs
from mesos_dns.config import ConfigError, Loaded, load

BAD_CONFIG: Final = 78
_DEFAULT_CONFIG: Final = "config.json"
#: Flags of the Go program's logging library. They never did anything for Mesos-DNS' own messages.
_GLOG_SWITCHES: Final = ("logtostderr", "alsologtostderr")
_GLOG_VALUES: Final = ("stderrthreshold", "vmodule", "log_backtrace_at", "log_dir")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command and end the process with its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    options = _parser(subcommands=bool(args) and args[0] in _COMMANDS).parse_args(args)
    if getattr(options, "version", False):
        options.command = "version"
    try:
        sys.exit(_COMMANDS[options.command](options))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _parser(*, subcommands: bool) -> argparse.ArgumentParser:
    if not subcommands:
        parser = argparse.ArgumentParser(
            prog="mesos-dns",
            description="DNS for Apache Mesos. Commands: run (the default), check, records, version; "
            "`mesos-dns COMMAND --help` tells more.",
            allow_abbrev=False,
        )
        _add_config(parser)
        parser.add_argument("-version", "--version", action="store_true", help="print the version")
        for name in _GLOG_SWITCHES:
            parser.add_argument(f"-{name}", f"--{name}", nargs="?", const="true", help=argparse.SUPPRESS)
        for name in _GLOG_VALUES:
            parser.add_argument(f"-{name}", f"--{name}", help=argparse.SUPPRESS)
        parser.set_defaults(command="run")
        return parser
    parser = argparse.ArgumentParser(prog="mesos-dns", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_config(commands.add_parser("run", help="serve", allow_abbrev=False))
    _add_config(commands.add_parser("check", help="print every problem of a configuration", allow_abbrev=False))
    records = commands.add_parser("records", help="print the zone of a cluster", allow_abbrev=False)
    _add_config(records)
    where = records.add_mutually_exclusive_group()
    where.add_argument("--state", metavar="FILE", help="a saved /master/state; - for standard input")
    where.add_argument("--master", metavar="HOST:PORT", help="a master to ask instead of the configured ones")
    records.add_argument("--format", choices=("table", "zone", "json"), default="table", help="default: table")
    records.add_argument("--no-resolve", action="store_true", help="do not look up host names in the state")
    commands.add_parser("version", help="print the version", allow_abbrev=False)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-config", "--config", metavar="FILE", help=f"default: {_DEFAULT_CONFIG}")
    parser.add_argument(
        "-v", "--v", type=int, default=0, metavar="N", help="0 warnings, 1 what changes, 2 every detail"
    )


def _read_config(options: argparse.Namespace) -> Loaded:
    return load(options.config or _DEFAULT_CONFIG, os.environ)


def _complain(error: ConfigError) -> int:
    print(f"mesos-dns: the configuration cannot be used:\n{error}", file=sys.stderr)  # noqa: T201 - for people
    return BAD_CONFIG


def _run(options: argparse.Namespace) -> int:
    # Imported here, since the other commands need not wait for the HTTP libraries.
    from mesos_dns.control import Control  # noqa: PLC0415
    from mesos_dns.sockets import BindError  # noqa: PLC0415

    logs.configure(options.v)
    try:
        loaded = _read_config(options)
    except ConfigError as error:
        return _complain(error)
    for warning in loaded.warnings:
        logs.logger.warning("configuration: %s", warning)
    try:
        asyncio.run(Control(lambda: _read_config(options), options.v).run(loaded.config))
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
    print(f"{options.config or _DEFAULT_CONFIG}: no problems")  # noqa: T201
    return 0


def _records(options: argparse.Namespace) -> int:
    from mesos_dns import records  # noqa: PLC0415 - see _run

    logs.configure(options.v)
    environ = dict(os.environ)
    if options.master or options.state:
        environ["MESOS_DNS_MASTERS"] = options.master or environ.get("MESOS_DNS_MASTERS", "127.0.0.1:5050")
    path = options.config or (_DEFAULT_CONFIG if os.path.exists(_DEFAULT_CONFIG) else None)  # noqa: PTH110 - one call
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
