"""What control and workers tell each other: frames over a Unix stream socket. Pure.

A frame is its length (4 octets, big-endian) and a msgpack array whose first element names it.
Control sends `Settings` once, and `Listen` when the worker may answer; for each zone a snapshot (`SnapshotBegin`, and the zone's
updates up to the first one that is complete) and updates as the zone changes; `Resolvers` when others are to be asked, `Renew` when it has
another certificate, `CookieSecrets` when other secrets are in use from now on, `Networks` when those of the machine change, `QueryLogs` when others are kept; `Heartbeat` when
there is nothing else to say. A worker sends `Declared` once, `Ack` when it answers from a serial, and `Report` with each tick of the clock.

Questions that come to control (DNS over HTTPS) go over a second connection, where they wait behind no zone: `Ask`, and `Told` for each.
What is put down in query logs goes over a third one, in packets (see `querylog.logs`).
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from mesos_dns.certificates import KeyPair
from mesos_dns.dns.prefixes import ClientList, Prefix
from mesos_dns.limits import MAX_EXAMPLE_TEXT
from mesos_dns.metrics import Metric
from mesos_dns.querylog.logs import QueryLog
from mesos_dns.quoting import escaped
from mesos_dns.serve.forward.options import ForwardOptions, Upstream
from mesos_dns.serve.ratelimit import Rates
from mesos_dns.zone.change import RRsetChange
from mesos_dns.zone.zone import Authority

_LENGTH: Final = struct.Struct("!I")
#: Octets of one frame: one owner with 100,000 SRV records is 5 MB.
MAX_FRAME: Final = 64 * 1024 * 1024
#: Seconds that a stopping worker waits for upstreams; then it ends without their answers.
DRAIN_SECONDS: Final = 3.0


class Listener(msgspec.Struct, frozen=True, array_like=True):
    """An inherited socket: its descriptor, whether it is UDP or TCP, and whether what is said over TCP is in TLS."""

    fd: int
    udp: bool
    tls: bool = False


class CookieSecrets(msgspec.Struct, frozen=True, array_like=True, tag="cookies"):
    """The secrets of server cookies (RFC 9018), 16 octets each: the first makes cookies, all of them verify.

    In a plan, none means that control is to make some.
    """

    secrets: list[bytes]

    def __repr__(self) -> str:
        return f"CookieSecrets({len(self.secrets)} secrets)"


class Settings(msgspec.Struct, frozen=True, array_like=True, tag="settings"):
    """All that a worker needs to know.

    With `hold` the worker answers nothing before it has all zones: others
    answer from the same sockets, or will not miss an answer that comes a moment later. `loop_key` is random, and the same for all workers
    that share sockets. `allow_query` are those who may ask, `allow_recursion` those who may also ask about names outside; `rates` bound
    responses over UDP, if there are any. `networks` are those of this machine's interfaces.
    `log_json`: log lines are JSON. `tls` is for the listeners over TLS, None if there are none. With `questions` control has some, and
    `questions_fd` is the socket for them. What is put down in query logs goes to the socket `records_fd`. `cookies` is None if no server cookies are sent. `server_id`, `version` and `minimal_any` are as in
    `AnswerOptions`.
    """

    zones: list[Authority]
    recursion: bool
    truncate_bit: bool
    forward: ForwardOptions
    listeners: list[Listener]
    verbosity: int
    hold: bool
    loop_key: bytes = b""
    allow_query: ClientList = ClientList()
    allow_recursion: ClientList = ClientList()
    rates: Rates | None = None
    networks: tuple[Prefix, ...] = ()
    tls: KeyPair | None = None
    questions: bool = False
    log_json: bool = False
    questions_fd: int = -1
    records_fd: int = -1
    cookies: CookieSecrets | None = None
    server_id: bytes = b""
    version: bytes = b""
    minimal_any: str = "udp"


class SnapshotBegin(msgspec.Struct, frozen=True, array_like=True, tag="snapshot"):
    """A snapshot of the zone with the apex `zone` follows: what the worker holds stays in use until its end."""

    zone: bytes


class ZoneUpdate(msgspec.Struct, frozen=True, array_like=True, tag="update"):
    """A part of a change of the zone with the apex `zone`, as in `ZoneChange`."""

    zone: bytes
    serial: int
    changes: Sequence[RRsetChange]
    complete: bool


class Ack(msgspec.Struct, frozen=True, array_like=True, tag="ack"):
    """The worker answers from this serial of the zone with the apex `zone`."""

    zone: bytes
    serial: int


class Listen(msgspec.Struct, frozen=True, array_like=True, tag="listen"):
    """The sockets are bound, and what comes to them is the worker's to answer."""


class Networks(msgspec.Struct, frozen=True, array_like=True, tag="networks"):
    """The networks of this machine's interfaces are others than before."""

    networks: tuple[Prefix, ...]


class Renew(msgspec.Struct, frozen=True, array_like=True, tag="renew"):
    """New connections over TLS are shown another certificate."""

    tls: KeyPair


class Resolvers(msgspec.Struct, frozen=True, array_like=True, tag="resolvers"):
    """Others are to be asked from now on: `upstreams` as in `ForwardOptions`."""

    upstreams: dict[bytes, list[Upstream]]


class QueryLogs(msgspec.Struct, frozen=True, array_like=True, tag="logs"):
    """These query logs are kept from now on, and no others."""

    logs: list[QueryLog]


class Heartbeat(msgspec.Struct, frozen=True, array_like=True, tag="heartbeat"):
    """Control is there, though it has nothing to say."""


class Declared(msgspec.Struct, frozen=True, array_like=True, tag="declared"):
    """What the worker's code counts and measures."""

    metrics: list[Metric]


class UpstreamHealth(msgspec.Struct, frozen=True, array_like=True):
    """How an upstream does for one worker: `state` as in `health.Status`, or "unasked"; failures in a row; the last failure in words, "" if there was none."""

    upstream: str
    state: str = "unasked"
    failures: int = 0
    error: str = ""


class Report(msgspec.Struct, frozen=True, array_like=True, tag="report"):
    """The worker is there.

    `counts`, by series, are those since it started, as far as they are others than in the report before. `gauges` are all that it has at
    present; None if they are as they were. So are `upstreams`.
    """

    counts: dict[str, int | float]
    gauges: dict[str, int | float] | None = None
    upstreams: list[UpstreamHealth] | None = None


class Ask(msgspec.Struct, frozen=True, array_like=True, tag="ask"):
    """A question that came to control over HTTPS: any octets, and the packed address of its client."""

    number: int
    client: bytes
    octets: bytes


class Told(msgspec.Struct, frozen=True, array_like=True, tag="told"):
    """The reply to the question with this number; empty if it deserves none."""

    number: int
    octets: bytes


ToWorker = (
    Settings
    | Listen
    | SnapshotBegin
    | ZoneUpdate
    | Networks
    | Renew
    | CookieSecrets
    | Resolvers
    | QueryLogs
    | Heartbeat
)
FromWorker = Ack | Declared | Report
Frame = ToWorker | FromWorker | Ask | Told

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[Frame]] = msgspec.msgpack.Decoder(Frame)


class ProtocolError(Exception):
    """The peer sent something that is no frame: the processes do not run the same version."""


def encode(frame: Frame) -> bytes:
    """The octets of one frame, its length included."""
    body = _encoder.encode(frame)
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Cuts a stream into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def __repr__(self) -> str:
        return f"FrameReader(waiting={len(self._buffer)})"

    def feed(self, octets: bytes) -> None:
        """Take what the stream delivered."""
        self._buffer += octets

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        """The next complete frame. Raises ProtocolError, after which the stream is of no use."""
        if len(self._buffer) < 4:
            raise StopIteration
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > MAX_FRAME:
            raise ProtocolError(f"a frame of {length} octets, at most {MAX_FRAME} are possible")
        if len(self._buffer) < 4 + length:
            raise StopIteration
        body = bytes(self._buffer[4 : 4 + length])
        del self._buffer[: 4 + length]
        try:
            return _decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ProtocolError(f"a frame that is none: {escaped(str(error)[:MAX_EXAMPLE_TEXT])}") from error
