"""The running program follows events over HTTPS, with credentials, and as a DC/OS service account.

`refreshSeconds` is an hour in all of them: what starts is served in time only if events tell of it.
"""

import http.server
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.certificates import Certificates
from tests.integration.live import Live
from tests.integration.program import Program, until
from tests.integration.test_events import resolves, source, streams

from mesos_dns.demo.access import Door

RARELY = 3600
PRINCIPAL, SECRET = "dns", "hunter2"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.issued(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def live(certificates: Certificates) -> Iterator[Live]:
    """Masters that speak HTTPS and let in whoever has the right credentials."""
    with Live(masters=2, agents=2, tasks=4, tls=certificates.server_context()) as cluster:
        door = Door(readonly=True, readwrite=True, credentials={PRINCIPAL: SECRET})
        cluster.do(lambda each: setattr(each.settings, "door", door))
        yield cluster


def keys(certificates: Certificates, authority: str = "ca", **more: Any) -> dict[str, Any]:
    return {
        "refreshSeconds": RARELY,
        "stateTimeoutSeconds": 10,
        "mesosHTTPSOn": True,
        "caCertFile": certificates.path(f"{authority}.pem"),
        **more,
    }


def basic(secret: str = SECRET) -> dict[str, Any]:
    return {"mesosAuthentication": "basic", "mesosCredentials": {"principal": PRINCIPAL, "secret": secret}}


def says(program: Program, *texts: str) -> None:
    until(lambda: all(text in program.log() for text in texts), lambda: f"not said: {texts}\n{program.log()}")


def follows_events(live: Live, program: Program, name: str = "late") -> None:
    until(lambda: source(program)["using"] == "events" and source(program)["live"], program.log)
    live.do(lambda each: each.subscribed(1))
    resolves(live, program, name)


def test_over_https_with_credentials(live: Live, certificates: Certificates, tmp_path: Path) -> None:
    with Program(tmp_path, masters=live.endpoints, **keys(certificates, **basic())) as program:
        program.wait_ready()
        follows_events(live, program)
        assert source(program)["failures"] == 0
        assert SECRET not in program.log() + json.dumps(source(program))


def test_another_leader_is_followed_over_https(live: Live, certificates: Certificates, tmp_path: Path) -> None:
    with Program(tmp_path, masters=live.endpoints, **keys(certificates, **basic())) as program:
        program.wait_ready()
        follows_events(live, program)
        live.do(lambda each: each.kill())
        live.do(lambda each: each.take_over(1))
        until(lambda: source(program)["leader"] == live.cluster.endpoints[1], program.log)
        follows_events(live, program, "later")


@pytest.mark.parametrize("how", ["auto", "events"])
def test_a_certificate_of_another_authority(live: Live, certificates: Certificates, tmp_path: Path, how: str) -> None:
    """It is refused, with the reason and what to do; a reload with the right authority is all that is needed."""
    given = keys(certificates, "other", mesosSource=how, **basic())
    with Program(tmp_path, masters=live.endpoints, **given) as program:
        first = "{}:{}".format(*live.endpoints[0])
        says(
            program,
            f"master {first}: its certificate is not accepted (",
            "check CACertFile: it must hold the authority",
        )
        code, text = program.get("/readyz")
        assert code == 503
        assert "its certificate is not accepted" in text
        assert live.do(lambda each: each.subscribers) == []
        program.write_config(program.config | {"caCertFile": certificates.path("ca.pem")})
        os.kill(program.pid, signal.SIGHUP)
        program.wait_ready()
        follows_events(live, program)


def test_credentials_that_the_operator_api_does_not_take(
    live: Live, certificates: Certificates, tmp_path: Path
) -> None:
    """Its realm is another one than that of the state, so the state is polled, and the status says why."""
    live.do(lambda each: setattr(each.settings.door, "readonly", False))
    with Program(tmp_path, masters=live.endpoints, **keys(certificates, **basic("wrong"))) as program:
        program.wait_ready()
        found = source(program)
        assert found["using"] == "polling"
        assert "status 401, realm 'mesos-master-readwrite': it does not accept the credentials" in found["why"]
        assert "the state is polled: " in program.get("/readyz")[1]


# --- DC/OS -------------------------------------------------------------------------------------------


class Login:
    """The login service of a DC/OS cluster. Each token that it gives is another one, and accepted by the masters of `live`."""

    def __init__(self, live: Live) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.given: list[str] = []
        self._live = live
        login = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = login.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def answer(self, asked: dict[str, str]) -> bytes:
        claims = jwt.decode(asked["token"], self.key.public_key(), algorithms=["RS256"])
        assert (asked["uid"], claims["uid"]) == (PRINCIPAL, PRINCIPAL)
        token = jwt.encode({"exp": int(time.time()) + RARELY, "n": len(self.given)}, "k" * 32)
        self.given.append(token)
        self._live.cluster.settings.door.tokens[token] = PRINCIPAL
        return json.dumps({"token": token}).encode()

    def account(self, folder: Path) -> str:
        """The file with the service account."""
        private_key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = folder / "account.json"
        url = f"http://127.0.0.1:{self._server.server_address[1]}/acs/api/v1/auth/login"
        file.write_text(json.dumps({"uid": PRINCIPAL, "private_key": private_key.decode(), "login_endpoint": url}))
        return str(file)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def login(live: Live) -> Iterator[Login]:
    one = Login(live)
    yield one
    one.close()


def test_a_service_account(live: Live, login: Login, certificates: Certificates, tmp_path: Path) -> None:
    """One token serves for all calls and the stream; when it is revoked, the stream goes on and the next one has another."""
    iam = {"mesosAuthentication": "iam", "iamConfigFile": login.account(tmp_path)}
    with Program(tmp_path, masters=live.endpoints, **keys(certificates, **iam)) as program:
        program.wait_ready()
        follows_events(live, program)
        assert (len(login.given), source(program)["failures"]) == (1, 0)
        live.do(lambda each: each.settings.door.tokens.clear())
        resolves(live, program, "revoked")
        assert len(login.given) == 1
        streams(lambda stream: stream.abort())(live)
        until(lambda: len(login.given) == 2, program.log)
        follows_events(live, program, "renewed")
        assert not any(token in program.log() for token in login.given)


def test_a_token_that_is_refused_at_the_subscription_itself(
    live: Live, login: Login, certificates: Certificates, tmp_path: Path
) -> None:
    """It is revoked after the only master has been asked with it who leads: 401 for SUBSCRIBE renews it, and nothing is polled."""
    refused: list[str] = []

    def edit(what: str, document: Any) -> Any:
        tokens = live.cluster.settings.door.tokens
        if what == "GET_MASTER" and not refused:
            refused.extend(tokens)
            tokens.clear()
        return document

    live.do(lambda each: setattr(each.settings, "edit", edit))
    iam = {"mesosAuthentication": "iam", "iamConfigFile": login.account(tmp_path)}
    with Program(tmp_path, masters=live.endpoints[:1], **keys(certificates, **iam)) as program:
        program.wait_ready()
        follows_events(live, program)
        assert refused == login.given[:1]
        assert len(login.given) == 2
        found = source(program)
        assert (found["using"], found["failures"], found["why"]) == ("events", 0, "")
