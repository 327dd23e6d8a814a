import numpy as np
import pytest
import torch
from adc_tiny import Bicubic, TinyStudent
from PIL import Image

from adc.cli import main
from adc.inference.jobs import Job, plan
from adc.inference.restore import restore_image
from adc.interfaces import Restorer
from adc.media.images import read_image, to_frame
from adc.ops.clip import upsample_bicubic
from adc.pruning import save_student


class Nearest(Restorer):
    """Each pixel four times four; remembers the sizes it was shown."""

    scale = 4

    def __init__(self):
        super().__init__()
        self.shown = []

    def restore(self, lr, generator=None):
        self.shown.append(tuple(lr.shape[-2:]))
        assert min(lr.shape[-2:]) >= 16
        return lr.repeat_interleave(4, -1).repeat_interleave(4, -2)


def picture(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 1, 3, height, width, generator=generator) * 2 - 1


@pytest.mark.parametrize("size", [(40, 56), (17, 100), (33, 31), (5, 7), (64, 64)])
@pytest.mark.parametrize("tile", [None, 16, 32])
def test_tiles_of_a_pixelwise_restorer_are_the_whole(size, tile):
    lr = picture(*size)
    restorer = Nearest()
    hr = restore_image(restorer, lr, tile=tile, overlap=6)
    torch.testing.assert_close(hr, lr.repeat_interleave(4, -1).repeat_interleave(4, -2))
    if tile is not None:
        assert max(max(shown) for shown in restorer.shown) <= tile


def test_tiles_of_a_network_have_no_seams():
    lr = upsample_bicubic(picture(10, 14), 4).clamp(-1, 1)
    whole, tiled = restore_image(Bicubic(), lr), restore_image(Bicubic(), lr, tile=24, overlap=8)
    assert (whole - tiled).abs().max() < 0.05
    hard = restore_image(Bicubic(), lr, tile=24, overlap=0)
    assert (whole - tiled).abs().max() < (whole - hard).abs().max()


def test_results_are_plain_and_in_range():
    hr = restore_image(Bicubic(), picture(16, 16).requires_grad_(True))
    assert not hr.requires_grad
    assert hr.abs().max() <= 1


@pytest.mark.parametrize(
    ("tile", "overlap", "message"), [(8, 0, "tile: 8"), (32, 16, "overlap: 16"), (32, -1, "overlap: -1")]
)
def test_tiles_that_make_no_sense(tile, overlap, message):
    with pytest.raises(ValueError, match=message):
        restore_image(Bicubic(), picture(64, 64), tile=tile, overlap=overlap)


class Tinted(Bicubic):
    def restore(self, lr, generator=None):
        return super().restore(lr) * 0.5 + 0.2


@pytest.mark.parametrize("color", ["adain", "wavelet"])
def test_colors_are_matched_on_the_whole(color):
    lr = picture(32, 32) * 0.5
    off = (restore_image(Tinted(), lr, tile=16, overlap=4).mean((-2, -1)) - lr.mean((-2, -1))).abs().max()
    hr = restore_image(Tinted(), lr, tile=16, overlap=4, color=color)
    assert (hr.mean((-2, -1)) - lr.mean((-2, -1))).abs().max() < 0.1 * off


@pytest.fixture
def student(monkeypatch):
    restorer = Bicubic()
    monkeypatch.setattr("adc.pruning.load_student", lambda folder: restorer, raising=False)
    return restorer


def adc(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(["upscale", *map(str, arguments), "--student", "student"])
    return stop.value.code


def write(path, height=20, width=17, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
def test_one_image(tmp_path, student, ending, capsys):
    source = write(tmp_path / "small.png")
    result = tmp_path / "new" / f"large.{ending}"
    assert adc(source, "-o", result) == 0
    assert read_image(result).shape == (80, 68, 3)
    assert str(result) in capsys.readouterr().out
    assert [path.name for path in result.parent.iterdir()] == [result.name]


def test_the_pixels_are_the_restorers(tmp_path, student):
    source = write(tmp_path / "small.png")
    assert adc(source, "-o", tmp_path / "large.png") == 0
    expected = restore_image(student, to_frame(read_image(source))[None, None])[0, 0]
    assert (to_frame(read_image(tmp_path / "large.png")) - expected).abs().max() <= 1.001 / 255


def test_one_image_into_a_folder(tmp_path, student):
    assert adc(write(tmp_path / "small.jpg"), "-o", tmp_path / "out", "--tile", 16, "--overlap", 4) == 0
    assert read_image(tmp_path / "out/small.png").shape == (80, 68, 3)


def test_a_folder_keeps_its_shape(tmp_path, student):
    for name, mode in (("a.png", "RGB"), ("b.jpg", "L"), ("deep/c.webp", "RGB"), ("d.png", "P")):
        write(tmp_path / "in" / name, mode=mode)
    assert adc(tmp_path / "in", "-o", tmp_path / "in/out", "--color", "adain", "--precision", "bf16") == 0
    found = sorted(path.relative_to(tmp_path / "in/out").as_posix() for path in (tmp_path / "in/out").rglob("*.*"))
    assert found == ["a.png", "b.png", "d.png", "deep/c.png"]
    assert adc(tmp_path / "in", "-o", tmp_path / "in/out") == 0
    assert len(list((tmp_path / "in/out").rglob("*.png"))) == 4


def test_a_broken_image_is_named_and_the_rest_goes_on(tmp_path, student, capsys):
    write(tmp_path / "in/a.png")
    broken = write(tmp_path / "in/b.png")
    broken.write_bytes(broken.read_bytes()[:100])
    (tmp_path / "in/c.jpg").write_text("no image")
    write(tmp_path / "in/d.png")
    assert adc(tmp_path / "in", "-o", tmp_path / "out") == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "d.png"]
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert str(broken) in errors[0]
    assert "c.jpg" in errors[1]
    assert errors[2] == "adc: 2 of 4 failed"


def test_too_little_memory_names_the_image(tmp_path, student, capsys, monkeypatch):
    def refuse(lr):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a lot.")

    monkeypatch.setattr(student, "restore", refuse)
    assert adc(write(tmp_path / "a.png"), "-o", tmp_path / "b.png") == 3
    assert "a.png: 17x20 pixels need more memory than there is; try --tile 256" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "target", "status", "message"),
    [
        ("absent.png", "out.png", 1, "absent.png: no such file or folder"),
        ("empty", "out", 1, "no image in this folder"),
        ("twins", "out", 1, "would both become"),
        ("one", "out.png", 2, "is a folder, so this must be a folder too"),
        ("one/a.png", "out.gif", 2, "unknown image format"),
        ("one/a.png", "one", 2, "would be overwritten"),
        ("one", "one", 2, "would be overwritten"),
    ],
)
def test_requests_that_make_no_sense(tmp_path, student, capsys, source, target, status, message):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "one/a.png")
    write(tmp_path / "twins/a.png")
    write(tmp_path / "twins/a.jpg")
    before = (tmp_path / "one/a.png").read_bytes()
    assert adc(tmp_path / source, "-o", tmp_path / target) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert (tmp_path / "one/a.png").read_bytes() == before


def test_a_device_that_is_not_there(tmp_path, student, capsys):
    assert adc(write(tmp_path / "a.png"), "-o", tmp_path / "b.png", "--device", "warp:9") == 2
    assert "--device warp:9: there is no such device here" in capsys.readouterr().err


def test_a_student_folder(tmp_path, capsys):
    student = TinyStudent(width=4)
    save_student(student, tmp_path / "student")
    source = write(tmp_path / "small.png")
    with pytest.raises(SystemExit) as stop:
        main(["upscale", str(source), "-o", str(tmp_path / "large.png"), "--student", str(tmp_path / "student")])
    assert stop.value.code == 0
    expected = restore_image(student, to_frame(read_image(source))[None, None])[0, 0]
    assert (to_frame(read_image(tmp_path / "large.png")) - expected).abs().max() <= 1.001 / 255
    assert adc(source, "-o", tmp_path / "other.png") == 1
    assert "student: no such folder" in capsys.readouterr().err


def test_plan_of_a_folder(tmp_path):
    write(tmp_path / "in/a.png")
    assert plan(tmp_path / "in", tmp_path / "out") == [Job(tmp_path / "in/a.png", tmp_path / "out/a.png")]
