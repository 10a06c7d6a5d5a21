"""The C library's allocator, told what this program is like. Linux with glibc; elsewhere nothing is done.

States, listings and what is made of them on the way come and go in blocks of 100 kB and more. glibc gives such blocks back when
they are freed, but after the first one it has learned to keep them in its heap (its threshold grows with each up to 32 MB), where small
ones that stay then lie between them: measured with 400 tasks, half of control's heap was such holes, and they grew for hours.
"""

import ctypes
from typing import Final

#: Octets from which a block is mapped for itself, and unmapped when it is freed: what glibc begins with. To set it keeps it so.
LARGE_BLOCK_OCTETS: Final = 128 * 1024
#: The name of that threshold for mallopt (malloc.h).
_M_MMAP_THRESHOLD: Final = -3


def give_back_large_blocks() -> bool:
    """Let large blocks go back to the system as soon as they are freed, for the life of this process; whether that could be had."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK_OCTETS))
