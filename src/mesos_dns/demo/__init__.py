"""A simulated Mesos cluster: an independent witness for tests, benchmarks and `make demo`.

It speaks the wire formats of Mesos 0.21 to 1.11 from its own reading of them and shares no code with
the server: nothing here imports the rest of `mesos_dns`, nothing of the rest imports this.

The way of the data: `catalog` (what runs) -> `cluster` (agents, placement, tasks) -> `world` (the truth,
and the verbs that change it) -> `ledger` (what one master knows, and the events that it sends) ->
`wire`, `document` (the JSON of the old API; `since` for older masters) and `v1`, `v1_document` (of the
operator API) -> `master`, `streams`, `operator_api` (HTTP). `simulation`, `workload` and `election` let
things happen by themselves, as pure functions of seed and virtual time. `live` is the cluster for tests,
`runner` the demo itself, `registration` puts masters into ZooKeeper, `bench_*` serves benchmarks.
"""
