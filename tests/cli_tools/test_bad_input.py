# ruff: noqa: E501 - a table
"""What is wrong with inputs, outputs, students and command lines, and how each case ends: nothing is half-written."""

import io
import os
import resource
import struct
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from adc_tiny import TinyStudent
from PIL import Image

from adc.cli import main
from adc.pruning import save_student

DONE, FAILED, USAGE, SOME_FAILED = 0, 1, 2, 3


@pytest.fixture(scope="module")
def students(tmp_path_factory):
    """Folders of students: one that is whole, and some that are not."""
    home = tmp_path_factory.mktemp("students")
    for name in ("whole", "nan", "infinite", "truncated", "unfinished", "other"):
        student = TinyStudent(width=4, channels=4)
        with torch.no_grad():
            if name in ("nan", "infinite"):
                student.guess.bias[0] = float("nan" if name == "nan" else "inf")
        save_student(student, home / name)
    weights = home / "truncated/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])
    (home / "unfinished/student.yaml").unlink()
    (home / "other/student.yaml").write_text("format: 99\n")
    (home / "broken.onnx").write_bytes(b"no model")
    return home


def picture(height=18, width=20):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def saved(image, path, **options):
    image.save(path, **options)
    return path


def cut(path, kept=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, data=b"", extra=b""):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + (chunk(b"IDAT", data) if data else b"") + chunk(b"IEND", b"")


def rows(width, height):
    return zlib.compress(bytes((3 * width + 1) * height))


@dataclass
class Case:
    """One thing that is wrong.

    Attributes:
        make: Puts files into the folder ``in``.
        status: How `adc upscale` ends.
        says: What standard error holds; of a success, only a note.
        left: Sizes of the files that are there afterwards, by name; beside them there is nothing.
        asked: The command line, if not the folder ``in`` into the folder ``out``.
    """

    make: object
    status: int
    says: str = ""
    left: dict | None = None
    asked: tuple = ("in", "-o", "out")
    student: str = "whole"


GOOD = {"good.png": (80, 72)}


def whole(name, **options):
    return lambda home: saved(picture(), home / name, **options)


def content(name, data):
    return lambda home: (home / name).write_bytes(data)


def truncated(name):
    return lambda home: cut(saved(picture(60, 60), home / name))


def flat(name, mode, size=(20, 18), **options):
    return lambda home: saved(Image.new(mode, size), home / name, **options)


def link_to_itself(home):
    (home / "loop.png").symlink_to("loop.png")


def folder_in_itself(home):
    saved(picture(), home / "a.png")
    (home / "again").symlink_to(home)


def palette(home):
    image = picture().quantize(8)
    saved(image, home / "a.png", transparency=1)


def frames(home):
    saved(picture(), home / "a.gif", save_all=True, append_images=[picture(18, 20).rotate(90)])


def damaged_exif(home):
    saved(picture(), home / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(range(60)))


def not_to_be_read(home):
    saved(picture(), home / "a.png").chmod(0)


def pipe(home):
    os.mkfifo(home / "a.png")


ONE = ("in/a.png", "-o", "out/a.png")
A = {"a.png": (80, 72)}

CASES = {
    "zero bytes": Case(content("a.png", b""), SOME_FAILED, "a.png: not an image"),
    "text": Case(content("a.png", b"hello"), SOME_FAILED, "a.png: not an image"),
    "truncated png": Case(truncated("a.png"), SOME_FAILED, "a.png: cannot be read as an image"),
    "truncated jpg": Case(truncated("a.jpg"), SOME_FAILED, "a.jpg: cannot be read as an image"),
    "truncated webp": Case(truncated("a.webp"), SOME_FAILED, "a.webp: "),
    "truncated tif": Case(truncated("a.tif"), SOME_FAILED, "a.tif: "),
    "truncated bmp": Case(truncated("a.bmp"), SOME_FAILED, "a.bmp: "),
    "png cut in its header": Case(content("a.png", png(4, 4)[:20]), SOME_FAILED, "a.png: "),
    "png without pixels": Case(content("a.png", png(4, 4)), SOME_FAILED, "a.png: cannot be read as an image"),
    "png of no size": Case(content("a.png", png(0, 4, rows(0, 4))), SOME_FAILED, "a.png: "),
    "png with fewer rows than told": Case(content("a.png", png(40, 40, zlib.compress(os.urandom(3000))[:900])), SOME_FAILED, "a.png: "),
    "huge header": Case(content("a.png", png(10**6, 10**6, rows(1, 1))), SOME_FAILED, "pixels need"),
    "postscript as png": Case(content("a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), SOME_FAILED, "a.png: "),
    "floating-point pixels": Case(flat("a.tif", "F"), SOME_FAILED, "a.tif: cannot be read as an image (its pixels are floating"),
    "jpg called png": Case(whole("a.png", format="JPEG"), DONE, "", A),
    "png called jpg": Case(whole("a.jpg", format="PNG"), DONE, "", A),
    "1x1": Case(flat("a.png", "RGB", (1, 1)), DONE, "", {"a.png": (4, 4)}),
    "20000x3": Case(flat("a.png", "RGB", (20_000, 3)), DONE, "", {"a.png": (80_000, 12)}),
    "20000x3 as jpg": Case(flat("a.png", "RGB", (20_000, 3)), SOME_FAILED, "80000x12 pixels, but .jpg holds 65500 a side at most", asked=("in", "-o", "out", "--format", "jpg")),
    "20000x3 as webp": Case(flat("a.png", "RGB", (20_000, 3)), SOME_FAILED, ".webp holds 16383 a side at most", asked=("in/a.png", "-o", "out/a.webp")),
    "cmyk": Case(flat("a.jpg", "CMYK"), DONE, "", A),
    "one bit": Case(flat("a.png", "1"), DONE, "", A),
    "grey of 16 bits": Case(flat("a.png", "I;16"), DONE, "", A),
    "palette with transparency": Case(palette, DONE, "", A),
    "lab colours": Case(flat("a.tif", "LAB"), SOME_FAILED, "a.tif: "),
    "animated gif": Case(frames, DONE, "a.gif: of its 2 frames only the first is taken", {"a.png": (80, 72)}, ("in/a.gif", "-o", "out/a.png")),
    "damaged exif": Case(damaged_exif, DONE, "", A),
    "damaged colour profile": Case(whole("a.jpg", icc_profile=b"no profile"), DONE, "", A),
    "damaged cmyk profile": Case(flat("a.jpg", "CMYK", icc_profile=bytes(16) + b"CMYK" + bytes(120)), DONE, "profile is damaged", A),
    "a strange name": Case(whole("a b\n ü'.png"), DONE, "", {"a b\n ü'.png": (80, 72)}),
    "a long name": Case(whole("n" * 250 + ".png"), DONE, "", {"n" * 250 + ".png": (80, 72)}),
    "a folder called png": Case(lambda home: (home / "a.png").mkdir(), FAILED, "a.png: no image in this folder", asked=(*ONE[:1], "-o", "out")),
    "a folder called png in a folder": Case(lambda home: (home / "a.png").mkdir(), DONE, "", {}),
    "a link to itself": Case(link_to_itself, FAILED, "loop.png: no such file", asked=("in/loop.png", "-o", "out")),
    "a link to itself in a folder": Case(link_to_itself, SOME_FAILED, "loop.png: no such file"),
    "a folder that holds itself": Case(folder_in_itself, DONE, "", A),
    "a link to nothing": Case(lambda home: (home / "a.png").symlink_to("gone.png"), SOME_FAILED, "a.png: no such file"),
    "a pipe": Case(pipe, SOME_FAILED, "a.png: is a pipe, a socket or a device"),
    "no permission": Case(not_to_be_read, SOME_FAILED, "a.png: may not be read"),
    "nothing there": Case(lambda home: None, FAILED, "in/a.png: no such file or folder", asked=ONE),
    "a number that is none in the student": Case(whole("a.png"), FAILED, "nan: tensor guess.bias is not finite", asked=ONE, student="nan"),
    "infinity in the student": Case(whole("a.png"), FAILED, "infinite: tensor guess.bias", asked=ONE, student="infinite"),
    "a truncated student": Case(whole("a.png"), FAILED, "model.safetensors: not a whole safetensors file", asked=ONE, student="truncated"),
    "half a student": Case(whole("a.png"), FAILED, "student.yaml: no such file", asked=ONE, student="unfinished"),
    "a student of another time": Case(whole("a.png"), FAILED, "format is 99", asked=ONE, student="other"),
    "no student": Case(whole("a.png"), FAILED, "gone: no such folder", asked=ONE, student="gone"),
    "no onnx file": Case(whole("a.png"), FAILED, "gone.onnx: no such file", asked=ONE, student="gone.onnx"),
    "a file where the folder should be": Case(whole("a.png"), USAGE, "in/a.png/b.png: in/a.png is no folder", asked=("in/a.png", "-o", "in/a.png/b.png")),
    "a folder where the file should be": Case(lambda home: (saved(picture(), home / "a.png"), (home.parent / "out/a.png").mkdir(parents=True)), SOME_FAILED, "a.png: cannot be written", asked=("in", "-o", "out")),
    "a file for a folder": Case(whole("a.png"), USAGE, "in is a folder, so this must be a folder too", asked=("in", "-o", "out.png")),
    "an unknown format": Case(whole("a.png"), USAGE, "unknown image format", asked=("in/a.png", "-o", "out.gif")),
    "16 bits as jpg": Case(whole("a.png"), USAGE, "16 bits per channel are written as PNG only", asked=("in/a.png", "-o", "out.jpg", "--depth", "16")),
    "12 bits": Case(whole("a.png"), USAGE, "--depth 12: 8 or 16", asked=(*ONE, "--depth", "12")),
    "a tiny tile": Case(whole("a.png"), USAGE, "--tile: 8 pixels; at least 16", asked=(*ONE, "--tile", "8")),
    "an overlap of half a tile": Case(whole("a.png"), USAGE, "--overlap: 32 pixels", asked=(*ONE, "--tile", "64")),
    "a scale of nothing": Case(whole("a.png"), USAGE, "--scale 0.0: more than 0", asked=(*ONE, "--scale", "0")),
    "an unknown colour match": Case(whole("a.png"), USAGE, "color", asked=(*ONE, "--color", "red")),
    "an unknown device": Case(whole("a.png"), USAGE, "--device warp:9: there is no such device here", asked=(*ONE, "--device", "warp:9")),
    "the input as output": Case(whole("a.png"), USAGE, "would be overwritten", asked=("in", "-o", "in")),
    "two of one name": Case(lambda home: (saved(picture(), home / "a.png"), saved(picture(), home / "a.jpg")), FAILED, "would both become"),
}  # fmt: skip


def adc(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([*map(str, arguments)])
    return stop.value.code


def everything(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize("name", CASES)
def test_upscale(name, tmp_path, students, monkeypatch, capsys):
    case = CASES[name]
    if name == "no permission" and os.geteuid() == 0:
        pytest.skip("nothing is forbidden to root")
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "in"
    home.mkdir()
    case.make(home)
    folder = case.asked[0] == "in"
    beside = folder and case.status in (DONE, SOME_FAILED)
    if beside:
        saved(picture(), home / "good.png")
    before = everything(tmp_path)
    assert adc("upscale", *case.asked, "--student", students / case.student) == case.status
    told = capsys.readouterr().err
    assert case.says in told
    assert "Traceback" not in told
    if case.status in (FAILED, USAGE):
        assert told.count("\n") == 1
    ending = ".jpg" if "jpg" in case.asked else ".png"
    expected = {**(case.left or {}), **({"good" + ending: (80, 72)} if beside else {})}
    assert everything(tmp_path) - before == {f"out/{left}" for left in expected}
    for left, size in expected.items():
        with Image.open(tmp_path / "out" / left) as image:
            image.load()
            assert image.size == size


def test_there_are_forty_kinds():
    assert len(CASES) >= 40


def test_a_full_disk_leaves_nothing(tmp_path, students, capsys):
    saved(picture(60, 60), tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    old = saved(picture(4, 4), tmp_path / "out/a.png").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        results = [
            adc("upscale", tmp_path / "a.png", "-o", tmp_path / "out" / name, "--student", students / "whole", *more)
            for name, more in (("a.png", ()), ("a.jpg", ()), ("a.tif", ()), ("b.png", ("--color", "adain")))
        ]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert results == [SOME_FAILED] * 4
    errors = [line for line in capsys.readouterr().err.splitlines() if "cannot be written" in line]
    assert len(errors) == 4
    assert "out/a.png: cannot be written (File too large)" in errors[0]
    assert everything(tmp_path / "out") == {"a.png"}
    assert (tmp_path / "out/a.png").read_bytes() == old


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("name", ["/dev/full", "/dev/full/a.png"])
def test_a_device_as_output(name, tmp_path, students, capsys):
    saved(picture(), tmp_path / "a.png")
    assert adc("upscale", tmp_path / "a.png", "-o", name, "--student", students / "whole") == USAGE
    assert "/dev/full is no folder; name another place" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_written(tmp_path, students, capsys):
    saved(picture(), tmp_path / "a.png")
    (tmp_path / "out").mkdir(mode=0o555)
    assert adc("upscale", tmp_path / "a.png", "-o", tmp_path / "out", "--student", students / "whole") == SOME_FAILED
    assert "out/a.png: cannot be written (Permission denied)" in capsys.readouterr().err


LISTS = {
    "a file that is gone": (b"a.png\ngone.png\n\n", SOME_FAILED, "gone.png: no such file", {"a.png"}),
    "nothing": (b"", FAILED, "standard input: no file is named", set()),
    "no text": (b"\xff\xfe\x00", FAILED, "standard input: no list of file names", set()),
    "the same twice": (b"a.png\na.png\n", FAILED, "would both become", set()),
    "a folder": (b"a.png\nfolder\n", SOME_FAILED, "folder: is a folder", {"a.png"}),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists(name, tmp_path, students, monkeypatch, capsys):
    data, status, says, left = LISTS[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    saved(picture(), tmp_path / "a.png")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
    assert adc("upscale", "-", "-o", "out", "--student", students / "whole") == status
    told = capsys.readouterr()
    assert says in told.err
    assert told.out.split() == [f"out/{file}" for file in left]
    assert not left or everything(tmp_path / "out") == left


MEASURED = {
    "zero bytes": (content("a.png", b""), SOME_FAILED, "a.png: not an image"),
    "truncated": (truncated("a.png"), SOME_FAILED, "a.png: cannot be read as an image"),
    "another size": (lambda home: saved(picture(20, 20), home / "a.png"), SOME_FAILED, "a.png: "),
    "floating-point pixels": (flat("a.tif", "F"), SOME_FAILED, "a.tif: cannot be read as an image"),
    "huge header": (content("a.png", png(10**6, 10**6, rows(1, 1))), SOME_FAILED, "pixels need"),
    "a pipe": (pipe, SOME_FAILED, "a.png: is a pipe"),
    "another name": (whole("b.png"), FAILED, "no partner called"),
}


@pytest.mark.parametrize("name", MEASURED)
def test_evaluate(name, tmp_path, capsys):
    make, status, says = MEASURED[name]
    for folder in ("restored", "reference"):
        (tmp_path / folder).mkdir()
        saved(picture(), tmp_path / folder / "good.png")
    make(tmp_path / "restored")
    saved(picture(), tmp_path / "reference/a.png")
    assert adc("evaluate", tmp_path / "restored", tmp_path / "reference") == status
    told = capsys.readouterr().err
    assert says in told
    assert "Traceback" not in told
