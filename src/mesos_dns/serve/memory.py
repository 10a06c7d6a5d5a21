"""Memory that the kernel reads and writes by its address: it must not move."""

import ctypes
import mmap


class Memory:
    """Octets that stay where they are, and their address. Pages that nobody has written to cost no memory."""

    def __init__(self, size: int) -> None:
        self.octets = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        # As long as this is there, the memory cannot be unmapped.
        self._pin = (ctypes.c_char * size).from_buffer(self.octets)
        self.address = ctypes.addressof(self._pin)

    def __repr__(self) -> str:
        return f"Memory({len(self.octets)})"
