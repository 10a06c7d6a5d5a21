import socket
import threading
import time

import pytest
from bench.following import Following, canonical_name

SEARCH = {"name": "search", "framework": "marathon", "task_id": "search.1234", "slave_id": "20140803-194712-S0"}


def test_the_name_that_only_one_task_has():
    assert canonical_name(SEARCH) == "search-o8w5g-s0.marathon.mesos"


@pytest.mark.parametrize("changed", [{"name": "Se_arch"}, {"framework": "Data Science"}, {"name": "x" * 30}])
def test_names_that_label_rules_change_are_not_waited_for(changed):
    assert canonical_name(SEARCH | changed) == ""


class Master:
    """Starts a task at each call."""

    def __init__(self):
        self.started = 0

    def start_task(self):
        self.started += 1
        return SEARCH | {"seq": self.started, "task_id": f"search.{self.started}"}


class Worker:
    """Knows a name only from the third question on."""

    def __init__(self):
        self.asked = 0
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.answer, daemon=True)

    def answer(self):
        while True:
            query, client = self.socket.recvfrom(512)
            if query == b"end":
                return
            self.asked += 1
            known = self.asked > 2
            header = query[:2] + bytes((0x84, 0 if known else 3)) + query[4:6] + bytes((0, known, 0, 0, 0, 0))
            self.socket.sendto(header + query[12:], client)


def test_a_task_is_found_when_all_workers_answer_for_it():
    workers = [Worker(), Worker()]
    clients = []
    for worker in workers:
        worker.thread.start()
        client = socket.socket(type=socket.SOCK_DGRAM)
        client.connect(worker.socket.getsockname())
        clients.append(client)
    try:
        before = time.monotonic()
        master = Master()
        followed = Following(master, clients)
        followed.run(rate=10, seconds=0.25, pause=0.001)
        # On a busy machine there may be fewer than the rate says.
        assert sorted(task.number for task in followed.found) == list(range(1, master.started + 1))
        assert 1 <= master.started <= 3
        assert followed.lost == 0
        assert all(before < seen < time.monotonic() for task in followed.found for seen in task.seen.values())
        assert all(worker.asked >= 3 for worker in workers)
    finally:
        for worker, client in zip(workers, clients, strict=True):
            client.send(b"end")
            worker.thread.join()
            worker.socket.close()
            client.close()
