"""/etc/resolv.conf changes while the real program asks whom it names."""

from pathlib import Path

import pytest
from tests.integration import netns

#: Seconds until the whole of it is given up: a change is taken after some seconds.
PATIENCE = 120


def test_it_is_followed_and_no_question_is_lost(tmp_path: Path) -> None:
    reason = netns.missing()
    if reason:
        pytest.skip(reason)
    log = tmp_path / "driver.log"
    command = [netns.python(), "-m", "tests.integration.resolv_conf_driver", str(tmp_path)]
    status = netns.run(
        command,
        addresses=[],
        hosts="127.0.0.1 localhost\n",
        log=log,
        timeout=PATIENCE,
        folder=Path(__file__).parents[2],
    )
    assert status == 0, log.read_text()
