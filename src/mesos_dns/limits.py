"""Bounds that several rooms, or their documentation's tests, need, each with its reason; the others stand where they are used. Plain constants; imports nothing."""

from typing import Final

# --- names -------------------------------------------------------------------------------------

#: Octets of one label (RFC 1035 section 2.3.4).
MAX_LABEL: Final = 63
#: Octets of a whole name in wire form, length octets and root included (RFC 1035 section 2.3.4).
MAX_NAME: Final = 255
#: Addresses of one task, agent or host name that become records: beyond that a reply fits nowhere.
MAX_ADDRESSES: Final = 64
#: Dictionaries that hold a zone's names: a growing one is copied in one go, 23 ms at 350,000 names.
ZONE_PARTS: Final = 61

# --- reading the master's state ----------------------------------------------------------------

#: Characters of an example: it ends up in one log line.
MAX_EXAMPLE_TEXT: Final = 160

# --- forwarding --------------------------------------------------------------------------------

#: Questions to upstreams under way at once in one worker, each with a socket of its own.
MAX_FORWARDS: Final = 1000

# --- TCP ---------------------------------------------------------------------------------------

#: Connections of one worker and listener; each takes a file.
MAX_TCP_CONNECTIONS: Final = 1000
