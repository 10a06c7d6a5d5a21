"""The cache against a plain dictionary that never forgets: any course of questions, answers, failures and time."""

from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.examples import fewer
from tests.serve.forward.replies import question, reply_to, transcript

from mesos_dns.serve.forward.cache import ForwardCache, cache_key

QUERIES = [question(f"{name}.test.", qtype) for name in ("a", "bb", "ccc") for qtype in ("A", "AAAA")]
ADDRESSES = {1: "192.0.2.{}", 28: "2001:db8::{}"}
KINDS = {1: "A", 28: "AAAA"}
MIN_TTL, MAX_TTL, STALE = 5, 400, 100
TTLS = st.sampled_from([0, 1, 3, 7, 20, 60, 300, 5000])


class Answer(NamedTuple):
    """What the model keeps."""

    lines: list[str]
    ttls: list[int]
    expires: float
    start: float
    rcode: int


def counted(ttl, age):
    return max(ttl - age, min(ttl, 1))


class AgainstADictionary(RuleBasedStateMachine):
    """With much room all is found that the model knows; with little, nothing else."""

    @initialize(octets=st.sampled_from([0, 3000, 9000, 1 << 20]))
    def begin(self, octets):
        self.octets = octets
        self.cache = ForwardCache(octets, min_ttl=MIN_TTL, max_ttl=MAX_TTL, stale_seconds=STALE)
        self.now = 1000.0
        self.answers = {}
        self.rechecks = {}
        self.failures = {}

    @rule(seconds=st.sampled_from([0.25, 0.5, 1, 3, 5.5, 29, 30, 50, 100, 300, 400]))
    def time_passes(self, seconds):
        self.now += seconds

    def keep(self, n, lines, ttls, *, least, rcode=0):
        query = QUERIES[n]
        reply = reply_to(query, "\n".join(lines), rcode={0: "NOERROR", 3: "NXDOMAIN"}[rcode])
        self.cache.put(cache_key(query), reply, query.question_end, self.now)
        self.failures.pop(n, None)
        self.rechecks.pop(n, None)
        self.answers.pop(n, None)
        if least:
            life = min(max(least, MIN_TTL), MAX_TTL)
            self.answers[n] = Answer(lines, ttls, self.now + life, self.now, rcode)

    @rule(n=st.integers(0, 5), ttl=TTLS, addresses=st.integers(1, 4), alias=st.none() | TTLS, more=st.none() | TTLS)
    def positive(self, n, ttl, addresses, alias, more):
        qtype = QUERIES[n].qtype
        name = owner = f"{'abc'[n // 2] * (n // 2 + 1)}.test."
        lines, ttls = [], []
        if alias is not None:
            owner = f"alias.{name}"
            lines.append(f"answer {name} {alias} CNAME {owner}")
            ttls.append(alias)
        for number in range(1, addresses + 1):
            lines.append(f"answer {owner} {ttl} {KINDS[qtype]} {ADDRESSES[qtype].format(number)}")
            ttls.append(ttl)
        least = min(ttls)
        if more is not None:
            lines.append(f"additional ns.test. {more} A 192.0.2.53")
            ttls.append(more)
        self.keep(n, lines, ttls, least=least)

    @rule(n=st.integers(0, 5), ttl=TTLS, minimum=TTLS, rcode=st.sampled_from([0, 3]))
    def negative(self, n, ttl, minimum, rcode):
        least = min(ttl, minimum)
        line = f"authority test. {ttl} SOA ns.test. admin.test. 1 2 3 4 {minimum}"
        self.keep(n, [line], [least], least=least, rcode=rcode)

    @rule(n=st.integers(0, 5), rcode=st.sampled_from(["SERVFAIL", "REFUSED"]))
    def no_answer(self, n, rcode):
        query = QUERIES[n]
        self.cache.put(cache_key(query), reply_to(query, rcode=rcode), query.question_end, self.now)

    @precondition(lambda self: self.octets in {0, 1 << 20})
    @rule(n=st.integers(0, 5))
    def failure(self, n):
        self.cache.fail(cache_key(QUERIES[n]), self.now)
        answer = self.answers.get(n)
        if answer is not None and self.now < answer.expires + STALE:
            self.rechecks[n] = self.now + 30
            return
        self.answers.pop(n, None)
        until, seconds = self.failures.get(n, (0, 0))
        if self.now < until:
            return
        seconds = min(seconds * 2, 300) if seconds and self.now < until + 300 else 5
        self.failures[n] = (self.now + seconds, seconds)

    @rule(n=st.integers(0, 5))
    def find(self, n):
        found = self.cache.find(cache_key(QUERIES[n]), self.now)
        answer = self.answers.get(n)
        if found is None:
            if self.octets == 1 << 20:
                assert answer is None or self.now >= answer.expires + STALE
                assert self.now >= self.failures.get(n, (0,))[0]
            return
        assert self.octets
        if found.failed:
            assert self.now < self.failures[n][0]
            assert answer is None
            return
        assert self.now < answer.expires + STALE
        assert found.fresh == (self.now < answer.expires)
        assert found.recheck == (not found.fresh and self.now >= self.rechecks.get(n, 0))
        age = int(self.now - answer.start)
        expected = []
        for line, ttl in zip(answer.lines, answer.ttls, strict=True):
            section, owner, _, *rest = line.split()
            expected.append(" ".join([section, owner, str(counted(ttl, age) if found.fresh else 30), *rest]))
        got = transcript(found.reply)
        assert sorted(got) == sorted(expected)
        assert [line for line in got if " CNAME " in line] == [line for line in expected if " CNAME " in line]
        assert found.reply[3] & 15 == answer.rcode

    @invariant()
    def bounded(self):
        assert self.cache.octets <= self.octets
        # What is new is not looked into, so it may be nothing that can be kept.
        assert len(self.cache) <= len(self.answers) + len(self.failures) + len(self.cache._new)


TestAgainstADictionary = AgainstADictionary.TestCase
TestAgainstADictionary.settings = fewer(2, stateful_step_count=40)
