"""Which files of a folder are upscaled, where to, and what is told of the others; what methods share is compared."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from adc_tiny import TinyStudent
from PIL import Image, ImageDraw

from adc.cli import main
from adc.files import replacing
from adc.inference.jobs import plan
from adc.media.image_files import decode_image
from adc.media.images import read_image, write_image
from adc.media.rates import checked_rate
from adc.pruning import save_student

RGB = np.random.default_rng(0).integers(0, 256, (18, 20, 3), dtype=np.uint8)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a student, to which paths are relative."""
    monkeypatch.chdir(tmp_path)
    save_student(TinyStudent(width=4, channels=4), "student")
    return tmp_path


def adc(*words):
    with pytest.raises(SystemExit) as stop:
        main([*map(str, words)])
    return stop.value.code or 0


def upscale(*words):
    return adc("upscale", *words, "--student", "student")


@pytest.mark.parametrize(
    ("place", "given", "output"), [(".", "work/in", "work"), ("work", "in", "."), ("work/in", ".", "..")]
)
def test_a_folder_inside_its_output_folder(here, monkeypatch, place, given, output):
    write_image("work/in/a.png", RGB)
    monkeypatch.chdir(place)
    assert adc("upscale", given, "-o", output, "--student", here / "student") == 0
    assert read_image(here / "work/a.png").shape == (72, 80, 3)


def test_links_to_the_output_folder(here):
    write_image("lib/x.png", RGB)
    write_image("pick/y.png", RGB)
    Path("pick/z.png").symlink_to("../lib/x.png")
    assert upscale("pick", "-o", "lib") == 0
    assert sorted(path.name for path in Path("lib").iterdir()) == ["x.png", "y.png", "z.png"]


def test_results_inside_the_input_are_no_inputs(here):
    write_image("in/a.png", RGB)
    for _ in range(2):
        assert upscale("in", "-o", "in/out") == 0
        assert [path.name for path in Path("in/out").iterdir()] == ["a.png"]
    Path("in/a.png").unlink()
    assert upscale("in", "-o", "in/out") == 1


def test_what_is_not_done_is_told(here, capsys):
    for name in ("a.png", "b.jpg"):
        write_image(f"in/{name}", RGB)
    for name in ("c.heic", "d.jxl", "notes.txt", ".hidden.heic"):
        Path("in", name).write_bytes(b"x")
    assert upscale("in", "-o", "out") == 0
    assert "adc: in: 3 other files left out (.heic, .jxl, .txt)\n" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["jfif", "jpe", "gif", "tga", "jp2", "pnm", "pbm", "apng"])
def test_a_folder_holds_what_a_single_file_may_be(here, ending):
    kinds = {"jfif": "JPEG", "jpe": "JPEG", "tga": "TGA", "jp2": "JPEG2000", "apng": "PNG", "gif": "GIF"}
    Path("in").mkdir()
    Image.fromarray(RGB).save(f"in/a.{ending}", kinds.get(ending, "PPM"))
    assert upscale("in", "-o", "out") == 0
    assert upscale(f"in/a.{ending}", "-o", "one.png") == 0
    np.testing.assert_array_equal(read_image("out/a.png"), read_image("one.png"))


@pytest.mark.parametrize("output", ["out.v2/", "results_x1.5/", "2026.11.26/"])
def test_a_slash_makes_a_folder(here, output):
    write_image("a.png", RGB)
    assert upscale("a.png", "-o", output) == 0
    assert (Path(output) / "a.png").is_file()


def test_without_it_the_way_out_is_named(here, capsys):
    write_image("a.png", RGB)
    assert upscale("a.png", "-o", "out.v2") == 2
    assert "If it is a folder, end it with /." in capsys.readouterr().err


def test_one_damaged_file_never_stops_a_folder(here, capsys):
    write_image("in/good.png", RGB)
    Path("in/bad.jpg").write_bytes(b"DDS " + bytes(140))
    assert upscale("in", "-o", "out") == 3
    assert Path("out/good.png").is_file()
    assert "in/bad.jpg: " in capsys.readouterr().err


def test_folders_of_frames_and_of_videos(here):
    for clip in ("one", "two"):
        for number in range(2):
            write_image(f"clips/{clip}/{number}.png", RGB)
    jobs = plan("clips", "out", frames=True)
    assert [(job.source.as_posix(), job.target.as_posix(), job.video) for job in jobs] == [
        ("clips/one", "out/one", True),
        ("clips/two", "out/two", True),
    ]
    Path("mixed").mkdir()
    Path("mixed/film.mp4").write_bytes(b"x")
    write_image("mixed/photo.png", RGB)
    assert [(job.target.as_posix(), job.video) for job in plan("mixed", "out")] == [
        ("out/film.mp4", True),
        ("out/photo.png", False),
    ]


def test_transparent_edges_are_as_over_their_own_colour(here):
    """A white disc on transparent black: what is seen of it is white everywhere."""
    large = Image.new("L", (256, 256))
    ImageDraw.Draw(large).ellipse((40, 40, 216, 216), fill=255)
    alpha = np.asarray(large.resize((64, 64), Image.Resampling.BOX))
    for hidden in (0, 255):
        colors = np.full((64, 64, 3), hidden, np.uint8)
        colors[alpha > 0] = 255
        Image.fromarray(np.dstack([colors, alpha])).save(f"disc{hidden}.png")
        assert upscale(f"disc{hidden}.png", "-o", f"large{hidden}.png") == 0
    black, white = (decode_image(Path(f"large{hidden}.png")) for hidden in (0, 255))
    np.testing.assert_array_equal(black.pixels, white.pixels)
    np.testing.assert_array_equal(black.alpha, white.alpha)


def test_sixteen_bits_of_colour_come_through(here):
    ramp = np.linspace(8000, 9000, 64).round().astype(np.uint16)[None, :, None].repeat(32, 0).repeat(3, 2)
    from adc.media.image_files import image_writer

    with image_writer(Path("a.png"), (64, 32), 3, depth=16) as writer:
        writer.write(ramp)
    assert upscale("a.png", "-o", "b.png", "--depth", "16") == 0
    assert upscale("a.png", "-o", "c.png") == 0
    deep, plain = decode_image(Path("b.png")).pixels, decode_image(Path("c.png")).pixels
    assert deep.dtype == np.uint16 and plain.dtype == np.uint8
    assert len(np.unique(deep)) > 4 * len(np.unique(plain))
    np.testing.assert_array_equal(read_image("b.png"), plain)


@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
def test_methods_of_other_formats_are_compared(here, ending):
    draw = np.random.default_rng(1)
    for number in range(4):
        pixels = draw.integers(0, 256, (40, 44, 3), dtype=np.uint8)
        for folder in ("reference", "ours"):
            write_image(f"{folder}/{number}.png", pixels)
        write_image(f"theirs/{number}.{ending}", pixels)
    options = ["--metrics", "psnr_y", "--json", "found.json"]
    assert adc("evaluate", "ours", "reference", "--compare", "theirs", *options) == 0
    (comparison,) = json.loads(Path("found.json").read_text())["comparisons"]
    assert comparison["images"] == 4
    assert adc("evaluate", "ours/0.png", "reference/1.png", "--compare", f"theirs/2.{ending}", *options) == 0
    assert len(json.loads(Path("found.json").read_text())["comparisons"]) == 1


def test_what_methods_do_not_share_is_told(here, capsys):
    for number in range(3):
        for folder in ("reference", "ours", "theirs"):
            write_image(f"{folder}/{number}.png", RGB)
    Path("theirs/1.png").write_bytes(b"no image")
    adc("evaluate", "ours", "reference", "--compare", "theirs", "--metrics", "psnr_y", "--json", "found.json")
    assert "ours and theirs: 2 compared, which both have; of 3 and 2 that could be measured" in capsys.readouterr().err


def test_a_pair_of_which_one_is_transparent(here, capsys):
    write_image("a.png", RGB)
    Image.fromarray(np.dstack([RGB, np.full((18, 20), 128, np.uint8)])).save("half.png")
    half = np.dstack([RGB, np.arange(360, dtype=np.uint16).reshape(18, 20).clip(0, 255).astype(np.uint8)])
    Image.fromarray(half).save("fades.png")
    Image.fromarray(np.dstack([RGB, np.full((18, 20), 255, np.uint8)])).save("opaque.png")
    for name, told in (("half", True), ("fades", True), ("opaque", False)):
        assert adc("evaluate", f"{name}.png", "a.png", "--metrics", "psnr_rgb") == 0
        assert ("only the result is transparent" in capsys.readouterr().err) == told, name


def test_names_that_are_no_text(here):
    name = b"\x93\xfa.png"
    for folder in ("one", "two"):
        write_image(f"{folder}/a.png", RGB)
        Path(f"{folder}/a.png").rename(os.fsdecode(folder.encode() + b"/" + name))
    assert adc("evaluate", "one", "two", "--metrics", "psnr_y", "--json", "e.json", "--csv", "e.csv") == 0
    assert Path("e.csv").read_text().count("\n") >= 2 and json.loads(Path("e.json").read_text())["images"]


def test_netpbm_formats_hold_what_their_names_say(here, capsys):
    Image.fromarray(RGB).save("color.png")
    Image.fromarray(RGB[..., 0]).save("gray.png")
    assert upscale("color.png", "-o", "a.pgm") == 3
    assert "a.pgm: .pgm holds grey only, and this image has colours; take .ppm or .png." in capsys.readouterr().err
    assert not Path("a.pgm").exists()
    for source, target, magic in (("gray", "b.pgm", b"P5"), ("gray", "b.ppm", b"P6"), ("color", "c.ppm", b"P6")):
        assert upscale(f"{source}.png", "-o", target) == 0
        assert upscale(f"{source}.png", "-o", "plain.png") == 0
        assert Path(target).read_bytes()[:2] == magic
        np.testing.assert_array_equal(read_image(target), read_image("plain.png"))
    with pytest.raises(ValueError, match=r"holds grey only"):
        write_image("d.pgm", RGB)
    write_image("d.pgm", RGB[..., :1].repeat(3, axis=2))
    assert Path("d.pgm").read_bytes()[:2] == b"P5"


@pytest.mark.parametrize("words", [["-o", "-"], ["--output", "-"], ["--output=-"]])
def test_results_do_not_go_to_standard_output(here, capsys, words):
    Image.fromarray(RGB).save("a.png")
    assert upscale("a.png", *words) == 2
    assert "adc: error: --output -: results are files; name one, or a folder." in capsys.readouterr().err


def test_what_a_killed_run_left_is_swept(here):
    Image.fromarray(RGB).save("a.png")
    with replacing("out/a.png") as scratch:
        left = scratch.with_name(re.sub(r"-\d+-", "-4194303-", scratch.name))  # of a process that is no more
        left.write_bytes(b"x")
        scratch.write_bytes(b"y")
    assert left.is_file()
    assert upscale("a.png", "-o", "out/b.png") == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "b.png"]


def test_sigterm_leaves_nothing_half_written(here):
    """While the result of many tiles is being written."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)).save("a.png")
    command = [sys.executable, "-m", "adc", "upscale", "a.png", "-o", "out/b.png", "--student", "student"]
    options = ["--device", "cpu", "--tile", "64", "--overlap", "8"]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(Path().glob("out/.b.*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[1] == "adc: stopped by SIGTERM\n"
    assert process.returncode == 143 and list(Path("out").iterdir()) == []


def test_what_stands_in_the_way_of_a_result_is_found_first(here, capsys):
    write_image("in/a.png", RGB)
    Path("loop").symlink_to("pool")
    Path("pool").symlink_to("loop")
    Path("gone").symlink_to("nowhere")
    for output, place in (
        ("in/a.png/", "in/a.png is no folder"),
        ("loop/", "loop is a link that leads nowhere"),
        ("gone/x/y.png", "gone is a link that leads nowhere"),
        ("/dev/null/x/", "/dev/null is no fo"),
    ):
        assert upscale("in/a.png", "-o", output) == 2
        assert place in capsys.readouterr().err


@pytest.mark.parametrize("rate", ["1e400", "1e999999999", "1e12", "10001", "1e-30", "nan", "-1", "1/0"])
def test_rates_that_no_container_holds(here, capsys, rate):
    write_image("frames/1.png", RGB)
    assert upscale("frames", "-o", "out.mkv", "--frames", f"--rate={rate}") == 2
    assert f"--rate {rate}: frames per second" in capsys.readouterr().err
    assert not Path("out.mkv").exists()


def test_rates_are_fractions_that_containers_hold():
    assert [str(checked_rate(rate)) for rate in (25, 23.976, 29.97002997)] == ["25", "2997/125", "30000/1001"]


@pytest.mark.parametrize(
    "words", [("", "-o", "out.png"), ("in", "-o", ""), ("in", "-o=x", "--device="), ("in", "--output=")]
)
def test_empty_arguments_are_slips(here, capsys, words):
    write_image("in/a.png", RGB)
    assert upscale(*words) == 2
    said = capsys.readouterr().err
    assert "is empty, as a variable of the shell that is not set" in said
    assert said.count("\n") == 1
    assert sorted(path.name for path in here.iterdir()) == ["in", "student"]
