"""The documentation says what the program does: its tables are computed, its commands parsed, its messages compared."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesos_dns import cli, limits, logs, metrics
from mesos_dns.assembly import rules
from mesos_dns.commands.configured import BAD_CONFIG
from mesos_dns.config import KEYS, load
from mesos_dns.dns import message
from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.mesos.identity import DOUBT_SECONDS
from mesos_dns.mesos.polling import MAX_RETRY_SECONDS
from mesos_dns.mesos.silence import QUIET_SECONDS, SILENCE_SECONDS
from mesos_dns.mesos.state import Task
from mesos_dns.names import labels as lb
from mesos_dns.names import skipped
from mesos_dns.names.holds import LOSS_GRACE, SUDDEN_LOSS_TASKS
from mesos_dns.names.naming import Naming
from mesos_dns.names.reconciler import GRACE, SCHEDULER_GRACE
from mesos_dns.names.tasks import MAX_PORTS_PER_TASK
from mesos_dns.serve import answer
from mesos_dns.serve.forward import cache, capability, forwarder, health, keeping, pool, upstreams
from mesos_dns.verdict import EXIT_CODES, STALE_SECONDS
from mesos_dns.workers import handle, protocol

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "mesos_dns"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob(".github/*.md"), ROOT / "changes" / "README.md"])
EXAMPLE = {"MESOS_DNS_MASTERS": "10.0.0.11:5050,10.0.0.12:5050", "MESOS_DNS_LISTENER": "10.0.0.4"}

Row = list[str]


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def tables(page: Path) -> Iterator[tuple[Row, list[Row]]]:
    """Head and rows of each table. Cells in their markdown form; `\\|` is a bar inside a cell."""
    block: list[Row] = []
    for line in [*page.read_text().splitlines(), ""]:
        if line.startswith("|"):
            block.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif block:
            yield block[0], block[2:]
            block = []


def table(page: Path, *head: str) -> list[Row]:
    """The rows of all tables whose first columns are called so."""
    found = [rows for first, rows in tables(page) if tuple(first[: len(head)]) == head]
    assert found, f"{page.name} has no table {head}"
    return [row for rows in found for row in rows]


def code(cell: str) -> str:
    """What stands between backticks; a cell that says `none` is the empty text."""
    if cell == "none":
        return ""
    match = re.fullmatch(r"`([^`]*)`", cell)
    assert match, f"expected `code`, found {cell!r}"
    return match[1]


def fenced(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


# --- names.md ----------------------------------------------------------------------------------

NAMES = DOCS / "names.md"


def test_the_names_of_the_example_are_those_that_its_commands_print() -> None:
    """The first block of commands, as a reader types it, in a shell at the root of the sources."""
    program = f'mesos-dns() {{ {shlex.quote(sys.executable)} -m mesos_dns "$@"; }}\n'
    done = subprocess.run(
        ["/bin/bash", "-c", program + fenced(NAMES, "sh")[0]],
        cwd=ROOT,
        env={"PYTHONPATH": str(SOURCE.parent), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = [(code(name), rrtype, code(data)) for name, rrtype, data, *_ in table(NAMES, "Name", "Type", "Data")]
    assert set(told) == {tuple(line.split(None, 2)) for line in done.stdout.splitlines()}
    assert len(told) == len(set(told)), "a record stands twice"


def test_labels() -> None:
    for text, label, old in table(NAMES, "Text", "Label", "With `EnforceRFC952`"):
        given = lb.rfc1123(code(text)).decode(), lb.rfc952(code(text)).decode()
        assert (code(label), code(old)) == given, text


def test_framework_names() -> None:
    for text, label, old in table(NAMES, "Framework", "Labels", "With `EnforceRFC952`"):
        given = tuple(lb.domain_fragment(code(text), rule).decode() for rule in (lb.rfc1123, lb.rfc952))
        assert (code(label), code(old)) == given, text


def test_long_labels() -> None:
    for label, short in table(NAMES, "Label", "Becomes"):
        assert lb.owner([code(label).encode()], b"\5mesos\0") == names.from_text(f"{code(short)}.mesos")


def test_discovery_names() -> None:
    naming = Naming(rules(load(None, EXAMPLE).config))
    agent = (rd.pack_address("10.0.1.1"),)
    for discovery_name, told in table(NAMES, "Discovery name", "Names"):
        task = Task(id="a.1", name="a", framework_id="f", agent_id="x-S0", discovery_name=code(discovery_name))
        given = [names.to_text(o) for o, _, _ in naming.task(task, b"marathon", agent) if b"\5slave" not in o]
        assert sorted(re.findall("`(.*?)`", told)) == sorted(given), discovery_name


def test_the_bounds_that_names_md_tells() -> None:
    text = NAMES.read_text()
    assert f"beyond the {MAX_PORTS_PER_TASK}th of a task" in text
    assert f"addresses beyond the {limits.MAX_ADDRESSES}th" in text


# --- operations.md -----------------------------------------------------------------------------

OPERATIONS = DOCS / "operations.md"
LOGGING = {"info", "warning", "error", "log", "over"}


def sources() -> list[Path]:
    return [path for path in sorted(SOURCE.rglob("*.py")) if "demo" not in path.relative_to(SOURCE).parts]


def log_calls() -> Iterator[tuple[str, str, list[str]]]:
    """Place, method and texts of each call that logs: `log.warning("...")`, `self._warn.warning("key", "...")`."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            called = ast.unparse(node.func.value)
            if node.func.attr in LOGGING and re.search(r"(^|[._])(log|logger|warn|warnings|problems)\b|_log$", called):
                texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
                yield f"{path.name}:{node.lineno}", node.func.attr, texts


def template(message: str) -> str:
    """A message with what varies as `…`, on one line."""
    return " ".join(re.sub(r"%(\.\d+)?[a-z]", "…", message.replace("\n", " ")).split())


def test_every_log_message_is_explained() -> None:
    told = {code(row[0]) for row in table(OPERATIONS, "Message", "Level")}
    given = {}
    for place, _, texts in log_calls():
        # A rate-limited call has a key in front, which is one word.
        messages = [text for text in texts if " " in text] or texts[-1:]
        if not messages and place.startswith("logs.py"):
            continue  # the wrapper itself
        assert len(messages) == 1, f"{place}: which of {texts} is the message?"
        given[template(messages[0])] = place
    given[template(logs.DROPPED)] = "logs.py"
    assert {text: place for text, place in given.items() if text not in told} == {}, "docs/operations.md lacks them"
    assert told <= given.keys(), "docs/operations.md explains what nobody logs"


def test_what_masters_are_said_to_have_done_is_said_somewhere() -> None:
    source = "".join(path.read_text() for path in sources())
    for cell, *_ in table(OPERATIONS, "Text", "What to do"):
        for text in re.findall("`([^`]+)`", cell):
            for part in text.split("…"):
                assert part.strip(", ") in source, text


def test_every_reason_to_leave_something_out_is_explained() -> None:
    told = {code(row[0]) for row in table(OPERATIONS, "Reason", "What was found")}
    given = set(skipped.REASONS)
    for path in sources():
        text = path.read_text()
        given |= set(re.findall(r'"((?:task|framework|agent|address|ports): [a-zA-Z ]+)"', text))
    assert told == given


def test_the_bounds_that_operations_md_tells() -> None:
    text = OPERATIONS.read_text()
    for told, value in {
        "{} s if it does not tell": GRACE,
        "and nothing says that they ended | {} s |": LOSS_GRACE,
        "more than half of at least {} tasks": SUDDEN_LOSS_TASKS,
        "After {} s without an octet": SILENCE_SECONDS,
        "After {} s without an event or a heartbeat": QUIET_SECONDS,
        "no answer within {} s": SILENCE_SECONDS,
        "when nobody else has answered for {} s": DOUBT_SECONDS,
        "for {} s, in which its scheduler may register again": SCHEDULER_GRACE,
        "killed after {} s": handle.STOP_SECONDS,
        "at most {} s for upstreams": protocol.DRAIN_SECONDS,
        "at most {} s apart": MAX_RETRY_SECONDS,
        "{} questions to upstreams": limits.MAX_FORWARDS,
    }.items():
        assert told.format(f"{value:g}") in text


def test_exit_codes() -> None:
    told = {int(code(row[0])) for row in table(OPERATIONS, "Exit code", "Meaning")}
    assert told == {0, 1, 2, BAD_CONFIG}


# --- forwarding.md -----------------------------------------------------------------------------

FORWARDING = DOCS / "forwarding.md"


def test_the_counters_of_forwarding() -> None:
    told = {code(row[0]) for row in table(FORWARDING, "Counter", "What")}
    # The workers' own counters are declared by then: `forwarder` imports all that forwarding has.
    counters = {name for name, metric in metrics.declared().items() if metric.kind == metrics.COUNTER}
    assert told == {name for name in counters if name.startswith(("forward", "upstream"))}


def test_the_numbers_that_forwarding_md_tells() -> None:
    text = " ".join(FORWARDING.read_text().split())
    usual = f"({health.MIN_DELAY_SECONDS * 1000:g} to {health.MAX_DELAY_SECONDS * 1000:g} ms;"
    run = f"for {health.MIN_RUN_SECONDS:g} s (up to {health.MAX_RUN_SECONDS:g} s if"
    probes = f"the first after {health.PROBE_SECONDS:g} s ({health.REFUSED_PROBE_SECONDS:g} s if it was refused)"
    sockets = f"takes at most {pool.QUESTIONS_PER_SOCKET} questions, within at most {pool.SOCKET_SECONDS:g} s"
    for told in (
        usual,
        run,
        probes,
        sockets,
        f"asked within {upstreams.ALL_ASKED_SECONDS:g} s",
        f"asked after {health.SUSPECT_DELAY_SECONDS * 1000:g} ms",
        f"after {health.MANY_SILENT} different questions for all",
        f"up to {health.MAX_PROBE_SECONDS:g} s and a quarter more",
        f"or {health.MAX_LONE_PROBE_SECONDS:g} s and a quarter while no other may be asked",
        f"{cache._DOWN_SECONDS} s while [all upstreams are down]",
        f"older than {health.STALE_SECONDS:g} s",
        f"for {capability.PLAIN_SECONDS:g} s if that helped",
        f"all do for {capability.PLAIN_AFTER_SILENCE_SECONDS:g} s",
        f"after {capability.MANY_TCP_FAILURES} failures in a row it is not tried for {capability.NO_TCP_SECONDS:g} s",
        f"more than {forwarder.STALE_AFTER_SECONDS:g} s",
        f"| {limits.MAX_FORWARDS} different questions at once |",
        f"| {forwarder.MAX_WAITING} clients' requests that wait |",
        f"| {forwarder.MAX_WAITING_PER_CLIENT} requests of one client address that wait,",
        f"once {forwarder.CROWD_QUESTIONS} different questions are under way or {forwarder.CROWD_WAITING} requests wait |",
        f"| {pool.MOST_SOCKETS_PER_UPSTREAM} UDP sockets to one upstream |",
        f"an answer over {keeping._LARGEST_KEPT // 1024} KiB",
        f"with a TTL of {cache._STALE_TTL_SECONDS},",
        f"at once for {cache._RECHECK_SECONDS} s",
        f"| {cache._FAILURE_SECONDS} s; if the next try fails, too, {2 * cache._FAILURE_SECONDS} s, and so on up to {cache._MOST_FAILURE_SECONDS} s",
        f"at most {cache._MOST_NEGATIVE_SECONDS // 3600} hours",
    ):
        assert told in text


# --- standards.md ------------------------------------------------------------------------------

STANDARDS = DOCS / "standards.md"
#: RFCs that the code names, and that are no standards of DNS or none that a server of this kind follows or not.
OTHER_RFCS = {
    *("863", "1122", "1918", "4193", "4291", "5952", "6298", "8446"),  # addresses, TCP, TLS
    "9460",  # SVCB: an ordinary type
}


def test_every_rfc_that_the_code_names_has_a_line() -> None:
    told = {number for row in table(STANDARDS, "RFC", "About") for number in re.findall(r"\b\d{4}\b", row[0])}
    told |= set(re.findall(r"RFC (\d+)", STANDARDS.read_text()))
    parts = [SOURCE / part for part in ("dns", "zone", "serve")]
    named = {
        number for part in parts for path in part.rglob("*.py") for number in re.findall(r"RFC (\d+)", path.read_text())
    }
    assert named - told - OTHER_RFCS == set()


def test_every_extended_error_has_a_line() -> None:
    rows = table(STANDARDS, "RCODE", "Extended error")
    told = {int(row[1].split()[0]) for row in rows if row[1] != "none"}
    assert told == {value for name, value in vars(message).items() if name.startswith("EDE_")}
    texts = {text for row in rows for text in re.findall("`(.*?)`", row[1])}
    assert texts == {
        value.decode()
        for module in (answer, forwarder)
        for name, value in vars(module).items()
        if name in {"_NO_CLASS", "_NO_TSIG", "_LOOP", "_TOO_MANY", "_UNFIT"}
    }


# --- http-api.md -------------------------------------------------------------------------------


def test_the_keys_that_go_does_not_show() -> None:
    """Ours stand at the end of the table of keys, behind Go's last one; two are the fork's."""
    names_of_keys = [key.name for key in KEYS]
    ours = names_of_keys[names_of_keys.index("MesosAuthentication") + 1 :]
    (row,) = [row for row in table(DOCS / "http-api.md", "Here", "There") if row[0].startswith("`/v1/config` has")]
    told = [word for word in re.findall("`(.*?)`", row[0]) if word not in {"/v1/config", "******"}]
    assert told == ["ReverseDnsOn", "ResolvSubnetFirst", *ours]


# --- all pages ---------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name}: {target}"
        if anchor:
            heads = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, target


def test_the_verdicts_that_operations_md_tells() -> None:
    told = table(DOCS / "operations.md", "Verdict", "Exit code", "When")
    assert {code(word): int(number) for word, number, _ in told} == EXIT_CODES
    assert f"{STALE_SECONDS:.0f} s older than `RefreshSeconds`" in told[1][2]


def commands(page: Path) -> Iterator[list[str]]:
    """Arguments of each `mesos-dns` in fenced `sh` blocks, up to a pipe or a redirection."""
    for block in fenced(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            for at, word in enumerate(words):
                if word.rpartition("/")[2] == "mesos-dns" and (
                    at == 0 or words[at - 1] in {"sudo", "|", "&&"} or "=" in words[at - 1]
                ):
                    rest = words[at + 1 :]
                    end = next((n for n, text in enumerate(rest) if text in {"|", ">", "<", "&&", ";", "&"}), len(rest))
                    yield rest[:end]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_have_the_flags_that_the_program_takes(page: Path) -> None:
    for arguments in commands(page):
        cli.parse(arguments)


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for block in fenced(page, "sh"):
            assert set(re.findall(r"^make ([a-z]+)", block, re.MULTILINE)) <= targets, page.name


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_keys_in_backticks_are_keys(page: Path) -> None:
    """`SOAMname` written as `SoaMname` helps nobody who searches for it."""
    known = {key.name.lower(): key.name for key in KEYS}
    shown_on_purpose = {"refreshSeconds", "USER"}  # the latter as Docker calls a kind of network
    for word in re.findall(r"`([A-Za-z]+)`", page.read_text()):
        spelled = known.get(word.lower())
        assert spelled in {None, word} or word.islower() or word in shown_on_purpose, f"{word}, elsewhere {spelled}"


# --- news fragments ----------------------------------------------------------------------------

CHANGES = ROOT / "changes"
RELEASES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]


def odd(fragment: Path) -> str:
    """What is wrong with a news fragment; the empty text if nothing is."""
    kinds = "|".join(kind["directory"] for kind in RELEASES["type"])
    if not re.fullmatch(rf"[a-z0-9]+(-[a-z0-9]+)*\.({kinds})\.md", fragment.name):
        return f"expected topic.kind.md, a kind being {kinds}"
    text = fragment.read_text()
    if not text.startswith("* ") or not text.endswith("\n"):
        return "expected bullets that begin with `* `, and a newline at the end"
    if any(not line.startswith(("* ", "  ")) for line in text.splitlines()):
        return "further lines of a bullet are indented by two blanks"
    lost = [to for to in re.findall(r"\]\(([^)\s#]+)", text) if "://" not in to and not (ROOT / to).exists()]
    return f"links start at the root: {lost}" if lost else ""


def test_news_fragments_are_found_and_read_as_bullets() -> None:
    """Towncrier passes over a name that it does not understand, and such news would get lost."""
    fragments = [path for path in CHANGES.iterdir() if path.name not in {"README.md", "template.jinja"}]
    assert {path.name: odd(path) for path in fragments if odd(path)} == {}, "see changes/README.md"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("topic.md", "* A.\n"),
        ("topic.bogus.md", "* A.\n"),
        ("To pic.fixed.md", "* A.\n"),
        ("topic.fixed.md", "A.\n"),
        ("topic.fixed.md", "* A."),
        ("topic.fixed.md", "* A.\nB.\n"),
        ("topic.fixed.md", "* [A](../docs/names.md).\n"),
    ],
)
def test_odd_news_fragments(name: str, text: str, tmp_path: Path) -> None:
    fragment = tmp_path / name
    fragment.write_text(text)
    assert odd(fragment)


def test_news_fragments_become_a_section_of_the_changelog(tmp_path: Path) -> None:
    (tmp_path / "changes").mkdir()
    for name in ("pyproject.toml", "CHANGELOG.md", "changes/template.jinja", "changes/README.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "changes" / "spread-answers.fixed.md").write_text("* Each comes first,\n  in turn.\n* And so on.\n")
    (tmp_path / "changes" / "reverse.added.md").write_text("* PTR.\n")
    command = [sys.executable, "-m", "towncrier", "build", "--yes", "--version", "7.0.0", "--date", "2030-01-02"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    before, mark, after = (ROOT / "CHANGELOG.md").read_text().partition(RELEASES["start_string"])
    assert mark, "CHANGELOG.md has lost the line where releases begin"
    new = (
        "\n## 7.0.0 (2030-01-02)\n\n### Added\n\n* PTR.\n\n### Fixed\n\n* Each comes first,\n  in turn.\n* And so on.\n"
    )
    assert (tmp_path / "CHANGELOG.md").read_text() == before + mark + new + after
    assert sorted(path.name for path in (tmp_path / "changes").iterdir()) == ["README.md", "template.jinja"]


# --- files for operators -----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["packaging/config.json", "docs/examples/config.json"])
def test_example_configurations_are_accepted_without_a_warning(path: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mesos_dns", "check", "--config", str(ROOT / path)],
        env={"PYTHONPATH": str(SOURCE.parent), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{ROOT / path}: no problems"]


def checker(binary: str) -> str:
    found = shutil.which(binary) or shutil.which(binary, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        pytest.skip(f"{binary} is not installed")
    return found


@pytest.mark.parametrize(
    ("language", "binary", "name"),
    [("unbound", "unbound-checkconf", "unbound.conf"), ("named", "named-checkconf", "named.conf")],
)
def test_resolvers_understand_their_configuration(language: str, binary: str, name: str, tmp_path: Path) -> None:
    blocks = fenced(DOCS / "install.md", language)
    assert blocks
    check = checker(binary)
    for block in blocks:
        path = tmp_path / name
        path.write_text(block)
        done = subprocess.run([check, str(path)], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
