"""Runs inside a namespace: the real program, a master, the upstreams; replays one recording.

    python -m tests.integration.golden_driver NAME UPSTREAMS REPORT

UPSTREAMS is a file with what the upstreams know (upstreams.py). Writes the JSON file REPORT: what was got for each recorded item, in the recording's order. It judges
nothing; that is done outside, by pure functions (compare.py).
"""

import asyncio
import contextlib
import ctypes
import http.client
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.integration import client, wire
from tests.integration.masters import Master, follower_view
from tests.integration.recordings import Item, Recording, recording
from tests.integration.upstreams import Knowledge, Upstream, restore

#: Seconds: until the program is ready, until the host names of a state are resolved, until it has stopped.
READY, SETTLED, STOPPED = 60.0, 30.0, 30.0
#: How often what failed is asked again, and seconds before that: an upstream that was too slow is tried again after one or two.
TRIES, PAUSE = 4, 2.0


class Setting:
    """Everything that runs beside the program."""

    def __init__(self, rec: Recording, upstreams: dict[client.Endpoint, Knowledge]) -> None:
        self.rec = rec
        self.upstreams = upstreams
        self.config = rec.effective
        listener = self.config["Listener"]
        self.dns = ("127.0.0.1" if listener == "0.0.0.0" else listener, int(self.config["Port"]))
        http_listener = self.config["HTTPListener"]
        self.http = ("127.0.0.1" if http_listener == "0.0.0.0" else http_listener, int(self.config["HttpPort"]))

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        masters = [Master(self.rec.leader, self.rec.state_text)]
        leader_text = json.loads(self.rec.state_text)["leader"]
        masters += [Master(one, follower_view(leader_text)) for one in self.rec.silent_followers]
        stop_upstreams = _start_upstreams(self.upstreams)
        try:
            yield
        finally:
            stop_upstreams()
            for master in masters:
                master.close()


def _start_upstreams(known: dict[client.Endpoint, Knowledge]) -> Callable[[], None]:
    """The replaying name servers, in a thread with its own loop; call what is returned to stop them."""
    loop = asyncio.new_event_loop()
    servers = {endpoint: Upstream(knowledge) for endpoint, knowledge in known.items()}
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    for endpoint, server in servers.items():
        asyncio.run_coroutine_threadsafe(server.start(endpoint), loop).result(10)

    def stop() -> None:
        for server in servers.values():
            loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)

    return stop


_LIBC = ctypes.CDLL(None)


def _die_with_parent() -> None:
    # The driver may be killed by a time-out; nothing of it must stay behind. PR_SET_PDEATHSIG is 1.
    _LIBC.prctl(1, signal.SIGKILL)


def program_environment() -> dict[str, str]:
    """The environment in which `python -m mesos_dns` finds the package that this test uses."""
    spec = importlib.util.find_spec("mesos_dns")
    if spec is None or spec.origin is None:
        raise RuntimeError("mesos_dns cannot be imported: install the package or set PYTHONPATH=src")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MESOS_DNS_")}
    # Not in the recorded configurations, but as Go does it (docs/migrating.md).
    go = {"MESOS_DNS_PRIVATE_ZONES": "", "MESOS_DNS_FORWARD_NON_RECURSIVE": "true"}
    go |= {"MESOS_DNS_CACHE_OCTETS": "0", "MESOS_DNS_ASK_NEXT_ON_FAILURE": "false"}
    # Two would say the same, and take longer to start.
    go |= {"MESOS_DNS_WORKERS": "1"}
    return {**kept, **go, "PYTHONPATH": str(Path(spec.origin).parent.parent)}


@contextlib.contextmanager
def running_program(rec: Recording, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(  # the child does nothing before exec but this one call
            [sys.executable, "-m", "mesos_dns", "-config=config.json", "-v=0"],
            cwd=rec.folder,
            env=program_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call that takes no lock
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


class Http:
    """A keep-alive HTTP client that sends paths as they are given."""

    def __init__(self, endpoint: client.Endpoint) -> None:
        self.endpoint = endpoint
        self.connection = http.client.HTTPConnection(*endpoint, timeout=READY)

    def get(self, path: str, method: str = "GET", **headers: str) -> dict[str, Any]:
        for attempt in (1, 2):
            try:
                return self._once(path, method, headers)
            except (http.client.HTTPException, OSError) as error:
                self.connection.close()
                if attempt == 2:
                    return {"error": f"{type(error).__name__}: {error}"}
        raise AssertionError("unreachable")

    def _once(self, path: str, method: str, headers: dict[str, str]) -> dict[str, Any]:
        self.connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            self.connection.putheader(name, value)
        if method in ("POST", "PUT", "PATCH"):
            self.connection.putheader("Content-Length", "0")
        self.connection.endheaders()
        response = self.connection.getresponse()
        body = response.read()
        return {
            "status": response.status,
            "content_type": response.headers.get("Content-Type", ""),
            "location": response.headers.get("Location"),
            "body": body.decode("utf-8", "backslashreplace"),
        }


def wait_ready(web: Http, process: subprocess.Popen[bytes]) -> float:
    """Seconds until `/readyz` says 200. Raises RuntimeError with what it said last."""
    began = time.monotonic()
    said: Any = None
    while time.monotonic() - began < READY:
        if process.poll() is not None:
            raise RuntimeError(f"the program ended with {process.returncode} before it was ready")
        said = web.get("/readyz")
        if said.get("status") == 200:
            return time.monotonic() - began
        time.sleep(0.05)
    raise RuntimeError(f"not ready within {READY} s: {said}")


def wait_settled(setting: Setting) -> float:
    """Seconds until the addresses of host names that stand in the state have arrived in the records."""
    addresses = {
        line.split()[0] for line in setting.rec.hosts_text.splitlines() if line and not line.startswith("127.")
    }
    waiting = {}
    for kind, rrtype in (("As", "A"), ("AAAAs", "AAAA")):
        for name, values in setting.rec.records[kind].items():
            for value in addresses & set(values):
                if name == name.lower() and len(name) < 100 and ".." not in name:
                    waiting[value] = (name, rrtype)
    began = time.monotonic()
    while waiting and time.monotonic() - began < SETTLED:
        for value, (name, rrtype) in list(waiting.items()):
            if any(text.endswith(" " + value) for text in client.ask(setting.dns, name, rrtype).get("answer", [])):
                del waiting[value]
        time.sleep(0.05)
    return time.monotonic() - began


def item_query(item: Item) -> bytes:
    given = item.get("with", {})
    return wire.query(
        0,
        item["q"],
        item["t"],
        flags=given.get("flags", 0x0100),
        qclass=given.get("qclass", 1),
        edns=given.get("edns"),
        do=bool(given.get("do")),
    )


def replay_dns(endpoint: client.Endpoint, items: list[Item], domain: str) -> list[wire.Reply]:
    """What each item gives, by its own transport; where the recording has a TCP answer, ours, too.

    The recorded configurations give upstreams two seconds, which ours may miss on a busy machine: what failed, lies outside the domain and has an
    answer in the recording is asked again. In the `domain` (with its dot) nothing has to be waited for, so there a failure is one.
    """
    got = _replay_dns(endpoint, items)
    for _ in range(TRIES):
        failed = [
            index
            for index, item in enumerate(items)
            if _failed(item, got[index]) and not f".{item['q'].rstrip('.').lower()}.".endswith(f".{domain}")
        ]
        if not failed:
            break
        time.sleep(PAUSE)
        for index, reply in zip(failed, _replay_dns(endpoint, [items[index] for index in failed]), strict=True):
            got[index] = reply
    return got


def _failed(item: Item, reply: wire.Reply) -> bool:
    """Whether the program has no answer where there is a recorded one."""
    pairs = [(item, reply), (item.get("tcp", {}), reply.get("tcp", {}))]
    return any(ours.get("rcode") == "SERVFAIL" != theirs.get("rcode", "SERVFAIL") for theirs, ours in pairs)


def _replay_dns(endpoint: client.Endpoint, items: list[Item]) -> list[wire.Reply]:
    over_udp = [index for index, item in enumerate(items) if not item.get("with", {}).get("tcp")]
    got: list[wire.Reply] = [{}] * len(items)
    for index, reply in zip(over_udp, client.ask_all(endpoint, [item_query(items[i]) for i in over_udp]), strict=True):
        got[index] = reply
    for index, item in enumerate(items):
        if item.get("with", {}).get("tcp"):
            got[index] = client.ask_tcp(endpoint, item_query(item))
        elif "tcp" in item:
            got[index]["tcp"] = client.ask_tcp(endpoint, item_query(item))
    return got


def replay_http(web: Http, items: list[Item]) -> list[dict[str, Any]]:
    got = []
    for item in items:
        headers = {}
        if "accept" in item:
            headers["Accept"] = item["accept"]
        if "req_content_type" in item:
            headers["Content-Type"] = item["req_content_type"]
        got.append(web.get(item["path"], item["method"], **headers))
    return got


def replay(setting: Setting, log: Path) -> dict[str, Any]:
    rec = setting.rec
    report: dict[str, Any] = {"seconds": {}}
    with setting.running(), running_program(rec, log) as process:
        web = Http(setting.http)
        report["seconds"]["ready"] = wait_ready(web, process)
        report["seconds"]["settled"] = wait_settled(setting)
        for name in ("axfr", "enumerate", "config", "version"):
            report[name] = web.get(f"/v1/{name}")
        works: dict[str, Callable[[], Any]] = {
            "answers": lambda: replay_dns(setting.dns, rec.read("answers.json"), rec.domain),
            "special": lambda: replay_dns(setting.dns, rec.read("special.json") or [], rec.domain),
            "http": lambda: replay_http(web, rec.read("http.json")),
        }
        for name, work in works.items():
            began = time.monotonic()
            report[name] = work()
            report["seconds"][name] = time.monotonic() - began
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        report["exit"] = process.wait(STOPPED)
        report["seconds"]["stop"] = time.monotonic() - began
    return report


def main() -> int:
    name, upstreams, out = sys.argv[1:]
    log = Path(out).with_suffix(".program.log")
    report = replay(Setting(recording(name), restore(Path(upstreams).read_text())), log)
    report["log"] = log.read_text(errors="backslashreplace")[-20000:]
    Path(out).write_text(json.dumps(report))
    print(json.dumps(report["seconds"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
