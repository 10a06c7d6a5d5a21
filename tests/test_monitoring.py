"""What watches the program names what exists, is up to date, and is understood by Prometheus."""

import json
import re
import shutil
import subprocess

import pytest
from tools import monitoring
from tools.watched import ROWS, alerts, expressions

from mesos_dns.metrics import COUNTER, GAUGE, HISTOGRAM, OTHER


def promtool():
    found = shutil.which("promtool", path="/usr/local/bin:/usr/bin:/bin")
    if found is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    return found


@pytest.mark.parametrize("path", monitoring.made(), ids=lambda path: path.name)
def test_what_is_made_is_up_to_date(path):
    assert path.read_text() == monitoring.made()[path], "python -m tools.monitoring --write"


@pytest.mark.parametrize("expr", expressions())
def test_every_metric_that_is_watched_exists(expr):
    named = monitoring.names_in(expr)
    assert named or expr.startswith("up{")
    assert named <= monitoring.shown()


def test_what_does_not_exist_is_found():
    assert monitoring.names_in('rate(mesos_dns_nonsense_total{a="b"}[5m]) / process_open_fds') == {
        *("mesos_dns_nonsense_total", "process_open_fds")
    }
    assert "mesos_dns_nonsense_total" not in monitoring.shown()


def test_alerts_have_names_of_their_own_and_say_what_to_do():
    names = [alert.name for alert in alerts()]
    assert len(set(names)) == len(names)
    assert all(alert.severity in {"info", "warning", "critical"} for alert in alerts())
    assert all(alert.summary.endswith(".") and alert.action.endswith(".") for alert in alerts())


@pytest.mark.parametrize("metric", monitoring.declared().values(), ids=lambda metric: metric.name)
def test_names_and_labels_are_those_of_the_formats(metric):
    """Units are base units, `_total` is put on by the exposition, and no label has a value without bound."""
    assert metric.kind in {COUNTER, GAUGE, HISTOGRAM}
    assert metric.name.replace("_", "").isalnum()
    assert metric.name == metric.name.lower()
    assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket", "_ms", "_octets", "_info_info"))
    assert metric.help.endswith(".")
    assert [*metric.buckets] == sorted(set(metric.buckets))
    assert len(metric.labels) == len({label for label, _ in metric.labels})
    assert not metric.by_worker or metric.kind == GAUGE
    assert all(len(values) < 32 and "" not in values and values.count(OTHER) <= 1 for _, values in metric.labels)


def test_the_rules_are_understood():
    done = subprocess.run(
        [promtool(), "check", "rules", str(monitoring.RULES)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(alerts())} rules found" in done.stdout


#: Series as promtool's tests write them, and the alert that they raise after so long; none a moment before.
CASES = [
    ("mesos_dns_data_age_seconds", "0+60x20", "7m", "MesosDnsDataOld"),
    ("mesos_dns_source_failures_in_a_row", "0 1 2 3 4 5 6 7 8 9 10", "7m", "MesosDnsNoLeader"),
    ("mesos_dns_worker_restarts_total", "0 0 3 3 3", "4m", "MesosDnsWorkerFlapping"),
    ("mesos_dns_worker_up", "1 1 0 0 0 0", "4m", "MesosDnsWorkerDown"),
    ("mesos_dns_forward_upstream_up", "1 0 0 0 0 0 0", "4m", "MesosDnsUpstreamDead"),
    ("mesos_dns_framework_name_collisions", "1x30", "16m", "MesosDnsCollisions"),
    ("mesos_dns_udp_queue_dropped_total", "0+600x20", "10m", "MesosDnsQueueDrops"),
    ("mesos_dns_ready", "1 0 0 0 0 0", "4m", "MesosDnsNotReady"),
]


def test_rules_fire_when_they_should(tmp_path):
    """Promtool plays each case alone, in minutes: at its time the alert is there, at the beginning it is not."""
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": f'{series}{{instance="a",job="mesos-dns"}}', "values": values}],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)',
                    "eval_time": at,
                    "exp_samples": [{"labels": "{}", "value": fires}],
                }
                for at, fires in ((time, 1), ("0m", 0))
            ],
        }
        for series, values, time, name in CASES
    ]
    cases = tmp_path / "cases.yml"
    cases.write_text(json.dumps({"rule_files": [str(monitoring.RULES)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run(
        [promtool(), "test", "rules", str(cases)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_has_every_panel_and_asks_for_the_chosen_instances():
    board = json.loads(monitoring.DASHBOARD.read_text())
    graphs = [panel for panel in board["panels"] if panel["type"] == "timeseries"]
    assert [panel["title"] for panel in graphs] == [panel.title for row in ROWS for panel in row.panels]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in graphs:
        assert all('instance=~"$instance"' in target["expr"] for target in panel["targets"])
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("mesos_dns_ready", 'mesos_dns_ready{instance=~"$instance"}'),
        (
            'rate(process_cpu_seconds_total{process="a"}[5m])',
            'rate(process_cpu_seconds_total{process="a",instance=~"$instance"}[5m])',
        ),
    ],
)
def test_expressions_for_an_instance(expr, expected):
    assert monitoring.for_instance(expr) == expected


def test_the_configuration_in_the_documentation_is_understood(tmp_path):
    text = (monitoring.ROOT / "docs" / "operations.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    config = tmp_path / "prometheus.yml"
    config.write_text(block.replace("/etc/prometheus/mesos-dns.rules.yml", str(monitoring.RULES)))
    done = subprocess.run(
        [promtool(), "check", "config", str(config)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
