"""Recipes with former names: one line that names the present one, and exit status 2."""

from pathlib import Path

import pytest
import yaml

from adc import renamed

EXCERPTS = {
    "key of a stage": (
        {"model": {"class_path": "AdversarialDistillation", "init_args": {"recompute": True}}},
        "recompute",
    ),
    "key with a component": (
        {"model": {"class_path": "DecoderPretraining", "init_args": {"codec": {"class_path": "SDCodec"}}}},
        "codec",
    ),
    "key with a component and its arguments": (
        {
            "model": {
                "class_path": "DecoderPretraining",
                "init_args": {"codec": {"class_path": "SDCodec", "init_args": {"folder": "demo"}}},
            }
        },
        "codec",
    ),
    "folder of training clips": ({"data": {"class_path": "DegradedClips", "init_args": {"clips": None}}}, "clips"),
    "folder of validation clips": (
        {"data": {"class_path": "DegradedClips", "init_args": {"held_out": "v"}}},
        "held_out",
    ),
    "folders of validation pairs": (
        {"data": {"class_path": "PairedClips", "init_args": {"lr": "a", "hr": "b", "held_out_lr": "c"}}},
        "held_out_lr",
    ),
    "class": ({"data": {"class_path": "DegradedVideos", "init_args": {"frames": 4}}}, "DegradedVideos"),
    "class of a key that keeps its name": (
        {"model": {"class_path": "DecoderPretraining", "init_args": {"autoencoder": {"class_path": "TinyCodec"}}}},
        "TinyCodec",
    ),
    "class whose name has another meaning": (
        {"model": {"class_path": "Regression", "init_args": {"network": {"class_path": "Autoencoder"}}}},
        "Autoencoder",
    ),
    "value": (
        {"model": {"class_path": "AdversarialDistillation", "init_args": {"adversarial": "softplus"}}},
        "softplus",
    ),
    "path of a class that moved": (
        {"model": {"class_path": "adc.engine.cached.CachedTeacher", "init_args": {}}},
        "adc.engine.cached.CachedTeacher",
    ),
}
NOW = renamed.KEYS | renamed.CLASSES | renamed.VALUES
NOW["adc.engine.cached.CachedTeacher"] = "adc.teacher_cache.teacher.CachedTeacher"


@pytest.mark.parametrize("case", EXCERPTS)
def test_an_old_recipe_is_explained(adc, recipe, case):
    excerpt, old = EXCERPTS[case]
    path = recipe(lambda content: content.update(excerpt))
    line = next(i for i, text in enumerate(Path(path).read_text().splitlines(), start=1) if old in text)
    status, _, complaint = adc("fit", "-c", path)
    assert status == 2, complaint
    assert complaint.count("\n") == 1, complaint
    assert f"{path}:{line}: " in complaint
    assert f"`{old}` was renamed to `{NOW[old]}`." in complaint


def test_every_present_class_exists(adc):
    listed = adc("list", "--json")[1]
    names = {component["name"] for component in yaml.safe_load(listed)}
    assert set(renamed.CLASSES.values()) <= names
