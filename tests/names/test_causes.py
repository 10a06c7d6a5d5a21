"""Why names change, in words."""

from msgspec.structs import replace
from tests.names.cluster import rules

from mesos_dns.mesos.state import Agent, Delta, Endpoint, Framework, Task
from mesos_dns.names.causes import MOST_TOLD, because, because_of_hosts, because_of_masters
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming

AGENT = Agent("A-0", "10.0.0.1", 5051)
FRAMEWORK = Framework("F-0", "marathon", "10.0.0.9", 8080)
WEB = Task("web.1", "web", "F-0", "A-0")
KEY = ("F-0", "web.1", 0)


def model():
    found = Model(Naming(rules()))
    for _ in found.apply(Delta(agents={"A-0": AGENT}, frameworks={"F-0": FRAMEWORK}, tasks={KEY: WEB})):
        pass
    return found


def told(**delta):
    why = because(model(), Delta(**delta))
    assert why.more == 0
    return list(why.texts)


def test_tasks():
    other = replace(WEB, id="db.1", name="db")
    assert told(tasks={("F-0", "db.1", 0): other}) == ["task 'db.1' of framework 'marathon' runs"]
    assert told(tasks_gone=(KEY,)) == ["task 'web.1' of framework 'marathon' runs no more"]
    assert told(tasks={KEY: replace(WEB, healthy=False)}) == ["task 'web.1' of framework 'marathon' is unhealthy"]
    moved = replace(WEB, agent_id="A-1", ports=((31000, 31000),), netinfo=(b"\0\0\0\1",), docker=(b"\0\0\0\2",))
    assert told(tasks={KEY: moved}) == ["task 'web.1' of framework 'marathon' has another agent, host ports, addresses"]
    assert told(tasks={("F-9", "x", 0): replace(WEB, id="x")}) == ["task 'x' of framework 'F-9' runs"]


def test_agents_and_frameworks():
    assert told(agents={"A-1": Agent("A-1", "10.0.0.2", 5051)}) == ["agent 'A-1' at '10.0.0.2' is registered"]
    assert told(agents={"A-0": replace(AGENT, host="10.0.0.7")}) == ["agent 'A-0' is at '10.0.0.7' port 5051"]
    assert told(agents_gone=("A-0",)) == ["agent 'A-0' is gone"]
    assert told(frameworks={"F-1": Framework("F-1", "chronos")}) == ["framework 'chronos' is registered"]
    assert told(frameworks={"F-0": replace(FRAMEWORK, name="m")}) == ["framework 'marathon' is called 'm'"]
    moved = replace(FRAMEWORK, host="10.0.0.10")
    assert told(frameworks={"F-0": moved}) == ["the scheduler of framework 'marathon' is at '10.0.0.10'"]
    assert told(frameworks_gone=("F-0", "F-7")) == ["framework 'marathon' is gone", "framework 'F-7' is gone"]


def test_masters_and_hosts():
    first, second = Endpoint("10.0.0.1", 5050), Endpoint("10.0.0.2", 5050)
    found = model()
    assert because_of_masters(found, [first], first) == ("10.0.0.1:5050 is the leading master",)
    found.set_masters([first], first)
    assert because_of_masters(found, [first], first) == ()
    assert because_of_masters(found, [first, second], second) == (
        "10.0.0.2:5050 leads instead of 10.0.0.1:5050",
        "the list of masters changed",
    )
    assert because_of_hosts({"agent1.example": ()}).texts == ("host 'agent1.example' was looked up",)


def test_much_at_once_is_counted_and_nothing_is_long():
    tasks = {("F-0", f"t{n}", 0): replace(WEB, id=f"t{n}") for n in range(100)}
    why = because(model(), Delta(tasks=tasks, agents_gone=("A-0",)))
    assert (len(why.texts), why.more) == (MOST_TOLD, 101 - MOST_TOLD)
    why = because(model(), Delta(tasks={("F-0", "x", 0): replace(WEB, id="\x1b[2J" + "x" * 5000)}))
    assert len(why.texts[0]) < 300
    assert why.texts[0].isprintable()
