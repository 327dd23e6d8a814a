"""What a file holds besides pixels is kept; depths, formats, scales and devices are as asked for."""

import io
import sys

import numpy as np
import pytest
import torch
from adc_tiny import TinyStudent
from lacking import without
from PIL import Image, ImageCms

from adc.cli import main
from adc.media.image_files import decode_image
from adc.pruning import save_student

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RGB = np.random.default_rng(0).integers(0, 256, (18, 24, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    save_student(TinyStudent(width=4, channels=4), folder)
    return folder


def upscale(student, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(["upscale", *map(str, arguments), "--student", str(student)])
    return stop.value.code


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
def test_what_belongs_to_a_file_is_kept(tmp_path, student, ending):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    exif.get_ifd(0x8769)[0xA002] = 24
    exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif, icc_profile=SRGB, dpi=(300, 200))
    assert upscale(student, tmp_path / "a.jpg", "-o", tmp_path / f"b.{ending}") == 0
    with Image.open(tmp_path / f"b.{ending}") as image:
        assert image.size == (72, 96)
        found = image.getexif()
        assert found.get(0x0112, 1) == 1
        assert found[0x010F] == "Camera"
        assert found.get_ifd(0x8769)[0x9003] == "2026:01:01 00:00:00"
        assert found.get_ifd(0x8769)[0xA002] == 72
        assert image.info["icc_profile"] == SRGB
        if ending != "webp":
            assert [round(float(dots)) for dots in image.info["dpi"]] == [300, 200]


@pytest.mark.parametrize(("ending", "mode"), [("png", "RGBA"), ("webp", "RGBA"), ("tif", "RGBA"), ("jpg", "RGB")])
def test_alpha_is_enlarged_apart(tmp_path, student, ending, mode):
    alpha = np.zeros((18, 24, 1), np.uint8)
    alpha[:, 12:] = 255
    Image.fromarray(np.concatenate([RGB, alpha], 2)).save(tmp_path / "a.png")
    assert upscale(student, tmp_path / "a.png", "-o", tmp_path / f"b.{ending}") == 0
    with Image.open(tmp_path / f"b.{ending}") as image:
        assert (image.mode, image.size) == (mode, (96, 72))
        if mode == "RGBA":
            large = np.asarray(image)[..., 3]
            assert (large[:, :40] == 0).all() and (large[:, 56:] == 255).all()


def test_grey_stays_grey(tmp_path, student):
    deep = np.linspace(0, 65535, 18 * 24).reshape(18, 24).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode_image(tmp_path / "a.png").pixels[..., 1], deep)
    assert upscale(student, tmp_path / "a.png", "-o", tmp_path / "b.png", "--depth", 16) == 0
    assert upscale(student, tmp_path / "a.png", "-o", tmp_path / "c.png") == 0
    with Image.open(tmp_path / "b.png") as b, Image.open(tmp_path / "c.png") as c:
        assert (b.mode, c.mode) == ("I;16", "L")
        assert np.abs(np.asarray(b) / 257 - np.asarray(c)).max() < 0.6


def test_sixteen_bits(tmp_path, student):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    for depth in (8, 16):
        assert upscale(student, tmp_path / "a.png", "-o", tmp_path / f"{depth}.png", "--depth", depth) == 0
    data = (tmp_path / "16.png").read_bytes()
    assert data[24] == 16
    with Image.open(tmp_path / "8.png") as shallow, Image.open(tmp_path / "16.png") as deep:
        assert np.abs(np.asarray(shallow).astype(int) - np.asarray(deep)).max() <= 1


@pytest.mark.parametrize(
    ("scale", "size"), [(2, (48, 36)), (1, (24, 18)), (1.5, (36, 27)), (4, (96, 72)), (6, (144, 108))]
)
def test_another_scale(tmp_path, student, scale, size):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    assert upscale(student, tmp_path / "a.png", "-o", tmp_path / "b.png", "--scale", scale) == 0
    assert Image.open(tmp_path / "b.png").size == size


def test_finished_files_are_left_out(tmp_path, student, capsys):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        Image.fromarray(RGB).save(tmp_path / f"in/{name}.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.png").write_bytes(b"finished")
    assert upscale(student, tmp_path / "in", "-o", tmp_path / "out", "--resume") == 0
    assert (tmp_path / "out/a.png").read_bytes() == b"finished"
    assert Image.open(tmp_path / "out/b.png").size == (96, 72)
    assert "1 of 2 was there already" in capsys.readouterr().out
    assert upscale(tmp_path / "no student is needed", tmp_path / "in", "-o", tmp_path / "out", "--resume") == 0


def test_several_devices_divide_the_files(tmp_path, student):
    (tmp_path / "in").mkdir()
    for name in "abcde":
        Image.fromarray(RGB).save(tmp_path / f"in/{name}.png")
    (tmp_path / "in/c.png").write_bytes(b"broken")
    assert upscale(student, tmp_path / "in", "-o", tmp_path / "out", "--device", "cpu,cpu", "--format", "webp") == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.webp", "b.webp", "d.webp", "e.webp"]


def test_a_list_of_files(tmp_path, student, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    for name in ("a", "deep/b"):
        Image.fromarray(RGB).save(tmp_path / f"{name}.png")
    monkeypatch.setattr(sys, "stdin", io.StringIO("a.png\n\ndeep/b.png\n"))
    assert upscale(student, "-", "-o", "out", "--format", "jpg") == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == ["out/a.jpg", "out/deep/b.jpg"]
    assert "2 images enlarged" in told.err


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_close(tmp_path, student, precision):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    for name in ("fp32", precision):
        assert upscale(student, tmp_path / "a.png", "-o", tmp_path / f"{name}.png", "--precision", name) == 0
    a, b = (np.asarray(Image.open(tmp_path / f"{name}.png")).astype(int) for name in ("fp32", precision))
    assert np.abs(a - b).mean() < 2


def test_a_precision_that_the_cpu_lacks_is_one_line(tmp_path, student, capsys):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with without("aten::convolution", torch.float16, torch.bfloat16):
        assert upscale(student, tmp_path / "a.png", "-o", tmp_path / "b.png", "--precision", "fp16") == 2
    said = "--precision fp16: this CPU does not compute in it (aten::convolution: not implemented here); take fp32."
    assert capsys.readouterr().err == f"adc: error: {said}\n"
    assert not (tmp_path / "b.png").exists()


def test_memory_that_runs_out_makes_tiles_smaller(tmp_path, student, monkeypatch):
    Image.fromarray(np.tile(RGB, (10, 10, 1))).save(tmp_path / "a.png")
    restore = TinyStudent.restore

    def short_of_memory(self, lr):
        if lr.shape[-1] * lr.shape[-2] > 128 * 128:
            raise torch.OutOfMemoryError("out of memory")
        return restore(self, lr)

    monkeypatch.setattr(TinyStudent, "restore", short_of_memory)
    assert upscale(student, tmp_path / "a.png", "-o", tmp_path / "b.png") == 0
    assert Image.open(tmp_path / "b.png").size == (960, 720)
