"""The journal of changes: what is told, what is only counted, and what is forgotten."""

from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.zone import journal as journals
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.journal import Because, Change, ChangeNotes, Journal

MESOS = names.from_text("mesos")
WHY = Because(("somebody asked for it",))


def owner(n):
    return names.from_text(f"n{n}.mesos")


def gains(*numbers):
    return tuple(owner(n) for n in numbers), (), ((rd.A, (b"\xc0\0\2\1",)),)


def loses(*numbers):
    return tuple(owner(n) for n in numbers), ((rd.A, (b"\xc0\0\2\1",)),), ()


def record(n):
    return owner(n), rd.A, b"\xc0\0\2\1"


def noted(*parts, in_full=True):
    """The changes that these parts, given as serial, complete, changes, make."""
    journal = Journal()
    notes = ChangeNotes(MESOS, journal)
    for serial, complete, *changes in parts:
        notes.add(ZoneChange(serial, changes, complete=complete), WHY, 12.5, in_full=in_full)
    return journal.since(0, 9).changes


def test_a_change_in_one_part():
    (change,) = noted((7, True, gains(1, 2), loses(3)))
    assert change == Change(MESOS, 7, 12.5, WHY, (record(1), record(2)), (record(3),))


def test_a_change_in_several_parts_is_one():
    (change,) = noted((7, False, gains(1)), (7, False, gains(2)), (7, True))
    assert change.appeared == (record(1), record(2))


def test_what_one_part_takes_and_another_gives_back_did_not_change():
    (change,) = noted((7, False, loses(1), gains(2)), (7, True, gains(1)))
    assert (change.appeared, change.vanished) == ((record(2),), ())
    assert noted((7, False, loses(1)), (7, True, gains(1))) == []


def test_a_part_without_changes_is_none():
    assert noted((7, True)) == []


def test_a_first_state_is_counted_only():
    (change,) = noted((7, False, gains(*range(5))), (7, True, gains(6)), in_full=False)
    assert (change.appeared, change.more_appeared) == ((), 6)


def test_a_large_change_is_told_in_part(monkeypatch):
    monkeypatch.setattr(journals, "MOST_RECORDS", 3)
    (change,) = noted((7, False, gains(1, 2)), (7, False, gains(3, 4)), (7, True, gains(5, 6), loses(7)))
    assert change.appeared == (record(1), record(2), record(3))
    assert (change.more_appeared, change.vanished, change.more_vanished) == (3, (record(7),), 0)


# --- since when --------------------------------------------------------------------------------


def journal_of(*serials):
    journal = Journal()
    for serial in serials:
        journal.add(Change(MESOS, serial, 0.0, WHY, (record(serial),)))
    return journal


def serials(found):
    return [change.serial for change in found.changes], found.complete


def test_what_changed_after_a_serial():
    journal = journal_of(5, 6, 9)
    assert serials(journal.since(0, 9)) == ([5, 6, 9], True)
    assert serials(journal.since(5, 9)) == ([6, 9], True)
    assert serials(journal.since(7, 9)) == ([9], True)
    assert serials(journal.since(9, 9)) == ([], True)
    assert serials(Journal().since(3, 9)) == ([], True)


def test_what_is_forgotten_is_told_to_be_missing(monkeypatch):
    monkeypatch.setattr(journals, "MOST_CHANGES", 3)
    journal = journal_of(1, 2, 3, 4, 5)
    assert len(journal) == 3
    assert serials(journal.since(1, 9)) == ([3, 4, 5], False)
    assert serials(journal.since(2, 9)) == ([3, 4, 5], True)
    assert serials(journal.since(4, 9)) == ([5], True)


def test_octets_are_bounded_too(monkeypatch):
    monkeypatch.setattr(journals, "MOST_OCTETS", 10 * journal_of(1).since(0, 9).changes[0].octets)
    assert len(journal_of(*range(1, 10))) == 9
    assert len(journal_of(*range(1, 99))) == 9


def test_one_that_goes_on_knows_what_the_former_knew(monkeypatch):
    monkeypatch.setattr(journals, "MOST_CHANGES", 3)
    journal = Journal()
    journal.inherit(journal_of(1, 2, 3, 4))
    journal.add(Change(MESOS, 5, 0.0, WHY, (record(5),)))
    assert serials(journal.since(0, 9)) == ([3, 4, 5], False)
    assert journal.count == 5
    assert repr(journal).startswith("Journal(3 changes, ")


@given(st.lists(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=6), max_size=8))
def test_replayed_changes_lead_from_one_zone_to_the_other(steps):
    """Who had the names at some serial has them at the end if he takes the changes since."""
    journal, notes, present = Journal(), None, set()
    notes = ChangeNotes(MESOS, journal)
    states = {0: frozenset()}
    for serial, step in enumerate(steps, 1):
        for gain, n in step:
            if gain and n not in present:
                notes.add(ZoneChange(serial, [gains(n)], complete=False), WHY, 0.0)
                present.add(n)
            elif not gain and n in present:
                notes.add(ZoneChange(serial, [loses(n)], complete=False), WHY, 0.0)
                present.remove(n)
        notes.add(ZoneChange(serial, []), WHY, 0.0)
        states[serial] = frozenset(map(record, present))
    for serial, before in states.items():
        after = set(before)
        for change in journal.since(serial, 9).changes:
            assert not after & {*change.appeared}
            assert after >= {*change.vanished}
            after = after - {*change.vanished} | {*change.appeared}
        assert after == states[len(steps)]
