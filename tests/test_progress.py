"""Progress bars and notes: of commands alone."""

import pytest

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
