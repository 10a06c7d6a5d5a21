import asyncio
import contextlib
import json
import logging
import threading

import pytest
from aiohttp import web

from mesos_dns.mesos.decoding.v0 import Decoder
from mesos_dns.mesos.detect.static import StaticMasters
from mesos_dns.mesos.errors import NobodyAnsweredError, RedirectError, UnreachableError
from mesos_dns.mesos.http.client import Answer, MasterClient
from mesos_dns.mesos.options import ClientOptions
from mesos_dns.mesos.polling import MAX_RETRY_SECONDS, PollingSource, backoff
from mesos_dns.mesos.source import KnownMasters
from mesos_dns.mesos.state import Endpoint

A, B, C = (Endpoint(f"127.0.0.{number}", 5050) for number in (1, 2, 3))


def state(pid, leader=None, *tasks, **more):
    leader = pid if leader is None else leader
    document = {
        "id": "M1",
        "pid": f"master@{pid}",
        "leader": f"master@{leader}",
        "flags": {},
        "slaves": [{"id": "S0", "pid": "slave(1)@127.0.0.9:5051"}],
        "frameworks": [
            {
                "id": "F",
                "name": "fw",
                "tasks": [{"id": task, "name": task, "slave_id": "S0", "state": "TASK_RUNNING"} for task in tasks],
            }
        ],
        **more,
    }
    return json.dumps(document).encode()


class Failures:
    """The source's chance of the back-off: also tells that a poll failed, since it is asked for after each one."""

    def __init__(self):
        self._happened = asyncio.Queue()

    def __call__(self):
        self._happened.put_nowait(None)
        return 0.0

    async def next(self, count=1):
        while not self._happened.empty():
            self._happened.get_nowait()
        for _ in range(count):
            await self._happened.get()


class ScriptedClient:
    """Masters as a table: endpoint -> bodies or errors, one after the other; the last one stays."""

    def __init__(self, **script):
        self.script = {endpoint: list(answers) for endpoint, answers in script.pop("script").items()}
        self.asked = []
        self.closed = False

    async def fetch(self, endpoint, heard):
        self.asked.append(endpoint)
        heard()
        answers = self.script.get(endpoint) or [UnreachableError(endpoint, "no connection: refused")]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Answer(bytearray(answer), 0.0)

    async def close(self):
        self.closed = True


class Detector:
    """A detector that knows what the test says, and whether anybody looks."""

    status = None

    def __init__(self, *masters, leader=None):
        self.known = KnownMasters(masters, leader)
        self.entered = False
        self._news = asyncio.Event()

    def learns(self, *masters, leader=None):
        self.known = KnownMasters(masters, leader)
        self._news.set()

    async def changed(self, known):
        assert self.entered
        while self.known == known:
            self._news.clear()
            await self._news.wait()

    async def __aenter__(self):
        self.entered = True

    async def __aexit__(self, *_):
        self.entered = False


class HangingClient(ScriptedClient):
    """One where a master whose answer is `None` hangs. `hung` tells who does."""

    def __init__(self, **script):
        super().__init__(**script)
        self.hung = asyncio.Queue()

    async def fetch(self, endpoint, heard):
        if self.script.get(endpoint) == [None]:
            self.asked.append(endpoint)
            self.hung.put_nowait(endpoint)
            await asyncio.get_running_loop().create_future()
        return await super().fetch(endpoint, heard)


@contextlib.asynccontextmanager
async def polling(script, *masters, refresh=0.001, detector=None, **options):
    client = HangingClient(script=script)
    detector = detector or StaticMasters(masters or (A, B, C))
    source = PollingSource(detector, client, refresh_seconds=refresh, **{"chance": lambda: 0.0, **options})
    async with contextlib.aclosing(source.observations()) as observations:
        yield source, client, observations
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "watch the leader"] == []


async def test_a_snapshot_for_each_good_poll_also_without_change():
    async with polling({A: [state(A, A, "t")]}) as (source, client, observations):
        first = await anext(observations)
        second = await anext(observations)
    assert first == second
    assert second.tasks["F", "t", 0] is first.tasks["F", "t", 0]
    assert first.masters == (A, B, C)
    assert client.asked == [A, B, C, A], "the others may speak against the first one that claims to lead"
    assert client.closed
    assert (source.status.leader, source.status.polls, source.status.failures) == (A, 2, 0)
    assert source.status.octets == len(state(A, A, "t"))


async def test_a_failed_poll_yields_nothing_and_the_next_master_is_asked():
    script = {A: [state(A), UnreachableError(A, "no connection: refused")], B: [b"<html>"], C: [b"", b"", state(C)]}
    async with polling(script) as (source, client, observations):
        assert (await anext(observations)).leader == A
        assert (await anext(observations)).leader == C
    assert client.asked == [A, B, C, A, B, C, A, B, C]
    status = source.status
    assert (status.polls, status.failures, status.consecutive_failures, status.leader) == (3, 1, 0, C)
    assert (
        "master 127.0.0.1:5050: no connection: refused; master 127.0.0.2:5050: expected the JSON" in status.last_error
    )


async def test_the_way_to_the_leader():
    script = {A: [RedirectError(A, B, "does not lead")], B: [state(B, C)], C: [state(C)]}
    async with polling(script, A) as (source, client, observations):
        assert (await anext(observations)).leader == C
        assert (await anext(observations)).leader == C
    assert client.asked == [A, B, C, C], "afterwards the leader is asked first"
    assert source.status.leader == C


async def test_failures_back_off_and_news_of_the_masters_end_the_pause(caplog):
    script = {A: [UnreachableError(A, "no connection: refused")], B: [state(B)]}
    failures, detector = Failures(), Detector(A)
    async with polling(script, refresh=3600, detector=detector, chance=failures) as (source, _, observations):
        pending = asyncio.ensure_future(anext(observations))
        await failures.next()
        assert source.status.consecutive_failures == 1
        assert "next try in 1.0 s. master 127.0.0.1:5050: no connection: refused" in caplog.text
        assert not pending.done()
        detector.learns(A, B, leader=B)
        assert (await pending).leader == B
        assert source.status.consecutive_failures == 0


# --- the detector ------------------------------------------------------------------------------


async def test_the_named_leader_is_asked_first_and_the_list_is_that_of_the_detector():
    detector = Detector(A, B, leader=B)
    async with polling({A: [state(A)], B: [state(B)]}, detector=detector) as (_, client, observations):
        first = await anext(observations)
        assert (first.leader, first.masters) == (B, (A, B))
        detector.learns(C, A, leader=A)
        second = await anext(observations)
        assert (second.leader, second.masters) == (A, (C, A))
        assert client.asked == [B, A]


async def test_the_last_leader_is_asked_first_if_the_detector_names_none():
    detector = Detector(A, B, leader=B)
    async with polling({A: [state(A)], B: [state(B)]}, detector=detector) as (_, client, observations):
        await anext(observations)
        detector.learns(A, B)
        await anext(observations)
        assert client.asked == [B, B]


async def test_news_of_the_masters_end_the_pause_between_polls():
    detector = Detector(A)
    async with polling({A: [state(A)]}, refresh=3600, detector=detector) as (_, client, observations):
        await anext(observations)
        detector.learns(A, B)
        assert (await anext(observations)).masters == (A, B)
        assert client.asked == [A, A]


async def test_another_leader_interrupts_a_request_to_one_that_hangs():
    """A stopped leader keeps its connections: nobody waits for its answer once another one leads."""
    detector = Detector(A, B, leader=A)
    async with polling({A: [None], B: [state(B)]}, detector=detector) as (source, client, observations):
        pending = asyncio.ensure_future(anext(observations))
        assert await client.hung.get() == A
        detector.learns(A, B, leader=B)
        assert (await pending).leader == B
        assert client.asked == [A, B]
        assert (source.status.failures, source.status.polls) == (0, 1)


@pytest.mark.parametrize("leader", [None, A], ids=["nobody leads", "the same leads"])
async def test_a_word_that_names_no_other_leader_interrupts_nothing(leader):
    detector = Detector(A, B, leader=A)
    async with polling({A: [None], B: [state(B)]}, detector=detector) as (_, client, observations):
        pending = asyncio.ensure_future(anext(observations))
        await client.hung.get()
        detector.learns(B, A, leader=leader)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not pending.done()
        assert client.asked == [A]
        detector.learns(B, A, leader=B)
        assert (await pending).masters == (B, A)


async def test_closing_ends_a_request_the_connections_and_the_detector():
    detector = Detector(A)
    async with polling({A: [None]}, detector=detector) as (_, client, observations):
        pending = asyncio.ensure_future(anext(observations))
        await client.hung.get()
        assert detector.entered
        pending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pending
    assert client.closed
    assert not detector.entered


# --- what the log says -------------------------------------------------------------------------


async def test_recovery_is_told_as_loud_as_the_failure(caplog):
    gone = UnreachableError(A, "no connection: refused")
    async with polling({A: [gone, gone, state(A), state(A)]}, A) as (_, _, observations):
        await anext(observations)
        await anext(observations)
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 2
    assert lines[1] == "the state of the cluster is read from the leading master 127.0.0.1:5050, after 2 failed polls"


async def test_a_poll_without_end_is_told_and_so_is_its_end(caplog, monkeypatch):
    monkeypatch.setattr("mesos_dns.mesos.polling.SLOW_POLL_SECONDS", 0.001)
    detector = Detector(A, B, leader=A)
    async with polling({A: [None], B: [state(B)]}, detector=detector) as (_, _, observations):
        pending = asyncio.ensure_future(anext(observations))
        while not caplog.records:  # noqa: ASYNC110 - the clock is all that happens
            await asyncio.sleep(0.001)
        detector.learns(A, B, leader=B)
        await pending
    assert caplog.messages == [
        (
            "no state of the cluster for 0.001 s: a master was asked and does not answer; it is still waited for, "
            "the records stay as they are"
        ),
        "the state of the cluster is read from the leading master 127.0.0.2:5050, which took its time",
    ]


async def test_a_failure_that_was_not_told_is_over_in_silence(caplog):
    """The log does not say the same failure twice a minute: then it need not say twice that it is over."""
    gone = UnreachableError(A, "no connection: refused")
    async with polling({A: [state(A), gone, state(A), gone, state(A)]}, A) as (source, _, observations):
        for _ in range(3):
            await anext(observations)
    assert source.status.failures == 2
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 2


async def test_a_state_that_lacks_a_list_is_reported_and_so_is_the_end_of_that(caplog):
    lacking = state(A, slaves=None, frameworks=[{"id": "F", "name": "fw"}])
    async with polling({A: [state(A, A, "t"), lacking, lacking, state(A, A, "t")]}, A) as (_, _, observations):
        for _ in range(4):
            await anext(observations)
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert lines == [
        (
            "the state of master 127.0.0.1:5050 lacks a list that every Mesos writes (slaves, tasks of 1 frameworks): "
            "what is known of it stays as it is; is it a proxy that answers, or a summary?"
        ),
        "the state of master 127.0.0.1:5050 is complete again",
    ]


async def test_a_state_without_frameworks_is_not_suspected_of_filtering_besides(caplog):
    async with polling({A: [state(A), state(A, frameworks=None)]}, A) as (_, _, observations):
        await anext(observations)
        await anext(observations)
    assert "lacks a list that every Mesos writes (frameworks)" in caplog.text
    assert "vanished" not in caplog.text


def test_back_off():
    assert [backoff(failures, 60, 0) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff(1, 60, 1) == 0.5
    assert backoff(10_000, 3600, 0) == MAX_RETRY_SECONDS
    assert backoff(5, 0.01, 0) == 0.01


async def test_the_same_failure_is_logged_once(caplog):
    script = {A: [*[UnreachableError(A, "no connection: refused")] * 20, state(A)]}
    async with polling(script, A) as (source, _, observations):
        await anext(observations)
    assert source.status.failures == 20
    assert caplog.text.count("no state of the cluster could be read yet") == 1


async def test_what_was_left_out_is_logged_once_with_an_example(caplog):
    broken = state(A, A, "good", ["bad"])
    async with polling({A: [broken]}, A) as (_, _, observations):
        assert len((await anext(observations)).tasks) == 1
        await anext(observations)
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert line.startswith(
        "left out 1 parts of the state (task: bad type), for example: expected a string, found a list in "
    )


def used(cpus):
    return {"cpus": cpus, "mem": 128.0 * cpus, "disk": 0.0}


def agent(cpus):
    return {"id": "S0", "pid": "slave(1)@127.0.0.9:5051", "used_resources": used(cpus)}


def framework(cpus, **more):
    return {"id": "F", "name": "fw", "tasks": [], "executors": [], "used_resources": used(cpus), **more}


async def test_an_ordinary_teardown_of_all_frameworks_is_no_news(caplog):
    torn_down = state(A, slaves=[agent(0)], frameworks=[], completed_frameworks=[{"id": "F"}])
    async with polling({A: [state(A, A, "t"), torn_down]}, A) as (_, _, observations):
        await anext(observations)
        assert (await anext(observations)).completed_frameworks == {"F"}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    ("frameworks", "what"), [([], "frameworks"), ([framework(2)], "tasks of 1 frameworks")], ids=["all", "tasks"]
)
async def test_a_filtered_state_is_reported_and_so_is_the_end_of_that(frameworks, what, caplog):
    filtered = state(A, slaves=[agent(2)], frameworks=frameworks)
    whole = state(A, slaves=[agent(2)], frameworks=[framework(2, tasks=[{"id": "t", "state": "TASK_RUNNING"}])])
    async with polling({A: [whole, filtered, filtered, whole]}, A) as (_, _, observations):
        for _ in range(4):
            await anext(observations)
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert lines == [
        (
            f"the state of master 127.0.0.1:5050 conceals {what}: more resources are in use than it shows users of. "
            "What was known of them stays; give the principal of MesosCredentials the rights VIEW_FRAMEWORK and VIEW_TASK"
        ),
        "the state of master 127.0.0.1:5050 conceals nothing any more",
    ]


async def test_hidden_flags_are_reported(caplog):
    hidden = state(A).replace(b'"flags": {}, ', b"").replace(b'"pid": "master@', b'"ex-pid": "')
    async with polling({A: [hidden]}, A) as (_, _, observations):
        await anext(observations)
    # Even if the state does not say whose it is.
    assert "the master 127.0.0.1:5050 conceals its flags" in caplog.text


async def test_decoding_happens_beside_the_event_loop(monkeypatch):
    threads = []

    class Watched(Decoder):
        def decode(self, *args, **kwargs):
            threads.append(threading.current_thread())
            return super().decode(*args, **kwargs)

    monkeypatch.setattr("mesos_dns.mesos.asking.Decoder", Watched)
    async with polling({A: [state(A)]}, A) as (_, _, observations):
        await anext(observations)
    assert threads != []
    assert threading.main_thread() not in threads


async def test_failures_before_the_first_state_and_after_it_read_differently(caplog):
    gone = UnreachableError(A, "no connection: refused")
    async with polling({A: [gone, state(A), gone, state(A)]}, A) as (_, _, observations):
        await anext(observations)
        await anext(observations)
    before, _, after, _ = (record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert before.startswith("no state of the cluster could be read yet; next try in 0.0 s. master 127.0.0.1:5050: ")
    assert after.startswith("no state of the cluster, the records stay as they are; next try in 0.0 s. master")


async def test_reading_once(caplog):
    client = ScriptedClient(script={A: [RedirectError(A, B, "does not lead")], B: [state(B, B, "t", ["bad"])]})
    snapshot = await PollingSource(StaticMasters((A,)), client).once()
    assert (snapshot.leader, list(snapshot.tasks)) == (B, [("F", "t", 0)])
    assert client.asked == [A, B]
    assert client.closed
    assert "left out 1 parts of the state" in caplog.text


async def test_reading_once_in_vain_is_silent(caplog):
    client = ScriptedClient(script={})
    with pytest.raises(
        NobodyAnsweredError, match=r"master 127.0.0.1:5050: no connection: refused; master 127.0.0.2:5050"
    ):
        await PollingSource(StaticMasters((A, B)), client).once()
    assert client.asked == [A, B]
    assert client.closed
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_no_masters(caplog):
    failures = Failures()
    source = PollingSource(StaticMasters(()), ScriptedClient(script={}), refresh_seconds=0.001, chance=failures)
    observations = source.observations()
    pending = asyncio.ensure_future(anext(observations))
    await failures.next()
    pending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pending
    assert "Masters lists none" in caplog.text


async def test_leader_failover_between_real_servers(serve):
    """Three masters of Mesos 1.x: the leader dies, the others redirect to it for a while, then one takes over."""
    leader = None
    dead = set()
    masters = []
    failures = Failures()

    def master(number):
        async def answer(request):
            if number in dead:
                request.transport.abort()
                return web.Response()
            if leader is None:
                return web.Response(status=503, text="No leader elected")
            if leader != number:
                return web.Response(status=307, headers={"Location": f"//{masters[leader]}/master/state"})
            return web.Response(body=state(masters[number], None, "t"), content_type="application/json")

        return answer

    masters.extend([await serve(master(number), host=f"127.0.0.{number + 1}") for number in range(3)])
    leader = 1
    source = PollingSource(
        StaticMasters(masters), MasterClient(ClientOptions(timeout=30)), refresh_seconds=0.01, chance=failures
    )
    observations = source.observations()
    first = await anext(observations)
    assert first.leader == source.status.leader == masters[1]

    dead.add(1)
    pending = asyncio.ensure_future(anext(observations))
    await failures.next(2)
    assert "does not lead, it points to" in source.status.last_error
    leader = None
    await failures.next(2)
    assert "No leader elected" in source.status.last_error
    leader = 2
    second = await pending
    assert second.leader == source.status.leader == masters[2]
    assert second.tasks == first.tasks
    await observations.aclose()
