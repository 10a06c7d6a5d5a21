"""The real program scraped: by promtool, which knows the rules of the format, and by a real Prometheus."""

import http.client
import json
import os
import signal
import subprocess
import time
import urllib.parse
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.integration import client, wire
from tests.integration.masters import Master
from tests.integration.program import PATIENCE, Program, free_port, need, sample_state, until
from tests.integration.test_forwarding import honest, serving

RULES = Path(__file__).parents[2] / "packaging" / "prometheus" / "mesos-dns.rules.yml"
QUESTION = ("web.marathon.mesos.", "A")


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Generator[Program]:
    """One program with two workers and a dead upstream, for all tests of this file."""
    leader = Master(("127.0.0.1", 0), b"")
    leader.body = sample_state(leader.endpoint)
    folder = tmp_path_factory.mktemp("metrics")
    with Program(folder, masters=[leader.endpoint], workers=2, Resolvers=[f"127.0.0.1:{free_port()}"]) as running:
        running.wait_ready()
        yield running
    leader.close()


def numbers(program: Program) -> dict[tuple[Any, ...], float]:
    """Everything that /metrics shows, by name and labels."""
    status, body = program.get("/metrics")
    assert status == 200, body
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def total(program: Program, name: str, **labels: str) -> float:
    """The sum of a metric over all labels that are not given."""
    return sum(
        value for (found, *pairs), value in numbers(program).items() if found == name and labels.items() <= set(pairs)
    )


def test_what_was_asked_and_answered_is_told_to_the_last_packet(scraped: Program) -> None:
    for _ in range(25):
        assert client.ask(scraped.dns, *QUESTION)["rcode"] == "NOERROR"
    for _ in range(3):
        client.ask(scraped.dns, "nobody.marathon.mesos.", "AAAA")
        client.ask(scraped.dns, "www.example.com.", "MX")

    def told() -> bool:
        return total(scraped, "mesos_dns_dns_requests_total") >= 31

    until(told, "the workers never report")
    assert total(scraped, "mesos_dns_dns_requests_total", type="A", proto="udp", family="1") == 25
    assert total(scraped, "mesos_dns_dns_requests_total", type="AAAA") == 3
    assert total(scraped, "mesos_dns_dns_requests_total", type="MX") == 3
    assert total(scraped, "mesos_dns_dns_responses_total", rcode="NOERROR") == 25
    assert total(scraped, "mesos_dns_dns_responses_total", rcode="NXDOMAIN") == 3
    assert total(scraped, "mesos_dns_dns_responses_total", rcode="SERVFAIL") == 3
    assert total(scraped, "mesos_dns_dns_response_size_bytes_count") == 31
    assert total(scraped, "mesos_dns_cache_hits_total") + total(scraped, "mesos_dns_cache_misses_total") == 28


def test_the_cluster_and_the_zone_are_told(scraped: Program) -> None:
    found = numbers(scraped)
    status = json.loads(scraped.get("/v1/status")[1])
    assert found["mesos_dns_ready",] == 1
    assert found["mesos_dns_tasks",] > 0
    assert found["mesos_dns_data_age_seconds",] < PATIENCE
    (zone,) = status["zones"]
    assert found["mesos_dns_zone_names", ("zone", "mesos.")] == zone["names"]
    for worker in status["workers"]:
        labels = ("worker", str(worker["number"])), ("zone", "mesos.")
        assert found["mesos_dns_worker_serial", *labels] == worker["serials"]["mesos."]
        assert found["mesos_dns_worker_up", labels[0]] == 1
    records = json.loads(scraped.get("/v1/axfr")[1])["Records"]
    for rrtype, section in (("A", "As"), ("AAAA", "AAAAs"), ("SRV", "SRVs")):
        count = sum(map(len, records[section].values()))
        assert total(scraped, "mesos_dns_zone_records", type=rrtype) == count
    assert found["mesos_dns_change_propagation_seconds_count",] >= 1


def test_every_process_is_told(scraped: Program) -> None:
    found = numbers(scraped)
    for process in ("control", "worker0", "worker1"):
        for name in ("cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"):
            assert found[f"process_{name}", ("process", process)] > 0
    assert abs(found["process_start_time_seconds", ("process", "control")] - time.time()) < 600


def test_promtool_finds_nothing_to_complain_about(scraped: Program) -> None:
    done = subprocess.run(
        [need("promtool"), "check", "metrics"],
        input=scraped.get("/metrics")[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_counters_do_not_step_back_when_a_worker_is_killed(scraped: Program) -> None:
    before = numbers(scraped)
    os.kill(scraped.workers()[0], signal.SIGKILL)
    until(lambda: total(scraped, "mesos_dns_worker_restarts_total") == 1, "no restart is told")
    scraped.wait_ready()
    after = numbers(scraped)
    back = {
        series: (count, after.get(series))
        for series, count in before.items()
        if series[0].startswith("mesos_dns") and series[0].endswith(("_total", "_bucket", "_sum", "_count"))
        if after.get(series, 0) < count
    }
    assert back == {}


class Prometheus:
    """A real one that scrapes `program` each second, with our rules."""

    def __init__(self, folder: Path, program: Program) -> None:
        self._port = free_port()
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {"job_name": "mesos-dns", "static_configs": [{"targets": [f"127.0.0.1:{program.http_port}"]}]}
            ],
        }
        path = folder / "prometheus.yml"
        path.write_text(json.dumps(config))
        self._log = (folder / "prometheus.log").open("wb")
        self._process = subprocess.Popen(
            [
                need("prometheus"),
                f"--config.file={path}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def get(self, path: str, **parameters: str) -> Any:
        """What its API says; None while it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            connection.request("GET", f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
            return json.loads(connection.getresponse().read())["data"]
        except (OSError, ValueError, KeyError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def value(self, query: str) -> float | None:
        """The value of a query with one result."""
        found = self.get("query", query=query)
        results = found["result"] if found else []
        return float(results[0]["value"][1]) if len(results) == 1 else None


@pytest.fixture(scope="module")
def prometheus(scraped: Program, tmp_path_factory: pytest.TempPathFactory) -> Generator[Prometheus]:
    running = Prometheus(tmp_path_factory.mktemp("prometheus"), scraped)
    yield running
    running.close()


def test_a_real_prometheus_scrapes_it_in_its_own_format(scraped: Program, prometheus: Prometheus) -> None:
    until(lambda: prometheus.value('up{job="mesos-dns"}') == 1, "Prometheus never scrapes it", 60)
    until(lambda: prometheus.value("mesos_dns_ready") == 1, "the program is not ready", 60)
    (target,) = prometheus.get("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    assert prometheus.value("mesos_dns_zone_serial") == json.loads(scraped.get("/v1/status")[1])["zones"][0]["serial"]
    kinds = prometheus.get("metadata")
    assert kinds["mesos_dns_dns_response_size_bytes"][0]["type"] == "histogram"
    assert all(entry[0]["help"] for name, entry in kinds.items() if name.startswith("mesos_dns"))


def test_a_real_prometheus_evaluates_the_rules(scraped: Program, prometheus: Prometheus) -> None:
    def evaluated() -> list[dict[str, Any]]:
        found = prometheus.get("rules")
        rules = found["groups"][0]["rules"] if found and found["groups"] else []
        return rules if all(rule["health"] != "unknown" for rule in rules) else []

    rules = until(evaluated, "no rule is evaluated", 60)
    assert {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"} == {}
    scraped.write_config("{")
    os.kill(scraped.pid, signal.SIGHUP)

    def told() -> list[str]:
        names = [alert["labels"]["alertname"] for alert in (prometheus.get("alerts") or {"alerts": []})["alerts"]]
        return [name for name in names if name == "MesosDnsConfigRefused"]

    until(told, "nobody is told of the bad configuration", 60)


def test_upstreams_are_told_by_name_with_the_time_that_they_take(master: Master, tmp_path: Path) -> None:
    with (
        serving(honest) as (upstream,),
        Program(tmp_path, masters=[master.endpoint], Resolvers=[upstream.text]) as program,
    ):
        program.wait_ready()
        assert client.ask(program.dns, "www.example.com.", "A")["rcode"] == "NOERROR"
        name = "mesos_dns_forward_request_duration_seconds_count"
        until(lambda: total(program, name, to=upstream.text) == 1, "its answer is not told")
        assert total(program, "mesos_dns_forward_requests_total", to=upstream.text) == 1
        assert total(program, "mesos_dns_forward_failures_total", to=upstream.text) == 0
        assert total(program, "mesos_dns_forward_upstream_up", to=upstream.text) >= 1


def test_questions_that_are_forwarded_the_short_way_are_told_as_well(master: Master, tmp_path: Path) -> None:
    """Names beside others that were asked for, one by one and many at once."""
    with (
        serving(honest) as (upstream,),
        Program(tmp_path, masters=[master.endpoint], Resolvers=[upstream.text], workers=1) as program,
    ):
        program.wait_ready()
        for n in range(10):
            assert client.ask(program.dns, f"host{n}.example.com.", "A")["rcode"] == "NOERROR"
        queries = [wire.query(n, f"many{n}.example.com.", "A") for n in range(40)]
        assert {reply["rcode"] for reply in client.ask_all(program.dns, queries)} == {"NOERROR"}
        until(lambda: total(program, "mesos_dns_dns_responses_total") >= 50, "the worker never reports")
        assert total(program, "mesos_dns_dns_requests_total", type="A") == 50
        assert total(program, "mesos_dns_dns_responses_total", rcode="NOERROR") == 50
        assert total(program, "mesos_dns_forward_requests_total", to=upstream.text) == 50
        assert total(program, "mesos_dns_forward_request_duration_seconds_count", to=upstream.text) == 50
        assert total(program, "mesos_dns_forwarded_total") == 50
