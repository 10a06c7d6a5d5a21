"""Who may import what: the one-way flow of the program, held by its import statements.

    mesos/ (edge) → names/ (pure) → serve/ (edge) → clients, and web/ beside it.

What breaks a rule for a good reason stands in a table with that reason; what is no longer needed there
fails, too.
"""

import ast
from pathlib import Path

import pytest

import mesos_dns

ROOT = Path(mesos_dns.__file__).parent


def module_of(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_of(path): path for path in sorted(ROOT.rglob("*.py"))}
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in SOURCES.items()}


def absolute(module, node):
    """The module that `from … import` names, with leading dots resolved."""
    if not node.level:
        return node.module or ""
    package = module if SOURCES[module].name == "__init__.py" else module.rpartition(".")[0]
    parts = package.split(".")
    above = parts[: len(parts) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def imports_of(module):
    """Every module that `module` imports, anywhere in it; for `from a import b` also a.b if that is a module."""
    found = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = absolute(module, node)
            members = {f"{origin}.{alias.name}" for alias in node.names}
            submodules = members & SOURCES.keys()
            found |= submodules
            # `from package import module` does not use the package itself.
            if len(submodules) < len(members):
                found.add(origin)
    return found


IMPORTS = {module: imports_of(module) for module in SOURCES}


def within(module, *packages):
    return any(module == package or module.startswith(package + ".") for package in packages)


def ours(*names):
    return tuple(f"mesos_dns.{name}" for name in names)


#: The command line, and what it puts together. Nothing below may import these.
TOP = ours(
    *("cli", "__main__", "control", "generation", "publisher", "commands", "assembly", "sockets", "workers"),
    *("status", "telemetry", "explaining", "early_signals", "collector", "allocator", "privileges", "landlock"),
    *("process_name", "systemd", "supervision", "query_logs", "query_log_writer", "switching", "collision_watch"),
    *("preflight", "activation"),
)
#: Constants, logging, what is counted, and the one way to start a task: everybody's.
COMMON = ours("limits", "quoting", "logs", "concurrency", "metrics", "certificates", "tls")

PURE_STATE = ours("mesos.state")
#: Typed decoding: octets in, values out.
PURE_MESOS = ours(
    *("mesos.state", "mesos.decoding", "mesos.errors", "mesos.options", "mesos.detect.search", "mesos.source"),
    *("mesos.detect.election", "mesos.detect.masterinfo", "mesos.identity", "mesos.silence", "mesos.view"),
    *("mesos.running", "mesos.doubts", "mesos.asked"),
)
PURE_SERVE = ours(
    *("serve.connections", "serve.cookies", "serve.large", "serve.traffic", "serve.turns", "serve.ratelimit"),
    *("serve.request", "serve.policy", "serve.render", "serve.answer", "serve.fast", "serve.keys", "serve.cache"),
    *("serve.responder", "serve.forward.rewrite", "serve.forward.records", "serve.forward.segments"),
    *("serve.forward.keeping", "serve.forward.cache", "serve.forward.aliases", "serve.forward.outages"),
    *("serve.forward.capability", "serve.forward.health", "serve.forward.upstreams"),
    *("serve.forward.wheel", "serve.forward.options", "serve.forward.observed"),
    *("serve.forward.case", "serve.forward.padding"),
    *("serve.forward.check", "serve.forward.private", "serve.forward.loops", "serve.forward.terms"),
)
#: What probes found, and what it means.
PURE_PREFLIGHT = ours("preflight.findings", "preflight.judging")
PURE_WEB = ours(
    *("web.views", "web.go_json", "web.paths", "web.backend", "web.doh", "web.exposition", "web.filters", "web.trust"),
    *("web.log_filter", "web.listing", "web.search"),
)

#: Of our own modules, all that a part may import, beside itself, `limits` and `quoting`, which are pure.
MAY_IMPORT = {
    "mesos_dns.limits": (),
    "mesos_dns.quoting": (),
    "mesos_dns.concurrency": ours("logs"),
    "mesos_dns.logs": (),
    "mesos_dns.metrics": (),
    "mesos_dns.verdict": (),
    "mesos_dns.history": ours("metrics"),
    "mesos_dns.certificates": (),
    "mesos_dns.tls": ours("certificates"),
    "mesos_dns.dns": (),
    "mesos_dns.mesos": COMMON,
    "mesos_dns.zone": ours("dns"),
    "mesos_dns.querylog": ours("dns"),
    "mesos_dns.names": ours("dns", "zone") + PURE_STATE,
    "mesos_dns.workers.protocol": ours(
        "certificates", "dns", "metrics", "querylog", "zone", "serve.forward.options", "serve.ratelimit"
    ),
    "mesos_dns.workers.propagation": ours("metrics"),
    "mesos_dns.serve.request": ours("dns"),
    "mesos_dns.serve.policy": ours("dns", "serve.request"),
    "mesos_dns.serve.ratelimit": ours("dns", "serve.keys"),
    "mesos_dns.serve.keys": ours("dns"),
    "mesos_dns.serve.large": ours("dns"),
    "mesos_dns.serve.cookies": ours("dns", "serve.keys", "serve.request"),
    "mesos_dns.serve.connections": ours("dns"),
    "mesos_dns.serve.render": ours("dns", "zone", "serve.large", "serve.request"),
    "mesos_dns.serve.turns": (),
    "mesos_dns.serve.traffic": ours("dns", "metrics", "serve.keys", "serve.request"),
    "mesos_dns.serve.cache": ours("serve.render", "serve.request", "serve.traffic", "serve.turns"),
    "mesos_dns.serve.answer": ours("dns", "zone", "serve.render", "serve.request"),
    "mesos_dns.serve.fast": ours("dns", "zone", "serve.answer", "serve.keys", "serve.render"),
    "mesos_dns.serve.forward.records": ours("dns"),
    "mesos_dns.serve.forward.segments": (),
    "mesos_dns.serve.forward.keeping": ours("dns", "serve.forward.records"),
    "mesos_dns.serve.forward.cache": ours(
        "dns", *(f"serve.forward.{part}" for part in ("keeping", "options", "records", "segments"))
    ),
    "mesos_dns.serve.forward.rewrite": ours("dns", "serve.request", "serve.forward.records"),
    "mesos_dns.serve.forward.capability": (),
    "mesos_dns.serve.forward.health": ours("serve.forward.capability"),
    "mesos_dns.serve.forward.upstreams": ours("serve.forward.health"),
    "mesos_dns.serve.forward.observed": ours("metrics", "serve.forward.health", "serve.forward.options"),
    "mesos_dns.serve.forward.wheel": (),
    "mesos_dns.serve.forward.case": (),
    "mesos_dns.serve.forward.padding": (),
    "mesos_dns.serve.forward.options": (),
    "mesos_dns.serve.forward.check": ours("dns", "serve.forward.records", "serve.forward.rewrite"),
    "mesos_dns.serve.forward.outages": ours("serve.forward.upstreams"),
    "mesos_dns.serve.forward.aliases": ours(
        *("dns", "serve.request"), *(f"serve.forward.{part}" for part in ("check", "records", "rewrite"))
    ),
    "mesos_dns.serve.forward.private": ours("dns", "serve.request"),
    "mesos_dns.serve.forward.loops": ours("dns", "serve.forward.options", "serve.request"),
    "mesos_dns.serve.forward.terms": ours(
        *("dns", "metrics", "serve.request"),
        *(f"serve.forward.{part}" for part in ("loops", "options", "private")),
    ),
    "mesos_dns.serve.responder": (*ours("dns", "metrics"), *PURE_SERVE),
    "mesos_dns.serve": COMMON + ours("dns", "querylog"),
    "mesos_dns.web": COMMON + ours("dns", "history", "names.explanation", "names.model", "zone") + PURE_STATE,
    "mesos_dns.config": ours("certificates", "tls"),
    "mesos_dns.config.query_log": ours("config", "dns", "querylog"),
    "mesos_dns.demo": (),
}

#: What touches the outside world, or is a matter of the moment.
IMPURE = {"asyncio", "socket", "time", "logging", "aiohttp", "kazoo", "ssl", "subprocess", "threading", "os", "select"}


def part_of(module):
    """The most special entry of MAY_IMPORT that `module` belongs to."""
    return max((part for part in MAY_IMPORT if within(module, part)), key=len, default=None)


def forbidden(module):
    """What `module` imports of ours although its part may not."""
    part = part_of(module)
    if part is None:
        return []
    allowed = (part, "mesos_dns.limits", "mesos_dns.quoting", *MAY_IMPORT[part])
    found = (imported for imported in IMPORTS[module] if within(imported, "mesos_dns"))
    # The package itself holds nothing but the version.
    return [imported for imported in found if imported != "mesos_dns" and not within(imported, *allowed)]


# --- the rules ---------------------------------------------------------------------------------


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_imports_only_what_its_part_may(module):
    assert forbidden(module) == []


@pytest.mark.parametrize(
    "module",
    [
        module
        for module in SOURCES
        if within(
            module,
            *ours(
                "quoting", "certificates", "dns", "names", "querylog", "zone", "workers.protocol", "workers.propagation"
            ),
            *ours("workers.replication", "workers.rotation", "workers.rates", "verdict", "history"),
            *PURE_MESOS,
            *PURE_SERVE,
            *PURE_WEB,
            *PURE_PREFLIGHT,
        )
    ],
)
def test_pure_modules_touch_nothing_outside(module):
    assert {imported for imported in IMPORTS[module] if imported.partition(".")[0] in IMPURE} == set()


@pytest.mark.parametrize("module", [module for module in SOURCES if not within(module, *TOP)])
def test_only_the_top_wires_parts_together(module):
    assert [imported for imported in IMPORTS[module] if within(imported, *TOP)] == []


def demo_itself(module):
    return within(module, "mesos_dns.demo")


@pytest.mark.parametrize("module", [module for module in SOURCES if not demo_itself(module)])
def test_nothing_depends_on_the_simulated_cluster(module):
    assert [imported for imported in IMPORTS[module] if demo_itself(imported)] == []


@pytest.mark.parametrize("module", [module for module in SOURCES if demo_itself(module)])
def test_the_simulated_cluster_is_an_independent_witness(module):
    found = [imported for imported in IMPORTS[module] if within(imported, "mesos_dns") and not demo_itself(imported)]
    assert found == []


def test_a_worker_knows_nothing_of_masters_and_the_web():
    assert [
        m for m in IMPORTS["mesos_dns.workers.worker"] if within(m, *ours("mesos", "web", "config", "control"))
    ] == []


def test_control_answers_no_dns():
    assert [m for m in IMPORTS["mesos_dns.control"] if within(m, *ours("serve", "worker"))] == []


def test_every_module_belongs_to_a_part_or_to_the_top():
    stray = [m for m in SOURCES if part_of(m) is None and not within(m, *TOP) and m != "mesos_dns"]
    assert stray == []


# --- tasks -------------------------------------------------------------------------------------

#: (module, function called): why it does not go through `concurrency.spawn`.
TASKS = {
    ("mesos_dns.concurrency", "create_task"): "the one place",
    ("mesos_dns.demo.live", "create_task"): "a cluster of the demo, which imports nothing of ours",
    ("mesos_dns.demo.runner", "create_task"): "a task group of the demo, which imports nothing of ours",
}


def task_starters(module):
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
            if name in ("create_task", "ensure_future"):
                yield module, name


@pytest.mark.parametrize("module", SOURCES)
def test_tasks_start_in_one_place(module):
    assert [found for found in task_starters(module) if found not in TASKS] == []


# --- clocks --------------------------------------------------------------------------------------

#: Where the wall clock is read, and why: it may jump, so nobody waits for it. Whoever waits takes the steady clock.
WALL_CLOCK = {
    "mesos_dns.control": "when a reload happened, for people",
    "mesos_dns.logs": "when a line was written, for programs",
    "mesos_dns.generation": "where serials begin, which grow whatever it says",
    "mesos_dns.commands.records": "the same",
    "mesos_dns.explaining": "how long ago a change was, whose time is one of this clock",
    "mesos_dns.commands.log": "when a question was answered, for people",
    "mesos_dns.commands.watch": "when a change happened, for people",
    "mesos_dns.status": "for how long the program runs, for people",
    "mesos_dns.commands.status": "when things happened, for people",
    "mesos_dns.config.host": "whether a certificate has expired, which it tells by this clock",
    "mesos_dns.certificates": "its dates, for people",
    "mesos_dns.serve.listening": "when a question was answered, for the query log",
    "mesos_dns.serve.batched": "the same",
    "mesos_dns.serve.recorder": "the same",
    "mesos_dns.workers.answering": "the same",
    "mesos_dns.query_logs": "until when it is on, for people",
    "mesos_dns.querylog.lines": "the form of a time that it is given",
    "mesos_dns.workers.worker": "the age of server cookies, which RFC 9018 tells by it; a wrong one costs no answer",
    "mesos_dns.preflight.masters": "how far this clock is from those of the masters",
    "mesos_dns.preflight.trying": "for how long certificates are valid, which they tell by it",
    "mesos_dns.mesos.http.iam": "the end of a token, which DC/OS tells by it; a token that is refused is replaced at once",
}
WALL_CLOCK_NAMES = {"time", "time_ns", "localtime", "gmtime", "ctime", "strftime", "CLOCK_REALTIME"}


def reads_wall_clock(module):
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "time":
            yield node.attr in WALL_CLOCK_NAMES
        elif isinstance(node, ast.ImportFrom) and node.module in {"time", "datetime"}:
            yield node.module == "datetime" or any(alias.name in WALL_CLOCK_NAMES for alias in node.names)
        elif isinstance(node, ast.Import):
            yield any(alias.name == "datetime" for alias in node.names)


def test_the_wall_clock_is_read_where_it_may_be_only():
    found = {module for module in SOURCES if not demo_itself(module) and any(reads_wall_clock(module))}
    assert found == WALL_CLOCK.keys()


# --- the tables themselves ---------------------------------------------------------------------


def test_every_exception_is_still_needed():
    started = {found for module in SOURCES for found in task_starters(module)}
    assert TASKS.keys() == started


@pytest.mark.parametrize("module", [*TOP, *COMMON, *PURE_MESOS, *PURE_SERVE, *PURE_WEB, *PURE_PREFLIGHT, *MAY_IMPORT])
def test_every_module_that_a_rule_names_exists(module):
    assert module in SOURCES


@pytest.mark.parametrize(
    ("module", "statement", "found"),
    [
        (
            "mesos_dns.zone.zone",
            "from mesos_dns.dns import name, rdata",
            {"mesos_dns.dns.name", "mesos_dns.dns.rdata"},
        ),
        ("mesos_dns.zone.zone", "from ..serve import udp", {"mesos_dns.serve.udp"}),
        ("mesos_dns.zone", "from .zone import Zone", {"mesos_dns.zone.zone"}),
        ("mesos_dns.zone.zone", "import asyncio.events", {"asyncio.events"}),
        ("mesos_dns.zone.zone", "def f():\n    import time", {"time"}),
        ("mesos_dns.zone.zone", "from mesos_dns.limits import MAX_NAME", {"mesos_dns.limits"}),
    ],
)
def test_imports_are_found_whatever_their_form(monkeypatch, module, statement, found):
    monkeypatch.setitem(TREES, module, ast.parse(statement))
    assert imports_of(module) == found
