import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from adc_sd21 import AdcSRStudent
from adc_tiny import TinyStudent
from adc_video import AdcVSRStudent
from safetensors.torch import load_file
from twins import assert_close

from adc.cli import main
from adc.exporting.diffusers import from_pretrained
from adc.inference.onnx_student import OnnxStudent
from adc.media.images import write_image
from adc.pruning import load_student, save_student

VAE = {"block_out_channels": [8, 8, 16, 16], "layers_per_block": 1, "norm_num_groups": 4}
UNET = {"block_out_channels": [8, 16], "layers_per_block": 1, "attention_head_dim": 2, "norm_num_groups": 4}


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(["export", *map(str, arguments)])
    return stop.value.code or 0


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("student")
    save_student(AdcSRStudent(vae=VAE, unet=UNET), folder)
    config = {
        "data": {"class_path": "adc.data.DegradedClips", "init_args": {"train_dir": "photos", "size": 128}},
        "model": {
            "class_path": "adc.stages.AdversarialDistillation",
            "init_args": {"teacher": {"class_path": "adc_sd21.OSEDiff", "init_args": {"folder": "demo"}}},
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "finished.json").write_text(json.dumps({"updates": {"student": 24}, "seconds": 9.0}))
    (folder / "recipe.json").write_text(json.dumps({"recipe": "recipes/x.yaml", "sha256": "ab" * 32}))
    return folder


@pytest.mark.slow
def test_everything_is_written_and_agrees(source, tmp_path, capsys):
    for library in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(library)
    figures = tmp_path / "report.json"
    figures.write_text(json.dumps({"restorers": {"student": {"psnr_y": 27.25}}}))
    out = tmp_path / "out"
    options = ["--variants", "[fp16,int8]", "--system", "AdcSR", "--license", "apache-2.0", "--metrics", figures]
    assert run(source, "-o", out, *options) == 0
    made = {
        "README.md", "config.json", "diffusion_pytorch_model.safetensors", "export.json", "model.onnx",
        "model.pt2", "model_fp16.onnx", "model_int8.onnx",
    }  # fmt: skip
    assert {path.name for path in out.iterdir()} == made
    told = {row["file"]: row for row in json.loads((out / "export.json").read_text())["files"]}
    assert all(told[name]["difference"] <= 1e-3 for name in ("model.onnx", "model.pt2"))
    assert told["diffusion_pytorch_model.safetensors"]["difference"] == 0
    assert told["model_fp16.onnx"]["decibels"] > told["model_int8.onnx"]["decibels"] > 15
    card = (out / "README.md").read_text()
    assert yaml.safe_load(card.split("---")[1])["license"] == "apache-2.0"
    for part in (
        "AdcSR",
        "`OSEDiff` (folder: demo)",
        "`recipes/x.yaml`",
        "train_dir: photos",
        "24 updates of student",
        "27.25",
    ):
        assert part in card
    original = load_student(str(source)).eval()
    module = torch.export.load(out / "model.pt2").module()
    image = torch.rand(1, 3, 19, 30) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(module(image)[:, None], original.restore(image[:, None]), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_a_student_of_videos_is_exported_as_one(tmp_path):
    for library in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(library)
    torch.manual_seed(0)
    student = AdcVSRStudent(vae=VAE, unet=UNET)
    for block in student.temporal.blocks.values():
        torch.nn.init.normal_(block.second.weight, std=0.1)
    folder, out = tmp_path / "student", tmp_path / "out"
    save_student(student, folder)
    assert run(folder, "-o", out, "--variants", "[fp16,int8]") == 0
    told = {row["file"]: row for row in json.loads((out / "export.json").read_text())["files"]}
    assert told["model_fp16.onnx"]["decibels"] > told["model_int8.onnx"]["decibels"] > 15
    assert "(N, T, 3, h, w)" in (out / "README.md").read_text()
    clip = torch.rand(1, 4, 3, 19, 30) * 2 - 1
    with torch.no_grad():
        expected = student.eval().restore(clip)
        torch.testing.assert_close(from_pretrained(out)(clip), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(torch.export.load(out / "model.pt2").module()(clip), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(OnnxStudent(str(out / "model.onnx")).restore(clip), expected, atol=1e-3, rtol=0)


def test_diffusers_reads_its_folder(source, tmp_path):
    out = tmp_path / "out"
    assert run(source, "-o", out, "--formats", "[diffusers]") == 0
    original = load_student(str(source)).eval()
    model = from_pretrained(out)
    image = torch.rand(1, 3, 19, 30) * 2 - 1
    with torch.no_grad():
        assert_close(model(image), original.restore(image[:, None])[:, 0])
    assert [*map(torch.equal, model.state_dict().values(), original.state_dict().values())].count(False) == 0
    assert not model.training
    assert len(load_file(out / "diffusion_pytorch_model.safetensors")) == len(original.state_dict())
    assert json.loads((out / "config.json").read_text())["_class_name"] == "StudentModel"
    from adc.exporting.diffusers import StudentModel

    half = StudentModel.from_pretrained(str(out), torch_dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    card = (out / "README.md").read_text()
    assert (
        "unknown" in card and "`adc` and the package of the student, `adc_sd21`" in card and "from_pretrained" in card
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_pictures_in_float32_for_weights_in_half(tmp_path, dtype):
    """As a student is loaded with ``torch_dtype``; the result has the type of the pictures."""
    save_student(student := TinyStudent(width=4, channels=4), tmp_path / "student")
    assert run(tmp_path / "student", "-o", tmp_path / "out", "--formats", "[diffusers]") == 0
    model = from_pretrained(tmp_path / "out", torch_dtype=dtype)
    for shape in ((1, 3, 19, 30), (1, 2, 3, 16, 16)):
        pictures = torch.rand(shape) * 2 - 1
        with torch.no_grad():
            expected = student.restore(pictures if len(shape) == 5 else pictures[:, None]).reshape(*shape[:-2], -1)
            large = model(pictures)
        assert large.dtype == torch.float32
        assert (large.reshape(*shape[:-2], -1) - expected).abs().max() < 0.05


@pytest.mark.parametrize("formats", ["[torch]", "[diffusers]"])
def test_photos_that_are_too_small_are_passed_over(tmp_path, capsys, formats):
    save_student(TinyStudent(width=4, channels=4), tmp_path / "student")
    write_image(tmp_path / "photos/a.png", np.zeros((7, 5, 3), np.uint8))
    options = ["-o", tmp_path / "out", "--photos", tmp_path / "photos", "--formats", formats]
    assert run(tmp_path / "student", *options) == 1
    assert "photos: none of 1 photos has sides of 16 pixels or more" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    write_image(tmp_path / "photos/b.png", np.random.default_rng(0).integers(0, 256, (17, 30, 3), np.uint8))
    assert run(tmp_path / "student", *options) == 0


@pytest.mark.parametrize(
    ("options", "said", "status"),
    [
        (["--formats", "[torch]", "--variants", "[int8]"], "add onnx to --formats", 2),
        (["--formats", "[]"], "name at least one of diffusers, onnx, torch", 2),
        (["--metrics", "none.json"], "none.json: no such file", 1),
        (["--formats", "[caffe]"], "caffe", 2),
    ],
)
def test_what_cannot_be_exported(source, tmp_path, options, said, status, capsys):
    assert run(source, "-o", tmp_path / "out", *options) == status
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_student_that_is_not_there(tmp_path, capsys):
    assert run(tmp_path / "none", "-o", tmp_path / "out") == 1
    assert "none: no such folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_student_that_cannot_be_traced_is_refused_before_a_file_is_written(tmp_path, capsys):
    """One that decodes latent by latent and draws noise: its folder for diffusers is what there is."""
    from adc_wan import OneStepVideo, WanAutoencoder, WanConditioner, WanDenoiser

    layers = {"num_attention_heads": 2, "attention_head_dim": 12, "ffn_dim": 32, "num_layers": 2, "text_dim": 16}
    autoencoder = WanAutoencoder(config={"base_dim": 3, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1})
    conditioner = WanConditioner(autoencoder, length=6, width=16)
    student, out = tmp_path / "student", tmp_path / "out"
    save_student(OneStepVideo(WanDenoiser(config=layers), conditioner), student)
    assert run(student, "-o", out) == 1
    assert "OneStepVideo has no program of any size" in (error := capsys.readouterr().err)
    assert "--formats '[diffusers]'" in error and len(error.strip().splitlines()) == 1
    assert not out.exists()
    assert run(student, "-o", out, "--formats", "[diffusers]") == 0
    clip = torch.rand(1, 5, 3, 16, 24) * 2 - 1
    with torch.no_grad():
        expected = load_student(str(student)).eval().restore(clip)
        assert_close(from_pretrained(out).student.restore(clip), expected)


@pytest.mark.parametrize(
    ("output", "says"),
    [("mine", "holds a README.md of yours"), ("mine/README.md", "README.md is no folder; name another")],
)
def test_what_is_there_is_not_overwritten(source, tmp_path, monkeypatch, capsys, output, says):
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine/README.md").write_text("my notes")
    assert run(source, "-o", output, "--formats", "diffusers") == 2
    assert says in capsys.readouterr().err
    assert [path.name for path in Path("mine").iterdir()] == ["README.md"]
    assert Path("mine/README.md").read_text() == "my notes"


def test_an_export_takes_the_place_of_a_former_one(tmp_path, capsys):
    save_student(TinyStudent(width=4, channels=4), tmp_path / "student")
    for title in ("first", "second"):
        assert run(tmp_path / "student", "-o", tmp_path / "out", "--formats", "diffusers", "--title", title) == 0
    assert (
        "# second\n\nA super-resolution network: one pass enlarges an image 4 times"
        in (tmp_path / "out" / "README.md").read_text()
    )
