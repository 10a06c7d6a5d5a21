"""What `ps` and `top` call a process. Linux, through ctypes; elsewhere it stays the interpreter's name."""

import ctypes
import sys
from typing import Final

#: Command of prctl(2).
_PR_SET_NAME: Final = 15
#: Octets that the kernel keeps of a name (TASK_COMM_LEN, without the zero at its end).
MAX_NAME: Final = 15

CONTROL: Final = "mesos-dns"


def worker(number: int) -> str:
    """The name of the worker with this number, which is that of the log and of `/v1/status`."""
    return f"{CONTROL} w{number}"


def call_this(name: str) -> None:
    """Give this process a name, at most MAX_NAME octets of ASCII. From its main thread; threads that begin later get it, too."""
    if sys.platform == "linux":
        # It cannot fail but for an address that cannot be read.
        ctypes.CDLL(None).prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()[:MAX_NAME]), *(ctypes.c_ulong(0),) * 3)
