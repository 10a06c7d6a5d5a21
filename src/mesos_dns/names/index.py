"""Which tasks a framework has, and which of them may be behind a name. Pure."""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from mesos_dns.mesos.state import TaskKey

#: Tasks of one label that are kept in a tuple, which takes a third of the memory of a dictionary; most labels have fewer.
_FEW: Final = 8


class TasksOfFramework:
    """Keys of one framework's running tasks, oldest first, and by the labels of their names."""

    __slots__ = ("_by_label", "_keys")

    def __init__(self) -> None:
        self._keys: dict[TaskKey, None] = {}
        self._by_label: dict[bytes, tuple[TaskKey, ...] | dict[TaskKey, None]] = {}

    def __repr__(self) -> str:
        return f"TasksOfFramework({len(self._keys)}, labels={len(self._by_label)})"

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[TaskKey]:
        return iter(self._keys)

    def add(self, key: TaskKey, label: bytes) -> None:
        """Take a new task; `label` is that of its name, or of its discovery name if it has one."""
        self._keys[key] = None
        if label in self._by_label:
            self._note(key, label)
        else:
            self._by_label[label] = (key,)

    def rename(self, key: TaskKey, old: bytes, new: bytes) -> None:
        """Give a task another label; its place stays."""
        if old != new:
            self._forget(key, old)
            self._note(key, new)

    def remove(self, key: TaskKey, label: bytes) -> None:
        """Drop a task that has this label."""
        del self._keys[key]
        self._forget(key, label)

    def called(self, label: bytes) -> Collection[TaskKey]:
        """The tasks with this label."""
        return self._by_label.get(label, ())

    def labels(self) -> Iterable[bytes]:
        """Each label once."""
        return self._by_label.keys()

    def _note(self, key: TaskKey, label: bytes) -> None:
        there = self._by_label.get(label, ())
        if isinstance(there, dict):
            there[key] = None
        else:
            there = (*there, key)
            self._by_label[label] = there if len(there) <= _FEW else dict.fromkeys(there)

    def _forget(self, key: TaskKey, label: bytes) -> None:
        there = self._by_label[label]
        if isinstance(there, dict):
            del there[key]
        else:
            there = tuple([one for one in there if one != key])
            self._by_label[label] = there
        if not there:
            del self._by_label[label]
