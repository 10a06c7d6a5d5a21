"""Whether an upstream takes EDNS, as its answers and its silence tell. That TCP is apart is held by test_health."""

from mesos_dns.serve.forward.capability import PLAIN_AFTER_SILENCE_SECONDS, PLAIN_SECONDS, Edns


def test_rejected_and_tried_again():
    edns = Edns()
    assert edns.used(0.0, 0)
    edns.rejected(1.0)
    assert not edns.used(PLAIN_SECONDS, 0)
    assert edns.used(PLAIN_SECONDS + 1.0, 0)


def test_silence_makes_every_second_question_a_trial():
    edns = Edns()
    edns.silent(0.0, 0.4)
    assert [edns.used(1.0, number) for number in range(4)] == [True, False, True, False]
    assert repr(edns) == "Edns(plain_until=-inf, doubted=True)"
    edns.answered(2.0, edns=True)
    assert [edns.used(3.0, number) for number in range(4)] == [True] * 4


def test_plain_is_answered_and_edns_afterwards_not():
    edns = Edns()
    edns.silent(0.0, 0.4)
    edns.silent(0.5, 0.9)
    edns.answered(1.0, edns=False)
    edns.silent(0.9, 1.3)  # asked before: the upstream may have been down
    assert edns.used(1.5, 0)
    edns.silent(1.1, 1.5)
    assert not edns.used(1.5, 0)
    assert edns.used(1.5 + PLAIN_AFTER_SILENCE_SECONDS, 0)


def test_plain_answers_to_clients_without_edns_prove_nothing():
    edns = Edns()
    edns.answered(0.0, edns=False)
    edns.silent(1.0, 1.4)
    assert edns.used(2.0, 0)
