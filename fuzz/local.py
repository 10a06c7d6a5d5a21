"""What comes from this machine and from HTTP clients: configuration, resolv.conf, frames between the processes, paths of requests."""

import json
import string
import struct
from random import Random
from urllib.parse import quote_from_bytes

from multidict import CIMultiDict
from tests.config.given import PATH, FakeHost
from tests.serve.asking import make_zone

from mesos_dns import assembly
from mesos_dns.config import Config, ConfigError, as_json, interpret
from mesos_dns.config.rules import Listening, name_servers
from mesos_dns.web import paths, trust, views
from mesos_dns.web.search import address_test
from mesos_dns.workers.protocol import FrameReader, ProtocolError, encode

_ZONE = make_zone()
#: Characters of one problem: a key, where it stands, a quoted value, what was expected.
_LONGEST_PROBLEM = 3000
#: What stands in a path after Go's escaping.
_IN_PATHS = frozenset(string.ascii_letters + string.digits + "_.-~/$&+,:;=@%")


def configuration(octets: bytes) -> None:
    """A file, behind zero octets /etc/resolv.conf, a service account, and the value of a variable: all problems, or a plan to run by."""
    file, resolv_conf, account, value, *_ = (*octets.split(b"\0"), b"", b"", b"")
    host = FakeHost({"/etc/resolv.conf": resolv_conf, "/iam.json": account, "/list": file})
    name, _, text = value.decode("utf-8", "surrogateescape").partition("=")
    try:
        loaded = interpret(file, PATH, {f"MESOS_DNS_{name}": text} if name else {}, host)
    except ConfigError as error:
        _for_people("\n".join(map(str, error.problems)))
        return
    for warning in loaded.warnings:
        _for_people(str(warning))
    _plan(loaded.config)


def _plan(config: Config) -> None:
    """Whatever is accepted can be run, and shown."""
    assembly.plan(config, cores=2)
    json.dumps(as_json(config, 1))


def _for_people(text: str) -> None:
    assert text
    assert max(map(len, text.split("\n"))) < _LONGEST_PROBLEM
    assert text.replace("\n", "").isprintable(), text


def resolv_conf(octets: bytes) -> None:
    """Name servers that can be forwarders, and none that is this host."""
    local = frozenset({"127.0.0.1", "192.0.2.1", "::1"})
    found, warnings = name_servers(octets.decode("utf-8", "replace"), local, Listening("0.0.0.0", 53))
    assert not local & set(found)
    for warning in warnings:
        _for_people(warning)


def frames(octets: bytes) -> None:
    """A stream in three pieces: frames, each of which survives another round, or an error. The first octet says where it is cut."""
    cut = octets[0] if octets else 0
    stream = octets[1:]
    reader = FrameReader()
    for chunk in (stream[:cut], stream[cut : 2 * cut], stream[2 * cut :]):
        reader.feed(chunk)
        try:
            for frame in reader:
                again = FrameReader()
                again.feed(encode(frame))
                assert next(again) == frame
        except ProtocolError as error:
            _for_people(str(error))
            return


def paths_and_headers(octets: bytes) -> None:
    """A path of a request, and behind a line feed one of its header fields, or what somebody searches for."""
    path, _, field = octets.partition(b"\n")
    text = field.decode("latin-1")
    paths.acceptable(text)
    for name in ("Host", "Authorization", "Origin", "Sec-Fetch-Site"):
        fields = CIMultiDict({"Host": "localhost", name: text})
        _for_people(trust.refusal(bytes((127, 0, 0, 1)), fields, trust.Token("0a1b" * 8)) or "trusted")
        _for_people(trust.forgery(fields) or "not forged")
    begins = address_test(text)
    assert begins is None or begins((bytes(4), bytes(16))) in {True, False}
    for text in (path.decode("utf-8", "surrogateescape"), "/v1/hosts/" + quote_from_bytes(path)):
        try:
            found = paths.match(text)
        except paths.BadPathError:
            continue
        if isinstance(found, paths.Moved):
            assert _IN_PATHS.issuperset(found.path)
            assert found.path.startswith("/")
            assert not found.path.startswith("//"), "a redirect to another host"
            assert not isinstance(paths.match(found.path), paths.Moved)
            paths.moved_body(found.path)
        elif found is not None:
            for view in (views.hosts, views.services):
                json.loads("".join(view(_ZONE, found.name, Random(0))))


def framed(*bodies: bytes, cut: int = 7) -> bytes:
    """An input for `frames`."""
    return bytes((cut,)) + b"".join(struct.pack("!I", len(body)) + body for body in bodies)
