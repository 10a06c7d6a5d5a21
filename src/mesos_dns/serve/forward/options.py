"""What a forwarder is told. Pure; it travels from control to workers."""

from typing import NamedTuple

import msgspec


class Upstream(NamedTuple):
    """A server to ask: an address and a port. With `tls_name` it is asked over TLS (RFC 7858), and must prove that name."""

    host: str
    port: int
    tls_name: str = ""

    @property
    def address(self) -> tuple[str, int]:
        """Where to send to."""
        return self.host, self.port


class ForwardOptions(msgspec.Struct, frozen=True, array_like=True):
    """How names that are not ours are resolved. Times in seconds.

    `upstreams` maps zones (wire form, lower case; the root for everything else) to those to ask; `policy`, a value of
    `upstreams.Policy`, says in which order. With `ask_next_on_failure` SERVFAIL and the like of one make the next one be asked.
    The cache of a worker has `cache_octets`, none if that is 0; what it keeps lives between `cache_min_ttl` and `cache_max_ttl`,
    and is served for `stale_seconds` longer if no upstream answers. `trusted`, `private` (zones in wire form, lower case) and
    `non_recursive` are as in `terms`. With `mixed_case` questions over UDP are in letters of any case. The authorities for upstreams over TLS are those in `ca_file` (PEM), or the system's if
    that is "".
    """

    upstreams: dict[bytes, list[Upstream]]
    timeout: float
    policy: str = "sequential"
    ask_next_on_failure: bool = True
    cache_octets: int = 0
    cache_min_ttl: int = 0
    cache_max_ttl: int = 86400
    stale_seconds: float = 0.0
    trusted: list[Upstream] = []
    private: list[bytes] = []
    non_recursive: bool = False
    ca_file: str = ""
    mixed_case: bool = False
