"""What to try in the running demo: the `dig` and `curl` lines, and running them oneself."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

import aiohttp

from mesos_dns.demo import dnsclient
from mesos_dns.demo.catalog import Application

DOMAIN = "mesos"


@dataclass(frozen=True, slots=True)
class Question:
    """A DNS question; `needs` is the task name that must be in the cluster for it to have an answer."""

    about: str
    name: str
    record_type: str
    needs: str | None = None
    tcp: bool = False
    rcode: str = "NOERROR"

    def line(self, port: int) -> str:
        """Return the `dig` command."""
        options = " +tcp" if self.tcp else ""
        kind = "" if self.record_type == "A" else f" {self.record_type}"
        return f"dig @127.0.0.1 -p {port} {self.name}{kind}{options} +noall +answer"


@dataclass(frozen=True, slots=True)
class Page:
    """An HTTP path of the server, and a text that its answer has."""

    about: str
    path: str
    expect: str = ""
    needs: str | None = None

    def line(self, port: int) -> str:
        """Return the `curl` command."""
        return f"curl -s http://127.0.0.1:{port}{self.path}"


QUESTIONS = (
    Question("a task, on the network of its agents", "nginx.marathon.mesos", "A", "nginx"),
    Question("a task with container addresses", "web.marathon.mesos", "A", "web"),
    Question("the same, IPv6", "web.marathon.mesos", "AAAA", "web"),
    Question("its ports", "_web._tcp.marathon.mesos", "SRV", "web"),
    Question("the port that it calls http", "_http._nginx._tcp.marathon.mesos", "SRV", "nginx"),
    Question("a UDP service", "_dns-cache._udp.marathon.mesos", "SRV", "dns-cache"),
    Question("host ports without discovery info", "_broker._tcp.kafka.mesos", "SRV", "broker"),
    Question("a docker network, over TCP", "redis-cache.mesos-compose.mesos", "AAAA", "Redis_Cache", tcp=True),
    Question("the agents of a task", "web.marathon.slave.mesos", "A", "web"),
    Question(
        "a framework named «Data Science AND ML 2.0»", "notebook-anna.datascienceandml2.0.mesos", "A", "Notebook (Anna)"
    ),
    Question("the leading master", "leader.mesos", "A"),
    Question("and its port", "_leader._tcp.mesos", "SRV"),
    Question("all agents", "slave.mesos", "A"),
    Question("a scheduler", "_framework._tcp.marathon.mesos", "SRV"),
    Question("the zone", "mesos", "SOA"),
    Question("what does not exist", "no-such-task.marathon.mesos", "A", rcode="NXDOMAIN"),
)
PAGES = (
    Page("addresses of a name", "/v1/hosts/nginx.marathon.mesos", '"ip"', "nginx"),
    Page("targets of a service", "/v1/services/_nginx._tcp.marathon.mesos", '"port"', "nginx"),
    Page("everything, by framework", "/v1/enumerate", "marathon"),
    Page("all records", "/v1/axfr", "leader.mesos"),
    Page("the configuration", "/v1/config", "RefreshSeconds"),
    Page("the version", "/v1/version", "ersion"),
    Page("whether it is ready", "/readyz"),
    Page("the page for people", "/", "<!doctype html>"),
)


def questions(applications: Iterable[Application]) -> list[Question]:
    """Return the questions that make sense for a cluster with these applications."""
    names = {application.name for application in applications}
    return [question for question in QUESTIONS if question.needs is None or question.needs in names]


def pages(applications: Iterable[Application]) -> list[Page]:
    """Return the pages that make sense for a cluster with these applications."""
    names = {application.name for application in applications}
    return [page for page in PAGES if page.needs is None or page.needs in names]


async def ask(question: Question, port: int, deadline: float) -> str | None:
    """Ask until the answer is as expected or `deadline` (monotonic) has passed; returns what is wrong, None if nothing.

    Tasks come and go meanwhile, so one miss proves nothing.
    """
    while True:
        problem = await asyncio.to_thread(_ask_once, question, port)
        if problem is None or time.monotonic() >= deadline:
            return problem
        await asyncio.sleep(0.25)


def _ask_once(question: Question, port: int) -> str | None:
    try:
        reply = dnsclient.ask(("127.0.0.1", port), question.name, question.record_type, tcp=question.tcp)
    except (OSError, dnsclient.BadReplyError) as error:
        return f"{type(error).__name__}: {error}"
    if reply.rcode != question.rcode:
        return f"{reply.rcode}, expected {question.rcode}"
    if question.rcode == "NOERROR" and not reply.answers:
        return f"no {question.record_type} records in the answer"
    print(f"  ok  {question.record_type:4} {question.name} {' | '.join(sorted(reply.answers)) or reply.rcode}")
    return None


async def fetch(page: Page, port: int, deadline: float) -> str | None:
    """Fetch until the answer is as expected or `deadline` has passed; returns what is wrong, None if nothing."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while True:
            problem = await _fetch_once(session, page, port)
            if problem is None or time.monotonic() >= deadline:
                return problem
            await asyncio.sleep(0.25)


async def _fetch_once(session: aiohttp.ClientSession, page: Page, port: int) -> str | None:
    try:
        async with session.get(f"http://127.0.0.1:{port}{page.path}") as response:
            text = await response.text()
    except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError) as error:
        return f"{type(error).__name__}: {error}"
    if response.status != 200 or page.expect not in text:
        return f"HTTP {response.status}, expected 200 with {page.expect!r}; got {text[:200]!r}"
    print(f"  ok  GET  {page.path} ({len(text)} characters)")
    return None


async def run(applications: Iterable[Application], dns_port: int, http_port: int, *, seconds: float = 15.0) -> bool:
    """Try everything once, printing each result; returns whether all went well."""
    deadline = time.monotonic() + seconds
    chosen = tuple(applications)
    problems = [
        f"{question.line(dns_port)}: {problem}"
        for question in questions(chosen)
        if (problem := await ask(question, dns_port, deadline)) is not None
    ]
    problems += [
        f"{page.line(http_port)}: {problem}"
        for page in pages(chosen)
        if (problem := await fetch(page, http_port, deadline)) is not None
    ]
    for problem in problems:
        print(f"  FAILED  {problem}")
    return not problems
