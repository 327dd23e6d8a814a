"""The student that ships with adc: small, found by its name, better than bicubic on a photo that it never saw."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from adc.metrics import psnr_y
from adc.ops.clip import upsample_bicubic
from adc.pruning import load_student
from adc.pruning.folders import student_folder


def test_it_is_small_and_has_a_card():
    folder = student_folder("demo")
    assert folder.parent.name == "students" and (folder / "README.md").is_file()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 6e6


def test_it_restores_a_photo_that_it_never_saw():
    from skimage.data import chelsea

    large = torch.from_numpy(chelsea()[20:276, 100:356].copy()).permute(2, 0, 1)[None, None] / 127.5 - 1
    generator = torch.Generator().manual_seed(0)
    small = torch.nn.functional.interpolate(large[0], scale_factor=0.25, mode="bicubic", antialias=True)[None]
    small = (small + torch.randn(small.shape, generator=generator) * 40 / 255).clamp(-1, 1)
    with torch.no_grad():
        restored = load_student("demo").eval().restore(small)
    figures = [psnr_y(one.clamp(-1, 1), large).mean().item() for one in (restored, upsample_bicubic(small, 4))]
    assert figures[0] > figures[1] + 1, figures


@pytest.mark.slow
def test_the_command_of_the_readme(tmp_path):
    from PIL import Image
    from skimage.data import astronaut

    Image.fromarray(astronaut()[100:164, 180:244]).save(tmp_path / "photo.png")
    words = [sys.executable, "-m", "adc", "upscale", "photo.png", "-o", "large.png", "--student", "demo"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Image.open(Path(tmp_path, "large.png")).size == (256, 256)
