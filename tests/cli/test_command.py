"""The parent command: quick help, exit statuses, one line for each failure."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from adc import __version__, cli
from adc.errors import name_place
from adc.files import replacing


def test_help_imports_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "adc", "--help"], capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    heavy = {name for name in imported if re.match(r"(torch|lightning|numpy|jsonargparse|yaml|rich)\b", name)}
    assert "adc.cli" in imported
    assert not heavy
    assert all(command in done.stdout for command in cli.COMMANDS)


def test_help_answers_at_once():
    def seconds():
        before = os.times()
        subprocess.run([sys.executable, "-m", "adc", "--help"], capture_output=True, check=True)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(seconds() for _ in range(3)) < 0.5


def test_version(adc):
    assert adc("--version") == (0, f"adc {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fti"], "no command 'fti': did you mean fit?"),
        (["zzzzzz"], "there are new, run, recipes, list, fit"),
        (["-c", "x.yaml", "fit"], "the command comes first"),
        (["--plugins", "/no/such/folder", "list"], "there is no folder /no/such/folder"),
        (["list", "--plugins"], "--plugins needs a folder"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(adc, arguments, says):
    status, _, complaint = adc(*arguments)
    assert status == 2
    assert says in complaint
    assert complaint.startswith("adc: error: ")
    assert complaint.count("\n") == 1


def raising(error):
    def main(argv):
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (cli.UsageError("no such thing"), 2, "adc: error: no such thing\n"),
        (ValueError("two\nlines"), 1, "adc: error: two lines (ValueError; ADC_DEBUG=1 shows where)\n"),
        (KeyboardInterrupt(), 130, "adc: interrupted\n"),
    ],
)
def test_failures_are_told_in_one_line(adc, monkeypatch, error, status, says):
    monkeypatch.setattr("adc.cli.run.main", raising(error))
    assert adc("run") == (status, "", says)


def test_missing_file_is_named(adc, monkeypatch):
    def main(argv):
        open("nowhere.yaml")  # noqa: PTH123, SIM115

    monkeypatch.setattr("adc.cli.run.main", main)
    status, _, complaint = adc("run")
    assert status == 1
    assert "nowhere.yaml: No such file or directory" in complaint


def test_traceback_when_asked(monkeypatch):
    monkeypatch.setenv("ADC_DEBUG", "1")
    monkeypatch.setattr("adc.cli.run.main", raising(ValueError("x")))
    with pytest.raises(ValueError, match="x"):
        cli.main(["run"])


@pytest.mark.parametrize("error", [RuntimeError, TypeError, KeyError, ImportError, AttributeError, ZeroDivisionError])
def test_a_bug_is_one_line_with_its_kind_and_place(adc, monkeypatch, error):
    monkeypatch.setattr("adc.cli.run.main", raising(error("bug")))
    status, _, complaint = adc("run")
    place = "" if error is ImportError else r" at cli/test_command.py:\d+"
    assert status == 1
    assert re.fullmatch(rf"adc: error: '?bug'? \({error.__name__}{place}; ADC_DEBUG=1 shows where\)\n", complaint)


@pytest.mark.parametrize("error", [AttributeError, RuntimeError])
def test_a_bug_is_shown_whole_when_asked(monkeypatch, error):
    monkeypatch.setenv("ADC_DEBUG", "1")
    monkeypatch.setattr("adc.cli.run.main", raising(error("bug")))
    with pytest.raises(error, match="bug"):
        cli.main(["run"])


def test_a_named_place_begins_the_line():
    error = cli.UsageError("no such thing")
    name_place(error, "rank 1 on host")
    assert cli.describe(error) == "rank 1 on host: no such thing"


def test_worker_errors_are_told_by_their_last_line():
    text = (
        "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
        '  File "{}", line 3, in read\nValueError: a.png is cut'
    )
    assert cli.describe(ValueError(text.format(cli.__file__))) == "a.png is cut"
    assert cli.describe(ValueError(text.format("torch/x.py"))) == "a.png is cut (ValueError; ADC_DEBUG=1 shows where)"


def test_the_hub_is_not_asked(adc, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    adc("--version")
    assert os.environ.pop("HF_HUB_OFFLINE") == "1"
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    adc("--version")
    assert os.environ["HF_HUB_OFFLINE"] == "0"


@pytest.mark.parametrize("name", ["upscale", "evaluate", "export", "prune", "bench", "report"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_removes_what_is_half_written(tmp_path, monkeypatch, capsys, name, number, status):
    def stopped(argv):
        with replacing(tmp_path / "result") as scratch:
            scratch.write_bytes(b"half")
            os.kill(os.getpid(), number)
            time.sleep(10)

    monkeypatch.setitem(cli.COMMANDS, name, ("adc.cli", "stopped", ""))
    monkeypatch.setattr(cli, "stopped", stopped, raising=False)
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as stop:
        cli.main([name])
    assert stop.value.code == status and list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == f"adc: stopped by {number.name}\n"
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_ends_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    said = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"\nexample: {cli.EXAMPLES[command]}\n" in said and cli.EXAMPLES[command].split()[:2] == ["adc", command]
    options = [word.split(".")[0] for word in cli.EXAMPLES[command].split() if word.startswith("-")]
    assert all(f"{option}" in said for option in options)
    assert "``" not in said and "A DataModule standardizes" not in said and "under manual optimisation" not in said
