"""A simulated Mesos cluster: an independent witness for tests, benchmarks and `make demo`.

It speaks the wire formats of Mesos 1.11 from its own reading of them and shares no code with the
server: nothing here imports the rest of `mesos_dns`, nothing of the rest imports this.

The way of the data: `catalog` (what runs) -> `cluster` (agents, placement, tasks) -> `simulation`
and `election` (what happens, as pure functions of seed and virtual time) -> `wire` (the JSON of a
master) -> `master` (HTTP). `runner` is the demo itself.
"""
