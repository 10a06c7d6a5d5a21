"""What probes found, as a table for people and as plain data."""

from mesos_dns.preflight.findings import Finding, Level, as_values, lines_of, worst

OK = Finding(Level.OK, "master", "10.0.0.1:5050", "GET", "leads")
WARN = Finding(Level.WARN, "clock", "", "dates", "9 s behind", "at most 5 s", "set it")
FAIL = Finding(Level.FAIL, "upstream", "10.0.0.1:53", "NS over UDP", "UDP: no answer", "an answer")


def test_the_table_is_aligned_and_says_more_of_what_is_not_well():
    assert list(lines_of([OK, WARN, FAIL])) == [
        "ok    master    10.0.0.1:5050  leads",
        "warn  clock                    9 s behind",
        "                               tried: dates",
        "                               expected: at most 5 s",
        "                               to do: set it",
        "fail  upstream  10.0.0.1:53    UDP: no answer",
        "                               tried: NS over UDP",
        "                               expected: an answer",
        "1 ok, 1 warn, 1 fail",
    ]


def test_nothing_found_is_a_table_too():
    assert list(lines_of([])) == ["0 ok, 0 warn, 0 fail"]


def test_the_worst_counts():
    assert worst([]) is Level.OK
    assert worst([OK, OK]) is Level.OK
    assert worst([OK, WARN]) is Level.WARN
    assert worst([FAIL, OK, WARN]) is Level.FAIL


def test_programs_get_plain_values():
    assert as_values([OK]) == [
        {
            "level": "ok",
            "area": "master",
            "subject": "10.0.0.1:5050",
            "tried": "GET",
            "found": "leads",
            "expected": "",
            "advice": "",
        }
    ]
