"""adc upscale: what is wrong with names and options is found before torch is imported."""

import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from adc.inference.options import Color
from adc.interfaces.restorer import ColorMatching

WRONG = {
    "an ending of an image": (["a.png", "-o", "x.jpgg"], 2, "--output x.jpgg: unknown image format; there are .png"),
    "an ending of a video": (["a.png", "-o", "x.mp4"], 2, "--output x.mp4: a.png is an image, no video"),
    "no such file": (["b.png", "-o", "x.png"], 1, "b.png: no such file or folder."),
    "an empty folder": (["empty", "-o", "x"], 1, "empty: no image in this folder"),
    "the input itself": (["a.png", "-o", "a.png"], 2, "--output a.png: is an input and would be overwritten"),
    "a precision": (["a.png", "-o", "x.png", "--precision", "fp8"], 2, "precision: expected one of 'fp32'"),
    "a rate": (["clip.mp4", "-o", "x.mp4", "--rate", "fast"], 2, "--rate fast: frames per second"),
    "no output": (["a.png"], 2, "output"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    (folder / "empty").mkdir()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / "a.png")
    (folder / "clip.mp4").write_bytes(b"")
    return folder


@pytest.mark.parametrize("slip", WRONG)
def test_a_slip_is_found_without_torch(folder, slip):
    arguments, status, says = WRONG[slip]
    program = (
        "import sys\nfrom adc.cli import main\ntry:\n    main(sys.argv[1:])\n"
        "finally:\n    print({'torch', 'numpy', 'av'} & {*sys.modules})"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, "upscale", *arguments, "--student", "demo"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert told.returncode == status
    assert told.stderr.startswith("adc: error: ") and says in told.stderr and told.stderr.count("\n") == 1, told.stderr
    assert told.stdout == "set()\n"


def test_colours_are_those_of_students():
    assert get_args(Color) == get_args(ColorMatching)
