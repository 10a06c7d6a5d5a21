"""The command line of the simulated cluster: `python -m mesos_dns.demo [COMMAND] [OPTIONS]`."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from mesos_dns.demo import bench_master, bench_state, generator, releases, runner, serve_state
from mesos_dns.demo.simulation import Plan

_EPILOG = """other commands (each has --help):
  state          print the state of a generated cluster of any size
  serve-state    serve a state file as the leading master
  bench-master   serve a large cluster in which tasks change
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 when something went wrong, 2 for bad arguments."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    commands: dict[str, Callable[[list[str]], int]] = {
        "state": _state,
        "serve-state": _serve_state,
        "bench-master": _bench_master,
    }
    if arguments and arguments[0] in commands:
        return commands[arguments[0]](arguments[1:])
    return _demo(arguments)


def _demo_parser(plan: Plan) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mesos_dns.demo",
        description="A simulated Mesos cluster with Mesos-DNS in front of it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--agents", type=_at_least_one, default=plan.agents, help="default %(default)s")
    parser.add_argument("--tasks", type=_natural, default=plan.tasks, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=plan.seed, help="same seed, same cluster; default %(default)s")
    parser.add_argument(
        "--churn", type=_rate, default=plan.churn, help="events per second, 0 = nothing happens; default %(default)s"
    )
    parser.add_argument(
        "--failover-every",
        type=_rate,
        default=plan.failover_every,
        metavar="SECONDS",
        help="how often the leading master dies, 0 = never; default %(default)s",
    )
    parser.add_argument(
        "--base-port", type=_port, default=15050, help="first of the three masters' ports; default %(default)s"
    )
    parser.add_argument(
        "--ports", type=_ports, default=(8053, 8123), metavar="DNS,HTTP", help="Mesos-DNS' ports; default 8053,8123"
    )
    parser.add_argument(
        "--version",
        type=_release,
        default=plan.release,
        metavar="MESOS",
        help=f"the release that the masters behave like, {releases.KNOWN[0]} to {releases.KNOWN[-2]}, or clusterd; default %(default)s",
    )
    parser.add_argument(
        "--zk", default="", metavar="URL", help="register the masters there: zk://HOST:PORT,.../PATH; needs kazoo"
    )
    parser.add_argument(
        "--control",
        type=_port,
        metavar="PORT",
        help="take orders there, as in curl -X POST :PORT/demo/kill/0; GET / lists them",
    )
    parser.add_argument("--no-server", action="store_true", help="only the cluster, without Mesos-DNS")
    parser.add_argument(
        "--try",
        dest="attempt",
        action="store_true",
        help="try every query once, then end with 0 if all went well, else 1",
    )
    parser.add_argument("--verbose", action="store_true", help="every event, and the log of Mesos-DNS")
    return parser


def _demo(argv: list[str]) -> int:
    plan = Plan()
    parser = _demo_parser(plan)
    options = parser.parse_args(argv)
    if options.no_server and options.attempt:
        parser.error("--try needs Mesos-DNS, so it does not go with --no-server")
    dns_port, http_port = options.ports
    chosen = runner.Options(
        plan=Plan(
            options.seed,
            options.agents,
            options.tasks,
            options.churn,
            options.failover_every,
            pace=plan.pace,
            release=options.version,
        ),
        base_port=options.base_port,
        dns_port=dns_port,
        http_port=http_port,
        server=not options.no_server,
        attempt=options.attempt,
        verbose=options.verbose,
        zk=options.zk,
        control=options.control,
    )
    return _until_stopped(lambda: runner.run(chosen))


def _state(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mesos_dns.demo state", description="Print /master/state of a generated cluster."
    )
    _add_size(parser)
    parser.add_argument("--leader", default="127.0.0.1:5050", help="address of the leading master; default %(default)s")
    options = parser.parse_args(argv)
    try:
        for piece in generator.state_text(
            seed=options.seed, agents=options.agents, tasks=options.tasks, leader=options.leader
        ):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except ValueError as error:
        return _fail(error)
    except BrokenPipeError:
        # The reader has seen enough; Python would complain once more when it closes the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _serve_state(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mesos_dns.demo serve-state",
        description="Serve a state file as the leading master does. SIGHUP reads the file again.",
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--watch", action="store_true", help="read the file again when it changes")
    _add_listener(parser, compress=True)
    options = parser.parse_args(argv)
    return _until_stopped(
        lambda: serve_state.serve(
            options.file, options.address, options.port, watch=options.watch, compress=options.gzip
        )
    )


def _bench_master(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mesos_dns.demo bench-master",
        description="Serve a large cluster as the leading master does. GET /demo/changes?after=N tells what changed, POST /demo/change makes a change.",
    )
    _add_size(parser)
    parser.add_argument("--change-rate", type=_rate, default=0.0, help="tasks replaced per second; default %(default)s")
    parser.add_argument(
        "--events",
        action="store_true",
        help="be ready for event streams, not polls: who asks for the other waits for seconds at 100,000 tasks",
    )
    _add_listener(parser, compress=False)
    options = parser.parse_args(argv)

    async def serve() -> None:
        leader = f"{options.address}:{options.port}"
        state = bench_state.ChangingState(seed=options.seed, agents=options.agents, tasks=options.tasks, leader=leader)
        await bench_master.serve(
            state,
            options.address,
            options.port,
            change_rate=options.change_rate,
            compress=options.gzip,
            events=options.events,
        )

    return _until_stopped(serve)


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", type=_natural, default=1000, help="default %(default)s")
    parser.add_argument("--agents", type=_at_least_one, default=100, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same octets; default %(default)s")


def _add_listener(parser: argparse.ArgumentParser, *, compress: bool) -> None:
    parser.add_argument("--address", default="127.0.0.1", help="default %(default)s")
    parser.add_argument("--port", type=_port, default=5050, help="default %(default)s")
    parser.add_argument(
        "--gzip",
        action=argparse.BooleanOptionalAction,
        default=compress,
        help="compress for clients that accept it, as Mesos does; costs seconds for 250 MB",
    )


def _until_stopped(work: Callable[[], Coroutine[Any, Any, int | None]]) -> int:
    """Run `work` until it ends or SIGINT or SIGTERM arrives, which is a good end."""

    async def run() -> int:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        try:
            return await work() or 0
        except asyncio.CancelledError:
            return 0
        except (OSError, ValueError) as error:
            return _fail(error)

    return asyncio.run(run())


def _fail(error: Exception) -> int:
    print(f"mesos_dns.demo: {error}", file=sys.stderr)
    return 1


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of 0 or more")
    return value


def _release(text: str) -> releases.Release:
    try:
        return releases.release(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _port(text: str) -> int:
    value = int(text)
    if not 0 < value < 65536:
        raise argparse.ArgumentTypeError(f"{text} is not a port, expected 1 to 65535")
    return value


def _ports(text: str) -> tuple[int, int]:
    dns, comma, http = text.partition(",")
    if not comma:
        raise argparse.ArgumentTypeError(f"{text!r} is not DNS,HTTP, for example 8053,8123")
    return _port(dns), _port(http)
