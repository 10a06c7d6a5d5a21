import asyncio
import base64
import gzip
import random
import socket
import ssl
import struct

import aiohttp
import pytest
from aiohttp import web

from mesos_dns.mesos.errors import (
    BodyError,
    DisconnectedError,
    MasterTimeoutError,
    NoLeaderError,
    RedirectError,
    StatusError,
    UnauthorizedError,
    UnreachableError,
)
from mesos_dns.mesos.http import client as client_module
from mesos_dns.mesos.http.client import MasterClient
from mesos_dns.mesos.options import ClientOptions
from mesos_dns.mesos.state import Endpoint

STATE = b'{"leader":"m@127.0.0.1:5050","slaves":[],"frameworks":[]}'


@pytest.fixture
async def client():
    clients = []

    def make(**options):
        clients.append(MasterClient(ClientOptions(**{"timeout": 5.0, **options})))
        return clients[-1]

    yield make
    for one in clients:
        await one.close()


def free_endpoint():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return Endpoint("127.0.0.1", listener.getsockname()[1])


async def test_the_request_looks_like_that_of_the_go_program(serve, client):
    seen = []

    async def answer(request):
        seen.append(request)
        return web.Response(body=STATE, content_type="application/json")

    answered = await client().fetch(await serve(answer))
    assert bytes(answered.body) == STATE
    assert 0 <= answered.seconds < 5
    (request,) = seen
    assert (request.method, request.path) == ("GET", "/master/state")
    assert request.headers["User-Agent"] == "Mesos-DNS"
    assert request.headers["Accept-Encoding"] == "gzip"
    assert "Authorization" not in request.headers


async def test_every_sign_of_life_is_heard(serve, client):
    """The head of the answer, and each piece of the body as it comes."""
    heard, go_on = asyncio.Queue(), asyncio.Event()

    async def answer(request):
        response = web.StreamResponse(headers={"Content-Length": str(len(STATE))})
        await response.prepare(request)
        await go_on.wait()
        await response.write(STATE)
        return response

    fetching = asyncio.ensure_future(client().fetch(await serve(answer), lambda: heard.put_nowait(None)))
    await heard.get()
    assert not fetching.done()
    go_on.set()
    await heard.get()
    assert bytes((await fetching).body) == STATE


async def test_gzip(serve, client):
    async def answer(_request):
        return web.Response(body=gzip.compress(STATE * 100, mtime=0), headers={"Content-Encoding": "gzip"})

    assert bytes((await client().fetch(await serve(answer))).body) == STATE * 100


async def test_a_large_gzip(serve, client):
    state = random.Random(1).randbytes(3_000_000)

    async def answer(_request):
        return web.Response(body=gzip.compress(state, mtime=0), headers={"Content-Encoding": "gzip"})

    assert bytes((await client().fetch(await serve(answer))).body) == state


async def test_an_error_may_be_packed_too(serve, client):
    async def answer(_request):
        return web.Response(
            status=500, body=gzip.compress(b"out of luck", mtime=0), headers={"Content-Encoding": "gzip"}
        )

    with pytest.raises(StatusError, match="out of luck"):
        await client().fetch(await serve(answer))


async def test_an_encoding_that_nobody_asked_for(serve, client):
    async def answer(_request):
        return web.Response(body=STATE, headers={"Content-Encoding": "br"})

    with pytest.raises(BodyError, match="encoded as 'br', expected gzip"):
        await client().fetch(await serve(answer))


@pytest.mark.parametrize("body", [b"this is not gzip at all", gzip.compress(STATE, mtime=0)[:-9], b""])
async def test_damaged_gzip(serve, client, body):
    async def answer(_request):
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    with pytest.raises(DisconnectedError, match="damaged"):
        await client().fetch(await serve(answer))


async def test_the_body_is_bounded_also_when_compressed(serve, client, monkeypatch):
    monkeypatch.setattr(client_module, "MAX_STATE_OCTETS", 100_000)

    async def answer(_request):
        return web.Response(body=gzip.compress(bytes(10_000_000), mtime=0), headers={"Content-Encoding": "gzip"})

    with pytest.raises(BodyError, match="more than 100000 octets"):
        await client().fetch(await serve(answer))


async def test_a_task_is_asked_for_by_its_ids_whatever_they_are(serve, client):
    seen = []

    async def answer(request):
        seen.append((request.path, request.rel_url.raw_query_string, dict(request.query)))
        return web.Response(body=b'{"tasks":[]}')

    body = await client().task(await serve(answer), "a&task_id=x;y", "ä +%2F#")
    assert bytes(body) == b'{"tasks":[]}'
    ((path, raw, query),) = seen
    assert (path, query) == ("/master/tasks", {"framework_id": "a&task_id=x;y", "task_id": "ä +%2F#"})
    assert ";" not in raw, "where Mesos begins another parameter"


async def test_the_answer_about_a_task_is_bounded(serve, client, monkeypatch):
    monkeypatch.setattr(client_module, "MAX_TASKS_OCTETS", 1000)

    async def answer(_request):
        return web.Response(body=bytes(100_000))

    with pytest.raises(BodyError, match="more than 1000 octets"):
        await client().task(await serve(answer), "F", "t")


async def test_old_masters_know_only_state_json_and_that_is_remembered(serve, client):
    paths = []
    old = "/master/state.json"

    async def answer(request):
        paths.append(request.path)
        return web.Response(body=STATE, status=200 if request.path == old else 404)

    endpoint = await serve(answer)
    one = client()
    await one.fetch(endpoint)
    await one.fetch(endpoint)
    assert paths == ["/master/state", old, old]
    old = "/master/state"  # an upgrade
    await one.fetch(endpoint)
    await one.fetch(endpoint)
    assert paths[3:] == ["/master/state.json", "/master/state", "/master/state"]


async def test_neither_path(serve, client):
    async def answer(_request):
        return web.Response(status=404)

    with pytest.raises(StatusError, match=r"status 404 for /master/state.json, expected 200: this is no Mesos master"):
        await client().fetch(await serve(answer))


async def test_an_error_status_shows_the_beginning_of_its_text(serve, client):
    async def answer(_request):
        return web.Response(status=500, text="the registry\nis gone " + "x" * 100_000)

    with pytest.raises(StatusError, match=r"status 500 .* the registry is gone x+") as failure:
        await client().fetch(await serve(answer))
    assert failure.value.status == 500
    assert len(str(failure.value)) < 400


async def test_no_leader(serve, client):
    async def answer(_request):
        return web.Response(status=503, text="No leader elected")

    with pytest.raises(NoLeaderError, match="No leader elected"):
        await client().fetch(await serve(answer))


@pytest.mark.parametrize(
    ("location", "endpoint"),
    [
        ("//127.0.0.22:5050/master/state", Endpoint("127.0.0.22", 5050)),
        ("http://leader.example:5051", Endpoint("leader.example", 5051)),
        ("https://leader.example/x", Endpoint("leader.example", 443)),
        ("//[fd00::1]:5050/master/state?x=y", Endpoint("fd00::1", 5050)),
        ("//leader.example", Endpoint("leader.example", 80)),
        ("/master/state", None),
        ("//h:port/", None),
        ("//[fd00::1/", None),
        ("", None),
    ],
)
async def test_redirects_are_reported_and_not_followed(serve, client, location, endpoint):
    requests = 0

    async def answer(_request):
        nonlocal requests
        requests += 1
        return web.Response(status=307, headers={"Location": location})

    with pytest.raises(RedirectError, match="does not lead") as failure:
        await client().fetch(await serve(answer))
    assert failure.value.location == endpoint
    assert requests == 1


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({}, "it wants credentials"),
        ({"principal": "p", "secret": "wrong"}, "check Principal and Secret"),
        ({"principal": "p", "secret": "with:colon"}, "a secret that contains a colon"),
    ],
)
async def test_refused_credentials(serve, client, options, hint):
    async def answer(_request):
        challenge = 'Basic realm="mesos-master-readonly"'
        return web.Response(status=401, text="401 Unauthorized.", headers={"WWW-Authenticate": challenge})

    with pytest.raises(UnauthorizedError, match=hint) as failure:
        await client(**options).fetch(await serve(answer))
    assert failure.value.realm == "mesos-master-readonly"
    assert "wrong" not in str(failure.value)


async def test_forbidden(serve, client):
    async def answer(_request):
        return web.Response(status=403)

    with pytest.raises(UnauthorizedError, match="status 403, realm ''"):
        await client().fetch(await serve(answer))


@pytest.mark.parametrize(("principal", "secret"), [("mesos-dns", "s3cret"), ("", "only"), ("grüße", "пароль")])
async def test_basic_credentials(serve, client, principal, secret):
    async def answer(request):
        given = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
        return web.Response(body=given.encode())

    one = client(principal=principal, secret=secret)
    assert bytes((await one.fetch(await serve(answer))).body) == f"{principal}:{secret}".encode()
    assert secret not in repr(one) + repr(ClientOptions(principal=principal, secret=secret))


async def test_a_master_that_hangs(serve, client):
    async def hang(_request):
        await asyncio.Event().wait()

    with pytest.raises(MasterTimeoutError, match=r"no complete answer within 0.1 s"):
        await client(timeout=0.1).fetch(await serve(hang))


async def test_a_master_that_hangs_in_the_middle(serve_octets, client):
    async def half(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        await reader.read()

    with pytest.raises(MasterTimeoutError):
        await client(timeout=0.1).fetch(await serve_octets(half))


async def test_a_master_that_resets(serve_octets, client):
    async def reset(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with pytest.raises(DisconnectedError, match="set MesosHTTPSOn"):
        await client().fetch(await serve_octets(reset))


async def test_a_master_that_closes_early(serve_octets, client):
    async def close_early(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

    with pytest.raises(DisconnectedError, match="broke off"):
        await client().fetch(await serve_octets(close_early))


async def test_what_is_no_http(serve_octets, client):
    async def garbage(reader, writer):
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await reader.read()

    with pytest.raises(DisconnectedError, match=r"no HTTP answer: .*SSH-2.0.*; is this the port of a Mesos master\?$"):
        await client().fetch(await serve_octets(garbage))


async def test_nobody_listens(client):
    with pytest.raises(UnreachableError, match=r"^master 127.0.0.1:\d+: no connection: connection refused$"):
        await client().fetch(free_endpoint())


@pytest.mark.parametrize("host", ["a/b", "user@host", "h?x", "", "h\r\nX: y", "héh"])
async def test_what_is_no_host(client, host):
    with pytest.raises(UnreachableError, match="neither an address nor a host name"):
        await client().fetch(Endpoint(host, 5050))


@pytest.mark.parametrize("host", ["a..b", "a" * 70, ".", "xn--a"])
async def test_names_that_dns_cannot_have_or_does_not_know(client, host, monkeypatch):
    async def nowhere(*_args, **_more):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    # The library encodes the name before the system sees it; what that raises is not its own kind of error.
    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", nowhere)
    with pytest.raises(UnreachableError):
        await client().fetch(Endpoint(host, 5050))


async def test_https_with_the_right_authority(serve, client, certificates):
    async def answer(_request):
        return web.Response(body=STATE)

    endpoint = await serve(answer, tls=certificates.server_context())
    one = client(https=True, ca_file=certificates.path("ca.pem"))
    assert bytes((await one.fetch(endpoint)).body) == STATE


async def test_https_with_another_authority(serve, client, certificates):
    async def answer(_request):
        return web.Response(body=STATE)

    endpoint = await serve(answer, tls=certificates.server_context())
    with pytest.raises(UnreachableError, match=r"its certificate is not accepted \([a-z ]+\); check CACertFile"):
        await client(https=True, ca_file=certificates.path("other.pem")).fetch(endpoint)


async def test_https_for_another_address(serve, client, certificates):
    async def answer(_request):
        return web.Response(body=STATE)

    endpoint = await serve(answer, host="127.0.0.2", tls=certificates.server_context())
    with pytest.raises(UnreachableError, match=r"not accepted \(IP address mismatch, .*\); Masters must give the host"):
        await client(https=True, ca_file=certificates.path("ca.pem")).fetch(endpoint)


async def test_https_without_authority_is_not_verified(serve, client, certificates):
    async def answer(_request):
        return web.Response(body=STATE)

    endpoint = await serve(answer, tls=certificates.server_context())
    assert bytes((await client(https=True).fetch(endpoint)).body) == STATE


async def test_client_certificates(serve, client, certificates):
    async def answer(request):
        return web.Response(text=str(request.transport.get_extra_info("peercert")["subject"]))

    endpoint = await serve(answer, tls=certificates.server_context(client_certificates=True))
    files = {"cert_file": certificates.path("client.pem"), "key_file": certificates.path("client.key")}
    body = (await client(https=True, ca_file=certificates.path("ca.pem"), **files).fetch(endpoint)).body
    assert b"mesos-dns" in body
    with pytest.raises((UnreachableError, DisconnectedError), match="if it wants a client certificate"):
        await client(https=True, ca_file=certificates.path("ca.pem")).fetch(endpoint)


async def test_plain_http_to_a_tls_port_and_the_reverse(serve, client, certificates):
    async def answer(_request):
        return web.Response(body=STATE)

    with pytest.raises(DisconnectedError, match="if it speaks TLS only, set MesosHTTPSOn to true"):
        await client().fetch(await serve(answer, tls=certificates.server_context()))
    with pytest.raises(UnreachableError, match="it does not speak TLS on this port; set MesosHTTPSOn to false"):
        await client(https=True).fetch(await serve(answer))


def test_unusable_certificate_files(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        MasterClient(ClientOptions(https=True, ca_file=str(tmp_path / "none.pem")))
    (tmp_path / "bad.pem").write_text("nothing")
    with pytest.raises(ssl.SSLError):
        MasterClient(ClientOptions(https=True, ca_file=str(tmp_path / "bad.pem")))


async def test_it_can_be_used_again_after_closing(serve, client):
    async def answer(_request):
        return web.Response(body=STATE)

    endpoint = await serve(answer)
    one = client()
    await one.fetch(endpoint)
    assert repr(one) == "MasterClient(http, open=True)"
    await one.close()
    assert repr(one) == "MasterClient(http, open=False)"
    await one.fetch(endpoint)


async def test_remembered_paths_are_bounded(serve, client, monkeypatch):
    monkeypatch.setattr(client_module, "MAX_REMEMBERED_PATHS", 2)

    async def answer(request):
        return web.Response(body=STATE, status=200 if request.path.endswith(".json") else 404)

    one = client()
    for number in range(1, 4):
        await one.fetch(await serve(answer, host=f"127.0.0.{number}"))
    assert len(one._paths) <= 2
