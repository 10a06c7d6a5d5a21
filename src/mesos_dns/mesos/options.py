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
class ZooKeeperOptions:
    """The ZooKeeper in which the masters elect their leader.

    `servers` are all of its servers, `path` is the masters' node, absolute. `credentials` are `user:password` for digest
    authentication, "" for none. `detection_timeout`: seconds without a leader after which that is told loudly, 0 for never.
    """

    servers: tuple[Endpoint, ...]
    path: str
    credentials: str = field(default="", repr=False)
    detection_timeout: float = 0.0

    def __str__(self) -> str:
        return f"zk://{','.join(map(str, self.servers))}{self.path}"


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What to poll, every `refresh_seconds`: the masters that `zookeeper` names; without, the configured `masters` in order.

    With both, `masters` are asked as long as ZooKeeper has named none.
    """

    masters: tuple[Endpoint, ...]
    refresh_seconds: float = 60.0
    client: ClientOptions = field(default_factory=ClientOptions)
    zookeeper: ZooKeeperOptions | None = None

    def same_cluster(self, other: "SourceOptions") -> bool:
        """Whether the masters are found in the same way, so that the cluster is the same."""
        return self.masters == other.masters and _place(self.zookeeper) == _place(other.zookeeper)


def _place(zookeeper: ZooKeeperOptions | None) -> tuple[frozenset[Endpoint], str] | None:
    return None if zookeeper is None else (frozenset(zookeeper.servers), zookeeper.path)
