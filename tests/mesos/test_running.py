"""How many tasks run by what events told and by what summaries count."""

from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.mesos.running import RunningTasks


def known(unshown=None, **counts):
    running = RunningTasks(unshown)
    for framework_id, count in counts.items():
        for _ in range(count):
            running.add(framework_id, 1)
    return running


def test_a_task_that_no_event_told_of():
    running = known(F=2, G=1)
    running.begin()
    running.compare({"F": 3, "G": 1}, ["F", "G"])
    assert running.lacking() == {"F": 1}
    running.add("F", 1)
    assert (running.lack("F"), running.lacking()) == (0, {})
    assert running.end() is False


def test_frameworks_of_which_no_task_waits_are_not_compared():
    running = known(F=2)
    running.begin()
    running.compare({"F": 3}, [])
    assert running.lacking() == {}


def test_an_event_while_the_summary_is_under_way_may_be_in_its_counts_or_not():
    for counted in (2, 3):
        running = known(F=2)
        running.begin()
        running.add("F", 1)
        running.compare({"F": counted}, ["F"])
        assert running.lacking() == {}
    running = known(F=2)
    running.begin()
    running.add("F", -1)
    running.compare({"F": 2}, ["F"])
    assert running.lacking() == {}


def test_an_event_that_comes_behind_the_summary():
    running = known(F=2)
    running.begin()
    running.compare({"F": 3}, ["F"])
    assert running.lacking() == {"F": 1}
    running.add("F", 1)
    running.add("F", -1)
    assert running.lacking() == {}
    assert running.end() is None, "by now one cannot tell"


def test_what_stays_missing_is_not_looked_for_by_the_view_that_follows_if_it_does_not_see_it_either():
    running = known(F=2)
    running.begin()
    running.compare({"F": 4}, ["F"])
    assert running.end() is True
    assert running.unshown() == {"F": 2}
    after = known(running.unshown(), F=2)
    after.begin()
    after.compare({"F": 4}, ["F"])
    assert after.lacking() == {}
    assert after.end() is False
    after.begin()
    after.compare({"F": 5}, ["F"])
    assert after.lacking() == {"F": 1}
    assert after.end() is True
    assert after.unshown() == {"F": 3}


def test_fewer_are_hidden_as_soon_as_a_summary_says_so():
    running = known({"F": 2}, F=4)
    running.begin()
    running.compare({"F": 5}, ["F"])
    assert running.unshown() == {"F": 1}
    running.end()
    running.begin()
    running.add("F", -1)
    running.compare({}, ["F"])
    assert running.unshown() == {"F": 1}, "with news of it nobody knows"


def test_without_a_summary_nothing_is_known_to_be_found():
    running = known(F=2)
    running.begin()
    running.compare({"F": 3}, ["F"])
    assert running.end() is True
    running.begin()
    assert running.end() is None
    assert running.unshown() == {"F": 1}


@given(st.lists(st.sampled_from([1, -1])), st.lists(st.sampled_from([1, -1])), st.data())
def test_no_moment_of_known_tasks_is_ever_taken_for_a_lack(before, meanwhile, data):
    """The master counts at some moment between question and answer; all events come, sooner or later."""
    running = known(F=10 + len(before))
    for by in before:
        running.add("F", by)
    running.begin()
    moments = [running.known("F")]
    for by in meanwhile:
        if running.known("F") + by >= 0:
            running.add("F", by)
        moments.append(running.known("F"))
    running.compare({"F": data.draw(st.sampled_from(moments))}, ["F"])
    assert running.lacking() == {}
