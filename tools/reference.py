"""A description in OpenAPI as Markdown: the reference that the site has below docs/http-api.md.

As much of OpenAPI 3.1 as docs/openapi.json uses. Imported by Sphinx, in an environment of its own: nothing but the standard library.
"""

from collections.abc import Iterator
from typing import Any, Final

Json = dict[str, Any]
_METHODS: Final = ("get", "head", "post", "put", "delete", "options")


def reference(document: Json) -> str:
    """A section with each operation and each schema."""
    return "\n".join(_lines(document))


def _lines(document: Json) -> Iterator[str]:
    yield from (
        "## Reference",
        "",
        "Made of [openapi.json](openapi.json), against which the tests hold each answer.",
        "",
    )
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield from _operation(f"{method.upper()} {path}", item[method], item.get("parameters", []), document)
    for name, schema in document["components"]["schemas"].items():
        yield from _schema(name, schema)


def _operation(title: str, told: Json, shared: list[Json], document: Json) -> Iterator[str]:
    yield from (f"### {title}", "", told.get("summary", ""), "", told.get("description", ""), "")
    if parameters := [*shared, *told.get("parameters", [])]:
        yield from ("| Parameter | In | Type | Meaning |", "|---|---|---|---|")
        for each in parameters:
            needed = " (required)" if each.get("required") else ""
            yield _row(f"`{each['name']}`", each["in"] + needed, _type(each["schema"]), each.get("description", ""))
        yield ""
    yield from ("| Status | Body | When |", "|---|---|---|")
    for status, answer in told["responses"].items():
        full = _resolved(answer, document)
        bodies = [
            f"{kind}: {_type(each['schema'])}" if "schema" in each else kind
            for kind, each in full.get("content", {}).items()
        ]
        yield _row(status, ", ".join(bodies), full.get("description", ""))
    yield ""


def _schema(name: str, schema: Json) -> Iterator[str]:
    yield from (f"### Schema {name}", "", schema.get("description", ""), "")
    if "properties" not in schema:
        yield from (_type(schema), "")
        return
    yield from ("| Field | Type | Meaning |", "|---|---|---|")
    required = schema.get("required", [])
    for field, each in schema["properties"].items():
        meaning = each.get("description", "") + ("" if field in required else " (may be missing)")
        yield _row(f"`{field}`", _type(each), meaning.strip())
    yield ""


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def _resolved(told: Json, document: Json) -> Json:
    """What a reference means, or the thing itself."""
    found: Any = document
    if "$ref" not in told:
        return told
    for part in told["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    assert isinstance(found, dict)
    return found


def _type(schema: Json) -> str:
    """In a few words, with a link to each schema that has a name."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#schema-{name.lower()})"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{each}`" if each != "" else "nothing" for each in schema["enum"])
    for word in ("oneOf", "anyOf", "allOf"):
        if word in schema:
            return (" and " if word == "allOf" else " or ").join(map(_type, schema[word]))
    kinds = schema.get("type", "anything")
    return " or ".join(_of(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _of(kind: str, schema: Json) -> str:
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return kind
