"""What fuzzing found interesting, and mutations of it, are harmless: the corpora of fuzz/ with their targets, without atheris."""

import logging

import pytest
from fuzz.targets import CORPORA, TARGETS, corpus
from hypothesis import given, settings
from hypothesis import strategies as st

#: Octets of all corpora: they are part of the repository, and are run with each change.
LARGEST = 200_000


@pytest.fixture(autouse=True)
def quiet():
    """Log lines about bad input are none of this test's business."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", TARGETS)
def test_corpus(name):
    paths = corpus(name)
    assert paths
    for path in paths:
        try:
            TARGETS[name].check(path.read_bytes())
        except Exception as error:
            error.add_note(f"the input is {path}")
            raise


def test_corpora_are_small_and_all_in_use():
    paths = [path for name in TARGETS for path in corpus(name)]
    assert sum(path.stat().st_size for path in paths) < LARGEST
    assert {path.name for path in CORPORA.iterdir()} == TARGETS.keys()


@st.composite
def mutations(draw, octets):
    """Some octets changed, cut out, repeated or put in."""
    out = bytearray(octets)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(out)))
        end = min(at + draw(st.integers(0, 4)), len(out))
        out[at:end] = draw(
            st.binary(max_size=4) | st.sampled_from([b"\0", b"\xff", b"\xc0\x0c", bytes(out[at:end]) * 2])
        )
    return bytes(out)


@pytest.mark.parametrize("name", TARGETS)
def test_mutations(name):
    inputs = [path.read_bytes() for path in corpus(name)]

    @given(st.sampled_from(inputs).flatmap(mutations))
    # Dear ones: a state is a cluster, and a whole zone. HYPOTHESIS_PROFILE=thorough, and `make fuzz`, try more.
    @settings(max_examples=max(1, settings().max_examples // 4))
    def check(octets):
        TARGETS[name].check(octets)

    check()
