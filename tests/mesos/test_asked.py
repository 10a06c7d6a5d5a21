from mesos_dns.mesos.asked import MAX_ASKED, MAX_ERROR, MAX_LEADERS, Asked, Leaders, Leadership
from mesos_dns.mesos.errors import NoLeaderError, RedirectError, UnreachableError
from mesos_dns.mesos.state import Endpoint

M1, M2, M3 = (Endpoint(f"10.0.0.{n}", 5050) for n in (1, 2, 3))


def test_masters_in_their_order_asked_or_not_and_others_after_them():
    asked = Asked()
    asked.failed(RedirectError(M2, M3, "does not lead"), 10.0, 0.002)
    asked.answered(M3, 11.0, 0.25)
    found = asked.masters([M1, M2])
    assert [each.endpoint for each in found] == [M1, M2, M3]
    assert [each.role(M3) for each in found] == ["unknown", "standby", "leading"]
    assert found[2].as_json(M3, 15.0) == {
        "master": "10.0.0.3:5050",
        "role": "leading",
        "answered": 4,
        "took_us": 250_000,
        "failing": False,
        "failed": None,
        "last_error": "",
    }


def test_an_error_stays_after_an_answer_and_says_whether_it_is_over():
    asked = Asked()
    asked.failed(UnreachableError(M1, "no connection:\n refused"), 5.0, 0.1)
    (master,) = asked.masters([M1])
    assert (master.failing, master.role(M1), master.last_error) == (True, "unknown", "no connection: refused")
    asked.answered(M1, 6.0, 0.1)
    (master,) = asked.masters([M1])
    assert (master.failing, master.role(M1), master.failed) == (False, "leading", 5.0)
    asked.failed(NoLeaderError(M1, "no leader at the moment"), 7.0, 0.1)
    (master,) = asked.masters([M1])
    assert (master.role(M2), master.answered) == ("standby", 7.0)


def test_a_stream_that_is_heard_is_an_answer():
    asked = Asked()
    asked.answered(M1, 1.0, 0.1)
    asked.answered(M2, 1.0, 0.1)
    assert [each.answered for each in asked.masters_heard([M1, M2], M1, 50.0)] == [50.0, 1.0]
    assert asked.masters_heard([M1], M1, 0.5)[0].answered == 1.0


def test_it_is_bounded_and_so_are_its_texts():
    asked = Asked()
    for n in range(3 * MAX_ASKED):
        asked.failed(UnreachableError(Endpoint(f"host{n}", 5050), "x" * 5000), float(n), 0.0)
    found = asked.masters([])
    assert len(found) == MAX_ASKED
    assert found[-1].endpoint.host == f"host{3 * MAX_ASKED - 1}"
    assert len(found[-1].last_error) == MAX_ERROR


def test_leaders_one_after_the_other():
    leaders = Leaders()
    for at, master in enumerate(["m1", "m1", "m2", "m1"]):
        leaders.note(Leadership(float(at), "10.0.0.1:5050", master))
    assert [(each.at, each.master_id) for each in leaders] == [(0.0, "m1"), (2.0, "m2"), (3.0, "m1")]
    assert leaders.changes == 2


def test_a_new_configuration_goes_on_with_those_that_are_known():
    former, leaders = Leaders(), Leaders()
    for n in range(2 * MAX_LEADERS):
        former.note(Leadership(float(n), "", f"m{n}"))
    leaders.inherit(former)
    leaders.note(Leadership(0.0, "", f"m{2 * MAX_LEADERS - 1}"))
    assert leaders.changes == 0
    leaders.note(Leadership(0.0, "", "another"))
    assert (leaders.changes, len([*leaders])) == (1, MAX_LEADERS)
