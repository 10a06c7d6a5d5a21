"""What runs in the simulated cluster: frameworks and the applications that they keep alive.

The first applications are written by hand, one for each kind of task that matters to a DNS bridge
(every network mode, named and nameless ports, batch jobs, odd names). Larger clusters are filled up
with generated ones. All of it is a pure function of the seed and the number of tasks.
"""

import random
from dataclasses import dataclass, replace
from enum import Enum


class Network(Enum):
    """How a container is attached, which decides the addresses in its status (Mesos 1.11)."""

    HOST = "host"  # the agent's own addresses
    BRIDGE = "bridge"  # docker's bridge: an address that means nothing outside the agent
    USER = "user"  # a named docker network, IPv4 and IPv6
    CNI = "cni"  # Mesos containerizer, IPv4
    MAPPED = "mapped"  # CNI with host ports mapped to it: an address that means nothing outside the agent
    CNI6 = "cni6"  # the same with IPv6, which Mesos prints with its prefix length


@dataclass(frozen=True, slots=True)
class Port:
    """One port of an application. An empty `name` or `protocol` is left out of the discovery info."""

    name: str
    protocol: str
    container_port: int


@dataclass(frozen=True, slots=True)
class Framework:
    """A scheduler. `scheduler` is its libprocess address; None = an HTTP scheduler, which has no pid."""

    number: int
    name: str
    scheduler: str | None
    hostname: str
    webui_url: str
    multi_role: bool
    role: str
    user: str
    failover_timeout: float
    partition_aware: bool = True


@dataclass(frozen=True, slots=True)
class Application:
    """`instances` tasks of one name. `lifetime` in seconds marks a batch job that finishes by itself."""

    framework: Framework
    name: str
    network: Network
    ports: tuple[Port, ...] = ()
    discovery: str | None = None
    image: str = "registry.example/app:1"
    cpus: float = 0.1
    mem: float = 128.0
    labels: tuple[tuple[str, str], ...] = ()
    health: str | None = None
    custom_executor: bool = False
    instances: int = 1
    lifetime: float | None = None

    @property
    def has_discovery(self) -> bool:
        """Whether the framework sends discovery info at all (then perhaps without ports)."""
        return self.discovery is not None


FRAMEWORKS = (
    Framework(0, "marathon", "10.0.0.5:15101", "10.0.0.5", "http://10.0.0.5:8080", True, "*", "root", 604800.0),
    Framework(1, "chronos", "10.0.0.6:15102", "chronos.example", "http://10.0.0.6:4400", False, "*", "root", 604800.0),
    Framework(2, "mesos-compose", None, "10.0.0.7", "http://10.0.0.7:10000", False, "*", "root", 86400.0),
    Framework(3, "kafka", "10.0.0.8:15103", "10.0.0.8", "", False, "kafka", "kafka", 1209600.0),
    Framework(4, "cassandra", "10.0.0.9:15104", "10.0.0.9", "", True, "cassandra-role", "nobody", 1209600.0),
    Framework(5, "Data Science AND ML 2.0", None, "", "", False, "*", "science", 0.0),
    Framework(
        6, "marathon-user", "10.0.0.10:15105", "10.0.0.10", "http://10.0.0.10:8080", True, "team", "deploy", 604800.0
    ),
)
MARATHON, CHRONOS, COMPOSE, KAFKA, CASSANDRA, SCIENCE, USER_MARATHON = FRAMEWORKS

_HTTP = Port("http", "tcp", 80)
_ADMIN = Port("admin", "tcp", 8081)
_METRICS = Port("metrics", "tcp", 9090)

#: In the order in which a small cluster takes them; the first ones are the demo's examples.
BY_HAND = (
    Application(
        MARATHON,
        "nginx",
        Network.HOST,
        (_HTTP, Port("https", "tcp", 443)),
        "nginx",
        "nginx:1.25",
        cpus=0.5,
        labels=(("HAPROXY_GROUP", "external"), ("owner", "team-a")),
        health="HTTP",
        instances=3,
    ),
    Application(
        MARATHON,
        "web",
        Network.CNI6,
        (_HTTP, _METRICS),
        "web",
        "web:7.2",
        cpus=0.5,
        mem=512.0,
        labels=(("tier", "frontend"),),
        health="HTTP",
        instances=3,
    ),
    Application(
        CASSANDRA,
        "node",
        Network.CNI6,
        (Port("native-client", "tcp", 9042), Port("storage", "tcp", 7000)),
        "node",
        "cassandra:4.1",
        cpus=2.0,
        mem=4096.0,
        custom_executor=True,
        instances=3,
    ),
    Application(
        KAFKA,
        "broker",
        Network.HOST,
        (Port("broker", "tcp", 9092),),
        None,
        "kafka:3.6",
        1.0,
        2048.0,
        custom_executor=True,
        instances=3,
    ),
    Application(
        COMPOSE, "Redis_Cache", Network.USER, (Port("redis", "tcp", 6379),), "redis-cache", "redis:7", instances=2
    ),
    Application(
        MARATHON,
        "checkout.prod.shop",
        Network.BRIDGE,
        (_HTTP, _ADMIN),
        "checkout.prod.shop",
        "shop/checkout:42",
        labels=(("HAPROXY_0_VHOST", "shop.example"),),
        health="HTTP",
        instances=2,
    ),
    Application(
        MARATHON,
        "dns-cache",
        Network.HOST,
        (Port("dns", "udp", 53), Port("dns-tcp", "tcp", 53)),
        "dns-cache",
        "unbound:1.19",
    ),
    Application(CHRONOS, "ChronosTask:backup db", Network.HOST, (), None, "backup:3", lifetime=45.0),
    Application(
        SCIENCE,
        "Train Model A",
        Network.CNI,
        (Port("", "", 6006),),
        "train-model-a",
        "torch:2",
        4.0,
        8192.0,
        lifetime=90.0,
    ),
    Application(
        USER_MARATHON,
        "api",
        Network.USER,
        (_HTTP, Port("grpc", "tcp", 9000), _METRICS),
        "api",
        "api:1.9",
        health="TCP",
        instances=3,
    ),
    Application(
        USER_MARATHON, "statsd", Network.HOST, (Port("statsd", "udp", 8125),), "statsd", "statsd:0.10", instances=2
    ),
    Application(MARATHON, "legacy-two-ports", Network.HOST, (Port("", "tcp", 1), Port("", "tcp", 2)), None, "legacy:1"),
    Application(CHRONOS, "ChronosTask:report", Network.HOST, (), None, "report:1", lifetime=30.0),
    Application(SCIENCE, "Notebook (Anna)", Network.CNI6, (_HTTP,), "notebook-anna", "jupyter:6", 1.0, 1024.0),
    Application(COMPOSE, "mosquitto", Network.BRIDGE, (Port("mqtt", "tcp", 1883),), "mosquitto", "mosquitto:2"),
)

_ADJECTIVES = [
    "amber",
    "brave",
    "calm",
    "deep",
    "eager",
    "fair",
    "grand",
    "hasty",
    "icy",
    "jolly",
    "keen",
    "lucid",
    "mild",
    "noble",
    "odd",
    "proud",
    "quick",
    "rapid",
    "stark",
    "tidy",
]
_NOUNS = [
    "anvil",
    "basin",
    "cedar",
    "delta",
    "ember",
    "forge",
    "grove",
    "harbor",
    "inlet",
    "jetty",
    "kiln",
    "ledge",
    "mason",
    "needle",
    "orbit",
    "pier",
    "quarry",
    "ridge",
    "sluice",
    "tower",
]
_PORTS = (
    _HTTP,
    _METRICS,
    _ADMIN,
    Port("grpc", "tcp", 9000),
    Port("debug", "tcp", 6060),
    Port("gossip", "udp", 7946),
    Port("", "", 5000),
)
_NETWORKS = (Network.HOST,) * 4 + (Network.BRIDGE,) * 3 + (Network.USER,) * 2 + (Network.CNI,) * 2 + (Network.CNI6,) * 3
_OWNERS = (MARATHON,) * 8 + (USER_MARATHON,) * 4 + (COMPOSE,) * 2 + (KAFKA, CASSANDRA, SCIENCE)
#: Mean 2.7: with what is shared between instances, about six owner names per task.
_INSTANCES = (1,) * 10 + (2,) * 5 + (3,) * 3 + (4, 5, 6, 8, 12)


def applications(seed: int, tasks: int) -> tuple[Application, ...]:
    """Return the applications of a cluster whose `instances` add up to exactly `tasks`.

    Raises ValueError when `tasks` is negative.
    """
    if tasks < 0:
        raise ValueError(f"the number of tasks is {tasks}, expected 0 or more")
    rng = random.Random(f"applications {seed}")
    chosen: list[Application] = []
    left = tasks
    number = 0
    while left > 0:
        candidate = BY_HAND[len(chosen)] if len(chosen) < len(BY_HAND) else _generated(rng, number := number + 1)
        taken = min(candidate.instances, left)
        chosen.append(candidate if taken == candidate.instances else replace(candidate, instances=taken))
        left -= taken
    return tuple(chosen)


def _generated(rng: random.Random, number: int) -> Application:
    framework = rng.choice(_OWNERS)
    words = [rng.choice(_ADJECTIVES), rng.choice(_NOUNS)]
    base = f"{words[0]}-{words[1]}-{number}"
    grouped = framework in {MARATHON, USER_MARATHON} and rng.random() < 0.1
    name = f"{base}.{rng.choice(_NOUNS)}" if grouped else base
    ports = tuple(rng.sample(_PORTS, k=rng.choice((1, 1, 2, 2, 3))))
    return Application(
        framework,
        name,
        rng.choice(_NETWORKS),
        ports,
        None if framework is KAFKA or rng.random() < 0.15 else name,
        f"registry.example/{words[1]}/{words[0]}:{rng.randrange(1, 20)}.{rng.randrange(40)}",
        rng.choice((0.1, 0.25, 0.5, 1.0)),
        rng.choice((128.0, 256.0, 512.0, 1024.0)),
        _labels(rng, base),
        rng.choice(("HTTP", "TCP", None)),
        framework in {KAFKA, CASSANDRA},
        rng.choice(_INSTANCES),
    )


def _labels(rng: random.Random, base: str) -> tuple[tuple[str, str], ...]:
    """Return what deployment tools and proxies leave on a task: most of a real state's volume."""
    noun = rng.choice(_NOUNS)
    return (
        ("owner", f"team-{noun}"),
        ("tier", rng.choice(("frontend", "backend", "storage"))),
        ("release", f"2024.{rng.randrange(1, 13)}.{rng.randrange(1, 29)}"),
        ("org.opencontainers.image.revision", f"{rng.getrandbits(160):040x}"),
        ("org.opencontainers.image.source", f"https://git.example/{noun}/{base}"),
        ("HAPROXY_GROUP", "internal"),
        ("HAPROXY_0_VHOST", f"{base}.{noun}.example"),
        ("traefik.enable", "true"),
        (f"traefik.http.routers.{base}.rule", f"Host(`{base}.{noun}.example`) && PathPrefix(`/`)"),
        (f"traefik.http.services.{base}.loadbalancer.healthcheck.path", "/health"),
    )
