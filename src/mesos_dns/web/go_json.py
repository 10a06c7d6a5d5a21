"""JSON as the Go program lays it out. Pure.

Its library (go-restful) prints with Go's `MarshalIndent`, prefix one blank, indent one blank: every line
but the first begins with a blank, then one blank for each level; nothing follows the last bracket. Go
also escapes `<`, `>`, `&` and the line separators U+2028 and U+2029, and only three control characters
have short escapes. Clients that compare or cut the text find what they know.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

_SPECIAL: Final = re.compile('[\x00-\x1f"\\\\<>&\u2028\u2029]')
_ESCAPES: Final = {
    **{n: f"\\u{n:04x}" for n in (*range(0x20), *map(ord, "<>&\u2028\u2029"))},
    **{ord(c): escape for c, escape in zip('\n\r\t"\\', (r"\n", r"\r", r"\t", r"\"", r"\\"), strict=True)},
}
#: What stands between two values on the lines of a level: no value lies deeper than 16 levels.
_LINES: Final = tuple("\n" + " " * (depth + 1) for depth in range(16))


def line(depth: int) -> str:
    """Give the line break and indentation in front of something at `depth`; the outermost value has depth 0."""
    return _LINES[depth]


def quote(text: str) -> str:
    """`text` as a JSON string."""
    return f'"{text.translate(_ESCAPES)}"' if _SPECIAL.search(text) else f'"{text}"'


def render(value: object, depth: int = 0) -> str:
    """`value` at `depth`: texts, integers, booleans, None, and mappings and sequences of these.

    Raises TypeError for anything else.
    """
    if isinstance(value, str):
        return quote(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        members = [f"{quote(str(key))}: {render(member, depth + 1)}" for key, member in value.items()]
        return _bracketed("{", members, "}", depth)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return _bracketed("[", [render(element, depth + 1) for element in value], "]", depth)
    raise TypeError(f"a {type(value).__name__} has no place in our JSON")


def _bracketed(opening: str, members: Iterable[str], closing: str, depth: int) -> str:
    inner = _LINES[depth + 1]
    text = ("," + inner).join(members)
    return f"{opening}{inner}{text}{_LINES[depth]}{closing}" if text else opening + closing
