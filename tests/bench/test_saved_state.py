import gzip
import json
import random
import urllib.error
import urllib.request

import pytest
from bench.saved_state import body, led_by, readdressed, state_master

from bench import saved_state

STATE = json.dumps(
    {
        "leader": "master@10.0.0.1:5050",
        "pid": "master@10.0.0.1:5050",
        "tasks": [{"name": "a", "ip_address": f"10.0.1.{number}", "agent": "10.0.0.9"} for number in range(5)],
    }
).encode()


def test_a_state_gets_another_leader():
    state = json.loads(led_by(STATE, "127.0.0.1", 5051))
    assert (state["leader"], state["pid"]) == ("master@127.0.0.1:5051", "master@127.0.0.1:5051")


def test_a_state_without_leader_is_refused():
    with pytest.raises(ValueError, match='no "leader"'):
        led_by(b"{}", "127.0.0.1", 1)


def test_some_tasks_get_addresses_that_were_not_there():
    changed, count = readdressed(STATE, 2, random.Random(1))
    addresses = [task["ip_address"] for task in json.loads(changed)["tasks"]]
    assert count == 2
    assert sorted(address for address in addresses if address.startswith("198.18.")) == ["198.18.0.0", "198.18.0.1"]
    assert sum(address.startswith("10.0.1.") for address in addresses) == 3
    assert b"10.0.0.9" in changed


def test_no_more_tasks_change_than_there_are():
    assert readdressed(STATE, 100, random.Random(1))[1] == 5


def get(port, path="/master/state", **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers.get("Content-Encoding"), answer.read()


def test_a_state_is_served_compressed_to_those_who_ask():
    with state_master() as master:
        master.serving = body("base", STATE, master.port)
        coding, content = get(master.port)
        assert coding is None
        assert json.loads(content)["leader"] == f"master@127.0.0.1:{master.port}"
        coding, packed = get(master.port, **{"Accept-Encoding": "gzip"})
        assert coding == "gzip"
        assert gzip.decompress(packed) == content


def test_a_script_is_served_poll_by_poll_and_then_its_last():
    with state_master() as master:
        one, two = body("one", STATE, master.port), body("two", STATE, master.port)
        master.script.extend([one, two])
        master.sample = lambda: (1.0,)
        for _ in range(3):
            get(master.port)
        assert [poll.name for poll in master.polls] == ["one", "two", "two"]
        assert master.polls[0].sample == (1.0,)


@pytest.mark.parametrize(("path", "status"), [("/master/state", 503), ("/elsewhere", 404)])
def test_what_is_not_there_is_not_served(path, status):
    with state_master() as master, pytest.raises(urllib.error.HTTPError) as error:
        get(master.port, path)
    error.value.close()
    assert error.value.code == status


def test_the_addresses_of_the_bench_network_hold_a_thousand_tasks():
    state = b",".join(b'"ip_address":"10.%d.%d.1"' % divmod(number, 256) for number in range(1000))
    changed, count = readdressed(state, 1000, random.Random(1))
    assert count == 1000
    assert len(set(saved_state._TASK_ADDRESS.findall(changed))) == 1000
