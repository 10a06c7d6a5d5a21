"""What a generation knows, put together for `names.explain`: a plain value for each question."""

import time
from typing import TYPE_CHECKING, Final

from mesos_dns.dns import name as names
from mesos_dns.mesos.source import SourceStatus
from mesos_dns.names.absence import Facts
from mesos_dns.names.explain import Outside, explain
from mesos_dns.names.explanation import Explanation, Upstream
from mesos_dns.serve.forward import observed
from mesos_dns.serve.forward.private import PrivateZones

if TYPE_CHECKING:
    from mesos_dns.generation import Generation

#: Upstreams of one zone that are shown.
MOST_UPSTREAMS: Final = 16


def explained(generation: "Generation", name: str, rrtype: int | None) -> Explanation:
    """Why `name`, as people write it, has this answer; of every type if `rrtype` is None."""
    publisher, source, settings = generation.publisher, generation.source, generation.plan.worker
    facts = Facts(
        now=time.time(),
        steady=time.monotonic(),
        journal=publisher.journal,
        holds=publisher.holds,
        not_running=source.not_running(),
        hidden=publisher.hidden,
        trouble=_trouble(source.status),
        clients=() if settings.allow_query.is_everybody else _listed(generation, "AllowQuery"),
    )
    return explain(generation.model, generation.zones, name, rrtype, facts, _outside(generation, name))


def _trouble(status: SourceStatus) -> str:
    """What hinders newer states; "" if nothing does."""
    return "; ".join(status.notes(time.monotonic())) if status.consecutive_failures else ""


def _outside(generation: "Generation", text: str) -> Outside:
    """What workers would do with a name of others."""
    settings = generation.plan.worker
    configured = settings.forward.upstreams
    try:
        name = names.from_text(text)
    except names.BadNameError:
        return Outside()
    private = PrivateZones(settings.forward.private, configured, recursion=settings.recursion).zone_of(name)
    zone = name
    while zone not in configured and zone != names.ROOT:
        zone = names.parent(zone)
    gauges = [worker.gauges for worker in generation.pool.workers]
    shown = tuple(
        Upstream(observed.label(upstream), *observed.summary(upstream, gauges))
        for upstream in configured.get(zone, [])[:MOST_UPSTREAMS]
    )
    clients = () if settings.allow_recursion.is_everybody else _listed(generation, "AllowRecursion")
    return Outside(private, zone, shown, clients)


def _listed(generation: "Generation", key: str) -> tuple[str, ...]:
    """A list of the configuration as it was written."""
    return tuple(map(str, generation.plan.shown.effective.get(key) or ()))
