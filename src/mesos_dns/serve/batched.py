"""DNS over UDP, many datagrams with each system call. Edge: a socket.

Here is the hottest code of the program.
"""

import socket
import time
from collections.abc import Iterator
from functools import partial
from itertools import repeat
from typing import Final

from mesos_dns.dns import message as msg
from mesos_dns.dns.message import HEADER_SIZE
from mesos_dns.limits import ZONE_PARTS
from mesos_dns.serve import batch
from mesos_dns.serve.addresses import ANCILLARY_ROOM, Ancillary
from mesos_dns.serve.ancillary import ancillary_of
from mesos_dns.serve.batch import (
    LEAD,
    NEGATIVES,
    QUESTION_ROOM,
    SILENCE,
    STRIDE,
    Batch,
    Bodies,
    RingBuffer,
    ring_size,
)
from mesos_dns.serve.cache import FOUND_OCTETS, MISSING_OCTETS, OUTSIDE_OCTETS
from mesos_dns.serve.keys import (
    BEHIND_NAME,
    BEHIND_NAME_EDNS,
    NAME,
    OPT_RECORDS,
    PLAIN_OPT_SIZE,
    EdnsForms,
    any_key,
    cookie_start,
    has_cookie,
    has_lone_cookie,
    options_of,
    owner_of,
)
from mesos_dns.serve.limiting import ResponseLimit
from mesos_dns.serve.listening import SEND_FAILED, UdpListener
from mesos_dns.serve.loop import DirectReader
from mesos_dns.serve.mmsg import BATCH
from mesos_dns.serve.nxdomain import ReadyNxdomain
from mesos_dns.serve.outbox import Outbox
from mesos_dns.serve.outside import FastForward, NoFastForward, Outside
from mesos_dns.serve.policy import Policy, Verdict
from mesos_dns.serve.recorder import NotedOutside, Recorder
from mesos_dns.serve.render import LARGEST_KEPT
from mesos_dns.serve.request import Forward, Reply, Request, Transport, part_start
from mesos_dns.serve.responder import ForwardTo, Responder, cache_response, outside_response
from mesos_dns.serve.traffic import TAIL, kind_of

#: A worker waits this many seconds between two looks at a UDP socket where it found a good part of a batch: then it
#: finds more, and an answer costs up to 14 % less. Only with so many datagrams, and only so often in one turn.
_COALESCING_SECONDS: Final = 0.00005
_COALESCED_DATAGRAMS: Final = range(8, 64)
_COALESCING_TIMES: Final = 4
#: Seconds between two readings of single datagrams below which they come thick, and so many of them in a row, after which all
#: that waits is taken at once; as long as it is so many.
_DENSE_SECONDS: Final = 0.00003
_SINGLES_IN_A_ROW: Final = 4
_DENSE_DATAGRAMS: Final = 4
#: Names of one batch which do not exist that are remembered, to be cached if they are asked for again: to remember each
#: one of a flood is a tenth of what its answer costs, and a name that is asked for often soon is one of the first.
_ABSENT_LOOKED_AT: Final = 8
#: Where each datagram of a batch begins.
_STARTS: Final = tuple(range(LEAD, BATCH * STRIDE, STRIDE))
#: What the cache is asked to give for a key that it does not have: no descriptor, and this for all keys.
_UNKNOWN: Final = repeat(b"")
_ALL_UNKNOWN: Final = repeat(_UNKNOWN)


class BatchedListener(UdpListener):
    """Many datagrams with each system call."""

    def __init__(
        self,
        sock: socket.socket,
        responder: Responder,
        forward: ForwardTo,
        flights: FastForward | None = None,
        limit: ResponseLimit | None = None,
    ) -> None:
        super().__init__(sock, responder, forward, limit)
        # Replies to what goes the short way are not looked at one by one, as limits need it.
        self._flights = NoFastForward() if flights is None or limit is not None else flights
        rings = sum(ring_size(room, LARGEST_KEPT) for room in (FOUND_OCTETS, MISSING_OCTETS, OUTSIDE_OCTETS))
        self._bodies = bodies = Bodies(OPT_RECORDS.values(), NEGATIVES + rings)
        self._batch = Batch(sock.family, bodies, with_source=self._wildcard, cookies=responder.cookies)
        found, missing, outside = (
            RingBuffer(bodies, room, LARGEST_KEPT) for room in (FOUND_OCTETS, MISSING_OCTETS, OUTSIDE_OCTETS)
        )
        self._cache = responder.cache(found, missing, outside)
        self._edns = EdnsForms()
        self._buffer = memoryview(bytearray(batch.LARGEST))
        #: Keys whose responses are to be cached when the present batch is sent.
        self._asked_again: list[bytes] = []
        self._traffic = responder.traffic[Transport.UDP]
        self._nxdomain = ReadyNxdomain(responder.fast, self._cache.entries, self._traffic)
        #: Queries of the present batch that are not ours: they wait until what is ours is answered.
        self._strangers: list[tuple[bytes, Forward, tuple[object, ...], Ancillary]] = []
        #: The same for those that may be asked the short way, each with its route and its octets.
        self._siblings: list[tuple[int, object, bytes]] = []
        self._outside = Outside(
            self._fd,
            Outbox(sock.family, with_source=self._wildcard),
            self._cache,
            self._send,
            partial(responder.count, SEND_FAILED),
            self._traffic,
        )
        #: The same for what is put down in query logs; None without one.
        self._noted: NotedOutside | None = None

    def record(self, recorder: Recorder | None) -> None:
        """Part of UdpListener."""
        super().record(recorder)
        self._noted = None if recorder is None else NotedOutside(self._outside, recorder)

    async def stop(self) -> None:
        """Part of UdpListener."""
        await super().stop()
        self._outside.stop()

    def _answer_some(self) -> Iterator[int]:
        # Under load more datagrams have come while these are answered: they need not wait for a way through the
        # event loop. After a single one there hardly is another, and to look in vain is a sixth of its cost.
        waits = _COALESCING_TIMES
        while lengths := self._batch.receive(self._fd):
            self._answer(lengths)
            yield len(lengths)
            if len(lengths) == 1:
                break
            if waits and len(lengths) in _COALESCED_DATAGRAMS:
                waits -= 1
                time.sleep(_COALESCING_SECONDS)

    def reader(self) -> DirectReader:  # noqa: C901, PLR0915 - one function on purpose, see below
        """What answers one datagram at a time while few come, and many while they come thick.

        The calls for a batch cost twice as much for a single datagram as those for one. And at light load nearly all cost is
        memory that has left the processor's caches since the last datagram. Hence the way of a known question is one function
        that touches little and has what it needs at hand. What is put down in query logs goes the way of batches.
        """
        if self._recorder is not None:
            return self._read
        sock, buffer, bodies, base = self._socket, self._buffer, self._bodies.octets, self._bodies.address
        receive, receive_message, send = sock.recvfrom_into, sock.recvmsg_into, sock.sendto
        responder, cache, find_key = self._responder, self._cache, self._edns.key
        unpack, join, buffers, wildcard = batch.DESCRIPTOR.unpack, b"".join, (self._buffer,), self._wildcard
        ancillary: Ancillary = []
        packed, limited = self._packed.known, self._limit is not None
        last, run, dense = 0.0, 0, False

        def read(now: float = 0.0, /) -> bool:  # noqa: C901, PLR0912 - each call more costs a microsecond
            nonlocal last, run, dense, ancillary
            if dense or now - last < _DENSE_SECONDS:
                run += 1
                if run > _SINGLES_IN_A_ROW or not now:
                    self._forwarded = False
                    dense = self._take_turn() >= _DENSE_DATAGRAMS
                    run = run if dense else 0
                    return not self._forwarded
            else:
                run = 0
            last = now
            try:
                if wildcard:
                    length, ancillary, _, address = receive_message(buffers, ANCILLARY_ROOM)
                else:
                    length, address = receive(buffer)
            except BlockingIOError:
                return True
            except OSError as error:
                self._cannot_receive(error)
                return True
            octets = buffer[:length].tobytes()
            folded = octets.lower()
            key = b"" if length < HEADER_SIZE else find_key(folded) if folded[11] else folded[2:]
            entry = cache.entries.get(key)
            policy = responder.policy
            if entry is None or limited or (policy is not None and packed.get(address[0]) not in policy.usual):
                return self._answer_single(key, octets, address, ancillary)
            responder.hits += 1
            descriptor = next(entry)
            at, end, _, size, opt, opt_size, header = unpack(descriptor)
            if opt_size > PLAIN_OPT_SIZE:
                reply = self._message(descriptor, key, octets, self._client(address[0]))
            elif opt_size:
                opt -= base
                reply = join((octets[:2], header, octets[12:end], bodies[at : at + size], bodies[opt : opt + opt_size]))
            else:
                reply = join((octets[:2], header, octets[12:end], bodies[at : at + size]))
            if ancillary:
                self._send(reply, address, ancillary)
            else:
                try:
                    send(reply, address)
                except OSError:
                    responder.count(SEND_FAILED)
            if responder.to_reclaim:
                responder.reclaim(1)
            return True

        return read

    def _answer_single(self, key: bytes, octets: bytes, address: tuple[str, int], ancillary: Ancillary) -> bool:
        """Answer a datagram that is not to be had by `key` alone; whether it was not forwarded."""
        policy, client = self._responder.policy, self._client(address[0])
        usual = policy is None or client in policy.usual
        if usual and key not in self._cache.outside and self._ask_sibling(key, octets, client, (address, ancillary)):
            return not self._forwarded
        reply = self._reply(key, octets, address)
        if isinstance(reply, Forward):
            self._ask_outside(key, reply, address, ancillary)
        elif isinstance(reply, bytes):
            allowed = reply if self._limit is None else self._limit.reply(octets, client, reply, key)
            if allowed is not None:
                self._send(allowed, address, ancillary)
        while self._asked_again:
            cache_response(self._cache, self._asked_again.pop(), self._responder.fast)
        self._responder.reclaim(1)
        return not isinstance(reply, Forward)

    def _ask_sibling(
        self, key: bytes, octets: bytes, client: bytes, peer: tuple[tuple[object, ...], Ancillary]
    ) -> bool:
        """As `_ask_siblings` for a single datagram; False if it is none of them."""
        name = key[NAME : -BEHIND_NAME_EDNS if key[NAME - 1 : NAME] == b"\1" else -BEHIND_NAME]
        flights = self._flights
        route = flights.routes.get(name[name[0] + 1 :]) if name else None
        if route is None or not self._responder.may_recurse(client):
            return False
        outside = self._outside
        outside.scheduled = False
        if not flights.take(route, key, octets, client, outside, peer):
            return False
        self._traffic.asked[key[-TAIL:], len(key)] += 1
        self._forwarded = flights.send() or outside.scheduled
        return True

    def _reply(self, key: bytes, octets: bytes, address: tuple[str, int]) -> Reply:
        """The reply to a single datagram, whose key is `key` as far as it is known."""
        responder, cache = self._responder, self._cache
        if responder.policy is not None:
            request = Request(octets, self._client(address[0]), Transport.UDP)
            verdict = responder.policy.judge(request)
            if verdict is not None:
                return responder.answer(request, verdict)
        client = self._client(address[0])
        kept = self._kept(key, client)
        if kept:
            responder.hits += 1
            return self._message(kept, key, octets, client)
        ready = self._ready_nxdomain().find(key)
        if ready is not None:
            responder.misses += 1
            ready.times += 1
            self._asked_again += cache.repeated((key,))
            return self._message(ready.descriptor, key, octets, client)
        self._traffic.settle_if_many()
        return self._reply_slowly(key, Request(octets, self._client(address[0]), Transport.UDP), None)

    def _message(self, descriptor: bytes, key: bytes, octets: bytes, client: bytes) -> bytes:
        """The reply from what is kept for `key`, which `EdnsForms` told: with a cookie if the client sent one."""
        cookies, options = self._responder.cookies, b""
        if cookies is not None and has_cookie(key):
            options = cookies.option(octets[cookie_start(key) :], client)
        return self._bodies.message(descriptor, octets, options)

    def _kept(self, key: bytes, client: bytes) -> bytes:
        """The descriptor that is kept under `key` for a client; empty if there is none."""
        cache = self._cache
        kept = next(cache.entries.get(key, _UNKNOWN))
        if not kept and key in cache.parts:
            kept = cache.part(key, client, owner_of(key)) or b""
        if not kept and key in cache.outside and self._responder.may_recurse(client):
            kept = next(cache.outside[key])
        return kept

    def _answer(self, lengths: list[int]) -> None:
        """Answer one batch. This is the hottest code of the program.

        Hence nothing but the key is made for each packet in Python's own steps: the rest is done by functions
        of C for all packets.
        """
        questions = self._batch.questions(len(lengths))
        folded = questions.lower()
        has_edns = any(folded[LEAD + 11 :: STRIDE])
        if max(lengths) > QUESTION_ROOM:
            keys = self._keys_of_short(folded, lengths)
        elif has_edns:
            keys = self._edns.keys(folded, _STARTS, lengths)
        else:
            # No EDNS in the whole batch: the key of a query is all of it but its ID.
            keys = [folded[at + 2 : at + length] for at, length in zip(_STARTS, lengths)]  # noqa: B905 - there are more starts than needed, and strict costs
        policy, recorder = self._responder.policy, self._recorder
        began = 0.0 if recorder is None else time.time()
        verdicts = {} if policy is None else self._judge(policy, keys, lengths)
        descriptors = list(map(next, map(self._cache.entries.get, keys, _ALL_UNKNOWN)))
        complete, limit = all(descriptors), self._limit
        if complete:
            self._responder.hits += len(descriptors)
        else:
            self._answer_rest(keys, lengths, descriptors, verdicts)
        if limit is not None:
            limit.batch(self._batch, keys, lengths, descriptors)
        own = self._batch.cookie_records(questions, self._edns.cookies) if has_edns else ()
        failed = self._batch.send(self._fd, descriptors, own, gaps=not complete or limit is not None)
        if recorder is not None:
            self._forwarded = True  # What is put down is handed on by a timer.
            recorder.put_batch(self._batch, questions, lengths, descriptors, began)
        if not complete:
            self._finish_rest(keys)
        if failed:
            self._responder.count(SEND_FAILED, failed)

    def _finish_rest(self, keys: list[bytes]) -> None:
        """What can wait until a batch is answered: to keep answers, and to ask about names that are not ours."""
        while self._asked_again:
            cache_response(self._cache, self._asked_again.pop(), self._responder.fast)
        if self._strangers:
            strangers, self._strangers = self._strangers, []
            for each in strangers:
                self._ask_outside(*each)
        if self._siblings:
            self._ask_siblings(keys)

    def _ask_siblings(self, keys: list[bytes]) -> None:
        """Have those queries of the present batch answered whose names stand beside others that were forwarded."""
        siblings, self._siblings = self._siblings, []
        batch, flights, recorder = self._batch, self._flights, self._recorder
        take, asked, outside = flights.take, self._traffic.asked, self._noted or self._outside
        for i, route, octets in siblings:
            client = batch.client(i)
            peer = batch.peer(i) if recorder is None else recorder.noted(batch, i, octets)
            if take(route, keys[i], octets, client, outside, peer):
                asked[keys[i][-TAIL:], len(keys[i])] += 1
            else:
                reply = self._reply_slowly(keys[i], Request(octets, client, Transport.UDP), None)
                address, ancillary = batch.address(i, self._socket.family), ancillary_of(batch.control(i))
                if isinstance(reply, Forward):
                    self._ask_outside(keys[i], reply, address, ancillary)
                elif isinstance(reply, bytes):
                    self._send_answer(Request(octets, client, Transport.UDP), reply, address, ancillary)
        if flights.send() or self._outside.scheduled:
            self._forwarded = True

    def _keys_of_short(self, folded: bytes, lengths: list[int]) -> list[bytes]:
        """As in `EdnsForms`, if some datagrams are so long that their end is elsewhere: these have none."""
        short = [i for i, length in enumerate(lengths) if length <= QUESTION_ROOM]
        keys = [b""] * len(lengths)
        known = self._edns.keys(folded, [_STARTS[i] for i in short], [lengths[i] for i in short])
        for i, key in zip(short, known, strict=True):
            keys[i] = key
        return keys

    def _ask_outside(self, key: bytes, forward: Forward, address: tuple[object, ...], ancillary: Ancillary) -> None:
        """Have a query answered that is not ours, and keep for a moment what is known by heart."""
        reply = self._submit(forward, self._later(forward, address, ancillary))
        if reply is None:
            return
        key = key or any_key(forward.query.octets)
        response = outside_response(key, forward, reply)
        if response is None or response.question_end > QUESTION_ROOM:
            return
        self._outside.keep(key, response)

    def _judge(self, policy: Policy, keys: list[bytes], lengths: list[int]) -> dict[int, Verdict]:
        """What becomes of those datagrams that get another answer than the usual one. They lose their keys."""
        verdicts: dict[int, Verdict] = {}
        sources, usual = self._batch.sources(len(lengths)), policy.usual
        if usual.issuperset(sources):
            return verdicts
        for i, length in enumerate(lengths):
            if sources[i] in usual:
                continue
            verdict = policy.judge(Request(self._batch.datagram(i, length), sources[i], Transport.UDP))
            if verdict is not None:
                verdicts[i] = verdict
                keys[i] = b""
        return verdicts

    def _answer_rest(
        self, keys: list[bytes], lengths: list[int], descriptors: list[bytes], verdicts: dict[int, Verdict]
    ) -> None:
        """Fill in the descriptors that are not to be had by the key alone."""
        absent: list[bytes] = []
        parts, outside, client = self._cache.parts, self._cache.outside, self._batch.client
        may_recurse = self._responder.may_recurse
        sources = self._batch.sources(len(lengths)) if outside or self._flights.routes else []
        nxdomain, fast = self._ready_nxdomain(), self._responder.fast
        below, owners, children = nxdomain.below, fast.parts, fast.children
        routes, datagram = self._flights.routes, self._batch.datagram
        fresh = 0
        for i, descriptor in enumerate(descriptors):
            if descriptor:
                continue
            key = keys[i]
            if parts and key in parts:
                kept = parts[key]
                kept.times += 1
                descriptors[i] = kept.values[part_start(client(i), owner_of(key), len(kept.values))]
                continue
            if outside and key in outside and may_recurse(sources[i]):
                descriptors[i] = next(outside[key])
                continue
            fresh += 1
            # As `find` does, without a call, for all but the first below each parent.
            if len(key) > NAME:
                name = key[NAME : -BEHIND_NAME_EDNS if key[NAME - 1] == 1 else -BEHIND_NAME]
                ready = below.get(key[: NAME + 1] + key[NAME + 1 + key[NAME] :])
                if (
                    ready is None
                    and name
                    and (route := routes.get(name[name[0] + 1 :])) is not None
                    and may_recurse(sources[i])
                ):
                    # What is ours is answered first. To send takes the octets of the header.
                    self._siblings.append((i, route, datagram(i, lengths[i])))
                    descriptors[i] = SILENCE
                    continue
                if ready is None or name in children or name in owners[hash(name) % ZONE_PARTS] or b"*" in name:
                    ready = nxdomain.find(key)
                if ready is not None:
                    descriptors[i] = ready.descriptor
                    ready.times += 1
                    absent.append(key)
                    continue
            descriptors[i] = self._answer_singly(i, key, lengths[i], verdicts.get(i))
        self._responder.hits += len(descriptors) - fresh
        self._traffic.settle_if_many()
        if absent:
            self._responder.misses += len(absent)
            self._asked_again += self._cache.repeated(absent[:_ABSENT_LOOKED_AT])

    def _ready_nxdomain(self) -> ReadyNxdomain:
        if self._nxdomain.generation is not self._cache.entries:
            # The cache has been emptied: the zone is another.
            self._traffic.drop_ready()
            self._nxdomain = ReadyNxdomain(self._responder.fast, self._cache.entries, self._traffic)
        return self._nxdomain

    def _answer_singly(self, i: int, key: bytes, length: int, verdict: Verdict | None) -> bytes:
        """The descriptor for a datagram for which there is nothing ready."""
        request = Request(self._batch.datagram(i, length), self._batch.client(i), Transport.UDP)
        reply = self._reply_slowly(key, request, verdict)
        if isinstance(reply, bytes) and self._limit is not None:
            reply = self._limit.reply(request.octets, request.client, reply)
        if isinstance(reply, bytes):
            return self._batch.whole(i, reply)
        if isinstance(reply, Forward):
            address = self._batch.address(i, self._socket.family)
            ancillary = ancillary_of(self._batch.control(i))
            self._strangers.append((key, reply, address, ancillary))
        return SILENCE

    def _reply_slowly(self, key: bytes, request: Request, verdict: Verdict | None) -> Reply:
        """The reply to a request for whose `key`, as far as it is known, there is nothing ready."""
        responder, cache = self._responder, self._cache
        octets, client, *_ = request
        if verdict is not None:
            return responder.answer(request, verdict)
        known, key = key, any_key(octets)
        if key != known:
            # An OPT record of a form that is not known yet, or a long name.
            self._edns.learn(key, octets)
        options = responder.options(options_of(key, octets), request)
        if options and not has_lone_cookie(key, octets):
            return responder.answer(request, None)
        kept = self._kept(key, client)
        if kept:
            responder.hits += 1
            return self._bodies.message(kept, octets, options)
        response = responder.fast.respond(key, client)
        if response is None:
            return responder.respond_fresh(request)
        responder.misses += 1
        self._traffic.fresh[response.header, key[-TAIL:], len(key), len(response.body) + len(options)] += 1
        # Descriptors take the question from the row in which the headers lie.
        if response.question_end <= QUESTION_ROOM:
            if cache.should_cache(key, found=response.found):
                self._asked_again.append(key)
            if response.header[1] & 15 == msg.NXDOMAIN:
                kind = kind_of(key, response.header, response.size)
                self._ready_nxdomain().keep(key, len(owner_of(key)), self._batch.negative(response), kind)
        return response.message(octets, options)
