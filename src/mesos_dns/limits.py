"""Every bound of the program, each with its reason. Plain constants; imports nothing."""

from typing import Final

# --- names -------------------------------------------------------------------------------------

#: Octets of one label (RFC 1035 section 2.3.4).
MAX_LABEL: Final = 63
#: Octets of a whole name in wire form, length octets and root included (RFC 1035 section 2.3.4).
MAX_NAME: Final = 255
#: Ports of one task that become SRV records. A port range may span thousands; each port costs two
#: to six records, and nobody can use a service with that many unnamed ports.
MAX_PORTS_PER_TASK: Final = 256
#: Addresses of one task, agent or host name that become records: beyond that a reply fits nowhere.
MAX_ADDRESSES: Final = 64
