"""Folders of students that were written under former names."""

import json

import pytest
import torch
import yaml
from adc_tiny import TinyStudent
from safetensors.torch import save_file
from torch import nn

from adc import renamed
from adc.interfaces import Student
from adc.pruning import load_student, save_student

WIDTH, CHANNELS = 4, 2  # what pruning left of 8 and 4
SHAPES = {
    "body.0.weight": [WIDTH, 3, 3, 3],
    "body.0.bias": [WIDTH],
    "body.2.weight": [WIDTH, WIDTH, 3, 3],
    "body.2.bias": [WIDTH],
    "guess.weight": [12, WIDTH, 3, 3],
    "guess.bias": [12],
    "decoder.stem.weight": [CHANNELS, 12, 3, 3],
    "decoder.stem.bias": [CHANNELS],
    "decoder.hidden.weight": [CHANNELS, CHANNELS, 3, 3],
    "decoder.hidden.bias": [CHANNELS],
    "decoder.conv_out.weight": [48, CHANNELS, 3, 3],
    "decoder.conv_out.bias": [48],
}
ATTRIBUTES = {
    "body.0": {"out_channels": WIDTH},
    "body.2": {"in_channels": WIDTH, "out_channels": WIDTH},
    "guess": {"in_channels": WIDTH},
    "decoder.stem": {"out_channels": CHANNELS},
    "decoder.hidden": {"in_channels": CHANNELS, "out_channels": CHANNELS},
    "decoder.conv_out": {"in_channels": CHANNELS},
}


@pytest.fixture
def folder(tmp_path):
    """A folder as ``adc prune`` wrote it before keys and classes were renamed."""
    tensors = {name: torch.full(shape, 0.01 * i) for i, (name, shape) in enumerate(SHAPES.items())}
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "structure.json").write_text(json.dumps({"tensors": SHAPES, "attributes": ATTRIBUTES}))
    (tmp_path / "student.yaml").write_text(
        "format: 1\nclass_path: adc_tiny.student.TinyStudent\nscale: 4\n"
        "init_args:\n  width: 8\n  channels: 4\n  depth: 1\n"
    )
    return tmp_path


def rewrite(folder, **changes):
    path = folder / "student.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def test_a_former_folder_loads(folder):
    student = load_student(str(folder))
    assert type(student) is TinyStudent
    assert {name: list(tensor.shape) for name, tensor in student.state_dict().items()} == SHAPES
    assert student.get_parameter("decoder.conv_out.bias").eq(0.11).all()


def test_a_class_that_moved_in_its_package(folder):
    rewrite(folder, class_path="adc_tiny.former.TinyStudent")
    assert type(load_student(str(folder))) is TinyStudent


def test_a_class_of_another_package_is_not_taken(folder):
    rewrite(folder, class_path="elsewhere.student.TinyStudent")
    with pytest.raises(ValueError, match="no class"):
        load_student(str(folder))


def test_a_class_that_was_renamed(folder, monkeypatch):
    rewrite(folder, class_path="adc_tiny.student.SmallStudent")
    with pytest.raises(ValueError, match="no class"):
        load_student(str(folder))
    monkeypatch.setitem(renamed.CLASSES, "SmallStudent", "TinyStudent")
    assert type(load_student(str(folder))) is TinyStudent


class CheckpointedStudent(Student):
    """A student with an argument that had another name."""

    scale = 4

    def __init__(self, gradient_checkpointing: bool = False) -> None:
        super().__init__()
        self.init_args = {"gradient_checkpointing": gradient_checkpointing}
        self.decoder = nn.Conv2d(3, 3, 1)

    def encode(self, lr):
        return lr

    def decode(self, feature):
        return feature


def test_an_argument_that_was_renamed(tmp_path):
    save_student(CheckpointedStudent(), tmp_path)
    rewrite(tmp_path, init_args={"recompute": True})
    assert load_student(str(tmp_path)).init_args == {"gradient_checkpointing": True}
