"""The functions at the top of the package, as a notebook uses them."""

import importlib
import pkgutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from adc_tiny import TinyStudent
from PIL import Image

import adc
from adc.errors import UsageError
from adc.media.images import to_bytes, to_frame
from adc.pruning import load_student, save_student


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("library") / "student"
    save_student(TinyStudent(width=8), folder)
    return folder


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (20, 28, 3), dtype=np.uint8)


def test_importing_is_quick_and_imports_nothing():
    code = "import sys, time; start = time.process_time(); import adc; print(time.process_time() - start, *sys.modules)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    words = [run.stdout.split() for run in runs]
    assert min(float(first) for first, *_ in words) < 0.1
    assert not {"torch", "numpy", "PIL", "rich", "adc.cli"} & {*words[0]}


def test_the_names_are_functions_whatever_was_imported_before():
    for package in pkgutil.iter_modules(adc.__path__, "adc."):
        if package.name != "adc.__main__":
            importlib.import_module(package.name)
    for name in adc.__all__:
        assert callable(getattr(adc, name)) and name in dir(adc)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = adc.no_such_name


def test_every_kind_of_image_comes_back_as_it_was_given(student, pixels, tmp_path):
    upscaler = adc.load(student, device="cpu")
    expected = to_bytes(load_student(str(student)).eval().restore(to_frame(pixels)[None, None])[0, 0])
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.png")
    for given in (image, pixels, tmp_path / "a.png", str(tmp_path / "a.png")):
        large = upscaler(given)
        assert isinstance(large, np.ndarray if given is pixels else Image.Image)
        assert np.abs(np.asarray(large).astype(int) - expected).max() <= 1
    frame = to_frame(pixels)
    assert upscaler(frame).shape == (3, 80, 112)
    clips = torch.stack([frame, frame.flip(-1)])[:, None]
    assert torch.equal(upscaler(clips)[0, 0], upscaler(frame))
    assert upscaler(image.convert("RGBA")).mode == "RGBA"
    assert upscaler(image.convert("L")).mode == "L"


def test_files_become_files(student, pixels, tmp_path):
    upscaler = adc.load(student, device="cpu", scale=2)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "frames").mkdir()
    for number in range(2):
        Image.fromarray(pixels).save(tmp_path / f"frames/{number}.png")
    assert upscaler.image(tmp_path / "a.png", tmp_path / "b.png") == tmp_path / "b.png"
    assert upscaler.video(tmp_path / "frames", tmp_path / "large") == tmp_path / "large"
    for file in (tmp_path / "b.png", tmp_path / "large/1.png"):
        assert Image.open(file).size == (56, 40)


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 4)), np.zeros((4, 4, 3)), torch.zeros(4, 4), torch.zeros(1, 4, 4), Image.new("F", (4, 4)), 3],
    ids=["array of two axes", "array of floats", "tensor of two axes", "one channel", "PIL image of floats", "number"],
)
def test_what_is_no_image_is_refused_in_a_line(student, wrong):
    with pytest.raises(ValueError, match=r"^image: [^\n]+$"):
        adc.load(student, device="cpu")(wrong)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"device": "warp:9"}, "device warp:9"),
        ({"color": "red"}, "color red"),
        ({"precision": "fp8"}, "precision fp8"),
        ({"tile": 1}, "tile"),
        ({"scale": 0}, "scale 0"),
    ],
)
def test_an_option_out_of_its_range_is_refused(student, options, reason):
    with pytest.raises(UsageError, match=f"^{reason}"):
        adc.load(student, **{"device": "cpu", **options})


def test_figures_are_plain_data(student, pixels, tmp_path, capsys):
    for name in ("one", "two", "truth"):
        (tmp_path / name).mkdir()
        for number in range(2):
            Image.fromarray(np.roll(pixels, number, 0)).save(tmp_path / name / f"{number}.png")
    found = adc.evaluate(tmp_path / "one", tmp_path / "truth", ["psnr_y"], compare=[tmp_path / "two"], device="cpu")
    assert set(found["methods"]) == {"one", "two"} and found["comparisons"][0]["ties"] == 2
    costs = adc.bench({"tiny": student, "again": TinyStudent(width=8)}, [16], repeats=2, device="auto")
    assert [row["name"] for row in costs["rows"]] == ["tiny", "again"]
    assert costs["rows"][0]["macs"] == costs["rows"][1]["macs"] > 0
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""


def test_a_broken_image_is_a_warning_and_the_rest_is_measured(pixels, tmp_path):
    for name in ("one", "truth"):
        (tmp_path / name).mkdir()
        for number in range(2):
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    (tmp_path / "one/1.png").write_text("no image")
    with pytest.warns(UserWarning, match=r"1\.png"):
        found = adc.evaluate(tmp_path / "one", tmp_path / "truth", ["psnr_y"], device="cpu")
    assert (len(found["images"]), found["failed"]) == (1, 1)


def test_a_pruned_student_and_its_export(student, tmp_path, capsys):
    report = adc.prune(student, {"body": 0.5}, folder=tmp_path / "pruned", size=16)
    before, after = report["parts"]["student"]["parameters"]
    assert after < before
    pruned = load_student(str(tmp_path / "pruned"))
    assert sum(parameter.numel() for parameter in pruned.parameters()) == after
    written = adc.export(tmp_path / "pruned", tmp_path / "out", ["diffusers"])
    assert written["parameters"] == after
    assert (tmp_path / "out" / written["files"][0]["file"]).is_file()
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""
