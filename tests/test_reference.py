"""The reference of the HTTP API that the site has, made of docs/openapi.json. That its links lead somewhere, `make docs` sees."""

import json
import re

import pytest
from tests.test_docs import DOCS
from tools.reference import reference

DOCUMENT = json.loads((DOCS / "openapi.json").read_text())


def test_it_has_every_operation_and_every_schema() -> None:
    operations = {
        f"{method.upper()} {path}"
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method != "parameters"
    }
    schemas = {f"Schema {name}" for name in DOCUMENT["components"]["schemas"]}
    heads = re.findall(r"^### (.*)$", reference(DOCUMENT), re.MULTILINE)
    assert len(heads) == len(set(heads))
    assert set(heads) == operations | schemas


def test_an_operation() -> None:
    answers = {"200": {"$ref": "#/components/responses/Good"}, "204": {"description": "None\nfound"}}
    asked = {"name": "q", "in": "query", "required": True, "schema": {"type": "string"}, "description": "a | b"}
    told = {"get": {"summary": "Ask", "responses": answers}, "parameters": [asked]}
    good = {
        "description": "Found",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}},
    }
    text = reference({"paths": {"/ask": told}, "components": {"responses": {"Good": good}, "schemas": {}}})
    assert "### GET /ask\n\nAsk\n" in text
    assert "| `q` | query (required) | string | a \\| b |\n" in text
    assert "| 200 | application/json: [Answer](#schema-answer) | Found |\n" in text
    assert "| 204 |  | None found |\n" in text


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "string"),
        ({"type": ["string", "null"]}, "string or null"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Task"}}, "list of [Task](#schema-task)"),
        ({"type": "array"}, "list of anything"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "object of integer"),
        ({"type": "object", "additionalProperties": False}, "object"),
        ({"enum": ["", "a", "b"]}, "nothing, `a`, `b`"),
        ({"const": "x"}, "`x`"),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, "string or integer"),
        ({}, "anything"),
    ],
)
def test_types(schema: dict[str, object], words: str) -> None:
    item = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    text = reference({"paths": {}, "components": {"schemas": {"Thing": item}}})
    assert f"| `a` | {words} |  |\n" in text
