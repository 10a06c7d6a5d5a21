"""Which tasks a framework has, and which of them may be behind a name. Pure."""

from collections.abc import Iterable, Iterator

TaskKey = tuple[str, str, int]


class TasksOfFramework:
    """Keys of one framework's running tasks, oldest first, and by the labels of their names.

    Most labels have one task: that is kept as it is, since a dictionary for each would take as much memory as the keys.
    """

    __slots__ = ("_by_label", "_keys")

    def __init__(self) -> None:
        self._keys: dict[TaskKey, None] = {}
        self._by_label: dict[bytes, TaskKey | dict[TaskKey, None]] = {}

    def __repr__(self) -> str:
        return f"TasksOfFramework({len(self._keys)}, labels={len(self._by_label)})"

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[TaskKey]:
        return iter(self._keys)

    def add(self, key: TaskKey, label: bytes) -> None:
        """Take a task; `label` is that of its name, or of its discovery name if it has one."""
        self._keys[key] = None
        there = self._by_label.setdefault(label, key)
        if isinstance(there, dict):
            there[key] = None
        elif there != key:
            self._by_label[label] = {there: None, key: None}

    def rename(self, key: TaskKey, old: bytes, new: bytes) -> None:
        """Give a task another label; its place stays."""
        self._forget(key, old)
        self.add(key, new)

    def remove(self, key: TaskKey, label: bytes) -> None:
        """Drop a task that was added with this label."""
        self._keys.pop(key, None)
        self._forget(key, label)

    def called(self, label: bytes) -> Iterable[TaskKey]:
        """The tasks with this label."""
        there = self._by_label.get(label)
        if there is None:
            return ()
        return list(there) if isinstance(there, dict) else (there,)

    def labels(self) -> Iterable[bytes]:
        """Each label once."""
        return self._by_label.keys()

    def _forget(self, key: TaskKey, label: bytes) -> None:
        there = self._by_label.get(label)
        if isinstance(there, dict):
            there.pop(key, None)
            if not there:
                del self._by_label[label]
        elif there == key:
            del self._by_label[label]
