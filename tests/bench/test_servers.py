import pytest
from bench.servers import OURS, ROOT, UnavailableError, mesos_dns_command, other_checkout, run_tool


def checkout(root):
    package = root / "src" / "mesos_dns"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text("print('the other one')")
    return root


def test_the_program_of_another_checkout_runs(tmp_path):
    other = other_checkout(checkout(tmp_path / "other"))
    run_tool(mesos_dns_command()[2:], tmp_path / "out", other)
    assert (tmp_path / "out").read_text() == "the other one\n"


def test_a_folder_without_the_program_is_refused(tmp_path):
    with pytest.raises(UnavailableError, match="expected a checkout of this project, with src/mesos_dns in it"):
        other_checkout(tmp_path)


def test_this_checkout_has_its_rows_without_a_mark(tmp_path):
    assert OURS.titled("10,000 tasks") == "10,000 tasks"
    assert other_checkout(checkout(tmp_path)).titled("10,000 tasks") == "10,000 tasks, before"
    assert OURS.environment["PYTHONPATH"].startswith(str(ROOT / "src"))
