import asyncio
import json
import socket

from mesos_dns.demo import program, runner, trial
from mesos_dns.demo.agenda import Event
from mesos_dns.demo.catalog import applications
from mesos_dns.demo.simulation import Plan


def options(ports, **changes):
    chosen = {
        "plan": Plan(),
        "base_port": ports[0],
        "dns_port": ports[-2],
        "http_port": ports[-1],
        "server": True,
        "attempt": False,
        "verbose": False,
    }
    return runner.Options(**(chosen | changes))


def test_the_default_cluster_has_an_answer_to_every_question_of_the_guide():
    chosen = applications(Plan().seed, Plan().tasks)

    assert trial.questions(chosen) == list(trial.QUESTIONS)
    assert trial.pages(chosen) == list(trial.PAGES)


def test_a_tiny_cluster_is_asked_only_what_it_has():
    names = {question.name for question in trial.questions(applications(1, 2))}

    assert "nginx.marathon.mesos" in names
    assert "web.marathon.mesos" not in names
    assert "leader.mesos" in names


def test_the_lines_to_try():
    lines = [question.line(8053) for question in trial.QUESTIONS]

    assert lines[0] == "dig @127.0.0.1 -p 8053 nginx.marathon.mesos +noall +answer"
    assert "dig @127.0.0.1 -p 8053 redis-cache.mesos-compose.mesos AAAA +tcp +noall +answer" in lines
    assert trial.PAGES[0].line(8123) == "curl -s http://127.0.0.1:8123/v1/hosts/nginx.marathon.mesos"


def test_the_commentary_is_readable_under_load():
    printed = []
    narrator = runner.Narrator(unlimited=False, out=printed.append)
    narrator.tell(Event(1.0, "started", "before anybody listens"))
    narrator.begin()
    for number in range(9):
        narrator.tell(Event(1.5, "started", f"task {number}"))
    narrator.tell(Event(1.6, "leader", "died"))
    narrator.tell(Event(2.0, "started", "next second"))

    texts = [line.split(maxsplit=2)[-1] for line in printed]
    assert texts == ["task 0", "task 1", "task 2", "task 3", "task 4", "died", "4 more", "next second"]


def test_what_to_try_is_said_again_when_it_has_scrolled_away():
    printed = []
    narrator = runner.Narrator(unlimited=True, out=printed.append)
    narrator.begin("try this")
    for number in range(2 * runner.LINES_OF_SCREEN + 1):
        narrator.tell(Event(1.0, "started", f"task {number}"))
    at = [place for place, line in enumerate(printed) if line == "\ntry this"]
    assert at == [runner.LINES_OF_SCREEN, 2 * runner.LINES_OF_SCREEN + 1]


def test_busy_ports_are_named(base_port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind(("127.0.0.1", base_port))
        tcp.bind(("127.0.0.1", base_port + 1))
        tcp.listen()
        dns, http = udp.getsockname()[1], tcp.getsockname()[1]

        assert f"127.0.0.1 port {dns} (UDP)" in program.busy_ports(dns, http)
        assert f"127.0.0.1 port {http} (TCP)" in program.busy_ports(dns, http)
    assert program.busy_ports(dns, http) == []


async def test_busy_ports_end_the_demo_with_advice(free_ports, capsys):
    ports = free_ports(5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", ports[-2]))
        code = await runner.run(options(ports))

    assert code == 1
    error = capsys.readouterr().err
    assert f"port {ports[-2]} (UDP)" in error
    assert "--ports" in error


async def test_busy_master_ports_do_so_too(base_port, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base_port + 2))
        taken.listen()
        code = await runner.run(options([base_port, 1, 2], server=False))

    assert code == 1
    assert "--base-port" in capsys.readouterr().err


async def test_a_program_that_ends_by_itself_is_reported_with_its_last_words(tmp_path):
    async with program.running(tmp_path, {"Masters": 7}, verbose=False) as child:
        async with asyncio.timeout(30):
            error = await child.ended()

    assert "ended by itself with code" in str(error)
    assert json.loads((tmp_path / "config.json").read_text()) == {"Masters": 7}
    assert "\n    " in str(error), "the end of its log is shown"


def test_the_configuration_stays_on_loopback():
    config = program.configuration([("127.0.0.1", 15050)], 8053, 8123)

    assert (config["Masters"], config["Listener"], config["HTTPListener"]) == (
        ["127.0.0.1:15050"],
        "127.0.0.1",
        "127.0.0.1",
    )
    assert config["ExternalOn"] is False


async def test_a_wrong_answer_is_reported_with_what_was_expected(free_ports):
    question = trial.Question("nobody listens", "x.mesos", "A")

    problem = await trial.ask(question, free_ports(1)[0], deadline=0.0)

    assert problem is not None
    assert "Error" in problem
    assert not await trial.run([], *free_ports(2), seconds=0.0)
