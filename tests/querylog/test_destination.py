"""Where a query log goes, as people write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.querylog.destination import MAX_SOCKET_PATH, BadDestinationError, Destination, destination


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("json:/var/log/q.json", Destination(False, False, "/var/log/q.json")),
        ("dnstap:/var/log/q:1.tap", Destination(True, False, "/var/log/q:1.tap")),
        ("json+unix:/run/q.sock", Destination(False, True, "/run/q.sock")),
        ("dnstap+unix:/run/q.sock", Destination(True, True, "/run/q.sock")),
    ],
)
def test_forms(text, found):
    assert destination(text) == found
    assert str(found) == text


@pytest.mark.parametrize(
    "text", ["", "/var/log/q.json", "json", "json:", "json:q.json", "xml:/q", "JSON:/q", "json:/var/log/", "json:/a\0b"]
)
def test_others(text):
    with pytest.raises(BadDestinationError, match=r"is no destination; expected json:FILE, dnstap:FILE, or json\+unix"):
        destination(text)


def test_the_path_of_a_socket_is_short():
    path = "/" + "x" * (MAX_SOCKET_PATH - 1)
    assert destination(f"json+unix:{path}").path == path
    assert destination(f"json:{path}x").path == f"{path}x"
    with pytest.raises(BadDestinationError, match=f"has {MAX_SOCKET_PATH} octets at the most"):
        destination(f"json+unix:{path}x")


@given(st.text())
def test_any_text_is_one_or_refused(text):
    try:
        found = destination(text)
    except BadDestinationError:
        return
    assert str(found) == text
