"""The cache of upstreams' answers: what clients get from it, second by second."""

import struct
import sys
import tracemalloc

import dns.flags
import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.asking import ask, parse
from tests.serve.forward.replies import question, reply_to, transcript

from mesos_dns.serve.forward.cache import ForwardCache, Found, cache_key, question_of

RD, AD, CD, DO = dns.flags.RD, dns.flags.AD, dns.flags.CD, dns.flags.DO
ROOM = 1 << 20
ADDRESS = "answer www.example.test. {} A 192.0.2.1"
SOA = "authority example.test. 3600 SOA ns.example.test. admin.example.test. 1 7200 900 604800 {}"
HOUR = 3600


def cache(octets=ROOM, *, min_ttl=0, max_ttl=24 * HOUR, stale=24 * HOUR):
    return ForwardCache(octets, min_ttl=min_ttl, max_ttl=max_ttl, stale_seconds=stale)


class Shell:
    """A cache and one question."""

    def __init__(self, query=None, **options):
        self.cache = cache(**options)
        self.query = query or question()
        self.key = cache_key(self.query)

    def put(self, text, now, **options):
        self.cache.put(self.key, reply_to(self.query, text, **options), self.query.question_end, now)

    def find(self, now):
        return self.cache.find(self.key, now)

    def fail(self, now, *, down=False):
        self.cache.fail(self.key, now, down=down)

    def ttl(self, now):
        """The TTL of the first record."""
        return int(transcript(self.find(now).reply)[0].split()[2])


# --- keys --------------------------------------------------------------------------------------


def test_the_key_is_the_same_however_the_name_is_spelled_and_whatever_does_not_change_the_answer():
    keys = {
        cache_key(parse(octets))
        for octets in (
            ask("www.example.test."),
            ask("wWw.Example.TEST.", identifier=7),
            ask("www.example.test.", payload=4096),
            ask("www.example.test.", flags=RD | dns.flags.AA | dns.flags.RA),
        )
    }
    assert len(keys) == 1


def test_the_key_has_all_that_changes_the_answer():
    questions = [
        ask("www.example.test."),
        ask("xww.example.test."),
        ask("www.example.test.", "AAAA"),
        ask("www.example.test.", "A", "CH"),
        ask("www.example.test.", flags=0),
        ask("www.example.test.", flags=RD | CD),
        ask("www.example.test.", flags=RD | AD),
        ask("www.example.test.", payload=1232, ednsflags=DO),
        ask("www.example.test.", payload=1232, ednsflags=DO, flags=RD | CD),
    ]
    assert len({cache_key(parse(octets)) for octets in questions}) == len(questions)


def test_do_asks_for_all_that_ad_asks_for():
    with_ad, without = (
        cache_key(parse(ask("a.test.", payload=1232, ednsflags=DO, flags=RD | more))) for more in (AD, 0)
    )
    assert with_ad == without


# --- fresh -------------------------------------------------------------------------------------


def test_ttls_are_counted_down_in_whole_seconds_and_never_below_1():
    www = Shell()
    www.put(ADDRESS.format(3), now=10.5)
    assert [www.ttl(now) for now in (10.5, 11.49, 11.5, 12.5, 13.49)] == [3, 3, 2, 1, 1]
    assert not www.find(13.5).fresh


def test_seconds_begin_with_the_answer_whenever_it_is_asked_for():
    www = Shell()
    www.put(ADDRESS.format(300), now=10.5)
    assert [www.ttl(now) for now in (12.4, 12.6, 14.4, 14.6)] == [299, 298, 297, 296]


def test_each_record_is_counted_down_on_its_own():
    www = Shell()
    www.put(
        ADDRESS.format(300)
        + "\nauthority example.test. 5 NS ns.example.test.\nadditional ns.example.test. 0 A 192.0.2.53",
        now=0,
    )
    for now in (0, 3, 100):
        reply = www.find(now).reply
        assert [int(line.split()[2]) for line in transcript(reply)] == [300 - now, max(5 - now, 1), 0]


def test_the_reply_is_otherwise_the_upstreams():
    www = Shell()
    text = ADDRESS.format(300) + "\nauthority example.test. 300 NS ns.example.test."
    www.put(text, now=0, flags=dns.flags.RA | AD)
    assert www.find(0) == Found(reply_to(www.query, text, flags=dns.flags.RA | AD), fresh=True)


def test_limits_of_ttls_are_limits_of_the_cache_not_of_what_clients_see():
    www = Shell(min_ttl=60, max_ttl=HOUR, stale=0)
    www.put(ADDRESS.format(5), now=0)
    assert [www.ttl(now) for now in (0, 4, 59)] == [5, 1, 1]
    assert www.find(60) is None
    www.put(ADDRESS.format(2 * HOUR), now=0)
    assert www.find(HOUR - 1).fresh
    assert www.find(HOUR) is None


def test_ttl_0_is_not_kept_whatever_the_least_is():
    www = Shell(min_ttl=60)
    www.put(ADDRESS.format(0), now=0)
    assert www.find(0) is None


@pytest.mark.parametrize(("max_ttl", "seconds"), [(24 * HOUR, 3 * HOUR), (600, 600)])
def test_nxdomain_is_believed_for_three_hours_at_most(max_ttl, seconds):
    www = Shell(max_ttl=max_ttl, stale=0)
    soa = SOA.format(86400).replace("3600 SOA", "86400 SOA")
    www.put(soa, now=0, rcode="NXDOMAIN")
    assert www.find(seconds - 1).fresh
    assert www.find(seconds) is None


def test_nothing_is_kept_without_room():
    www = Shell(octets=0)
    www.put(ADDRESS.format(300), now=0)
    www.fail(now=0)
    assert www.find(0) is None
    assert (len(www.cache), www.cache.octets) == (0, 0)


def test_a_new_answer_takes_the_place_of_the_old_one_of_any_kind():
    www = Shell()
    for now in range(3):
        www.put(ADDRESS.format(300), now=now)
        assert www.find(now).reply[3] & 15 == 0
        www.put(SOA.format(60), now=now, rcode="NXDOMAIN")
        assert www.find(now).reply[3] & 15 == 3
        assert len(www.cache) == 1


def test_an_answer_that_cannot_be_kept_ends_the_old_one():
    www = Shell()
    www.put(ADDRESS.format(300), now=0)
    www.put(ADDRESS.format(0), now=301)
    assert www.find(302) is None


@pytest.mark.parametrize("options", [{"rcode": "SERVFAIL"}, {"rcode": "REFUSED"}, {"flags": dns.flags.TC}])
def test_what_is_no_answer_changes_nothing(options):
    www = Shell()
    www.put(ADDRESS.format(300), now=0, **options)
    assert www.find(1) is None
    www.put(ADDRESS.format(300), now=0)
    www.put("", now=1, **options)
    assert www.find(1).fresh


# --- prefetch ----------------------------------------------------------------------------------


def test_a_popular_answer_is_asked_for_again_once_before_its_end():
    www = Shell()
    www.put(ADDRESS.format(100), now=0)
    assert [www.find(now).prefetch for now in (1, 89.5, 90, 91)] == [False, False, True, False]
    www.put(ADDRESS.format(100), now=92)
    assert [www.find(now).prefetch for now in (93, 94, 183, 184)] == [False, False, True, False]


def test_an_answer_that_few_ask_for_is_not():
    www = Shell()
    www.put(ADDRESS.format(100), now=0)
    assert [www.find(now).prefetch for now in (95, 96)] == [False, False]


# --- stale (RFC 8767) --------------------------------------------------------------------------


def test_a_stale_answer_is_for_when_upstreams_are_silent():
    www = Shell(stale=HOUR)
    www.put(ADDRESS.format(60), now=0, flags=dns.flags.RA | AD)
    found = www.find(60)
    assert (found.fresh, found.recheck, found.failed) == (False, True, False)
    assert transcript(found.reply) == [ADDRESS.format(30)]
    assert dns.message.from_wire(found.reply).flags == dns.flags.QR | RD | dns.flags.RA
    assert www.ttl(HOUR + 59) == 30
    assert www.find(HOUR + 60) is None


def test_after_a_failure_a_stale_answer_is_given_at_once_for_30_seconds():
    www = Shell()
    www.put(ADDRESS.format(60), now=0)
    assert www.find(61).recheck
    www.fail(now=61)
    assert [www.find(now).recheck for now in (61, 90.9, 91)] == [False, False, True]
    www.fail(now=92)
    assert [www.find(now).recheck for now in (121, 122)] == [False, True]
    www.put(ADDRESS.format(60), now=123)
    assert www.find(123).fresh
    assert www.find(183).recheck


def test_a_prefetch_that_failed_counts_too():
    www = Shell()
    www.put(ADDRESS.format(100), now=0)
    www.fail(now=95)
    assert www.find(96).fresh
    assert [www.find(now).recheck for now in (101, 125)] == [False, True]


def test_nxdomain_may_be_stale_too():
    www = Shell()
    www.put(SOA.format(60), now=0, rcode="NXDOMAIN")
    www.fail(now=61)
    found = www.find(62)
    assert (found.fresh, found.recheck, found.reply[3] & 15) == (False, False, 3)


def test_the_question_of_a_key():
    query = question("wWw.Example.test.", "SRV")
    assert question_of(cache_key(query)) == (query.name, query.qtype)


# --- failures (RFC 9520) -----------------------------------------------------------------------


def test_failures_are_remembered_longer_each_time_but_no_longer_than_five_minutes():
    www = Shell()
    now, lasted = 0, []
    for _ in range(8):
        www.fail(now)
        start = now
        while www.find(now):
            assert www.find(now) == Found(b"", failed=True)
            now += 1
        lasted.append(now - start)
    assert lasted == [5, 10, 20, 40, 80, 160, 300, 300]


def test_while_all_upstreams_are_down_a_failure_is_remembered_for_a_second_and_no_longer_each_time():
    www = Shell()
    for now in range(0, 100, 2):
        www.fail(now, down=True)
        assert www.find(now + 0.9).failed
        assert www.find(now + 1) is None
    www.fail(100)  # one is back, and fails
    assert (www.find(104.9).failed, www.find(105)) == (True, None)


def test_while_all_upstreams_are_down_they_are_asked_again_soon_for_what_is_stale():
    www = Shell()
    www.put(ADDRESS.format(60), now=0)
    www.fail(61, down=True)
    assert [www.find(now).recheck for now in (61.9, 62)] == [False, True]


def test_what_failed_while_upstreams_were_in_trouble_may_be_asked_again_when_they_are_back():
    www = Shell()
    for now in (0, 5, 15, 35):
        www.fail(now)
    assert www.find(36).failed
    www.cache.forgive(36)
    assert www.find(36) is None
    www.fail(36)  # and counts as the first failure
    assert (www.find(40.9).failed, www.find(41)) == (True, None)


def test_failures_at_the_same_time_are_one():
    www = Shell()
    for now in (0, 0.1, 2):
        www.fail(now)
    assert www.find(4.9).failed
    assert www.find(5) is None


def test_a_failure_long_ago_or_before_an_answer_does_not_count():
    www = Shell(stale=0)
    www.fail(now=0)
    www.fail(now=305)
    assert www.find(310) is None
    www.put(ADDRESS.format(1), now=311)
    www.fail(now=312)
    assert www.find(316.9).failed
    assert www.find(317) is None


def test_a_failure_takes_the_place_of_what_is_too_old_to_be_given():
    www = Shell(stale=10)
    www.put(ADDRESS.format(60), now=0)
    www.fail(now=70)
    assert www.find(71).failed
    assert len(www.cache) == 1


# --- rotation ----------------------------------------------------------------------------------

THREE = "\n".join(f"answer www.example.test. 60 A 192.0.2.{n}" for n in (1, 2, 3))


def firsts(www, times):
    return [transcript(www.find(now).reply)[0].split()[-1] for now in times]


@pytest.mark.parametrize("times", [(1, 1, 1, 1), (1, 2, 3, 4), (61, 61, 62, 63)])
def test_clients_get_another_address_first_each_time(times):
    www = Shell()
    www.put(THREE, now=0)
    got = firsts(www, times)
    assert got[0] == got[3]
    assert sorted(got[:3]) == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]


def test_aliases_and_signatures_stay_where_they_are():
    www = Shell()
    lines = [
        "answer www.example.test. 60 CNAME web.example.test.",
        "answer web.example.test. 60 A 192.0.2.1",
        "answer web.example.test. 60 A 192.0.2.2",
        "answer web.example.test. 60 RRSIG A 8 3 300 20300101000000 20200101000000 1 example.test. AAAA",
        "additional ns.web.example.test. 60 A 192.0.2.1",
    ]
    www.put("\n".join(lines), now=0)
    for order in ((0, 2, 1, 3, 4), (0, 1, 2, 3, 4)):
        assert transcript(www.find(0).reply) == [lines[n] for n in order]


# --- room --------------------------------------------------------------------------------------


def plain(number, addresses=1, *, rcode=0):
    """Key, reply and end of the question for the name of this number, made without dnspython: thousands are wanted."""
    label = b"host-%d" % number
    name = bytes([len(label)]) + label + b"\7example\4test\0"
    records = b"".join(struct.pack("!HHHIHI", 0xC00C, 1, 1, 300, 4, n) for n in range(addresses))
    authority = b""
    if rcode:
        records, authority = b"", b"\0\0\6\0\1\0\0\1\0\0\26\0\0" + struct.pack("!IIIII", 1, 2, 3, 4, 300)
    counts = struct.pack("!HHHH", 1, 0 if rcode else addresses, 1 if rcode else 0, 0)
    head = struct.pack("!HH", number & 0xFFFF, 0x8180 | rcode)
    question = name + b"\0\1\0\1"
    return question + b"\1\0", head + counts + question + records + authority, 12 + len(question)


def put(kept, number, now=0.0, **options):
    key, reply, end = plain(number, **options)
    kept.put(key, reply, end, now)
    return key


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("addresses", [1, 20])
def test_memory_keeps_to_the_bound(addresses, again):
    room = 1024 * 1024
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = cache(room)
        for number in range(2500):
            key = put(kept, number, number / 100, addresses=addresses)
            if again:
                kept.find(key, number / 100 + 1.5)
            put(kept, 5000 + number, number / 100, rcode=3)
            kept.fail(plain(10_000 + number)[0], number / 100)
            if number % 250 == 0:
                assert tracemalloc.get_traced_memory()[0] - before <= room * 1.25
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # What nobody asks for again has an eighth of the room, and failures have a little.
    assert (0.85 if again else 0.14) * room < kept.octets <= room
    assert 0.6 * kept.octets < used <= 1.25 * kept.octets
    assert len(kept) > (800 if again else 250)


def test_the_weight_of_an_answer_is_about_that_of_its_objects():
    place = 100  # In a dictionary in order, at least; twice as much with the room that it keeps for more.
    for addresses in (1, 3):
        kept = cache()
        key = put(kept, 1, 0.5, addresses=addresses)
        new = kept._new.get(key)
        parts = [key, new, *new]
        assert place <= kept.octets - sum(map(sys.getsizeof, parts)) <= 2 * place, addresses
        kept.find(key, 0.5)
        entry = kept._positive.get(key)
        parts = [key, entry, *(getattr(entry, slot) for slot in entry.__slots__), *(entry.run or ())]
        assert place <= kept.octets - sum(map(sys.getsizeof, parts)) <= 2 * place, addresses


def test_the_weight_of_a_failure_is_about_that_of_its_objects():
    kept = cache()
    key = question().octets
    kept.fail(key, 0.5)
    failure = kept._failures.get(key)
    assert 100 <= kept.octets - sum(map(sys.getsizeof, (key, failure, *failure))) <= 200


def test_a_flood_of_random_names_pushes_out_only_its_own():
    kept = cache(256 * 1024)
    popular = [put(kept, n) for n in range(50)]
    missing = [put(kept, 100 + n, rcode=3) for n in range(10)]
    assert all(kept.find(key, 1) for key in popular + missing)
    for n in range(20_000):
        put(kept, 1000 + n, 2, rcode=3 * (n % 2))
        kept.fail(plain(50_000 + n)[0], 2)
    assert all(kept.find(key, 3).fresh for key in popular + missing)
    assert kept.octets <= 256 * 1024


def test_nothing_negative_pushes_out_what_was_asked_for_again():
    kept = cache(64 * 1024)
    once = []
    for n in range(30):
        once.append(put(kept, n))
        assert kept.find(once[-1], 0).fresh
    for n in range(1000):
        kept.find(put(kept, 1000 + n, rcode=3), 0)
        kept.fail(plain(50_000 + n)[0], 0)
        kept.find(plain(50_000 + n)[0], 0)
    assert all(kept.find(key, 1) for key in once)


def test_a_popular_name_stays_protected_when_its_answer_ends_and_comes_again():
    kept = cache(256 * 1024, stale=0)
    key = put(kept, 0)
    kept.find(key, 1)
    assert kept.find(key, 400) is None
    put(kept, 0, 400)
    for n in range(5000):
        put(kept, 1000 + n, 400)
    assert kept.find(key, 401).fresh


# --- any octets --------------------------------------------------------------------------------


@given(st.binary(max_size=100), st.integers(0, 100), st.floats(0, 1e6))
def test_any_reply_is_kept_or_not_but_nothing_is_raised(reply, question_end, now):
    www = Shell()
    www.cache.put(www.key, reply, question_end, now)
    found = www.find(now + 1)
    assert found is None or len(found.reply) <= len(reply)


GOOD = reply_to(question(), f"{THREE}\n{SOA.format(60)}", edns=True)


@given(st.lists(st.tuples(st.integers(2, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=3))
def test_a_reply_with_wrong_octets_neither(changes):
    www = Shell()
    octets = bytearray(GOOD)
    for at, octet in changes:
        octets[at] = octet
    www.cache.put(www.key, bytes(octets), www.query.question_end, 0)
    for now in (0, 1, 2.5, 1e5):
        found = www.find(now)
        assert found is None or 12 <= len(found.reply) <= len(GOOD)
