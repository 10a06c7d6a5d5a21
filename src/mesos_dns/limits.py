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
MAX_SHARED_NODES: Final = 20_000
#: Dictionaries that hold a zone's names: a growing one is copied in one go, 23 ms at 350,000 names.
ZONE_PARTS: Final = 61

# --- reading the master's state ----------------------------------------------------------------

#: Characters of an example: it ends up in one log line.
MAX_EXAMPLE_TEXT: Final = 160

# --- answering ---------------------------------------------------------------------------------

#: Orders of one answer that are remembered: enough to spread load, few enough to stay small.
MAX_ROTATIONS: Final = 4
#: Remembered replies that have an answer: the names that clients really ask.
MEMO_FOUND: Final = 100_000
#: Octets of all remembered replies of one memo that found something, and of those that did not.
MEMO_OCTETS: Final = 32 * 1024 * 1024
MEMO_MISSING_OCTETS: Final = 4 * 1024 * 1024
#: Remembered NXDOMAIN and NODATA replies: enough for search lists, useless to a flood of random names.
MEMO_NOT_FOUND: Final = 20_000
#: Looks of OPT records, apart from their options, that a listener knows; usual are ten.
MAX_EDNS_FORMS: Final = 256
#: A worker waits this many seconds between two looks at a UDP socket where it found a good part of a batch: then it
#: finds more, and an answer costs up to 14 % less. Only with so many datagrams, and only so often in one turn.
COALESCING_SECONDS: Final = 0.00005
COALESCED_DATAGRAMS: Final = range(8, 64)
COALESCING_TIMES: Final = 4
#: Parts of dropped replies that are freed after each turn of answering, and with each answer of it: twice as many as
#: an answer can add, and 0.1 µs each.
SWEPT_AT_LEAST: Final = 64
SWEPT_PER_ANSWER: Final = 8
#: Datagrams that one UDP socket may have answered before TCP, forwarding and zone changes get their
#: turn: about 2 ms.
MAX_DATAGRAMS_PER_WAKE: Final = 256

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

#: Connections of one worker and listener, and of one client among them: resolvers pipeline.
MAX_TCP_CONNECTIONS: Final = 1000
MAX_TCP_PER_CLIENT: Final = 200
#: Forwarded queries under way for one connection; then no more is read from it.
MAX_TCP_PENDING: Final = 100
#: Queries of one connection answered before others get their turn: about 1 ms.
QUERIES_PER_TURN: Final = 100
#: Octets of replies that end a turn as well: a client that asks for giants and reads nothing must not
#: have 100 of 64 kB waiting on each of its connections.
OCTETS_PER_TURN: Final = 64 * 1024
#: Seconds that a connection may stay without a complete query (RFC 7766 section 6.2.3).
TCP_IDLE_SECONDS: Final = 10.0

# --- processes ---------------------------------------------------------------------------------

#: Open files of a worker: its connections and upstream sockets at their bounds, and some to spare.
OPEN_FILES: Final = 4096
