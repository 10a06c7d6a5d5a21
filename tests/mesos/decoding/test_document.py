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
