"""adc run: signals go to the step that runs, whose status it ends with."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

STEP = """
import os, pathlib, signal, sys, time
from adc import runs

pathlib.Path("step.pid").write_text(str(os.getpid()))
mode, got = pathlib.Path("mode").read_text(), []
status = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGUSR1: 75}

def note(number, frame):
    got.append(number)
    with open("got.txt", "a") as file:
        file.write(signal.Signals(number).name + "\\n")

for number in status:
    signal.signal(number, note)
pathlib.Path("ready").touch()
while mode != "stopped" and not got or mode == "stubborn":
    time.sleep(0.01)
if mode == "finishing":
    runs.begin("runs/1_first", sys.argv[3::2])
    runs.finish("runs/1_first")
    sys.exit(0)
time.sleep(0.3)
sys.exit(status[got[0]] if got else 75)
"""


@pytest.fixture
def run(tmp_path):
    """Starts ``adc run`` on two recipes whose steps are stand-ins, in a session of its own."""
    for name in ("1_first", "2_second"):
        content = {"model": {}, "trainer": {"default_root_dir": f"runs/{name}"}}
        (tmp_path / "recipes").mkdir(exist_ok=True)
        (tmp_path / "recipes" / f"{name}.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "step.py").write_text(STEP)
    program = (
        "from adc import cli; from adc.cli import run; import sys; "
        "run.PROGRAM = [sys.executable, 'step.py']; run.checking.check = lambda _: None; "
        "run.Relay.PATIENCE_SECONDS = 1.0; cli.main(['run', 'recipes'])"
    )
    started = []

    def start(mode):
        (tmp_path / "mode").write_text(mode)
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        while mode != "stopped" and not (tmp_path / "ready").exists():
            time.sleep(0.01)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()


def end(process, tmp_path):
    _, complaint = process.communicate(timeout=60)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "step.pid").read_text()), 0)
    return process.returncode, complaint


STOPPED = "adc: stopped in 1_first; the same command goes on from there.\n"


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 75), (signal.SIGINT, 130)], ids=lambda n: str(int(n))
)
@pytest.mark.parametrize("to", ["adc run", "all its processes", "a terminal's group"])
def test_a_signal_reaches_the_step_and_is_waited_for(run, tmp_path, number, status, to):
    process = run("waiting")
    if to == "all its processes":
        os.kill(int((tmp_path / "step.pid").read_text()), number)
    if to == "a terminal's group":
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    assert end(process, tmp_path) == (status, STOPPED)
    times = 2 if to == "all its processes" else 1
    got = (tmp_path / "got.txt").read_text().split()
    assert set(got) == {signal.Signals(number).name} and len(got) <= times


def test_a_step_that_ends_well_after_a_signal_is_the_last_one(run, tmp_path):
    process = run("finishing")
    process.send_signal(signal.SIGUSR1)
    assert end(process, tmp_path) == (75, "adc: stopped before 2_second; the same command goes on from there.\n")
    assert (tmp_path / "runs/1_first/finished.json").exists()
    assert not (tmp_path / "runs/2_second").exists()


def test_a_stage_that_was_stopped_stops_the_run(run, tmp_path):
    assert end(run("stopped"), tmp_path) == (75, STOPPED)


def test_a_second_interrupt_forces_the_end(run, tmp_path):
    process = run("stubborn")
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    before = time.monotonic()
    assert end(process, tmp_path) == (130, STOPPED)
    assert time.monotonic() - before < 30


def state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_pause_pauses_the_step_too(run, tmp_path):
    process = run("waiting")
    both = process.pid, int((tmp_path / "step.pid").read_text())
    process.send_signal(signal.SIGTSTP)
    deadline = time.monotonic() + 10
    while {state(pid) for pid in both} != {"T"} and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [state(pid) for pid in both] == ["T", "T"]
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    assert end(process, tmp_path) == (143, STOPPED)


def test_a_step_dies_with_the_run(run, tmp_path):
    process = run("waiting")
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(int((tmp_path / "step.pid").read_text()), 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("the step goes on")
