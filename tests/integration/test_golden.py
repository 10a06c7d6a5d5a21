"""The real program, replaying what was recorded from the Go program: equal, or explained by one rule.

Each variant runs once, in a namespace of its own (golden_driver.py); the judging is pure (differences.py).
"""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.integration import listing_rules, netns
from tests.integration import recordings as recs
from tests.integration.differences import Judge, Mismatch
from tests.integration.upstreams import dump, learn

REPOSITORY = Path(__file__).parent.parent.parent
#: Seconds for one variant; the largest takes about 10 on a machine with two cores that has nothing else to do.
LONGEST = 240.0

pytestmark = pytest.mark.timeout(2 * LONGEST)
Replays = dict[str, "Future[dict[str, Any]]"]


def replay(name: str, folder: Path) -> dict[str, Any]:
    """The driver's report; raises AssertionError with its output if it failed."""
    report, log = folder / f"{name}.json", folder / f"{name}.driver.log"
    rec = recs.recording(name)
    status = netns.run(
        [netns.python(), "-m", "tests.integration.golden_driver", name, str(folder / "upstreams.json"), str(report)],
        addresses=rec.extra_addresses,
        hosts=rec.hosts_text,
        log=log,
        timeout=LONGEST,
        folder=REPOSITORY,
    )
    program = folder / f"{name}.program.log"
    said = program.read_text(errors="replace")[-3000:] if program.exists() else ""
    assert status == 0, f"the driver failed:\n{log.read_text()[-3000:]}\nthe program said:\n{said}"
    found: dict[str, Any] = json.loads(report.read_text())
    return found


@pytest.fixture(scope="session")
def replays(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, upstreams: Any
) -> Iterator[Replays]:
    reason = netns.missing()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("golden")
    (folder / "upstreams.json").write_text(dump(upstreams))
    with ThreadPoolExecutor(2) as pool:
        # Only what the selected tests look at, in their order.
        wanted = [item.callspec.params["variant"].name for item in request.session.items if _is_replayed(item)]  # type: ignore[attr-defined]
        futures = {name: pool.submit(replay, name, folder) for name in dict.fromkeys(wanted)}
        yield futures
        pool.shutdown(cancel_futures=True)


def _is_replayed(item: pytest.Item) -> bool:
    return "variant" in getattr(getattr(item, "callspec", None), "params", {})


@pytest.fixture(scope="session")
def upstreams() -> Any:
    return learn()


@pytest.fixture(params=recs.recordings(), ids=lambda rec: rec.name, scope="module")
def variant(request: pytest.FixtureRequest, replays: Replays, upstreams: Any) -> tuple[Judge, dict[str, Any]]:
    return Judge(request.param, upstreams), replays[request.param.name].result()


def told(mismatches: list[Mismatch]) -> str:
    """By kind, with counts and the first few of each."""
    kinds = Counter((one.kind, one.why.split(":")[0][:60]) for one in mismatches)
    lines = []
    for (kind, why), count in kinds.most_common(12):
        lines.append(f"{count} x {kind}: {why}")
        first = [one for one in mismatches if one.kind == kind and one.why.startswith(why)][:2]
        lines += [f"      {one.asked}: {one.why[:600]}" for one in first]
    return "\n".join(lines)


def test_records(variant: tuple[Judge, dict[str, Any]]) -> None:
    judge, report = variant
    if judge.rec.read("axfr.json") is None:
        assert report["axfr"]["status"] == 404
        return
    mismatches = list(listing_rules.axfr(judge, report["axfr"]["body"]))
    assert not mismatches, told(mismatches)


def test_enumeration(variant: tuple[Judge, dict[str, Any]]) -> None:
    judge, report = variant
    if judge.rec.read("enumerate.json") is None:
        assert report["enumerate"]["status"] == 404
        return
    mismatches = list(listing_rules.enumerate_(judge, report["enumerate"]["body"]))
    assert not mismatches, told(mismatches)


def test_version_and_configuration(variant: tuple[Judge, dict[str, Any]]) -> None:
    judge, report = variant
    mismatches = judge.version_and_config(report)
    assert not mismatches, told(mismatches)


def test_http(variant: tuple[Judge, dict[str, Any]]) -> None:
    judge, report = variant
    mismatches = judge.web(judge.rec.read("http.json"), report["http"])
    assert not mismatches, told(mismatches)


def test_dns_answers(variant: tuple[Judge, dict[str, Any]]) -> None:
    judge, report = variant
    mismatches = judge.dns(judge.rec.read("answers.json"), report["answers"])
    assert not mismatches, told(mismatches)


def test_dns_answers_to_special_questions(variant: tuple[Judge, dict[str, Any]]) -> None:
    judge, report = variant
    mismatches = judge.dns(judge.rec.read("special.json") or [], report["special"])
    assert not mismatches, told(mismatches)


def test_the_program_ends_well(variant: tuple[Judge, dict[str, Any]]) -> None:
    _, report = variant
    assert report["exit"] == 0, report["log"]
    assert "Traceback" not in report["log"], report["log"]
