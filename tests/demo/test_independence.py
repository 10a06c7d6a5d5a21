"""The witness shares no code with the server."""

import ast
import sys
from pathlib import Path

import mesos_dns.demo

FOLDER = Path(mesos_dns.demo.__file__).parent


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            yield node.module


def test_the_demo_imports_the_standard_library_aiohttp_and_itself():
    foreign = {
        (path.name, name)
        for path in FOLDER.glob("*.py")
        for name in imported(path)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and name != "aiohttp"
        and not name.startswith("mesos_dns.demo")
    }

    assert foreign == set()


def test_the_deterministic_core_has_no_clock_socket_or_loop_in_reach():
    core = (
        "access",
        "agenda",
        "catalog",
        "cluster",
        "document",
        "election",
        "generator",
        "identity",
        "ledger",
        "masterinfo",
        "parts",
        "releases",
        "simulation",
        "since",
        "v1",
        "v1_document",
        "wire",
        "workload",
        "world",
    )

    reached = {(name, module) for name in core for module in imported(FOLDER / f"{name}.py")}

    assert not {(name, module) for name, module in reached if module in {"time", "socket", "asyncio", "aiohttp", "os"}}


def test_kazoo_is_loaded_in_one_place_only_and_only_when_wanted():
    loading = {path.name for path in FOLDER.glob("*.py") if "import_module" in path.read_text()}

    assert loading == {"registration.py"}
