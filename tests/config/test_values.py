"""The table of keys agrees with `Config`, and the document with both."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from tests.config.given import FakeHost

from mesos_dns.config import KEYS, Config, ConfigError, Problem, interpret

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = (DOCS / "configuration.md").read_text()
TYPES = {"int": "integer", "bool": "boolean", "string": "string", "strings": "list", "zones": "zones"}


def documented(key):
    """The default of `key` as the document spells it."""
    match key.kind:
        case "string":
            return key.default or '""'
        case "zones":
            return json.dumps(dict(key.default))
    return json.dumps(key.default)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_key_is_documented_with_type_default_and_variable(key):
    row = f"| `{key.name}` | {TYPES[key.kind]} | `{documented(key)}` | `{key.env}` | "
    assert DOCUMENT.count(row) == 1


@pytest.mark.parametrize("key", [key for key in KEYS if key.low or key.high], ids=lambda key: key.name)
def test_bounds_are_documented(key):
    (row,) = re.findall(rf"^\| `{key.name}` \| integer .*$", DOCUMENT, re.MULTILINE)
    unlimited = key.high == 2**31 - 1 and key.name != "TTL"
    bound = {1: "at least 1", 0: "at least 0"}.get(key.low, "or less") if unlimited else f"{key.low} to {key.high}"
    assert bound in row


def test_nothing_else_is_documented():
    rows = re.findall(r"^\| `([\w.]+)` \| (?:integer|boolean|string|list|zones) \|", DOCUMENT, re.MULTILINE)
    assert sorted(rows) == sorted(key.name for key in KEYS)


def test_every_field_has_one_key():
    ours = {"iam", "ensemble", "certificate", "account", "system_resolvers", "http_token"}
    fields = {field.name for field in dataclasses.fields(Config)} - ours
    assert sorted(key.field for key in KEYS if key.field) == sorted(fields)


def test_the_example_is_used_without_a_warning():
    path = DOCS / "examples" / "config.json"
    loaded = interpret(path.read_bytes(), str(path), {}, FakeHost())
    assert loaded.warnings == ()
    assert loaded.config.zone_upstreams == {"corp.example": (("10.1.0.53", 53, ""), ("10.2.0.53", 53, ""))}


def test_problems_say_which_key_from_where_and_what():
    one = Problem("TTL", "environment MESOS_DNS_TTL", "is bad; make it good")
    whole = Problem("", "file c.json", "cannot be read")
    assert str(one) == "TTL (environment MESOS_DNS_TTL): is bad; make it good"
    assert str(whole) == "file c.json: cannot be read"
    assert str(ConfigError((one, whole))) == f"{one}\n{whole}"
