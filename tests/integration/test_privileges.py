"""What the processes of the running program may do and know, as the kernel tells it."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from tests.certificates import Certificates
from tests.integration.faults import has_address
from tests.integration.masters import Master
from tests.integration.program import Program, command, environment, free_port, need, run, sample_state, until

SECRET, IAM_SECRET, IN_FILE = "hunter2-of-the-masters", "hunter3-of-the-account", "hunter4-of-the-file"
NONE = "0" * 16
PORTS_ALONE = f"{1 << 10:016x}"
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture(scope="module")
def leading() -> Generator[Master]:
    serving = Master(("127.0.0.1", 0), b"")
    serving.body = sample_state(serving.endpoint)
    yield serving
    serving.close()


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def capabilities(pid: int) -> dict[str, str]:
    return {name: value for name, value in status(pid).items() if name.startswith("Cap")}


def workers(program: Program) -> list[int]:
    """Its workers, of which there are some."""
    found = program.workers()
    assert found
    return found


# --- secrets -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def secretive(leading: Master, tmp_path_factory: pytest.TempPathFactory) -> Generator[Program]:
    """With every kind of secret: in the file, in the environment, in files that are named."""
    folder = tmp_path_factory.mktemp("secretive")
    certificates = Certificates.issued(folder)
    account = {"uid": "me", "private_key": f"-----BEGIN PRIVATE KEY-----{IAM_SECRET}", "login_endpoint": "https://x/"}
    (folder / "iam.json").write_text(json.dumps(account))
    keys = {
        "mesosAuthentication": "basic",
        "mesosCredentials": {"principal": "dns", "secret": IN_FILE},
        "certFile": certificates.path("client.pem"),
        "keyFile": certificates.path("client.key"),
        "iamConfigFile": str(folder / "iam.json"),
    }
    variables = {"MESOS_DNS_MESOS_CREDENTIALS_SECRET": SECRET, "AWS_SECRET_ACCESS_KEY": SECRET}
    with Program(folder, masters=[leading.endpoint], variables=variables, workers=2, **keys) as program:
        program.wait_ready()
        yield program


def test_workers_have_no_privileges(secretive: Program) -> None:
    for pid in workers(secretive):
        found = status(pid)
        assert {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {NONE}
        assert found["NoNewPrivs"] == "1"
        if os.geteuid() == 0:
            assert found["CapBnd"] == NONE
        # Of every thread: the log has one.
        threads = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
        assert all(f"CapPrm:\t{NONE}\n" in each and "NoNewPrivs:\t1\n" in each for each in threads)


def test_one_that_takes_the_place_of_a_worker_has_none_either(secretive: Program) -> None:
    victim = secretive.workers()[0]
    os.kill(victim, signal.SIGKILL)
    until(
        lambda: (
            victim not in secretive.workers() and len(secretive.workers()) == 2 and secretive.get("/readyz")[0] == 200
        ),
        lambda: f"none came: {secretive.log()}",
    )
    assert all(capabilities(pid)["CapPrm"] == NONE for pid in workers(secretive))


def test_the_arguments_and_environment_of_workers_hold_no_secrets(secretive: Program) -> None:
    for pid in workers(secretive):
        told = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        assert b"PYTHONPATH=" in told
        assert b"hunter" not in told
        assert b"MESOS_DNS_" not in told
        assert str(secretive.config_file).encode() not in told
        assert str(Path(f"/proc/{pid}/fd/0").readlink()) == "/dev/null"
    assert b"hunter" not in Path(f"/proc/{secretive.pid}/cmdline").read_bytes()


def memory(pid: int) -> Iterator[bytes]:
    """What a process has written, piece by piece."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as octets:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            places, mode, *_ = line.split()
            if mode.startswith("rw") and "[v" not in line:
                begin, end = (int(place, 16) for place in places.split("-"))
                octets.seek(begin)
                yield octets.read(end - begin)


@needs_root
def test_the_memory_of_workers_holds_no_secrets(secretive: Program) -> None:
    key = (secretive.config_file.parent / "client.key").read_text().splitlines()[1].encode()
    secrets = {SECRET.encode(), IAM_SECRET.encode(), key}

    def known(pid: int) -> set[bytes]:
        pieces = list(memory(pid))
        assert any(b"marathon" in piece for piece in pieces)
        return {secret for secret in secrets if any(secret in piece for piece in pieces)}

    # Otherwise it would look in the wrong places. The key is where OpenSSL has it, in another form.
    assert known(secretive.pid) >= {SECRET.encode(), IAM_SECRET.encode()}
    for pid in workers(secretive):
        assert known(pid) == set()


def test_workers_have_no_file_open_but_the_log(secretive: Program) -> None:
    for pid in workers(secretive):
        files = {path.name: str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
        on_disk = {name: file for name, file in files.items() if file.startswith("/") and file != "/dev/null"}
        assert on_disk == {"1": str(secretive.log_file), "2": str(secretive.log_file)}


def test_control_has_no_file_open_for_writing_but_the_log(secretive: Program) -> None:
    for path in Path(f"/proc/{secretive.pid}/fd").iterdir():
        file = str(path.readlink())
        if file.startswith("/") and file not in {str(secretive.log_file), "/dev/null"}:
            flags = Path(f"/proc/{secretive.pid}/fdinfo/{path.name}").read_text()
            assert int(flags.partition("flags:")[2].split()[0], 8) & os.O_ACCMODE == os.O_RDONLY


# --- another user, and a file system that takes nothing --------------------------------------------

#: In a mount namespace: folders that only root may enter get in their place one with no more than the program in it, and then
#: nothing can be written anywhere.
_SET_UP = """
set -e
holder="$FOLDER/holder"; mkdir "$holder"
number=0
for place in $NEEDED; do
  number=$((number + 1)); mkdir "$holder/$number"; mount --bind "$place" "$holder/$number"
done
for closed in $CLOSED; do mount -t tmpfs -o mode=755 tmpfs "$closed"; done
number=0
for place in $NEEDED; do
  number=$((number + 1)); mkdir -p "$place"; mount --bind "$holder/$number" "$place"
done
cut -d' ' -f2 /proc/self/mounts | sort -ru | while read -r point; do
  mount -o remount,bind,ro "$point" 2>/dev/null || true
done
if touch "$FOLDER/writable" 2>/dev/null; then echo "the file system is not read-only" >&2; exit 99; fi
exec "$@"
"""


def closed_above(place: str) -> str | None:
    """The first folder on the way to `place` that not everybody may enter."""
    path = Path(place)
    return next((str(each) for each in [*reversed(path.parents), path] if not each.stat().st_mode & 1), None)


def read_only(folder: Path) -> list[str]:
    """The command that starts another one where it can write nowhere, and anybody can read the program."""
    source = environment()["PYTHONPATH"]
    needed = {str(Path(place).resolve()) for place in (sys.base_prefix, sys.prefix, source)}
    closed = {above: place for place in needed if (above := closed_above(place)) is not None}
    inside = [place for place in needed if closed_above(place) is not None]
    variables = {"FOLDER": str(folder), "NEEDED": " ".join(inside), "CLOSED": " ".join(closed)}
    settings = [f"{name}={value}" for name, value in variables.items()]
    # Without a home either, as services have none.
    return [need("unshare"), "--mount", "env", "-u", "HOME", *settings, "sh", "-c", _SET_UP, "sh"]


#: As the unit has systemd start it: prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN) stands for MemoryDenyWriteExecute, on Linux 6.3 and later.
_DENY_WRITE_EXECUTE = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)


def as_the_unit_does() -> list[str]:
    port = "+net_bind_service"
    rights = [f"--inh-caps=-all,{port}", f"--ambient-caps={port}", f"--bounding-set=-all,{port}", "--no-new-privs"]
    who = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return [sys.executable, "-c", _DENY_WRITE_EXECUTE, need("setpriv"), *who, *rights]


def low_port() -> int:
    """One below 1024 that is free on the loopback."""
    return free_port(600, 1000)


@pytest.fixture(scope="module", params=["User", "unit"])
def humble(request: pytest.FixtureRequest, leading: Master) -> Generator[Program]:
    """As nobody, on a port below 1024, where nothing can be written."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    # Not pytest's folder, which only its user may enter: a reload reads the configuration as nobody.
    folder = Path(tempfile.mkdtemp(prefix="mesos-dns-"))
    folder.chmod(0o755)
    keys = {"user": str(NOBODY), "group": str(NOBODY)} if request.param == "User" else {}
    under = read_only(folder) + (as_the_unit_does() if request.param == "unit" else [])
    credentials = {"mesosAuthentication": "basic", "mesosCredentials": {"principal": "dns", "secret": IN_FILE}}
    with Program(
        folder, masters=[leading.endpoint], under=under, workers=1, port=low_port(), **keys, **credentials
    ) as program:
        program.dns_port = program.config["port"]
        program.wait_ready()
        yield program
        assert program.end() == 0
        assert "Traceback" not in program.log()
    shutil.rmtree(folder)


def test_control_keeps_the_ports_alone(humble: Program) -> None:
    found = status(humble.pid)
    assert found["Uid"].split() == [str(NOBODY)] * 4
    assert found["Gid"].split() == [str(NOBODY)] * 4
    assert (found["CapPrm"], found["CapEff"], found["NoNewPrivs"]) == (PORTS_ALONE, PORTS_ALONE, "1")


def test_workers_of_another_user_have_nothing(humble: Program) -> None:
    for pid in workers(humble):
        found = status(pid)
        assert found["Uid"].split() == [str(NOBODY)] * 4
        assert {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {NONE}
        # systemd's bounding set can be made smaller by those alone who may give themselves capabilities.
        assert found["CapBnd"] in {NONE, PORTS_ALONE}
        assert found["NoNewPrivs"] == "1"


def test_it_answers_and_a_worker_is_replaced(humble: Program) -> None:
    victim = humble.workers()[0]
    os.kill(victim, signal.SIGKILL)
    until(
        lambda: victim not in humble.workers() and len(humble.workers()) == 1 and humble.get("/readyz")[0] == 200,
        lambda: f"none came: {humble.log()}",
    )
    assert all(has_address(humble.dns) for _ in range(10))


def test_others_of_its_user_cannot_look_into_control(humble: Program) -> None:
    # What nobody may look into belongs to root (proc(5)).
    assert Path(f"/proc/{humble.pid}/environ").stat().st_uid == 0
    look = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "cat"]
    for file, pid in (("mem", humble.pid), ("environ", humble.pid)):
        done = subprocess.run([*look, f"/proc/{pid}/{file}"], capture_output=True, timeout=20, check=False)
        assert b"Permission denied" in done.stderr


def test_a_reload_takes_another_port_below_1024(humble: Program) -> None:
    port = low_port()
    humble.write_config({**humble.config, "port": port, "user": "0"})
    humble.config_file.chmod(0o644)
    os.kill(humble.pid, signal.SIGHUP)
    until(
        lambda: bound(port) and has_address(("127.0.0.1", port)),
        lambda: f"the new port never came: {humble.log()}",
    )
    until(lambda: "User or Group have changed, and are taken at a start only" in humble.log(), humble.log)
    assert status(humble.pid)["Uid"].split() == [str(NOBODY)] * 4
    humble.dns_port = port


def bound(port: int) -> bool:
    """Whether somebody serves this UDP port of the loopback."""
    return any(f":{port:04X} " in line for line in Path("/proc/net/udp").read_text().splitlines())


# --- who cannot become somebody else ---------------------------------------------------------------


def test_who_is_not_root_cannot_become_another(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"masters": ["127.0.0.1:1"], "user": "3999999", "group": "3999999"}')
    without = shlex.join([need("setpriv"), "--bounding-set=-all", *command("run", "--config", str(file))])
    done = subprocess.run(
        ["sh", "-c", f"exec {without}"], env=environment(), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "no start: cannot become the user 3999999 (3999999, group 3999999): Operation not permitted" in done.stderr
    assert "Traceback" not in done.stderr


@needs_root
def test_what_the_user_may_not_read_is_told_at_the_start(tmp_path: Path) -> None:
    """Root may read it, and has; at the next reload nobody could."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"masters": ["127.0.0.1:1"], "user": str(NOBODY), "group": str(NOBODY)}))
    file.chmod(0o600)
    under = read_only(tmp_path)
    done = subprocess.run(
        [*under, *command("run", "--config", str(file))],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78, done.stderr
    assert "cannot be read: Permission denied; let the user that runs Mesos-DNS read it" in done.stderr


def test_an_unknown_user_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"masters": ["127.0.0.1:1"], "user": "no such user"}')
    done = run("run", "--config", str(file))
    assert (done.returncode, "is no user of this machine" in done.stderr) == (78, True)
