"""What a process can still open when it has confined itself. Each in a process of its own, for there is no way back."""

import os
import subprocess
import sys

import pytest

from mesos_dns import landlock

pytestmark = pytest.mark.skipif(not landlock.version(), reason="this system has no Landlock")

BEGIN = """
import os, signal, ssl, sys
from mesos_dns import landlock, privileges
privileges.give_up()

def refused(what):
    try:
        what()
    except PermissionError:
        return True
    return False
"""


def confined(*statements, arguments=()):
    done = subprocess.run(
        [sys.executable, "-P", "-c", "\n".join([BEGIN, *statements]), *arguments],
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_only_the_given_files_are_read(tmp_path):
    for name in ("ca.pem", "config.json"):
        (tmp_path / name).write_text("text")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").write_text("text")
    confined(
        "os.chdir(sys.argv[1])",
        "assert landlock.restrict(['ca.pem', 'folder', 'nowhere', 'ca.pem/nowhere'])",
        "assert open('ca.pem').read() == open('folder/inside').read() == 'text'",
        "assert os.listdir('folder') == ['inside']",
        "assert refused(lambda: open('config.json'))",
        "assert refused(lambda: os.listdir('.'))",
        "assert refused(lambda: open('/etc/passwd'))",
        arguments=[tmp_path],
    )


@pytest.mark.parametrize(
    "attempt",
    [
        "open('given/file', 'a')",
        "open('given/new', 'w')",
        "open('/dev/shm/new', 'w')",
        "os.mkdir('given/folder')",
        "os.unlink('given/file')",
        "os.rename('given/file', 'given/other')",
        "os.symlink('file', 'given/link')",
        "os.mkfifo('given/pipe')",
    ],
)
def test_nothing_is_written_whoever_one_is(tmp_path, attempt):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "file").touch()
    confined(
        "os.chdir(sys.argv[1])",
        "assert landlock.restrict(['given'])",
        f"assert refused(lambda: {attempt})",
        arguments=[tmp_path],
    )
    assert [path.name for path in (tmp_path / "given").iterdir()] == ["file"]


def test_a_worker_can_still_do_what_it_may_have_to(tmp_path):
    """Import late, tell of its own mistakes with their lines, look up the time zone, and verify certificates of the system."""
    (tmp_path / "config.json").write_text("{}")
    confined(
        "os.chdir(sys.argv[1])",
        "assert landlock.restrict(landlock.program_places())",
        "import sqlite3, xml.dom.minidom, mesos_dns.serve.forward.tls as tls, linecache, time",
        "assert 'def strict_context' in ''.join(linecache.getlines(tls.__file__))",
        "assert tls.strict_context() is not None",
        "paths = ssl.get_default_verify_paths()",
        "assert paths.cafile is None or open(paths.cafile).read()",
        "assert refused(lambda: open('config.json'))",
        arguments=[tmp_path],
    )


def test_the_working_folder_and_the_whole_are_no_places_of_the_program(monkeypatch):
    monkeypatch.setattr(sys, "path", ["", "/", "//", "/usr/..", *sys.path])
    places = set(landlock.program_places())
    assert not places & {"", "/", "//", "/usr/.."}
    assert sys.prefix in places


def test_what_is_no_file_of_a_folder_stays_usable():
    """Libraries that want a path are given memory (memfd_create), and pipes."""
    confined(
        "assert landlock.restrict([])",
        "fd = os.memfd_create('pem')",
        "os.write(fd, b'text')",
        "assert open(f'/proc/self/fd/{fd}').read() == open(f'/dev/fd/{fd}').read() == 'text'",
    )


def test_no_program_is_run():
    confined(
        "assert landlock.restrict(landlock.program_places())",
        "assert refused(lambda: os.execv('/bin/true', ['true']))",
        "assert refused(lambda: os.execv(sys.executable, ['python']))",
    )


@pytest.mark.skipif(landlock.version() < 6, reason="signals are in the way since Linux 6.12 only")
def test_signals_to_others_are_refused():
    confined(
        "assert landlock.restrict([])",
        "assert refused(lambda: os.kill(os.getppid(), 0))",
        "os.kill(os.getpid(), 0)",
    )


def test_where_there_is_no_landlock_nothing_is_done(monkeypatch, tmp_path):
    monkeypatch.setattr(landlock, "version", lambda: 0)
    assert not landlock.restrict([])
    (tmp_path / "new").touch()
