"""Bounds that several rooms, or their documentation's tests, need, each with its reason; the others stand where they are used. Constants, and one rule; imports nothing of ours."""

from typing import Final

# --- what is remembered ---------------------------------------------------------------------------

#: Values that a cache keeps for each thing in use that may need one, and when nothing is in use, before it is emptied. A bound for
#: the largest clusters alone would let a small one's memory grow for months with what is remembered of tasks long gone.
MAX_KEPT_PER_USE: Final = 2
MAX_KEPT_AT_LEAST: Final = 100


def most_kept(in_use: int) -> int:
    """How many values a cache may keep of which at most `in_use` can be in use; then it is emptied, and fills with those that are."""
    return MAX_KEPT_AT_LEAST + MAX_KEPT_PER_USE * in_use


# --- names -------------------------------------------------------------------------------------

#: Octets of one label (RFC 1035 section 2.3.4).
MAX_LABEL: Final = 63
#: Octets of a whole name in wire form, length octets and root included (RFC 1035 section 2.3.4).
MAX_NAME: Final = 255
#: Addresses of one task, agent or host name that become records: beyond that a reply fits nowhere.
MAX_ADDRESSES: Final = 64
#: Octets of what this server says of itself: with it, a cookie and the longest name, a reply without records still fits 512.
MAX_IDENTITY: Final = 128
#: Dictionaries that hold a zone's names: a growing one is copied in one go, 23 ms at 350,000 names.
ZONE_PARTS: Final = 61

# --- reading the master's state ----------------------------------------------------------------

#: Characters of an example: it ends up in one log line.
MAX_EXAMPLE_TEXT: Final = 160

# --- forwarding --------------------------------------------------------------------------------

#: Different questions that one worker asks upstreams at once: 200 new ones a second if none is answered within 5 s. Up to 16 share a socket (`serve/forward/pool.py`).
MAX_FORWARDS: Final = 1000

# --- TCP ---------------------------------------------------------------------------------------

#: Connections of one worker and listener; each takes a file.
MAX_TCP_CONNECTIONS: Final = 1000
#: Clients that are remembered as allowed by a list: more than the machines of a large cluster. Beyond, all are forgotten.
MAX_KNOWN_CLIENTS: Final = 65_536

#: Of the answers that a query log may have, one in so many is put down at the least.
MAX_SAMPLE: Final = 1_000_000
