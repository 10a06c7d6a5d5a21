"""The configuration: a file and the environment in, one frozen `Config` or every problem out.

    loaded = load("/etc/mesos-dns/config.json", os.environ)

`interpret` is the same for octets that are already there; apart from what it asks of its `Host` it is a
pure function. The parts: `config.values` (what a configuration is, the table of keys), `config.json`
and `config.sources` (reading), `config.rules` and `config.addresses` (judging), `config.host` (this machine).
`docs/configuration.md` describes every key.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mesos_dns.config import rules
from mesos_dns.config.addresses import Unfit, absolute_name, host_and_port
from mesos_dns.config.host import Host, ThisHost, reason
from mesos_dns.config.json import clean, parse_iam
from mesos_dns.config.sources import Source, from_environ, from_file
from mesos_dns.config.values import KEYS, Config, ConfigError, IamAccount, Key, Loaded, Problem, printable
from mesos_dns.limits import MAX_CONFIG_PROBLEMS

__all__ = [
    "KEYS",
    "Config",
    "ConfigError",
    "Host",
    "IamAccount",
    "Key",
    "Loaded",
    "Problem",
    "as_json",
    "host_and_port",
    "interpret",
    "load",
]

RESOLV_CONF: Final = "/etc/resolv.conf"
REDACTED: Final = "******"

#: The user part of a URL, up to the last `@`: ZooKeeper takes `zk://user:password@host:2181/mesos`.
_USER_PART: Final = re.compile(r"(?<=://).*@")


def load(path: str | None, environ: Mapping[str, str], *, host: Host | None = None) -> Loaded:
    """Read the file at `path` (None: no file) and the variables of `environ`.

    The first `~/` in `path` means the home directory that `environ` names. Raises `ConfigError`.
    """
    host = host or ThisHost()
    if path is None:
        return _judge(Source(), environ, "", host)
    absolute = _expanded(path, environ)
    try:
        data = host.read(absolute)
    except OSError as error:
        unread = Source(complete=False)
        unread.refuse("", _file_origin(absolute), f"cannot be read: {reason(error)}; {_advice_for(error)}")
        return _judge(unread, environ, path, host)
    return _judge(from_file(data, _file_origin(absolute)), environ, path, host)


def interpret(data: bytes, path: str, environ: Mapping[str, str], host: Host) -> Loaded:
    """Judge the file content `data`, which stood at `path`, and the variables of `environ`.

    Asks `host` only for files and facts that the configuration points to. Raises `ConfigError`.
    """
    return _judge(from_file(data, _file_origin(_expanded(path, environ))), environ, path, host)


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
    if key.secret:
        return REDACTED if value else ""
    match key.kind:
        case "strings":
            return list(value)
        case "zones":
            return {zone: list(resolvers) for zone, resolvers in sorted(value)}
    return _USER_PART.sub(f"{REDACTED}@", value) if key.name == "Zk" else value


# --- the file's place --------------------------------------------------------------------------


def _expanded(path: str, environ: Mapping[str, str]) -> str:
    home = environ.get("USERPROFILE") or environ.get("HOME")
    if home and "~/" in path:
        path = path.replace("~/", f"{home}/", 1)
    return str(Path(path).absolute())


def _file_origin(path: str) -> str:
    return f"file {printable(path)}"


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
    warnings: list[str]
    iam: IamAccount | None = None
    flawed: set[str] = field(default_factory=set)

    def refuse(self, key: str, message: str, *others: str) -> None:
        """Record a problem, unless its value or one of the others that it depends on is a stand-in."""
        self.flawed.add(key)
        if self.unsure.isdisjoint((key, *others)):
            self.problems.append(Problem(key, self.origins.get(key, "default"), message))


def _judge(file: Source, environ: Mapping[str, str], path: str, host: Host) -> Loaded:
    draft = _combined(file, from_environ(environ), path)
    for rule in rules.RULES:
        for finding in rule(draft.values):
            draft.refuse(*finding)
    for check in (_find_resolvers, _check_tls, _check_service_account):
        check(draft, host)
    if draft.problems:
        kept, more = draft.problems[:MAX_CONFIG_PROBLEMS], len(draft.problems) - MAX_CONFIG_PROBLEMS
        rest = (Problem("", "configuration", f"{more} more problems; mend these first"),) if more > 0 else ()
        raise ConfigError((*kept, *rest))
    advice = [str(Problem(key, draft.origins[key], message)) for key, message in rules.advice(draft.values)]
    warnings = advice + draft.warnings  # advice first: it must not be what is cut off
    if len(warnings) > MAX_CONFIG_PROBLEMS:
        more = len(warnings) - MAX_CONFIG_PROBLEMS
        warnings[MAX_CONFIG_PROBLEMS:] = [f"configuration: {more} more warnings"]
    return Loaded(_finished(draft), tuple(warnings), draft.origins)


def _combined(file: Source, environment: Source, path: str) -> _Draft:
    """Lay the environment over the file over the defaults."""
    defaults: dict[str, Any] = {key.name: key.default for key in KEYS}
    values = defaults | {"File": clean(path)} | file.values | environment.values
    origins = dict.fromkeys(defaults, "default") | file.origins | environment.origins
    unsure = file.refused | environment.refused
    if "MesosCredentials" in unsure:
        unsure |= {key.name for key in KEYS if key.name.startswith("MesosCredentials.")}
    if not file.complete:
        unsure |= {name for name, origin in origins.items() if origin == "default"}
    problems = [*file.problems, *environment.problems]
    return _Draft(values, origins, unsure, problems, [*file.warnings, *environment.warnings])


def _find_resolvers(draft: _Draft, host: Host) -> None:
    """No resolvers, on purpose: those of this machine, except this machine itself."""
    if not draft.values["ExternalOn"] or draft.values["Resolvers"] or "Resolvers" in draft.unsure:
        return
    try:
        text = host.read(RESOLV_CONF).decode("utf-8", errors="replace")
    except OSError as error:
        draft.refuse("Resolvers", f"is empty, and {RESOLV_CONF} cannot be read: {reason(error)}; name the resolvers")
        return
    draft.values["Resolvers"], warnings = rules.name_servers(text, host.addresses())
    draft.origins["Resolvers"] = f"{RESOLV_CONF}, as Resolvers is empty in {draft.origins['Resolvers']}"
    draft.warnings.extend(warnings)


def _check_tls(draft: _Draft, host: Host) -> None:
    ca_file, cert_file, key_file = (draft.values[key] for key in ("CACertFile", "CertFile", "KeyFile"))
    try:
        if ca_file:
            host.check_trust(ca_file)
    except Unfit as problem:
        draft.refuse("CACertFile", f"{printable(ca_file)} {problem}")
    try:
        if cert_file and key_file:
            host.check_pair(cert_file, key_file)
    except Unfit as problem:
        draft.refuse("CertFile", f"{printable(cert_file)} {problem}")


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


def _finished(draft: _Draft) -> Config:
    """Bring valid values into the form that the program works with."""
    fields = {key.field: draft.values[key.name] for key in KEYS if key.field}
    fields["timeout"] = fields["timeout"] or Config().timeout
    fields["domain"] = fields["domain"].lower()
    fields["soa_mname"] = absolute_name(fields["soa_mname"])
    fields["soa_rname"] = absolute_name(fields["soa_rname"].replace("@", "."))
    return Config(**fields, iam=draft.iam)
