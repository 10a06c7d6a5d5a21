"""What a process may still do after it gave up its privileges, as the kernel tells it. Each in a process of its own, for there is no way back."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to give up")

NOBODY = 65534
PORTS_ALONE = f"{1 << 10:016x}"
NONE = "0" * 16


def status_after(*statements):
    """The fields of /proc/self/status after these statements; `bounding` is that of a process that was started afterwards."""
    program = [
        "from mesos_dns import privileges",
        "import os, socket, subprocess, sys",
        *statements,
        "os.write(1, open('/proc/self/status', 'rb').read())",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(program)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return {name: value.strip() for name, _, value in (line.partition(":") for line in done.stdout.splitlines())}


def capabilities(status):
    return {name: value for name, value in status.items() if name.startswith("Cap")}


def test_nothing_is_left():
    found = status_after("privileges.give_up()", "assert privileges.effective() == set()")
    assert {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {NONE}
    assert found["NoNewPrivs"] == "1"
    if os.geteuid() == 0:
        assert found["CapBnd"] == NONE


def test_to_give_up_twice_is_no_error():
    assert status_after("privileges.give_up()", "privileges.give_up()")["CapEff"] == NONE


@needs_root
def test_what_systemd_gives_is_not_left_either():
    """`AmbientCapabilities`: permitted, inheritable, and so for every program that is started."""
    give = "privileges._set_capabilities({10})"
    inherit = (
        "words = (privileges._Word * 2)(privileges._Word(1 << 10, 1 << 10, 1 << 10), privileges._Word(0, 0, 0))",
        "assert privileges._libc().capset(privileges.ctypes.byref(privileges._Header(0x20080522, 0)), words) == 0",
        "assert privileges._libc().prctl(47, 2, 10, 0, 0) == 0",
    )
    found = status_after(give, *inherit, "assert 'CapAmb:\t0000000000000400' in open('/proc/self/status').read()")
    assert found["CapAmb"] == PORTS_ALONE
    found = status_after(give, *inherit, "privileges.give_up()")
    assert {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {NONE}


def test_what_is_started_afterwards_gets_nothing_either():
    found = status_after("privileges.give_up()", "os.execv('/bin/cat', ['cat', '/proc/self/status'])")
    assert (found["CapPrm"], found["CapEff"], found["NoNewPrivs"]) == (NONE, NONE, "1")


@needs_root
def test_another_user_keeps_the_ports_alone():
    found = status_after(
        f"privileges.become({NOBODY}, {NOBODY}, [{NOBODY}, 7])", "assert privileges.effective() == {10}"
    )
    assert found["Uid"].split() == [str(NOBODY)] * 4
    assert found["Gid"].split() == [str(NOBODY)] * 4
    assert set(found["Groups"].split()) == {"7", str(NOBODY)}
    assert capabilities(found) == {
        "CapInh": NONE,
        "CapPrm": PORTS_ALONE,
        "CapEff": PORTS_ALONE,
        "CapBnd": NONE,
        "CapAmb": NONE,
    }
    assert found["NoNewPrivs"] == "1"


@needs_root
def test_the_children_of_another_user_have_nothing():
    become = f"privileges.become({NOBODY}, {NOBODY}, [])"
    found = status_after(become, "os.execv('/bin/cat', ['cat', '/proc/self/status'])")
    assert set(capabilities(found).values()) == {NONE}


@needs_root
def test_another_user_without_the_right_to_ports_gets_none_by_it():
    found = status_after(
        "privileges._set_capabilities({6, 7, 8})", f"privileges.become({NOBODY}, {NOBODY}, [])"
    )  # to change user and groups, and the bounding set
    assert set(capabilities(found).values()) == {NONE}
    assert found["Uid"].split() == [str(NOBODY)] * 4


def test_to_become_who_one_is_changes_nothing():
    before = status_after("pass")
    after = status_after("privileges.become(os.getuid(), os.getgid(), [])")
    assert capabilities(after) == capabilities(before)
    assert after["NoNewPrivs"] == before["NoNewPrivs"]


def test_who_may_not_become_another_is_told():
    after = status_after(
        "privileges.give_up()",
        "try: privileges.become(12345, 12345, [])",
        "except PermissionError: pass",
        "else: sys.exit('it could')",
    )
    assert after["Uid"].split()[0] == str(os.getuid())


@needs_root
def test_nobody_of_the_same_user_looks_into_a_guarded_process():
    look = "subprocess.run(['/bin/cat', f'/proc/{os.getpid()}/environ'], capture_output=True).returncode"
    become = f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})"
    # The change of user guards it, too, by the kernel's own rule: so that is taken back first.
    allow = "privileges._prctl(4, 1)"
    after = status_after(become, allow, f"assert {look} == 0", "privileges.forbid_dumps()", f"assert {look} != 0")
    assert after["Uid"].split() == [str(NOBODY)] * 4
