"""What every listener asks: policy, then cache, then answer. Shared by all listeners of one worker.

No I/O happens here; a listener turns octets into requests and sends the replies its own way.
"""

import struct
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

from mesos_dns.dns import message as msg
from mesos_dns.dns.message import HEADER_SIZE, CookieQuery, Query, Rejected
from mesos_dns.dns.prefixes import Clients
from mesos_dns.metrics import Counts, Metric, counter, gauge
from mesos_dns.serve.answer import Answerer
from mesos_dns.serve.cache import FOUND_OCTETS, MISSING_OCTETS, Pieces, ResponseCache, Store
from mesos_dns.serve.cookies import ServerCookies
from mesos_dns.serve.fast import FastAnswers
from mesos_dns.serve.keys import (
    OPT_RECORDS,
    PLAIN_OPT_SIZE,
    SMALL,
    alternate_key,
    any_key,
    has_lone_cookie,
    has_options,
    options_of,
    owner_of,
)
from mesos_dns.serve.policy import PROHIBITED, Drop, Policy, Refuse, Verdict
from mesos_dns.serve.render import Orders, Response, error, with_options
from mesos_dns.serve.request import CLOSE, Close, Forward, Reply, Request, Transport
from mesos_dns.serve.traffic import Traffic, responses

T = TypeVar("T")

_HITS: Final = counter("cache_hits", "Queries answered from a response cache.")
_MISSES: Final = counter("cache_misses", "Queries about names in the zones answered afresh.")
_ENTRIES: Final = gauge("cache_entries", "Questions whose response is kept.", by_worker=True)
_DROPPED: Final = counter("dropped", "Queries that got no answer because of a policy.")
_REFUSED: Final = counter("refused", "Queries that a policy refused.")
_NO_RECURSION: Final = counter(
    "recursion_refused", "Questions about outside names of clients that may not ask them (`AllowRecursion`)."
)
_REJECTED: Final = counter(
    "rejected", "Messages answered with an error without a look at their question: FORMERR, NOTIMP."
)
_COOKIES_TOLD: Final = counter("cookies_told", "Queries for nothing but a server cookie, answered.")
_IGNORED: Final = counter("ignored", "Messages that got no answer: too short for one, or responses.")

#: Takes the query, the largest reply in octets, and a function that sends the reply, now or later. If it was sent now and may be
#: given for a second to all who ask the same, it is the result.
ForwardTo = Callable[[Forward, int, Callable[[bytes], None]], bytes | None]
#: Octets of the COOKIE option that we send.
COOKIE_OPTION_SIZE: Final = 4 + msg.COOKIE_SIZE
#: Parts of dropped responses that are freed after each turn of answering, and with each answer of it: twice as many as
#: an answer can add, and 0.1 µs each.
_RECLAIMED_AT_LEAST: Final = 64
_RECLAIMED_PER_ANSWER: Final = 8
#: Kept responses that are asked in one go how often they were given: a millisecond at most, twice a second.
_MOST_COUNTED_AT_ONCE: Final = 2048


class _Way:
    """How requests over one transport are answered: from the cache, or fresh."""

    def __init__(
        self, cache: ResponseCache[Response], answerer: Answerer, traffic: Traffic, *, tcp: bool, cookies: bool
    ) -> None:
        self.tcp = tcp
        self.cookies = cookies
        self.traffic = traffic
        self.cache = cache
        self.use(answerer)

    def use(self, answerer: Answerer) -> None:
        self.fast = FastAnswers(answerer, tcp=self.tcp, cookies=self.cookies)


class Responder:
    """Replies of one worker, from the cache or fresh. `cookies` makes the server cookies (RFC 7873); None if it sends none.

    A listener adds to `hits` and `misses` what it answers from a cache of its own, or with `fast`.
    """

    def __init__(
        self,
        answerer: Answerer,
        policy: Policy | None = None,
        cookies: ServerCookies | None = None,
        recursion: Clients | None = None,
        *,
        family: str = "1",
    ) -> None:
        """`recursion` are those who may ask about names outside, None for everybody. `family` is that of the sockets: one of `traffic.FAMILIES`."""
        self.policy = policy
        self.recursion = recursion
        self.cookies = cookies
        self.counters = Counts()
        self.hits = 0
        self.misses = 0
        #: What is asked and answered, by transport.
        self.traffic = {transport: Traffic(transport, family) for transport in Transport}
        self._caches: list[ResponseCache[Any]] = []
        #: Which response is asked next how often it was given: the number of its cache, and its place there; and the hits when the first was.
        self._counting = 0, 0
        self._hits_counted = 0
        #: Whether something that was dropped is yet to be freed: to look costs more than a part of an answer.
        self.to_reclaim = False
        self._answerer = answerer
        # Over TCP the same question may have a larger answer.
        udp, tcp = self.traffic[Transport.UDP], self.traffic[Transport.TCP]
        has_cookies = cookies is not None
        small = self.cache(Pieces(FOUND_OCTETS), Pieces(MISSING_OCTETS))
        self._udp = _Way(small, answerer, udp, tcp=False, cookies=has_cookies)
        large = self.cache(Pieces(FOUND_OCTETS // 2), Pieces(MISSING_OCTETS), traffic=tcp)
        self._tcp = _Way(large, answerer, tcp, tcp=True, cookies=has_cookies)
        #: The way to fresh responses over UDP for the listeners that have a cache of their own.
        self.fast = self._udp.fast

    def __repr__(self) -> str:
        return f"Responder({self._caches!r})"

    def cache(
        self, found: Store[T], missing: Store[T], outside: Store[T] | None = None, traffic: Traffic | None = None
    ) -> ResponseCache[T]:
        """A cache for a listener, over UDP without other `traffic`; it is emptied whenever the zone changes."""
        traffic = traffic or self.traffic[Transport.UDP]
        cache = ResponseCache(found, missing, outside=outside, traffic=traffic, outside_for_all=self.recursion is None)
        self._caches.append(cache)
        return cache

    def use(self, answerer: Answerer) -> None:
        """Answer from another zone, or from a changed one: what is kept may be wrong."""
        self._answerer = answerer
        for way in (self._udp, self._tcp):
            way.use(answerer)
        self.fast = self._udp.fast
        self.forget()

    def may_recurse(self, client: bytes) -> bool:
        """Whether a client may ask about names outside."""
        return self.recursion is None or self.recursion.allows(client)

    def forget(self) -> None:
        """Empty the caches after a change of the zone."""
        for cache in self._caches:
            cache.forget()
        self.to_reclaim = True

    def reclaim(self, answered: int) -> None:
        """Free some of what was dropped: more than so many answers can have added since the last time."""
        if self.to_reclaim:
            for cache in self._caches:
                cache.reclaim(_RECLAIMED_AT_LEAST + _RECLAIMED_PER_ANSWER * answered)
            self.to_reclaim = any(cache.has_garbage for cache in self._caches)

    def counts(self, *, whole: bool = False) -> dict[str, float]:
        """All counts since the start, by series. `whole`: all of them to the last packet, however long that takes."""
        if whole:
            for cache in self._caches:
                cache.count_some(0, sys.maxsize)
                cache.count_dropped()
        else:
            self._count_some()
        counts = self.counters.snapshot()
        counts[_HITS.series()] = self.hits
        counts[_MISSES.series()] = self.misses
        for traffic in self.traffic.values():
            if traffic.is_used:
                counts.update(traffic.numbers())
        counts.update(responses(self.traffic.values()))
        return counts

    def _count_some(self) -> None:
        """Ask some of the kept responses how often they were given, those that come next: all of them take up to 50 ms."""
        number, at = self._counting
        if not number and not at:
            if self._hits_counted == self.hits:
                return  # None was.
            self._hits_counted = self.hits
        left = _MOST_COUNTED_AT_ONCE
        while left and number < len(self._caches):
            counted = self._caches[number].count_some(at, left)
            left -= counted
            at += counted
            if left:
                number, at = number + 1, 0
        self._counting = (number, at) if number < len(self._caches) else (0, 0)

    def gauges(self) -> dict[str, float]:
        """What is at present, by series."""
        return {_ENTRIES.series(): sum(map(len, self._caches))}

    def count(self, what: Metric, times: int = 1) -> None:
        """Add to a counter of a listener."""
        self.counters.add(what, times=times)

    # --- replies -------------------------------------------------------------------------------

    def respond_udp(self, octets: bytes, client: bytes = b"") -> Reply:
        """The reply to a datagram."""
        if self.policy is None or client in self.policy.usual:
            key = any_key(octets)
            entry = self._udp.cache.entries.get(key)
            if entry is not None and not has_options(key, octets):
                self.hits += 1
                return next(entry).message(octets)
        return self.respond(Request(octets, client, Transport.UDP))

    def respond_tcp(
        self,
        octets: bytes,
        client: bytes = b"",
        keepalive: int | None = None,
        transport: Transport = Transport.TCP,
    ) -> Reply:
        """The same for a message over TCP, without its length octets, or over TLS."""
        if self.policy is None or client in self.policy.usual:
            # What `respond` would come to, sooner.
            key = any_key(octets)
            entry = self._tcp.cache.entries.get(key)
            if entry is not None and not has_options(key, octets):
                self.hits += 1
                return next(entry).message(octets)
        return self.respond(Request(octets, client, transport, keepalive))

    def respond(self, request: Request) -> Reply:
        """The reply to any request at all."""
        return self.answer(request, None if self.policy is None else self.policy.judge(request))

    def answer(self, request: Request, verdict: Verdict | None) -> Reply:
        """The same for a request that was judged already."""
        if isinstance(verdict, Drop):
            self.counters.add(_DROPPED)
            return None
        if isinstance(verdict, Refuse):
            return self._refuse(request, verdict)
        octets, client, transport, _ = request
        told = b"" if verdict is None else verdict.options
        key = any_key(octets)
        options = self.options(options_of(key, octets), request) + told
        way = self._udp if transport is Transport.UDP else self._tcp
        # What is kept has room for a cookie, and over TCP there is room for anything. Else it is made for the room that is left.
        if options and not way.tcp and not (len(options) == COOKIE_OPTION_SIZE and has_lone_cookie(key, octets)):
            return self.respond_fresh(request, told)
        response = self._look_up_or_render(key, client, way)
        if response is not None:
            reply = response.message(octets, options)
            if len(reply) <= msg.TCP_SIZE:
                return reply
        return self.respond_fresh(request, told)

    def options(self, sent: bytes, request: Request) -> bytes:
        """The EDNS options, in wire form, for the reply to a request that `sent` these, well-formed. The cookie is the first.

        A client that sends none gets none: a server must not answer with options that were not asked for, but for extended errors.
        """
        if not sent:
            return b""
        options = b""
        cookie = msg.find_option(sent, msg.COOKIE)
        if cookie is not None and self.cookies is not None:
            options = self.cookies.option(cookie, request.client)
        if self._answerer.options.server_id and msg.has_option(sent, msg.NSID):
            options += msg.option(msg.NSID, self._answerer.options.server_id)
        if request.keepalive is not None and msg.has_option(sent, msg.TCP_KEEPALIVE):
            options += msg.tcp_keepalive(request.keepalive)
        return options

    def _look_up_or_render(self, key: bytes, client: bytes, way: _Way) -> Response | None:
        """The response to a usual question; None for an unusual one."""
        cache = way.cache
        entry = cache.entries.get(key)
        response = next(entry) if entry is not None else None
        if response is None and key in cache.parts:
            response = cache.part(key, client, owner_of(key))
        if response is not None:
            self.hits += 1
            return response
        response = way.fast.respond(key, client)
        if response is None:
            return None
        self.misses += 1
        cookie = max(len(response.opt) - PLAIN_OPT_SIZE, 0)
        way.traffic.add_fresh(key, response.header, len(response.body) + cookie)
        if response.keep and cache.should_cache(key, found=response.found):
            orders = cache_response(cache, key, way.fast)
            if orders is None and way.tcp:
                turns = way.fast.turns(key)
                if turns is not None:
                    cache.cache_turns(key, turns, response.header, 3 * len(response.body))
        return response

    def respond_fresh(self, request: Request, told: bytes = b"") -> Reply:
        """The reply to any message at all, without a look at the cache; its OPT record has the options that were `told`, too."""
        query = self._parse(request)
        if not isinstance(query, Query):
            return query
        tcp = request.transport is not Transport.UDP
        limit = msg.TCP_SIZE if tcp else msg.udp_limit(query.edns)
        options = b"" if query.edns is None else self.options(query.edns.options, request) + told
        traffic = self.traffic[request.transport]
        traffic.question(query)
        response = self._answerer.compose(query, limit - len(options), request.client, tcp=tcp)
        if isinstance(response, Forward):
            if not self.may_recurse(request.client):
                self.counters.add(_NO_RECURSION)
                refusal = error(query, *PROHIBITED)
                reply = refusal.message(request.octets, options)
                traffic.reply(reply, opt=refusal.opt)
                return reply
            return response._replace(options=options) if options else response
        self.misses += 1
        reply = response.message(request.octets, options)
        traffic.reply(reply, opt=response.opt)
        return reply

    def forwarded(self, reply: bytes, transport: Transport) -> None:
        """Take note of the reply to a forwarded query."""
        self.traffic[transport].reply(reply)

    def _refuse(self, request: Request, refusal: Refuse) -> Reply:
        query = self._parse(request)
        if not isinstance(query, Query):
            return query
        self.counters.add(_REFUSED)
        options = b"" if query.edns is None else self.options(query.edns.options, request)
        response = error(query, refusal.rcode, refusal.ede)
        reply = response.message(query.octets, options)
        traffic = self.traffic[request.transport]
        traffic.question(query)
        traffic.reply(reply, opt=response.opt)
        return reply

    def _parse(self, request: Request) -> Query | bytes | Close | None:
        """The query, or the reply to what is none."""
        query = msg.parse(request.octets)
        if isinstance(query, CookieQuery) and self.cookies is not None:
            return self._tell_cookie(query, self.cookies, request)
        if isinstance(query, CookieQuery):
            query = Rejected(request.octets, msg.FORMERR)
        if isinstance(query, Rejected):
            self.counters.add(_REJECTED)
            reply = query.reply()
            traffic = self.traffic[request.transport]
            traffic.unread(request.octets)
            traffic.reply(reply)
            return reply
        if query is None:
            self.counters.add(_IGNORED)
            return None if request.transport is Transport.UDP else CLOSE
        return query

    def _tell_cookie(self, query: CookieQuery, cookies: ServerCookies, request: Request) -> bytes:
        """The reply to a client that wants to know its server cookie, or whether it is right (RFC 7873 section 5.4)."""
        self.counters.add(_COOKIES_TOLD)
        cookie = msg.find_option(query.edns.options, msg.COOKIE) or b""
        has_none = len(cookie) == msg.CLIENT_COOKIE_SIZE
        rcode = msg.NOERROR if has_none or cookies.is_valid(cookie, request.client) else msg.BADCOOKIE
        if query.edns.version:
            rcode = msg.BADVERS
        flags = msg.QR | query.flags & msg.COPIED | rcode & 15
        opt = msg.opt(rcode, do=query.edns.do, options=self.options(query.edns.options, request))
        reply = request.octets[:2] + struct.pack("!HHHHH", flags, 0, 0, 0, 1) + opt
        traffic = self.traffic[request.transport]
        traffic.unread(request.octets)
        traffic.reply(reply, opt=opt)
        return reply


def cache_response(cache: ResponseCache[T], key: bytes, fast: FastAnswers) -> Orders | None:
    """Keep what `fast` renders for `key`, and say what; None if that is too much.

    Not between a look-up and the sending of what was found.
    """
    orders = fast.orders(key)
    if orders is None:
        return None
    keys: tuple[bytes, ...] = (key,)
    if not orders.by_client:
        largest = max(stop - start for _, start, stop in orders.windows)
        other = alternate_key(key)
        if other and orders.question_end + largest + len(orders.opt) <= msg.PLAIN_UDP_SIZE:
            keys = (key, other)
    cache.cache_orders(keys, orders)
    return orders


def outside_response(key: bytes, forward: Forward, reply: bytes) -> Response | None:
    """The reply to a forwarded query with this key as a response to all such; None if another client needs another one."""
    query = forward.query
    end, mark = query.question_end, key[-1:]
    opt, sent = b"", b""
    if query.edns is not None:
        opt = msg.opt(do=query.edns.do)
        sent = with_options(opt, forward.options)
    if forward.options:
        # Its own cookie is all that may be another client's matter, and that has room.
        lone = len(forward.options) == COOKIE_OPTION_SIZE and has_lone_cookie(key, query.octets)
        opt = OPT_RECORDS[mark] if lone else b""
    if not key or (sent and not opt) or reply[2] & msg.TC >> 8 or not reply.endswith(sent):
        return None
    if mark in SMALL and len(reply) > msg.PLAIN_UDP_SIZE:
        return None
    return Response(reply[2:HEADER_SIZE], reply[end : len(reply) - len(sent)], opt, end, True)
