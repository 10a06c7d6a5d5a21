"""Questions to a pool, and waiting for what becomes of them."""

import asyncio

from tests.serve.asking import ask, parse
from tests.serve.forward.upstreams import NAME

from mesos_dns.serve.forward.options import Upstream

#: Seconds that no test waits for, and that one does.
LONG = 60.0
SHORT = 0.05


class Asked:
    """One question to the pool, and what became of it."""

    def __init__(self, pool, address, name=NAME, *, within=LONG, accept=lambda _: True, **more):
        loop = asyncio.get_running_loop()
        #: Replies and errors in the order in which they came.
        self.told = []
        self._accept = accept
        self._over = loop.create_future()
        self.octets = ask(name)
        self.deadline = loop.time() + within
        end = parse(self.octets).question_end
        self.handle = pool.ask(Upstream(*address), self.octets, end, self._reply, self._error, self.deadline, **more)
        assert self.told == []

    def _reply(self, reply):
        self.told.append(reply)
        accepted = self._accept(reply)
        if accepted:
            self._over.set_result(None)
        return accepted

    def _error(self, error):
        self.told.append(error)
        self._over.set_result(None)

    async def outcome(self):
        async with asyncio.timeout(10):
            await self._over
        return self.told[-1]


async def turns(count=3):
    for _ in range(count):
        await asyncio.sleep(0)


async def until(is_so):
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - nobody tells of what sockets do
            await asyncio.sleep(0.002)


async def outcomes(asked):
    return [await one.outcome() for one in asked]
