"""/etc/resolv.conf that changes while the program runs: when what it says is taken, and what is never taken."""

import logging

import pytest
from tests.config.given import FakeHost, given_keys

from mesos_dns.config import system_resolvers
from mesos_dns.config.system_resolvers import LOOKS_PER_JUDGEMENT, RESOLV_CONF, SystemResolvers

FIRST, OTHER = b"nameserver 192.0.2.53\n", b"search test\nnameserver 192.0.2.54\nnameserver 192.0.2.55\n"


@pytest.fixture
def host():
    return FakeHost({RESOLV_CONF: FIRST})


@pytest.fixture
def told(caplog):
    caplog.set_level(logging.INFO, system_resolvers.__name__)
    return caplog


def following(host, **keys):
    config = given_keys(host=host, Resolvers=[], **keys).config
    assert config.system_resolvers
    return SystemResolvers(config, host)


def looks(file, count=2):
    return [file.look() for _ in range(count)]


def test_only_an_empty_list_follows_the_file(host):
    assert not given_keys(host=host).config.system_resolvers
    assert not given_keys(host=host, Resolvers=["192.0.2.9"]).config.system_resolvers
    assert not given_keys(host=host, Resolvers=[], ExternalOn=False).config.system_resolvers


def test_a_change_is_taken_when_two_looks_find_the_same(host, told):
    file = following(host)
    assert looks(file, 40) == [None] * 40
    host.files[RESOLV_CONF] = OTHER
    assert looks(file, 3) == [None, ("192.0.2.54", "192.0.2.55"), None]
    assert told.messages == [
        "/etc/resolv.conf has changed: outside names are asked of 192.0.2.54, 192.0.2.55 from now on"
    ]
    assert repr(file) == "SystemResolvers(['192.0.2.54', '192.0.2.55'])"


def test_a_change_between_the_configuration_and_the_first_look_is_found(host):
    file = following(host)
    host.files[RESOLV_CONF] = OTHER
    assert looks(file) == [None, ("192.0.2.54", "192.0.2.55")]


def test_a_file_that_is_being_written_is_waited_for(host, told):
    file = following(host)
    looks(file)
    for end in range(len(OTHER)):
        host.files[RESOLV_CONF] = OTHER[:end]
        assert file.look() is None
    host.files[RESOLV_CONF] = OTHER
    assert looks(file) == [None, ("192.0.2.54", "192.0.2.55")]
    assert len(told.messages) == 1


def test_one_that_says_the_same_in_other_words_changes_nothing(host, told):
    file = following(host)
    looks(file)
    host.files[RESOLV_CONF] = b"# by dhclient\n" + FIRST + FIRST
    assert looks(file, 40) == [None] * 40
    assert told.messages == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "names no server that can be asked"),
        (b"\xff\0garbage" * 50, "names no server that can be asked"),
        (b"nameserver 127.0.0.1\nnameserver 192.0.2.1\n", "names no server that can be asked"),
    ],
    ids=["missing", "empty", "garbage", "ourselves"],
)
def test_what_is_no_use_keeps_what_was_and_is_told_once(host, told, content, why):
    file = following(host)
    looks(file)
    if content is None:
        del host.files[RESOLV_CONF]
    else:
        host.files[RESOLV_CONF] = content
    assert looks(file, 40) == [None] * 40
    host.files[RESOLV_CONF] = FIRST
    assert looks(file, 40) == [None] * 40
    assert told.messages == [
        f"/etc/resolv.conf {why}; the resolvers known before stay (192.0.2.53)",
        "/etc/resolv.conf names servers again: 192.0.2.53",
    ]


def test_a_stub_on_an_address_that_is_served_here_is_left_out(host):
    file = following(host, Listener="0.0.0.0")
    host.files[RESOLV_CONF] = b"nameserver 127.0.0.53\n" + OTHER
    assert looks(file)[-1] == ("192.0.2.54", "192.0.2.55")
    file = following(FakeHost({RESOLV_CONF: FIRST}), Listener="192.0.2.1")
    file._host.files[RESOLV_CONF] = b"nameserver 127.0.0.53\n"
    assert looks(file)[-1] == ("127.0.0.53",)


def test_an_address_that_becomes_our_own_is_asked_no_more(host):
    host.files[RESOLV_CONF] = b"nameserver 192.0.2.53\nnameserver 192.0.2.54\n"
    file = following(host)
    looks(file)
    host.addresses = lambda: frozenset({"192.0.2.53"})
    assert looks(file, LOOKS_PER_JUDGEMENT)[-1] == ("192.0.2.54",)


def test_what_is_no_plain_address_is_told_once(host, told):
    file = following(host)
    host.files[RESOLV_CONF] = b"nameserver fe80::1%eth0\n" + OTHER
    looks(file, 40)
    assert told.messages[0] == "/etc/resolv.conf: name server 'fe80::1%eth0' is not a plain IP address, ignored"
    assert len(told.messages) == 2


def test_resolvers_that_were_none_at_the_start_are_found_later(host):
    host.files[RESOLV_CONF] = b"nameserver 127.0.0.1\n"
    file = following(host)
    host.files[RESOLV_CONF] = FIRST
    assert looks(file)[-1] == ("192.0.2.53",)
