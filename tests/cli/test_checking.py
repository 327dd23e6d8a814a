"""adc run reads every recipe before the first of them runs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from adc.cli import checking
from adc.cli import run as command

TINY = Path(__file__).parents[2] / "recipes" / "tiny"
WRONG = {
    "an unknown key": ("2_distill", "adversarial_weight:", "adversarial_wieght:", "did you mean adversarial_weight"),
    "an unknown class": ("2_distill", "StopAfter", "StopAftr", "'StopAftr'; did you mean StopAfter"),
    "a value of the wrong type": ("1_decoder", "updates: 24", "updates: many", "expected int, got 'many'"),
    "no optimizer": (
        "1_decoder",
        "optimizer: {class_path: Adam, init_args: {lr: 5.0e-3, betas: [0.9, 0.99]}}",
        "optimizer: StopAfter",
        "StopAfter",
    ),
    "a key of a report": ("3_report", "stages:", "stage:", "did you mean stages"),
    "a key of pruning": ("0_prune", "importance:", "importanse:", "did you mean importance"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Copies of the tiny recipes, which are read in this process."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    for path in TINY.glob("*.yaml"):
        shutil.copy(path, tmp_path / "tiny")
    monkeypatch.setattr(checking, "check", checking.first_complaint)
    monkeypatch.setattr(command, "PROGRAM", [sys.executable, "-c", "raise SystemExit('a step began')"])
    return tmp_path / "tiny"


@pytest.mark.parametrize("slip", WRONG)
def test_a_slip_is_found_before_anything_runs(adc, folder, slip):
    name, before, after, says = WRONG[slip]
    options = ["--dry-run"] if slip != "an unknown key" else []
    path = folder / f"{name}.yaml"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after, 1))
    status, printed, complaint = adc("run", "tiny", *options)
    assert status == 2
    assert complaint.startswith(f"adc: error: tiny/{name}.yaml") and complaint.count("\n") == 1, complaint
    assert says in complaint
    assert ("3_report" in printed) == bool(options)
    assert not (folder.parent / "runs").exists()


def test_a_slip_of_an_overlay_is_found_too(adc, folder):
    Path("machine.yaml").write_text("trainer: {acelerator: cpu}\n")
    status, _, complaint = adc("run", "tiny", "--dry-run", "-c", "machine.yaml")
    assert status == 2
    assert "machine.yaml" in complaint and "tiny/1_decoder.yaml" in complaint and complaint.count("\n") == 1


def test_recipes_without_a_slip_and_those_that_are_left_out(adc, folder):
    assert adc("run", "tiny", "--dry-run")[0] == 0
    (folder / "3_report.yaml").write_text("restorers: {}\nfolder: report\nx: 1\n")
    status, _, complaint = adc("run", "tiny", "--until", "0_prune")
    assert status == 1 and "0_prune failed" in complaint  # the report's recipe is not due: the step began
    assert adc("run", "tiny", "--dry-run")[0] == 2


def test_a_process_of_its_own_reads_them(monkeypatch):
    assert checking.check([]) is None
    program = "import sys, json; print(json.loads(sys.argv[1])[0][2] + ': wrong')"
    monkeypatch.setattr(checking, "PROGRAM", [sys.executable, "-c", program])
    assert checking.check([["fit", "-c", "a.yaml"]]) == "a.yaml: wrong"
    monkeypatch.setattr(checking, "PROGRAM", [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(RuntimeError, match="status 3"):
        checking.check([["fit", "-c", "a.yaml"]])


@pytest.mark.slow
def test_the_process_says_what_is_wrong(tmp_path):
    recipe = tmp_path / "1_wrong.yaml"
    recipe.write_text("model: {}\ntraner: {}\n")
    program = [*checking.PROGRAM, json.dumps([["fit", "-c", str(recipe)]])]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert done.stdout == f"{recipe}:2: a recipe has no 'traner'; did you mean trainer?\n"


def test_an_error_of_a_library_names_the_component_that_it_is_raised_for(adc, folder):
    path = folder / "0_prune.yaml"
    path.write_text(path.read_text().replace("width: 32", "width: -32"))
    status, _, complaint = adc("prune", "-c", "tiny/0_prune.yaml")
    assert status == 1 and complaint.count("\n") == 1
    assert complaint.startswith("adc: error: tiny/0_prune.yaml:4: student: TinyStudent: "), complaint


def test_the_first_file_that_a_message_names_is_the_one():
    from adc.cli.errors import place_of_value

    said = "runs/tiny/0_prune: no such folder; did you mean runs/tiny/1_decoder?"
    assert place_of_value([str(TINY / "1_decoder.yaml")], said).endswith(
        "1_decoder.yaml:15: model.init_args.student.init_args.folder: "
    )
