"""What an operator should see, and be told of: the one list of which alert rules, the dashboard and a table of docs/metrics.md are made.

Expressions name metrics as they are shown, without a selector for the instance: the dashboard puts one in.
"""

from typing import Final, NamedTuple


class Alert(NamedTuple):
    """Somebody is told when `expr` has been true for as long as `hold`. `action` says what to do, in one or two sentences."""

    name: str
    expr: str
    hold: str
    severity: str
    summary: str
    action: str


class Panel(NamedTuple):
    """A graph: expressions with the legend of each, in a unit of Grafana; and what it may raise."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    alerts: tuple[Alert, ...] = ()


class Row(NamedTuple):
    """Panels about one thing."""

    title: str
    panels: tuple[Panel, ...]


CLUSTER: Final = Row(
    "Cluster",
    (
        Panel(
            "Ready",
            "short",
            (("mesos_dns_ready", "{{instance}}"),),
            (
                Alert(
                    *("MesosDnsDown", 'up{job="mesos-dns"} == 0', "1m", "critical"),
                    "{{ $labels.instance }} does not answer Prometheus.",
                    "Look whether the process runs (systemctl status mesos-dns), and at its log. Clients should have another server.",
                ),
                Alert(
                    *("MesosDnsNotReady", "mesos_dns_ready == 0", "2m", "critical"),
                    "{{ $labels.instance }} has no names, or a worker does not serve them.",
                    "`curl http://HOST:8123/readyz` says why. Do not restart it while the masters cannot be reached.",
                ),
            ),
        ),
        Panel(
            "Age of the data",
            "s",
            (("mesos_dns_data_age_seconds", "{{instance}}"),),
            (
                Alert(
                    *("MesosDnsDataOld", "mesos_dns_data_age_seconds > 300", "1m", "warning"),
                    "{{ $labels.instance }} has heard nothing of the cluster for {{ $value | humanizeDuration }}; names stay as they were.",
                    "`/readyz` and the log say what fails: see whether the leading master is up, and whether this machine can reach it.",
                ),
                Alert(
                    *("MesosDnsDataVeryOld", "mesos_dns_data_age_seconds > 3600", "1m", "critical"),
                    "{{ $labels.instance }} answers with names that are {{ $value | humanizeDuration }} old.",
                    "Tasks that moved since are not found. Bring the masters back; do not restart Mesos-DNS meanwhile, it would have no names.",
                ),
            ),
        ),
        Panel(
            "How the cluster is followed",
            "short",
            (
                ("mesos_dns_source_using", "{{instance}} {{using}}"),
                ("mesos_dns_source_failures_in_a_row", "{{instance}} failures in a row"),
                ("mesos_dns_detector_connected", "{{instance}} ZooKeeper"),
            ),
            (
                Alert(
                    *("MesosDnsNoLeader", "mesos_dns_source_failures_in_a_row >= 5", "2m", "warning"),
                    "{{ $labels.instance }} finds no leading master that answers.",
                    "Ask the masters who leads (`/master/redirect`), and ZooKeeper. `/v1/status` shows the last error.",
                ),
                Alert(
                    *("MesosDnsZooKeeperSilent", "mesos_dns_detector_connected == 0", "5m", "warning"),
                    "{{ $labels.instance }} does not hear ZooKeeper; the masters that it named last are asked.",
                    "Check the ensemble of `Zk` (`echo ruok | nc HOST 2181`). Names are served meanwhile.",
                ),
                Alert(
                    *("MesosDnsLeaderFlapping", "increase(mesos_dns_leader_changes_total[30m]) > 3", "0m", "warning"),
                    "The leading master that {{ $labels.instance }} follows changed {{ $value | humanize }} times in half an hour.",
                    "Look at the masters' logs. If it goes to and fro between two, `Masters` names two clusters.",
                ),
            ),
        ),
        Panel(
            "Tasks, agents, frameworks",
            "short",
            (
                ("mesos_dns_tasks", "{{instance}} tasks"),
                ("mesos_dns_agents", "{{instance}} agents"),
                ("mesos_dns_frameworks", "{{instance}} frameworks"),
            ),
        ),
        Panel(
            "Held, left out, shared",
            "short",
            (
                ("mesos_dns_held", "{{instance}} held {{kind}}"),
                ("mesos_dns_skipped_names", "{{instance}} without some name: {{reason}}"),
                ("mesos_dns_skipped_state_parts", "{{instance}} of no use in the state: {{reason}}"),
                ("mesos_dns_skipped_event_parts", "{{instance}} of no use in events: {{reason}}"),
                ("mesos_dns_framework_name_collisions", "{{instance}} names of several frameworks"),
                ("mesos_dns_name_collisions", "{{instance}} names that collide: {{kind}}"),
                ("mesos_dns_unhealthy_left_out", "{{instance}} unhealthy"),
            ),
            (
                Alert(
                    *("MesosDnsHeldLong", "sum by (instance, job) (mesos_dns_held) > 0", "30m", "warning"),
                    "{{ $labels.instance }} serves {{ $value }} agents, frameworks or tasks that the masters do not show.",
                    "`holding` in `/v1/status` says because of what. After a failover agents should be back by now; or the principal lacks rights.",
                ),
                Alert(
                    *(
                        "MesosDnsCollisions",
                        'mesos_dns_framework_name_collisions > 0 or mesos_dns_skipped_names{reason="reserved name"} > 0',
                    ),
                    *("15m", "info"),
                    "On {{ $labels.instance }} several frameworks have one name in DNS, or one has a name that is taken.",
                    "Tasks of one name share their records then. Rename a framework; `/v1/enumerate` shows whose records they are.",
                ),
                Alert(
                    *("MesosDnsNamesLeftOut", "sum by (instance, job) (mesos_dns_skipped_names) > 0", "1h", "info"),
                    "{{ $labels.instance }} leaves out names of {{ $value }} tasks or frameworks.",
                    "The log has examples for each reason; operations.md, *Why parts of a state are left out*, says what to change.",
                ),
            ),
        ),
    ),
)

ZONES: Final = Row(
    "Zones and workers",
    (
        Panel(
            "Names and records",
            "short",
            (
                ("mesos_dns_zone_names", "{{instance}} names in {{zone}}"),
                ("sum by (instance, type) (mesos_dns_zone_records)", "{{instance}} {{type}}"),
            ),
        ),
        Panel(
            "Changes",
            "ops",
            (
                ("rate(mesos_dns_zone_changes_total[5m])", "{{instance}} changes of {{zone}}"),
                ("rate(mesos_dns_zone_records_added_total[5m])", "{{instance}} records added"),
                ("rate(mesos_dns_zone_records_removed_total[5m])", "{{instance}} records removed"),
            ),
        ),
        Panel(
            "From an event to the answer",
            "s",
            (
                (
                    "histogram_quantile(0.99, sum by (instance, job, le) (rate(mesos_dns_change_propagation_seconds_bucket[10m])))",
                    "{{instance}} p99",
                ),
                (
                    "histogram_quantile(0.5, sum by (instance, job, le) (rate(mesos_dns_change_propagation_seconds_bucket[10m])))",
                    "{{instance}} p50",
                ),
            ),
            (
                Alert(
                    "MesosDnsChangesSlow",
                    "histogram_quantile(0.9, sum by (instance, job, le) (rate(mesos_dns_change_propagation_seconds_bucket[10m]))) > 5",
                    *("10m", "warning"),
                    "Changes take {{ $value | humanizeDuration }} until all workers of {{ $labels.instance }} answer accordingly.",
                    "Is the machine short of processors? A worker that lags is in `/v1/status` by its serial.",
                ),
            ),
        ),
        Panel(
            "Serials",
            "none",
            (
                ("mesos_dns_zone_serial", "{{instance}} control"),
                ("mesos_dns_worker_serial", "{{instance}} worker {{worker}}"),
            ),
        ),
        Panel(
            "Workers",
            "short",
            (
                ("mesos_dns_worker_up", "{{instance}} worker {{worker}}"),
                ("increase(mesos_dns_worker_restarts_total[15m])", "{{instance}} restarts in 15 minutes"),
            ),
            (
                Alert(
                    *("MesosDnsWorkerDown", "mesos_dns_worker_up == 0", "1m", "critical"),
                    "Worker {{ $labels.worker }} of {{ $labels.instance }} does not answer; queries wait in its socket.",
                    "The log says why it cannot start or load. Restart Mesos-DNS if the masters can be reached.",
                ),
                Alert(
                    *("MesosDnsWorkerFlapping", "increase(mesos_dns_worker_restarts_total[15m]) > 2", "0m", "warning"),
                    "Workers of {{ $labels.instance }} were replaced {{ $value | humanize }} times in a quarter of an hour.",
                    "The log says how each ended: killed for want of memory (`dmesg`), or by a fault of ours, which please report.",
                ),
            ),
        ),
        Panel(
            "Configuration",
            "short",
            (
                ("mesos_dns_config_refused", "{{instance}} refused"),
                ("mesos_dns_config_waiting", "{{instance}} waiting"),
            ),
            (
                Alert(
                    *("MesosDnsConfigRefused", "mesos_dns_config_refused == 1", "5m", "warning"),
                    "{{ $labels.instance }} did not take its newest configuration; the one before is in force.",
                    "`mesos-dns check --config FILE` lists the problems. Mend them, then reload.",
                ),
                Alert(
                    *("MesosDnsConfigWaiting", "mesos_dns_config_waiting == 1", "10m", "warning"),
                    "A new configuration of {{ $labels.instance }} waits for a state of its masters.",
                    "Are the new `Masters` or `Zk` right? The old configuration serves meanwhile.",
                ),
            ),
        ),
    ),
)

QUERIES: Final = Row(
    "Queries",
    (
        Panel(
            "Queries by type",
            "reqps",
            (
                (
                    "sum by (instance, proto, type) (rate(mesos_dns_dns_requests_total[5m]))",
                    "{{instance}} {{proto}} {{type}}",
                ),
            ),
        ),
        Panel(
            "Replies by RCODE",
            "reqps",
            (("rate(mesos_dns_dns_responses_total[5m]) > 0", "{{instance}} {{rcode}}"),),
            (
                Alert(
                    "MesosDnsServfail",
                    'sum by (instance, job) (rate(mesos_dns_dns_responses_total{rcode="SERVFAIL"}[5m])) '
                    "/ sum by (instance, job) (rate(mesos_dns_dns_responses_total[5m])) > 0.05",
                    *("5m", "warning"),
                    "{{ $value | humanizePercentage }} of the replies of {{ $labels.instance }} are SERVFAIL.",
                    "If names of the cluster are concerned it is not ready; if others are, its upstreams fail: see the alerts of both.",
                ),
            ),
        ),
        Panel(
            "Response cache",
            "percentunit",
            (
                (
                    "rate(mesos_dns_cache_hits_total[5m]) / (rate(mesos_dns_cache_hits_total[5m]) + rate(mesos_dns_cache_misses_total[5m]))",
                    "{{instance}} hits",
                ),
            ),
        ),
        Panel(
            "Not answered",
            "reqps",
            (
                ("rate(mesos_dns_udp_queue_dropped_total[5m])", "{{instance}} dropped by the kernel"),
                ("rate(mesos_dns_udp_send_failed_total[5m])", "{{instance}} replies not sent"),
                ("rate(mesos_dns_dropped_total[5m])", "{{instance}} dropped by a policy"),
                ("rate(mesos_dns_refused_total[5m])", "{{instance}} refused by a policy"),
                ("rate(mesos_dns_ignored_total[5m])", "{{instance}} ignored"),
                ("rate(mesos_dns_forward_shed_total[5m])", "{{instance}} too many for upstreams"),
                ("rate(mesos_dns_tcp_refused_total[5m])", "{{instance}} TCP connections refused"),
            ),
            (
                Alert(
                    *("MesosDnsQueueDrops", "rate(mesos_dns_udp_queue_dropped_total[5m]) > 1", "5m", "warning"),
                    "The kernel drops {{ $value | humanize }} queries a second for {{ $labels.instance }}.",
                    "All workers are busy, or one hangs: look at their CPU. Raise `net.core.rmem_max`, set more `Workers`, or find who floods.",
                ),
                Alert(
                    *("MesosDnsShed", "rate(mesos_dns_forward_shed_total[5m]) > 1", "5m", "warning"),
                    "{{ $labels.instance }} answers {{ $value | humanize }} questions a second with SERVFAIL: too many wait for upstreams.",
                    "Upstreams are slow or silent, or one client asks for too many names. Names of the cluster are not affected.",
                ),
                Alert(
                    *("MesosDnsTcpFull", "rate(mesos_dns_tcp_refused_total[5m]) > 0", "5m", "warning"),
                    "{{ $labels.instance }} refuses TCP connections: all that it may have wait for answers.",
                    "The log says who holds most connections; LimitNOFILE bounds their number.",
                ),
            ),
        ),
        Panel(
            "TCP",
            "short",
            (
                ("mesos_dns_tcp_open_connections", "{{instance}} open in worker {{worker}}"),
                ("rate(mesos_dns_tcp_connections_total[5m])", "{{instance}} new a second"),
                ("rate(mesos_dns_tcp_evicted_total[5m])", "{{instance}} closed for newer ones a second"),
            ),
        ),
        Panel(
            "Size of replies",
            "bytes",
            (
                (
                    "histogram_quantile(0.99, sum by (instance, proto, le) (rate(mesos_dns_dns_response_size_bytes_bucket[5m])))",
                    "{{instance}} {{proto}} p99",
                ),
            ),
        ),
    ),
)

UPSTREAMS: Final = Row(
    "Upstreams",
    (
        Panel(
            "Up",
            "short",
            (("max by (instance, job, to) (mesos_dns_forward_upstream_up)", "{{instance}} {{to}}"),),
            (
                Alert(
                    *("MesosDnsUpstreamDead", "max by (instance, job, to) (mesos_dns_forward_upstream_up) == 0", "2m"),
                    "warning",
                    "Upstream {{ $labels.to }} does not answer any worker of {{ $labels.instance }}.",
                    "`dig @UPSTREAM` from that machine tells whether it is the server or the way. The others are asked meanwhile.",
                ),
                Alert(
                    *("MesosDnsAllUpstreamsDead", "max by (instance, job) (mesos_dns_forward_upstream_up) == 0", "1m"),
                    "critical",
                    "No upstream of {{ $labels.instance }} answers: outside names come from the cache, or get SERVFAIL.",
                    "Bring one back, or name others in `Resolvers` and reload. Names of the cluster are not affected.",
                ),
            ),
        ),
        Panel(
            "Time of answers",
            "s",
            (
                (
                    "histogram_quantile(0.9, sum by (instance, to, le) (rate(mesos_dns_forward_request_duration_seconds_bucket[5m])))",
                    "{{instance}} {{to}} p90",
                ),
            ),
        ),
        Panel(
            "Questions",
            "reqps",
            (
                ("rate(mesos_dns_forward_requests_total[5m])", "{{instance}} asked {{to}}"),
                ("rate(mesos_dns_forward_failures_total[5m])", "{{instance}} failed {{to}}"),
                ("rate(mesos_dns_forward_cached_total[5m])", "{{instance}} from the cache"),
                ("rate(mesos_dns_forward_stale_total[5m])", "{{instance}} out of date"),
                ("rate(mesos_dns_forward_failed_total[5m])", "{{instance}} unanswered"),
            ),
        ),
    ),
)

PROCESSES: Final = Row(
    "Processes",
    (
        Panel(
            "CPU",
            "percentunit",
            (('rate(process_cpu_seconds_total{process=~"control|worker.*"}[5m])', "{{instance}} {{process}}"),),
        ),
        Panel(
            "Memory",
            "bytes",
            (('process_resident_memory_bytes{process=~"control|worker.*"}', "{{instance}} {{process}}"),),
        ),
        Panel(
            "Files",
            "short",
            (('process_open_fds{process=~"control|worker.*"}', "{{instance}} {{process}}"),),
            (
                Alert(
                    "MesosDnsFilesLow",
                    'process_open_fds{process=~"control|worker.*"} / process_max_fds{process=~"control|worker.*"} > 0.8',
                    *("5m", "warning"),
                    "{{ $labels.process }} of {{ $labels.instance }} uses {{ $value | humanizePercentage }} of the files that it may open.",
                    "Raise LimitNOFILE of the unit. The log says who holds many TCP connections.",
                ),
            ),
        ),
    ),
)

ROWS: Final = (CLUSTER, ZONES, QUERIES, UPSTREAMS, PROCESSES)


def alerts() -> list[Alert]:
    """All of them, in the order of their panels."""
    return [alert for row in ROWS for panel in row.panels for alert in panel.alerts]


def expressions() -> list[str]:
    """All expressions of panels and alerts."""
    queries = [expr for row in ROWS for panel in row.panels for expr, _ in panel.queries]
    return [*queries, *(alert.expr for alert in alerts())]
