"""The stages are taken by hand: whoever changes them notices it here."""

import json

from bench.bed import agents
from bench.servers import mesos_dns_config, run_tool


def test_all_stages_of_a_state_are_taken(tmp_path):
    state, config, output = tmp_path / "state", tmp_path / "config.json", tmp_path / "out"
    run_tool(("mesos_dns.demo", "state", "--tasks", "10", "--agents", str(agents(10))), state)
    config.write_text(json.dumps(mesos_dns_config(5050, workers=1, refresh=60)))
    run_tool(("bench.breakdown", str(state), str(config)), output)
    found = json.loads(output.read_text())
    assert len(found["seconds"]) == 6
    assert found["names"] > 50
