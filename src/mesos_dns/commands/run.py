"""The command `mesos-dns run`: serve."""

import asyncio
from argparse import Namespace

from mesos_dns import logs
from mesos_dns.commands import configured
from mesos_dns.config import ConfigError
from mesos_dns.control import Control
from mesos_dns.sockets import BindError
from mesos_dns.workers.spawner import CONTROL_NICENESS


def run(options: Namespace) -> int:
    """Serve until a signal ends it; the exit code."""
    logs.configure(options.v)
    load = configured.reader(options)
    try:
        loaded = load()
    except ConfigError as error:
        configured.log_refusal(error)
        return configured.BAD_CONFIG
    for warning in loaded.warnings:
        logs.logger.warning("configuration: %s", warning)
    try:
        asyncio.run(Control(load, options.v, CONTROL_NICENESS).run(loaded.config))
    except BindError as error:
        logs.logger.error("no start: %s", error)
        return 1
    return 0
