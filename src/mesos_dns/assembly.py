"""From the configuration to the plain values that the parts take. Pure."""

import os

from mesos_dns.config import Config, host_and_port
from mesos_dns.dns import name as names
from mesos_dns.limits import MAX_AUTOMATIC_WORKERS
from mesos_dns.mesos.options import ClientOptions, IamAccount, SourceOptions
from mesos_dns.mesos.state import Endpoint
from mesos_dns.names import labels
from mesos_dns.names.suffixes import Rules
from mesos_dns.workers.protocol import Settings
from mesos_dns.zone.zone import Authority


def absolute(name: str) -> bytes:
    """Wire form of a configured name, spelled as given."""
    text = name.rstrip(".")
    return names.from_labels(text.encode().split(b".")) if text else names.ROOT


def authority(config: Config) -> Authority:
    """The zone's start of authority. Its minimum is `TTL`, as in Go, which ignores `SOAMinttl`."""
    return Authority(
        apex=names.from_text(config.domain),
        mname=absolute(config.soa_mname),
        rname=absolute(config.soa_rname),
        refresh=config.soa_refresh,
        retry=config.soa_retry,
        expire=config.soa_expire,
        minimum=config.ttl,
        ttl=config.ttl,
    )


def rules(config: Config) -> Rules:
    """How things are called."""
    return Rules(
        domain=names.from_text(config.domain),
        self_name=names.from_text(config.soa_mname),
        label=labels.rfc952 if config.enforce_rfc952 else labels.rfc1123,
        ip_sources=config.ip_sources,
        srv_weight=config.srv_record_default_weight,
    )


def settings(config: Config, verbosity: int, *, hold: bool) -> Settings:
    """What a worker needs to know, its sockets apart. `hold`: not to answer before it has the zone."""
    upstreams = {names.from_text(zone): [host_and_port(u) for u in us] for zone, us in config.zone_upstreams.items()}
    upstreams[names.ROOT] = [host_and_port(upstream) for upstream in config.upstreams]
    return Settings(
        zones=[authority(config)],
        recursion=config.recurse_on,
        truncate_bit=config.set_truncate_bit,
        upstreams=upstreams,
        timeout=float(config.timeout),
        listeners=[],
        verbosity=verbosity,
        hold=hold,
    )


def masters(config: Config) -> tuple[Endpoint, ...]:
    """The configured masters, in their order."""
    return tuple(Endpoint(*host_and_port(master)) for master in config.masters)


def worker_count(config: Config) -> int:
    """`Workers`, or as many as this process may use cores, at most 4; none with `DnsOn` off."""
    if not config.dns_on:
        return 0
    return config.workers or min(len(os.sched_getaffinity(0)), MAX_AUTOMATIC_WORKERS)


def source_options(config: Config) -> SourceOptions:
    """Which masters to follow, and how to talk to them."""
    basic = config.mesos_authentication == "basic"
    iam = config.iam if config.mesos_authentication == "iam" else None
    return SourceOptions(
        masters=masters(config),
        refresh_seconds=float(config.refresh_seconds),
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
    )
