"""Files out of reach: Landlock (landlock(7), Linux 5.13 and later), through ctypes. Where there is none, nothing is done.

A worker needs to write no file, and to read none but the program's own and the authorities of upstreams over TLS. The rest, the configuration with its secrets among
it, is out of its reach whoever its user is: also as root in a container. Nor can it run another program, look into processes outside, or, from Linux 6.12 on, send them signals.
"""

import contextlib
import ctypes
import os
import ssl
import stat
import sys
from collections.abc import Iterable, Iterator
from typing import Final

# System calls, of the same numbers on all machines that Python runs on but Alpha.
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446

#: Asks for the version of the interface.
_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
#: What the first version can forbid: to execute, read, write, make and remove files and folders of any kind.
_FIRST_RIGHTS: Final = (1 << 13) - 1
#: What later versions can forbid besides: to link and rename across folders, to truncate, to control devices.
_LATER_RIGHTS: Final = ((2, 1 << 13), (3, 1 << 14), (5, 1 << 15))
#: From this version on: abstract Unix sockets of others, and signals to them.
_SCOPES: Final = (6, 0b11)

#: Where the system has libraries, time zones and authorities that may be wanted late.
SYSTEM_PLACES: Final = (
    "/usr", "/lib", "/lib32", "/lib64", "/etc/localtime", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/ld.so.cache",
)  # fmt: skip


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("ports", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("place", ctypes.c_int32))


def version() -> int:
    """The version of Landlock that this system has; 0 for none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))))


def restrict(readable: Iterable[str]) -> bool:
    """Let this thread, and those that it starts, open no other files than these and what is below, and them for reading only. Nor run a program.

    What is open stays usable. Places that do not exist are passed over. False, and nothing is done, where there is no Landlock. The process must have given up new
    privileges before (`privileges.give_up`). OSError if the system refuses.
    """
    present = version()
    if not present:
        return False
    rights = _FIRST_RIGHTS
    for since, right in _LATER_RIGHTS:
        rights |= right if present >= since else 0
    wanted = _Ruleset(rights, 0, _SCOPES[1] if present >= _SCOPES[0] else 0)
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    rules = _check(_libc().syscall(_CREATE_RULESET, ctypes.byref(wanted), size, ctypes.c_uint32(0)))
    try:
        for place in readable:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                _allow(rules, place)
        _check(_libc().syscall(_RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint32(0)))
    finally:
        os.close(rules)
    return True


def program_places() -> Iterator[str]:
    """Where the files of this program, its interpreter and libraries are, and those that a TLS client reads."""
    paths = ssl.get_default_verify_paths()
    places = [
        *SYSTEM_PLACES,
        *(sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix),
        *sys.path,
        *os.environ.get("LD_LIBRARY_PATH", "").split(":"),
        *(paths.cafile, paths.capath, paths.openssl_cafile, paths.openssl_capath),
    ]
    # Neither the working folder, which is nobody's library, nor everything.
    return (place for place in places if place and os.path.realpath(place) != "/")


def _allow(rules: int, place: str) -> None:
    fd = os.open(place, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = _READ_FILE
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            rights |= _READ_DIR
        rule = _Beneath(rights, fd)
        arguments = ctypes.c_int(rules), ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0)
        _check(_libc().syscall(_ADD_RULE, *arguments))
    finally:
        os.close(fd)


def _check(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
