import json

import pytest
import torch
import yaml
from PIL import Image

from adc.cli.prune import main
from adc.pruning import load_student

RECIPE = {
    "student": {"class_path": "TinyStudent", "init_args": {"width": 16, "channels": 8}},
    "ratios": {"body": 0.5, "decoder": 0.25},
    "importance": {"class_path": "Magnitude"},
    "size": 16,
}


@pytest.fixture
def prune_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(**changes):
        recipe = {**RECIPE, "folder": "runs/0_prune", **changes}
        (tmp_path / "0.yaml").write_text(yaml.safe_dump({k: v for k, v in recipe.items() if v is not None}))
        main(["-c", "0.yaml"])
        return tmp_path / recipe["folder"]

    return run


def test_the_folder_holds_a_student_and_what_was_cut(prune_recipe, capsys):
    folder = prune_recipe()
    student = load_student(str(folder))
    assert student.body[0].out_channels == 8
    told = json.loads((folder / "pruning.json").read_text())
    assert told["importance"] == "Magnitude" and told["input"] == [1, 1, 3, 16, 16]
    body = told["parts"]["body"]
    assert body["changed"] == 2 and body["macs"][1] < body["macs"][0]
    assert told["parts"]["student"]["parameters"][1] == sum(p.numel() for p in student.parameters())
    assert json.loads((folder / "finished.json").read_text())["seconds"] >= 0
    assert yaml.safe_load((folder / "config.yaml").read_text())["ratios"] == RECIPE["ratios"]
    shown = capsys.readouterr().out
    assert "body" in shown and "MACs" in shown and "→" in shown


def test_a_pruned_student_can_be_pruned_again(prune_recipe):
    first = prune_recipe()
    again = {"class_path": "adc.pruning.load_student", "init_args": {"folder": str(first)}}
    folder = prune_recipe(student=again, folder="runs/1_prune", ratios={"body": 0.5})
    assert load_student(str(folder)).body[0].out_channels == 4


def test_the_same_recipe_gives_the_same_student(prune_recipe):
    one = load_student(str(prune_recipe())).state_dict()
    other = load_student(str(prune_recipe())).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_taylor_with_data(prune_recipe):
    data = {
        "class_path": "DegradedClips",
        "init_args": {"degradation": {"class_path": "BicubicDown"}, "batch_size": 1, "size": 64, "workers": 0},
    }
    try:
        folder = prune_recipe(importance={"class_path": "Taylor", "init_args": {"batches": 2}}, data=data)
    except SystemExit:
        pytest.fail("the recipe was refused")
    assert load_student(str(folder)).body[0].out_channels == 8


def test_a_target_finds_the_ratios(prune_recipe, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    Image.effect_noise((24, 24), 60).convert("RGB").save(tmp_path / "photos/a.png")
    target = {"ratios": None, "target": {"macs": "40%"}, "calibration": "photos"}
    wide = {"class_path": "TinyStudent", "init_args": {"width": 64, "channels": 32}}
    folder = prune_recipe(student=wide, **target)
    before, after = json.loads((folder / "pruning.json").read_text())["parts"]["student"]["macs"]
    assert after / before == pytest.approx(0.4, rel=0.02)
    assert json.loads((folder / "sensitivities.json").read_text())["calibration"] == ["photos/a.png"]
    shown = " ".join(capsys.readouterr().out.split())
    assert "50.0% cut" in shown and "body.2" in shown and "macs: 40% was asked for" in shown and "uniform" in shown


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": {"macs": "40%"}}, "both are given"),
        ({"ratios": None}, "what is cut is not given"),
        ({"ratios": None, "target": {"macs": "40%"}}, "need clips"),
        ({"ratios": None, "target": {"mac": "40%"}}, "did you mean macs"),
    ],
)
def test_exactly_one_of_ratios_and_target(prune_recipe, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        prune_recipe(**changes)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ratios": {"bdy": 0.5}}, "no part 'bdy'; did you mean body"),
        ({"importance": {"class_path": "Taylor"}}, "Taylor needs calibration data"),
        ({"student": {"class_path": "adc.pruning.load_student", "init_args": {"folder": "none"}}}, "none: no such"),
    ],
)
def test_what_is_wrong_is_told(prune_recipe, changes, message):
    with pytest.raises((ValueError, OSError), match=message):
        prune_recipe(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"importance": {"class_path": "Magnitud"}}, "did you mean Magnitude"),
        ({"ratio": 0.5}, "ratio"),
        ({"importance": None}, "importance"),
    ],
)
def test_a_wrong_recipe_is_refused(prune_recipe, changes, message, capsys):
    with pytest.raises(SystemExit) as caught:
        prune_recipe(**changes)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
