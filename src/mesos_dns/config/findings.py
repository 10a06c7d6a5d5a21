"""What rules of the configuration are told, and what they find. Pure: types only."""

from collections.abc import Mapping
from typing import Any, TypeAlias

#: Values by key, as they are read: layers are put together, defaults filled in.
Values: TypeAlias = Mapping[str, Any]
#: A key, what is wrong with its value, and other keys that have to do with it.
Finding: TypeAlias = tuple[str, ...]
