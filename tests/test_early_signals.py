"""Signals before control takes them and after it has left them, each in a process of its own."""

import subprocess
import sys
from textwrap import dedent

import pytest

_SETUP = """
    import asyncio, os, signal
    from mesos_dns import early_signals

    def come(number):
        os.kill(os.getpid(), number)
"""


def ran(program: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a program."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(_SETUP) + dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_an_end_is_not_lost_where_exceptions_are(number: str) -> None:
    """As in the callbacks of an import: what they raise is printed and forgotten."""
    assert ran(f"""
        class Dying:
            def __del__(self):
                come(signal.{number})

        early_signals.take()
        Dying()
        print("went on", flush=True)
    """) == (0, "", "")


def test_hangups_are_remembered_until_somebody_asks() -> None:
    assert ran("""
        early_signals.take()
        come(signal.SIGHUP)
        come(signal.SIGHUP)
        print(early_signals.hangup_came(), early_signals.hangup_came())
    """) == (0, "True False\n", "")


@pytest.mark.parametrize(("number", "status"), [("SIGHUP", -1), ("SIGTERM", -15)])
def test_what_is_given_back_does_what_the_system_does(number: str, status: int) -> None:
    assert ran(f"""
        early_signals.take()
        early_signals.leave()
        come(signal.{number})
    """) == (status, "", "")


def test_ctrl_c_is_given_back_to_python() -> None:
    assert ran("""
        early_signals.take()
        early_signals.leave()
        try:
            come(signal.SIGINT)
        except KeyboardInterrupt:
            print("interrupted")
    """) == (0, "interrupted\n", "")


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_a_signal_after_the_loop_has_left_them_is_a_clean_end(number: str) -> None:
    assert ran(f"""
        async def main():
            loop = asyncio.get_running_loop()
            for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, print, "too late")
            early_signals.take_back(loop)

        early_signals.take()
        asyncio.run(main())
        come(signal.SIGHUP)
        print("SIGHUP is nothing", flush=True)
        come(signal.{number})
        print("went on", flush=True)
    """) == (0, "SIGHUP is nothing\n", "")


def test_at_the_very_end_they_change_no_status() -> None:
    """Python gives its own handlers back to the system some milliseconds before the process ends."""
    assert ran("""
        early_signals.take()
        early_signals.ignore()
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            come(number)
        print([signal.getsignal(number).name for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)])
        raise SystemExit(3)
    """) == (3, "['SIG_IGN', 'SIG_IGN', 'SIG_IGN']\n", "")


def test_what_was_never_taken_is_left_to_whoever_has_it() -> None:
    """A process that runs the program inside, as tests do, keeps its own signals."""
    assert ran("""
        async def main():
            early_signals.take_back(asyncio.get_running_loop())

        numbers = signal.SIGHUP, signal.SIGTERM, signal.SIGINT
        before = list(map(signal.getsignal, numbers))
        asyncio.run(main())
        early_signals.ignore()
        early_signals.leave()
        print(list(map(signal.getsignal, numbers)) == before)
    """) == (0, "True\n", "")
