import os
import subprocess
import sys

import pytest

from bench import processes

STAT = "42 (a) b) c) S 7 42 42 0 -1 4194304 100 200 0 0 150 50 30 20 20 0 1 0 9999 1 2 3"
ROLLUP = """\
55d0c000-7ffd rw-p 00000000 00:00 0                          [rollup]
Rss:              159872 kB
Pss:              120000 kB
Locked:                0 kB
"""


def test_a_stat_line_is_read_behind_any_command_name():
    stat = processes.parse_stat(STAT, ticks=100)
    assert (stat.parent, stat.own, stat.reaped) == (7, 2.0, 0.5)


def test_sizes_are_octets():
    found = processes.parse_kilobytes(ROLLUP)
    assert found["Rss"] == 159872 * 1024
    assert found["Pss"] == 120000 * 1024


def test_a_process_that_has_ended_costs_nothing_more():
    assert processes.cpu_seconds([2**22 + 1]) == 0.0
    assert processes.run_seconds(2**22 + 1) == 0.0


def test_a_tree_has_the_children_and_their_memory():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        found = processes.tree(os.getpid())
        assert found[0] == os.getpid()
        assert child.pid in found
        memory = processes.memory(os.getpid())
        assert 0 < memory.pss <= memory.rss <= memory.peak_rss
    finally:
        child.communicate(b"\n")
    assert child.returncode == 0


def test_time_spent_is_seen():
    before_ticks, before_exact = processes.cpu_seconds([os.getpid()]), processes.run_seconds(os.getpid())
    while processes.cpu_seconds([os.getpid()]) == before_ticks:
        sum(range(1000))
    assert processes.run_seconds(os.getpid()) > before_exact


def test_children_that_ended_are_counted():
    before = processes.cpu_seconds([os.getpid()])
    subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    assert processes.cpu_seconds([os.getpid()]) > before


@pytest.mark.parametrize("pid", [2**22 + 1])
def test_the_memory_of_a_process_that_has_ended_is_an_error(pid):
    with pytest.raises(OSError, match="No such"):
        processes.memory(pid)
