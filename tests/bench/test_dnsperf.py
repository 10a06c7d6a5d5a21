import pytest
from bench.dnsperf import Asking, LoadError, command, parse

UDP = """\
DNS Performance Testing Tool
Version 2.10.0

[Status] Testing complete (time limit)

Statistics:

  Queries sent:         66646
  Queries completed:    66640 (99.99%)
  Queries lost:         6 (0.01%)

  Response codes:       NOERROR 60000 (90.04%), NXDOMAIN 6640 (9.96%)
  Average packet size:  request 75, response 79
  Run time (s):         2.004705
  Queries per second:   33244.791628

  Average Latency (s):  0.009929 (min 0.000022, max 0.045436)
  Latency StdDev (s):   0.005925
"""
CONNECTIONS = """
Connection Statistics:

  Reconnections:        0

  Average Latency (s):  0.031068 (min 0.018958, max 0.045001)
"""


def test_the_statistics_are_read():
    load = parse(UDP)
    assert (load.sent, load.answered, load.lost) == (66646, 66640, 6)
    assert (load.seconds, load.qps) == (2.004705, 33244.791628)
    assert load.latency_ms == pytest.approx(9.929)
    assert load.worst_ms == pytest.approx(45.436)
    assert (load.request_octets, load.response_octets) == (75, 79)
    assert load.codes == {"NOERROR": 60000, "NXDOMAIN": 6640}


def test_the_latency_of_answers_is_not_that_of_connecting():
    assert parse(UDP + CONNECTIONS) == parse(UDP)


def test_a_run_without_answers_has_no_codes():
    text = UDP.replace("NOERROR 60000 (90.04%), NXDOMAIN 6640 (9.96%)", "")
    assert parse(text).codes == {}


@pytest.mark.parametrize("text", ["", "Error: unable to open", UDP[:200]])
def test_output_without_statistics_is_an_error(text):
    with pytest.raises(LoadError, match="in what dnsperf printed"):
        parse(text)


def test_tcp_is_asked_for(tmp_path):
    asking = Asking(tmp_path / "q", 2.5, {0}, tcp=True, clients=8, outstanding=100)
    line = " ".join(command("127.0.0.1", 5300, asking))
    assert line == f"dnsperf -s 127.0.0.1 -p 5300 -B -d {tmp_path / 'q'} -l 2.5 -c 8 -q 100 -t 1 -m tcp"
