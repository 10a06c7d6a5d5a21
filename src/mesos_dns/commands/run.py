"""The command `mesos-dns run`: serve."""

import asyncio
import os
import sys
from argparse import Namespace

from mesos_dns import activation, early_signals, logs, privileges, process_name
from mesos_dns.commands import configured
from mesos_dns.config import Account, ConfigError
from mesos_dns.control import Control
from mesos_dns.sockets import BindError
from mesos_dns.workers.spawner import CONTROL_NICENESS


def run(options: Namespace) -> int:
    """Serve until a signal ends it; the exit code."""
    process_name.call_this(process_name.CONTROL)
    logs.configure(options.v, as_json=configured.early_json(options))
    load = configured.reader(options)
    try:
        loaded = load()
        # Before the first line of the log, which has a thread of its own.
        if loaded.config.account is not None:
            if not _become(loaded.config.account, loaded.config.user):
                return 1
            # What that user may not read must not come out at the next reload.
            loaded = load()
    except ConfigError as error:
        configured.log_refusal(error)
        return configured.BAD_CONFIG
    logs.configure(options.v, as_json=loaded.config.log_format == "json")
    for warning in loaded.warnings:
        logs.logger.warning("configuration: %s", warning)
    try:
        control = Control(
            load,
            options.v,
            CONTROL_NICENESS,
            origin=lambda: configured.place_of(options),
            inherited=activation.inherited(os.environ, os.getpid()),
        )
        asyncio.run(control.run(loaded.config))
    except BindError as error:
        logs.logger.error("no start: %s", error)
        return 1
    finally:
        early_signals.ignore()
    return 0


def _become(account: Account, name: str) -> bool:
    """Be the user that is configured; whether that went well."""
    try:
        privileges.become(account.uid, account.gid, account.groups)
    except OSError as error:
        logs.logger.error(
            "no start: cannot become the user %s (%d, group %d): %s; start it as root, or leave User out",
            name,
            account.uid,
            account.gid,
            error.strerror,
        )
        return False
    # Workers are started as that user.
    unusable = [path for path, mode in ((sys.executable, os.X_OK), (__file__, os.R_OK)) if not os.access(path, mode)]
    if unusable:
        logs.logger.error(
            "no start: the user %s may not run %s; install the program where everybody may read it",
            name,
            " and ".join(unusable),
        )
    return not unusable
