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
from tests.test_docs import ROOT

from mesos_dns import cli
from mesos_dns.config import load
from mesos_dns.web import server
from mesos_dns.web.paths import Endpoint, Match, match
from mesos_dns.workers import handle

CONTAINERFILE = (ROOT / "packaging" / "Containerfile").read_text()
APP = json.loads((ROOT / "packaging" / "marathon.json").read_text())

# --- Containerfile -------------------------------------------------------------------------------


def instructions(name: str) -> list[str]:
    """What follows each instruction of this name, continued lines joined."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    return re.findall(rf"^{name} +(.*)$", text, re.MULTILINE)


def in_exec_form(name: str) -> list[str]:
    (told,) = instructions(name)
    found = json.loads(told[told.index("[") :])
    assert all(isinstance(word, str) for word in found)
    return found


def test_every_line_is_an_instruction() -> None:
    known = "FROM|COPY|RUN|ENV|USER|EXPOSE|HEALTHCHECK|STOPSIGNAL|ENTRYPOINT|CMD"
    lines = re.sub(r"\\\n", " ", CONTAINERFILE).splitlines()
    assert [line for line in lines if line and not re.match(rf"#|({known}) ", line)] == []
    assert len(instructions("FROM")) == 2
    user, group = map(int, instructions("USER")[0].split(":"))
    assert user > 0 < group


def test_the_image_starts_the_program_with_flags_that_it_knows() -> None:
    assert in_exec_form("ENTRYPOINT") == ["/opt/mesos-dns/bin/mesos-dns"]
    assert cli.parse(in_exec_form("CMD")).config == "/etc/mesos-dns/config.json"


def test_the_shell_understands_what_is_run() -> None:
    lines = instructions("RUN")
    assert lines
    for line in lines:
        subprocess.run(["/bin/sh", "-n", "-c", line], check=True, timeout=30)


def test_the_image_takes_what_make_build_leaves() -> None:
    recipe = re.search(r"^build:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    assert "hatchling build" in recipe[1]
    assert instructions("COPY")[0].split()[:-1] == ["dist/mesos_dns-*.whl", "dist/constraints.txt"]
    assert "> dist/constraints.txt" in recipe[1]


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_the_health_check_of_the_image() -> None:
    _, *arguments = in_exec_form("HEALTHCHECK")
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
