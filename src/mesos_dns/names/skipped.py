"""What has no name at present: how much of it, for which reason, and some examples. Pure."""

from typing import Final

#: Why a record of a task or framework is left out.
EMPTY_LABEL: Final = "empty label"
NAME_TOO_LONG: Final = "name too long"
WILDCARD_LABEL: Final = "wildcard label"
SERVICE_LABEL: Final = "service label"
RESERVED_NAME: Final = "reserved name"
TOO_MANY_PORTS: Final = "too many ports"
PORT_OUT_OF_RANGE: Final = "port out of range"
REASONS: Final = (
    EMPTY_LABEL,
    NAME_TOO_LONG,
    WILDCARD_LABEL,
    SERVICE_LABEL,
    RESERVED_NAME,
    TOO_MANY_PORTS,
    PORT_OUT_OF_RANGE,
)

#: Examples of one reason: enough to find the culprit.
_MAX_EXAMPLES: Final = 3
#: Characters of an example: it ends up in one log line.
_MAX_EXAMPLE_TEXT: Final = 160


class Skipped:
    """Counts, for each reason, the tasks and frameworks of which something is left out at present."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, dict[str, None]] = {}

    def __repr__(self) -> str:
        return f"Skipped({self._counts})"

    @property
    def counts(self) -> dict[str, int]:
        """How many tasks and frameworks for each reason; reasons without any are left out."""
        return dict(self._counts)

    def examples(self, reason: str) -> tuple[str, ...]:
        """Up to three of them; fewer, or none, if those that were known have gone."""
        return tuple(self._examples.get(reason, ()))

    def add(self, reason: str, example: str) -> None:
        """Something of the task or framework that `example` names is left out from now on."""
        self._counts[reason] = self._counts.get(reason, 0) + 1
        examples = self._examples.setdefault(reason, {})
        if len(examples) < _MAX_EXAMPLES:
            examples[example[:_MAX_EXAMPLE_TEXT]] = None

    def remove(self, reason: str, example: str) -> None:
        """Take back an `add` with the same arguments: the task or framework has gone or has changed."""
        left = self._counts.get(reason, 0) - 1
        if left > 0:
            self._counts[reason] = left
            self._examples[reason].pop(example[:_MAX_EXAMPLE_TEXT], None)
        else:
            self._counts.pop(reason, None)
            self._examples.pop(reason, None)
