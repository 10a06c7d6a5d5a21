"""The configuration: a file and the environment in, one frozen `Config` or every problem out.

    loaded = load("/etc/mesos-dns/config.json", os.environ)

`interpret` is the same for octets that are already there; apart from what it asks of its `Host` it is a
pure function. The parts: `config.values` (what a configuration is, the table of keys), `config.json`
and `config.layers` (reading), `config.rules` and `config.addresses` (judging), `config.host` (this machine).
`docs/configuration.md` describes every key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mesos_dns.certificates import Certificate, KeyPair
from mesos_dns.config import rules, zookeeper
from mesos_dns.config.addresses import Unfit, absolute_name, host_and_port
from mesos_dns.config.host import Host, ThisHost, reason
from mesos_dns.config.json import clean, parse_iam
from mesos_dns.config.layers import Layer, from_environ, from_file
from mesos_dns.config.system_resolvers import RESOLV_CONF
from mesos_dns.config.token import token_of
from mesos_dns.config.values import (
    HOST_NAME,
    KEYS,
    OWN_VERSION,
    Account,
    Config,
    ConfigError,
    IamAccount,
    Key,
    Loaded,
    Problem,
    printable,
)

__all__ = [
    "HOST_NAME",
    "KEYS",
    "OWN_VERSION",
    "Account",
    "Config",
    "ConfigError",
    "Host",
    "IamAccount",
    "Key",
    "Layer",
    "Loaded",
    "Problem",
    "as_json",
    "host_and_port",
    "interpret",
    "load",
]

#: In the place of a path: the configuration comes from standard input.
STANDARD_INPUT: Final = "-"
#: Problems, and warnings, of one configuration that are reported; the rest is counted. Nobody mends more
#: of them in one go, and a damaged file could have as many as it has values.
MAX_PROBLEMS: Final = 100

#: Files that name one another in the place of the value of `Zk`, which the Go program followed without end.
MAX_ZK_FILES: Final = 4


def load(
    path: str | None,
    environ: Mapping[str, str],
    *,
    flags: Layer | None = None,
    needs_masters: bool = True,
    host: Host | None = None,
) -> Loaded:
    """Read the file at `path` (None: no file, "-": standard input) and the variables of `environ`; `flags` beat both.

    The first `~/` in `path` means the home directory that `environ` names. Without `needs_masters` there may be none.
    Raises `ConfigError`.
    """
    host = host or ThisHost()
    over = (from_environ(environ, host.read), flags or Layer())
    if path is None:
        return _judge((Layer(), *over), "", host, needs_masters=needs_masters)
    absolute = _expanded(path, environ)
    try:
        file = from_file(host.read(absolute), _file_origin(absolute))
    except OSError as error:
        file = Layer(complete=False)
        file.refuse("", _file_origin(absolute), f"cannot be read: {reason(error)}; {_advice_for(error)}")
    return _judge((file, *over), path, host, needs_masters=needs_masters)


def interpret(data: bytes, path: str, environ: Mapping[str, str], host: Host) -> Loaded:
    """Judge the file content `data`, which stood at `path`, and the variables of `environ`.

    Asks `host` only for files and facts that the configuration points to. Raises `ConfigError`.
    """
    file = from_file(data, _file_origin(_expanded(path, environ)))
    return _judge((file, from_environ(environ, host.read)), path, host, needs_masters=True)


def as_json(config: Config, soa_serial: int) -> dict[str, object]:
    """Give the object of `GET /v1/config`: effective values in Go's order, without secrets.

    Zones are sorted, as Go sorts maps.
    """
    shown: dict[str, Any] = {}
    for key in KEYS:
        outer, _, member = key.name.partition(".")
        value = _shown(config, key, soa_serial)
        if member:
            shown.setdefault(outer, {})[member] = value
        else:
            shown[outer] = value
    return shown


def _shown(config: Config, key: Key, soa_serial: int) -> object:
    if not key.field:
        return soa_serial
    value = getattr(config, key.field)
    if key.secret and key.kind == "strings":
        return [zookeeper.REDACTED for _ in value]
    if key.secret:
        return zookeeper.REDACTED if value else ""
    match key.kind:
        case "strings":
            return list(value)
        case "zones":
            return {zone: list(resolvers) for zone, resolvers in sorted(value)}
    return zookeeper.redacted(value) if key.name == "Zk" else value


# --- the file's place --------------------------------------------------------------------------


def _expanded(path: str, environ: Mapping[str, str]) -> str:
    if path == STANDARD_INPUT:
        return path
    home = environ.get("USERPROFILE") or environ.get("HOME")
    if home and "~/" in path:
        path = path.replace("~/", f"{home}/", 1)
    return str(Path(path).absolute())


def _file_origin(path: str) -> str:
    return "standard input" if path == STANDARD_INPUT else f"file {printable(path)}"


def _advice_for(error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return "give the path of the configuration file with -config=PATH"
        case PermissionError():
            return "let the user that runs Mesos-DNS read it"
    return "is this the right path?"


# --- judging -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Draft:
    """A configuration in the making: effective values by key name, and what is to be said about them."""

    values: dict[str, Any]
    origins: dict[str, str]
    #: Keys whose value is not what the operator wrote, so that nothing more can be said about it.
    unsure: frozenset[str]
    problems: list[Problem]
    warnings: list[Problem]
    iam: IamAccount | None = None
    ensemble: zookeeper.Ensemble | None = None
    certificate: Certificate | None = None
    http_token: str = ""
    account: Account | None = None
    system_resolvers: bool = False
    flawed: set[str] = field(default_factory=set)

    def refuse(self, key: str, message: str, *others: str) -> None:
        """Record a problem, unless its value or one of the others that it depends on is a stand-in."""
        self.flawed.add(key)
        if self.unsure.isdisjoint((key, *others)):
            self.problems.append(Problem(key, self.origins.get(key, "default"), message))


def _judge(layers: tuple[Layer, ...], path: str, host: Host, *, needs_masters: bool) -> Loaded:
    draft = _combined(layers, path)
    for rule in rules.RULES:
        for finding in rule(draft.values):
            draft.refuse(*finding)
    for check in (
        *(_find_masters, _find_resolvers, _check_loops, _check_tls, _read_certificate),
        *(_read_token, _check_service_account, _find_account),
    ):
        check(draft, host)
    if needs_masters:
        for finding in rules.cluster(draft.values):
            draft.refuse(*finding)
    unsure = draft.unsure | draft.flawed
    advice = [
        Problem(key, draft.origins[key], message) for key, message in rules.advice(draft.values) if key not in unsure
    ]
    warnings = _bounded((*advice, *draft.warnings), "warnings")  # advice first: it must not be what is cut off
    if draft.problems:
        raise ConfigError(_bounded(tuple(draft.problems), "problems; mend these first"), warnings)
    return Loaded(_finished(draft), warnings, draft.origins)


def _bounded(found: tuple[Problem, ...], what: str) -> tuple[Problem, ...]:
    more = len(found) - MAX_PROBLEMS
    return found if more <= 0 else (*found[:MAX_PROBLEMS], Problem("", "configuration", f"{more} more {what}"))


def _combined(layers: tuple[Layer, ...], path: str) -> _Draft:
    """Lay the layers, the lowest first, over the defaults."""
    values: dict[str, Any] = {key.name: key.default for key in KEYS} | {"File": clean(path)}
    origins = dict.fromkeys((key.name for key in KEYS), "default")
    unsure: frozenset[str] = frozenset()
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for layer in layers:
        values |= layer.values
        origins |= layer.origins
        unsure |= layer.refused
        problems += layer.problems
        warnings += layer.warnings
    unsure |= {key.name for key in KEYS if key.name.partition(".")[0] in unsure}
    if not all(layer.complete for layer in layers):
        unsure |= {name for name, origin in origins.items() if origin == "default"}
    return _Draft(values, origins, unsure, problems, warnings)


def _find_masters(draft: _Draft, host: Host) -> None:
    """What `Zk` names: a ZooKeeper, or, as with Go, one more master."""
    text = draft.values["Zk"]
    if not text:
        return
    try:
        found = zookeeper.parse(_content_of(text, host))
    except Unfit as problem:
        draft.refuse("Zk", str(problem))
        return
    if isinstance(found, zookeeper.Ensemble):
        draft.ensemble = found
        return
    masters = draft.values["Masters"]
    if found not in masters:
        draft.values["Masters"] = (found, *masters)
    message = "is no zk:// URL: the master that it names is asked like those of Masters; list it there instead"
    draft.warnings.append(Problem("Zk", draft.origins["Zk"], message))


def _content_of(text: str, host: Host) -> str:
    """The value of `Zk` itself, read from the file that it names."""
    for _ in range(MAX_ZK_FILES):
        path = zookeeper.file_of(text.strip())
        if path is None:
            return text
        try:
            text = host.read(path).decode()
        except OSError as error:
            raise Unfit(f"names the file {printable(path)}, which cannot be read: {reason(error)}") from None
        except UnicodeDecodeError:
            raise Unfit(f"names the file {printable(path)}, which is no text in UTF-8") from None
    raise Unfit(
        f"names a file that names a file, and so on: more than {MAX_ZK_FILES}; write a zk:// URL into the first"
    )


def _find_resolvers(draft: _Draft, host: Host) -> None:
    """No resolvers, on purpose: those of this machine, except this machine itself."""
    if not draft.values["ExternalOn"] or draft.values["Resolvers"] or "Resolvers" in draft.unsure:
        return
    try:
        text = host.read(RESOLV_CONF).decode("utf-8", errors="replace")
    except OSError as error:
        draft.refuse("Resolvers", f"is empty, and {RESOLV_CONF} cannot be read: {reason(error)}; name the resolvers")
        return
    draft.system_resolvers = True
    local = host.addresses()
    draft.values["Resolvers"], ignored = rules.name_servers(text, local, rules.Listening.of(draft.values))
    draft.origins["Resolvers"] = f"{RESOLV_CONF}, as Resolvers is empty in {draft.origins['Resolvers']}"
    draft.warnings.extend(Problem("", RESOLV_CONF, message) for message in ignored)


def _check_loops(draft: _Draft, host: Host) -> None:
    """Nobody may be asked who would ask this server in turn: itself."""
    for finding in rules.loops(draft.values, host.addresses):
        draft.refuse(*finding)


def _check_tls(draft: _Draft, host: Host) -> None:
    for key in ("CACertFile", "ForwardCAFile") if draft.values["ExternalOn"] else ("CACertFile",):
        ca_file = draft.values[key]
        try:
            if ca_file:
                host.check_trust(ca_file)
        except Unfit as problem:
            draft.refuse(key, f"{printable(ca_file)} {problem}")
    cert_file, key_file = draft.values["CertFile"], draft.values["KeyFile"]
    try:
        if cert_file and key_file:
            host.check_pair(cert_file, key_file)
    except Unfit as problem:
        draft.refuse("CertFile", f"{printable(cert_file)} {problem}")


def _read_certificate(draft: _Draft, host: Host) -> None:
    """Read this server's certificate and key, once: nobody reads these files again before the next reload."""
    files = {key: draft.values[key] for key in ("TlsCertFile", "TlsKeyFile")}
    if not rules.serves_tls(draft.values) or not all(files.values()):
        return
    read = {}
    for key, path in files.items():
        try:
            read[key] = host.read(path)
        except OSError as error:
            advice = "; let the user that runs Mesos-DNS read it" if isinstance(error, PermissionError) else ""
            draft.refuse(key, f"{printable(path)} cannot be read: {reason(error)}{advice}")
    if len(read) < len(files) or not draft.unsure.isdisjoint(files):
        return
    pair = KeyPair(read["TlsCertFile"], read["TlsKeyFile"])
    try:
        dates = host.examine(pair)
    except Unfit as problem:
        draft.refuse("TlsCertFile", f"{printable(files['TlsCertFile'])} and TlsKeyFile {problem}", "TlsKeyFile")
        return
    draft.certificate = Certificate(pair, printable(files["TlsCertFile"]), *dates)
    trouble = draft.certificate.trouble(host.time())
    if trouble:
        draft.warnings.append(Problem("TlsCertFile", draft.origins["TlsCertFile"], trouble))


def _read_token(draft: _Draft, host: Host) -> None:
    """Read the token for what tells about clients, once, like a private key. What is told of it never shows it."""
    path = draft.values["HttpTokenFile"]
    if not path or "HttpTokenFile" in draft.unsure:
        return
    try:
        draft.http_token = token_of(host.read(path))
    except OSError as error:
        advice = "; let the user that runs Mesos-DNS read it" if isinstance(error, PermissionError) else ""
        draft.refuse("HttpTokenFile", f"{printable(path)} cannot be read: {reason(error)}{advice}")
    except Unfit as problem:
        draft.refuse("HttpTokenFile", f"{printable(path)} {problem}")
    else:
        if host.is_open(path):
            message = (
                f"every user of this machine may read {printable(path)}, and the token in it; run: chmod o-r on it"
            )
            draft.warnings.append(Problem("HttpTokenFile", draft.origins["HttpTokenFile"], message))


def _check_service_account(draft: _Draft, host: Host) -> None:
    """Load the account even if it is not used, as in Go."""
    path = draft.values["IAMConfigFile"]
    try:
        if path:
            draft.iam = parse_iam(host.read(path))
            rules.check_login_endpoint(draft.iam)
    except OSError as error:
        draft.refuse("IAMConfigFile", f"{printable(path)} cannot be read: {reason(error)}")
    except Unfit as problem:
        draft.refuse("IAMConfigFile", f"{printable(path)} {problem}")
    if draft.values["MesosAuthentication"] != "iam" or "IAMConfigFile" in draft.flawed | draft.unsure:
        return
    why_not = rules.service_account(draft.iam)
    if why_not is None and not host.can_sign():
        why_not = 'is "iam", which needs optional packages; run: pip install "mesos-dns[iam]"'
    if why_not is not None:
        draft.refuse("MesosAuthentication", why_not)


def _find_account(draft: _Draft, host: Host) -> None:
    """Who `User` and `Group` are."""
    user = draft.values["User"]
    if not user or not draft.unsure.isdisjoint(("User", "Group")):
        return
    try:
        draft.account = host.account(user, draft.values["Group"])
    except Unfit as problem:
        draft.refuse("User", str(problem))


def _finished(draft: _Draft) -> Config:
    """Bring valid values into the form that the program works with."""
    fields = {key.field: draft.values[key.name] for key in KEYS if key.field}
    fields["timeout"] = fields["timeout"] or Config().timeout
    fields["domain"] = fields["domain"].lower()
    fields["soa_mname"] = absolute_name(fields["soa_mname"])
    fields["soa_rname"] = absolute_name(fields["soa_rname"].replace("@", "."))
    return Config(
        **fields,
        iam=draft.iam,
        ensemble=draft.ensemble,
        certificate=draft.certificate,
        http_token=draft.http_token,
        account=draft.account,
        system_resolvers=draft.system_resolvers,
    )
