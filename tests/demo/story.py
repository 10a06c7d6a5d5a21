"""What happened in the recorded cluster, played on a simulated one without sockets."""

import json

from mesos_dns.demo import wire
from mesos_dns.demo.catalog import CHRONOS, COMPOSE, KAFKA, MARATHON, SCIENCE, Application, Network, Port
from mesos_dns.demo.document import TaskTexts
from mesos_dns.demo.generator import populate
from mesos_dns.demo.releases import release
from mesos_dns.demo.v1 import HEALTH_REASON, task_json
from mesos_dns.demo.v1_document import answer
from mesos_dns.demo.world import World

START = 1_700_000_000.0
WEB = Application(
    MARATHON, "web", Network.BRIDGE, (Port("http", "tcp", 80),), "web", labels=(("tier", "front"),), health="HTTP"
)
PLAIN = Application(MARATHON, "plain", Network.HOST)
CUSTOM = Application(KAFKA, "broker", Network.HOST, (Port("", "", 9092),), custom_executor=True)
OVERLAY = Application(COMPOSE, "cache", Network.USER, (Port("redis", "tcp", 6379),), "cache")
CNI = Application(SCIENCE, "model", Network.CNI6, (Port("http", "tcp", 80),), "model")
JOB = Application(CHRONOS, "job", Network.HOST, (), None)


class Story:
    """A world of agents and no tasks, and the events of its masters as subscribers see them."""

    def __init__(self, version="1.11.0", *, agents=2, tasks=0, masters=2):
        endpoints = [("127.0.0.1", 5050 + number) for number in range(masters)]
        population = populate(seed=1, agents=agents, tasks=tasks, now=START)
        self.world = World(population, endpoints, START, release=release(version))
        self.events = []
        self.world.listener = lambda _index, notice: self.events.append(
            json.loads(wire.dump({"type": notice.kind, **notice.body}))
        )

    def wait(self, seconds=1.0):
        self.world.agenda.run_until(self.world.now + seconds)

    def run(self, application, agent=0):
        key = self.world.launch(application, agent).key
        for state in ("TASK_STARTING", "TASK_RUNNING"):
            self.wait(0.5)
            self.world.update(key, state)
        return key

    def health(self, key, healthy):
        return self.world.update(key, "TASK_RUNNING", healthy=healthy, reason=HEALTH_REASON)

    def kinds(self, since=0):
        """Return the events from number `since` on in short, tasks with their state and the state of their status."""
        return [_short(event) for event in self.events[since:]]

    def call(self, call="GET_STATE"):
        """Return the member of the leader's answer to `call`."""
        view = self.world.ledgers[0].view()
        texts = TaskTexts(lambda task: task_json(task, self.world.release))
        document = json.loads(b"".join(answer(call, view, texts.text, self.world.release)))
        return document[call.lower()]


def _short(event):
    kind = event["type"]
    if kind == "TASK_ADDED":
        return f"{kind} {event['task_added']['task']['state']}"
    if kind == "TASK_UPDATED":
        update = event["task_updated"]
        status = update.get("status", {}).get("state")
        return f"{kind} {update['state']}" + (f" by {status}" if status not in {None, update["state"]} else "")
    return kind
