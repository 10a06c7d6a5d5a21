"""Every bound of the program, each with its reason. Plain constants; imports nothing."""

from typing import Final

# --- names -------------------------------------------------------------------------------------

#: Octets of one label (RFC 1035 section 2.3.4).
MAX_LABEL: Final = 63
#: Octets of a whole name in wire form, length octets and root included (RFC 1035 section 2.3.4).
MAX_NAME: Final = 255
#: Addresses of one task, agent or host name that become records: beyond that a reply fits nowhere.
MAX_ADDRESSES: Final = 64
#: Different addresses of each family whose record set is shared between names; beyond, sharing starts anew.
MAX_SHARED_RRSETS: Final = 20_000
#: Dictionaries that hold a zone's names: a growing one is copied in one go, 23 ms at 350,000 names.
ZONE_PARTS: Final = 61

# --- reading the master's state ----------------------------------------------------------------

#: Characters of an example: it ends up in one log line.
MAX_EXAMPLE_TEXT: Final = 160

# --- between the processes ---------------------------------------------------------------------

#: Changes of record sets in one frame. A worker applies a frame between two packets, so it must be short: 0.3 ms, or
#: 1 ms while a large state keeps all processors busy.
CHANGES_PER_FRAME: Final = 100
#: Octets of a frame that has more than one of them; 100 usual ones have 16,000.
FRAME_OCTETS: Final = 64 * 1024

# --- forwarding --------------------------------------------------------------------------------

#: Questions to upstreams under way at once in one worker, each with a socket of its own.
MAX_FORWARDS: Final = 1000

# --- TCP ---------------------------------------------------------------------------------------

#: Connections of one worker and listener; each takes a file.
MAX_TCP_CONNECTIONS: Final = 1000

# --- processes ---------------------------------------------------------------------------------

#: Open files of a worker: its connections and upstream sockets at their bounds, and some to spare.
OPEN_FILES: Final = 4096
