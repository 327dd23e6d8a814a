"""Signals to one of two processes, and before training begins."""

import json
import signal
import subprocess
import sys
import time

import pytest
from harmed import ENVIRONMENT, TINY, run_ranks
from killed import overlay
from test_stopped import curves, signals

OPTIONS = {
    "model": {"init_args": {"student": "TinyStudent"}},
    "data": {"init_args": {"batch_size": 1, "validation_limit": 3}},
    "trainer": {
        "devices": 2,
        "strategy": "ddp_find_unused_parameters_true",
        "val_check_interval": 5,
        "log_every_n_steps": 5,
        "callbacks+": [{"class_path": "StopAfter", "init_args": {"role": "decoder", "updates": 10}}],
    },
}


def arguments(folder, run, *options):
    recipe = ["-c", str(TINY / "1_decoder.yaml"), *overlay(folder / "two.yaml", OPTIONS)]
    return ["fit", *recipe, *options, "--trainer.default_root_dir", run]


def complaints(said):
    return [line for line in said.splitlines() if line.startswith(("adc:", "Traceback"))]


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_stops_both_at_the_same_batch(tmp_path):
    first = signals(tmp_path / "first.yaml", (6, "SIGTERM", "step"))
    second = signals(tmp_path / "second.yaml", (7, "SIGUSR1", "step"), (10, "SIGTERM", "validation"), rank=1)
    statuses = (143, 75, 143, 0)
    jobs = {"whole": (2, arguments(tmp_path, "whole"))}
    jobs |= {str(number): (2, arguments(tmp_path, "stopped", *first, *second)) for number in range(len(statuses))}
    (whole, *_), *attempts = run_ranks(tmp_path, jobs, limit=240).values()
    assert whole["status"] == 0, whole
    lines = []
    for status, ranks in zip(statuses, attempts, strict=True):
        assert [rank["status"] for rank in ranks] == [status] * 2, ranks
        lines += [line for rank in ranks for line in complaints(rank["output"])]
    assert lines == [
        f"adc: stopped by {name} at decoder {batches} of 10, saved in stopped/checkpoints/{batches:08d}.ckpt; the same "
        "command goes on."
        for name, batches in (("SIGTERM", 7), ("SIGUSR1", 8), ("SIGTERM", 10))
    ]
    assert (tmp_path / "whole/model.safetensors").read_bytes() == (tmp_path / "stopped/model.safetensors").read_bytes()
    assert curves(tmp_path / "whole") == curves(tmp_path / "stopped")
    assert json.loads((tmp_path / "stopped/finished.json").read_text())["updates"]["decoder"] == 10


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 75)])
def test_a_signal_before_training_ends_it_at_once_with_one_line(tmp_path, number, status):
    process = subprocess.Popen(
        [sys.executable, "-m", "adc", *arguments(tmp_path, "early")],
        cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    maps = f"/proc/{process.pid}/maps"
    deadline = time.monotonic() + 120
    while "libtorch_cpu" not in open(maps).read() and time.monotonic() < deadline:  # noqa: SIM115, PTH123
        time.sleep(0.01)
    begin = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=240)
    assert process.returncode == status, said
    assert complaints(said) == [
        f"adc: stopped by {signal.Signals(number).name} outside training; the same command goes on."
    ]
    assert time.monotonic() - begin < 30
