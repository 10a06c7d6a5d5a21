"""The order of files, which pays only as long as it is that of the files that there are."""

from pathlib import Path

from tests.longest import LONGEST, TESTS, place


def test_the_longest_files_are_there():
    assert [name for name in LONGEST if not (TESTS / name).is_file()] == []


def test_they_come_first_and_the_others_stay_as_they_are(request):
    paths = [item.path for item in request.session.items]
    assert paths == sorted(paths, key=place)
    assert place(TESTS / LONGEST[0]) < place(TESTS / LONGEST[1]) < place(Path(__file__))
