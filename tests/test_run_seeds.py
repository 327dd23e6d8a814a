"""Recipes run with several seeds: what changes between them, and what becomes of the reports."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from run_seeds import spread  # noqa: E402

REPORT = {
    "folder": "out/report",
    "data": {
        "class_path": "DegradedClips",
        "init_args": {"degradation": "BicubicDown", "size": 64, "batch_size": 1, "workers": 0, "validation_size": 64},
    },
    "restorers": {"student": {"class_path": "adc.pruning.load_student", "init_args": {"folder": "out/0_prune"}}},
    "stages": [],
    "rounds": 1,
}


def test_mean_and_half_the_range():
    reports = [
        {"restorers": {"a": {"psnr_y": one, "name": "x"}}, "samplers": {"a": {"score": 2.0}}} for one in (1.0, 4.0, 1.0)
    ]
    assert spread(reports) == {
        "restorers": {"a": {"psnr_y": [2.0, 1.5]}},
        "samplers": {"a": {"score": [2.0, 0.0]}},
    }


@pytest.mark.slow
def test_each_seed_has_its_own_folders(tmp_path):
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    text = (ROOT / "recipes/tiny/0_prune.yaml").read_text()
    (recipes / "0_prune.yaml").write_text(text.replace("runs/tiny", "out"))
    (recipes / "1_report.yaml").write_text(yaml.safe_dump(REPORT))
    command = [sys.executable, ROOT / "tools/run_seeds.py", "seeds", "[recipes]", "--seeds", "[3,4]"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"report: restorers, 2 seeds", done.stdout) and not (tmp_path / "out").exists()
    places = [tmp_path / "seeds" / f"seed_{seed}" for seed in (3, 4)]
    first, second = ((place / "recipes/0_recipes/0_prune.yaml").read_text().splitlines() for place in places)
    assert [pair for pair in zip(first, second, strict=True) if len(set(pair)) > 1] == [
        ("seed_everything: 3", "seed_everything: 4"),
        ("folder: seeds/seed_3/out/0_prune", "folder: seeds/seed_4/out/0_prune"),
    ]
    weights = [load_file(next((place / "out/0_prune").glob("*.safetensors"))) for place in places]
    assert any(not weights[0][key].equal(weights[1][key]) for key in weights[0])
    found = [json.loads((place / "out/report/report.json").read_text()) for place in places]
    summary = json.loads((tmp_path / "seeds/seeds.json").read_text())
    mean, half = summary["reports"]["report"]["restorers"]["student"]["psnr_y"]
    values = [report["restorers"]["student"]["psnr_y"] for report in found]
    assert [mean, half] == pytest.approx([sum(values) / 2, abs(values[0] - values[1]) / 2])
    assert values[0] != values[1]


@pytest.mark.parametrize("without", ["0_prune.yaml", "1_report.yaml"])
def test_nothing_to_compare(tmp_path, without):
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    shutil.copy(ROOT / "recipes/tiny/0_prune.yaml", recipes)
    (recipes / "1_report.yaml").write_text(yaml.safe_dump(REPORT))
    (recipes / without).unlink()
    command = [sys.executable, ROOT / "tools/run_seeds.py", "seeds", "[recipes]"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "run_seeds: error: recipes: no report depends on a seed; there is nothing to compare.\n"
