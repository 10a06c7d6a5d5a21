"""Large answers as values: every rotation, the additional section, and what does not fit."""

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.asking import ask, make_zone, read, texts

from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.serve import large
from mesos_dns.serve.large import LargeAnswers, excerpt, render

LIMIT = 65535 - 128


def message(question, rrtype, part):
    """The whole reply with that part of an answer."""
    query = ask(question, rrtype)
    counts = b"".join(n.to_bytes(2) for n in (1, part.answers, 0, part.additionals))
    return query[:2] + b"\x84\0" + counts + query[12:] + part.octets


def services(count, *, target="web-{n}.marathon.mesos", addresses=True):
    lines = ["_web._tcp.marathon.mesos SRV " + " ".join(f"{target.format(n=n)}:{n}" for n in range(count))]
    if addresses:
        lines += [f"{target.format(n=n)} A 10.{n // 65536}.{n // 256 % 256}.{n % 256}" for n in range(count)]
    return make_zone("\n".join(lines))


def rendered(zone, question="_web._tcp.marathon.mesos", rrtype=rd.SRV, limit=LIMIT):
    name = names.from_text(question)
    return render(name, ((rrtype, zone.rdataset(name, rrtype)),), 60, limit, zone.rrsets)


def ports(reply):
    """The ports in the order in which they stand in the message; dnspython keeps it."""
    return [rdata.port for rrset in reply.answer for rdata in rrset]


# --- rotations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0, 1, 59])
def test_every_rotation_is_the_whole_answer_from_another_record_on(start):
    answer = rendered(services(60))
    reply = read(message("_web._tcp.marathon.mesos", "SRV", answer.part(start)))
    assert ports(reply) == [*range(start, 60), *range(start)]
    # Not the answer alone: its targets' addresses, the same behind each rotation.
    assert texts(reply.additional) == [f"web-{n}.marathon.mesos. 60 IN A 10.0.0.{n}" for n in range(60)]


def test_several_sets_as_for_a_question_for_any_type():
    zone = make_zone("toy.mesos A 1.2.3.4 1.2.3.5\ntoy.mesos AAAA fd00::1")
    name = names.from_text("toy.mesos")
    part = render(name, zone.rrsets(name), 60, LIMIT, zone.rrsets).part(1)
    assert part.octets[12:16] == bytes((1, 2, 3, 5))
    found = texts(read(message("toy.mesos", "ANY", part)).answer)
    assert sorted(found) == [
        "toy.mesos. 60 IN A 1.2.3.4",
        "toy.mesos. 60 IN A 1.2.3.5",
        "toy.mesos. 60 IN AAAA fd00::1",
    ]


# --- the additional section --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "above"),
    [
        ("web.marathon.mesos", b"\x03web\xc0\x16"),
        ("web.marathon.slave.mesos", b"\x03web\x08marathon\x05slave\xc0\x1f"),
        ("marathon.mesos", b"\xc0\x16"),
        ("_web._tcp.marathon.mesos", b"\xc0\x0c"),
        ("node.example.org", b"\x04node\x07example\x03org\0"),
        ("xmarathon.mesos", b"\x09xmarathon\xc0\x1f"),
    ],
)
def test_owners_point_to_the_longest_suffix_that_they_share_with_the_question(target, above):
    zone = make_zone(f"_web._tcp.marathon.mesos SRV {target}:80\n{target} A 10.0.0.1")
    answer = rendered(zone)
    assert answer.additional == above + b"\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01"
    reply = read(message("_web._tcp.marathon.mesos", "SRV", answer.part(0)))
    assert texts(reply.additional) == [f"{target}. 60 IN A 10.0.0.1"]


def test_whole_address_sets_as_far_as_they_fit():
    table = """
        _web._tcp.marathon.mesos SRV a.marathon.mesos:1 a.marathon.mesos:2 b.marathon.mesos:3 c.marathon.mesos:4
        a.marathon.mesos A 10.0.0.1 10.0.0.2
        a.marathon.mesos AAAA fd00::1
        c.marathon.mesos A 10.0.0.3
    """
    whole = rendered(make_zone(table))
    owner_and_address = 4 + 10 + 4
    assert (whole.additionals, len(whole.additional)) == (4, 3 * owner_and_address + 4 + 10 + 16)
    size = 12 + 30 + sum(12 + 6 + 18 for _ in range(4))
    # Neither the two addresses of the first target fit, nor its third, but the one of another target does.
    one = rendered(make_zone(table), limit=size + owner_and_address)
    assert (one.records, one.additionals) == (4, 1)
    assert one.part(0).octets.endswith(b"\x0a\0\0\3")
    assert rendered(make_zone(table), limit=size).additional == b""


def test_the_addresses_of_name_servers_help_too():
    zone = make_zone("ns1.mesos A 192.0.2.1")
    answer = render(names.from_text("mesos"), ((rd.NS, (names.from_text("NS1.mesos"),)),), 60, LIMIT, zone.rrsets)
    assert texts(read(message("mesos", "NS", answer.part(0))).additional) == ["ns1.mesos. 60 IN A 192.0.2.1"]


# --- what does not fit -------------------------------------------------------------------------


def test_of_a_set_beyond_64_kib_as_many_whole_records_as_fit_from_any_one_on():
    answer = rendered(services(3000))
    counts = set()
    for start in (0, 1, 1500, 2500, 2999):
        part = answer.part(start)
        octets = message("_web._tcp.marathon.mesos", "SRV", part)
        reply = read(octets)
        found = ports(reply)
        assert found == [n % 3000 for n in range(start, start + part.answers)]
        assert part.additionals == 0
        assert LIMIT - 60 < len(octets) <= LIMIT
        counts.add(part.answers)
    assert all(1000 < count < 2000 for count in counts)


def test_of_a_set_beyond_a_megabyte_a_part_is_rendered_each_time():
    addresses = tuple(n.to_bytes(4) for n in range(80_000))
    name = names.from_text("many.mesos")
    answers = LargeAnswers()
    for start in (0, 40_000, 79_999):
        part = answers.part(name, rd.A, addresses, 60, start)
        assert part.octets[12:16] == addresses[start]
        assert part.answers == (LIMIT - 12 - 16) // 16
        reply = read(message("many.mesos", "A", part))
        assert len(texts(reply.answer)) == part.answers
    assert repr(answers) == "LargeAnswers(0, octets=0)"


def test_an_excerpt_wraps_round():
    assert excerpt((b"0", b"1", b"2", b"3"), 3, 48) == [b"3", b"0", b"1"]
    assert excerpt((b"0", b"1"), 1, 48) == [b"1", b"0"]


# --- what is remembered ------------------------------------------------------------------------

MANY = names.from_text("many.mesos")


def test_an_answer_holds_for_as_long_as_its_records_are_the_same(monkeypatch):
    answers = LargeAnswers()
    records = tuple(n.to_bytes(4) for n in range(5000))
    rendered = []
    monkeypatch.setattr(large, "render", lambda *arguments: rendered.append(arguments) or render(*arguments))
    assert answers.part(MANY, rd.A, records, 60, 7) == answers.part(MANY, rd.A, records, 60, 7)
    assert len(rendered) == 1
    others = records[1:]
    part = answers.part(MANY, rd.A, others, 60, 4998)
    assert part.octets[12:16] == records[4999]
    assert part.octets[28:32] == records[1]
    assert len(rendered) == 2
    assert repr(answers).startswith("LargeAnswers(1, ")


def test_the_oldest_go_when_there_is_no_room():
    answers = LargeAnswers(room=500_000)
    records = tuple(n.to_bytes(4) for n in range(5000))
    for n in range(10):
        answers.part(names.from_text(f"many-{n}.mesos"), rd.A, records, 60, 0)
        assert answers._room >= 0
    assert [name for name, _ in answers._answers] == [names.from_text(f"many-{n}.mesos") for n in (8, 9)]


# --- any zone ----------------------------------------------------------------------------------

LABELS = st.text("abc-", min_size=1, max_size=20).map(str.encode)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(names.from_labels)
ADDRESSES = st.lists(st.binary(min_size=4, max_size=4), min_size=1, max_size=4, unique=True).map(tuple)


@given(
    question=NAMES,
    hosts=st.dictionaries(NAMES, ADDRESSES, min_size=1, max_size=8),
    more=st.lists(NAMES, max_size=3),
    limit=st.integers(150, 2000),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_whatever_the_names_a_reader_finds_the_records_and_their_addresses(question, hosts, more, limit, chance):
    targets = [*hosts, *more]
    rdataset = tuple(rd.srv(0, port, target) for port, target in enumerate(targets))

    def lookup(owner):
        return ((rd.A, hosts[owner]),) if owner in hosts else None

    answer = render(question, ((rd.SRV, rdataset),), 60, limit, lookup)
    start = int(chance * len(targets))
    part = answer.part(start)
    octets = message(names.to_text(question), "SRV", part)
    reply = dns.message.from_wire(octets)
    assert len(octets) <= max(limit, 12 + len(question) + 4)
    found = [(rdata.port, rdata.target.to_wire()) for rrset in reply.answer for rdata in rrset]
    assert found == [(n % len(targets), targets[n % len(targets)]) for n in range(start, start + part.answers)]
    given = {rrset.name.to_wire(): {rdata.to_wire() for rdata in rrset} for rrset in reply.additional}
    assert all(set(hosts[owner]) == addresses for owner, addresses in given.items())
    if part.answers < len(targets):
        assert not given
    # What was left out did not fit in its largest form.
    left_out = [owner for owner in hosts if owner not in given and part.answers == len(targets)]
    assert all(len(octets) + len(hosts[owner]) * (len(owner) + 14) > limit for owner in left_out)


def test_least_size_is_a_lower_bound():
    sets = ((rd.A, (b"1234",) * 3), (rd.SRV, (rd.srv(0, 1, b"\0"),)))
    assert large.least_size(sets) <= len(render(b"\0", sets, 60, LIMIT, lambda _: None).ring) // 2
