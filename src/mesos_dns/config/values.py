"""The configuration as values: what a `Config` is, the table of its keys, and what can be wrong with it.

Pure. Defaults stand once, in `Config`; the table adds each key's spelling, type and range. The table
is in the order of `GET /v1/config`: that of Mesos-DNS 0.7, with the keys of the m3scluster fork at the
fork's positions and our own at the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from mesos_dns.certificates import Certificate
from mesos_dns.config.addresses import Resolver, resolver
from mesos_dns.config.zookeeper import Ensemble
from mesos_dns.limits import MAX_SAMPLE
from mesos_dns.quoting import quoted

#: Characters of a path in a message: as many octets as a path can have on Linux.
MAX_PATH: Final = 4096

#: In the place of a server's id, and of its version: what this machine is called, and what this program is.
HOST_NAME: Final = "@hostname"
OWN_VERSION: Final = "@version"

Kind = Literal["int", "bool", "string", "strings", "zones"]

_INT32: Final = 2**31 - 1
_UINT16: Final = 2**16 - 1
_UINT32: Final = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class IamAccount:
    """A DC/OS service account, as its `IAMConfigFile` describes it."""

    uid: str = ""
    private_key: str = field(default="", repr=False)
    login_endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine by numbers, with its group and all its groups."""

    uid: int
    gid: int
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration: validated, with defaults filled in. Times are whole seconds.

    `repr` shows no secrets (`zk` may hold a password, too). Instances are hashable and picklable.
    """

    refresh_seconds: int = 60
    port: int = 53
    #: Never 0: a configured 0 means the default, as in Go.
    timeout: int = 5
    state_timeout_seconds: int = 300
    #: Seconds without a leader until that is told loudly; 0 or less: never.
    zk_detection_timeout: int = 30
    http_port: int = 8123
    ttl: int = 60
    srv_record_default_weight: int = 1
    soa_refresh: int = 60
    soa_retry: int = 600
    soa_expire: int = 86400
    soa_minttl: int = 60
    #: Exactly one dot at the end, spelled as given.
    soa_mname: str = "ns1.mesos."
    #: A name, not a mail address: each `@` has become a dot. Exactly one dot at the end.
    soa_rname: str = "root.ns1.mesos."
    #: `host:port` as given; IPv6 in brackets.
    masters: tuple[str, ...] = ()
    #: Zones as spelled in the configuration, with their resolvers as given. See `zone_resolvers`.
    zones: tuple[tuple[str, tuple[str, ...]], ...] = ()
    #: As given (or as found in /etc/resolv.conf): the port may be missing. See `upstreams`.
    resolvers: tuple[str, ...] = ("8.8.8.8",)
    ip_sources: tuple[str, ...] = ("netinfo", "mesos", "host")
    zk: str = field(default="", repr=False)
    #: Lower case, no dot at either end.
    domain: str = "mesos"
    #: The path of the configuration file, for people; "" without a file.
    file: str = ""
    #: An IPv4 or IPv6 literal.
    listener: str = "0.0.0.0"  # noqa: S104 - a name server serves the network unless told otherwise
    #: An address, a host name, or "" for every address.
    http_listener: str = "0.0.0.0"  # noqa: S104 - as in Go
    recurse_on: bool = True
    dns_on: bool = True
    reverse_dns_on: bool = False
    http_on: bool = True
    external_on: bool = True
    enforce_rfc952: bool = False
    set_truncate_bit: bool = True
    enumeration_on: bool = True
    mesos_https_on: bool = False
    #: "" with `mesos_https_on`: the masters' certificates are not verified, as in Go.
    ca_cert_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    mesos_principal: str = ""
    mesos_secret: str = field(default="", repr=False)
    iam_config_file: str = ""
    resolv_subnet_first: bool = False
    #: "", "basic" or "iam".
    mesos_authentication: str = ""
    #: 0: as many as there are cores, at most 4.
    workers: int = 0
    health_aware: bool = True
    #: 0: what the masters' flags tell.
    failover_grace_seconds: int = 0
    #: "auto", "events" or "polling".
    mesos_source: str = "auto"
    reconcile_seconds: int = 600
    #: "sequential", "fastest" or "random".
    forward_policy: str = "sequential"
    ask_next_on_failure: bool = True
    #: Of each worker; 0: nothing is kept.
    cache_octets: int = 16 * 1024 * 1024
    cache_min_ttl: int = 0
    cache_max_ttl: int = 86400
    #: 0: nothing is served stale.
    cache_stale_seconds: int = 86400
    #: As given; all of them are among `resolvers` or `zones`, or have no effect.
    trusted_resolvers: tuple[str, ...] = ()
    #: Zones in any letter case; "special-use" stands for those of RFC 6303, RFC 6761 and their like.
    private_zones: tuple[str, ...] = ("special-use",)
    forward_non_recursive: bool = False
    #: "": the authorities of the system say who an upstream over TLS is.
    forward_ca_file: str = ""
    forward_mixed_case: bool = False
    #: Serve DNS over TLS, on `listener`.
    tls_on: bool = False
    tls_port: int = 853
    #: The certificate of this server, for DNS over TLS and HTTPS.
    tls_cert_file: str = ""
    tls_key_file: str = ""
    #: Serve HTTP over TLS, on `http_listener`.
    https_on: bool = False
    https_port: int = 443
    #: Answer DNS over HTTP, wherever HTTP is served.
    doh_on: bool = False
    #: What `tls_cert_file` and `tls_key_file` hold; None if nothing is served over TLS.
    certificate: Certificate | None = field(default=None, repr=False)
    #: Whom to be from the start on, and its group, by name or number; "": whoever started the program, and the usual group. See `account`.
    user: str = ""
    group: str = ""
    cookies_on: bool = True
    #: Hexadecimal, 32 digits each; the first makes cookies. Empty: the program makes secrets.
    cookie_secrets: tuple[str, ...] = field(default=(), repr=False)
    #: "": not told; `HOST_NAME`: the name of this machine.
    server_id: str = HOST_NAME
    #: "": not told; `OWN_VERSION`: the version of this program.
    server_version: str = ""
    #: "udp", "always" or "never".
    minimal_any: str = "udp"
    #: Whether `resolvers` are those that /etc/resolv.conf had, and change with it (`system_resolvers.SystemResolvers`).
    system_resolvers: bool = False
    #: Entries as `config.access` takes them: who may ask at all, about outside names, and over HTTP.
    allow_query: tuple[str, ...] = ("any",)
    allow_recursion: tuple[str, ...] = ("@loopback", "@local", "@private")
    allow_http: tuple[str, ...] = ("any",)
    #: 0: responses are not limited.
    rate_limit_responses_per_second: int = 0
    #: 0: as `rate_limit_responses_per_second`.
    rate_limit_nxdomains_per_second: int = 0
    rate_limit_errors_per_second: int = 0
    rate_limit_window: int = 15
    #: 0: never.
    rate_limit_slip: int = 2
    rate_limit_ipv4_prefix_length: int = 24
    rate_limit_ipv6_prefix_length: int = 56
    #: As `allow_query`; may be empty.
    rate_limit_exempt_clients: tuple[str, ...] = ()
    rate_limit_log_only: bool = False
    #: After SIGTERM `/readyz` says no, and all is served on for so long.
    lame_duck_seconds: int = 0
    #: "text" or "json".
    log_format: str = "text"
    #: As `querylog.destination` takes it; "": there is no query log.
    query_log_to: str = ""
    #: Whether it is written from the start; otherwise when it is switched on.
    query_log_on: bool = True
    #: Which answers are in it: of these clients (as `allow_query`), of these names and what is below, with these RCODEs; empty for all.
    query_log_clients: tuple[str, ...] = ()
    query_log_names: tuple[str, ...] = ()
    query_log_rcodes: tuple[str, ...] = ()
    #: One of so many.
    query_log_sample: int = 1
    #: Octets of a file; then another one is begun, and the one before it is kept.
    query_log_max_octets: int = 1024 * 1024 * 1024
    #: Show the page at `/`, wherever HTTP is served.
    web_on: bool = True
    #: The file with the token for what tells about clients; "": nobody has one.
    http_token_file: str = ""
    #: What `http_token_file` holds; "" without one.
    http_token: str = field(default="", repr=False)
    #: What `iam_config_file` holds; None without one.
    iam: IamAccount | None = None
    #: The ZooKeeper that `zk` names, or the file that it names; None without one, also if `zk` names a master (then one of `masters`).
    ensemble: Ensemble | None = None
    #: Whom `user` and `group` name on this machine; None without `user`.
    account: Account | None = None

    @property
    def has_secrets(self) -> bool:
        """Whether it holds, or names files with, what nobody else should know: passwords or private keys."""
        credentials = self.ensemble is not None and self.ensemble.credentials
        return bool(
            self.mesos_secret or self.key_file or self.tls_key_file or self.http_token or self.iam or credentials
        )

    @property
    def upstreams(self) -> tuple[Resolver, ...]:
        """The default forwarders in normal form; none if `external_on` is off."""
        return tuple(resolver(each) for each in self.resolvers) if self.external_on else ()

    @property
    def trusted_upstreams(self) -> tuple[Resolver, ...]:
        """Like `upstreams`: those of all forwarders whose AD flag is passed on."""
        return tuple(resolver(each) for each in self.trusted_resolvers) if self.external_on else ()

    @property
    def zone_resolvers(self) -> Mapping[str, tuple[str, ...]]:
        """Resolvers as given, by zone in lower case, in the order of the configuration."""
        return MappingProxyType({zone.lower(): resolvers for zone, resolvers in self.zones})

    @property
    def zone_upstreams(self) -> Mapping[str, tuple[Resolver, ...]]:
        """Like `upstreams`, by zone in lower case (no dot at the end); empty if `external_on` is off."""
        if not self.external_on:
            return MappingProxyType({})
        return MappingProxyType(
            {zone.lower(): tuple(resolver(each) for each in resolvers) for zone, resolvers in self.zones}
        )


#: The defaults.
DEFAULTS: Final = Config()


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its spelling in files (`A.B` is member `B` of the object `A`), its attribute, its type.

    `snake` is the environment variable's name after `MESOS_DNS_`, in lower case.
    """

    name: str
    snake: str
    kind: Kind
    #: Attribute of `Config`; "" for a key that is accepted and has no effect.
    field: str
    low: int = 0
    high: int = 0
    secret: bool = False

    @property
    def env(self) -> str:
        """The documented environment variable."""
        return f"MESOS_DNS_{self.snake.upper()}"

    @property
    def default(self) -> Any:
        """The value without any configuration."""
        return getattr(DEFAULTS, self.field) if self.field else 0


def _integer(name: str, snake: str, low: int, high: int) -> Key:
    return Key(name, snake, "int", snake, low, high)


def _text(name: str, snake: str) -> Key:
    return Key(name, snake, "string", snake)


def _switch(name: str, snake: str) -> Key:
    return Key(name, snake, "bool", snake)


def _list(name: str, snake: str) -> Key:
    return Key(name, snake, "strings", snake)


#: Go reads `int` as 64 bits, but seconds beyond 31 bits overflow its durations: refused here.
KEYS: Final[tuple[Key, ...]] = (
    _integer("RefreshSeconds", "refresh_seconds", 1, _INT32),
    _integer("Port", "port", 0, _UINT16),
    _integer("Timeout", "timeout", 0, _INT32),
    _integer("StateTimeoutSeconds", "state_timeout_seconds", 1, _INT32),
    _integer("ZkDetectionTimeout", "zk_detection_timeout", -_INT32, _INT32),
    _integer("HttpPort", "http_port", 0, _UINT16),
    _integer("TTL", "ttl", 0, _INT32),
    _integer("SRVRecordDefaultWeight", "srv_record_default_weight", 0, _UINT16),
    Key("SOASerial", "soa_serial", "int", "", 0, _UINT32),
    _integer("SOARefresh", "soa_refresh", 0, _UINT32),
    _integer("SOARetry", "soa_retry", 0, _UINT32),
    _integer("SOAExpire", "soa_expire", 0, _UINT32),
    _integer("SOAMinttl", "soa_minttl", 0, _UINT32),
    _text("SOAMname", "soa_mname"),
    _text("SOARname", "soa_rname"),
    _list("Masters", "masters"),
    Key("ZoneResolvers", "zone_resolvers", "zones", "zones"),
    _list("Resolvers", "resolvers"),
    _list("IPSources", "ip_sources"),
    _text("Zk", "zk"),
    _text("Domain", "domain"),
    _text("File", "file"),
    _text("Listener", "listener"),
    _text("HTTPListener", "http_listener"),
    _switch("RecurseOn", "recurse_on"),
    _switch("DnsOn", "dns_on"),
    _switch("ReverseDnsOn", "reverse_dns_on"),
    _switch("HttpOn", "http_on"),
    _switch("ExternalOn", "external_on"),
    _switch("EnforceRFC952", "enforce_rfc952"),
    _switch("SetTruncateBit", "set_truncate_bit"),
    _switch("EnumerationOn", "enumeration_on"),
    _switch("MesosHTTPSOn", "mesos_https_on"),
    _text("CACertFile", "ca_cert_file"),
    _text("CertFile", "cert_file"),
    _text("KeyFile", "key_file"),
    Key("MesosCredentials.Principal", "mesos_credentials_principal", "string", "mesos_principal"),
    Key("MesosCredentials.Secret", "mesos_credentials_secret", "string", "mesos_secret", secret=True),
    _text("IAMConfigFile", "iam_config_file"),
    _switch("ResolvSubnetFirst", "resolv_subnet_first"),
    _text("MesosAuthentication", "mesos_authentication"),
    _integer("Workers", "workers", 0, 64),
    _switch("HealthAware", "health_aware"),
    # A day: names that are older help nobody.
    _integer("FailoverGraceSeconds", "failover_grace_seconds", 0, 86400),
    _text("MesosSource", "mesos_source"),
    # Each read of the whole state costs the master and us seconds of work in a large cluster.
    _integer("ReconcileSeconds", "reconcile_seconds", 10, 7 * 86400),
    _text("ForwardPolicy", "forward_policy"),
    _switch("AskNextOnFailure", "ask_next_on_failure"),
    _integer("CacheOctets", "cache_octets", 0, _INT32),
    # An hour, and a week: what resolvers allow.
    _integer("CacheMinTTL", "cache_min_ttl", 0, 3600),
    _integer("CacheMaxTTL", "cache_max_ttl", 0, 7 * 86400),
    # RFC 8767 section 5: one to three days.
    _integer("CacheStaleSeconds", "cache_stale_seconds", 0, 3 * 86400),
    _list("TrustedResolvers", "trusted_resolvers"),
    _list("PrivateZones", "private_zones"),
    _switch("ForwardNonRecursive", "forward_non_recursive"),
    _text("ForwardCAFile", "forward_ca_file"),
    _switch("ForwardMixedCase", "forward_mixed_case"),
    _switch("TlsOn", "tls_on"),
    _integer("TlsPort", "tls_port", 0, _UINT16),
    _text("TlsCertFile", "tls_cert_file"),
    _text("TlsKeyFile", "tls_key_file"),
    _switch("HttpsOn", "https_on"),
    _integer("HttpsPort", "https_port", 0, _UINT16),
    _switch("DohOn", "doh_on"),
    _text("User", "user"),
    _text("Group", "group"),
    _switch("CookiesOn", "cookies_on"),
    Key("CookieSecrets", "cookie_secrets", "strings", "cookie_secrets", secret=True),
    _text("ServerId", "server_id"),
    _text("ServerVersion", "server_version"),
    _text("MinimalAny", "minimal_any"),
    _list("AllowQuery", "allow_query"),
    _list("AllowRecursion", "allow_recursion"),
    _list("AllowHttp", "allow_http"),
    # What BIND allows, and no more debt than an hour.
    _integer("RateLimit.ResponsesPerSecond", "rate_limit_responses_per_second", 0, 10_000),
    _integer("RateLimit.NxdomainsPerSecond", "rate_limit_nxdomains_per_second", 0, 10_000),
    _integer("RateLimit.ErrorsPerSecond", "rate_limit_errors_per_second", 0, 10_000),
    _integer("RateLimit.Window", "rate_limit_window", 1, 3600),
    _integer("RateLimit.Slip", "rate_limit_slip", 0, 10),
    _integer("RateLimit.IPv4PrefixLength", "rate_limit_ipv4_prefix_length", 1, 32),
    # Beyond 64 bits an attacker has as many prefixes as it likes.
    _integer("RateLimit.IPv6PrefixLength", "rate_limit_ipv6_prefix_length", 1, 64),
    _list("RateLimit.ExemptClients", "rate_limit_exempt_clients"),
    _switch("RateLimit.LogOnly", "rate_limit_log_only"),
    # Ten minutes: whoever has not gone elsewhere by then never will.
    _integer("LameDuckSeconds", "lame_duck_seconds", 0, 600),
    _text("LogFormat", "log_format"),
    _text("HttpTokenFile", "http_token_file"),
    _text("QueryLog.To", "query_log_to"),
    _switch("QueryLog.On", "query_log_on"),
    _list("QueryLog.Clients", "query_log_clients"),
    _list("QueryLog.Names", "query_log_names"),
    _list("QueryLog.Rcodes", "query_log_rcodes"),
    _integer("QueryLog.Sample", "query_log_sample", 1, MAX_SAMPLE),
    # A megabyte, below which files would change all the time; a terabyte.
    _integer("QueryLog.MaxOctets", "query_log_max_octets", 1024 * 1024, 1024**4),
    _switch("WebOn", "web_on"),
)


def printable(text: str) -> str:
    """`text` if it is harmless in one line of a terminal, else its escaped form in quotes."""
    return text if text.isprintable() else quoted(text, MAX_PATH)


@dataclass(frozen=True, slots=True)
class Problem:
    """A reason not to start, or something to be warned of: which key, where its value came from, what is wrong and what to do.

    `key` is "" if it is about the file as a whole, or about what is no key.
    """

    key: str
    origin: str
    message: str

    def __str__(self) -> str:
        return f"{self.key} ({self.origin}): {self.message}" if self.key else f"{self.origin}: {self.message}"


class ConfigError(Exception):
    """The configuration cannot be used; `problems` holds every reason found, at least one; `warnings` what else was found."""

    def __init__(self, problems: tuple[Problem, ...], warnings: tuple[Problem, ...] = ()) -> None:
        super().__init__(problems, warnings)
        self.problems = problems
        self.warnings = warnings

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


@dataclass(frozen=True, slots=True)
class Loaded:
    """A usable configuration, what an operator should know about it, and where each value came from.

    `origins` has an entry for every key of `KEYS`: "file PATH", "standard input", "environment NAME", "flag NAME", "default".
    """

    config: Config
    warnings: tuple[Problem, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
