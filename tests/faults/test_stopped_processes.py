"""Signals to one of two processes, and before training begins."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from killed import HERE, TINY, overlay
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


def command(folder, run, *options):
    recipe = ["-c", str(TINY / "1_decoder.yaml"), *overlay(folder / "two.yaml", OPTIONS)]
    return [sys.executable, "-m", "adc", "fit", *recipe, *options, "--trainer.default_root_dir", run]


def start(folder, *arguments):
    environment = {**os.environ, "ADC_PLUGIN_PATH": str(HERE / "training" / "plugins"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command(folder, *arguments), cwd=folder, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def end(process):
    _, said = process.communicate(timeout=240)
    return process.returncode, [line for line in said.splitlines() if line.startswith(("adc:", "Traceback"))], said


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_stops_both_at_the_same_batch(tmp_path):
    first = signals(tmp_path / "first.yaml", (6, "SIGTERM", "step"))
    second = signals(tmp_path / "second.yaml", (7, "SIGUSR1", "step"), (10, "SIGTERM", "validation"), rank=1)
    assert end(start(tmp_path, "whole"))[0] == 0
    lines = []
    for status in (143, 75, 143, 0):
        ended, complaint, said = end(start(tmp_path, "stopped", *first, *second))
        assert ended == status, said
        lines += complaint
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
    process = start(tmp_path, "early")
    maps = f"/proc/{process.pid}/maps"
    deadline = time.monotonic() + 120
    while "libtorch_cpu" not in open(maps).read() and time.monotonic() < deadline:  # noqa: SIM115, PTH123
        time.sleep(0.01)
    begin = time.monotonic()
    process.send_signal(number)
    ended, lines, said = end(process)
    assert ended == status, said
    assert lines == [f"adc: stopped by {signal.Signals(number).name} outside training; the same command goes on."]
    assert time.monotonic() - begin < 10
