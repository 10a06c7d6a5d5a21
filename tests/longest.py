"""In which order the files of the suite begin.

A file is run by one process. What is begun last should be short, or all others wait for it.
"""

from pathlib import Path

TESTS = Path(__file__).parent
#: Files that take more than ten seconds, mostly of waiting, the longest first.
LONGEST = [
    "integration/test_golden.py",
    "integration/test_stopped_masters.py",
    "integration/test_faults.py",
    "integration/test_events.py",
    "integration/test_deb.py",
    "integration/test_zookeeper_ensemble.py",
    "integration/test_zookeeper.py",
    "integration/test_zookeeper_program.py",
    "integration/test_reload.py",
    "integration/test_failover.py",
    "integration/test_forwarding.py",
    "integration/test_secure_events.py",
    "integration/test_bad_masters.py",
    "integration/test_process.py",
    "integration/test_forwarding_cache.py",
    "integration/test_health.py",
    "integration/test_forwarding_faults.py",
    "mesos/test_streaming.py",
    "mesos/test_streaming_leaders.py",
    "test_flat.py",
    "serve/forward/test_upstreams_simulated.py",
    "integration/test_containerfile.py",
    "integration/test_page.py",
    "integration/test_name_servers.py",
    "integration/test_order.py",
]
_PLACES = {TESTS / name: place for place, name in enumerate(LONGEST)}


def place(path):
    """Where in the order a file stands: the others, which all stand behind the longest, keep their order."""
    return _PLACES.get(path, len(LONGEST))
