"""Whether this machine gives what the program needs: open files, memory, processors, certificates, the rights of `User`. Edge."""

import contextlib
import os
import resource
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from mesos_dns.assembly import Plan
from mesos_dns.certificates import EXPIRY_WARNING_SECONDS, Dates, days_left
from mesos_dns.config import Account, Config
from mesos_dns.preflight.findings import Finding, Level
from mesos_dns.quoting import escaped
from mesos_dns.web.server import HTTP_SHARE_OF_FILES, MAX_HTTP_CONNECTIONS
from mesos_dns.workers.worker import OPEN_FILES

#: Octets that control needs for a small cluster, and each worker beside its cache (docs/performance.md, Memory). 100,000 tasks take five times as much.
CONTROL_OCTETS: Final = 88 * 2**20
WORKER_OCTETS: Final = 57 * 2**20

_CGROUP: Final = Path("/sys/fs/cgroup")
_NO_LIMIT: Final = resource.RLIM_INFINITY


class Machine(NamedTuple):
    """What there is. `soft` and `hard` limits of open files, None without; `memory`: octets that may still be used, None if nobody knows."""

    soft: int | None
    hard: int | None
    cores: int
    memory: int | None
    uid: int


def this_machine() -> Machine:
    """Look."""
    soft, hard = (None if each == _NO_LIMIT else each for each in resource.getrlimit(resource.RLIMIT_NOFILE))
    return Machine(soft, hard, len(os.sched_getaffinity(0)), _memory(), os.geteuid())


def _memory() -> int | None:
    found = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    # Of a container; a service of systemd has another one than the shell that this runs in.
    with contextlib.suppress(OSError, ValueError):
        most, used = ((_CGROUP / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current"))
        found.append(max(0, int(most) - int(used)))
    return min(found, default=None)


def judge(machine: Machine, plan: Plan) -> Iterator[Finding]:
    """What to say of files, memory, processors and the user. Pure."""
    yield _files(machine, plan)
    if machine.memory is not None:
        yield _memory_finding(machine.memory, plan)
    many = plan.workers > machine.cores
    cores = f"{plan.workers} worker{'s' if plan.workers != 1 else ''} on {machine.cores} core{'s' if machine.cores != 1 else ''}"
    yield Finding(
        Level.WARN if many else Level.OK,
        "machine",
        "processors",
        "the cores that this process may use",
        cores,
        "at most one worker for each core" if many else "",
        "set Workers to 0, which is one for each core, at most 4" if many else "",
    )
    if plan.account is not None:
        yield _user(machine.uid, plan.account)


def _files(machine: Machine, plan: Plan) -> Finding:
    control = MAX_HTTP_CONNECTIONS * HTTP_SHARE_OF_FILES
    wanted = OPEN_FILES if plan.workers else control
    reach = wanted if machine.hard is None else max(machine.soft or 0, min(wanted, machine.hard))
    found = f"{'any number' if machine.soft is None else machine.soft}, {reach} in workers"
    enough = (machine.hard is None or machine.hard >= wanted) and (machine.soft is None or machine.soft >= control)
    tried = "the limits of open files of this process (ulimit -Sn, ulimit -Hn)"
    if enough:
        return Finding(Level.OK, "machine", "open files", tried, found)
    return Finding(
        Level.WARN,
        "machine",
        "open files",
        tried,
        found,
        f"{control} for control, {wanted} for each worker",
        "set LimitNOFILE in the unit, or ulimit -n; with fewer there are fewer connections. A service has limits of its own",
    )


def _memory_finding(memory: int, plan: Plan) -> Finding:
    needed = CONTROL_OCTETS + plan.workers * (WORKER_OCTETS + plan.worker.forward.cache_octets)
    found = f"{memory // 2**20} MB are free"
    tried = "MemAvailable, and the limit of this control group"
    if memory >= needed:
        return Finding(Level.OK, "machine", "memory", tried, found)
    advice = "fewer Workers, less CacheOctets, or a larger machine (Memory in docs/performance.md)"
    expected = f"{needed // 2**20} MB for a small cluster"
    return Finding(Level.WARN, "machine", "memory", tried, found, expected, advice)


def _user(uid: int, account: Account) -> Finding:
    tried = "whether this process may become the user of User"
    found = f"uid {account.uid}, gid {account.gid}"
    if uid in (0, account.uid):
        return Finding(Level.OK, "user", "User", tried, found)
    return Finding(
        Level.FAIL,
        "user",
        "User",
        tried,
        f"{found}, and this process is uid {uid}",
        "root, or that user",
        "start as root, or leave User out",
    )


# --- files ---------------------------------------------------------------------------------------


def files_of(config: Config) -> dict[str, str]:
    """The files that a start and each reload read, by key; paths as they are configured."""
    named = {
        "File": config.file,
        "TlsCertFile": config.tls_cert_file if config.certificate is not None else "",
        "TlsKeyFile": config.tls_key_file if config.certificate is not None else "",
        "CACertFile": config.ca_cert_file,
        "CertFile": config.cert_file,
        "KeyFile": config.key_file,
        "IAMConfigFile": config.iam_config_file,
        "ForwardCAFile": config.forward_ca_file,
        "HttpTokenFile": config.http_token_file,
    }
    return {key: path for key, path in named.items() if path and path != "-"}


def files(config: Config) -> Iterator[Finding]:
    """Whether the user that the program becomes can read at a reload what root could at the start."""
    account = config.account
    for key, path in files_of(config).items():
        tried = "read it" if account is None else f"whether uid {account.uid} may read it, as each reload does"
        try:
            allowed = os.access(path, os.R_OK) if account is None else readable_by(account, Path(path))
        except OSError as error:
            found = f"cannot be looked at: {error.strerror}"
            yield Finding(Level.FAIL, "file", key, tried, f"{escaped(path)} {found}", "a file", "mend the path")
            continue
        if allowed:
            yield Finding(Level.OK, "file", key, tried, f"{escaped(path)} can be read")
        else:
            advice = "let that user read it, and pass through the folders above: else a reload is refused"
            yield Finding(Level.WARN, "file", key, tried, f"{escaped(path)} cannot be read", "the right to", advice)


def query_log(plan: Plan) -> Iterator[Finding]:
    """Whether the query log can be written: the one thing that is."""
    to = plan.query_log.destination
    if to is None:
        return
    path, tried = Path(to.path), "whether it could be written; nothing is"
    # A file that is not there yet takes the right to make it.
    place = path if path.exists() else path.parent
    try:
        usable = path.is_socket() if to.unix else _writable(plan.account, place)
    except OSError as error:
        usable, place = False, Path(f"{place}: {error.strerror}")
    if usable:
        yield Finding(Level.OK, "file", "QueryLog.To", tried, f"{escaped(str(to))} can be written")
        return
    found = f"{escaped(str(path))} is no socket" if to.unix else f"{escaped(str(place))} cannot be written"
    advice = (
        "start the program that listens there"
        if to.unix
        else "let the user of the program write there; until then queries are answered and not logged"
    )
    yield Finding(Level.WARN, "file", "QueryLog.To", tried, found, "the right to write", advice)


def _writable(account: Account | None, place: Path) -> bool:
    if account is None:
        return os.access(place, os.W_OK)
    whole = place.resolve(strict=True)
    return may(account, whole.stat(), 2) and all(may(account, folder.stat(), 1) for folder in whole.parents)


def readable_by(account: Account, path: Path) -> bool:
    """Whether modes let the account read a file and pass through the folders above it; access lists are not looked at. Raises OSError."""
    whole = path.expanduser().resolve(strict=True)
    return may(account, whole.stat(), 4) and all(may(account, folder.stat(), 1) for folder in whole.parents)


def may(account: Account, found: os.stat_result, right: int) -> bool:
    """Whether the mode gives the account a right (4: to read, 1: to pass through). The first class that fits decides, as in the kernel. Pure."""
    if account.uid == 0:
        return True
    if found.st_uid == account.uid:
        return bool(found.st_mode & right << 6)
    if found.st_gid in (account.gid, *account.groups):
        return bool(found.st_mode & right << 3)
    return bool(stat.S_IMODE(found.st_mode) & right)


# --- certificates --------------------------------------------------------------------------------


def certificates(config: Config, now: float) -> Iterator[Finding]:
    """For how long certificates are valid, at the Unix time `now`: this server's, and those of the authorities that it trusts."""
    own = config.certificate
    if own is not None:
        trouble = own.trouble(now)
        tried = "the dates of this server's certificate"
        if not trouble:
            found = f"{own.file}, valid for {days_left(own.until, now)}, until {own.until_text()}"
            yield Finding(Level.OK, "certificate", "TlsCertFile", tried, found)
        else:
            level = Level.WARN if own.is_valid(now) else Level.FAIL
            yield Finding(level, "certificate", "TlsCertFile", tried, trouble, "a valid one", "renew it, and reload")
    for key, path in (("CACertFile", config.ca_cert_file), ("ForwardCAFile", config.forward_ca_file)):
        if path:
            yield _authorities(key, path, now)


def _authorities(key: str, path: str, now: float) -> Finding:
    tried = "the dates of the authorities"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(path)
    except OSError as error:
        found = f"{escaped(path)} cannot be used: {error.strerror}"
        return Finding(Level.FAIL, "certificate", key, tried, found, "certificates in PEM form", "mend the file")
    dates = [
        Dates(*(float(ssl.cert_time_to_seconds(str(each[member]))) for member in ("notBefore", "notAfter")))
        for each in context.get_ca_certs()
    ]
    good = [each for each in dates if each.since <= now < each.until]
    count = f"{escaped(path)}, {len(dates)} certificate{'s' if len(dates) != 1 else ''}"
    if len(good) < len(dates):
        level = Level.WARN if good else Level.FAIL
        found = f"{count}, {len(dates) - len(good)} of them not valid now"
        return Finding(level, "certificate", key, tried, found, "valid ones", "renew them; is the clock right?")
    if not good:
        return Finding(Level.OK, "certificate", key, tried, f"{escaped(path)} has no authorities, but certificates")
    first = min(each.until for each in good)
    found = f"{count}, valid for {days_left(first, now)}"
    if first - now < EXPIRY_WARNING_SECONDS:
        return Finding(Level.WARN, "certificate", key, tried, found, "ones that last longer", "renew them")
    return Finding(Level.OK, "certificate", key, tried, found)
