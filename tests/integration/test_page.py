"""The page in a real browser, on the real program beside a simulated cluster."""

import json
import re
import signal
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys
from tests.integration import client
from tests.integration.browser import Browser, browsing
from tests.integration.live import Live
from tests.integration.program import Program, free_port, until

from mesos_dns.demo.catalog import Network, Port

#: What whoever may run a task can call it.
HOSTILE = ("<script>document.title='owned'</script>", "\"><img src=x onerror=document.title='owned'>", "web&lt;b&gt;'")
TOKEN = "0a1b" * 8
#: Each view, and what it shows when it is complete; the last one has most of it.
VIEWS = {
    "search?q=gateway": "1 name, 3 tasks.",
    "name?q=gateway.marathon.mesos": "Given by",
    "frameworks": "marathon",
    "agents": "10.0.1.1",
    "": "Workers",
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture(scope="module")
def live() -> Generator[Live]:
    with Live(masters=3, agents=4, tasks=30) as cluster:
        for n in range(3):
            cluster.do(
                lambda c, n=n: c.run("gateway", agent=n, network=Network.HOST, ports=(Port("http", "tcp", 8080 + n),))
            )
        for name in HOSTILE:
            cluster.do(lambda c, name=name: c.run(name, agent=0))
        yield cluster


@pytest.fixture(scope="module")
def program(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Generator[Program]:
    folder = tmp_path_factory.mktemp("page")
    token = folder / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    keys = {"Resolvers": [f"127.0.0.1:{free_port()}"], "HttpTokenFile": str(token)}
    with Program(folder, masters=live.endpoints, workers=2, **keys) as running:
        running.wait_ready()
        until(lambda: "gateway.marathon" in running.get("/v1/axfr?prefix=gateway.marathon")[1], "no gateway")
        for n in range(60):
            client.ask(running.dns, "gateway.marathon.mesos." if n % 5 else "nobody.marathon.mesos.", "A")
        yield running


@pytest.fixture(autouse=True)
def quiet(browser: Browser) -> Iterator[None]:
    """Nothing is complained of, and nobody else is asked, whatever a test does."""
    yield
    assert browser.complaints() == []
    assert [url for url in browser.asked() if not re.match(r"http://(127\.0\.0\.1|page\.localhost):\d+/", url)] == []


def status(program: Program) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(program.get("/v1/status")[1])
    return found


def each_view(browser: Browser, program: Program) -> Iterator[str]:
    """Show one view after the other."""
    browser.open(program.http_port)
    for view, complete in VIEWS.items():
        browser.go(view)
        browser.shows(complete)
        yield view


# --- the overview --------------------------------------------------------------------------------


def test_the_verdict_comes_first(browser: Browser, program: Program, live: Live) -> None:
    browser.open(program.http_port)
    cluster = status(program)["cluster"]
    text = browser.shows(
        "All is well", f"Names of {cluster['tasks']} tasks are served.", "live events", "nothing is held"
    )
    assert text.startswith("✓All is well")
    facts = dict(line.split("\n")[:2] for line in browser.texts(".facts > div"))
    assert facts["Leader"] == live.do(lambda c: c.endpoints[c.leader])
    assert (facts["Tasks"], facts["Agents"], facts["Frameworks"]) == tuple(
        str(cluster[key]) for key in ("tasks", "agents", "frameworks")
    )
    assert re.fullmatch(r"\d+ s old", facts["Data"])
    assert browser.title == "Overview · Mesos-DNS"


def test_what_was_asked_is_drawn_and_told_in_words(browser: Browser, program: Program) -> None:
    browser.open(program.http_port)

    def labels() -> list[str]:
        return browser.attributes("figure svg", "aria-label")

    until(lambda: any("NXDOMAIN" in each and "NXDOMAIN 0" not in each for each in labels()), lambda: str(labels()))
    assert [label.partition(",")[0] for label in labels()] == [
        "Queries by type",
        "Replies by code",
        "Where answers came from",
    ]
    assert any("H" in drawn for drawn in browser.attributes("figure path", "d"))
    browser.picture("overview")


def test_changes_come_as_they_happen(browser: Browser, program: Program, live: Live) -> None:
    browser.open(program.http_port)
    browser.shows("Recent changes", "the first state of the cluster")
    task = live.do(lambda c: c.run("newcomer", agent=1))
    browser.shows(
        f"task '{task.id}' of framework 'marathon' runs", "+ newcomer.marathon.mesos. A", within=".changes li.new"
    )
    assert browser.run("return getComputedStyle(document.querySelector('.changes li.new')).animationName") == "arrive"
    with browser.seen(still=True):
        assert browser.run("return getComputedStyle(document.querySelector('.changes li.new')).animationName") == "none"
    browser.click(".head button")
    live.do(lambda c: c.finish(task))
    browser.shows("Go on (1 new)", within=".head button")
    assert "runs no more" not in browser.text(".changes li:first-child")
    browser.click(".head button")
    browser.shows("newcomer", "runs no more", within=".changes li:first-child")


def test_it_is_small_and_asks_for_nothing_else(browser: Browser, program: Program) -> None:
    browser.asked()
    browser.open(program.http_port)
    browser.shows("All is well", "Recent changes")
    base = f"http://127.0.0.1:{program.http_port}"
    found = [url.removeprefix(base).partition("?")[0] for url in browser.asked()]
    api = {"/v1/status", "/v1/history", "/v1/config", "/v1/changes"}
    files = {path for path in found if path not in api}
    assert all(path == "/" or path.startswith("/page/") for path in files)
    script = "return performance.getEntries().filter((each) => /\\/(page\\/.*)?(#.*)?$/.test(each.name)).map((each) => each.encodedBodySize ?? 0)"
    sizes = browser.run(script)
    assert 20_000 < sum(sizes) < 60_000


# --- who asks ------------------------------------------------------------------------------------


def test_who_asks_is_shown_on_the_machine_itself(browser: Browser, program: Program) -> None:
    browser.open(program.http_port)
    browser.shows("Who asks what", "For this machine itself, or with the token of HttpTokenFile.")
    browser.run("[...document.querySelectorAll('button')].find((each) => each.innerText.startsWith('Watch')).click()")
    browser.shows("Watching; nothing of this is kept.")
    client.ask(program.dns, "gateway.marathon.mesos.", "A")
    row = browser.shows(
        "127.0.0.1", "gateway.marathon.mesos. A NOERROR A 10.0.1.", within="[aria-label=Questions] tbody"
    )
    assert row.endswith("udp")
    browser.run("[...document.querySelectorAll('button')].find((each) => each.innerText === 'Stop').click()")
    browser.shows("Stopped.")


def test_elsewhere_a_token_is_needed(browser: Browser, program: Program) -> None:
    """Under another name, to which a foreign page might lead: browsers have all below `localhost` lead here."""
    browser.open(program.http_port, host="page.localhost")
    browser.shows("Who asks what")
    click = "[...document.querySelectorAll('button')].find((each) => each.innerText.startsWith('Watch')).click()"
    browser.run(click)
    browser.shows("the request asks for this server by a name or address (Host) that is not localhost")
    browser.picture("token")
    browser.all("#token")[0].send_keys("hunter2" * 4, Keys.ENTER)
    browser.shows("the token is not the one in HttpTokenFile")
    browser.all("#token")[0].clear()
    browser.all("#token")[0].send_keys(TOKEN, Keys.ENTER)
    browser.shows("Watching; nothing of this is kept.")
    assert browser.run("return [sessionStorage.token, localStorage.length, document.cookie]") == [TOKEN, 0, ""]
    assert [each for each in browser.complaints() if "403" not in each] == []


# --- search, names, lists ------------------------------------------------------------------------


def test_searching_with_the_keyboard_alone(browser: Browser, program: Program) -> None:
    browser.open(program.http_port)
    browser.shows("All is well")
    browser.press("/")
    assert browser.focused.startswith("INPUT q")
    browser.press("gatewa")
    browser.shows("1 name, 3 tasks.", "gateway.marathon.mesos. A")
    assert browser.focused.startswith("INPUT q")
    browser.press("y")
    browser.until(lambda: browser.view == "search?q=gateway", "it does not follow")
    browser.picture("search")
    browser.all(".names a")[0].send_keys(Keys.ENTER)
    browser.shows("gateway.marathon.mesos. has", "Given by")
    browser.until(lambda: browser.focused.startswith("H1"), "the heading has no focus")
    browser.back()
    browser.shows("1 name, 3 tasks.")
    browser.back()
    browser.shows("All is well", "Recent changes")


def test_ports_are_found_among_all_names(browser: Browser, program: Program) -> None:
    browser.open(program.http_port, "search?q=_http._gat")
    browser.shows("_http._gateway._tcp.marathon.mesos. SRV")
    browser.go("search?q=10.0.")
    browser.shows("4 agents")
    browser.go("search?q=nothing-of-that-kind")
    browser.shows("Nothing is called so.", "Why it has no answer: nothing-of-that-kind")


def test_a_name(browser: Browser, program: Program) -> None:
    browser.open(program.http_port, "name?q=gateway.marathon.mesos")
    browser.shows("gateway.marathon.mesos.", "status: NOERROR", "Given by")
    records = json.loads(program.get("/v1/hosts/gateway.marathon.mesos")[1])
    answer = browser.text("pre")
    assert all(record["ip"] in answer for record in records)
    lines = browser.texts(".copyable code")
    assert lines[0] == f"dig @127.0.0.1 -p {program.dns_port} gateway.marathon.mesos. A"
    assert f"curl -s http://127.0.0.1:{program.http_port}/v1/hosts/gateway.marathon.mesos." in lines
    browser.click(".copyable button")
    browser.shows("Copied", within=".copyable button")
    browser.shows("All is well", within="header")
    browser.picture("name")


def test_a_service(browser: Browser, program: Program) -> None:
    browser.open(program.http_port, "name?q=_gateway._tcp.marathon.mesos")
    browser.shows("status: NOERROR", "SRV")
    assert f"dig @127.0.0.1 -p {program.dns_port} _gateway._tcp.marathon.mesos. SRV" in browser.texts(".copyable code")


def test_a_name_that_does_not_exist(browser: Browser, program: Program) -> None:
    browser.open(program.http_port, "name?q=gatewya.marathon.mesos")
    browser.shows("does not exist", "status: NXDOMAIN", "Alike: gateway.marathon.mesos.")
    browser.click(".card a[href*='q=gateway.marathon']")
    browser.shows("gateway.marathon.mesos. has")


@pytest.mark.parametrize("name", ["a..b", "x" * 300, "<b>", "''\"`$(x)"])
def test_what_is_no_name(browser: Browser, program: Program, name: str) -> None:
    browser.open(program.http_port)
    browser.run("location.hash = `#/name?${new URLSearchParams({ q: arguments[0] })}`", name)
    browser.shows("Ask for it")


def test_frameworks_and_agents_with_their_tasks(browser: Browser, program: Program) -> None:
    browser.open(program.http_port, "frameworks")
    browser.shows("1 to ", "marathon")
    browser.click("td a[href*='framework?id']")
    browser.shows("Framework ", "1 to ")
    browser.picture("framework")
    browser.go("agents")
    browser.shows("1 to 4 of 4")
    browser.click("td a[href*='agent?id']")
    browser.shows("Agent 10.", "marathon")
    assert browser.texts("header nav a[aria-current]") == ["Agents"]


def test_lists_have_pages(browser: Browser, program: Program) -> None:
    identifier = json.loads(program.get("/v1/search?q=marathon&limit=1")[1])["frameworks"][0]["id"]
    browser.open(program.http_port, f"framework?id={identifier}&offset=2")
    browser.shows("3 to ", "← Before")
    browser.click("nav.pages a")
    browser.shows("1 to ")


def test_texts_of_the_cluster_are_text(browser: Browser, program: Program) -> None:
    tasks = json.loads(program.get("/v1/search?q=owned")[1])["tasks"]
    assert {each["name"] for each in tasks} == {*HOSTILE[:2]}
    for view in (f"framework?id={tasks[0]['framework_id']}", f"agent?id={tasks[0]['agent_id']}", "search?q=owned", ""):
        browser.open(program.http_port, view)
        browser.shows(*([each["id"] for each in tasks] if view else ["All is well"]))
        assert browser.run("return document.querySelectorAll('main img, main script, main b').length") == 0
        assert "owned" not in browser.title
    browser.open(program.http_port)
    for text in HOSTILE:
        browser.run("location.hash = `#/name?${new URLSearchParams({ q: arguments[0] })}`", text)
        browser.shows("Ask for it")
        browser.run("location.hash = `#/search?${new URLSearchParams({ q: arguments[0] })}`", text)
        browser.shows("Search: " + text)
    assert browser.run("return document.querySelectorAll('main img, main script, main b').length") == 0


# --- for everybody -------------------------------------------------------------------------------


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everything_can_be_read(browser: Browser, program: Program, dark: bool) -> None:
    with browser.seen(dark=dark):
        for _ in each_view(browser, program):
            assert browser.faint() == []
        browser.picture(f"overview-{'dark' if dark else 'light'}")


def test_a_small_telephone(browser: Browser, program: Program) -> None:
    with browser.seen(width=320, height=640):
        for view in each_view(browser, program):
            assert browser.run("return document.documentElement.scrollWidth") <= 320, view
        browser.picture("overview-phone")


def test_its_structure_can_be_heard(browser: Browser, program: Program) -> None:
    for view in each_view(browser, program):
        assert browser.flaws() == [], view
    browser.open(program.http_port)
    browser.shows("All is well")
    browser.press(Keys.TAB)
    assert browser.focused == "A Skip to the content"
    browser.press(Keys.ENTER)
    assert browser.focused.startswith("MAIN")


# --- when something is wrong ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Generator[Program]:
    """A program that has never seen a master, and lists no names."""
    with Program(tmp_path_factory.mktemp("lost"), masters=[("127.0.0.1", free_port())], EnumerationOn=False) as running:
        until(lambda: running.get("/healthz")[0] == 200, "it never listens")
        yield running


def test_without_a_leader(browser: Browser, lost: Program) -> None:
    browser.open(lost.http_port)
    browser.shows(
        "Down", "Names are not served as they should be.", "no state of the cluster yet", "EnumerationOn is off"
    )
    browser.until(lambda: browser.title == "DOWN · Overview · Mesos-DNS", "the title does not tell")
    assert browser.faint() == []
    browser.picture("down")
    for view, told in {
        "search?q=x": "lists no names",
        "agents": "lists no names",
        "name?q=x.mesos": "explains no names",
    }.items():
        browser.go(view)
        browser.shows(f"This server {told}: EnumerationOn is off.")
        browser.shows("Down", within="header")


def test_a_cluster_that_comes_and_is_empty(browser: Browser, lost: Program) -> None:
    host, _, port = lost.config["masters"][0].rpartition(":")
    browser.open(lost.http_port)
    browser.shows("Down")
    with Live(masters=1, agents=1, tasks=0, endpoints=[(host, int(port))]):
        lost.wait_ready()
        browser.look_again()
        browser.shows("All is well", "Names of 0 tasks are served.")


def test_degraded_and_then_silent(browser: Browser, program: Program) -> None:
    """The last of this file: it ends the program."""
    browser.open(program.http_port)
    browser.shows("All is well")
    program.write_config("{")
    assert program.process
    program.process.send_signal(signal.SIGHUP)
    browser.until(lambda: status(program)["verdict"] == "degraded", "it takes anything")
    browser.look_again()
    browser.shows("Degraded", "the new configuration was not taken")
    assert browser.faint() == []
    browser.picture("degraded")
    assert browser.complaints() == []
    program.end()
    browser.look_again()
    browser.shows("Mesos-DNS does not answer this page, for", within="#lost")
    assert "Degraded" in browser.text()
    browser.picture("silent")
    # Whatever it tries now fails, and the console says so.
    assert all(
        "ERR_CONNECTION_REFUSED" in each or "Failed to load" in each or "ERR_" in each for each in browser.complaints()
    )
