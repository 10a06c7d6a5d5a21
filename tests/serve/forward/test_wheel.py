"""The timer wheel against a plain list of deadlines."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from tests.examples import fewer

from mesos_dns.serve.forward.wheel import RING_SLOTS, TICK_SECONDS, TimerWheel

#: From nothing to several turns of the ring, both sides of every edge.
DELAYS = st.one_of(
    st.floats(-1, 4 * RING_SLOTS * TICK_SECONDS),
    st.integers(-2, 3 * RING_SLOTS).map(lambda ticks: ticks * TICK_SECONDS),
)
STEPS = st.one_of(st.floats(0, 0.05), DELAYS.map(abs))


class Wheel(RuleBasedStateMachine):
    items = Bundle("items")

    def __init__(self):
        super().__init__()
        self.now = 1000.0
        self.wheel = TimerWheel(self.now)
        self.deadlines = {}
        self.count = 0

    @rule(target=items, delay=DELAYS)
    def add(self, delay):
        self.count += 1
        self.deadlines[self.count] = self.now + delay
        return self.count, self.wheel.add(self.count, self.now + delay)

    @rule(item=consumes(items))
    def cancel(self, item):
        self.deadlines.pop(item[0], None)
        self.wheel.cancel(*item)

    @rule(step=STEPS)
    def expire(self, step):
        before, self.now = self.now, self.now + step
        told = self.wheel.expire(self.now)
        assert len(set(told)) == len(told)
        for item in told:
            assert self.deadlines.pop(item) <= self.now
        # What is left is not due, or not for a whole tick; what was in the past when it came waits for the next tick.
        late = [item for item, deadline in self.deadlines.items() if max(deadline, before) + TICK_SECONDS < self.now]
        assert late == []

    @rule()
    def follow(self):
        """As a loop's timer does: at the time that it tells there is something, unless that is more than a turn away."""
        at = self.wheel.next()
        if at is not None:
            self.now = max(self.now, at * TICK_SECONDS)
            told = self.wheel.expire(self.now)
            for item in told:
                assert self.deadlines.pop(item) <= self.now
            assert told or min(self.deadlines.values()) > self.now

    @invariant()
    def knows_how_many_and_when(self):
        assert len(self.wheel) == len(self.deadlines)
        at = self.wheel.next()
        assert (at is None) == (not self.deadlines)
        if at is not None:
            assert at * TICK_SECONDS <= max(min(self.deadlines.values()), self.now) + TICK_SECONDS


TestWheel = Wheel.TestCase
TestWheel.settings = fewer(2)


@given(st.lists(st.integers(1, RING_SLOTS - 1), unique=True))
def test_the_earlier_is_told_first(ticks):
    wheel = TimerWheel(0.0)
    for tick in ticks:
        wheel.add(tick, tick * TICK_SECONDS)
    assert wheel.expire(RING_SLOTS * TICK_SECONDS) == sorted(ticks)


def test_what_is_cancelled_is_never_told():
    wheel = TimerWheel(0.0)
    tick = wheel.add("question", 5.0)
    wheel.cancel("question", tick)
    assert wheel.next() is None
    assert wheel.expire(10.0) == []
    wheel.cancel("question", tick)  # once more does no harm


def test_times_in_the_past_are_told_at_the_next_tick():
    wheel = TimerWheel(100.0)
    wheel.add("late", 50.0)
    assert wheel.expire(100.0) == []
    assert wheel.expire(100.0 + TICK_SECONDS) == ["late"]
