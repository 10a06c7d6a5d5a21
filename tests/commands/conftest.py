"""What tests of the commands share."""

import json

import pytest


@pytest.fixture
def saved(tmp_path):
    """`saved(state)`: the path of a file with that."""

    def save(state):
        path = tmp_path / "state.json"
        path.write_bytes(state if isinstance(state, bytes) else json.dumps(state).encode())
        return str(path)

    return save
