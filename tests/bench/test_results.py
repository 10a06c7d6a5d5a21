import json

from bench.machine import Machine
from bench.tables import Figure

from bench import results

MACHINE = Machine("CPU", 2, "6.1", "Debian", "CPython 3.11", 4096, 1, 2, 0.5, {"nsd": "NSD version 4.6.1", "x": "1.0"})
NSD = Figure("answers-cpu-1000", "A, UDP", "NSD", (10.0, 12.0, 11.0))


def test_titles_name_the_size_of_the_cluster():
    assert results.title("answers-cpu-10000") == ("Processor time for an answer, µs (10,000 tasks)", "workload")
    assert results.title("answers-cpu-0")[0] == "Processor time for an answer, µs"
    assert results.title("cores") == ("Two workers against one", "")


def test_tables_are_printed_under_their_titles():
    text = results.rendered([NSD])
    assert text.splitlines()[0] == "Processor time for an answer, µs (1,000 tasks)"
    assert "11.0 (10.0-12.0)" in text


def test_new_rows_replace_old_ones_and_leave_the_rest():
    first = results.merged({}, [NSD, Figure("answers-cpu-1000", "SRV, UDP", "NSD", (9.0,))], MACHINE, [])
    second = results.merged(first, [Figure("answers-cpu-1000", "A, UDP", "NSD", (7.0,))], MACHINE, ["knot: none"])
    found = {each["row"]: each["median"] for each in second["tables"]["answers-cpu-1000"]["figures"]}
    assert list(found.items()) == [("A, UDP", 7.0), ("SRV, UDP", 9.0)]
    assert second["skipped"] == ["knot: none"]


def test_results_survive_their_file(tmp_path):
    path = tmp_path / "full.json"
    assert results.load(path) == {}
    kept = results.merged({}, [NSD], MACHINE, [])
    path.write_text(json.dumps(kept))
    assert results.load(path) == kept


def test_a_document_leaves_out_what_is_of_another_checkout(tmp_path):
    document = tmp_path / "performance.md"
    document.write_text("<!-- bench:tail-10 -->\n<!-- /bench:tail-10 -->")
    columns = ("p50", "before", "before/NSD", "ours/before", "10 tasks, before")
    found = [Figure("tail-10", "quiet", column, (1.0,)) for column in columns]
    found.append(Figure("tail-10", "quiet, before", "p50", (1.0,)))
    results.write_document(results.merged({}, found, MACHINE, []), document)
    assert document.read_text().splitlines()[1:-1] == ["|  | p50 |", "|---|---|", "| quiet | 1.00 |"]


def test_a_document_is_filled_and_what_is_missing_is_told(tmp_path):
    document = tmp_path / "performance.md"
    places = ("machine", "answers-cpu-1000", "cores")
    document.write_text("\n".join(f"<!-- bench:{place} -->\n<!-- /bench:{place} -->" for place in places))
    missing = results.write_document(results.merged({}, [NSD], MACHINE, []), document)
    text = document.read_text()
    assert missing == ["cores"]
    assert "| A, UDP | 11.0 (10.0-12.0) |" in text
    assert "NSD version 4.6.1; measured" in text
