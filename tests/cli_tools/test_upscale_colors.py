"""The colours of results: a student's usual matching goes with it, whatever it is written as."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from adc_sd21 import AdcSRStudent
from adc_tiny import TinyStudent
from PIL import Image

import adc
from adc.cli import main
from adc.errors import UsageError
from adc.exporting.diffusers import from_pretrained, save_pretrained
from adc.pruning import load_student, save_student

VAE = {"block_out_channels": [8, 8, 16, 16], "layers_per_block": 1, "norm_num_groups": 4}
UNET = {"block_out_channels": [8, 16], "layers_per_block": 1, "attention_head_dim": 2, "norm_num_groups": 4}
SCRIPT = Path(__file__).parents[2] / "docs" / "run_onnx.py"


def upscale(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(["upscale", *map(str, arguments)])
    return stop.value.code or 0


@pytest.fixture(scope="module")
def small():
    """A photo with colours of its own."""
    rows, columns = np.mgrid[0:32, 0:48] / 40
    waves = [np.sin(5 * rows + 9 * columns), np.cos(7 * rows * columns), np.sin(11 * rows) * np.cos(4 * columns)]
    noise = np.random.default_rng(0).normal(0, 6, (32, 48, 3))
    return (np.stack(waves, -1) * [40, 25, 60] + [150, 90, 110] + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("student")
    save_student(AdcSRStudent(vae=VAE, unet=UNET, color_matching="adain"), path)
    return path


def published(folder, small):
    """The published test script's picture: its law written anew, in numbers of 64 bits, cut to whole levels."""
    lr = small.astype(np.float64).transpose(2, 0, 1) / 255 * 2 - 1
    with torch.no_grad():
        restored = load_student(str(folder)).eval().restore(torch.from_numpy(lr).float()[None, None])[0, 0]
    sr = restored.double().numpy()
    for channel in range(3):
        spread = lr[channel].std(ddof=1) / sr[channel].std(ddof=1)
        sr[channel] = (sr[channel] - sr[channel].mean()) * spread + lr[channel].mean()
    return np.floor((sr * 0.5 + 0.5).clip(0, 1) * 255).astype(np.int64).transpose(1, 2, 0)


def levels(image, other):
    return np.abs(np.asarray(image).astype(np.int64) - other).max()


def test_without_options_a_published_student_gives_the_published_picture(folder, small, tmp_path):
    Image.fromarray(small).save(tmp_path / "photo.png")
    expected = published(folder, small)
    assert upscale(tmp_path / "photo.png", "-o", tmp_path / "x.png", "--student", folder) == 0
    assert levels(Image.open(tmp_path / "x.png"), expected) <= 1
    plain = ("--student", folder, "--color", "none")
    assert upscale(tmp_path / "photo.png", "-o", tmp_path / "plain.png", *plain) == 0
    assert levels(Image.open(tmp_path / "plain.png"), expected) > 20
    assert levels(adc.load(folder)(Image.fromarray(small)), expected) <= 1
    assert levels(adc.load(folder, color="none")(Image.fromarray(small)), expected) > 20
    clip = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 127.5 - 1
    save_pretrained(folder, tmp_path / "diffusers")
    with torch.no_grad():
        large = from_pretrained(tmp_path / "diffusers")(clip)[0].clamp(-1, 1).permute(1, 2, 0)
    assert levels(((large + 1) * 127.5).round().numpy(), expected) <= 1


def test_matching_survives_pruning_and_training(folder, tmp_path):
    save_student(load_student(str(folder)), tmp_path / "again")
    assert load_student(str(tmp_path / "again")).color_matching == "adain"
    save_student(AdcSRStudent(vae=VAE, unet=UNET), tmp_path / "plain")
    assert load_student(str(tmp_path / "plain")).color_matching == "none"
    adc.prune(
        AdcSRStudent(vae=VAE, unet=UNET, color_matching="wavelet"), {"decoder": 0.5}, folder=str(tmp_path / "cut")
    )
    assert load_student(str(tmp_path / "cut")).color_matching == "wavelet"


def test_folders_of_before_load_and_match_nothing(folder, tmp_path):
    save_student(load_student(str(folder)), tmp_path / "old")
    path = tmp_path / "old" / "student.yaml"
    description = yaml.safe_load(path.read_text())
    assert description.pop("color_matching") == "adain"
    path.write_text(yaml.safe_dump(description))
    assert adc.load(tmp_path / "old").color == "none"
    assert adc.load(tmp_path / "old", color="adain").color == "adain"
    path.write_text(yaml.safe_dump({**description, "color_matching": "red"}))
    with pytest.raises(ValueError, match=r"student\.yaml: color_matching is 'red'; there are none, adain, wavelet"):
        adc.load(tmp_path / "old")
    with pytest.raises(UsageError, match="color red"):
        adc.load(folder, color="red")


@pytest.mark.slow
def test_an_onnx_file_knows_its_colours(small, tmp_path):
    for library in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(library)
    student, folder = TinyStudent(width=4), tmp_path / "student"
    student.color_matching = "adain"
    save_student(student, folder)
    Image.fromarray(small).save(tmp_path / "photo.png")
    adc.export(folder, tmp_path / "out", formats=["onnx"])
    expected = published(folder, small)
    model = tmp_path / "out" / "model.onnx"
    assert upscale(tmp_path / "photo.png", "-o", tmp_path / "x.png", "--student", model) == 0
    assert levels(Image.open(tmp_path / "x.png"), expected) <= 1
    subprocess.run([sys.executable, SCRIPT, model, tmp_path / "photo.png", tmp_path / "y.png"], check=True)
    assert levels(Image.open(tmp_path / "y.png"), expected) <= 1
    assert "(adain)" in (tmp_path / "out" / "README.md").read_text()
