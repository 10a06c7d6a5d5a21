"""Parameters that say which answers somebody wants in a query log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.limits import MAX_SAMPLE
from mesos_dns.web.filters import BadFilterError
from mesos_dns.web.log_filter import LOG_SECONDS, MAX_LOG_SECONDS, LogFilter, log_filter_of


def test_nothing_is_said():
    assert log_filter_of([]) == LogFilter((), (), (), 1, LOG_SECONDS)
    assert log_filter_of([]).is_all
    assert log_filter_of([("for", "1h")]).is_all


def test_all_is_said():
    found = log_filter_of(
        [
            *(("client", "10.0.0.0/8"), ("name", "web.mesos"), ("client", "@local")),
            *(("rcode", "SERVFAIL"), ("sample", "10"), ("for", "90s")),
        ]
    )
    assert found == LogFilter(("10.0.0.0/8", "@local"), ("web.mesos",), ("SERVFAIL",), 10, 90)
    assert not found.is_all


@pytest.mark.parametrize(
    ("text", "seconds"), [("1", 1), ("90s", 90), ("5m", 300), ("2h", 7200), ("24h", MAX_LOG_SECONDS), ("86400", 86400)]
)
def test_times(text, seconds):
    assert log_filter_of([("for", text)]).seconds == seconds


@pytest.mark.parametrize("text", ["", "0", "0m", "-5", "1.5h", "5 m", "25h", "86401", "9999999", "1d", "m", "٣"])
def test_times_that_are_none(text):
    with pytest.raises(BadFilterError, match="for: expected a time such as 90s, 5m or 2h, up to a day, found '"):
        log_filter_of([("for", text)])


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "1.0", str(MAX_SAMPLE + 1), "9" * 5000])
def test_samples_that_are_none(text):
    with pytest.raises(BadFilterError, match=f"sample: expected a number from 1 to {MAX_SAMPLE}, found '"):
        log_filter_of([("sample", text)])


def test_a_misspelt_parameter_is_told():
    with pytest.raises(BadFilterError, match="'nmae' is no parameter; expected client, name, rcode, sample or for"):
        log_filter_of([("nmae", "web.mesos")])


def test_there_are_not_too_many():
    assert len(log_filter_of([("name", "a")] * 100).names) == 100
    with pytest.raises(BadFilterError, match="name: expected 100 of them at most, found 101"):
        log_filter_of([("name", "a")] * 101)


@given(st.lists(st.tuples(st.sampled_from(["client", "name", "rcode", "sample", "for"]) | st.text(), st.text())))
def test_any_parameters_are_understood_or_refused(parameters):
    try:
        found, complaint = log_filter_of(parameters), ""
    except BadFilterError as error:
        found, complaint = LogFilter(), str(error)
    assert complaint.isprintable()
    assert 1 <= found.seconds <= MAX_LOG_SECONDS
    assert 1 <= found.sample <= MAX_SAMPLE
