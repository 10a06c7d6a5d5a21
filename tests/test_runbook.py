"""The runbook has a section for each alert, and no others."""

import re

from tests.test_docs import DOCS
from tools.watched import alerts

RUNBOOK = (DOCS / "runbook.md").read_text()


def test_each_alert_has_its_section_in_the_order_of_the_list() -> None:
    assert re.findall(r"^## (.*)$", RUNBOOK, re.MULTILINE) == [alert.name for alert in alerts()]


def test_each_section_says_what_clients_notice_or_which_alert_it_is_like() -> None:
    sections = RUNBOOK.split("\n## ")[1:]
    assert [
        each.partition("\n")[0] for each in sections if "*Clients notice:*" not in each and "As [Mesos" not in each
    ] == []


def test_what_the_log_is_said_to_tell_is_told() -> None:
    """Texts that a reader searches the log for; those of operations.md are held against the source."""
    operations = (DOCS / "operations.md").read_text()
    for text in ("HTTP: … connections are open", "most are held by …", "this server ends", "without some names: …"):
        assert text in RUNBOOK
        assert all(part in operations for part in text.split("…")), text
