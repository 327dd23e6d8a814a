"""What the progress of a stage shows where there is little room."""

import io
import re
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from adc.training.callbacks import StopAfter
from adc.training.callbacks.progress import StageProgress, bar

COUNTS = "student 300/900  discriminators 75"
FACTS = "decoder/L1 0.16  decoder/FeatureMatching 0.0123"


def drawn(width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    progress = bar(console)
    task = progress.add_task(COUNTS, total=900, completed=0, rate="3.87/s", facts=FACTS)
    for _ in range(3):  # a rate needs samples
        time.sleep(0.02)
        progress.update(task, advance=100)
    console.print(progress.get_renderable())
    return console.file.getvalue().rstrip("\n")


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_share_and_times_are_never_cut(width):
    line = drawn(width)
    assert "\n" not in line and len(line) <= width
    assert re.search(r" 33% .*0:00:00 0:00:0\d 3\.87/s ", line), line
    assert "st" in line


def test_nothing_is_cut_where_there_is_room():
    assert COUNTS in drawn(160) and FACTS in drawn(160)


def test_a_line_in_a_file_has_the_time_that_is_left(monkeypatch, capsys):
    now = [1000.0]
    monkeypatch.setattr("adc.training.callbacks.progress.time.monotonic", lambda: now[0])
    stage = SimpleNamespace(updates={"student": 100}, batches_seen=100)
    trainer = SimpleNamespace(callbacks=[StopAfter("student", 900)], callback_metrics={}, max_steps=-1)
    progress = StageProgress()
    progress.on_train_start(trainer, stage)
    now[0] += 3700
    stage.updates["student"], stage.batches_seen = 300, 300
    progress.on_train_batch_end(trainer, stage, None, None, 0)
    assert capsys.readouterr().err == "student 300/900 (33%)  1:01:40 passed, 3:05:00 left  0.05 batches/s\n"
