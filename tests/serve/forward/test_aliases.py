"""Outside names that are aliases of our own: what is kept of them, and how they are completed."""

import asyncio
from itertools import pairwise

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cycles import left_by
from tests.serve.asking import ask, make_answerer, make_zone, parse, read, reply_of, texts
from tests.serve.forward.replies import question, reply_to, transcript
from tests.serve.forward.test_forwarder_cache import TTL, caching
from tests.serve.forward.upstreams import NAME, Upstream, say, submit
from tests.zone.changes import edit

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.serve.forward.aliases import completed, first_labels, leads_here, noted, query_for
from mesos_dns.serve.forward.cache import cache_key
from mesos_dns.serve.forward.check import usable
from mesos_dns.serve.forward.keeping import kept
from mesos_dns.serve.request import Forward
from mesos_dns.zone.change import ZoneChange

OWN = (names.from_text("mesos"),)
ALIAS = "answer www.example.test. 300 CNAME chronos.marathon.mesos."
ROOT_SOA = "authority . 900 SOA a.root. b.root. 1 2 3 4 86400"
AD = dns.flags.AD


def note(text, own=OWN, name="www.example.test.", qtype="A", **options):
    query = question(name, qtype)
    reply = usable(reply_to(query, text, **options), query.question_end, own)
    return query, noted(reply, query.question_end, own, first_labels(own))


def complete(text, answerer=None, limit=512, **options):
    """The message that stands for both, and how many octets it has."""
    query, reply = note(text, **options)
    assert leads_here(reply)
    open_question = query_for(reply, query)
    ours = reply_of(answerer or make_answerer(), open_question, limit, tcp=True)
    whole = completed(reply, query.question_end, ours, open_question.question_end, truncate=limit < msg.TCP_SIZE)
    assert not leads_here(whole)
    assert usable(whole, query.question_end) == whole, "it is well-formed, and its answer belongs to the question"
    return whole


def said(whole):
    message = dns.message.from_wire(whole)
    return dns.rcode.to_text(message.rcode()), transcript(whole)


# --- what is kept ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (ALIAS, {}),
        (f"{ALIAS}\n{ROOT_SOA}", {"rcode": "NXDOMAIN"}),
        (f"{ALIAS}\nanswer chronos.marathon.mesos. 5 A 6.6.6.6", {"flags": AD | dns.flags.AA | dns.flags.RA}),
        (f"{ALIAS}\nauthority example.test. 9 NS ns.example.test.", {"edns": True}),
    ],
    ids=["alone", "unknown to the world", "with what is not believed", "with name servers"],
)
def test_the_aliases_alone_are_kept_for_their_own_time(text, options):
    query, reply = note(text, **options)
    assert leads_here(reply)
    assert transcript(reply) == [ALIAS]
    assert reply[3] & 15 == 0
    assert not dns.message.from_wire(reply).flags & (AD | dns.flags.AA)
    answer = kept(reply, query.question_end, query.qtype)
    assert (answer.seconds, answer.negative) == (300, False)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("answer www.example.test. 300 A 192.0.2.1", {}),
        ("answer www.example.test. 300 CNAME web.mesos.example.", {}),
        ("answer www.example.test. 300 CNAME web.xmesos.", {}),
        (ALIAS, {"qtype": "CNAME"}),
        (ALIAS, {"qtype": "ANY"}),
        (ALIAS, {"flags": dns.flags.TC}),
        (ALIAS, {"rcode": "SERVFAIL"}),
        (ALIAS, {"own": ()}),
        ("authority example.test. 300 NS ns1.mesos.", {}),
    ],
    ids=["none", "label inside", "other label", "asked for", "any", "cut", "failed", "nothing is ours", "name server"],
)
def test_whatever_else_stays_as_it_is(text, options):
    query = question(qtype=options.pop("qtype", "A"))
    own = options.pop("own", OWN)
    reply = reply_to(query, text, **options)
    assert noted(reply, query.question_end, own, first_labels(own)) == reply


def test_an_upstream_cannot_set_the_bit():
    query = question()
    reply = reply_to(query, "answer www.example.test. 300 A 192.0.2.1", flags=0x40)
    assert leads_here(reply)
    assert not leads_here(noted(reply, query.question_end, OWN, first_labels(OWN)))


# --- what clients get --------------------------------------------------------------------------


def test_the_records_of_the_zone_stand_behind_the_alias():
    whole = complete("answer www.example.test. 300 CNAME Chronos.marathon.MESOS.")
    assert said(whole) == (
        "NOERROR",
        [
            "answer www.example.test. 300 CNAME Chronos.marathon.MESOS.",
            "answer Chronos.marathon.MESOS. 60 A 1.2.3.11",
        ],
    )
    assert dns.message.from_wire(whole).flags == dns.flags.QR | dns.flags.RD | dns.flags.RA


def test_a_chain_of_aliases_in_whatever_order_with_signatures():
    signature = "answer a.example.test. 60 RRSIG CNAME 8 3 60 20300101000000 20200101000000 1 example.test. AAAA"
    rcode, lines = said(
        complete(
            f"""
            answer a.example.test. 60 CNAME toy.marathon.mesos.
            {signature}
            answer www.example.test. 300 CNAME a.example.test.
            """
        )
    )
    assert rcode == "NOERROR"
    assert lines[1] == signature
    assert sorted(lines[3:]) == [f"answer toy.marathon.mesos. 60 A 12.0.1.{n}" for n in (2, 3)]


def test_a_redirection_of_a_whole_domain():
    text = "answer example.test. 300 DNAME marathon.mesos."
    assert said(complete(text, name="chronos.example.test."))[1][-1] == "answer chronos.marathon.mesos. 60 A 1.2.3.11"


def test_services_with_the_addresses_of_their_servers():
    text = "answer www.example.test. 300 CNAME _liquor._tcp.marathon.mesos."
    whole = complete(text, qtype="SRV")
    found = dns.message.from_wire(whole)
    assert len(found.answer[1]) == 4
    assert {str(each.name) for each in found.additional} == {"liquor-a.marathon.mesos.", "liquor-b.marathon.mesos."}
    direct = reply_of(make_answerer(), question("_liquor._tcp.marathon.mesos.", "SRV"), 512)
    alias = len(b"\xc0\x0c") + 10 + len(names.from_text("_liquor._tcp.marathon.mesos."))
    assert len(whole) - len(names.from_text("www.example.test.")) <= len(direct) + alias


@pytest.mark.parametrize(
    ("target", "rcode"), [("nobody.mesos.", "NXDOMAIN"), ("chronos.marathon.mesos.", "NOERROR")], ids=["name", "type"]
)
def test_what_does_not_exist_says_so_with_the_soa_of_the_zone(target, rcode):
    alias = f"answer www.example.test. 300 CNAME {target}"
    told, lines = said(complete(alias, qtype="AAAA"))
    assert (told, lines[0]) == (rcode, alias)
    assert [line.split()[:4] for line in lines[1:]] == [["authority", "mesos.", "30", "SOA"]]


def test_before_the_zone_is_there_it_is_a_failure():
    whole = complete(ALIAS, make_answerer(make_zone("", serial=0)))
    assert said(whole) == ("SERVFAIL", [])


def test_what_does_not_fit_is_cut_and_says_so():
    alias = "answer www.example.test. 300 CNAME many.mesos."
    whole = complete(alias, limit=512)
    assert dns.message.from_wire(whole).flags & dns.flags.TC
    assert len(said(complete(alias, limit=msg.TCP_SIZE))[1]) == 61
    assert not dns.message.from_wire(complete(alias, limit=msg.TCP_SIZE)).flags & dns.flags.TC


LABELS = st.sampled_from(["a", "B", "mesos", "marathon", "example", "test", "x" * 40])
NAMES = st.lists(LABELS, min_size=1, max_size=5).map(".".join).map(lambda text: text + ".")


@given(st.lists(NAMES, min_size=1, max_size=6), st.sampled_from(["mesos", "example.mesos", "a.b"]))
def test_any_chain_ends_where_plain_reading_says(chain, apex):
    own = (names.from_text(apex),)
    chain = list(dict.fromkeys(name.lower() for name in ["www.chain.", *chain]))
    query = question(chain[0])
    lines = [f"answer {one} 60 CNAME {other}" for one, other in pairwise(chain)]
    reply = reply_to(query, "\n".join(lines))
    found = noted(reply, query.question_end, own, first_labels(own))
    # Further aliases of a name of ours are not believed.
    ends = [name for name in chain[1:] if names.is_below_or_at(names.from_text(name), own[0])]
    cleaned = (
        noted(usable(reply, query.question_end, own), query.question_end, own, first_labels(own)) if ends else found
    )
    assert leads_here(cleaned) is bool(ends)
    if ends:
        assert query_for(cleaned, query).name == names.from_text(ends[0])


# --- by the forwarder --------------------------------------------------------------------------


def alias_of(target, ttl=300):
    def answer(octets):
        query = parse(octets)
        name = dns.message.from_wire(octets).question[0].name
        return reply_to(query, f"answer {name} {ttl} CNAME {target}\n{ROOT_SOA}", rcode="NXDOMAIN", flags=AD)

    return answer


def forwarder_to(upstream, zone, **more):
    answerer = make_answerer(zone)
    return caching(
        upstream,
        own=OWN,
        trusted=[upstream.address],
        ours=lambda query, limit, client: reply_of(answerer, query, limit, client, tcp=True),
        **more,
    )


def answers(reply):
    """Addresses behind the alias."""
    found = read(reply)
    assert not found.flags & (AD | dns.flags.AA)
    assert texts(found.answer)[0].split()[2:4] == ["IN", "CNAME"]
    return [text.split()[-1] for text in texts(found.answer)[1:]]


async def test_fresh_and_from_the_cache_with_what_the_zone_says_now():
    async with Upstream(alias_of("chronos.marathon.mesos.")) as upstream:
        zone = make_zone("chronos.marathon.mesos A 1.2.3.11")
        forwarder = forwarder_to(upstream, zone)
        octets = ask(NAME, payload=1232, flags=dns.flags.RD | AD)
        for _ in range(3):
            assert answers(await submit(forwarder, octets)) == ["1.2.3.11"]
        change = edit(names.from_text("chronos.marathon.mesos"), rd.A, (bytes((1, 2, 3, 11)),), (bytes((1, 2, 3, 12)),))
        zone.apply(ZoneChange(4712, (change,)))
        assert answers(await submit(forwarder, octets)) == ["1.2.3.12"]
        assert len(upstream.asked) == 1
        # No listener may give it to others for a while: the zone may change.
        query = parse(octets)
        assert forwarder.submit(Forward(query), 1232, lambda _: None) is None


async def test_over_udp_a_part_and_over_tcp_all_of_a_large_answer():
    async with Upstream(alias_of("many.mesos.")) as upstream:
        forwarder = forwarder_to(upstream, make_zone())
        for _ in range(2):
            whole = await submit(forwarder, ask(NAME), msg.TCP_SIZE)
            assert len(answers(whole)) == 60
            assert not read(whole).flags & dns.flags.TC
            for size in (None, 600, 900):
                part = await submit(forwarder, ask(NAME, payload=size) if size else ask(NAME))
                assert read(part).flags & dns.flags.TC
                assert (size or 512) - 60 < len(part) <= (size or 512)
                assert set(answers(part)) < set(answers(whole))


async def test_out_of_date_the_alias_is_so_and_the_zone_is_not():
    async with Upstream(lambda octets: say(octets, rcode=2)) as upstream:
        forwarder = forwarder_to(upstream, make_zone())
        query = parse(ask(NAME))
        alias = reply_to(query, f"answer {NAME} {TTL} CNAME chronos.marathon.mesos.")
        now = asyncio.get_running_loop().time()
        forwarder._cache.put(
            cache_key(query),
            noted(alias, query.question_end, OWN, first_labels(OWN)),
            query.question_end,
            now - TTL - 1,
        )
        reply = read(await submit(forwarder, ask(NAME)))
        assert texts(reply.answer) == [
            f"{NAME} 30 IN CNAME chronos.marathon.mesos.",
            "chronos.marathon.mesos. 60 IN A 1.2.3.11",
        ]


async def test_it_leaves_nothing_to_the_garbage_collector():
    async with Upstream(alias_of("chronos.marathon.mesos.", ttl=0)) as upstream:
        forwarder = forwarder_to(upstream, make_zone())
        assert await left_by(lambda: submit(forwarder, ask(NAME))) == {}
