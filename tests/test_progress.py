"""Progress bars and notes: of commands alone."""

import io
import re
import time

import pytest
from rich.console import Console

from adc import progress


def work(steps=3):
    with progress.track("restoring", steps, "clips") as bar:
        for number in range(steps):
            bar.advance(f"restoring {number}")
    return bar


def test_a_library_is_silent(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    assert work().done == 3
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""


def test_a_command_writes_a_line_now_and_then_where_there_is_no_terminal(capsys, monkeypatch):
    with progress.visible():
        work()
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
        work()
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        f"restoring {number}: {number + 1} of 3" for number in range(3)
    ]
    assert all(line.endswith(" clips/s") for line in lines)
    work()
    assert capsys.readouterr().err == ""


def test_a_terminal_has_a_bar_and_only_one(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress.visible(), progress.track("outer", 2) as outer, progress.track("inner", 2) as inner:
        outer.advance()
        inner.advance()
        assert outer._live is not None and inner._live is None
    assert outer._live is None


def test_a_note_is_a_line_of_a_command_and_a_warning_of_a_library(capsys):
    with progress.visible():
        progress.note("a.png: left out")
    assert capsys.readouterr().err == "adc: a.png: left out\n"
    with pytest.warns(UserWarning, match=r"a\.png"):
        progress.note("a.png: left out")
    assert capsys.readouterr().err == ""


def drawn(width, description, total, rate):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    live = progress.bar_of(console)
    task = live.add_task(description, total=total, rate=rate)
    for _ in range(3):  # a rate needs samples
        time.sleep(0.02)
        live.update(task, advance=total // 4)
    console.print(live.get_renderable())
    return console.file.getvalue().rstrip("\n")


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize(
    "description", ["enlarging", "restoring student of a long name, clip 12 of a long folder/of/it"]
)
@pytest.mark.parametrize(("total", "rate"), [(12, "0.33 clips/s"), (10000, "12.34 images/s")])
def test_counts_rate_and_time_are_never_cut(width, description, total, rate):
    line = drawn(width, description, total, rate)
    assert "\n" not in line and len(line) <= width
    assert re.search(rf" {3 * total // 4}/{total} +{re.escape(rate)} +\d:\d\d:\d\d *$", line), line
    assert line.startswith(description[:3])


def test_a_line_in_a_pipe_is_whole(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setenv("COLUMNS", "40")
    with progress.visible(), progress.track("restoring", 900, "clips") as bar:
        for _ in range(3):
            now[0] += 1234
            bar.advance("restoring " + "x" * 100)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"restoring {'x' * 100}: 3 of 900, 1:01:42 passed, 307:28:18 left, 0.00081 clips/s"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00:00"), (59.6, "0:01:00"), (3599, "0:59:59"), (90000, "25:00:00")]
)
def test_a_clock(seconds, text):
    assert progress.clock(seconds) == text
