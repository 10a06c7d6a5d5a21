"""The table of differences is sound: all of it is needed, all of it is documented."""

import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest
from tests.integration import listing_rules, web_rules
from tests.integration import recordings as recs
from tests.integration.differences import RULES, Judge
from tests.integration.upstreams import learn

#: Every variant asks for both; only values differ.
ALWAYS = ("version", "config-keys")
AXFR_KEYS = ("TTL", "Serial", "RefreshSeconds", "Mname", "Rname", "Domain", "Records")
REPOSITORY = Path(__file__).parent.parent.parent


def test_each_rule_has_a_name_of_its_own_and_a_reason() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.reason.endswith(".") for rule in RULES)


def test_each_rule_stands_in_the_guide_for_people_who_migrate() -> None:
    guide = (REPOSITORY / "docs" / "migrating.md").read_text()
    assert [rule.name for rule in RULES if f"`{rule.name}`" not in guide] == []


@pytest.mark.skipif("MESOS_DNS_GOLDEN" in os.environ, reason="other recordings need not meet every rule")
def test_each_rule_is_needed_by_some_recording() -> None:
    used: Counter[str] = Counter()
    upstreams = learn()
    # The variants about configuration first: few questions, and most of what A-default has.
    for rec in sorted(recs.recordings(), key=lambda one: len(one.read("answers.json"))):
        judge = Judge(rec, upstreams)
        for item in [*rec.read("answers.json"), *rec.read("special.json")]:
            judge.expected(item)
        for item in rec.read("http.json"):
            judge.web_item(item)
        if rec.read("enumerate.json"):
            listing_rules.wanted(judge)
        used += judge.used
        if all(used[rule.name] or rule.name in ALWAYS for rule in RULES):
            break
    assert [rule.name for rule in RULES if not used[rule.name] and rule.name not in ALWAYS] == []
    assert set(used) <= {rule.name for rule in RULES}


def test_recordings_are_there() -> None:
    assert recs.recordings(), f"no recordings in {recs.FOLDER}"


@pytest.mark.parametrize("rec", recs.recordings(), ids=lambda rec: rec.name)
def test_our_reading_of_the_go_layout_is_right(rec: recs.Recording) -> None:
    for raw in sorted(rec.folder.glob("raw_*.txt")):
        head, _, body = raw.read_text().partition("\n\n")
        what = raw.stem.removeprefix("raw_")
        if "application/json" not in head:
            continue
        shown = {
            "axfr": "axfr.json",
            "enumerate": "enumerate.json",
            "config": "config_http.json",
            "version": "version.json",
        }
        value = rec.read(shown[what]) if what in shown else json.loads(body)
        if what == "axfr":  # its keys were sorted on the way into the file
            value = {key: value[key] for key in AXFR_KEYS}
            value["Records"] = {key: value["Records"][key] for key in ("As", "AAAAs", "SRVs")}
        # Serials were zeroed in the files, the path shortened, and value lists sorted; the raw texts are cut.
        body = re.sub(r'Serial": [0-9]+', 'Serial": 0', body)
        body = re.sub(r'"File": "[^"]*/', '"File": "', body)
        lines = body.splitlines()[:-1] or [body]
        mine = web_rules.layout(value).splitlines()[: len(lines)]
        assert [blanks(line) for line in lines] == [blanks(line) for line in mine], raw.name
        assert sum(line in lines for line in mine) > 0.8 * len(mine), raw.name


def blanks(line: str) -> str:
    """The shape of a line: its indentation, and how its values begin and end."""
    return re.sub(r'"(?:[^"\\]|\\.)*"', '""', line).rstrip(",")
