"""`mesos-dns log`, from what a server says. Beside a real one: tests/integration/test_query_log.py."""

from datetime import UTC, datetime
from typing import Any

import pytest

from mesos_dns import cli
from mesos_dns.commands.log import _wanted, line_of, text_of

STATE: dict[str, Any] = {"to": "json:/q", "on": True, "until": None, "written": 5, "dropped": 1, "trouble": ""}
ANSWER: dict[str, Any] = {
    "time": "2026-11-27T04:31:28.195204Z",
    "client": "192.0.2.7",
    "port": 40000,
    "transport": "udp",
    "name": "web.marathon.mesos.",
    "type": "A",
    "class": "IN",
    "rcode": "NOERROR",
    "ede": None,
    "flags": ["aa", "rd"],
    "answers": 1,
    "answer": ["A 10.0.0.1"],
    "octets": 52,
    "milliseconds": 1.5,
}


def test_how_it_does() -> None:
    assert line_of(STATE) == "on, to json:/q; 5 answers written, 1 dropped"
    assert line_of(STATE | {"on": False}) == "off; it would go to json:/q; 5 answers written, 1 dropped"
    until = datetime(2026, 11, 27, 12, 30, 5, tzinfo=UTC)
    assert line_of(STATE | {"until": until.timestamp(), "trouble": "json:/q: full"}) == (
        f"on, to json:/q; until {until.astimezone():%H:%M:%S}; 5 answers written, 1 dropped; it cannot be written: json:/q: full"
    )
    assert line_of(STATE | {"to": ""}) == (
        "there is no query log: QueryLog.To is not set (`mesos-dns log follow` needs none)"
    )


def test_an_answer_is_a_line() -> None:
    at = datetime(2026, 11, 27, 4, 31, 28, tzinfo=UTC).astimezone()
    assert text_of(ANSWER) == (
        f"{at:%H:%M:%S}.195  192.0.2.7#40000  udp  web.marathon.mesos. A  NOERROR  aa rd  52 octets  1.500 ms  A 10.0.0.1"
    )
    more = ANSWER | {"answers": 20, "port": None, "rcode": "SERVFAIL", "ede": "22 none"}
    assert "  192.0.2.7  udp  web.marathon.mesos. A  SERVFAIL (EDE 22 none)  " in text_of(more)
    assert text_of(more).endswith("  A 10.0.0.1 and 19 more")
    nobody = ANSWER | {"client": None, "port": None, "name": None, "type": None, "answers": 0, "answer": []}
    assert "  somebody  udp  ? ?  NOERROR  " in text_of(nobody)
    assert text_of({"dropped": 7}) == "(7 more, dropped since they were not taken in time)"


def test_a_terminal_is_sent_no_control_characters() -> None:
    assert "\\x1b]0;" in text_of(ANSWER | {"ede": "0 \x1b]0;x"})


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        (["on"], ""),
        (
            ["on", "--name", "a.b", "--client", "10.0.0.0/8", "--name", "c", "--rcode", "nxdomain", "--for", "5m"],
            "client=10.0.0.0%2F8&name=a.b&name=c&rcode=nxdomain&for=5m",
        ),
        (["follow", "--sample", "10"], "sample=10"),
    ],
)
def test_what_is_wanted(arguments: list[str], query: str) -> None:
    assert _wanted(cli.parse(["log", *arguments])) == query


def test_what_it_can_do_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parse(["log", "start"])
    assert ended.value.code == 2
    assert "choose from 'on', 'off', 'status', 'follow'" in capsys.readouterr().err
