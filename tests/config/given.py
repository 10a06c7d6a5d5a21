"""What the tests of the configuration are given: a machine that is not real, and short ways to ask."""

import json

import pytest

from mesos_dns.certificates import Dates
from mesos_dns.config import Account, ConfigError, interpret
from mesos_dns.config.addresses import Unfit

PATH = "/etc/mesos-dns/config.json"
#: The time on this machine: 2027-01-15.
NOW = 1_800_000_000.0
MASTERS = {"Masters": ["127.0.0.1:5050"]}


class FakeHost:
    """A machine with two addresses and the given files; `bad` certificates are refused. A certificate of ours says for how many seconds it is valid."""

    def __init__(self, files=None, *, signs=True):
        self.files = {"/etc/resolv.conf": b"nameserver 192.0.2.53\n"} | (files or {})
        self.signs = signs

    def read(self, path):
        try:
            return self.files[path]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory") from None

    def is_open(self, path):
        return "open" in path

    def addresses(self):
        return frozenset({"127.0.0.1", "192.0.2.1"})

    def check_trust(self, ca_file):
        if "bad" in ca_file:
            raise Unfit("holds no certificate in PEM form")

    def check_pair(self, cert_file, key_file):
        if "bad" in cert_file + key_file:
            raise Unfit("and KeyFile are not a certificate and its private key in PEM form")

    def examine(self, pair):
        if b"bad" in pair.chain + pair.key:
            raise Unfit("do not fit")
        return Dates(NOW - 86_400, NOW + float(pair.chain))

    def time(self):
        return NOW

    def can_sign(self):
        return self.signs

    def account(self, user, group):
        if user != "mesos-dns":
            raise Unfit("is no user of this machine")
        return Account(990, 991 if group else 990, (990,))


def given_text(text, environ=None, host=None):
    data = text if isinstance(text, bytes) else text.encode()
    return interpret(data, PATH, environ or {}, host or FakeHost())


def given_keys(environ=None, host=None, **keys):
    return given_text(json.dumps(MASTERS | keys), environ, host)


def warnings(*args, **kwargs):
    return [str(warning) for warning in given_keys(*args, **kwargs).warnings]


def problems(*args, **kwargs):
    with pytest.raises(ConfigError) as refusal:
        given_keys(*args, **kwargs)
    return [str(problem) for problem in refusal.value.problems]


def text_problems(text, environ=None):
    with pytest.raises(ConfigError) as refusal:
        given_text(text, environ)
    return [str(problem) for problem in refusal.value.problems]
