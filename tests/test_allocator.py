"""What the C library does with large blocks is seen from outside: in a process of its own, for there is no way back."""

import subprocess
import sys
import textwrap

import pytest

from mesos_dns import allocator

PROGRAM = """
    from pathlib import Path
    from mesos_dns import allocator

    def mapped():
        return sum(int(line.split()[1]) for line in Path("/proc/self/smaps").read_text().splitlines() if line.startswith("Size:"))

    if {asked}:
        assert allocator.give_back_large_blocks()
    # From this glibc learns that such blocks come again.
    bytearray(24 * 1024 * 1024)
    several = [bytearray(2 * 1024 * 1024) for _ in range(10)]
    last = several[-1]
    before = mapped()
    del several
    print(before - mapped())
"""


def given_back(asked):
    """The kilobytes of address space that go with nine blocks of 2 MB while a tenth, the last, stays."""
    program = textwrap.dedent(PROGRAM).format(asked=asked)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc and glibc")
def test_large_blocks_go_back_at_once():
    # Python itself maps a megabyte now and then.
    if given_back(asked=False) > 4 * 2048:
        pytest.skip("this C library gives large blocks back unasked")
    assert given_back(asked=True) > 7 * 2048


def test_without_such_an_allocator_nothing_is_done(monkeypatch):
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: object())
    assert not allocator.give_back_large_blocks()
