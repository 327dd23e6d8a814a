import json

import numpy as np
import pytest
from PIL import Image

from adc.cli import main
from adc.data.images import read_image, to_frame
from adc.metrics import psnr_y, ssim_y


def adc(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *map(str, arguments)])
    return stop.value.code


def write(path, seed=0, height=24, width=20):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def folders(tmp_path):
    for seed, name in enumerate(("a.png", "b.png", "deep/c.png")):
        write(tmp_path / "restored" / name, seed)
        write(tmp_path / "reference" / name, seed + 10)
    return tmp_path


def test_two_folders(folders, capsys):
    assert adc(folders / "restored", folders / "reference", "--json", folders / "new/figures.json") == 0
    figures = json.loads((folders / "new/figures.json").read_text())
    assert list(figures) == ["images", "mean"]
    assert [row["name"] for row in figures["images"]] == ["a.png", "b.png", "deep/c.png"]
    for row in figures["images"]:
        assert list(row) == ["name", "psnr_y", "ssim_y"]
        a, b = (to_frame(read_image(folders / kind / row["name"]))[None, None] for kind in ("restored", "reference"))
        assert row["psnr_y"] == pytest.approx(psnr_y(a, b).item())
        assert row["ssim_y"] == pytest.approx(ssim_y(a, b).item())
    for key in ("psnr_y", "ssim_y"):
        assert figures["mean"][key] == pytest.approx(np.mean([row[key] for row in figures["images"]]))
    table = capsys.readouterr().out
    assert "deep/c.png" in table
    assert f"{figures['mean']['psnr_y']:.3f}" in table
    assert [path.name for path in (folders / "new").iterdir()] == ["figures.json"]


def test_two_files_need_no_common_name(tmp_path):
    a, b = write(tmp_path / "a.png"), write(tmp_path / "b.png")
    assert adc(a, b, "--json", tmp_path / "figures.json") == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["images"] == [{"name": "a.png", "psnr_y": pytest.approx(80.0), "ssim_y": pytest.approx(1.0)}]


def test_formats_may_differ(tmp_path):
    write(tmp_path / "restored/a.png")
    write(tmp_path / "reference/a.tif")
    assert adc(tmp_path / "restored", tmp_path / "reference") == 0


def test_a_missing_image_and_one_too_many_are_named(folders, capsys):
    (folders / "restored/b.png").unlink()
    assert adc(folders / "restored", folders / "reference", "--json", folders / "figures.json") == 1
    error = capsys.readouterr().err
    assert f"{folders / 'restored'}: no image of the name of {folders / 'reference/b.png'}." in error
    (folders / "reference/b.png").unlink()
    write(folders / "restored/extra.png")
    assert adc(folders / "restored", folders / "reference") == 1
    error = capsys.readouterr().err
    assert f"{folders / 'reference'}: no image of the name of {folders / 'restored/extra.png'}." in error
    assert error.count("\n") == 1
    assert not (folders / "figures.json").exists()


def test_what_cannot_be_compared_is_named_and_the_rest_goes_on(folders, capsys):
    write(folders / "restored/b.png", height=23)
    broken = folders / "restored/deep/c.png"
    broken.write_bytes(broken.read_bytes()[:200])
    assert adc(folders / "restored", folders / "reference", "--json", folders / "figures.json") == 3
    errors = capsys.readouterr().err.splitlines()
    assert "b.png: 20x23 pixels, but" in errors[0]
    assert "has 20x24" in errors[0]
    assert str(broken) in errors[1]
    assert errors[2] == "adc: 2 of 3 failed"
    assert [row["name"] for row in json.loads((folders / "figures.json").read_text())["images"]] == ["a.png"]


def test_an_image_smaller_than_the_window(tmp_path, capsys):
    a, b = write(tmp_path / "a.png", height=10), write(tmp_path / "b.png", height=10)
    assert adc(a, b) == 3
    assert "a.png: SSIM needs sides of at least 11 pixels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("restored", "reference", "status", "message"),
    [
        ("absent", "reference", 1, "absent: no such file or folder"),
        ("restored", "reference/a.png", 2, "give two files or two folders"),
        ("twins", "reference", 1, "have one name"),
        ("empty", "reference", 1, "no image in this folder"),
    ],
)
def test_requests_that_make_no_sense(folders, capsys, restored, reference, status, message):
    (folders / "empty").mkdir()
    write(folders / "twins/a.png")
    write(folders / "twins/a.tif")
    assert adc(folders / restored, folders / reference) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
