import json
import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from adc_sd21 import AdcSRStudent
from adc_tiny import TinyStudent
from mirror import SMALL
from safetensors.torch import load_file, save_file
from twins import assert_close, assert_same_weights

from adc.interfaces import Student
from adc.pruning import Magnitude, load_student, prune, save_student


@pytest.fixture
def student():
    torch.manual_seed(0)
    student = TinyStudent(width=16, channels=8)
    prune(student, {"body": 0.5, "decoder": 0.25}, Magnitude())
    return student


@pytest.fixture
def folder(student, tmp_path):
    save_student(student, tmp_path / "student")
    return tmp_path / "student"


def test_a_moved_folder_gives_the_same_student(student, folder, tmp_path):
    shutil.move(folder, tmp_path / "elsewhere")
    again = load_student(str(tmp_path / "elsewhere"))
    clip = torch.randn(1, 2, 3, 16, 16)
    with torch.no_grad():
        assert_close(again(clip), student(clip))
    assert_same_weights(again, student)
    assert again.init_args == student.init_args and again.training
    assert all(p.requires_grad and p.dtype == torch.float32 and not p.is_meta for p in again.parameters())


def test_a_large_student(tmp_path):
    torch.manual_seed(0)
    student = AdcSRStudent(**SMALL)
    prune(student, {"unet": 0.25, "decoder": 0.5}, Magnitude())
    save_student(student, tmp_path)
    again = load_student(str(tmp_path))
    clip = torch.randn(1, 1, 3, 16, 16)
    with torch.no_grad():
        assert_close(again(clip), student(clip))
    assert_same_weights(again, student)
    save_student(again, tmp_path / "again")
    for name in ("structure.json", "student.yaml", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_loading_draws_no_random_numbers(folder):
    before = torch.get_rng_state()
    load_student(str(folder))
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_else_is_left(student, folder):
    assert sorted(path.name for path in folder.iterdir()) == ["model.safetensors", "structure.json", "student.yaml"]
    save_student(student, folder)
    assert len(list(folder.iterdir())) == 3


def test_half_precision(student, tmp_path):
    save_student(student, tmp_path, precision="bfloat16")
    assert load_file(tmp_path / "model.safetensors")["body.0.weight"].dtype == torch.bfloat16
    again = load_student(str(tmp_path))
    assert torch.equal(again.body[0].weight, student.body[0].weight.bfloat16().float())


def test_an_interrupted_write_is_no_student(student, folder, monkeypatch):
    import adc.pruning.artifact as artifact

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(artifact, "_by_line", fail)
    with pytest.raises(KeyboardInterrupt):
        save_student(student, folder)
    assert not list(folder.glob(".*"))
    with pytest.raises(FileNotFoundError, match=r"student.yaml: no such file"):
        load_student(str(folder))


def change_tensors(change):
    def spoil(folder):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return spoil


def change_yaml(**changes):
    def spoil(folder):
        description = yaml.safe_load((folder / "student.yaml").read_text())
        (folder / "student.yaml").write_text(yaml.safe_dump({**description, **changes}))

    return spoil


def truncate(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-100])


def widen(folder):
    structure = json.loads((folder / "structure.json").read_text())
    structure["tensors"]["body.0.bias"] = [17]
    (folder / "structure.json").write_text(json.dumps(structure))


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (shutil.rmtree, FileNotFoundError, r"student: no such folder"),
        (lambda f: (f / "structure.json").unlink(), FileNotFoundError, r"structure.json: no such file"),
        (lambda f: (f / "model.safetensors").unlink(), FileNotFoundError, r"model.safetensors: no such file"),
        (
            change_tensors(lambda t: t.pop("body.0.bias")),
            ValueError,
            r"model.safetensors: tensor body.0.bias is missing",
        ),
        (change_tensors(lambda t: t.update(extra=torch.zeros(1))), ValueError, r"TinyStudent has no tensor extra"),
        (
            change_tensors(lambda t: t.update({"body.0.bias": torch.zeros(5)})),
            ValueError,
            r"tensor body.0.bias is \[5\], but structure.json says \[8\]",
        ),
        (truncate, ValueError, r"model.safetensors: not a whole safetensors file"),
        (widen, ValueError, r"structure.json: .*body.0.bias is \[16\] and would be \[17\]"),
        (lambda f: (f / "structure.json").write_text("{"), ValueError, r"structure.json: not a JSON file"),
        (lambda f: (f / "student.yaml").write_text("a: [1"), ValueError, r"student.yaml: not a YAML file"),
        (lambda f: (f / "student.yaml").write_text(""), ValueError, r"format is None"),
        (change_yaml(format=2), ValueError, r"format is 2, but this version of adc reads 1"),
        (change_yaml(init_args=None), ValueError, r"init_args is None; expected a dict"),
        (change_yaml(init_args={"widht": 3}), ValueError, r"student.yaml: init_args: .*unexpected keyword.*'widht'"),
        (change_yaml(class_path="nowhere.Student"), ValueError, r"there is no class 'nowhere.Student'"),
        (change_yaml(class_path="adc_tiny.Student9"), ValueError, r"there is no class 'adc_tiny.Student9'"),
        (change_yaml(class_path="adc_tiny.TinyAutoencoder"), ValueError, r"'adc_tiny.TinyAutoencoder' is no Student"),
        (change_yaml(class_path="TinyStudent"), ValueError, r"there is no class 'TinyStudent'"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(folder, spoil, error, message):
    spoil(folder)
    with pytest.raises(error, match=message) as caught:
        load_student(str(folder))
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


class Buffered(Student):
    """Holds numbers that are in no file, and needs real ones to be built."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.init_args = {"width": width}
        self.body = torch.nn.Conv2d(3, width, 1)
        self.tied = torch.nn.Conv2d(3, width, 1)
        self.tied.weight = self.body.weight
        self.register_buffer("mean", torch.full((1,), 0.5), persistent=False)
        self.plain = torch.arange(3.0)
        self.count = int(self.plain.sum().item())

    def encode(self, lr):
        return self.body(lr[:, 0]).unsqueeze(1) - self.mean

    def decode(self, feature):
        return self.tied(feature[:, 0, :3]).unsqueeze(1)


class Unnamed(Student):
    encode = decode = None


def test_constructors_that_need_numbers_are_run(tmp_path):
    torch.manual_seed(0)
    student = Buffered()
    save_student(student, tmp_path)
    again = load_student(str(tmp_path))
    clip = torch.rand(1, 1, 3, 4, 4)
    assert_close(again(clip), student(clip))
    assert_same_weights(again, student)
    assert again.tied.weight is again.body.weight


def test_classes_that_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match="Unnamed has no `init_args`"):
        save_student(Unnamed(), tmp_path)
    student = Buffered()
    student.init_args = {"width": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"Buffered.init_args: width is no plain data but a Tensor"):
        save_student(student, tmp_path)

    class Local(TinyStudent):
        pass

    with pytest.raises(ValueError, match=r"Local: .* define it in a module"):
        save_student(Local(), tmp_path)


def test_loading_needs_neither_torch_pruning_nor_lightning(folder):
    code = (
        "import sys; from adc.pruning import load_student; "
        f"load_student({str(folder)!r}); "
        "assert not {'torch_pruning', 'lightning', 'jsonargparse', 'diffusers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
