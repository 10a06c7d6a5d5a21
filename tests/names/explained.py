"""A small cluster to be explained: model, zone and journal in step, and the words for people."""

from tests.names.cluster import MESOS, rules

from mesos_dns.commands.explain import lines_of
from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.mesos.state import Agent, Delta, DiscoveryPort, Endpoint, Framework, NotRunning, Task
from mesos_dns.names import causes
from mesos_dns.names.absence import Facts
from mesos_dns.names.explain import Outside, explain
from mesos_dns.names.holds import Hold
from mesos_dns.names.labels import rfc1123
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming
from mesos_dns.zone.editor import ZoneEditor
from mesos_dns.zone.journal import ChangeNotes, Journal
from mesos_dns.zone.zone import Authority
from mesos_dns.zone.zones import Zones

REDIRECTS = ((names.from_text("agent.mesos"), names.from_text("slave.mesos")),)
NS = names.from_text("ns1.mesos.")
HTTP = (DiscoveryPort(80, "http", "tcp"),)
NOW = 1_700_000_000.0

AGENTS = {f"S{n}": Agent(f"S{n}", f"10.0.0.{n}", 5051) for n in (1, 2)}
FRAMEWORKS = {"F": Framework("F", "marathon", "10.0.0.9", 8080), "C": Framework("C", "chronos")}


class Holding:
    """Holds of tasks by their ids."""

    def __init__(self):
        self.tasks = {}

    def hold_of_agent(self, _):
        return None

    def hold_of_framework(self, _):
        return None

    def hold_of_task(self, key):
        return self.tasks.get(key[1])


def task(task_id, name="", framework="F", agent="S1", **more):
    return Task(task_id, name or task_id.partition(".")[0], framework, agent, **more)


def by_key(*tasks):
    return {(one.framework_id, one.id, 0): one for one in tasks}


class Cluster:
    """What a server knows, without any I/O; each change takes ten seconds."""

    def __init__(
        self, *tasks, agents=AGENTS, frameworks=FRAMEWORKS, ip_sources=("netinfo", "mesos", "host"), load=True
    ):
        self.model = Model(Naming(rules(rfc1123, ip_sources)))
        self.zones = Zones.of([Authority(MESOS, NS, NS, 60, 600, 86400, 60, 60, REDIRECTS)])
        self.zone = next(iter(self.zones))
        self.journal = Journal()
        self.holding = Holding()
        self.now = NOW
        self.waiting = []
        self.hidden = {}
        self._notes = ChangeNotes(MESOS, self.journal)
        self._because = None
        self._editor = ZoneEditor(self.zone, self._note, lambda: self.now)
        if load:
            master = Endpoint("10.0.0.5", 5050)
            self._editor.contribute(*self.model.set_masters([master], master))
            self.apply(Delta(agents, frameworks, by_key(*tasks)))

    def _note(self, change):
        self._notes.add(change, self._because, self.now)

    def apply(self, delta):
        self._because = causes.because(self.model, delta)
        for withdrawn, contributed in self.model.apply(delta):
            self._editor.contribute(withdrawn, contributed)
        self._editor.complete()
        self.now += 10
        return self

    def run(self, *tasks):
        return self.apply(Delta(tasks=by_key(*tasks)))

    def end(self, *tasks):
        return self.apply(Delta(tasks_gone=tuple(by_key(*tasks))))

    def wait(self, one, state="TASK_STAGING"):
        """A task that does not run."""
        self.waiting.append(NotRunning(one, state))
        return self

    def hold(self, task_id, why, seconds):
        self.holding.tasks[task_id] = Hold(why, self.now + seconds)
        return self

    def hide(self, **what):
        self.hidden |= what
        return self

    def facts(self):
        return Facts(self.now, self.now, self.journal, self.holding, self.waiting, **self.hidden)

    def explain(self, name, rrtype="", outside=None):
        wanted = rd.type_of(rrtype) if rrtype else None
        return explain(self.model, self.zones, name, wanted, self.facts(), outside or Outside())

    def lines(self, asked, outside=None):
        return [*lines_of(self.explain(*asked.split(" "), outside=outside))]
