"""`HttpTokenFile`: a token, or why not, and never what is there instead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.config.given import PATH, FakeHost, given_keys, problems, warnings

from mesos_dns.config import as_json
from mesos_dns.config.addresses import Unfit
from mesos_dns.config.token import HOW, MAX_HTTP_TOKEN, token_of

SECRET = "c2VjcmV0c2VjcmV0"


def host(data=b"c2VjcmV0c2VjcmV0", path="/token"):
    return FakeHost({path: data})


def test_without_a_file_there_is_no_token():
    config = given_keys().config
    assert (config.http_token_file, config.http_token, config.has_secrets) == ("", "", False)


@pytest.mark.parametrize("text", [SECRET, f"{SECRET}\n", f"\r\n {SECRET}\t\n", "a-b_c.d~e+f/gh12="])
def test_white_space_around_it_does_not_count(text):
    config = given_keys(host=host(text.encode()), HttpTokenFile="/token").config
    assert config.http_token == text.strip()
    assert config.has_secrets


def test_it_is_shown_nowhere():
    loaded = given_keys(host=host(), HttpTokenFile="/token")
    assert SECRET not in repr(loaded.config)
    assert as_json(loaded.config, 0)["HttpTokenFile"] == "/token"
    assert SECRET not in str(as_json(loaded.config, 0))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", f"is empty; {HOW}"),
        (b"\n \n", f"is empty; {HOW}"),
        (b"hunter2", f"holds a token of 7 characters; expected 16 to 1024; {HOW}"),
        (b"x" * (MAX_HTTP_TOKEN + 1), f"holds a token of 1025 characters; expected 16 to 1024; {HOW}"),
        *(
            (
                data,
                f"holds no token: expected one line of letters, digits and -._~+/ without blanks; {HOW}",
            )
            for data in (b"two words of it here", b"one line of\nanother", "schlüsselschlüssel".encode(), b"a=b" * 9)
        ),
    ],
)
def test_what_is_no_token_is_a_problem(data, told):
    assert problems(host=host(data), HttpTokenFile="/token") == [f"HttpTokenFile (file {PATH}): /token {told}"]


def test_a_file_that_cannot_be_read_is_a_problem():
    assert problems(HttpTokenFile="/none") == [
        f"HttpTokenFile (file {PATH}): /none cannot be read: No such file or directory"
    ]

    class Locked(FakeHost):
        def read(self, path):
            if path == "/token":
                raise PermissionError(13, "Permission denied")
            return super().read(path)

    assert problems(host=Locked(), HttpTokenFile="/token") == [
        f"HttpTokenFile (file {PATH}): /token cannot be read: Permission denied; let the user that runs Mesos-DNS read it"
    ]


def test_a_file_that_everybody_may_read_is_warned_of():
    assert warnings(host=host(path="/open"), HttpTokenFile="/open") == [
        f"HttpTokenFile (file {PATH}): every user of this machine may read /open, and the token in it; run: chmod o-r on it"
    ]
    assert warnings(host=host(), HttpTokenFile="/token") == []


@given(st.binary())
def test_any_octets_are_a_token_or_none(data):
    try:
        found = token_of(data)
    except Unfit:
        return
    assert found.encode() in data
