import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.web.go_json import line, quote, render


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("nginx.marathon.mesos.", '"nginx.marathon.mesos."'),
        ('q"uote\\', r'"q\"uote\\"'),
        ("<a&b>", r'"\u003ca\u0026b\u003e"'),
        ("\n\r\t", r'"\n\r\t"'),
        ("\b\f\0\x1f\x7f", '"\\u0008\\u000c\\u0000\\u001f\x7f"'),
        ("\u2028\u2029", r'"\u2028\u2029"'),
        ("日本😀", '"日本😀"'),
    ],
)
def test_strings_are_escaped_as_go_does_it(text, quoted):
    assert quote(text) == quoted


def test_the_layout_is_the_one_that_was_recorded():
    assert render([{"host": "leader.mesos.", "ip": "10.7.2.23"}, {"host": "leader.mesos.", "ip": "127.0.0.1"}]) == (
        '[\n  {\n   "host": "leader.mesos.",\n   "ip": "10.7.2.23"\n  },\n'
        '  {\n   "host": "leader.mesos.",\n   "ip": "127.0.0.1"\n  }\n ]'
    )


def test_empty_lists_and_objects_take_one_line():
    assert render({"ZoneResolvers": {}, "Masters": [], "Resolvers": None, "On": True, "Off": False, "TTL": 60}) == (
        '{\n  "ZoneResolvers": {},\n  "Masters": [],\n  "Resolvers": null,\n'
        '  "On": true,\n  "Off": false,\n  "TTL": 60\n }'
    )


def test_deeper_values_are_indented_by_their_depth():
    assert line(3) + render({"a": [1]}, 3) == '\n    {\n     "a": [\n      1\n     ]\n    }'


def test_tuples_are_lists():
    assert render(("a",)) == '[\n  "a"\n ]'


@pytest.mark.parametrize("value", [1.5, b"octets", {1, 2}, object()])
def test_what_has_no_place_in_our_json_is_refused(value):
    with pytest.raises(TypeError, match=f"a {type(value).__name__} has no place"):
        render([value])


_LEAVES = st.none() | st.booleans() | st.integers() | st.text(alphabet=st.characters(exclude_categories=["Cs"]))
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=4), inner), max_leaves=20
)


def _shallow(value: Any, depth: int = 0) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth < 14 and all(_shallow(one, depth + 1) for one in inner)


@given(_VALUES.filter(_shallow))
def test_it_is_json_that_means_the_value(value):
    assert json.loads(render(value)) == value


@given(_VALUES.filter(_shallow))
def test_it_is_the_usual_indentation_with_a_blank_more(value):
    want = json.dumps(value, indent=1, ensure_ascii=False).replace("\n", "\n ")
    assert [len(one) - len(one.lstrip(" ")) for one in render(value).split("\n")] == [
        len(one) - len(one.lstrip(" ")) for one in want.split("\n")
    ]
