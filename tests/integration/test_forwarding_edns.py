"""Upstreams that do not take EDNS, each in its way: their answers are found, and they are asked without it from then on (RFC 6891 section 7)."""

import struct
from collections.abc import Iterator

import pytest
from tests.integration import client, wire
from tests.integration.faulty import Asked, Bed, Behaviour, NameServer, bed, honest

MANY = [f"192.0.2.{n}" for n in range(1, 101)]
#: Questions in a row that must be answered, all of them asked without EDNS.
IN_A_ROW = 6


def _opt(extended: int = 0, version: int = 0) -> bytes:
    return b"\0" + struct.pack(">2HBBHH", 41, 1232, extended, version, 0, 0)


def _refusing(refuse: Behaviour) -> Behaviour:
    """Answers what has no OPT record, and does `refuse` with the rest."""
    return lambda asked: refuse(asked) if asked.edns else honest(asked)


REFUSALS: dict[str, Behaviour] = {
    "formerr": lambda asked: asked.send(asked.reply(rcode=1)),
    "formerr-header": lambda asked: asked.send(asked.header(1)),
    "formerr-opt": lambda asked: asked.send(asked.reply(rcode=1, opt=_opt())),
    "formerr-echo": lambda asked: asked.send(asked.octets[:2] + b"\x81\x81" + asked.octets[4:]),
    "notimp": lambda asked: asked.send(asked.reply(rcode=4)),
    "notimp-header": lambda asked: asked.send(asked.header(4)),
    "badvers": lambda asked: asked.send(asked.reply(opt=_opt(extended=1))),
    "badvers-version": lambda asked: asked.send(asked.reply(opt=_opt(extended=1, version=1))),
    "silent": lambda _: None,
}


def truncated(asked: Asked) -> None:
    if asked.edns:
        asked.send(asked.reply(rcode=1))
    else:
        asked.send(asked.reply("192.0.2.1", flags=0x8380))


def over_tcp(asked: Asked) -> None:
    asked.send(asked.reply(rcode=1) if asked.edns else asked.reply(*MANY))


@pytest.fixture(scope="module")
def upstreams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    zones = {f"{how}.example.": [NameServer(_refusing(refuse))] for how, refuse in REFUSALS.items()}
    zones["always.example."] = [NameServer(REFUSALS["formerr"]), NameServer(honest)]
    zones["truncating.example."] = [NameServer(truncated, over_tcp)]
    zones["unsigned.example."] = [NameServer(_refusing(REFUSALS["formerr"]))]
    zones["honest.example."] = [NameServer(honest)]
    with bed(tmp_path_factory.mktemp("edns"), zones, timeout=1) as running:
        yield running


@pytest.mark.parametrize("how", [how for how in REFUSALS if how != "silent"])
def test_an_upstream_that_refuses_edns_answers_and_is_asked_without_it(upstreams: Bed, how: str) -> None:
    (server,) = upstreams.servers[f"{how}.example."]
    for n in range(IN_A_ROW):
        found = upstreams.ask(f"{n}.{how}.example.", edns=1232)
        assert found["answer"] == [f"{n}.{how}.example. 300 IN A 192.0.2.1"]
        assert len(found["opt"]) == 1, "the client's EDNS is between it and us"
    assert [asked.edns for asked in server.asked] == [True] + IN_A_ROW * [False]
    upstreams.ours()


def test_an_upstream_that_is_silent_to_edns_is_found_out(upstreams: Bed) -> None:
    (server,) = upstreams.servers["silent.example."]
    row = n = 0
    while row < IN_A_ROW:
        n += 1
        assert n < 40, [asked.edns for asked in server.asked]
        row = row + 1 if upstreams.ask(f"{n}.silent.example.", edns=1232)["rcode"] == "NOERROR" else 0
    assert not any(asked.edns for asked in server.asked[-IN_A_ROW:])
    assert sum(asked.edns for asked in server.asked) < IN_A_ROW
    upstreams.ours()


def test_one_that_refuses_whatever_it_is_asked_is_passed_over(upstreams: Bed) -> None:
    first, _ = upstreams.servers["always.example."]
    assert upstreams.ask("www.always.example.")["answer"]
    assert [asked.edns for asked in first.asked] == [True, False]


def test_an_answer_that_may_lack_signatures_is_not_kept_for_those_who_want_them(upstreams: Bed) -> None:
    (server,) = upstreams.servers["unsigned.example."]
    for _ in range(3):
        assert upstreams.ask("www.unsigned.example.", edns=1232, do=True)["answer"]
    assert [asked.edns for asked in server.asked] == [True, False, False, False]
    for _ in range(3):
        assert upstreams.ask("www.unsigned.example.", edns=1232)["answer"]
    assert len(server.asked) == 5, "who does not want them gets it from the cache"


def test_over_tcp_it_is_asked_without_edns_too(upstreams: Bed) -> None:
    found = client.ask_tcp(upstreams.program.dns, wire.query(1, "www.truncating.example.", "A", edns=1232))
    assert (found["rcode"], len(found["answer"])) == ("NOERROR", len(MANY))
    (server,) = upstreams.servers["truncating.example."]
    assert [asked.edns for asked in server.asked_tcp] == [False]


def test_one_that_takes_edns_is_asked_with_it_always(upstreams: Bed) -> None:
    for n in range(IN_A_ROW):
        found = upstreams.ask(f"{n}.honest.example.")
        assert found["answer"]
        assert found["opt"] == [], "a client without EDNS gets none"
    (server,) = upstreams.servers["honest.example."]
    assert all(asked.edns for asked in server.asked)
