"""How to reach the masters, as plain values. Pure. Secrets stay out of every repr."""

from dataclasses import dataclass, field

from mesos_dns.mesos.state import Endpoint


@dataclass(frozen=True, slots=True)
class IamAccount:
    """A DC/OS service account: its id, its RSA private key (PEM text), and the URL of the login service."""

    uid: str
    private_key: str = field(repr=False)
    login_endpoint: str


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How to talk to a master.

    `https` with `ca_file` trusts only that file; without, nothing is verified (as in Go). `cert_file` and `key_file` are a TLS client
    certificate, "" for none. `principal` and `secret` are HTTP Basic credentials, sent if one of them is not empty. `iam` takes
    precedence over them. `timeout` bounds one fetch, in seconds.
    """

    https: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    principal: str = ""
    secret: str = field(default="", repr=False)
    iam: IamAccount | None = None
    timeout: float = 300.0


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """The configured `masters` in order. The state is polled every `refresh_seconds`, if it is polled.

    `follow` is "auto" (events where there are some, else polling), "events" or "polling". While events are followed the whole state is
    read every `reconcile_seconds`.
    """

    masters: tuple[Endpoint, ...]
    refresh_seconds: float = 60.0
    client: ClientOptions = field(default_factory=ClientOptions)
    follow: str = "auto"
    reconcile_seconds: float = 600.0
