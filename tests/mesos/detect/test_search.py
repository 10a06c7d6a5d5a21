import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.mesos.detect.search import MAX_UNLISTED_MASTERS, LeaderSearch
from mesos_dns.mesos.errors import (
    MasterTimeoutError,
    NobodyAnsweredError,
    NoLeaderError,
    RedirectError,
    UnreachableError,
)
from mesos_dns.mesos.state import Endpoint

A, B, C, X = (Endpoint(f"10.0.0.{number}", 5050) for number in (1, 2, 3, 9))
NAME = Endpoint("leader.example", 5050)


def unreachable(endpoint):
    return UnreachableError(endpoint, "refused")


def redirect(endpoint, location):
    return RedirectError(endpoint, location, "elsewhere")


def test_the_configured_masters_in_order():
    search = LeaderSearch([A, B, C])
    for expected in (A, B, C):
        assert search.next() == expected
        search.failed(unreachable(expected))
    with pytest.raises(
        NobodyAnsweredError, match=r"master 10.0.0.1:5050: refused; master 10.0.0.2:5050: refused; "
    ) as failure:
        search.next()
    assert [error.endpoint for error in failure.value.errors] == [A, B, C]


def test_the_last_leader_is_asked_first_and_once():
    search = LeaderSearch([A, B], last=B)
    assert search.next() == B
    search.failed(unreachable(B))
    assert search.next() == A
    search.failed(unreachable(A))
    with pytest.raises(NobodyAnsweredError):
        search.next()


def test_nobody_to_ask():
    with pytest.raises(NobodyAnsweredError, match="Masters lists none"):
        LeaderSearch([]).next()


def test_a_master_that_leads():
    search = LeaderSearch([A])
    assert search.accepts(search.next(), pid=A, leader=A)


def test_a_leader_behind_another_address():
    search = LeaderSearch([A])
    assert search.accepts(search.next(), pid=X, leader=X)


def test_old_masters_answer_without_leading():
    search = LeaderSearch([A, B])
    assert not search.accepts(search.next(), pid=A, leader=X)
    assert search.next() == X
    assert search.accepts(X, pid=X, leader=X)


def test_states_without_pid():
    search = LeaderSearch([A])
    assert search.accepts(search.next(), pid=None, leader=A)

    search = LeaderSearch([A])
    assert not search.accepts(search.next(), pid=None, leader=X)
    assert search.next() == X
    assert search.accepts(X, pid=None, leader=B), "the second answer is taken as it is"


def test_states_without_leader():
    search = LeaderSearch([A, B])
    assert not search.accepts(search.next(), pid=A, leader=None)
    assert search.next() == B
    search.failed(NoLeaderError(B, "503"))
    with pytest.raises(NobodyAnsweredError, match="its state names no leader"):
        search.next()


def test_a_redirect_to_an_address_is_followed_at_once():
    search = LeaderSearch([A, B])
    search.failed(redirect(search.next(), X))
    assert search.next() == X


def test_a_redirect_to_a_name_is_the_last_resort():
    search = LeaderSearch([A, B, C])
    search.failed(redirect(search.next(), NAME))
    assert search.next() == B
    search.failed(redirect(B, NAME))
    assert search.next() == C
    search.failed(MasterTimeoutError(C, "hangs"))
    assert search.next() == NAME
    search.failed(unreachable(NAME))
    with pytest.raises(NobodyAnsweredError):
        search.next()


def test_an_unreadable_redirect():
    search = LeaderSearch([A, B])
    search.failed(redirect(search.next(), None))
    assert search.next() == B


def test_masters_that_point_at_each_other_or_at_a_dead_leader_end_the_round():
    search = LeaderSearch([A, B])
    search.failed(redirect(search.next(), B))
    search.failed(redirect(search.next(), A))
    with pytest.raises(NobodyAnsweredError):
        search.next()

    search = LeaderSearch([A, B], last=C)
    search.failed(unreachable(search.next()))
    search.failed(redirect(search.next(), C))
    search.failed(redirect(search.next(), C))
    with pytest.raises(NobodyAnsweredError):
        search.next()


def test_a_self_redirect_is_not_followed():
    search = LeaderSearch([A, B])
    search.failed(redirect(search.next(), A))
    assert search.next() == B


def drain(search, answer):
    """Ask whomever `search` names, in order; `answer(endpoint)` says what came and whether that was it."""
    asked = []
    while True:
        try:
            asked.append(search.next())
        except NobodyAnsweredError:
            return asked
        if answer(asked[-1]):
            return None


def test_endless_new_leaders_are_bounded_and_starve_nobody():
    search = LeaderSearch([A, B])
    new = (Endpoint(f"10.1.0.{number}", 5050) for number in range(1, 1000))
    asked = drain(search, lambda endpoint: search.failed(redirect(endpoint, next(new))))
    assert len(asked) == 2 + MAX_UNLISTED_MASTERS
    assert B in asked


def test_its_repr_shows_where_it_is():
    search = LeaderSearch([A, B])
    search.next()
    assert repr(search) == "LeaderSearch(asked=['10.0.0.1:5050'], waiting=['10.0.0.2:5050'])"


_endpoints = st.sampled_from([A, B, C, X, NAME])


@given(
    st.lists(_endpoints, max_size=4), st.none() | _endpoints, st.lists(st.tuples(st.booleans(), st.none() | _endpoints))
)
def test_nobody_is_asked_twice_and_every_listed_master_is_asked(masters, last, outcomes):
    search = LeaderSearch(masters, last)

    def answer(endpoint):
        is_redirect, hint = outcomes.pop() if outcomes else (True, None)
        if is_redirect:
            return search.failed(redirect(endpoint, hint))
        return search.accepts(endpoint, pid=None, leader=hint)

    asked = drain(search, answer)
    if asked is not None:
        assert len(asked) == len(set(asked))
        assert set(masters) <= set(asked)
