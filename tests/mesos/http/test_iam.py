import base64
import json
import logging
import sys
import time

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mesos_dns.mesos.errors import LoginError, UnauthorizedError
from mesos_dns.mesos.http.client import MasterClient
from mesos_dns.mesos.http.iam import MAX_LOGIN_OCTETS, IamLogin, MissingDependencyError
from mesos_dns.mesos.options import ClientOptions, IamAccount


@pytest.fixture(scope="session")
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def private_key(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.fixture
async def cluster(serve, key, private_key):
    """A master that accepts the newest token of a login service; the fixture is a namespace to play with."""

    class Cluster:
        logins = 0
        life = 3600.0
        valid = ""
        answer = None

    async def login(request):
        given = await request.json()
        claims = jwt.decode(given["token"], key.public_key(), algorithms=["RS256"])
        assert (request.method, given["uid"], claims["uid"]) == ("POST", "dns", "dns")
        assert 3500 < claims["exp"] - time.time() < 3700
        Cluster.logins += 1
        if Cluster.answer is not None:
            return Cluster.answer()
        Cluster.valid = jwt.encode({"exp": int(time.time() + Cluster.life), "n": Cluster.logins}, "k" * 32)
        return web.json_response({"token": Cluster.valid})

    async def master(request):
        accepted = request.headers.get("Authorization") == f"token={Cluster.valid}"
        return web.Response(body=b"{}", status=200 if accepted else 401)

    Cluster.master = await serve(master)
    Cluster.account = IamAccount("dns", private_key, f"http://{await serve(login)}/acs/api/v1/auth/login")
    Cluster.client = MasterClient(ClientOptions(iam=Cluster.account, timeout=30))
    yield Cluster
    await Cluster.client.close()


async def test_one_login_serves_many_requests(cluster):
    for _ in range(3):
        assert (await cluster.client.fetch(cluster.master)).body == b"{}"
    assert cluster.logins == 1


async def test_a_token_that_ends_soon_is_renewed(cluster):
    cluster.life = 30.0
    for _ in range(2):
        await cluster.client.fetch(cluster.master)
    assert cluster.logins == 2


async def test_a_revoked_token_is_renewed_at_once(cluster):
    await cluster.client.fetch(cluster.master)
    cluster.valid = "something else"
    await cluster.client.fetch(cluster.master)
    assert cluster.logins == 2


async def test_a_token_that_is_refused_when_new(cluster):
    cluster.answer = lambda: web.json_response({"token": "opaque"})
    with pytest.raises(UnauthorizedError, match="DC/OS service account"):
        await cluster.client.fetch(cluster.master)
    assert cluster.logins == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda: web.Response(status=401), "status 401, expected 200; check uid and private_key"),
        (lambda: web.Response(status=302, headers={"Location": "/x"}), "status 302"),
        (lambda: web.Response(text="<html>"), "no JSON"),
        (lambda: web.json_response([]), "no usable 'token'"),
        (lambda: web.json_response({"token": "a\r\nb"}), "no usable 'token'"),
        (lambda: web.json_response({"token": ""}), "no usable 'token'"),
        (lambda: web.Response(body=bytes(MAX_LOGIN_OCTETS + 1)), "more than"),
    ],
)
async def test_failed_logins(cluster, answer, message):
    cluster.answer = answer
    with pytest.raises(LoginError, match=message) as failure:
        await cluster.client.fetch(cluster.master)
    assert "/acs/api/v1/auth/login" in str(failure.value)


async def test_a_login_service_that_is_gone(cluster, private_key):
    account = IamAccount("dns", private_key, f"http://{cluster.master}/".replace(str(cluster.master.port), "1"))
    client = MasterClient(ClientOptions(iam=account, timeout=30))
    with pytest.raises(LoginError, match=r"login at http://127.0.0.1:1/ failed"):
        await client.fetch(cluster.master)
    await client.close()


async def test_a_bad_key_is_not_quoted(cluster, caplog):
    caplog.set_level(logging.DEBUG)
    account = IamAccount("dns", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n", cluster.account.login_endpoint)
    client = MasterClient(ClientOptions(iam=account, timeout=30))
    with pytest.raises(LoginError, match="no RSA key in PEM form") as failure:
        await client.fetch(cluster.master)
    await client.close()
    assert "c2VjcmV0" not in str(failure.value) + caplog.text + repr(account)


async def test_https_login_uses_the_same_authority(serve, certificates, private_key):
    async def login(_request):
        return web.json_response({"token": "t"})

    async def master(request):
        return web.Response(text=request.headers["Authorization"])

    tls = certificates.server_context()
    account = IamAccount("dns", private_key, f"https://{await serve(login, tls=tls)}/")
    endpoint = await serve(master, tls=tls)
    trusting = MasterClient(ClientOptions(https=True, ca_file=certificates.path("ca.pem"), iam=account))
    assert (await trusting.fetch(endpoint)).body == b"token=t"
    await trusting.close()
    wary = MasterClient(ClientOptions(https=True, ca_file=certificates.path("other.pem"), iam=account))
    with pytest.raises(LoginError, match="certificate"):
        await wary.fetch(endpoint)
    await wary.close()


def test_without_pyjwt(monkeypatch, private_key):
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(MissingDependencyError, match=r"pip install mesos-dns\[iam\]"):
        IamLogin(IamAccount("dns", private_key, "http://127.0.0.1/"))


def test_its_repr_has_no_secret(private_key):
    login = IamLogin(IamAccount("dns", private_key, "http://127.0.0.1/"))
    assert repr(login) == "IamLogin(uid='dns', url='http://127.0.0.1/')"


@pytest.mark.parametrize("claims", [b"[]", b'{"exp":"x"}', b"{}", b"not json", b'{"exp":null}', b"\xff"])
async def test_tokens_without_readable_end_serve_once(cluster, claims):
    token = f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c2ln"
    cluster.answer = lambda: web.Response(body=json.dumps({"token": token}))
    cluster.valid = token
    for _ in range(2):
        await cluster.client.fetch(cluster.master)
    assert cluster.logins == 2
