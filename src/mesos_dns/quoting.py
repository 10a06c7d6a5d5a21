"""Texts from outside in messages for people: in quotes, escaped, on one line, and not too long. Pure."""

from typing import Final

#: Characters of a text that a message repeats: enough to find it where it came from.
MAX_QUOTED: Final = 60


def quoted(text: str, limit: int = MAX_QUOTED) -> str:
    r"""The first `limit` characters of `text` in single quotes, `…` behind them if there are more.

    What a terminal would not show as it is (control characters, marks that reverse the direction of writing, lone surrogates)
    becomes `\n`, `\x1b`, `\u202e`; quote and backslash get a backslash in front.
    """
    return f"'{escaped(text[:limit])}'" + "…" * (len(text) > limit)


def escaped(text: str) -> str:
    """`text` as it stands between the quotes of `quoted`, without a limit."""
    if text.isprintable() and "'" not in text and "\\" not in text:
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character in "'\\":
        return "\\" + character
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
