"""Both formats, of everything that was declared and of nothing else. Read by the library's own parsers, and over HTTP."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from mesos_dns.metrics import CONFIGURED, GAUGE, HISTOGRAM, Distribution, Metric
from mesos_dns.web.exposition import exposition, shown_name

ASKED = Metric("asked", "How often.", (("to", CONFIGURED),))
OPEN = Metric("open", "Open ones.", (), GAUGE)
TOOK = Metric("took_seconds", "How long.", (("to", CONFIGURED),), HISTOGRAM, (0.1, 1.0))
FILES = Metric("process_open_fds", "Files.", (("process", CONFIGURED),), GAUGE)
DECLARED = {metric.name: metric for metric in (ASKED, OPEN, TOOK, FILES)}

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
ODD = 'a "b"\\c\nd'


def numbers():
    took = Distribution(TOOK, "x")
    took.observe(0.05)
    took.observe(2.0)
    return {
        ASKED.series("x"): 3,
        ASKED.series(ODD): 1,
        OPEN.series(): 2,
        FILES.series("control"): 7,
        **dict(took.numbers()),
        "nobody_declared_this": 1,
        "nor_this_bucket": 1,
    }


def samples(families):
    return {(sample.name, *sample.labels.items()): sample.value for family in families for sample in family.samples}


EXPECTED = {
    ("mesos_dns_asked_total", ("to", "x")): 3,
    ("mesos_dns_asked_total", ("to", ODD)): 1,
    ("mesos_dns_open",): 2,
    ("process_open_fds", ("process", "control")): 7,
    ("mesos_dns_took_seconds_bucket", ("le", "0.1"), ("to", "x")): 1,
    ("mesos_dns_took_seconds_bucket", ("le", "1.0"), ("to", "x")): 1,
    ("mesos_dns_took_seconds_bucket", ("le", "+Inf"), ("to", "x")): 2,
    ("mesos_dns_took_seconds_count", ("to", "x")): 2,
    ("mesos_dns_took_seconds_sum", ("to", "x")): pytest.approx(2.05),
}


@pytest.mark.parametrize(
    ("accept", "parse", "content_type"),
    [
        (None, prometheus, "text/plain; version=0.0.4"),
        ("*/*", prometheus, "text/plain; version=0.0.4"),
        ("nonsense;;q=", prometheus, "text/plain; version=0.0.4"),
        (OPENMETRICS, openmetrics, "application/openmetrics-text; version=1.0.0"),
        (f"text/html, {OPENMETRICS};q=0.5", openmetrics, "application/openmetrics-text; version=1.0.0"),
    ],
)
def test_the_format_that_is_asked_for_has_all_numbers(accept, parse, content_type):
    found = exposition(accept, DECLARED, numbers())
    assert found.content_type.startswith(content_type)
    text = "".join(found.pieces)
    assert samples(parse(text)) == EXPECTED
    assert text.endswith("# EOF\n") == (parse is openmetrics)
    assert text.count("# EOF") == (parse is openmetrics)


def test_each_family_says_what_it_is_once():
    text = "".join(exposition(None, DECLARED, numbers()).pieces)
    assert text.count("# HELP mesos_dns_asked_total How often.\n# TYPE mesos_dns_asked_total counter\n") == 1
    assert text.count("# TYPE mesos_dns_took_seconds histogram\n") == 1


def test_names_are_those_that_readers_see():
    assert [*map(shown_name, DECLARED.values())] == [
        *("mesos_dns_asked_total", "mesos_dns_open", "mesos_dns_took_seconds", "process_open_fds")
    ]


async def test_over_http(get):
    reply = await get("/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = samples(prometheus(reply.body))
    assert found["mesos_dns_tasks",] == 4
    # Requests before this one, by status.
    assert ("mesos_dns_http_requests_total", ("code", "200")) not in found
    again = await get("/metrics", Accept=OPENMETRICS)
    assert samples(openmetrics(again.body))["mesos_dns_http_requests_total", ("code", "200")] == 1


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("POST", 405), ("PUT", 405)])
async def test_other_methods(get, method, status):
    assert (await get("/metrics", method=method)).status == status
