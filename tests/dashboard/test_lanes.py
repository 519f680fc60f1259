"""Who comes before whom in the process with the models, and how long the rest takes."""

import json
import multiprocessing
import threading

import pytest

from ecg_ramba.dashboard import results
from ecg_ramba.dashboard.jobs import seconds_left
from ecg_ramba.dashboard.lanes import EXPRESS, LONG, SHORT, lane_of
from ecg_ramba.dashboard.model_process import Worker


class Jobs:
    """A worker at work in a thread, and what it does in which order: jobs send further ones when they begin."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.order, self.then = str(folder), [], {}
        self.ours, theirs = multiprocessing.Pipe()
        monkeypatch.setattr(results, "analyse", self.analyse)
        self.thread = threading.Thread(target=Worker(theirs, None).serve, daemon=True)
        self.theirs = theirs

    def send(self, name, lane, job="analyse"):
        arguments = {"folder": self.folder, "name": name}
        self.ours.send_bytes(json.dumps({"id": name, "job": job, "lane": lane, "arguments": arguments}).encode())

    def analyse(self, loaded, folder, name, report):
        self.order.append(f"{name} begins")
        for one in self.then.pop(name, ()):
            self.send(*one)
        report("predicting", 0, 2)
        report("predicting", 1, 2)
        self.order.append(f"{name} ends")
        return {}

    def run(self, count) -> list[str]:
        """The order of what is done, when so many jobs have ended."""
        self.thread.start()
        outcomes = {}
        while len(outcomes) < count:
            assert self.ours.poll(30), self.order
            message = json.loads(self.ours.recv_bytes())
            if not {"started", "progress"} & set(message):
                outcomes[message.pop("id")] = message
        self.ours.close()
        self.thread.join(30)
        assert not self.thread.is_alive()
        self.outcomes = outcomes
        return self.order


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    return Jobs(tmp_path, monkeypatch)


def test_better_lanes_come_between(jobs):
    jobs.then["day"] = [("minutes", SHORT), ("now", EXPRESS)]
    jobs.send("day", LONG)
    assert jobs.run(3) == ["day begins", "now begins", "now ends", "minutes begins", "minutes ends", "day ends"]


def test_nobody_who_waits_waits_for_the_queue(jobs):
    jobs.then["now"] = [("day", LONG), ("minutes", SHORT)]
    jobs.send("now", EXPRESS)
    assert jobs.run(3) == ["now begins", "now ends", "minutes begins", "minutes ends", "day begins", "day ends"]


def test_a_job_stops_when_it_is_told_to_and_no_other(jobs):
    jobs.then["day"] = [("other", LONG, "stop"), ("now", EXPRESS)]
    jobs.then["now"] = [("day", LONG, "stop")]
    jobs.send("day", LONG)
    jobs.run(2)
    assert jobs.order == ["day begins", "now begins", "now ends"]
    assert jobs.outcomes == {"now": {"result": {}}, "day": {"stopped": True}}


@pytest.mark.parametrize(("seconds", "lane"), [(0.2, SHORT), (120, SHORT), (121, LONG), (86_400, LONG)])
def test_the_lane_of_a_recording(seconds, lane):
    assert lane_of(seconds) == lane


@pytest.mark.parametrize(
    ("passed", "done", "total", "left"), [(0, 0, 5, None), (1, 1, 5, None), (60, 12, 240, 1140), (60, 5, 5, 0)]
)
def test_seconds_left(passed, done, total, left):
    assert seconds_left(passed, done, total) == left
