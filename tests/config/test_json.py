"""JSON as Go reads it: order, duplicates, letter case; and messages that lead to the place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.config.addresses import Unfit
from mesos_dns.config.json import MAX_CONFIG_OCTETS, JsonNumber, JsonObject, clean, fold, parse_iam, parse_json
from mesos_dns.config.values import IamAccount


def test_objects_keep_order_and_duplicates():
    assert parse_json(b'{"b": 1, "a": [true], "b": null}') == JsonObject((("b", 1), ("a", [True]), ("b", None)))


def test_numbers_that_are_no_integers_keep_their_text():
    assert parse_json(b"[1.0, 6e1, -3]") == [JsonNumber("1.0"), JsonNumber("6e1"), -3]
    assert parse_json(b"9" * 5000) == JsonNumber("9" * 5000)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty; expected a JSON object"),
        (b" \n", "is empty; expected a JSON object"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"a": 1,\n "b" 2}', "line 2, column 6: expecting ':' delimiter"),
        (b'{\n  // ttl\n "TTL": 1}', "line 2, column 3: a comment; JSON has none"),
        (b'{"TTL": 1}\n}', "line 2, column 1: text after the end of the object"),
        (b'{"TTL": ', "the file ends too early"),
        (b'{"TTL": NaN}', "NaN is not a JSON value"),
        (b"{'TTL': 1}", "line 1, column 2: expected a key in double quotes"),
        (b"[" * 500_000, "is nested too deeply"),
        (b" " * MAX_CONFIG_OCTETS + b"{}", "is larger than 1048576 octets"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(data, message):
    with pytest.raises(Unfit) as refusal:
        parse_json(data)
    assert message in str(refusal.value)


def test_a_syntax_error_repeats_nothing_of_the_file():
    with pytest.raises(Unfit) as refusal:
        parse_json(b'{"MesosCredentials": {"Secret": "hunter2" "Principal": "p"}}')
    assert "hunter2" not in str(refusal.value)


def test_octets_that_are_not_utf8_are_replaced():
    assert parse_json(b'{"comment": "f\xfcr"}') == JsonObject((("comment", "f\ufffdr"),))


def test_keys_fold_as_in_go():
    assert fold("REFRESH\u017fECONDS") == "refreshseconds"
    assert fold("\u212aeyFile") == "keyfile"
    assert fold("İPSources") == "İpsources"


def test_lone_surrogates_are_replaced():
    assert clean("a\ud800b") == "a\ufffdb"


def test_a_service_account_ignores_what_it_does_not_need():
    data = b'{"UID": "x", "uid": "me", "private_key": "k", "login_endpoint": "https://h/", "scheme": "RS256", "n": 1}'
    assert parse_iam(data) == IamAccount(uid="me", private_key="k", login_endpoint="https://h/")
    assert parse_iam(b'{"uid": null}') == IamAccount()


@pytest.mark.parametrize("data", [b"[]", b"null", b'{"uid": 5}', b"{", b'{"private_key": ["SECRET"]}'])
def test_other_service_accounts_are_refused(data):
    with pytest.raises(Unfit) as refusal:
        parse_iam(data)
    assert "SECRET" not in str(refusal.value)


def test_a_service_account_hides_its_key():
    assert repr(IamAccount(uid="me", private_key="hunter2")) == "IamAccount(uid='me', login_endpoint='')"


def message_of(parse, data):
    try:
        parse(data)
    except Unfit as problem:
        return str(problem)
    return ""


@given(st.binary() | st.text().map(str.encode))
def test_any_octets_are_json_or_refused(data):
    for parse in (parse_json, parse_iam):
        assert message_of(parse, data).isprintable()
