"""Rules about the query log."""

import json

import pytest
from tests.config.given import given_keys
from tests.config.test_rules import findings

from mesos_dns.querylog.selection import MAX_SELECTED


@pytest.mark.parametrize("text", ["", "json:/var/log/q.json", "dnstap:/q", "json+unix:/run/q", "dnstap+unix:/run/q"])
def test_where_it_goes(text):
    assert findings(**{"QueryLog.To": text}) == []


def test_where_it_cannot_go():
    ((key, message),) = findings(**{"QueryLog.To": "/var/log/q.json"})
    assert key == "QueryLog.To"
    assert message.startswith(
        "'/var/log/q.json' is no destination; expected json:FILE, dnstap:FILE, or json+unix:SOCKET, "
    )


def test_what_is_in_it():
    assert (
        findings(
            **{
                "QueryLog.Clients": ("10.0.0.0/8", "@local", "!10.1.0.0/16"),
                "QueryLog.Names": ("marathon.mesos", "Web.Mesos.", "."),
                "QueryLog.Rcodes": ("NXDOMAIN", "servfail", "BADVERS"),
            }
        )
        == []
    )


@pytest.mark.parametrize(
    ("key", "values", "why"),
    [
        ("QueryLog.Clients", ("10.0.0.0/33",), "'10.0.0.0/33' is no prefix; expected an address, "),
        ("QueryLog.Clients", ("!@local",), "only excludes, so that nobody may; add who may"),
        ("QueryLog.Names", ("a..b",), "'a..b' is no name in DNS: a label is empty"),
        ("QueryLog.Names", ("x" * 64,), "is no name in DNS: "),
        ("QueryLog.Rcodes", ("NOPE",), "'NOPE' is no RCODE; expected one of NOERROR, FORMERR, "),
        ("QueryLog.Rcodes", ("NXDOMAIN",) * (MAX_SELECTED + 1), "has 101 entries; at most 100 are possible"),
    ],
)
def test_what_cannot_be_in_it(key, values, why):
    ((found, message),) = findings(**{key: values})
    assert found == key
    assert why in message


def test_it_is_an_object_in_a_file_and_in_a_variable():
    given = {"To": "json:/q", "Names": ["a.b"], "Sample": 10, "On": False}
    config = given_keys(QueryLog=given).config
    assert given_keys({"MESOS_DNS_QUERY_LOG": json.dumps(given)}).config == config
    assert (config.query_log_to, config.query_log_names, config.query_log_sample) == ("json:/q", ("a.b",), 10)
    assert (config.query_log_on, config.query_log_rcodes, config.query_log_max_octets) == (False, (), 1024**3)
