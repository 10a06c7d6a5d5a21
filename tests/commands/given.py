"""What tests of the commands share: saved states, a configuration, and another reader of zone files."""

from pathlib import Path

import dns.zone

from mesos_dns.config import Config

FIXTURES = Path(__file__).parents[1] / "fixtures" / "mesos"
STATES = [*sorted(FIXTURES.glob("crafted-*.json.gz")), FIXTURES / "captured-tasks.json.gz"]
CONFIG = Config(
    masters=("127.0.0.1:5050",),
    listener="127.0.0.1",
    external_on=False,
    soa_mname="ns1.mesos.",
    soa_rname="root.ns1.mesos.",
)


def parsed(text):
    """What a program that reads zone files makes of it: (owner, type, rdata), all in wire form."""
    found = dns.zone.from_text(text, relativize=False)
    return {
        (owner.canonicalize().to_wire(), int(rdata.rdtype), rdata.to_wire())
        for owner, _, rdata in found.iterate_rdatas()
    }
