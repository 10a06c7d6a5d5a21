"""What was counted lately, in steps: time and counts come in, nothing ever shrinks."""

import asyncio
import dataclasses

from hypothesis import given
from hypothesis import strategies as st
from tests.names.test_reconciler import state
from tests.scripted import CONFIG

from mesos_dns import control
from mesos_dns.history import MOST_STEPS, History, Step
from mesos_dns.workers.rates import ANSWERED


def requests(count, rrtype="A", proto="udp"):
    return {f'dns_requests{{proto="{proto}",family="1",type="{rrtype}"}}': count}


def test_the_first_look_only_begins_a_step():
    history = History()
    history.note(10.0, 1000.0, requests(7))
    assert (history.count, history.after(0)) == (0, [])


def test_a_step_has_what_was_counted_in_it():
    history = History()
    history.note(10.0, 1000.0, requests(7))
    history.note(
        15.5,
        1005.5,
        requests(17)
        | requests(4, "A", "tcp")
        | requests(2, "SRV")
        | {'dns_responses{rcode="NOERROR"}': 11, 'dns_responses{rcode="NXDOMAIN"}': 0}
        | {"cache_hits": 5, "forward_cached": 1, "cache_misses": 2, "forwarded": 3, "refused": 4, "tcp_connections": 9},
    )
    assert history.after(0) == [
        Step(
            1005.5,
            5.5,
            {"A": 14, "SRV": 2},
            {"NOERROR": 11},
            {"cache": 6, "fresh": 2, "upstream": 3, "none": 4},
        )
    ]


def test_what_steps_back_counts_as_nothing():
    history = History()
    for now, count in enumerate((9, 3, 5)):
        history.note(float(now), 0.0, requests(count))
    assert [step.types for step in history.after(0)] == [{}, {"A": 2}]


def test_time_that_stands_still_makes_no_step():
    history = History()
    for _ in range(3):
        history.note(1.0, 0.0, requests(1))
    assert history.count == 0


def test_steps_after_those_that_are_known():
    history = History()
    for now in range(4):
        history.note(float(now), float(now), {})
    assert [[step.at for step in history.after(count)] for count in range(5)] == [[1, 2, 3], [2, 3], [3], [], []]


def test_old_steps_are_forgotten():
    history = History()
    for now in range(MOST_STEPS + 8):
        history.note(float(now), float(now), {})
    assert (history.count, len(history.after(0)), history.after(0)[0].at) == (MOST_STEPS + 7, MOST_STEPS, 8.0)
    assert [step.at for step in history.after(history.count - 1)] == [MOST_STEPS + 7]


def test_every_answer_has_an_origin():
    history = History()
    history.note(0.0, 0.0, {})
    history.note(1.0, 0.0, dict.fromkeys(ANSWERED, 1))
    (step,) = history.after(0)
    assert sum(step.origins.values()) == len(ANSWERED)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.dictionaries(st.text(), st.floats(0, 1e9)))), st.integers(0, 10))
def test_any_counts_are_taken(noted, after):
    history = History()
    for now, counters in noted:
        history.note(now, now, counters)
    assert all(step.seconds > 0 for step in history.after(after))


async def test_control_notes_it_through_a_reload(running, monkeypatch):
    noted = asyncio.Queue()
    note = History.note

    def noting(self, now, at, counters):
        note(self, now, at, counters)
        noted.put_nowait((self, counters))

    monkeypatch.setattr(History, "note", noting)
    monkeypatch.setattr(control, "STEP_SECONDS", 0.001)
    await running.start()
    running.sources[0].shows(state())
    await running.serving()
    history, counters = await noted.get()
    assert any(series.startswith("source_polls") for series in counters)
    running.reload(dataclasses.replace(CONFIG, ttl=7))
    await running.pending()
    running.sources[1].shows(state())
    await running.in_force()
    while not noted.empty():
        noted.get_nowait()
    assert (await noted.get())[0] is history is running.generation.history
    assert history.count > 0
