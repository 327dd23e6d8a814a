"""adc run: the plan, skipping, resuming, refusing."""

import inspect
import sys
import time
from importlib import import_module

import pytest
import yaml

from adc import runs
from adc.cli import run as command
from adc.errors import UsageError


@pytest.fixture
def recipes(tmp_path, monkeypatch):
    """Four numbered recipes as in the demo, and something that is none."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "recipes"
    folder.mkdir()
    contents = {
        "0_prune": {"ratios": {"body": 0.5}, "folder": "runs/0_prune"},
        "1_decoder": {"model": {"student": "runs/0_prune"}, "trainer": {"default_root_dir": "runs/1_decoder"}},
        "2_distill": {"model": {"student": "runs/1_decoder"}, "trainer": {"default_root_dir": "runs/2_distill"}},
        "10_report": {"restorers": {"student": "runs/2_distill"}, "folder": "runs/report"},
    }
    for name, content in contents.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    (folder / "notes.yaml").write_text("x: 1\n")
    return folder


@pytest.fixture
def log(tmp_path, monkeypatch):
    """A stand-in runs the recipes, which are not read: it notes its arguments and finishes, or fails if told to."""
    program = """
import pathlib, sys, time
from adc import runs
command, recipe = sys.argv[1], sys.argv[3]
with open("log.txt", "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
if pathlib.Path("fail").exists() and pathlib.Path("fail").read_text() in recipe:
    sys.exit(7)
content = runs.read_recipe(recipe)
run = content.get("folder") or content["trainer"]["default_root_dir"]
if command == "report":
    runs.write_text(run + "/report.html", "")
runs.begin(run, sys.argv[3::2])
runs.finish(run)
"""
    (tmp_path / "stand_in.py").write_text(program)
    monkeypatch.setattr(command, "PROGRAM", [sys.executable, str(tmp_path / "stand_in.py")])
    monkeypatch.setattr(command.checking, "check", lambda jobs: None)

    def lines():
        path = tmp_path / "log.txt"
        told = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line.partition(" -c ")[2].removeprefix("recipes/").removesuffix(".yaml") for line in told]

    return lines


ALL = ["0_prune", "1_decoder", "2_distill", "10_report"]


def test_all_in_the_order_of_their_numbers(adc, recipes, log):
    status, printed, _ = adc("run", "recipes")
    assert status == 0
    assert log() == ALL
    assert "[2/4] 1_decoder: adc fit -c recipes/1_decoder.yaml" in printed
    assert "\nreport: " not in printed  # `adc report` names its results


def test_finished_ones_are_skipped(adc, recipes, log):
    adc("run", "recipes")
    log()
    status, printed, _ = adc("run", "recipes")
    assert status == 0
    assert log() == []
    assert "[4/4] 10_report: finished, in runs/report" in printed
    assert "report: runs/report/report.html" in printed


def test_a_failure_stops_the_run_with_its_status(adc, recipes, log, tmp_path):
    (tmp_path / "fail").write_text("1_decoder")
    status, _, complaint = adc("run", "recipes")
    assert status == 7
    assert log() == ALL[:2]
    assert "1_decoder failed with status 7; the same command goes on from there." in complaint
    assert complaint.count("\n") == 1
    (tmp_path / "fail").unlink()
    assert adc("run", "recipes")[0] == 0
    assert log() == ALL[1:]


def test_the_plan_runs_nothing(adc, recipes, log, tmp_path):
    runs.begin("runs/1_decoder", ["recipes/1_decoder.yaml"])
    runs.finish("runs/0_prune")
    status, printed, _ = adc("run", "recipes", "--dry-run", "-c", overlay(tmp_path))
    rows = [line.split() for line in printed.splitlines()[1:]]
    assert status == 0
    assert log() == []
    assert [row[0] for row in rows] == ALL
    assert [row[-1] for row in rows] == ["finished", "interrupted", "do", "do"]
    assert "adc fit -c recipes/1_decoder.yaml -c cpu.yaml" in printed
    assert "adc prune -c recipes/0_prune.yaml " in printed
    assert "runs/2_distill" in printed


def overlay(tmp_path):
    (tmp_path / "cpu.yaml").write_text("trainer: {accelerator: cpu}\n")
    return "cpu.yaml"


def test_overlays_are_for_training_only_and_change_no_recipe(adc, recipes, log, tmp_path):
    adc("run", "recipes", "-c", overlay(tmp_path))
    assert log() == ["0_prune", "1_decoder.yaml -c cpu", "2_distill.yaml -c cpu", "10_report"]
    assert adc("run", "recipes")[0] == 0
    assert log() == []


def change(recipes, name):
    path = recipes / f"{name}.yaml"
    path.write_text(path.read_text() + "seed_everything: 5\n")


def test_a_changed_recipe_is_reported_with_the_way_out(adc, recipes, log):
    adc("run", "recipes")
    log()
    change(recipes, "1_decoder")
    status, _, complaint = adc("run", "recipes")
    assert status == 2
    assert log() == []
    assert "runs/1_decoder was finished with another recipe than recipes/1_decoder.yaml is now" in complaint
    assert "`adc run recipes --from 1_decoder`" in complaint
    assert adc("run", "recipes", "--from", "1_decoder")[0] == 0
    assert log() == ALL[1:]
    assert adc("run", "recipes")[0] == 0
    assert log() == []


def test_results_older_than_their_inputs_are_reported(adc, recipes, log):
    adc("run", "recipes")
    log()
    time.sleep(0.01)
    runs.finish("runs/0_prune")
    status, _, complaint = adc("run", "recipes")
    assert status == 2
    assert "runs/1_decoder was made before its inputs (0_prune)" in complaint
    assert "--from 1_decoder" in complaint


def test_a_clock_that_is_set_back_makes_nothing_outdated(adc, recipes, log, monkeypatch):
    """Stages know their inputs by what these were, not by when: the second one ended in the past of the first."""
    adc("run", "recipes", "--until", "0_prune")
    late = runs.read_json("runs/0_prune/finished.json")
    runs.write_json("runs/0_prune/finished.json", {**late, "finished": "2099-01-01T00:00:00.000000+00:00"})
    log()
    assert adc("run", "recipes")[0] == 0
    assert log() == ALL[1:]
    assert adc("run", "recipes")[0] == 0
    assert log() == []
    runs.finish("runs/0_prune")  # made again, and the clock is right now
    assert adc("run", "recipes")[0] == 2


def test_a_resumed_run_keeps_the_inputs_that_it_began_with(recipes):
    runs.finish("runs/0_prune")
    runs.begin("runs/1_decoder", ["recipes/1_decoder.yaml"])
    runs.finish("runs/0_prune")
    runs.begin("runs/1_decoder", ["recipes/1_decoder.yaml"], resumed=True)
    runs.finish("runs/1_decoder")
    assert not runs.is_current("runs/1_decoder", "runs/0_prune")
    runs.begin("runs/1_decoder", ["recipes/1_decoder.yaml"])
    assert runs.is_current("runs/1_decoder", "runs/0_prune")


def test_an_outdated_or_changed_report_is_simply_made_again(adc, recipes, log):
    adc("run", "recipes")
    log()
    change(recipes, "10_report")
    assert adc("run", "recipes")[0] == 0
    assert log() == ["10_report"]


def test_from_interrupted_goes_on_without_it(adc, recipes, log, tmp_path):
    adc("run", "recipes")
    log()
    (tmp_path / "fail").write_text("1_decoder")
    assert adc("run", "recipes", "--from", "0")[0] == 7
    (tmp_path / "fail").unlink()
    assert log() == ALL[:2]
    assert adc("run", "recipes")[0] == 0
    assert log() == ALL[1:]


def test_until_and_restart(adc, recipes, log):
    assert adc("run", "recipes", "--until", "1_decoder")[0] == 0
    assert log() == ALL[:2]
    assert adc("run", "recipes", "--restart")[0] == 0
    assert log() == ALL


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "there is no folder nowhere"),
        (["."], "holds no numbered recipe"),
        (["recipes", "--from", "1_decodr"], "no step '1_decodr'; did you mean 1_decoder?"),
        (["recipes", "--from", "2_distill"], "0_prune is not finished"),
        (["recipes", "--from", "2_distill", "--until", "1_decoder"], "comes before"),
        (["recipes", "-c", "none.yaml"], "there is no recipe none.yaml"),
    ],
)
def test_wrong_usage(adc, recipes, log, arguments, says):
    status, _, complaint = adc("run", *arguments)
    assert status != 0
    assert says in complaint
    assert complaint.count("\n") == 1
    assert log() == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x: 1\n", "no command is for it; a recipe has one of the keys model (adc fit), ratios (adc prune)"),
        ("model: {}\n", "trainer.default_root_dir is not given"),
        ("ratios: {}\nfolder: runs/0_prune\n", "name the same run folder"),
        ("a: [", "is no YAML"),
        ("ratios: {}\nfolder: {{name}}\n", "3_wrong.yaml:2: is no YAML: a key that is a list or a mapping; quote text"),
        ("ratios: &a\n  b: *a\nfolder: x\n", "3_wrong.yaml:1: is no YAML: a value that holds itself"),
        ("ratios: {}\nfolder: 2024-13-45\n", "3_wrong.yaml:2: is no YAML: '2024-13-45' is no timestamp"),
        ("ratios: {}\nfolder: 2024-01-02\n", "folder is '2024-01-02', which YAML takes for no text"),
        ("ratios: {}\nfolder: ${oc.env:NO_SUCH}/x\n", "3_wrong.yaml: folder: "),
        ("ratios: {}\nfolder: ${nowhere}/x\n", "'nowhere' not found"),
        ("model: {}\ntrainer: gpu\n", "trainer: 'gpu' is no mapping of options"),
    ],
)
def test_wrong_recipes(adc, recipes, log, text, says):
    (recipes / "3_wrong.yaml").write_text(text)
    status, _, complaint = adc("run", "recipes")
    assert status != 0
    assert says in complaint
    assert "3_wrong.yaml" in complaint
    assert complaint.count("\n") == 1


def test_run_folders_may_come_from_the_environment(recipes, monkeypatch):
    (recipes / "3_more.yaml").write_text("model: {}\ntrainer: {default_root_dir: '${oc.env:ROOT}/more'}\n")
    monkeypatch.setenv("ROOT", "elsewhere")
    assert str(command.plan("recipes")[3].run) == "elsewhere/more"


@pytest.mark.parametrize("record", [b"[1]", b'"x"', b"\xff\xfe{}", b"[" * 100_000])
@pytest.mark.parametrize("name", [runs.FINISHED, runs.RECIPE])
def test_harmed_records_of_a_run_are_named(adc, recipes, log, name, record):
    runs.finish("runs/0_prune")
    (recipes.parent / "runs/0_prune" / name).write_bytes(record)
    status, _, complaint = adc("run", "recipes", "--dry-run")
    assert (status, complaint.count("\n")) == (1, 1)
    assert f"runs/0_prune/{name}" in complaint
    assert "--restart" in complaint


def test_harmed_seconds_of_a_run_are_named(tmp_path):
    (tmp_path / runs.ATTEMPTS).write_text('[{"seconds": 1}]')
    with pytest.raises(ValueError, match=r"attempts\.json holds no seconds; delete it"):
        runs.Stopwatch(tmp_path)


def test_checkpoints_are_removed_by_training_only(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UsageError, match="holds the checkpoints of a training run; name another folder"):
        runs.clear(tmp_path, trains=False)
    assert (tmp_path / "checkpoints").is_dir()
    runs.clear(tmp_path)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("command", ["bench", "prune", "report"])
def test_commands_that_do_not_train_say_so(command):
    source = inspect.getsource(import_module(f"adc.cli.{command}"))
    assert source.count("runs.clear(") == source.count("runs.clear(folder, trains=False)") == 1
