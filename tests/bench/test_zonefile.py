import pytest
from bench.zonefile import zone_names
from hypothesis import given
from hypothesis import strategies as st

ZONE = """\
$TTL 60
$ORIGIN mesos.
@ IN SOA ns1.mesos. root.ns1.mesos. (
        1 60 600
        86400 60 ) ; the serial is 1
    60 IN NS ns1.mesos.
ns1 A 10.0.0.1
web.marathon.mesos. 60 IN A 10.0.0.2
web.marathon.mesos. 60 IN A 10.0.0.3
web.marathon.mesos. IN 60 AAAA fd00::2
; nothing here
_web._tcp.marathon 60 SRV 0 0 31000 web.marathon.mesos.
"""


def test_names_are_told_by_type():
    zone = zone_names(ZONE.splitlines())
    assert zone.origin == "mesos."
    assert zone.by_type == {
        "A": ("ns1.mesos.", "web.marathon.mesos."),
        "AAAA": ("web.marathon.mesos.",),
        "SRV": ("_web._tcp.marathon.mesos.",),
    }
    assert zone.owners == 4
    assert zone.records == 7


def test_a_zone_without_a_soa_is_refused():
    with pytest.raises(ValueError, match="no SOA record"):
        zone_names(["a.mesos. 60 IN A 10.0.0.1"])


@given(st.lists(st.text(alphabet=st.characters(codec="ascii"), max_size=40), max_size=20))
def test_whatever_the_lines_hold_they_are_read_or_refused(lines):
    try:
        zone = zone_names(["mesos. IN SOA a. b. 1 1 1 1 1", *lines])
    except ValueError:
        return
    assert zone.records >= 1
