"""What this process may do, and how it gives that up for good: capabilities, its user, being looked into. Linux, through ctypes.

Workers read what strangers send, and need none of it (`give_up`). Control binds ports, at a reload as well, and may need its files:
it keeps what it has, or, as another user (`become`), the ports alone. See docs/security.md.
"""

import ctypes
import os
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

#: Capabilities by their numbers (capabilities(7)).
CAP_SETPCAP: Final = 8
CAP_NET_BIND_SERVICE: Final = 10
#: The kernel has had at most this many: sets of them are two words of 32 bits.
_CAPABILITIES: Final = 64

# Commands of prctl(2).
_PR_SET_DUMPABLE: Final = 4
_PR_SET_KEEPCAPS: Final = 8
_PR_CAPBSET_READ: Final = 23
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
#: The layout of capset(2) with two words for each set.
_CAPABILITY_VERSION_3: Final = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Word(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def give_up() -> None:
    """Have no capability, and never get one again, nor another user by running a program: for the calling thread and those that it starts.

    Without CAP_SETPCAP the bounding set stays, which then bounds nothing that could still be had. OSError if the system refuses. Does nothing but on Linux.
    """
    if sys.platform != "linux":
        return
    # First: what follows may fail in a sandbox of somebody else's, and this is the stronger half.
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if CAP_SETPCAP in effective():
        _empty_bounding_set()
    # The ambient set goes with it: the kernel keeps nothing there that is not permitted and inheritable.
    _set_capabilities(())


def become(uid: int, gid: int, groups: Sequence[int]) -> None:
    """Be another user from now on, with its groups and no more than the ports below 1024. Before there is a second thread.

    Nothing happens if the process is that user already, with that group. OSError if it may not; then it may be half of it, and ought to end.
    """
    if (os.getuid(), os.geteuid(), os.getgid(), os.getegid()) == (uid, uid, gid, gid):
        return
    keep = {CAP_NET_BIND_SERVICE} & effective() if sys.platform == "linux" else set()
    if keep:
        # Otherwise the kernel takes all with the change of user.
        _prctl(_PR_SET_KEEPCAPS, 1)
    if CAP_SETPCAP in effective():
        # Of what is started from here on nothing gets any. What a process has itself is not touched by it.
        _empty_bounding_set()
    os.setgroups(groups)
    os.setgid(gid)
    os.setuid(uid)
    if sys.platform == "linux":
        _set_capabilities(keep)
        _prctl(_PR_SET_KEEPCAPS, 0)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def forbid_dumps() -> None:
    """Let nobody but root look into this process: no core file, no debugger, no /proc/PID/mem or environ for others of its user."""
    if sys.platform == "linux":
        _prctl(_PR_SET_DUMPABLE, 0)


def effective() -> set[int]:
    """The capabilities that this thread can use, by number; none but on Linux."""
    if sys.platform != "linux":
        return set()
    words = (_Word * 2)()
    _check(_libc().capget(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), words))
    mask = words[0].effective | words[1].effective << 32
    return {number for number in range(_CAPABILITIES) if mask >> number & 1}


def _set_capabilities(numbers: Iterable[int]) -> None:
    """Have these and no others, neither now nor to be switched on, and let none be inherited."""
    mask = sum(1 << number for number in numbers)
    words = (_Word * 2)(*(_Word(half, half, 0) for half in (mask & 0xFFFFFFFF, mask >> 32)))
    _check(_libc().capset(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), words))


def _empty_bounding_set() -> None:
    for number in range(_CAPABILITIES):
        # Beyond the last one that this kernel knows it is an error to ask.
        if _libc().prctl(_PR_CAPBSET_READ, number, 0, 0, 0) == 1:
            _prctl(_PR_CAPBSET_DROP, number)


def _prctl(command: int, argument: int) -> None:
    _check(_libc().prctl(command, ctypes.c_ulong(argument), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)))


def _check(result: int) -> None:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
