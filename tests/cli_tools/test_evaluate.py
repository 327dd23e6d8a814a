import csv
import json
import shutil
import struct
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageCms
from scipy import stats

from adc.cli import main
from adc.evaluation.measure import Method
from adc.evaluation.summary import comparisons
from adc.media.image_files import ImageMetadata, image_writer
from adc.media.images import read_image, to_frame
from adc.metrics import psnr_y, ssim_y


@pytest.fixture(autouse=True)
def empty_caches(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("cache")))


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
    assert list(figures) == ["images", "mean", "interval", "failed", "metrics", "skipped", "notes", "options"]
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
    assert figures["images"] == [{"name": "b.png", "psnr_y": pytest.approx(80.0), "ssim_y": pytest.approx(1.0)}]


def test_formats_may_differ(tmp_path):
    write(tmp_path / "restored/a.png")
    write(tmp_path / "reference/a.tif")
    assert adc(tmp_path / "restored", tmp_path / "reference") == 0


def test_a_missing_image_and_one_too_many_are_named(folders, capsys):
    (folders / "restored/b.png").unlink()
    assert adc(folders / "restored", folders / "reference", "--json", folders / "figures.json") == 1
    error = capsys.readouterr().err
    assert f"{folders / 'reference/b.png'}: no partner called 'b' in {folders / 'restored'}. Add" in error
    (folders / "reference/b.png").unlink()
    write(folders / "restored/extra.png")
    assert adc(folders / "restored", folders / "reference") == 1
    error = capsys.readouterr().err
    assert f"{folders / 'restored/extra.png'}: no partner called 'extra' in {folders / 'reference'}. Add" in error
    assert error.count("\n") == 1
    assert not (folders / "figures.json").exists()


def test_what_has_no_partner_can_be_left_out(folders, capsys):
    (folders / "restored/b.png").rename(folders / "restored/z.png")
    assert adc(folders / "restored", folders / "reference") == 1
    assert "To leave out what has no partner, take --partial." in capsys.readouterr().err
    files = ["--json", folders / "f.json", "--markdown", folders / "f.md"]
    assert adc(folders / "restored", folders / "reference", "--partial", "--metrics", "psnr_y", *files) == 0
    figures, error = json.loads((folders / "f.json").read_text()), capsys.readouterr().err
    assert [row["name"] for row in figures["images"]] == ["a.png", "deep/c.png"]
    for one, other, name in (("restored", "reference", "z"), ("reference", "restored", "b")):
        note = f"1 of 3 in {folders / one} have no partner in {folders / other} and are left out ({name})"
        assert note in figures["notes"] and f"- note: {note}\n" in (folders / "f.md").read_text()
        assert f"adc: restored: {note}\n" in error


def test_names_with_a_label(folders):
    for path in [*(folders / "restored").rglob("*.png")]:
        path.rename(path.with_name(f"{path.stem}_out.png"))
    assert adc(folders / "restored", folders / "reference", "--metrics", "psnr_y", "--json", folders / "f.json") == 0
    figures = json.loads((folders / "f.json").read_text())
    assert [row["name"] for row in figures["images"]] == ["a.png", "b.png", "deep/c.png"]
    assert figures["notes"] == [f"names were compared without '_out' in {folders / 'restored'}"]


def test_colours_of_two_profiles_are_noted(tmp_path):
    a, b = write(tmp_path / "a.png"), write(tmp_path / "b.png")
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    place = profile.index("sRGB".encode("utf-16-be"))
    profile[place : place + 8] = "wide".encode("utf-16-be")
    with Image.open(a) as image:
        image.save(tmp_path / "c.png", icc_profile=bytes(profile))
    assert adc(tmp_path / "c.png", b, "--metrics", "psnr_y", "--json", tmp_path / "f.json") == 0
    (note,) = json.loads((tmp_path / "f.json").read_text())["notes"]
    assert note.startswith("b.png: the result's colours are wide") and note.endswith("sRGB; values were compared")


@pytest.mark.parametrize(
    ("chunks", "noted"),
    [
        ({b"sRGB": b"\0", b"gAMA": struct.pack(">I", 45455)}, []),
        ({b"cICP": bytes((12, 13, 0, 1))}, ["cICP"]),
        ({b"gAMA": struct.pack(">I", 100000)}, ["gAMA"]),
    ],
)
def test_what_png_files_say_of_their_colours(tmp_path, chunks, noted):
    for name, said in (("a.png", chunks), ("b.png", {})):
        with image_writer(tmp_path / name, (20, 24), 3, ImageMetadata(chunks=said)) as writer:
            writer.write(np.zeros((24, 20, 3), np.uint8))
    assert adc(tmp_path / "a.png", tmp_path / "b.png", "--metrics", "psnr_y", "--json", tmp_path / "f.json") == 0
    notes = json.loads((tmp_path / "f.json").read_text())["notes"]
    text = "b.png: result and reference differ in what they say of their colours"
    assert notes == [f"{text} ({name})" for name in noted]


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
        ("twins", "reference", 1, "has the same name"),
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


def test_intervals_and_options(folders):
    assert (
        adc(folders / "restored", folders / "reference", "--level", 0.5, "--border", 2, "--json", folders / "f.json")
        == 0
    )
    figures = json.loads((folders / "f.json").read_text())
    for name in ("psnr_y", "ssim_y"):
        values = [row[name] for row in figures["images"]]
        low, high = figures["interval"][name]
        assert min(values) <= low <= figures["mean"][name] <= high <= max(values)
    assert figures["options"] == {"border": 2, "level": 0.5}
    clips = [
        to_frame(read_image(folders / kind / "a.png"))[None, None, :, 2:-2, 2:-2] for kind in ("restored", "reference")
    ]
    assert figures["images"][0]["psnr_y"] == pytest.approx(psnr_y(*clips).item())


def test_metrics_by_name_and_what_is_skipped(folders, capsys):
    chosen = ["psnr_rgb", "lpips", "fid", "sharpness"]
    assert adc(folders / "restored", folders / "reference", "--json", folders / "f.json", "--metrics", *chosen) == 0
    figures = json.loads((folders / "f.json").read_text())
    assert list(figures["metrics"]) == list(figures["mean"]) == ["psnr_rgb", "sharpness"]
    assert list(figures["skipped"]) == ["lpips", "fid"]
    assert "alexnet-owt-7be5be79.pth" in figures["skipped"]["lpips"] or "not installed" in figures["skipped"]["lpips"]
    assert "skipped: lpips (" in capsys.readouterr().out


PLUGIN = '''
from adc.interfaces import Metric, Scorer


class Darkness(Metric):
    """Mean absolute difference."""

    name, title, decimals = "my_metric", "mine", 2

    def __call__(self, restored, reference):
        return (restored - reference).abs().flatten(1).mean(dim=1)


class MyScorer(Scorer):
    """Mean value."""

    def forward(self, clip):
        return clip.flatten(1).mean(dim=1)


class NeedsMore(MyScorer):
    """A scorer that is not made without arguments."""

    def __init__(self, more):
        super().__init__()
'''


def test_metrics_of_a_plugin(folders, tmp_path):
    """In a process of its own: what is imported once stays known."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/outside_metrics.py").write_text(PLUGIN)

    def run(*arguments):
        command = [sys.executable, "-m", "adc", *map(str, arguments), "--plugins", str(tmp_path / "plugins")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    compared = ["evaluate", folders / "restored", folders / "reference", "--json", folders / "f.json", "--metrics"]
    assert run(*compared, "my_metric", "MyScorer", "psnr_y").returncode == 0
    figures = json.loads((folders / "f.json").read_text())
    assert figures["metrics"]["my_metric"] == {"title": "mine", "options": "", "higher_is_better": False}
    assert figures["metrics"]["MyScorer"]["higher_is_better"]
    for row in figures["images"]:
        a, b = (to_frame(read_image(folders / kind / row["name"])) for kind in ("restored", "reference"))
        assert row["my_metric"] == pytest.approx((a - b).abs().mean().item())
        assert row["MyScorer"] == pytest.approx(a.mean().item())
    listed = {one["name"]: one["kind"] for one in json.loads(run("list", "--json").stdout)}
    kinds = {"Darkness": "Metric", "MyScorer": "Scorer", "PsnrY": "Metric", "Fid": "SetMetric", "Dover": "FileMetric"}
    assert {name: listed[name] for name in kinds} == kinds
    failed = run(*compared, "NeedsMore")
    assert failed.returncode == 1
    assert "metric 'NeedsMore' cannot be made without arguments" in failed.stderr
    (tmp_path / "plugins/other_metrics.py").write_text(PLUGIN)
    failed = run(*compared, "my_metric")
    assert failed.returncode == 2
    assert "other_metrics.Darkness and outside_metrics.Darkness have this name; rename one" in failed.stderr


def test_csv_and_markdown(folders):
    arguments = ["--csv", folders / "f.csv", "--markdown", folders / "f.md", "--json", folders / "f.json"]
    assert adc(folders / "restored", folders / "reference", *arguments) == 0
    figures = json.loads((folders / "f.json").read_text())
    rows = list(csv.DictReader((folders / "f.csv").open()))
    assert [row["name"] for row in rows] == ["a.png", "b.png", "deep/c.png"]
    assert [float(row["psnr_y"]) for row in rows] == [row["psnr_y"] for row in figures["images"]]
    text = (folders / "f.md").read_text()
    assert text.startswith("| method | n | PSNR-Y dB ↑ | SSIM-Y ↑ |\n| --- | ---: | ---: | ---: |\n| restored | 3 |")
    assert f"{figures['mean']['psnr_y']:.3f} [{figures['interval']['psnr_y'][0]:.3f}, " in text
    assert "- skipped: lpips (" in text


@pytest.fixture
def methods(tmp_path):
    """Eight images; in `near` all but the last are closer to the reference than in `far`."""
    for seed in range(8):
        reference = np.random.default_rng(seed).integers(60, 190, (24, 20, 3))
        noise = np.random.default_rng(seed + 50).normal(size=reference.shape)
        for name, strength in (("reference", 0), ("near", 5 + seed), ("far", 20 if seed < 7 else 2)):
            path = tmp_path / name / f"{seed}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray((reference + strength * noise).clip(0, 255).astype(np.uint8)).save(path)
    return tmp_path


@pytest.mark.parametrize(("higher", "expected"), [(True, (1, 1, 2)), (False, (2, 1, 1))])
def test_wins_ties_and_losses(higher, expected):
    one, other = (
        Method(name, [{"name": str(number), "figure": figure} for number, figure in enumerate(figures)])
        for name, figures in (("one", (1.0, 2.0, 3.0, 4.0)), ("other", (1.0, 1.0, 5.0, 6.0)))
    )
    (found,) = comparisons([one, other], {"figure": SimpleNamespace(higher_is_better=higher)}, 0.95)
    assert (found.wins, found.ties, found.losses) == expected


def test_methods_side_by_side(methods, capsys):
    arguments = ["--metrics", "psnr_y", "--compare", methods / "far", "--json", methods / "f.json"]
    assert adc(methods / "near", methods / "reference", *arguments, "--markdown", methods / "f.md") == 0
    figures = json.loads((methods / "f.json").read_text())
    assert list(figures["methods"]) == ["near", "far"]
    (found,) = figures["comparisons"]
    gaps = np.subtract(*([row["psnr_y"] for row in figures["methods"][name]["images"]] for name in ("near", "far")))
    assert (found["wins"], found["ties"], found["losses"], found["images"]) == (7, 0, 1, 8)
    assert found["difference"] == pytest.approx(gaps.mean())
    assert found["interval"][0] < gaps.mean() < found["interval"][1]
    assert found["p"] == pytest.approx(stats.wilcoxon(gaps).pvalue)
    assert 0 < found["p"] < 0.2
    assert "p (Wilcoxon)" in capsys.readouterr().out
    assert f"| PSNR-Y dB | near | far | 8 | {gaps.mean():+.3f} [" in (methods / "f.md").read_text()


def test_what_one_method_lacks_is_compared_by_none(methods):
    (methods / "far/3.png").write_bytes(b"no image")
    arguments = ["--metrics", "psnr_y", "--compare", methods / "far", "--json", methods / "f.json"]
    assert adc(methods / "near", methods / "reference", *arguments) == 3
    figures = json.loads((methods / "f.json").read_text())
    assert [len(figures["methods"][name]["images"]) for name in ("near", "far")] == [8, 7]
    assert figures["methods"]["far"]["failed"] == 1
    assert figures["comparisons"][0]["images"] == 7


def test_equal_methods_are_no_different(methods):
    shutil.copytree(methods / "near", methods / "other/near")
    arguments = ["--metrics", "psnr_y", "--compare", methods / "other/near", "--json", methods / "f.json"]
    assert adc(methods / "near", methods / "reference", *arguments) == 0
    (found,) = json.loads((methods / "f.json").read_text())["comparisons"]
    assert found["methods"] == [f"{methods.name}/near", "other/near"]
    assert (found["ties"], found["p"], found["difference"]) == (8, 1.0, 0.0)


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--metrics", "lpip"], 2, "--metrics: no metric 'lpip'; did you mean lpips"),
        (["--metrics", "tlpips"], 2, "--metrics tlpips: looks at successive frames; add --video"),
        (["--metrics", "musiq"], 1, "nothing to measure: musiq"),
        (["--border", "-1"], 2, "--border -1"),
        (["--border", "12"], 3, "a border of 12 leaves nothing"),
        (["--level", "1.5"], 2, "--level 1.5"),
        (["--weights-dir", "absent"], 1, "--weights-dir absent: no such folder"),
        (["--device", "abacus"], 2, "--device abacus"),
        (["--compare", "absent"], 1, "absent: no such file or folder"),
        (["--metrics", ""], 2, "--metrics: none is named"),
        (["--json", "."], 2, "--json .: is a folder; name a file"),
        (["--csv", f"{__file__}/a.csv"], 2, f"{__file__} is no folder; name another place"),
    ],
)
def test_options_that_make_no_sense(folders, capsys, options, status, message):
    assert adc(folders / "restored", folders / "reference", *options) == status
    assert message in capsys.readouterr().err.splitlines()[0]


def test_the_same_result_twice(folders, capsys):
    assert adc(folders / "restored", folders / "reference", "--compare", folders / "restored") == 2
    assert "one result is given twice" in capsys.readouterr().err


def test_names_that_look_like_markup(tmp_path, capsys):
    for kind in ("restored", "reference"):
        write(tmp_path / kind / "[red]a.png")
    assert adc(tmp_path / "restored", tmp_path / "reference") == 0
    assert "[red]a.png" in capsys.readouterr().out
