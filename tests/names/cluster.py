"""The cluster of the old program's generator tests, and a short way to write down records."""

import re

from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.mesos.state import Agent, DiscoveryPort, Endpoint, Framework, Snapshot, Task
from mesos_dns.names.labels import rfc952, rfc1123
from mesos_dns.names.naming import Naming
from mesos_dns.names.suffixes import Rules

A0 = "20140803-125133-3041283216-5050-2410-0"
A1 = "20140827-000744-3041283216-5050-2116-1"
A2 = "20140916-194712-631065744-5050-4798-2"
A3 = "20140803-194712-3041283216-5050-2116-3"

LEADER = Endpoint("144.76.157.37", 5050)

AGENTS = {
    agent.id: agent
    for agent in (
        Agent(A2, "1.2.3.10", 5051),
        Agent(A0, "1.2.3.11", 5051),
        Agent(A1, "1.2.3.12", 5051),
        Agent(A3, "2001:db8::1", 5051),
    )
}

FRAMEWORKS = {
    framework.id: framework
    for framework in (
        Framework("F6", "ipv6-framework", "2001:db8::1", 25501),
        Framework("FC", "chronos with a space AND MIXED CASE-2.0.1", "1.2.3.12", 25501),
        Framework("FN", "no pid", "localhost", None),
        Framework("FM", "marathon", "1.2.3.11", 25501),
    )
}

WEB = (DiscoveryPort(80, "http", "tcp"), DiscoveryPort(443, "https", "tcp"))


def packed(*texts):
    """Addresses in packed form."""
    return tuple(rd.pack_address(text) for text in texts)


def _marathon(task_id, name, agent, ports, **more):
    return Task(f"{task_id}-a088-c20493233aa5", name, "FM", agent, ports, **more)


TASKS = {
    (task.framework_id, task.id, n): task
    for n, task in (
        (
            0,
            Task(
                "toy-store.b8db9f73-562f-11e4-a088-c20493233aa5",
                "toy-store",
                "F6",
                A3,
                ((31354, 31354), (31355, 31355)),
                netinfo=packed("12.0.1.3", "12.0.1.2", "fd01:b::1:8000:2"),
            ),
        ),
        (0, Task("some-box.b8db9f73-562f-11e4-a088-c20493233aa5", "some-box", "FC", A0, ((31354, 31354),))),
        (
            0,
            _marathon(
                "liquor-store.b8db9f73-562f-11e4",
                "liquor.store",
                A0,
                ((31354, 31354), (31355, 31355)),
                discovery_name="liquor.store",
                discovery_ports=WEB,
                docker=packed("10.3.0.1"),
            ),
        ),
        (
            1,  # The fixture repeats a task's id within one framework.
            _marathon(
                "liquor-store.b8db9f73-562f-11e4",
                "big.dog2",
                A0,
                ((31354, 31354), (31355, 31355)),
                discovery_name="big.dog",
                discovery_ports=WEB,
                docker=packed("10.3.0.1"),
            ),
        ),
        (
            0,
            _marathon(
                "liquor-store.b71166c1-562f-11e4",
                "non-human-readable-liquor-store",
                A1,
                ((31737, 31738),),
                discovery_name="liquor.store",
                discovery_ports=WEB,
                docker=packed("10.3.0.2"),
            ),
        ),
        (0, _marathon("car-store.43758382-562f-11e4", "car.store", A0, ((31364, 31364), (31365, 31365)))),
        (0, _marathon("chronos.49b91a9a-3dda-11e4", "chronos", A0, ((31332, 31332),))),
        (0, _marathon("nginx.1bc32344-3dda-11e4", "nginx", A0, (), mesos=packed("10.3.0.3"))),
        (0, _marathon("reviewbot.8c9b3434-615a-11e4", "reviewbot", A1, ((31744, 31744),))),
    )
}

SNAPSHOT = Snapshot("master-1", LEADER, (LEADER,), AGENTS, FRAMEWORKS, TASKS)

MESOS = names.from_text("mesos")


def rules(label=rfc952, ip_sources=("netinfo", "docker", "mesos", "host"), domain="mesos"):
    """Names as the old program's tests configure them."""
    return Rules(names.from_text(domain), names.from_text("mesos-dns.mesos"), label, tuple(ip_sources), 1)


def as_text(records):
    """`records` as a set of texts such as `leader.mesos. A 1.2.3.4` and `_x._tcp.mesos. SRV x.mesos.:80`."""
    out = set()
    for owner, rrtype, rdata in records:
        if rrtype == rd.SRV:
            _, weight, port, target = rd.srv_fields(rdata)
            value = f"{names.to_text(target)}:{port}" + (f" weight {weight}" if weight != 1 else "")
        else:
            value = rd.to_text(rrtype, rdata)
        out.add(f"{names.to_text(owner)} {rd.TYPE_TEXT[rrtype]} {value}")
    return out


def written(table, chronos="chronoswithaspaceandmixe"):
    """The record texts of a table of lines `owner owner ... | type | value, value ...`.

    `.M`, `.C` and `.6` at the end of a name stand for the three frameworks, with an S for `.slave`.
    """
    fragments = {"M": "marathon", "C": chronos, "6": "ipv6-framework"}

    def full(name):
        return re.sub(
            r"\.([MC6])(S?)(?=$|:)",
            lambda found: f".{fragments[found[1]]}{'.slave' if found[2] else ''}.mesos.",
            name.replace("{C}", chronos),
        )

    out = set()
    for line in filter(None, map(str.strip, table.splitlines())):
        owners, rrtype, values = (part.split() for part in line.split("|"))
        out |= {f"{full(owner)} {rrtype[0]} {full(value.rstrip(','))}" for owner in owners for value in values}
    return out


def task_records(task, agent=("10.0.0.1",), given_rules=None, framework=b"fw"):
    """The records of one task, as texts."""
    naming = Naming(given_rules or rules(rfc1123))
    return as_text(naming.task(task, framework, packed(*agent)))


def discovered(*ports, name="web"):
    """A task with discovery information."""
    return Task("test", "ignored", "F", "S-0", discovery_name=name, discovery_ports=ports)
