"""What the commands have in common: the configuration that their flags name."""

import contextlib
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mesos_dns.config import STANDARD_INPUT, ConfigError, Layer, Loaded, load
from mesos_dns.config.host import ThisHost
from mesos_dns.logs import logger

BAD_CONFIG: Final = 78
DEFAULT_FILE: Final = "config.json"
#: One for the whole process: standard input can be read only once, and a reload wants it, too.
_HOST: Final = ThisHost()


def path_of(options: Namespace) -> str | None:
    """The configuration file; None if no file is named or here, and the environment has to do."""
    if options.config:
        return str(options.config)
    only_environment = any(name.startswith("MESOS_DNS_") for name in os.environ)
    return None if only_environment and not Path(DEFAULT_FILE).exists() else DEFAULT_FILE


def name_of(path: str | None) -> str:
    """How people call what is read from `path`."""
    if path is None:
        return "the environment"
    return "standard input" if path == STANDARD_INPUT else path


def place_of(options: Namespace) -> str:
    """The same for what the flags mean; a file with its whole path, which tells it from others of its name."""
    path = path_of(options)
    return name_of(path) if path in (None, STANDARD_INPUT) else str(Path(str(path)).expanduser().absolute())


def read(path: str | None, *, flags: Layer | None = None, needs_masters: bool = True) -> Loaded:
    """The configuration, as `config.load` gives it. Raises ConfigError."""
    return load(path, os.environ, flags=flags, needs_masters=needs_masters, host=_HOST)


def reader(options: Namespace) -> Callable[[], Loaded]:
    """Reads the configuration of the flags, again and again: standard input stays what it was. Raises ConfigError."""
    flags = Layer()
    if options.log_format is not None:
        flags.give("LogFormat", "flag -log-format", options.log_format)
    return lambda: read(path_of(options), flags=flags)


def early_json(options: Namespace) -> bool:
    """Whether the log is JSON before the configuration is known, which may be refused: by the flag, or the variable."""
    told = options.log_format or os.environ.get("MESOS_DNS_LOG_FORMAT", "").strip()
    return bool(told == "json")


def complain(error: ConfigError) -> int:
    """Tell a person at a terminal why a configuration is refused; the exit code."""
    # The exit code counts, also where nobody can be told why.
    with contextlib.suppress(OSError):
        print("mesos-dns: the configuration cannot be used:", file=sys.stderr)  # noqa: T201 - for people
        print(error, file=sys.stderr)  # noqa: T201 - for people
        for warning in error.warnings:
            print(f"warning: {warning}", file=sys.stderr)  # noqa: T201 - for people
    return BAD_CONFIG


def log_refusal(error: ConfigError) -> None:
    """Tell the log why a configuration is refused: a line for each problem and warning."""
    logger.error("the configuration cannot be used, there is no start: mend each of the following")
    for problem in error.problems:
        logger.error("configuration: %s", problem)
    for warning in error.warnings:
        logger.warning("configuration: %s", warning)
