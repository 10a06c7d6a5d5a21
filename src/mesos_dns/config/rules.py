"""What must hold between and inside values of the right type. Pure, but for what `loops` is given to ask.

A rule takes the values by key name and yields findings: the key that is wrong, why, and any other keys
without which nothing can be said. Rules are those of Mesos-DNS 0.7 in its order; where we are stricter
or milder, the rule says so.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from mesos_dns.config import access, addresses, identity, query_log
from mesos_dns.config.addresses import Unfit, ip
from mesos_dns.config.findings import Finding, Values, one_of
from mesos_dns.config.values import IamAccount
from mesos_dns.quoting import quoted

#: What looks like an IPv4 address.
_DIGITS: Final = re.compile(r"[0-9.]+", re.ASCII)
FORWARD_POLICIES: Final = ("sequential", "fastest", "random")
LOG_FORMATS: Final = ("text", "json")
IP_SOURCES: Final = ("host", "docker", "mesos", "netinfo", "auto")

#: The wildcard addresses.
ANY_4: Final = "0.0.0.0"  # noqa: S104 - compared, not bound
ANY_6: Final = "::"
IAM_MEMBERS: Final = 'an IAMConfigFile with non-empty "uid", "private_key" and "login_endpoint"'


def _servers(values: Values) -> Iterator[Finding]:
    if not values["DnsOn"] and not values["HttpOn"] and not values["HttpsOn"]:
        yield "DnsOn", "DnsOn and HttpOn are both false, nothing would be served; set at least one of them to true"


def cluster(values: Values) -> Iterator[Finding]:
    """Somebody must be asked."""
    if not values["Masters"] and not values["Zk"]:
        message = (
            'no Mesos masters are given; list them, such as ["10.0.0.1:5050", "10.0.0.2:5050"], '
            "or name their ZooKeeper in Zk, such as zk://10.0.0.1:2181,10.0.0.2:2181/mesos"
        )
        yield "Masters", message


def _distinct(texts: tuple[str, ...], normal_form: Callable[[str], str]) -> Iterator[str]:
    """Complain about every text without a normal form, and about those that share one."""
    seen: dict[str, str] = {}
    for text in texts:
        try:
            normal = normal_form(text)
        except Unfit as problem:
            yield str(problem)
            continue
        if normal in seen:
            first = seen[normal]
            yield (
                f"{quoted(text)} stands more than once; remove one"
                if first == text
                else f"{quoted(text)} is the same address as {quoted(first)}; remove one of them"
            )
        seen.setdefault(normal, text)


class Listening(NamedTuple):
    """Where DNS is served: `host` in normal form ("" if it cannot be told or is nowhere), `port` 0 for any free one."""

    host: str
    port: int

    @classmethod
    def of(cls, values: Values) -> "Listening":
        """From the configuration; nowhere with `DnsOn` off."""
        return cls.at(values["Listener"], values["Port"], on=values["DnsOn"])

    @classmethod
    def at(cls, listener: str, port: int, *, on: bool) -> "Listening":
        """`listener` as configured; nowhere if DNS is not `on`."""
        return cls(ip(listener) or "" if on else "", port)

    def takes(self, address: str, local: Callable[[], frozenset[str]]) -> bool:
        """Whether what this machine sends to `address`, in normal form, arrives here.

        `local` gives the addresses of this machine. The kernel delivers to loopback what is sent to 0.0.0.0 or ::, and has
        all of 127.0.0.0/8 (RFC 1122 section 3.2.1.3); who listens on :: takes IPv4, too.
        """
        meant = {ANY_4: "127.0.0.1", ANY_6: "::1"}.get(address, address)
        if self.host == ANY_4 and ":" in meant:
            return False
        if self.host in {ANY_4, ANY_6}:
            return meant.startswith("127.") or meant == "::1" or meant in local()
        return self.host == meant


def loops(values: Values, local: Callable[[], frozenset[str]]) -> Iterator[Finding]:
    """Complain about resolvers that are this server itself.

    One question that is forwarded to oneself comes back again and again, until time or the number of questions under way is
    used up, and whole processors with it. Go starts, and its answers fail.
    """
    if not values["ExternalOn"]:
        return
    here = Listening.of(values)
    entries = [("Resolvers", "", values["Resolvers"])]
    entries += [("ZoneResolvers", f"zone {quoted(zone)}: ", servers) for zone, servers in values["ZoneResolvers"]]
    for key, where, servers in entries:
        for server in servers:
            try:
                found = addresses.resolver(server)
            except Unfit:
                continue  # said already
            over_tls = found.port == values["TlsPort"] and values["TlsOn"]
            if (found.port == here.port or over_tls) and here.takes(found.host, local):
                itself = f"this server, which listens on {here.host} port {found.port}"
                outcome = "it would ask itself without end"
                if bool(found.tls_name) != (found.port != here.port):
                    outcome = "it does not speak TLS" if found.tls_name else "it speaks nothing but TLS there"
                message = f"{quoted(server)} leads back to {itself}: {outcome}; name another resolver"
                yield key, where + message, "Listener", "Port", "DnsOn", "TlsOn", "TlsPort"


class _Port(NamedTuple):
    """A TCP port that is served: the keys that say where, what is spoken there, and the key that turns it on."""

    key: str
    listener: str
    what: str
    switch: str


#: In the order in which they are bound: the later of two that clash is to be altered.
_PORTS: Final = (
    _Port("Port", "Listener", "DNS over TCP", "DnsOn"),
    _Port("TlsPort", "Listener", "DNS over TLS", "TlsOn"),
    _Port("HttpPort", "HTTPListener", "HTTP", "HttpOn"),
    _Port("HttpsPort", "HTTPListener", "HTTPS", "HttpsOn"),
)


def _one_port(values: Values) -> Iterator[Finding]:
    """What is served over TCP needs a port of its own on each address. A host name is an address of this machine."""
    for one, other in combinations(_PORTS, 2):
        port = values[one.key]
        if not (port and port == values[other.key] and values[one.switch] and values[other.switch]):
            continue
        if one.listener == other.listener:
            clash = "on the same address"
        elif _meet(ip(values[one.listener]) or "", _http_host(values)):
            shown = values[other.listener] or ANY_4
            clash = f"and {other.listener} ({shown}) and {one.listener} ({ip(values[one.listener])}) have an address in common"
        else:
            continue
        message = (
            f"is {port}, as {one.key} is, {clash}: {one.what} and {other.what} cannot share it; set another {other.key}"
        )
        yield other.key, message, one.key, one.listener, other.listener, one.switch, other.switch


def _http_host(values: Values) -> str:
    return ip(values["HTTPListener"] or ANY_4) or ("127.0.0.1" if values["HTTPListener"] == "localhost" else "")


def _meet(dns: str, http: str) -> bool:
    """Whether two listening addresses, in normal form or "" if unknown, have one in common."""
    return bool(dns) and (
        dns == http
        or ANY_6 in {dns, http}  # takes IPv4, too
        or (dns == ANY_4 and ":" not in http)
        or (http == ANY_4 and ":" not in dns)
    )


def serves_tls(values: Values) -> bool:
    """Whether anything is served over TLS, so that a certificate is needed."""
    return bool(values["TlsOn"] or values["HttpsOn"])


def _encrypted(values: Values) -> Iterator[Finding]:
    """DNS over TLS and over HTTPS are answered by the workers, and need a certificate."""
    for key in ("TlsOn", "DohOn"):
        if values[key] and not values["DnsOn"]:
            yield (
                key,
                "is true, but DnsOn is false: the processes that answer DNS do not run; set DnsOn to true",
                "DnsOn",
            )
    if values["DohOn"] and not (values["HttpOn"] or values["HttpsOn"]):
        yield "DohOn", "is true, but neither HttpsOn nor HttpOn is; set HttpsOn to true", "HttpOn", "HttpsOn"
    if serves_tls(values):
        switch = "TlsOn" if values["TlsOn"] else "HttpsOn"
        for key, what in (("TlsCertFile", "certificate"), ("TlsKeyFile", "private key")):
            if not values[key]:
                yield key, f"is missing, but {switch} is true; name the PEM file with the {what} of this server", switch


def _masters(values: Values) -> Iterator[Finding]:
    for message in _distinct(values["Masters"], addresses.master):
        yield "Masters", message


def _odd_masters(masters: tuple[str, ...]) -> Iterator[str]:
    """Warn of masters that Go took for different ones, or for others than meant. They do no harm beyond a second number."""
    seen: dict[tuple[str, int], str] = {}
    for text in masters:
        try:
            host, port = addresses.host_and_port(text)
        except Unfit:
            continue  # a problem of its own
        address = ip(host)
        if address is None and _DIGITS.fullmatch(host):
            yield f"{quoted(text)} has a host of digits that is no IPv4 address as it stands; write it without leading zeros"
        plain = address or host.lower().removesuffix(".")
        first = seen.setdefault((plain, port), text)
        if address is None and first != text:
            yield f"{quoted(text)} is the same master as {quoted(first)}; remove one of them"


def _place(text: str) -> str:
    return addresses.resolver(text).place


def _resolvers(values: Values) -> Iterator[Finding]:
    if values["ExternalOn"]:
        for message in _distinct(values["Resolvers"], _place):
            yield "Resolvers", message


def _zone_resolvers(values: Values) -> Iterator[Finding]:
    """Zones are compared in lower case; Go compared their spelling, and a capital never matched a query."""
    if not values["ExternalOn"]:
        return
    zones: dict[str, str] = {}
    for zone, resolvers in values["ZoneResolvers"]:
        try:
            addresses.check_domain(zone)
        except Unfit as problem:
            yield "ZoneResolvers", f"zone {problem}"
            continue
        if not resolvers:
            yield "ZoneResolvers", f"zone {quoted(zone)} has no resolvers; name at least one, or remove the zone"
        for message in _distinct(resolvers, _place):
            yield "ZoneResolvers", f"zone {quoted(zone)}: {message}"
        if zone.lower() in zones:
            yield "ZoneResolvers", f"zones {quoted(zones[zone.lower()])} and {quoted(zone)} are the same; join them"
        zones.setdefault(zone.lower(), zone)
    yield from _overlaps(zones, values["Domain"].lower())


def _trusted_resolvers(values: Values) -> Iterator[Finding]:
    if values["ExternalOn"]:
        for message in _distinct(values["TrustedResolvers"], _place):
            yield "TrustedResolvers", message


def _private_zones(values: Values) -> Iterator[Finding]:
    """Zones, or the word for the usual ones, which has the form of a zone."""
    if not values["ExternalOn"]:
        return
    seen: set[str] = set()
    for zone in values["PrivateZones"]:
        try:
            addresses.check_domain(zone)
        except Unfit as problem:
            yield "PrivateZones", f"zone {problem}"
        if zone.lower() in seen:
            yield "PrivateZones", f"zone {quoted(zone)} stands more than once; remove one"
        seen.add(zone.lower())


def _overlaps(zones: Mapping[str, str], domain: str) -> Iterator[Finding]:
    """No zone may lie inside another, nor inside, on or above the Mesos domain."""
    above_domain = addresses.parents(domain)
    for zone, spelled in zones.items():
        above = addresses.parents(zone)
        relation = None
        if zone == domain:
            relation = "is the Mesos domain, which is answered here"
        elif domain in above:
            relation = f"lies inside the Mesos domain {quoted(domain)}, which is answered here"
        elif zone in above_domain:
            relation = f"holds the Mesos domain {quoted(domain)}"
        if relation:
            yield "ZoneResolvers", f"zone {quoted(spelled)} {relation}; remove it", "Domain"
        masking = next((parent for parent in above if parent in zones), None)
        if masking is not None:
            relation = f"lies inside zone {quoted(zones[masking])}, so it is unclear who is asked"
            yield "ZoneResolvers", f"zone {quoted(spelled)} {relation}; remove one of them"


def _ip_sources(values: Values) -> Iterator[Finding]:
    known = ", ".join(IP_SOURCES)
    if not values["IPSources"]:
        yield "IPSources", f"is empty, no task would have an address; name some of {known}"
    seen = set()
    for source in values["IPSources"]:
        if source not in IP_SOURCES:
            yield "IPSources", f"{quoted(source)} is not a source of addresses; expected some of {known}"
        elif source in seen:
            yield "IPSources", f"{quoted(source)} stands more than once; remove one"
        seen.add(source)


def _fits(key: str, check: Callable[[str], object]) -> Callable[[Values], Iterator[Finding]]:
    def rule(values: Values) -> Iterator[Finding]:
        try:
            check(values[key])
        except Unfit as problem:
            yield key, str(problem)

    return rule


def _client_certificate(values: Values) -> Iterator[Finding]:
    if values["CertFile"] and not values["KeyFile"]:
        yield "KeyFile", "is missing, but CertFile is set; a client certificate needs both"
    if values["KeyFile"] and not values["CertFile"]:
        yield "CertFile", "is missing, but KeyFile is set; a client certificate needs both"


def _authentication(values: Values) -> Iterator[Finding]:
    match values["MesosAuthentication"]:
        case "" | "iam":
            return
        case "basic":
            if not values["MesosCredentials.Principal"] and not values["MesosCredentials.Secret"]:
                yield (
                    "MesosAuthentication",
                    'is "basic", which needs MesosCredentials with a Principal or a Secret; set them, or use ""',
                    "MesosCredentials.Principal",
                    "MesosCredentials.Secret",
                )
        case other:
            yield "MesosAuthentication", f'{quoted(other)} is unknown; expected "", "basic" or "iam" in lower case'


def _account(values: Values) -> Iterator[Finding]:
    if values["Group"] and not values["User"]:
        yield "Group", "has no effect without User; name the user, too"


def _source(values: Values) -> Iterator[Finding]:
    yield from one_of(values, "MesosSource", ("auto", "events", "polling"))


def _log(values: Values) -> Iterator[Finding]:
    yield from one_of(values, "LogFormat", LOG_FORMATS)


def _forwarding(values: Values) -> Iterator[Finding]:
    yield from one_of(values, "ForwardPolicy", FORWARD_POLICIES)
    low, high = values["CacheMinTTL"], values["CacheMaxTTL"]
    if low > high:
        yield "CacheMinTTL", f"is {low}, more than CacheMaxTTL, which is {high}; make it smaller, or that one larger"


RULES: Final[tuple[Callable[[Values], Iterator[Finding]], ...]] = (
    _servers,
    _masters,
    _resolvers,
    _zone_resolvers,
    _trusted_resolvers,
    _private_zones,
    _ip_sources,
    _fits("Domain", addresses.check_domain),
    _fits("Listener", addresses.check_listener),
    _fits("HTTPListener", addresses.check_http_listener),
    _fits("SOAMname", addresses.absolute_name),
    _fits("SOARname", lambda text: addresses.absolute_name(text.replace("@", "."))),
    _one_port,
    _encrypted,
    _client_certificate,
    _authentication,
    _account,
    _source,
    _forwarding,
    identity.cookie_secrets,
    identity.what_it_says,
    identity.minimal_any,
    query_log.where,
    query_log.what,
    access.lists,
    _log,
)


def service_account(account: IamAccount | None) -> str | None:
    """Say why `MesosAuthentication` "iam" cannot work with this account, or None."""
    if account is None:
        return f'is "iam", which needs {IAM_MEMBERS}; set it, or use ""'
    if not (account.uid and account.private_key and account.login_endpoint):
        return f'is "iam", which needs {IAM_MEMBERS}; at least one of them is empty'
    if "-----BEGIN" not in account.private_key or "PRIVATE KEY-----" not in account.private_key:
        return 'is "iam", but "private_key" of the IAMConfigFile is not a private key in PEM form'
    return None


def check_login_endpoint(account: IamAccount) -> None:
    """Refuse a login endpoint that is set and no http(s) URL with a host."""
    try:
        url = urlsplit(account.login_endpoint)
        usable = url.scheme in {"http", "https"} and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        usable = False
    if account.login_endpoint and not usable:
        raise Unfit('has a "login_endpoint" that is not an http:// or https:// URL')


def name_servers(resolv_conf: str, local: frozenset[str], here: Listening) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name servers of a resolv.conf text that can be forwarders, and warnings about the others.

    `local` are the addresses of this host in normal form; those are left out, as in Go, and whatever else leads back here.
    So are duplicates and unusable ones (with a scope: `fe80::1%eth0`), with which Go refused to start.
    """
    found: dict[str, str] = {}
    warnings = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        address = ip(words[1])
        if address is None:
            warnings.append(f"name server {quoted(words[1])} is not a plain IP address, ignored")
        elif (
            address not in local
            and address not in {ANY_4, ANY_6}
            and not (here.port == 53 and here.takes(address, lambda: local))
        ):
            found.setdefault(address, words[1])
    return tuple(found.values()), tuple(warnings)


def _forwarding_advice(values: Values) -> Iterator[Finding]:
    if not values["Resolvers"]:
        yield "Resolvers", "no name server is left to forward to; names outside the served zones will be REFUSED"
    resolvers = list(values["Resolvers"])
    for _, servers in values["ZoneResolvers"]:
        resolvers += servers
    # A problem elsewhere may have left what is no address.
    asked = {_server(each) for each in resolvers}
    for each in values["TrustedResolvers"]:
        if _server(each) not in asked:
            yield "TrustedResolvers", f"{quoted(each)} has no effect: it is not among Resolvers or ZoneResolvers"
    if values["ForwardCAFile"] and not any(isinstance(each, addresses.Resolver) and each.tls_name for each in asked):
        yield (
            "ForwardCAFile",
            "has no effect: none of Resolvers or ZoneResolvers is asked over TLS (tls://ADDRESS#NAME)",
        )


def _server(text: str) -> addresses.Resolver | str:
    try:
        return addresses.resolver(text)
    except Unfit:
        return text


def _encryption_advice(values: Values) -> Iterator[Finding]:
    if serves_tls(values):
        return
    for key in ("TlsCertFile", "TlsKeyFile"):
        if values[key]:
            yield key, "has no effect: neither TlsOn nor HttpsOn is true"


def advice(values: Values) -> Iterator[Finding]:
    """Point out what works, but perhaps not as the operator thinks."""
    for key in ("ReverseDnsOn", "ResolvSubnetFirst"):
        if values[key]:
            yield key, "is not implemented in this release and has no effect yet"
    if values["MesosHTTPSOn"] and not values["CACertFile"]:
        yield (
            "MesosHTTPSOn",
            "without CACertFile the masters' certificates are not verified, as in Go; set CACertFile to verify them",
        )
    if not values["MesosAuthentication"]:
        for key in ("MesosCredentials.Principal", "MesosCredentials.Secret", "IAMConfigFile"):
            if values[key]:
                yield key, 'has no effect, because MesosAuthentication is ""; set it to "basic" or "iam"'
    if values["CookieSecrets"] and not values["CookiesOn"]:
        yield "CookieSecrets", "has no effect, because CookiesOn is false"
    for message in _odd_masters(values["Masters"]):
        yield "Masters", message
    yield from _encryption_advice(values)
    if values["ExternalOn"]:
        yield from _forwarding_advice(values)
    yield from _rate_limit_advice(values)


def _rate_limit_advice(values: Values) -> Iterator[Finding]:
    if not values["RateLimit.ResponsesPerSecond"]:
        for key in ("NxdomainsPerSecond", "ErrorsPerSecond", "ExemptClients", "LogOnly"):
            if values[f"RateLimit.{key}"]:
                message = "has no effect, because RateLimit.ResponsesPerSecond is 0; set it to limit responses"
                yield f"RateLimit.{key}", message
