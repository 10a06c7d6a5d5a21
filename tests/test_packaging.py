"""What else is packaged, held against the program: the image, and the app of Marathon."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from tests.integration import containerfile
from tests.integration.containerfile import Instruction
from tests.test_docs import ROOT

from mesos_dns import cli
from mesos_dns.config import load
from mesos_dns.web import server
from mesos_dns.web.paths import Endpoint, Match, match
from mesos_dns.workers import handle

CONTAINERFILE = (ROOT / "packaging" / "Containerfile").read_text()
APP = json.loads((ROOT / "packaging" / "marathon.json").read_text())

# --- Containerfile -------------------------------------------------------------------------------


def told(name: str) -> list[Instruction]:
    """The instructions of this name."""
    return [each for each in containerfile.instructions(CONTAINERFILE) if each.name == name]


def test_there_are_two_stages_and_no_root() -> None:
    assert len(told("FROM")) == 2
    user, group = map(int, told("USER")[0].told.split(":"))
    assert user > 0 < group


def test_unknown_instructions_are_told() -> None:
    with pytest.raises(ValueError, match="unknown instruction ADD"):
        containerfile.instructions("FROM base\nADD a /b\n")


def test_the_image_starts_the_program_with_flags_that_it_knows() -> None:
    assert told("ENTRYPOINT")[0].words == ["/opt/mesos-dns/bin/mesos-dns"]
    assert cli.parse(told("CMD")[0].words).config == "/etc/mesos-dns/config.json"


def test_the_shell_understands_what_is_run() -> None:
    steps = told("RUN")
    assert steps
    for step in steps:
        subprocess.run(["/bin/sh", "-n", "-c", step.told], check=True, timeout=30)


def test_the_image_takes_what_make_build_leaves() -> None:
    recipe = re.search(r"^build:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    assert "hatchling build" in recipe[1]
    assert told("COPY")[0].told.split()[:-1] == ["dist/mesos_dns-*.whl", "dist/constraints.txt"]
    assert "> dist/constraints.txt" in recipe[1]


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_the_health_check_of_the_image() -> None:
    _, *arguments = told("HEALTHCHECK")[0].words
    served = HTTPServer(("127.0.0.1", 0), Healthy)
    threading.Thread(target=served.handle_request).start()
    environment = {**os.environ, "MESOS_DNS_HTTP_PORT": str(served.server_port)}
    codes = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, timeout=60, check=False
        )
        codes.append(done.returncode)
        served.server_close()
    assert codes == [0, 1]


# --- Marathon --------------------------------------------------------------------------------------


def test_the_app_has_a_configuration_without_problems_and_warnings() -> None:
    loaded = load(None, APP["env"])
    assert loaded.warnings == ()
    ports = {each["name"]: (each["port"], each["protocol"]) for each in APP["portDefinitions"]}
    assert ports == {"dns": (loaded.config.port, "udp,tcp"), "http": (loaded.config.http_port, "tcp")}


def test_the_app_calls_what_it_fetches() -> None:
    variable, replace, program, *flags = shlex.split(APP["cmd"])
    assert variable.startswith("SHIV_ROOT=$MESOS_SANDBOX/")
    # Otherwise SIGTERM goes to a shell.
    assert replace == "exec"
    assert program.rpartition("/")[2] == APP["fetch"][0]["uri"].rpartition("/")[2]
    cli.parse(flags)


@pytest.mark.parametrize(
    ("check", "endpoint"), [("healthChecks", Endpoint.HEALTH), ("readinessChecks", Endpoint.READINESS)]
)
def test_the_app_is_asked_for_what_exists(check: str, endpoint: Endpoint) -> None:
    (found,) = APP[check]
    assert match(found["path"]) == Match(endpoint)


def test_the_app_is_given_the_time_that_its_end_takes() -> None:
    lame_duck = load(None, APP["env"]).config.lame_duck_seconds
    assert APP["taskKillGracePeriodSeconds"] > lame_duck + handle.STOP_SECONDS + server.HTTP_STOP_SECONDS
    # Two intervals and more: load balancers look that often, too.
    assert lame_duck > APP["healthChecks"][0]["intervalSeconds"]
