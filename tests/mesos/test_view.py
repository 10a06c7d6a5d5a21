"""A view whose tasks may run without an event."""

import json

from tests.mesos.decoding import shapes
from tests.mesos.decoding.test_v1 import cluster, status, take, task, view_of

from mesos_dns.mesos import view as view_module
from mesos_dns.mesos.decoding.members import Skipped
from mesos_dns.mesos.decoding.v0_tasks import read_running

FEWER = "fewer running tasks than there are"


def waiting(*ids, framework="F0"):
    return [
        task(one, "TASK_STARTING", framework=framework, statuses=[status("TASK_STARTING", labels=[])]) for one in ids
    ]


def shown(task_id, state="TASK_RUNNING", framework="F0", **more):
    """What the master shows of a task whose first status is all that was acknowledged."""
    (entry,) = waiting(task_id, framework=framework)
    body = b'{"tasks":[%s]}' % json.dumps(shapes.v0_task({**entry, "state": state, **more})).encode()
    return read_running(body, framework, task_id, Skipped())


def compared(view, **counts):
    view.begin_summary()
    view.compare_running(counts)
    return view


def running(view):
    return sorted(key[1] for key, live in view.tasks.items() if live.is_running)


def test_a_task_that_runs_without_an_event():
    view = compared(view_of(shapes.subscribed(cluster(task("a"), *waiting("b", "c")))), F0=2)
    assert view.may_run(9) == [("F0", "b", 0), ("F0", "c", 0)]
    before = view.begin_task(("F0", "b", 0))
    view.take_task(before, shown("b"))
    delta = view.take_delta()
    assert [found.netinfo for found in delta.tasks.values()] == [(bytes([10, 9, 0, 1]),)]
    assert view.begin_task(("F0", "c", 0)) is None, "no other one is missing"
    view.end_comparison()
    assert (running(view), view.doubt) == (["a", "b"], "")


def test_tasks_that_do_not_run_are_told_of(monkeypatch):
    view = view_of(shapes.subscribed(cluster(task("a"), *waiting("b", "c"))))
    assert [(one.task.id, one.state) for one in view.not_running()] == [("b", "TASK_STARTING"), ("c", "TASK_STARTING")]
    take(view, shapes.task_updated(*waiting("b"), status("TASK_KILLING", labels=[])))
    assert [(one.task.id, one.state) for one in view.not_running()] == [("b", "TASK_KILLING"), ("c", "TASK_STARTING")]
    monkeypatch.setattr(view_module, "MAX_NOT_RUNNING", 1)
    assert [one.task.id for one in view.not_running()] == ["b"]


def test_nobody_is_asked_about_while_none_is_missing():
    view = compared(view_of(shapes.subscribed(cluster(task("a"), *waiting("b")))), F0=1)
    assert view.may_run(9) == []
    view.end_comparison()
    assert view.doubt == ""


def test_only_frameworks_that_lack_some_are_asked_about():
    staging = waiting(*(f"s{number}" for number in range(50)), framework="F1")
    view = compared(view_of(shapes.subscribed(cluster(*staging, *waiting("b")))), F0=1)
    assert view.may_run(9) == [("F0", "b", 0)]


def test_others_come_first_the_next_time():
    view = compared(view_of(shapes.subscribed(cluster(*waiting("a", "b", "c", "d")))), F0=1)
    asked = view.may_run(2)
    assert [key[1] for key in asked] == ["a", "b"]
    for key in asked:
        view.begin_task(key)
    view.end_comparison()
    compared(view, F0=1)
    assert [key[1] for key in view.may_run(4)] == ["c", "d", "a", "b"]


def test_an_event_that_comes_meanwhile_is_newer():
    for event, state in (
        (shapes.task_updated(*waiting("b"), status("TASK_KILLING", labels=[])), []),
        (shapes.task_updated(*waiting("b"), status("TASK_FINISHED", labels=[])), []),
        (shapes.task_added(*waiting("b")), []),
        (shapes.task_updated(*waiting("b"), status("TASK_RUNNING", address="10.9.0.2", labels=[])), ["b"]),
    ):
        view = compared(view_of(shapes.subscribed(cluster(*waiting("b")))), F0=1)
        before = view.begin_task(("F0", "b", 0))
        take(view, event)
        after = view.tasks.get(("F0", "b", 0))
        view.take_task(before, shown("b"))
        assert view.tasks.get(("F0", "b", 0)) is after
        assert running(view) == state


def test_what_the_master_does_not_show_as_running_leaves_a_doubt_until_it_is_found():
    view = compared(view_of(shapes.subscribed(cluster(*waiting("b", "c")))), F0=1)
    view.begin_task(("F0", "b", 0))
    assert shown("b", "TASK_STARTING") is None
    view.end_comparison()
    assert view.doubt == FEWER
    compared(view, F0=1)
    view.take_task(view.begin_task(("F0", "c", 0)), shown("c"))
    view.end_comparison()
    assert (running(view), view.doubt) == (["c"], "")


def test_no_other_doubt_is_dispelled():
    view = view_of(shapes.subscribed(cluster(*waiting("b"))))
    view.doubt = "something else"
    compared(view, F0=1).end_comparison()
    assert view.doubt == "something else"
    compared(view).end_comparison()
    assert view.doubt == "something else"


def test_a_summary_that_cannot_be_had_dispels_nothing():
    view = view_of(shapes.subscribed(cluster(*waiting("b"))))
    compared(view, F0=1).end_comparison()
    view.begin_summary()
    view.take_summary(None)
    view.end_comparison()
    assert view.doubt == FEWER


def test_an_update_after_it_ran_unannounced_is_one_of_a_running_task():
    """The scheduler is back and acknowledges: the status TASK_RUNNING comes as an event at last."""
    view = compared(view_of(shapes.subscribed(cluster(*waiting("b")))), F0=1)
    view.take_task(view.begin_task(("F0", "b", 0)), shown("b"))
    view.end_comparison()
    view.take_delta()
    take(view, shapes.task_updated(task("b"), status("TASK_RUNNING", 2.0, "10.9.0.2", labels=[])))
    (found,) = view.take_delta().tasks.values()
    assert found.netinfo == (bytes([10, 9, 0, 2]),)
    take(view, shapes.task_updated(task("b"), status("TASK_FINISHED", 3.0, labels=[])))
    assert view.take_delta().tasks_gone == (("F0", "b", 0),)
