"""Changes of zones in few words."""

from mesos_dns.zone.change import RRsetChange


def edit(owner, rrtype, removed, added):
    """One owner that loses and gains rdata of one type."""
    return RRsetChange((owner,), ((rrtype, removed),) if removed else (), ((rrtype, added),) if added else ())
