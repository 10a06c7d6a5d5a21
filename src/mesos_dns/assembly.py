"""From the configuration to the plain values that the parts take: asked once, answered in one `Plan`."""

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from mesos_dns import __version__
from mesos_dns.certificates import Certificate
from mesos_dns.config import HOST_NAME, OWN_VERSION, Account, Config, access, as_json, host_and_port
from mesos_dns.dns import name as names
from mesos_dns.dns.prefixes import ClientList, Prefix
from mesos_dns.limits import MAX_IDENTITY, MAX_NAME
from mesos_dns.mesos.options import ClientOptions, IamAccount, SourceOptions, ZooKeeperOptions
from mesos_dns.mesos.state import Endpoint
from mesos_dns.names import labels
from mesos_dns.names.suffixes import Rules
from mesos_dns.names.table import REDIRECTS
from mesos_dns.query_logs import QueryLogPlan
from mesos_dns.querylog.destination import destination
from mesos_dns.querylog.selection import Selection, rcode_named
from mesos_dns.serve.forward.options import ForwardOptions, Upstream
from mesos_dns.serve.forward.private import zones_of
from mesos_dns.serve.ratelimit import Rates
from mesos_dns.web.trust import Token
from mesos_dns.workers.protocol import CookieSecrets, Settings
from mesos_dns.zone.zone import Authority

#: Workers if the configuration names no number: more cores than that are better used by replicas.
MAX_AUTOMATIC_WORKERS: Final = 4


class Address(NamedTuple):
    """What a server listens on: an address, for HTTP also a host name or "" for every address; and a port, 0 for any free one."""

    host: str
    port: int


class Place(NamedTuple):
    """A port that a start binds, of `key` in the configuration: an address, and what is served there, in words."""

    key: str
    what: str
    kind: socket.SocketKind
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'UDP' if self.kind == socket.SOCK_DGRAM else 'TCP'} {host}:{self.port}"


class Shown(msgspec.Struct, frozen=True):
    """What the HTTP API shows of the configuration.

    `domain` has no dot at the end; `mname` and `rname` have one. `effective` is the object of `GET /v1/config`, in its order,
    without secrets; its `SOASerial` is 0.
    """

    domain: str
    mname: str
    rname: str
    refresh_seconds: int
    enumeration_on: bool
    effective: Mapping[str, Any]

    def config_json(self, serial: int) -> dict[str, Any]:
        """`effective` with the serial of the zone as it is now."""
        return {**self.effective, "SOASerial": serial}


class Plan(msgspec.Struct, frozen=True):
    """Everything that the program does under one configuration, as plain values. Two equal plans mean the same program.

    `zones` are those of which this server is the authority; the first is that of the Mesos domain. `naming` says how things are
    called, `grace` how many seconds what a change of master hid is held (None: as long as the masters' flags say), `source` which masters are read and how. `dns` is where DNS is served by `workers` processes (0: not at all; the
    address is then still that of this server's own name), `tls_port` the port of the same address for DNS over TLS (None: not served), `worker`
    what each of them is told, its sockets, `hold` and what `certificate` holds apart. `http` is where the HTTP API is served, and `https` where over TLS, None if it is not;
    `doh` says whether they answer DNS, too, `page` whether they show the page, `http_clients` who may use them, and `http_token` what shows that somebody may see what tells about clients. `lame_duck` are the seconds for which all is served on after SIGTERM. `query_log` is what the program logs of who asks what. `certificate` is for all that is served over TLS, None if nothing is. `account` is whom the processes
    are, None for whoever started them; with `guarded` others of that user must not look into control, which holds secrets.
    """

    zones: tuple[Authority, ...]
    naming: Rules
    grace: float | None
    source: SourceOptions
    dns: Address
    tls_port: int | None
    workers: int
    worker: Settings
    http: Address | None
    http_clients: ClientList
    http_token: Token
    https: Address | None
    doh: bool
    page: bool
    lame_duck: float
    query_log: QueryLogPlan
    account: Account | None
    guarded: bool
    shown: Shown
    certificate: Certificate | None

    @property
    def places(self) -> tuple[Place, ...]:
        """What a start binds, but for ports that the system chooses."""
        udp, tcp = socket.SOCK_DGRAM, socket.SOCK_STREAM
        found = []
        if self.workers:
            found = [Place("Port", "DNS", kind, *self.dns) for kind in (udp, tcp)]
            found.append(Place("TlsPort", "DNS over TLS", tcp, self.dns.host, self.tls_port or 0))
        for key, what, address in (("HttpPort", "HTTP", self.http), ("HttpsPort", "HTTPS", self.https)):
            if address is not None:
                # For Go and us no host means every address.
                found.append(Place(key, what, tcp, address.host or "0.0.0.0", address.port))  # noqa: S104 - see above
        return tuple(place for place in found if place.port)

    def differs_in_certificate_alone(self, other: "Plan") -> bool:
        """Whether the other plan is this one with another certificate: then nothing has to be begun anew."""
        return self != other and self == msgspec.structs.replace(other, certificate=self.certificate)


def plan(config: Config, *, verbosity: int = 0, cores: int | None = None, asks_itself: bool = False) -> Plan:
    """The plan of `config`. Workers log with `verbosity`; `cores` are those that this process may use, None to ask the system.

    With `asks_itself` control has questions of its own for workers, not only those of DNS over HTTPS.
    """
    return Plan(
        zones=(authority(config),),
        naming=rules(config),
        grace=float(config.failover_grace_seconds) or None,
        source=source_options(config),
        dns=Address(config.listener, config.port),
        tls_port=config.tls_port if config.tls_on and config.dns_on else None,
        workers=worker_count(config, cores),
        worker=msgspec.structs.replace(
            settings(config, verbosity, hold=False, cores=cores),
            questions=config.doh_on or asks_itself,
            log_json=config.log_format == "json",
        ),
        http=Address(config.http_listener, config.http_port) if config.http_on else None,
        http_clients=client_list(config.allow_http),
        http_token=Token(config.http_token),
        https=Address(config.http_listener, config.https_port) if config.https_on else None,
        doh=config.doh_on,
        page=config.web_on,
        lame_duck=float(config.lame_duck_seconds),
        query_log=query_log(config),
        certificate=config.certificate,
        account=config.account,
        guarded=config.has_secrets,
        shown=Shown(
            domain=config.domain,
            mname=config.soa_mname,
            rname=config.soa_rname,
            refresh_seconds=config.refresh_seconds,
            enumeration_on=config.enumeration_on,
            effective=as_json(config, 0),
        ),
    )


def absolute(name: str) -> bytes:
    """Wire form of a configured name, spelled as given."""
    text = name.rstrip(".")
    return names.from_labels(text.encode().split(b".")) if text else names.ROOT


def authority(config: Config) -> Authority:
    """The zone's start of authority. Its minimum is `TTL`, as in Go, which ignores `SOAMinttl`."""
    apex = names.from_text(config.domain)
    return Authority(
        apex=apex,
        mname=absolute(config.soa_mname),
        rname=absolute(config.soa_rname),
        refresh=config.soa_refresh,
        retry=config.soa_retry,
        expire=config.soa_expire,
        minimum=config.ttl,
        ttl=config.ttl,
        redirects=tuple(
            (_below(one, apex), _below(other, apex))
            for one, other in REDIRECTS
            if len(apex) + max(len(one), len(other)) < MAX_NAME
        ),
    )


def _below(label: str, apex: bytes) -> bytes:
    return bytes((len(label),)) + label.encode() + apex


def rules(config: Config) -> Rules:
    """How things are called."""
    return Rules(
        domain=names.from_text(config.domain),
        self_name=names.from_text(config.soa_mname),
        label=labels.rfc952 if config.enforce_rfc952 else labels.rfc1123,
        ip_sources=config.ip_sources,
        srv_weight=config.srv_record_default_weight,
        health_aware=config.health_aware,
    )


def settings(config: Config, verbosity: int, *, hold: bool, cores: int | None = None) -> Settings:
    """What a worker needs to know, its sockets and the key of its probes apart. `hold`: not to answer before it has the zone."""
    upstreams = {names.from_text(zone): [Upstream(*u) for u in us] for zone, us in config.zone_upstreams.items()}
    upstreams[names.ROOT] = [Upstream(*upstream) for upstream in config.upstreams]
    return Settings(
        zones=[authority(config)],
        recursion=config.recurse_on,
        truncate_bit=config.set_truncate_bit,
        forward=ForwardOptions(
            upstreams=upstreams,
            timeout=float(config.timeout),
            policy=config.forward_policy,
            ask_next_on_failure=config.ask_next_on_failure,
            cache_octets=config.cache_octets,
            cache_min_ttl=config.cache_min_ttl,
            cache_max_ttl=config.cache_max_ttl,
            stale_seconds=float(config.cache_stale_seconds),
            trusted=[Upstream(*each) for each in config.trusted_upstreams],
            private=list(zones_of(config.private_zones)) if config.external_on else [],
            non_recursive=config.forward_non_recursive,
            ca_file=config.forward_ca_file if config.external_on else "",
            mixed_case=config.forward_mixed_case,
        ),
        listeners=[],
        verbosity=verbosity,
        hold=hold,
        cookies=CookieSecrets([bytes.fromhex(each) for each in config.cookie_secrets]) if config.cookies_on else None,
        server_id=server_id(config),
        version=f"Mesos-DNS {__version__}".encode()
        if config.server_version == OWN_VERSION
        else config.server_version.encode(),
        minimal_any=config.minimal_any,
        allow_query=client_list(config.allow_query),
        allow_recursion=client_list(config.allow_recursion),
        rates=rates(config, cores),
    )


def query_log(config: Config) -> QueryLogPlan:
    """Where the query log goes, and what is in it."""
    return QueryLogPlan(
        destination=destination(config.query_log_to) if config.query_log_to else None,
        on=config.query_log_on,
        selection=selection(
            config.query_log_clients, config.query_log_names, config.query_log_rcodes, config.query_log_sample
        ),
        most_octets=config.query_log_max_octets,
    )


def selection(clients: Sequence[str], owners: Sequence[str], rcodes: Sequence[str], sample: int) -> Selection:
    """Which answers are in a query log, of texts that are right."""
    return Selection(
        clients=client_list(clients) if clients else ClientList(),
        names=tuple(names.from_text(owner) for owner in owners),
        rcodes=tuple(rcode_named(rcode) for rcode in rcodes),
        sample=sample,
    )


def client_list(texts: Sequence[str]) -> ClientList:
    """A list of clients as it is configured."""
    entries = [access.entry(text) for text in texts]
    allowed, excluded = (
        tuple(Prefix(*prefix) for entry in entries if entry.excludes is excludes for prefix in entry.prefixes)
        for excludes in (False, True)
    )
    return ClientList(
        allowed=allowed,
        excluded=excluded,
        local=any(entry.local and not entry.excludes for entry in entries),
        not_local=any(entry.local and entry.excludes for entry in entries),
    )


def rates(config: Config, cores: int | None = None) -> Rates | None:
    """How often the same may be said over UDP; None if that is not limited. Workers share the rates evenly."""
    responses = config.rate_limit_responses_per_second
    if not responses:
        return None
    return Rates(
        responses=responses,
        nxdomains=config.rate_limit_nxdomains_per_second or responses,
        errors=config.rate_limit_errors_per_second or responses,
        share=1 / max(1, worker_count(config, cores)),
        window=config.rate_limit_window,
        slip=config.rate_limit_slip,
        ipv4=config.rate_limit_ipv4_prefix_length,
        ipv6=config.rate_limit_ipv6_prefix_length,
        exempt=client_list(config.rate_limit_exempt_clients),
        log_only=config.rate_limit_log_only,
    )


def server_id(config: Config) -> bytes:
    """What this server calls itself; empty if it does not say."""
    if config.server_id != HOST_NAME:
        return config.server_id.encode()
    return socket.gethostname().encode("utf-8", "replace")[:MAX_IDENTITY]


def masters(config: Config) -> tuple[Endpoint, ...]:
    """The configured masters, in their order."""
    return tuple(Endpoint(*host_and_port(master)) for master in config.masters)


def worker_count(config: Config, cores: int | None = None) -> int:
    """`Workers`, or one for each core that this process may use, at most 4; none with `DnsOn` off."""
    if not config.dns_on:
        return 0
    return config.workers or min(cores or len(os.sched_getaffinity(0)), MAX_AUTOMATIC_WORKERS)


def source_options(config: Config) -> SourceOptions:
    """Which masters to follow, and how to talk to them."""
    basic = config.mesos_authentication == "basic"
    iam = config.iam if config.mesos_authentication == "iam" else None
    return SourceOptions(
        masters=masters(config),
        refresh_seconds=float(config.refresh_seconds),
        follow=config.mesos_source,
        reconcile_seconds=float(config.reconcile_seconds),
        client=ClientOptions(
            https=config.mesos_https_on,
            ca_file=config.ca_cert_file,
            cert_file=config.cert_file,
            key_file=config.key_file,
            principal=config.mesos_principal if basic else "",
            secret=config.mesos_secret if basic else "",
            iam=IamAccount(iam.uid, iam.private_key, iam.login_endpoint) if iam is not None else None,
            timeout=float(config.state_timeout_seconds),
        ),
        zookeeper=zookeeper_options(config),
    )


def zookeeper_options(config: Config) -> ZooKeeperOptions | None:
    """The ZooKeeper that names the masters; None without."""
    ensemble = config.ensemble
    if ensemble is None:
        return None
    return ZooKeeperOptions(
        servers=tuple(Endpoint(*host_and_port(server)) for server in ensemble.servers),
        path=ensemble.path,
        credentials=ensemble.credentials,
        detection_timeout=float(max(config.zk_detection_timeout, 0)),
    )
