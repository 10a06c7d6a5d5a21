"""Questions in mixed case: how they are made, who does not keep it, and who forges."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from tests.cycles import left_by
from tests.serve.asking import ask, read, texts
from tests.serve.forward.upstreams import NAME, Upstream, honest, make_forwarder, say, silent, submit

from mesos_dns.serve.forward.capability import ANY_CASE_SECONDS, Case
from mesos_dns.serve.forward.case import mixed

A_NAME = b"\3www\7Example\4test\0"


def asked_of(upstream):
    """The spellings that an upstream was asked in, without probes."""
    names = [octets[12 : octets.index(b"\0", 12) + 1] for octets, _ in upstream.asked]
    return [name for name in names if not name[1:].startswith(b"mesos-dns-loop-")]


def respelling(octets):
    """What a server says that makes all letters small."""
    end = octets.index(b"\0", 12)
    return honest(octets[:12] + octets[12:end].lower() + octets[end:])


def forged(octets):
    """What somebody says who has guessed all but the spelling."""
    end = octets.index(b"\0", 12)
    return say(octets[:12] + octets[12:end].swapcase() + octets[end:], "6.6.6.6")


# --- spelling ----------------------------------------------------------------------------------


@given(st.binary(max_size=80), st.data())
def test_letters_alone_change_and_any_noise_can_be_read_from_them(name, data):
    noise = data.draw(st.binary(min_size=len(name), max_size=len(name)))
    made = mixed(name, noise)
    assert made.lower() == name.lower()
    letters = [n for n, octet in enumerate(name) if bytes((octet,)).isalpha()]
    assert [bool(made[n] & 0x20) for n in letters] == [bool(noise[n] & 0x20) for n in letters]


def test_lengths_of_labels_are_no_letters():
    name = b"".join(bytes((n,)) + b"a" * n for n in (63, 33, 63, 63)) + b"\0"
    assert [octet for octet in mixed(name, b"\0" * len(name)) if octet < 64] == [63, 33, 63, 63, 0]
    assert mixed(A_NAME, b"\xff" * len(A_NAME)) == A_NAME.lower()


def test_it_is_remembered_for_a_while():
    case = Case()
    assert case.used(0)
    case.lost(5)
    assert (case.used(5 + ANY_CASE_SECONDS - 1), case.used(5 + ANY_CASE_SECONDS)) == (False, True)
    assert repr(case) == f"Case(until={5 + ANY_CASE_SECONDS})"


# --- upstreams ---------------------------------------------------------------------------------


async def test_off_nothing_changes():
    async with Upstream(honest) as upstream:
        await submit(make_forwarder(upstream), ask("wWw.Example.test."))
        assert asked_of(upstream) == [b"\3wWw\7Example\4test\0"]


async def test_each_question_has_a_spelling_of_its_own_and_clients_see_theirs():
    async with Upstream(honest) as upstream:
        forwarder = make_forwarder(upstream, mixed_case=True)
        replies = await asyncio.gather(*(submit(forwarder, ask(f"{'wWw' * 10}{n}.Test.")) for n in range(50)))
        assert [texts(read(reply).answer)[0].split()[0] for reply in replies] == [
            f"{'wWw' * 10}{n}.Test." for n in range(50)
        ]
        assert len(set(asked_of(upstream))) == 50
        seen = b"".join(asked_of(upstream))
        assert 500 < seen.count(b"w") < 1000, "of 1,500"


async def test_who_makes_all_letters_small_is_found_over_tcp_and_asked_as_the_client_asks():
    async with Upstream(respelling, respelling) as upstream:
        forwarder = make_forwarder(upstream, mixed_case=True)
        for n in range(5):
            reply = read(await submit(forwarder, ask(f"wWwWwWwWwWwWwWwWwWwWwWwWwWwWwW{n}.Test.")))
            assert texts(reply.answer) == [f"wWwWwWwWwWwWwWwWwWwWwWwWwWwWwW{n}.Test. 300 IN A 192.0.2.1"]
        assert len(upstream.asked_tcp) == 1
        assert set(asked_of(upstream)[1:]) == {b"\x1fwWwWwWwWwWwWwWwWwWwWwWwWwWwWwW%d\4Test\0" % n for n in range(1, 5)}


async def test_who_does_so_and_has_no_tcp_is_asked_again_as_the_client_asks():
    async with Upstream(respelling) as upstream:
        forwarder = make_forwarder(upstream, mixed_case=True)
        for n in range(5):
            reply = read(await submit(forwarder, ask(f"{n}.{'wW' * 20}.test.")))
            assert texts(reply.answer) == [f"{n}.{'wW' * 20}.test. 300 IN A 192.0.2.1"]
        assert len(asked_of(upstream)) == 6


async def test_who_does_so_and_hangs_over_tcp_is_asked_again_as_the_client_asks(monkeypatch):
    monkeypatch.setattr("mesos_dns.serve.forward.search.MAX_TCP_SECONDS", 0.05)
    async with Upstream(respelling, silent) as upstream:
        forwarder = make_forwarder(upstream, mixed_case=True)
        assert texts(read(await submit(forwarder, ask(f"{'wW' * 20}.test."))).answer)


async def test_who_forges_must_guess_the_spelling(caplog):
    async with Upstream(forged, honest) as upstream:
        forwarder = make_forwarder(upstream, mixed_case=True)
        for n in range(3):
            reply = read(await submit(forwarder, ask(f"{n}.{NAME}")))
            assert texts(reply.answer) == [f"{n}.{NAME} 300 IN A 192.0.2.1"]
        assert len(upstream.asked_tcp) == 3, "it is still asked in mixed case"
    assert "spells the question otherwise, and over TCP the upstream does not" in caplog.text


async def test_who_says_nonsense_over_tcp_is_passed_over():
    async with Upstream(respelling, lambda octets: honest(octets)[:-1]) as bad, Upstream(honest) as good:
        forwarder = make_forwarder(bad, good, mixed_case=True)
        assert texts(read(await submit(forwarder, ask(NAME))).answer)
        assert len(asked_of(good)) == 1


async def test_it_leaves_nothing_to_the_garbage_collector():
    for tcp in (respelling, None):
        async with Upstream(respelling, tcp) as upstream:

            async def once(upstream=upstream):
                await submit(make_forwarder(upstream, mixed_case=True), ask(NAME))

            assert await left_by(once, transports=False) == {}
