"""Server cookies: the vectors of RFC 9018, how long they are right, and for whom."""

import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.serve.asking import ask, option

from mesos_dns.serve.cookies import ServerCookies, cookie_of, has_cookie
from mesos_dns.serve.request import Request, Transport

SECRET = bytes.fromhex("e5e973e5a6b2a43f48e7dc849e37bfcf")
OLD, NEW = bytes.fromhex("dd3bdf9344b678b185a6f5cb60fca715"), bytes.fromhex("445536bcd2513298075a5d379663c962")
CLIENT, OTHER = socket.inet_aton("198.51.100.100"), socket.inet_aton("203.0.113.203")
V6 = socket.inet_pton(socket.AF_INET6, "2001:db8:220:1:59de:d0f4:8769:82b8")
MINE, OTHERS_COOKIE, V6_COOKIE = map(bytes.fromhex, ("2464c4abcf10c957", "fc93fc62807ddb86", "22681ab97d52c298"))
#: Made at 1559727985, with reserved octets that are not zero (appendix A.3).
RESERVED = bytes.fromhex("01abcdef5cf78f71a314227b6679ebf5")
NOW = 1559731985


class Clock:
    def __init__(self, now=NOW):
        self.now = now

    def __call__(self):
        return self.now + 0.5


def cookies(*secrets, now=NOW):
    return ServerCookies(secrets or (SECRET,), Clock(now))


@pytest.mark.parametrize(
    ("secret", "now", "client", "mine", "server"),
    [
        pytest.param(SECRET, 1559731985, CLIENT, MINE, "010000005cf79f111f8130c3eee29480", id="A.1"),
        pytest.param(SECRET, 1559734385, CLIENT, MINE, "010000005cf7a871d4a564a1442aca77", id="A.2"),
        pytest.param(SECRET, 1559734700, OTHER, OTHERS_COOKIE, "010000005cf7a9acf73a7810aca2381e", id="A.3"),
        pytest.param(NEW, 1559741961, V6, V6_COOKIE, "010000005cf7c609a6bb79d16625507a", id="A.4"),
    ],
)
def test_cookies_are_those_of_rfc_9018_appendix_a(secret, now, client, mine, server):
    made = cookies(secret, now=now)
    option = made.option(mine, client)
    assert option.hex() == "000a0018" + mine.hex() + server
    assert made.option(option[4:], client) == option
    assert made.is_valid(option[4:], client)
    head = made.head()
    assert head + made.hashes([mine + head + client] * 2)[8:] == bytes.fromhex(server)


def test_cookies_of_appendix_a_that_clients_send_are_right():
    assert cookies(now=1559728000).is_valid(OTHERS_COOKIE + RESERVED, OTHER)
    assert cookies(NEW, OLD, now=1559741961).is_valid(V6_COOKIE + bytes.fromhex("010000005cf7c57926556bd0934c72f8"), V6)
    assert not cookies(NEW, now=1559741961).is_valid(V6_COOKIE + bytes.fromhex("010000005cf7c57926556bd0934c72f8"), V6)


@pytest.mark.parametrize(
    ("later", "right"),
    [(0, True), (1800, True), (3600, True), (3601, False), (-300, True), (-301, False), (86400, False)],
)
@pytest.mark.parametrize("now", [NOW, 0xFFFFFFFF, 2**32 + 100])
def test_a_cookie_is_right_for_an_hour_and_some_minutes_before_its_time(now, later, right):
    made = cookies(now=now).option(MINE, CLIENT)[4:]
    assert cookies(now=now + later).is_valid(made, CLIENT) is right


@pytest.mark.parametrize("place", range(24))
def test_a_cookie_with_one_octet_changed_is_wrong(place):
    made = bytearray(cookies().option(MINE, CLIENT)[4:])
    assert cookies().is_valid(bytes(made), CLIENT)
    made[place] ^= 1
    assert not cookies().is_valid(bytes(made), CLIENT)


def test_a_cookie_is_right_for_one_client_and_one_secret():
    made = cookies(SECRET).option(MINE, CLIENT)[4:]
    assert not cookies(SECRET).is_valid(made, OTHER)
    assert not cookies(NEW, OLD).is_valid(made, CLIENT)
    assert cookies(NEW, SECRET).is_valid(made, CLIENT)
    assert cookies(NEW, SECRET).option(MINE, CLIENT)[4:] != made


def test_other_secrets_may_be_used_from_now_on():
    ours = cookies(SECRET)
    made = ours.option(MINE, CLIENT)[4:]
    ours.use([NEW, SECRET])
    assert ours.option(MINE, CLIENT)[4:] == cookies(NEW).option(MINE, CLIENT)[4:] != made
    assert ours.is_valid(made, CLIENT)
    ours.use([NEW])
    assert not ours.is_valid(made, CLIENT)
    assert repr(ours) == "ServerCookies(1 secrets)"


@pytest.mark.parametrize("secrets", [[], [b""], [SECRET[:15]], [SECRET, SECRET + b"x"]])
def test_secrets_that_are_none(secrets):
    with pytest.raises(ValueError, match="expected secrets of 16 octets"):
        ServerCookies(secrets, Clock())


@given(st.binary(max_size=60), st.binary(max_size=16))
@example(MINE + b"\1" + bytes(15), CLIENT)
def test_what_others_made_up_is_wrong(sent, client):
    assert not cookies().is_valid(sent, client)


# --- requests ----------------------------------------------------------------------------------


def request(*options, client=CLIENT):
    return Request(ask("mesos.", payload=1232, options=list(options)), client, Transport.UDP)


def test_a_request_has_a_valid_cookie_or_none():
    right = option(10, cookies().option(MINE, CLIENT)[4:])
    assert cookies().has_valid_cookie(request(right))
    assert cookies().has_valid_cookie(request(option(3), right, option(12, bytes(9))))
    assert not cookies().has_valid_cookie(request(right, client=OTHER))
    assert not cookies().has_valid_cookie(request(option(10, MINE), right))
    assert not cookies().has_valid_cookie(request())
    assert (has_cookie(request(option(10, MINE))), has_cookie(request(option(3)))) == (True, False)
    assert cookie_of(request(option(10, bytes(40))).octets) == bytes(40)
    assert cookie_of(ask("mesos.")) == b""


@given(st.binary(max_size=300))
def test_any_octets_are_a_request(octets):
    asked = Request(octets, CLIENT, Transport.UDP)
    assert not cookies().has_valid_cookie(asked)
    assert not has_cookie(asked) or len(cookie_of(octets)) in {8, *range(16, 41)}
