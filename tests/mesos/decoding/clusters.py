"""Strategies for clusters in the form that `shapes` takes."""

from hypothesis import strategies as st

STATES = [
    "TASK_STAGING",
    "TASK_STARTING",
    "TASK_RUNNING",
    "TASK_KILLING",
    "TASK_FINISHED",
    "TASK_UNREACHABLE",
    "TASK_NEW",
]
ADDRESSES = ["10.0.0.1", "10.0.0.2", "fd00::5/64", "", "no address", "172.17.0.2"]
AGENTS = ["S0", "S1", "S2"]
FRAMEWORKS = ["F0", "F1"]
KEYS = st.tuples(st.sampled_from(FRAMEWORKS), st.sampled_from("abc"))


def infos():
    address = st.sampled_from(ADDRESSES)
    mapping = st.fixed_dictionaries(
        {"host_port": st.sampled_from([0, 31000]), "container_port": st.sampled_from([80, 443])}
    )
    return st.lists(
        st.fixed_dictionaries(
            {"ip_addresses": st.lists(st.fixed_dictionaries({"ip_address": address}), max_size=2)},
            optional={"port_mappings": st.lists(mapping, max_size=2)},
        ),
        max_size=2,
    )


def statuses():
    labels = st.lists(
        st.tuples(st.sampled_from(["Docker.NetworkSettings.IPAddress", "other"]), st.sampled_from(ADDRESSES)),
        max_size=2,
    )
    return st.fixed_dictionaries(
        {"state": st.sampled_from(STATES[:4]), "timestamp": st.integers(0, 5).map(float), "labels": labels},
        optional={
            "healthy": st.booleans(),
            "container_status": st.fixed_dictionaries({"network_infos": infos()}),
        },
    )


def containers():
    docker = st.fixed_dictionaries(
        {"network": st.sampled_from(["HOST", "BRIDGE", "USER", "NONE"])},
        optional={"port_mappings": st.just([{"host_port": 31000, "container_port": 80, "protocol": "tcp"}])},
    )
    return st.none() | st.fixed_dictionaries(
        {"type": st.sampled_from(["DOCKER", "MESOS"])}, optional={"docker": docker, "network_infos": infos()}
    )


def discoveries():
    port = st.fixed_dictionaries({"number": st.sampled_from([80, 31000])}, optional={"name": st.just("http")})
    return st.none() | st.fixed_dictionaries(
        {"visibility": st.just("CLUSTER")},
        optional={
            "name": st.sampled_from(["", "web"]),
            "ports": st.fixed_dictionaries({"ports": st.lists(port, max_size=2)}),
        },
    )


@st.composite
def tasks(draw, identity=None):
    framework, task_id = draw(KEYS if identity is None else identity)
    starts = sorted(draw(st.sets(st.integers(31000, 31050), max_size=3)))
    return {
        "id": task_id,
        "name": draw(st.sampled_from(["web", "ünï", "A b/c", ""])),
        "framework": framework,
        "agent": draw(st.sampled_from(AGENTS)),
        "state": draw(st.sampled_from(STATES)),
        # As masters print them: in order, with a gap between two.
        "ports": [(10 * start, 10 * start + draw(st.integers(0, 5))) for start in (one // 10 for one in starts)][:1]
        if draw(st.booleans())
        else [(one * 2 - 31000, one * 2 - 31000) for one in starts],
        "statuses": draw(st.lists(statuses(), max_size=3)),
        "labels": draw(
            st.lists(
                st.tuples(st.sampled_from(["mesos-dns.health", "x"]), st.sampled_from(["ignore", "y"])), max_size=2
            )
        ),
        "discovery": draw(discoveries()),
        "container": draw(containers()),
    }


@st.composite
def clusters(draw):
    frameworks = draw(st.lists(st.sampled_from(FRAMEWORKS), unique=True))
    agents = draw(st.lists(st.sampled_from(AGENTS), unique=True))
    found = draw(st.lists(tasks(), max_size=6, unique_by=lambda task: (task["framework"], task["id"])))
    return {
        "agents": {
            one: draw(st.sampled_from([f"slave(1)@10.1.0.{number}:5051", "slave(1)@h:1", ""]))
            for number, one in enumerate(agents)
        },
        "recovered": [one for one in AGENTS if one not in agents and draw(st.booleans())],
        "frameworks": [
            {
                "id": one,
                "name": draw(st.sampled_from(["marathon", "Ünï"])),
                "hostname": draw(st.sampled_from(["", "host"])),
                "pid": draw(st.sampled_from([None, "scheduler(1)@10.2.0.1:99"])),
                "recovered": draw(st.booleans()),
            }
            for one in frameworks
        ],
        "completed": draw(st.lists(st.sampled_from(["F8", "F9"]), unique=True)),
        "tasks": [task for task in found if task["framework"] in frameworks],
    }
