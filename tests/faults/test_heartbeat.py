"""A job whose rank dies, stops, fails or is cut off ends on every rank with one line that says so."""

import json
import re
import signal
import time
from threading import Thread

import pytest
from harmed import DIED, PRUNE, SILENT, SLACK, TIMEOUT, TWO, lines, recipe, run_ranks

from adc.training.heartbeat import Monitor

PATIENCE = 20.0
"""Seconds for what takes a tenth of one, on a machine that may do much else; below the timeouts that must not pass."""


def await_that(condition):
    limit = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < limit:
        time.sleep(0.01)


class Job:
    """Monitors of several ranks in this process; what each ended with."""

    def __init__(self, ranks, timeout=0.5):
        self.lines = {}
        self.ranks = [Monitor(rank, ranks, timeout, self._end(rank)) for rank in range(ranks)]
        self.address = self.ranks[0].listen("localhost")
        for monitor in self.ranks[1:]:
            monitor.connect(self.address)

    def _end(self, rank):
        return lambda line: self.lines.setdefault(rank, line)

    def ended(self, ranks):
        await_that(lambda: set(ranks) <= set(self.lines))
        return {rank: self.lines.get(rank, "").replace(self.ranks[0].host, "HOST") for rank in ranks}

    def leave(self):
        leaving = [Thread(target=monitor.leave) for monitor in self.ranks]
        for thread in leaving:
            thread.start()
        for thread in leaving:
            thread.join(PATIENCE)
        return not any(thread.is_alive() for thread in leaving)


def test_ranks_that_live_do_not_alarm():
    job = Job(3)
    time.sleep(1.2)
    assert job.leave() and not job.lines


def test_ranks_that_leave_at_different_times_do_not_alarm():
    job = Job(3, timeout=0.3)
    job.ranks[1].leave()
    first = Thread(target=job.ranks[0].leave)
    first.start()
    time.sleep(0.8)
    assert first.is_alive() and not job.lines
    job.ranks[2].leave()
    first.join(PATIENCE)
    assert not first.is_alive() and not job.lines


@pytest.mark.parametrize(("rank", "others"), [(0, (1, 2)), (1, (0, 2))])
def test_a_failure_is_known_at_once(rank, others):
    job = Job(3, timeout=30.0)
    begin = time.monotonic()
    job.ranks[rank].fail("no space left")
    assert time.monotonic() - begin < PATIENCE
    assert set(job.ended(others).values()) == {f"rank {rank} on HOST: no space left"}


def test_a_failed_rank_that_does_not_end_is_ended():
    job = Job(2)
    job.ranks[1].fail("no space left")
    assert job.ended([1])[1] == "rank 1 on HOST: no space left"


@pytest.mark.parametrize(("rank", "others"), [(0, (1, 2)), (2, (0, 1))])
def test_a_closed_connection_is_a_death(rank, others):
    job = Job(3, timeout=30.0)
    while not all(peer.connection for monitor in job.ranks for peer in monitor._peers):
        time.sleep(0.01)
    job.ranks[rank]._finished = True
    job.ranks[rank]._request("", "")
    for line in job.ended(others).values():
        assert re.fullmatch(rf"rank {rank} on HOST: {DIED}", line)


def test_a_rank_counts_once_it_has_come():
    found, given_up = [], []
    first = Monitor(0, 2, 0.3, found.append)
    address = first.listen("localhost")
    time.sleep(0.8)
    assert not found
    second = Monitor(1, 2, 30.0, given_up.append)
    second.connect(address)
    await_that(lambda: found and given_up)
    (line,) = found
    assert re.fullmatch(r"rank 1 on \S+: not heard of for 0.3 s: its process \(\d+\) is stopped, or .*", line)
    assert [f"rank 1 on {second.host} was given up by the others, which have ended: {line}"] == given_up


def test_an_unreachable_first_rank_is_named():
    server = Monitor(0, 2, 30.0, print)
    address = server.listen("localhost")
    with pytest.raises(ConnectionError, match=r"^heartbeat: rank 1 on .* cannot reach rank 0 at localhost, port 1 in"):
        Monitor(1, 2, 0.3, print).connect(address._replace(names=["localhost"], port=1))


def test_strangers_are_not_heard():
    job = Job(2)
    stranger = Monitor(1, 2, 30.0, print)
    stranger.connect(job.address._replace(token="guess"))
    time.sleep(0.3)
    stranger.fail("a lie")
    time.sleep(0.2)
    assert not job.lines and job.leave()


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan")])
def test_a_timeout_is_above_zero(timeout):
    with pytest.raises(ValueError, match="timeout"):
        Monitor(0, 2, timeout, print)


LONG = "a long step and a long end"
HARM = {
    "kill 0": [{"rank": 0, "how": "kill"}],
    "kill 1, with data workers": [{"rank": 1, "how": "kill"}],
    "stop 0": [{"rank": 0, "how": "stop"}],
    "stop 1": [{"rank": 1, "how": "stop"}],
    "fail 0": [{"rank": 0, "how": "full"}],
    "fail 1": [{"rank": 1, "how": "fail"}],
    LONG: [{"rank": 1, "how": how, "seconds": TIMEOUT + 1} for how in ("step", "end")],
}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """What became of two ranks, one of which was harmed."""
    folder = tmp_path_factory.mktemp("jobs")
    planned = {"prune": (1, PRUNE)}
    for name, harms in HARM.items():
        callbacks = [*(("Harm", harm) for harm in harms), ("Heartbeat", {"timeout": TIMEOUT})]
        argv = recipe(folder, name, *callbacks, workers=int("workers" in name))
        planned[name] = (2, [*argv, *TWO])
    results = run_ranks(folder, planned)
    assert results["prune"][0]["status"] == 0, results["prune"]
    return folder, results


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "cause", "seconds"),
    [
        ("kill 0", f"rank 0: {DIED}", SLACK),
        ("kill 1, with data workers", f"rank 1: {DIED}", SLACK),
        ("fail 0", "rank 0: runs/1.ckpt: No space left on device", SLACK),
        ("fail 1", "rank 1: the loss is not finite", SLACK),
        ("stop 0", f"rank 0: {SILENT}", TIMEOUT + SLACK),
        ("stop 1", f"rank 1: {SILENT}", TIMEOUT + SLACK),
    ],
)
def test_every_rank_says_why_and_ends(jobs, name, cause, seconds):
    how, harmed = name.split(",")[0].split()
    for rank, end in enumerate(jobs[1][name]):
        assert end["status"] == (-signal.SIGKILL if (how, harmed) == ("kill", str(rank)) else 1), end
        assert end["seconds"] < seconds, end
        if end["status"] == 1:
            (line,) = lines(end["output"])
            given_up = f"rank {rank} was given up by the others, which have ended: " if name == f"stop {rank}" else ""
            assert re.fullmatch(f"adc: error: {given_up}{cause}", line), line


@pytest.mark.slow
def test_long_steps_and_unequal_ends_are_no_alarm(jobs):
    folder, ends = jobs
    assert [end["status"] for end in ends[LONG]] == [0, 0], ends[LONG]
    assert [lines(end["output"]) for end in ends[LONG]] == [[], []]
    assert json.loads((folder / LONG / "finished.json").read_text())["updates"]["decoder"] == 24
