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
#: Frameworks whose endings of owner names are remembered; beyond, all are forgotten at once.
MAX_SUFFIXES: Final = 10_000
#: Services whose owner names are remembered while states are taken; beyond, all are forgotten at once.
MAX_REMEMBERED_SERVICES: Final = 10_000
#: Kinds of discovery ports (protocol and name) that an application may have to have its services' form remembered.
MAX_KINDS_REMEMBERED: Final = 8
#: Protocols of one framework's discovery ports that are remembered; usual are two.
MAX_PROTOCOLS: Final = 100
#: Different addresses of each family whose record set is shared between names; beyond, sharing starts anew.
MAX_SHARED_NODES: Final = 20_000
#: Dictionaries that hold a zone's names: a growing one is copied in one go, 23 ms at 350,000 names.
ZONE_PARTS: Final = 61

# --- configuration -----------------------------------------------------------------------------

#: Octets of a configuration file, a service account file or /etc/resolv.conf. Real ones have a few
#: hundred; the bound keeps a wrong path (a log, a device) from filling the memory.
MAX_CONFIG_OCTETS: Final = 1024 * 1024
#: Values of one list of the configuration (masters, resolvers, zones): far above any real one, and
#: low enough that reporting a problem for each of them stays readable.
MAX_CONFIG_LIST: Final = 256
#: Warnings about unknown keys; the rest is counted. More than these is another program's file.
MAX_UNKNOWN_KEYS: Final = 20
#: Problems, and warnings, of one configuration that are reported; the rest is counted. Nobody mends more
#: of them in one go, and a damaged file could have as many as it has values.
MAX_CONFIG_PROBLEMS: Final = 100
#: Characters of a bad value that a message repeats: enough to find it in the file.
MAX_QUOTED: Final = 60
#: Tasks whose records are made before other work gets a turn: about 10 ms. With 32 or 1,000 a start takes as long.
SLICE_OF_TASKS: Final = 250

# --- reading the master's state ----------------------------------------------------------------

#: Examples kept per reason for which elements of a state were skipped: enough to find the culprit.
MAX_SKIPPED_EXAMPLES: Final = 3
#: Characters of an example: it ends up in one log line.
MAX_EXAMPLE_TEXT: Final = 160
#: Equal texts and tuples that the decoder shares between tasks before it starts anew: three per task of the
#: largest known clusters.
MAX_SHARED_VALUES: Final = 500_000

# --- between the processes ---------------------------------------------------------------------

#: Octets of one frame: one owner with 100,000 SRV records is 5 MB.
MAX_FRAME: Final = 64 * 1024 * 1024
#: Edits, or nodes, in one frame. A worker applies a frame between two packets, so it must be short: 0.3 ms, or
#: 1 ms while a large state keeps all processors busy.
EDITS_PER_FRAME: Final = 100
#: Octets of a frame that has more than one of them; 100 usual ones have 16,000.
FRAME_OCTETS: Final = 64 * 1024
#: Octets on their way to a worker, in the kernel and in control each.
FEED_BUFFER: Final = 4 * 1024 * 1024
#: Octets of frames that are written together, roughly: what a worker reads in one go.
FEED_PORTION: Final = 256 * 1024
#: Octets waiting for a worker that does not read before it is given a new snapshot instead.
MAX_FEED_BACKLOG: Final = 256 * 1024 * 1024

# --- forwarding --------------------------------------------------------------------------------

#: Questions to upstreams under way at once in one worker, each with a socket of its own.
MAX_FORWARDS: Final = 1000

# --- TCP ---------------------------------------------------------------------------------------

#: Connections of one worker and listener; each takes a file.
MAX_TCP_CONNECTIONS: Final = 1000

# --- processes ---------------------------------------------------------------------------------

#: Seconds between two reports of a worker's counters.
COUNTERS_SECONDS: Final = 1.0
#: New objects in a process after which the garbage collector looks at the youngest.
GC_OBJECTS: Final = 2_000
#: How often it does that before it looks at those that survived, too: after 100 million new objects.
GC_ROUNDS: Final = 50_000
#: Niceness of control once workers serve: when all processors are busy they get three times its share.
CONTROL_NICENESS: Final = 5
#: Seconds between two looks whether a process has ended that is about to.
REAP_SECONDS: Final = 0.01
#: Seconds that a worker pauses at the most between two frames of its feed.
LONGEST_PAUSE: Final = 0.005
#: Open files of a worker: its connections and upstream sockets at their bounds, and some to spare.
OPEN_FILES: Final = 4096
#: Seconds that a stopping worker waits for upstreams; then it ends without their answers.
DRAIN_SECONDS: Final = 3.0
#: Octets of the kernel's buffers for one UDP socket, if net.core.rmem_max allows: 10,000 queries.
SOCKET_BUFFER: Final = 8 * 1024 * 1024
#: Seconds from the start of a worker to the next if it died: at once first, then doubling.
RESTART_SECONDS: Final = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
#: A worker that lived this many seconds was healthy: the next restart is at once again.
HEALTHY_SECONDS: Final = 10.0
#: Seconds that a worker gets to drain and end before it is killed.
STOP_SECONDS: Final = DRAIN_SECONDS + 2.0

# --- host names in states ----------------------------------------------------------------------

#: Host names of agents, schedulers and masters that are looked up.
MAX_HOSTS: Final = 20_000
#: Look-ups under way at once; each blocks a thread.
HOST_LOOKUP_THREADS: Final = 8
#: Seconds until a host name is looked up again.
HOST_REFRESH_SECONDS: Final = 60.0
#: Octets of a state document after decompression. A cluster of 100,000 tasks has about 280 MB; a compressed
#: answer of a broken or hostile server could otherwise fill the memory.
MAX_STATE_OCTETS: Final = 2 * 1024**3
#: Octets read of an answer that reports an error: one line of it goes into the log.
MAX_ERROR_OCTETS: Final = 4096
#: Octets of the answer to a DC/OS login: a JSON Web Token has one or two kilobytes.
MAX_LOGIN_OCTETS: Final = 64 * 1024
#: Seconds to reach a master (TCP and TLS). A host that is gone must not cost the whole state time-out.
MASTER_CONNECT_SECONDS: Final = 5.0
#: Seconds of silence after which a master that accepted the request counts as hanging. Old masters take
#: many seconds to build a large state; StateTimeoutSeconds bounds the whole and is 300 by default.
MASTER_STALL_SECONDS: Final = 60.0
#: Masters whose state path (/master/state or /master/state.json) is remembered.
MAX_REMEMBERED_PATHS: Final = 256
#: Endpoints asked in one round beyond the configured masters: leaders and redirect targets that are not in the list.
MAX_UNLISTED_MASTERS: Final = 8
#: First pause after a failed poll, in seconds; it doubles with each further failure.
FIRST_RETRY_SECONDS: Final = 1.0
#: Workers if the configuration names no number: more cores than that are better used by replicas.
MAX_AUTOMATIC_WORKERS: Final = 4
#: Seconds until following the cluster is begun anew after an internal error.
START_OVER_SECONDS: Final = 5.0
#: Seconds between two looks at this machine's own addresses.
INTERFACE_SECONDS: Final = 30.0
#: Longest pause after failed polls, in seconds: with a long RefreshSeconds a master that comes back must not wait for it.
MAX_RETRY_SECONDS: Final = 60.0

# --- HTTP API ----------------------------------------------------------------------------------

#: Connections at once: monitoring and a few people; further ones are closed at once.
MAX_HTTP_CONNECTIONS: Final = 256
#: Octets of a request line: a name of 255 octets, each percent-encoded, needs 800.
MAX_HTTP_LINE: Final = 4096
#: Octets of one header field: cookies and tokens of proxies in front of us reach some thousand.
MAX_HTTP_FIELD: Final = 8192
#: Seconds that a new connection may take until its first request is complete.
HTTP_REQUEST_SECONDS: Final = 10.0
#: Seconds between two requests of one connection: more than the usual scraping interval of a minute.
HTTP_KEEP_ALIVE_SECONDS: Final = 75.0
#: Seconds for reading a body that nobody asked for, so that the client sees the reply.
HTTP_LINGER_SECONDS: Final = 1.0
#: Seconds that a client may leave a part of a reply untaken, and that a whole reply may take: 100,000
#: tasks make 200 MB, which a link of 10 Mbit/s takes in three minutes.
HTTP_STALL_SECONDS: Final = 30.0
HTTP_REPLY_SECONDS: Final = 300.0
#: Octets (characters, to be exact) of a reply that are gathered before they are sent.
HTTP_CHUNK: Final = 64 * 1024
#: Seconds of work on a reply before everything else in the process gets a turn.
HTTP_TURN_SECONDS: Final = 0.005
#: Seconds that a request for a dump of everything waits for the dump before it.
HTTP_DUMP_WAIT_SECONDS: Final = 30.0
#: Seconds that replies under way get when the server stops, and again for being cancelled.
HTTP_STOP_SECONDS: Final = 1.0
#: Names sorted in one go: 2 ms.
NAMES_PER_PIECE: Final = 500
