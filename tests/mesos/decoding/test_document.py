import pytest

from mesos_dns.mesos.decoding.document import StateError, open_document


def opened(body):
    skipped = []
    return open_document(body, lambda reason, example: skipped.append((reason, example))), skipped


def test_elements_stay_as_they_are():
    document, skipped = opened(
        b'{"leader":"m@h:1","slaves":[{"id":"a"}],"frameworks":[{"id":"","name":"","tasks":[{"id" : 1}]},null]}'
    )
    framework, null = document.frameworks
    assert [bytes(task) for task in framework.tasks] == [b'{"id" : 1}']
    assert null is None
    assert [bytes(agent) for agent in document.slaves] == [b'{"id":"a"}']
    assert skipped == []


def test_keys_in_another_case():
    document, _ = opened(b'{"LEADER":"m@h:1","\xc5\xbflaves":[],"Frameworks":[{"id":1}]}')
    assert bytes(document.leader) == b'"m@h:1"'
    assert len(document.frameworks) == 1


def test_a_wrong_member_costs_itself():
    document, skipped = opened(b'{"leader":"m@h:1","slaves":null,"frameworks":[5,null,{"id":1},"x"]}')
    assert len(document.frameworks) == 1
    assert [reason for reason, _ in skipped] == ["framework: bad type"] * 2
    assert "5" in skipped[0][1]


@pytest.mark.parametrize("lists", [b'"slaves":[]', b'"slaves":[],"frameworks":null'])
def test_a_list_that_is_missing_is_not_empty(lists):
    document, skipped = opened(b'{"leader":"m@h:1",%s}' % lists)
    assert (document.frameworks, document.slaves) == (None, [])
    assert skipped == []


def test_tasks_that_are_missing_are_not_none_at_all():
    document, _ = opened(
        b'{"leader":"m@h:1","slaves":[],"frameworks":[{"id":"a"},{"id":"b","tasks":null},{"id":"c","tasks":[]}]}'
    )
    assert [framework.tasks for framework in document.frameworks] == [None, None, []]


@pytest.mark.parametrize(("slaves", "ids"), [(b"slaves", [b'"a"', b"null"]), (b"Slaves", [b'"a"', b'"b"'])])
def test_completed_frameworks(slaves, ids):
    completed = b'"completed_frameworks":[{"id":"a","tasks":[1]},null,{"ID":"b"}]'
    document, skipped = opened(b'{"leader":"m@h:1","%s":[],"frameworks":[],%s}' % (slaves, completed))
    found = [bytes(entry.id) for entry in document.completed_frameworks if entry is not None]
    # What is usual is read in one pass; keys in another case only where the whole needs the slow way.
    assert found == ids
    assert skipped == []


@pytest.mark.parametrize(("completed", "problems"), [(b'[5,{"id":"a"}]', 0), (b'{"id":"a"}', 1), (b"null", 0)])
def test_unusable_completed_frameworks_cost_nothing_else(completed, problems):
    document, skipped = opened(
        b'{"leader":"m@h:1","slaves":[{"id":"s"}],"frameworks":[],"completed_frameworks":%s}' % completed
    )
    assert len(document.slaves) == 1
    assert len(skipped) == problems


def test_an_undecodable_key_costs_its_framework():
    document, skipped = opened(b'{"leader":"m@h:1","slaves":[],"frameworks":[{"\xff":5},{"id":1}]}')
    assert len(document.frameworks) == 1
    assert len(skipped) == 1


@pytest.mark.parametrize(
    ("task", "seen"),
    [
        (rb'{"limits":{"cpus":Infinity,"mem" : -Infinity}}', b'{"limits":{"cpus":null,"mem" : null}}'),
        (rb'{"name":": Infinity,","limits":{"mem":NaN}}', b'{"name":": Infinity,","limits":{"mem":null}}'),
        (rb'{"n":"\ud800x\udc00\uD83D\uDE00\\ud800"}', rb'{"n":"\ufffdx\ufffd\uD83D\uDE00\\ud800"}'),
        (rb'{"n":"\\ud800\udc00"}', rb'{"n":"\\ud800\ufffd"}'),
        (rb'{"n":"\ud800\\udc00"}', rb'{"n":"\ufffd\\udc00"}'),
    ],
)
def test_what_is_nearly_json_is_repaired(task, seen):
    document, skipped = opened(
        b'{"leader":"m@h:1","slaves":[],"frameworks":[{"id":"a","name":"b","tasks":[%s]}]}' % task
    )
    framework = document.frameworks[0]
    assert framework is not None
    assert [bytes(task) for task in framework.tasks] == [seen]
    assert skipped == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", r"found nothing"),
        (b"<html><body>Bad gateway</body></html>", r"found '<html><body>Bad gateway"),
        (b'{"frameworks":[],"slaves":[', r"expected the JSON object of /master/state \(27 octets\)"),
        (b'{"frameworks":[],"slaves":[]}{}', r"trailing characters"),
        (b"[]", r"found '\[\]'"),
        (b"null", r"found 'null'"),
        (b'{"type":"GET_STATE","get_state":{}}', r"no 'frameworks' and no 'slaves' in "),
        (b'{"frameworks":{},"slaves":[]}', r"expected a list as 'frameworks', found '{}'"),
        (b'{"frameworks":[],"slaves":"none"}', r"expected a list as 'slaves', found '\"none\"'"),
        (b'{"frameworks":' + b"[" * 100_000, r"expected the JSON object"),
        (b'{"\xff":1}', r"expected the JSON object"),
    ],
)
def test_what_is_no_state(body, message):
    with pytest.raises(StateError, match=message):
        opened(body)
