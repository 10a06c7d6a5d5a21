"""Makes what watches the program: docs/metrics.md, alert rules for Prometheus and a dashboard for Grafana.

Metrics are those that the source declares; what is worth watching stands in tools/watched.py.

    python -m tools.monitoring            prints what is not up to date
    python -m tools.monitoring --write    writes all of it
"""

import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mesos_dns
from mesos_dns import metrics
from mesos_dns.metrics import Metric, with_worker
from mesos_dns.web.exposition import shown_name
from tools.watched import ROWS, Panel, alerts

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "metrics.md"
RULES = ROOT / "packaging" / "prometheus" / "mesos-dns.rules.yml"
DASHBOARD = ROOT / "packaging" / "grafana" / "mesos-dns.json"

#: Panels beside each other, in Grafana's grid of 24 columns, and their height.
_ACROSS, _WIDTH, _HEIGHT = 3, 8, 8
_NAME = re.compile(r"\b((?:mesos_dns|process)_[a-z_]+)(?:\{([^}]*)\})?")


def declared() -> Mapping[str, Metric]:
    """What all modules of the program declare."""
    for module in pkgutil.walk_packages(mesos_dns.__path__, "mesos_dns."):
        if not module.name.endswith("__main__") and ".demo" not in module.name:
            importlib.import_module(module.name)
    return metrics.declared()


def shown() -> set[str]:
    """All names that a query may use."""
    found: set[str] = set()
    for metric in declared().values():
        name = shown_name(metric)
        histogram = metric.kind == metrics.HISTOGRAM
        found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if histogram else {name}
    return found


def names_in(expr: str) -> set[str]:
    """The metrics that an expression names."""
    return {found[1] for found in _NAME.finditer(expr)}


# --- docs/metrics.md ---------------------------------------------------------------------------

INTRODUCTION = """\
# Metrics

`GET /metrics` on `HttpPort` shows what the program counts and measures: the Prometheus text format, or OpenMetrics for whoever asks for that by `Accept`. One
request shows all processes, control and workers. To have it scraped, and for the alert rules and the dashboard: [operations.md](operations.md#monitoring).

Counters only ever grow: neither a worker that is replaced nor a reload makes one step back. They begin anew when the program does. Whatever is asked by the network, the number of
series stays the same: what has no name in the tables below is `other`. Names follow CoreDNS where it has the same.

This page is made from the source (`python -m tools.monitoring --write`).

## What counting costs, and what is left out for it

A query that the response cache answers costs some microseconds, and to count it by type, RCODE and size would take a tenth more. So nothing is counted for it but the hit. How often each kept
response was given is known where it is kept, and from that follow type, RCODE and sizes. A worker looks at 2048 kept responses in half a second. So:

* `dns_requests`, `dns_responses` and the sizes are late by half a second, with 100,000 different questions in the cache by half a minute, and then exact. `cache_hits` and `cache_misses` are not late.
* Sizes of queries leave out the options of their OPT records (cookies, for example): the cache does not know them.
* `family` is that of the socket. At a socket for both (`Listener` `::`) it is `both`.
* A worker that is killed has not told its last half second.
* To look takes a worker up to 1 ms of each half second while questions come, and nothing while none do. A scrape takes control 2 to 5 ms, as the machine is busy, with 100,000 tasks as well ([performance.md](performance.md#scrapes-and-explanations)).
* How long an answer of our own takes is not measured: two looks at the clock would cost as much as a tenth of it. What clients wait for shows from outside, with a probe
  (`blackbox_exporter`); what the processors do is in `process_cpu_seconds_total`. How long upstreams take is measured for each question.

## Metrics
"""

ALERTS = """\

## Alerts

The rules are in `packaging/prometheus/mesos-dns.rules.yml`; change the thresholds to what your cluster is used to.

For each of them [runbook.md](runbook.md) says more.

| Alert | Severity | When | What it means | What to do |
|---|---|---|---|---|
"""


def page() -> str:
    """The whole page docs/metrics.md."""
    rows = ["| Metric | Kind | Labels | What |", "|---|---|---|---|"]
    for metric in sorted(declared().values(), key=shown_name):
        labels = "; ".join(map(_label, (with_worker(metric) if metric.by_worker else metric).labels))
        rows.append(f"| `{shown_name(metric)}` | {metric.kind} | {labels} | {metric.help} |")
    table = [
        f"| `{alert.name}` | {alert.severity} | `{_cell(alert.expr)}`"
        f"{'' if alert.hold == '0m' else ' for ' + alert.hold} | {_cell(_plain(alert.summary))} | {_cell(alert.action)} |"
        for alert in alerts()
    ]
    return "\n".join([INTRODUCTION, *rows, ""]) + ALERTS + "\n".join([*table, ""])


def _label(label: tuple[str, tuple[str, ...]]) -> str:
    name, values = label
    return f"`{name}`" + (f": {', '.join(values)}" if values else "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _plain(summary: str) -> str:
    """A summary for people, whose templates are names."""
    text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: f"*{found[1]}*", summary)
    return re.sub(r"\{\{ \$value[^}]*\}\}", "*N*", text)


# --- rules -------------------------------------------------------------------------------------


def rules() -> str:
    """The alert rules. Texts are written as JSON strings, which YAML takes."""
    lines = [
        "# Alert rules for Mesos-DNS. Made by `python -m tools.monitoring --write`; see docs/metrics.md.",
        "groups:",
        "  - name: mesos-dns",
        "    rules:",
    ]
    for alert in alerts():
        lines += [
            f"      - alert: {alert.name}",
            f"        expr: {json.dumps(alert.expr)}",
            *([] if alert.hold == "0m" else [f"        for: {alert.hold}"]),
            "        labels:",
            f"          severity: {alert.severity}",
            "        annotations:",
            f"          summary: {json.dumps(alert.summary)}",
            f"          description: {json.dumps(alert.action)}",
            f"          runbook: docs/runbook.md#{alert.name.lower()}",
        ]
    return "\n".join([*lines, ""])


# --- dashboard ---------------------------------------------------------------------------------


def dashboard() -> str:
    """The dashboard, as Grafana imports it."""
    found: dict[str, Any] = {
        "uid": "mesos-dns",
        "title": "Mesos-DNS",
        "tags": ["dns", "mesos"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": [*_panels()],
    }
    return json.dumps(found, indent=1) + "\n"


def _variables() -> list[dict[str, Any]]:
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        {
            "name": "instance",
            "label": "Instance",
            "type": "query",
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "query": "label_values(mesos_dns_build_info, instance)",
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def _panels() -> Iterator[dict[str, Any]]:
    number = at = 0
    for row in ROWS:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": at},
        }
        at += 1
        for place, panel in enumerate(row.panels):
            number += 1
            position = {"h": _HEIGHT, "w": _WIDTH, "x": place % _ACROSS * _WIDTH, "y": at + place // _ACROSS * _HEIGHT}
            yield _panel(number, panel, position)
        at += -(-len(row.panels) // _ACROSS) * _HEIGHT


def _panel(number: int, panel: Panel, position: Mapping[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": "\n\n".join(f"{alert.name}: {alert.action}" for alert in panel.alerts),
        "datasource": source,
        "gridPos": position,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": source, "expr": for_instance(expr), "legendFormat": legend}
            for place, (expr, legend) in enumerate(panel.queries)
        ],
    }


def for_instance(expr: str) -> str:
    """The expression about those instances that are chosen in Grafana."""
    chosen = 'instance=~"$instance"'
    return _NAME.sub(lambda found: f"{found[1]}{{{found[2] + ',' if found[2] else ''}{chosen}}}", expr)


# --- all of it ---------------------------------------------------------------------------------


def made() -> dict[Path, str]:
    """All files, and what they should hold."""
    return {PAGE: page(), RULES: rules(), DASHBOARD: dashboard()}


def main() -> None:
    """Say what is not up to date, or write it."""
    for path, text in made().items():
        if sys.argv[1:] == ["--write"]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{path.relative_to(ROOT)} is not up to date: python -m tools.monitoring --write")


if __name__ == "__main__":
    main()
