"""Control while /etc/resolv.conf changes. Sockets, workers and HTTP are real, sources are scripted."""

import asyncio
import dataclasses

import pytest
from tests.names.test_reconciler import state
from tests.scripted import WITH_WORKER
from tests.serve.forward.asked import until

from mesos_dns import control as module
from mesos_dns.config.host import ThisHost
from mesos_dns.dns import name as names

FOLLOWS = dataclasses.replace(WITH_WORKER, external_on=True, resolvers=("203.0.113.1",), system_resolvers=True)


class File:
    """What is read in the place of /etc/resolv.conf: octets, or an exception; and how often it was."""

    def __init__(self):
        self.content = b"nameserver 203.0.113.1\n"
        self.times = 0

    def read(self, _path):
        self.times += 1
        if isinstance(self.content, Exception):
            raise self.content
        return self.content


@pytest.fixture
def file(monkeypatch):
    file = File()
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(ThisHost, "read", file.read)
    return file


def asked(generation):
    """Who is asked, by the plan of the workers and by what HTTP shows."""
    forward = generation.plan.worker.forward
    return [each.host for each in forward.upstreams[names.ROOT]], generation.config_json()["Resolvers"]


async def test_it_is_followed_as_long_as_the_configuration_says_so(running, file):
    await running.start(FOLLOWS)
    running.sources[0].shows(state())
    await running.serving()
    file.content = b"nameserver 203.0.113.2\n"
    await until(lambda: asked(running.generation) == (["203.0.113.2"], ["203.0.113.2"]))
    assert running.generation.ready() == (True, [])
    assert [handle.restarts for handle in running.generation.pool.workers] == [0]
    running.reload(dataclasses.replace(FOLLOWS, resolvers=("203.0.113.9",), system_resolvers=False))
    await running.pending()
    running.sources[1].shows(state())
    await running.in_force()
    file.times = 0
    await asyncio.sleep(0.1)
    assert file.times == 0
    assert asked(running.generation) == (["203.0.113.9"], ["203.0.113.9"])


async def test_a_mistake_of_ours_does_not_end_it(running, file, caplog):
    await running.start(FOLLOWS)
    file.content = RuntimeError("a mistake")
    await until(lambda: "following /etc/resolv.conf failed by an internal error" in caplog.text)
    file.content = b"nameserver 203.0.113.2\n"
    await until(lambda: asked(running.generation)[1] == ["203.0.113.2"])
